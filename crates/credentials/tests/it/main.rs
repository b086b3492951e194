//! Credentials from their draft to what a verifier learns, forged in every place, and the example of RFC 9901.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on must fail")]

mod forged;
mod queries;
mod rfc9901;
mod world;
