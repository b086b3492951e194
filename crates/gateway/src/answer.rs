use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode, header};
use portcullis_events::{PolicyDecision, Stage};
use serde::Serialize;

use crate::{
    body::{GateBody, full},
    contract::ContractViolation,
};

/// A problem document (RFC 9457). Texts are ours; input is never repeated.
#[derive(Debug, Clone, Serialize)]
pub struct Problem {
    /// A name for the kind of problem.
    #[serde(rename = "type")]
    pub kind: String,
    /// What it is, in a few words.
    pub title: &'static str,
    /// The status.
    pub status: u16,
    /// What to change.
    pub detail: String,
    /// The request, for the log.
    pub request_id: String,
    /// What of the request does not fit.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub violations: Vec<ContractViolation>,
}

/// A refusal: everything the answer and the event need.
#[derive(Debug)]
pub(crate) struct Refusal {
    pub stage: Stage,
    pub status: StatusCode,
    pub reason: &'static str,
    pub detail: String,
    pub headers: Vec<(HeaderName, HeaderValue)>,
    pub violations: Vec<ContractViolation>,
    /// What made it so, for the event only.
    pub policies: Vec<PolicyDecision>,
}

impl Refusal {
    /// With what made it so. Whoever is refused does not learn it.
    pub fn because(mut self, kind: &'static str, name: impl Into<String>) -> Self {
        self.policies.push(PolicyDecision::denies(kind, name));
        self
    }

    pub fn new(
        stage: Stage,
        status: StatusCode,
        reason: &'static str,
        detail: impl Into<String>,
    ) -> Self {
        Self {
            stage,
            status,
            reason,
            detail: detail.into(),
            headers: Vec::new(),
            violations: Vec::new(),
            policies: Vec::new(),
        }
    }

    pub fn with(mut self, name: HeaderName, value: &str) -> Self {
        if let Ok(value) = HeaderValue::from_str(value) {
            self.headers.push((name, value));
        }
        self
    }

    /// A problem document for programs, a page for people.
    pub fn respond(self, request_id: &str, for_people: bool) -> Response<GateBody> {
        let mut response = if for_people {
            page(self.status, &self.detail, request_id)
        } else {
            document(self.status, self.reason, &self.detail, request_id, self.violations)
        };
        for (name, value) in self.headers {
            response.headers_mut().append(name, value);
        }
        response
    }
}

/// An answer with a problem document.
pub fn problem(
    status: StatusCode,
    reason: &str,
    detail: &str,
    request_id: &str,
) -> Response<GateBody> {
    document(status, reason, detail, request_id, Vec::new())
}

fn document(
    status: StatusCode,
    reason: &str,
    detail: &str,
    request_id: &str,
    violations: Vec<ContractViolation>,
) -> Response<GateBody> {
    let document = Problem {
        kind: format!("urn:portcullis:problem:{reason}"),
        title: status.canonical_reason().unwrap_or("Error"),
        status: status.as_u16(),
        detail: detail.to_owned(),
        request_id: request_id.to_owned(),
        violations,
    };
    let json = serde_json::to_vec(&document).unwrap_or_default();
    let mut response = Response::new(full(json));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// The same for somebody in front of a browser. Every text is ours, so nothing needs escaping.
fn page(status: StatusCode, detail: &str, request_id: &str) -> Response<GateBody> {
    let title = status.canonical_reason().unwrap_or("Error");
    let html = format!(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\
         <title>{title}</title></head><body><main><h1>{title}</h1><p role=\"alert\">{detail}.</p>\
         <p><small>{} · {request_id}</small></p></main></body></html>\n",
        status.as_u16()
    );
    let mut response = Response::new(full(html));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// Whether whoever asks would rather read a page: a browser puts HTML first.
pub(crate) fn prefers_html(headers: &HeaderMap) -> bool {
    let accept = headers.get(header::ACCEPT).and_then(|value| value.to_str().ok());
    accept.is_some_and(|accept| accept.trim_start().starts_with("text/html"))
}

/// What every answer carries (OWASP Secure Headers), unless the service said something itself.
const DEFAULTS: [(HeaderName, HeaderValue); 6] = [
    (header::STRICT_TRANSPORT_SECURITY, HeaderValue::from_static("max-age=31536000")),
    (header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
    (header::REFERRER_POLICY, HeaderValue::from_static("no-referrer")),
    (
        header::CONTENT_SECURITY_POLICY,
        HeaderValue::from_static("default-src 'none'; frame-ancestors 'none'"),
    ),
    (
        HeaderName::from_static("permissions-policy"),
        HeaderValue::from_static("camera=(), microphone=(), geolocation=()"),
    ),
    (
        HeaderName::from_static("cross-origin-opener-policy"),
        HeaderValue::from_static("same-origin"),
    ),
];
/// What tells attackers which weaknesses to try.
const TELLING: [HeaderName; 3] =
    [header::SERVER, HeaderName::from_static("x-powered-by"), header::VIA];

pub(crate) fn harden(headers: &mut HeaderMap, authenticated: bool) {
    for name in TELLING {
        headers.remove(name);
    }
    for (name, value) in DEFAULTS {
        headers.entry(name).or_insert(value);
    }
    if authenticated {
        let entry = headers.entry(header::CACHE_CONTROL);
        entry.or_insert(HeaderValue::from_static("no-store"));
    }
}
