//! Clients that registered themselves.

use portcullis_types::Timestamp;

use crate::db::{DbError, Tx};
use crate::query::{Source, sql};

/// Notes that a client registered itself. Unless it is used until `unused_until`, it goes.
pub async fn insert(
    tx: &Tx,
    tenant: &str,
    client: &str,
    token_hash: &[u8],
    now: Timestamp,
    unused_until: Timestamp,
) -> Result<(), DbError> {
    sql(
        "INSERT INTO client_registration (tenant, client_id, token_hash, created_at, unused_until) \
         VALUES ($1, $2, $3, $4, $5)",
    )
    .bind(tenant)
    .bind(client)
    .bind(token_hash)
    .bind(now)
    .bind(unused_until)
    .execute(tx)
    .await?;
    Ok(())
}

#[derive(sqlx::FromRow)]
struct Row {
    token_hash: Vec<u8>,
}

/// What is stored of the token that manages a client.
pub async fn token_hash(
    source: impl Source,
    tenant: &str,
    client: &str,
) -> Result<Option<Vec<u8>>, DbError> {
    let row: Option<Row> =
        sql("SELECT token_hash FROM client_registration WHERE tenant = $1 AND client_id = $2")
            .bind(tenant)
            .bind(client)
            .optional(source)
            .await?;
    Ok(row.map(|row| row.token_hash))
}

/// Somebody granted something to the client: it stays.
pub async fn used(tx: &Tx, tenant: &str, client: &str) -> Result<(), DbError> {
    sql("UPDATE client_registration SET unused_until = NULL \
         WHERE tenant = $1 AND client_id = $2 AND unused_until IS NOT NULL")
    .bind(tenant)
    .bind(client)
    .execute(tx)
    .await?;
    Ok(())
}
