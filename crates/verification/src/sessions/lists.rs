//! Lists of one's own: what blocks, what is allowed, and what conditions may look at. A value is known by a keyed
//! digest and shown from what is sealed; neither tells it to whoever has the database alone.

use std::collections::{BTreeMap, BTreeSet};

use portcullis_events::{Actor, AdminChange, Kind, Origin};
use portcullis_store::idv::lists::{self, ListEntryRow, ListRow};
use portcullis_types::{Id, Timestamp, tags};
use portcullis_workflow::{
    Assurance, Check, CheckStatus, Outcome, Reason, Report, Value, Values, Weight,
};
use serde::{Deserialize, Serialize};
use serde_json::{Value as Json, json};

use super::{
    Known, ListKind, Open, SessionError, Sessions,
    kinds::{country, document},
    link,
    service::label,
    told::Detail,
};

/// Lists of one tenant.
const LISTS_MAX: usize = 100;
/// Entries of one list.
const ENTRIES_MAX: i64 = 1_000_000;
/// Entries that are added at once.
const ADDED_MAX: usize = 1_000;
const DESCRIPTION_MAX_CHARS: usize = 200;
const NOTE_MAX_CHARS: usize = 500;
/// Entries that a report names.
const SHOWN_MAX: usize = 50;
/// Values of one kind that a session is begun with.
const IDENTIFIERS_MAX: usize = 8;

/// By what else somebody is known, each in its usual form.
pub type Identifiers = BTreeMap<ListKind, BTreeSet<String>>;

/// An entry that is to be on a list.
#[derive(Debug, Clone)]
pub struct Entry {
    /// What it is.
    pub kind: ListKind,
    /// The value, in any writing.
    pub value: String,
    /// Why it is there.
    pub note: String,
    /// When it goes.
    pub expires_at: Option<Timestamp>,
}

/// What is sealed of an entry.
#[derive(Serialize, Deserialize)]
struct Shown {
    value: String,
    note: String,
}

/// An entry of a list.
#[derive(Debug, Clone)]
pub struct Listed {
    /// Its row.
    pub row: ListEntryRow,
    /// The value, as it was written.
    pub value: String,
    /// Why it is there.
    pub note: String,
}

/// Identifiers in their usual form.
pub(crate) fn identifiers(given: &[(ListKind, String)]) -> Result<Identifiers, SessionError> {
    let mut known = Identifiers::new();
    for (kind, value) in given {
        let normal = kind.normal(value).map_err(|must| {
            SessionError::Invalid("identifiers", format!("{} {must}", kind.as_str()))
        })?;
        known.entry(*kind).or_default().insert(normal);
    }
    if known.values().any(|values| values.len() > IDENTIFIERS_MAX) {
        let must = format!("may have {IDENTIFIERS_MAX} values of each kind");
        return Err(SessionError::Invalid("identifiers", must));
    }
    Ok(known)
}

fn purpose(list: Id<tags::IdvList>, entry: Id<tags::IdvListEntry>) -> String {
    format!("idv_list:{list}:{entry}")
}

/// Whether a list has room for so many more.
pub(super) fn room(list: &ListRow, more: i64) -> Result<(), SessionError> {
    if list.size + more > ENTRIES_MAX {
        let must = format!("are too many: a list has at most {ENTRIES_MAX}");
        return Err(SessionError::Invalid("entries", must));
    }
    Ok(())
}

/// Whether this can be noted with an entry.
pub(super) fn is_note(note: &str) -> bool {
    let breaks = |char: char| char.is_control() && char != '\n';
    note.chars().count() <= NOTE_MAX_CHARS && !note.contains(breaks)
}

/// What is sealed of an entry: its value, and what is noted with it.
pub(super) fn sealed_entry(
    sessions: &Sessions,
    (list, entry): (Id<tags::IdvList>, Id<tags::IdvListEntry>),
    (value, note): (&str, &str),
) -> Result<Vec<u8>, SessionError> {
    let shown = Shown { value: value.to_owned(), note: note.to_owned() };
    let text = serde_json::to_vec(&shown).map_err(|_| SessionError::Sealed)?;
    Ok(sessions.sealer.seal(&purpose(list, entry), &text, &*sessions.entropy)?)
}

impl Sessions {
    /// Every list, by name.
    pub async fn lists(&self) -> Result<Vec<ListRow>, SessionError> {
        Ok(lists::all(&self.db, &self.tenant).await?)
    }

