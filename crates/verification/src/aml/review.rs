use std::{str::FromStr, time::Duration};

use portcullis_events::{Actor, AdminChange, Event, Kind, Origin};
use portcullis_store::{
    Tx,
    aml::{self, HitRow},
};
use portcullis_types::{Id, Timestamp, tags};
use serde_json::json;

use super::{Aml, AmlError};

/// The longest reason for a decision.
pub const NOTE_MAX_CHARS: usize = 4_000;
/// Somebody can be on the allow list for so long at most; then a person looks again.
pub const ALLOW_MAX: Duration = Duration::from_secs(2 * 366 * 24 * 3600);
/// Hits that are taken from the allow list in one transaction.
const EXPIRED_BATCH: i64 = 100;

/// What people found a hit to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// Nobody has looked yet.
    Unreviewed,
    /// The subject is the entity.
    ConfirmedMatch,
    /// The subject is somebody else.
    FalsePositive,
    /// It cannot be told.
    Inconclusive,
}

/// Every state.
pub const STATES: [State; 4] =
    [State::Unreviewed, State::ConfirmedMatch, State::FalsePositive, State::Inconclusive];

impl State {
    /// Its name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Unreviewed => "Unreviewed",
            Self::ConfirmedMatch => "Confirmed Match",
            Self::FalsePositive => "False Positive",
            Self::Inconclusive => "Inconclusive",
        }
    }
}

impl FromStr for State {
    type Err = AmlError;

    fn from_str(text: &str) -> Result<Self, AmlError> {
        let names = STATES.map(State::as_str).join(", ");
        let unknown = || AmlError::Invalid("state", format!("must be one of {names}"));
        STATES.into_iter().find(|state| state.as_str() == text).ok_or_else(unknown)
    }
}

/// A person who decides about hits.
#[derive(Debug, Clone)]
pub struct Reviewer {
    /// The account, whatever a client calls the person.
    pub account: Id<tags::User>,
    /// The same for the log.
    pub actor: Actor,
}

/// What somebody decides about a hit.
#[derive(Debug, Clone)]
pub struct Resolution {
    /// The version of the hit that was looked at.
    pub version: i64,
    /// What it is.
    pub state: State,
    /// Why.
    pub note: String,
    /// With [`State::FalsePositive`]: until when the subject stays cleared whatever the list says.
    pub allow_until: Option<Timestamp>,
}

impl Aml {
    /// Decides about a hit. What clears a subject, or takes back that it is a match, is only proposed where
    /// two persons have to agree.
    pub async fn resolve(
        &self,
        id: Id<tags::AmlHit>,
        resolution: &Resolution,
        by: &Reviewer,
        origin: &Origin,
    ) -> Result<HitRow, AmlError> {
        check(resolution, self.now())?;
        self.change(id, resolution.version, by, origin, |row| {
            let now = self.now().micros();
            clear_proposal(row);
            if self.settings.four_eyes && needs_two(row, resolution.state) {
                row.proposed_state = resolution.state.as_str().to_owned();
                row.proposed_note = self.seal_note(row, &resolution.note)?;
                row.proposed_by = by.account.to_string();
                row.proposed_at = Some(now);
                row.proposed_until = resolution.allow_until.map(Timestamp::micros);
                return Ok("propose");
            }
            row.state = resolution.state.as_str().to_owned();
            row.note = self.seal_note(row, &resolution.note)?;
            row.decided_by = by.account.to_string();
            row.decided_at = Some(now);
            row.allowed_until = resolution.allow_until.map(Timestamp::micros);
            Ok("resolve")
        })
        .await
    }

    /// Agrees with what somebody else has proposed for the hit as of `version`.
    pub async fn approve(
        &self,
        id: Id<tags::AmlHit>,
        version: i64,
        by: &Reviewer,
        origin: &Origin,
    ) -> Result<HitRow, AmlError> {
        self.change(id, version, by, origin, |row| {
            let account = by.account.to_string();
            if row.proposed_state.is_empty() {
                return Err(nothing_proposed());
            }
            if row.proposed_by == account {
                return Err(AmlError::FourEyes);
            }
            let now = self.now().micros();
            if row.proposed_until.is_some_and(|until| until <= now) {
                let why = "was proposed for a time that is over".to_owned();
                return Err(AmlError::Invalid("allow_until", why));
            }
            row.state = std::mem::take(&mut row.proposed_state);
            row.note = std::mem::take(&mut row.proposed_note);
            row.decided_by = format!("{} {account}", row.proposed_by);
            row.decided_at = Some(now);
            row.allowed_until = row.proposed_until;
            clear_proposal(row);
            Ok("approve")
        })
        .await
    }

    /// Turns down what was proposed, or takes it back.
    pub async fn decline(
        &self,
        id: Id<tags::AmlHit>,
        version: i64,
        by: &Reviewer,
        origin: &Origin,
    ) -> Result<HitRow, AmlError> {
        self.change(id, version, by, origin, |row| {
            if row.proposed_state.is_empty() {
                return Err(nothing_proposed());
            }
            clear_proposal(row);
            Ok("decline")
        })
        .await
    }

