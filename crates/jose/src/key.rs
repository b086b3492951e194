use std::{fmt, sync::Arc};

use aws_lc_rs::{
    rand::SystemRandom,
    rsa::KeySize,
    signature::{
        ECDSA_P256_SHA256_FIXED, ECDSA_P256_SHA256_FIXED_SIGNING, ED25519, EcdsaKeyPair,
        Ed25519KeyPair, KeyPair, ParsedPublicKey, RSA_PKCS1_2048_8192_SHA256, RSA_PKCS1_SHA256,
        RSA_PSS_2048_8192_SHA256, RSA_PSS_SHA256, RsaEncoding, RsaKeyPair, RsaPublicKeyComponents,
        UnparsedPublicKey,
    },
};
use serde::{Deserialize, Serialize};

use crate::Jwk;

/// The signature algorithms in use (RFC 7518, RFC 8037). There is no `none` and no HMAC.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Alg {
    /// Ed25519 (RFC 8037).
    #[serde(rename = "EdDSA")]
    EdDsa,
    /// ECDSA on P-256 with SHA-256.
    #[serde(rename = "ES256")]
    Es256,
    /// RSASSA-PKCS1-v1_5 with SHA-256, for clients that know nothing newer.
    #[serde(rename = "RS256")]
    Rs256,
    /// RSASSA-PSS with SHA-256, for clients' keys; we never sign with it.
    #[serde(rename = "PS256")]
    Ps256,
}

impl Alg {
    /// Every algorithm, the preferred first.
    pub const ALL: [Self; 4] = [Self::EdDsa, Self::Es256, Self::Ps256, Self::Rs256];
    /// Those that we sign with, the preferred first.
    pub const SIGNING: [Self; 3] = [Self::EdDsa, Self::Es256, Self::Rs256];
    /// Those that a DPoP proof may use: none with known weaknesses (RFC 9449, section 11.6).
    pub const DPOP: [Self; 3] = [Self::EdDsa, Self::Es256, Self::Ps256];

    /// The name in the IANA registry.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::EdDsa => "EdDSA",
            Self::Es256 => "ES256",
            Self::Rs256 => "RS256",
            Self::Ps256 => "PS256",
        }
    }

    /// Reads a registered name; `None` for every algorithm not in use. `Ed25519` is the newer,
    /// fully specified name of what is `EdDSA` here (RFC 9864).
    pub fn parse(name: &str) -> Option<Self> {
        if name == "Ed25519" {
            return Some(Self::EdDsa);
        }
        Self::ALL.into_iter().find(|alg| alg.as_str() == name)
    }
}

/// A key could not be made, read or used.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum KeyError {
    /// The bytes are not a PKCS#8 private key for the algorithm.
    #[error("not a PKCS#8 private key for this algorithm")]
    Malformed,
    /// The cryptographic library failed.
    #[error("the cryptographic library refused the operation")]
    Unspecified,
}

/// A private key with its algorithm and the public half.
pub struct SigningKey {
    pair: Pair,
    public: Jwk,
}

enum Pair {
    Ed(Ed25519KeyPair),
    Ec(EcdsaKeyPair),
    Rsa(RsaKeyPair),
    Pss(RsaKeyPair),
}

impl SigningKey {
    /// Makes a new key and returns its PKCS#8 form as well. The library's own generator is used:
    /// private keys never come from a seeded source.
    pub fn generate(alg: Alg) -> Result<(Self, Vec<u8>), KeyError> {
        loop {
            let (key, pkcs8) = Self::generate_any(alg)?;
            // A name that begins like an option cannot be given to a command as it is.
            if !key.kid().starts_with('-') {
                return Ok((key, pkcs8));
            }
        }
    }

