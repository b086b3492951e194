//! What is usual at which hour of the week takes weeks to learn, so it outlives the process: a file in
//! `DATA/watch`, written each hour and at the end. It holds names of routes and clients, and numbers.

use std::{
    fs,
    io::{self, Write},
    path::Path,
};

use portcullis_threat::Learned;
use portcullis_types::Timestamp;

const FILE: &str = "baselines.json";
/// 250 series with all hours take 4 MiB.
const MAX_BYTES: u64 = 16 * 1024 * 1024;
const EVERY_SECONDS: i64 = 3_600;

/// When it is written next.
#[derive(Debug)]
pub struct Due(Timestamp);

impl Due {
    /// An hour from `now`.
    pub fn after(now: Timestamp) -> Self {
        Self(now)
    }

    /// Whether it is time, which it is once an hour.
    pub fn now(&mut self, now: Timestamp) -> bool {
        let due = now.secs() - self.0.secs() >= EVERY_SECONDS;
        if due {
            self.0 = now;
        }
        due
    }
}

/// What was learned earlier. A file that cannot be read is told of, and all begins anew: detection
/// must not keep the service from starting.
pub fn read(data: &Path) -> Vec<Learned> {
    let path = data.join("watch").join(FILE);
    let read = || -> io::Result<Vec<Learned>> {
        if fs::metadata(&path)?.len() > MAX_BYTES {
            return Err(io::Error::other("it is larger than 16 MiB"));
        }
        Ok(serde_json::from_slice(&fs::read(&path)?)?)
    };
    read().unwrap_or_else(|error| {
        if error.kind() != io::ErrorKind::NotFound {
            tracing::warn!(%error, path = %path.display(), "what is usual is learned anew");
            let _ = fs::rename(&path, path.with_extension("bad"));
        }
        Vec::new()
    })
}

/// Keeps what was learned.
pub fn write(data: &Path, learned: &[Learned]) {
    let dir = data.join("watch");
    let write = || -> io::Result<()> {
        fs::create_dir_all(&dir)?;
        let temporary = dir.join(format!("{FILE}.new"));
        let mut file = fs::File::create(&temporary)?;
        file.write_all(&serde_json::to_vec(learned)?)?;
        file.sync_data()?;
        fs::rename(&temporary, dir.join(FILE))
    };
    if let Err(error) = write() {
        tracing::warn!(%error, dir = %dir.display(), "what is usual could not be kept");
    }
}
