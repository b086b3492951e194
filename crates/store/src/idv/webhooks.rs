//! Receivers of webhooks, what they are told, and what came of it.

use portcullis_types::{Id, Timestamp, tags};

use crate::db::{DbError, Tx};
use crate::query::{Source, sql};

/// A row of `idv_webhook`.
#[derive(Debug, Clone, sqlx::FromRow)]
pub struct WebhookRow {
    /// The receiver.
    #[sqlx(try_from = "String")]
    pub id: Id<tags::Webhook>,
    /// Where it is.
    pub url: String,
    /// What it is for.
    pub description: String,
    /// Types of messages with spaces between them; all, if it is empty.
    pub types: String,
    /// The secret and the seed of the signing key, sealed.
    pub keys: Vec<u8>,
    /// Those before them; empty if there were none.
    pub previous_keys: Vec<u8>,
    /// Until when these sign as well.
    pub previous_until: Option<i64>,
    /// Empty, `operator` or `gone`.
    pub disabled: String,
    /// Attempts in a row that failed.
    pub failures: i64,
    /// Until when it is left alone.
    #[sqlx(try_from = "i64")]
    pub rests_until: Timestamp,
    /// How often it was changed, from 1.
    pub revision: i64,
    /// When it was made.
    #[sqlx(try_from = "i64")]
    pub created_at: Timestamp,
    /// When it was changed.
    #[sqlx(try_from = "i64")]
    pub updated_at: Timestamp,
}

/// A row of `idv_message`.
#[derive(Debug, Clone, sqlx::FromRow)]
pub struct MessageRow {
    /// The message.
    #[sqlx(try_from = "String")]
    pub id: Id<tags::Message>,
    /// The session that it is about; empty if there is none.
    pub session_id: String,
    /// Which message about that session, from 1.
    pub sequence: i64,
    /// Its type.
    #[sqlx(rename = "type")]
    pub kind: String,
    /// As it is on the wire.
    pub body: String,
    /// When it was made.
    #[sqlx(try_from = "i64")]
    pub created_at: Timestamp,
}

/// A row of `idv_delivery` with its message.
#[derive(Debug, Clone, sqlx::FromRow)]
pub struct DeliveryRow {
    /// The message.
    #[sqlx(flatten)]
    pub message: MessageRow,
    /// `pending`, `delivered` or `failed`.
    pub status: String,
    /// When it is tried next.
    #[sqlx(try_from = "i64")]
    pub due_at: Timestamp,
    /// Attempts since it was made or asked for again.
    pub tries: i64,
    /// The last attempts, as JSON.
    pub attempts: String,
}

macro_rules! select {
    ($rest:literal) => {
        concat!(
            "SELECT id, url, description, types, keys, previous_keys, previous_until, disabled, \
             failures, rests_until, revision, created_at, updated_at FROM idv_webhook WHERE ",
            $rest
        )
    };
}

macro_rules! deliveries {
    ($rest:literal) => {
        concat!(
            "SELECT m.id, m.session_id, m.sequence, m.type, m.body, m.created_at, d.status, \
             d.due_at, d.tries, d.attempts FROM idv_delivery d JOIN idv_message m \
             ON m.tenant = d.tenant AND m.id = d.message_id \
             WHERE d.tenant = $1 AND d.webhook_id = $2 AND ",
            $rest
        )
    };
}

/// Every receiver, the oldest first.
pub async fn all(source: impl Source, tenant: &str) -> Result<Vec<WebhookRow>, DbError> {
    sql(select!("tenant = $1 ORDER BY id")).bind(tenant).all(source).await
}

/// All receivers, for a transaction that changes none of them.
pub async fn all_once(tx: &Tx, tenant: &str) -> Result<Vec<WebhookRow>, DbError> {
    sql(select!("tenant = $1 ORDER BY id")).bind(tenant).once(tx).await
}

/// The receiver with this id.
pub async fn by_id(
    source: impl Source,
    tenant: &str,
    id: Id<tags::Webhook>,
) -> Result<Option<WebhookRow>, DbError> {
    sql(select!("tenant = $1 AND id = $2")).bind(tenant).bind(id).optional(source).await
}

/// Adds a receiver.
pub async fn insert(tx: &Tx, tenant: &str, row: &WebhookRow) -> Result<(), DbError> {
    sql("INSERT INTO idv_webhook (tenant, id, url, description, types, keys, previous_keys, \
         disabled, failures, rests_until, revision, created_at, updated_at) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, 0, 0, $9, $10, $11)")
    .bind(tenant)
    .bind(row.id)
    .bind(&row.url)
    .bind(&row.description)
    .bind(&row.types)
    .bind(row.keys.as_slice())
    .bind(row.previous_keys.as_slice())
    .bind(&row.disabled)
    .bind(row.revision)
    .bind(row.created_at)
    .bind(row.updated_at)
    .execute(tx)
    .await
    .map(drop)
}

