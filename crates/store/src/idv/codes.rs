//! Codes that were sent to addresses.

use portcullis_types::{Id, Timestamp, tags};

use crate::db::{DbError, Tx};
use crate::query::{Source, sql};

/// A row of `idv_code`.
#[derive(Debug, Clone, sqlx::FromRow)]
pub struct CodeRow {
    /// The task that waits for it.
    pub task: i64,
    /// The address, sealed.
    pub sealed: Vec<u8>,
    /// A keyed digest of it.
    pub address: String,
    /// A keyed digest of the code.
    pub code: Vec<u8>,
    /// How often a wrong one was given.
    pub tries: i64,
    /// How often one was sent.
    pub sends: i64,
    /// When the last one was.
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

/// Puts it in the place of the one that was sent before for the same task.
pub async fn put(
    tx: &Tx,
    tenant: &str,
    session: Id<tags::IdvSession>,
    row: &CodeRow,
) -> Result<(), DbError> {
    sql("INSERT INTO idv_code (tenant, session_id, task, sealed, address, code, tries, sends, sent_at, expires_at) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10) ON CONFLICT (tenant, session_id, task) DO UPDATE SET \
         sealed = excluded.sealed, address = excluded.address, code = excluded.code, tries = excluded.tries, \
         sends = excluded.sends, sent_at = excluded.sent_at, expires_at = excluded.expires_at")
    .bind(tenant)
    .bind(session)
    .bind(row.task)
    .bind(row.sealed.as_slice())
    .bind(&row.address)
    .bind(row.code.as_slice())
    .bind(row.tries)
    .bind(row.sends)
    .bind(row.sent_at)
    .bind(row.expires_at)
    .execute(tx)
    .await
    .map(drop)
}

/// The one that was sent for a task.
pub async fn of_task(
    source: impl Source,
    tenant: &str,
    session: Id<tags::IdvSession>,
    task: i64,
) -> Result<Option<CodeRow>, DbError> {
    sql("SELECT task, sealed, address, code, tries, sends, sent_at, expires_at FROM idv_code \
         WHERE tenant = $1 AND session_id = $2 AND task = $3")
    .bind(tenant)
    .bind(session)
    .bind(task)
    .optional(source)
    .await
}

/// How many were sent to an address for tasks to which the last one was after `since`.
pub async fn sent_to(
    source: impl Source,
    tenant: &str,
    address: &str,
    since: Timestamp,
) -> Result<i64, DbError> {
    let sent: Option<Sent> =
        sql("SELECT CAST(COALESCE(SUM(sends), 0) AS BIGINT) AS n FROM idv_code \
                                  WHERE tenant = $1 AND address = $2 AND sent_at > $3")
        .bind(tenant)
        .bind(address)
        .bind(since)
        .optional(source)
        .await?;
    Ok(sent.map_or(0, |sent| sent.n))
}
