use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll},
};

use http::{HeaderMap, HeaderValue, Request, Response, StatusCode, header};
use tower::{Layer, Service};

use crate::{ResourceServer, TokenError};

/// Puts [`ResourceServerService`] around a service.
#[derive(Debug, Clone)]
pub struct ResourceServerLayer(ResourceServer);

impl ResourceServerLayer {
    /// Lets through what `server` accepts.
    pub fn new(server: ResourceServer) -> Self {
        Self(server)
    }
}

impl<S> Layer<S> for ResourceServerLayer {
    type Service = ResourceServerService<S>;

    fn layer(&self, inner: S) -> Self::Service {
        ResourceServerService { inner, server: self.0.clone() }
    }
}

/// Checks the token of every request. The claims go on as the extension
/// [`AccessClaims`](crate::AccessClaims); a request without a good token gets 401 (RFC 6750), or
/// 503 if the issuer's keys cannot be had.
#[derive(Debug, Clone)]
pub struct ResourceServerService<S> {
    inner: S,
    server: ResourceServer,
}

impl<S, B, R> Service<Request<B>> for ResourceServerService<S>
where
    S: Service<Request<B>, Response = Response<R>> + Clone + Send + 'static,
    S::Future: Send,
    B: Send + 'static,
    R: Default,
{
    type Response = Response<R>;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Response<R>, S::Error>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<B>) -> Self::Future {
        // The service that was asked whether it is ready must be the one that is called.
        let ready = self.inner.clone();
        let mut inner = std::mem::replace(&mut self.inner, ready);
        let server = self.server.clone();
        Box::pin(async move {
            let Some(token) = bearer(request.headers()) else {
                return Ok(refuse(StatusCode::UNAUTHORIZED, "Bearer"));
            };
            match server.verify(&token).await {
                Ok(claims) => {
                    request.extensions_mut().insert(claims);
                    inner.call(request).await
                }
                Err(TokenError::Issuer(error)) => {
                    let error = &error as &dyn std::error::Error;
                    tracing::warn!(error, "nothing can be checked without the issuer");
                    Ok(refuse(StatusCode::SERVICE_UNAVAILABLE, ""))
                }
                Err(error) => {
                    let challenge =
                        format!(r#"Bearer error="invalid_token", error_description="{error}""#);
                    Ok(refuse(StatusCode::UNAUTHORIZED, &challenge))
                }
            }
        })
    }
}

fn bearer(headers: &HeaderMap) -> Option<String> {
    let mut values = headers.get_all(header::AUTHORIZATION).iter();
    let (scheme, token) = values.next()?.to_str().ok()?.split_once(' ')?;
    let single = values.next().is_none() && scheme.eq_ignore_ascii_case("bearer");
    single.then(|| token.to_owned())
}

fn refuse<R: Default>(status: StatusCode, challenge: &str) -> Response<R> {
    let mut response = Response::new(R::default());
    *response.status_mut() = status;
    if let (false, Ok(value)) = (challenge.is_empty(), HeaderValue::from_str(challenge)) {
        response.headers_mut().insert(header::WWW_AUTHENTICATE, value);
    }
    response
}
