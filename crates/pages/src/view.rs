//! Turning templates into answers.

use askama::Template;
use axum::response::{IntoResponse, Response};
use http::{HeaderValue, StatusCode, header};
use portcullis_identity::{FieldError, IdentityError};
use portcullis_texts::t;
use serde::Serialize;

use crate::filters;

/// An answer for a person.
pub(crate) struct Page(Box<Response>);

impl IntoResponse for Page {
    fn into_response(self) -> Response {
        *self.0
    }
}

/// Forms go to ourselves only. Browsers apply `form-action` to the redirects after a form as well,
/// so login and consent, which end at the client, leave it out.
const CSP: &str = "default-src 'none'; style-src 'self'; img-src 'self' data:; form-action 'self'; \
                   base-uri 'none'; frame-ancestors 'none'";
const CSP_REDIRECTING: &str = "default-src 'none'; style-src 'self'; img-src 'self' data:; \
                               base-uri 'none'; frame-ancestors 'none'";

/// For pages with a script of ours: it may load and talk to us, and nothing else.
const CSP_SCRIPT: &str = "default-src 'none'; script-src 'self'; connect-src 'self'; \
                          style-src 'self'; img-src 'self' data:; base-uri 'none'; \
                          frame-ancestors 'none'; require-trusted-types-for 'script'";

/// For pages on which a picture is taken: the same, and their forms go to ourselves.
const CSP_CAPTURE: &str = "default-src 'none'; script-src 'self'; connect-src 'self'; style-src 'self'; \
                           img-src 'self' data:; form-action 'self'; base-uri 'none'; \
                           frame-ancestors 'none'; require-trusted-types-for 'script'";

/// A page that may use the camera, if its person lets it.
pub(crate) fn capture_page(
    status: StatusCode,
    template: &impl Template,
    cookie: Option<String>,
    may_leave: bool,
) -> Page {
    // Browsers hold the redirects after a form against `form-action`, and a login ends at its client.
    let csp = if may_leave { CSP_SCRIPT } else { CSP_CAPTURE };
    let mut page = render(status, template, cookie, csp);
    let allowed = HeaderValue::from_static("camera=(self), microphone=(), geolocation=()");
    page.0.headers_mut().insert("permissions-policy", allowed);
    page
}

/// A page with a script, whose form may lead to a client.
pub(crate) fn scripted_page(
    status: StatusCode,
    template: &impl Template,
    cookie: Option<String>,
) -> Page {
    render(status, template, cookie, CSP_SCRIPT)
}

/// An answer for a script of ours.
pub(crate) fn json(status: StatusCode, value: &impl Serialize) -> Page {
    let Ok(text) = serde_json::to_string(value) else {
        return Page(Box::new(StatusCode::INTERNAL_SERVER_ERROR.into_response()));
    };
    let headers = [(header::CONTENT_TYPE, "application/json"), (header::CACHE_CONTROL, "no-store")];
    Page(Box::new((status, headers, text).into_response()))
}

impl Page {
    /// Sets further cookies.
    pub fn with_cookies(mut self, cookies: impl IntoIterator<Item = String>) -> Self {
        for cookie in cookies {
            if let Ok(cookie) = cookie.parse() {
                self.0.headers_mut().append(header::SET_COOKIE, cookie);
            }
        }
        self
    }

    /// Says when it is worth trying again.
    pub fn retry_after(mut self, wait: std::time::Duration) -> Self {
        self.0.headers_mut().insert(header::RETRY_AFTER, wait.as_secs().max(1).into());
        self
    }
}

pub(crate) fn page(status: StatusCode, template: &impl Template, cookie: Option<String>) -> Page {
    render(status, template, cookie, CSP)
}

pub(crate) fn redirecting_page(
    status: StatusCode,
    template: &impl Template,
    cookie: Option<String>,
) -> Page {
    render(status, template, cookie, CSP_REDIRECTING)
}

fn render(
    status: StatusCode,
    template: &impl Template,
    cookie: Option<String>,
    csp: &'static str,
) -> Page {
    let Ok(html) = template.render() else {
        return Page(Box::new(StatusCode::INTERNAL_SERVER_ERROR.into_response()));
    };
    let mut response = (status, html).into_response();
    let headers = response.headers_mut();
    let fixed = [
        (header::CONTENT_TYPE, "text/html; charset=utf-8"),
        (header::CACHE_CONTROL, "no-store"),
        (header::CONTENT_SECURITY_POLICY, csp),
        // With "no-referrer" browsers send forms with `Origin: null`, which says nothing.
        (header::REFERRER_POLICY, "same-origin"),
    ];
    for (name, value) in fixed {
        headers.insert(name, HeaderValue::from_static(value));
    }
    if let Some(Ok(cookie)) = cookie.map(|cookie| cookie.parse()) {
        headers.append(header::SET_COOKIE, cookie);
    }
    Page(Box::new(response))
}

