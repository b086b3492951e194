//! Keys that sign tokens, sealed.

use portcullis_types::Timestamp;

use crate::db::{DbError, Tx};
use crate::query::{Source, sql};

/// A row of `signing_key`.
#[derive(Debug, Clone, sqlx::FromRow)]
pub struct SigningKeyRow {
    /// The name that tokens give it: the thumbprint of its public half (RFC 7638).
    pub kid: String,
    /// What it signs.
    pub key_use: String,
    /// Its algorithm.
    pub alg: String,
    /// The private key, sealed.
    pub pkcs8: Vec<u8>,
    /// When it was made.
    #[sqlx(try_from = "i64")]
    pub created_at: Timestamp,
    /// When it begins to sign; it is published before.
    #[sqlx(try_from = "i64")]
    pub active_from: Timestamp,
    /// When it is no longer published.
    #[sqlx(try_from = "i64")]
    pub expires_at: Timestamp,
    /// When it was taken out of use before its time, if it was.
    pub retired_at: Option<i64>,
}

macro_rules! select {
    ($rest:literal) => {
        concat!(
            "SELECT kid, key_use, alg, pkcs8, created_at, active_from, expires_at, retired_at \
             FROM signing_key WHERE tenant = $1 ",
            $rest
        )
    };
}

/// Adds a key.
pub async fn insert(tx: &Tx, tenant: &str, key: &SigningKeyRow) -> Result<(), DbError> {
    sql("INSERT INTO signing_key (tenant, kid, key_use, alg, pkcs8, created_at, active_from, \
         expires_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8)")
    .bind(tenant)
    .bind(&key.kid)
    .bind(&key.key_use)
    .bind(&key.alg)
    .bind(key.pkcs8.clone())
    .bind(key.created_at)
    .bind(key.active_from)
    .bind(key.expires_at)
    .execute(tx)
    .await?;
    Ok(())
}

/// Every key that is still published at `now`, oldest first.
pub async fn published(
    source: impl Source,
    tenant: &str,
    now: Timestamp,
) -> Result<Vec<SigningKeyRow>, DbError> {
    sql(select!("AND expires_at > $2 ORDER BY active_from, kid"))
        .bind(tenant)
        .bind(now)
        .all(source)
        .await
}

/// Every key that is remembered, those that have ended included, oldest first.
pub async fn all(source: impl Source, tenant: &str) -> Result<Vec<SigningKeyRow>, DbError> {
    sql(select!("ORDER BY key_use, alg, active_from, kid")).bind(tenant).all(source).await
}

/// Lets the keys of one use and algorithm end at `end`, but for those that begin to sign at
/// `successor_from` or later.
pub async fn end_predecessors(
    tx: &Tx,
    tenant: &str,
    (key_use, alg): (&str, &str),
    successor_from: Timestamp,
    end: Timestamp,
) -> Result<(), DbError> {
    sql("UPDATE signing_key SET expires_at = $5 WHERE tenant = $1 AND key_use = $2 AND alg = $3 \
         AND active_from < $4 AND expires_at > $5")
    .bind(tenant)
    .bind(key_use)
    .bind(alg)
    .bind(successor_from)
    .bind(end)
    .execute(tx)
    .await?;
    Ok(())
}

/// Takes a key out of use at once. False if it has ended already.
pub async fn retire(tx: &Tx, tenant: &str, kid: &str, now: Timestamp) -> Result<bool, DbError> {
    let changed = sql("UPDATE signing_key SET expires_at = $3, retired_at = $3 \
                       WHERE tenant = $1 AND kid = $2 AND expires_at > $3")
    .bind(tenant)
    .bind(kid)
    .bind(now)
    .execute(tx)
    .await?;
    Ok(changed == 1)
}
