//! Blocks and alerts.

use portcullis_types::{Id, Timestamp, tags};

use crate::db::{DbError, Tx};
use crate::query::{Source, sql};

/// A row of `block`.
#[derive(Debug, Clone, sqlx::FromRow)]
pub struct Block {
    /// The block.
    #[sqlx(try_from = "String")]
    pub id: Id<tags::Block>,
    /// The address, or the IPv6 /64.
    pub addr: String,
    /// What it closes: `all`, or the name of a limit such as `login`.
    pub scope: String,
    /// Why.
    pub reason: String,
    /// The rule or the person.
    pub created_by: String,
    /// When it began.
    #[sqlx(try_from = "i64")]
    pub created_at: Timestamp,
    /// When it ends by itself.
    #[sqlx(try_from = "i64")]
    pub until_at: Timestamp,
    /// When it was lifted, if it was.
    pub lifted_at: Option<i64>,
    /// By whom.
    pub lifted_by: Option<String>,
}

macro_rules! select_block {
    ($rest:literal) => {
        concat!(
            "SELECT id, addr, scope, reason, created_by, created_at, until_at, lifted_at, \
             lifted_by FROM block WHERE tenant = $1 ",
            $rest
        )
    };
}

/// Adds a block.
pub async fn insert_block(tx: &Tx, tenant: &str, block: &Block) -> Result<(), DbError> {
    sql("INSERT INTO block (tenant, id, addr, scope, reason, created_by, created_at, until_at) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8)")
    .bind(tenant)
    .bind(block.id)
    .bind(&block.addr)
    .bind(&block.scope)
    .bind(&block.reason)
    .bind(&block.created_by)
    .bind(block.created_at)
    .bind(block.until_at)
    .execute(tx)
    .await?;
    Ok(())
}

/// The block with this id.
pub async fn block(
    source: impl Source,
    tenant: &str,
    id: Id<tags::Block>,
) -> Result<Option<Block>, DbError> {
    sql(select_block!("AND id = $2")).bind(tenant).bind(id).optional(source).await
}

/// Every block in force at `now`.
pub async fn live_blocks(
    source: impl Source,
    tenant: &str,
    now: Timestamp,
) -> Result<Vec<Block>, DbError> {
    sql(select_block!("AND until_at > $2 AND lifted_at IS NULL ORDER BY id"))
        .bind(tenant)
        .bind(now)
        .all(source)
        .await
}

/// Lifts a block; `false` if it was lifted before or has ended.
pub async fn lift_block(
    tx: &Tx,
    tenant: &str,
    id: Id<tags::Block>,
    by: &str,
    now: Timestamp,
) -> Result<bool, DbError> {
    let changed = sql("UPDATE block SET lifted_at = $3, lifted_by = $4 \
                       WHERE tenant = $1 AND id = $2 AND lifted_at IS NULL AND until_at > $3")
    .bind(tenant)
    .bind(id)
    .bind(now)
    .bind(by)
    .execute(tx)
    .await?;
    Ok(changed == 1)
}

/// A row of `alert`. `accounts` and `evidence` are JSON arrays.
#[derive(Debug, Clone, sqlx::FromRow)]
pub struct Alert {
    /// The alert.
    #[sqlx(try_from = "String")]
    pub id: Id<tags::Alert>,
    /// The rule that raised it.
    pub rule: String,
    /// A sentence.
    pub title: String,
    /// The evidence in words.
    pub description: String,
    /// The address it is about.
    pub addr: Option<String>,
    /// The accounts it is about.
    pub accounts: String,
    /// The ids of the events that led to it.
    pub evidence: String,
    /// The block that answered it.
    pub block_id: Option<String>,
    /// `severity_id` of OCSF.
    pub severity: i64,
    /// The MITRE ATT&CK technique, such as `T1110.003`.
    pub technique: String,
    /// What was done: `alert`, `block`, `delay`, `step_up`, `end_sessions`, or `observed`.
    pub answer: String,
    /// When it was raised.
    #[sqlx(try_from = "i64")]
    pub created_at: Timestamp,
    /// When somebody took note of it.
    pub acknowledged_at: Option<i64>,
    /// Who.
    pub acknowledged_by: Option<String>,
}

macro_rules! select_alert {
    ($rest:literal) => {
        concat!(
            "SELECT id, rule, title, description, addr, accounts, evidence, block_id, severity, \
             technique, answer, created_at, acknowledged_at, acknowledged_by FROM alert WHERE tenant = $1 ",
            $rest
        )
    };
}

/// Adds an alert.
pub async fn insert_alert(tx: &Tx, tenant: &str, alert: &Alert) -> Result<(), DbError> {
    sql("INSERT INTO alert (tenant, id, rule, title, description, addr, accounts, evidence, \
         block_id, severity, technique, answer, created_at) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)")
    .bind(tenant)
    .bind(alert.id)
    .bind(&alert.rule)
    .bind(&alert.title)
    .bind(&alert.description)
    .bind(alert.addr.clone())
    .bind(&alert.accounts)
    .bind(&alert.evidence)
    .bind(alert.block_id.clone())
    .bind(alert.severity)
    .bind(&alert.technique)
    .bind(&alert.answer)
    .bind(alert.created_at)
    .execute(tx)
    .await?;
    Ok(())
}

/// The alert with this id.
pub async fn alert(
    source: impl Source,
    tenant: &str,
    id: Id<tags::Alert>,
) -> Result<Option<Alert>, DbError> {
    sql(select_alert!("AND id = $2")).bind(tenant).bind(id).optional(source).await
}

/// Which alerts.
#[derive(Debug, Clone, Copy, Default)]
pub struct AlertFilter<'a> {
    /// From when, and until when.
    pub within: (Option<Timestamp>, Option<Timestamp>),
    /// What was done; all if empty.
    pub answer: &'a str,
}

/// A page of alerts before the id `before`, newest first; an empty `before` begins at the newest.
pub async fn alerts(
    source: impl Source,
    tenant: &str,
    asked: AlertFilter<'_>,
    (before, limit): (&str, i64),
) -> Result<Vec<Alert>, DbError> {
    let (from, until) = asked.within;
    sql(select_alert!(
        "AND ($2 = '' OR id < $2) AND created_at >= $4 AND created_at <= $5 AND ($6 = '' OR answer = $6) \
         ORDER BY id DESC LIMIT $3"
    ))
    .bind(tenant)
    .bind(before)
    .bind(limit)
    .bind(from.map_or(i64::MIN, Timestamp::micros))
    .bind(until.map_or(i64::MAX, Timestamp::micros))
    .bind(asked.answer)
    .all(source)
    .await
}

/// The addresses that alerts since a time were about.
pub async fn alerts_since(
    source: impl Source,
    tenant: &str,
    since: Timestamp,
) -> Result<Vec<(Option<String>,)>, DbError> {
    sql("SELECT addr FROM alert WHERE tenant = $1 AND created_at >= $2")
        .bind(tenant)
        .bind(since)
        .all(source)
        .await
}

/// Takes note of an alert; `false` if somebody did before.
pub async fn acknowledge_alert(
    tx: &Tx,
    tenant: &str,
    id: Id<tags::Alert>,
    by: &str,
    now: Timestamp,
) -> Result<bool, DbError> {
    let changed = sql("UPDATE alert SET acknowledged_at = $3, acknowledged_by = $4 \
                       WHERE tenant = $1 AND id = $2 AND acknowledged_at IS NULL")
    .bind(tenant)
    .bind(id)
    .bind(now)
    .bind(by)
    .execute(tx)
    .await?;
    Ok(changed == 1)
}
