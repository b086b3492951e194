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
    /// When they had a try that came to nothing, if that was since.
    pub refused_at: Option<i64>,
    /// Whether it rests on a screening that goes on.
    pub is_watched: bool,
    /// Whether that one has found nothing since.
    pub is_clear: bool,
    /// Whether a passkey was bound to it, also one that is gone.
    pub was_bound: bool,
    /// The passkey that is bound to it, if it is still there.
    pub passkey_id: Option<String>,
    /// By which passkey the owner was logged in who began what was decided; `None` if somebody else began it.
    pub decided_with: Option<String>,
    /// The same of the last try that came to nothing.
    pub refused_with: Option<String>,
}

/// What is kept of a decision.
#[derive(Debug, Clone, Copy)]
pub struct Proof<'a> {
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
    /// On which screening it rests, and how much that had found.
    pub watched: Option<(Id<tags::AmlSubject>, i64)>,
    /// By which passkey the person was logged in.
    pub passkey: Option<&'a str>,
    /// A keyed digest of when the person was born; what was known of it stays if this is empty.
    pub person: &'a str,
    /// By which passkey the owner was logged in who began it.
    pub with: Option<&'a str>,
}

macro_rules! select {
    ($rest:literal) => {
        concat!(
            "SELECT w.name, p.workflow_version, w.current_version, p.is_proven, p.decided_at, p.refused_at, \
             p.subject_id IS NOT NULL AS is_watched, \
             COALESCE(s.monitored AND s.findings = p.findings, FALSE) AS is_clear, \
             p.passkey_id IS NOT NULL AS was_bound, k.id AS passkey_id, p.decided_with, \
             p.refused_with \
             FROM account_proof p JOIN idv_workflow w ON w.tenant = p.tenant AND w.id = p.workflow_id \
             LEFT JOIN aml_subject s ON s.tenant = p.tenant AND s.id = p.subject_id \
             LEFT JOIN passkey k ON k.tenant = p.tenant AND k.account_id = p.account_id AND k.id = p.passkey_id \
             WHERE p.tenant = $1 AND p.account_id = $2 ",
            $rest
        )
    };
}

/// Puts it in the place of what was there by the same workflow.
pub async fn put(tx: &Tx, tenant: &str, proof: &Proof<'_>) -> Result<(), DbError> {
    sql("INSERT INTO account_proof (tenant, account_id, workflow_id, workflow_version, is_proven, session_id, \
         decided_at, refused_at, subject_id, findings, passkey_id, person, decided_with, refused_with, \
         person_session) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, \
         CASE WHEN $12 = '' THEN NULL ELSE $6 END) \
         ON CONFLICT (tenant, account_id, workflow_id) DO UPDATE SET \
         workflow_version = excluded.workflow_version, is_proven = excluded.is_proven, \
         session_id = excluded.session_id, decided_at = excluded.decided_at, \
         refused_at = excluded.refused_at, subject_id = excluded.subject_id, findings = excluded.findings, \
         passkey_id = excluded.passkey_id, decided_with = excluded.decided_with, \
         refused_with = excluded.refused_with, \
         person = CASE WHEN excluded.person = '' THEN account_proof.person ELSE excluded.person END, \
         person_session = COALESCE(excluded.person_session, account_proof.person_session)")
    .bind(tenant)
    .bind(proof.account)
    .bind(proof.workflow)
    .bind(proof.version)
    .bind(proof.is_proven)
    .bind(proof.session)
    .bind(proof.at)
    .bind((!proof.is_proven).then(|| proof.at.micros()))
    .bind(proof.watched.map(|(subject, _)| subject.to_string()))
    .bind(proof.watched.map(|(_, findings)| findings))
    .bind(proof.passkey)
    .bind(proof.person)
    .bind(proof.with)
    .bind(proof.with.filter(|_| !proof.is_proven))
    .execute(tx)
    .await
    .map(drop)
}

/// What a workflow decided about the owner of an account, if it did.
pub async fn by_workflow(
    source: impl Source,
    tenant: &str,
    account: Id<tags::User>,
    workflow: Id<tags::Workflow>,
) -> Result<Option<ProofRow>, DbError> {
    sql(select!("AND p.workflow_id = $3"))
        .bind(tenant)
        .bind(account)
        .bind(workflow)
        .optional(source)
        .await
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

/// Notes that the owner of an account has had a try, whatever is known of them by the workflow; `false` if nothing is.
pub async fn refuse(
    tx: &Tx,
    tenant: &str,
    account: Id<tags::User>,
    workflow: Id<tags::Workflow>,
    (at, with): (Timestamp, Option<&str>),
) -> Result<bool, DbError> {
    let changed = sql("UPDATE account_proof SET refused_at = $4, refused_with = $5 \
                       WHERE tenant = $1 AND account_id = $2 AND workflow_id = $3")
    .bind(tenant)
    .bind(account)
    .bind(workflow)
    .bind(at)
    .bind(with)
    .execute(tx)
    .await?;
    Ok(changed == 1)
}

#[derive(sqlx::FromRow)]
struct Person {
    person: String,
}

/// Who the owner of an account is by what a passkey was bound to, by keyed digests: one person at most.
pub async fn persons(
    source: impl Source,
    tenant: &str,
    account: Id<tags::User>,
) -> Result<Vec<String>, DbError> {
    let rows: Vec<Person> = sql("SELECT DISTINCT person FROM account_proof \
                                 WHERE tenant = $1 AND account_id = $2 AND person <> ''")
    .bind(tenant)
    .bind(account)
    .all(source)
    .await?;
    Ok(rows.into_iter().map(|row| row.person).collect())
}

/// Forgets the approvals of an account of which nobody knows for whom they are: somebody has found out since whose it
/// is.
pub async fn forget(tx: &Tx, tenant: &str, account: Id<tags::User>) -> Result<(), DbError> {
    sql("DELETE FROM account_proof WHERE tenant = $1 AND account_id = $2 AND is_proven AND person = ''")
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