    fn generate_any(alg: Alg) -> Result<(Self, Vec<u8>), KeyError> {
        let pkcs8 = match alg {
            Alg::EdDsa => Ed25519KeyPair::generate()
                .and_then(|pair| pair.to_pkcs8v1())
                .map(|document| document.as_ref().to_vec()),
            Alg::Es256 => EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING)
                .and_then(|pair| pair.to_pkcs8v1())
                .map(|document| document.as_ref().to_vec()),
            Alg::Rs256 | Alg::Ps256 => RsaKeyPair::generate(KeySize::Rsa2048).and_then(|pair| {
                use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der};
                let der: Pkcs8V1Der<'_> = pair.as_der()?;
                Ok(der.as_ref().to_vec())
            }),
        }
        .map_err(|_| KeyError::Unspecified)?;
        Ok((Self::from_pkcs8(alg, &pkcs8)?, pkcs8))
    }

    /// Reads a PKCS#8 private key.
    pub fn from_pkcs8(alg: Alg, pkcs8: &[u8]) -> Result<Self, KeyError> {
        let pair = match alg {
            Alg::EdDsa => Ed25519KeyPair::from_pkcs8_maybe_unchecked(pkcs8).map(Pair::Ed),
            Alg::Es256 => {
                EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, pkcs8).map(Pair::Ec)
            }
            Alg::Rs256 => RsaKeyPair::from_pkcs8(pkcs8).map(Pair::Rsa),
            Alg::Ps256 => RsaKeyPair::from_pkcs8(pkcs8).map(Pair::Pss),
        }
        .map_err(|_| KeyError::Malformed)?;
        let public = match &pair {
            Pair::Ed(pair) => Jwk::okp(pair.public_key().as_ref()),
            Pair::Ec(pair) => Jwk::ec(pair.public_key().as_ref()).ok_or(KeyError::Malformed)?,
            Pair::Rsa(pair) | Pair::Pss(pair) => {
                let key = pair.public_key();
                Jwk::rsa(
                    alg,
                    key.modulus().big_endian_without_leading_zero(),
                    key.exponent().big_endian_without_leading_zero(),
                )
            }
        };
        Ok(Self { pair, public })
    }

    /// The public half, with `kid`, `alg` and `use` set.
    pub fn public(&self) -> &Jwk {
        &self.public
    }

    /// The RFC 7638 thumbprint, used as `kid`.
    pub fn kid(&self) -> &str {
        self.public.kid.as_deref().unwrap_or_default()
    }

    /// The algorithm this key signs with.
    pub fn alg(&self) -> Alg {
        match self.pair {
            Pair::Ed(_) => Alg::EdDsa,
            Pair::Ec(_) => Alg::Es256,
            Pair::Rsa(_) => Alg::Rs256,
            Pair::Pss(_) => Alg::Ps256,
        }
    }

    /// The signature over `message` in its JWS form.
    pub fn sign(&self, message: &[u8]) -> Result<Vec<u8>, KeyError> {
        match &self.pair {
            Pair::Ed(pair) => Ok(pair.sign(message).as_ref().to_vec()),
            Pair::Ec(pair) => pair
                .sign(&SystemRandom::new(), message)
                .map(|signature| signature.as_ref().to_vec())
                .map_err(|_| KeyError::Unspecified),
            Pair::Rsa(pair) => sign_rsa(pair, &RSA_PKCS1_SHA256, message),
            Pair::Pss(pair) => sign_rsa(pair, &RSA_PSS_SHA256, message),
        }
    }
}

fn sign_rsa(
    pair: &RsaKeyPair,
    padding: &'static dyn RsaEncoding,
    message: &[u8],
) -> Result<Vec<u8>, KeyError> {
    let mut signature = vec![0; pair.public_modulus_len()];
    pair.sign(padding, &SystemRandom::new(), message, &mut signature)
        .map_err(|_| KeyError::Unspecified)?;
    Ok(signature)
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SigningKey").field("kid", &self.kid()).finish_non_exhaustive()
    }
}

/// A public key that was parsed once and checks signatures of exactly one algorithm.
#[derive(Clone)]
pub struct VerifyingKey {
    alg: Alg,
    kid: Option<String>,
    key: Arc<ParsedPublicKey>,
}

