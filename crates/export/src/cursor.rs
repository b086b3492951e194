//! Where a sink stopped, and what its receiver refused.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

use portcullis_types::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::{record::Record, sink::Refused};

/// From this size on, the file of dead letters takes the place of the one before it.
const MAX_LETTERS_BYTES: u64 = 32 * 1024 * 1024;

/// A sink's own directory.
#[derive(Debug, Clone)]
pub(crate) struct Place(PathBuf);

#[derive(Serialize, Deserialize)]
struct Kept {
    /// Which log it is a place in.
    origin: String,
    /// The entry to go on with.
    next: u64,
}

impl Place {
    pub fn new(dir: &Path) -> io::Result<Self> {
        fs::create_dir_all(dir)?;
        Ok(Self(dir.to_owned()))
    }

    /// The entry to go on with; `None` if nothing of this log was ever sent.
    pub fn load(&self, origin: &str) -> io::Result<Option<u64>> {
        let text = match fs::read(self.0.join("cursor")) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        let kept: Kept = serde_json::from_slice(&text)?;
        Ok((kept.origin == origin).then_some(kept.next))
    }

    /// Remembers it, also if the power goes.
    pub fn store(&self, origin: &str, next: u64) -> io::Result<()> {
        let text = serde_json::to_vec(&Kept { origin: origin.to_owned(), next })?;
        let temporary = self.0.join("cursor.new");
        let mut file = File::create(&temporary)?;
        file.write_all(&text)?;
        file.sync_data()?;
        fs::rename(&temporary, self.0.join("cursor"))?;
        File::open(&self.0)?.sync_all()
    }

    /// Keeps what was refused, a line for each.
    pub fn bury(&self, refused: &[Refused], sent: &[Record], now: Timestamp) -> io::Result<()> {
        if refused.is_empty() {
            return Ok(());
        }
        let path = self.0.join("dead-letters.jsonl");
        if fs::metadata(&path).is_ok_and(|known| known.len() > MAX_LETTERS_BYTES) {
            fs::rename(&path, self.0.join("dead-letters.1.jsonl"))?;
        }
        let mut lines = Vec::new();
        for Refused { index, why } in refused {
            let event = sent.iter().find(|record| record.index == *index);
            let event = event.map(|record| &record.event);
            let line =
                json!({ "index": index, "at": now.to_rfc3339(), "why": why, "event": event });
            writeln!(lines, "{line}")?;
        }
        let mut file = OpenOptions::new().create(true).append(true).mode(0o600).open(&path)?;
        file.write_all(&lines)?;
        file.sync_data()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_belongs_to_one_log() {
        let dir = tempfile::TempDir::new().unwrap();
        let place = Place::new(dir.path()).unwrap();
        assert_eq!(place.load("a").unwrap(), None);
        place.store("a", 7).unwrap();
        assert_eq!(place.load("a").unwrap(), Some(7));
        assert_eq!(place.load("b").unwrap(), None);
        fs::write(dir.path().join("cursor"), "{").unwrap();
        assert!(place.load("a").is_err(), "a damaged place is not the beginning");
    }

    #[test]
    fn dead_letters_name_the_event_and_the_reason() {
        let dir = tempfile::TempDir::new().unwrap();
        let place = Place::new(dir.path()).unwrap();
        let entry = br#"{"metadata":{"event_code":"user_created"}}"#;
        let sent = [Record::read(3, entry, "log").unwrap()];
        let refused = Refused { index: 3, why: "no".to_owned() };
        place.bury(std::slice::from_ref(&refused), &sent, Timestamp::from_secs(1)).unwrap();
        place.bury(&[Refused { index: 9, ..refused }], &sent, Timestamp::from_secs(1)).unwrap();
        let text = fs::read_to_string(dir.path().join("dead-letters.jsonl")).unwrap();
        let lines: Vec<serde_json::Value> =
            text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(lines.len(), 2);
        assert_eq!(lines[0]["event"]["unmapped"]["tlog_index"], 3);
        assert_eq!(lines[1]["event"], serde_json::Value::Null);
    }
}
