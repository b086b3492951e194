//! What is read back from entries of the log.

use portcullis_types::Timestamp;
use serde::Deserialize;
use serde_json::Value;

use crate::{
    kind::{PRUNED, Pruned, Removed},
    sealed::TAG_PREFIX,
};

/// What a search looks at, read back from an entry of the log.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct SearchFields {
    /// The time, at the millisecond the entry holds.
    pub time: Timestamp,
    /// The event's code, such as `authn_login_fail`.
    pub code: String,
    /// The id of the event.
    pub uid: String,
    /// The address of the client.
    pub addr: Option<String>,
    /// What stands for the address where it is sealed.
    pub addr_tag: Option<String>,
    /// Whether it succeeded; `None` for alerts.
    pub success: Option<bool>,
    /// Ids and names of everyone it concerns.
    pub subjects: Vec<String>,
    /// The request it happened in.
    pub request_id: Option<String>,
}

#[derive(Deserialize)]
struct Entry {
    time: i64,
    status_id: Option<u32>,
    class_uid: u32,
    metadata: EntryMetadata,
    src_endpoint: Option<EntryEndpoint>,
    #[serde(default)]
    evidences: Vec<EntryEvidence>,
    user: Option<EntryUser>,
    actor: Option<EntryActor>,
    unmapped: Option<Value>,
    entity: Option<EntryEntity>,
}
#[derive(Deserialize)]
struct EntryEntity {
    uid: Option<String>,
}
#[derive(Deserialize)]
struct EntryMetadata {
    uid: String,
    event_code: String,
    correlation_uid: Option<String>,
}
#[derive(Deserialize)]
struct EntryEndpoint {
    ip: Option<String>,
    uid: Option<String>,
}
#[derive(Deserialize)]
struct EntryEvidence {
    src_endpoint: Option<EntryEndpoint>,
}
#[derive(Deserialize)]
struct EntryActor {
    user: Option<EntryUser>,
}
#[derive(Deserialize)]
struct EntryUser {
    uid: Option<String>,
    name: Option<String>,
}

/// Reads what a search looks at from an entry. `None` if the bytes are not an entry of ours.
pub fn search_fields(leaf: &[u8]) -> Option<SearchFields> {
    let entry: Entry = serde_json::from_slice(leaf).ok()?;
    let mut subjects = Vec::new();
    for user in entry.user.into_iter().chain(entry.actor.and_then(|actor| actor.user)) {
        subjects.extend(user.uid);
        subjects.extend(user.name);
    }
    subjects.extend(entry.entity.and_then(|entity| entity.uid));
    let evidence = entry.evidences.into_iter().find_map(|evidence| evidence.src_endpoint);
    let source = entry.src_endpoint.or(evidence);
    let tag = source.as_ref().and_then(|source| source.uid.as_deref()?.strip_prefix(TAG_PREFIX));
    let addr_tag = tag.map(str::to_owned);
    let mut addr = source.and_then(|endpoint| endpoint.ip);
    if let Some(unmapped) = entry.unmapped {
        let accounts = unmapped["accounts"].as_array().into_iter().flatten();
        subjects.extend(accounts.filter_map(Value::as_str).map(str::to_owned));
        subjects.extend(unmapped["client_id"].as_str().map(str::to_owned));
        addr = addr.or_else(|| unmapped["addr"].as_str().map(str::to_owned));
    }
    Some(SearchFields {
        time: Timestamp::from_micros(entry.time.saturating_mul(1_000)),
        code: entry.metadata.event_code,
        uid: entry.metadata.uid,
        addr,
        addr_tag,
        success: entry.status_id.filter(|_| entry.class_uid != 2004).map(|status| status == 1),
        subjects,
        request_id: entry.metadata.correlation_uid,
    })
}

/// What an entry says was removed of a log, if it is one that says so.
pub fn pruned(leaf: &[u8]) -> Option<Pruned> {
    let entry: Value = serde_json::from_slice(leaf).ok()?;
    if entry.pointer("/metadata/event_code")? != PRUNED {
        return None;
    }
    let told = entry.get("unmapped")?;
    let removed = |one: &Value| {
        let (log, minimum) = (one["log"].as_str()?.to_owned(), one["minimum_index"].as_u64()?);
        Some(Removed { log, minimum })
    };
    Some(Pruned {
        removed: told["removed"].as_array()?.iter().map(removed).collect::<Option<_>>()?,
        before: Timestamp::parse_rfc3339(told["before"].as_str()?).ok()?,
    })
}
