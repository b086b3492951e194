//! The one way out to an address that somebody else chose: key sets, sector identifiers, logout
//! tokens.
//!
//! https only; the name is resolved once and every address it has must be public; the connection
//! goes to the address that was looked at, so that a name cannot mean one thing when it is checked
//! and another when it is used; redirects are not followed; everything is bounded in time and size.

mod address;
mod call;
pub mod webhook;

pub use address::is_public;
pub use call::{
    Answer, Call, Egress, EgressError, MAX_ANSWER_BYTES, MAX_CALLS, Resolve, Settings,
    system_resolver,
};
