//! Invitations, sent by mail and accepted once.

use portcullis_types::{Id, Timestamp, tags};

use crate::db::{DbError, Tx};
use crate::query::{Source, sql};

/// A row of `invitation`.
#[derive(Debug, Clone, sqlx::FromRow)]
pub struct Invitation {
    /// The invitation.
    #[sqlx(try_from = "String")]
    pub id: Id<tags::Invitation>,
    /// The normalised address it was sent to.
    pub email: String,
    /// Roles of the account to be, separated by spaces.
    pub roles: String,
    /// Groups of the account to be, ids separated by spaces.
    pub group_ids: String,
    /// Who invited.
    pub invited_by: String,
    /// When it was sent.
    #[sqlx(try_from = "i64")]
    pub created_at: Timestamp,
    /// When it is void.
    #[sqlx(try_from = "i64")]
    pub expires_at: Timestamp,
    /// When it was accepted.
    pub consumed_at: Option<i64>,
}

macro_rules! select {
    ($rest:literal) => {
        concat!(
            "SELECT id, email, roles, group_ids, invited_by, created_at, expires_at, consumed_at \
             FROM invitation WHERE tenant = $1 ",
            $rest
        )
    };
}

/// Adds an invitation whose link has the token of this hash.
pub async fn insert(
    tx: &Tx,
    tenant: &str,
    token_hash: &[u8],
    invitation: &Invitation,
) -> Result<(), DbError> {
    sql("INSERT INTO invitation (tenant, id, token_hash, email, roles, group_ids, invited_by, \
         created_at, expires_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)")
    .bind(tenant)
    .bind(invitation.id)
    .bind(token_hash)
    .bind(&invitation.email)
    .bind(&invitation.roles)
    .bind(&invitation.group_ids)
    .bind(&invitation.invited_by)
    .bind(invitation.created_at)
    .bind(invitation.expires_at)
    .execute(tx)
    .await?;
    Ok(())
}

/// A page of invitations after the id `after`.
pub async fn page(
    source: impl Source,
    tenant: &str,
    after: &str,
    limit: i64,
) -> Result<Vec<Invitation>, DbError> {
    let query = sql(select!("AND id > $2 ORDER BY id LIMIT $3"));
    query.bind(tenant).bind(after).bind(limit).all(source).await
}

/// A live invitation, looked at without accepting it.
pub async fn live(
    source: impl Source,
    tenant: &str,
    token_hash: &[u8],
    now: Timestamp,
) -> Result<Option<Invitation>, DbError> {
    sql(select!("AND token_hash = $2 AND consumed_at IS NULL AND expires_at > $3"))
        .bind(tenant)
        .bind(token_hash)
        .bind(now)
        .optional(source)
        .await
}

/// Accepts an invitation; `false` if it was accepted, withdrawn or has expired.
pub async fn consume(
    tx: &Tx,
    tenant: &str,
    token_hash: &[u8],
    now: Timestamp,
) -> Result<bool, DbError> {
    let changed = sql("UPDATE invitation SET consumed_at = $3 WHERE tenant = $1 \
                       AND token_hash = $2 AND consumed_at IS NULL AND expires_at > $3")
    .bind(tenant)
    .bind(token_hash)
    .bind(now)
    .execute(tx)
    .await?;
    Ok(changed == 1)
}

/// Withdraws what somebody sent and nobody accepted; the rows go.
pub async fn withdraw_of(
    tx: &Tx,
    tenant: &str,
    invited_by: &str,
) -> Result<Vec<Invitation>, DbError> {
    sql("DELETE FROM invitation WHERE tenant = $1 AND invited_by = $2 AND consumed_at IS NULL \
         RETURNING id, email, roles, group_ids, invited_by, created_at, expires_at, consumed_at")
    .bind(tenant)
    .bind(invited_by)
    .all(tx)
    .await
}

/// Withdraws an invitation that was not accepted; the row goes.
pub async fn withdraw(
    tx: &Tx,
    tenant: &str,
    id: Id<tags::Invitation>,
) -> Result<Option<Invitation>, DbError> {
    let found = sql(select!("AND id = $2 AND consumed_at IS NULL")).bind(tenant).bind(id);
    let found: Option<Invitation> = found.optional(tx).await?;
    if found.is_some() {
        sql("DELETE FROM invitation WHERE tenant = $1 AND id = $2 AND consumed_at IS NULL")
            .bind(tenant)
            .bind(id)
            .execute(tx)
            .await?;
    }
    Ok(found)
}

/// Withdraws what was sent to an address before: the newest link is the one that works.
pub async fn withdraw_others(tx: &Tx, tenant: &str, email: &str) -> Result<(), DbError> {
    sql("DELETE FROM invitation WHERE tenant = $1 AND email = $2 AND consumed_at IS NULL")
        .bind(tenant)
        .bind(email)
        .execute(tx)
        .await?;
    Ok(())
}
