//! Lists of one's own.

use http::{Method, StatusCode};
use portcullis_store::idv::lists::ListRow;
use portcullis_types::{Id, Timestamp, tags};
use portcullis_verification::{ListKind, Listed, ListedEntry};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::input::invalid;
use crate::{
    ApiError,
    call::{Call, Page},
    endpoint::{Api, Endpoint, Permission::Idv, Reply, created, nothing, ok},
};

/// A thousand entries of all their bytes.
const ENTRIES_BODY_MAX_BYTES: usize = 8 * 1024 * 1024;

pub(crate) fn endpoints() -> Vec<Endpoint> {
    const LISTS: &str = "/idv/v1/lists";
    const LIST: &str = "/idv/v1/lists/{id}";
    const ENTRIES: &str = "/idv/v1/lists/{id}/entries";
    let (get, post, delete) = (Method::GET, Method::POST, Method::DELETE);
    let ok = StatusCode::OK;
    vec![
        Endpoint::new(get.clone(), LISTS, Idv, "Lists of your own, by name", list)
            .returns::<Page<ListView>>(ok),
        Endpoint::new(post.clone(), LISTS, Idv, "Make a list", create)
            .takes::<NewList>()
            .returns::<ListView>(StatusCode::CREATED),
        Endpoint::new(get.clone(), LIST, Idv, "One list", show).returns::<ListView>(ok),
        Endpoint::new(delete.clone(), LIST, Idv, "Remove a list with everything on it", remove)
            .returns_nothing(),
        Endpoint::new(get, ENTRIES, Idv, "What is on a list", entries)
            .paged()
            .returns::<Page<EntryView>>(ok),
        Endpoint::new(post, ENTRIES, Idv, "Put up to 1,000 entries on a list, all or none", add)
            .body(ENTRIES_BODY_MAX_BYTES)
            .takes::<NewEntries>()
            .returns::<AddedView>(ok),
        Endpoint::new(
            delete,
            "/idv/v1/lists/{id}/entries/{entry}",
            Idv,
            "Take an entry off a list",
            remove_entry,
        )
        .returns_nothing(),
    ]
}

/// A list that is to be made.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct NewList {
    /// As workflows call it: 1 to 64 letters, digits, hyphens and underscores.
    name: String,
    /// `block`, `allow`, `custom`
    purpose: String,
    /// What it is for, at most 200 characters.
    #[serde(default)]
    description: String,
}

/// A list.
#[derive(Debug, Serialize, ToSchema)]
struct ListView {
    id: String,
    name: String,
    /// `block`, `allow`, `custom`
    purpose: String,
    description: String,
    /// How many entries there are.
    size: i64,
    created_at: String,
    updated_at: String,
}

impl From<&ListRow> for ListView {
    fn from(row: &ListRow) -> Self {
        Self {
            id: row.id.to_string(),
            name: row.name.clone(),
            purpose: row.purpose.clone(),
            description: row.description.clone(),
            size: row.size,
            created_at: row.created_at.to_rfc3339(),
            updated_at: row.updated_at.to_rfc3339(),
        }
    }
}

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct NewEntries {
    entries: Vec<NewEntry>,
}

/// An entry that is to be on a list.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct NewEntry {
    /// `document`, `phone`, `email`, `ip_address`, `device_fingerprint`, `wallet_address`, `bank_account`, `user`,
    /// `business`, `country`, `key`
    kind: String,
    /// In any usual writing; documents are `DEU:C01X00T47`, networks `198.51.100.0/24`.
    value: String,
    /// Why it is there, at most 500 characters.
    #[serde(default)]
    note: String,
    /// RFC 3339; for good if it is left out.
    expires_at: Option<String>,
}

/// What came of it.
#[derive(Debug, Serialize, ToSchema)]
struct AddedView {
    /// Entries that were not there.
    added: usize,
    /// Entries that were, of whose ends the later one counts.
    known: usize,
}

/// An entry of a list.
#[derive(Debug, Serialize, ToSchema)]
struct EntryView {
    id: String,
    kind: String,
    /// As it was written.
    value: String,
    note: String,
    /// Who added it.
    added_by: String,
    created_at: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    expires_at: Option<String>,
}

impl From<Listed> for EntryView {
    fn from(listed: Listed) -> Self {
        let Listed { row, value, note } = listed;
        let end = row.expires_at.map(|end| Timestamp::from_micros(end).to_rfc3339());
        Self {
            id: row.id.to_string(),
            kind: row.kind,
            value,
            note,
            added_by: row.added_by,
            created_at: row.created_at.to_rfc3339(),
            expires_at: end,
        }
    }
}

/// Kinds as somebody wrote them.
pub(super) fn kind(field: &'static str, text: &str) -> Result<ListKind, ApiError> {
    ListKind::parse(text).ok_or_else(|| {
        let all = ListKind::ALL.map(ListKind::as_str).join(", ");
        invalid(field, &format!("must be of one of the kinds {all}"))
    })
}

async fn list(api: Api, _: Call) -> Reply {
    let rows = api.sessions.lists().await?;
    ok(Page { items: rows.iter().map(ListView::from).collect(), next: None })
}

async fn create(api: Api, call: Call) -> Reply {
    let NewList { name, purpose, description } = call.json()?;
    let by = (&call.caller.actor, &call.origin);
    let row = api.sessions.create_list((&name, &purpose, &description), by).await?;
    created(ListView::from(&row))
}

async fn show(api: Api, call: Call) -> Reply {
    ok(ListView::from(&api.sessions.list(call.id()?).await?))
}

async fn remove(api: Api, call: Call) -> Reply {
    api.sessions.remove_list(call.id()?, (&call.caller.actor, &call.origin)).await?;
    nothing()
}

async fn entries(api: Api, call: Call) -> Reply {
    let (after, limit) = call.page::<Id<tags::IdvListEntry>>()?;
    let found = api.sessions.entries(call.id()?, &after, limit).await?;
    ok(Page::of(found, limit, |listed| listed.row.id.to_string(), EntryView::from))
}

async fn add(api: Api, call: Call) -> Reply {
    let NewEntries { entries } = call.json()?;
    let read = |entry: NewEntry| {
        let end = entry.expires_at.as_deref().map(Timestamp::parse_rfc3339).transpose();
        Ok(ListedEntry {
            kind: kind("entries", &entry.kind)?,
            value: entry.value,
            note: entry.note,
            expires_at: end.map_err(|_| invalid("entries", "must end at a time, RFC 3339"))?,
        })
    };
    let entries: Vec<ListedEntry> =
        entries.into_iter().map(read).collect::<Result<_, ApiError>>()?;
    let by = (&call.caller.actor, &call.origin);
    let added = api.sessions.add_entries(call.id()?, &entries, by).await?;
    ok(AddedView { added, known: entries.len() - added })
}

async fn remove_entry(api: Api, call: Call) -> Reply {
    let entry = call.path.get("entry").and_then(|text| text.parse().ok());
    let entry = entry.ok_or(ApiError::NotFound)?;
    let by = (&call.caller.actor, &call.origin);
    api.sessions.remove_entry(call.id()?, entry, by).await?;
    nothing()
}
