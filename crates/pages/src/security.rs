//! Passkeys, authenticator app, recovery codes and password of the person who is logged in.

use askama::Template;
use axum::{
    extract::{Request, State},
    response::IntoResponse,
};
use http::StatusCode;
use portcullis_identity::{FieldError, IdentityError, Recent, TotpSetup};
use portcullis_oidc::Params;
use portcullis_store::accounts::Account;
use portcullis_texts::t;
use portcullis_types::{Secret, Timestamp};

use crate::{
    Pages,
    account::{label, minutes},
    filters,
    form::{Form, Visit, read_form},
    qr, upstream,
    view::{self, Page},
};

#[derive(Template)]
#[template(path = "security.html")]
struct SecurityPage<'a> {
    csrf: String,
    notice: Option<(&'a str, &'a str)>,
    codes: &'a [Secret<String>],
    passkeys: Vec<PasskeyRow>,
    suggestion: &'a str,
    totp: bool,
    recovery_codes: i64,
    password: bool,
    identities: Vec<IdentityRow<'a>>,
    /// Name and label of providers that can be linked.
    providers: Vec<(&'a str, &'a str)>,
}

struct IdentityRow<'a> {
    provider: String,
    subject: String,
    label: &'a str,
    who: String,
    added: String,
    used: Option<String>,
}

struct PasskeyRow {
    id: String,
    name: String,
    added: String,
    used: Option<String>,
}

#[derive(Template)]
#[template(path = "totp.html")]
struct TotpPage<'a> {
    csrf: String,
    alert: Option<&'a str>,
    picture: String,
    secret: String,
}

/// Who is logged in, if they proved it a moment ago; others prove it again first.
pub(crate) async fn recently(pages: &Pages, visit: &Visit) -> Result<Recent, Page> {
    recently_for(pages, visit, "/account/security").await
}

/// The same, to come back to another page.
pub(crate) async fn recently_for(
    pages: &Pages,
    visit: &Visit,
    return_to: &str,
) -> Result<Recent, Page> {
    let query = Params::default().with("return_to", return_to);
    let login = format!("/login?{}", query.to_query());
    let confirm = || view::see_other(&login, None);
    let (session, account) = pages.visitor(visit).await?.ok_or_else(confirm)?;
    pages.identity.recent(&session, &account).ok_or_else(confirm)
}

/// `GET /account/security`
pub(crate) async fn show(State(pages): State<Pages>, request: Request) -> impl IntoResponse {
    let answer = async move {
        let visit = Visit::read(&request)?;
        let who = recently(&pages, &visit).await?;
        render(&pages, &visit, who.account(), None, &[]).await
    };
    answer.await.unwrap_or_else(|page: Page| page)
}

/// `POST /account/totp/begin`
pub(crate) async fn begin_totp(State(pages): State<Pages>, request: Request) -> impl IntoResponse {
    let answer = async move {
        let (form, who) = open(&pages, request).await?;
        match pages.identity.begin_totp(who.account()).await {
            Ok(setup) => totp_page(&pages, &form.visit, StatusCode::OK, &setup, None),
            Err(error) => refuse(&pages, &form, &who, &error).await,
        }
    };
    answer.await.unwrap_or_else(|page: Page| page)
}

/// `POST /account/totp/confirm`
pub(crate) async fn confirm_totp(
    State(pages): State<Pages>,
    request: Request,
) -> impl IntoResponse {
    let answer = async move {
        let (form, who) = open(&pages, request).await?;
        let digits: String = form.text("code").chars().filter(|c| !c.is_whitespace()).collect();
        let confirmed =
            pages.identity.confirm_totp(who.account(), &digits, &form.visit.origin).await;
        match confirmed {
            Ok(Some(codes)) => {
                let text = "The app is set up. From now on a login asks for its code.";
                done(&pages, &form, &who, text, &codes).await
            }
            Ok(None) => {
                let setup = pages.identity.waiting_totp(who.account()).await;
                let setup = setup.map_err(|error| view::failed(&error))?;
                let text = "The code is not right. Check the clock of your phone.";
                let status = StatusCode::UNPROCESSABLE_ENTITY;
                totp_page(&pages, &form.visit, status, &setup, Some(text))
            }
            Err(error) => refuse(&pages, &form, &who, &error).await,
        }
    };
    answer.await.unwrap_or_else(|page: Page| page)
}

/// `POST /account/totp/remove`
pub(crate) async fn remove_totp(State(pages): State<Pages>, request: Request) -> impl IntoResponse {
    let answer = async move {
        let (form, who) = open(&pages, request).await?;
        let removed = pages.identity.remove_totp(&who, &form.visit.origin).await;
        told(&pages, &form, &who, removed, "The app was removed.").await
    };
    answer.await.unwrap_or_else(|page: Page| page)
}

/// `POST /account/recovery-codes`
pub(crate) async fn renew_codes(State(pages): State<Pages>, request: Request) -> impl IntoResponse {
    let answer = async move {
        let (form, who) = open(&pages, request).await?;
        match pages.identity.renew_recovery_codes(who.account(), &form.visit.origin).await {
            Ok(codes) => {
                let text = "The earlier recovery codes work no more.";
                done(&pages, &form, &who, text, &codes).await
            }
            Err(error) => refuse(&pages, &form, &who, &error).await,
        }
    };
    answer.await.unwrap_or_else(|page: Page| page)
}

