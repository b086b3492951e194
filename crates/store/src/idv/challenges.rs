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

/// Uses up a challenge; whether it was there and in time.
pub async fn take(tx: &Tx, tenant: &str, digest: &str, now: Timestamp) -> Result<bool, DbError> {
    let taken =
        sql("DELETE FROM idv_challenge WHERE tenant = $1 AND digest = $2 AND expires_at > $3")
            .bind(tenant)
            .bind(digest)
            .bind(now)
            .execute(tx)
            .await?;
    Ok(taken == 1)
}
