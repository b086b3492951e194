//! Chips of travel documents (ICAO 9303-10, 9303-11).
//!
//! [`passive`] says who wrote the data, [`active`] that the chip is no copy. Both are needed to know that the
//! document at hand is the one that was issued: what is read once can be written on another chip.

mod active;
mod passive;

pub use active::{Active, CHALLENGE_BYTES, active};
pub use passive::{Chain, GroupState, Passive, Summary, passive};

use std::collections::BTreeMap;

/// Files that a reader got from a chip.
#[derive(Clone, Default)]
pub struct Files {
    /// `EF.SOD`
    pub sod: Vec<u8>,
    /// `EF.DG1` to `EF.DG16`, whole.
    pub groups: BTreeMap<u8, Vec<u8>>,
}
