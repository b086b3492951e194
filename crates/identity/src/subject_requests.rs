//! Requests of data subjects (GDPR, articles 15 to 22): written down when they come in, answered within a month,
//! or within three where somebody says in time why it takes longer (article 12, paragraph 3).

use std::time::Duration;

use portcullis_events::{Actor, AdminChange, Event, Kind, Origin, Outcome, clean};
use portcullis_store::{
    Tx, accounts,
    subject_requests::{self, SubjectRequest},
};
use portcullis_types::{Id, Timestamp, tags};
use serde_json::{Value, json};

use crate::{Identity, IdentityError, api_keys::label};

/// What may be asked.
pub const SUBJECT_REQUEST_KINDS: [&str; 7] = [
    "access",
    "rectification",
    "erasure",
    "restriction",
    "portability",
    "objection",
    "automated_decision",
];
/// How it can end.
pub const SUBJECT_REQUEST_OUTCOMES: [&str; 3] = ["fulfilled", "refused", "withdrawn"];
/// Months until it is due, and until it is due at last.
const DUE: u32 = 1;
const DUE_AT_LAST: u32 = 3;
/// One that came in longer ago is not written down any more.
const OLDEST: Duration = Duration::from_secs(365 * 86_400);
const MAX_REQUESTER_CHARS: usize = 200;
const MAX_NOTE_CHARS: usize = 4_000;
const MAX_REASON_CHARS: usize = 500;

/// A request that came in.
#[derive(Debug, Clone)]
pub struct NewSubjectRequest {
    /// One of [`SUBJECT_REQUEST_KINDS`].
    pub kind: String,
    /// Whose account it is about.
    pub account: Option<Id<tags::User>>,
    /// Who asked; needed where there is no account.
    pub requester: String,
    /// What to know about it.
    pub note: String,
    /// When it came in; now if left out.
    pub received_at: Option<Timestamp>,
}

/// What is to change; `None` leaves it.
#[derive(Debug, Clone, Default)]
pub struct SubjectRequestChange {
    /// The version that whoever changes it has seen.
    pub version: i64,
    /// In the place of what was written down.
    pub note: Option<String>,
    /// Moves the deadline, once, before it is over.
    pub extend_because: Option<String>,
    /// Closes it; empty, opens it again.
    pub outcome: Option<String>,
}

impl Identity {
    /// Writes a request down.
    pub async fn add_subject_request(
        &self,
        new: &NewSubjectRequest,
        by: &Actor,
        origin: &Origin,
    ) -> Result<SubjectRequest, IdentityError> {
        let now = self.now();
        let received_at = new.received_at.unwrap_or(now);
        check(new, received_at, now)?;
        let row = &SubjectRequest {
            id: Id::new(now, &*self.entropy),
            kind: new.kind.clone(),
            account_id: new.account.map(|id| id.to_string()),
            requester: new.requester.clone(),
            note: new.note.clone(),
            state: "open".into(),
            received_at,
            due_at: received_at.plus_months(DUE),
            extended_because: String::new(),
            outcome: String::new(),
            closed_at: None,
            closed_by: String::new(),
            created_by: label(by),
            version: 1,
        };
        self.db
            .write(|tx| async move {
                if let Some(account) = new.account
                    && accounts::by_id(&tx, &self.tenant, account).await?.is_none()
                {
                    return Err(IdentityError::field("account", "there is no such account"));
                }
                subject_requests::insert(&tx, &self.tenant, row).await?;
                tx.emit(self.request_event("create", None, row, by, origin)).await?;
                Ok(row.clone())
            })
            .await
    }

    /// Describes, prolongs, closes or opens a request again. One that is closed can only be opened.
    pub async fn change_subject_request(
        &self,
        id: Id<tags::SubjectRequest>,
        change: &SubjectRequestChange,
        by: &Actor,
        origin: &Origin,
    ) -> Result<SubjectRequest, IdentityError> {
        check_change(change)?;
        let now = self.now();
        self.db
            .write(|tx| async move {
                let before = subject_requests::by_id(&tx, &self.tenant, id).await?;
                let before = before.ok_or(IdentityError::NotFound)?;
                if before.version != change.version {
                    return Err(IdentityError::Stale);
                }
                let reopens = change.outcome.as_deref() == Some("");
                if before.state == "closed" && !reopens {
                    let message = "must be empty first: it is closed";
                    return Err(IdentityError::field("outcome", message));
                }
                let mut after = before.clone();
                if let Some(note) = &change.note {
                    after.note.clone_from(note);
                }
                if let Some(why) = &change.extend_because {
                    if !before.extended_because.is_empty() || before.due_at <= now {
                        let message = "is possible once, and before the deadline is over";
                        return Err(IdentityError::field("extend_because", message));
                    }
                    after.extended_because.clone_from(why);
                    after.due_at = before.received_at.plus_months(DUE_AT_LAST);
                }
                if let Some(outcome) = &change.outcome {
                    after.outcome.clone_from(outcome);
                    if reopens {
                        after.state = "open".into();
                        (after.closed_at, after.closed_by) = (None, String::new());
                    } else {
                        after.state = "closed".into();
                        (after.closed_at, after.closed_by) = (Some(now.micros()), label(by));
                    }
                }
                if after == before {
                    return Ok(before);
                }
                if !subject_requests::update(&tx, &self.tenant, &after, before.version).await? {
                    return Err(IdentityError::Stale);
                }
                after.version += 1;
                tx.emit(self.request_event("update", Some(&before), &after, by, origin)).await?;
                Ok(after)
            })
            .await
    }

