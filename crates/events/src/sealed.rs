//! Personal fields of an entry: who somebody is called, where they were, with which browser. They
//! are sealed under a key of that person and of the month, so that destroying either makes them
//! unreadable for good while every proof over the entry stays valid.

use portcullis_types::{AddrKey, Id, Month, tags};
use serde_json::{Map, Value, json};

use crate::{Actor, Event, Kind, ocsf, request_leaf::request_leaf};

/// Where personal fields stand in an entry, as JSON pointers.
const PERSONAL: [&str; 4] =
    ["/user/name", "/actor/user/name", "/src_endpoint/ip", "/http_request/user_agent"];

/// Tells the tag of an address from any other name of an endpoint.
pub(crate) const TAG_PREFIX: &str = "addr:";
/// In the place of a tag whose key is gone: the object must have a name.
pub(crate) const NO_TAG: &str = "-";

/// Under whose keys something is sealed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Whose<'a> {
    /// The person, by the id of their account.
    pub subject: &'a str,
    /// The month in which it happened.
    pub month: Month,
}

/// What of an entry is sealed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sealed {
    /// The person, by the id of their account.
    pub subject: String,
    /// The month in which it happened.
    pub month: Month,
    /// The sealed form.
    pub data: String,
}

impl Sealed {
    /// Under whose keys it is.
    pub fn whose(&self) -> Whose<'_> {
        Whose { subject: &self.subject, month: self.month }
    }
}

/// Seals personal fields.
pub trait SealPersonal {
    /// The sealed form; `None` if a key is gone, so that nothing personal is written.
    fn seal(&self, whose: Whose<'_>, plain: &[u8]) -> Option<String>;

    /// Stands for an address in a month, so that it can be searched for and not read; `None` if the
    /// key of the month is gone.
    fn tag(&self, month: Month, addr: AddrKey) -> Option<String>;
}

/// The bytes of the log entry for `event`, personal fields sealed.
pub fn sealed_leaf(event: &Event, sealer: &dyn SealPersonal) -> Vec<u8> {
    request_leaf(event, Some(sealer)).unwrap_or_else(|| sealed_tree(event, sealer))
}

pub(crate) fn sealed_tree(event: &Event, sealer: &dyn SealPersonal) -> Vec<u8> {
    let mut entry = ocsf::entry(event);
    if let Some(subject) = subject(event) {
        seal(&mut entry, event, subject, sealer);
    }
    entry.to_string().into_bytes()
}

/// The person whose fields an event has, if it is one with an account.
pub fn subject(event: &Event) -> Option<&str> {
    let person = |actor: &'_ Actor| matches!(actor, Actor::User { .. });
    let whose = match (&event.actor, &event.kind) {
        (actor, _) if person(actor) => actor,
        (_, Kind::Account(change)) if person(&change.user) => &change.user,
        _ => return None,
    };
    match whose {
        Actor::User { id, .. } if id.parse::<Id<tags::User>>().is_ok() => Some(id),
        _ => None,
    }
}

fn seal(entry: &mut Value, event: &Event, subject: &str, sealer: &dyn SealPersonal) {
    let (month, mut taken) = (Month::of(event.time), Map::new());
    for pointer in PERSONAL {
        if let Some((parent, name)) = pointer.rsplit_once('/')
            && let Some(Value::Object(object)) = entry.pointer_mut(parent)
            // The name of somebody else would outlive them under this key.
            && (name != "name" || object.get("uid").is_some_and(|uid| uid == subject))
            && let Some(value) = object.remove(name)
        {
            taken.insert(pointer.to_owned(), value);
        }
    }
    for pointer in ["/user", "/actor/user"] {
        if let Some(Value::Object(other)) = entry.pointer_mut(pointer)
            && other.get("type_id").is_some_and(|kind| kind == 1)
        {
            other.remove("name");
        }
    }
    if let (Some(source), Some(origin)) = (entry.get_mut("src_endpoint"), &event.origin) {
        // The object needs a name of some kind; this one can be searched for.
        let tag = sealer.tag(month, origin.addr.key());
        source["uid"] = format!("{TAG_PREFIX}{}", tag.as_deref().unwrap_or(NO_TAG)).into();
    }
    let plain = Value::Object(taken).to_string();
    if let Some(data) = sealer.seal(Whose { subject, month }, plain.as_bytes()) {
        let month = month.to_string();
        entry["unmapped"]["sealed"] = json!({ "subject": subject, "month": month, "data": data });
    }
}

/// What of an entry is sealed.
pub fn sealed_of(entry: &[u8]) -> Option<Sealed> {
    sealed_in(&serde_json::from_slice(entry).ok()?)
}

fn sealed_in(entry: &Value) -> Option<Sealed> {
    let sealed = entry.pointer("/unmapped/sealed")?;
    let text = |name: &str| sealed[name].as_str();
    let (subject, data) = (text("subject")?.to_owned(), text("data")?.to_owned());
    Some(Sealed { subject, month: Month::parse(text("month")?)?, data })
}

/// The entry with its personal fields, where `open` has the key; as it is where not.
pub fn opened_entry(entry: &[u8], open: impl FnOnce(&Sealed) -> Option<Vec<u8>>) -> Vec<u8> {
    opened(entry, open).unwrap_or_else(|| entry.to_vec())
}

fn opened(entry: &[u8], open: impl FnOnce(&Sealed) -> Option<Vec<u8>>) -> Option<Vec<u8>> {
    let mut entry: Value = serde_json::from_slice(entry).ok()?;
    let fields: Map<String, Value> = serde_json::from_slice(&open(&sealed_in(&entry)?)?).ok()?;
    for (pointer, value) in fields {
        if PERSONAL.contains(&pointer.as_str())
            && let Some((parent, name)) = pointer.rsplit_once('/')
            && let Some(Value::Object(object)) = entry.pointer_mut(parent)
        {
            object.insert(name.to_owned(), value);
        }
    }
    if let Some(Value::Object(source)) = entry.get_mut("src_endpoint") {
        source.remove("uid");
    }
    if let Some(Value::Object(unmapped)) = entry.get_mut("unmapped") {
        unmapped.remove("sealed");
        if unmapped.is_empty() {
            entry.as_object_mut()?.remove("unmapped");
        }
    }
    Some(entry.to_string().into_bytes())
}

#[cfg(test)]
mod tests {
    use portcullis_types::Timestamp;

