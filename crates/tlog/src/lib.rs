//! A transparency log in the formats of C2SP: Merkle tree (RFC 6962 hashing), tiles
//! (`tlog-tiles`), signed checkpoints (`signed-note`, `tlog-checkpoint`) and offline proofs
//! (`tlog-proof`).
//!
//! Pure: hashes are read through [`HashReader`], so the same code serves the log on disk, a verifier
//! and tests in memory.

mod checkpoint;
mod frontier;
mod hash;
mod note;
mod proof;
mod tile;
mod tree;

pub use checkpoint::{Checkpoint, CheckpointError};
pub use frontier::Frontier;
pub use hash::{EMPTY_ROOT, HASH_BYTES, Hash, leaf_hash, node_hash};
pub use note::{NoteError, NoteSigner, NoteVerifier, SignedNote};
pub use proof::{OfflineProof, ProofError, verify_consistency, verify_inclusion};
pub use tile::{ENTRIES_PER_BUNDLE, MAX_ENTRY_BYTES, TileName, bundle_entries, tile_path};
pub use tree::{HashReader, consistency_proof, hashes_added_by, inclusion_proof, root};
