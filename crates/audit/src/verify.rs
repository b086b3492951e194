use std::{
    collections::BTreeMap,
    io::{BufReader, Read, Seek, SeekFrom},
    path::Path,
};

use memchr::memmem::Finder;
use portcullis_events::{PRUNED, Pruned, pruned};
use portcullis_tlog::{Checkpoint, Frontier, Hash, NoteVerifier, leaf_hash};

use crate::{
    LogReader, Logs,
    files::{LogError, io_error},
    prune,
};

/// What a verification found.
#[derive(Debug, PartialEq, Eq)]
pub struct Report {
    /// The log's name.
    pub origin: String,
    /// The key it was verified with.
    pub vkey: String,
    /// Entries that it has.
    pub entries: u64,
    /// The minimum index: what is before it was removed, and is known by its hashes.
    pub minimum: u64,
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
    /// Entries are called removed, and no entry says that they were.
    Removed {
        /// The minimum index that the log claims.
        minimum: u64,
        /// What it may be, by what was recorded.
        allowed: u64,
    },
    /// The log does not go on from the one before it.
    Unchained,
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
            Self::Removed { minimum, allowed } => write!(
                f,
                "entries before {minimum} are missing, and only those before {allowed} were removed \
                 because their time was over"
            ),
            Self::Unchained => {
                write!(f, "the log does not begin with the last checkpoint of the one before it")
            }
            Self::Checkpoint(why) => write!(f, "the checkpoint cannot be trusted: {why}"),
        }
    }
}

/// Verifies all logs below `root`, and that each goes on from the one before. `trusted` is a key of any
/// of them that was noted down elsewhere: they have the same, under names that end in the year. The
/// oldest is reported first.
pub fn verify_all(root: &Path, trusted: Option<&NoteVerifier>) -> Result<Vec<Report>, LogError> {
    loop {
        let reports = verify_each(root, trusted)?;
        let logs = Logs::open(root)?;
        let minimums = logs.parts().map(|(log, _)| log.minimum());
        // What was removed while they were read is no damage: its receipt may be in one that had been
        // read by then.
        let same = minimums.eq(reports.iter().map(|report| report.minimum));
        if same || reports.iter().all(|report| report.damage.is_none()) {
            return Ok(reports);
        }
    }
}

fn verify_each(root: &Path, trusted: Option<&NoteVerifier>) -> Result<Vec<Report>, LogError> {
    let logs = Logs::open(root)?;
    let (mut reports, mut receipts, mut after) = (Vec::new(), Vec::new(), None);
    let parts: Vec<_> = logs.parts().collect();
    let mut trusted = trusted.cloned();
    // The newest first: it says what was removed of the others.
    for (log, dir) in parts.into_iter().rev() {
        let own = log.verifier()?;
        let trusted = trusted.get_or_insert_with(|| own.clone());
        let family = |name: &str| name.rsplit_once('/').map(|(family, _)| family.to_owned());
        let renamed =
            trusted.renamed(own.name()).map_err(|error| LogError::Checkpoint(error.into()))?;
        let mut report = verify_with(dir, &renamed, &mut receipts)?;
        if family(own.name()) != family(trusted.name()) {
            let why = format!("it is of {}, not of {}", own.name(), trusted.name());
            report.damage.get_or_insert(Damage::Checkpoint(why));
        }
        // Whoever cannot be opened has been told of as damaged.
        let last = log.checkpoint_text().ok();
        let last = last.filter(|note| {
            Checkpoint::open(note, &renamed).is_ok_and(|last| last.size == log.size())
        });
        if after
            .is_some_and(|first: Hash| last.map(|note| leaf_hash(note.as_bytes())) != Some(first))
        {
            let next: Option<&mut Report> = reports.last_mut();
            next.map(|next| next.damage.get_or_insert(Damage::Unchained));
        }
        after = Some(log.leaf(0).unwrap_or_default());
        reports.push(report);
    }
    // The first of all goes on from nothing.
    let first = logs.bundle_from(0).ok().and_then(|mut bundle| bundle.drain(..).next());
    if let (Some(first), Some(oldest)) = (first, reports.last_mut())
        && oldest.origin.rsplit_once('/').is_some_and(|(family, _)| {
            // What a log begins with that goes on from another: that one's checkpoint.
            first.bytes.starts_with(format!("{family}/").as_bytes())
        })
    {
        oldest.damage.get_or_insert(Damage::Unchained);
    }
    reports.reverse();
    Ok(reports)
}

