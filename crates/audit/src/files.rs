use std::{
    fs::{File, OpenOptions},
    io,
    os::unix::fs::{FileExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

use portcullis_tlog::{CheckpointError, HASH_BYTES, Hash};

/// The log could not be opened, read or written.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// The file system.
    #[error("{operation} {path}")]
    Io {
        /// What was tried.
        operation: &'static str,
        /// On which file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// Another process has the log open for writing.
    #[error("the audit log in {0} is in use by another process")]
    InUse(PathBuf),
    /// The entries end before what the newest checkpoint promises: the log was cut or damaged.
    #[error("the audit log holds {durable} sound entries but its checkpoint promises {promised}")]
    Short {
        /// Entries that are there.
        durable: u64,
        /// Entries the checkpoint covers.
        promised: u64,
    },
    /// There are entries but no checkpoint: somebody removed it.
    #[error("the audit log has entries but no checkpoint; it was removed or never belonged here")]
    Unsigned,
    /// The tree over the entries is not the one that was signed.
    #[error("the audit log does not match its own checkpoint at {size} entries")]
    Rewritten {
        /// The size of the checkpoint.
        size: u64,
    },
    /// The checkpoint cannot be trusted.
    #[error("the checkpoint of the audit log cannot be trusted")]
    Checkpoint(#[from] CheckpointError),
    /// The entry is before the minimum index: it was removed when its time was over.
    #[error("the audit log keeps entries from {minimum} on")]
    Removed {
        /// The first entry that is kept.
        minimum: u64,
    },
    /// There is no log.
    #[error("there is no audit log in {0}")]
    Missing(PathBuf),
    /// A log does not go on from the one before it.
    #[error("{0} does not begin with the last checkpoint of the log before it")]
    Unchained(String),
    /// Entries are called removed, and no entry says that they were.
    #[error("{log} is said to be kept from entry {minimum} on, and no entry allows it")]
    Unproven {
        /// The log.
        log: String,
        /// The first entry that it keeps, as its directory says.
        minimum: u64,
    },
    /// An entry could not be read where it should be.
    #[error("entry {0} of the audit log is damaged")]
    Entry(u64),
    /// An earlier failure left the durable state unknown; only a restart finds out.
    #[error("the audit log stopped after an earlier failure")]
    Poisoned,
}

/// Zeros are written so many at once.
const ZEROS: usize = 1 << 20;

/// A file that knows its name for error messages.
#[derive(Debug)]
pub(crate) struct Named {
    file: File,
    path: PathBuf,
}

impl Named {
    pub fn open_rw(dir: &Path, name: &str) -> Result<Self, LogError> {
        let path = dir.join(name);
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(&path);
        Self::from_result(file, path)
    }

    /// One that is there already, to be changed.
    pub fn open_there(dir: &Path, name: &str) -> Result<Self, LogError> {
        let path = dir.join(name);
        Self::from_result(OpenOptions::new().read(true).write(true).open(&path), path)
    }

    pub fn open_read(dir: &Path, name: &str) -> Result<Self, LogError> {
        let path = dir.join(name);
        Self::from_result(File::open(&path), path)
    }

    fn from_result(file: io::Result<File>, path: PathBuf) -> Result<Self, LogError> {
        match file {
            Ok(file) => Ok(Self { file, path }),
            Err(source) => Err(LogError::Io { operation: "open", path, source }),
        }
    }

    fn error(&self, operation: &'static str) -> impl FnOnce(io::Error) -> LogError {
        let path = self.path.clone();
        move |source| LogError::Io { operation, path, source }
    }

    pub fn file(&self) -> &File {
        &self.file
    }

    pub fn len(&self) -> Result<u64, LogError> {
        self.file.metadata().map(|meta| meta.len()).map_err(self.error("measure"))
    }

    pub fn read_at(&self, buffer: &mut [u8], offset: u64) -> Result<(), LogError> {
        self.file.read_exact_at(buffer, offset).map_err(self.error("read"))
    }

    pub fn write_at(&self, bytes: &[u8], offset: u64) -> Result<(), LogError> {
        self.file.write_all_at(bytes, offset).map_err(self.error("write"))
    }

    /// Gives the first bytes back to the disk, as far as the file system can, and makes them zeros in
    /// any case. Where the others are does not change.
    pub fn forget_first(&self, length: u64) -> Result<(), LogError> {
        use rustix::fs::{FallocateFlags, fallocate};
        let holes = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
        if length > 0 && fallocate(&self.file, holes, 0, length).is_err() {
            let zeros = vec![0; ZEROS];
            let mut at = 0;
            while at < length {
                let part = usize::try_from(length - at).unwrap_or(ZEROS).min(ZEROS);
                self.write_at(&zeros[..part], at)?;
                at += part as u64;
            }
        }
        self.sync()
    }

    pub fn cut(&self, length: u64) -> Result<(), LogError> {
        self.file.set_len(length).map_err(self.error("cut"))
    }

    pub fn sync(&self) -> Result<(), LogError> {
        self.file.sync_data().map_err(self.error("flush"))
    }

    pub fn read_hash(&self, index: u64) -> Result<Hash, LogError> {
        let mut hash = [0; HASH_BYTES];
        self.read_at(&mut hash, index * HASH_BYTES as u64)?;
        Ok(hash)
    }

    pub fn read_u64(&self, index: u64) -> Result<u64, LogError> {
        let mut bytes = [0; 8];
        self.read_at(&mut bytes, index * 8)?;
        Ok(u64::from_be_bytes(bytes))
    }
}

/// Makes the names of new files in `dir` durable.
pub(crate) fn sync_dir(dir: &Path) -> Result<(), LogError> {
    File::open(dir).and_then(|dir| dir.sync_all()).map_err(io_error("flush", dir))
}

/// Replaces a small file so that a crash leaves the old or the new one.
pub(crate) fn replace(dir: &Path, name: &str, text: &str) -> Result<(), LogError> {
    let (temporary, path) = (dir.join(format!("{name}.new")), dir.join(name));
    let write = || -> io::Result<()> {
        let file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&temporary)?;
        file.write_all_at(text.as_bytes(), 0)?;
        file.sync_all()?;
        std::fs::rename(&temporary, &path)
    };
    write().map_err(io_error("replace", &path))
}

pub(crate) fn io_error(operation: &'static str, path: &Path) -> impl FnOnce(io::Error) -> LogError {
    let path = path.to_owned();
    move |source| LogError::Io { operation, path, source }
}

/// The name of the file with the hashes of a tile level.
pub(crate) fn level_file(level: u8) -> String {
    format!("level-{level}")
}
