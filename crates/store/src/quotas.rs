//! What was used of quotas, by all nodes together.

use portcullis_types::Timestamp;

use crate::db::{DbError, Tx};
use crate::query::{Source, sql};

/// What is known of a key in a period.
#[derive(Debug, Clone, PartialEq, Eq, sqlx::FromRow)]
pub struct QuotaUse {
    /// A keyed hash, hexadecimal.
    pub key: String,
    /// When the period began, in microseconds.
    pub began: i64,
    /// When it ends.
    pub expires_at: i64,
    /// What was used of it.
    pub used: i64,
}

/// Adds `more.used` to what is known, and returns the sum.
pub async fn add(tx: &Tx, tenant: &str, more: &QuotaUse) -> Result<Option<QuotaUse>, DbError> {
    sql("INSERT INTO quota (tenant, key, began, expires_at, used) VALUES ($1, $2, $3, $4, $5) \
         ON CONFLICT (tenant, key, began) DO UPDATE SET used = quota.used + excluded.used \
         RETURNING key, began, expires_at, used")
    .bind(tenant)
    .bind(&more.key)
    .bind(more.began)
    .bind(more.expires_at)
    .bind(more.used)
    .optional(tx)
    .await
}

/// At most `limit` keys of periods that are not over, the most used first: those are near their end.
pub async fn live(
    source: impl Source,
    tenant: &str,
    now: Timestamp,
    limit: i64,
) -> Result<Vec<QuotaUse>, DbError> {
    sql("SELECT key, began, expires_at, used FROM quota WHERE tenant = $1 AND expires_at > $2 \
         ORDER BY used DESC, key LIMIT $3")
    .bind(tenant)
    .bind(now.micros())
    .bind(limit)
    .all(source)
    .await
}
