use askama::Template;
use axum::{
    extract::{Request, State},
    response::IntoResponse,
};
use http::StatusCode;
use portcullis_identity::{Browser, LoggedIn, Login, LoginError};
use portcullis_oidc::Params;
use portcullis_store::{accounts::Account, sessions::Session};

use crate::{
    Pages, filters,
    form::{
        MAIL_COOKIE, SESSION_COOKIE, Visit, WAITING_COOKIE, clear_cookie, device_cookie, read_form,
        set_cookie,
    },
    view::{self, Page},
};

#[derive(Template)]
#[template(path = "login.html")]
struct LoginPage<'a> {
    csrf: String,
    return_to: &'a str,
    mail_link: String,
    /// Name and label of other providers.
    providers: Vec<(&'a str, &'a str)>,
    username: &'a str,
    confirm: Option<&'a str>,
    alert: Option<&'a str>,
}

#[derive(Template)]
#[template(path = "second.html")]
struct SecondPage<'a> {
    csrf: String,
    return_to: &'a str,
    /// Whether a code will do; otherwise only a passkey.
    code: bool,
    alert: Option<&'a str>,
}

const WRONG: &str = "The user name or the password is not right. If you have just registered, \
                     confirm your e-mail address first.";
const WRONG_CODE: &str = "The code is not right, or was used before.";
const TOO_MANY: &str = "Too many attempts failed. Wait a while before the next.";
const BEGIN_ANEW: &str = "That took too long. Log in again.";

/// `GET /login`
pub(crate) async fn show(State(pages): State<Pages>, request: Request) -> impl IntoResponse {
    let answer = async move {
        let visit = Visit::read(&request)?;
        let return_to = safe_return(visit.query.get("return_to"));
        let visitor = pages.visitor(&visit).await?;
        if visitor.is_some() && return_to == "/account" {
            return Ok(view::see_other("/account", None));
        }
        let hint = visit.query.get("login_hint");
        let known = visitor.as_ref().map(|(_, account)| account.username.as_str());
        let username = hint.or(known).unwrap_or_default();
        let alert = visit.query.get("expired").map(|_| BEGIN_ANEW);
        Ok(render(&pages, &visit, StatusCode::OK, return_to, username, alert, known))
    };
    answer.await.unwrap_or_else(|page: Page| page)
}

/// `POST /login`
pub(crate) async fn submit(State(pages): State<Pages>, request: Request) -> impl IntoResponse {
    let answer = async move {
        let form = read_form(&pages, request).await?;
        let return_to = safe_return(form.params.get("return_to"));
        let (name, password) = (form.text("username"), form.secret("password"));
        let visitor = pages.visitor(&form.visit).await?;
        let browser = browser(&form.visit, visitor.as_ref());
        let login = pages.identity.login(name, &password, browser, &form.visit.origin).await;
        let refused =
            |status, text| render(&pages, &form.visit, status, return_to, name, Some(text), None);
        match login {
            Ok((login, account)) => {
                let identity = pages.identity.clone();
                tokio::spawn(async move {
                    if let Err(error) = identity.refresh_hash(&account, &password).await {
                        tracing::warn!(%error, "a password could not be hashed anew");
                    }
                });
                Ok(go_on(login, return_to))
            }
            Err(LoginError::Credentials | LoginError::Expired) => {
                Ok(refused(StatusCode::UNAUTHORIZED, WRONG))
            }
            Err(LoginError::Throttled(wait)) => {
                Ok(refused(StatusCode::TOO_MANY_REQUESTS, TOO_MANY).retry_after(wait))
            }
            Err(LoginError::Failed(error)) => Err(view::failed(&error)),
        }
    };
    answer.await.unwrap_or_else(|page: Page| page)
}

/// `GET /login/second`
pub(crate) async fn show_second(State(pages): State<Pages>, request: Request) -> impl IntoResponse {
    let answer = async move {
        let visit = Visit::read(&request)?;
        let return_to = safe_return(visit.query.get("return_to"));
        second(&pages, &visit, StatusCode::OK, return_to, None).await
    };
    answer.await.unwrap_or_else(|page: Page| page)
}

