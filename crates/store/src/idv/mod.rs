//! What identity verification keeps.

pub mod challenges;
pub mod codes;
pub mod evidence;
pub mod faces;
pub mod identities;
pub mod lists;
pub mod notes;
pub mod pictures;
pub mod presentations;
pub mod proofs;
pub mod requests;
pub mod seen;
pub mod sessions;
pub mod signals;
pub mod trust;
pub mod webhooks;
pub mod workflows;
