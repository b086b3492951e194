//! What the script of the pages asks for. Answers are JSON; refusals are problem documents.

use axum::{
    extract::{Request, State},
    response::IntoResponse,
};
use http::StatusCode;
use portcullis_identity::{IdentityError, LoginError};
use portcullis_texts::t;
use serde_json::{Value, json};

use crate::{
    Pages,
    account::label,
    form::read_json,
    login::{browser, entered_cookies, safe_return},
    security::recently,
    view::{self, Page},
};

const NOT_ACCEPTED: &str = "The passkey was not accepted.";

/// `POST /login/passkey/begin`
pub(crate) async fn begin_login(State(pages): State<Pages>, request: Request) -> impl IntoResponse {
    let answer = async move {
        read_json(&pages, request).await?;
        let ceremony = pages.identity.ask_for_passkey().map_err(|e| refused(&e))?;
        Ok(view::json(StatusCode::OK, &ceremony))
    };
    answer.await.unwrap_or_else(|page: Page| page)
}

/// `POST /login/passkey`
pub(crate) async fn log_in(State(pages): State<Pages>, request: Request) -> impl IntoResponse {
    let answer = async move {
        let (visit, mut body) = read_json(&pages, request).await?;
        let credential = body["credential"].take();
        let ceremony = text(&body, "ceremony");
        let visitor = pages.visitor(&visit).await?;
        let browser = browser(&visit, visitor.as_ref());
        let entered =
            pages.identity.login_by_passkey(ceremony, credential, browser, &visit.origin).await;
        match entered {
            Ok(entered) => {
                let to = safe_return(body["return_to"].as_str());
                let page = view::json(StatusCode::OK, &json!({ "location": to }));
                Ok(page.with_cookies(entered_cookies(&entered)))
            }
            Err(LoginError::Failed(error)) => Err(refused(&error)),
            Err(_) => Err(problem(StatusCode::UNAUTHORIZED, t(NOT_ACCEPTED))),
        }
    };
    answer.await.unwrap_or_else(|page: Page| page)
}

/// `POST /account/passkeys/begin`
pub(crate) async fn begin(State(pages): State<Pages>, request: Request) -> impl IntoResponse {
    let answer = async move {
        let (visit, _) = read_json(&pages, request).await?;
        let who = recently(&pages, &visit).await?;
        let ceremony = pages.identity.begin_passkey(&who).await.map_err(|e| refused(&e))?;
        Ok(view::json(StatusCode::OK, &ceremony))
    };
    answer.await.unwrap_or_else(|page: Page| page)
}

/// `POST /account/passkeys`
pub(crate) async fn add(State(pages): State<Pages>, request: Request) -> impl IntoResponse {
    let answer = async move {
        let (visit, mut body) = read_json(&pages, request).await?;
        let who = recently(&pages, &visit).await?;
        let credential = body["credential"].take();
        let (name, ceremony) = (text(&body, "name"), text(&body, "ceremony"));
        let added =
            pages.identity.add_passkey(&who, name, ceremony, credential, &visit.origin).await;
        added.map_err(|error| refused(&error))?;
        Ok(view::json(StatusCode::CREATED, &json!({})))
    };
    answer.await.unwrap_or_else(|page: Page| page)
}

fn text<'a>(body: &'a Value, name: &str) -> &'a str {
    body[name].as_str().unwrap_or_default()
}

fn refused(error: &IdentityError) -> Page {
    match error {
        IdentityError::Passkey => problem(StatusCode::UNPROCESSABLE_ENTITY, t(NOT_ACCEPTED)),
        IdentityError::Invalid(fields) => {
            let text: Vec<_> = fields
                .iter()
                .map(|field| format!("{} {}.", t(label(field.field)), t(&field.message)))
                .collect();
            problem(StatusCode::UNPROCESSABLE_ENTITY, &text.join(" "))
        }
        other => view::failed(other),
    }
}

fn problem(status: StatusCode, detail: &str) -> Page {
    view::json(status, &json!({ "status": status.as_u16(), "detail": detail }))
}
