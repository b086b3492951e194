//! Secrets of the installation, all sealed.

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
