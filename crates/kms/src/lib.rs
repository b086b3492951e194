//! Key-encryption keys that live elsewhere: in the transit engine of HashiCorp Vault or OpenBao, or
//! in a token behind PKCS#11.
//!
//! An installation seals its secrets with a data key of its own. Here that key is wrapped and
//! unwrapped, once at every start; the wrapped form is in the database and worth nothing without
//! the key that never leaves its place. What it is for is authenticated with it, so that no other
//! ciphertext of the same key can be put in its stead.

mod hsm;
mod transit;

pub use hsm::{Hsm, HsmSettings};
pub use transit::{Transit, TransitSettings};

use portcullis_egress::EgressError;
use portcullis_types::{Entropy, Secret};

/// Authenticated with everything that is wrapped.
const PURPOSE: &[u8] = b"portcullis data key";

/// A data key could not be wrapped or unwrapped.
#[derive(Debug, thiserror::Error)]
pub enum KmsError {
    /// The settings cannot be right.
    #[error("{0}")]
    Settings(&'static str),
    /// Vault could not be reached.
    #[error("Vault could not be reached")]
    Unreachable(#[from] EgressError),
    /// Vault refused, and said why.
    #[error("Vault answered {status}: {reason}")]
    Refused {
        /// The status.
        status: u16,
        /// Its words, cut.
        reason: String,
    },
    /// Vault's answer is not one of the transit engine.
    #[error("the answer is not one of a transit engine")]
    Answer,
    /// The PKCS#11 module failed.
    #[error("the PKCS#11 module failed to {doing}")]
    Module {
        /// What it was asked to do.
        doing: &'static str,
        /// Its error.
        source: cryptoki::error::Error,
    },
    /// No token, or no key, has the label.
    #[error("there is no {0} with that label, or more than one")]
    Label(&'static str),
    /// What was to be unwrapped was made with another key, for another purpose, or changed.
    #[error("the data key cannot be unwrapped with this key")]
    Unwrap,
}

/// Where the key-encryption key is.
#[derive(Debug)]
pub enum Kms {
    /// The transit engine of Vault or OpenBao.
    Transit(Transit),
    /// A token behind PKCS#11.
    Hsm(Hsm),
}

impl Kms {
    /// The wrapped form of `key`. A token makes its key-encryption key if it has none yet.
    pub async fn wrap(
        &self,
        key: &Secret<Vec<u8>>,
        entropy: &dyn Entropy,
    ) -> Result<Vec<u8>, KmsError> {
        match self {
            Self::Transit(transit) => transit.wrap(key).await,
            Self::Hsm(hsm) => hsm.wrap(key, entropy).await,
        }
    }

    /// The key that was wrapped.
    pub async fn unwrap(&self, wrapped: &[u8]) -> Result<Secret<Vec<u8>>, KmsError> {
        match self {
            Self::Transit(transit) => transit.unwrap(wrapped).await,
            Self::Hsm(hsm) => hsm.unwrap(wrapped).await,
        }
    }
}
