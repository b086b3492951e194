use std::{fmt, sync::Arc};

use data_encoding::BASE64URL_NOPAD;

/// Where random bytes come from. The server uses the system's generator; tests use a seeded one.
pub trait Entropy: Send + Sync + fmt::Debug {
    /// Fills `out` with bytes nobody can predict.
    fn fill(&self, out: &mut [u8]);
}

/// A source of randomness that many parts hold.
pub type SharedEntropy = Arc<dyn Entropy>;

/// `N` random bytes.
pub fn random_array<const N: usize>(entropy: &dyn Entropy) -> [u8; N] {
    let mut bytes = [0; N];
    entropy.fill(&mut bytes);
    bytes
}

/// A 256-bit random token, base64url without padding (43 characters).
pub fn random_token(entropy: &dyn Entropy) -> String {
    BASE64URL_NOPAD.encode(&random_array::<32>(entropy))
}
