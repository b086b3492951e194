use std::hash::Hasher;

use siphasher::sip128::{Hasher128, SipHasher13};

use crate::{Entropy, random_array};

/// The key of a hash over something an attacker chooses, so that nobody can aim for one bucket.
#[derive(Clone)]
pub struct HashKey([u8; 16]);

impl HashKey {
    /// A key for the life of the process.
    pub fn new(entropy: &dyn Entropy) -> Self {
        Self(random_array(entropy))
    }

    /// A key that is the same after a restart.
    pub fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// A 128-bit fingerprint of `parts`. Each part is preceded by its length, so `["ab", "c"]` and
    /// `["a", "bc"]` differ.
    pub fn fingerprint(&self, parts: &[&[u8]]) -> u128 {
        let mut hasher = SipHasher13::new_with_key(&self.0);
        for part in parts {
            hasher.write_u64(part.len() as u64);
            hasher.write(part);
        }
        hasher.finish128().as_u128()
    }
}

impl std::fmt::Debug for HashKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("HashKey")
    }
}
