//! That workflows approved the owners of accounts.

use portcullis_types::{Id, Timestamp, tags};

use crate::db::{DbError, Tx};
use crate::query::{Source, sql};

/// A row of `account_proof`, with the version of its workflow that is current.
#[derive(Debug, Clone, sqlx::FromRow)]
pub struct ProofRow {
    /// The version that approved.
    pub workflow_version: i64,
    /// When.
    #[sqlx(try_from = "i64")]
    pub proven_at: Timestamp,
    /// The version by which it would be decided today.
    pub current_version: Option<i64>,
}

/// What is kept of an approval.
#[derive(Debug, Clone, Copy)]
pub struct Proof {
    /// Whose.
    pub account: Id<tags::User>,
    /// By which workflow.
    pub workflow: Id<tags::Workflow>,
    /// By which version of it.
    pub version: i64,
    /// In which session.
    pub session: Id<tags::IdvSession>,
    /// When.
    pub at: Timestamp,
}

/// Puts it in the place of what was there by the same workflow.
pub async fn put(tx: &Tx, tenant: &str, proof: &Proof) -> Result<(), DbError> {
    sql("INSERT INTO account_proof (tenant, account_id, workflow_id, workflow_version, session_id, proven_at) \
         VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (tenant, account_id, workflow_id) DO UPDATE SET \
         workflow_version = excluded.workflow_version, session_id = excluded.session_id, \
         proven_at = excluded.proven_at")
    .bind(tenant)
    .bind(proof.account)
    .bind(proof.workflow)
    .bind(proof.version)
    .bind(proof.session)
    .bind(proof.at)
    .execute(tx)
    .await
    .map(drop)
}

/// Takes back what is there by the same workflow.
pub async fn remove(
    tx: &Tx,
    tenant: &str,
    account: Id<tags::User>,
    workflow: Id<tags::Workflow>,
) -> Result<(), DbError> {
    sql("DELETE FROM account_proof WHERE tenant = $1 AND account_id = $2 AND workflow_id = $3")
        .bind(tenant)
        .bind(account)
        .bind(workflow)
        .execute(tx)
        .await
        .map(drop)
}

/// What is kept of an account, with the name of the workflow.
#[derive(Debug, Clone, sqlx::FromRow)]
pub struct NamedProofRow {
    /// Of the workflow.
    pub name: String,
    /// The version that approved.
    pub workflow_version: i64,
    /// When.
    #[sqlx(try_from = "i64")]
    pub proven_at: Timestamp,
}

/// All workflows that approved the owner of an account.
pub async fn all_of_account(
    source: impl Source,
    tenant: &str,
    account: Id<tags::User>,
) -> Result<Vec<NamedProofRow>, DbError> {
    sql("SELECT w.name, p.workflow_version, p.proven_at FROM account_proof p \
         JOIN idv_workflow w ON w.tenant = p.tenant AND w.id = p.workflow_id \
         WHERE p.tenant = $1 AND p.account_id = $2 ORDER BY w.name")
    .bind(tenant)
    .bind(account)
    .all(source)
    .await
}

/// Whether and when the workflow of this name approved the owner of an account.
pub async fn of_account(
    source: impl Source,
    tenant: &str,
    account: Id<tags::User>,
    workflow: &str,
) -> Result<Option<ProofRow>, DbError> {
    sql("SELECT p.workflow_version, p.proven_at, w.current_version FROM account_proof p \
         JOIN idv_workflow w ON w.tenant = p.tenant AND w.id = p.workflow_id \
         WHERE p.tenant = $1 AND p.account_id = $2 AND w.name = $3")
    .bind(tenant)
    .bind(account)
    .bind(workflow)
    .optional(source)
    .await
}
