//! What workloads and relying parties ask of the authority over HTTP.

use std::sync::Arc;

use axum::{
    Json, Router,
    extract::{Path, Request, State},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use http::{HeaderName, HeaderValue, StatusCode, header};
use http_body_util::{BodyExt, Limited};
use portcullis_events::{Actor, Origin};
use portcullis_pki::{MAX_REQUEST_BYTES, PeerCertificate, SpiffeId};
use serde_json::json;

use crate::{Ca, CaError, Grant, How};

/// The media type of certificate chains (RFC 8555, section 9.1).
const CHAIN: &str = "application/pem-certificate-chain";
/// The media type of revocation lists (RFC 2585, section 4.2).
const CRL: &str = "application/pkix-crl";
const PROBLEM: &str = "application/problem+json";

/// A workload that an issuer of tokens vouches for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WorkloadRule {
    /// The issuer's URL: `iss`.
    pub issuer: String,
    /// `sub`, as the gate has it.
    pub subject: String,
    /// What the workload is called.
    pub spiffe_id: SpiffeId,
    /// Under which names it serves.
    pub names: Vec<String>,
}

/// Who showed a token, as the gate has checked it.
#[derive(Debug, Clone)]
pub struct TokenHolder {
    /// `iss`.
    pub issuer: String,
    /// `sub`.
    pub subject: String,
    /// The same for the log.
    pub actor: Actor,
}

/// Where things are.
#[derive(Debug, Clone)]
pub struct Directory {
    /// The issuer's URL.
    pub public: String,
    /// Where the listener for mutual TLS is reached, if there is one.
    pub mesh: Option<String>,
}

#[derive(Clone)]
struct Api {
    ca: Arc<Ca>,
    directory: Arc<Directory>,
    rules: Arc<Vec<WorkloadRule>>,
}

/// The endpoints under `/pki/v1`.
pub fn router(ca: Arc<Ca>, directory: Directory, rules: Vec<WorkloadRule>) -> Router {
    Router::new()
        .route("/pki/v1", get(index))
        .route("/pki/v1/bundle", get(bundle))
        .route("/pki/v1/ca.pem", get(roots))
        .route("/pki/v1/crl/{list}", get(list))
        .route("/pki/v1/certificates", post(enrol))
        .route("/pki/v1/certificates/renewal", post(renew))
        .route("/pki/v1/certificates/workload", post(vouched))
        .with_state(Api { ca, directory: Arc::new(directory), rules: Arc::new(rules) })
}

async fn index(State(Api { ca, directory, .. }): State<Api>) -> Response {
    let Directory { public, mesh } = &*directory;
    let at = |path: &str| format!("{public}/pki/v1/{path}");
    let lists = ca.status().into_iter().filter(|one| ca.revocation_list(&one.id).is_some());
    let lists: Vec<String> = lists.map(|one| at(&format!("crl/{}.crl", one.id))).collect();
    let body = json!({
        "trust_domain": ca.settings.trust_domain,
        "certificates": at("certificates"),
        "workload_certificates": at("certificates/workload"),
        "renewal": mesh.as_ref().map(|mesh| format!("{mesh}/pki/v1/certificates/renewal")),
        "bundle": at("bundle"),
        "roots": at("ca.pem"),
        "revocation_lists": lists,
    });
    Json(body).into_response()
}

async fn bundle(State(Api { ca, .. }): State<Api>) -> Response {
    match ca.bundle() {
        Ok(bundle) => ([cached(60)], Json(bundle)).into_response(),
        Err(error) => refused(&error),
    }
}

async fn roots(State(Api { ca, .. }): State<Api>) -> Response {
    ([(header::CONTENT_TYPE, value(CHAIN)), cached(60)], ca.bundle_pem()).into_response()
}

async fn list(State(Api { ca, .. }): State<Api>, Path(list): Path<String>) -> Response {
    let found = list.strip_suffix(".crl").and_then(|id| ca.revocation_list(id));
    match found {
        Some(list) => ([(header::CONTENT_TYPE, value(CRL)), cached(60)], list).into_response(),
        None => problem(StatusCode::NOT_FOUND, "there is no such revocation list"),
    }
}

