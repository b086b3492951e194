//! Proofs as a verifier sees them.

use data_encoding::BASE64;

use crate::{
    Checkpoint, CheckpointError, EMPTY_ROOT, Hash, NoteVerifier, hash::HASH_BYTES, leaf_hash,
    node_hash,
};

const HEADER: &str = "c2sp.org/tlog-proof@v1";
/// A tree of 2^64 leaves needs no longer proof.
const MAX_PROOF_HASHES: usize = 64;

/// A proof does not hold.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum ProofError {
    /// The proof is not well formed.
    #[error("the proof is malformed")]
    Malformed,
    /// The proof leads to another root.
    #[error("the proof leads to another root")]
    Root,
    /// The checkpoint in the proof.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
}

/// Checks that the entry hashed to `leaf` is at `index` in the tree of `size` leaves with `root`
/// (RFC 9162, section 2.1.3.2).
pub fn verify_inclusion(
    leaf: Hash,
    index: u64,
    size: u64,
    root: &Hash,
    path: &[Hash],
) -> Result<(), ProofError> {
    if index >= size {
        return Err(ProofError::Malformed);
    }
    let (mut position, mut last, mut hash) = (index, size - 1, leaf);
    for sibling in path {
        if last == 0 {
            return Err(ProofError::Malformed);
        }
        if position & 1 == 1 || position == last {
            hash = node_hash(sibling, &hash);
            while position & 1 == 0 && position != 0 {
                position >>= 1;
                last >>= 1;
            }
        } else {
            hash = node_hash(&hash, sibling);
        }
        position >>= 1;
        last >>= 1;
    }
    if last == 0 && hash == *root { Ok(()) } else { Err(ProofError::Root) }
}

/// Checks that the tree of `old` leaves is a prefix of the tree of `new` leaves (RFC 9162, section
/// 2.1.4.2).
pub fn verify_consistency(
    old: (u64, &Hash),
    new: (u64, &Hash),
    path: &[Hash],
) -> Result<(), ProofError> {
    let ((old_size, old_root), (new_size, new_root)) = (old, new);
    if old_size > new_size {
        return Err(ProofError::Malformed);
    }
    if old_size == 0 || old_size == new_size {
        let same = if old_size == 0 { *old_root == EMPTY_ROOT } else { old_root == new_root };
        return if path.is_empty() && same { Ok(()) } else { Err(ProofError::Root) };
    }
    let first = old_size.is_power_of_two().then_some(*old_root);
    let mut rest = first.iter().chain(path);
    let seed = *rest.next().ok_or(ProofError::Malformed)?;
    let (mut position, mut last) = (old_size - 1, new_size - 1);
    while position & 1 == 1 {
        position >>= 1;
        last >>= 1;
    }
    let (mut old_hash, mut new_hash) = (seed, seed);
    for sibling in rest {
        if last == 0 {
            return Err(ProofError::Malformed);
        }
        if position & 1 == 1 || position == last {
            old_hash = node_hash(sibling, &old_hash);
            new_hash = node_hash(sibling, &new_hash);
            while position & 1 == 0 && position != 0 {
                position >>= 1;
                last >>= 1;
            }
        } else {
            new_hash = node_hash(&new_hash, sibling);
        }
        position >>= 1;
        last >>= 1;
    }
    let holds = last == 0 && old_hash == *old_root && new_hash == *new_root;
    if holds { Ok(()) } else { Err(ProofError::Root) }
}

/// A proof that somebody can check without the log (C2SP `tlog-proof`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OfflineProof {
    /// The entry's index.
    pub index: u64,
    /// The audit path.
    pub path: Vec<Hash>,
    /// The signed checkpoint it leads to.
    pub checkpoint: String,
}

impl OfflineProof {
    /// The text of a `.tlog-proof` file.
    pub fn to_text(&self) -> String {
        let hashes: String = self.path.iter().map(|hash| BASE64.encode(hash) + "\n").collect();
        format!("{HEADER}\nindex {}\n{hashes}\n{}", self.index, self.checkpoint)
    }

    /// Reads the text of a `.tlog-proof` file; an `extra` line is passed over.
    pub fn parse(text: &str) -> Result<Self, ProofError> {
        Self::read(text).ok_or(ProofError::Malformed)
    }

    fn read(text: &str) -> Option<Self> {
        let (head, checkpoint) = text.split_once("\n\n")?;
        let mut lines = head.split('\n').peekable();
        if lines.next()? != HEADER {
            return None;
        }
        lines.next_if(|line| line.starts_with("extra "));
        let index = lines.next()?.strip_prefix("index ")?.parse().ok()?;
        let path: Vec<Hash> = lines
            .map(|line| -> Option<[u8; HASH_BYTES]> {
                BASE64.decode(line.as_bytes()).ok()?.try_into().ok()
            })
            .collect::<Option<_>>()?;
        let fits = path.len() <= MAX_PROOF_HASHES;
        fits.then(|| Self { index, path, checkpoint: checkpoint.to_owned() })
    }

    /// Checks that `entry` is in the log of `verifier`.
    pub fn verify(&self, entry: &[u8], verifier: &NoteVerifier) -> Result<Checkpoint, ProofError> {
        let checkpoint = Checkpoint::open(&self.checkpoint, verifier)?;
        let Checkpoint { size, root, .. } = &checkpoint;
        verify_inclusion(leaf_hash(entry), self.index, *size, root, &self.path)?;
        Ok(checkpoint)
    }
}
