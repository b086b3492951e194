use http::{Method, StatusCode};
use serde::{Deserialize, Serialize};
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
        Endpoint::new(
            Method::POST,
            "/api/admin/v1/configuration/check",
            Admin,
            "What is wrong with a text, line by line, and what would need a restart. Nothing changes",
            check,
        )
        .takes::<TriedText>()
        .body(2 * MAX_TEXT_BYTES)
        .returns::<CheckedView>(ok),
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

/// The file is at most this long, and a body that has it somewhat longer.
const MAX_TEXT_BYTES: usize = 1 << 20;

/// A configuration that somebody tries out.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct TriedText {
    /// All of `portcullis.toml`, at most 1 MiB.
    text: String,
}

/// What would come of it.
#[derive(Debug, Serialize, ToSchema)]
pub struct CheckedView {
    /// Whether nothing wrong was found. What is in files that were not opened is not part of that.
    pub sound: bool,
    /// What is wrong, at most 50. One alone if the text is no TOML or a key or value does not exist.
    pub mistakes: Vec<MistakeView>,
    /// How many routes there would be, with those that are built in; left out where it was not built.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub routes: Option<usize>,
    /// Files that it names for something that the configuration in force does not name them for, as `key: path`.
    /// They were not opened, and then nothing is built.
    pub unread: Vec<String>,
    /// Parts that differ from those in force and wait for a restart.
    pub needs_restart: Vec<String>,
}

/// Something that is wrong.
#[derive(Debug, Serialize, ToSchema)]
pub struct MistakeView {
    /// Counted from 1; left out if it is about no part of the text.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub line: Option<usize>,
    /// In characters, counted from 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub column: Option<usize>,
    /// In words.
    pub message: String,
}

async fn show(api: Api, _: Call) -> Reply {
    ok(api.reload.0.configuration(false).await.ok_or(ApiError::NotFound)?)
}

async fn check(api: Api, call: Call) -> Reply {
    let TriedText { text } = call.json()?;
    if text.len() > MAX_TEXT_BYTES {
        let message = format!("must be at most {MAX_TEXT_BYTES} bytes");
        return Err(ApiError::field("text", message));
    }
    ok(api.reload.0.check(text).await.ok_or(ApiError::NotFound)?)
}

async fn reload(api: Api, _: Call) -> Reply {
    let status = api.reload.0.configuration(true).await.ok_or(ApiError::NotFound)?;
    match status.error {
        Some(message) => Err(ApiError::field("configuration", message)),
        None => ok(status),
    }
}
