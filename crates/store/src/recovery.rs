//! Single-use links sent by mail. Each kind has its own table and type, so that a link of one kind
//! can never be used as another.

use portcullis_types::{Id, Timestamp, tags};

use crate::db::{DbError, Tx};
use crate::query::{Source, sql};

/// A registration whose e-mail address is not proven yet.
#[derive(Debug, Clone, sqlx::FromRow)]
pub struct PendingRegistration {
    /// The user name that was asked for.
    pub username: String,
    /// The normalised e-mail address.
    pub email: String,
    /// PHC string of the password.
    pub password_hash: String,
}

/// Keeps a registration until its link is followed.
pub async fn insert_registration(
    tx: &Tx,
    tenant: &str,
    token_hash: &[u8],
    pending: &PendingRegistration,
    now: Timestamp,
    expires_at: Timestamp,
) -> Result<(), DbError> {
    sql("INSERT INTO pending_registration \
         (tenant, token_hash, username, email, password_hash, created_at, expires_at) \
         VALUES ($1, $2, $3, $4, $5, $6, $7)")
    .bind(tenant)
    .bind(token_hash)
    .bind(&pending.username)
    .bind(&pending.email)
    .bind(&pending.password_hash)
    .bind(now)
    .bind(expires_at)
    .execute(tx)
    .await?;
    Ok(())
}

/// Looks at a live registration without consuming it.
pub async fn registration(
    source: impl Source,
    tenant: &str,
    token_hash: &[u8],
    now: Timestamp,
) -> Result<Option<PendingRegistration>, DbError> {
    sql("SELECT username, email, password_hash FROM pending_registration \
         WHERE tenant = $1 AND token_hash = $2 AND consumed_at IS NULL AND expires_at > $3")
    .bind(tenant)
    .bind(token_hash)
    .bind(now)
    .optional(source)
    .await
}

/// Consumes a registration; `false` if it was consumed or has expired.
pub async fn consume_registration(
    tx: &Tx,
    tenant: &str,
    token_hash: &[u8],
    now: Timestamp,
) -> Result<bool, DbError> {
    consume(
        sql("UPDATE pending_registration SET consumed_at = $3 \
             WHERE tenant = $1 AND token_hash = $2 AND consumed_at IS NULL AND expires_at > $3"),
        tx,
        tenant,
        token_hash,
        now,
    )
    .await
}

async fn consume(
    query: crate::query::Query,
    tx: &Tx,
    tenant: &str,
    token_hash: &[u8],
    now: Timestamp,
) -> Result<bool, DbError> {
    Ok(query.bind(tenant).bind(token_hash).bind(now).execute(tx).await? == 1)
}

#[derive(sqlx::FromRow)]
struct Owner {
    #[sqlx(try_from = "String")]
    account_id: Id<tags::User>,
}

/// Keeps a password reset until its link is followed.
pub async fn insert_reset(
    tx: &Tx,
    tenant: &str,
    token_hash: &[u8],
    account: Id<tags::User>,
    now: Timestamp,
    expires_at: Timestamp,
) -> Result<(), DbError> {
    sql("INSERT INTO password_reset (tenant, token_hash, account_id, created_at, expires_at) \
         VALUES ($1, $2, $3, $4, $5)")
    .bind(tenant)
    .bind(token_hash)
    .bind(account)
    .bind(now)
    .bind(expires_at)
    .execute(tx)
    .await?;
    Ok(())
}

/// Whose password a live reset link sets. Looks without consuming.
pub async fn reset_owner(
    source: impl Source,
    tenant: &str,
    token_hash: &[u8],
    now: Timestamp,
) -> Result<Option<Id<tags::User>>, DbError> {
    let owner: Option<Owner> = sql("SELECT account_id FROM password_reset \
         WHERE tenant = $1 AND token_hash = $2 AND consumed_at IS NULL AND expires_at > $3")
    .bind(tenant)
    .bind(token_hash)
    .bind(now)
    .optional(source)
    .await?;
    Ok(owner.map(|owner| owner.account_id))
}

/// Consumes a reset; `false` if it was consumed or has expired.
pub async fn consume_reset(
    tx: &Tx,
    tenant: &str,
    token_hash: &[u8],
    now: Timestamp,
) -> Result<bool, DbError> {
    consume(
        sql("UPDATE password_reset SET consumed_at = $3 \
             WHERE tenant = $1 AND token_hash = $2 AND consumed_at IS NULL AND expires_at > $3"),
        tx,
        tenant,
        token_hash,
        now,
    )
    .await
}

/// A change of e-mail address that waits for proof.
#[derive(Debug, Clone, sqlx::FromRow)]
pub struct EmailChange {
    /// Whose address.
    #[sqlx(try_from = "String")]
    pub account_id: Id<tags::User>,
    /// The new, normalised address.
    pub email: String,
}

/// Keeps a change of address until its link is followed.
pub async fn insert_email_change(
    tx: &Tx,
    tenant: &str,
    token_hash: &[u8],
    change: &EmailChange,
    now: Timestamp,
    expires_at: Timestamp,
) -> Result<(), DbError> {
    sql(
        "INSERT INTO email_change (tenant, token_hash, account_id, email, created_at, expires_at) \
         VALUES ($1, $2, $3, $4, $5, $6)",
    )
    .bind(tenant)
    .bind(token_hash)
    .bind(change.account_id)
    .bind(&change.email)
    .bind(now)
    .bind(expires_at)
    .execute(tx)
    .await?;
    Ok(())
}

/// Looks at a live change of address.
pub async fn email_change(
    source: impl Source,
    tenant: &str,
    token_hash: &[u8],
    now: Timestamp,
) -> Result<Option<EmailChange>, DbError> {
    sql("SELECT account_id, email FROM email_change \
         WHERE tenant = $1 AND token_hash = $2 AND consumed_at IS NULL AND expires_at > $3")
    .bind(tenant)
    .bind(token_hash)
    .bind(now)
    .optional(source)
    .await
}

/// Consumes a change of address; `false` if it was consumed or has expired.
pub async fn consume_email_change(
    tx: &Tx,
    tenant: &str,
    token_hash: &[u8],
    now: Timestamp,
) -> Result<bool, DbError> {
    consume(
        sql("UPDATE email_change SET consumed_at = $3 \
             WHERE tenant = $1 AND token_hash = $2 AND consumed_at IS NULL AND expires_at > $3"),
        tx,
        tenant,
        token_hash,
        now,
    )
    .await
}

/// Voids every reset and change of address of an account, after its credentials changed.
pub async fn void_all_of(
    tx: &Tx,
    tenant: &str,
    account: Id<tags::User>,
    now: Timestamp,
) -> Result<(), DbError> {
    for query in [
        sql("UPDATE password_reset SET consumed_at = $3 \
             WHERE tenant = $1 AND account_id = $2 AND consumed_at IS NULL"),
        sql("UPDATE email_change SET consumed_at = $3 \
             WHERE tenant = $1 AND account_id = $2 AND consumed_at IS NULL"),
    ] {
        query.bind(tenant).bind(account).bind(now).execute(tx).await?;
    }
    Ok(())
}
