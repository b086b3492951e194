use askama::Template;
use axum::{
    extract::{Request, State},
    response::IntoResponse,
};
use http::StatusCode;
use portcullis_identity::{FieldError, IdentityError};
use portcullis_store::{accounts::Account, sessions::Session};
use portcullis_texts::{Lang, t};
use portcullis_types::Timestamp;

use crate::{
    Pages,
    authorize::in_words,
    filters,
    form::{Form, Visit, read_form},
    ui,
    view::{self, Page},
};

#[derive(Template)]
#[template(path = "account.html")]
struct AccountPage<'a> {
    csrf: String,
    username: &'a str,
    email: &'a str,
    display_name: &'a str,
    locale: &'a str,
    sessions: Vec<SessionRow>,
    applications: Vec<ApplicationRow>,
    /// Whether proofs can be put into wallets.
    wallets: bool,
    notice: Option<(&'a str, &'a str)>,
}

struct SessionRow {
    id: String,
    addr: String,
    user_agent: String,
    since: String,
    current: bool,
}

struct ApplicationRow {
    id: String,
    name: String,
    may: String,
    grants: usize,
    since: String,
}

/// `GET /`
pub(crate) async fn home() -> impl IntoResponse {
    view::see_other("/account", None)
}

/// `GET /account`
pub(crate) async fn show(State(pages): State<Pages>, request: Request) -> impl IntoResponse {
    let answer = async move {
        let visit = Visit::read(&request)?;
        let (session, account) = signed_in(&pages, &visit).await?;
        render(&pages, &visit, &session, &account, StatusCode::OK, None).await
    };
    answer.await.unwrap_or_else(|page: Page| page)
}

/// `POST /account/profile`
pub(crate) async fn profile(State(pages): State<Pages>, request: Request) -> impl IntoResponse {
    let answer = async move {
        let (form, session, account) = open(&pages, request).await?;
        let name = form.text("display_name");
        let lang = form.params.get("locale").and_then(Lang::of_tag);
        let origin = &form.visit.origin;
        match pages.identity.set_profile(&account, name, lang, origin).await {
            // The page that follows is in the new language.
            Ok(_) if lang.is_some_and(|lang| lang != portcullis_texts::current()) => {
                Ok(view::see_other("/account", lang.map(ui::chosen)))
            }
            Ok(account) => tell(&pages, &form, &session, &account, "Saved.").await,
            Err(error) => refuse(&pages, &form, &session, &account, error).await,
        }
    };
    answer.await.unwrap_or_else(|page: Page| page)
}

/// `POST /account/password`
pub(crate) async fn password(State(pages): State<Pages>, request: Request) -> impl IntoResponse {
    let answer = async move {
        let (form, session, account) = open(&pages, request).await?;
        let (current, new) = (form.secret("current_password"), form.secret("password"));
        let origin = &form.visit.origin;
        let keep = Some(session.id);
        let changed = pages.identity.change_password(&account, keep, &current, &new, origin).await;
        match changed {
            Ok(()) => {
                let text = "Your password is changed. Other sessions were ended.";
                tell(&pages, &form, &session, &account, text).await
            }
            Err(error) => refuse(&pages, &form, &session, &account, error).await,
        }
    };
    answer.await.unwrap_or_else(|page: Page| page)
}

/// `POST /account/email`
pub(crate) async fn email(State(pages): State<Pages>, request: Request) -> impl IntoResponse {
    let answer = async move {
        let (form, session, account) = open(&pages, request).await?;
        let (current, email) = (form.secret("current_password"), form.text("email"));
        let origin = &form.visit.origin;
        let asked = pages.identity.request_email_change(&account, &current, email, origin).await;
        match asked {
            Ok(()) => {
                let text = "We have sent a link to the new address. Follow it to finish.";
                tell(&pages, &form, &session, &account, text).await
            }
            Err(error) => refuse(&pages, &form, &session, &account, error).await,
        }
    };
    answer.await.unwrap_or_else(|page: Page| page)
}

/// `POST /account/sessions/end`
pub(crate) async fn end_session(State(pages): State<Pages>, request: Request) -> impl IntoResponse {
    let answer = async move {
        let (form, session, account) = open(&pages, request).await?;
        let id = form.text("session").parse().map_err(|_| view::bad_request())?;
        match pages.identity.end_session(&account, id, &form.visit.origin).await {
            Ok(()) | Err(IdentityError::NotFound) if id == session.id => {
                Ok(view::see_other("/login", None))
            }
            Ok(()) => tell(&pages, &form, &session, &account, "The session was ended.").await,
            Err(error) => refuse(&pages, &form, &session, &account, error).await,
        }
    };
    answer.await.unwrap_or_else(|page: Page| page)
}

