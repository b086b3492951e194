//! Active authentication (ICAO 9303-11, 6.1): the chip has the key to what was signed, which no copy has.

use super::{Files, Passive};
use crate::{
    Hash, Malformed, PublicKey, Scheme,
    finding::{Code, Finding},
    lds,
};

/// Bytes of a challenge.
pub const CHALLENGE_BYTES: usize = 8;

/// What a chip answered.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Active {
    /// It has the key; its kind, and the hash function of the answer.
    Passed {
        /// Kind and size.
        key: String,
        /// Of the answer.
        hash: Hash,
    },
    /// It does not, or the key is not the one that was signed.
    Failed(Finding),
    /// It was not asked, or has no key.
    NotPerformed(Finding),
}

/// Verifies the answer to a challenge that was made for this chip and for no other. Data group 15, and 14 if it
/// is given, must be what was signed: anybody can answer with a key of their own.
pub fn active(files: &Files, passive: &Passive, asked: Option<(&[u8], &[u8])>) -> Active {
    let signed = passive.groups.iter().any(|(number, _)| *number == 15);
    let Some((challenge, response)) = asked else {
        let code =
            if signed { Code::CopyNotExcluded } else { Code::ActiveAuthenticationUnsupported };
        return Active::NotPerformed(code.into());
    };
    let wrong = |why: &str| Active::Failed(Finding::of(Code::ActiveAuthenticationWrong, why));
    let unreadable = |number: u8, Malformed(why): Malformed| {
        Active::Failed(Finding::of(Code::GroupUnreadable, format!("{number}: {why}")))
    };
    if challenge.len() != CHALLENGE_BYTES {
        return wrong("a challenge has eight bytes");
    }
    let Some(file) = files.groups.get(&15).filter(|_| passive.is_signed(15)) else {
        return wrong("data group 15 is not given as it was signed");
    };
    let key = match lds::authentication_key(file) {
        Ok(key) => key,
        Err(why) => return unreadable(15, why),
    };
    let scheme = match files.groups.get(&14).filter(|_| passive.is_signed(14)) {
        Some(file) if matches!(key, PublicKey::Ec(_)) => match lds::authentication_scheme(file) {
            Ok(scheme) => scheme,
            Err(why) => return unreadable(14, why),
        },
        _ => None,
    };
    match answers(&key, scheme, challenge, response) {
        Some(hash) => Active::Passed { key: key.describe(), hash },
        None => wrong("the answer is not one of this key to this challenge"),
    }
}

/// With which hash function a key answered.
fn answers(
    key: &PublicKey,
    scheme: Option<Scheme>,
    challenge: &[u8],
    response: &[u8],
) -> Option<Hash> {
    match key {
        PublicKey::Rsa(key) => key.verifies_9796(challenge, response),
        PublicKey::Ec(key) => {
            // A chip without data group 14 leaves open which it is; each of them proves the same.
            let hashes = scheme.map_or(Hash::ALL.to_vec(), |scheme| vec![scheme.hash()]);
            hashes.into_iter().find(|hash| {
                let digest = hash.of(&[challenge]);
                key.verifies_plain(&digest, response) || key.verifies_der(&digest, response)
            })
        }
    }
}
