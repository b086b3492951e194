use std::sync::Arc;

use axum::{
    Json, Router,
    body::Body,
    extract::{Path, Request, State},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use http::{HeaderValue, StatusCode, header};
use http_body_util::{BodyExt, Limited};
use portcullis_events::Origin;
use portcullis_jose::from_slice_strict;
use portcullis_pki::PeerCertificate;
use serde_json::{Value, json};

use super::{issue::Refused, status};
use crate::{
    Provider,
    dpop::PresentError,
    http_api::{DPOP, answer, cacheable, challenge, no_store},
};

/// A credential request is at most this long.
const MAX_BODY_BYTES: usize = 64 * 1024;
const ENDPOINT: &str = "/credentials/issue";

/// The endpoints of wallets.
pub(crate) fn router(provider: Provider) -> Router {
    Router::new()
        .route("/.well-known/openid-credential-issuer", get(metadata))
        .route("/.well-known/jwt-vc-issuer", get(vc_issuer))
        .route("/credentials/nonce", post(nonce))
        .route(ENDPOINT, post(issue))
        .route(&format!("{}/{{list}}", status::PATH), get(list))
        .with_state(provider)
}

async fn metadata(State(provider): State<Provider>) -> Response {
    if !provider.issues_credentials() {
        return StatusCode::NOT_FOUND.into_response();
    }
    cacheable(Json(provider.credential_issuer_metadata()).into_response())
}

/// As long as something that was signed can be good, also where nothing more is issued.
async fn vc_issuer(State(provider): State<Provider>) -> Response {
    if provider.keys.current().credentials.keys.is_empty() {
        return StatusCode::NOT_FOUND.into_response();
    }
    cacheable(Json(provider.vc_issuer_metadata()).into_response())
}

/// Section 7: everybody may ask.
async fn nonce(State(provider): State<Provider>) -> Response {
    if !provider.issues_credentials() {
        return StatusCode::NOT_FOUND.into_response();
    }
    let nonce = provider.nonces.fresh(provider.now(), &*provider.identity.entropy);
    no_store(Json(json!({ "c_nonce": nonce })).into_response())
}

async fn list(State(provider): State<Provider>, Path(name): Path<String>) -> Response {
    // One list has one address.
    let list = name.parse::<i64>().ok().filter(|list| list.to_string() == name);
    let Some(list) = list else { return StatusCode::NOT_FOUND.into_response() };
    let token = match provider.credential_list(list).await {
        Ok(Some(token)) => token,
        Ok(None) => return StatusCode::NOT_FOUND.into_response(),
        Err(error) => return answer(Err(error)),
    };
    let mut response = Response::new(Body::from(token));
    let headers = response.headers_mut();
    let kind = HeaderValue::from_static("application/statuslist+jwt");
    headers.insert(header::CONTENT_TYPE, kind);
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("public, max-age=5"));
    response
}

async fn issue(State(provider): State<Provider>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let certificate = parts.extensions.get::<Arc<PeerCertificate>>().cloned();
    let certificate = certificate.as_deref();
    let url = provider.url_for(certificate, ENDPOINT);
    let presented = provider.presented(&parts.headers, "POST", &url, certificate);
    let token = match presented {
        Ok(token) => token,
        Err(PresentError::Missing) => {
            return challenge(StatusCode::UNAUTHORIZED, &["Bearer", DPOP]);
        }
        Err(PresentError::Token) => {
            let why = r#"Bearer error="invalid_token""#;
            return challenge(StatusCode::UNAUTHORIZED, &[why, DPOP]);
        }
        Err(PresentError::Proof) => {
            let why = format!(r#"{DPOP}, error="invalid_dpop_proof""#);
            return challenge(StatusCode::UNAUTHORIZED, &[&why]);
        }
    };
    if !token.scopes().contains(super::CONFIGURATION) {
        let why = r#"Bearer error="insufficient_scope", scope="verified_person""#;
        return challenge(StatusCode::FORBIDDEN, &[why]);
    }
    let malformed = || {
        let error_description = "the body must be a credential request as JSON, each member once";
        refuse(&Refused { error: "invalid_credential_request", error_description })
    };
    let Ok(body) = Limited::new(body, MAX_BODY_BYTES).collect().await else { return malformed() };
    // An object: a list with the values in their order would be read as one.
    let Ok(request) = from_slice_strict(&body.to_bytes()) else { return malformed() };
    let Ok(request) = serde_json::from_value(Value::Object(request)) else { return malformed() };
    let origin = parts.extensions.get::<Origin>().cloned().unwrap_or_default();
    match provider.issue_credentials(&token, request, &origin).await {
        Ok(Ok(credentials)) => no_store(Json(credentials).into_response()),
        Ok(Err(refused)) => refuse(&refused),
        Err(error) => answer(Err(error)),
    }
}

fn refuse(refused: &Refused) -> Response {
    no_store((StatusCode::BAD_REQUEST, Json(refused)).into_response())
}
