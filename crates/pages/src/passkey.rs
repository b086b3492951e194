//! What the script of the pages asks for. Answers are JSON; refusals are problem documents.

use askama::Template;
use axum::{
    extract::{Request, State},
    response::IntoResponse,
};
use http::StatusCode;
use portcullis_identity::{IdentityError, LoginError, Methods};
use portcullis_oidc::{Params, ProofRule};
use portcullis_store::sessions::Session;
use portcullis_texts::t;
use serde_json::{Value, json};

use crate::{
    Pages,
    account::label,
    filters,
    form::{Visit, read_form, read_json},
    login::{browser, entered_cookies, safe_return},
    security::{recently, recently_for},
    verify::{self, own_return},
    view::{self, Message, Page},
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

#[derive(Template)]
#[template(path = "verify_passkey.html")]
struct WithPasskeyPage<'a> {
    csrf: String,
    /// This page, and where the person goes from it.
    here: &'a str,
    return_to: &'a str,
    acr: &'a str,
    /// Whether they are logged in by a passkey, and it is not the one that they were verified with.
    is_other: bool,
    suggestion: &'static str,
}

/// Where the person goes who has to be logged in by a passkey to be verified, or by the one that they were verified with.
pub(crate) fn ask(rule: &ProofRule, back: &str) -> Page {
    let query = Params::default().with("acr", &rule.acr).with("return_to", back);
    view::see_other(&format!("/verify/passkey?{}", query.to_query()), None)
}

/// `GET /verify/passkey`
pub(crate) async fn show_with(State(pages): State<Pages>, request: Request) -> impl IntoResponse {
    let answer = async move {
        let visit = Visit::read(&request)?;
        let return_to = visit.query.get("return_to").and_then(own_return);
        let return_to = return_to.ok_or_else(view::bad_request)?;
        let here = format!("/verify/passkey?{}", visit.query.to_query());
        let visitor = pages.visitor(&visit).await?;
        let is_other = visitor.is_some_and(|(session, _)| is_by_passkey(&session));
        if !is_other {
            // A passkey can be made here.
            recently_for(&pages, &visit, &here).await?;
        }
        let (csrf, cookie) = visit.csrf(&*pages.identity.entropy);
        let page = WithPasskeyPage {
            csrf,
            here: &here,
            return_to,
            acr: visit.query.get("acr").unwrap_or_default(),
            is_other,
            suggestion: "My passkey",
        };
        Ok(view::scripted_page(StatusCode::OK, &page, cookie))
    };
    answer.await.unwrap_or_else(|page: Page| page)
}

/// `POST /verify/passkey`: somebody is verified again, with the passkey by which they are logged in.
pub(crate) async fn verify_again(
    State(pages): State<Pages>,
    request: Request,
) -> impl IntoResponse {
    let answer = async move {
        let form = read_form(&pages, request).await?;
        let return_to = own_return(form.text("return_to")).ok_or_else(view::bad_request)?;
        let rule = pages.provider.proof_of(form.text("acr")).filter(|rule| rule.passkey);
        let rule = rule.ok_or_else(view::bad_request)?;
        let visitor = pages.visitor(&form.visit).await?;
        let Some((session, account)) = visitor.filter(|(session, _)| is_by_passkey(session)) else {
            return Ok(view::see_other(return_to, None));
        };
        let whose = (&session, &account);
        let begun = verify::of_owner(&pages, &form.visit, whose, rule).await;
        match begun.map_err(|error| view::not_now(&error))? {
            Some(open) => Ok(view::see_other(&verify::link(&pages, &open, return_to), None)),
            None => {
                let text = "You were not verified a short while ago. Try again later.";
                let bad = Message { title: "Not yet", tone: "bad", text, link: None };
                Ok(view::message(StatusCode::TOO_MANY_REQUESTS, &bad))
            }
        }
    };
    answer.await.unwrap_or_else(|page: Page| page)
}

fn is_by_passkey(session: &Session) -> bool {
    Methods::from_row(&session.methods).passkey().is_some()
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