/// Writes what may change of a receiver.
pub async fn update(tx: &Tx, tenant: &str, row: &WebhookRow) -> Result<(), DbError> {
    sql("UPDATE idv_webhook SET url = $3, description = $4, types = $5, keys = $6, \
         previous_keys = $7, previous_until = $8, disabled = $9, failures = $10, \
         rests_until = $11, revision = $12, updated_at = $13 WHERE tenant = $1 AND id = $2")
    .bind(tenant)
    .bind(row.id)
    .bind(&row.url)
    .bind(&row.description)
    .bind(&row.types)
    .bind(row.keys.as_slice())
    .bind(row.previous_keys.as_slice())
    .bind(row.previous_until)
    .bind(&row.disabled)
    .bind(row.failures)
    .bind(row.rests_until)
    .bind(row.revision)
    .bind(row.updated_at)
    .execute(tx)
    .await
    .map(drop)
}

/// Remembers how a receiver took the last attempts.
pub async fn rest(
    tx: &Tx,
    tenant: &str,
    id: Id<tags::Webhook>,
    failures: i64,
    until: Timestamp,
) -> Result<(), DbError> {
    sql("UPDATE idv_webhook SET failures = $3, rests_until = $4 WHERE tenant = $1 AND id = $2")
        .bind(tenant)
        .bind(id)
        .bind(failures)
        .bind(until)
        .execute(tx)
        .await
        .map(drop)
}

/// Removes a receiver and what it was to be told; `false` if there is none.
pub async fn delete(tx: &Tx, tenant: &str, id: Id<tags::Webhook>) -> Result<bool, DbError> {
    let deleted = sql("DELETE FROM idv_webhook WHERE tenant = $1 AND id = $2")
        .bind(tenant)
        .bind(id)
        .execute(tx)
        .await?;
    Ok(deleted == 1)
}

/// Forgets what a receiver was told or is to be of a type.
pub async fn forget(
    tx: &Tx,
    tenant: &str,
    id: Id<tags::Webhook>,
    kind: &str,
) -> Result<(), DbError> {
    sql("DELETE FROM idv_delivery WHERE tenant = $1 AND webhook_id = $2 AND message_id IN \
         (SELECT id FROM idv_message WHERE tenant = $1 AND type = $3)")
    .bind(tenant)
    .bind(id)
    .bind(kind)
    .execute(tx)
    .await
    .map(drop)
}

/// Adds a message, which goes at `expires_at`.
pub async fn add_message(
    tx: &Tx,
    tenant: &str,
    row: &MessageRow,
    expires_at: Timestamp,
) -> Result<(), DbError> {
    sql("INSERT INTO idv_message (tenant, id, session_id, sequence, type, body, created_at, \
         expires_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8)")
    .bind(tenant)
    .bind(row.id)
    .bind(&row.session_id)
    .bind(row.sequence)
    .bind(&row.kind)
    .bind(&row.body)
    .bind(row.created_at)
    .bind(expires_at)
    .later(tx)
    .await
}

/// A receiver has to be told a message, not before what it has to be told of the session first.
pub async fn add_delivery(
    tx: &Tx,
    tenant: &str,
    webhook: Id<tags::Webhook>,
    row: &MessageRow,
) -> Result<(), DbError> {
    sql("INSERT INTO idv_delivery (tenant, webhook_id, message_id, session_id, sequence, status, \
         due_at, tries, attempts) SELECT $1, $2, $3, $4, $5, 'pending', \
         COALESCE((SELECT MAX(due_at) FROM idv_delivery WHERE tenant = $1 AND webhook_id = $2 \
         AND session_id = $4 AND session_id <> '' AND status = 'pending'), $6), 0, '[]'")
    .bind(tenant)
    .bind(webhook)
    .bind(row.id)
    .bind(&row.session_id)
    .bind(row.sequence)
    .bind(row.created_at)
    .later(tx)
    .await
}

/// Receivers that can be told something now.
pub async fn due(
    source: impl Source,
    tenant: &str,
    now: Timestamp,
) -> Result<Vec<Id<tags::Webhook>>, DbError> {
    let rows = sql("SELECT id FROM idv_webhook w WHERE tenant = $1 AND disabled = '' \
                    AND rests_until <= $2 AND EXISTS (SELECT 1 FROM idv_delivery d \
                    WHERE d.tenant = w.tenant AND d.webhook_id = w.id AND d.status = 'pending' \
                    AND d.due_at <= $2) ORDER BY id")
    .bind(tenant)
    .bind(now)
    .all::<(String,)>(source)
    .await?;
    Ok(rows.iter().filter_map(|(id,)| id.parse().ok()).collect())
}

