//! What holds for any names, and what reasons look like.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::allow_attributes,
    reason = "a test fails by panicking"
)]

mod explanations;
mod formats;
mod index;
mod lists;
mod properties;
mod regressions;
mod scripts;
mod update;

use portcullis_screening::{Entity, Pair, Policy, Schema, Verdict};

/// Compares two entities, given as properties and values.
pub fn verdict(schema: Schema, left: &[(&str, &str)], right: &[(&str, &str)]) -> Verdict {
    let entity = |values: &[(&str, &str)]| {
        let mut entity = Entity::new(schema);
        values.iter().for_each(|(property, value)| entity.add(property, value));
        entity
    };
    Pair { left: entity(left), right: entity(right) }.score(&Policy::balanced())
}

/// The score of two names.
pub fn names(schema: Schema, left: &str, right: &str) -> f64 {
    verdict(schema, &[("name", left)], &[("name", right)]).score
}
