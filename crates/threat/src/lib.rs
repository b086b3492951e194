//! Detection: `(event, now) → finding`, on windows of fixed size, in constant time for each event.
//!
//! Detectors see events as they happen, before they are durable, and know things that never reach
//! the log, such as the fingerprint of a failed password.

mod spray;

pub use spray::{Finding, Spray, Thresholds};
