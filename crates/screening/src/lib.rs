//! Screening: is this person, company, ship or wallet one of those on a list, and why?
//!
//! Pure: no file, clock or network. Names are read ([`names`]), entities prepared ([`Profile`]) and compared
//! under a [`Policy`] ([`score`]); a [`Verdict`] carries its reasons.
//!
//! ```
//! use portcullis_screening::{Entity, Policy, Profile, Schema, score};
//!
//! let person = |name| {
//!     let mut entity = Entity::new(Schema::Person);
//!     entity.add("name", name);
//!     Profile::new(&entity)
//! };
//! let verdict = score(&person("Moammar Gaddafi"), &person("معمر القذافي"), &Policy::balanced());
//! assert!(verdict.is_match);
//! ```

mod dates;
mod entity;
mod explain;
mod identifiers;
pub mod import;
pub mod index;
pub mod names;
mod pairs;
mod policy;
mod profile;
mod score;
mod tables;

pub use dates::{Birth, DateMatch, PartialDate};
pub use entity::{
    ENTITY_MAX_PROPERTIES, Entity, EntityError, PROPERTY_MAX_VALUES, Schema, VALUE_MAX_BYTES,
};
pub use identifiers::{Identifier, Proof};
pub use pairs::{PAIR_MAX_BYTES, Pair, PairError};
pub use policy::{Policy, PolicyError, Qualifiers};
pub use profile::{Alias, PROFILE_MAX_NAMES, Profile, Quality, is_compared};
pub use score::{Evidence, NameEvidence, PartEvidence, Verdict, nats, score};
pub use tables::{LegalForm, Original, Tables, tables};
