use std::sync::Arc;

use portcullis_events::{Actor, Kind, Origin, ReportUsed, Verification};
use portcullis_store::{
    Sealer, Source, Tx,
    idv::sessions::{self, EffectRow, EventRow, SessionRow},
};
use portcullis_types::{Id, Timestamp, tags};
use portcullis_workflow::{
    Effect, Event, Happened, Outcome, Plan, Span, State, Verdict, check_spec, step,
};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{
    Decided, Identifiers, Known, ListKind, SessionError, Sessions,
    link::{self, Found},
    service::Pinned,
    told::Detail,
};
use crate::webhooks::Told as Message;

/// What was decided is kept for five years from then (FATF recommendation 11).
const KEEP_DECIDED_DAYS: u64 = 5 * 365 + 2;
/// Whatever came to nothing.
pub(super) const KEEP_OTHERS_DAYS: u64 = 30;

/// Steps of a decision that its entry in the log names, the last ones: an entry has 64 KiB, and names 64 bytes.
const EVENT_MAX_STEPS: usize = 150;

/// What was given when a session began.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Start {
    /// Who the person should be.
    pub expected: Known,
    /// By what else the person is known.
    #[serde(default)]
    pub identifiers: Identifiers,
    /// Whatever whoever began it wants to see again.
    pub metadata: Value,
    /// Their language.
    pub locale: String,
    /// Where they go when it is over.
    #[serde(default)]
    pub callback: Option<String>,
    /// How long they have, if that is less than the workflow gives them.
    #[serde(default)]
    pub ttl: Option<Span>,
}

/// A session with all that happened.
#[derive(Debug, Clone)]
pub struct Open {
    /// Its row.
    pub row: SessionRow,
    /// What was given when it began.
    pub start: Start,
    /// What it has come to.
    pub state: State,
    /// Its workflow.
    pub plan: Arc<Plan>,
    /// SHA-256 of what that means.
    pub digest: Arc<str>,
    pub(super) key: Arc<Sealer>,
    /// Who somebody was by each report there ever was, also one that was replaced.
    pub(super) told: Vec<Known>,
    /// Each address and number that somebody said, by each report there ever was.
    pub(super) reached: Vec<(ListKind, String)>,
    pub(super) found: Found,
    /// Whether a step ever failed, also one that was done again.
    pub(super) has_failed: bool,
    /// Set if it was decided just now.
    pub(super) decided: Option<Decided>,
}

impl Open {
    /// Who somebody is by a node, if it tells.
    pub(super) fn known_by(&self, node: &str) -> Option<Known> {
        let report = self.state.done.get(node)?.report.as_ref()?;
        Detail::deserialize(&report.detail).ok()?.known
    }

    /// Who the person is by the last node that told.
    pub(super) fn last_known(&self) -> Option<Known> {
        let mut done: Vec<_> = self.state.done.iter().collect();
        done.sort_by_key(|(_, done)| std::cmp::Reverse(done.order));
        done.into_iter().find_map(|(node, _)| self.known_by(node))
    }

    /// Who is screened from now on, and how much was found when it was looked. Where several nodes looked, all of them
    /// have to mean the same: whoever is screened on other terms or under another name after that, is.
    pub(super) fn watched(&self) -> Option<(Id<tags::AmlSubject>, i64)> {
        let aml = |node: &&String| self.plan.check(node).is_some_and(|check| check.check == "aml");
        let mut all = self.state.done.iter().filter(|(node, _)| aml(node)).map(|(_, done)| {
            let watched = Detail::deserialize(&done.report.as_ref()?.detail).ok()?.watched?;
            Some((watched.subject, watched.findings))
        });
        let first = all.next()??;
        all.all(|one| one == Some(first)).then_some(first)
    }

    /// The nodes for which the person is asked.
    pub fn asked(&self) -> Vec<&str> {
        self.steps().map(|step| step.node).collect()
    }

    /// With what is said of each event.
    pub(super) fn about(&self, about: Verification) -> Verification {
        Verification {
            session: self.row.id.to_string(),
            status: self.state.status.as_str(),
            version: self.row.version,
            workflow: self.row.workflow_id.to_string(),
            workflow_version: self.row.workflow_version,
            workflow_digest: self.digest.to_string(),
            account: self.row.account_id.clone(),
            ..about
        }
    }

