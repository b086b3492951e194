use axum::{
    Json, Router,
    body::Body,
    extract::{Request, State},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use http::{HeaderMap, HeaderValue, StatusCode, header};
use http_body_util::{BodyExt, Limited};
use portcullis_events::Origin;

use crate::{
    OAuthError, Params, Provider, ProviderError, params::ParamsError, userinfo::UserinfoError,
};

/// A form at a token endpoint is at most this long.
const MAX_FORM_BYTES: usize = 64 * 1024;

/// The endpoints that machines call.
pub fn router(provider: Provider) -> Router {
    Router::new()
        .route("/.well-known/openid-configuration", get(metadata))
        .route("/.well-known/oauth-authorization-server", get(metadata))
        .route("/oauth2/jwks", get(jwks))
        .route("/oauth2/token", post(token))
        .route("/oauth2/introspect", post(introspect))
        .route("/oauth2/revoke", post(revoke))
        .route("/oauth2/userinfo", get(userinfo).post(userinfo))
        .with_state(provider)
}

async fn metadata(State(provider): State<Provider>) -> Response {
    cacheable(Json(provider.metadata()).into_response())
}

async fn jwks(State(provider): State<Provider>) -> Response {
    cacheable(Json(&provider.keys.current().published).into_response())
}

/// Public documents; short enough that a rotation gets round within its overlap.
fn cacheable(mut response: Response) -> Response {
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("public, max-age=300"));
    headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
    response
}

async fn token(State(provider): State<Provider>, request: Request) -> Response {
    let call = async {
        let call = Call::read(request).await?;
        let client = call.client(&provider).await?;
        let tokens = provider.token(&client, &call.params, &call.origin).await?;
        Ok(Json(tokens).into_response())
    };
    answer(call.await)
}

async fn introspect(State(provider): State<Provider>, request: Request) -> Response {
    let call = async {
        let call = Call::read(request).await?;
        let client = call.client(&provider).await?;
        Ok(Json(provider.introspect(&client, &call.params).await?).into_response())
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

async fn userinfo(State(provider): State<Provider>, headers: HeaderMap) -> Response {
    let Some(token) = bearer(&headers) else {
        return challenge(StatusCode::UNAUTHORIZED, "Bearer");
    };
    match provider.userinfo(token).await {
        Ok(Ok(info)) => no_store(Json(info).into_response()),
        Ok(Err(UserinfoError::Token)) => challenge(
            StatusCode::UNAUTHORIZED,
            r#"Bearer error="invalid_token", error_description="the token is not active here""#,
        ),
        Ok(Err(UserinfoError::Scope)) => {
            challenge(StatusCode::FORBIDDEN, r#"Bearer error="insufficient_scope", scope="openid""#)
        }
        Err(error) => answer(Err(error)),
    }
}

/// What a client sent, and how it wants to be known.
struct Call {
    params: Params,
    authorization: Option<String>,
    origin: Origin,
}

impl Call {
    async fn read(request: Request) -> Result<Self, OAuthError> {
        let (parts, body) = request.into_parts();
        let form = parts.headers.get(header::CONTENT_TYPE).and_then(|v| v.to_str().ok());
        let form = form.and_then(|value| value.split(';').next()).map(str::trim);
        if form != Some("application/x-www-form-urlencoded") {
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
            origin: parts.extensions.get::<Origin>().cloned().unwrap_or_default(),
        })
    }

    async fn client(&self, provider: &Provider) -> Result<crate::Client, ProviderError> {
        let header = self.authorization.as_deref();
        provider.authenticate_client(header, &self.params, &self.origin).await
    }
}

async fn read_params(body: Body) -> Result<Params, OAuthError> {
    let body = Limited::new(body, MAX_FORM_BYTES).collect().await;
    let body = body.map_err(|_| OAuthError::request("the form is too long"))?.to_bytes();
    Params::parse(&body).map_err(|error| match error {
        ParamsError::Repeated => OAuthError::request("a parameter is repeated"),
        ParamsError::Malformed => OAuthError::request("the form is malformed"),
    })
}

fn bearer(headers: &HeaderMap) -> Option<&str> {
    let (scheme, token) = headers.get(header::AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then_some(token)
}

fn challenge(status: StatusCode, value: &'static str) -> Response {
    let headers = [(header::WWW_AUTHENTICATE, HeaderValue::from_static(value))];
    no_store((status, headers).into_response())
}

/// The one place that decides what of a failure a client sees.
fn answer(result: Result<Response, ProviderError>) -> Response {
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

fn no_store(mut response: Response) -> Response {
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}
