//! How far the import of a file has come. Written together with the accounts it tells of, so that
//! an import that was killed goes on where it was.

use portcullis_types::Timestamp;

use crate::db::{DbError, Tx};
use crate::query::{Source, sql};

/// A row of `user_import`.
#[derive(Debug, Clone, Default, sqlx::FromRow)]
pub struct Progress {
    /// Records of the file that are done.
    pub lines: i64,
    /// Those that became accounts.
    pub imported: i64,
    /// Those that were refused.
    pub refused: i64,
}

/// How far the file with this SHA-256 has come.
pub async fn progress(
    source: impl Source,
    tenant: &str,
    digest: &str,
) -> Result<Progress, DbError> {
    let row: Option<Progress> = sql("SELECT lines, imported, refused FROM user_import \
                                     WHERE tenant = $1 AND digest = $2")
    .bind(tenant)
    .bind(digest)
    .optional(source)
    .await?;
    Ok(row.unwrap_or_default())
}

/// Remembers how far the file has come.
pub async fn put(
    tx: &Tx,
    tenant: &str,
    digest: &str,
    progress: &Progress,
    now: Timestamp,
) -> Result<(), DbError> {
    sql(
        "INSERT INTO user_import (tenant, digest, lines, imported, refused, begun_at, updated_at) \
         VALUES ($1, $2, $3, $4, $5, $6, $6) ON CONFLICT (tenant, digest) DO UPDATE SET \
         lines = excluded.lines, imported = excluded.imported, refused = excluded.refused, \
         updated_at = excluded.updated_at",
    )
    .bind(tenant)
    .bind(digest)
    .bind(progress.lines)
    .bind(progress.imported)
    .bind(progress.refused)
    .bind(now)
    .execute(tx)
    .await?;
    Ok(())
}
