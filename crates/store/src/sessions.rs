//! Browser sessions.

use portcullis_types::{Id, Timestamp, tags};

use crate::db::{DbError, Tx};
use crate::query::{Source, sql};

/// A row of `login_session`.
#[derive(Debug, Clone, sqlx::FromRow)]
pub struct Session {
    /// The session.
    #[sqlx(try_from = "String")]
    pub id: Id<tags::Session>,
    /// Whose it is.
    #[sqlx(try_from = "String")]
    pub account_id: Id<tags::User>,
    /// How the person proved who they are, separated by spaces.
    pub methods: String,
    /// When the person last did so in full.
    #[sqlx(try_from = "i64")]
    pub authenticated_at: Timestamp,
    /// When it began.
    #[sqlx(try_from = "i64")]
    pub created_at: Timestamp,
    /// When it was last used, to the minute.
    #[sqlx(try_from = "i64")]
    pub last_seen_at: Timestamp,
    /// When it ends by itself.
    #[sqlx(try_from = "i64")]
    pub expires_at: Timestamp,
    /// When it was ended.
    pub ended_at: Option<i64>,
    /// Where it began.
    pub addr: String,
    /// With which browser.
    pub user_agent: String,
}

macro_rules! select {
    ($rest:literal) => {
        concat!(
            "SELECT id, account_id, methods, authenticated_at, created_at, last_seen_at, \
             expires_at, ended_at, addr, user_agent FROM login_session WHERE tenant = $1 ",
            $rest
        )
    };
}

/// Begins a session.
pub async fn insert(
    tx: &Tx,
    tenant: &str,
    session: &Session,
    token_hash: &[u8],
) -> Result<(), DbError> {
    sql(
        "INSERT INTO login_session (tenant, id, token_hash, account_id, created_at, last_seen_at, \
         expires_at, addr, user_agent, methods, authenticated_at) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)",
    )
    .bind(tenant)
    .bind(session.id)
    .bind(token_hash)
    .bind(session.account_id)
    .bind(session.created_at)
    .bind(session.last_seen_at)
    .bind(session.expires_at)
    .bind(&session.addr)
    .bind(&session.user_agent)
    .bind(&session.methods)
    .bind(session.authenticated_at)
    .execute(tx)
    .await?;
    Ok(())
}

/// The live session whose cookie hashes to `token_hash`.
pub async fn live_by_token(
    source: impl Source,
    tenant: &str,
    token_hash: &[u8],
    now: Timestamp,
) -> Result<Option<Session>, DbError> {
    sql(select!("AND token_hash = $2 AND ended_at IS NULL AND expires_at > $3"))
        .bind(tenant)
        .bind(token_hash)
        .bind(now)
        .optional(source)
        .await
}

/// The live session with this id.
pub async fn live_by_id(
    source: impl Source,
    tenant: &str,
    id: &str,
    now: Timestamp,
) -> Result<Option<Session>, DbError> {
    sql(select!("AND id = $2 AND ended_at IS NULL AND expires_at > $3"))
        .bind(tenant)
        .bind(id)
        .bind(now)
        .optional(source)
        .await
}

/// The live sessions of an account, newest first.
pub async fn live_of(
    source: impl Source,
    tenant: &str,
    account: Id<tags::User>,
    now: Timestamp,
) -> Result<Vec<Session>, DbError> {
    sql(select!("AND account_id = $2 AND ended_at IS NULL AND expires_at > $3 ORDER BY id DESC"))
        .bind(tenant)
        .bind(account)
        .bind(now)
        .all(source)
        .await
}

/// Ends a live session of `account`; `false` if there is none.
pub async fn end(
    tx: &Tx,
    tenant: &str,
    account: Id<tags::User>,
    id: Id<tags::Session>,
    now: Timestamp,
) -> Result<bool, DbError> {
    let changed = sql("UPDATE login_session SET ended_at = $4 \
                       WHERE tenant = $1 AND account_id = $2 AND id = $3 AND ended_at IS NULL")
    .bind(tenant)
    .bind(account)
    .bind(id)
    .bind(now)
    .execute(tx)
    .await?;
    Ok(changed == 1)
}

/// Ends all sessions of `account` except `keep`.
pub async fn end_all(
    tx: &Tx,
    tenant: &str,
    account: Id<tags::User>,
    keep: Option<Id<tags::Session>>,
    now: Timestamp,
) -> Result<u64, DbError> {
    sql("UPDATE login_session SET ended_at = $4 \
         WHERE tenant = $1 AND account_id = $2 AND id <> $3 AND ended_at IS NULL")
    .bind(tenant)
    .bind(account)
    .bind(keep.map(|id| id.to_string()).unwrap_or_default())
    .bind(now)
    .execute(tx)
    .await
}

/// Writes what was proven in a session and gives it another secret, so that whoever held the old
/// one gains nothing; `false` if the session is over.
pub async fn renew(
    tx: &Tx,
    tenant: &str,
    session: &Session,
    token_hash: &[u8],
) -> Result<bool, DbError> {
    let renewed = sql("UPDATE login_session SET token_hash = $3, methods = $4, \
                       authenticated_at = $5, expires_at = $6 \
                       WHERE tenant = $1 AND id = $2 AND ended_at IS NULL")
    .bind(tenant)
    .bind(session.id)
    .bind(token_hash)
    .bind(&session.methods)
    .bind(session.authenticated_at)
    .bind(session.expires_at)
    .execute(tx)
    .await?;
    Ok(renewed == 1)
}

/// Notes that a session was used.
pub async fn touch(
    tx: &Tx,
    tenant: &str,
    id: Id<tags::Session>,
    now: Timestamp,
) -> Result<(), DbError> {
    sql("UPDATE login_session SET last_seen_at = $3 WHERE tenant = $1 AND id = $2")
        .bind(tenant)
        .bind(id)
        .bind(now)
        .execute(tx)
        .await?;
    Ok(())
}

/// Live sessions that began at addresses whose text begins so, those that were used last first.
pub async fn live_from(
    source: impl Source,
    tenant: &str,
    beginning: &str,
    (now, limit): (Timestamp, i64),
) -> Result<Vec<Session>, DbError> {
    sql(select!(
        "AND addr LIKE $2 AND ended_at IS NULL AND expires_at > $3 \
         ORDER BY last_seen_at DESC LIMIT $4"
    ))
    .bind(tenant)
    .bind(format!("{beginning}%"))
    .bind(now)
    .bind(limit)
    .all(source)
    .await
}
