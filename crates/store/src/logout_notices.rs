//! Clients that are to be told of a logout (OpenID Connect Back-Channel Logout 1.0).

use portcullis_types::{Id, Timestamp, tags};

use crate::db::{DbError, Tx};
use crate::query::{Source, sql};

/// Notices that are sent in one go.
const BATCH: i64 = 32;

/// A row of `logout_notice`.
#[derive(Debug, Clone, sqlx::FromRow)]
pub struct Notice {
    /// The tenant.
    pub tenant: String,
    /// The session that ended.
    pub session_id: String,
    /// Whom to tell.
    pub client_id: String,
    /// Whose session it was.
    #[sqlx(try_from = "String")]
    pub account_id: Id<tags::User>,
    /// How often it was tried.
    pub attempts: i64,
}

/// Queues a notice for every client that was granted something in the session and has an address
/// for it.
pub async fn of_session(
    tx: &Tx,
    tenant: &str,
    session: &str,
    now: Timestamp,
) -> Result<(), DbError> {
    sql("INSERT INTO logout_notice (tenant, session_id, client_id, account_id, created_at, next_at, \
         attempts) SELECT DISTINCT g.tenant, g.session_id, g.client_id, g.account_id, \
         CAST($3 AS BIGINT), CAST($3 AS BIGINT), 0 FROM oauth_grant g JOIN oauth_client c \
         ON c.tenant = g.tenant AND c.id = g.client_id WHERE g.tenant = $1 AND g.session_id = $2 \
         AND c.settings LIKE '%backchannel_logout_uri%' ON CONFLICT DO NOTHING")
    .bind(tenant)
    .bind(session)
    .bind(now)
    .execute(tx)
    .await?;
    Ok(())
}

/// The same for every session of an account but `keep`.
pub async fn of_account(
    tx: &Tx,
    tenant: &str,
    account: Id<tags::User>,
    keep: Option<Id<tags::Session>>,
    now: Timestamp,
) -> Result<(), DbError> {
    sql("INSERT INTO logout_notice (tenant, session_id, client_id, account_id, created_at, next_at, \
         attempts) SELECT DISTINCT g.tenant, g.session_id, g.client_id, g.account_id, \
         CAST($4 AS BIGINT), CAST($4 AS BIGINT), 0 FROM oauth_grant g JOIN oauth_client c \
         ON c.tenant = g.tenant AND c.id = g.client_id WHERE g.tenant = $1 AND g.account_id = $2 \
         AND g.session_id <> $3 AND g.revoked_at IS NULL \
         AND c.settings LIKE '%backchannel_logout_uri%' ON CONFLICT DO NOTHING")
    .bind(tenant)
    .bind(account)
    .bind(keep.map(|id| id.to_string()).unwrap_or_default())
    .bind(now)
    .execute(tx)
    .await?;
    Ok(())
}

/// Notices whose time has come, oldest first.
pub async fn due(source: impl Source, now: Timestamp) -> Result<Vec<Notice>, DbError> {
    sql("SELECT tenant, session_id, client_id, account_id, attempts FROM logout_notice \
         WHERE next_at <= $1 ORDER BY next_at LIMIT $2")
    .bind(now)
    .bind(BATCH)
    .all(source)
    .await
}

/// Takes a notice for one attempt; `false` if another node has it. It comes back at `next_at`.
pub async fn take(
    tx: &Tx,
    notice: &Notice,
    now: Timestamp,
    next_at: Timestamp,
) -> Result<bool, DbError> {
    let taken = sql("UPDATE logout_notice SET attempts = attempts + 1, next_at = $5 \
                     WHERE tenant = $1 AND session_id = $2 AND client_id = $3 AND next_at <= $4")
    .bind(&notice.tenant)
    .bind(&notice.session_id)
    .bind(&notice.client_id)
    .bind(now)
    .bind(next_at)
    .execute(tx)
    .await?;
    Ok(taken == 1)
}

/// Forgets a notice that arrived or is given up.
pub async fn remove(tx: &Tx, notice: &Notice) -> Result<(), DbError> {
    sql("DELETE FROM logout_notice WHERE tenant = $1 AND session_id = $2 AND client_id = $3")
        .bind(&notice.tenant)
        .bind(&notice.session_id)
        .bind(&notice.client_id)
        .execute(tx)
        .await?;
    Ok(())
}
