use std::{collections::HashSet, sync::Arc};

use unicode_normalization::UnicodeNormalization;
use zxcvbn::{Score, zxcvbn};

/// NIST SP 800-63B-4, section 3.1.1.2: at least 15 characters where the password is the only
/// factor.
pub const MIN_PASSWORD_CHARS: usize = 15;
/// Passwords are at most this long; the standard asks for at least 64.
pub const MAX_PASSWORD_CHARS: usize = 256;
/// The estimate of strength looks at this much; its time grows faster than the length.
const MAX_SCORED_CHARS: usize = 40;

/// Well-known long passwords and the ways people stretch short ones.
const BUILT_IN: &str = include_str!("../data/blocklist.txt");

/// The password is not acceptable. The text tells what would be.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum PasswordError {
    /// Too short.
    #[error("must be at least {MIN_PASSWORD_CHARS} characters long; a few unrelated words do well")]
    Short,
    /// Too long.
    #[error("must be at most {MAX_PASSWORD_CHARS} characters long")]
    Long,
    /// Control characters cannot be typed again on another keyboard.
    #[error("must not contain control characters")]
    Control,
    /// On the list of known passwords.
    #[error("is a commonly used password; choose another")]
    Known,
    /// Made of the user name, the address or the name of the service.
    #[error("must not be built from your name, your e-mail address or the name of this service")]
    Personal,
    /// Easily guessed.
    #[error("is too easy to guess; add unrelated words")]
    Weak,
}

/// The rules for new passwords: length, a list of known ones, and an estimate of strength. There
/// are no rules of composition, and passwords do not expire (NIST SP 800-63B-4).
#[derive(Debug, Clone)]
pub struct PasswordRules {
    known: Arc<HashSet<String>>,
}

impl Default for PasswordRules {
    fn default() -> Self {
        Self::with_blocklist("")
    }
}

impl PasswordRules {
    /// The built-in list and `more`, one password a line.
    pub fn with_blocklist(more: &str) -> Self {
        Self { known: Arc::new(BUILT_IN.lines().chain(more.lines()).map(folded).collect()) }
    }

    /// Checks a new password of somebody known by `context` (user name, address, …).
    pub fn check(&self, password: &str, context: &[&str]) -> Result<(), PasswordError> {
        let password = normalised(password);
        let length = password.chars().count();
        if length < MIN_PASSWORD_CHARS {
            return Err(PasswordError::Short);
        }
        if length > MAX_PASSWORD_CHARS {
            return Err(PasswordError::Long);
        }
        if password.chars().any(char::is_control) {
            return Err(PasswordError::Control);
        }
        let folded = folded(&password);
        if self.known.contains(&folded) {
            return Err(PasswordError::Known);
        }
        if is_personal(&folded, context) {
            return Err(PasswordError::Personal);
        }
        let scored: String = password.chars().take(MAX_SCORED_CHARS).collect();
        let score = zxcvbn(&scored, context).score();
        if score < Score::Three { Err(PasswordError::Weak) } else { Ok(()) }
    }
}

/// What is left after the words that an attacker would try first must still be something.
fn is_personal(folded_password: &str, context: &[&str]) -> bool {
    let mut rest = folded_password.to_owned();
    for word in context.iter().flat_map(|text| text.split('@')).chain(["portcullis"]) {
        let word = folded(word);
        if word.len() >= 3 {
            rest = rest.replace(&word, "");
        }
    }
    rest.chars().count() < 8
}

/// Case and punctuation do not make a known password unknown.
fn folded(text: &str) -> String {
    text.chars().filter(|c| c.is_alphanumeric()).flat_map(char::to_lowercase).collect()
}

/// The form in which a password is hashed: NFC, so that every keyboard gives the same bytes.
pub(crate) fn normalised(password: &str) -> String {
    password.nfc().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(password: &str) -> Result<(), PasswordError> {
        PasswordRules::with_blocklist("The Company Song 2026")
            .check(password, &["alice", "alice@example.org"])
    }

    #[test]
    fn good_passwords_pass() {
        for good in [
            "plum rivet otter canvas",
            "v9$kQ2!mZx7#pLw",
            "ein grünes Fahrrad aus Ton",
            &"correct otter ".repeat(5),
        ] {
            assert_eq!(check(good), Ok(()), "{good}");
        }
    }

    #[test]
    fn weak_passwords_are_refused_with_the_reason() {
        use PasswordError::*;
        for (bad, why) in [
            ("short", Short),
            ("Password123456!", Known),
            ("Correct Horse Battery Staple", Known),
            ("the company song 2026", Known),
            ("aliceexampleorg", Personal),
            ("Alice.Portcullis1", Personal),
            ("plum rivet otter\u{7}canvas", Control),
            ("abababababababab", Weak),
        ] {
            assert_eq!(check(bad), Err(why), "{bad}");
        }
        assert_eq!(check(&"x".repeat(257)), Err(Long));
    }
}
