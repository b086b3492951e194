//! Passwords that another system hashed. They are checked as they are, once, and hashed anew at the
//! first login that shows them.

use std::num::NonZeroU32;

use argon2::{Params, PasswordHash};
use aws_lc_rs::{
    constant_time::verify_slices_are_equal,
    pbkdf2::{self, PBKDF2_HMAC_SHA1, PBKDF2_HMAC_SHA256, PBKDF2_HMAC_SHA512},
};
use data_encoding::{BASE64, BASE64_NOPAD};

use crate::HashError;

/// What a check may cost at most, so that a file of hashes cannot make logins a weapon: about a
/// second, and the memory of a few hundred MiB.
const MAX_BCRYPT_COST: u32 = 14;
/// bcrypt reads no more of a password.
const BCRYPT_BYTES: usize = 72;
const MAX_PBKDF2_ITERATIONS: u32 = 3_000_000;
const MAX_SCRYPT_LOG_N: u8 = 18;
const MAX_SCRYPT_R: u32 = 16;
const MAX_SCRYPT_P: u32 = 4;
/// The work of scrypt is N times r times p, its memory N times r; both in blocks of 128 bytes.
const MAX_SCRYPT_WORK: u64 = 1 << 22;
const MAX_SCRYPT_BLOCKS: u64 = 1 << 21;
const MAX_ARGON2_KIB: u32 = 256 * 1024;
const MAX_ARGON2_PASSES: u32 = 16;
/// The work of argon2 is memory times passes.
const MAX_ARGON2_WORK: u32 = 1024 * 1024;
const MAX_SALT_BYTES: usize = 64;
const TAG_BYTES: std::ops::RangeInclusive<usize> = 16..=64;
/// Longer texts are no hash.
const MAX_CHARS: usize = 512;

/// A hash that we can check but would not make.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum ForeignHash {
    Bcrypt(String),
    Scrypt { log_n: u8, r: u32, p: u32, salt: Vec<u8>, tag: Vec<u8> },
    Pbkdf2 { digest: Digest, iterations: NonZeroU32, salt: Vec<u8>, tag: Vec<u8> },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Digest {
    Sha1,
    Sha256,
    Sha512,
}

/// A text is no hash that could be checked here.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum HashFormatError {
    /// Not one of the formats.
    #[error("is not a bcrypt, scrypt, PBKDF2 or argon2 hash in a known format")]
    Format,
    /// Checking it would cost too much.
    #[error("would cost more to check than a login may")]
    Cost,
}

/// Whether a text is a hash that a login can check.
pub fn check_password_hash(text: &str) -> Result<(), HashFormatError> {
    if text.len() > MAX_CHARS {
        return Err(HashFormatError::Format);
    }
    if text.starts_with("$argon2") {
        return check_argon2(text);
    }
    ForeignHash::parse(text).map(drop)
}

fn check_argon2(text: &str) -> Result<(), HashFormatError> {
    let parsed = PasswordHash::new(text).map_err(|_| HashFormatError::Format)?;
    let known = ["argon2id", "argon2i", "argon2d"].contains(&parsed.algorithm.as_str());
    let params = Params::try_from(&parsed).ok().filter(|_| known).ok_or(HashFormatError::Format)?;
    let complete = parsed.salt.is_some() && parsed.hash.is_some_and(|tag| tag.len() >= 16);
    let (memory, passes) = (params.m_cost(), params.t_cost());
    if !complete {
        Err(HashFormatError::Format)
    } else if memory > MAX_ARGON2_KIB
        || passes > MAX_ARGON2_PASSES
        || memory.saturating_mul(passes) > MAX_ARGON2_WORK
    {
        Err(HashFormatError::Cost)
    } else {
        Ok(())
    }
}

impl ForeignHash {
    /// Reads a hash: `$2b$…` (bcrypt), `$scrypt$ln=…,r=…,p=…$…$…`, `$pbkdf2-sha256$…$…$…` (with `i=`,
    /// or as passlib writes it), `pbkdf2_sha256$…$…$…` (Django).
    pub fn parse(text: &str) -> Result<Self, HashFormatError> {
        let parts: Vec<&str> = text.split('$').collect();
        match parts.as_slice() {
            ["", "2a" | "2b" | "2y", cost, _] => bcrypt(text, cost),
            ["", "scrypt", parameters, salt, tag] => scrypt(parameters, salt, tag),
            ["", name, iterations, salt, tag] if name.starts_with("pbkdf2") => {
                let iterations = iterations.strip_prefix("i=").unwrap_or(iterations);
                pbkdf2(name.strip_prefix("pbkdf2-"), iterations, unpadded(salt), unpadded(tag))
            }
            // Django uses the letters of the salt themselves.
            [name, iterations, salt, tag] if name.starts_with("pbkdf2_") => {
                let tag = BASE64.decode(tag.as_bytes()).ok();
                let salt = Some(salt.as_bytes().to_vec());
                pbkdf2(name.strip_prefix("pbkdf2_"), iterations, salt, tag)
            }
            _ => Err(HashFormatError::Format),
        }
    }

