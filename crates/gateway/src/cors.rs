//! Requests of pages from elsewhere (Fetch standard, section 3.2).

use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode, header};
use portcullis_events::Stage;

use crate::{
    answer::Refusal,
    body::{GateBody, full},
};

/// A browser may remember the answer to a preflight for this long: seconds.
const MAX_AGE: &str = "600";
/// What pages may send besides what every page may.
const ALLOWED: &str = "authorization, content-type, dpop, x-api-key";
/// What pages may read besides what every page may.
const EXPOSED: &str =
    "dpop-nonce, www-authenticate, retry-after, ratelimit, ratelimit-policy, x-request-id";

/// Pages of which origins may use a route. Cookies never go with such requests, so a page can do
/// with them only what its own token allows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Cors {
    /// Pages from anywhere.
    Anywhere,
    /// Pages from these origins, such as `https://app.example`.
    From(Vec<String>),
}

impl Cors {
    /// The origin that the answer names, if pages from `origin` may read it.
    fn allows(&self, origin: &HeaderValue) -> Option<HeaderValue> {
        match self {
            Self::Anywhere => Some(HeaderValue::from_static("*")),
            Self::From(origins) => {
                let known = origins.iter().any(|known| known.as_bytes() == origin.as_bytes());
                known.then(|| origin.clone())
            }
        }
    }

    /// The answer to a preflight: the method was looked at when the route was found.
    pub(crate) fn preflight(
        &self,
        origin: &HeaderValue,
        method: &Method,
    ) -> Result<Response<GateBody>, Refusal> {
        if self.allows(origin).is_none() {
            let detail = "pages from this origin may not use this";
            return Err(Refusal::new(Stage::Route, StatusCode::FORBIDDEN, "origin", detail));
        }
        let mut response = Response::new(full(""));
        *response.status_mut() = StatusCode::NO_CONTENT;
        let headers = response.headers_mut();
        headers.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, HeaderValue::from_static(ALLOWED));
        headers.insert(header::ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static(MAX_AGE));
        if let Ok(method) = HeaderValue::from_str(method.as_str()) {
            headers.insert(header::ACCESS_CONTROL_ALLOW_METHODS, method);
        }
        Ok(response)
    }

    /// Says in an answer, a refusal included, who may read it. What the service said of it does not
    /// count: the route decides.
    pub(crate) fn announce(&self, headers: &mut HeaderMap, origin: Option<&HeaderValue>) {
        headers.remove(header::ACCESS_CONTROL_ALLOW_ORIGIN);
        headers.remove(header::ACCESS_CONTROL_ALLOW_CREDENTIALS);
        if matches!(self, Self::From(_)) {
            headers.append(header::VARY, HeaderValue::from_static("origin"));
        }
        if let Some(allowed) = origin.and_then(|origin| self.allows(origin)) {
            headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, allowed);
            headers
                .insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, HeaderValue::from_static(EXPOSED));
        }
    }
}

/// The origin and the method that a preflight asks about.
pub(crate) fn read_preflight<B>(request: &Request<B>) -> Option<(HeaderValue, Method)> {
    if request.method() != Method::OPTIONS {
        return None;
    }
    let field = |name: HeaderName| request.headers().get(name);
    let method = field(header::ACCESS_CONTROL_REQUEST_METHOD)?;
    let method = Method::from_bytes(method.as_bytes()).ok()?;
    Some((field(header::ORIGIN)?.clone(), method))
}
