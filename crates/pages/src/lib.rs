//! What people see: login, registration, recovery, account and consent, rendered on the server.
//!
//! Pages work without scripts and carry a strict Content-Security-Policy. Every form has a token
//! that must match a cookie; everything shown is escaped by the templates.

mod account;
mod authorize;
mod device;
mod form;
mod login;
mod recovery;
mod register;
mod view;

use axum::{
    Router,
    routing::{get, post},
};
use portcullis_identity::Identity;
use portcullis_oidc::Provider;

/// What the pages work with.
#[derive(Debug, Clone)]
pub struct Pages {
    identity: Identity,
    provider: Provider,
}

/// The pages and their forms.
pub fn router(identity: Identity, provider: Provider) -> Router {
    Router::new()
        .route("/", get(account::home))
        .route("/assets/style.css", get(view::style))
        .route("/login", get(login::show).post(login::submit))
        .route("/logout", post(login::logout))
        .route("/register", get(register::show).post(register::submit))
        .route("/verify-email", get(register::show_confirm).post(register::confirm))
        .route("/forgot-password", get(recovery::show_forgot).post(recovery::forgot))
        .route("/reset-password", get(recovery::show_reset).post(recovery::reset))
        .route("/confirm-email", get(recovery::show_confirm).post(recovery::confirm))
        .route("/account", get(account::show))
        .route("/account/profile", post(account::profile))
        .route("/account/password", post(account::password))
        .route("/account/email", post(account::email))
        .route("/account/sessions/end", post(account::end_session))
        .route("/device", get(device::show).post(device::submit))
        .route("/oauth2/authorize", get(authorize::show).post(authorize::show))
        .route("/oauth2/consent", post(authorize::consent))
        .route("/oauth2/logout", get(authorize::logout).post(authorize::logout))
        .with_state(Pages { identity, provider })
}
