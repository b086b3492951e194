//! Challenges for chips, each for one answer.

use portcullis_types::Timestamp;

use crate::db::{DbError, Tx};
use crate::query::sql;

/// Notes a challenge by its digest.
pub async fn insert(
    tx: &Tx,
    tenant: &str,
    digest: &str,
    expires_at: Timestamp,
) -> Result<(), DbError> {
    sql("INSERT INTO idv_challenge (tenant, digest, expires_at) VALUES ($1, $2, $3)")
        .bind(tenant)
        .bind(digest)
        .bind(expires_at)
        .execute(tx)
        .await
        .map(drop)
}

/// What a challenge was when it was used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Used {
    /// It was made here, was not used before and is in time.
    Fresh,
    /// It was not made here, as far as is remembered, and was not used before.
    Foreign,
    /// It was used before, or is too old.
    Spent,
}

/// Uses up a challenge. One that was not made here is remembered until `forget_at`.
pub async fn take(
    tx: &Tx,
    tenant: &str,
    digest: &str,
    now: Timestamp,
    forget_at: Timestamp,
) -> Result<Used, DbError> {
    let fresh = sql("UPDATE idv_challenge SET used_at = $3 \
                     WHERE tenant = $1 AND digest = $2 AND used_at IS NULL AND expires_at > $3")
    .bind(tenant)
    .bind(digest)
    .bind(now)
    .execute(tx)
    .await?;
    if fresh == 1 {
        return Ok(Used::Fresh);
    }
    let foreign = sql("INSERT INTO idv_challenge (tenant, digest, expires_at, used_at) \
                       VALUES ($1, $2, $3, $4) ON CONFLICT (tenant, digest) DO NOTHING")
    .bind(tenant)
    .bind(digest)
    .bind(forget_at)
    .bind(now)
    .execute(tx)
    .await?;
    Ok(if foreign == 1 { Used::Foreign } else { Used::Spent })
}
