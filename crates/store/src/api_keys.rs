//! API keys.

use portcullis_types::{Id, Timestamp, tags};

use crate::db::{DbError, Tx};
use crate::query::{Source, sql};

/// A row of `api_key`.
#[derive(Debug, Clone, sqlx::FromRow)]
pub struct ApiKey {
    /// The key's id.
    #[sqlx(try_from = "String")]
    pub id: Id<tags::ApiKey>,
    /// What it is for.
    pub name: String,
    /// SHA-256 of the key.
    pub hash: Vec<u8>,
    /// Its last characters, to tell keys apart.
    pub hint: String,
    /// Its scopes, separated by spaces.
    pub scopes: String,
    /// Who made it.
    pub created_by: String,
    /// When it was made.
    pub created_at: i64,
    /// When it ends, if it does.
    pub expires_at: Option<i64>,
    /// When it was revoked, if it was.
    pub revoked_at: Option<i64>,
}

macro_rules! select {
    ($rest:literal) => {
        concat!(
            "SELECT id, name, hash, hint, scopes, created_by, created_at, expires_at, revoked_at \
             FROM api_key WHERE tenant = $1 ",
            $rest
        )
    };
}

/// Adds a key.
pub async fn insert(tx: &Tx, tenant: &str, key: &ApiKey) -> Result<(), DbError> {
    sql("INSERT INTO api_key (tenant, id, name, hash, hint, scopes, created_by, created_at, \
         expires_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)")
    .bind(tenant)
    .bind(key.id)
    .bind(&key.name)
    .bind(key.hash.clone())
    .bind(&key.hint)
    .bind(&key.scopes)
    .bind(&key.created_by)
    .bind(key.created_at)
    .bind(key.expires_at)
    .execute(tx)
    .await?;
    Ok(())
}

/// The key with this id.
pub async fn by_id(
    source: impl Source,
    tenant: &str,
    id: Id<tags::ApiKey>,
) -> Result<Option<ApiKey>, DbError> {
    sql(select!("AND id = $2")).bind(tenant).bind(id).optional(source).await
}

/// A page of keys after the id `after`.
pub async fn page(
    source: impl Source,
    tenant: &str,
    after: &str,
    limit: i64,
) -> Result<Vec<ApiKey>, DbError> {
    sql(select!("AND id > $2 ORDER BY id LIMIT $3"))
        .bind(tenant)
        .bind(after)
        .bind(limit)
        .all(source)
        .await
}

/// Every key that works at `now`, for the gate.
pub async fn live(
    source: impl Source,
    tenant: &str,
    now: Timestamp,
) -> Result<Vec<ApiKey>, DbError> {
    sql(select!("AND revoked_at IS NULL AND (expires_at IS NULL OR expires_at > $2)"))
        .bind(tenant)
        .bind(now)
        .all(source)
        .await
}

/// Tells whether keys came, went or changed their end, for nodes that look every second.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, sqlx::FromRow)]
pub struct State {
    keys: i64,
    revocations: i64,
    made: i64,
    revoked: i64,
    ends: i64,
}

/// The state now.
pub async fn state(source: impl Source, tenant: &str) -> Result<State, DbError> {
    let row: Option<State> = sql("SELECT COUNT(*) AS keys, COUNT(revoked_at) AS revocations, \
                                  COALESCE(MAX(created_at), 0) AS made, \
                                  COALESCE(MAX(revoked_at), 0) AS revoked, \
                                  CAST(COALESCE(SUM(expires_at % 1000003), 0) AS BIGINT) AS ends \
                                  FROM api_key WHERE tenant = $1")
    .bind(tenant)
    .optional(source)
    .await?;
    Ok(row.unwrap_or_default())
}

/// Lets a key end at `at`, if it would live longer.
pub async fn expire(
    tx: &Tx,
    tenant: &str,
    id: Id<tags::ApiKey>,
    at: Timestamp,
) -> Result<(), DbError> {
    sql("UPDATE api_key SET expires_at = $3 \
         WHERE tenant = $1 AND id = $2 AND (expires_at IS NULL OR expires_at > $3)")
    .bind(tenant)
    .bind(id)
    .bind(at)
    .execute(tx)
    .await?;
    Ok(())
}

/// Revokes a key; `false` if it was revoked before.
pub async fn revoke(
    tx: &Tx,
    tenant: &str,
    id: Id<tags::ApiKey>,
    now: Timestamp,
) -> Result<bool, DbError> {
    let changed = sql("UPDATE api_key SET revoked_at = $3 \
                       WHERE tenant = $1 AND id = $2 AND revoked_at IS NULL")
    .bind(tenant)
    .bind(id)
    .bind(now)
    .execute(tx)
    .await?;
    Ok(changed == 1)
}
