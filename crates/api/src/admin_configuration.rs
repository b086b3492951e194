use std::{fmt, future::Future, pin::Pin, sync::Arc};

use http::{Method, StatusCode};
use portcullis_identity::FieldError;
use serde::Serialize;
use utoipa::ToSchema;

use crate::{
    ApiError,
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

type Told = Pin<Box<dyn Future<Output = Option<ConfigurationStatus>> + Send>>;

/// The way to whoever holds the configuration.
#[derive(Clone)]
pub struct Reload(Arc<dyn Fn(bool) -> Told + Send + Sync>);

impl Reload {
    /// From a function that reads the configuration again if it is asked to, and tells how it is
    /// then; nothing while the process starts or ends.
    pub fn new(ask: impl Fn(bool) -> Told + Send + Sync + 'static) -> Self {
        Self(Arc::new(ask))
    }
}

impl fmt::Debug for Reload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Reload")
    }
}

async fn show(api: Api, _: Call) -> Reply {
    ok((api.reload.0)(false).await.ok_or(ApiError::NotFound)?)
}

async fn reload(api: Api, _: Call) -> Reply {
    let status = (api.reload.0)(true).await.ok_or(ApiError::NotFound)?;
    match status.error {
        Some(message) => {
            Err(ApiError::Invalid(vec![FieldError { field: "configuration", message }]))
        }
        None => ok(status),
    }
}
