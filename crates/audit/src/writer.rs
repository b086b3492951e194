use std::{
    fs::{DirBuilder, TryLockError},
    io::Write,
    os::unix::fs::DirBuilderExt,
    path::{Path, PathBuf},
};

use portcullis_tlog::{
    Checkpoint, ENTRIES_PER_BUNDLE, Frontier, HASH_BYTES, Hash, MAX_ENTRY_BYTES, NoteSigner,
    leaf_hash, node_hash, root,
};

use crate::{
    files::{LogError, Named, io_error, level_file, replace, sync_dir},
    journal::{self, MAC_BYTES, Mark, checksum},
    reader::{HashFiles, entry_at, newest_of_history},
};

/// From so many entries on, hashing them takes longer than to start a thread for it; it is done while
/// the disk writes.
const HASHED_BESIDE: usize = 256;
/// The history has some so many checkpoints for each doubling of the log, so that it stays small.
const HISTORY: u64 = 4_096;
/// The room that is kept for the next batch is at most this large.
const MAX_BATCH_KEPT: usize = 1024 * 1024;

/// The only writer of a log. Dropping it releases the lock.
#[derive(Debug)]
pub struct LogWriter {
    dir: PathBuf,
    signer: NoteSigner,
    _lock: Named,
    entries: Named,
    offsets: Named,
    journal: Named,
    levels: HashFiles,
    durable: Mark,
    /// The tree as we made it. It is what is signed, not what the files have come to say.
    tree: Frontier,
    /// The newest checkpoint, as it was signed.
    note: String,
    /// Hashes of the newest entries that are not in their files yet.
    unwritten: Vec<Hash>,
    checkpoint_size: Option<u64>,
    /// The size of the newest checkpoint in the history.
    remembered: u64,
    poisoned: bool,
    /// The bytes of a batch. Their room is kept, so that it is not asked of the system again.
    batch: Vec<u8>,
}

