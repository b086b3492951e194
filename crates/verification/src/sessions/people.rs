use std::collections::BTreeSet;

use portcullis_events::{Actor, Origin};
use portcullis_store::idv::sessions::{self, EventRow, SessionFilter, SessionRow};
use portcullis_types::{Id, tags};
use portcullis_workflow::{EVENTS_MAX, Event, Happened, Refused, Verdict};

use super::{Open, SessionError, Sessions, give::word, open::read, service::label};
use crate::Reviewer;

/// What somebody decides about a session.
#[derive(Debug, Clone)]
pub struct Reviewed {
    /// How many events there were when they looked.
    pub version: i64,
    /// What.
    pub verdict: Verdict,
    /// Why, in a word.
    pub reason: String,
}

impl Sessions {
    /// A page of sessions, after the id `after`.
    pub async fn page(
        &self,
        filter: SessionFilter<'_>,
        after: &str,
        limit: i64,
    ) -> Result<Vec<SessionRow>, SessionError> {
        Ok(sessions::page(&self.db, &self.tenant, filter, after, limit).await?)
    }

    /// The row of a session, also of one that was erased.
    pub async fn row(&self, id: Id<tags::IdvSession>) -> Result<SessionRow, SessionError> {
        sessions::by_id(&self.db, &self.tenant, id).await?.ok_or(SessionError::NotFound)
    }

    /// What happened to a session after `after`, in order.
    pub async fn events(
        &self,
        id: Id<tags::IdvSession>,
        after: i64,
        limit: i64,
    ) -> Result<Vec<(i64, Happened)>, SessionError> {
        let open = self.read(id).await?;
        let limit = limit.clamp(1, i64::from(EVENTS_MAX));
        let rows = sessions::events(&self.db, &self.tenant, id, after, limit).await?;
        let read = |row: EventRow| Ok((row.number, read(&open.key, id, &row)?));
        rows.into_iter().map(read).collect()
    }

    /// Takes up what a person decides.
    pub async fn review(
        &self,
        id: Id<tags::IdvSession>,
        reviewed: Reviewed,
        by: &Reviewer,
        origin: &Origin,
    ) -> Result<Open, SessionError> {
        let reason = word("reason_code", &reviewed.reason)?;
        let whose = by.account.to_string();
        self.advance(id, (&by.actor, Some(origin)), |open| {
            let serial = one_review(open, reviewed.version)?;
            let (by, verdict, reason) = (whose.clone(), reviewed.verdict, reason.clone());
            Ok(Event::Voted { serial, by, verdict, reason })
        })
        .await
    }

    /// Asks the person for steps again, which a person who reviews the session wants to see.
    pub async fn resubmit(
        &self,
        id: Id<tags::IdvSession>,
        (version, nodes, reason): (i64, BTreeSet<String>, String),
        by: &Reviewer,
        origin: &Origin,
    ) -> Result<Open, SessionError> {
        let reason = word("reason_code", &reason)?;
        let whose = by.account.to_string();
        self.advance(id, (&by.actor, Some(origin)), |open| {
            let serial = one_review(open, version)?;
            let (by, nodes, reason) = (whose.clone(), nodes.clone(), reason.clone());
            Ok(Event::Resubmitted { serial, by, nodes, reason })
        })
        .await
    }

    /// Ends a session that is not decided.
    pub async fn cancel(
        &self,
        id: Id<tags::IdvSession>,
        reason: &str,
        by: &Actor,
        origin: &Origin,
    ) -> Result<Open, SessionError> {
        let reason = word("reason_code", reason)?;
        let whose = label(by);
        self.advance(id, (by, Some(origin)), |_| {
            Ok(Event::Cancelled { by: whose.clone(), reason: reason.clone() })
        })
        .await
    }
}

/// The review that is open, if the session is still what somebody looked at.
fn one_review(open: &Open, version: i64) -> Result<u32, SessionError> {
    if open.state.status.is_final() {
        return Err(Refused::Over.into());
    }
    if open.row.version != version {
        return Err(SessionError::Stale);
    }
    open.state.reviews().next().map(|(serial, _)| serial).ok_or_else(|| Refused::Stale.into())
}
