use std::{fmt, marker::PhantomData, str::FromStr};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::{Entropy, Timestamp, random_array};

/// Lower-case Crockford base 32: sorts like the number, no letters that look alike.
const ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";
const DIGITS: usize = 26;

/// The kind of thing an [`Id`] names; its prefix is part of the text.
pub trait Tag: Send + Sync + 'static {
    /// The text before the underscore, such as `usr`.
    const PREFIX: &'static str;
}

/// A typed, time-ordered identifier: `usr_` and 26 digits of base 32.
///
/// 48 bits of milliseconds and 80 random bits (the ULID layout), so that ids sort by creation and
/// keyset pages need no other column. An id of one kind cannot be used as another.
pub struct Id<T> {
    bits: u128,
    tag: PhantomData<fn() -> T>,
}

/// The text is not an id of the expected kind.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("expected an id of the form {0}_ followed by 26 characters")]
pub struct IdError(&'static str);

impl<T: Tag> Id<T> {
    /// A new id created at `now`.
    pub fn new(now: Timestamp, entropy: &dyn Entropy) -> Self {
        let millis = u128::try_from(now.millis()).unwrap_or(0) & 0xffff_ffff_ffff;
        let mut bytes = [0; 16];
        bytes[6..].copy_from_slice(&random_array::<10>(entropy));
        Self { bits: millis << 80 | u128::from_be_bytes(bytes), tag: PhantomData }
    }
}

impl<T> Id<T> {
    /// The 128 bits, for places that have room for no more.
    pub fn bits(self) -> u128 {
        self.bits
    }

    /// When it was made, to the millisecond.
    pub fn made_at(self) -> Timestamp {
        let millis = i64::try_from(self.bits >> 80).unwrap_or(0);
        Timestamp::from_micros(millis * 1_000)
    }

    /// The id of these bits.
    pub fn from_bits(bits: u128) -> Self {
        Self { bits, tag: PhantomData }
    }
}

impl<T: Tag> fmt::Display for Id<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = [0; DIGITS];
        let mut rest = self.bits;
        for slot in text.iter_mut().rev() {
            *slot = ALPHABET[(rest & 31) as usize];
            rest >>= 5;
        }
        write!(f, "{}_{}", T::PREFIX, String::from_utf8_lossy(&text))
    }
}

impl<T: Tag> FromStr for Id<T> {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        let digits = text
            .strip_prefix(T::PREFIX)
            .and_then(|rest| rest.strip_prefix('_'))
            .filter(|digits| digits.len() == DIGITS && digits.as_bytes()[0] <= b'7')
            .ok_or(IdError(T::PREFIX))?;
        let mut bits = 0;
        for digit in digits.bytes() {
            let value = ALPHABET.iter().position(|known| *known == digit);
            bits = bits << 5 | value.ok_or(IdError(T::PREFIX))? as u128;
        }
        Ok(Self { bits, tag: PhantomData })
    }
}

impl<T: Tag> TryFrom<String> for Id<T> {
    type Error = IdError;

    fn try_from(text: String) -> Result<Self, IdError> {
        text.parse()
    }
}

impl<T> Clone for Id<T> {
    fn clone(&self) -> Self {
        *self
    }
}
impl<T> Copy for Id<T> {}
impl<T> PartialEq for Id<T> {
    fn eq(&self, other: &Self) -> bool {
        self.bits == other.bits
    }
}
impl<T> Eq for Id<T> {}
impl<T> PartialOrd for Id<T> {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
impl<T> Ord for Id<T> {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.bits.cmp(&other.bits)
    }
}
impl<T> std::hash::Hash for Id<T> {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.bits.hash(state);
    }
}
impl<T: Tag> fmt::Debug for Id<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
impl<T: Tag> Serialize for Id<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}
impl<'de, T: Tag> Deserialize<'de> for Id<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

/// The kinds of id in use.
pub mod tags {
    macro_rules! tags {
        ($($(#[$doc:meta])* $name:ident = $prefix:literal;)*) => {$(
            $(#[$doc])*
            pub struct $name;
            impl super::Tag for $name {
                const PREFIX: &'static str = $prefix;
            }
        )*};
    }
    tags! {
        /// A person's account.
        User = "usr";
        /// A browser session of a person.
        Session = "ses";
        /// A registered OAuth client.
        Client = "cli";
        /// An API key.
        ApiKey = "key";
        /// What a person granted to a client: the family of refresh tokens that came from it.
        Grant = "grt";
        /// A block of an address.
        Block = "blk";
        /// An alert raised by a detector.
        Alert = "alr";
        /// Somebody who is screened.
        AmlSubject = "sub";
        /// A hit of a screening.
        AmlHit = "hit";
        /// What a check of a document found out.
        Check = "chk";
        /// A workflow of identity verification.
        Workflow = "wfl";
        /// A session of identity verification.
        IdvSession = "ids";
        /// A credential that somebody keeps in a wallet.
        Credential = "crd";
        /// A request to show credentials.
        Presentation = "prs";
        /// A receiver of webhooks.
        Webhook = "whk";
        /// A list of one's own.
        IdvList = "lst";
        /// A face that is kept to be found again.
        Face = "fac";
        /// Something on a list.
        IdvListEntry = "len";
        /// What receivers of webhooks are told.
        Message = "msg";
        /// A review of an account that was flagged.
        Case = "cas";
        /// What somebody asked about their own data.
        SubjectRequest = "dsr";
        /// One request at the gate.
        Request = "req";
        /// One event in the audit log.
        Event = "evt";
        /// A group of accounts.
        Group = "grp";
        /// An invitation.
        Invitation = "inv";
        /// An access token (`jti`).
        Token = "tok";
        /// A passkey.
        Passkey = "pky";
        /// A resource server.
        ResourceServer = "rsv";
        /// A secret of a client.
        ClientSecret = "sec";
        /// A token that is good for one certificate.
        Enrolment = "enr";
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug)]
    struct Fixed(u8);
    impl Entropy for Fixed {
        fn fill(&self, out: &mut [u8]) {
            out.fill(self.0);
        }
    }

    fn id(secs: i64, byte: u8) -> Id<tags::User> {
        Id::new(Timestamp::from_secs(secs), &Fixed(byte))
    }

    #[test]
    fn text_round_trips_and_sorts_by_time() {
        let (early, late) = (id(1_000, 255), id(2_000, 0));
        assert_eq!(early.to_string().parse(), Ok(early));
        assert!(early.to_string() < late.to_string());
        assert_eq!(early.to_string().len(), 30);
    }

    #[test]
    fn other_kinds_and_malformed_text_are_refused() {
        let text = id(1, 1).to_string();
        assert!(text.replace("usr_", "cli_").parse::<Id<tags::User>>().is_err());
        assert!(text.to_uppercase().parse::<Id<tags::User>>().is_err());
        for bad in [
            "",
            "usr_",
            "usr_0",
            "usr_u0000000000000000000000000",
            "usr_8zzzzzzzzzzzzzzzzzzzzzzzzz",
            "usr_é000000000000000000000000",
        ] {
            assert!(bad.parse::<Id<tags::User>>().is_err(), "{bad}");
        }
    }
}
