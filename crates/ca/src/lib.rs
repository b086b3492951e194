//! The certificate authority as a service: who signs and who is trusted, what was issued and taken
//! back, and how workloads get and renew certificates.
//!
//! `pki` makes certificates; this crate decides which, keeps them, and hands out what others need to
//! check them. A root is only used to sign intermediates; an intermediate signs for workloads.

mod authorities;
mod ca;
mod enrol;
mod error;
mod http_api;
mod identities;
mod lists;
mod rotation;

pub use authorities::{AuthorityStatus, Phase};
pub use ca::{Ca, CaSettings};
pub use enrol::{EnrolmentToken, Grant, How, is_own_name};
pub use error::CaError;
pub use http_api::{Directory, TokenHolder, WorkloadRule, router};
pub use identities::Identities;
pub use lists::Which;
