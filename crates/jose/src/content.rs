//! Content encryption (RFC 7518, section 5), and the derivation of its keys.

use aws_lc_rs::{
    aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey},
    cipher::{
        AES_128, DecryptionContext, EncryptionContext, PaddedBlockDecryptingKey,
        PaddedBlockEncryptingKey, UnboundCipherKey,
    },
    digest::{Context, SHA256},
    hmac,
    iv::FixedLength,
};
use portcullis_types::{Entropy, random_array};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::{JweError, jwe::same_tag};

/// How the content is encrypted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Enc {
    /// AES-256 in Galois/counter mode.
    #[serde(rename = "A256GCM")]
    A256Gcm,
    /// AES-128 in CBC mode, then HMAC with SHA-256: what every library has.
    #[serde(rename = "A128CBC-HS256")]
    A128CbcHs256,
}

const GCM_TAG_BYTES: usize = 16;
const CBC_IV_BYTES: usize = 16;
/// Half of an HMAC-SHA-256.
const CBC_TAG_BYTES: usize = 16;

impl Enc {
    /// Both.
    pub const ALL: [Self; 2] = [Self::A256Gcm, Self::A128CbcHs256];

    /// The name in the IANA registry.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::A256Gcm => "A256GCM",
            Self::A128CbcHs256 => "A128CBC-HS256",
        }
    }

    /// Reads a registered name.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|enc| enc.as_str() == name)
    }

    /// Bytes of a content key.
    pub(crate) fn key_bytes(self) -> usize {
        32
    }
}

/// The last three parts of a JWE.
pub(crate) struct Sealed {
    pub iv: Vec<u8>,
    pub ciphertext: Vec<u8>,
    pub tag: Vec<u8>,
}

pub(crate) fn seal(
    enc: Enc,
    key: &[u8],
    header: &[u8],
    plaintext: &[u8],
    entropy: &dyn Entropy,
) -> Result<Sealed, JweError> {
    let failed = |_| JweError::Unspecified;
    match enc {
        Enc::A256Gcm => {
            let iv = random_array::<NONCE_LEN>(entropy);
            let key = LessSafeKey::new(UnboundKey::new(&AES_256_GCM, key).map_err(failed)?);
            let mut ciphertext = plaintext.to_vec();
            let nonce = Nonce::assume_unique_for_key(iv);
            let tag = key.seal_in_place_separate_tag(nonce, Aad::from(header), &mut ciphertext);
            let tag = tag.map_err(failed)?.as_ref().to_vec();
            Ok(Sealed { iv: iv.to_vec(), ciphertext, tag })
        }
        Enc::A128CbcHs256 => {
            let iv = random_array::<CBC_IV_BYTES>(entropy);
            let (mac, cipher) = key.split_at_checked(16).ok_or(JweError::Unspecified)?;
            let cipher = UnboundCipherKey::new(&AES_128, cipher).map_err(failed)?;
            let cipher = PaddedBlockEncryptingKey::cbc_pkcs7(cipher).map_err(failed)?;
            let mut ciphertext = plaintext.to_vec();
            let context = EncryptionContext::Iv128(FixedLength::from(iv));
            cipher.less_safe_encrypt(&mut ciphertext, context).map_err(failed)?;
            let tag = cbc_tag(mac, header, &iv, &ciphertext);
            Ok(Sealed { iv: iv.to_vec(), ciphertext, tag })
        }
    }
}

pub(crate) fn open(
    enc: Enc,
    key: &[u8],
    header: &[u8],
    sealed: Sealed,
) -> Result<Zeroizing<Vec<u8>>, JweError> {
    let failed = |_| JweError::Decrypt;
    let Sealed { iv, ciphertext, tag } = sealed;
    match enc {
        Enc::A256Gcm => {
            let iv: [u8; NONCE_LEN] = iv.try_into().map_err(|_| JweError::Decrypt)?;
            if tag.len() != GCM_TAG_BYTES {
                return Err(JweError::Decrypt);
            }
            let key = LessSafeKey::new(UnboundKey::new(&AES_256_GCM, key).map_err(failed)?);
            let mut buffer = Zeroizing::new([ciphertext, tag].concat());
            let nonce = Nonce::assume_unique_for_key(iv);
            let opened =
                key.open_in_place(nonce, Aad::from(header), &mut buffer).map_err(failed)?;
            Ok(Zeroizing::new(opened.to_vec()))
        }
        Enc::A128CbcHs256 => {
            let iv: [u8; CBC_IV_BYTES] = iv.try_into().map_err(|_| JweError::Decrypt)?;
            let (mac, cipher) = key.split_at_checked(16).ok_or(JweError::Decrypt)?;
            // Before anything else: the padding of what was changed must not be looked at.
            if !same_tag(&cbc_tag(mac, header, &iv, &ciphertext), &tag) {
                return Err(JweError::Decrypt);
            }
            let cipher = UnboundCipherKey::new(&AES_128, cipher).map_err(failed)?;
            let cipher = PaddedBlockDecryptingKey::cbc_pkcs7(cipher).map_err(failed)?;
            let mut buffer = Zeroizing::new(ciphertext);
            let context = DecryptionContext::Iv128(FixedLength::from(iv));
            let opened = cipher.decrypt(&mut buffer, context).map_err(failed)?;
            Ok(Zeroizing::new(opened.to_vec()))
        }
    }
}

