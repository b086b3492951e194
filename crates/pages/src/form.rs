//! Reading requests: cookies, forms and the token that ties a form to a browser.

use std::borrow::Cow;

use axum::extract::Request;
use http::{HeaderMap, header};
use http_body_util::{BodyExt, Limited};
use portcullis_events::Origin;
use portcullis_oidc::Params;
use portcullis_store::{accounts::Account, sessions::Session};
use portcullis_types::{Entropy, Secret, random_token, same_secret};
use serde_json::Value;
use url::Url;

use crate::{
    Pages,
    view::{self, Page},
};

/// `__Host-` binds a cookie to this host, https and the whole site.
pub(crate) const SESSION_COOKIE: &str = "__Host-portcullis_session";
/// Says that the first step of a login was right.
pub(crate) const WAITING_COOKIE: &str = "__Host-portcullis_waiting";
/// Says that this browser asked for a login by mail.
pub(crate) const MAIL_COOKIE: &str = "__Host-portcullis_mail";
/// Says that somebody has logged in with this browser before.
const DEVICE_COOKIE: &str = "__Host-portcullis_device";
/// Half a year.
const DEVICE_COOKIE_SECS: u32 = 182 * 24 * 3600;
const CSRF_COOKIE: &str = "__Host-portcullis_csrf";
const MAX_FORM_BYTES: usize = 64 * 1024;

/// A request taken apart.
pub(crate) struct Visit {
    pub origin: Origin,
    pub query: Params,
    headers: HeaderMap,
}

/// A form whose token matched.
pub(crate) struct Form {
    pub visit: Visit,
    pub params: Params,
}

impl Form {
    /// The text of an input, empty if it is missing.
    pub fn text(&self, name: &str) -> &str {
        self.params.get(name).unwrap_or_default()
    }

    /// The text of a secret input.
    pub fn secret(&self, name: &str) -> Secret<String> {
        Secret::new(self.text(name).to_owned())
    }
}

impl Visit {
    /// Reads a request without its body.
    pub fn read(request: &Request) -> Result<Self, Page> {
        let query = request.uri().query().unwrap_or_default();
        Ok(Self {
            origin: request.extensions().get::<Origin>().cloned().unwrap_or_default(),
            query: Params::parse(query.as_bytes()).map_err(|_| view::bad_request())?,
            headers: request.headers().clone(),
        })
    }

    /// A field of the head; what is no text of it is replaced.
    pub fn header(&self, name: &str) -> Option<Cow<'_, str>> {
        self.headers.get(name).map(|value| String::from_utf8_lossy(value.as_bytes()))
    }

    /// The value of a cookie of ours.
    pub fn cookie(&self, name: &str) -> Option<&str> {
        let fields = self.headers.get_all(header::COOKIE).iter();
        let pairs = fields.filter_map(|value| value.to_str().ok()).flat_map(|text| text.split(';'));
        pairs
            .filter_map(|pair| pair.trim().split_once('='))
            .find(|(key, _)| *key == name)
            .map(|p| p.1)
    }

    /// The secret of the browser's session, if it has one.
    pub fn session_token(&self) -> Option<&str> {
        self.cookie(SESSION_COOKIE)
    }

    /// What the browser kept from an earlier login.
    pub fn device(&self) -> Option<&str> {
        self.cookie(DEVICE_COOKIE)
    }

    /// The token for the forms of this browser, if it has one.
    pub fn csrf_token(&self) -> Option<&str> {
        self.cookie(CSRF_COOKIE)
    }

    /// The token for the forms of this browser: the one it has, or a fresh one to set.
    pub fn csrf(&self, entropy: &dyn Entropy) -> (String, Option<String>) {
        match self.cookie(CSRF_COOKIE).filter(|token| token.len() == 43) {
            Some(token) => (token.to_owned(), None),
            None => {
                let token = random_token(entropy);
                let cookie = set_cookie(CSRF_COOKIE, &token);
                (token, Some(cookie))
            }
        }
    }
}

/// Reads a form. A form from another site, or without the token, goes nowhere.
pub(crate) async fn read_form(pages: &Pages, request: Request) -> Result<Form, Page> {
    let visit = Visit::read(&request)?;
    let params = read_params(request).await?;
    if !is_own(pages, &visit, params.get("csrf").unwrap_or_default()) {
        return Err(view::foreign_form());
    }
    Ok(Form { visit, params })
}

/// Reads what a script of ours sent as JSON, under the same conditions as a form.
pub(crate) async fn read_json(pages: &Pages, request: Request) -> Result<(Visit, Value), Page> {
    let visit = Visit::read(&request)?;
    if content_type(&request) != Some("application/json") {
        return Err(view::bad_request());
    }
    let body = Limited::new(request.into_body(), MAX_FORM_BYTES).collect().await;
    let body = body.map_err(|_| view::bad_request())?.to_bytes();
    let value: Value = serde_json::from_slice(&body).map_err(|_| view::bad_request())?;
    if !is_own(pages, &visit, value["csrf"].as_str().unwrap_or_default()) {
        return Err(view::foreign_form());
    }
    Ok((visit, value))
}

pub(crate) fn is_own(pages: &Pages, visit: &Visit, token: &str) -> bool {
    let foreign = visit
        .headers
        .get(header::ORIGIN)
        .is_some_and(|origin| origin.as_bytes() != issuer_origin(pages).as_bytes());
    let cookie = visit.cookie(CSRF_COOKIE).unwrap_or_default();
    !foreign && !token.is_empty() && same_secret(token.as_bytes(), cookie.as_bytes())
}

fn content_type(request: &Request) -> Option<&str> {
    let kind = request.headers().get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    kind.and_then(|kind| kind.split(';').next()).map(str::trim)
}

/// Reads the parameters of a form that may come from another site, as an authorization request may.
pub(crate) async fn read_params(request: Request) -> Result<Params, Page> {
    if content_type(&request) != Some("application/x-www-form-urlencoded") {
        return Err(view::bad_request());
    }
    let body = Limited::new(request.into_body(), MAX_FORM_BYTES).collect().await;
    let body = body.map_err(|_| view::bad_request())?.to_bytes();
    Params::parse(&body).map_err(|_| view::bad_request())
}

/// Scheme, host and port of the issuer, as browsers write them into `Origin`.
fn issuer_origin(pages: &Pages) -> String {
    let issuer = Url::parse(&pages.provider.settings.issuer);
    issuer.map(|url| url.origin().ascii_serialization()).unwrap_or_default()
}

pub(crate) fn set_cookie(name: &str, value: &str) -> String {
    format!("{name}={value}; Path=/; Secure; HttpOnly; SameSite=Lax")
}

/// The cookie by which a browser is known to have logged this account in.
pub(crate) fn device_cookie(token: &str) -> String {
    format!("{}; Max-Age={DEVICE_COOKIE_SECS}", set_cookie(DEVICE_COOKIE, token))
}

pub(crate) fn clear_cookie(name: &str) -> String {
    format!("{name}=; Path=/; Secure; HttpOnly; SameSite=Lax; Max-Age=0")
}

impl Pages {
    /// Who is logged in with this browser.
    pub(crate) async fn visitor(&self, visit: &Visit) -> Result<Option<(Session, Account)>, Page> {
        match visit.session_token() {
            Some(token) => self.identity.session(token).await.map_err(|e| view::failed(&e)),
            None => Ok(None),
        }
    }
}
