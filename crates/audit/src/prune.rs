//! Removing entries whose time is over, without touching the tree.
//!
//! Before anything is removed an entry says so (`sys_log_pruned`: the *receipt*), and neither a start
//! nor a verification takes a minimum index that no receipt allows: otherwise whoever can write the
//! directory could hide entries by calling them old.

use std::{ops::Range, path::Path};

use portcullis_events::search_fields;
use portcullis_tlog::{
    Checkpoint, ENTRIES_PER_BUNDLE, NoteVerifier, OfflineProof, inclusion_proof, leaf_hash,
};
use portcullis_types::Timestamp;

use crate::{
    LogReader,
    files::{LogError, Named, io_error, replace, sync_dir},
};

const FILE: &str = "minimum";
/// What was removed to the end, so that it is not done again at each start.
const DONE: &str = "removed";
/// Bundles that one look says can go: the next look says more.
const MOST_BUNDLES: u64 = 4_096;

/// What is no longer kept of a log, as its directory claims.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Minimum {
    /// The first entry that is kept.
    pub index: u64,
    /// The position of the receipt.
    pub receipt: u64,
}

/// What the directory `dir` claims.
pub(crate) fn minimum(dir: &Path) -> Result<Minimum, LogError> {
    let path = dir.join(FILE);
    let text = match std::fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Minimum::default()),
        Err(error) => return Err(io_error("read", &path)(error)),
    };
    let numbers: Vec<_> = text.split_whitespace().map(str::parse).collect();
    match *numbers {
        [Ok(index), Ok(receipt)] => Ok(Minimum { index, receipt }),
        _ => Err(io_error("read", &path)(std::io::Error::other("it is not what was written"))),
    }
}

impl LogReader {
    /// The minimum index, if entries from before `before` are to be kept no longer: entries go as long
    /// as all of a bundle are older. Of a log that is `closed` everything can go, of one that grows the
    /// newest bundle stays. Each entry is held against the tree that `verifier` signed, so that nobody
    /// can have one removed by giving it another time.
    pub fn removable(
        &self,
        before: Timestamp,
        closed: bool,
        verifier: &NoteVerifier,
    ) -> Result<u64, LogError> {
        let checkpoint = self.checkpoint_text()?;
        let signed = Checkpoint::open(&checkpoint, verifier)?.size;
        let mut minimum = self.minimum();
        for _ in 0..MOST_BUNDLES {
            let end = (minimum + ENTRIES_PER_BUNDLE).min(self.size());
            let goes = end > minimum && (end < self.size() || closed) && end <= signed;
            if !goes {
                break;
            }
            // Read once: what is looked at twice may be two things.
            let entries = self.bundle(minimum / ENTRIES_PER_BUNDLE)?;
            self.are_as_signed(&entries, minimum..end, (signed, &checkpoint), verifier)?;
            if !are_older(&entries, minimum, before) {
                break;
            }
            minimum = end;
        }
        Ok(minimum)
    }

    /// That entries are those of a bundle as they were signed: all of them, with the hashes that lead to
    /// the root.
    fn are_as_signed(
        &self,
        entries: &[Vec<u8>],
        indices: Range<u64>,
        (signed, checkpoint): (u64, &str),
        verifier: &NoteVerifier,
    ) -> Result<(), LogError> {
        let first = indices.start;
        if entries.len() as u64 != indices.end - first {
            return Err(LogError::Entry(first));
        }
        for (entry, index) in entries.iter().zip(indices) {
            if self.levels().leaf(index) != Some(leaf_hash(entry)) {
                return Err(LogError::Entry(index));
            }
        }
        // The others are beside it on its way to the root.
        let path = inclusion_proof(self.levels(), first, signed)?;
        let proof = OfflineProof { index: first, path, checkpoint: checkpoint.to_owned() };
        let entry = entries.first().ok_or(LogError::Entry(first))?;
        proof.verify(entry, verifier).map_err(|_| LogError::Entry(first))?;
        Ok(())
    }
}

/// Whether the entries of the bundle that begins with `first` are all from before a time. Only what the
/// log begins with has none.
fn are_older(entries: &[Vec<u8>], first: u64, before: Timestamp) -> bool {
    entries.iter().zip(first..).all(|(entry, index)| match search_fields(entry) {
        Some(event) => event.time < before,
        None => index == 0,
    })
}

/// Removes the entries before `minimum`, the first of a bundle or the end of the log. The entry at the
/// position `receipt` says so; it must be durable before, and covered by a checkpoint. To do it again
/// is no harm.
pub fn prune(dir: &Path, minimum: u64, receipt: u64) -> Result<(), LogError> {
    let log = LogReader::open(dir)?;
    let minimum = minimum.max(log.minimum());
    let whole = minimum.is_multiple_of(ENTRIES_PER_BUNDLE) || minimum == log.size();
    if !whole || minimum > log.size() {
        return Err(LogError::Entry(minimum));
    }
    // First the word, then the deed: what is half removed is never looked at.
    replace(dir, FILE, &format!("{minimum} {receipt}\n"))?;
    sync_dir(dir)?;
    finish_pruning(dir)
}

/// Ends what a crash left half removed in `dir`.
pub fn finish_pruning(dir: &Path) -> Result<(), LogError> {
    let log = LogReader::open(dir)?;
    let minimum = log.minimum().to_string();
    if log.minimum() == 0 || std::fs::read_to_string(dir.join(DONE)).is_ok_and(|it| it == minimum) {
        return Ok(());
    }
    Named::open_there(dir, "entries")?.forget_first(log.start_of(log.minimum())?)?;
    replace(dir, DONE, &minimum)
}