/// `POST /login/second`: the second factor of a login that waits for it, or of a session that was
/// begun without.
pub(crate) async fn submit_second(
    State(pages): State<Pages>,
    request: Request,
) -> impl IntoResponse {
    let answer = async move {
        let form = read_form(&pages, request).await?;
        let visit = &form.visit;
        let return_to = safe_return(form.params.get("return_to"));
        let visitor = pages.visitor(visit).await?;
        let browser = browser(visit, visitor.as_ref());
        let (code, origin) = (form.text("code"), &visit.origin);
        let entered = match (visit.cookie(WAITING_COOKIE), &visitor) {
            (Some(waiting), _) => {
                pages.identity.second_factor(waiting, code, browser, origin).await
            }
            (None, Some(current)) => {
                pages.identity.add_factor(current, code, visit.device(), origin).await
            }
            (None, None) => Err(LoginError::Expired),
        };
        match entered {
            Ok(entered) => Ok(enter(&entered, return_to)),
            Err(LoginError::Credentials) => {
                let status = StatusCode::UNAUTHORIZED;
                second(&pages, visit, status, return_to, Some(WRONG_CODE)).await
            }
            Err(LoginError::Throttled(wait)) => {
                let status = StatusCode::TOO_MANY_REQUESTS;
                let page = second(&pages, visit, status, return_to, Some(TOO_MANY)).await?;
                Ok(page.retry_after(wait))
            }
            Err(LoginError::Expired) => Ok(begin_anew(return_to)),
            Err(LoginError::Failed(error)) => Err(view::failed(&error)),
        }
    };
    answer.await.unwrap_or_else(|page: Page| page)
}

async fn second(
    pages: &Pages,
    visit: &Visit,
    status: StatusCode,
    return_to: &str,
    alert: Option<&str>,
) -> Result<Page, Page> {
    let code = match (visit.cookie(WAITING_COOKIE), pages.visitor(visit).await?) {
        (Some(_), _) => true,
        (None, Some((_, account))) => {
            let factors = pages.identity.factors(&account).await.map_err(|e| view::failed(&e))?;
            if !factors.totp && !factors.passkeys {
                return Ok(begin_anew(return_to));
            }
            factors.totp && visit.query.get("passkey").is_none()
        }
        (None, None) => return Ok(begin_anew(return_to)),
    };
    let (csrf, cookie) = visit.csrf(&*pages.identity.entropy);
    let page = SecondPage { csrf, return_to, code, alert };
    Ok(view::scripted_page(status, &page, cookie))
}

fn begin_anew(return_to: &str) -> Page {
    let query = Params::default().with("return_to", return_to).with("expired", "1").to_query();
    view::see_other(&format!("/login?{query}"), Some(clear_cookie(WAITING_COOKIE)))
}

/// After the first factor: in, or to the second.
pub(crate) fn go_on(login: Login, return_to: &str) -> Page {
    match login {
        Login::In(entered) => enter(&entered, return_to),
        Login::SecondFactor(waiting) => {
            let query = Params::default().with("return_to", return_to).to_query();
            let cookie = set_cookie(WAITING_COOKIE, waiting.expose());
            view::see_other(&format!("/login/second?{query}"), Some(cookie))
        }
        Login::MailCode(asked) => {
            let query = Params::default().with("return_to", return_to).to_query();
            let cookie = set_cookie(MAIL_COOKIE, asked.expose());
            view::see_other(&format!("/login/mail/code?{query}"), Some(cookie))
        }
    }
}

/// The browser is in, and is known from now on.
pub(crate) fn enter(entered: &LoggedIn, return_to: &str) -> Page {
    view::see_other(return_to, None).with_cookies(entered_cookies(entered))
}

pub(crate) fn entered_cookies(entered: &LoggedIn) -> Vec<String> {
    let own = [set_cookie(SESSION_COOKIE, entered.token.expose()), clear_cookie(WAITING_COOKIE)];
    own.into_iter().chain(entered.device.as_deref().map(device_cookie)).collect()
}

/// What the browser shows of itself.
pub(crate) fn browser<'a>(
    visit: &'a Visit,
    visitor: Option<&'a (Session, Account)>,
) -> Browser<'a> {
    Browser { session: visitor, device: visit.device() }
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
    alert: Option<&str>,
    confirm: Option<&str>,
) -> Page {
    let (csrf, cookie) = visit.csrf(&*pages.identity.entropy);
    let query = Params::default().with("return_to", return_to).to_query();
    let mail_link = format!("/login/mail?{query}");
    let settings = pages.upstreams.iter().map(|provider| &provider.settings);
    let providers = settings.map(|own| (own.name.as_str(), own.label.as_str())).collect();
    let page = LoginPage { csrf, return_to, mail_link, providers, username, confirm, alert };
    view::scripted_page(status, &page, cookie)
}

/// Only places of our own that a login leads to; anything else would be an open redirect.
pub(crate) fn safe_return(asked: Option<&str>) -> &str {
    match asked {
        Some("/account/security") => "/account/security",
        Some("/login/upstream/link") => "/login/upstream/link",
        Some("/account/delete") => "/account/delete",
        Some(asked)
            if ["/oauth2/authorize?", "/device?", "/verify/passkey?"]
                .iter()
                .any(|own| asked.starts_with(own))
                && asked.bytes().all(|b| b.is_ascii_graphic()) =>
        {
            asked
        }
        _ => "/account",
    }
}
