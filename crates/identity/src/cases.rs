//! Cases: what detectors flagged is looked at by somebody, and what they found is written down.

use portcullis_events::{Actor, AdminChange, Event, Kind, Origin, Outcome, clean};
use portcullis_store::{
    accounts::{self, Account},
    cases::{self, Case},
};
use portcullis_types::{Id, tags};
use serde_json::{Value, json};

use crate::{Identity, IdentityError, api_keys::label};

/// States of a case, in the order they are passed through.
pub const CASE_STATES: [&str; 3] = ["open", "in_review", "closed"];
/// How a case can end.
pub const CASE_RESOLUTIONS: [&str; 3] = ["confirmed", "false_alarm", "inconclusive"];
const MAX_ASSIGNEE_CHARS: usize = 100;
const MAX_NOTE_CHARS: usize = 4_000;

/// What is to change; `None` leaves it.
#[derive(Debug, Clone, Default)]
pub struct CaseChange {
    /// The version that whoever changes it has seen.
    pub version: i64,
    /// `open` or `in_review`; a case is closed by its resolution.
    pub state: Option<String>,
    /// Who looks at it; empty for nobody.
    pub assignee: Option<String>,
    /// In the place of what was written down.
    pub note: Option<String>,
    /// Closes it.
    pub resolution: Option<String>,
}

impl Identity {
    /// Changes a case. One that is closed stays so: what is found later opens another. Closing takes
    /// the flag off the account, and what it must prove as well if there was nothing.
    pub async fn change_case(
        &self,
        id: Id<tags::Case>,
        change: &CaseChange,
        by: &Actor,
        origin: &Origin,
    ) -> Result<Case, IdentityError> {
        check(change)?;
        let now = self.now();
        self.db
            .write(|tx| async move {
                let before = cases::by_id(&tx, &self.tenant, id).await?;
                let before = before.ok_or(IdentityError::NotFound)?;
                if before.version != change.version {
                    return Err(IdentityError::Stale);
                }
                if before.state == "closed" {
                    return Err(IdentityError::field("state", "is closed and stays so"));
                }
                let mut after = Case { updated_at: now, ..before.clone() };
                for (place, new) in [
                    (&mut after.state, &change.state),
                    (&mut after.assignee, &change.assignee),
                    (&mut after.note, &change.note),
                    (&mut after.resolution, &change.resolution),
                ] {
                    if let Some(new) = new {
                        place.clone_from(new);
                    }
                }
                if change.resolution.is_some() {
                    after.state = "closed".into();
                    (after.closed_at, after.closed_by) = (Some(now.micros()), label(by));
                    self.take_flag_off(&tx, &after).await?;
                }
                if !cases::update(&tx, &self.tenant, &after, before.version).await? {
                    return Err(IdentityError::Stale);
                }
                after.version += 1;
                tx.emit(self.case_event(&before, &after, by, origin)).await?;
                Ok(after)
            })
            .await
    }

    /// Whoever takes the flag off without a word has seen a false alarm.
    pub(crate) async fn close_case_of(
        &self,
        tx: &portcullis_store::Tx,
        account: Id<tags::User>,
        by: &Actor,
        origin: &Origin,
    ) -> Result<(), IdentityError> {
        let Some(before) = cases::of_account(tx, &self.tenant, account).await? else {
            return Ok(());
        };
        let now = self.now();
        let after = Case {
            state: "closed".into(),
            resolution: "false_alarm".into(),
            updated_at: now,
            closed_at: Some(now.micros()),
            closed_by: label(by),
            ..before.clone()
        };
        if !cases::update(tx, &self.tenant, &after, before.version).await? {
            return Err(IdentityError::Stale);
        }
        tx.emit(self.case_event(&before, &after, by, origin)).await.map_err(Into::into)
    }

    fn case_event(&self, before: &Case, after: &Case, by: &Actor, origin: &Origin) -> Event {
        let change = AdminChange {
            action: "update",
            object_type: "case",
            object: after.id.to_string(),
            before: Some(told(before)),
            after: Some(told(after)),
        };
        self.event(origin, by.clone(), Outcome::Success, Kind::Admin(change))
    }

    async fn take_flag_off(
        &self,
        tx: &portcullis_store::Tx,
        case: &Case,
    ) -> Result<(), IdentityError> {
        let account = self.stored(tx, case.account_id).await?;
        let step_up_until = account.step_up_until.filter(|_| case.resolution != "false_alarm");
        let after = Account { flagged_at: None, flag_reason: None, step_up_until, ..account };
        Ok(accounts::update(tx, &self.tenant, &after).await?)
    }
}

fn check(change: &CaseChange) -> Result<(), IdentityError> {
    let wrong = |field, message| Err(IdentityError::field(field, message));
    let long =
        |text: &Option<String>, most| text.as_ref().is_some_and(|text| text.chars().count() > most);
    let odd = |text: &Option<String>| text.as_ref().is_some_and(|text| clean(text) != *text);
    if change.state.as_deref().is_some_and(|state| !["open", "in_review"].contains(&state)) {
        return wrong("state", "must be open or in_review; a resolution closes it");
    }
    if change.resolution.as_deref().is_some_and(|how| !CASE_RESOLUTIONS.contains(&how)) {
        return wrong("resolution", "must be confirmed, false_alarm or inconclusive");
    }
    if long(&change.assignee, MAX_ASSIGNEE_CHARS) || odd(&change.assignee) {
        return wrong("assignee", "must be at most 100 plain characters");
    }
    let hidden = |c: char| c.is_control() && !matches!(c, '\n' | '\t');
    if long(&change.note, MAX_NOTE_CHARS)
        || change.note.as_ref().is_some_and(|note| note.contains(hidden))
    {
        return wrong("note", "must be at most 4000 characters, without control characters");
    }
    Ok(())
}

/// For the record: neither the note nor the assignee, which may say more of somebody than the record
/// should.
fn told(case: &Case) -> Value {
    json!({
        "account": case.account_id.to_string(),
        "state": case.state,
        "assigned": !case.assignee.is_empty(),
        "resolution": case.resolution,
        "version": case.version,
    })
}
