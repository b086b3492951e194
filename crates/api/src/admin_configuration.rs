use std::{fmt, future::Future, pin::Pin, sync::Arc};

use http::{Method, StatusCode};
use portcullis_identity::FieldError;
use serde::Serialize;
use utoipa::ToSchema;

use crate::{
    ApiError, ControlsView, ExplainInput, GatewayView, StageView,
    call::Call,
    endpoint::{Api, Endpoint, Permission::Admin, Reply, ok},
};

pub(crate) fn endpoints() -> Vec<Endpoint> {
    let ok = StatusCode::OK;
    vec![
        Endpoint::new(
            Method::GET,
            "/api/admin/v1/configuration",
            Admin,
            "Which configuration is in force, and why a newer one is not",
            show,
        )
        .returns::<ConfigurationStatus>(ok),
        Endpoint::new(
            Method::POST,
            "/api/admin/v1/configuration/reload",
            Admin,
            "Read the configuration again; if any of it cannot be used, nothing changes",
            reload,
        )
        .returns::<ConfigurationStatus>(ok),
    ]
}

/// Which configuration is in force.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct ConfigurationStatus {
    /// SHA-256 of the file, hexadecimal.
    pub digest: String,
    /// When it was taken, RFC 3339.
    pub loaded_at: String,
    /// Why the last attempt to take another one failed, if it did.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// When that was, RFC 3339.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failed_at: Option<String>,
}

/// What comes of it; nothing while the process starts or ends.
pub type Told<T> = Pin<Box<dyn Future<Output = Option<T>> + Send>>;

/// The running process.
pub trait Process: Send + Sync {
    /// How the configuration is, after it was read again if that is asked for.
    fn configuration(&self, again: bool) -> Told<ConfigurationStatus>;

    /// Waits until it ends.
    fn closing(&self) -> Told<()>;

    /// Controls as they are.
    fn controls(&self) -> Told<ControlsView>;

    /// Until when the log tells who it was, of accounts and of others.
    fn log_keeps(&self) -> (String, String);

    /// The gate as it stands.
    fn gateway(&self) -> Option<GatewayView>;

    /// What its stages would say to a request.
    fn explain(&self, input: ExplainInput) -> Told<Vec<StageView>>;
}

/// The way to the running process.
#[derive(Clone)]
pub struct Reload(pub(crate) Arc<dyn Process>);

impl Reload {
    /// To this one.
    pub fn new(process: impl Process + 'static) -> Self {
        Self(Arc::new(process))
    }
}

impl fmt::Debug for Reload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Reload")
    }
}

async fn show(api: Api, _: Call) -> Reply {
    ok(api.reload.0.configuration(false).await.ok_or(ApiError::NotFound)?)
}

async fn reload(api: Api, _: Call) -> Reply {
    let status = api.reload.0.configuration(true).await.ok_or(ApiError::NotFound)?;
    match status.error {
        Some(message) => {
            Err(ApiError::Invalid(vec![FieldError { field: "configuration", message }]))
        }
        None => ok(status),
    }
}
