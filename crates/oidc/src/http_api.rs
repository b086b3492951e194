use std::sync::Arc;

use axum::{
    Json, Router,
    body::Body,
    extract::{Request, State},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use http_body_util::{BodyExt, Limited};
use portcullis_events::Origin;
use portcullis_pki::PeerCertificate;

use crate::{
    OAuthError, Params, Provider, ProviderError,
    dpop::PresentError,
    params::ParamsError,
    registration_api, status_list,
    token::TokenCall,
    userinfo::{Userinfo, UserinfoError},
    wallet,
};

/// A form at a token endpoint is at most this long.
pub(crate) const MAX_FORM_BYTES: usize = 64 * 1024;

/// The endpoints that machines call.
pub fn router(provider: Provider) -> Router {
    Router::new()
        .route("/.well-known/openid-configuration", get(metadata))
        .route("/.well-known/oauth-authorization-server", get(metadata))
        .route("/oauth2/jwks", get(jwks))
        .route(status_list::PATH, get(published_statuses))
        .route("/oauth2/par", post(push))
        .route("/oauth2/device_authorization", post(device_authorization))
        .route("/oauth2/token", post(token))
        .route("/oauth2/introspect", post(introspect))
        .route("/oauth2/revoke", post(revoke))
        .route("/oauth2/register", post(registration_api::register))
        .route(
            "/oauth2/register/{id}",
            get(registration_api::show).put(registration_api::change).delete(registration_api::end),
        )
        .route("/oauth2/userinfo", get(userinfo).post(userinfo))
        .with_state(provider.clone())
        .merge(wallet::router(provider))
}

async fn metadata(State(provider): State<Provider>) -> Response {
    cacheable(Json(provider.metadata()).into_response())
}

async fn jwks(State(provider): State<Provider>) -> Response {
    cacheable(Json(&provider.keys.current().published).into_response())
}

async fn published_statuses(State(provider): State<Provider>) -> Response {
    let list = match provider.status_list().await {
        Ok(list) => list,
        Err(error) => return answer(Err(error)),
    };
    let mut response = Response::new(Body::from(list));
    let headers = response.headers_mut();
    let kind = HeaderValue::from_static("application/statuslist+jwt");
    headers.insert(header::CONTENT_TYPE, kind);
    // Its own lifetime is what counts; a cache must not add to it.
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("public, max-age=1"));
    response
}

/// Public documents; short enough that a rotation gets round within its overlap.
pub(crate) fn cacheable(mut response: Response) -> Response {
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("public, max-age=300"));
    response
}

async fn token(State(provider): State<Provider>, request: Request) -> Response {
    let call = async {
        let call = Call::read(request).await?;
        let (client, key) = call.client_and_key(&provider, "/oauth2/token").await?;
        let (params, origin, key) = (&call.params, &call.origin, key.as_deref());
        let certificate = call.certificate.as_deref();
        let call = TokenCall { client: &client, params, key, certificate, origin };
        let tokens = provider.token(call).await?;
        Ok(Json(tokens).into_response())
    };
    with_nonce(&provider, answer(call.await))
}

async fn push(State(provider): State<Provider>, request: Request) -> Response {
    let call = async {
        let call = Call::read(request).await?;
        let (client, key) = call.client_and_key(&provider, "/oauth2/par").await?;
        let pushed = provider.push(&client, &call.params, key.as_deref()).await?;
        Ok((StatusCode::CREATED, Json(pushed)).into_response())
    };
    with_nonce(&provider, answer(call.await))
}

async fn device_authorization(State(provider): State<Provider>, request: Request) -> Response {
    let call = async {
        let call = Call::read(request).await?;
        let client = call.client(&provider).await?;
        Ok(Json(provider.device_authorization(&client, &call.params).await?).into_response())
    };
    answer(call.await)
}

