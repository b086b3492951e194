//! Cases: accounts that were flagged, and what became of the review.

use portcullis_types::{Id, Timestamp, tags};

use crate::db::{DbError, Tx};
use crate::query::{Source, sql};

/// A case names so many alerts; the newest are in the list of alerts.
const MAX_ALERTS: usize = 100;

/// A row of `review_case`, with the name of the account.
#[derive(Debug, Clone, sqlx::FromRow)]
pub struct Case {
    /// The case.
    #[sqlx(try_from = "String")]
    pub id: Id<tags::Case>,
    /// The account.
    #[sqlx(try_from = "String")]
    pub account_id: Id<tags::User>,
    /// What it is called.
    pub username: String,
    /// `open`, `in_review` or `closed`.
    pub state: String,
    /// The rule that flagged the account first.
    pub reason: String,
    /// The highest `severity_id` of the findings.
    pub severity: i64,
    /// The alerts, a JSON array of ids.
    pub alerts: String,
    /// Who looks at it; empty for nobody.
    pub assignee: String,
    /// What whoever looks at it wrote down.
    pub note: String,
    /// `confirmed`, `false_alarm` or `inconclusive`; empty until it is closed.
    pub resolution: String,
    /// Grows with each change.
    pub version: i64,
    /// When it was opened.
    #[sqlx(try_from = "i64")]
    pub opened_at: Timestamp,
    /// When it changed last.
    #[sqlx(try_from = "i64")]
    pub updated_at: Timestamp,
    /// When it was closed.
    pub closed_at: Option<i64>,
    /// By whom.
    pub closed_by: String,
}

macro_rules! select {
    ($rest:literal) => {
        concat!(
            "SELECT c.id, c.account_id, a.username, c.state, c.reason, c.severity, c.alerts, \
             c.assignee, c.note, c.resolution, c.version, c.opened_at, c.updated_at, c.closed_at, \
             c.closed_by FROM review_case c JOIN account a \
             ON a.tenant = c.tenant AND a.id = c.account_id WHERE c.tenant = $1 ",
            $rest
        )
    };
}

/// What was found about an account.
#[derive(Debug, Clone, Copy)]
pub struct Evidence<'a> {
    /// The rule.
    pub rule: &'a str,
    /// `severity_id` of OCSF.
    pub severity: i64,
    /// The alert, if one was raised.
    pub alert: Option<Id<tags::Alert>>,
}

/// Adds a finding to the account's open case; `new` becomes one if there is none. Whether it did.
pub async fn open_or_add(
    tx: &Tx,
    tenant: &str,
    account: Id<tags::User>,
    new: Id<tags::Case>,
    found: Evidence<'_>,
    now: Timestamp,
) -> Result<bool, DbError> {
    let open = of_account(tx, tenant, account).await?;
    let mut alerts: Vec<String> = match &open {
        Some(case) => serde_json::from_str(&case.alerts).unwrap_or_default(),
        None => Vec::new(),
    };
    let alert = found.alert.map(|id| id.to_string());
    alerts.extend(alert.filter(|id| alerts.len() < MAX_ALERTS && !alerts.contains(id)));
    let alerts = serde_json::to_string(&alerts).unwrap_or_default();
    match open {
        Some(case) => {
            sql("UPDATE review_case SET alerts = $3, severity = $4, updated_at = $5, \
                 version = version + 1 WHERE tenant = $1 AND id = $2")
            .bind(tenant)
            .bind(case.id)
            .bind(alerts)
            .bind(case.severity.max(found.severity))
            .bind(now)
            .execute(tx)
            .await?;
            Ok(false)
        }
        None => {
            sql("INSERT INTO review_case (tenant, id, account_id, state, reason, severity, alerts, \
                 version, opened_at, updated_at) VALUES ($1, $2, $3, 'open', $4, $5, $6, 1, $7, $7)")
            .bind(tenant)
            .bind(new)
            .bind(account)
            .bind(found.rule)
            .bind(found.severity)
            .bind(alerts)
            .bind(now)
            .execute(tx)
            .await?;
            Ok(true)
        }
    }
}

/// The account's case that is not closed.
pub async fn of_account(
    source: impl Source,
    tenant: &str,
    account: Id<tags::User>,
) -> Result<Option<Case>, DbError> {
    sql(select!("AND c.account_id = $2 AND c.state <> 'closed'"))
        .bind(tenant)
        .bind(account)
        .optional(source)
        .await
}

/// The case with this id.
pub async fn by_id(
    source: impl Source,
    tenant: &str,
    id: Id<tags::Case>,
) -> Result<Option<Case>, DbError> {
    sql(select!("AND c.id = $2")).bind(tenant).bind(id).optional(source).await
}

/// A page of the cases in a state after the id `after`, oldest first.
pub async fn page(
    source: impl Source,
    tenant: &str,
    state: &str,
    after: &str,
    limit: i64,
) -> Result<Vec<Case>, DbError> {
    sql(select!("AND c.state = $2 AND c.id > $3 ORDER BY c.id LIMIT $4"))
        .bind(tenant)
        .bind(state)
        .bind(after)
        .bind(limit)
        .all(source)
        .await
}

/// Writes what may change of a case as of `before`; `false` if it changed meanwhile.
pub async fn update(tx: &Tx, tenant: &str, case: &Case, before: i64) -> Result<bool, DbError> {
    let changed =
        sql("UPDATE review_case SET state = $3, assignee = $4, note = $5, resolution = $6, \
                       updated_at = $7, closed_at = $8, closed_by = $9, version = version + 1 \
                       WHERE tenant = $1 AND id = $2 AND version = $10")
        .bind(tenant)
        .bind(case.id)
        .bind(&case.state)
        .bind(&case.assignee)
        .bind(&case.note)
        .bind(&case.resolution)
        .bind(case.updated_at)
        .bind(case.closed_at)
        .bind(&case.closed_by)
        .bind(before)
        .execute(tx)
        .await?;
    Ok(changed == 1)
}
