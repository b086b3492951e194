//! What is durable: a few slots, the newest sound one wins.
//!
//! A batch is acknowledged only after its entries and its slot are flushed. After a crash any part
//! of an unflushed write may be on disk, so a slot counts only if its own checksum holds and the
//! bytes of its batch match the checksum in it.

use std::hash::Hasher;

use portcullis_tlog::{Hash, NoteSigner};
use siphasher::sip::SipHasher24;

use crate::files::{LogError, Named};

const SLOTS: u64 = 8;
const SLOT_BYTES: usize = 64;
/// The fields that are numbers.
const NUMBERS: usize = 40;
pub(crate) const MAC_BYTES: usize = 16;
/// Not a secret: the checksum finds torn writes, the tree finds tampering.
const CHECKSUM_KEY: [u8; 16] = *b"portcullis audit";

/// One acknowledged batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Mark {
    /// Counts batches from 1.
    pub sequence: u64,
    /// Entries in the log after the batch.
    pub size: u64,
    /// Where its bytes begin in `entries`.
    pub start: u64,
    /// Where they end.
    pub end: u64,
    /// Checksum of the bytes.
    pub sum: u64,
    /// What only we can make of all this and the tree with the batch in it: otherwise whoever can write
    /// the directory of a stopped service could have anything signed at the next start.
    pub mac: [u8; MAC_BYTES],
}

impl Mark {
    fn to_bytes(self) -> [u8; SLOT_BYTES] {
        let mut bytes = [0; SLOT_BYTES];
        bytes[..NUMBERS].copy_from_slice(&self.numbers());
        bytes[NUMBERS..NUMBERS + MAC_BYTES].copy_from_slice(&self.mac);
        let sum = checksum(&bytes[..NUMBERS + MAC_BYTES]);
        bytes[NUMBERS + MAC_BYTES..].copy_from_slice(&sum.to_be_bytes());
        bytes
    }

    /// The mark as it was made by whoever has the key of `signer`, when `root` was that of the tree with
    /// the batch.
    pub fn sealed(self, signer: &NoteSigner, root: &Hash) -> Self {
        let mac = signer.mac("audit journal", &[&self.numbers(), root]);
        let mut sealed = Self { mac: [0; MAC_BYTES], ..self };
        sealed.mac.copy_from_slice(&mac[..MAC_BYTES]);
        sealed
    }

    fn numbers(&self) -> [u8; NUMBERS] {
        let mut bytes = [0; NUMBERS];
        let fields = [self.sequence, self.size, self.start, self.end, self.sum];
        for (slot, field) in bytes.chunks_exact_mut(8).zip(fields) {
            slot.copy_from_slice(&field.to_be_bytes());
        }
        bytes
    }

    fn from_bytes(bytes: &[u8; SLOT_BYTES]) -> Option<Self> {
        let field = |at: usize| -> Option<u64> {
            Some(u64::from_be_bytes(bytes.get(at * 8..at * 8 + 8)?.try_into().ok()?))
        };
        if field(7)? != checksum(&bytes[..NUMBERS + MAC_BYTES]) {
            return None;
        }
        Some(Self {
            sequence: field(0)?,
            size: field(1)?,
            start: field(2)?,
            end: field(3)?,
            sum: field(4)?,
            mac: bytes[NUMBERS..NUMBERS + MAC_BYTES].try_into().ok()?,
        })
    }
}

pub(crate) fn checksum(bytes: &[u8]) -> u64 {
    let mut hasher = SipHasher24::new_with_key(&CHECKSUM_KEY);
    hasher.write(bytes);
    hasher.finish()
}

pub(crate) fn write(journal: &Named, mark: Mark) -> Result<(), LogError> {
    journal.write_at(&mark.to_bytes(), mark.sequence % SLOTS * SLOT_BYTES as u64)
}

/// The newest mark whose batch is whole in `entries`; the zero mark of an empty log.
pub(crate) fn newest_whole(journal: &Named, entries: &Named) -> Result<Mark, LogError> {
    let length = entries.len()?;
    for mark in marks(journal)? {
        if mark.start <= mark.end && mark.end <= length {
            let mut bytes = vec![0; usize::try_from(mark.end - mark.start).unwrap_or(0)];
            entries.read_at(&mut bytes, mark.start)?;
            if checksum(&bytes) == mark.sum {
                return Ok(mark);
            }
        }
    }
    Ok(Mark::default())
}

/// The newest mark, whatever has become of its batch.
pub(crate) fn newest(journal: &Named) -> Result<Mark, LogError> {
    Ok(marks(journal)?.first().copied().unwrap_or_default())
}

/// The marks that are sound in themselves, newest first.
fn marks(journal: &Named) -> Result<Vec<Mark>, LogError> {
    let slots = journal.len()? / SLOT_BYTES as u64;
    let mut marks = Vec::new();
    for slot in 0..slots.min(SLOTS) {
        let mut bytes = [0; SLOT_BYTES];
        journal.read_at(&mut bytes, slot * SLOT_BYTES as u64)?;
        marks.extend(Mark::from_bytes(&bytes));
    }
    marks.sort_by_key(|mark| std::cmp::Reverse(mark.sequence));
    Ok(marks)
}
