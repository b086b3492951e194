//! JOSE, small and strict: JWK (RFC 7517), JWS (RFC 7515), JWE (RFC 7516) and JWT (RFC 7519) on
//! aws-lc-rs.
//!
//! Strict by construction: a [`Verifier`] cannot be built without issuer, audience, type and the
//! algorithms it accepts; the token's own header never chooses any of them. Key URLs and embedded
//! keys in a header are ignored, `crit` is refused, and a claim of the wrong JSON type refuses the
//! token instead of reading as absent.

pub mod access_token;
mod content;
pub mod dpop;
mod jwe;
mod jwk;
mod jws;
mod key;
pub mod self_signed;
pub mod status_list;
mod strict;
mod verify;

pub use content::Enc;
pub use jwe::{ContentType, DecryptionKey, EncryptionKey, JweError, KeyManagement, MAX_JWE_BYTES};
pub use jwk::{Jwk, JwkError, JwkSet};
pub use jws::{Compact, JwsError, MAX_TOKEN_BYTES, sign};
pub use key::{Alg, KeyError, SigningKey, VerifyingKey};
pub use strict::{MAX_JSON_DEPTH, StrictJsonError, check_json, from_slice_strict};
pub use verify::{Audience, CLOCK_SKEW, KeySource, Registered, Verifier, VerifyError};
