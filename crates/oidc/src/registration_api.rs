//! The endpoints of registration.

use std::sync::Arc;

use axum::{
    Json,
    extract::{Path, Request, State},
    response::{IntoResponse, Response},
};
use http::{StatusCode, header};
use http_body_util::{BodyExt, Limited};
use portcullis_events::{Actor, Origin};
use portcullis_pki::PeerCertificate;

use crate::{
    Provider, RegistrationMode,
    http_api::{MAX_FORM_BYTES, challenge, no_store},
    registration::{self, Metadata, Registered, RegistrationError},
};

/// RFC 7591, section 3.
pub(crate) async fn register(State(provider): State<Provider>, request: Request) -> Response {
    let work = async {
        let by = may_register(&provider, &request)?;
        let origin = request.extensions().get::<Origin>().cloned().unwrap_or_default();
        let metadata = read_metadata(request).await?;
        provider.register(metadata, by, &origin).await
    };
    told(work.await, StatusCode::CREATED)
}

/// RFC 7592, section 2.1.
pub(crate) async fn show(
    State(provider): State<Provider>,
    Path(id): Path<String>,
    request: Request,
) -> Response {
    let token = manager(&provider, &request).map(str::to_owned);
    drop(request);
    let work = async { provider.registration(&id, &token?).await };
    told(work.await, StatusCode::OK)
}

/// RFC 7592, section 2.2.
pub(crate) async fn change(
    State(provider): State<Provider>,
    Path(id): Path<String>,
    request: Request,
) -> Response {
    let work = async {
        let token = manager(&provider, &request)?.to_owned();
        let origin = request.extensions().get::<Origin>().cloned().unwrap_or_default();
        let metadata = read_metadata(request).await?;
        provider.change_registration(&id, &token, metadata, &origin).await
    };
    told(work.await, StatusCode::OK)
}

/// RFC 7592, section 2.3.
pub(crate) async fn end(
    State(provider): State<Provider>,
    Path(id): Path<String>,
    request: Request,
) -> Response {
    let token = manager(&provider, &request).map(str::to_owned);
    let origin = request.extensions().get::<Origin>().cloned().unwrap_or_default();
    drop(request);
    let work = async { provider.end_registration(&id, &token?, &origin).await };
    match work.await {
        Ok(()) => no_store(StatusCode::NO_CONTENT.into_response()),
        Err(error) => told(Err(error), StatusCode::OK),
    }
}

/// Who registers, as far as the policy asks.
fn may_register(
    provider: &Provider,
    request: &Request,
) -> Result<Option<Actor>, RegistrationError> {
    match provider.settings.registration.mode {
        RegistrationMode::Off => Err(RegistrationError::Off),
        RegistrationMode::Open => Ok(None),
        RegistrationMode::Token => {
            let certificate = request.extensions().get::<Arc<PeerCertificate>>();
            let url = provider.url("/oauth2/register");
            let headers = request.headers();
            let claims = provider.presented(headers, "POST", &url, certificate.map(|own| &**own));
            let claims = claims.map_err(|_| RegistrationError::Token)?;
            if !claims.scopes().contains(registration::SCOPE) {
                return Err(RegistrationError::Token);
            }
            Ok(Some(match claims.preferred_username {
                Some(username) => Actor::User { id: claims.sub, username },
                None => Actor::Client { id: claims.sub },
            }))
        }
    }
}

/// The registration access token.
fn manager<'a>(provider: &Provider, request: &'a Request) -> Result<&'a str, RegistrationError> {
    if !provider.registers() {
        return Err(RegistrationError::Off);
    }
    let value = request.headers().get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    let (scheme, token) = value.and_then(|v| v.split_once(' ')).ok_or(RegistrationError::Token)?;
    let bearer = scheme.eq_ignore_ascii_case("bearer");
    Some(token).filter(|token| bearer && token.len() <= 64).ok_or(RegistrationError::Token)
}

async fn read_metadata(request: Request) -> Result<Metadata, RegistrationError> {
    let wrong =
        |text: &str| RegistrationError::Metadata { redirect: false, description: text.to_owned() };
    let body = Limited::new(request.into_body(), MAX_FORM_BYTES).collect().await;
    let body = body.map_err(|_| wrong("the metadata is too long"))?.to_bytes();
    portcullis_jose::from_slice_strict(&body)
        .map_err(|_| wrong("the metadata is not a JSON object with values of the right types"))
}

fn told(result: Result<Registered, RegistrationError>, status: StatusCode) -> Response {
    let refused = |code: &str, text: &str| {
        let body = serde_json::json!({ "error": code, "error_description": text });
        no_store((StatusCode::BAD_REQUEST, Json(body)).into_response())
    };
    match result {
        Ok(registered) => no_store((status, Json(registered)).into_response()),
        Err(RegistrationError::Off) => no_store(StatusCode::NOT_FOUND.into_response()),
        Err(RegistrationError::Token) => {
            challenge(StatusCode::UNAUTHORIZED, &[r#"Bearer error="invalid_token""#])
        }
        Err(RegistrationError::Metadata { redirect: true, description }) => {
            refused("invalid_redirect_uri", &description)
        }
        Err(RegistrationError::Metadata { redirect: false, description }) => {
            refused("invalid_client_metadata", &description)
        }
        Err(RegistrationError::Failed(error)) => {
            tracing::error!(error = &error as &dyn std::error::Error, "a registration failed");
            no_store(StatusCode::SERVICE_UNAVAILABLE.into_response())
        }
    }
}
