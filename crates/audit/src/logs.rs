//! The logs of a node, one for each year.
//!
//! The log of a year begins with the last checkpoint of the year before, as its first entry, so that
//! whoever trusts the newest one can verify them all. Entries are counted through: a *position* is an
//! index in the first log, or goes on from the end of the log before.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use portcullis_events::{Removed, pruned, search_fields};
use portcullis_tlog::{Checkpoint, ENTRIES_PER_BUNDLE, Hash, NoteVerifier, OfflineProof};
use portcullis_types::Timestamp;

use crate::{
    Filter, LogReader, Page,
    files::{LogError, io_error},
    prune,
    search::MAX_RESULTS,
};

/// Other entries that may name an event before its own is found.
const EVENT_HITS: usize = 16;
/// So much of each log is read for an event; its entry is near the place where its time is.
const EVENT_BYTES: u64 = 64 * 1024 * 1024;

/// An entry, and that it is in its log.
#[derive(Debug, Clone)]
pub struct Proven {
    /// What was written.
    pub entry: Vec<u8>,
    /// That it is there.
    pub proof: OfflineProof,
    /// The key that checks it (C2SP `signed-note`).
    pub vkey: String,
}

/// All logs of a node, as far as they are durable.
#[derive(Debug)]
pub struct Logs(Vec<Part>);

#[derive(Debug)]
struct Part {
    log: LogReader,
    dir: PathBuf,
    origin: Arc<str>,
    /// The position of its first entry.
    base: u64,
}

/// An entry, and where it is.
#[derive(Debug, Clone)]
pub struct Entry {
    /// Counted through all logs.
    pub position: u64,
    /// Counted in its own.
    pub index: u64,
    /// The name of its own.
    pub origin: Arc<str>,
    /// What was written.
    pub bytes: Vec<u8>,
}

impl Entry {
    /// Whether it is what a log begins with that goes on from another.
    pub fn is_link(&self) -> bool {
        self.index == 0 && self.position > 0
    }
}

/// The directory of the newest log below `root`, if there is any.
pub fn newest_log(root: &Path) -> Result<Option<PathBuf>, LogError> {
    Ok(log_years(root)?.pop().map(|year| root.join(year)))
}

/// The years of which there is a log below `root`, in order.
pub fn log_years(root: &Path) -> Result<Vec<String>, LogError> {
    let entries = match std::fs::read_dir(root) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(io_error("list", root)(error)),
    };
    let mut years = Vec::new();
    for entry in entries {
        let name = entry.map_err(io_error("list", root))?.file_name();
        let year = name.to_str().filter(|name| is_year(name));
        years.extend(year.map(str::to_owned));
    }
    years.sort();
    Ok(years)
}

/// Whether it can be the name of a log below the directory of all: four digits.
pub fn is_year(name: &str) -> bool {
    name.len() == 4 && name.bytes().all(|b| b.is_ascii_digit())
}

impl Logs {
    /// Opens the logs below `root` at their present sizes.
    pub fn open(root: &Path) -> Result<Self, LogError> {
        let (mut parts, mut base) = (Vec::new(), 0);
        for year in log_years(root)? {
            let dir = root.join(year);
            let log = LogReader::open(&dir)?;
            let (origin, size) = (log.origin()?.into(), log.size());
            parts.push(Part { log, dir, origin, base });
            base += size;
        }
        if parts.is_empty() {
            return Err(LogError::Missing(root.to_owned()));
        }
        Ok(Self(parts))
    }

    /// Each log and its directory, the oldest first.
    pub fn parts(&self) -> impl Iterator<Item = (&LogReader, &Path)> {
        self.0.iter().map(|part| (&part.log, &*part.dir))
    }

    /// Entries in all of them.
    pub fn size(&self) -> u64 {
        self.0.last().map_or(0, |part| part.base + part.log.size())
    }

    fn part(&self, position: u64) -> Result<(&Part, u64), LogError> {
        let part = self.0.iter().rfind(|part| part.base <= position);
        let part = part.filter(|part| position - part.base < part.log.size());
        part.map(|part| (part, position - part.base)).ok_or(LogError::Entry(position))
    }

    /// The entry at `position`.
    pub fn entry(&self, position: u64) -> Result<Vec<u8>, LogError> {
        let (part, index) = self.part(position)?;
        part.counted(part.log.entry(index))
    }

    /// The hash of the leaf at `position`, also of an entry that was removed.
    pub fn leaf(&self, position: u64) -> Result<Hash, LogError> {
        let (part, index) = self.part(position)?;
        part.log.leaf(index)
    }