    /// A list.
    pub async fn list(&self, id: Id<tags::IdvList>) -> Result<ListRow, SessionError> {
        lists::by_id(&self.db, &self.tenant, id).await?.ok_or(SessionError::NotFound)
    }

    /// Makes a list.
    pub async fn create_list(
        &self,
        (name, purpose, description): (&str, &str, &str),
        by: (&Actor, &Origin),
    ) -> Result<ListRow, SessionError> {
        let invalid = |field, must: &str| Err(SessionError::Invalid(field, must.to_owned()));
        if !portcullis_workflow::is_name(name) {
            return invalid("name", "has 1 to 64 letters, digits, hyphens and underscores");
        }
        if !["block", "allow", "custom"].contains(&purpose) {
            return invalid("purpose", "must be block, allow or custom");
        }
        let long = description.chars().count() > DESCRIPTION_MAX_CHARS;
        if long || description.contains(char::is_control) {
            return invalid("description", "must be at most 200 characters of text");
        }
        let made = self.db.write(|tx| async move {
            if lists::all(&tx, &self.tenant).await?.len() >= LISTS_MAX {
                let must = format!("is one too many: there may be {LISTS_MAX} lists");
                return Err(SessionError::Invalid("name", must));
            }
            let now = self.now();
            let row = ListRow {
                id: Id::new(now, &*self.entropy),
                name: name.to_owned(),
                purpose: purpose.to_owned(),
                description: description.to_owned(),
                size: 0,
                created_at: now,
                updated_at: now,
            };
            if !lists::insert(&tx, &self.tenant, &row).await? {
                let must = "must be one that no other list has".to_owned();
                return Err(SessionError::Invalid("name", must));
            }
            let after = json!({ "name": name, "purpose": purpose });
            tx.emit(self.list_event(by, "create", row.id, after)).await?;
            Ok(row)
        });
        made.await
    }

    /// Removes a list with everything on it. Workflows that look for it then send people to a review.
    pub async fn remove_list(
        &self,
        id: Id<tags::IdvList>,
        by: (&Actor, &Origin),
    ) -> Result<(), SessionError> {
        let removed = self.db.write(|tx| async move {
            if !lists::remove(&tx, &self.tenant, id).await? {
                return Err(SessionError::NotFound);
            }
            Ok(tx.emit(self.list_event(by, "delete", id, Json::Null)).await?)
        });
        removed.await?;
        self.db.overwrite_remnants().await;
        Ok(())
    }

    /// Adds entries, all or none; tells how many were new. One that is there gets another end.
    pub async fn add_entries(
        &self,
        id: Id<tags::IdvList>,
        entries: &[Entry],
        by: (&Actor, &Origin),
    ) -> Result<usize, SessionError> {
        let now = self.now();
        if !(1..=ADDED_MAX).contains(&entries.len()) {
            let must = format!("must be 1 to {ADDED_MAX} entries");
            return Err(SessionError::Invalid("entries", must));
        }
        let mut rows = Vec::new();
        for (at, entry) in entries.iter().enumerate() {
            let wrong = |must: &str| {
                SessionError::Invalid("entries", format!("{at}: {} {must}", entry.kind.as_str()))
            };
            let normal = entry.kind.entry(&entry.value).map_err(wrong)?;
            if !is_note(&entry.note) {
                return Err(wrong("must have a note of at most 500 characters of text"));
            }
            if entry.expires_at.is_some_and(|end| end <= now) {
                return Err(wrong("must end in the future"));
            }
            let own = Id::new(now, &*self.entropy);
            rows.push(ListEntryRow {
                id: own,
                kind: entry.kind.as_str().to_owned(),
                digest: self.listed_digest(entry.kind, &normal),
                sealed: sealed_entry(self, (id, own), (entry.value.trim(), &entry.note))?,
                added_by: label(by.0),
                created_at: now,
                expires_at: entry.expires_at.map(Timestamp::micros),
            });
        }
        let rows = &rows;
        let added = self.db.write(|tx| async move {
            let list = lists::by_id(&tx, &self.tenant, id).await?;
            let list = list.ok_or(SessionError::NotFound)?;
            let mut added = 0;
            for row in rows {
                added += i64::from(lists::put(&tx, &self.tenant, id, row).await?);
            }
            room(&list, added)?;
            lists::count(&tx, &self.tenant, id, added, now).await?;
            let after = json!({ "added": added, "known": rows.len() as i64 - added });
            tx.emit(self.list_event(by, "add", id, after)).await?;
            Ok(usize::try_from(added).unwrap_or(0))
        });
        added.await
    }

