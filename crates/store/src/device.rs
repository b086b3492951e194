//! Requests of devices that cannot show a browser (RFC 8628).

use portcullis_types::{Id, Timestamp, tags};

use crate::db::{DbError, Tx};
use crate::query::{Source, sql};

/// A row of `device_request`.
#[derive(Debug, Clone, sqlx::FromRow)]
pub struct DeviceRequest {
    /// SHA-256 of the device code.
    pub device_hash: Vec<u8>,
    /// SHA-256 of the user code in its canonical form.
    pub user_hash: Vec<u8>,
    /// The client on the device.
    pub client_id: String,
    /// The scopes it asks for, separated by spaces.
    pub scope: String,
    /// When it began.
    #[sqlx(try_from = "i64")]
    pub created_at: Timestamp,
    /// When it ends.
    #[sqlx(try_from = "i64")]
    pub expires_at: Timestamp,
    /// Seconds that the device must wait between two questions.
    pub interval_secs: i64,
    /// When somebody allowed or denied it, if anybody did.
    pub decided_at: Option<i64>,
    /// What was granted; none if it was denied.
    pub grant_id: Option<String>,
    /// When the device got its tokens, if it did.
    pub consumed_at: Option<i64>,
}

macro_rules! select {
    ($rest:literal) => {
        concat!(
            "SELECT device_hash, user_hash, client_id, scope, created_at, expires_at, \
             interval_secs, decided_at, grant_id, consumed_at FROM device_request \
             WHERE tenant = $1 ",
            $rest
        )
    };
}

/// Adds a request. Fails on `device_request_user_code` if the user code is taken.
pub async fn insert(tx: &Tx, tenant: &str, request: &DeviceRequest) -> Result<(), DbError> {
    sql("INSERT INTO device_request (tenant, device_hash, user_hash, client_id, scope, \
         created_at, expires_at, interval_secs, next_poll_at) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $6)")
    .bind(tenant)
    .bind(request.device_hash.clone())
    .bind(request.user_hash.clone())
    .bind(&request.client_id)
    .bind(&request.scope)
    .bind(request.created_at)
    .bind(request.expires_at)
    .bind(request.interval_secs)
    .execute(tx)
    .await?;
    Ok(())
}

/// The request with this device code, whatever became of it.
pub async fn by_device(
    source: impl Source,
    tenant: &str,
    device_hash: &[u8],
) -> Result<Option<DeviceRequest>, DbError> {
    sql(select!("AND device_hash = $2")).bind(tenant).bind(device_hash).optional(source).await
}

/// The request with this user code that nobody has decided yet.
pub async fn open_by_user_code(
    source: impl Source,
    tenant: &str,
    user_hash: &[u8],
    now: Timestamp,
) -> Result<Option<DeviceRequest>, DbError> {
    sql(select!("AND user_hash = $2 AND decided_at IS NULL AND expires_at > $3"))
        .bind(tenant)
        .bind(user_hash)
        .bind(now)
        .optional(source)
        .await
}

/// Decides a request, with the grant that allows it or without; `false` if it was decided before or
/// has expired.
pub async fn decide(
    tx: &Tx,
    tenant: &str,
    user_hash: &[u8],
    grant: Option<Id<tags::Grant>>,
    now: Timestamp,
) -> Result<bool, DbError> {
    let changed = sql("UPDATE device_request SET decided_at = $3, grant_id = $4 \
                       WHERE tenant = $1 AND user_hash = $2 AND decided_at IS NULL \
                       AND expires_at > $3")
    .bind(tenant)
    .bind(user_hash)
    .bind(now)
    .bind(grant.map(|grant| grant.to_string()))
    .execute(tx)
    .await?;
    Ok(changed == 1)
}

/// Notes a question that comes no sooner than it may; `false` if it does, and then the interval
/// grows by `slower` seconds (RFC 8628, section 3.5).
pub async fn poll(
    tx: &Tx,
    tenant: &str,
    request: &DeviceRequest,
    slower: i64,
    now: Timestamp,
) -> Result<bool, DbError> {
    let wait = |secs: i64| now.plus(std::time::Duration::from_secs(secs.unsigned_abs()));
    let in_time = sql("UPDATE device_request SET next_poll_at = $4 \
                       WHERE tenant = $1 AND device_hash = $2 AND next_poll_at <= $3")
    .bind(tenant)
    .bind(request.device_hash.clone())
    .bind(now)
    .bind(wait(request.interval_secs))
    .execute(tx)
    .await?;
    if in_time == 1 {
        return Ok(true);
    }
    sql("UPDATE device_request SET interval_secs = interval_secs + $3, next_poll_at = $4 \
         WHERE tenant = $1 AND device_hash = $2")
    .bind(tenant)
    .bind(request.device_hash.clone())
    .bind(slower)
    .bind(wait(request.interval_secs + slower))
    .execute(tx)
    .await?;
    Ok(false)
}

/// Uses a granted request; `false` if it was used before or has expired.
pub async fn consume(
    tx: &Tx,
    tenant: &str,
    device_hash: &[u8],
    now: Timestamp,
) -> Result<bool, DbError> {
    let changed = sql("UPDATE device_request SET consumed_at = $3 \
                       WHERE tenant = $1 AND device_hash = $2 AND consumed_at IS NULL \
                       AND grant_id IS NOT NULL AND expires_at > $3")
    .bind(tenant)
    .bind(device_hash)
    .bind(now)
    .execute(tx)
    .await?;
    Ok(changed == 1)
}
