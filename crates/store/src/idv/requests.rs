//! Requests by the key that makes two of them one.

use portcullis_types::{Id, Timestamp, tags};

use crate::db::{DbError, Tx};
use crate::query::{Source, sql};

/// A request that was made before.
#[derive(Debug, Clone, sqlx::FromRow)]
pub struct MadeRow {
    /// The digest of it.
    pub request: String,
    /// What came of it.
    #[sqlx(try_from = "String")]
    pub session_id: Id<tags::IdvSession>,
}

/// The request with this key.
pub async fn made(
    source: impl Source,
    tenant: &str,
    key: &str,
    now: Timestamp,
) -> Result<Option<MadeRow>, DbError> {
    sql("SELECT request, session_id FROM idv_idempotency \
         WHERE tenant = $1 AND key = $2 AND expires_at > $3")
    .bind(tenant)
    .bind(key)
    .bind(now)
    .optional(source)
    .await
}

/// Remembers a request by its key.
pub async fn remember(
    tx: &Tx,
    tenant: &str,
    key: &str,
    row: &MadeRow,
    expires_at: Timestamp,
) -> Result<(), DbError> {
    sql("INSERT INTO idv_idempotency (tenant, key, request, session_id, expires_at) \
         VALUES ($1, $2, $3, $4, $5) ON CONFLICT (tenant, key) DO UPDATE SET \
         request = excluded.request, session_id = excluded.session_id, \
         expires_at = excluded.expires_at")
    .bind(tenant)
    .bind(key)
    .bind(&row.request)
    .bind(row.session_id)
    .bind(expires_at)
    .later(tx)
    .await
}