/// `POST /account/passkeys/rename`
pub(crate) async fn rename_passkey(
    State(pages): State<Pages>,
    request: Request,
) -> impl IntoResponse {
    let answer = async move {
        let (form, who) = open(&pages, request).await?;
        let id = form.text("passkey").parse().map_err(|_| view::bad_request())?;
        let renamed = pages.identity.rename_passkey(who.account(), id, form.text("name")).await;
        told(&pages, &form, &who, renamed, "The passkey has a new name.").await
    };
    answer.await.unwrap_or_else(|page: Page| page)
}

/// `POST /account/passkeys/remove`
pub(crate) async fn remove_passkey(
    State(pages): State<Pages>,
    request: Request,
) -> impl IntoResponse {
    let answer = async move {
        let (form, who) = open(&pages, request).await?;
        let id = form.text("passkey").parse().map_err(|_| view::bad_request())?;
        let removed = pages.identity.remove_passkey(&who, id, &form.visit.origin).await;
        told(&pages, &form, &who, removed, "The passkey was removed.").await
    };
    answer.await.unwrap_or_else(|page: Page| page)
}

/// `POST /account/password/remove`
pub(crate) async fn remove_password(
    State(pages): State<Pages>,
    request: Request,
) -> impl IntoResponse {
    let answer = async move {
        let (form, who) = open(&pages, request).await?;
        let removed = pages.identity.remove_password(&who, &form.visit.origin).await;
        told(&pages, &form, &who, removed, "The password was removed.").await
    };
    answer.await.unwrap_or_else(|page: Page| page)
}

async fn open(pages: &Pages, request: Request) -> Result<(Form, Recent), Page> {
    let form = read_form(pages, request).await?;
    let who = recently(pages, &form.visit).await?;
    Ok((form, who))
}

async fn told(
    pages: &Pages,
    form: &Form,
    who: &Recent,
    result: Result<(), IdentityError>,
    text: &str,
) -> Result<Page, Page> {
    match result {
        Ok(()) => done(pages, form, who, text, &[]).await,
        Err(error) => refuse(pages, form, who, &error).await,
    }
}

async fn done(
    pages: &Pages,
    form: &Form,
    who: &Recent,
    text: &str,
    codes: &[Secret<String>],
) -> Result<Page, Page> {
    render(pages, &form.visit, who.account(), Some(("good", text)), codes).await
}

async fn refuse(
    pages: &Pages,
    form: &Form,
    who: &Recent,
    error: &IdentityError,
) -> Result<Page, Page> {
    let text = match error {
        IdentityError::NotFound => "There is no such thing any more.".to_owned(),
        IdentityError::Invalid(fields) => {
            let line = |f: &FieldError| format!("{} {}.", t(label(f.field)), t(&f.message));
            let lines = fields.iter().map(line);
            lines.collect::<Vec<_>>().join(" ")
        }
        _ => return Err(view::failed(error)),
    };
    render(pages, &form.visit, who.account(), Some(("bad", &text)), &[]).await
}

async fn render(
    pages: &Pages,
    visit: &Visit,
    account: &Account,
    notice: Option<(&str, &str)>,
    codes: &[Secret<String>],
) -> Result<Page, Page> {
    let failed = |error: IdentityError| view::failed(&error);
    let factors = pages.identity.factors(account).await.map_err(failed)?;
    let passkeys = pages.identity.passkeys(account).await.map_err(failed)?;
    let time = |micros: i64| minutes(Timestamp::from_micros(micros));
    let row = |passkey: portcullis_store::passkeys::Passkey| PasskeyRow {
        id: passkey.id.to_string(),
        name: passkey.name,
        added: time(passkey.created_at),
        used: passkey.last_used_at.map(time),
    };
    let linked = pages.identity.upstream_identities(account).await.map_err(failed)?;
    let identities = linked.iter().map(|row| IdentityRow {
        provider: row.provider.clone(),
        subject: row.subject.clone(),
        label: upstream::label(pages, &row.provider),
        who: if row.email.is_empty() { row.subject.clone() } else { row.email.clone() },
        added: minutes(row.created_at),
        used: row.last_used_at.map(time),
    });
    let settings = pages.upstreams.iter().map(|provider| &provider.settings);
    let (csrf, cookie) = visit.csrf(&*pages.identity.entropy);
    let passkeys: Vec<_> = passkeys.into_iter().map(row).collect();
    let page = SecurityPage {
        csrf,
        notice,
        codes,
        suggestion: if passkeys.is_empty() { "My passkey" } else { "Another passkey" },
        passkeys,
        totp: factors.totp,
        recovery_codes: factors.recovery_codes,
        // The account as it was when the page was asked for may have had one.
        password: pages.identity.has_password(account).await.map_err(failed)?,
        identities: identities.collect(),
        providers: settings.map(|own| (own.name.as_str(), own.label.as_str())).collect(),
    };
    let status = match notice {
        Some(("bad", _)) => StatusCode::UNPROCESSABLE_ENTITY,
        _ => StatusCode::OK,
    };
    Ok(view::scripted_page(status, &page, cookie))
}

fn totp_page(
    pages: &Pages,
    visit: &Visit,
    status: StatusCode,
    setup: &TotpSetup,
    alert: Option<&str>,
) -> Result<Page, Page> {
    let (csrf, cookie) = visit.csrf(&*pages.identity.entropy);
    let picture = qr::picture(setup.uri.expose()).ok_or_else(view::bad_request)?;
    let letters: Vec<char> = setup.secret.expose().chars().collect();
    let groups: Vec<String> = letters.chunks(4).map(|group| group.iter().collect()).collect();
    let page = TotpPage { csrf, alert, picture, secret: groups.join(" ") };
    Ok(view::page(status, &page, cookie))
}