/// RFC 7518, section 5.2.2.1.
fn cbc_tag(key: &[u8], header: &[u8], iv: &[u8], ciphertext: &[u8]) -> Vec<u8> {
    let mut context = hmac::Context::with_key(&hmac::Key::new(hmac::HMAC_SHA256, key));
    context.update(header);
    context.update(iv);
    context.update(ciphertext);
    let bits = u64::try_from(header.len()).unwrap_or(u64::MAX).saturating_mul(8);
    context.update(&bits.to_be_bytes());
    context.sign().as_ref()[..CBC_TAG_BYTES].to_vec()
}

/// The single-step key derivation of NIST SP 800-56A, section 5.8.1, as RFC 7518, section 4.6.2,
/// uses it, for at most one block of SHA-256 and without party information.
pub(crate) fn concat_kdf(shared: &[u8], algorithm: &str, bytes: usize) -> Zeroizing<Vec<u8>> {
    derive(shared, algorithm, b"", b"", bytes)
}

fn derive(
    shared: &[u8],
    algorithm: &str,
    from: &[u8],
    to: &[u8],
    bytes: usize,
) -> Zeroizing<Vec<u8>> {
    let length = |part: &[u8]| u32::try_from(part.len()).unwrap_or(u32::MAX).to_be_bytes();
    let mut context = Context::new(&SHA256);
    context.update(&1_u32.to_be_bytes());
    context.update(shared);
    for part in [algorithm.as_bytes(), from, to] {
        context.update(&length(part));
        context.update(part);
    }
    let bits = u32::try_from(bytes * 8).unwrap_or(u32::MAX);
    context.update(&bits.to_be_bytes());
    let digest = context.finish();
    Zeroizing::new(digest.as_ref()[..bytes.min(32)].to_vec())
}

#[cfg(test)]
mod tests {
    use data_encoding::BASE64URL_NOPAD;

    use super::*;

    /// RFC 7518, appendix C.
    #[test]
    fn keys_are_derived_as_in_the_rfc() {
        let shared = [
            158, 86, 217, 29, 129, 113, 53, 211, 114, 131, 66, 131, 191, 132, 38, 156, 251, 49,
            110, 163, 218, 128, 106, 72, 246, 218, 167, 121, 140, 254, 144, 196,
        ];
        let key = derive(&shared, "A128GCM", b"Alice", b"Bob", 16);
        assert_eq!(BASE64URL_NOPAD.encode(&key), "VqqN6vgjbSBcIijNcacQGg");
    }

    /// RFC 7516, appendix B.
    #[test]
    fn tags_are_made_as_in_the_rfc() {
        let mac = [4, 211, 31, 197, 84, 157, 252, 254, 11, 100, 157, 250, 63, 170, 106, 206];
        let header = b"eyJhbGciOiJBMTI4S1ciLCJlbmMiOiJBMTI4Q0JDLUhTMjU2In0";
        let iv = [3, 22, 60, 12, 43, 67, 104, 105, 108, 108, 105, 99, 111, 116, 104, 101];
        let ciphertext =
            BASE64URL_NOPAD.decode(b"KDlTtXchhZTGufMYmOYGS4HffxPSUrfmqCHXaI9wOGY").unwrap();
        let tag = cbc_tag(&mac, header, &iv, &ciphertext);
        assert_eq!(BASE64URL_NOPAD.encode(&tag), "U0m_YmjN04DJvceFICbCVQ");
    }
}
