//! Credentials that people keep and show in part: SD-JWT (RFC 9901) and SD-JWT VC (draft-ietf-oauth-sd-jwt-vc), the
//! key proofs of OpenID for Verifiable Credential Issuance 1.0, and the queries of OpenID for Verifiable
//! Presentations 1.0 (DCQL).
//!
//! Nothing here does I/O, knows the time, or decides whom to trust: keys, time and what is asked for are
//! parameters.

pub mod dcql;
mod issue;
mod presentation;
mod proof;

pub use issue::{Draft, bind};
pub use presentation::{Asked, CredentialError, MAX_BYTES, Presentation, Verified};
pub use proof::{KeyProof, KeyProofError, PROOF_TYP};

/// The media type of a credential (draft-ietf-oauth-sd-jwt-vc, section 2.2.1).
pub const TYP: &str = "dc+sd-jwt";
/// The format identifier of OpenID for Verifiable Credential Issuance and Presentations.
pub const FORMAT: &str = "dc+sd-jwt";
/// The media type of a key binding (RFC 9901, section 4.3).
pub const KEY_BINDING_TYP: &str = "kb+jwt";

fn sha256(text: &str) -> String {
    use aws_lc_rs::digest::{SHA256, digest};
    data_encoding::BASE64URL_NOPAD.encode(digest(&SHA256, text.as_bytes()).as_ref())
}
