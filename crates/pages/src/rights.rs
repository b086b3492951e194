//! Download of everything that is kept about somebody, and the end of their account.

use axum::{
    extract::{Request, State},
    response::{IntoResponse, Response},
};
use http::{HeaderValue, StatusCode, header};
use portcullis_identity::IdentityError;

use crate::{
    Pages,
    form::{SESSION_COOKIE, Visit, clear_cookie, read_form},
    security::recently_for,
    view::{self, Field, FormPage, Message, Page},
};

const DELETE: &str = "/account/delete";

/// `POST /account/export`
pub(crate) async fn export(State(pages): State<Pages>, request: Request) -> Response {
    let answer = async move {
        let form = read_form(&pages, request).await?;
        let who = recently_for(&pages, &form.visit, "/account").await?;
        let all = pages.identity.export(who.account()).await.map_err(|e| view::failed(&e))?;
        let text = serde_json::to_vec_pretty(&all).unwrap_or_default();
        let mut response = (StatusCode::OK, text).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        let file = HeaderValue::from_static("attachment; filename=\"account.json\"");
        headers.insert(header::CONTENT_DISPOSITION, file);
        Ok::<_, Page>(response)
    };
    answer.await.unwrap_or_else(IntoResponse::into_response)
}

/// `GET /account/delete`
pub(crate) async fn show(State(pages): State<Pages>, request: Request) -> impl IntoResponse {
    let answer = async move {
        let visit = Visit::read(&request)?;
        recently_for(&pages, &visit, DELETE).await?;
        Ok(ask(&pages, &visit, None))
    };
    answer.await.unwrap_or_else(|page: Page| page)
}

/// `POST /account/delete`
pub(crate) async fn delete(State(pages): State<Pages>, request: Request) -> impl IntoResponse {
    let answer = async move {
        let form = read_form(&pages, request).await?;
        let who = recently_for(&pages, &form.visit, DELETE).await?;
        let typed = form.text("username");
        match pages.identity.erase(&who, typed, &form.visit.origin).await {
            Ok(()) => {
                let gone = Message {
                    title: "Your account is deleted.",
                    tone: "good",
                    text: "You can close this page.",
                    link: None,
                };
                let page = view::message(StatusCode::OK, &gone);
                Ok(page.with_cookies([clear_cookie(SESSION_COOKIE)]))
            }
            Err(IdentityError::Invalid(_)) => {
                Ok(ask(&pages, &form.visit, Some("That is not your user name.")))
            }
            Err(IdentityError::LastAdmin) => {
                let text = "You are the last administrator. Make somebody else one first.";
                Ok(ask(&pages, &form.visit, Some(text)))
            }
            Err(error) => Err(view::failed(&error)),
        }
    };
    answer.await.unwrap_or_else(|page: Page| page)
}

fn ask(pages: &Pages, visit: &Visit, alert: Option<&str>) -> Page {
    let (csrf, cookie) = visit.csrf(&*pages.identity.entropy);
    let page = FormPage {
        title: "Delete your account",
        intro: Some(
            "Your account, and everything in it, goes at once and for good. Entries about you in \
             the audit log can no longer be read by anybody.",
        ),
        alert,
        action: DELETE,
        csrf,
        hidden: Vec::new(),
        fields: vec![
            Field::new("username", "User name", "text", "off")
                .hint("Type your user name to confirm."),
        ],
        button: "Delete your account",
        link: Some(("/account", "Not now")),
    };
    let status = if alert.is_some() { StatusCode::UNPROCESSABLE_ENTITY } else { StatusCode::OK };
    view::page(status, &page, cookie)
}
