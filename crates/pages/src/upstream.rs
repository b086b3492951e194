//! Logging in at another provider, and linking what was proven there with what is known here.

use std::time::Duration;

use axum::{
    extract::{Path, Request, State},
    response::IntoResponse,
};
use http::StatusCode;
use portcullis_federation::{Attempt, Returned, UpstreamError, UpstreamPerson, UpstreamProvider};
use portcullis_identity::{FieldError, IdentityError, LoginError, Opened, Recent, UpstreamLogin};
use portcullis_oidc::Params;
use portcullis_texts::tf;
use portcullis_types::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{
    Pages,
    form::{Visit, clear_cookie, read_form, set_cookie},
    login::{browser, enter, go_on, safe_return},
    register::NAME_HINT,
    security::recently,
    view::{self, Field, FormPage, Message, Page},
};

/// What ties the answer of a provider to this browser.
const ATTEMPT_COOKIE: &str = "__Host-portcullis_upstream";
/// Somebody whom a provider knows and we do not.
const PERSON_COOKIE: &str = "__Host-portcullis_linking";
const ATTEMPT: &str = "upstream attempt";
const PERSON: &str = "upstream person";
/// People come back from a provider within this time.
const ATTEMPT_LIFETIME: Duration = Duration::from_secs(900);
/// And decide within this time what it means here.
const PERSON_LIFETIME: Duration = Duration::from_secs(1800);
/// Where providers send people back to, after the issuer and before their name. Each has its own
/// (RFC 9700, section 4.4.2.2), so that a code of one is never taken to another.
const CALLBACK: &str = "/login/upstream/callback";
/// The cookie has to hold it.
const MAX_RETURN_BYTES: usize = 2_000;
const LINK: &str = "/login/upstream/link";
const NEW: &str = "/login/upstream/new";

#[derive(Serialize, Deserialize)]
struct Waiting {
    attempt: Attempt,
    return_to: String,
    /// The account it is to be linked to, instead of logging in.
    link: Option<String>,
}

/// `POST /login/upstream/{name}`
pub(crate) async fn begin(
    State(pages): State<Pages>,
    Path(name): Path<String>,
    request: Request,
) -> impl IntoResponse {
    let answer = async move {
        let form = read_form(&pages, request).await?;
        let return_to = safe_return(form.params.get("return_to")).to_owned();
        if return_to.len() > MAX_RETURN_BYTES {
            return Err(view::bad_request());
        }
        // Whoever is logged in already is asked for more than that.
        let anew = pages.visitor(&form.visit).await?.is_some();
        leave_for(&pages, &name, anew, return_to, None).await
    };
    answer.await.unwrap_or_else(|page: Page| page)
}

/// `POST /account/upstream/{name}`
pub(crate) async fn begin_link(
    State(pages): State<Pages>,
    Path(name): Path<String>,
    request: Request,
) -> impl IntoResponse {
    let answer = async move {
        let form = read_form(&pages, request).await?;
        let who = recently(&pages, &form.visit).await?;
        let account = Some(who.account().id.to_string());
        leave_for(&pages, &name, true, "/account/security".to_owned(), account).await
    };
    answer.await.unwrap_or_else(|page: Page| page)
}

async fn leave_for(
    pages: &Pages,
    name: &str,
    anew: bool,
    return_to: String,
    link: Option<String>,
) -> Result<Page, Page> {
    let provider = provider(pages, name)?;
    let identity = &pages.identity;
    let back = callback(pages, name);
    let begun = provider.begin(&back, anew, identity.now(), &*identity.entropy).await;
    let (url, attempt) = begun.map_err(|error| failed(provider, &error))?;
    let waiting = Waiting { attempt, return_to, link };
    let sealed = identity.seal_state(ATTEMPT, waiting, ATTEMPT_LIFETIME);
    let cookie = set_cookie(ATTEMPT_COOKIE, &sealed.map_err(|e| view::failed(&e))?);
    Ok(view::see_other(&url, Some(cookie)))
}

/// `GET /login/upstream/callback/{name}`
pub(crate) async fn returned(
    State(pages): State<Pages>,
    Path(name): Path<String>,
    request: Request,
) -> impl IntoResponse {
    let answer = async move {
        let visit = Visit::read(&request)?;
        finish(&pages, &name, &visit).await
    };
    answer.await.unwrap_or_else(|page: Page| page)
}

