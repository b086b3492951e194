//! One-time codes and recovery codes, and logins that wait for their second factor.

use portcullis_types::{Id, Timestamp, tags};

use crate::db::{DbError, Tx};
use crate::query::{Source, sql};

/// A row of `totp`: the shared secret of an authenticator app (RFC 6238).
#[derive(Debug, Clone, sqlx::FromRow)]
pub struct Totp {
    /// The secret, sealed.
    pub secret: Vec<u8>,
    /// When a code of it was first shown; until then it opens nothing.
    pub confirmed_at: Option<i64>,
    /// The newest time step whose code was used.
    pub last_step: i64,
}

/// Keeps a secret that waits for its first code, in the place of an earlier one that waited.
/// `false` if the account has one that is confirmed.
pub async fn put_totp(
    tx: &Tx,
    tenant: &str,
    account: Id<tags::User>,
    sealed: &[u8],
    now: Timestamp,
) -> Result<bool, DbError> {
    let put = sql("INSERT INTO totp (tenant, account_id, secret, created_at, last_step) \
                   VALUES ($1, $2, $3, $4, 0) \
                   ON CONFLICT (tenant, account_id) DO UPDATE SET secret = $3, created_at = $4, \
                   last_step = 0 WHERE totp.confirmed_at IS NULL")
    .bind(tenant)
    .bind(account)
    .bind(sealed)
    .bind(now)
    .execute(tx)
    .await?;
    Ok(put == 1)
}

/// The secret of an account, confirmed or not.
pub async fn totp(
    source: impl Source,
    tenant: &str,
    account: Id<tags::User>,
) -> Result<Option<Totp>, DbError> {
    sql("SELECT secret, confirmed_at, last_step FROM totp WHERE tenant = $1 AND account_id = $2")
        .bind(tenant)
        .bind(account)
        .optional(source)
        .await
}

/// Uses the code of `step`; `false` if it, or a later one, was used before (RFC 6238, section 5.2).
/// The first use confirms the secret.
pub async fn use_totp_step(
    tx: &Tx,
    tenant: &str,
    account: Id<tags::User>,
    step: i64,
    now: Timestamp,
) -> Result<bool, DbError> {
    let used = sql("UPDATE totp SET last_step = $3, confirmed_at = COALESCE(confirmed_at, $4) \
                    WHERE tenant = $1 AND account_id = $2 AND last_step < $3")
    .bind(tenant)
    .bind(account)
    .bind(step)
    .bind(now)
    .execute(tx)
    .await?;
    Ok(used == 1)
}

/// Forgets the secret of an account.
pub async fn remove_totp(tx: &Tx, tenant: &str, account: Id<tags::User>) -> Result<bool, DbError> {
    let removed = sql("DELETE FROM totp WHERE tenant = $1 AND account_id = $2")
        .bind(tenant)
        .bind(account)
        .execute(tx)
        .await?;
    Ok(removed == 1)
}

/// Puts new recovery codes in the place of all earlier ones.
pub async fn replace_recovery_codes(
    tx: &Tx,
    tenant: &str,
    account: Id<tags::User>,
    hashes: &[Vec<u8>],
    now: Timestamp,
) -> Result<(), DbError> {
    sql("DELETE FROM recovery_code WHERE tenant = $1 AND account_id = $2")
        .bind(tenant)
        .bind(account)
        .execute(tx)
        .await?;
    for hash in hashes {
        sql("INSERT INTO recovery_code (tenant, account_id, code_hash, created_at) \
             VALUES ($1, $2, $3, $4)")
        .bind(tenant)
        .bind(account)
        .bind(hash.as_slice())
        .bind(now)
        .execute(tx)
        .await?;
    }
    Ok(())
}

/// Uses a recovery code; `false` if there is none or it was used before.
pub async fn use_recovery_code(
    tx: &Tx,
    tenant: &str,
    account: Id<tags::User>,
    hash: &[u8],
    now: Timestamp,
) -> Result<bool, DbError> {
    let used = sql("UPDATE recovery_code SET consumed_at = $4 WHERE tenant = $1 \
                    AND account_id = $2 AND code_hash = $3 AND consumed_at IS NULL")
    .bind(tenant)
    .bind(account)
    .bind(hash)
    .bind(now)
    .execute(tx)
    .await?;
    Ok(used == 1)
}

#[derive(sqlx::FromRow)]
struct Count {
    n: i64,
}

/// How many recovery codes are left.
pub async fn recovery_codes_left(
    source: impl Source,
    tenant: &str,
    account: Id<tags::User>,
) -> Result<i64, DbError> {
    let left = sql("SELECT COUNT(*) AS n FROM recovery_code \
                    WHERE tenant = $1 AND account_id = $2 AND consumed_at IS NULL")
    .bind(tenant)
    .bind(account)
    .optional::<Count>(source)
    .await?;
    Ok(left.map_or(0, |count| count.n))
}

/// A row of `pending_login`: somebody proved one factor and owes another.
#[derive(Debug, Clone, sqlx::FromRow)]
pub struct PendingLogin {
    /// Who.
    #[sqlx(try_from = "String")]
    pub account_id: Id<tags::User>,
    /// What was proven.
    pub methods: String,
    /// The password at that time: another one ends what waits.
    pub password_epoch: i64,
}

/// Keeps a login until its second factor comes.
pub async fn insert_pending_login(
    tx: &Tx,
    tenant: &str,
    token_hash: &[u8],
    pending: &PendingLogin,
    now: Timestamp,
    expires_at: Timestamp,
) -> Result<(), DbError> {
    sql("INSERT INTO pending_login (tenant, token_hash, account_id, methods, password_epoch, \
         created_at, expires_at) VALUES ($1, $2, $3, $4, $5, $6, $7)")
    .bind(tenant)
    .bind(token_hash)
    .bind(pending.account_id)
    .bind(&pending.methods)
    .bind(pending.password_epoch)
    .bind(now)
    .bind(expires_at)
    .execute(tx)
    .await?;
    Ok(())
}

/// A login that still waits.
pub async fn pending_login(
    source: impl Source,
    tenant: &str,
    token_hash: &[u8],
    now: Timestamp,
) -> Result<Option<PendingLogin>, DbError> {
    sql("SELECT account_id, methods, password_epoch FROM pending_login \
         WHERE tenant = $1 AND token_hash = $2 AND consumed_at IS NULL AND expires_at > $3")
    .bind(tenant)
    .bind(token_hash)
    .bind(now)
    .optional(source)
    .await
}

/// Consumes a login that waited; `false` if it was consumed or has expired.
pub async fn consume_pending_login(
    tx: &Tx,
    tenant: &str,
    token_hash: &[u8],
    now: Timestamp,
) -> Result<bool, DbError> {
    let consumed = sql("UPDATE pending_login SET consumed_at = $3 WHERE tenant = $1 \
                        AND token_hash = $2 AND consumed_at IS NULL AND expires_at > $3")
    .bind(tenant)
    .bind(token_hash)
    .bind(now)
    .execute(tx)
    .await?;
    Ok(consumed == 1)
}
