//! What identity verification keeps.

pub mod challenges;
pub mod trust;
