//! What people ask about their own data, and until when it must be answered.

use portcullis_types::{Id, Timestamp, tags};

use crate::{
    db::{DbError, Tx},
    query::{Source, sql},
};

/// A row of `subject_request`.
#[derive(Debug, Clone, PartialEq, Eq, sqlx::FromRow)]
pub struct SubjectRequest {
    /// The request.
    #[sqlx(try_from = "String")]
    pub id: Id<tags::SubjectRequest>,
    /// `access`, `rectification`, `erasure`, `restriction`, `portability`, `objection` or
    /// `automated_decision`.
    pub kind: String,
    /// Whose account it is about; nothing for somebody without one.
    pub account_id: Option<String>,
    /// Who asked, in words; empty once the account is gone, if it was closed by then.
    pub requester: String,
    /// What was written down about it; goes with who asked.
    pub note: String,
    /// `open` or `closed`.
    pub state: String,
    /// When it came in.
    #[sqlx(try_from = "i64")]
    pub received_at: Timestamp,
    /// Until when it must be answered.
    #[sqlx(try_from = "i64")]
    pub due_at: Timestamp,
    /// Why it takes longer; empty unless the deadline was moved.
    pub extended_because: String,
    /// `fulfilled`, `refused` or `withdrawn`; empty until it is closed.
    pub outcome: String,
    /// When it was closed.
    pub closed_at: Option<i64>,
    /// By whom.
    pub closed_by: String,
    /// Who wrote it down.
    pub created_by: String,
    /// Grows with each change.
    pub version: i64,
}

macro_rules! select {
    ($rest:literal) => {
        concat!(
            "SELECT id, kind, account_id, requester, note, state, received_at, due_at, \
             extended_because, outcome, closed_at, closed_by, created_by, version \
             FROM subject_request WHERE tenant = $1 ",
            $rest
        )
    };
}

/// Adds a request.
pub async fn insert(tx: &Tx, tenant: &str, row: &SubjectRequest) -> Result<(), DbError> {
    sql("INSERT INTO subject_request (tenant, id, kind, account_id, requester, note, state, \
         received_at, due_at, created_by) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)")
    .bind(tenant)
    .bind(row.id)
    .bind(&row.kind)
    .bind(row.account_id.clone())
    .bind(&row.requester)
    .bind(&row.note)
    .bind(&row.state)
    .bind(row.received_at)
    .bind(row.due_at)
    .bind(&row.created_by)
    .execute(tx)
    .await?;
    Ok(())
}

/// The request with this id.
pub async fn by_id(
    source: impl Source,
    tenant: &str,
    id: Id<tags::SubjectRequest>,
) -> Result<Option<SubjectRequest>, DbError> {
    sql(select!("AND id = $2")).bind(tenant).bind(id).optional(source).await
}

/// A page of the requests in a state, those that are due first at the beginning, after that with this deadline and id.
pub async fn page(
    source: impl Source,
    tenant: &str,
    state: &str,
    after: (i64, &str),
    limit: i64,
) -> Result<Vec<SubjectRequest>, DbError> {
    sql(select!(
        "AND state = $2 AND (due_at > $3 OR due_at = $3 AND id > $4) ORDER BY due_at, id LIMIT $5"
    ))
    .bind(tenant)
    .bind(state)
    .bind(after.0)
    .bind(after.1)
    .bind(limit)
    .all(source)
    .await
}

/// Writes what may change of a request as of `before`; `false` if it changed meanwhile.
pub async fn update(
    tx: &Tx,
    tenant: &str,
    row: &SubjectRequest,
    before: i64,
) -> Result<bool, DbError> {
    let changed = sql("UPDATE subject_request SET note = $3, state = $4, due_at = $5, \
         extended_because = $6, outcome = $7, closed_at = $8, closed_by = $9, version = version + 1 \
         WHERE tenant = $1 AND id = $2 AND version = $10")
    .bind(tenant)
    .bind(row.id)
    .bind(&row.note)
    .bind(&row.state)
    .bind(row.due_at)
    .bind(&row.extended_because)
    .bind(&row.outcome)
    .bind(row.closed_at)
    .bind(&row.closed_by)
    .bind(before)
    .execute(tx)
    .await?;
    Ok(changed == 1)
}

/// What was asked about an account, the oldest first.
pub async fn of_account(
    source: impl Source,
    tenant: &str,
    account: Id<tags::User>,
) -> Result<Vec<SubjectRequest>, DbError> {
    sql(select!("AND account_id = $2 ORDER BY id")).bind(tenant).bind(account).all(source).await
}