    /// The purpose of what is sealed with its key.
    pub(super) fn purpose(id: Id<tags::IdvSession>, what: &str) -> String {
        format!("idv_session:{id}:{what}")
    }
}

impl Sessions {
    /// Reads a session with all that happened.
    pub(super) async fn open(
        &self,
        source: impl Source + Copy,
        id: Id<tags::IdvSession>,
    ) -> Result<Open, SessionError> {
        let row = sessions::by_id(source, &self.tenant, id).await?;
        let row = row.ok_or(SessionError::NotFound)?;
        let sealed = row.key.as_ref().ok_or(SessionError::Erased)?;
        let key = self.sealer.open(&Open::purpose(id, "key"), sealed)?;
        let key = Arc::new(Sealer::new(&key)?);
        let pinned = self.plan(source, row.workflow_id, row.workflow_version).await?;
        let Pinned { plan, digest } = pinned;
        let given = key.open(&Open::purpose(id, "given"), &row.given)?;
        let start = serde_json::from_slice(&given).map_err(|_| SessionError::Sealed)?;
        // Not what has happened since the row was read.
        let events = sessions::events(source, &self.tenant, id, 0, row.version).await?;
        if i64::try_from(events.len()).ok() != Some(row.version) {
            // It was erased meanwhile, or somebody removed what happened.
            return Err(if events.is_empty() {
                SessionError::Erased
            } else {
                SessionError::Sealed
            });
        }
        let (mut state, mut told, mut found) = (State::default(), Vec::new(), Found::new());
        let (mut has_failed, mut reached) = (false, Vec::new());
        for event in events {
            let happened = read(&key, id, &event)?;
            told.extend(known_of(&happened.event));
            reached.extend(link::reached(&happened.event));
            link::remember(&mut found, &state, &happened.event);
            // What was taken once is taken again.
            (state, _) = step(&plan, state, &happened).map_err(|_| SessionError::Sealed)?;
            has_failed |= link::has_failed(&state);
        }
        Ok(Open {
            row,
            start,
            state,
            plan,
            digest,
            key,
            told,
            reached,
            found,
            has_failed,
            decided: None,
        })
    }

    /// A session, read alone.
    pub async fn read(&self, id: Id<tags::IdvSession>) -> Result<Open, SessionError> {
        self.open(&self.db, id).await
    }

    /// Takes a session one step further. Of two who do so at once, one finds it changed and looks again.
    pub(super) async fn advance(
        &self,
        id: Id<tags::IdvSession>,
        (by, origin): (&Actor, Option<&Origin>),
        make: impl Fn(&Open) -> Result<Event, SessionError>,
    ) -> Result<Open, SessionError> {
        let make = &make;
        let next = self
            .db
            .write(|tx| async move {
                let open = self.open(&tx, id).await?;
                let event = make(&open)?;
                self.take(&tx, open, event, (by, origin)).await
            })
            .await?;
        self.done(&next);
        Ok(next)
    }

    /// After a step was stored: something may be due, and its proof be found.
    pub(crate) fn done(&self, next: &Open) {
        self.wake();
        if let Some(decided) = next.decided {
            self.wait_for(decided);
        }
    }

