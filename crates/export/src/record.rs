use std::fmt::Write as _;

use portcullis_audit::Entry;
use serde_json::{Value, json};

use crate::integrity::{Link, attest};

/// An event as it leaves: OCSF, with its place in the log.
#[derive(Debug, Clone)]
pub struct Record {
    /// Its position among all entries.
    pub position: u64,
    /// Its index in its log.
    pub index: u64,
    /// The OCSF event. `unmapped` says at which index of which log it can be proven.
    pub event: Value,
    /// What the sink got before it, where events point to each other.
    pub before: Option<Link>,
}

impl Record {
    /// Reads an entry. `None` if it is not an event.
    pub fn read(entry: &Entry) -> Option<Self> {
        let mut event: Value = serde_json::from_slice(&entry.bytes).ok()?;
        event.pointer("/metadata/event_code")?.as_str()?;
        let unmapped = event.as_object_mut()?.entry("unmapped").or_insert_with(|| json!({}));
        let unmapped = unmapped.as_object_mut()?;
        unmapped.insert("tlog_index".into(), entry.index.into());
        unmapped.insert("log_origin".into(), (*entry.origin).into());
        Some(Self { position: entry.position, index: entry.index, event, before: None })
    }

    /// The same from the only log there is, named `log`.
    #[cfg(test)]
    pub fn of(index: u64, bytes: &[u8]) -> Option<Self> {
        let (position, origin) = (index, "log".into());
        Self::read(&Entry { position, index, origin, bytes: bytes.to_vec() })
    }

    /// Points to the event before it in `chain`. Returns what the next one points to.
    pub fn attest(&mut self, chain: &str, before: Option<Link>) -> Option<Link> {
        self.before = before;
        attest(&mut self.event, chain, self.before.as_ref())
    }

    /// A text at a JSON pointer.
    pub fn text(&self, pointer: &str) -> Option<&str> {
        self.event.pointer(pointer)?.as_str()
    }

    fn number(&self, pointer: &str) -> Option<u64> {
        self.event.pointer(pointer)?.as_u64()
    }

    /// When it happened, in milliseconds.
    pub fn millis(&self) -> u64 {
        self.number("/time").unwrap_or_default()
    }

    /// What happened, such as `authn_login_fail`.
    pub fn code(&self) -> &str {
        self.text("/metadata/event_code").unwrap_or_default()
    }

    /// The id of the event.
    pub fn uid(&self) -> &str {
        self.text("/metadata/uid").unwrap_or_default()
    }

    /// OCSF `severity_id`: 0 unknown, 1 informational, to 6 fatal.
    pub fn severity(&self) -> u8 {
        self.number("/severity_id").and_then(|id| u8::try_from(id).ok()).unwrap_or_default()
    }

    /// `true` for success, `false` for failure, nothing where that is not asked.
    pub fn success(&self) -> Option<bool> {
        // The status of a finding is that of an investigation.
        let finding = self.number("/class_uid") == Some(2004);
        self.number("/status_id").filter(|_| !finding).map(|id| id == 1)
    }

    /// The address it came from.
    pub fn addr(&self) -> Option<&str> {
        self.text("/src_endpoint/ip").or_else(|| self.text("/evidences/0/src_endpoint/ip"))
    }

    /// As one line of JSON, without a character that could move a reader's eye or end a line.
    pub fn json(&self) -> String {
        let text = self.event.to_string();
        let hidden = |c: char| c.is_control() || matches!(c, '\u{2028}' | '\u{2029}');
        if !text.contains(hidden) {
            return text;
        }
        // These stand in strings only, since what is between them is ours.
        let mut escaped = String::with_capacity(text.len() + 16);
        for c in text.chars() {
            if hidden(c) {
                let _ = write!(escaped, "\\u{:04x}", u32::from(c));
            } else {
                escaped.push(c);
            }
        }
        escaped
    }

    /// The same without what can make it long, for receivers that take no long messages. The rest is
    /// in the log, at the index it names.
    pub fn brief(&self) -> Self {
        let mut event = serde_json::Map::new();
        for name in [
            "activity_id",
            "category_uid",
            "class_uid",
            "type_uid",
            "severity_id",
            "status_id",
            "status_detail",
            "time",
            "metadata",
            "src_endpoint",
        ] {
            if let Some(value) = self.event.get(name) {
                event.insert(name.to_owned(), value.clone());
            }
        }
        let unmapped = json!({
            "tlog_index": self.index,
            "log_origin": self.text("/unmapped/log_origin"),
            "shortened": true,
        });
        event.insert("unmapped".to_owned(), unmapped);
        let (position, index) = (self.position, self.index);
        Self { position, index, event: Value::Object(event), before: None }
    }
}
