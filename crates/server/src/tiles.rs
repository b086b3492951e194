//! The audit log over HTTP, as C2SP `tlog-tiles` has it, under the name that is in its checkpoints.
//!
//! The checkpoint and the tiles of hashes are for everybody: who can read them can hold us to what
//! we signed. A leaf's hash tells nothing of an entry, which has 80 random bits in its id. The
//! bundles of entries are for auditors.

use std::{path::PathBuf, sync::Arc};

use axum::{
    Router,
    extract::{Path, State},
    response::{IntoResponse, Response},
    routing::get,
};
use http::{StatusCode, header};
use portcullis_audit::{LogError, LogReader};
use portcullis_tlog::TileName;

/// A checkpoint is good until the next one.
const NEWEST: &str = "max-age=1";
/// A tile never changes.
const FOREVER: &str = "public, max-age=31536000, immutable";
/// The same for what only auditors may see.
const PRIVATE: &str = "private, max-age=31536000, immutable";

/// Answers for the log in `dir`, whose name is below `/audit/`.
pub fn router(dir: PathBuf, name: &str) -> Router {
    let dir = Arc::new(dir);
    Router::new()
        .route(&format!("/audit/{name}/checkpoint"), get(checkpoint))
        .route(&format!("/audit/{name}/tile/{{*rest}}"), get(tile))
        .with_state(dir)
}

async fn checkpoint(State(dir): State<Arc<PathBuf>>) -> Response {
    match read(dir, LogReader::checkpoint_text).await {
        Ok(note) => {
            let kind = "text/plain; charset=utf-8";
            ([(header::CONTENT_TYPE, kind), (header::CACHE_CONTROL, NEWEST)], note).into_response()
        }
        Err(error) => failed(&error),
    }
}

async fn tile(State(dir): State<Arc<PathBuf>>, Path(rest): Path<String>) -> Response {
    let Some(name) = TileName::parse(&format!("tile/{rest}")) else {
        return StatusCode::NOT_FOUND.into_response();
    };
    let found = read(dir, move |log| log.resource(name, log.signed_size()?)).await;
    match found {
        Ok(Some(bytes)) => {
            let cache = if name.level.is_some() { FOREVER } else { PRIVATE };
            let kind = "application/octet-stream";
            ([(header::CONTENT_TYPE, kind), (header::CACHE_CONTROL, cache)], bytes).into_response()
        }
        Ok(None) => StatusCode::NOT_FOUND.into_response(),
        Err(error) => failed(&error),
    }
}

/// Reads on a thread that may wait for a disk.
async fn read<T: Send + 'static>(
    dir: Arc<PathBuf>,
    what: impl FnOnce(&LogReader) -> Result<T, LogError> + Send + 'static,
) -> anyhow::Result<T> {
    let read = move || LogReader::open(&dir).and_then(|log| what(&log));
    Ok(tokio::task::spawn_blocking(read).await??)
}

fn failed(error: &anyhow::Error) -> Response {
    tracing::error!(error = format!("{error:#}"), "the audit log could not be read");
    StatusCode::SERVICE_UNAVAILABLE.into_response()
}