impl LogWriter {
    /// Opens the log in `dir`, making it if need be, and repairs what a crash left.
    ///
    /// Nothing that was acknowledged is dropped: a log that ends before its newest checkpoint, or
    /// whose tree is not the signed one, is an error.
    pub fn open(dir: &Path, signer: NoteSigner) -> Result<Self, LogError> {
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(dir)
            .map_err(io_error("create", dir))?;
        let lock = Named::open_rw(dir, "lock")?;
        match lock.file().try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(LogError::InUse(dir.to_owned())),
            Err(TryLockError::Error(source)) => return Err(io_error("lock", dir)(source)),
        }
        let entries = Named::open_rw(dir, "entries")?;
        let journal = Named::open_rw(dir, "journal")?;
        let durable = journal::newest_whole(&journal, &entries)?;
        let mut writer = Self {
            dir: dir.to_owned(),
            signer,
            _lock: lock,
            entries,
            offsets: Named::open_rw(dir, "offsets")?,
            journal,
            levels: HashFiles::open_rw(dir)?,
            durable,
            tree: Frontier::default(),
            note: String::new(),
            unwritten: Vec::new(),
            checkpoint_size: None,
            remembered: 0,
            poisoned: false,
            batch: Vec::new(),
        };
        writer.recover()?;
        Ok(writer)
    }

    /// The newest checkpoint, as it was signed.
    pub fn note(&self) -> &str {
        &self.note
    }

    /// Entries that are durable.
    pub fn size(&self) -> u64 {
        self.durable.size
    }

    /// Cuts the torn tail and rebuilds hashes and offsets since the last checkpoint, when they were
    /// last flushed.
    fn recover(&mut self) -> Result<(), LogError> {
        let verifier = self.signer.verifier();
        let signed = match std::fs::read_to_string(self.dir.join("checkpoint")) {
            Ok(note) => Some(Checkpoint::open(&note, &verifier)?),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
            Err(error) => return Err(io_error("read", &self.dir.join("checkpoint"))(error)),
        };
        // Every log has a checkpoint from its first moment. One without is not repaired, because
        // repairing it would put our signature under whatever is there.
        if signed.is_none() && (self.durable.size > 0 || self.entries.len()? > 0) {
            return Err(LogError::Unsigned);
        }
        let history = newest_of_history(&self.dir, &verifier)?;
        self.remembered = history.as_ref().map_or(0, |newest| newest.size);
        let newest = signed.into_iter().chain(history).max_by_key(|checkpoint| checkpoint.size);
        let promised = newest.as_ref().map_or(0, |checkpoint| checkpoint.size);
        if promised > self.durable.size {
            return Err(LogError::Short { durable: self.durable.size, promised });
        }
        self.entries.cut(self.durable.end)?;
        self.levels.cut(promised)?;
        self.offsets.cut(promised.div_ceil(ENTRIES_PER_BUNDLE) * 8)?;
        self.tree = Frontier::of(&self.levels, promised)?;
        if let Some(newest) = newest {
            if self.tree.root() != newest.root {
                return Err(LogError::Rewritten { size: newest.size });
            }
            self.checkpoint_size = Some(newest.size);
            self.note = newest.sign(&self.signer)?;
        }
        self.rebuild(promised)?;
        // What nobody signed yet was written by us all the same.
        if self.durable != Mark::default()
            && self.durable.sealed(&self.signer, &self.tree.root()) != self.durable
        {
            return Err(LogError::Rewritten { size: self.durable.size });
        }
        replace(&self.dir, "vkey", &(verifier.vkey() + "\n"))?;
        if self.checkpoint_size.is_none() {
            self.checkpoint()?;
        }
        sync_dir(&self.dir)
    }

    fn rebuild(&mut self, from: u64) -> Result<(), LogError> {
        let mut offset = if from == 0 { 0 } else { self.start_of(from)? };
        for index in from..self.durable.size {
            let (entry, next) = entry_at(&self.entries, index, offset, self.durable.end)?;
            let leaf = leaf_hash(&entry);
            self.locate(index, offset, &[entry])?;
            self.levels.extend(index, &[leaf])?;
            self.tree.push(leaf);
            offset = next;
        }
        Ok(())
    }

    /// Where entry `index` begins, from the offset of the nearest bundle before it.
    fn start_of(&self, index: u64) -> Result<u64, LogError> {
        let bundle = index.saturating_sub(1) / ENTRIES_PER_BUNDLE;
        let mut offset = self.offsets.read_u64(bundle)?;
        for before in bundle * ENTRIES_PER_BUNDLE..index {
            offset = entry_at(&self.entries, before, offset, self.durable.end)?.1;
        }
        Ok(offset)
    }

    /// Appends a batch and makes it durable. On error nothing of it counts.
    ///
    /// A failed write can be tried again (a full disk may be emptied); a failed flush cannot, since
    /// nobody knows what is on disk, so the writer refuses everything after it.
    pub fn append(&mut self, entries: &[Vec<u8>]) -> Result<(), LogError> {
        if self.poisoned {
            return Err(LogError::Poisoned);
        }
        let mut bytes = std::mem::take(&mut self.batch);
        bytes.clear();
        for (entry, number) in entries.iter().zip(self.durable.size..) {
            let length = u16::try_from(entry.len()).map_err(|_| LogError::Entry(number))?;
            bytes.extend_from_slice(&length.to_be_bytes());
            bytes.extend_from_slice(entry);
        }
        // What could not be written before goes first, or nothing does.
        self.write_levels()?;
        let start = self.durable.end;
        let (leaves, written) = beside(
            entries.len() >= HASHED_BESIDE,
            || entries.iter().map(|entry| leaf_hash(entry)).collect::<Vec<Hash>>(),
            || {
                // A failed write can be tried again, a failed flush cannot.
                self.entries.write_at(&bytes, start).map_err(|error| (false, error))?;
                // Before the mark: a reader that sees it looks for the bundle by its offset.
                self.locate(self.durable.size, start, entries).map_err(|error| (false, error))?;
                self.entries.sync().map_err(|error| (true, error))
            },
        );
        let mut tree = self.tree.clone();
        leaves.iter().for_each(|leaf| tree.push(*leaf));
        let mark = Mark {
            sequence: self.durable.sequence + 1,
            size: self.durable.size + entries.len() as u64,
            start,
            end: start + bytes.len() as u64,
            sum: checksum(&bytes),
            mac: [0; MAC_BYTES],
        };
        let mark = mark.sealed(&self.signer, &tree.root());
        // The mark follows what it stands for: a reader never sees an entry that is not on disk. A
        // power cut may take the newest mark with it, though, and what it stood for.
        let marked = written.and_then(|()| {
            let marked = journal::write(&self.journal, mark).and_then(|()| self.journal.sync());
            marked.map_err(|error| (true, error))
        });
        marked.map_err(|(poisons, error): (bool, LogError)| {
            self.poisoned = poisons;
            error
        })?;
        if bytes.capacity() <= MAX_BATCH_KEPT {
            self.batch = bytes;
        }
        (self.durable, self.tree) = (mark, tree);
        self.unwritten.extend(leaves);
        // The entries are durable, whatever becomes of this; on a full disk it is tried again before the
        // next batch.
        if let Err(error) = self.write_levels() {
            let error = &error as &dyn std::error::Error;
            tracing::warn!(error, "hashes of the audit log wait for room on the disk");
        }
        Ok(())
    }

    /// Writes the hashes of entries that are durable. To write them again is no harm.
    fn write_levels(&mut self) -> Result<(), LogError> {
        if !self.unwritten.is_empty() {
            let first = self.durable.size - self.unwritten.len() as u64;
            self.levels.extend(first, &self.unwritten)?;
            self.unwritten.clear();
        }
        Ok(())
    }

    /// Where bundles begin among entries that follow each other, the first of them at `start`.
    fn locate(&self, first: u64, start: u64, entries: &[Vec<u8>]) -> Result<(), LogError> {
        let mut offset = start;
        for (entry, index) in entries.iter().zip(first..) {
            if index.is_multiple_of(ENTRIES_PER_BUNDLE) {
                self.offsets.write_at(&offset.to_be_bytes(), index / ENTRIES_PER_BUNDLE * 8)?;
            }
            offset += 2 + entry.len() as u64;
        }
        Ok(())
    }

    /// Signs the tree as it is, if it grew since the last time, and returns the checkpoint.
    pub fn checkpoint(&mut self) -> Result<Option<Checkpoint>, LogError> {
        if self.poisoned {
            return Err(LogError::Poisoned);
        }
        self.write_levels()?;
        if self.checkpoint_size == Some(self.durable.size) {
            return Ok(None);
        }
        self.levels.sync()?;
        self.offsets.sync()?;
        let checkpoint = Checkpoint {
            origin: self.signer.verifier().name().to_owned(),
            size: self.durable.size,
            root: self.tree.root(),
        };
        if root(&self.levels, self.durable.size)? != checkpoint.root {
            // Somebody else writes here, or the disk does not give back what it took.
            self.poisoned = true;
            return Err(LogError::Rewritten { size: self.durable.size });
        }
        let note = checkpoint.sign(&self.signer)?;
        // Those of early sizes are close together, later ones as far apart as their size makes it.
        if checkpoint.size - self.remembered >= (self.remembered / HISTORY).max(1) {
            self.remember(&note)?;
            self.remembered = checkpoint.size;
        }
        replace(&self.dir, "checkpoint", &note)?;
        sync_dir(&self.dir)?;
        self.checkpoint_size = Some(checkpoint.size);
        self.note = note;
        Ok(Some(checkpoint))
    }

    /// Closes this log and goes on in that of another year, whose first entry is the last checkpoint of
    /// this one. A crash leaves the one or the other.
    pub fn rotate(&mut self, root: &Path, year: &str, signer: NoteSigner) -> Result<(), LogError> {
        self.checkpoint()?;
        let last = self.note.clone();
        replace(&self.dir, "checkpoint", &last)?;
        let (fresh, dir) = (root.join(format!("{year}.new")), root.join(year));
        match std::fs::remove_dir_all(&fresh) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(io_error("remove", &fresh)(error));
            }
            _ => {}
        }
        let mut next = Self::open(&fresh, signer)?;
        next.append(&[last.into_bytes()])?;
        next.checkpoint()?;
        std::fs::rename(&fresh, &dir).map_err(io_error("rename", &fresh))?;
        next.moved_to(&dir);
        *self = next;
        // From here on it is the log, also if its name may be lost in a power cut: nothing may be
        // acknowledged that is in it then.
        sync_dir(root).inspect_err(|_| self.poisoned = true)
    }

    fn moved_to(&mut self, dir: &Path) {
        dir.clone_into(&mut self.dir);
        self.levels.moved_to(dir);
    }

    /// Appends to the history, which lets a verifier narrow down where a rewritten log differs.
    fn remember(&self, note: &str) -> Result<(), LogError> {
        let path = self.dir.join("checkpoints");
        let append = || -> std::io::Result<()> {
            let mut history = std::fs::OpenOptions::new().append(true).create(true).open(&path)?;
            // The empty line before it ends whatever a crash left half-written.
            history.write_all(format!("\n{note}").as_bytes())?;
            history.sync_data()
        };
        append().map_err(io_error("append to", &path))
    }
}

