use portcullis_types::Timestamp;

use crate::db::{DbError, Tx};
use crate::query::{Source, sql};

/// A row of `aml_list`: with what the monitored subjects were compared, and with what they are being compared.
#[derive(Debug, Clone, Default, PartialEq, Eq, sqlx::FromRow)]
pub struct ListRow {
    /// The list.
    pub list: String,
    /// The digest of what all of them were compared with; empty at first.
    pub digest: String,
    /// Under which policies and rules.
    pub basis: String,
    /// The version of it.
    pub list_version: String,
    /// The digest of what they are being compared with; empty if that is done.
    pub target_digest: String,
    /// Under which policies and rules.
    pub target_basis: String,
    /// The version of it.
    pub target_version: String,
    /// The last subject that was.
    pub done_to: String,
}

/// How far it is with each list.
pub async fn progress(source: impl Source, tenant: &str) -> Result<Vec<ListRow>, DbError> {
    sql("SELECT list, digest, basis, list_version, target_digest, target_basis, target_version, \
         done_to FROM aml_list WHERE tenant = $1 ORDER BY list")
    .bind(tenant)
    .all(source)
    .await
}

/// Begins to compare with something else, from the first subject on.
pub async fn begin(tx: &Tx, tenant: &str, row: &ListRow, now: Timestamp) -> Result<(), DbError> {
    sql("INSERT INTO aml_list (tenant, list, digest, basis, list_version, target_digest, \
         target_basis, target_version, done_to, updated_at) \
         VALUES ($1, $2, '', '', '', $3, $4, $5, '', $6) \
         ON CONFLICT (tenant, list) DO UPDATE SET target_digest = $3, target_basis = $4, \
         target_version = $5, done_to = '', updated_at = $6")
    .bind(tenant)
    .bind(&row.list)
    .bind(&row.target_digest)
    .bind(&row.target_basis)
    .bind(&row.target_version)
    .bind(now)
    .execute(tx)
    .await
    .map(drop)
}

/// Notes that the subjects up to `to` are done; `false` if somebody else was further, or began anew.
pub async fn step(
    tx: &Tx,
    tenant: &str,
    row: &ListRow,
    to: &str,
    now: Timestamp,
) -> Result<bool, DbError> {
    let changed = sql("UPDATE aml_list SET done_to = $6, updated_at = $7 \
                       WHERE tenant = $1 AND list = $2 AND target_digest = $3 \
                       AND target_basis = $4 AND done_to = $5")
    .bind(tenant)
    .bind(&row.list)
    .bind(&row.target_digest)
    .bind(&row.target_basis)
    .bind(&row.done_to)
    .bind(to)
    .bind(now)
    .execute(tx)
    .await?;
    Ok(changed == 1)
}

/// Notes that all are done; `false` if somebody else was further, or began anew.
pub async fn finish(tx: &Tx, tenant: &str, row: &ListRow, now: Timestamp) -> Result<bool, DbError> {
    let changed = sql("UPDATE aml_list SET digest = target_digest, basis = target_basis, \
                       list_version = target_version, target_digest = '', target_basis = '', \
                       target_version = '', done_to = '', updated_at = $6 \
                       WHERE tenant = $1 AND list = $2 AND target_digest = $3 \
                       AND target_basis = $4 AND done_to = $5")
    .bind(tenant)
    .bind(&row.list)
    .bind(&row.target_digest)
    .bind(&row.target_basis)
    .bind(&row.done_to)
    .bind(now)
    .execute(tx)
    .await?;
    Ok(changed == 1)
}
