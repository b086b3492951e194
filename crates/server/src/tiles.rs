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
use tokio::sync::Semaphore;

/// A checkpoint is good until the next one.
const NEWEST: &str = "max-age=1";
/// A tile never changes.
const FOREVER: &str = "public, max-age=31536000, immutable";
/// The same for what only auditors may see.
const PRIVATE: &str = "private, max-age=31536000, immutable";

/// Reads at once: others wait for the same threads.
const READS_AT_ONCE: usize = 4;

#[derive(Clone)]
struct Log {
    dir: Arc<PathBuf>,
    turns: Arc<Semaphore>,
}

/// Answers for the log in `dir`, whose name is below `/audit/`.
pub fn router(dir: PathBuf, name: &str) -> Router {
    let log = Log { dir: Arc::new(dir), turns: Arc::new(Semaphore::new(READS_AT_ONCE)) };
    Router::new()
        .route(&format!("/audit/{name}/checkpoint"), get(checkpoint))
        .route(&format!("/audit/{name}/tile/{{*rest}}"), get(tile))
        .with_state(log)
}

async fn checkpoint(State(log): State<Log>) -> Response {
    match read(log, LogReader::checkpoint_text).await {
        Ok(note) => {
            let kind = "text/plain; charset=utf-8";
            ([(header::CONTENT_TYPE, kind), (header::CACHE_CONTROL, NEWEST)], note).into_response()
        }
        Err(error) => failed(&error),
    }
}

async fn tile(State(log): State<Log>, Path(rest): Path<String>) -> Response {
    let Some(name) = TileName::parse(&format!("tile/{rest}")) else {
        return StatusCode::NOT_FOUND.into_response();
    };
    let found = read(log, move |log| log.resource(name, log.signed_size()?)).await;
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
    log: Log,
    what: impl FnOnce(&LogReader) -> Result<T, LogError> + Send + 'static,
) -> anyhow::Result<T> {
    let _turn = log.turns.acquire().await?;
    let dir = log.dir.clone();
    let read = move || LogReader::open(&dir).and_then(|log| what(&log));
    Ok(tokio::task::spawn_blocking(read).await??)
}

fn failed(error: &anyhow::Error) -> Response {
    tracing::error!(error = format!("{error:#}"), "the audit log could not be read");
    StatusCode::SERVICE_UNAVAILABLE.into_response()
}
