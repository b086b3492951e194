//! What people see: login, registration, recovery, account and consent, rendered on the server.
//!
//! Pages work without scripts, but for passkeys and the camera, and carry a strict Content-Security-Policy. Every form has a token
//! that must match a cookie; everything shown is escaped by the templates.

mod account;
mod authorize;
mod device;
mod filters;
mod form;
mod invitation;
mod login;
mod mail_login;
mod passkey;
mod qr;
mod recovery;
mod register;
mod rights;
mod security;
mod theme;
mod ui;
mod upstream;
mod verify;
mod view;
mod wallet;

use std::sync::Arc;

use axum::{
    Router,
    middleware::from_fn_with_state,
    routing::{get, post},
};
use portcullis_federation::UpstreamProvider;
use portcullis_identity::Identity;
use portcullis_oidc::Provider;

use portcullis_verification::{Presentations, Sessions};

pub use theme::{Theme, ThemeError};

/// What the pages work with.
#[derive(Debug, Clone)]
pub struct Pages {
    identity: Identity,
    provider: Provider,
    upstreams: Arc<Vec<UpstreamProvider>>,
    theme: Arc<Theme>,
    sessions: Sessions,
    presentations: Presentations,
    forms: verify::Forms,
}

/// The pages and their forms.
pub fn router(
    identity: Identity,
    provider: Provider,
    upstreams: Arc<Vec<UpstreamProvider>>,
    theme: Arc<Theme>,
    presentations: Presentations,
) -> Router {
    let pages = Pages {
        identity,
        provider,
        upstreams,
        theme,
        sessions: presentations.sessions.clone(),
        presentations,
        forms: verify::Forms::default(),
    };
    Router::new()
        .route("/", get(account::home))
        .route("/assets/style.css", get(view::style))
        .route("/assets/passkey.js", get(view::passkey_script))
        .route("/assets/verify.js", get(view::verify_script))
        .route("/login", get(login::show).post(login::submit))
        .route("/login/second", get(login::show_second).post(login::submit_second))
        .route("/login/passkey/begin", post(passkey::begin_login))
        .route("/login/passkey", post(passkey::log_in))
        .route("/login/mail", get(mail_login::show).post(mail_login::send))
        .route("/login/mail/code", get(mail_login::show_code).post(mail_login::code))
        .route("/login/link", get(mail_login::show_link).post(mail_login::link))
        .route("/login/upstream/callback/{name}", get(upstream::returned))
        .route("/login/upstream/new", get(upstream::show_new).post(upstream::register))
        .route("/login/upstream/link", get(upstream::show_link).post(upstream::link))
        .route("/login/upstream/{name}", post(upstream::begin))
        .route("/account/upstream/remove", post(upstream::unlink))
        .route("/account/upstream/{name}", post(upstream::begin_link))
        .route("/logout", post(login::logout))
        .route("/register", get(register::show).post(register::submit))
        .route("/invitation", get(invitation::show).post(invitation::accept))
        .route("/verify-email", get(register::show_confirm).post(register::confirm))
        .route("/forgot-password", get(recovery::show_forgot).post(recovery::forgot))
        .route("/reset-password", get(recovery::show_reset).post(recovery::reset))
        .route("/confirm-email", get(recovery::show_confirm).post(recovery::confirm))
        .route("/account", get(account::show))
        .route("/account/profile", post(account::profile))
        .route("/account/password", post(account::password))
        .route("/account/email", post(account::email))
        .route("/account/export", post(rights::export))
        .route("/account/delete", get(rights::show).post(rights::delete))
        .route("/account/security", get(security::show))
        .route("/account/totp/begin", post(security::begin_totp))
        .route("/account/totp/confirm", post(security::confirm_totp))
        .route("/account/totp/remove", post(security::remove_totp))
        .route("/account/recovery-codes", post(security::renew_codes))
        .route("/account/passkeys/begin", post(passkey::begin))
        .route("/account/passkeys", post(passkey::add))
        .route("/account/passkeys/rename", post(security::rename_passkey))
        .route("/account/passkeys/remove", post(security::remove_passkey))
        .route("/account/password/remove", post(security::remove_password))
        .route("/account/sessions/end", post(account::end_session))
        .route("/account/applications/end", post(account::end_application))
        .route("/account/wallet", get(wallet::show).post(wallet::offer))
        .route("/account/wallet/revoke", post(wallet::revoke))
        .route("/verify", get(verify::welcome).post(verify::begin))
        .route("/verify/passkey", get(passkey::show_with).post(passkey::verify_again))
        .route("/verify/{id}", get(verify::show).post(verify::give))
        .route("/verify/{id}/state", get(verify::state))
        .route("/verify/{id}/device", post(verify::meet))
        .route("/device", get(device::show).post(device::submit))
        .route("/oauth2/authorize", get(authorize::show).post(authorize::show))
        .route("/oauth2/consent", post(authorize::consent))
        .route("/logged-out", get(authorize::left))
        .route("/oauth2/logout", get(authorize::logout).post(authorize::logout))
        .route("/language", get(ui::choose))
        .route("/assets/theme.css", get(ui::theme_css))
        .route("/assets/logo", get(ui::logo))
        .layer(from_fn_with_state(pages.clone(), ui::layer))
        .with_state(pages)
}