/// Does two things, side by side if it is worth a thread.
fn beside<A: Send, B>(
    worth: bool,
    first: impl Fn() -> A + Sync,
    second: impl FnOnce() -> B,
) -> (A, B) {
    if !worth {
        let second = second();
        return (first(), second);
    }
    std::thread::scope(|scope| {
        // Where there is no thread to be had, one after the other is as good.
        let begun = std::thread::Builder::new().spawn_scoped(scope, &first);
        let second = second();
        match begun.map(std::thread::ScopedJoinHandle::join) {
            Ok(Ok(first)) => (first, second),
            Ok(Err(panic)) => std::panic::resume_unwind(panic),
            Err(_) => (first(), second),
        }
    })
}

/// An entry of at most [`MAX_ENTRY_BYTES`]; a longer one is replaced by a note that says so, since
/// an event must never be dropped for its size.
pub(crate) fn fit(entry: Vec<u8>) -> Vec<u8> {
    if entry.len() <= MAX_ENTRY_BYTES {
        return entry;
    }
    let hash = data_encoding::HEXLOWER.encode(&leaf_hash(&entry));
    format!(r#"{{"truncated":true,"original_bytes":{},"leaf_sha256":"{hash}"}}"#, entry.len())
        .into_bytes()
}

impl HashFiles {
    /// Leaves that follow each other: those of one tile are written at once.
    fn extend(&mut self, first: u64, leaves: &[Hash]) -> Result<(), LogError> {
        let (mut position, mut rest) = (first, leaves);
        while !rest.is_empty() {
            let room = ENTRIES_PER_BUNDLE - position % ENTRIES_PER_BUNDLE;
            let room = usize::try_from(room).unwrap_or(rest.len()).min(rest.len());
            let (now, later) = rest.split_at(room);
            self.file(0)?.write_at(&now.concat(), position * HASH_BYTES as u64)?;
            (position, rest) = (position + now.len() as u64, later);
            self.close_tiles(position)?;
        }
        Ok(())
    }

    /// The roots of the tiles that are full when the lowest level has this many hashes.
    fn close_tiles(&mut self, size: u64) -> Result<(), LogError> {
        let (mut size, mut level) = (size, 0);
        while size.is_multiple_of(ENTRIES_PER_BUNDLE) {
            size /= ENTRIES_PER_BUNDLE;
            let hash = self.tile_root(level, size - 1)?;
            level += 1;
            self.file(level)?.write_at(&hash, (size - 1) * HASH_BYTES as u64)?;
        }
        Ok(())
    }

    fn tile_root(&self, level: u8, tile: u64) -> Result<Hash, LogError> {
        let mut hashes = self.read(level, tile * ENTRIES_PER_BUNDLE, ENTRIES_PER_BUNDLE)?;
        while hashes.len() > 1 {
            hashes = hashes.chunks_exact(2).map(|pair| node_hash(&pair[0], &pair[1])).collect();
        }
        hashes.first().copied().ok_or(LogError::Entry(tile))
    }

    fn cut(&mut self, size: u64) -> Result<(), LogError> {
        let mut length = size;
        for level in 0..self.levels() {
            self.file(level)?.cut(length * HASH_BYTES as u64)?;
            length /= ENTRIES_PER_BUNDLE;
        }
        Ok(())
    }

    fn sync(&self) -> Result<(), LogError> {
        self.all().try_for_each(Named::sync)
    }

    fn file(&mut self, level: u8) -> Result<&Named, LogError> {
        self.open_level(level, |dir| Named::open_rw(dir, &level_file(level)))
    }
}
