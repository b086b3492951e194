use std::time::Duration;

use portcullis_jose::{
    CLOCK_SKEW, Jwk, from_slice_strict,
    self_signed::{SelfSigned, SelfSignedError},
};
use portcullis_types::Timestamp;
use serde::Deserialize;

/// The media type of a key proof (OpenID for Verifiable Credential Issuance 1.0, appendix F.1).
pub const PROOF_TYP: &str = "openid4vci-proof+jwt";
/// Bytes of one.
const MAX_PROOF_BYTES: usize = 4 * 1024;
/// How old one may be.
const LIFETIME: Duration = Duration::from_secs(300);

/// Why a key proof does not hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyProofError {
    /// It is none, or of another kind than those that are supported: a public key in the header and no other.
    Malformed,
    /// The signature is not that of its key.
    Signature,
    /// It was made for another issuer.
    Audience,
    /// It says to be of another client.
    Client,
    /// It is old, or of the future.
    Time,
}

impl KeyProofError {
    /// What it says.
    pub fn says(self) -> &'static str {
        match self {
            Self::Malformed => {
                "the proof is malformed, or is not signed with ES256, Ed25519 or PS256 by the jwk in its header"
            }
            Self::Signature => "the proof's signature is not that of its key",
            Self::Audience => "the proof is for another issuer",
            Self::Client => "the proof is of another client",
            Self::Time => "the proof is not fresh",
        }
    }
}

impl std::fmt::Display for KeyProofError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.says())
    }
}

impl std::error::Error for KeyProofError {}

/// A key that a wallet proved to hold.
#[derive(Debug, Clone)]
pub struct KeyProof {
    /// The key.
    pub key: Jwk,
    /// Its RFC 7638 thumbprint.
    pub jkt: String,
    /// The nonce in it, if there is one; whether it is one of ours is for the caller to find out.
    pub nonce: Option<String>,
}

#[derive(Deserialize)]
struct Claims {
    iss: Option<String>,
    aud: String,
    iat: i64,
    nonce: Option<String>,
}

impl KeyProof {
    /// Checks what a proof decides by itself (appendix F.4): it is for `issuer`, of `client`, and was made just now.
    pub fn open(
        proof: &str,
        issuer: &str,
        client: &str,
        now: Timestamp,
    ) -> Result<Self, KeyProofError> {
        let SelfSigned { payload, key, jkt, names_other } =
            SelfSigned::open(proof, PROOF_TYP, MAX_PROOF_BYTES).map_err(|error| match error {
                SelfSignedError::Malformed => KeyProofError::Malformed,
                SelfSignedError::Signature => KeyProofError::Signature,
            })?;
        // There is one key to a proof (appendix F.1).
        if names_other {
            return Err(KeyProofError::Malformed);
        }
        let claims: Claims = from_slice_strict(&payload).map_err(|_| KeyProofError::Malformed)?;
        if claims.aud.trim_end_matches('/') != issuer {
            return Err(KeyProofError::Audience);
        }
        if claims.iss.is_some_and(|iss| iss != client) {
            return Err(KeyProofError::Client);
        }
        let times = now.minus(LIFETIME).secs()..=now.plus(CLOCK_SKEW).secs();
        if !times.contains(&claims.iat) {
            return Err(KeyProofError::Time);
        }
        Ok(Self { key, jkt, nonce: claims.nonce })
    }
}