async fn enrol(State(Api { ca, .. }): State<Api>, request: Request) -> Response {
    let origin = origin(&request);
    let given = request.headers().get(header::AUTHORIZATION).and_then(|given| given.to_str().ok());
    let (scheme, token) = given.and_then(|given| given.split_once(' ')).unwrap_or_default();
    let token =
        if scheme.eq_ignore_ascii_case("bearer") { token.to_owned() } else { String::new() };
    match body(request).await {
        Ok(body) => answered(ca.enrol(&token, &body, origin).await),
        Err(response) => response,
    }
}

async fn renew(State(Api { ca, .. }): State<Api>, request: Request) -> Response {
    let origin = origin(&request);
    let shown = request.extensions().get::<Arc<PeerCertificate>>().cloned();
    let Some(shown) = shown else {
        return refused(&CaError::Renewal("the connection shows none"));
    };
    match body(request).await {
        Ok(body) => {
            let issued = ca.renew(&shown, &body, origin).await;
            answered(issued.map(|issued| issued.chain_pem()))
        }
        Err(response) => response,
    }
}

async fn vouched(State(Api { ca, rules, .. }): State<Api>, request: Request) -> Response {
    let origin = origin(&request);
    let Some(holder) = request.extensions().get::<TokenHolder>().cloned() else {
        return refused(&CaError::Token);
    };
    let TokenHolder { issuer, subject, actor } = holder;
    let rule = rules.iter().find(|rule| rule.issuer == issuer && rule.subject == subject);
    let Some(WorkloadRule { spiffe_id, names, .. }) = rule else {
        return problem(StatusCode::FORBIDDEN, "no workload is enrolled by this token");
    };
    let body = match body(request).await {
        Ok(body) => body,
        Err(response) => return response,
    };
    let signed = async {
        let subject = ca.subject(spiffe_id, names)?;
        let origin = Some(origin);
        ca.sign(&Grant { subject, how: How::Token, actor, origin, lifetime: None }, &body).await
    };
    answered(signed.await.map(|issued| issued.chain_pem()))
}

fn origin(request: &Request) -> Origin {
    request.extensions().get::<Origin>().cloned().unwrap_or_default()
}

/// The request for a certificate: PEM, or DER as `application/pkcs10` (RFC 5967).
async fn body(request: Request) -> Result<Vec<u8>, Response> {
    let body = Limited::new(request.into_body(), MAX_REQUEST_BYTES).collect().await;
    body.map(|body| body.to_bytes().to_vec()).map_err(|_| {
        let detail = format!("a request is at most {MAX_REQUEST_BYTES} bytes long");
        problem(StatusCode::PAYLOAD_TOO_LARGE, &detail)
    })
}

fn answered(chain: Result<String, CaError>) -> Response {
    match chain {
        Ok(chain) => {
            let fields =
                [(header::CONTENT_TYPE, value(CHAIN)), (header::CACHE_CONTROL, value("no-store"))];
            (StatusCode::CREATED, fields, chain).into_response()
        }
        Err(error) => refused(&error),
    }
}

fn refused(error: &CaError) -> Response {
    match error {
        CaError::Request(_) => problem(StatusCode::BAD_REQUEST, &error.to_string()),
        CaError::Token => {
            let mut response = problem(StatusCode::UNAUTHORIZED, &error.to_string());
            let challenge = value(r#"Bearer realm="portcullis", error="invalid_token""#);
            response.headers_mut().insert(header::WWW_AUTHENTICATE, challenge);
            response
        }
        CaError::Renewal(_) | CaError::TrustDomain(..) => {
            problem(StatusCode::FORBIDDEN, &error.to_string())
        }
        _ => {
            tracing::error!(error = error as &dyn std::error::Error, "no certificate was issued");
            problem(StatusCode::SERVICE_UNAVAILABLE, "the authority cannot sign now; try again")
        }
    }
}

fn problem(status: StatusCode, detail: &str) -> Response {
    let title = status.canonical_reason().unwrap_or_default();
    let body = json!({ "type": "about:blank", "title": title, "status": status.as_u16(), "detail": detail });
    let fields =
        [(header::CONTENT_TYPE, value(PROBLEM)), (header::CACHE_CONTROL, value("no-store"))];
    (status, fields, body.to_string()).into_response()
}

fn cached(secs: u32) -> (HeaderName, HeaderValue) {
    let text = format!("public, max-age={secs}");
    let value = HeaderValue::try_from(text).unwrap_or(HeaderValue::from_static("no-store"));
    (header::CACHE_CONTROL, value)
}

fn value(text: &'static str) -> HeaderValue {
    HeaderValue::from_static(text)
}
