//! What wallets call that show credentials (OpenID for Verifiable Presentations 1.0): nobody is logged in there.

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
use portcullis_verification::{
    PresentationAnswered, PresentationError, PresentationResponse, Presentations, REQUEST_TYP,
};
use serde_json::json;
use url::form_urlencoded;

/// An answer is at most this long: presentations of 64 KiB in the letters of a form.
const MAX_BODY_BYTES: usize = 256 * 1024;

/// The endpoints of wallets.
pub fn wallet_router(presentations: Presentations) -> Router {
    Router::new()
        .route("/presentations/{id}/request", get(request))
        .route("/presentations/{id}/response", post(response))
        .with_state(presentations)
}

/// The signed request (section 5.10).
async fn request(State(presentations): State<Presentations>, Path(id): Path<String>) -> Response {
    let Ok(id) = id.parse() else { return gone() };
    match presentations.signed_request(id).await {
        Ok(signed) => {
            let kind = format!("application/{REQUEST_TYP}");
            no_store(([(header::CONTENT_TYPE, kind)], signed).into_response())
        }
        Err(PresentationError::NotFound) => gone(),
        Err(error) => failed(&error),
    }
}

/// The answer (section 8.2).
async fn response(
    State(presentations): State<Presentations>,
    Path(id): Path<String>,
    request: Request,
) -> Response {
    let (parts, body) = request.into_parts();
    let Ok(id) = id.parse() else { return gone() };
    let kind = parts.headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
    let kind = kind.and_then(|kind| kind.split(';').next()).map(str::trim);
    let is_form =
        kind.is_some_and(|kind| kind.eq_ignore_ascii_case("application/x-www-form-urlencoded"));
    let body = Limited::new(body, MAX_BODY_BYTES).collect().await;
    let answer = body.ok().filter(|_| is_form).and_then(|body| read(&body.to_bytes()));
    let Some(answer) = answer else { return refused("response_malformed") };
    let origin = parts.extensions.get::<Origin>().cloned().unwrap_or_default();
    match presentations.answer(id, answer, &origin).await {
        // There is nowhere to send the browser: whoever asked sees the answer.
        Ok(PresentationAnswered::Taken) => no_store(Json(json!({})).into_response()),
        Ok(PresentationAnswered::Gone) => gone(),
        Ok(PresentationAnswered::Refused(code)) => refused(code),
        Err(error) => failed(&error),
    }
}

/// A form whose values may be longer than those of OAuth, each member once.
fn read(form: &[u8]) -> Option<PresentationResponse> {
    let mut answer = PresentationResponse::default();
    for (name, value) in form_urlencoded::parse(form) {
        let place = match &name[..] {
            "vp_token" => &mut answer.vp_token,
            "state" => &mut answer.state,
            "error" => &mut answer.error,
            _ => continue,
        };
        if place.replace(value.into_owned()).is_some() {
            return None;
        }
    }
    Some(answer)
}

fn refused(code: &str) -> Response {
    let body = json!({ "error": "invalid_request", "error_description": code });
    no_store((StatusCode::BAD_REQUEST, Json(body)).into_response())
}

fn gone() -> Response {
    let text = "there is no such request, or it can be answered no more";
    let body = json!({ "error": "invalid_request", "error_description": text });
    no_store((StatusCode::NOT_FOUND, Json(body)).into_response())
}

fn failed(error: &PresentationError) -> Response {
    tracing::error!(error = error as &dyn std::error::Error, "a wallet could not be answered");
    let body = json!({ "error": "temporarily_unavailable" });
    no_store((StatusCode::SERVICE_UNAVAILABLE, Json(body)).into_response())
}

fn no_store(response: impl IntoResponse) -> Response<Body> {
    let mut response = response.into_response();
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}
