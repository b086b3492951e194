//! Documents as they are issued and as they are forged.
#![allow(missing_docs, clippy::unwrap_used, clippy::allow_attributes, reason = "tests")]

mod chips;
mod licences;
mod zones;
