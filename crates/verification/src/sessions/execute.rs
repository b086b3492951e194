//! Whatever a workflow asks for that nobody has to do by hand: checks without the person, and time.

use std::collections::BTreeMap;

use portcullis_events::{Actor, Origin};
use portcullis_store::idv::sessions::{self, EffectRow};
use portcullis_types::{Id, tags};
use portcullis_workflow::{
    Assurance, Check, CheckStatus, Event, Outcome, Phase, Reason, Refused, Report, Value, Values,
    Weight,
};
use serde_json::{Value as Json, json};
use tokio::task::JoinSet;

use super::{
    Known, Open, SessionError, Sessions,
    told::{Detail, Watched},
};
use crate::{
    AmlError, Asked, AskedTerms, Screened, Shown,
    providers::{Document, Question, Room},
};

/// Effects that are taken at once.
const BATCH: i64 = 32;
/// After the answer of a provider, to take it up.
const CALL_SPARE: std::time::Duration = std::time::Duration::from_secs(10);
/// Whoever took an effect has so long; then it is somebody else's.
const LEASE: std::time::Duration = std::time::Duration::from_secs(60);

impl Sessions {
    /// Brings about what is due, and tells how much of it that was.
    pub async fn run_due(&self) -> Result<usize, SessionError> {
        let (now, until) = (self.now(), self.now().plus(LEASE));
        let taken = self
            .db
            .write(|tx| async move {
                let terms = (now, until, BATCH);
                let taken = sessions::take_effects(&tx, &self.tenant, None, terms).await?;
                Ok::<_, SessionError>(taken)
            })
            .await?;
        let mut done = 0;
        let mut each: BTreeMap<String, Vec<EffectRow>> = BTreeMap::new();
        for effect in taken {
            each.entry(effect.session_id.to_string()).or_default().push(effect);
        }
        // Of one session after each other, or each finds what the other one changed; of several beside each other, so
        // that what takes a core for a while keeps nobody else waiting.
        let mut running = JoinSet::new();
        for effects in each.into_values() {
            let sessions = self.clone();
            running.spawn(async move { sessions.bring_all_about(&effects).await });
        }
        while let Some(brought) = running.join_next().await {
            match brought {
                Ok(brought) => done += brought,
                // What it had taken is taken again when the lease is over.
                Err(error) => tracing::error!(%error, "steps of a workflow broke off"),
            }
        }
        let overdue = sessions::overdue(&self.db, &self.tenant, now, BATCH).await?;
        for row in &overdue {
            match self.advance(row.id, SYSTEM, |_| Ok(Event::Expired)).await {
                Ok(_) => done += 1,
                // Another node was faster.
                Err(error) if is_late(&error) => {}
                Err(error) => {
                    let session = row.id.to_string();
                    tracing::warn!(session, %error, "a session could not expire");
                }
            }
        }
        Ok(done)
    }

    async fn bring_all_about(&self, effects: &[EffectRow]) -> usize {
        let mut done = 0;
        for effect in effects {
            match self.bring_about(effect).await {
                Ok(()) => done += 1,
                Err(error) => {
                    // It is taken again when the lease is over.
                    let (session, task) = (effect.session_id.to_string(), effect.task);
                    tracing::warn!(session, task, %error, "a step of a workflow was not taken");
                }
            }
        }
        done
    }

    /// What others are to be asked now, as far as each of them has room for it, with the room it takes. Whoever
    /// takes it has as long for [`Sessions::ask_others`] as the slowest may take, and a little more.
    pub async fn due_calls(&self) -> Result<Vec<(EffectRow, Room)>, SessionError> {
        let now = self.now();
        let until = now.plus(self.providers.longest() + CALL_SPARE);
        let mut due = Vec::new();
        for name in sessions::due_providers(&self.db, &self.tenant, now).await? {
            let rooms = self.providers.room(&name);
            let Some(limit) = i64::try_from(rooms.len()).ok().filter(|limit| *limit > 0) else {
                continue;
            };
            let provider = Some(&name[..]);
            let taken = self.db.write(|tx| async move {
                let terms = (now, until, limit);
                Ok::<_, SessionError>(
                    sessions::take_effects(&tx, &self.tenant, provider, terms).await?,
                )
            });
            match taken.await {
                Ok(taken) => due.extend(taken.into_iter().zip(rooms)),
                // What was taken before is asked all the same.
                Err(error) => tracing::warn!(provider, %error, "nothing was taken to ask"),
            }
        }
        Ok(due)
    }

