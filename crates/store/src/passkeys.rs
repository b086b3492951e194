//! Passkeys, and the challenges they answered (Web Authentication Level 3).

use portcullis_types::{Id, Timestamp, tags};

use crate::db::{DbError, Tx};
use crate::query::{Source, sql};

/// A row of `passkey`.
#[derive(Debug, Clone, sqlx::FromRow)]
pub struct Passkey {
    /// Our name for it.
    #[sqlx(try_from = "String")]
    pub id: Id<tags::Passkey>,
    /// Whose it is.
    #[sqlx(try_from = "String")]
    pub account_id: Id<tags::User>,
    /// The authenticator's name for it.
    pub credential_id: Vec<u8>,
    /// What its owner calls it.
    pub name: String,
    /// Public key, counter and flags, as JSON.
    pub credential: String,
    /// Whether the maker of its device vouched for it.
    pub attested: bool,
    /// When it was added.
    pub created_at: i64,
    /// When it last logged somebody in.
    pub last_used_at: Option<i64>,
}

/// Adds a passkey. Fails on `passkey_credential` if somebody has it already.
pub async fn insert(tx: &Tx, tenant: &str, passkey: &Passkey) -> Result<(), DbError> {
    sql("INSERT INTO passkey (tenant, id, account_id, credential_id, name, credential, \
         created_at, attested) VALUES ($1, $2, $3, $4, $5, $6, $7, $8)")
    .bind(tenant)
    .bind(passkey.id)
    .bind(passkey.account_id)
    .bind(passkey.credential_id.as_slice())
    .bind(&passkey.name)
    .bind(&passkey.credential)
    .bind(passkey.created_at)
    .bind(passkey.attested)
    .execute(tx)
    .await?;
    Ok(())
}

/// The passkeys of an account, oldest first.
pub async fn of_account(
    source: impl Source,
    tenant: &str,
    account: Id<tags::User>,
) -> Result<Vec<Passkey>, DbError> {
    sql("SELECT id, account_id, credential_id, name, credential, attested, created_at, last_used_at \
         FROM passkey WHERE tenant = $1 AND account_id = $2 ORDER BY id")
    .bind(tenant)
    .bind(account)
    .all(source)
    .await
}

/// Notes the use of a passkey and what changed with it.
pub async fn used(
    tx: &Tx,
    tenant: &str,
    id: Id<tags::Passkey>,
    credential: &str,
    now: Timestamp,
) -> Result<bool, DbError> {
    let changed = sql("UPDATE passkey SET credential = $3, last_used_at = $4 \
                       WHERE tenant = $1 AND id = $2")
    .bind(tenant)
    .bind(id)
    .bind(credential)
    .bind(now)
    .execute(tx)
    .await?;
    Ok(changed == 1)
}

/// Gives a passkey of `account` another name.
pub async fn rename(
    tx: &Tx,
    tenant: &str,
    account: Id<tags::User>,
    id: Id<tags::Passkey>,
    name: &str,
) -> Result<bool, DbError> {
    let changed =
        sql("UPDATE passkey SET name = $4 WHERE tenant = $1 AND account_id = $2 AND id = $3")
            .bind(tenant)
            .bind(account)
            .bind(id)
            .bind(name)
            .execute(tx)
            .await?;
    Ok(changed == 1)
}

/// Removes a passkey of `account`.
pub async fn remove(
    tx: &Tx,
    tenant: &str,
    account: Id<tags::User>,
    id: Id<tags::Passkey>,
) -> Result<bool, DbError> {
    let removed = sql("DELETE FROM passkey WHERE tenant = $1 AND account_id = $2 AND id = $3")
        .bind(tenant)
        .bind(account)
        .bind(id)
        .execute(tx)
        .await?;
    Ok(removed == 1)
}

/// Remembers an answered challenge until it expires; `false` if it was answered before.
pub async fn answer(
    tx: &Tx,
    tenant: &str,
    challenge_hash: &[u8],
    expires_at: Timestamp,
) -> Result<bool, DbError> {
    let added = sql("INSERT INTO passkey_answer (tenant, challenge_hash, expires_at) \
                     VALUES ($1, $2, $3) ON CONFLICT DO NOTHING")
    .bind(tenant)
    .bind(challenge_hash)
    .bind(expires_at)
    .execute(tx)
    .await?;
    Ok(added == 1)
}