    /// A proof that the entry at `position` is in its log. `None` if it is not there or no checkpoint
    /// covers it yet. The proof names the log, and the index in that.
    pub fn prove(&self, position: u64) -> Result<Option<OfflineProof>, LogError> {
        let Ok((part, index)) = self.part(position) else { return Ok(None) };
        if index >= part.log.signed_size()? {
            return Ok(None);
        }
        part.log.prove(index, &part.log.verifier()?).map(Some)
    }

    /// The entry of the event `id`, which happened at `at`, with its proof and the key of its log. `None` if it
    /// is not in these logs, or no checkpoint covers it yet.
    pub fn prove_event(&self, id: &str, at: Timestamp) -> Result<Option<Proven>, LogError> {
        let mut filter = Filter {
            // Entries have their times in milliseconds.
            from: Some(at.minus(Duration::from_millis(1))),
            text: Some(id.to_owned()),
            limit: 1,
            most_bytes: Some(EVENT_BYTES),
            ..Filter::default()
        };
        for _ in 0..EVENT_HITS {
            let Some(found) = self.search_page(&filter)?.found.pop() else { break };
            if search_fields(&found.entry).is_none_or(|fields| fields.uid != id) {
                filter.from_index = found.index + 1;
                continue;
            }
            return self.with_proof(found.index, found.entry);
        }
        Ok(None)
    }

    /// The entry at `position` with its proof; `None` if there is none, it was removed, or no checkpoint covers it yet.
    pub fn proven(&self, position: u64) -> Result<Option<Proven>, LogError> {
        if position >= self.size() {
            return Ok(None);
        }
        match self.entry(position) {
            Err(LogError::Removed { .. }) => Ok(None),
            entry => self.with_proof(position, entry?),
        }
    }

    fn with_proof(&self, position: u64, entry: Vec<u8>) -> Result<Option<Proven>, LogError> {
        let Some(proof) = self.prove(position)? else { return Ok(None) };
        let vkey = self.verifier_at(position)?.vkey();
        Ok(Some(Proven { entry, proof, vkey }))
    }

    /// The key that checks the log that has the entry at `position`, as that log names it.
    pub fn verifier_at(&self, position: u64) -> Result<NoteVerifier, LogError> {
        self.part(position)?.0.log.verifier()
    }

    /// The entries from `position` to the end of their bundle; none at the end of everything.
    pub fn bundle_from(&self, position: u64) -> Result<Vec<Entry>, LogError> {
        if position >= self.size() {
            return Ok(Vec::new());
        }
        let (part, index) = self.part(position)?;
        let number = index / ENTRIES_PER_BUNDLE;
        let bundle = part.counted(part.log.bundle(number))?;
        let numbered = bundle.into_iter().zip(number * ENTRIES_PER_BUNDLE..);
        let entry = |(bytes, index)| Entry {
            position: part.base + index,
            index,
            origin: part.origin.clone(),
            bytes,
        };
        Ok(numbered.map(entry).filter(|entry| entry.position >= position).collect())
    }

    /// Finds entries in all logs, oldest first. Indices are positions, those of the filter too.
    pub fn search_page(&self, filter: &Filter) -> Result<Page, LogError> {
        let mut found = Vec::new();
        let mut filter = Filter { limit: filter.limit.min(MAX_RESULTS), ..filter.clone() };
        let wanted = filter.limit;
        for part in &self.0 {
            let end = part.base + part.log.size();
            if filter.from_index >= end && part.log.size() > 0 {
                continue;
            }
            let from = filter.from_index.saturating_sub(part.base);
            let own = Filter { from_index: from, limit: wanted - found.len(), ..filter.clone() };
            let page = part.log.search_page(&own)?;
            found.extend(page.found.into_iter().map(|mut one| {
                one.index += part.base;
                one
            }));
            if let Some(next) = page.next {
                return Ok(Page { found, next: Some(part.base + next) });
            }
            if found.len() >= wanted {
                let next = Some(end).filter(|end| *end < self.size());
                return Ok(Page { found, next });
            }
            filter.from_index = end;
        }
        Ok(Page { found, next: None })
    }

