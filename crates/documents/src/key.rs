//! Public keys and signatures of certificates, whatever the algorithm.

use crate::{
    Malformed,
    der::{self, Algorithm, Reader, tag},
    digest::Hash,
    ec::EcKey,
    rsa::{Pss, RsaKey, pss_parameters},
};

const RSA: [u8; 8] = [0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01];
const EC_KEY: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01];
const ECDSA: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04];
/// `ecdsa-plain-signatures` of BSI TR-03111.
const ECDSA_PLAIN: &[u8] = &[0x04, 0x00, 0x7f, 0x00, 0x07, 0x01, 0x01, 0x04, 0x01];

/// A public key.
#[derive(Clone, Debug)]
pub enum PublicKey {
    /// Of RSA.
    Rsa(RsaKey),
    /// Of an elliptic curve.
    Ec(EcKey),
}

/// How something was signed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Scheme {
    /// RSASSA-PKCS1-v1_5.
    Pkcs1(Hash),
    /// RSASSA-PSS.
    Pss(Pss),
    /// ECDSA, with two numbers in a sequence.
    Ecdsa(Hash),
    /// ECDSA, with two numbers side by side.
    EcdsaPlain(Hash),
}

impl PublicKey {
    /// A `SubjectPublicKeyInfo` (RFC 5280, 4.1.2.7).
    pub fn read(bytes: &[u8]) -> Result<Self, Malformed> {
        let mut inside = der::only(bytes, tag::SEQUENCE)?;
        let mut algorithm = Algorithm::read(&mut inside)?;
        let key = inside.bits()?;
        inside.end()?;
        match algorithm.oid {
            EC_KEY => Ok(Self::Ec(EcKey::read(algorithm.parameters.any()?, key)?)),
            // Some say that a key is for PSS and sign otherwise; what counts is what each signature says.
            [start @ .., 1 | 0x0a] if start == RSA => Ok(Self::Rsa(RsaKey::read(key)?)),
            _ => Err(Malformed("a public key is neither RSA nor on a curve")),
        }
    }

    /// Its kind and size, for people.
    pub fn describe(&self) -> String {
        match self {
            Self::Rsa(key) => format!("RSA {}", key.bits()),
            Self::Ec(key) => format!("EC {}", key.curve().name),
        }
    }

    /// Whether it made this signature of a message.
    pub fn verifies(&self, scheme: Scheme, message: &[u8], signature: &[u8]) -> bool {
        // What is long is not read for a key of another kind.
        let digest = || scheme.hash().of(&[message]);
        match (self, scheme) {
            (Self::Rsa(key), Scheme::Pkcs1(hash)) => key.verifies_pkcs1(hash, &digest(), signature),
            (Self::Rsa(key), Scheme::Pss(pss)) => key.verifies_pss(pss, &digest(), signature),
            (Self::Ec(key), Scheme::Ecdsa(_)) => key.verifies_der(&digest(), signature),
            (Self::Ec(key), Scheme::EcdsaPlain(_)) => key.verifies_plain(&digest(), signature),
            _ => false,
        }
    }
}

impl Scheme {
    /// An `AlgorithmIdentifier`. In CMS it may name the key alone and leave the hash to the digest algorithm.
    pub fn read(algorithm: Algorithm<'_>, digest: Option<Hash>) -> Result<Self, Malformed> {
        let unknown = Malformed("a signature algorithm is not known");
        let sha2 = |number: u8| match number {
            1 => Ok(Hash::Sha224),
            2 => Ok(Hash::Sha256),
            3 => Ok(Hash::Sha384),
            4 => Ok(Hash::Sha512),
            _ => Err(unknown),
        };
        match algorithm.oid {
            EC_KEY => digest.map(Self::Ecdsa).ok_or(unknown),
            [start @ .., 1] if start == ECDSA => Ok(Self::Ecdsa(Hash::Sha1)),
            [start @ .., 3, number] if start == ECDSA => Ok(Self::Ecdsa(sha2(*number)?)),
            [start @ .., number @ 1..=5] if start == ECDSA_PLAIN => {
                Ok(Self::EcdsaPlain(Hash::ALL[usize::from(*number) - 1]))
            }
            [start @ .., number] if start == RSA => match number {
                1 => digest.map(Self::Pkcs1).ok_or(unknown),
                5 => Ok(Self::Pkcs1(Hash::Sha1)),
                0x0a => Ok(Self::Pss(pss_parameters(algorithm.parameters)?)),
                0x0b => Ok(Self::Pkcs1(Hash::Sha256)),
                0x0c => Ok(Self::Pkcs1(Hash::Sha384)),
                0x0d => Ok(Self::Pkcs1(Hash::Sha512)),
                0x0e => Ok(Self::Pkcs1(Hash::Sha224)),
                _ => Err(unknown),
            },
            _ => Err(unknown),
        }
    }

    /// Of a whole `AlgorithmIdentifier`.
    pub fn of(bytes: &[u8]) -> Result<Self, Malformed> {
        Self::read(Algorithm::read(&mut Reader::new(bytes))?, None)
    }

    /// Its hash function.
    pub fn hash(self) -> Hash {
        match self {
            Self::Pkcs1(hash) | Self::Ecdsa(hash) | Self::EcdsaPlain(hash) => hash,
            Self::Pss(pss) => pss.hash,
        }
    }

    /// For people.
    pub fn describe(self) -> String {
        let name = match self {
            Self::Pkcs1(_) => "RSASSA-PKCS1-v1_5",
            Self::Pss(_) => "RSASSA-PSS",
            Self::Ecdsa(_) | Self::EcdsaPlain(_) => "ECDSA",
        };
        format!("{name} with {}", self.hash().name())
    }
}