async fn finish(pages: &Pages, name: &str, visit: &Visit) -> Result<Page, Page> {
    let cookie = visit.cookie(ATTEMPT_COOKIE).unwrap_or_default();
    let opened = pages.identity.open_state::<Waiting>(ATTEMPT, cookie);
    let opened = opened.filter(|opened| opened.state.attempt.provider == name);
    let opened = opened.ok_or_else(stale)?;
    let waiting = &opened.state;
    let provider = provider(pages, name)?;
    if !waiting.attempt.is_answered_by(visit.query.get("state")) {
        return Err(failed(provider, &UpstreamError::Mismatch));
    }
    match pages.identity.use_answer((opened.hash.as_slice(), opened.until)).await {
        Ok(()) => {}
        Err(LoginError::Failed(error)) => return Err(view::failed(&error)),
        Err(_) => return Err(stale()),
    }
    let page = redeem(pages, visit, provider, waiting).await.unwrap_or_else(|page| page);
    Ok(page.with_cookies([clear_cookie(ATTEMPT_COOKIE)]))
}

/// What an attempt that is used up leads to.
async fn redeem(
    pages: &Pages,
    visit: &Visit,
    provider: &UpstreamProvider,
    waiting: &Waiting,
) -> Result<Page, Page> {
    let query = &visit.query;
    let returned = Returned {
        code: query.get("code"),
        state: query.get("state"),
        iss: query.get("iss"),
        error: query.get("error"),
    };
    let now = pages.identity.now();
    let back = callback(pages, &provider.settings.name);
    let person = match provider.finish(&back, &waiting.attempt, returned, now).await {
        Ok(person) => person,
        Err(error) => {
            let recorded = pages.identity.upstream_failed(reason(&error), &visit.origin).await;
            recorded.map_err(|e| view::failed(&e))?;
            return Err(failed(provider, &error));
        }
    };
    match &waiting.link {
        Some(account) => link_here(pages, visit, account, &person).await,
        None => log_in(pages, visit, &waiting.return_to, person).await,
    }
}

async fn log_in(
    pages: &Pages,
    visit: &Visit,
    return_to: &str,
    person: UpstreamPerson,
) -> Result<Page, Page> {
    let visitor = pages.visitor(visit).await?;
    let browser = browser(visit, visitor.as_ref());
    match pages.identity.login_upstream(&person, browser, &visit.origin).await {
        Ok(UpstreamLogin::Known(login)) => Ok(go_on(login, return_to)),
        Ok(UpstreamLogin::Unknown) => {
            let kept = keep(pages, person)?;
            Ok(view::see_other(NEW, Some(kept)))
        }
        Err(LoginError::Expired) => Err(stale()),
        Err(LoginError::Failed(error)) => Err(view::failed(&error)),
        Err(LoginError::Credentials | LoginError::Throttled(_)) => Err(closed()),
    }
}

/// The person who is logged in proved the other side as well: the two belong together.
async fn link_here(
    pages: &Pages,
    visit: &Visit,
    account: &str,
    person: &UpstreamPerson,
) -> Result<Page, Page> {
    let who = recently(pages, visit).await?;
    if who.account().id.to_string() != account {
        return Err(stale());
    }
    finish_link(pages, visit, &who, person, None).await
}

async fn finish_link(
    pages: &Pages,
    visit: &Visit,
    who: &Recent,
    person: &UpstreamPerson,
    answer: Option<(&[u8], Timestamp)>,
) -> Result<Page, Page> {
    match pages.identity.link_upstream(who, person, answer, &visit.origin).await {
        Ok(()) => Ok(view::see_other("/account/security", Some(clear_cookie(PERSON_COOKIE)))),
        Err(IdentityError::Link) => Err(stale()),
        Err(IdentityError::Invalid(_)) => Err(view::message(
            StatusCode::CONFLICT,
            &Message {
                title: "Not linked",
                tone: "bad",
                text: "This identity is linked to an account already, or yours has too many.",
                link: Some(("/account/security", "Security")),
            },
        )),
        Err(error) => Err(view::failed(&error)),
    }
}

