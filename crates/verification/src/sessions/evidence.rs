//! What a decision rests on: written down when it is made, sealed with the key of the session, and bound to the
//! audit log by a salted digest that the entry of the decision has.

use std::sync::{MutexGuard, PoisonError};

use aws_lc_rs::digest::{SHA256, digest};
use data_encoding::HEXLOWER;
use portcullis_events::{Actor, AdminChange, Kind, Origin};
use portcullis_store::{
    Source, Tx,
    idv::evidence::{self, EvidenceRow, LogProof},
};
use portcullis_types::{Id, Timestamp, tags};
use portcullis_workflow::{Decision, Done};
use serde_json::{Value, json};

use super::{Open, SessionError, Sessions};

/// The form of the text.
pub const EVIDENCE_SCHEMA: &str = "idv.evidence/1";
/// The type of the token in which it is given (RFC 8725, section 3.11).
pub const EVIDENCE_TYP: &str = "idv-evidence+jwt";
/// Bytes before the text in what is hashed: whoever has the log alone must not be able to try names and numbers.
pub const EVIDENCE_SALT_BYTES: usize = 32;

/// Decisions that wait for their proof in memory; more of them wait in the database alone.
const DECIDED_MAX: usize = 10_000;
/// How often a decision of this node is looked for in its log before it is left to the slow search.
const TRIES_MAX: u32 = 10;

/// What a decision rests on.
#[derive(Debug, Clone)]
pub struct Evidence {
    /// JSON of [`EVIDENCE_SCHEMA`], as it was hashed.
    pub text: String,
    /// What was hashed before it.
    pub salt: Vec<u8>,
    /// The entry of the audit log that has the decision and the digest.
    pub event: Id<tags::Event>,
    /// When that was made.
    pub at: Timestamp,
    /// That it is there, if somebody has found it.
    pub proof: Option<LogProof>,
}

/// A decision, and which entry of the log has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Decided {
    /// The session.
    pub session: Id<tags::IdvSession>,
    /// The entry.
    pub event: Id<tags::Event>,
    /// When that was made.
    pub at: Timestamp,
    /// How often it was looked for.
    pub tries: u32,
}

/// SHA-256 of the salt and the text, hexadecimal.
pub fn evidence_digest(salt: &[u8], text: &str) -> String {
    HEXLOWER.encode(digest(&SHA256, &[salt, text.as_bytes()].concat()).as_ref())
}

/// Evidence that is not written down yet, since the entry that names its digest has no id.
pub(super) struct Draft {
    sealed: Vec<u8>,
    pub digest: String,
}

impl Sessions {
    /// Writes up what a decision rests on.
    pub(super) fn draft_evidence(
        &self,
        open: &Open,
        decision: &Decision,
    ) -> Result<Draft, SessionError> {
        let mut whole = vec![0; EVIDENCE_SALT_BYTES];
        self.entropy.fill(&mut whole);
        let text = text(open, decision).to_string();
        let digest = evidence_digest(&whole, &text);
        whole.extend_from_slice(text.as_bytes());
        let purpose = Open::purpose(open.row.id, "evidence");
        Ok(Draft { sealed: open.key.seal(&purpose, &whole, &*self.entropy)?, digest })
    }

    /// Keeps it with the decision.
    pub(super) async fn keep_evidence(
        &self,
        tx: &Tx,
        decided: Decided,
        draft: Draft,
    ) -> Result<(), SessionError> {
        let row = EvidenceRow {
            session_id: decided.session,
            event_id: decided.event,
            at: decided.at,
            digest: draft.digest,
            sealed: draft.sealed,
            entry: None,
            proof: None,
            log_key: None,
        };
        Ok(evidence::insert(tx, &self.tenant, &row).await?)
    }

    /// Which entry of the log has the decision of a session, and that it is there, if somebody has found it.
    pub async fn decided(
        &self,
        id: Id<tags::IdvSession>,
    ) -> Result<(Decided, Option<LogProof>), SessionError> {
        let Some(row) = evidence::of_session(&self.db, &self.tenant, id).await? else {
            let erased = self.row(id).await?.key.is_none();
            return Err(if erased { SessionError::Erased } else { SessionError::NotDecided });
        };
        let decided = Decided { session: id, event: row.event_id, at: row.at, tries: 0 };
        Ok((decided, row.log_proof()))
    }

    /// What the decision of a session rests on, for somebody who takes it out of the house: the log is told in
    /// the same transaction, so that nothing leaves after it was erased.
    pub async fn export_evidence(
        &self,
        id: Id<tags::IdvSession>,
        by: &Actor,
        origin: &Origin,
    ) -> Result<Evidence, SessionError> {
        let change = || AdminChange {
            action: "export",
            object_type: "idv_evidence",
            object: id.to_string(),
            before: None,
            after: None,
        };
        let exported = self.db.write(|tx| async move {
            let evidence = self.evidence_in(&tx, id).await?;
            // Of this and an erasure at the same time one is too late.
            evidence::touch(&tx, &self.tenant, id).await?;
            tx.emit(self.event(by, Some(origin), Kind::Admin(change()))).await?;
            Ok(evidence)
        });
        exported.await
    }

