use data_encoding::BASE32_NOPAD;
use portcullis_types::{Entropy, Secret, random_array};

use crate::token_hash;

/// Characters of the random part: 20 bytes, 160 bits.
const RANDOM_CHARS: usize = 32;
/// Characters of the checksum.
const CHECK_CHARS: usize = 6;
/// Characters kept to tell credentials apart.
const HINT_CHARS: usize = 4;

/// A secret for a machine: prefix, 160 random bits and a checksum, as in `pck_…`.
///
/// The prefix lets secret scanners recognise it, the checksum lets them (and us) tell a real one
/// from a similar text without asking the database. Only the hash is stored.
#[derive(Debug)]
pub struct Credential {
    /// The secret itself, shown once.
    pub text: Secret<String>,
    /// What is stored.
    pub hash: Vec<u8>,
    /// Its last characters.
    pub hint: String,
}

/// The prefix of API keys.
pub const API_KEY_PREFIX: &str = "pck_";
/// The prefix of tokens that are good for one certificate.
pub const ENROLMENT_PREFIX: &str = "pce_";
/// The prefix of client secrets.
pub const CLIENT_SECRET_PREFIX: &str = "pcs_";

impl Credential {
    /// A fresh one.
    pub fn new(prefix: &str, entropy: &dyn Entropy) -> Self {
        let random = BASE32_NOPAD.encode(&random_array::<20>(entropy)).to_ascii_lowercase();
        let text = format!("{prefix}{random}{}", check(prefix, &random));
        let hint = text[text.len() - HINT_CHARS..].to_owned();
        Self { hash: token_hash(&text), text: Secret::new(text), hint }
    }
}

/// Whether `text` has the form of a credential with this prefix, checksum included.
pub fn is_well_formed(prefix: &str, text: &str) -> bool {
    let Some(body) = text.strip_prefix(prefix) else {
        return false;
    };
    let plain = body.len() == RANDOM_CHARS + CHECK_CHARS && body.is_ascii();
    plain && check(prefix, &body[..RANDOM_CHARS]) == body[RANDOM_CHARS..]
}

fn check(prefix: &str, random: &str) -> String {
    let hash = token_hash(&format!("{prefix}{random}"));
    BASE32_NOPAD.encode(&hash)[..CHECK_CHARS].to_ascii_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug)]
    struct Zero;
    impl Entropy for Zero {
        fn fill(&self, out: &mut [u8]) {
            out.fill(5);
        }
    }

    #[test]
    fn the_checksum_tells_real_ones_from_typos() {
        let credential = Credential::new(API_KEY_PREFIX, &Zero);
        let text = credential.text.expose().clone();
        assert!(is_well_formed(API_KEY_PREFIX, &text));
        assert!(!is_well_formed(CLIENT_SECRET_PREFIX, &text));
        assert!(!is_well_formed(API_KEY_PREFIX, &text.replace('a', "b")));
        assert!(!is_well_formed(API_KEY_PREFIX, &text[..text.len() - 1]));
        assert!(!is_well_formed(API_KEY_PREFIX, "pck_é"));
        assert!(text.ends_with(&credential.hint));
    }
}