/// Recomputes the whole log in `dir` from its entries and holds it against every checkpoint that
/// `verifier` signed. Memory stays constant; time is that of reading and hashing the file.
pub fn verify(dir: &Path, verifier: &NoteVerifier) -> Result<Report, LogError> {
    verify_with(dir, verifier, &mut Vec::new())
}

/// The same, where `receipts` say what was removed of which log. Those of this log are added.
fn verify_with(
    dir: &Path,
    verifier: &NoteVerifier,
    receipts: &mut Vec<Pruned>,
) -> Result<Report, LogError> {
    loop {
        let (report, found) = verify_once(dir, verifier, receipts)?;
        // What was removed while it was read is no damage.
        let same = prune::minimum(dir)?.index.min(report.entries) <= report.minimum;
        if report.damage.is_none() || same {
            receipts.extend(found);
            return Ok(report);
        }
    }
}

fn verify_once(
    dir: &Path,
    verifier: &NoteVerifier,
    others: &[Pruned],
) -> Result<(Report, Vec<Pruned>), LogError> {
    let mut receipts = others.to_vec();
    // The checkpoint first: the log may grow meanwhile, but never below what was signed.
    let text = read_checkpoint(dir);
    let log = LogReader::open(dir)?;
    let mut report = Report {
        origin: verifier.name().to_owned(),
        vkey: verifier.vkey(),
        entries: log.size(),
        minimum: log.minimum(),
        signed: 0,
        checkpoints: 0,
        damage: None,
    };
    let newest = match text.map(|text| Checkpoint::open(&text, verifier)) {
        Ok(Ok(checkpoint)) => checkpoint,
        Ok(Err(error)) => {
            report.damage = Some(Damage::Checkpoint(error.to_string()));
            return Ok((report, Vec::new()));
        }
        Err(error) => {
            report.damage = Some(Damage::Checkpoint(error.to_string()));
            return Ok((report, Vec::new()));
        }
    };
    let history = log.checkpoints(verifier)?.into_iter().chain([newest]);
    let signed: BTreeMap<u64, Hash> = history.map(|point| (point.size, point.root)).collect();
    // Whoever puts an older checkpoint in the place of the newest is given away by the history.
    report.signed = signed.keys().next_back().copied().unwrap_or_default();
    let walked = walk(&log, &signed, &mut receipts)?;
    report.checkpoints = walked.matched;
    report.damage = walked.damage(log.size().max(walked.read), report.signed);
    let removed = receipts.iter().flat_map(|receipt| &receipt.removed);
    let of_this = removed.filter(|removed| removed.log == report.origin);
    let allowed = of_this.map(|removed| removed.minimum).max().unwrap_or(0);
    if report.minimum > allowed {
        report.damage.get_or_insert(Damage::Removed { minimum: report.minimum, allowed });
    }
    Ok((report, receipts.split_off(others.len())))
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

fn walk(
    log: &LogReader,
    signed: &BTreeMap<u64, Hash>,
    receipts: &mut Vec<Pruned>,
) -> Result<Walk, LogError> {
    let mut reader = BufReader::with_capacity(1 << 20, log.entries().file());
    let start = log.start_of(log.minimum())?;
    reader.seek(SeekFrom::Start(start)).map_err(io_error("read", Path::new("entries")))?;
    let (mut found, mut tree) = (Walk::default(), Frontier::default());
    let mut left = log.end().saturating_sub(start);
    let receipt = Finder::new(PRUNED);
    let covered = signed.keys().next_back().copied().unwrap_or_default();
    for index in 0..log.size() {
        if index < log.minimum() {
            // What was removed is known by its hash.
            let Some(leaf) = log.levels().leaf(index) else {
                found.unreadable = Some(index);
                break;
            };
            tree.push(leaf);
        } else {
            let Some(entry) = next_entry(&mut reader, &mut left) else {
                found.unreadable = Some(index);
                break;
            };
            let leaf = leaf_hash(&entry);
            if log.levels().leaf(index).is_some_and(|stored| stored != leaf) {
                found.odd_entry.get_or_insert(index);
            }
            tree.push(leaf);
            // What nobody signed, anybody may have written.
            if index < covered && receipt.find(&entry).is_some() {
                receipts.extend(pruned(&entry));
            }
        }
        found.read = index + 1;
        match signed.get(&(index + 1)) {
            Some(root) if found.first_broken.is_some() || tree.root() != *root => {
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
