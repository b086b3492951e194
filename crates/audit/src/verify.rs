use std::{collections::BTreeMap, io::Read, path::Path};

use portcullis_tlog::{Checkpoint, Hash, NoteVerifier, leaf_hash, node_hash};

use crate::{
    LogReader,
    files::{LogError, io_error},
};

/// What a verification found.
#[derive(Debug, PartialEq, Eq)]
pub struct Report {
    /// The log's name.
    pub origin: String,
    /// Entries that were read.
    pub entries: u64,
    /// Entries that the newest checkpoint covers.
    pub signed: u64,
    /// Checkpoints of the history whose signature and root hold.
    pub checkpoints: usize,
    /// The first damage, if there is any.
    pub damage: Option<Damage>,
}

/// The first thing in a log that is not as it was written.
#[derive(Debug, PartialEq, Eq)]
pub enum Damage {
    /// The entry is not the one that was signed.
    Entry(u64),
    /// The entries were changed together with their hashes: the tree was right at the first size
    /// and is wrong at the second.
    Between {
        /// The last checkpoint that still holds.
        sound: u64,
        /// The first one that does not.
        broken: u64,
    },
    /// The entry is as it was signed, but the stored hash beside it is not. It can be rebuilt.
    StoredHash(u64),
    /// The log ends before what its checkpoint promises.
    Short {
        /// Entries that are there.
        entries: u64,
        /// Entries that the checkpoint covers.
        signed: u64,
    },
    /// The newest checkpoint is missing, malformed or not signed by the key.
    Checkpoint(String),
}

impl std::fmt::Display for Damage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Entry(index) => write!(f, "entry {index} is not the one that was signed"),
            Self::Between { sound, broken } => write!(
                f,
                "entries were rewritten together with their hashes: the log matches its checkpoint \
                 at {sound} entries but not at {broken}, so the first damaged entry is one of \
                 {sound}..{broken}"
            ),
            Self::StoredHash(index) => {
                write!(f, "the stored hash of entry {index} is damaged (the entry itself is sound)")
            }
            Self::Short { entries, signed } => {
                write!(f, "entry {entries} is missing: the checkpoint covers {signed} entries")
            }
            Self::Checkpoint(why) => write!(f, "the checkpoint cannot be trusted: {why}"),
        }
    }
}

/// Recomputes the whole log in `dir` from its entries and holds it against every checkpoint that
/// `verifier` signed. Memory stays constant; time is that of reading and hashing the file.
pub fn verify(dir: &Path, verifier: &NoteVerifier) -> Result<Report, LogError> {
    // The checkpoint first: the log may grow meanwhile, but never below what was signed.
    let text = read_checkpoint(dir);
    let log = LogReader::open(dir)?;
    let mut report = Report {
        origin: verifier.name().to_owned(),
        entries: log.size(),
        signed: 0,
        checkpoints: 0,
        damage: None,
    };
    let newest = match text.map(|text| Checkpoint::open(&text, verifier)) {
        Ok(Ok(checkpoint)) => checkpoint,
        Ok(Err(error)) => {
            report.damage = Some(Damage::Checkpoint(error.to_string()));
            return Ok(report);
        }
        Err(error) => {
            report.damage = Some(Damage::Checkpoint(error.to_string()));
            return Ok(report);
        }
    };
    let history = log.checkpoints(verifier)?.into_iter().chain([newest]);
    let signed: BTreeMap<u64, Hash> = history.map(|point| (point.size, point.root)).collect();
    // Whoever puts an older checkpoint in the place of the newest is given away by the history.
    report.signed = signed.keys().next_back().copied().unwrap_or_default();
    let walked = walk(&log, &signed)?;
    report.checkpoints = walked.matched;
    report.damage = walked.damage(log.size().max(walked.read), report.signed);
    Ok(report)
}

/// What reading the log from the first entry to the last found.
#[derive(Default)]
struct Walk {
    matched: usize,
    read: u64,
    last_sound: u64,
    first_broken: Option<u64>,
    /// Differs from the stored hash, and no checkpoint has proven it sound yet.
    odd_entry: Option<u64>,
    /// Differs from the stored hash, but a checkpoint proves the entry sound.
    odd_hash: Option<u64>,
    unreadable: Option<u64>,
}

impl Walk {
    fn damage(&self, entries: u64, signed: u64) -> Option<Damage> {
        if let Some(broken) = self.first_broken {
            return Some(match self.odd_entry.filter(|odd| *odd < broken) {
                Some(odd) => Damage::Entry(odd),
                None => Damage::Between { sound: self.last_sound, broken },
            });
        }
        if let Some(index) = self.unreadable.into_iter().chain(self.odd_entry).min() {
            return Some(Damage::Entry(index));
        }
        if entries < signed {
            return Some(Damage::Short { entries, signed });
        }
        self.odd_hash.map(Damage::StoredHash)
    }
}

fn read_checkpoint(dir: &Path) -> Result<String, LogError> {
    let path = dir.join("checkpoint");
    std::fs::read_to_string(&path).map_err(io_error("read", &path))
}

fn walk(log: &LogReader, signed: &BTreeMap<u64, Hash>) -> Result<Walk, LogError> {
    let mut reader = std::io::BufReader::with_capacity(1 << 20, log.entries().file());
    let (mut found, mut peaks, mut left) = (Walk::default(), Peaks::default(), log.end());
    for index in 0..log.size() {
        let Some(entry) = next_entry(&mut reader, &mut left) else {
            found.unreadable = Some(index);
            break;
        };
        let leaf = leaf_hash(&entry);
        if log.levels().leaf(index).is_some_and(|stored| stored != leaf) {
            found.odd_entry.get_or_insert(index);
        }
        peaks.push(leaf);
        found.read = index + 1;
        match signed.get(&(index + 1)) {
            Some(root) if found.first_broken.is_some() || peaks.root() != *root => {
                found.first_broken.get_or_insert(index + 1);
            }
            Some(_) => {
                found.matched += 1;
                found.last_sound = index + 1;
                found.odd_hash = found.odd_hash.or(found.odd_entry.take());
            }
            None => {}
        }
    }
    Ok(found)
}

fn next_entry(reader: &mut impl Read, left: &mut u64) -> Option<Vec<u8>> {
    let mut length = [0; 2];
    reader.read_exact(&mut length).ok()?;
    let length = u16::from_be_bytes(length);
    *left = left.checked_sub(2 + u64::from(length))?;
    let mut entry = vec![0; usize::from(length)];
    reader.read_exact(&mut entry).ok()?;
    Some(entry)
}

/// The roots of the complete subtrees of a growing log, the largest first.
#[derive(Default)]
struct Peaks {
    size: u64,
    hashes: Vec<Hash>,
}

impl Peaks {
    fn push(&mut self, leaf: Hash) {
        let (mut hash, mut position) = (leaf, self.size);
        while position & 1 == 1 {
            if let Some(left) = self.hashes.pop() {
                hash = node_hash(&left, &hash);
            }
            position >>= 1;
        }
        self.hashes.push(hash);
        self.size += 1;
    }

    fn root(&self) -> Hash {
        let mut peaks = self.hashes.iter().rev();
        let Some(last) = peaks.next() else {
            return portcullis_tlog::EMPTY_ROOT;
        };
        peaks.fold(*last, |right, left| node_hash(left, &right))
    }
}
