use std::{collections::HashMap, future::Future, pin::Pin, sync::Arc};

use axum::{
    Json, Router,
    body::Body,
    extract::{Path, Request, State},
    response::{IntoResponse, Response},
    routing::{MethodFilter, get, on},
};
use http::{HeaderValue, Method, StatusCode, header};
use http_body_util::{BodyExt, Limited};
use portcullis_events::Origin;
use portcullis_identity::Identity;
use portcullis_oidc::{Params, Provider};
use portcullis_verification::{Aml, Checks, Presentations, Sessions};
use serde::Serialize;

use utoipa::{
    ToSchema,
    openapi::{RefOr, schema::Schema},
};

use crate::{
    ApiError, Caller, Reload, account, admin_access, admin_cases, admin_certificates,
    admin_clients, admin_compliance, admin_configuration, admin_gateway, admin_groups,
    admin_invitations, admin_keys, admin_log,
    admin_measures::{self, Listeners},
    admin_resources, admin_roles, admin_sinks, admin_subject_requests, admin_users,
    aml::{self, Batches},
    call::Call,
    idv, openapi,
};

/// A JSON body is at most this long.
const MAX_BODY_BYTES: usize = 256 * 1024;
/// Whom a page was made for. A browser has one session at a time: what somebody's page asks must not be done, nor
/// answered, in the name of whoever has logged in since.
const ACCOUNT: &str = "portcullis-account";
/// One JSON text on each line.
pub(crate) const JSON_LINES: &str = "application/x-ndjson";

/// What the handlers work with.
#[derive(Debug, Clone)]
pub struct Api {
    pub(crate) identity: Identity,
    pub(crate) provider: Provider,
    pub(crate) reload: Reload,
    pub(crate) aml: Aml,
    pub(crate) batches: Batches,
    pub(crate) checks: Checks,
    pub(crate) sessions: Sessions,
    pub(crate) presentations: Presentations,
    pub(crate) listeners: Listeners,
}

/// Who may call an endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Permission {
    /// A person, for the own account only.
    Account,
    /// An administrator, or a key or client that was given the scope.
    Admin,
    /// Whoever screens: somebody with the role `compliance` or an administrator, or a key or client that was
    /// given the scope.
    Aml,
    /// Whoever verifies people: somebody with the role `compliance` or an administrator, or a key or client that
    /// was given the scope.
    Idv,
}

impl Permission {
    /// Every one.
    pub const ALL: [Self; 4] = [Self::Account, Self::Admin, Self::Aml, Self::Idv];

    /// The scope that a token must carry.
    pub fn scope(self) -> &'static str {
        match self {
            Self::Account => "account",
            Self::Admin => "admin",
            Self::Aml => "aml",
            Self::Idv => "idv",
        }
    }
}

pub(crate) type Reply = Result<Response, ApiError>;
type Answer = Pin<Box<dyn Future<Output = Reply> + Send>>;
type Handler = Arc<dyn Fn(Api, Call) -> Answer + Send + Sync>;
/// Answers line by line while the lines of the request come in.
pub(crate) type Streaming = fn(Api, Call, Body) -> Reply;
type NamedSchema = (String, RefOr<Schema>, Vec<(String, RefOr<Schema>)>);

/// One endpoint.
#[derive(Clone)]
pub struct Endpoint {
    /// The method.
    pub method: Method,
    /// The path, with `{id}` for an object.
    pub path: &'static str,
    /// Who may call it.
    pub permission: Permission,
    /// What it does, in a sentence.
    pub summary: &'static str,
    /// The status of success.
    pub success: StatusCode,
    pub(crate) takes: Option<NamedSchema>,
    pub(crate) returns: Option<NamedSchema>,
    pub(crate) paged: bool,
    pub(crate) is_idempotent: bool,
    pub(crate) is_live: bool,
    pub(crate) query: &'static [&'static str],
    pub(crate) streaming: Option<Streaming>,
    pub(crate) max_body: usize,

    handler: Handler,
}

impl std::fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {} ({:?})", self.method, self.path, self.permission)
    }
}

impl Endpoint {
    pub(crate) fn new<F>(
        method: Method,
        path: &'static str,
        permission: Permission,
        summary: &'static str,
        handler: fn(Api, Call) -> F,
    ) -> Self
    where
        F: Future<Output = Reply> + Send + 'static,
    {
        Self {
            method,
            path,
            permission,
            summary,
            success: StatusCode::OK,
            takes: None,
            returns: None,
            paged: false,
            is_idempotent: false,
            is_live: false,
            query: &[],
            streaming: None,
            max_body: MAX_BODY_BYTES,

            handler: Arc::new(move |api, call| Box::pin(handler(api, call))),
        }
    }

    pub(crate) fn takes<T: ToSchema>(mut self) -> Self {
        self.takes = Some(named::<T>());
        self
    }

    pub(crate) fn returns<T: ToSchema>(mut self, status: StatusCode) -> Self {
        self.returns = Some(named::<T>());
        self.success = status;
        self
    }

    pub(crate) fn returns_nothing(mut self) -> Self {
        self.success = StatusCode::NO_CONTENT;
        self
    }