    /// One step, with everything that belongs to it.
    pub(super) async fn take(
        &self,
        tx: &Tx,
        open: Open,
        event: Event,
        (by, origin): (&Actor, Option<&Origin>),
    ) -> Result<Open, SessionError> {
        let now = self.now().max(open.row.updated_at);
        let (before, tasks) = (open.row.version, open.state.tasks.clone());
        let happened = Happened { at: now, event };
        let about = about(&open.state, &happened.event);
        let mut found = open.found;
        link::remember(&mut found, &open.state, &happened.event);
        let (state, effects) = step(&open.plan, open.state, &happened)?;
        let mut row = open.row;
        let was = std::mem::take(&mut row.status);
        settle(&mut row, &state, &open.plan, now);
        let told = told(was, &row, &state, &effects);
        row.messages += i64::try_from(told.len()).unwrap_or(0);
        let has_failed = open.has_failed || link::has_failed(&state);
        let mut next = Open { row, state, found, has_failed, ..open };
        if before == 0 {
            sessions::insert(tx, &self.tenant, &next.row).await?;
        } else if !sessions::update(tx, &self.tenant, &next.row, before).await? {
            return Err(SessionError::Stale);
        }
        let id = next.row.id;
        let text = serde_json::to_vec(&happened).map_err(|_| SessionError::Sealed)?;
        let purpose = Open::purpose(id, &next.row.version.to_string());
        let event = EventRow {
            number: next.row.version,
            kind: happened.event.kind().to_owned(),
            at: now,
            sealed: next.key.seal(&purpose, &text, &*self.entropy)?,
        };
        sessions::append(tx, &self.tenant, id, &event).await?;
        for serial in tasks.keys().filter(|serial| !next.state.tasks.contains_key(serial)) {
            sessions::drop_task(tx, &self.tenant, id, i64::from(*serial)).await?;
        }
        self.webhooks.tell(tx, &next.row, &told).await?;
        self.keep_failure(tx, &next, (&happened.event, now)).await?;
        self.add_effects(tx, &next, effects, now).await?;
        next.decided = self.emit(tx, &next, (by, origin), about).await?;
        for told in told {
            // Whoever listens to the log hears of it as well.
            let Message::Notified { node, event } = told else { continue };
            let (node, reason) = (Some(node), Some(event));
            let told = Verification { change: "told", node, reason, ..Verification::default() };
            tx.emit(self.event(&Actor::System, None, Kind::Verification(next.about(told)))).await?;
        }
        Ok(next)
    }

    async fn add_effects(
        &self,
        tx: &Tx,
        next: &Open,
        effects: Vec<Effect>,
        now: Timestamp,
    ) -> Result<(), SessionError> {
        for effect in effects {
            let mut provider = String::new();
            let (task, kind, due_at) = match effect {
                Effect::Perform { serial, node } => {
                    let check = next.plan.check(&node);
                    let calls = check
                        .and_then(|check| check_spec(&check.check))
                        .is_some_and(|one| one.calls);
                    let named = check.and_then(|check| check.provider.clone());
                    provider = named.filter(|_| calls).unwrap_or_default();
                    (serial, if calls { "call" } else { "perform" }, now)
                }
                Effect::Timer { serial, at } => (serial, "timer", at),
                // The deadline is a column of the session.
                Effect::Deadline { .. } | Effect::Notify { .. } => continue,
            };
            // What began and ended in one step is over.
            if !next.state.tasks.contains_key(&task) {
                continue;
            }
            let (task, kind) = (i64::from(task), kind.to_owned());
            let row = EffectRow { session_id: next.row.id, task, kind, provider, due_at, tries: 0 };
            sessions::add_effect(tx, &self.tenant, &row).await?;
        }
        Ok(())
    }

    async fn emit(
        &self,
        tx: &Tx,
        next: &Open,
        (by, origin): (&Actor, Option<&Origin>),
        about: Verification,
    ) -> Result<Option<Decided>, SessionError> {
        let told = next.about(about);
        tx.emit(self.event(by, origin, Kind::Verification(told.clone()))).await?;
        let Some(decision) = &next.state.decision else {
            self.settle_face(tx, next, None).await?;
            return Ok(None);
        };
        let draft = self.draft_evidence(next, decision)?;
        let verified = self.keep_identity(tx, next, decision).await?;
        self.keep_proof(tx, next, decision, verified).await?;
        self.settle_face(tx, next, verified).await?;
        let mut done: Vec<_> = next.state.done.iter().collect();
        if done.len() > EVENT_MAX_STEPS {
            done.sort_by_key(|(_, done)| std::cmp::Reverse(done.order));
            done.truncate(EVENT_MAX_STEPS);
        }
        let reports = done.into_iter().map(|(node, done)| ReportUsed {
            node: node.clone(),
            report: done.report.as_ref().map(|report| report.id.clone()),
            status: done.status.as_str(),
            assurance: done.report.as_ref().map(|report| report.assurance.as_str()),
        });
        let decided = Verification {
            change: "decided",
            node: Some(decision.node.clone()),
            report: None,
            verdict: Some(decision.verdict.as_str()),
            reason: decision.reason.clone(),
            decided_by: Some(decision.by.as_str()),
            evidence: Some(draft.digest.clone()),
            verified,
            reports: reports.collect(),
            trace: next.state.trace[next.state.trace.len().saturating_sub(EVENT_MAX_STEPS)..]
                .iter()
                .map(|trace| format!("{} {}", trace.node, trace.way))
                .collect(),
            ..told
        };
        let event = self.event(&Actor::System, None, Kind::Verification(decided));
        let made = Decided { session: next.row.id, event: event.id, at: event.time, tries: 0 };
        tx.emit(event).await?;
        self.keep_evidence(tx, made, draft).await?;
        Ok(Some(made))
    }
}

