//! Authorization requests that clients pushed (RFC 9126).

use portcullis_types::Timestamp;

use crate::db::{DbError, Tx};
use crate::query::{Source, sql};

/// A row of `pushed_request`.
#[derive(Debug, Clone, sqlx::FromRow)]
pub struct PushedRequest {
    /// The client that pushed it.
    pub client_id: String,
    /// The parameters, form-encoded, without those that authenticated the client.
    pub params: String,
    /// When it was pushed.
    #[sqlx(try_from = "i64")]
    pub created_at: Timestamp,
    /// When it can no longer be begun; once it is begun, when it can no longer be granted.
    #[sqlx(try_from = "i64")]
    pub expires_at: Timestamp,
    /// When a browser first came with it, if one did.
    pub begun_at: Option<i64>,
    /// When it was granted, if it was.
    pub consumed_at: Option<i64>,
}

/// Adds a request.
pub async fn insert(
    tx: &Tx,
    tenant: &str,
    uri_hash: &[u8],
    request: &PushedRequest,
) -> Result<(), DbError> {
    sql(
        "INSERT INTO pushed_request (tenant, uri_hash, client_id, params, created_at, expires_at) \
         VALUES ($1, $2, $3, $4, $5, $6)",
    )
    .bind(tenant)
    .bind(uri_hash)
    .bind(&request.client_id)
    .bind(&request.params)
    .bind(request.created_at)
    .bind(request.expires_at)
    .execute(tx)
    .await?;
    Ok(())
}

/// The request whose URI hashes to `uri_hash`, granted or not.
pub async fn by_hash(
    source: impl Source,
    tenant: &str,
    uri_hash: &[u8],
) -> Result<Option<PushedRequest>, DbError> {
    sql("SELECT client_id, params, created_at, expires_at, begun_at, consumed_at \
         FROM pushed_request WHERE tenant = $1 AND uri_hash = $2")
    .bind(tenant)
    .bind(uri_hash)
    .optional(source)
    .await
}

/// Notes that a browser came with a request, which may now be granted until `until`; `false` if one
/// came before, or if it has expired.
pub async fn begin(
    tx: &Tx,
    tenant: &str,
    uri_hash: &[u8],
    now: Timestamp,
    until: Timestamp,
) -> Result<bool, DbError> {
    let changed = sql("UPDATE pushed_request SET begun_at = $3, expires_at = $4 \
                       WHERE tenant = $1 AND uri_hash = $2 AND begun_at IS NULL \
                       AND expires_at > $3")
    .bind(tenant)
    .bind(uri_hash)
    .bind(now)
    .bind(until)
    .execute(tx)
    .await?;
    Ok(changed == 1)
}

/// Lets a request that a browser came with wait until `until`, if it waits less long.
pub async fn hold(tx: &Tx, tenant: &str, uri_hash: &[u8], until: Timestamp) -> Result<(), DbError> {
    sql("UPDATE pushed_request SET expires_at = $3 WHERE tenant = $1 AND uri_hash = $2 \
         AND begun_at IS NOT NULL AND consumed_at IS NULL AND expires_at < $3")
    .bind(tenant)
    .bind(uri_hash)
    .bind(until)
    .execute(tx)
    .await
    .map(drop)
}

/// Grants a request; `false` if it was granted before or has expired.
pub async fn consume(
    tx: &Tx,
    tenant: &str,
    uri_hash: &[u8],
    now: Timestamp,
) -> Result<bool, DbError> {
    let changed = sql("UPDATE pushed_request SET consumed_at = $3 \
                       WHERE tenant = $1 AND uri_hash = $2 AND consumed_at IS NULL \
                       AND expires_at > $3")
    .bind(tenant)
    .bind(uri_hash)
    .bind(now)
    .execute(tx)
    .await?;
    Ok(changed == 1)
}
