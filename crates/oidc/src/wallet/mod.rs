//! Credentials for wallets: what was verified of a person, as something that they keep and show in part elsewhere
//! (OpenID for Verifiable Credential Issuance 1.0, SD-JWT VC).
//!
//! What a credential says is read from the identity that a workflow approved, when it is issued. How it stands is not
//! stored but looked at: it is good as long as that identity is known of that account.

mod http_api;
mod issue;
mod metadata;
mod offer;
mod status;

use std::time::Duration;

use aws_lc_rs::hmac;
use data_encoding::BASE64URL_NOPAD;
use portcullis_cluster::Replays;
use portcullis_types::{Entropy, Timestamp, random_array, same_secret};

pub(crate) use http_api::router;
pub use issue::HeldCredential;
pub use offer::{Offer, OfferError};
pub use status::PATH;
pub(crate) use status::Published;

/// What credentials are called in metadata and requests, and the scope that stands for them.
pub(crate) const CONFIGURATION: &str = "verified_person";
/// What they are.
pub const VCT: &str = "urn:portcullis:verified-person:1";
/// Credentials in one answer, each for another key, so that two verifiers cannot tell that they saw the same one.
const BATCH_MAX: usize = 10;

/// What operators set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CredentialSettings {
    /// How long credentials count.
    pub lifetime: Duration,
}

/// A nonce is new for this long.
const NONCE_PERIOD_SECS: i64 = 60;
/// And is accepted for so many periods, the one it was made in included.
const NONCE_PERIODS: i64 = 5;
/// Bytes of chance, and of the authenticator.
const CHANCE_BYTES: usize = 12;
const TAG_BYTES: usize = 16;

/// Nonces for proofs of keys. Everybody may ask for one, so they need no table: a nonce is its period and chance with
/// an authenticator. Each node remembers those that were used; what one could be used for again is another
/// credential about the same person for the same key.
#[derive(Debug)]
pub(crate) struct Nonces {
    key: hmac::Key,
    used: Replays,
}

impl Nonces {
    pub fn new(key: hmac::Key, entropy: &dyn Entropy) -> Self {
        let life = NONCE_PERIOD_SECS.unsigned_abs() * (NONCE_PERIODS.unsigned_abs() + 1);
        Self { key, used: Replays::new(Duration::from_secs(life), entropy) }
    }

    pub fn fresh(&self, now: Timestamp, entropy: &dyn Entropy) -> String {
        let period = now.secs().div_euclid(NONCE_PERIOD_SECS).to_be_bytes();
        self.seal(&[&period[..], &random_array::<CHANCE_BYTES>(entropy)].concat())
    }

    fn seal(&self, said: &[u8]) -> String {
        let tag = hmac::sign(&self.key, &[b"c_nonce", said].concat());
        BASE64URL_NOPAD.encode(&[said, &tag.as_ref()[..TAG_BYTES]].concat())
    }

    /// Whether it is one of ours that is fresh and was not used before.
    pub fn used_once(&self, nonce: &str, now: Timestamp) -> bool {
        let Ok(bytes) = BASE64URL_NOPAD.decode(nonce.as_bytes()) else { return false };
        let Some(said) = bytes.get(..8 + CHANCE_BYTES) else { return false };
        let Ok(period) = said[..8].try_into().map(i64::from_be_bytes) else { return false };
        let newest = now.secs().div_euclid(NONCE_PERIOD_SECS);
        (newest - NONCE_PERIODS + 1..=newest).contains(&period)
            && same_secret(self.seal(said).as_bytes(), nonce.as_bytes())
            && self.used.first(&[nonce], now)
    }
}

#[cfg(test)]
mod tests {
    use portcullis_testkit::{START, SeededEntropy};

    use super::*;

    #[test]
    fn a_nonce_is_good_once_for_five_periods_and_from_no_other_key() {
        let entropy = &*SeededEntropy::new(1);
        let key = |byte| hmac::Key::new(hmac::HMAC_SHA256, &[byte; 32]);
        let nonces = Nonces::new(key(1), entropy);
        let (first, second) = (nonces.fresh(START, entropy), nonces.fresh(START, entropy));
        assert_ne!(first, second);
        assert!(nonces.used_once(&first, START) && !nonces.used_once(&first, START));
        let period = Duration::from_secs(60);
        assert!(!nonces.used_once(&second, START.plus(period * 5)));
        assert!(!nonces.used_once(&second, START.minus(period)));
        assert!(nonces.used_once(&second, START.plus(period * 4)));
        let other = Nonces::new(key(2), entropy).fresh(START, entropy);
        for bad in [&other, "", "x", &first[1..], &"A".repeat(300)] {
            assert!(!nonces.used_once(bad, START), "{bad}");
        }
    }
}
