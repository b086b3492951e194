//! Which scopes people let clients have.

use portcullis_types::{Id, Timestamp, tags};

use crate::db::{DbError, Tx};
use crate::query::{Source, sql};

#[derive(sqlx::FromRow)]
struct Scopes {
    scopes: String,
}

/// The scopes an account has consented to for a client, separated by spaces.
pub async fn consented(
    source: impl Source,
    tenant: &str,
    account: Id<tags::User>,
    client: &str,
) -> Result<Option<String>, DbError> {
    let row: Option<Scopes> =
        sql("SELECT scopes FROM consent WHERE tenant = $1 AND account_id = $2 AND client_id = $3")
            .bind(tenant)
            .bind(account)
            .bind(client)
            .optional(source)
            .await?;
    Ok(row.map(|row| row.scopes))
}

/// Remembers a consent.
pub async fn consent(
    tx: &Tx,
    tenant: &str,
    account: Id<tags::User>,
    client: &str,
    scopes: &str,
    now: Timestamp,
) -> Result<(), DbError> {
    sql("INSERT INTO consent (tenant, account_id, client_id, scopes, granted_at) \
         VALUES ($1, $2, $3, $4, $5) ON CONFLICT (tenant, account_id, client_id) \
         DO UPDATE SET scopes = excluded.scopes, granted_at = excluded.granted_at")
    .bind(tenant)
    .bind(account)
    .bind(client)
    .bind(scopes)
    .bind(now)
    .execute(tx)
    .await?;
    Ok(())
}
