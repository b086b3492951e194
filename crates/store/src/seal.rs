use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use portcullis_types::{Entropy, random_array};

/// Bytes of the key-encryption key.
pub const KEY_BYTES: usize = 32;

/// A sealed value could not be made or opened.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum SealError {
    /// The key is not [`KEY_BYTES`] long.
    #[error("the key-encryption key must be {KEY_BYTES} bytes")]
    Key,
    /// The value was sealed under another key or for another purpose, or was changed.
    #[error("the sealed value cannot be opened with this key")]
    Open,
}

/// Seals secrets at rest with AES-256-GCM under the key-encryption key.
///
/// The purpose is authenticated with the value, so that a sealed key cannot be put in the place of
/// a sealed mail.
pub struct Sealer(LessSafeKey);

impl Sealer {
    /// From the key-encryption key.
    pub fn new(key: &[u8]) -> Result<Self, SealError> {
        let key = UnboundKey::new(&AES_256_GCM, key).map_err(|_| SealError::Key)?;
        Ok(Self(LessSafeKey::new(key)))
    }

    /// Nonce and ciphertext. A random 96-bit nonce is safe for the few million values one key
    /// ever seals.
    pub fn seal(
        &self,
        purpose: &str,
        value: &[u8],
        entropy: &dyn Entropy,
    ) -> Result<Vec<u8>, SealError> {
        let nonce = random_array::<NONCE_LEN>(entropy);
        let mut sealed = value.to_vec();
        self.0
            .seal_in_place_append_tag(
                Nonce::assume_unique_for_key(nonce),
                Aad::from(purpose.as_bytes()),
                &mut sealed,
            )
            .map_err(|_| SealError::Key)?;
        Ok([nonce.as_slice(), &sealed].concat())
    }

    /// The value that was sealed for `purpose`.
    pub fn open(&self, purpose: &str, sealed: &[u8]) -> Result<Vec<u8>, SealError> {
        let (nonce, ciphertext) = sealed.split_first_chunk::<NONCE_LEN>().ok_or(SealError::Open)?;
        let mut buffer = ciphertext.to_vec();
        let nonce = Nonce::assume_unique_for_key(*nonce);
        let opened = self
            .0
            .open_in_place(nonce, Aad::from(purpose.as_bytes()), &mut buffer)
            .map_err(|_| SealError::Open)?;
        Ok(opened.to_vec())
    }
}

impl std::fmt::Debug for Sealer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Sealer")
    }
}
