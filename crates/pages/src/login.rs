use askama::Template;
use axum::{
    extract::{Request, State},
    response::IntoResponse,
};
use http::StatusCode;
use portcullis_identity::{LoggedIn, LoginError};

use crate::{
    Pages,
    form::{SESSION_COOKIE, Visit, clear_cookie, read_form, set_cookie},
    view::{self, Page},
};

#[derive(Template)]
#[template(path = "login.html")]
struct LoginPage<'a> {
    csrf: String,
    return_to: &'a str,
    username: &'a str,
    failed: bool,
}

/// `GET /login`
pub(crate) async fn show(State(pages): State<Pages>, request: Request) -> impl IntoResponse {
    let answer = async move {
        let visit = Visit::read(&request)?;
        let return_to = safe_return(visit.query.get("return_to"));
        if pages.visitor(&visit).await?.is_some() && return_to == "/account" {
            return Ok(view::see_other("/account", None));
        }
        let hint = visit.query.get("login_hint").unwrap_or_default();
        Ok(render(&pages, &visit, StatusCode::OK, return_to, hint, false))
    };
    answer.await.unwrap_or_else(|page: Page| page)
}

/// `POST /login`
pub(crate) async fn submit(State(pages): State<Pages>, request: Request) -> impl IntoResponse {
    let answer = async move {
        let form = read_form(&pages, request).await?;
        let return_to = safe_return(form.params.get("return_to"));
        let (name, password) = (form.text("username"), form.secret("password"));
        match pages.identity.login(name, &password, &form.visit.origin).await {
            Ok(LoggedIn { account, token, .. }) => {
                let identity = pages.identity.clone();
                tokio::spawn(async move {
                    if let Err(error) = identity.refresh_hash(&account, &password).await {
                        tracing::warn!(%error, "a password could not be hashed anew");
                    }
                });
                // The old session of this browser, if any, is not this person's any more.
                end_current(&pages, &form.visit).await?;
                Ok(view::see_other(return_to, Some(set_cookie(SESSION_COOKIE, token.expose()))))
            }
            Err(LoginError::Credentials) => {
                let status = StatusCode::UNAUTHORIZED;
                Ok(render(&pages, &form.visit, status, return_to, name, true))
            }
            Err(LoginError::Failed(error)) => Err(view::failed(&error)),
        }
    };
    answer.await.unwrap_or_else(|page: Page| page)
}

/// `POST /logout`
pub(crate) async fn logout(State(pages): State<Pages>, request: Request) -> impl IntoResponse {
    let answer = async move {
        let form = read_form(&pages, request).await?;
        end_current(&pages, &form.visit).await?;
        Ok(view::see_other("/login", Some(clear_cookie(SESSION_COOKIE))))
    };
    answer.await.unwrap_or_else(|page: Page| page)
}

/// Ends the session of this browser, if it has one.
pub(crate) async fn end_current(pages: &Pages, visit: &Visit) -> Result<(), Page> {
    let Some((session, account)) = pages.visitor(visit).await? else {
        return Ok(());
    };
    match pages.identity.end_session(&account, session.id, &visit.origin).await {
        Ok(()) | Err(portcullis_identity::IdentityError::NotFound) => Ok(()),
        Err(error) => Err(view::failed(&error)),
    }
}

fn render(
    pages: &Pages,
    visit: &Visit,
    status: StatusCode,
    return_to: &str,
    username: &str,
    failed: bool,
) -> Page {
    let (csrf, cookie) = visit.csrf(&*pages.identity.entropy);
    let page = LoginPage { csrf, return_to, username, failed };
    view::redirecting_page(status, &page, cookie)
}

/// Only places of our own that a login leads to; anything else would be an open redirect.
fn safe_return(asked: Option<&str>) -> &str {
    match asked {
        Some(asked)
            if (asked.starts_with("/oauth2/authorize?") || asked.starts_with("/device?"))
                && asked.bytes().all(|b| b.is_ascii_graphic()) =>
        {
            asked
        }
        _ => "/account",
    }
}
