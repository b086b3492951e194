//! Codes that were sent to addresses and numbers.

use portcullis_types::{Id, Timestamp, tags};

use crate::db::{DbError, Tx};
use crate::query::{Source, sql};

/// A row of `idv_code`.
#[derive(Debug, Clone, sqlx::FromRow)]
pub struct CodeRow {
    /// The task that waits for it.
    pub task: i64,
    /// Which one it is for this task, from 1.
    pub send: i64,
    /// The address, sealed.
    pub sealed: Vec<u8>,
    /// A keyed digest of it.
    pub address: String,
    /// How it went there: `email` or `phone`.
    pub channel: String,
    /// A keyed digest of the code.
    pub code: Vec<u8>,
    /// How often a wrong one was given, of all of the task.
    pub tries: i64,
    /// When it was sent.
    #[sqlx(try_from = "i64")]
    pub sent_at: Timestamp,
    /// Until when it works.
    #[sqlx(try_from = "i64")]
    pub expires_at: Timestamp,
}

#[derive(sqlx::FromRow)]
struct Sent {
    n: i64,
}

/// Adds one that is sent, or counts a wrong one.
pub async fn put(
    tx: &Tx,
    tenant: &str,
    session: Id<tags::IdvSession>,
    row: &CodeRow,
) -> Result<(), DbError> {
    sql("INSERT INTO idv_code (tenant, session_id, task, send, sealed, address, channel, code, tries, sent_at, expires_at) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11) \
         ON CONFLICT (tenant, session_id, task, send) DO UPDATE SET tries = excluded.tries")
    .bind(tenant)
    .bind(session)
    .bind(row.task)
    .bind(row.send)
    .bind(row.sealed.as_slice())
    .bind(&row.address)
    .bind(&row.channel)
    .bind(row.code.as_slice())
    .bind(row.tries)
    .bind(row.sent_at)
    .bind(row.expires_at)
    .execute(tx)
    .await
    .map(drop)
}

/// The last one that was sent for a task: it is the one that works.
pub async fn of_task(
    source: impl Source,
    tenant: &str,
    session: Id<tags::IdvSession>,
    task: i64,
) -> Result<Option<CodeRow>, DbError> {
    sql("SELECT task, send, sealed, address, channel, code, tries, sent_at, expires_at FROM idv_code \
         WHERE tenant = $1 AND session_id = $2 AND task = $3 ORDER BY send DESC LIMIT 1")
    .bind(tenant)
    .bind(session)
    .bind(task)
    .optional(source)
    .await
}

/// How many were sent to an address after `since`.
pub async fn sent_to(
    source: impl Source,
    tenant: &str,
    address: &str,
    since: Timestamp,
) -> Result<i64, DbError> {
    let sent: Option<Sent> = sql("SELECT COUNT(*) AS n FROM idv_code \
                                  WHERE tenant = $1 AND address = $2 AND sent_at > $3")
    .bind(tenant)
    .bind(address)
    .bind(since)
    .optional(source)
    .await?;
    Ok(sent.map_or(0, |sent| sent.n))
}

/// How many were sent in one way after `since`, to whomever.
pub async fn sent_by(
    source: impl Source,
    tenant: &str,
    channel: &str,
    since: Timestamp,
) -> Result<i64, DbError> {
    let sent: Option<Sent> = sql("SELECT COUNT(*) AS n FROM idv_code \
                                  WHERE tenant = $1 AND channel = $2 AND sent_at > $3")
    .bind(tenant)
    .bind(channel)
    .bind(since)
    .optional(source)
    .await?;
    Ok(sent.map_or(0, |sent| sent.n))
}