    /// A page of what is on a list, after the id `after`.
    pub async fn entries(
        &self,
        id: Id<tags::IdvList>,
        after: &str,
        limit: i64,
    ) -> Result<Vec<Listed>, SessionError> {
        self.list(id).await?;
        let rows = lists::entries(&self.db, &self.tenant, id, after, limit).await?;
        let open = |row: ListEntryRow| {
            let text = self.sealer.open(&purpose(id, row.id), &row.sealed)?;
            let shown: Shown = serde_json::from_slice(&text).map_err(|_| SessionError::Sealed)?;
            Ok(Listed { row, value: shown.value, note: shown.note })
        };
        rows.into_iter().map(open).collect()
    }

    /// Removes an entry.
    pub async fn remove_entry(
        &self,
        id: Id<tags::IdvList>,
        entry: Id<tags::IdvListEntry>,
        by: (&Actor, &Origin),
    ) -> Result<(), SessionError> {
        let removed = self.db.write(|tx| async move {
            if !lists::remove_entry(&tx, &self.tenant, id, entry).await? {
                return Err(SessionError::NotFound);
            }
            lists::count(&tx, &self.tenant, id, -1, self.now()).await?;
            let after = json!({ "entry": entry.to_string() });
            Ok(tx.emit(self.list_event(by, "remove", id, after)).await?)
        });
        removed.await?;
        self.db.overwrite_remnants().await;
        Ok(())
    }

    pub(super) fn list_event(
        &self,
        (by, origin): (&Actor, &Origin),
        action: &'static str,
        list: Id<tags::IdvList>,
        after: Json,
    ) -> portcullis_events::Event {
        let change = AdminChange {
            action,
            object_type: "idv_list",
            object: list.to_string(),
            before: None,
            after: (!after.is_null()).then_some(after),
        };
        self.event(by, Some(origin), Kind::Admin(change))
    }

    fn listed_digest(&self, kind: ListKind, normal: &str) -> String {
        self.hex_digest(&[b"listed", kind.as_str().as_bytes(), normal.as_bytes()])
    }

    /// Looks for everything that a session knows of somebody on the lists that a check names, or on all.
    pub(super) async fn look_up(&self, open: &Open, check: &Check) -> Outcome {
        match self.looked_up(open, check).await {
            Ok(outcome) => outcome,
            Err(error) => {
                tracing::warn!(session = open.row.id.to_string(), %error, "no list was looked at");
                Outcome::Unavailable("lists_unavailable".to_owned())
            }
        }
    }

    async fn looked_up(&self, open: &Open, check: &Check) -> Result<Outcome, SessionError> {
        let id: Id<tags::Check> = Id::new(self.now(), &*self.entropy);
        let (mut known, trusted) = (known(open, false), known(open, true));
        let keys = self.device_keys(open).await?;
        // A key that somebody made just now is nothing that is known of them, but may be on a list.
        let only_keys = known.is_empty();
        let nothing = || Outcome::Unsupported("nothing_known".to_owned());
        if only_keys && keys.is_empty() {
            return Ok(nothing());
        }
        if !keys.is_empty() {
            // Not trusted: nobody is let in for the browser that they have.
            known.entry(ListKind::DeviceFingerprint).or_default().extend(keys);
        }
        if has_number(open) && !known.contains_key(&ListKind::Document) {
            return Ok(Outcome::Unsupported("issuer_unknown".to_owned()));
        }
        Ok(match self.find_listed((&known, &trusted), &check.lists).await? {
            Some(found) if only_keys && found.is_empty() => nothing(),
            Some(found) => report(id, &found),
            None => Outcome::Error("no_such_list".to_owned()),
        })
    }

