//! Requests to show credentials, and what was shown.

use portcullis_types::{Id, Timestamp, tags};

use crate::db::{DbError, Tx};
use crate::query::{Source, sql};

/// A row of `presentation`.
#[derive(Debug, Clone, sqlx::FromRow)]
pub struct PresentationRow {
    /// The request.
    #[sqlx(try_from = "String")]
    pub id: Id<tags::Presentation>,
    /// The session with the step that waits for it, if one does.
    pub session_id: Option<String>,
    /// The task of that step.
    pub task: i64,
    /// Whom the wallet shows them to.
    pub audience: String,
    /// In which request.
    pub nonce: String,
    /// What is asked for, as JSON.
    pub query: String,
    /// The signed request.
    pub request: String,
    /// Answers that were refused.
    pub tries: i64,
    /// When it was made.
    #[sqlx(try_from = "i64")]
    pub created_at: Timestamp,
    /// Until when it can be answered.
    #[sqlx(try_from = "i64")]
    pub expires_at: Timestamp,
    /// When it was answered.
    pub answered_at: Option<i64>,
    /// Why the last answer was refused.
    pub refused: Option<String>,
    /// What was shown, sealed; empty as long as nothing was.
    pub sealed: Vec<u8>,
    /// When the row goes.
    #[sqlx(try_from = "i64")]
    pub ends_at: Timestamp,
}

impl PresentationRow {
    /// The session with the step that waits for it.
    pub fn session(&self) -> Option<Id<tags::IdvSession>> {
        self.session_id.as_deref()?.parse().ok()
    }
}

/// Adds a request.
pub async fn insert(tx: &Tx, tenant: &str, row: &PresentationRow) -> Result<(), DbError> {
    sql("INSERT INTO presentation (tenant, id, session_id, task, audience, nonce, query, request, tries, created_at, \
         expires_at, ends_at, sealed) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, 0, $9, $10, $11, $12)")
    .bind(tenant)
    .bind(row.id)
    .bind(row.session_id.clone())
    .bind(row.task)
    .bind(&row.audience)
    .bind(&row.nonce)
    .bind(&row.query)
    .bind(&row.request)
    .bind(row.created_at)
    .bind(row.expires_at)
    .bind(row.ends_at)
    .bind(row.sealed.as_slice())
    .execute(tx)
    .await
    .map(drop)
}

macro_rules! select {
    ($rest:literal) => {
        concat!(
            "SELECT id, session_id, task, audience, nonce, query, request, tries, created_at, expires_at, \
             answered_at, refused, sealed, ends_at FROM presentation WHERE tenant = $1 ",
            $rest
        )
    };
}

/// A request.
pub async fn by_id(
    source: impl Source,
    tenant: &str,
    id: Id<tags::Presentation>,
) -> Result<Option<PresentationRow>, DbError> {
    sql(select!("AND id = $2")).bind(tenant).bind(id).optional(source).await
}

/// The newest request for a step.
pub async fn of_task(
    source: impl Source,
    tenant: &str,
    session: Id<tags::IdvSession>,
    task: i64,
) -> Result<Option<PresentationRow>, DbError> {
    sql(select!("AND session_id = $2 AND task = $3 ORDER BY id DESC LIMIT 1"))
        .bind(tenant)
        .bind(session)
        .bind(task)
        .optional(source)
        .await
}

#[derive(sqlx::FromRow)]
struct Count {
    n: i64,
}

/// How many requests there were for a session since a moment.
pub async fn count_of_session(
    source: impl Source,
    tenant: &str,
    session: Id<tags::IdvSession>,
    since: Timestamp,
) -> Result<i64, DbError> {
    let count: Option<Count> =
        sql("SELECT COUNT(*) AS n FROM presentation WHERE tenant = $1 AND session_id = $2 AND created_at > $3")
            .bind(tenant)
            .bind(session)
            .bind(since)
            .optional(source)
            .await?;
    Ok(count.map_or(0, |count| count.n))
}

/// Counts an answer before it is looked at; `false` if it was answered, has expired, or there were `tries_max`.
pub async fn count_try(
    tx: &Tx,
    tenant: &str,
    id: Id<tags::Presentation>,
    (now, tries_max): (Timestamp, i64),
) -> Result<bool, DbError> {
    let counted = sql("UPDATE presentation SET tries = tries + 1 WHERE tenant = $1 AND id = $2 \
                       AND answered_at IS NULL AND expires_at > $3 AND tries < $4")
    .bind(tenant)
    .bind(id)
    .bind(now)
    .bind(tries_max)
    .execute(tx)
    .await?;
    Ok(counted == 1)
}

/// Keeps why an answer was refused.
pub async fn refuse(
    tx: &Tx,
    tenant: &str,
    id: Id<tags::Presentation>,
    why: &str,
) -> Result<(), DbError> {
    sql("UPDATE presentation SET refused = $3 WHERE tenant = $1 AND id = $2 AND answered_at IS NULL")
        .bind(tenant)
        .bind(id)
        .bind(why)
        .execute(tx)
        .await
        .map(drop)
}

/// Answers a request with what was shown, sealed; empty where a session keeps it. `false` if it was answered before
/// or has expired.
pub async fn answer(
    tx: &Tx,
    tenant: &str,
    id: Id<tags::Presentation>,
    sealed: &[u8],
    now: Timestamp,
) -> Result<bool, DbError> {
    let answered = sql("UPDATE presentation SET answered_at = $3, sealed = $4, refused = NULL \
                        WHERE tenant = $1 AND id = $2 AND answered_at IS NULL AND expires_at > $3")
    .bind(tenant)
    .bind(id)
    .bind(now)
    .bind(sealed)
    .execute(tx)
    .await?;
    Ok(answered == 1)
}

/// Removes a request with what was shown; `false` if there is none.
pub async fn remove(tx: &Tx, tenant: &str, id: Id<tags::Presentation>) -> Result<bool, DbError> {
    let removed =
        sql("DELETE FROM presentation WHERE tenant = $1 AND id = $2 AND session_id IS NULL")
            .bind(tenant)
            .bind(id)
            .execute(tx)
            .await?;
    Ok(removed == 1)
}