    use super::*;
    use crate::{AccountChange, LoginAttempt, Origin, Outcome, search_fields};

    /// Writes the person beside the fields, so that a test sees both.
    struct Plain(bool);
    impl SealPersonal for Plain {
        fn seal(&self, whose: Whose<'_>, plain: &[u8]) -> Option<String> {
            self.0.then(|| format!("{}|{}", whose.subject, String::from_utf8_lossy(plain)))
        }
        fn tag(&self, _: Month, _: AddrKey) -> Option<String> {
            Some("t4g".into())
        }
    }

    const ALICE: &str = "usr_00000000000000000000000001";
    const ADA: &str = "usr_00000000000000000000000002";

    fn person(id: &str, name: &str) -> Actor {
        Actor::User { id: id.into(), username: name.into() }
    }

    fn event(actor: Actor, kind: Kind) -> Event {
        let origin = Origin { user_agent: Some("Firefox".into()), ..Origin::default() };
        let time = Timestamp::from_secs(1);
        Event::new(Id::from_bits(1), time, Some(origin), actor, Outcome::Success, kind)
    }

    fn login(actor: Actor) -> Event {
        let attempt = LoginAttempt { factor: "password", door: "login", ..LoginAttempt::default() };
        event(actor, Kind::Login(attempt))
    }

    #[test]
    fn what_is_personal_is_sealed_and_comes_back() {
        let event = login(person(ALICE, "alice"));
        let entry = sealed_leaf(&event, &Plain(true));
        let text = String::from_utf8(entry.clone()).unwrap();
        let outside = text.replace(&sealed_of(&entry).unwrap().data.replace('"', "\\\""), "");
        for personal in ["alice", "Firefox", "0.0.0.0"] {
            assert!(!outside.contains(personal) && text.contains(personal), "{text}");
        }
        let fields = search_fields(&entry).unwrap();
        assert_eq!((fields.addr.as_deref(), fields.addr_tag.as_deref()), (None, Some("t4g")));
        let opened = opened_entry(&entry, |sealed| {
            assert_eq!(sealed.month.to_string(), "1970-01");
            let plain = sealed.data.strip_prefix(&sealed.subject)?.strip_prefix('|')?;
            Some(plain.as_bytes().to_vec())
        });
        let plain: Value = serde_json::from_slice(&crate::leaf(&event)).unwrap();
        assert_eq!(serde_json::from_slice::<Value>(&opened).unwrap(), plain);
        assert_eq!(opened_entry(&entry, |_| None), entry);
    }

    #[test]
    fn of_whoever_is_gone_nothing_personal_is_written() {
        let text = String::from_utf8(sealed_leaf(&login(person(ALICE, "alice")), &Plain(false)));
        let text = text.unwrap();
        for personal in ["alice", "Firefox", "0.0.0.0", "sealed"] {
            assert!(!text.contains(personal), "{text}");
        }
        assert!(text.contains(ALICE));
    }

    #[test]
    fn nobodys_name_is_sealed_under_the_key_of_somebody_else() {
        let change =
            AccountChange { change: "flagged", user: person(ALICE, "alice"), provider: None };
        let event = event(person(ADA, "ada"), Kind::Account(change));
        let text = String::from_utf8(sealed_leaf(&event, &Plain(true))).unwrap();
        assert!(!text.contains("alice") && text.contains(&format!("{ADA}|")), "{text}");
    }

    #[test]
    fn strangers_stay_readable() {
        let event = login(Actor::Anonymous);
        assert_eq!(sealed_leaf(&event, &Plain(true)), crate::leaf(&event));
    }
}
