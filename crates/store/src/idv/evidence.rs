//! What decisions rest on, and the proofs that the log has them.

use portcullis_types::{Id, Timestamp, tags};

use crate::db::{DbError, Tx};
use crate::query::{Source, sql};

/// A row of `idv_evidence`.
#[derive(Debug, Clone, sqlx::FromRow)]
pub struct EvidenceRow {
    /// Of which session.
    #[sqlx(try_from = "String")]
    pub session_id: Id<tags::IdvSession>,
    /// The entry of the audit log that has the decision.
    #[sqlx(try_from = "String")]
    pub event_id: Id<tags::Event>,
    /// When it was made.
    #[sqlx(try_from = "i64")]
    pub at: Timestamp,
    /// As the entry has it, hexadecimal.
    pub digest: String,
    /// A salt and the text, sealed with the key of the session.
    pub sealed: Vec<u8>,
    /// See [`LogProof::entry`].
    pub entry: Option<String>,
    /// See [`LogProof::proof`].
    pub proof: Option<String>,
    /// See [`LogProof::log_key`].
    pub log_key: Option<String>,
}

/// That an entry is in the audit log, for somebody who has only the key of that log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogProof {
    /// The entry as it is in the log (OCSF, JSON). What it says of people is sealed.
    pub entry: String,
    /// C2SP `tlog-proof`.
    pub proof: String,
    /// The key that checks it, as C2SP `signed-note` writes it.
    pub log_key: String,
}

impl EvidenceRow {
    /// The proof, if somebody has found it.
    pub fn log_proof(&self) -> Option<LogProof> {
        let (entry, proof) = (self.entry.clone()?, self.proof.clone()?);
        Some(LogProof { entry, proof, log_key: self.log_key.clone()? })
    }
}

macro_rules! select {
    ($rest:literal) => {
        concat!(
            "SELECT session_id, event_id, at, digest, sealed, entry, proof, log_key \
             FROM idv_evidence WHERE tenant = $1 ",
            $rest
        )
    };
}

/// Writes down what a decision rests on. A session has one decision.
pub async fn insert(tx: &Tx, tenant: &str, row: &EvidenceRow) -> Result<(), DbError> {
    sql("INSERT INTO idv_evidence (tenant, session_id, event_id, at, digest, sealed) \
         VALUES ($1, $2, $3, $4, $5, $6)")
    .bind(tenant)
    .bind(row.session_id)
    .bind(row.event_id)
    .bind(row.at)
    .bind(&row.digest)
    .bind(row.sealed.as_slice())
    .execute(tx)
    .await
    .map(drop)
}

/// What the decision of a session rests on.
pub async fn of_session(
    source: impl Source,
    tenant: &str,
    session: Id<tags::IdvSession>,
) -> Result<Option<EvidenceRow>, DbError> {
    sql(select!("AND session_id = $2")).bind(tenant).bind(session).optional(source).await
}

/// Decisions after then of which nobody has found the proof, the oldest first.
pub async fn unproven(
    source: impl Source,
    tenant: &str,
    after: Timestamp,
    limit: i64,
) -> Result<Vec<EvidenceRow>, DbError> {
    sql(select!("AND proof IS NULL AND at > $2 ORDER BY at LIMIT $3"))
        .bind(tenant)
        .bind(after)
        .bind(limit)
        .all(source)
        .await
}

/// Takes hold of evidence that is about to leave: of this and an erasure at once, one comes too late.
pub async fn touch(tx: &Tx, tenant: &str, session: Id<tags::IdvSession>) -> Result<(), DbError> {
    sql("UPDATE idv_evidence SET digest = digest WHERE tenant = $1 AND session_id = $2")
        .bind(tenant)
        .bind(session)
        .execute(tx)
        .await
        .map(drop)
}

/// Keeps the proof of a decision; the first that was found stays.
pub async fn prove(
    tx: &Tx,
    tenant: &str,
    session: Id<tags::IdvSession>,
    found: &LogProof,
) -> Result<(), DbError> {
    sql("UPDATE idv_evidence SET entry = $3, proof = $4, log_key = $5 \
         WHERE tenant = $1 AND session_id = $2 AND proof IS NULL")
    .bind(tenant)
    .bind(session)
    .bind(&found.entry)
    .bind(&found.proof)
    .bind(&found.log_key)
    .execute(tx)
    .await
    .map(drop)
}
