use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError, RwLock},
};

use portcullis_types::{Entropy, HashKey, Timestamp};

use crate::Places;

/// Revocations kept before the oldest trick is used: everything issued so far becomes void.
const MAX_REVOCATIONS: usize = 1 << 20;

/// What is void.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Revoked<'a> {
    /// One access token, by its `jti`.
    Token(&'a str),
    /// Everything that descends from a grant.
    Grant(&'a str),
    /// Everything of a person, or of a client acting for itself.
    Subject(&'a str),
    /// Everything issued to a client.
    Client(&'a str),
    /// What others hold as this person: it came from a grant of theirs.
    Impersonated(&'a str),
}

impl<'a> Revoked<'a> {
    /// The word in the database.
    pub fn kind(self) -> &'static str {
        match self {
            Self::Token(_) => "token",
            Self::Grant(_) => "grant",
            Self::Subject(_) => "subject",
            Self::Client(_) => "client",
            Self::Impersonated(_) => "impersonated",
        }
    }

    /// The id.
    pub fn value(self) -> &'a str {
        match self {
            Self::Token(value)
            | Self::Grant(value)
            | Self::Subject(value)
            | Self::Client(value)
            | Self::Impersonated(value) => value,
        }
    }

    /// Reads what [`Revoked::kind`] wrote.
    pub fn from_row(kind: &str, value: &'a str) -> Option<Self> {
        Some(match kind {
            "token" => Self::Token(value),
            "grant" => Self::Grant(value),
            "subject" => Self::Subject(value),
            "client" => Self::Client(value),
            "impersonated" => Self::Impersonated(value),
            _ => return None,
        })
    }
}

/// What of a token decides whether it was revoked.
#[derive(Debug, Clone, Copy)]
pub struct TokenFacts<'a> {
    /// Its `jti`.
    pub token: &'a str,
    /// The grant it came from.
    pub grant: Option<&'a str>,
    /// Its `sub`.
    pub subject: &'a str,
    /// Its `client_id`.
    pub client: &'a str,
    /// Whether it says that somebody else acts (`act`).
    pub acted: bool,
    /// Its place in the status list.
    pub place: Option<u32>,
    /// Its `iat`, in seconds.
    pub issued_at: i64,
}

/// Which tokens are void although their signature holds and their time is not over.
///
/// An entry lives as long as the longest-lived token it voids. A reader takes a short read lock and
/// no await happens under it.
#[derive(Debug)]
pub struct Revocations {
    key: HashKey,
    entries: RwLock<HashMap<u128, Entry>>,
    /// Tokens issued until then are void whatever they are; used only when the table is full.
    all_until: Mutex<Timestamp>,
    /// What of it is published.
    pub places: Places,
}

#[derive(Debug, Clone, Copy)]
struct Entry {
    issued_until: Timestamp,
    expires_at: Timestamp,
}

impl Revocations {
    /// Nothing is void yet.
    pub fn new(entropy: &dyn Entropy) -> Self {
        Self {
            key: HashKey::new(entropy),
            entries: RwLock::default(),
            all_until: Mutex::new(Timestamp::default()),
            places: Places::default(),
        }
    }

    /// Voids tokens of `what` issued until `issued_until`; after `expires_at` none of them lives.
    pub fn add(
        &self,
        what: Revoked<'_>,
        issued_until: Timestamp,
        expires_at: Timestamp,
        now: Timestamp,
    ) {
        let mut entries = self.entries.write().unwrap_or_else(PoisonError::into_inner);
        if entries.len() >= MAX_REVOCATIONS {
            entries.retain(|_, entry| entry.expires_at > now);
        }
        if entries.len() >= MAX_REVOCATIONS {
            // Failing closed: people log in again, but no revoked token comes back to life.
            *self.all_until.lock().unwrap_or_else(PoisonError::into_inner) = now;
            entries.clear();
        }
        entries.insert(self.fingerprint(what), Entry { issued_until, expires_at });
    }

    /// Whether a token was revoked, in whatever way. The gate, introspection and userinfo all ask
    /// here and nowhere else.
    pub fn is_void(&self, token: &TokenFacts<'_>) -> bool {
        let reasons = [
            Revoked::Token(token.token),
            Revoked::Subject(token.subject),
            Revoked::Client(token.client),
            Revoked::Grant(token.grant.unwrap_or_default()),
        ];
        let issued_at = Timestamp::from_secs(token.issued_at);
        if token.acted && self.contains(&[Revoked::Impersonated(token.subject)], issued_at) {
            return true;
        }
        token.place.is_some_and(|place| self.places.is_marked(place, issued_at))
            || self.contains(&reasons, issued_at)
    }

    /// Whether a token issued at `issued_at` (whole seconds, as `iat` has them) is void for any of
    /// `reasons`.
    pub fn contains(&self, reasons: &[Revoked<'_>], issued_at: Timestamp) -> bool {
        if issued_at <= *self.all_until.lock().unwrap_or_else(PoisonError::into_inner) {
            return true;
        }
        let entries = self.entries.read().unwrap_or_else(PoisonError::into_inner);
        if entries.is_empty() {
            return false;
        }
        reasons.iter().any(|reason| {
            let entry = entries.get(&self.fingerprint(*reason));
            entry.is_some_and(|entry| issued_at <= entry.issued_until)
        })
    }

    fn fingerprint(&self, what: Revoked<'_>) -> u128 {
        self.key.fingerprint(&[what.kind().as_bytes(), what.value().as_bytes()])
    }
}
