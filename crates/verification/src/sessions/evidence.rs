//! What a decision rests on: written down when it is made, sealed with the key of the session, and bound to the
//! audit log by a salted digest that the entry of the decision has.

use std::time::Duration;

use aws_lc_rs::digest::{SHA256, digest};
use data_encoding::HEXLOWER;
use portcullis_events::{Actor, AdminChange, Kind, Origin};
use portcullis_store::{
    Tx,
    idv::evidence::{self, EvidenceRow, LogProof},
};
use portcullis_types::{Id, Timestamp, tags};
use portcullis_workflow::{Decision, Done};
use serde_json::{Value, json};

use super::{Open, SessionError, Sessions};

/// The form of the text.
pub const EVIDENCE_SCHEMA: &str = "idv.evidence/1";
/// Bytes before the text in what is hashed: whoever has the log alone must not be able to try names and numbers.
pub const EVIDENCE_SALT_BYTES: usize = 32;

/// Whoever asks for a bundle of an older decision makes this node look for its entry; nobody else does.
const LOOK_BACK: Duration = Duration::from_secs(3600);
/// Decisions that are looked for at once.
const BATCH: i64 = 64;

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

    /// Keeps it with the decision, which is entry `event` of the log.
    pub(super) async fn keep_evidence(
        &self,
        tx: &Tx,
        session: Id<tags::IdvSession>,
        (event, at): (Id<tags::Event>, Timestamp),
        draft: Draft,
    ) -> Result<(), SessionError> {
        let row = EvidenceRow {
            session_id: session,
            event_id: event,
            at,
            digest: draft.digest,
            sealed: draft.sealed,
            entry: None,
            proof: None,
            log_key: None,
        };
        Ok(evidence::insert(tx, &self.tenant, &row).await?)
    }

    /// What the decision of a session rests on.
    pub async fn evidence(&self, id: Id<tags::IdvSession>) -> Result<Evidence, SessionError> {
        let open = self.read(id).await?;
        let row = evidence::of_session(&self.db, &self.tenant, id).await?;
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

    /// Decisions of late whose place in the log nobody has found: session, entry and time.
    pub async fn unproven(
        &self,
    ) -> Result<Vec<(Id<tags::IdvSession>, Id<tags::Event>, Timestamp)>, SessionError> {
        let since = self.now().minus(LOOK_BACK);
        let rows = evidence::unproven(&self.db, &self.tenant, since, BATCH).await?;
        Ok(rows.into_iter().map(|row| (row.session_id, row.event_id, row.at)).collect())
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

    /// Tells the log who took evidence out of the house.
    pub async fn record_export(
        &self,
        id: Id<tags::IdvSession>,
        by: &Actor,
        origin: &Origin,
    ) -> Result<(), SessionError> {
        let change = || AdminChange {
            action: "export",
            object_type: "idv_evidence",
            object: id.to_string(),
            before: None,
            after: None,
        };
        let told = self.db.write(|tx| async move {
            Ok(tx.emit(self.event(by, Some(origin), Kind::Admin(change()))).await?)
        });
        told.await
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
