//! Pictures that people gave, for as long as somebody may have to look at them.

use portcullis_types::{Id, Timestamp, tags};

use crate::db::{DbError, Tx};
use crate::query::{Source, sql};

/// A row of `idv_picture`.
#[derive(Debug, Clone, sqlx::FromRow)]
pub struct PictureRow {
    /// The step that it was given for.
    pub node: String,
    /// `selfie`, `portrait`, `document`
    pub kind: String,
    /// What was found when it was looked at.
    pub report: String,
    /// A JPEG, sealed with the key of the session.
    pub sealed: Vec<u8>,
    /// When it was given.
    #[sqlx(try_from = "i64")]
    pub created_at: Timestamp,
    /// When it goes.
    #[sqlx(try_from = "i64")]
    pub expires_at: Timestamp,
}

/// Keeps a picture, in the place of another one for the same step.
pub async fn put(
    tx: &Tx,
    tenant: &str,
    session: Id<tags::IdvSession>,
    row: &PictureRow,
) -> Result<(), DbError> {
    sql("INSERT INTO idv_picture (tenant, session_id, node, kind, report, sealed, created_at, \
         expires_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT (tenant, session_id, node) DO UPDATE SET \
         kind = excluded.kind, report = excluded.report, sealed = excluded.sealed, created_at = excluded.created_at, \
         expires_at = excluded.expires_at")
    .bind(tenant)
    .bind(session)
    .bind(&row.node)
    .bind(&row.kind)
    .bind(&row.report)
    .bind(row.sealed.as_slice())
    .bind(row.created_at)
    .bind(row.expires_at)
    .execute(tx)
    .await
    .map(drop)
}

/// Every picture of a session that is not past its time.
pub async fn all(
    source: impl Source,
    tenant: &str,
    session: Id<tags::IdvSession>,
    now: Timestamp,
) -> Result<Vec<PictureRow>, DbError> {
    sql("SELECT node, kind, report, sealed, created_at, expires_at FROM idv_picture \
         WHERE tenant = $1 AND session_id = $2 AND expires_at > $3 ORDER BY node")
    .bind(tenant)
    .bind(session)
    .bind(now)
    .all(source)
    .await
}

/// The picture for a step, if it is not past its time.
pub async fn by_node(
    source: impl Source,
    tenant: &str,
    (session, node): (Id<tags::IdvSession>, &str),
    now: Timestamp,
) -> Result<Option<PictureRow>, DbError> {
    sql("SELECT node, kind, report, sealed, created_at, expires_at FROM idv_picture \
         WHERE tenant = $1 AND session_id = $2 AND node = $3 AND expires_at > $4")
    .bind(tenant)
    .bind(session)
    .bind(node)
    .bind(now)
    .optional(source)
    .await
}

/// Forgets the picture for a step.
pub async fn remove(
    tx: &Tx,
    tenant: &str,
    (session, node): (Id<tags::IdvSession>, &str),
) -> Result<(), DbError> {
    sql("DELETE FROM idv_picture WHERE tenant = $1 AND session_id = $2 AND node = $3")
        .bind(tenant)
        .bind(session)
        .bind(node)
        .execute(tx)
        .await
        .map(drop)
}
