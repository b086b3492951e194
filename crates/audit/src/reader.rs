use std::path::{Path, PathBuf};

use portcullis_tlog::{
    Checkpoint, ENTRIES_PER_BUNDLE, HASH_BYTES, Hash, HashReader, NoteVerifier, OfflineProof,
    bundle_entries, inclusion_proof, leaf_hash, node_hash,
};

use crate::{
    files::{LogError, Named, io_error, level_file},
    journal, prune,
};

/// Reads what is durable in a log, also while another process or thread writes it.
#[derive(Debug)]
pub struct LogReader {
    dir: PathBuf,
    entries: Named,
    offsets: Named,
    levels: HashFiles,
    minimum: u64,
    size: u64,
    end: u64,
}

impl LogReader {
    /// Opens the log in `dir` at its present size.
    pub fn open(dir: &Path) -> Result<Self, LogError> {
        let entries = Named::open_read(dir, "entries")?;
        let journal = Named::open_read(dir, "journal")?;
        let mut mark = journal::newest_whole(&journal, &entries)?;
        // A batch that a checkpoint covers was acknowledged: if it is not whole, it was damaged
        // and not torn, and a verifier must see it.
        if promised_size(dir).is_some_and(|promised| promised > mark.size) {
            mark = journal::newest(&journal)?;
        }
        Ok(Self {
            dir: dir.to_owned(),
            entries,
            offsets: Named::open_read(dir, "offsets")?,
            levels: HashFiles::open_read(dir)?,
            minimum: prune::minimum(dir)?.index.min(mark.size),
            size: mark.size,
            end: mark.end,
        })
    }

    /// Entries that were durable when it was opened.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// The minimum index (C2SP `tlog-tiles`): entries before it were removed when their time was
    /// over. Their hashes stay.
    pub fn minimum(&self) -> u64 {
        self.minimum
    }

    /// The name of the log.
    pub fn origin(&self) -> Result<String, LogError> {
        Ok(self.verifier()?.name().to_owned())
    }

    /// Where entry `index`, the first of a bundle or the end of the log, begins in the file.
    pub(crate) fn start_of(&self, index: u64) -> Result<u64, LogError> {
        if index >= self.size {
            Ok(self.end)
        } else {
            self.offsets.read_u64(index / ENTRIES_PER_BUNDLE)
        }
    }

    /// The hash of leaf `index`, also of an entry that was removed.
    pub fn leaf(&self, index: u64) -> Result<Hash, LogError> {
        match self.levels.leaf(index).filter(|_| index < self.size) {
            Some(hash) => Ok(hash),
            None => Ok(leaf_hash(&self.entry(index)?)),
        }
    }

    /// Where the last durable entry ends in the file.
    pub(crate) fn end(&self) -> u64 {
        self.end
    }

    pub(crate) fn entries(&self) -> &Named {
        &self.entries
    }

    pub(crate) fn levels(&self) -> &HashFiles {
        &self.levels
    }

    /// The entries of bundle `number`, the last one as far as it goes.
    pub fn bundle(&self, number: u64) -> Result<Vec<Vec<u8>>, LogError> {
        let first = number * ENTRIES_PER_BUNDLE;
        let bytes = self.bundle_bytes(number)?;
        let entries = bundle_entries(&bytes).ok_or(LogError::Entry(first))?;
        Ok(entries.into_iter().map(<[u8]>::to_vec).collect())
    }

    /// The same as it is stored.
    pub(crate) fn bundle_bytes(&self, number: u64) -> Result<Vec<u8>, LogError> {
        let mut bytes = Vec::new();
        self.bundle_into(number, &mut bytes)?;
        // It may have been removed while it was read, and then any part of it is zeros, which no entry
        // has. The word is written before the deed, so it is there by now.
        let first = number * ENTRIES_PER_BUNDLE;
        let count = self.size.saturating_sub(first).min(ENTRIES_PER_BUNDLE);
        let whole = bundle_entries(&bytes).is_some_and(|entries| {
            let torn = |entry: &&[u8]| entry.is_empty() || memchr::memchr(0, entry).is_some();
            entries.len() as u64 == count && !entries.iter().any(torn)
        });
        if !whole && self.is_removed(first)? {
            return Err(LogError::Removed { minimum: prune::minimum(&self.dir)?.index });
        }
        Ok(bytes)
    }

    /// Whether entry `index` was removed, perhaps since this was opened.
    pub(crate) fn is_removed(&self, index: u64) -> Result<bool, LogError> {
        Ok(prune::minimum(&self.dir)?.index > index)
    }

