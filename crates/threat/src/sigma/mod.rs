//! Sigma rules, as of version 2.1 of the specification, over OCSF events as they happen.
//!
//! ```text
//! files ──► Document (YAML) ──► SigmaRules: checked, names resolved, what is not supported refused
//!                                  │
//! event (OCSF JSON), time ──► Sigma: detections (no state) ──► correlations (tables of fixed size)
//!                                                                    │
//!                                                                 SigmaMatch: rule, group, evidence
//! ```
//!
//! Fields are OCSF's, and some have the names of Sigma's own taxonomy as well ([`ALIASES`]). A
//! correlation sees the window that ends with each event, both ends included, exactly, up to the
//! number of things its condition asks about.

mod condition;
mod document;
mod engine;
mod fields;
mod load;
mod matcher;
mod pattern;
mod window;

pub use engine::{Sigma, SigmaFact, SigmaMatch};
pub use fields::ALIASES;
pub use load::{About, SigmaError, SigmaRules};
