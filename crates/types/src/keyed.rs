use std::hash::Hasher;

use siphasher::{
    sip::SipHasher13 as SipHasher64,
    sip128::{Hasher128, SipHasher13},
};

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

    /// A 64-bit hash of some numbers and one text, for tables in memory: half the work of a
    /// fingerprint. How many numbers there are must follow from the first.
    pub fn hash(&self, numbers: &[u64], text: &[u8]) -> u64 {
        let mut hasher = SipHasher64::new_with_key(&self.0);
        numbers.iter().for_each(|number| hasher.write_u64(*number));
        hasher.write(text);
        hasher.finish()
    }
}

impl std::fmt::Debug for HashKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("HashKey")
    }
}
