//! Who looks after a review, and what people wrote down about it.

use portcullis_types::{Id, Timestamp, tags};

use crate::db::{DbError, Tx};
use crate::query::{Source, sql};

/// A row of `idv_note`.
#[derive(Debug, Clone, sqlx::FromRow)]
pub struct NoteRow {
    /// From 1.
    pub number: i64,
    /// When.
    #[sqlx(try_from = "i64")]
    pub at: Timestamp,
    /// Whose account wrote it.
    pub author: String,
    /// The text, sealed with the key of the session.
    pub sealed: Vec<u8>,
}

/// Adds a note. A number that is taken is an error: somebody else was faster.
pub async fn add(
    tx: &Tx,
    tenant: &str,
    session: Id<tags::IdvSession>,
    row: &NoteRow,
) -> Result<(), DbError> {
    sql("INSERT INTO idv_note (tenant, session_id, number, at, author, sealed) \
         VALUES ($1, $2, $3, $4, $5, $6)")
    .bind(tenant)
    .bind(session)
    .bind(row.number)
    .bind(row.at)
    .bind(&row.author)
    .bind(row.sealed.as_slice())
    .execute(tx)
    .await
    .map(drop)
}

/// The notes of a session after `after`, in order.
pub async fn of_session(
    source: impl Source,
    tenant: &str,
    session: Id<tags::IdvSession>,
    after: i64,
    limit: i64,
) -> Result<Vec<NoteRow>, DbError> {
    sql("SELECT number, at, author, sealed FROM idv_note \
         WHERE tenant = $1 AND session_id = $2 AND number > $3 ORDER BY number LIMIT $4")
    .bind(tenant)
    .bind(session)
    .bind(after)
    .bind(limit)
    .all(source)
    .await
}

/// Gives a session that is not over to somebody, or to nobody; `false` if somebody has it who is not `from`,
/// or it is over.
pub async fn assign(
    tx: &Tx,
    tenant: &str,
    session: Id<tags::IdvSession>,
    from: Option<Id<tags::User>>,
    to: Option<Id<tags::User>>,
) -> Result<bool, DbError> {
    let text = |id: Option<Id<tags::User>>| id.map(|id| id.to_string());
    let changed = sql("UPDATE idv_session SET assignee = $3 WHERE tenant = $1 AND id = $2 \
                       AND ended_at IS NULL AND COALESCE(assignee, '') = $4")
    .bind(tenant)
    .bind(session)
    .bind(text(to))
    .bind(text(from).unwrap_or_default())
    .execute(tx)
    .await?;
    Ok(changed == 1)
}
