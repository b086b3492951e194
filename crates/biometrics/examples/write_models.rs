//! Writes the small models with answers by hand that are kept in `tests/models`.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    clippy::allow_attributes,
    reason = "for tests"
)]

#[path = "../tests/it/graphs.rs"]
mod graphs;

use std::{fs, path::Path};

fn main() {
    let kept = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/models");
    fs::create_dir_all(&kept).unwrap();
    for (name, bytes) in graphs::files() {
        fs::write(kept.join(name), bytes).unwrap();
    }
}