    /// Names of parameters of the query.
    pub(crate) fn query(mut self, names: &'static [&'static str]) -> Self {
        self.query = names;
        self
    }

    /// Takes many as well: JSON lines in, JSON lines out, as many as one likes.
    pub(crate) fn streams(mut self, handler: Streaming) -> Self {
        self.streaming = Some(handler);
        self
    }

    /// Takes a longer body.
    pub(crate) fn body(mut self, max_bytes: usize) -> Self {
        self.max_body = max_bytes;
        self
    }

    /// How long a body it takes, in bytes.
    pub fn max_body(&self) -> usize {
        self.max_body
    }

    /// Whether it takes a body of any length, line by line.
    pub fn is_streaming(&self) -> bool {
        self.streaming.is_some()
    }

    /// Takes a key that makes two requests one.
    pub(crate) fn idempotent(mut self) -> Self {
        self.is_idempotent = true;
        self
    }

    /// Answers with server-sent events.
    pub(crate) fn events(mut self) -> Self {
        self.is_live = true;
        self
    }

    pub(crate) fn paged(mut self) -> Self {
        self.paged = true;
        self
    }
}

fn named<T: ToSchema>() -> NamedSchema {
    let mut inner = Vec::new();
    T::schemas(&mut inner);
    (T::name().into_owned(), T::schema(), inner)
}

/// Every endpoint there is.
pub fn endpoints() -> Vec<Endpoint> {
    [
        account::endpoints(),
        admin_users::endpoints(),
        admin_cases::endpoints(),
        admin_certificates::endpoints(),
        admin_clients::endpoints(),
        admin_resources::endpoints(),
        admin_keys::endpoints(),
        admin_groups::endpoints(),
        admin_roles::endpoints(),
        admin_invitations::endpoints(),
        admin_access::endpoints(),
        admin_log::endpoints(),
        admin_measures::endpoints(),
        admin_configuration::endpoints(),
        admin_compliance::endpoints(),
        admin_gateway::endpoints(),
        admin_sinks::endpoints(),
        admin_subject_requests::endpoints(),
        aml::endpoints(),
        idv::endpoints(),
    ]
    .concat()
}

/// The endpoints on HTTP, and the document that describes them.
pub fn router(
    identity: Identity,
    provider: Provider,
    reload: Reload,
    (aml, checks, presentations): (Aml, Checks, Presentations),
) -> Router {
    let issuer = provider.settings.issuer.clone();
    let batches = Batches::default();
    let sessions = presentations.sessions.clone();
    let listeners = Listeners::default();
    let api = Api {
        identity,
        provider,
        reload,
        aml,
        batches,
        checks,
        sessions,
        presentations,
        listeners,
    };
    let document = get(move || async move { Json(openapi::document(&issuer)) });
    endpoints()
        .into_iter()
        .fold(Router::new(), |router, endpoint| {
            let Ok(filter) = MethodFilter::try_from(endpoint.method.clone()) else {
                return router;
            };
            let path = endpoint.path;
            let handler = move |State(api): State<Api>,
                                Path(path): Path<HashMap<String, String>>,
                                request: Request| {
                let endpoint = endpoint.clone();
                async move {
                    let reply = answer(endpoint, api, path, request).await;
                    no_store(reply.unwrap_or_else(IntoResponse::into_response))
                }
            };
            router.route(path, on(filter, handler))
        })
        .with_state(api)
        .route("/api/openapi.json", document)
}

async fn answer(
    endpoint: Endpoint,
    api: Api,
    path: HashMap<String, String>,
    request: Request,
) -> Reply {
    let (parts, body) = request.into_parts();
    // The gate has checked the scope of the route; an endpoint checks again that it was the gate.
    let caller = parts.extensions.get::<Caller>().cloned().ok_or(ApiError::Forbidden)?;
    let query = parts.uri.query().unwrap_or_default();
    let query = Params::parse(query.as_bytes()).map_err(|_| ApiError::Parameter("query"))?;
    // A stream of events cannot send fields of its own.
    let asked = endpoint.is_live.then(|| query.get("account")).flatten().map(str::as_bytes);
    let expected = parts.headers.get(ACCOUNT).map(HeaderValue::as_bytes).or(asked);
    if expected.is_some_and(|expected| expected != caller.id.as_bytes()) {
        return Err(ApiError::OtherAccount);
    }
    if !caller.scopes.iter().any(|scope| scope == endpoint.permission.scope()) {
        return Err(ApiError::Forbidden);
    }
    let origin = parts.extensions.get::<Origin>().cloned().unwrap_or_default();
    let key = parts.headers.get("idempotency-key").map(|value| value.to_str().unwrap_or_default());
    let key = key.map(str::to_owned);
    let kind = parts.headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let kind = kind.and_then(|kind| kind.split(';').next()).map(str::trim);
    if let Some(streaming) = endpoint.streaming
        && kind == Some(JSON_LINES)
    {
        let call = Call { caller, origin, path, query, key, body: Vec::new() };
        return streaming(api, call, body);
    }
    let body = Limited::new(body, endpoint.max_body).collect().await.map_err(|_| ApiError::Body)?;
    let body = body.to_bytes().to_vec();
    if endpoint.takes.is_some() && kind != Some("application/json") {
        return Err(ApiError::Body);
    }

    (endpoint.handler)(api, Call { caller, origin, path, query, key, body }).await
}

fn no_store(mut response: Response) -> Response {
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

pub(crate) fn ok(value: impl Serialize) -> Reply {
    Ok(Json(value).into_response())
}

pub(crate) fn created(value: impl Serialize) -> Reply {
    Ok((StatusCode::CREATED, Json(value)).into_response())
}

pub(crate) fn nothing() -> Reply {
    Ok(StatusCode::NO_CONTENT.into_response())
}
