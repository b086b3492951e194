//! From where and with what people went through sessions.

use portcullis_types::{Id, Timestamp, tags};

use crate::db::{DbError, Tx};
use crate::query::{Source, sql};

/// A row of `idv_seen`.
#[derive(Debug, Clone, sqlx::FromRow)]
pub struct SeenRow {
    /// What was seen: `address`, `device`, or `late` of the latter.
    pub kind: String,
    /// A keyed digest of it.
    pub digest: String,
    /// All of it, sealed with the key of the session.
    pub sealed: Vec<u8>,
    /// When that was seen first.
    #[sqlx(try_from = "i64")]
    pub seen_at: Timestamp,
    /// When it was seen last.
    #[sqlx(try_from = "i64")]
    pub last_seen_at: Timestamp,
}

/// Puts one in the place of what was there of the same digest, which keeps when it was seen first. Where there are
/// `most` of its kind, the one that was seen longest ago makes room, but for the first.
pub async fn put(
    tx: &Tx,
    tenant: &str,
    session: Id<tags::IdvSession>,
    row: &SeenRow,
    most: i64,
) -> Result<(), DbError> {
    sql("INSERT INTO idv_seen (tenant, session_id, kind, digest, sealed, seen_at, last_seen_at) \
         VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT (tenant, session_id, digest) DO UPDATE \
         SET sealed = excluded.sealed, last_seen_at = excluded.last_seen_at")
    .bind(tenant)
    .bind(session)
    .bind(&row.kind)
    .bind(&row.digest)
    .bind(row.sealed.as_slice())
    .bind(row.seen_at)
    .bind(row.last_seen_at)
    .execute(tx)
    .await?;
    sql("DELETE FROM idv_seen WHERE tenant = $1 AND session_id = $2 \
         AND (SELECT COUNT(*) FROM idv_seen WHERE tenant = $1 AND session_id = $2 AND kind = $4) > $3 \
         AND digest = (SELECT digest FROM idv_seen WHERE tenant = $1 AND session_id = $2 AND kind = $4 \
         AND seen_at > (SELECT MIN(seen_at) FROM idv_seen WHERE tenant = $1 AND session_id = $2 \
         AND kind = $4) ORDER BY last_seen_at, digest LIMIT 1)")
    .bind(tenant)
    .bind(session)
    .bind(most)
    .bind(&row.kind)
    .execute(tx)
    .await
    .map(drop)
}

/// Adds one where there are fewer than `most` of its kind: nothing makes room for it. `false` if it was not added.
pub async fn add(
    tx: &Tx,
    tenant: &str,
    session: Id<tags::IdvSession>,
    row: &SeenRow,
    most: i64,
) -> Result<bool, DbError> {
    let added = sql(
        "INSERT INTO idv_seen (tenant, session_id, kind, digest, sealed, seen_at, last_seen_at) \
         SELECT $1, $2, $3, $4, $5, $6, $7 WHERE (SELECT COUNT(*) FROM idv_seen \
         WHERE tenant = $1 AND session_id = $2 AND kind = $3) < $8 \
         ON CONFLICT (tenant, session_id, digest) DO NOTHING",
    )
    .bind(tenant)
    .bind(session)
    .bind(&row.kind)
    .bind(&row.digest)
    .bind(row.sealed.as_slice())
    .bind(row.seen_at)
    .bind(row.last_seen_at)
    .bind(most)
    .execute(tx)
    .await?;
    Ok(added == 1)
}

/// One of a session.
pub async fn by_digest(
    source: impl Source,
    tenant: &str,
    session: Id<tags::IdvSession>,
    digest: &str,
) -> Result<Option<SeenRow>, DbError> {
    sql("SELECT kind, digest, sealed, seen_at, last_seen_at FROM idv_seen \
         WHERE tenant = $1 AND session_id = $2 AND digest = $3")
    .bind(tenant)
    .bind(session)
    .bind(digest)
    .optional(source)
    .await
}

/// All of a session, the one that was seen last first.
pub async fn of_session(
    source: impl Source,
    tenant: &str,
    session: Id<tags::IdvSession>,
) -> Result<Vec<SeenRow>, DbError> {
    sql("SELECT kind, digest, sealed, seen_at, last_seen_at FROM idv_seen \
         WHERE tenant = $1 AND session_id = $2 ORDER BY last_seen_at DESC, digest")
    .bind(tenant)
    .bind(session)
    .all(source)
    .await
}
