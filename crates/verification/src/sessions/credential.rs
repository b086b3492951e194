//! Steps for which somebody shows a credential: what the requests for it need of sessions.

use portcullis_documents::zone::Expected;
use portcullis_events::{Actor, Origin, Verification};
use portcullis_store::Tx;
use portcullis_types::{Id, tags};
use portcullis_workflow::{Event, Outcome, Refused, Report};

use super::{Open, SessionError, Sessions};

impl Sessions {
    /// A session that waits for `check` in this try of a step.
    pub(crate) async fn waits_for(
        &self,
        tx: &Tx,
        id: Id<tags::IdvSession>,
        serial: u32,
        check: &str,
    ) -> Result<Open, SessionError> {
        let open = self.open(tx, id).await?;
        if open.state.status.is_final() {
            return Err(Refused::Over.into());
        }
        let waits = open.steps().any(|step| step.serial == serial && step.check == check);
        if waits { Ok(open) } else { Err(Refused::Stale.into()) }
    }

    /// With what the log says of it.
    pub(crate) fn about(&self, open: &Open) -> Verification {
        self.about_row(&open.row)
    }

    /// Takes the session further by a report for a step.
    pub(crate) async fn take_report(
        &self,
        tx: &Tx,
        open: Open,
        serial: u32,
        report: Report,
        by: (&Actor, Option<&Origin>),
    ) -> Result<Open, SessionError> {
        let event = Event::Given { serial, outcome: Outcome::Report(Box::new(report)) };
        self.take(tx, open, event, by).await
    }
}

impl Open {
    /// What somebody is held against in a try of a step.
    pub(crate) fn expected_at(&self, serial: u32) -> Expected {
        let node = self.steps().find(|step| step.serial == serial).map(|step| step.node.to_owned());
        self.expected(node.as_deref().unwrap_or_default())
    }
}
