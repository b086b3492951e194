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
    /// When the node was started whose policies and rules these are: of two, the younger counts.
    pub since: i64,
    /// Since when it is not used any more.
    pub retired_at: Option<i64>,
    /// When it was taken up again.
    pub reinstated_at: Option<i64>,
}

/// How far it is with each list.
pub async fn progress(source: impl Source, tenant: &str) -> Result<Vec<ListRow>, DbError> {
    sql("SELECT list, digest, basis, list_version, target_digest, target_basis, target_version, \
         done_to, since, retired_at, reinstated_at FROM aml_list WHERE tenant = $1 ORDER BY list")
    .bind(tenant)
    .all(source)
    .await
}

/// Begins to compare with the target of `row`, from the first subject on.
pub async fn begin(tx: &Tx, tenant: &str, row: &ListRow, now: Timestamp) -> Result<(), DbError> {
    sql("INSERT INTO aml_list (tenant, list, digest, basis, list_version, target_digest, \
         target_basis, target_version, done_to, since, updated_at) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, '', $9, $10) \
         ON CONFLICT (tenant, list) DO UPDATE SET digest = $3, basis = $4, list_version = $5, \
         target_digest = $6, target_basis = $7, target_version = $8, done_to = '', since = $9, \
         updated_at = $10")
    .bind(tenant)
    .bind(&row.list)
    .bind(&row.digest)
    .bind(&row.basis)
    .bind(&row.list_version)
    .bind(&row.target_digest)
    .bind(&row.target_basis)
    .bind(&row.target_version)
    .bind(row.since)
    .bind(now)
    .execute(tx)
    .await
    .map(drop)
}

/// Notes that there is a list, so that it is missed where it is not.
pub async fn note(tx: &Tx, tenant: &str, list: &str, now: Timestamp) -> Result<(), DbError> {
    sql("INSERT INTO aml_list (tenant, list, digest, basis, list_version, target_digest, \
         target_basis, target_version, done_to, since, updated_at) \
         VALUES ($1, $2, '', '', '', '', '', '', '', 0, $3) ON CONFLICT (tenant, list) DO NOTHING")
    .bind(tenant)
    .bind(list)
    .bind(now)
    .execute(tx)
    .await
    .map(drop)
}

/// Notes that a list is not used any more since `at`, unless it was taken up again after that; whether that
/// is new. Everything that was done with it is forgotten: if it comes back, all of it is compared.
pub async fn retire(tx: &Tx, tenant: &str, list: &str, at: Timestamp) -> Result<bool, DbError> {
    let changed = sql("UPDATE aml_list SET retired_at = $3, digest = '', basis = '', \
                       list_version = '', target_digest = '', target_basis = '', \
                       target_version = '', done_to = '', since = 0 \
                       WHERE tenant = $1 AND list = $2 AND retired_at IS NULL \
                       AND (reinstated_at IS NULL OR reinstated_at < $3)")
    .bind(tenant)
    .bind(list)
    .bind(at)
    .execute(tx)
    .await?;
    Ok(changed == 1)
}

/// Notes that a list that was retired is used again; whether that is new.
pub async fn reinstate(tx: &Tx, tenant: &str, list: &str, at: Timestamp) -> Result<bool, DbError> {
    let changed = sql("UPDATE aml_list SET retired_at = NULL, reinstated_at = $3 \
                       WHERE tenant = $1 AND list = $2 AND retired_at IS NOT NULL")
    .bind(tenant)
    .bind(list)
    .bind(at)
    .execute(tx)
    .await?;
    Ok(changed == 1)
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
