//! From where people went through sessions.

use portcullis_types::{Id, Timestamp, tags};

use crate::db::{DbError, Tx};
use crate::query::{Source, sql};

/// A row of `idv_seen`.
#[derive(Debug, Clone, sqlx::FromRow)]
pub struct SeenRow {
    /// A keyed digest of what is sealed.
    pub digest: String,
    /// Address and browser, sealed with the key of the session.
    pub sealed: Vec<u8>,
    /// When that was seen first.
    #[sqlx(try_from = "i64")]
    pub seen_at: Timestamp,
}

/// Adds one, unless it is there, or there are `most`. Tells whether it was added.
pub async fn add(
    tx: &Tx,
    tenant: &str,
    session: Id<tags::IdvSession>,
    row: &SeenRow,
    most: i64,
) -> Result<bool, DbError> {
    let added = sql("INSERT INTO idv_seen (tenant, session_id, digest, sealed, seen_at) \
                     SELECT $1, $2, $3, $4, $5 WHERE (SELECT COUNT(*) FROM idv_seen \
                     WHERE tenant = $1 AND session_id = $2) < $6 \
                     ON CONFLICT (tenant, session_id, digest) DO NOTHING")
    .bind(tenant)
    .bind(session)
    .bind(&row.digest)
    .bind(row.sealed.as_slice())
    .bind(row.seen_at)
    .bind(most)
    .execute(tx)
    .await?;
    Ok(added == 1)
}

/// Whether one is there.
pub async fn has(
    source: impl Source,
    tenant: &str,
    session: Id<tags::IdvSession>,
    digest: &str,
) -> Result<bool, DbError> {
    #[derive(sqlx::FromRow)]
    struct Found {
        #[expect(dead_code, reason = "that there is one is enough")]
        seen_at: i64,
    }
    let found: Option<Found> =
        sql("SELECT seen_at FROM idv_seen WHERE tenant = $1 AND session_id = $2 AND digest = $3")
            .bind(tenant)
            .bind(session)
            .bind(digest)
            .optional(source)
            .await?;
    Ok(found.is_some())
}

/// All of a session, the newest first.
pub async fn of_session(
    source: impl Source,
    tenant: &str,
    session: Id<tags::IdvSession>,
) -> Result<Vec<SeenRow>, DbError> {
    sql("SELECT digest, sealed, seen_at FROM idv_seen WHERE tenant = $1 AND session_id = $2 \
         ORDER BY seen_at DESC, digest")
    .bind(tenant)
    .bind(session)
    .all(source)
    .await
}
