//! Secrets of the installation and signing keys, all sealed.

use portcullis_types::{Id, Timestamp, tags};

use crate::db::{DbError, Tx};
use crate::query::{Source, sql};

#[derive(sqlx::FromRow)]
struct Value {
    value: Vec<u8>,
}

/// The sealed secret called `name`.
pub async fn get(
    source: impl Source,
    tenant: &str,
    name: &str,
) -> Result<Option<Vec<u8>>, DbError> {
    let row: Option<Value> = sql("SELECT value FROM sealed_secret WHERE tenant = $1 AND name = $2")
        .bind(tenant)
        .bind(name)
        .optional(source)
        .await?;
    Ok(row.map(|row| row.value))
}

/// Stores a sealed secret unless one of that name exists.
pub async fn put_if_absent(tx: &Tx, tenant: &str, name: &str, value: &[u8]) -> Result<(), DbError> {
    sql("INSERT INTO sealed_secret (tenant, name, value) VALUES ($1, $2, $3) \
         ON CONFLICT DO NOTHING")
    .bind(tenant)
    .bind(name)
    .bind(value)
    .execute(tx)
    .await?;
    Ok(())
}

/// Stores a sealed value in the place of the one before.
pub async fn put(tx: &Tx, tenant: &str, name: &str, value: &[u8]) -> Result<(), DbError> {
    sql("INSERT INTO sealed_secret (tenant, name, value) VALUES ($1, $2, $3) \
         ON CONFLICT (tenant, name) DO UPDATE SET value = excluded.value")
    .bind(tenant)
    .bind(name)
    .bind(value)
    .execute(tx)
    .await?;
    Ok(())
}

/// A row of `signing_key`.
#[derive(Debug, Clone, sqlx::FromRow)]
pub struct SigningKeyRow {
    /// The key.
    #[sqlx(try_from = "String")]
    pub id: Id<tags::Key>,
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
}

/// Adds a signing key.
pub async fn insert_key(tx: &Tx, tenant: &str, key: &SigningKeyRow) -> Result<(), DbError> {
    sql("INSERT INTO signing_key (tenant, id, alg, pkcs8, created_at, active_from, expires_at) \
         VALUES ($1, $2, $3, $4, $5, $6, $7)")
    .bind(tenant)
    .bind(key.id)
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
pub async fn published_keys(
    source: impl Source,
    tenant: &str,
    now: Timestamp,
) -> Result<Vec<SigningKeyRow>, DbError> {
    sql("SELECT id, alg, pkcs8, created_at, active_from, expires_at FROM signing_key \
         WHERE tenant = $1 AND expires_at > $2 ORDER BY active_from, id")
    .bind(tenant)
    .bind(now)
    .all(source)
    .await
}
