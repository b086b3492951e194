//! Reviews as work of people: who looks after one, and what they write down about it.

use http::{Method, StatusCode};
use portcullis_types::{Id, tags};
use portcullis_verification::Note;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{input::invalid, sessions::SessionRowView};
use crate::{
    ApiError,
    call::{Call, Page},
    endpoint::{Api, Endpoint, Permission::Idv, Reply, created, ok},
    reviewer::reviewer,
};

pub(crate) fn endpoints() -> Vec<Endpoint> {
    const NOTES: &str = "/idv/v1/sessions/{id}/notes";
    let ok = StatusCode::OK;
    vec![
        Endpoint::new(
            Method::PUT,
            "/idv/v1/sessions/{id}/assignee",
            Idv,
            "Give a session to somebody who may review it, or to nobody",
            assign,
        )
        .takes::<AssignInput>()
        .returns::<SessionRowView>(ok),
        Endpoint::new(Method::GET, NOTES, Idv, "What people wrote down about a session", list)
            .paged()
            .returns::<Page<NoteView>>(ok),
        Endpoint::new(Method::POST, NOTES, Idv, "Write something down about a session", write)
            .takes::<NoteInput>()
            .returns::<NoteView>(StatusCode::CREATED),
    ]
}

/// Who is to look after a session. It does not keep others from deciding.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct AssignInput {
    /// The id of an account that may review; `null` for nobody.
    account: Option<String>,
    /// Who has it as far as the caller knows; it is 409 if that is not so any more. Nobody, if it is left out.
    from: Option<String>,
}

/// A note.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct NoteInput {
    /// 1 to 4,000 characters.
    text: String,
}

/// What somebody wrote down.
#[derive(Debug, Serialize, ToSchema)]
struct NoteView {
    /// From 1.
    number: i64,
    /// RFC 3339.
    at: String,
    /// The account.
    author: String,
    text: String,
}

impl From<Note> for NoteView {
    fn from(note: Note) -> Self {
        let Note { number, at, author, text } = note;
        Self { number, at: at.to_rfc3339(), author, text }
    }
}

async fn assign(api: Api, call: Call) -> Reply {
    let AssignInput { account, from } = call.json()?;
    let read = |field, text: Option<String>| {
        let id = text.map(|text| text.parse::<Id<tags::User>>()).transpose();
        id.map_err(|_| invalid(field, "must be the id of an account"))
    };
    let change = (read("from", from)?, read("account", account)?);
    let by = (&call.caller.actor, &call.origin);
    ok(SessionRowView::from(&api.sessions.assign(call.id()?, change, by).await?))
}

async fn list(api: Api, call: Call) -> Reply {
    let (after, limit) = call.page_after("after", 18)?;
    let after = match &after[..] {
        "" => 0,
        number => number.parse().map_err(|_| ApiError::Parameter("after"))?,
    };
    let notes = api.sessions.notes(call.id()?, after, limit).await?;
    ok(Page::of(notes, limit, |note| note.number.to_string(), NoteView::from))
}

async fn write(api: Api, call: Call) -> Reply {
    let by = reviewer(&api, &call).await?;
    let NoteInput { text } = call.json()?;
    created(NoteView::from(api.sessions.note(call.id()?, &text, &by, &call.origin).await?))
}
