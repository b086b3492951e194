//! Codes that were sent to addresses and numbers.

use portcullis_types::{Id, Timestamp, tags};

use crate::db::{DbError, Tx};
use crate::query::{Query, Source, sql};

/// A row of `idv_code`.
#[derive(Debug, Clone, sqlx::FromRow)]
pub struct CodeRow {
    /// The task that waits for it.
    pub task: i64,
    /// Which one it is for this task, from 1.
    pub send: i64,
    /// The address, sealed.
    pub sealed: Vec<u8>,
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
    sql("INSERT INTO idv_code (tenant, session_id, task, send, sealed, code, tries, sent_at, expires_at) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9) \
         ON CONFLICT (tenant, session_id, task, send) DO UPDATE SET tries = excluded.tries")
    .bind(tenant)
    .bind(session)
    .bind(row.task)
    .bind(row.send)
    .bind(row.sealed.as_slice())
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
    sql("SELECT task, send, sealed, code, tries, sent_at, expires_at FROM idv_code \
         WHERE tenant = $1 AND session_id = $2 AND task = $3 ORDER BY send DESC LIMIT 1")
    .bind(tenant)
    .bind(session)
    .bind(task)
    .optional(source)
    .await
}

/// That a code went out. It is kept apart from sessions.
#[derive(Debug, Clone)]
pub struct SentRow {
    /// Of nothing else.
    pub id: String,
    /// How: `email` or `phone`.
    pub channel: &'static str,
    /// A keyed digest of where it went.
    pub address: String,
    /// A keyed digest of the line from which somebody asked for it on our page; empty if a service did.
    pub line: String,
    /// Whether the address was known of the person.
    pub is_known: bool,
    /// When.
    pub sent_at: Timestamp,
    /// Until when that counts.
    pub expires_at: Timestamp,
}

/// Notes that one went out.
pub async fn note_sent(tx: &Tx, tenant: &str, row: &SentRow) -> Result<(), DbError> {
    sql("INSERT INTO idv_code_sent (tenant, id, channel, address, line, is_known, sent_at, expires_at) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8)")
    .bind(tenant)
    .bind(&row.id)
    .bind(row.channel)
    .bind(&row.address)
    .bind(&row.line)
    .bind(row.is_known)
    .bind(row.sent_at)
    .bind(row.expires_at)
    .execute(tx)
    .await
    .map(drop)
}

/// How many codes were sent to an address after `since`.
pub async fn sent_to(
    source: impl Source,
    tenant: &str,
    address: &str,
    since: Timestamp,
) -> Result<i64, DbError> {
    let query = sql("SELECT COUNT(*) AS n FROM idv_code_sent \
                     WHERE tenant = $1 AND address = $2 AND sent_at > $3");
    count(source, query.bind(tenant).bind(address).bind(since)).await
}

/// How many were sent in one way, to addresses that nobody knew, for whoever came from a line.
pub async fn sent_from(
    source: impl Source,
    tenant: &str,
    (channel, line): (&str, &str),
    since: Timestamp,
) -> Result<i64, DbError> {
    let query = sql("SELECT COUNT(*) AS n FROM idv_code_sent \
                     WHERE tenant = $1 AND line = $2 AND sent_at > $3 AND channel = $4 AND NOT is_known");
    count(source, query.bind(tenant).bind(line).bind(since).bind(channel)).await
}

/// How many were sent in one way after `since`: to addresses that nobody knew, or to all.
pub async fn sent_by(
    source: impl Source,
    tenant: &str,
    (channel, only_typed): (&str, bool),
    since: Timestamp,
) -> Result<i64, DbError> {
    let query = sql("SELECT COUNT(*) AS n FROM idv_code_sent \
                     WHERE tenant = $1 AND channel = $2 AND sent_at > $3 AND NOT (is_known AND $4)");
    count(source, query.bind(tenant).bind(channel).bind(since).bind(only_typed)).await
}

async fn count(source: impl Source, query: Query) -> Result<i64, DbError> {
    let sent: Option<Sent> = query.optional(source).await?;
    Ok(sent.map_or(0, |sent| sent.n))
}
