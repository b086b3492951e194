//! Workflows and their versions.

use portcullis_types::{Id, Timestamp, tags};

use crate::db::{DbError, Tx};
use crate::query::{Source, sql};

/// A row of `idv_workflow`.
#[derive(Debug, Clone, sqlx::FromRow)]
pub struct WorkflowRow {
    /// The workflow.
    #[sqlx(try_from = "String")]
    pub id: Id<tags::Workflow>,
    /// What people call it, once in a tenant.
    pub name: String,
    /// The graph that is being drawn, as JSON.
    pub draft: String,
    /// The version that new sessions are begun with.
    pub current_version: Option<i64>,
    /// The highest number of a version; 0 if there is none.
    pub latest_version: i64,
    /// Grows with each change.
    pub revision: i64,
    /// When it came.
    #[sqlx(try_from = "i64")]
    pub created_at: Timestamp,
    /// When it changed.
    #[sqlx(try_from = "i64")]
    pub updated_at: Timestamp,
}

/// A row of `idv_workflow_version`.
#[derive(Debug, Clone, sqlx::FromRow)]
pub struct VersionRow {
    /// From 1.
    pub version: i64,
    /// The graph, as JSON.
    pub graph: String,
    /// SHA-256 of what it means, hexadecimal.
    pub digest: String,
    /// Why it was published.
    pub note: String,
    /// Who published it.
    pub published_by: String,
    /// When.
    #[sqlx(try_from = "i64")]
    pub published_at: Timestamp,
}

macro_rules! select {
    ($rest:literal) => {
        concat!(
            "SELECT id, name, draft, current_version, latest_version, revision, created_at, \
             updated_at FROM idv_workflow WHERE tenant = $1 ",
            $rest
        )
    };
}

/// Adds a workflow; `false` if there is one of this name.
pub async fn insert(tx: &Tx, tenant: &str, row: &WorkflowRow) -> Result<bool, DbError> {
    let inserted = sql("INSERT INTO idv_workflow (tenant, id, name, draft, current_version, \
                        latest_version, revision, created_at, updated_at) \
                        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9) \
                        ON CONFLICT (tenant, name) DO NOTHING")
    .bind(tenant)
    .bind(row.id)
    .bind(&row.name)
    .bind(&row.draft)
    .bind(row.current_version)
    .bind(row.latest_version)
    .bind(row.revision)
    .bind(row.created_at)
    .bind(row.updated_at)
    .execute(tx)
    .await?;
    Ok(inserted == 1)
}

/// Writes what may change of a workflow as of revision `before`; `false` if it changed meanwhile.
pub async fn update(
    tx: &Tx,
    tenant: &str,
    row: &WorkflowRow,
    before: i64,
) -> Result<bool, DbError> {
    let changed = sql("UPDATE idv_workflow SET draft = $3, current_version = $4, \
                       latest_version = $5, updated_at = $6, revision = revision + 1 \
                       WHERE tenant = $1 AND id = $2 AND revision = $7")
    .bind(tenant)
    .bind(row.id)
    .bind(&row.draft)
    .bind(row.current_version)
    .bind(row.latest_version)
    .bind(row.updated_at)
    .bind(before)
    .execute(tx)
    .await?;
    Ok(changed == 1)
}

/// The workflow with this id.
pub async fn by_id(
    source: impl Source,
    tenant: &str,
    id: Id<tags::Workflow>,
) -> Result<Option<WorkflowRow>, DbError> {
    sql(select!("AND id = $2")).bind(tenant).bind(id).optional(source).await
}

/// The workflow of this name.
pub async fn by_name(
    source: impl Source,
    tenant: &str,
    name: &str,
) -> Result<Option<WorkflowRow>, DbError> {
    sql(select!("AND name = $2")).bind(tenant).bind(name).optional(source).await
}

/// The workflow of this id or name, for a transaction that changes none.
pub async fn named_once(
    tx: &Tx,
    tenant: &str,
    named: &str,
) -> Result<Option<WorkflowRow>, DbError> {
    let named = match named.parse::<Id<tags::Workflow>>() {
        Ok(id) => sql(select!("AND id = $2")).bind(tenant).bind(id),
        Err(_) => sql(select!("AND name = $2")).bind(tenant).bind(named),
    };
    Ok(named.once(tx).await?.pop())
}

/// A page of workflows, after the id `after`.
pub async fn page(
    source: impl Source,
    tenant: &str,
    after: &str,
    limit: i64,
) -> Result<Vec<WorkflowRow>, DbError> {
    let query = sql(select!("AND id > $2 ORDER BY id LIMIT $3"));
    query.bind(tenant).bind(after).bind(limit).all(source).await
}

/// Adds what is published.
pub async fn publish(
    tx: &Tx,
    tenant: &str,
    workflow: Id<tags::Workflow>,
    row: &VersionRow,
) -> Result<(), DbError> {
    sql("INSERT INTO idv_workflow_version (tenant, workflow_id, version, graph, digest, note, \
         published_by, published_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8)")
    .bind(tenant)
    .bind(workflow)
    .bind(row.version)
    .bind(&row.graph)
    .bind(&row.digest)
    .bind(&row.note)
    .bind(&row.published_by)
    .bind(row.published_at)
    .execute(tx)
    .await
    .map(drop)
}

/// One version.
pub async fn version(
    source: impl Source,
    tenant: &str,
    workflow: Id<tags::Workflow>,
    version: i64,
) -> Result<Option<VersionRow>, DbError> {
    sql("SELECT version, graph, digest, note, published_by, published_at \
         FROM idv_workflow_version WHERE tenant = $1 AND workflow_id = $2 AND version = $3")
    .bind(tenant)
    .bind(workflow)
    .bind(version)
    .optional(source)
    .await
}

/// A page of the versions before `before`, the newest first, without their graphs.
pub async fn versions(
    source: impl Source,
    tenant: &str,
    workflow: Id<tags::Workflow>,
    before: i64,
    limit: i64,
) -> Result<Vec<VersionRow>, DbError> {
    sql("SELECT version, '' AS graph, digest, note, published_by, published_at \
         FROM idv_workflow_version WHERE tenant = $1 AND workflow_id = $2 AND version < $3 \
         ORDER BY version DESC LIMIT $4")
    .bind(tenant)
    .bind(workflow)
    .bind(before)
    .bind(limit)
    .all(source)
    .await
}