/// Sends the browser on after a form.
pub(crate) fn see_other(to: &str, cookie: Option<String>) -> Page {
    let Ok(location) = HeaderValue::from_str(to) else {
        return bad_request();
    };
    let mut response = (StatusCode::SEE_OTHER, [(header::LOCATION, location)]).into_response();
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    if let Some(Ok(cookie)) = cookie.map(|cookie| cookie.parse()) {
        response.headers_mut().append(header::SET_COOKIE, cookie);
    }
    Page(Box::new(response))
}

pub(crate) async fn style() -> Response {
    asset("text/css; charset=utf-8", include_str!("../assets/style.css"))
}

pub(crate) async fn passkey_script() -> Response {
    asset("text/javascript; charset=utf-8", include_str!("../assets/passkey.js"))
}

pub(crate) async fn verify_script() -> Response {
    asset("text/javascript; charset=utf-8", include_str!("../assets/verify.js"))
}

fn asset(kind: &'static str, text: &'static str) -> Response {
    let headers = [(header::CONTENT_TYPE, kind), (header::CACHE_CONTROL, "public, max-age=3600")];
    (headers, text).into_response()
}

/// One message and perhaps a way on.
#[derive(Template)]
#[template(path = "message.html")]
pub(crate) struct Message<'a> {
    pub title: &'a str,
    pub tone: &'a str,
    pub text: &'a str,
    pub link: Option<(&'a str, &'a str)>,
}

pub(crate) fn message(status: StatusCode, message: &Message<'_>) -> Page {
    page(status, message, None)
}

pub(crate) fn not_found() -> Page {
    let text = "There is nothing here.";
    let bad = Message { title: "Not found", tone: "bad", text, link: None };
    message(StatusCode::NOT_FOUND, &bad)
}

pub(crate) fn bad_request() -> Page {
    let text = "The request could not be read. Go back and try again.";
    let bad = Message { title: "Something is wrong", tone: "bad", text, link: None };
    message(StatusCode::BAD_REQUEST, &bad)
}

pub(crate) fn foreign_form() -> Page {
    let text = "The form did not come from this site, or your browser refuses cookies. Reload the \
                page and try again.";
    let bad = Message { title: "The form was not accepted", tone: "bad", text, link: None };
    message(StatusCode::FORBIDDEN, &bad)
}

pub(crate) fn dead_link() -> Page {
    let text = "The link was used already or has expired. Ask for a new one.";
    let link = Some(("/login", "Log in"));
    let bad = Message { title: "This link does not work any more", tone: "bad", text, link };
    message(StatusCode::GONE, &bad)
}

/// The one place that decides what of a failure people see.
pub(crate) fn failed(error: &IdentityError) -> Page {
    match error {
        IdentityError::Link => dead_link(),
        IdentityError::Busy => again_later("Too many people are logging in."),
        error => not_now(error),
    }
}

/// Something of ours is in the way; what, is for the log.
pub(crate) fn not_now(error: &(dyn std::error::Error + 'static)) -> Page {
    tracing::error!(error, "a page failed");
    again_later("The request could not be completed.")
}

/// There is too much to do just now, or something is in the way.
pub(crate) fn again_later(text: &str) -> Page {
    let text = format!("{} {}", t(text), t("Nothing was changed. Try again in a moment."));
    let not_now = Message { title: "Not now", tone: "bad", text: &text, link: None };
    let mut page = message(StatusCode::SERVICE_UNAVAILABLE, &not_now);
    page.0.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("5"));
    page
}

/// An input of a form, with what to say about it.
pub(crate) struct Field<'a> {
    pub name: &'a str,
    pub label: &'a str,
    pub kind: &'a str,
    pub value: &'a str,
    pub autocomplete: &'a str,
    pub hint: Option<&'a str>,
    pub error: Option<String>,
    pub required: bool,
}

impl<'a> Field<'a> {
    pub fn new(name: &'a str, label: &'a str, kind: &'a str, autocomplete: &'a str) -> Self {
        Self { name, label, kind, value: "", autocomplete, hint: None, error: None, required: true }
    }

    pub fn hint(mut self, hint: &'a str) -> Self {
        self.hint = Some(hint);
        self
    }

    /// It may stay empty.
    pub fn optional(mut self) -> Self {
        self.required = false;
        self
    }

    pub fn value(mut self, value: &'a str) -> Self {
        self.value = value;
        self
    }

    pub fn errors(mut self, errors: &[FieldError]) -> Self {
        let own = errors.iter().find(|error| error.field == self.name);
        self.error = own.map(|error| error.message.clone());
        self
    }
}

/// A form with labelled inputs.
#[derive(Template)]
#[template(path = "form.html")]
pub(crate) struct FormPage<'a> {
    pub title: &'a str,
    pub intro: Option<&'a str>,
    pub alert: Option<&'a str>,
    pub action: &'a str,
    pub csrf: String,
    pub hidden: Vec<(&'a str, &'a str)>,
    pub fields: Vec<Field<'a>>,
    pub button: &'a str,
    /// Another way to go on.
    pub link: Option<(&'a str, &'a str)>,
}