    /// Whether the hash is of all of `password`: bcrypt reads 72 bytes. What follows them was never
    /// checked, so it must not become part of a new hash.
    pub fn is_of_all(&self, password: &str) -> bool {
        !matches!(self, Self::Bcrypt(_)) || password.len() <= BCRYPT_BYTES
    }

    /// Whether `password` is the one that was hashed.
    pub fn matches(&self, password: &str) -> Result<bool, HashError> {
        let password = password.as_bytes();
        match self {
            Self::Bcrypt(text) => bcrypt::verify(password, text).map_err(|_| HashError::Failed),
            Self::Scrypt { log_n, r, p, salt, tag } => {
                let params = scrypt::Params::new(*log_n, *r, *p).map_err(|_| HashError::Failed)?;
                let mut own = vec![0; tag.len()];
                scrypt::scrypt(password, salt, &params, &mut own).map_err(|_| HashError::Failed)?;
                Ok(verify_slices_are_equal(&own, tag).is_ok())
            }
            Self::Pbkdf2 { digest, iterations, salt, tag } => {
                let algorithm = match digest {
                    Digest::Sha1 => PBKDF2_HMAC_SHA1,
                    Digest::Sha256 => PBKDF2_HMAC_SHA256,
                    Digest::Sha512 => PBKDF2_HMAC_SHA512,
                };
                Ok(pbkdf2::verify(algorithm, *iterations, salt, password, tag).is_ok())
            }
        }
    }
}

fn bcrypt(text: &str, cost: &str) -> Result<ForeignHash, HashFormatError> {
    // 22 characters of salt, 31 of hash, all of bcrypt's own alphabet.
    let letters = text.get(7..).unwrap_or_default();
    let known = |b: u8| b.is_ascii_alphanumeric() || b == b'.' || b == b'/';
    if text.len() != 60 || !letters.bytes().all(known) || cost.len() != 2 {
        return Err(HashFormatError::Format);
    }
    match cost.parse::<u32>() {
        Ok(cost) if cost > MAX_BCRYPT_COST => Err(HashFormatError::Cost),
        Ok(4..) => Ok(ForeignHash::Bcrypt(text.to_owned())),
        _ => Err(HashFormatError::Format),
    }
}

fn scrypt(parameters: &str, salt: &str, tag: &str) -> Result<ForeignHash, HashFormatError> {
    let mut parts = parameters.split(',');
    let mut number = |name: &str| {
        let text = parts.next()?.strip_prefix(name)?.strip_prefix('=')?;
        text.parse::<u32>().ok()
    };
    let all = (number("ln"), number("r"), number("p"));
    let (Some(log_n), Some(r), Some(p)) = all else { return Err(HashFormatError::Format) };
    let log_n = u8::try_from(log_n).unwrap_or(u8::MAX);
    let (salt, tag) = sized(unpadded(salt), unpadded(tag))?;
    if log_n > MAX_SCRYPT_LOG_N || r > MAX_SCRYPT_R || p > MAX_SCRYPT_P {
        return Err(HashFormatError::Cost);
    }
    let blocks = u64::from(r) << log_n;
    if blocks > MAX_SCRYPT_BLOCKS || blocks * u64::from(p) > MAX_SCRYPT_WORK {
        return Err(HashFormatError::Cost);
    }
    scrypt::Params::new(log_n, r, p).map_err(|_| HashFormatError::Format)?;
    Ok(ForeignHash::Scrypt { log_n, r, p, salt, tag })
}

fn pbkdf2(
    digest: Option<&str>,
    iterations: &str,
    salt: Option<Vec<u8>>,
    tag: Option<Vec<u8>>,
) -> Result<ForeignHash, HashFormatError> {
    let digest = match digest {
        Some("sha1") => Digest::Sha1,
        Some("sha256") => Digest::Sha256,
        Some("sha512") => Digest::Sha512,
        // passlib's name for SHA-1 is no name at all.
        None => Digest::Sha1,
        Some(_) => return Err(HashFormatError::Format),
    };
    let iterations: NonZeroU32 = iterations.parse().map_err(|_| HashFormatError::Format)?;
    let (salt, tag) = sized(salt, tag)?;
    let of_digest = match digest {
        Digest::Sha1 => 20,
        Digest::Sha256 => 32,
        Digest::Sha512 => 64,
    };
    // Every block of the tag costs all iterations.
    let blocks = u32::try_from(tag.len().div_ceil(of_digest)).unwrap_or(u32::MAX);
    if iterations.get().saturating_mul(blocks) > MAX_PBKDF2_ITERATIONS {
        return Err(HashFormatError::Cost);
    }
    Ok(ForeignHash::Pbkdf2 { digest, iterations, salt, tag })
}

