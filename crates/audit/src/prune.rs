//! Removing entries whose time is over, without touching the tree.
//!
//! Before anything is removed an entry says so (`sys_log_pruned`), and a verification takes no
//! minimum index that no such entry allows: otherwise whoever can write the directory could hide
//! entries by calling them old.

use std::path::Path;

use portcullis_tlog::ENTRIES_PER_BUNDLE;
use portcullis_types::Timestamp;

use crate::{
    LogReader,
    files::{LogError, Named, io_error, replace, sync_dir},
};

const FILE: &str = "minimum";

/// The minimum index of the log in `dir`.
pub(crate) fn minimum(dir: &Path) -> Result<u64, LogError> {
    let path = dir.join(FILE);
    let text = match std::fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(0),
        Err(error) => return Err(io_error("read", &path)(error)),
    };
    text.trim_end().parse().map_err(|_| {
        io_error("read", &path)(std::io::Error::other("it is not the number of an entry"))
    })
}

impl LogReader {
    /// The minimum index, if entries from before `before` are to be kept no longer: the first of the
    /// bundle that may have one that is not. Of a log that is `closed` everything can go, of one that
    /// grows the newest bundle stays.
    pub fn prunable(&self, before: Timestamp, closed: bool) -> Result<u64, LogError> {
        let bundles = self.size().div_ceil(ENTRIES_PER_BUNDLE);
        let first = self.first_bundle_since(before, bundles)?;
        let last = first + 1 == bundles && closed && self.ends_before(before)?;
        let minimum = if last { self.size() } else { first * ENTRIES_PER_BUNDLE };
        Ok(minimum.max(self.minimum()))
    }
}

/// Removes the entries before `minimum`, the first of a bundle or the end of the log. An entry that
/// says so must be durable before, and covered by a checkpoint. To do it again is no harm.
pub fn prune(dir: &Path, minimum: u64) -> Result<(), LogError> {
    let log = LogReader::open(dir)?;
    let minimum = minimum.max(log.minimum()).min(log.size());
    let whole = minimum.is_multiple_of(ENTRIES_PER_BUNDLE) || minimum == log.size();
    if !whole {
        return Err(LogError::Entry(minimum));
    }
    let end = log.start_of(minimum)?;
    // First the word, then the deed: what is half removed is never looked at.
    replace(dir, FILE, &format!("{minimum}\n"))?;
    sync_dir(dir)?;
    Named::open_there(dir, "entries")?.forget_first(end)
}

/// Ends what a crash left half removed in `dir`.
pub fn finish_pruning(dir: &Path) -> Result<(), LogError> {
    let log = LogReader::open(dir)?;
    let Some(last) = log.minimum().checked_sub(1) else { return Ok(()) };
    let mut length = [0; 2];
    log.entries()
        .read_at(&mut length, log.start_of(last / ENTRIES_PER_BUNDLE * ENTRIES_PER_BUNDLE)?)?;
    // The last of what goes; where it is gone, all of it is.
    if length == [0, 0] { Ok(()) } else { prune(dir, log.minimum()) }
}