    /// The same into a buffer, in the place of what is there.
    pub(crate) fn bundle_into(&self, number: u64, bytes: &mut Vec<u8>) -> Result<(), LogError> {
        let first = number * ENTRIES_PER_BUNDLE;
        if first < self.minimum {
            return Err(LogError::Removed { minimum: self.minimum });
        }
        let start = self.offsets.read_u64(number)?;
        let last = first + ENTRIES_PER_BUNDLE >= self.size;
        let end = if last { self.end } else { self.offsets.read_u64(number + 1)? };
        let length = end.checked_sub(start).and_then(|length| usize::try_from(length).ok());
        // 256 entries of 64 KiB are the most a bundle can hold.
        let length = length.filter(|length| *length <= 256 * 65_537);
        bytes.resize(length.ok_or(LogError::Entry(first))?, 0);
        self.entries.read_at(bytes, start)
    }

    /// Entry `index`.
    pub fn entry(&self, index: u64) -> Result<Vec<u8>, LogError> {
        if index >= self.size {
            return Err(LogError::Entry(index));
        }
        let place = usize::try_from(index % ENTRIES_PER_BUNDLE).unwrap_or(usize::MAX);
        let mut bundle = self.bundle(index / ENTRIES_PER_BUNDLE)?;
        if place < bundle.len() {
            Ok(bundle.swap_remove(place))
        } else {
            Err(LogError::Entry(index))
        }
    }

    /// The key that checks this log, as the log itself names it. Compare it with the one that was
    /// noted down elsewhere: whoever can write the directory can replace it.
    pub fn verifier(&self) -> Result<NoteVerifier, LogError> {
        let path = self.dir.join("vkey");
        let vkey = std::fs::read_to_string(&path).map_err(io_error("read", &path))?;
        NoteVerifier::parse(&vkey).map_err(|error| LogError::Checkpoint(error.into()))
    }

    /// Whether the log still is what it was when `checkpoint` was signed.
    pub fn continues(&self, checkpoint: &Checkpoint) -> Result<bool, LogError> {
        Ok(checkpoint.size <= self.size
            && portcullis_tlog::root(&self.levels, checkpoint.size)? == checkpoint.root)
    }

    /// The newest signed checkpoint, as text.
    pub fn checkpoint_text(&self) -> Result<String, LogError> {
        let path = self.dir.join("checkpoint");
        std::fs::read_to_string(&path).map_err(io_error("read", &path))
    }

    /// All checkpoints, oldest first, as far as they can be read and trusted.
    pub fn checkpoints(&self, verifier: &NoteVerifier) -> Result<Vec<Checkpoint>, LogError> {
        read_history(&self.dir, verifier)
    }

    /// A proof that entry `index` is in the log, for somebody who has only the entry and the key.
    /// The entry must be covered by a checkpoint, which takes a second after it was written.
    pub fn prove(&self, index: u64, verifier: &NoteVerifier) -> Result<OfflineProof, LogError> {
        let checkpoint = self.checkpoint_text()?;
        let Checkpoint { size, .. } = Checkpoint::open(&checkpoint, verifier)?;
        if index >= size {
            return Err(LogError::Entry(index));
        }
        let path = inclusion_proof(&self.levels, index, size)?;
        Ok(OfflineProof { index, path, checkpoint })
    }
}

/// The history of checkpoints. A note begins with the log's name; what a crash left half-written is
/// passed over.
pub(crate) fn read_history(
    dir: &Path,
    verifier: &NoteVerifier,
) -> Result<Vec<Checkpoint>, LogError> {
    let path = dir.join("checkpoints");
    let history = match std::fs::read(&path) {
        Ok(history) => String::from_utf8_lossy(&history).into_owned(),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(io_error("read", &path)(error)),
    };
    Ok(notes_in(&history, verifier))
}

/// The checkpoints of a history, as far as they can be read and trusted.
fn notes_in(history: &str, verifier: &NoteVerifier) -> Vec<Checkpoint> {
    let mut notes: Vec<Vec<&str>> = Vec::new();
    for line in history.lines() {
        if line == verifier.name() {
            notes.push(Vec::new());
        }
        notes.last_mut().into_iter().for_each(|note| note.push(line));
    }
    let texts = notes.iter().map(|note| format!("{}\n", note.join("\n").trim_end()));
    texts.filter_map(|text| Checkpoint::open(&text, verifier).ok()).collect()
}