fn sized(
    salt: Option<Vec<u8>>,
    tag: Option<Vec<u8>>,
) -> Result<(Vec<u8>, Vec<u8>), HashFormatError> {
    let salt = salt.filter(|salt| (1..=MAX_SALT_BYTES).contains(&salt.len()));
    let tag = tag.filter(|tag| TAG_BYTES.contains(&tag.len()));
    salt.zip(tag).ok_or(HashFormatError::Format)
}

/// Base 64 as PHC strings have it; passlib writes `.` for `+`.
fn unpadded(text: &str) -> Option<Vec<u8>> {
    BASE64_NOPAD.decode(text.trim_end_matches('=').replace('.', "+").as_bytes()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The vector of the reference implementation for `U*U`.
    const U_STAR_U: &str = "$2b$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW";

    #[test]
    fn u_star_u_is_the_published_vector_of_bcrypt() {
        let hash = ForeignHash::parse(U_STAR_U).unwrap();
        assert!(hash.matches("U*U").unwrap());
        assert!(!hash.matches("U*V").unwrap());
    }

    #[test]
    fn rfc_7914_vectors_of_scrypt_and_pbkdf2() {
        let tag = BASE64_NOPAD.encode(
            &data_encoding::HEXLOWER
                .decode(
                    b"7023bdcb3afd7348461c06cd81fd38ebfda8fbba904f8e3ea9b543f6545da1f2\
                      d5432955613f0fcf62d49705242a9af9e61e85dc0d651e40dfcf017b45575887",
                )
                .unwrap(),
        );
        let salt = BASE64_NOPAD.encode(b"SodiumChloride");
        let hash = ForeignHash::parse(&format!("$scrypt$ln=14,r=8,p=1${salt}${tag}")).unwrap();
        assert!(hash.matches("pleaseletmein").unwrap());
        assert!(!hash.matches("pleaseletmeout").unwrap());

        let tag = BASE64_NOPAD.encode(
            &data_encoding::HEXLOWER
                .decode(
                    b"4ddcd8f60b98be21830cee5ef22701f9641a4418d04c0414aeff08876b34ab56\
                      a1d425a1225833549adb841b51c9b3176a272bdebba1d078478f62b397f33c8d",
                )
                .unwrap(),
        );
        let salt = BASE64_NOPAD.encode(b"NaCl");
        for text in [
            format!("$pbkdf2-sha256$i=80000${salt}${tag}"),
            format!("$pbkdf2-sha256$80000${salt}${tag}"),
            format!("pbkdf2_sha256$80000$NaCl${tag}=="),
        ] {
            let hash = ForeignHash::parse(&text).unwrap_or_else(|e| panic!("{text}: {e}"));
            assert!(hash.matches("Password").unwrap(), "{text}");
            assert!(!hash.matches("password").unwrap(), "{text}");
        }
    }

    #[test]
    fn what_costs_too_much_is_told_from_what_is_no_hash() {
        let tag = BASE64_NOPAD.encode(&[7; 32]);
        for text in [
            "$2b$15$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW".to_owned(),
            format!("$scrypt$ln=19,r=8,p=1${tag}${tag}"),
            format!("$scrypt$ln=10,r=8,p=900${tag}${tag}"),
            format!("$scrypt$ln=18,r=16,p=1${tag}${tag}"),
            format!("$scrypt$ln=18,r=8,p=4${tag}${tag}"),
            format!("$pbkdf2-sha1$i=2000000${tag}${tag}"),
            format!("$pbkdf2-sha256$i=3000001${tag}${tag}"),
            format!("$argon2id$v=19$m=2097152,t=1,p=1${tag}${tag}"),
            format!("$argon2id$v=19$m=262144,t=16,p=1${tag}${tag}"),
        ] {
            assert_eq!(check_password_hash(&text), Err(HashFormatError::Cost), "{text}");
        }
        for text in [
            "",
            "secret",
            "$",
            "$2b$05$short",
            // Its letters beyond ASCII were hashed wrongly, which nothing here repeats.
            "$2x$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW",
            "$2b$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyO\u{e9}",
            "$2b$03$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW",
            "$pbkdf2-md5$i=1$c2FsdA$c2FsdHNhbHRzYWx0c2FsdA",
            "$pbkdf2-sha256$i=0$c2FsdA$c2FsdHNhbHRzYWx0c2FsdA",
            "$pbkdf2-sha256$i=10$c2FsdA$dGlueQ",
            "$scrypt$r=8,ln=10,p=1$c2FsdA$c2FsdHNhbHRzYWx0c2FsdA",
            "$argon2id$v=19$m=8,t=1,p=1",
            "$argon2xx$v=19$m=8,t=1,p=1$c2FsdHNhbHQ$c2FsdHNhbHRzYWx0c2FsdA",
        ] {
            assert_eq!(check_password_hash(text), Err(HashFormatError::Format), "{text}");
        }
        assert_eq!(check_password_hash(&"$".repeat(600)), Err(HashFormatError::Format));
        let fine = format!("$argon2id$v=19$m=19456,t=2,p=1${tag}${tag}");
        assert_eq!(check_password_hash(&fine), Ok(()));
    }
}
