//! Reviews as work of people: who looks after one, and what they write down about it.

use portcullis_events::{Actor, Kind, Origin, Verification};
use portcullis_store::{
    DbError, accounts,
    idv::{
        notes::{self, NoteRow},
        sessions,
    },
};
use portcullis_types::{Id, Timestamp, tags};
use portcullis_workflow::Refused;

use super::{Open, SessionError, Sessions};
use crate::Reviewer;

/// Notes of a session.
const NOTES_MAX: i64 = 200;
/// Characters of a note.
const NOTE_MAX_CHARS: usize = 4_000;

/// What somebody wrote down about a session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Note {
    /// From 1.
    pub number: i64,
    /// When.
    pub at: Timestamp,
    /// Their account.
    pub author: String,
    /// What.
    pub text: String,
}

/// Nobody can say that somebody else wrote it, or at another time.
fn purpose(id: Id<tags::IdvSession>, number: i64, author: &str, at: Timestamp) -> String {
    Open::purpose(id, &format!("note:{number}:{author}:{}", at.micros()))
}

/// Somebody else has written the note of this number.
fn too_late(error: DbError) -> SessionError {
    let taken = error.constraint();
    match taken.is_some_and(|taken| taken.is("idv_note_pkey", "idv_note.number")) {
        true => SessionError::Stale,
        false => error.into(),
    }
}

impl Sessions {
    /// Gives a session to somebody who may review it, or to nobody, if it is still `from` who has it.
    pub async fn assign(
        &self,
        id: Id<tags::IdvSession>,
        (from, to): (Option<Id<tags::User>>, Option<Id<tags::User>>),
        (by, origin): (&Actor, &Origin),
    ) -> Result<sessions::SessionRow, SessionError> {
        let assigned = self.db.write(|tx| async move {
            let row = sessions::by_id(&tx, &self.tenant, id).await?;
            let row = row.ok_or(SessionError::NotFound)?;
            if row.key.is_none() {
                return Err(SessionError::Erased);
            }
            if row.ended_at.is_some() {
                return Err(Refused::Over.into());
            }
            if let Some(to) = to {
                let account = accounts::by_id(&tx, &self.tenant, to).await?;
                let may = account.is_some_and(|account| {
                    let may = account.has_role("compliance") || account.has_role("admin");
                    may && account.disabled_at.is_none()
                });
                if !may {
                    let must = "must be the account of somebody who may review, or null".to_owned();
                    return Err(SessionError::Invalid("account", must));
                }
            }
            if !notes::assign(&tx, &self.tenant, id, from, to).await? {
                return Err(SessionError::Stale);
            }
            let change = if to.is_some() { "assigned" } else { "unassigned" };
            let told = Verification {
                change,
                assignee: to.or(from).map(|account| account.to_string()),
                ..self.about_row(&row)
            };
            tx.emit(self.event(by, Some(origin), Kind::Verification(told))).await?;
            let assignee = to.map(|account| account.to_string());
            Ok(sessions::SessionRow { assignee, ..row })
        });
        assigned.await
    }

    /// Writes something down about a session. It is sealed with its key, and the log has no word of it.
    pub async fn note(
        &self,
        id: Id<tags::IdvSession>,
        text: &str,
        by: &Reviewer,
        origin: &Origin,
    ) -> Result<Note, SessionError> {
        let breaks = |char: char| char.is_control() && char != '\n';
        if text.trim().is_empty() || text.chars().count() > NOTE_MAX_CHARS || text.contains(breaks)
        {
            let must = format!("must be 1 to {NOTE_MAX_CHARS} characters, and text");
            return Err(SessionError::Invalid("text", must));
        }
        let written = self.db.write(|tx| async move {
            let open = self.open(&tx, id).await?;
            let others = notes::of_session(&tx, &self.tenant, id, 0, NOTES_MAX).await?;
            let number = others.last().map_or(1, |last| last.number + 1);
            if number > NOTES_MAX {
                let must = format!("has {NOTES_MAX} notes already");
                return Err(SessionError::Invalid("text", must));
            }
            let at = self.now();
            let author = by.account.to_string();
            let sealed = open.key.seal(
                &purpose(id, number, &author, at),
                text.as_bytes(),
                &*self.entropy,
            )?;
            let row = NoteRow { number, at, author: author.clone(), sealed };
            notes::add(&tx, &self.tenant, id, &row).await.map_err(too_late)?;
            let told = Verification { change: "noted", ..self.about_row(&open.row) };
            tx.emit(self.event(&by.actor, Some(origin), Kind::Verification(told))).await?;
            Ok(Note { number, at, author, text: text.to_owned() })
        });
        written.await
    }

    /// What people wrote down about a session after `after`, in order.
    pub async fn notes(
        &self,
        id: Id<tags::IdvSession>,
        after: i64,
        limit: i64,
    ) -> Result<Vec<Note>, SessionError> {
        let open = self.read(id).await?;
        let rows = notes::of_session(&self.db, &self.tenant, id, after, limit).await?;
        let read = |row: NoteRow| {
            let text = open.key.open(&purpose(id, row.number, &row.author, row.at), &row.sealed)?;
            let text = String::from_utf8(text).map_err(|_| SessionError::Sealed)?;
            Ok(Note { number: row.number, at: row.at, author: row.author, text })
        };
        rows.into_iter().map(read).collect()
    }
}
