use std::{fmt, str::FromStr};

/// User names are at least this long.
pub const MIN_CHARS: usize = 3;
/// User names are at most this long.
pub const MAX_CHARS: usize = 32;

/// Names that strangers must not pick, because people would trust them.
const RESERVED: &[&str] = &[
    "abuse",
    "admin",
    "administrator",
    "anonymous",
    "help",
    "hostmaster",
    "info",
    "me",
    "operator",
    "portcullis",
    "postmaster",
    "root",
    "security",
    "self",
    "support",
    "system",
    "webmaster",
];

/// A canonical user name: lower-case letters `a`–`z`, digits, and `.`, `_`, `-` between them.
///
/// ASCII only, so that two names that look alike are alike; upper case is folded, so that `Alice`
/// and `alice` are one account and one rate limit.
///
/// ```
/// use portcullis_identity::Username;
/// assert_eq!("Alice.Smith".parse::<Username>().unwrap().as_str(), "alice.smith");
/// assert!("<script>".parse::<Username>().is_err());
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Username(String);

/// The text is not a user name.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum UsernameError {
    /// Too short or too long.
    #[error("must be {MIN_CHARS} to {MAX_CHARS} characters long")]
    Length,
    /// A character outside the alphabet.
    #[error("may contain only the letters a to z, digits, and single . _ - between them")]
    Alphabet,
    /// A reserved name.
    #[error("is reserved")]
    Reserved,
}

impl Username {
    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Reads a name that a stranger asks for; reserved names are refused.
    pub fn for_registration(text: &str) -> Result<Self, UsernameError> {
        let name: Self = text.parse()?;
        if RESERVED.contains(&name.as_str()) { Err(UsernameError::Reserved) } else { Ok(name) }
    }
}

impl FromStr for Username {
    type Err = UsernameError;

    fn from_str(text: &str) -> Result<Self, UsernameError> {
        if !(MIN_CHARS..=MAX_CHARS).contains(&text.chars().count()) {
            return Err(UsernameError::Length);
        }
        let name = text.to_ascii_lowercase();
        let part = |part: &str| {
            !part.is_empty() && part.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit())
        };
        if name.split(['.', '_', '-']).all(part) {
            Ok(Self(name))
        } else {
            Err(UsernameError::Alphabet)
        }
    }
}

impl fmt::Display for Username {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hostile_names_are_refused() {
        for bad in [
            "<script>alert(1)</script>",
            "a'b",
            "a\"b",
            "ab\u{202e}cd",
            "ab\0cd",
            "ab cd",
            "аlice",
            "alice\n",
            "a--b",
            "-ab",
            "ab.",
            "...",
            "ａｌｉｃｅ",
            "a@b",
            "",
        ] {
            assert!(bad.parse::<Username>().is_err(), "{bad:?}");
        }
        assert_eq!("ab".parse::<Username>(), Err(UsernameError::Length));
        assert_eq!(Username::for_registration("Admin"), Err(UsernameError::Reserved));
        assert!(Username::for_registration("a.b-c_9").is_ok());
    }
}