/// Who somebody is by the report of a step.
fn known_of(event: &Event) -> Option<Known> {
    let (Event::Given { outcome, .. } | Event::Performed { outcome, .. }) = event else {
        return None;
    };
    let Outcome::Report(report) = outcome else { return None };
    Detail::deserialize(&report.detail).ok()?.known
}

/// What happened, as it was sealed.
pub(super) fn read(
    key: &Sealer,
    id: Id<tags::IdvSession>,
    event: &EventRow,
) -> Result<Happened, SessionError> {
    let text = key.open(&Open::purpose(id, &event.number.to_string()), &event.sealed)?;
    serde_json::from_slice(&text).map_err(|_| SessionError::Sealed)
}

/// The columns by which a session is found.
fn settle(row: &mut SessionRow, state: &State, plan: &Plan, now: Timestamp) {
    row.status = state.status.as_str().to_owned();
    row.version = i64::from(state.version);
    row.updated_at = now;
    row.deadline = state.open_deadline().map(Timestamp::micros);
    let review = state.reviews().next().map(|(_, task)| task);
    let terms = review.and_then(|task| plan.review(&task.node));
    let since = review.map(|task| task.since);
    row.in_review_since = since.map(Timestamp::micros);
    let sla = terms.and_then(|terms| terms.sla);
    row.review_due = since.zip(sla).map(|(since, sla)| since.plus(sla.duration()).micros());
    row.queue = terms.map(|terms| terms.queue.clone()).unwrap_or_default();
    if state.status.is_final() {
        let days = if state.decision.is_some() { KEEP_DECIDED_DAYS } else { KEEP_OTHERS_DAYS };
        let keep = std::time::Duration::from_secs(days * 24 * 3600);
        row.ended_at = Some(now.micros());
        row.expires_at = Some(now.plus(keep).micros());
    }
}

/// What receivers of webhooks are told of a step.
fn told(was: String, row: &SessionRow, state: &State, effects: &[Effect]) -> Vec<Message> {
    let notified = effects.iter().filter_map(|effect| match effect {
        Effect::Notify { node, event } => {
            Some(Message::Notified { node: node.clone(), event: event.clone() })
        }
        Effect::Perform { .. } | Effect::Timer { .. } | Effect::Deadline { .. } => None,
    });
    let decision = state.decision.clone();
    let status = (was != row.status).then_some(Message::Status { before: was, decision });
    notified.chain(status).collect()
}

/// What an event is about.
fn about(state: &State, event: &Event) -> Verification {
    let node = |serial: &u32| state.tasks.get(serial).map(|task| task.node.clone());
    let mut about = Verification { change: event.kind(), ..Verification::default() };
    match event {
        Event::Began { .. } | Event::Expired => {}
        Event::Given { serial, outcome } | Event::Performed { serial, outcome } => {
            about.node = node(serial);
            match outcome {
                Outcome::Report(report) => about.report = Some(report.id.clone()),
                Outcome::Unsupported(why) | Outcome::Unavailable(why) | Outcome::Error(why) => {
                    about.reason = Some(why.clone());
                }
            }
        }
        Event::Due { serial } => about.node = node(serial),
        Event::Voted { serial, verdict, reason, .. } => {
            about.node = node(serial);
            about.verdict = Some(Verdict::as_str(*verdict));
            about.reason = Some(reason.clone());
        }
        Event::Resubmitted { serial, reason, .. } => {
            about.node = node(serial);
            about.reason = Some(reason.clone());
        }
        Event::Cancelled { reason, .. } => about.reason = Some(reason.clone()),
    }
    about
}