    /// Whose account goes has what they asked for: the account is erased.
    pub(crate) async fn erasure_is_done(
        &self,
        tx: &Tx,
        account: Id<tags::User>,
        origin: &Origin,
    ) -> Result<(), IdentityError> {
        let rows = subject_requests::of_account(tx, &self.tenant, account).await?;
        for before in rows.into_iter().filter(|row| row.state == "open" && row.kind == "erasure") {
            let mut after = SubjectRequest {
                state: "closed".into(),
                outcome: "fulfilled".into(),
                closed_at: Some(self.now().micros()),
                // Whoever it was: their name is to be forgotten.
                closed_by: label(&Actor::System),
                ..before.clone()
            };
            if !subject_requests::update(tx, &self.tenant, &after, before.version).await? {
                return Err(IdentityError::Stale);
            }
            after.version += 1;
            let event = self.request_event("update", Some(&before), &after, &Actor::System, origin);
            tx.emit(event).await?;
        }
        Ok(())
    }

    fn request_event(
        &self,
        action: &'static str,
        before: Option<&SubjectRequest>,
        after: &SubjectRequest,
        by: &Actor,
        origin: &Origin,
    ) -> Event {
        let change = AdminChange {
            action,
            object_type: "subject_request",
            object: after.id.to_string(),
            before: before.map(told),
            after: Some(told(after)),
        };
        self.event(origin, by.clone(), Outcome::Success, Kind::Admin(change))
    }
}

fn check(new: &NewSubjectRequest, at: Timestamp, now: Timestamp) -> Result<(), IdentityError> {
    let wrong = |field, message: &str| Err(IdentityError::field(field, message));
    if !SUBJECT_REQUEST_KINDS.contains(&&*new.kind) {
        return wrong("kind", "must be one of those that the documentation names");
    }
    let name = new.requester.trim();
    if name.is_empty() && new.account.is_none() {
        return wrong("requester", "must say who asked, where there is no account");
    }
    if name != new.requester || name.chars().count() > MAX_REQUESTER_CHARS || clean(name) != name {
        return wrong("requester", "must be at most 200 plain characters");
    }
    if at > now || now.since(at) > OLDEST {
        return wrong("received_at", "must be in the last year");
    }
    check_note(&new.note)
}

fn check_change(change: &SubjectRequestChange) -> Result<(), IdentityError> {
    let wrong = |field, message: &str| Err(IdentityError::field(field, message));
    if let Some(note) = &change.note {
        check_note(note)?;
    }
    if let Some(why) = &change.extend_because {
        let length = why.chars().count();
        if why.trim().is_empty() || length > MAX_REASON_CHARS || clean(why) != *why {
            return wrong("extend_because", "must be 1 to 500 plain characters");
        }
    }
    let unknown = |outcome: &String| {
        !outcome.is_empty() && !SUBJECT_REQUEST_OUTCOMES.contains(&outcome.as_str())
    };
    if change.outcome.as_ref().is_some_and(unknown) {
        return wrong(
            "outcome",
            "must be fulfilled, refused or withdrawn, or empty to open it again",
        );
    }
    Ok(())
}

fn check_note(note: &str) -> Result<(), IdentityError> {
    let hidden = |c: char| c.is_control() && !matches!(c, '\n' | '\t');
    if note.chars().count() > MAX_NOTE_CHARS || note.contains(hidden) {
        let message = "must be at most 4000 characters, without control characters";
        return Err(IdentityError::field("note", message));
    }
    Ok(())
}

/// For the record: nothing that somebody wrote, which may say more of a person than the record should.
fn told(request: &SubjectRequest) -> Value {
    json!({
        "kind": request.kind,
        "account": request.account_id,
        "received_at": request.received_at.to_rfc3339(),
        "due_at": request.due_at.to_rfc3339(),
        "extended": !request.extended_because.is_empty(),
        "outcome": request.outcome,
        "version": request.version,
    })
}
