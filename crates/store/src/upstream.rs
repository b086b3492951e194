//! Identities at other providers, each linked to one account.

use portcullis_types::{Id, Timestamp, tags};

use crate::db::{DbError, Tx};
use crate::query::{Query, Source, sql};

/// A row of `upstream_identity`.
#[derive(Debug, Clone, sqlx::FromRow)]
pub struct UpstreamIdentity {
    /// The name of the provider.
    pub provider: String,
    /// The subject there.
    pub subject: String,
    /// The account here.
    #[sqlx(try_from = "String")]
    pub account_id: Id<tags::User>,
    /// The address it had when it was linked, for the person to tell it from others.
    pub email: String,
    /// When it was linked.
    #[sqlx(try_from = "i64")]
    pub created_at: Timestamp,
    /// When somebody last logged in with it.
    pub last_used_at: Option<i64>,
}

macro_rules! select {
    ($rest:literal) => {
        concat!(
            "SELECT provider, subject, account_id, email, created_at, last_used_at \
             FROM upstream_identity WHERE tenant = $1 ",
            $rest
        )
    };
}

/// Links an identity. Fails on the constraint `upstream_identity_once`.
pub async fn insert(tx: &Tx, tenant: &str, row: &UpstreamIdentity) -> Result<(), DbError> {
    sql(
        "INSERT INTO upstream_identity (tenant, provider, subject, account_id, email, created_at) \
         VALUES ($1, $2, $3, $4, $5, $6)",
    )
    .bind(tenant)
    .bind(&row.provider)
    .bind(&row.subject)
    .bind(row.account_id)
    .bind(&row.email)
    .bind(row.created_at)
    .execute(tx)
    .await?;
    Ok(())
}

/// The identity, if it is linked.
pub async fn find(
    source: impl Source,
    tenant: &str,
    provider: &str,
    subject: &str,
) -> Result<Option<UpstreamIdentity>, DbError> {
    find_query(tenant, provider, subject).optional(source).await
}

pub(crate) fn find_query(tenant: &str, provider: &str, subject: &str) -> Query {
    sql(select!("AND provider = $2 AND subject = $3")).bind(tenant).bind(provider).bind(subject)
}

/// The identities of an account, oldest first.
pub async fn of_account(
    source: impl Source,
    tenant: &str,
    account: Id<tags::User>,
) -> Result<Vec<UpstreamIdentity>, DbError> {
    sql(select!("AND account_id = $2 ORDER BY created_at, provider, subject"))
        .bind(tenant)
        .bind(account)
        .all(source)
        .await
}

/// Notes that somebody logged in with an identity.
pub async fn used(
    tx: &Tx,
    tenant: &str,
    provider: &str,
    subject: &str,
    now: Timestamp,
) -> Result<(), DbError> {
    sql("UPDATE upstream_identity SET last_used_at = $4 \
         WHERE tenant = $1 AND provider = $2 AND subject = $3")
    .bind(tenant)
    .bind(provider)
    .bind(subject)
    .bind(now)
    .execute(tx)
    .await?;
    Ok(())
}

/// Unlinks an identity of an account; `false` if it is not linked to it.
pub async fn remove(
    tx: &Tx,
    tenant: &str,
    account: Id<tags::User>,
    provider: &str,
    subject: &str,
) -> Result<bool, DbError> {
    let removed = sql("DELETE FROM upstream_identity WHERE tenant = $1 AND account_id = $2 \
                       AND provider = $3 AND subject = $4")
    .bind(tenant)
    .bind(account)
    .bind(provider)
    .bind(subject)
    .execute(tx)
    .await?;
    Ok(removed == 1)
}

/// Remembers an answer that was used until it expires; `false` if it was used before.
pub async fn answer(
    tx: &Tx,
    tenant: &str,
    state_hash: &[u8],
    expires_at: Timestamp,
) -> Result<bool, DbError> {
    let added = sql("INSERT INTO upstream_answer (tenant, state_hash, expires_at) \
                     VALUES ($1, $2, $3) ON CONFLICT DO NOTHING")
    .bind(tenant)
    .bind(state_hash)
    .bind(expires_at)
    .execute(tx)
    .await?;
    Ok(added == 1)
}