/// The newest checkpoint of the history, from its end: a note is much shorter than this.
pub(crate) fn newest_of_history(
    dir: &Path,
    verifier: &NoteVerifier,
) -> Result<Option<Checkpoint>, LogError> {
    const TAIL: u64 = 64 * 1024;
    let history = match Named::open_read(dir, "checkpoints") {
        Ok(history) => history,
        Err(LogError::Io { source, .. }) if source.kind() == std::io::ErrorKind::NotFound => {
            return Ok(None);
        }
        Err(error) => return Err(error),
    };
    let length = history.len()?;
    let start = length.saturating_sub(TAIL);
    let mut tail = vec![0; usize::try_from(length - start).unwrap_or(0)];
    history.read_at(&mut tail, start)?;
    Ok(notes_in(&String::from_utf8_lossy(&tail), verifier).pop())
}

/// The size that the newest checkpoint claims, unverified.
fn promised_size(dir: &Path) -> Option<u64> {
    std::fs::read_to_string(dir.join("checkpoint")).ok()?.lines().nth(1)?.parse().ok()
}

/// The entry that begins at `offset`, and where the next one begins.
pub(crate) fn entry_at(
    entries: &Named,
    index: u64,
    offset: u64,
    end: u64,
) -> Result<(Vec<u8>, u64), LogError> {
    let mut length = [0; 2];
    if offset + 2 > end {
        return Err(LogError::Entry(index));
    }
    entries.read_at(&mut length, offset)?;
    let next = offset + 2 + u64::from(u16::from_be_bytes(length));
    if next > end {
        return Err(LogError::Entry(index));
    }
    let mut entry = vec![0; usize::from(u16::from_be_bytes(length))];
    entries.read_at(&mut entry, offset + 2)?;
    Ok((entry, next))
}

/// One file per tile level: the hashes of all complete subtrees of 256^level leaves.
#[derive(Debug)]
pub(crate) struct HashFiles {
    dir: PathBuf,
    files: Vec<Named>,
}

impl HashFiles {
    pub fn open_rw(dir: &Path) -> Result<Self, LogError> {
        Self::open(dir, |dir, level| Named::open_rw(dir, &level_file(level)))
    }

    pub fn open_read(dir: &Path) -> Result<Self, LogError> {
        Self::open(dir, |dir, level| Named::open_read(dir, &level_file(level)))
    }

    fn open(
        dir: &Path,
        open: impl Fn(&Path, u8) -> Result<Named, LogError>,
    ) -> Result<Self, LogError> {
        let mut files = vec![open(dir, 0)?];
        // 256^8 leaves do not fit in a u64.
        for level in 1..8 {
            if dir.join(level_file(level)).exists() {
                files.push(open(dir, level)?);
            }
        }
        Ok(Self { dir: dir.to_owned(), files })
    }

    /// The directory has another name now.
    pub fn moved_to(&mut self, dir: &Path) {
        dir.clone_into(&mut self.dir);
    }

    pub fn levels(&self) -> u8 {
        u8::try_from(self.files.len()).unwrap_or(u8::MAX)
    }

    pub fn all(&self) -> impl Iterator<Item = &Named> {
        self.files.iter()
    }

    pub fn open_level(
        &mut self,
        level: u8,
        open: impl FnOnce(&Path) -> Result<Named, LogError>,
    ) -> Result<&Named, LogError> {
        let place = usize::from(level);
        if place == self.files.len() {
            self.files.push(open(&self.dir)?);
        }
        self.files.get(place).ok_or(LogError::Poisoned)
    }

    pub fn read(&self, level: u8, first: u64, count: u64) -> Result<Vec<Hash>, LogError> {
        let file = self.files.get(usize::from(level)).ok_or(LogError::Entry(first))?;
        let mut bytes = vec![0; usize::try_from(count).unwrap_or(0) * HASH_BYTES];
        file.read_at(&mut bytes, first * HASH_BYTES as u64)?;
        Ok(bytes
            .chunks_exact(HASH_BYTES)
            .map(|chunk| {
                let mut hash = [0; HASH_BYTES];
                hash.copy_from_slice(chunk);
                hash
            })
            .collect())
    }

    /// The stored hash of a leaf. `None` if it is not there yet: the hashes of the newest entries
    /// are written after the entries, and made anew at the next start if a crash came between.
    pub fn leaf(&self, index: u64) -> Option<Hash> {
        let stored = self.files.first()?.read_hash(index).ok()?;
        (stored != [0; HASH_BYTES]).then_some(stored)
    }
}

impl HashReader for HashFiles {
    type Error = LogError;

    /// Between tile levels the hash is computed from the at most 128 stored below it.
    fn hash(&self, level: u8, index: u64) -> Result<Hash, LogError> {
        let below = level % 8;
        let mut hashes = self.read(level / 8, index << below, 1 << below)?;
        while hashes.len() > 1 {
            hashes = hashes.chunks_exact(2).map(|pair| node_hash(&pair[0], &pair[1])).collect();
        }
        hashes.first().copied().ok_or(LogError::Entry(index))
    }
}