/// Whoever proves a key learns the nonce of the next proof from every answer (RFC 9449,
/// section 8.2).
fn with_nonce(provider: &Provider, mut response: Response) -> Response {
    if let Ok(nonce) = HeaderValue::from_str(&provider.dpop.nonce(provider.now())) {
        response.headers_mut().insert("dpop-nonce", nonce);
    }
    response
}

async fn introspect(State(provider): State<Provider>, request: Request) -> Response {
    let call = async {
        let call = Call::read(request).await?;
        let client = call.client(&provider).await?;
        Ok(Json(provider.introspect(&client, &call.params, &call.origin).await?).into_response())
    };
    answer(call.await)
}

async fn revoke(State(provider): State<Provider>, request: Request) -> Response {
    let call = async {
        let call = Call::read(request).await?;
        let client = call.client(&provider).await?;
        provider.revoke(&client, &call.params, &call.origin).await?;
        Ok(StatusCode::OK.into_response())
    };
    answer(call.await)
}

async fn userinfo(State(provider): State<Provider>, request: Request) -> Response {
    let unauthorized = StatusCode::UNAUTHORIZED;
    let certificate = request.extensions().get::<Arc<PeerCertificate>>().cloned();
    let certificate = certificate.as_deref();
    let authorization = request.headers().get(header::AUTHORIZATION);
    let authorization = authorization.and_then(|value| value.to_str().ok()).unwrap_or_default();
    let bound = authorization.get(..5).is_some_and(|scheme| scheme.eq_ignore_ascii_case("dpop "));
    // The scheme that was used is the one that is answered (RFC 9449, section 7.1).
    let refused = |why: &str| {
        if bound { format!("{DPOP}, {why}") } else { format!("Bearer {why}") }
    };
    let (parts, body) = request.into_parts();
    let in_header = parts.headers.contains_key(header::AUTHORIZATION);
    let form = if parts.method == Method::POST && is_form(&parts.headers) {
        match read_params(body).await {
            Ok(form) => Some(form),
            Err(error) => return answer(Err(error.into())),
        }
    } else {
        None
    };
    let presented = match &form {
        // RFC 6750, section 2.
        Some(form) if in_header && form.get("access_token").is_some() => {
            return answer(Err(OAuthError::request("the token must be sent in one way").into()));
        }
        // RFC 6750, section 2.2.
        Some(form) if !in_header => {
            provider.presented_in_body(form.get("access_token"), certificate)
        }
        _ => {
            let url = provider.url_for(certificate, "/oauth2/userinfo");
            provider.presented(&parts.headers, parts.method.as_str(), &url, certificate)
        }
    };
    let claims = match presented {
        Ok(claims) => claims,
        Err(PresentError::Missing) => return challenge(unauthorized, &["Bearer", DPOP]),
        Err(PresentError::Token) => {
            let why = r#"error="invalid_token", error_description="the token is not active here, or needs another scheme""#;
            let other = if bound { "Bearer" } else { DPOP };
            return challenge(unauthorized, &[&refused(why), other]);
        }
        Err(PresentError::Proof) => {
            return challenge(unauthorized, &[&format!(r#"{DPOP}, error="invalid_dpop_proof""#)]);
        }
    };
    match provider.userinfo(&claims).await {
        Ok(Ok(Userinfo::Plain(info))) => no_store(Json(info).into_response()),
        Ok(Ok(Userinfo::Token(token))) => {
            let jwt = [(header::CONTENT_TYPE, "application/jwt")];
            no_store((jwt, token).into_response())
        }
        Ok(Err(UserinfoError::Token)) => {
            challenge(unauthorized, &[&refused(r#"error="invalid_token""#)])
        }
        Ok(Err(UserinfoError::Scope)) => {
            let why = refused(r#"error="insufficient_scope", scope="openid""#);
            challenge(StatusCode::FORBIDDEN, &[&why])
        }
        Err(error) => answer(Err(error)),
    }
}

/// What a client sent, and how it wants to be known.
struct Call {
    params: Params,
    authorization: Option<String>,
    headers: HeaderMap,
    certificate: Option<Arc<PeerCertificate>>,
    origin: Origin,
}

impl Call {
    async fn read(request: Request) -> Result<Self, OAuthError> {
        let (parts, body) = request.into_parts();
        if !is_form(&parts.headers) {
            let text = "the content type must be application/x-www-form-urlencoded";
            return Err(OAuthError::request(text));
        }
        if parts.uri.query().is_some() {
            return Err(OAuthError::request("parameters belong in the body"));
        }
        let authorization = parts.headers.get(header::AUTHORIZATION).map(|value| value.to_str());
        let authorization = authorization.transpose().map_err(|_| OAuthError::client())?;
        Ok(Self {
            params: read_params(body).await?,
            authorization: authorization.map(str::to_owned),
            certificate: parts.extensions.get::<Arc<PeerCertificate>>().cloned(),
            origin: parts.extensions.get::<Origin>().cloned().unwrap_or_default(),
            headers: parts.headers,
        })
    }

    async fn client(&self, provider: &Provider) -> Result<Arc<crate::Client>, ProviderError> {
        let header = self.authorization.as_deref();
        let certificate = self.certificate.as_deref();
        provider.authenticate_client(header, &self.params, certificate, &self.origin).await
    }

    /// The client and the key it proves to hold. The proof is looked at first, so that an assertion
    /// is not used up by a request that has to come again with a nonce; it counts as used only when
    /// the client is known, so that strangers cannot fill that table.
    async fn client_and_key(
        &self,
        provider: &Provider,
        path: &str,
    ) -> Result<(Arc<crate::Client>, Option<String>), ProviderError> {
        let proof = provider.proof(&self.headers, &self.url(provider, path))?;
        let client = self.client(provider).await?;
        let key = proof.map(|proof| provider.used_once(proof)).transpose()?;
        Ok((client, key))
    }

    /// Where the client believes it is calling, for its proof of possession.
    fn url(&self, provider: &Provider, path: &str) -> String {
        provider.url_for(self.certificate.as_deref(), path)
    }
}

fn is_form(headers: &HeaderMap) -> bool {
    let kind = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let kind = kind.and_then(|value| value.split(';').next()).map(str::trim);
    kind.is_some_and(|kind| kind.eq_ignore_ascii_case("application/x-www-form-urlencoded"))
}

async fn read_params(body: Body) -> Result<Params, OAuthError> {
    let body = Limited::new(body, MAX_FORM_BYTES).collect().await;
    let body = body.map_err(|_| OAuthError::request("the form is too long"))?.to_bytes();
    Params::parse(&body).map_err(|error| match error {
        ParamsError::Repeated => OAuthError::request("a parameter is repeated"),
        ParamsError::Malformed => OAuthError::request("the form is malformed"),
    })
}

/// The other scheme of a challenge (RFC 9449, section 7.1).
pub(crate) const DPOP: &str = r#"DPoP algs="EdDSA Ed25519 ES256 PS256""#;

pub(crate) fn challenge(status: StatusCode, values: &[&str]) -> Response {
    let mut response = no_store(status.into_response());
    for value in values.iter().filter_map(|value| HeaderValue::from_str(value).ok()) {
        response.headers_mut().append(header::WWW_AUTHENTICATE, value);
    }
    response
}

/// The one place that decides what of a failure a client sees.
pub(crate) fn answer(result: Result<Response, ProviderError>) -> Response {
    let response = result.unwrap_or_else(|error| {
        if !matches!(error, ProviderError::OAuth(_)) {
            tracing::error!(error = &error as &dyn std::error::Error, "an OAuth endpoint failed");
        }
        let public = error.public();
        let mut response = (public.error.status(), Json(&public)).into_response();
        if public.error.status() == StatusCode::UNAUTHORIZED {
            let basic = HeaderValue::from_static(r#"Basic realm="oauth2", charset="UTF-8""#);
            response.headers_mut().insert(header::WWW_AUTHENTICATE, basic);
        }
        response
    });
    no_store(response)
}

pub(crate) fn no_store(mut response: Response) -> Response {
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}