/// `GET /login/upstream/new`: what a provider's word means here is for the person to say.
pub(crate) async fn show_new(State(pages): State<Pages>, request: Request) -> impl IntoResponse {
    let answer = async move {
        let visit = Visit::read(&request)?;
        let person = kept(&pages, &visit)?;
        Ok(choice(&pages, &visit, &person.state, None, &[]))
    };
    answer.await.unwrap_or_else(|page: Page| page)
}

/// `POST /login/upstream/new`: an account for an address that the provider has proven.
pub(crate) async fn register(State(pages): State<Pages>, request: Request) -> impl IntoResponse {
    let answer = async move {
        let form = read_form(&pages, request).await?;
        let (visit, name) = (&form.visit, form.text("username"));
        let person = kept(&pages, visit)?;
        let visitor = pages.visitor(visit).await?;
        let browser = browser(visit, visitor.as_ref());
        match pages.identity.register_upstream(&person, name, browser, &visit.origin).await {
            Ok(entered) => {
                let gone = clear_cookie(PERSON_COOKIE);
                Ok(enter(&entered, "/account").with_cookies([gone]))
            }
            Err(IdentityError::Invalid(errors)) => {
                Ok(choice(&pages, visit, &person.state, Some(name), &errors))
            }
            Err(IdentityError::Link) => Err(stale()),
            Err(error) => Err(view::failed(&error)),
        }
    };
    answer.await.unwrap_or_else(|page: Page| page)
}

/// Link or register. Without a proven address there is nothing to register with but the form that
/// proves one.
fn choice(
    pages: &Pages,
    visit: &Visit,
    person: &UpstreamPerson,
    username: Option<&str>,
    errors: &[FieldError],
) -> Page {
    let (csrf, cookie) = visit.csrf(&*pages.identity.entropy);
    let label = label(pages, person.provider());
    let intro = tf(
        "Your identity at {0} is not linked to an account yet. If you have an account, log in to \
         link it. If not, make one first.",
        &[label],
    );
    let taken = errors.iter().any(|error| error.field == "email");
    let field = Field::new("username", "User name", "text", "username")
        .hint(NAME_HINT)
        .value(username.or(person.username()).unwrap_or_default())
        .errors(errors);
    let login = format!("/login?{}", Params::default().with("return_to", LINK).to_query());
    let proven = person.email_proven();
    let page = FormPage {
        title: "New here?",
        intro: Some(&intro),
        alert: taken.then_some("There is an account with your address. Log in to link it."),
        action: NEW,
        csrf,
        hidden: Vec::new(),
        fields: if proven { vec![field] } else { Vec::new() },
        button: if proven { "Create account" } else { "" },
        link: Some((&login, "Log in and link it")),
    };
    let status = if errors.is_empty() { StatusCode::OK } else { StatusCode::UNPROCESSABLE_ENTITY };
    view::page(status, &page, cookie)
}

/// `GET /login/upstream/link`: asks whether the identity belongs to whoever is logged in now.
pub(crate) async fn show_link(State(pages): State<Pages>, request: Request) -> impl IntoResponse {
    let answer = async move {
        let visit = Visit::read(&request)?;
        let person = kept(&pages, &visit)?;
        let who = recent_for_link(&pages, &visit).await?;
        let (csrf, cookie) = visit.csrf(&*pages.identity.entropy);
        let (label, name) = (label(&pages, person.state.provider()), &who.account().username);
        let known = person.state.email().unwrap_or(person.state.subject());
        let intro = tf("From now on {0} at {1} logs in to the account {2}.", &[known, label, name]);
        let page = FormPage {
            title: "Link it?",
            intro: Some(&intro),
            alert: None,
            action: LINK,
            csrf,
            hidden: Vec::new(),
            fields: Vec::new(),
            button: "Link it",
            link: Some(("/account", "Not now")),
        };
        Ok(view::page(StatusCode::OK, &page, cookie))
    };
    answer.await.unwrap_or_else(|page: Page| page)
}

/// `POST /login/upstream/link`
pub(crate) async fn link(State(pages): State<Pages>, request: Request) -> impl IntoResponse {
    let answer = async move {
        let form = read_form(&pages, request).await?;
        let person = kept(&pages, &form.visit)?;
        let who = recent_for_link(&pages, &form.visit).await?;
        let answer = Some((person.hash.as_slice(), person.until));
        finish_link(&pages, &form.visit, &who, &person.state, answer).await
    };
    answer.await.unwrap_or_else(|page: Page| page)
}

