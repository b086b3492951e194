//! Where a sink stopped, and what its receiver refused.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    sync::atomic::{AtomicU64, Ordering},
};

use portcullis_types::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::{integrity::Link, sink::Refused};

/// From this size on, the file of dead letters takes the place of the one before it.
const MAX_LETTERS_BYTES: u64 = 32 * 1024 * 1024;
/// Places that are remembered, the newest ones close to each other and the old ones far apart.
const MAX_MARKS: usize = 32;

/// A sink's own directory.
#[derive(Debug, Clone)]
pub(crate) struct Place(PathBuf);

/// What a sink remembers.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Cursor {
    /// Which log it is about.
    origin: String,
    /// Places up to which everything was taken, oldest first.
    marks: Vec<Mark>,
}

/// A place in a log, and what makes it that log's.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Mark {
    /// The entry to go on with.
    pub next: u64,
    /// The hash of the entry before it, in hexadecimal digits; empty at the beginning.
    pub hash: String,
    /// The event that was taken last, where events point to each other.
    #[serde(default)]
    pub link: Option<Link>,
}

impl Cursor {
    /// At the beginning of a log, or somewhere in it.
    pub fn at(origin: &str, mark: Mark) -> Self {
        Self { origin: origin.to_owned(), marks: vec![mark] }
    }

    /// The newest place that a log still has as it was, where `is_so` looks. A log that was put back
    /// to an earlier state has other entries at the places after it.
    pub fn newest<E>(&self, is_so: impl Fn(&Mark) -> Result<bool, E>) -> Result<Option<Mark>, E> {
        for mark in self.marks.iter().rev() {
            if is_so(mark)? {
                return Ok(Some(mark.clone()));
            }
        }
        Ok(None)
    }

    /// All places.
    pub fn marks(&self) -> &[Mark] {
        &self.marks
    }

    /// Everything up to a place was taken. What is remembered after it belongs to another log.
    pub fn advance(&mut self, mark: Mark) {
        let newest = mark.next;
        self.marks.retain(|one| one.next < newest);
        self.marks.push(mark);
        if self.marks.len() > MAX_MARKS {
            self.thin_out(newest);
        }
    }

    /// Forgets the place that is missed least: the gap it leaves is the smallest for how far back it
    /// is.
    fn thin_out(&mut self, newest: u64) {
        #[expect(clippy::cast_precision_loss, reason = "to compare by")]
        let gap = |at: &usize| {
            let (before, after) = (self.marks[at - 1].next, self.marks[at + 1].next);
            (after - before) as f64 / (newest - before + 1) as f64
        };
        let inner = 1..self.marks.len() - 1;
        if let Some(least) = inner.min_by(|a, b| gap(a).total_cmp(&gap(b))) {
            self.marks.remove(least);
        }
    }
}

impl Place {
    pub fn new(dir: &Path) -> io::Result<Self> {
        fs::create_dir_all(dir)?;
        Ok(Self(dir.to_owned()))
    }

    /// What is remembered of this log; `None` if nothing of it was ever sent.
    pub fn load(&self, origin: &str) -> io::Result<Option<Cursor>> {
        let text = match fs::read(self.0.join("cursor")) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        let kept: Cursor = serde_json::from_slice(&text)?;
        Ok(Some(kept).filter(|kept| kept.origin == origin))
    }

    /// Remembers it, also if the power goes.
    pub fn store(&self, cursor: &Cursor) -> io::Result<()> {
        // One that was ended by a reload may still be writing.
        static WRITES: AtomicU64 = AtomicU64::new(0);
        let number = WRITES.fetch_add(1, Ordering::Relaxed) % 8;
        let temporary = self.0.join(format!("cursor.{number}"));
        let mut file = File::create(&temporary)?;
        file.write_all(&serde_json::to_vec(cursor)?)?;
        file.sync_data()?;
        fs::rename(&temporary, self.0.join("cursor"))?;
        File::open(&self.0)?.sync_all()
    }

    /// Keeps what was refused, a line for each. The event itself stays in the log: here, what is
    /// personal in it would outlive whoever it is about.
    pub fn bury(&self, refused: &[Refused], now: Timestamp) -> io::Result<()> {
        if refused.is_empty() {
            return Ok(());
        }
        let path = self.0.join("dead-letters.jsonl");
        if fs::metadata(&path).is_ok_and(|known| known.len() > MAX_LETTERS_BYTES) {
            fs::rename(&path, self.0.join("dead-letters.1.jsonl"))?;
        }
        let mut lines = Vec::new();
        for Refused { position, why } in refused {
            writeln!(
                lines,
                "{}",
                json!({ "index": position, "at": now.to_rfc3339(), "why": why })
            )?;
        }
        let mut file = OpenOptions::new().create(true).append(true).mode(0o600).open(&path)?;
        file.write_all(&lines)?;
        file.sync_data()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mark(next: u64) -> Mark {
        Mark { next, hash: format!("hash of {next}"), link: None }
    }

    #[test]
    fn a_place_belongs_to_one_log() {
        let dir = tempfile::TempDir::new().unwrap();
        let place = Place::new(dir.path()).unwrap();
        assert_eq!(place.load("a").unwrap(), None);
        let cursor = Cursor::at("a", mark(7));
        place.store(&cursor).unwrap();
        assert_eq!(place.load("a").unwrap(), Some(cursor));
        assert_eq!(place.load("b").unwrap(), None);
        fs::write(dir.path().join("cursor"), "{").unwrap();
        assert!(place.load("a").is_err(), "a damaged place is not the beginning");
    }

    #[test]
    fn a_log_that_was_put_back_is_followed_from_where_it_parts() {
        let mut cursor = Cursor::at("a", mark(0));
        for next in 1..=10_000 {
            cursor.advance(mark(next));
            assert!(cursor.marks.len() <= MAX_MARKS + 1);
        }
        let newest =
            |upto: u64| cursor.newest(|one| Ok::<_, ()>(one.next <= upto)).unwrap().unwrap().next;
        assert_eq!(newest(10_000), 10_000);
        assert!((9_980..=9_995).contains(&newest(9_995)));
        // The further back, the more comes twice, and nothing is left out.
        assert!((4_000..=9_000).contains(&newest(9_000)));
        assert_eq!(newest(0), 0);
        assert_eq!(cursor.newest(|_| Ok::<_, ()>(false)), Ok(None));
    }

    #[test]
    fn dead_letters_name_the_event_and_the_reason() {
        let dir = tempfile::TempDir::new().unwrap();
        let place = Place::new(dir.path()).unwrap();
        let refused = Refused { position: 3, why: "no".to_owned() };
        place.bury(std::slice::from_ref(&refused), Timestamp::from_secs(1)).unwrap();
        place.bury(&[Refused { position: 9, ..refused }], Timestamp::from_secs(1)).unwrap();
        let text = fs::read_to_string(dir.path().join("dead-letters.jsonl")).unwrap();
        let lines: Vec<serde_json::Value> =
            text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        let letter = |index| json!({ "index": index, "at": "1970-01-01T00:00:01Z", "why": "no" });
        assert_eq!(lines, [letter(3), letter(9)]);
    }
}