    /// `None` if one of the lists is not there.
    async fn find_listed(
        &self,
        (known, trusted): (&Identifiers, &Identifiers),
        wanted: &BTreeSet<String>,
    ) -> Result<Option<Vec<lists::ListedRow>>, SessionError> {
        let digests = |known: &Identifiers| -> BTreeSet<String> {
            let forms = known.iter().flat_map(|(kind, values)| {
                values.iter().flat_map(|value| kind.forms(value)).map(|form| (*kind, form))
            });
            forms.map(|(kind, form)| self.listed_digest(kind, &form)).collect()
        };
        let (all, trusted) = (json!(digests(known)).to_string(), digests(trusted));
        let mut found = lists::listed(&self.db, &self.tenant, &all, self.now()).await?;
        // After that: what was removed meanwhile is missed.
        let there = lists::all(&self.db, &self.tenant).await?;
        if wanted.iter().any(|name| there.iter().all(|list| list.name != *name)) {
            return Ok(None);
        }
        found.retain(|one| {
            let allows = one.purpose != "allow" || trusted.contains(&one.digest);
            allows && (wanted.is_empty() || wanted.contains(&one.name))
        });
        Ok(Some(found))
    }
}

/// Whether somebody has named the number of a document.
pub(super) fn has_number(open: &Open) -> bool {
    let mut all = open.told.iter().chain([&open.start.expected]);
    all.any(|known| known.document_number.is_some())
}

/// Everything by which a session knows somebody, and ever did; or what the caller says and checks that passed tell,
/// which is what anybody may be allowed by.
pub(super) fn known(open: &Open, only_trusted: bool) -> Identifiers {
    let mut known = open.start.identifiers.clone();
    let mut add = |kind: ListKind, value: Option<String>| {
        if let Some(value) = value {
            known.entry(kind).or_default().insert(value);
        }
    };
    let passed = open.state.done.iter().filter(|(_, done)| done.status == CheckStatus::Passed);
    let told: Vec<Known> = match only_trusted {
        true => passed.filter_map(|(node, _)| open.known_by(node)).collect(),
        false => open.told.clone(),
    };
    for person in told.into_iter().chain([open.start.expected.clone()]) {
        let Known { issuing_state, document_number, nationality, other_nationalities, .. } = person;
        let codes =
            [&issuing_state, &nationality].into_iter().flatten().chain(&other_nationalities);
        for code in codes {
            add(ListKind::Country, country(code));
        }
        let number = issuing_state.zip(document_number);
        add(ListKind::Document, number.and_then(|(issuer, number)| document(&issuer, &number)));
    }
    // Where somebody reads what is sent, or tried to.
    let passed = open.state.done.values().filter(|done| done.status == CheckStatus::Passed);
    let passed = passed.filter_map(|done| done.report.as_ref());
    let reached: Vec<(ListKind, String)> = match only_trusted {
        true => passed.filter_map(|report| link::reached_by(report)).collect(),
        false => open.reached.clone(),
    };
    for (kind, address) in reached {
        add(kind, Some(address));
    }
    add(ListKind::User, ListKind::User.normal(&open.row.reference).ok());
    known
}

/// What was found, as the report of a check.
fn report(id: Id<tags::Check>, found: &[lists::ListedRow]) -> Outcome {
    let of = |purpose: &str| found.iter().any(|one| one.purpose == purpose);
    let (blocked, allowed) = (of("block"), of("allow"));
    let texts = |tell: fn(&lists::ListedRow) -> &str| {
        let all: BTreeSet<String> = found.iter().map(|one| tell(one).to_owned()).collect();
        Value::Texts(all.into_iter().collect())
    };
    let values = Values::from([
        ("blocked".to_owned(), Value::Flag(blocked)),
        ("allowed".to_owned(), Value::Flag(allowed)),
        ("lists".to_owned(), texts(|one| &one.name)),
        ("kinds".to_owned(), texts(|one| &one.kind)),
    ]);
    let reason = |code: &str, severity| Reason { code: code.to_owned(), severity };
    let reasons = [
        blocked.then(|| reason("block_listed", Weight::Failure)),
        allowed.then(|| reason("allow_listed", Weight::Information)),
        of("custom").then(|| reason("listed", Weight::Information)),
    ];
    let shown = found.iter().take(SHOWN_MAX).map(|one| {
        json!({ "list": one.name, "purpose": one.purpose, "kind": one.kind, "entry": one.id.to_string() })
    });
    Outcome::Report(Box::new(Report {
        id: id.to_string(),
        status: if blocked { CheckStatus::Failed } else { CheckStatus::Passed },
        assurance: Assurance::Database,
        reasons: reasons.into_iter().flatten().collect(),
        values,
        detail: json!(Detail {
            view: json!({ "found": shown.collect::<Json>() }),
            ..Detail::default()
        }),
    }))
}