    /// Asks somebody else, and takes up what they say.
    pub async fn ask_others(&self, call: &EffectRow, room: Room) -> Result<(), SessionError> {
        let done = self.bring_about(call).await;
        drop(room);
        done
    }

    /// Until there may be somebody to ask.
    pub async fn wait_calls(&self) {
        self.inner().calls.notified().await;
    }

    /// Until there may be something to bring about.
    pub async fn wait_due(&self) {
        self.inner().due.notified().await;
    }

    /// Brings about one effect, and takes up what came of it.
    async fn bring_about(&self, effect: &EffectRow) -> Result<(), SessionError> {
        let id = effect.session_id;
        let serial = u32::try_from(effect.task).map_err(|_| SessionError::Sealed)?;
        let event = match &effect.kind[..] {
            "timer" => Event::Due { serial },
            _ => match self.perform(id, serial).await? {
                Some(outcome) => Event::Performed { serial, outcome },
                None => return self.drop(effect).await,
            },
        };
        match self.advance(id, SYSTEM, |_| Ok(event.clone())).await {
            Ok(_) => Ok(()),
            Err(error) if is_late(&error) => self.drop(effect).await,
            Err(error) => Err(error),
        }
    }

    async fn drop(&self, effect: &EffectRow) -> Result<(), SessionError> {
        self.db
            .write(|tx| async move { Ok(sessions::drop_effect(&tx, &self.tenant, effect).await?) })
            .await
    }

    /// What comes of a check; `None` if nobody waits for it any more.
    async fn perform(
        &self,
        id: Id<tags::IdvSession>,
        serial: u32,
    ) -> Result<Option<Outcome>, SessionError> {
        let open = match self.read(id).await {
            Ok(open) => open,
            Err(SessionError::NotFound | SessionError::Erased) => return Ok(None),
            Err(error) => return Err(error),
        };
        let task = open.state.tasks.get(&serial);
        let task = task.filter(|task| matches!(task.phase, Phase::Performing { .. }));
        let Some(task) = task else { return Ok(None) };
        let Some(check) = open.plan.check(&task.node) else { return Ok(None) };
        Ok(Some(match &check.check[..] {
            "lists" => self.look_up(&open, check).await,
            "ip" => self.locate(&open).await,
            "device" => self.look_at_devices(&open).await,
            "risk" => self.weigh(&open),
            "velocity" => self.compare_with_others(&open).await,
            "face_match" | "liveness" | "age_estimation" | "face_search" => {
                self.look_at_face(&open, &task.node, check).await
            }
            "database" => {
                let Phase::Performing { first, .. } = task.phase else { return Ok(None) };
                self.provided(&open, check, (first.to_string(), &task.node), None).await
            }
            _ => self.screen(&open, check).await,
        }))
    }

    /// What somebody else makes of the person, and of a document of theirs.
    pub(super) async fn provided(
        &self,
        open: &Open,
        check: &Check,
        (step, node): (String, &str),
        document: Option<&Document>,
    ) -> Outcome {
        // Where the graph says who tells, nobody else does.
        let expected = Some(&open.start.expected);
        let expected = expected.filter(|known| check.from.is_none() && !known.is_empty());
        let subject = subject(open, check).or_else(|| expected.cloned());
        if document.is_none() && subject.is_none() {
            return Outcome::Unsupported("no_name".to_owned());
        }
        let session = open.row.id.to_string();
        let asked = Question {
            // However often it is tried, it is this step of this session, about this person.
            key: format!("{session}.{step}.{}", self.about_whom(subject.as_ref(), open)),
            check: &check.check,
            node,
            session,
            locale: &open.start.locale,
            subject: subject.as_ref(),
            identifiers: &open.start.identifiers,
            document,
            now: self.now(),
        };
        let report: Id<tags::Check> = Id::new(self.now(), &*self.entropy);
        let name = check.provider.as_deref().unwrap_or_default();
        self.providers.ask(name, &asked, report).await
    }

