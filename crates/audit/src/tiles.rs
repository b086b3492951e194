//! The log as others read it: the resources of C2SP `tlog-tiles`, each a range of a file.

use portcullis_tlog::{Checkpoint, ENTRIES_PER_BUNDLE, TileName};

use crate::{LogReader, files::LogError};

impl LogReader {
    /// How many entries the newest checkpoint covers. What is beyond is not served: nobody could
    /// check it.
    pub fn signed_size(&self) -> Result<u64, LogError> {
        Ok(Checkpoint::open(&self.checkpoint_text()?, &self.verifier()?)?.size)
    }

    /// The bytes of a tile or bundle, of a log of `size` entries. `None` if that log has no such
    /// resource: it is empty, or wider than what there is.
    pub fn resource(&self, name: TileName, size: u64) -> Result<Option<Vec<u8>>, LogError> {
        let level = u32::from(name.level.unwrap_or(0));
        // What is complete below is one hash here; 256^8 entries do not fit in a u64.
        let hashes = ENTRIES_PER_BUNDLE.checked_pow(level).map_or(0, |below| size / below);
        let first = name.index.checked_mul(ENTRIES_PER_BUNDLE).filter(|first| *first < hashes);
        let Some(first) = first else { return Ok(None) };
        let there = (hashes - first).min(ENTRIES_PER_BUNDLE);
        let width = name.width.map_or(ENTRIES_PER_BUNDLE, u64::from);
        if width > there {
            return Ok(None);
        }
        match name.level {
            Some(level) => Ok(Some(self.levels().read(level, first, width)?.concat())),
            None if first < self.minimum() => Ok(None),
            None => self.first_entries(name.index, width).map(Some),
        }
    }

    /// The first `count` entries of a bundle, encoded as they are stored.
    fn first_entries(&self, bundle: u64, count: u64) -> Result<Vec<u8>, LogError> {
        let mut bytes = self.bundle_bytes(bundle)?;
        let mut end = 0;
        for number in 0..count {
            let damaged = LogError::Entry(bundle * ENTRIES_PER_BUNDLE + number);
            let Some(length) = bytes[end..].first_chunk::<2>() else { return Err(damaged) };
            end += 2 + usize::from(u16::from_be_bytes(*length));
            if end > bytes.len() {
                return Err(damaged);
            }
        }
        bytes.truncate(end);
        Ok(bytes)
    }
}
