//! The vocabulary every other crate shares: time, randomness, typed ids, client addresses and
//! secrets that do not print.
//!
//! Nothing here does I/O or reads a clock. Time comes in through [`Clock`], randomness through
//! [`Entropy`]; the server hands in the real ones, tests hand in fixed ones.

mod addr;
mod clock;
mod entropy;
mod id;
mod keyed;
mod month;
mod secret;
mod span;

pub use addr::{AddrKey, ClientAddr, Prefix};
pub use clock::{Clock, SharedClock, Timestamp, TimestampError};
pub use entropy::{Entropy, SharedEntropy, random_array, random_token};
pub use id::{Id, IdError, Tag, tags};
pub use keyed::HashKey;
pub use month::Month;
pub use secret::{Secret, same_secret};
pub use span::{read_span, span};

/// The tenant every row and cache key belongs to. One tenant exists by default.
pub const DEFAULT_TENANT: &str = "main";

/// Whether `text` is a scope token (RFC 6749, section 3.3) of at most 64 characters.
pub fn is_scope_token(text: &str) -> bool {
    let allowed = |b: u8| matches!(b, 0x21 | 0x23..=0x5b | 0x5d..=0x7e);
    !text.is_empty() && text.len() <= 64 && text.bytes().all(allowed)
}
