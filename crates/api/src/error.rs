use axum::{
    Json,
    response::{IntoResponse, Response},
};
use http::{HeaderValue, StatusCode, header};
use portcullis_identity::{FieldError, IdentityError};
use portcullis_oidc::{ClientError, KeyRingError, ProviderError};
use portcullis_store::DbError;
use portcullis_verification::{AmlError, CheckError, PresentationError, SessionError};
use portcullis_workflow::Problem as GraphProblem;

use serde::Serialize;
use utoipa::ToSchema;

/// One value that cannot be accepted.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct Violation {
    /// Where it is, as a JSON pointer (RFC 6901).
    pub pointer: String,
    /// What it must be.
    pub message: String,
}

/// An API call failed.
#[derive(Debug, thiserror::Error)]
pub enum ApiError {
    /// The body is not JSON of the expected shape.
    #[error("the body is not JSON of the expected shape")]
    Body,
    /// The body ended before its end.
    #[error("the body was cut off, or came too slowly")]
    CutOff,
    /// A parameter in path or query is malformed.
    #[error("the parameter {0} is malformed")]
    Parameter(&'static str),
    /// Some values cannot be accepted.
    #[error("some values cannot be accepted")]
    Invalid(Vec<FieldError>),
    /// A value cannot be accepted.
    #[error("some values cannot be accepted")]
    At(Violation),
    /// The current password is wrong.
    #[error("the current password is not right")]
    CurrentPassword,
    /// There is no such object, or it is not the caller's.
    #[error("there is no such object")]
    NotFound,
    /// The last administrator must stay.
    #[error("the last administrator cannot be removed, disabled or demoted")]
    LastAdmin,
    /// Somebody else is logged in than whom the page was made for.
    #[error("somebody else is logged in")]
    OtherAccount,
    /// It changed since the caller looked.
    #[error("it changed meanwhile; look at it again")]
    Stale,
    /// The caller may not do this.
    #[error("the caller may not do this")]
    Forbidden,
    /// Too many wrong passwords.
    #[error("too many attempts failed; wait before the next")]
    Throttled(std::time::Duration),
    /// Too many password checks are waiting.
    #[error("too many requests are waiting")]
    Busy,
    /// Whoever proposed it cannot approve it.
    #[error("somebody else than who proposed it must approve it")]
    FourEyes,
    /// A subject with hits that nobody has cleared cannot be erased.
    #[error("it has hits that nobody has cleared")]
    OpenHits,
    /// There is nothing to screen against.
    #[error("no list has been imported: nobody can be screened")]
    NoLists,
    /// A list cannot be used.
    #[error("the list {0} cannot be used: the log of the server says why")]
    List(String),
    /// Screening failed.
    #[error("the request could not be completed")]
    Screening(#[source] AmlError),
    /// A check failed on our side.
    #[error("the request could not be completed")]
    Checking(#[source] CheckError),
    /// A graph makes no sense.
    #[error("the graph makes no sense")]
    Graph(Vec<GraphProblem>),
    /// Not now; why.
    #[error("{0}")]
    Conflict(String),
    /// The session waits for other steps.
    #[error("the session does not wait for this step; it waits for: {0}")]
    NotAsked(String),
    /// The same key came with another request.
    #[error("the Idempotency-Key was used for another request")]
    KeyReused,
    /// What it was about was erased.
    #[error("it was erased")]
    Gone,
    /// A session failed on our side.
    #[error("the request could not be completed")]
    Verifying(#[source] SessionError),
    /// A part of ours failed.
    #[error("the request could not be completed")]
    Failed(#[source] IdentityError),
    /// The signing keys cannot be opened or made.
    #[error("the request could not be completed")]
    Keys(#[source] KeyRingError),
    /// Nobody's credentials count.
    #[error("no issuer of credentials is trusted: see verification.issuer in the configuration")]
    NoIssuers,
    /// A request to show credentials failed on our side.
    #[error("the request could not be completed")]
    Presenting(#[source] PresentationError),
    /// Nothing could be signed.
    #[error("the request could not be completed")]
    Signing(#[source] ProviderError),
}

impl From<IdentityError> for ApiError {
    fn from(error: IdentityError) -> Self {
        match error {
            IdentityError::Invalid(fields) => Self::Invalid(fields),
            IdentityError::CurrentPassword => Self::CurrentPassword,
            IdentityError::NotFound | IdentityError::Link => Self::NotFound,
            IdentityError::LastAdmin => Self::LastAdmin,
            IdentityError::Stale => Self::Stale,
            IdentityError::Throttled(wait) => Self::Throttled(wait),
            IdentityError::Busy => Self::Busy,
            error => Self::Failed(error),
        }
    }
}

impl From<AmlError> for ApiError {
    fn from(error: AmlError) -> Self {
        match error {
            AmlError::Invalid(field, message) => Self::field(field, message),
            AmlError::NotFound => Self::NotFound,
            AmlError::Stale => Self::Stale,
            AmlError::FourEyes => Self::FourEyes,
            AmlError::OpenHits => Self::OpenHits,
            AmlError::NoLists => Self::NoLists,
            AmlError::List(name, why) => {
                tracing::error!(list = name, error = %why, "a list cannot be used");
                Self::List(name)
            }
            AmlError::Busy => Self::Busy,
            error => Self::Screening(error),
        }
    }
}

impl From<PresentationError> for ApiError {
    fn from(error: PresentationError) -> Self {
        match error {
            PresentationError::Invalid(pointer, message) => {
                Self::At(Violation { pointer, message })
            }
            PresentationError::NotFound => Self::NotFound,
            PresentationError::NoIssuers => Self::NoIssuers,
            PresentationError::Session(error) => error.into(),
            error => Self::Presenting(error),
        }
    }
}

impl From<CheckError> for ApiError {
    fn from(error: CheckError) -> Self {
        match error {
            CheckError::Invalid(field, message) => {
                Self::Invalid(vec![FieldError { field, message }])
            }
            CheckError::Busy => Self::Busy,
            error => Self::Checking(error),
        }
    }
}

impl From<SessionError> for ApiError {
    fn from(error: SessionError) -> Self {
        match error {
            SessionError::Invalid(field, message) => {
                Self::Invalid(vec![FieldError { field, message }])
            }
            SessionError::Graph(problems) => Self::Graph(problems),
            SessionError::NotFound => Self::NotFound,
            SessionError::Stale => Self::Stale,
            SessionError::NotPublished
            | SessionError::NotDecided
            | SessionError::Overlap
            | SessionError::Refused(_) => Self::Conflict(error.to_string()),
            SessionError::NotAsked(steps) => Self::NotAsked(match &steps[..] {
                [] => "nothing of the person".to_owned(),
                steps => steps.join(", "),
            }),
            SessionError::Forbidden => Self::Forbidden,
            SessionError::KeyReused => Self::KeyReused,
            SessionError::Erased => Self::Gone,
            SessionError::Check(error) => error.into(),
            error => Self::Verifying(error),
        }
    }
}

impl From<DbError> for ApiError {
    fn from(error: DbError) -> Self {
        Self::Failed(error.into())
    }
}

impl From<ClientError> for ApiError {
    fn from(error: ClientError) -> Self {
        match error {
            ClientError::Invalid(fields) => Self::Invalid(fields),
            ClientError::NotFound => Self::NotFound,
            ClientError::Failed(error) => error.into(),
        }
    }
}

impl From<KeyRingError> for ApiError {
    fn from(error: KeyRingError) -> Self {
        match error {
            KeyRingError::NotFound => Self::NotFound,
            KeyRingError::TooMany => Self::Invalid(vec![portcullis_identity::FieldError {
                field: "use",
                message: error.to_string(),
            }]),
            KeyRingError::Db(error) => error.into(),
            error => Self::Keys(error),
        }
    }
}

/// A problem document (RFC 9457).
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Problem {
    /// A name for the kind of problem.
    #[serde(rename = "type")]
    kind: String,
    /// What it is, in a few words.
    title: String,
    /// The status.
    pub status: u16,
    /// What to change.
    pub detail: String,
    /// The values that cannot be accepted.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub violations: Vec<Violation>,
    /// What is wrong with a graph.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(value_type = Vec<Object>)]
    pub problems: Vec<GraphProblem>,
}

impl ApiError {
    fn status(&self) -> (StatusCode, &'static str) {
        match self {
            Self::Body => (StatusCode::BAD_REQUEST, "body"),
            Self::CutOff => (StatusCode::BAD_REQUEST, "cut_off"),
            Self::Parameter(_) => (StatusCode::BAD_REQUEST, "parameter"),
            Self::Invalid(_) | Self::At(_) => (StatusCode::UNPROCESSABLE_ENTITY, "invalid"),
            Self::CurrentPassword => (StatusCode::UNPROCESSABLE_ENTITY, "current_password"),
            Self::OtherAccount => (StatusCode::PRECONDITION_FAILED, "other_account"),
            Self::NotFound => (StatusCode::NOT_FOUND, "not_found"),
            Self::LastAdmin => (StatusCode::CONFLICT, "last_admin"),
            Self::FourEyes => (StatusCode::CONFLICT, "four_eyes"),
            Self::OpenHits => (StatusCode::CONFLICT, "open_hits"),
            Self::Graph(_) => (StatusCode::UNPROCESSABLE_ENTITY, "graph"),
            Self::Conflict(_) => (StatusCode::CONFLICT, "conflict"),
            Self::NotAsked(_) => (StatusCode::CONFLICT, "not_asked"),
            Self::KeyReused => (StatusCode::UNPROCESSABLE_ENTITY, "key_reused"),
            Self::Gone => (StatusCode::GONE, "gone"),
            Self::NoLists => (StatusCode::SERVICE_UNAVAILABLE, "no_lists"),
            Self::List(_) => (StatusCode::SERVICE_UNAVAILABLE, "list"),
            Self::NoIssuers => (StatusCode::CONFLICT, "no_issuers"),
            Self::Stale => (StatusCode::CONFLICT, "stale"),
            Self::Forbidden => (StatusCode::FORBIDDEN, "forbidden"),
            Self::Throttled(_) => (StatusCode::TOO_MANY_REQUESTS, "throttled"),
            Self::Busy => (StatusCode::SERVICE_UNAVAILABLE, "busy"),
            Self::Failed(_)
            | Self::Keys(_)
            | Self::Signing(_)
            | Self::Screening(_)
            | Self::Checking(_)
            | Self::Presenting(_)
            | Self::Verifying(_) => (StatusCode::SERVICE_UNAVAILABLE, "unavailable"),
        }
    }
}

impl ApiError {
    /// A value that cannot be accepted, and what it must be.
    pub fn field(field: &'static str, message: impl Into<String>) -> Self {
        Self::Invalid(vec![FieldError { field, message: message.into() }])
    }

    /// What failed on our side is for our log.
    pub(crate) fn trace(&self) {
        if self.status().0 == StatusCode::SERVICE_UNAVAILABLE
            && std::error::Error::source(self).is_some()
        {
            tracing::error!(error = self as &dyn std::error::Error, "an API call failed");
        }
    }

    /// The problem document.
    pub(crate) fn problem(&self) -> Problem {
        let (status, kind) = self.status();
        let violations = match self {
            Self::Invalid(fields) => fields
                .iter()
                .map(|field| Violation {
                    pointer: format!("/{}", field.field),
                    message: field.message.clone(),
                })
                .collect(),
            Self::At(violation) => vec![violation.clone()],
            _ => Vec::new(),
        };
        Problem {
            kind: format!("urn:portcullis:problem:{kind}"),
            title: status.canonical_reason().unwrap_or("Error").to_owned(),
            status: status.as_u16(),
            detail: self.to_string(),
            violations,
            problems: match self {
                Self::Graph(problems) => problems.clone(),
                _ => Vec::new(),
            },
        }
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        self.trace();

        let (status, _) = self.status();
        let problem = self.problem();
        let mut response = (status, Json(problem)).into_response();
        let headers = response.headers_mut();
        let json = HeaderValue::from_static("application/problem+json");
        headers.insert(header::CONTENT_TYPE, json);
        if let Self::Throttled(wait) = &self {
            headers.insert(header::RETRY_AFTER, wait.as_secs().max(1).into());
        }
        if status == StatusCode::SERVICE_UNAVAILABLE {
            headers.insert(header::RETRY_AFTER, HeaderValue::from_static("5"));
        }
        response
    }
}