/// `POST /account/upstream/remove`
pub(crate) async fn unlink(State(pages): State<Pages>, request: Request) -> impl IntoResponse {
    let answer = async move {
        let form = read_form(&pages, request).await?;
        let who = recently(&pages, &form.visit).await?;
        let (provider, subject) = (form.text("provider"), form.text("subject"));
        let origin = &form.visit.origin;
        match pages.identity.unlink_upstream(&who, provider, subject, origin).await {
            Ok(()) | Err(IdentityError::NotFound) => Ok(view::see_other("/account/security", None)),
            Err(error) => Err(view::failed(&error)),
        }
    };
    answer.await.unwrap_or_else(|page: Page| page)
}

async fn recent_for_link(pages: &Pages, visit: &Visit) -> Result<Recent, Page> {
    let login = format!("/login?{}", Params::default().with("return_to", LINK).to_query());
    let confirm = || view::see_other(&login, None);
    let (session, account) = pages.visitor(visit).await?.ok_or_else(confirm)?;
    pages.identity.recent(&session, &account).ok_or_else(confirm)
}

fn keep(pages: &Pages, person: UpstreamPerson) -> Result<String, Page> {
    let sealed = pages.identity.seal_state(PERSON, person, PERSON_LIFETIME);
    Ok(set_cookie(PERSON_COOKIE, &sealed.map_err(|e| view::failed(&e))?))
}

fn kept(pages: &Pages, visit: &Visit) -> Result<Opened<UpstreamPerson>, Page> {
    let cookie = visit.cookie(PERSON_COOKIE).unwrap_or_default();
    pages.identity.open_state(PERSON, cookie).ok_or_else(stale)
}

fn callback(pages: &Pages, name: &str) -> String {
    format!("{}/{name}", pages.provider.url(CALLBACK))
}

fn provider<'a>(pages: &'a Pages, name: &str) -> Result<&'a UpstreamProvider, Page> {
    let found = pages.upstreams.iter().find(|provider| provider.settings.name == name);
    found.ok_or_else(view::bad_request)
}

/// What people call a provider; one that was taken away meanwhile has only its name.
pub(crate) fn label<'a>(pages: &'a Pages, name: &'a str) -> &'a str {
    let found = pages.upstreams.iter().find(|provider| provider.settings.name == name);
    found.map_or(name, |provider| provider.settings.label.as_str())
}

fn stale() -> Page {
    let text = "The answer was used already, took too long, or was for another browser.";
    let link = Some(("/login", "Log in"));
    view::message(StatusCode::GONE, &Message { title: "Begin again", tone: "bad", text, link })
}

fn closed() -> Page {
    let text = "The account is disabled.";
    let link = Some(("/login", "Log in"));
    view::message(
        StatusCode::FORBIDDEN,
        &Message { title: "Not logged in", tone: "bad", text, link },
    )
}

/// As the record has it.
fn reason(error: &UpstreamError) -> &'static str {
    match error {
        UpstreamError::Refused => "provider_refused",
        UpstreamError::NotFresh => "not_fresh",
        UpstreamError::Mismatch | UpstreamError::Token(_) => "wrong_answer",
        UpstreamError::Unreachable(_) | UpstreamError::Answer(_) => "provider_failed",
    }
}

/// What went wrong is for the operator; the person can only try again.
fn failed(provider: &UpstreamProvider, error: &UpstreamError) -> Page {
    tracing::warn!(
        provider = provider.settings.name,
        error = error as &dyn std::error::Error,
        "a login at another provider failed"
    );
    let (status, text) = match error {
        UpstreamError::Refused | UpstreamError::NotFresh => {
            (StatusCode::FORBIDDEN, "The other side did not confirm who you are.")
        }
        UpstreamError::Mismatch | UpstreamError::Token(_) => {
            (StatusCode::BAD_REQUEST, "What the other side said does not belong to this login.")
        }
        UpstreamError::Unreachable(_) | UpstreamError::Answer(_) => {
            (StatusCode::BAD_GATEWAY, "The other side does not answer as it should.")
        }
    };
    let link = Some(("/login", "Log in"));
    view::message(status, &Message { title: "Not logged in", tone: "bad", text, link })
}