impl VerifyingKey {
    pub(crate) fn ed25519(kid: Option<String>, public: &[u8]) -> Option<Self> {
        if !is_proper_point(public) {
            return None;
        }
        let key = UnparsedPublicKey::new(&ED25519, public).parse().ok()?;
        Some(Self { alg: Alg::EdDsa, kid, key: Arc::new(key) })
    }

    pub(crate) fn p256(kid: Option<String>, point: &[u8]) -> Option<Self> {
        let key = UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, point).parse().ok()?;
        Some(Self { alg: Alg::Es256, kid, key: Arc::new(key) })
    }

    /// `alg` is one of the two for RSA.
    pub(crate) fn rsa(alg: Alg, kid: Option<String>, n: &[u8], e: &[u8]) -> Option<Self> {
        let components = RsaPublicKeyComponents { n, e };
        let scheme = match alg {
            Alg::Rs256 => &RSA_PKCS1_2048_8192_SHA256,
            Alg::Ps256 => &RSA_PSS_2048_8192_SHA256,
            Alg::EdDsa | Alg::Es256 => return None,
        };
        let key = components.to_parsed_public_key(scheme).ok()?;
        Some(Self { alg, kid, key: Arc::new(key) })
    }

    /// The one algorithm this key is for.
    pub fn alg(&self) -> Alg {
        self.alg
    }

    /// Its `kid`, if it has one.
    pub fn kid(&self) -> Option<&str> {
        self.kid.as_deref()
    }

    /// Whether `signature` is this key's over `message`.
    pub fn verify(&self, message: &[u8], signature: &[u8]) -> bool {
        self.key.verify_sig(message, signature).is_ok()
    }
}

/// y of the points whose order divides 8, as far as it is not near 0 or the prime (RFC 7748,
/// section 6.1, has the like for X25519). Signatures of such a key hold without a private key.
const SMALL_ORDER: [[u8; 32]; 2] = [
    [
        0x26, 0xe8, 0x95, 0x8f, 0xc2, 0xb2, 0x27, 0xb0, 0x45, 0xc3, 0xf4, 0x89, 0xf2, 0xef, 0x98,
        0xf0, 0xd5, 0xdf, 0xac, 0x05, 0xd3, 0xc6, 0x33, 0x39, 0xb1, 0x38, 0x02, 0x88, 0x6d, 0x53,
        0xfc, 0x05,
    ],
    [
        0xc7, 0x17, 0x6a, 0x70, 0x3d, 0x4d, 0xd8, 0x4f, 0xba, 0x3c, 0x0b, 0x76, 0x0d, 0x10, 0x67,
        0x0f, 0x2a, 0x20, 0x53, 0xfa, 0x2c, 0x39, 0xcc, 0xc6, 0x4e, 0xc7, 0xfd, 0x77, 0x92, 0xac,
        0x03, 0x7a,
    ],
];

/// Whether 32 bytes are the canonical form of a point that is not of small order.
fn is_proper_point(public: &[u8]) -> bool {
    let Ok(mut y) = <[u8; 32]>::try_from(public) else { return false };
    y[31] &= 0x7f;
    // 0 and 1; and from p - 1 = 2^255 - 20 on.
    let tiny = y[1..].iter().all(|byte| *byte == 0) && y[0] <= 1;
    let huge = y[31] == 0x7f && y[1..31].iter().all(|byte| *byte == 0xff) && y[0] >= 0xec;
    !tiny && !huge && !SMALL_ORDER.contains(&y)
}

impl fmt::Debug for VerifyingKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("VerifyingKey").field("alg", &self.alg).field("kid", &self.kid).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One thumbprint in 64 begins with a dash, so some of these would.
    #[test]
    fn no_name_looks_like_an_option() {
        for _ in 0..1_000 {
            let (key, pkcs8) = SigningKey::generate(Alg::EdDsa).unwrap();
            assert!(!key.kid().starts_with('-'));
            assert_eq!(SigningKey::from_pkcs8(Alg::EdDsa, &pkcs8).unwrap().kid(), key.kid());
        }
    }
}