/// Takes what a receiver can be told now, the longest due first: of each session only the first that it was
/// not told. Nobody else gets it before `until`, by which whoever took it knows it again.
pub async fn take(
    tx: &Tx,
    tenant: &str,
    webhook: Id<tags::Webhook>,
    (now, until): (Timestamp, Timestamp),
    limit: i64,
) -> Result<Vec<DeliveryRow>, DbError> {
    let mut taken = sql(deliveries!(
        "d.status = 'pending' AND d.due_at <= $3 AND (d.session_id = '' OR NOT EXISTS \
         (SELECT 1 FROM idv_delivery e WHERE e.tenant = d.tenant AND e.webhook_id = d.webhook_id \
          AND e.session_id = d.session_id AND e.sequence < d.sequence AND e.status = 'pending')) \
         ORDER BY d.due_at, d.message_id LIMIT $4"
    ))
    .bind(tenant)
    .bind(webhook)
    .bind(now)
    .bind(limit)
    .all::<DeliveryRow>(tx)
    .await?;
    for row in &mut taken {
        row.due_at = until;
        sql("UPDATE idv_delivery SET due_at = $4 \
             WHERE tenant = $1 AND webhook_id = $2 AND message_id = $3")
        .bind(tenant)
        .bind(webhook)
        .bind(row.message.id)
        .bind(until)
        .execute(tx)
        .await?;
    }
    Ok(taken)
}

/// Writes what came of an attempt; `false` if the message is gone.
pub async fn settle(
    tx: &Tx,
    tenant: &str,
    webhook: Id<tags::Webhook>,
    row: &DeliveryRow,
) -> Result<bool, DbError> {
    let settled = sql("UPDATE idv_delivery SET status = $4, due_at = $5, tries = $6, \
                       attempts = $7 WHERE tenant = $1 AND webhook_id = $2 AND message_id = $3")
    .bind(tenant)
    .bind(webhook)
    .bind(row.message.id)
    .bind(&row.status)
    .bind(row.due_at)
    .bind(row.tries)
    .bind(&row.attempts)
    .execute(tx)
    .await?;
    Ok(settled == 1)
}

/// What a receiver has to be told of a session after a message is due from then on. That it is not told before it
/// is the matter of [`take`]; this is so that nothing is looked at that cannot be told yet.
pub async fn delay_followers(
    tx: &Tx,
    tenant: &str,
    webhook: Id<tags::Webhook>,
    message: &MessageRow,
    due_at: Timestamp,
) -> Result<(), DbError> {
    if message.session_id.is_empty() {
        return Ok(());
    }
    sql("UPDATE idv_delivery SET due_at = $5 WHERE tenant = $1 AND webhook_id = $2 \
         AND session_id = $3 AND sequence > $4 AND status = 'pending'")
    .bind(tenant)
    .bind(webhook)
    .bind(&message.session_id)
    .bind(message.sequence)
    .bind(due_at)
    .execute(tx)
    .await
    .map(drop)
}

/// One delivery.
pub async fn delivery(
    source: impl Source,
    tenant: &str,
    webhook: Id<tags::Webhook>,
    message: Id<tags::Message>,
) -> Result<Option<DeliveryRow>, DbError> {
    sql(deliveries!("d.message_id = $3"))
        .bind(tenant)
        .bind(webhook)
        .bind(message)
        .optional(source)
        .await
}

/// Which deliveries; what is empty does not count.
#[derive(Debug, Clone, Copy, Default)]
pub struct DeliveryFilter<'a> {
    /// That came to this.
    pub status: &'a str,
    /// About this session.
    pub session: &'a str,
}

/// A page of what a receiver was told or is to be, the newest first, before the message `before`.
pub async fn page(
    source: impl Source,
    tenant: &str,
    webhook: Id<tags::Webhook>,
    filter: DeliveryFilter<'_>,
    before: &str,
    limit: i64,
) -> Result<Vec<DeliveryRow>, DbError> {
    sql(deliveries!(
        "($3 = '' OR d.message_id < $3) AND ($4 = '' OR d.status = $4) \
         AND ($5 = '' OR d.session_id = $5) ORDER BY d.message_id DESC LIMIT $6"
    ))
    .bind(tenant)
    .bind(webhook)
    .bind(before)
    .bind(filter.status)
    .bind(filter.session)
    .bind(limit)
    .all(source)
    .await
}

/// Tells a receiver again what it could not be told of messages made from `since` on, and how many these are.
pub async fn recover(
    tx: &Tx,
    tenant: &str,
    webhook: Id<tags::Webhook>,
    since: Timestamp,
    now: Timestamp,
) -> Result<u64, DbError> {
    sql("UPDATE idv_delivery SET status = 'pending', due_at = $4, tries = 0 \
         WHERE tenant = $1 AND webhook_id = $2 AND status = 'failed' AND message_id IN \
         (SELECT id FROM idv_message WHERE tenant = $1 AND created_at >= $3)")
    .bind(tenant)
    .bind(webhook)
    .bind(since)
    .bind(now)
    .execute(tx)
    .await
}

/// How many deliveries of a receiver wait, and how many were given up.
pub async fn counts(
    source: impl Source,
    tenant: &str,
    webhook: Id<tags::Webhook>,
) -> Result<Vec<(String, i64)>, DbError> {
    sql("SELECT status, COUNT(*) FROM idv_delivery WHERE tenant = $1 AND webhook_id = $2 \
         AND status IN ('pending', 'failed') GROUP BY status")
    .bind(tenant)
    .bind(webhook)
    .all(source)
    .await
}
