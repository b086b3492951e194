//! Logging in by a link or code in a mail.

use axum::{
    extract::{Request, State},
    response::IntoResponse,
};
use http::StatusCode;
use portcullis_identity::LoginError;

use crate::{
    Pages,
    form::{MAIL_COOKIE, Visit, clear_cookie, read_form, set_cookie},
    login::{browser, go_on, safe_return},
    view::{self, Field, FormPage, Page},
};

const SENT: &str = "If there is an account of this name, we have sent it a code. Type it here, or follow \
                    the link in the mail.";
const UNUSUAL: &str = "This login is unusual, so we have sent a code to your e-mail address. Type it here, \
                       or follow the link in the mail.";

/// `GET /login/mail`
pub(crate) async fn show(State(pages): State<Pages>, request: Request) -> impl IntoResponse {
    let answer = async move {
        let visit = Visit::read(&request)?;
        let return_to = safe_return(visit.query.get("return_to"));
        let (csrf, cookie) = visit.csrf(&*pages.identity.entropy);
        let form = FormPage {
            title: "Log in by e-mail",
            intro: Some("We will send you a code and a link."),
            alert: None,
            action: "/login/mail",
            csrf,
            hidden: vec![("return_to", return_to)],
            fields: vec![Field::new("username", "User name or e-mail", "text", "username")],
            button: "Send",
            link: Some(("/login", "Log in another way")),
        };
        Ok(view::redirecting_page(StatusCode::OK, &form, cookie))
    };
    answer.await.unwrap_or_else(|page: Page| page)
}

/// `POST /login/mail`
pub(crate) async fn send(State(pages): State<Pages>, request: Request) -> impl IntoResponse {
    let answer = async move {
        let form = read_form(&pages, request).await?;
        let return_to = safe_return(form.params.get("return_to"));
        let sent = pages.identity.send_login(form.text("username"), &form.visit.origin).await;
        let browser = sent.map_err(|error| view::failed(&error))?;
        let page = code_page(&pages, &form.visit, StatusCode::OK, return_to, None);
        Ok(page.with_cookies([set_cookie(MAIL_COOKIE, browser.expose())]))
    };
    answer.await.unwrap_or_else(|page: Page| page)
}

/// `GET /login/mail/code`: after a right password that was not enough.
pub(crate) async fn show_code(State(pages): State<Pages>, request: Request) -> impl IntoResponse {
    let answer = async move {
        let visit = Visit::read(&request)?;
        let return_to = safe_return(visit.query.get("return_to"));
        Ok(code_page_with(&pages, &visit, StatusCode::OK, return_to, (UNUSUAL, None)))
    };
    answer.await.unwrap_or_else(|page: Page| page)
}

/// `POST /login/mail/code`
pub(crate) async fn code(State(pages): State<Pages>, request: Request) -> impl IntoResponse {
    let answer = async move {
        let form = read_form(&pages, request).await?;
        let visit = &form.visit;
        let return_to = safe_return(form.params.get("return_to"));
        let visitor = pages.visitor(visit).await?;
        let browser = browser(visit, visitor.as_ref());
        let asked = visit.cookie(MAIL_COOKIE).unwrap_or_default();
        let login =
            pages.identity.login_by_code(asked, form.text("code"), browser, &visit.origin).await;
        match login {
            Ok(login) => {
                let page = go_on(login, return_to);
                Ok(page.with_cookies([clear_cookie(MAIL_COOKIE)]))
            }
            Err(LoginError::Credentials) => {
                let text = "The code is not right.";
                Ok(code_page(&pages, visit, StatusCode::UNAUTHORIZED, return_to, Some(text)))
            }
            Err(LoginError::Failed(error)) => Err(view::failed(&error)),
            Err(_) => Err(view::dead_link()),
        }
    };
    answer.await.unwrap_or_else(|page: Page| page)
}

/// `GET /login/link`: asks first, because scanners of mail follow every link.
pub(crate) async fn show_link(State(pages): State<Pages>, request: Request) -> impl IntoResponse {
    let answer = async move {
        let visit = Visit::read(&request)?;
        let token = visit.query.get("token").ok_or_else(view::dead_link)?;
        let works = pages.identity.login_link_works(token).await.map_err(|e| view::failed(&e))?;
        if !works {
            return Err(view::dead_link());
        }
        let (csrf, cookie) = visit.csrf(&*pages.identity.entropy);
        let form = FormPage {
            title: "Log in",
            intro: Some("Go on only if you asked for this yourself."),
            alert: None,
            action: "/login/link",
            csrf,
            hidden: vec![("token", token)],
            fields: Vec::new(),
            button: "Log in",
            link: None,
        };
        Ok(view::redirecting_page(StatusCode::OK, &form, cookie))
    };
    answer.await.unwrap_or_else(|page: Page| page)
}

/// `POST /login/link`
pub(crate) async fn link(State(pages): State<Pages>, request: Request) -> impl IntoResponse {
    let answer = async move {
        let form = read_form(&pages, request).await?;
        let visit = &form.visit;
        let visitor = pages.visitor(visit).await?;
        let browser = browser(visit, visitor.as_ref());
        let login = pages.identity.login_by_link(form.text("token"), browser, &visit.origin).await;
        match login {
            Ok(login) => Ok(go_on(login, "/account")),
            Err(LoginError::Failed(error)) => Err(view::failed(&error)),
            Err(_) => Err(view::dead_link()),
        }
    };
    answer.await.unwrap_or_else(|page: Page| page)
}

fn code_page(
    pages: &Pages,
    visit: &Visit,
    status: StatusCode,
    return_to: &str,
    alert: Option<&str>,
) -> Page {
    code_page_with(pages, visit, status, return_to, (SENT, alert))
}

fn code_page_with(
    pages: &Pages,
    visit: &Visit,
    status: StatusCode,
    return_to: &str,
    (intro, alert): (&'static str, Option<&str>),
) -> Page {
    let (csrf, cookie) = visit.csrf(&*pages.identity.entropy);
    let form = FormPage {
        title: "Check your mail",
        intro: Some(intro),
        alert,
        action: "/login/mail/code",
        csrf,
        hidden: vec![("return_to", return_to)],
        fields: vec![Field::new("code", "Code", "text", "one-time-code")],
        button: "Log in",
        link: Some(("/login", "Log in another way")),
    };
    view::redirecting_page(status, &form, cookie)
}