    /// Tells one person from another, to nobody else.
    fn about_whom(&self, subject: Option<&Known>, open: &Open) -> String {
        let whom = json!([subject, open.start.identifiers]).to_string();
        let mut digest = self.hex_digest(&[b"question", whom.as_bytes()]);
        digest.truncate(16);
        digest
    }

    async fn screen(&self, open: &Open, check: &Check) -> Outcome {
        let Some(subject) = subject(open, check).and_then(|known| known.entity()) else {
            return Outcome::Unsupported("no_name".to_owned());
        };
        let reference = &open.row.reference;
        let asked = Asked {
            subject,
            // Under its reference somebody is one subject in all sessions, so that what people found about
            // hits counts in the next one.
            reference: (!reference.is_empty()).then(|| reference.clone()),
            // The graph says on what terms, and not whoever had them screened before.
            terms: AskedTerms { policy: check.policy.clone(), anew: true, ..AskedTerms::default() },
            monitor: check.monitor.then_some(true),
            shown: Shown::default(),
        };
        let started_at = self.now();
        let id: Id<tags::Check> = Id::new(started_at, &*self.entropy);
        match self.aml.screen(&asked, &Actor::System, &Origin::default()).await {
            Ok(screened) => report(&screened, id),
            Err(AmlError::Invalid(..)) => Outcome::Error("not_screened".to_owned()),
            Err(error) => {
                tracing::warn!(session = open.row.id.to_string(), %error, "nobody was screened");
                Outcome::Unavailable("screening_unavailable".to_owned())
            }
        }
    }
}

/// Who the person is, by whatever the graph says, or else by the last step that told.
fn subject(open: &Open, check: &Check) -> Option<Known> {
    match check.from.as_deref() {
        Some("expected") => Some(open.start.expected.clone()),
        Some(from) => open.known_by(from),
        None => open.last_known(),
    }
}

const SYSTEM: (&Actor, Option<&Origin>) = (&Actor::System, None);

/// Whether somebody or something else was faster.
fn is_late(error: &SessionError) -> bool {
    matches!(
        error,
        SessionError::Refused(Refused::Stale | Refused::Over)
            | SessionError::NotFound
            | SessionError::Erased
    )
}

/// A screening as the report of a check: whether somebody is a match is for people.
fn report(screened: &Screened, id: Id<tags::Check>) -> Outcome {
    let is_match = screened.is_match();
    let open: Vec<_> = screened.hits.iter().filter(|hit| hit.verdict.is_match).collect();
    let score = open.iter().map(|hit| hit.verdict.score).fold(0.0, f64::max);
    let hits = u32::try_from(open.len()).unwrap_or(u32::MAX);
    let mut topics: Vec<String> =
        open.iter().flat_map(|hit| hit.listed.get("topics").iter().cloned()).collect();
    topics.sort_unstable();
    topics.dedup();
    let shown = open.iter().map(|hit| {
        json!({
            "list": hit.list,
            "entity": hit.entity_id,
            "name": hit.listed.get("name").first(),
            "score": hit.verdict.score,
            "hit": hit.row.as_ref().map(|row| row.id.to_string()),
        })
    });
    let view: Json = json!({
        "subject": screened.subject.as_ref().map(|row| row.id.to_string()),
        "hits": shown.collect::<Json>(),
        "used": screened.used.to_json(),
    });
    let values = Values::from([
        ("hits".to_owned(), Value::Number(if is_match { f64::from(hits) } else { 0.0 })),
        ("score".to_owned(), Value::Number(if is_match { score } else { 0.0 })),
        ("topics".to_owned(), Value::Texts(if is_match { topics } else { Vec::new() })),
    ]);
    let watched = screened.subject.as_ref().filter(|row| row.monitored);
    let watched = watched.map(|row| Watched { subject: row.id, findings: row.findings });
    let hit = || Reason { code: "listed".to_owned(), severity: Weight::Doubt };
    Outcome::Report(Box::new(Report {
        id: id.to_string(),
        status: if is_match { CheckStatus::Review } else { CheckStatus::Passed },
        assurance: Assurance::Database,
        reasons: is_match.then(hit).into_iter().collect(),
        values,
        detail: json!(Detail { view, watched, ..Detail::default() }),
    }))
}
