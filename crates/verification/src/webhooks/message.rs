use std::time::Duration;

use portcullis_events::{HitChange, Screening};
use portcullis_store::{
    DbError, Tx,
    aml::SubjectRow,
    idv::{
        sessions::SessionRow,
        webhooks::{self, MessageRow, WebhookRow},
    },
};
use portcullis_types::{Id, tags};
use portcullis_workflow::Decision;
use serde_json::{Value, json};

use super::Webhooks;
use crate::SessionError;

const STATUS_CHANGED: &str = "idv.session.status_changed";
const NOTIFIED: &str = "idv.session.notified";
const ERASED: &str = "idv.session.erased";
/// Whether anybody listens; nobody has to ask for it.
const PING: &str = "idv.ping";

/// What monitoring finds. Only whoever screens may have it, so that it has to be asked for.
pub(super) const HITS_CHANGED: &str = "aml.subject.hits_changed";

/// The types that receivers can ask for.
pub const TYPES: [&str; 4] = [STATUS_CHANGED, NOTIFIED, ERASED, HITS_CHANGED];
/// Those that they are told where they ask for none.
pub const USUAL_TYPES: [&str; 3] = [STATUS_CHANGED, NOTIFIED, ERASED];

/// What was told is kept for so long.
const KEEP: Duration = Duration::from_secs(30 * 24 * 3600);

/// What receivers are told about a session.
#[derive(Debug)]
pub(crate) enum Told {
    /// It is somewhere else.
    Status {
        /// Where it was; empty if it just began.
        before: String,
        /// What was decided.
        decision: Option<Decision>,
    },
    /// A node of the workflow says so.
    Notified {
        /// The node.
        node: String,
        /// What the event is called.
        event: String,
    },
    /// What it was about is gone.
    Erased,
}

impl Told {
    fn kind(&self) -> &'static str {
        match self {
            Self::Status { .. } => STATUS_CHANGED,
            Self::Notified { .. } => NOTIFIED,
            Self::Erased => ERASED,
        }
    }

    fn add(&self, data: &mut Value) {
        match self {
            Self::Status { before, decision } => {
                if !before.is_empty() {
                    data["previous_status"] = json!(before);
                }
                if let Some(decision) = decision {
                    data["decision"] = json!({
                        "verdict": decision.verdict.as_str(),
                        "by": decision.by.as_str(),
                        "node": decision.node,
                        "reason": decision.reason,
                    });
                }
            }
            Self::Notified { node, event } => {
                data["node"] = json!(node);
                data["event"] = json!(event);
            }
            Self::Erased => {}
        }
    }
}

impl Webhooks {
    /// Tells everybody who wants to know, in this order. `session` is as it is after that, with its number of
    /// messages already grown by these.
    pub(crate) async fn tell(
        &self,
        tx: &Tx,
        session: &SessionRow,
        told: &[Told],
    ) -> Result<(), SessionError> {
        if told.is_empty() {
            return Ok(());
        }
        let receivers = webhooks::all_once(tx, &self.tenant).await?;
        let first = session.messages - i64::try_from(told.len()).unwrap_or(0) + 1;
        for (sequence, told) in (first..).zip(told) {
            let receivers = wanting(&receivers, told.kind());
            if receivers.is_empty() {
                continue;
            }
            let mut data = json!({
                "session": session.id.to_string(),
                "sequence": sequence,
                "version": session.version,
                "status": session.status,
                "reference": session.reference,
                "workflow": session.workflow_id.to_string(),
                "workflow_version": session.workflow_version,
            });
            told.add(&mut data);
            let session = session.id.to_string();
            let message = self.message(told.kind(), (session, sequence), &data);
            webhooks::add_message(tx, &self.tenant, &message, message.created_at.plus(KEEP))
                .await?;
            for receiver in receivers {
                webhooks::add_delivery(tx, &self.tenant, receiver, &message).await?;
            }
        }
        Ok(())
    }

    /// Tells those who asked for it that monitoring has found something about a subject, or that it is not there any
    /// more. Who it may be is asked for with a token.
    pub(crate) async fn tell_hits(
        &self,
        tx: &Tx,
        subject: &SubjectRow,
        told: &Screening,
    ) -> Result<(), DbError> {
        let receivers = webhooks::all_once(tx, &self.tenant).await?;
        let receivers = wanting(&receivers, HITS_CHANGED);
        if receivers.is_empty() {
            return Ok(());
        }
        let change =
            |one: &HitChange| json!({ "change": one.change, "hit": one.hit, "list": one.list });
        let data = json!({
            "subject": subject.id.to_string(),
            "reference": subject.reference,
            "cause": told.cause,
            "hits": told.hits,
            "changes": told.changes.iter().map(change).collect::<Value>(),
        });
        // It goes with the subject. Each says all there is to say, so that their order does not matter.
        let message = self.message(HITS_CHANGED, (subject.id.to_string(), 0), &data);
        webhooks::add_message(tx, &self.tenant, &message, message.created_at.plus(KEEP)).await?;
        for receiver in receivers {
            webhooks::add_delivery(tx, &self.tenant, receiver, &message).await?;
        }
        Ok(())
    }

    /// A message that is about no session, for one receiver.
    pub(super) async fn tell_ping(
        &self,
        tx: &Tx,
        receiver: Id<tags::Webhook>,
    ) -> Result<MessageRow, SessionError> {
        let data = json!({ "webhook": receiver.to_string() });
        let message = self.message(PING, (String::new(), 0), &data);
        webhooks::add_message(tx, &self.tenant, &message, message.created_at.plus(KEEP)).await?;
        webhooks::add_delivery(tx, &self.tenant, receiver, &message).await?;
        Ok(message)
    }

    fn message(
        &self,
        kind: &str,
        (session_id, sequence): (String, i64),
        data: &Value,
    ) -> MessageRow {
        let now = self.now();
        let body = json!({ "type": kind, "timestamp": now.to_rfc3339(), "data": data });
        MessageRow {
            id: Id::new(now, &*self.entropy),
            session_id,
            sequence,
            kind: kind.to_owned(),
            body: body.to_string(),
            created_at: now,
        }
    }
}

/// Whoever wants to be told something of this type.
fn wanting(receivers: &[WebhookRow], kind: &str) -> Vec<Id<tags::Webhook>> {
    let wants = |types: &str| match types {
        "" => USUAL_TYPES.contains(&kind),
        types => types.split(' ').any(|one| one == kind),
    };
    // For one that seems to be gone it waits: that may have been a mistake of whatever stands before it.
    let told = receivers.iter().filter(|row| row.disabled != "operator");
    told.filter(|row| wants(&row.types)).map(|row| row.id).collect()
}