    /// The same, newest first.
    pub fn search_back(&self, filter: &Filter) -> Result<Page, LogError> {
        let mut found = Vec::new();
        let wanted = filter.limit.min(MAX_RESULTS);
        let end = filter.before.unwrap_or(u64::MAX);
        for part in self.0.iter().rev() {
            if part.base >= end || part.base + part.log.size() <= filter.from_index {
                continue;
            }
            let own = Filter {
                from_index: filter.from_index.saturating_sub(part.base),
                before: Some(end - part.base),
                limit: wanted - found.len(),
                ..filter.clone()
            };
            let page = part.log.search_back(&own)?;
            found.extend(page.found.into_iter().map(|mut one| {
                one.index += part.base;
                one
            }));
            let next = page.next.map(|next| part.base + next);
            // Full just where this log begins: there may be one before it.
            let next = next.or_else(|| (found.len() >= wanted).then_some(part.base));
            if let Some(next) = next {
                return Ok(Page { found, next: Some(next).filter(|next| *next > 0) });
            }
        }
        Ok(Page { found, next: None })
    }

    /// Holds every log against the newest checkpoint in its directory and against the one before it, and
    /// what is gone of it against its receipt. `verifier` knows the key for a year, which must not come
    /// from the directory.
    pub fn check(
        &self,
        verifier: impl Fn(&str) -> Result<NoteVerifier, LogError>,
    ) -> Result<(), LogError> {
        let mut before: Option<(Checkpoint, String)> = None;
        for part in &self.0 {
            let verifier = verifier(&part.year())?;
            let note = part.log.checkpoint_text()?;
            let newest = Checkpoint::open(&note, &verifier)?;
            // It may have grown since it was opened.
            let grown = newest.size > part.log.size();
            let now = if grown { Some(LogReader::open(&part.dir)?) } else { None };
            if !now.as_ref().unwrap_or(&part.log).continues(&newest)? {
                return Err(LogError::Rewritten { size: newest.size });
            }
            if let Some((last, text)) = before.replace((newest, note)) {
                let whole = self.part_of(&last.origin).is_some_and(|it| it.log.size() == last.size);
                let first = part.log.prove(0, &verifier)?;
                if !whole || first.verify(text.as_bytes(), &verifier).is_err() {
                    return Err(LogError::Unchained(part.origin.to_string()));
                }
            }
        }
        self.check_minimums(verifier)
    }

    /// Holds what is gone of the logs against its receipts, before anybody believes it.
    pub fn check_minimums(
        &self,
        verifier: impl Fn(&str) -> Result<NoteVerifier, LogError>,
    ) -> Result<(), LogError> {
        self.0.iter().try_for_each(|part| self.check_minimum(part, &verifier))
    }

    fn check_minimum(
        &self,
        part: &Part,
        verifier: impl Fn(&str) -> Result<NoteVerifier, LogError>,
    ) -> Result<(), LogError> {
        let claimed = prune::minimum(&part.dir)?;
        if claimed.index == 0 {
            return Ok(());
        }
        let unproven =
            || LogError::Unproven { log: part.origin.to_string(), minimum: claimed.index };
        let (holder, index) = self.part(claimed.receipt).map_err(|_| unproven())?;
        let verifier = verifier(&holder.year())?;
        let entry = holder.log.entry(index).map_err(|_| unproven())?;
        let proof = holder.log.prove(index, &verifier).map_err(|_| unproven())?;
        proof.verify(&entry, &verifier).map_err(|_| unproven())?;
        let receipt = pruned(&entry).ok_or_else(unproven)?;
        let allows = |one: &Removed| one.log == *part.origin && one.minimum >= claimed.index;
        if receipt.removed.iter().any(allows) { Ok(()) } else { Err(unproven()) }
    }

    fn part_of(&self, origin: &str) -> Option<&Part> {
        self.0.iter().find(|part| *part.origin == *origin)
    }

    /// Whether everything is still what it was when `checkpoint` was signed, in whichever log that was.
    pub fn continues(&self, checkpoint: &Checkpoint) -> Result<bool, LogError> {
        self.part_of(&checkpoint.origin).map_or(Ok(false), |part| part.log.continues(checkpoint))
    }
}

impl Part {
    fn year(&self) -> String {
        self.dir.file_name().map(|year| year.to_string_lossy().into_owned()).unwrap_or_default()
    }

    /// The same with positions in the place of indices.
    fn counted<T>(&self, result: Result<T, LogError>) -> Result<T, LogError> {
        result.map_err(|error| match error {
            LogError::Removed { minimum } => LogError::Removed { minimum: self.base + minimum },
            LogError::Entry(index) => LogError::Entry(self.base + index),
            other => other,
        })
    }
}
