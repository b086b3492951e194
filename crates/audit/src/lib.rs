//! The durable audit log: an append-only Merkle log on local disk that nobody can rewrite
//! unnoticed.
//!
//! Data flow: [`Audit::append`] or [`Audit::record`] hands typed events to one sequencer thread,
//! which numbers them, encodes them as OCSF, writes a batch, makes it durable, and only then
//! acknowledges. Every second it signs a checkpoint of the tree. [`LogReader`] reads what is durable
//! for search, proofs and verification, also while the log grows.
//!
//! There is a log for each year, the directory of which is named by it; [`Logs`] reads them as one.
//!
//! On disk, in such a directory: `entries` (in the bundle encoding of `tlog-tiles`: each entry after
//! its length as a big-endian u16), `offsets` (where each bundle of 256 entries begins), `level-N`
//! (the hashes of tile level N), `journal` (what is durable), `checkpoint` (the newest),
//! `checkpoints` (all of them), `vkey` (the key that checks them) and `minimum` (before which index
//! entries were removed when their time was over). Levels and offsets can be rebuilt from the entries
//! that are there.

mod files;
mod journal;
mod logs;
mod needles;
mod prune;
mod reader;
mod search;
mod sequencer;
mod tiles;
mod verify;
mod writer;

pub use files::LogError;
pub use logs::{Entry, Logs, Proven, is_year, log_years, newest_log};
pub use prune::{finish_pruning, prune};
pub use reader::LogReader;
pub use search::{Filter, Found, MAX_RESULTS, Page};
pub use sequencer::{Audit, AuditError, EntrySealer, Watcher};
pub use verify::{Damage, Report, verify, verify_all};
pub use writer::LogWriter;