    /// What the decision of a session rests on.
    pub async fn evidence(&self, id: Id<tags::IdvSession>) -> Result<Evidence, SessionError> {
        self.evidence_in(&self.db, id).await
    }

    async fn evidence_in(
        &self,
        source: impl Source + Copy,
        id: Id<tags::IdvSession>,
    ) -> Result<Evidence, SessionError> {
        let open = self.open(source, id).await?;
        let row = evidence::of_session(source, &self.tenant, id).await?;
        let row = row.ok_or(SessionError::NotDecided)?;
        let whole = open.key.open(&Open::purpose(id, "evidence"), &row.sealed)?;
        let (salt, text) =
            whole.split_at_checked(EVIDENCE_SALT_BYTES).ok_or(SessionError::Sealed)?;
        Ok(Evidence {
            text: String::from_utf8(text.to_vec()).map_err(|_| SessionError::Sealed)?,
            salt: salt.to_vec(),
            event: row.event_id,
            at: row.at,
            proof: row.log_proof(),
        })
    }

    /// Takes the decisions that this node made and whose proofs it has not found.
    pub fn decided_here(&self) -> Vec<Decided> {
        std::mem::take(&mut *self.waiting())
    }

    /// Waits once more for what is not in the log yet; after a while it is left to the slow search.
    pub fn wait_for(&self, decided: Decided) {
        let mut waiting = self.waiting();
        if decided.tries < TRIES_MAX && waiting.len() < DECIDED_MAX {
            waiting.push(Decided { tries: decided.tries + 1, ..decided });
        }
    }

    fn waiting(&self) -> MutexGuard<'_, Vec<Decided>> {
        self.inner().decided.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Decisions after then, of whatever node, whose proof nobody has found: what a stop or a crash left.
    pub async fn unproven(
        &self,
        after: Timestamp,
        limit: i64,
    ) -> Result<Vec<Decided>, SessionError> {
        let rows = evidence::unproven(&self.db, &self.tenant, after, limit).await?;
        let decided = |row: EvidenceRow| {
            let EvidenceRow { session_id, event_id, at, .. } = row;
            Decided { session: session_id, event: event_id, at, tries: 0 }
        };
        Ok(rows.into_iter().map(decided).collect())
    }

    /// Keeps the proof that the log has a decision, so that it is there when the log is not.
    pub async fn prove(
        &self,
        id: Id<tags::IdvSession>,
        proof: &LogProof,
    ) -> Result<(), SessionError> {
        let kept = self
            .db
            .write(|tx| async move { Ok(evidence::prove(&tx, &self.tenant, id, proof).await?) });
        kept.await
    }
}

fn text(open: &Open, decision: &Decision) -> Value {
    let mut done: Vec<(&String, &Done)> = open.state.done.iter().collect();
    done.sort_by_key(|(_, done)| done.order);
    let report = |(node, done): (&String, &Done)| {
        let report = done.report.as_ref();
        json!({
            "node": node,
            "check": open.plan.check(node).map(|check| &check.check),
            "id": report.map(|report| &report.id),
            "status": done.status.as_str(),
            "assurance": report.map(|report| report.assurance.as_str()),
            "why": done.why,
            "accepted": done.is_accepted,
            "values": done.values,
            "report": report.map(|report| &report.detail["view"]),
            "at": done.at.to_rfc3339(),
        })
    };
    let step = |step: &portcullis_workflow::Trace| json!({ "node": step.node, "way": step.way, "at": step.at.to_rfc3339() });
    json!({
        "schema": EVIDENCE_SCHEMA,
        "session": open.row.id.to_string(),
        "version": open.row.version,
        "reference": open.row.reference,
        "account": open.row.account_id,
        "began_at": open.row.created_at.to_rfc3339(),
        "workflow": {
            "id": open.row.workflow_id.to_string(),
            "version": open.row.workflow_version,
            "digest": &*open.digest,
            "meaning": open.plan.graph().meaning(),
        },
        "decision": {
            "verdict": decision.verdict.as_str(),
            "by": decision.by.as_str(),
            "reviewers": decision.by.reviewers(),
            "node": decision.node,
            "reason": decision.reason,
            "at": decision.at.to_rfc3339(),
        },
        "reports": done.into_iter().map(report).collect::<Vec<_>>(),
        "trace": open.state.trace.iter().map(step).collect::<Vec<_>>(),
    })
}