    async fn change(
        &self,
        id: Id<tags::AmlHit>,
        version: i64,
        by: &Reviewer,
        origin: &Origin,
        change: impl Fn(&mut HitRow) -> Result<&'static str, AmlError>,
    ) -> Result<HitRow, AmlError> {
        let change = &change;
        self.db
            .write(|tx| async move {
                let before = aml::hit_by_id(&tx, &self.tenant, id).await?;
                let before = before.ok_or(AmlError::NotFound)?;
                if before.version != version {
                    return Err(AmlError::Stale);
                }
                if before.gone_at.is_some() {
                    let why = "cannot change: the hit is none any more".to_owned();
                    return Err(AmlError::Invalid("state", why));
                }
                let mut after = before.clone();
                let action = change(&mut after)?;
                self.write_review(&tx, &before, after, (action, &by.actor), Some(origin)).await
            })
            .await
    }

    async fn write_review(
        &self,
        tx: &Tx,
        before: &HitRow,
        mut after: HitRow,
        (action, by): (&'static str, &Actor),
        origin: Option<&Origin>,
    ) -> Result<HitRow, AmlError> {
        if !aml::update_hit(tx, &self.tenant, &after, before.version).await? {
            return Err(AmlError::Stale);
        }
        after.version += 1;
        let is_confirmed = |row: &HitRow| row.state == State::ConfirmedMatch.as_str();
        let more = is_confirmed(&after) && !is_confirmed(before);
        let stands = after.gone_at.is_none();
        if stands && (more || is_cleared(before) && !is_cleared(&after)) {
            aml::found(tx, &self.tenant, after.subject_id).await?;
        }
        tx.emit(self.review_event(action, before, &after, by, origin)).await?;
        Ok(after)
    }

    fn review_event(
        &self,
        action: &'static str,
        before: &HitRow,
        after: &HitRow,
        by: &Actor,
        origin: Option<&Origin>,
    ) -> Event {
        // Reasons may speak of the subject, and the log keeps what it has.
        let told = |row: &HitRow| {
            let until = row.allowed_until.map(|at| Timestamp::from_micros(at).to_rfc3339());
            json!({
                "subject": row.subject_id.to_string(),
                "list": row.list,
                "entity": row.entity_id,
                "state": row.state,
                "allowed_until": until,
                "proposed_state": row.proposed_state,
                "proposed_by": row.proposed_by,
                "decided_by": row.decided_by,
            })
        };
        let change = AdminChange {
            action,
            object_type: "aml_hit",
            object: after.id.to_string(),
            before: Some(told(before)),
            after: Some(told(after)),
        };
        self.event(by, origin, Kind::Admin(change))
    }

    /// Takes from the allow list whose time on it is over: somebody has to look again. How many.
    pub async fn end_allowances(&self) -> Result<usize, AmlError> {
        self.db
            .write(|tx| async move {
                let now = self.now();
                let rows = aml::expired(&tx, &self.tenant, now, EXPIRED_BATCH).await?;
                for before in &rows {
                    let mut after = before.clone();
                    clear_decision(&mut after);
                    let expired = ("expire", &Actor::System);
                    self.write_review(&tx, before, after, expired, None).await?;
                }
                Ok(rows.len())
            })
            .await
    }
}

fn check(resolution: &Resolution, now: Timestamp) -> Result<(), AmlError> {
    let invalid = |field, must: String| Err(AmlError::Invalid(field, must));
    let chars = resolution.note.trim().chars().count();
    let broken = |letter: char| letter.is_control() && letter != '\n' && letter != '\t';
    if !(1..=NOTE_MAX_CHARS).contains(&chars) || resolution.note.chars().any(broken) {
        return invalid("note", format!("must say why, in at most {NOTE_MAX_CHARS} letters"));
    }
    if let Some(until) = resolution.allow_until {
        if resolution.state != State::FalsePositive {
            return invalid("allow_until", "goes with False Positive only".into());
        }
        if until <= now || until > now.plus(ALLOW_MAX) {
            let days = ALLOW_MAX.as_secs() / 86_400;
            return invalid("allow_until", format!("must be within the next {days} days"));
        }
    }
    Ok(())
}

/// Whether one person alone could clear somebody with it.
fn needs_two(row: &HitRow, to: State) -> bool {
    to == State::FalsePositive
        || row.state == State::ConfirmedMatch.as_str() && to != State::ConfirmedMatch
}

fn nothing_proposed() -> AmlError {
    AmlError::Invalid("state", "has no proposal that waits".into())
}

/// Whether people found the subject to be somebody else.
pub(crate) fn is_cleared(row: &HitRow) -> bool {
    row.state == State::FalsePositive.as_str()
}

/// Nobody has decided.
pub(crate) fn clear_decision(row: &mut HitRow) {
    row.state = State::Unreviewed.as_str().to_owned();
    row.note.clear();
    row.decided_by.clear();
    (row.decided_at, row.allowed_until) = (None, None);
}

/// Nobody proposes anything.
pub(crate) fn clear_proposal(row: &mut HitRow) {
    row.proposed_state.clear();
    row.proposed_note.clear();
    row.proposed_by.clear();
    (row.proposed_at, row.proposed_until) = (None, None);
}
