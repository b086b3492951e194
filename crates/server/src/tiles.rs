//! The audit logs over HTTP, as C2SP `tlog-tiles` has it, under the names that are in their checkpoints:
//! one for each year.
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
use portcullis_audit::{LogError, LogReader, is_year, newest_log};
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
    root: Arc<PathBuf>,
    turns: Arc<Semaphore>,
}

/// Answers for the logs below `root`, whose names are below `/audit/node/`.
pub fn router(root: PathBuf, node: &str) -> Router {
    let log = Log { root: Arc::new(root), turns: Arc::new(Semaphore::new(READS_AT_ONCE)) };
    Router::new()
        .route(&format!("/audit/{node}/checkpoint"), get(newest))
        .route(&format!("/audit/{node}/{{year}}/checkpoint"), get(checkpoint))
        .route(&format!("/audit/{node}/{{year}}/tile/{{*rest}}"), get(tile))
        .with_state(log)
}

/// The checkpoint of the log that grows, whose first line says which it is.
async fn newest(State(log): State<Log>) -> Response {
    told(read(log, None, LogReader::checkpoint_text).await)
}

async fn checkpoint(State(log): State<Log>, Path(year): Path<String>) -> Response {
    told(read(log, Some(year), LogReader::checkpoint_text).await)
}

fn told(checkpoint: anyhow::Result<Option<String>>) -> Response {
    match checkpoint {
        Ok(None) => StatusCode::NOT_FOUND.into_response(),
        Ok(Some(note)) => {
            let kind = "text/plain; charset=utf-8";
            ([(header::CONTENT_TYPE, kind), (header::CACHE_CONTROL, NEWEST)], note).into_response()
        }
        Err(error) => failed(&error),
    }
}

async fn tile(State(log): State<Log>, Path((year, rest)): Path<(String, String)>) -> Response {
    let Some(name) = TileName::parse(&format!("tile/{rest}")) else {
        return StatusCode::NOT_FOUND.into_response();
    };
    let found = read(log, Some(year), move |log| log.resource(name, log.signed_size()?)).await;
    match found.map(Option::flatten) {
        Ok(Some(bytes)) => {
            let cache = if name.level.is_some() { FOREVER } else { PRIVATE };
            let kind = "application/octet-stream";
            ([(header::CONTENT_TYPE, kind), (header::CACHE_CONTROL, cache)], bytes).into_response()
        }
        Ok(None) => StatusCode::NOT_FOUND.into_response(),
        Err(error) => failed(&error),
    }
}

/// Reads on a thread that may wait for a disk, in the log of a year or the newest. `None` if there is
/// no such log.
async fn read<T: Send + 'static>(
    log: Log,
    year: Option<String>,
    what: impl FnOnce(&LogReader) -> Result<T, LogError> + Send + 'static,
) -> anyhow::Result<Option<T>> {
    let _turn = log.turns.acquire().await?;
    let root = log.root.clone();
    let read = move || {
        let dir = match year {
            Some(year) => Some(root.join(&year)).filter(|dir| is_year(&year) && dir.is_dir()),
            None => newest_log(&root)?,
        };
        let read = |dir: PathBuf| LogReader::open(&dir).and_then(|log| what(&log));
        dir.map(read).transpose()
    };
    Ok(tokio::task::spawn_blocking(read).await??)
}

fn failed(error: &anyhow::Error) -> Response {
    tracing::error!(error = format!("{error:#}"), "the audit log could not be read");
    StatusCode::SERVICE_UNAVAILABLE.into_response()
}
