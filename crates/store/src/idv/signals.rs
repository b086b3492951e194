//! By what sessions knew people, to see what they have in common.

use portcullis_types::{Id, Timestamp, tags};

use crate::db::{DbError, Tx};
use crate::query::{Source, sql};

/// Another session that knew somebody by the same.
#[derive(Debug, Clone, sqlx::FromRow)]
pub struct SharedRow {
    /// The session.
    pub session_id: String,
    /// How whoever began it calls the person; empty if they did not say.
    pub reference: String,
    /// Whose account it is about, if it is about one.
    pub account_id: Option<String>,
    /// Where it is.
    pub status: String,
    /// When that was seen.
    #[sqlx(try_from = "i64")]
    pub seen_at: Timestamp,
}

/// Keeps that a session knows somebody by this, and whether that is proven: of two times, as the later one has it.
pub async fn add(
    tx: &Tx,
    tenant: &str,
    digest: &str,
    session: Id<tags::IdvSession>,
    (now, is_proven): (Timestamp, bool),
) -> Result<(), DbError> {
    sql("INSERT INTO idv_signal (tenant, digest, session_id, seen_at, is_proven) VALUES ($1, $2, $3, $4, $5) \
         ON CONFLICT (tenant, digest, session_id) DO UPDATE SET is_proven = excluded.is_proven")
    .bind(tenant)
    .bind(digest)
    .bind(session)
    .bind(now)
    .bind(is_proven)
    .execute(tx)
    .await
    .map(drop)
}

/// Other sessions that knew somebody by the same since a moment, proven, the newest `most`.
pub async fn shared(
    source: impl Source,
    tenant: &str,
    digest: &str,
    session: Id<tags::IdvSession>,
    (since, most): (Timestamp, i64),
) -> Result<Vec<SharedRow>, DbError> {
    sql("SELECT g.session_id, s.reference, s.account_id, s.status, g.seen_at FROM idv_signal g \
         JOIN idv_session s ON s.tenant = g.tenant AND s.id = g.session_id \
         WHERE g.tenant = $1 AND g.digest = $2 AND g.session_id <> $3 AND g.seen_at > $4 AND g.is_proven \
         ORDER BY g.seen_at DESC LIMIT $5")
    .bind(tenant)
    .bind(digest)
    .bind(session)
    .bind(since)
    .bind(most)
    .all(source)
    .await
}
