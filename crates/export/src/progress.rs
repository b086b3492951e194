use std::sync::{
    Mutex,
    atomic::{AtomicBool, AtomicU64},
};

use portcullis_types::Timestamp;

/// How far a sink is.
#[derive(Debug, Default)]
pub struct Progress {
    /// The entry it goes on with if everything stops now.
    pub next: AtomicU64,
    /// Entries of the log when it last looked.
    pub size: AtomicU64,
    /// Records that the receiver took.
    pub delivered: AtomicU64,
    /// Records that it never will.
    pub refused: AtomicU64,
    /// Entries that were removed because their time was over, before they could be sent.
    pub missed: AtomicU64,
    /// Deliveries that failed and come again.
    pub failures: AtomicU64,
    /// When the oldest record that waits happened, in milliseconds; 0 if none waits.
    pub waiting_since: AtomicU64,
    /// Whether the last delivery failed.
    pub failing: AtomicBool,
    /// When a delivery failed last, and why.
    pub last_failure: Mutex<Option<(Timestamp, String)>>,
}