/// `POST /account/applications/end`
pub(crate) async fn end_application(
    State(pages): State<Pages>,
    request: Request,
) -> impl IntoResponse {
    let answer = async move {
        let (form, session, account) = open(&pages, request).await?;
        let (client, origin) = (form.text("client"), &form.visit.origin);
        match pages.provider.end_application(&account, client, origin).await {
            Ok(true) => tell(&pages, &form, &session, &account, "Its access was ended.").await,
            Ok(false) => tell(&pages, &form, &session, &account, "It had no access.").await,
            Err(error) => Err(view::failed(&error)),
        }
    };
    answer.await.unwrap_or_else(|page: Page| page)
}

async fn open(pages: &Pages, request: Request) -> Result<(Form, Session, Account), Page> {
    let form = read_form(pages, request).await?;
    let (session, account) = signed_in(pages, &form.visit).await?;
    Ok((form, session, account))
}

async fn signed_in(pages: &Pages, visit: &Visit) -> Result<(Session, Account), Page> {
    pages.visitor(visit).await?.ok_or_else(|| view::see_other("/login", None))
}

async fn tell(
    pages: &Pages,
    form: &Form,
    session: &Session,
    account: &Account,
    text: &str,
) -> Result<Page, Page> {
    render(pages, &form.visit, session, account, StatusCode::OK, Some(("good", text))).await
}

async fn refuse(
    pages: &Pages,
    form: &Form,
    session: &Session,
    account: &Account,
    error: IdentityError,
) -> Result<Page, Page> {
    let text = match &error {
        IdentityError::CurrentPassword => "The current password is not right.".to_owned(),
        IdentityError::Throttled(_) => {
            "Too many wrong passwords. Wait a while before the next.".to_owned()
        }
        IdentityError::NotFound => "There is no such session.".to_owned(),
        IdentityError::Invalid(fields) => {
            let line = |f: &FieldError| format!("{} {}.", t(label(f.field)), t(&f.message));
            let lines = fields.iter().map(line);
            lines.collect::<Vec<_>>().join(" ")
        }
        _ => return Err(view::failed(&error)),
    };
    let status = StatusCode::UNPROCESSABLE_ENTITY;
    render(pages, &form.visit, session, account, status, Some(("bad", &text))).await
}

/// What people call an input.
pub(crate) fn label(field: &str) -> &str {
    match field {
        "display_name" => "Name",
        "email" => "E-mail address",
        "password" => "Password",
        "username" => "User name",
        "passkey" => "Passkey",
        "provider" => "Logins elsewhere",
        "totp" => "Authenticator app",
        "name" => "Name",
        other => other,
    }
}

/// `2026-11-23 21:40 UTC`.
pub(crate) fn minutes(time: Timestamp) -> String {
    let text = time.to_rfc3339();
    format!("{} UTC", text.get(..16).unwrap_or(&text).replace('T', " "))
}

async fn render(
    pages: &Pages,
    visit: &Visit,
    current: &Session,
    account: &Account,
    status: StatusCode,
    notice: Option<(&str, &str)>,
) -> Result<Page, Page> {
    let sessions = pages.identity.sessions(account).await.map_err(|e| view::failed(&e))?;
    let sessions = sessions.into_iter().map(|session| SessionRow {
        current: session.id == current.id,
        id: session.id.to_string(),
        addr: session.addr,
        user_agent: session.user_agent,
        since: minutes(session.created_at),
    });
    let applications = pages.provider.applications(account).await.map_err(|e| view::failed(&e))?;
    let applications = applications.into_iter().map(|application| ApplicationRow {
        may: application
            .scopes
            .iter()
            .map(|scope| t(in_words(scope)))
            .collect::<Vec<_>>()
            .join(", "),
        id: application.client_id,
        name: application.name,
        grants: application.grants,
        since: minutes(application.last),
    });
    let (csrf, cookie) = visit.csrf(&*pages.identity.entropy);
    let page = AccountPage {
        csrf,
        username: &account.username,
        email: &account.email,
        display_name: &account.display_name,
        locale: &account.locale,
        sessions: sessions.collect(),
        applications: applications.collect(),
        wallets: pages.provider.issues_credentials(),
        notice,
    };
    Ok(view::page(status, &page, cookie))
}
