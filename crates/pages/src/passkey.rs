//! What the script of the pages asks for. Answers are JSON; refusals are problem documents.

use askama::Template;
use axum::{
    extract::{Request, State},
    response::IntoResponse,
};
use http::StatusCode;
use portcullis_events::Actor;
use portcullis_identity::{IdentityError, LoggedIn, LoginError, Methods};
use portcullis_oidc::{BIND_WITHIN, Missing, Params};
use portcullis_texts::t;
use serde_json::{Value, json};

use crate::{
    Pages,
    account::label,
    filters,
    form::{Visit, read_json},
    login::{browser, entered_cookies, safe_return},
    security::{recently, recently_for},
    verify::{held, own_return},
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

#[derive(Template)]
#[template(path = "verify_passkey.html")]
struct BindingPage<'a> {
    csrf: String,
    /// This page, and where the person goes from it.
    here: &'a str,
    return_to: &'a str,
    /// The session whose approval waits for a passkey; none if one is bound.
    binds: Option<String>,
    /// Whether they have just come with another passkey.
    is_other: bool,
    suggestion: &'a str,
}

/// Where the person goes who has been verified and did not log in by the passkey that stands for it. Whoever did not
/// go through the verification in this browser binds nothing: with a password alone nobody puts their key in the place
/// of the person who was verified.
pub(crate) fn asked_for(
    pages: &Pages,
    visit: &Visit,
    missing: &Missing,
    back: &str,
) -> Option<Page> {
    let query = Params::default().with("return_to", back);
    let query = match missing {
        Missing::Verification => return None,
        Missing::Binding(session) => {
            held(pages, visit).filter(|held| held.to_string() == *session)?;
            query.with("binds", session)
        }
        Missing::Passkey => query,
    };
    Some(view::see_other(&format!("/verify/passkey?{}", query.to_query()), None))
}

/// `GET /verify/passkey`: a passkey is bound to a verification, or the one that was is asked for.
pub(crate) async fn show_binding(
    State(pages): State<Pages>,
    request: Request,
) -> impl IntoResponse {
    let answer = async move {
        let visit = Visit::read(&request)?;
        let return_to = visit.query.get("return_to").and_then(own_return);
        let return_to = return_to.ok_or_else(view::bad_request)?;
        let binds = visit.query.get("binds").map(str::to_owned);
        let here = format!("/verify/passkey?{}", visit.query.to_query());
        let is_other = match &binds {
            // A passkey can be made here.
            Some(_) => {
                recently_for(&pages, &visit, &here).await?;
                false
            }
            None => {
                let visitor = pages.visitor(&visit).await?;
                visitor.is_some_and(|(session, _)| {
                    Methods::from_row(&session.methods).passkey().is_some()
                })
            }
        };
        let (csrf, cookie) = visit.csrf(&*pages.identity.entropy);
        let page =
            BindingPage { csrf, here: &here, return_to, binds, is_other, suggestion: "My passkey" };
        Ok(view::scripted_page(StatusCode::OK, &page, cookie))
    };
    answer.await.unwrap_or_else(|page: Page| page)
}

/// Binds the passkey that somebody has just logged in with to what they were verified for in this browser. Whether that
/// was so shows when their request is looked at again.
async fn bind(pages: &Pages, visit: &Visit, entered: &LoggedIn, session: &str) {
    let held = held(pages, visit).filter(|held| held.to_string() == session);
    let passkey = Methods::from_row(&entered.session.methods).passkey();
    let (Some(session), Some(passkey)) = (held, passkey) else { return };
    let (id, username) = (entered.account.id, entered.account.username.clone());
    let by = Actor::User { id: id.to_string(), username };
    let by = (&by, &visit.origin);
    let bound = pages.sessions.bind_passkey(session, id, passkey, BIND_WITHIN, by).await;
    if let Err(error) = bound {
        // They are logged in all the same, and asked once more.
        tracing::warn!(%error, "a passkey was not bound");
    }
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
                bind(&pages, &visit, &entered, text(&body, "binds")).await;
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
