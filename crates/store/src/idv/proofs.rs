//! What workflows decided about the owners of accounts.

use portcullis_types::{Id, Timestamp, tags};

use crate::db::{DbError, Tx};
use crate::query::{Source, sql};

/// A row of `account_proof`, with its workflow.
#[derive(Debug, Clone, sqlx::FromRow)]
pub struct ProofRow {
    /// The name of the workflow.
    pub name: String,
    /// The version that decided.
    pub workflow_version: i64,
    /// The version by which it would be decided today.
    pub current_version: Option<i64>,
    /// Whether they were approved.
    pub is_proven: bool,
    /// When.
    #[sqlx(try_from = "i64")]
    pub decided_at: Timestamp,
}

/// What is kept of a decision.
#[derive(Debug, Clone, Copy)]
pub struct Proof {
    /// About whom.
    pub account: Id<tags::User>,
    /// By which workflow.
    pub workflow: Id<tags::Workflow>,
    /// By which version of it.
    pub version: i64,
    /// Whether they were approved.
    pub is_proven: bool,
    /// In which session.
    pub session: Id<tags::IdvSession>,
    /// When.
    pub at: Timestamp,
}

macro_rules! select {
    ($rest:literal) => {
        concat!(
            "SELECT w.name, p.workflow_version, w.current_version, p.is_proven, p.decided_at \
             FROM account_proof p JOIN idv_workflow w ON w.tenant = p.tenant AND w.id = p.workflow_id \
             WHERE p.tenant = $1 AND p.account_id = $2 ",
            $rest
        )
    };
}

/// Puts it in the place of what was there by the same workflow.
pub async fn put(tx: &Tx, tenant: &str, proof: &Proof) -> Result<(), DbError> {
    sql("INSERT INTO account_proof (tenant, account_id, workflow_id, workflow_version, is_proven, session_id, \
         decided_at) VALUES ($1, $2, $3, $4, $5, $6, $7) \
         ON CONFLICT (tenant, account_id, workflow_id) DO UPDATE SET \
         workflow_version = excluded.workflow_version, is_proven = excluded.is_proven, \
         session_id = excluded.session_id, decided_at = excluded.decided_at")
    .bind(tenant)
    .bind(proof.account)
    .bind(proof.workflow)
    .bind(proof.version)
    .bind(proof.is_proven)
    .bind(proof.session)
    .bind(proof.at)
    .execute(tx)
    .await
    .map(drop)
}

/// What the workflow of this name decided about the owner of an account, if it did.
pub async fn of_account(
    source: impl Source,
    tenant: &str,
    account: Id<tags::User>,
    workflow: &str,
) -> Result<Option<ProofRow>, DbError> {
    sql(select!("AND w.name = $3")).bind(tenant).bind(account).bind(workflow).optional(source).await
}

/// Whether a workflow approved the owner of an account.
pub async fn is_proven(
    source: impl Source,
    tenant: &str,
    account: Id<tags::User>,
    workflow: Id<tags::Workflow>,
) -> Result<bool, DbError> {
    let found: Option<ProofRow> = sql(select!("AND p.workflow_id = $3 AND p.is_proven"))
        .bind(tenant)
        .bind(account)
        .bind(workflow)
        .optional(source)
        .await?;
    Ok(found.is_some())
}

/// Forgets the approvals of an account: somebody has found out since whose it is.
pub async fn forget(tx: &Tx, tenant: &str, account: Id<tags::User>) -> Result<(), DbError> {
    sql("DELETE FROM account_proof WHERE tenant = $1 AND account_id = $2 AND is_proven")
        .bind(tenant)
        .bind(account)
        .execute(tx)
        .await
        .map(drop)
}

/// All workflows that decided about the owner of an account.
pub async fn all_of_account(
    source: impl Source,
    tenant: &str,
    account: Id<tags::User>,
) -> Result<Vec<ProofRow>, DbError> {
    sql(select!("ORDER BY w.name")).bind(tenant).bind(account).all(source).await
}
