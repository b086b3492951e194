//! What documents of identity say, and whether their issuer says it: machine readable zones and chips after
//! ICAO Doc 9303. Pure: bytes in, findings out; no clock, no files, no network.
//!
//! - [`zone`] reads machine readable zones. Their check digits find slips of the pen, not forgers.
//! - [`aamva`] reads what stands in the barcode of a licence of North America.
//! - [`chip`] verifies what a reader got from a chip: passive authentication up to the authorities that the
//!   operator trusts ([`Trust`]), active authentication by a challenge.
//!
//! A document is hostile until it is verified: each parser has a limit of bytes and of depth.

pub mod aamva;
mod certificate;
pub mod chip;
mod cms;
mod der;
mod digest;
mod ec;
pub mod finding;
mod key;
mod lds;
mod master_list;
mod rsa;
mod states;
mod trust;
pub mod zone;

pub use certificate::{CERTIFICATE_MAX_BYTES, CRL_MAX_BYTES, Certificate, Crl};
pub use digest::Hash;
pub use key::{PublicKey, Scheme};
pub use lds::{DATA_GROUP_MAX_BYTES, GROUPS, SOD_MAX_BYTES, portrait};
pub use master_list::{MASTER_LIST_MAX_BYTES, MasterList};
pub use states::{is_two_letters, three_letters, two_letters};
pub use trust::{Anchor, Refused, Trust};

/// Something cannot be read; why, for a developer.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{0}")]
pub struct Malformed(pub &'static str);
