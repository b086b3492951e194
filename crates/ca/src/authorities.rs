//! Which authorities there are, which of them signs, and which are trusted.

use portcullis_pki::{AuthorityFacts, certificate_pem};
use portcullis_store::certificates::AuthorityRow;
use portcullis_types::Timestamp;
use rustls::pki_types::CertificateDer;

use crate::CaError;

/// What an authority does at a moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// Published, so that everybody knows it before it signs.
    Published,
    /// Signs.
    Signing,
    /// Signs no more; what it signed is still good.
    Following,
    /// Nothing of it is trusted.
    Retired,
}

impl Phase {
    /// The word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Published => "published",
            Self::Signing => "signing",
            Self::Following => "following",
            Self::Retired => "retired",
        }
    }
}

/// An authority, for people.
#[derive(Debug, Clone)]
pub struct AuthorityStatus {
    /// The subject key identifier, hexadecimal.
    pub id: String,
    /// The root that signed it; none for a root.
    pub root: Option<String>,
    /// What it does.
    pub phase: Phase,
    /// When it was made.
    pub created_at: Timestamp,
    /// From when on it signs.
    pub active_at: Timestamp,
    /// When it ends.
    pub expires_at: Timestamp,
}

/// All authorities, as the database has them.
#[derive(Debug, Clone, Default)]
pub(crate) struct Authorities(pub Vec<AuthorityRow>);

impl Authorities {
    /// The intermediate that signs: the newest that may.
    pub fn signing(&self, now: Timestamp) -> Option<&AuthorityRow> {
        let may = |row: &&AuthorityRow| {
            let root = row.root.as_ref().and_then(|root| self.get(root));
            root.is_some_and(|root| is_trusted(root, now)) && is_trusted(row, now)
        };
        let active = |row: &&AuthorityRow| row.active_at <= now.micros();
        let newest = self.0.iter().filter(may).filter(active);
        let newest = newest.max_by_key(|row| (row.active_at, row.created_at));
        // Where none is, because the clock was set back or the active one was retired, the next one
        // signs early: else nothing would have a certificate.
        newest
            .or_else(|| self.0.iter().filter(may).min_by_key(|row| (row.active_at, row.created_at)))
    }

    /// The root of the one that signs.
    pub fn signing_root(&self, now: Timestamp) -> Option<&AuthorityRow> {
        self.get(self.signing(now)?.root.as_ref()?)
    }

    /// The newest root, which may be about to sign.
    pub fn newest_root(&self, now: Timestamp) -> Option<&AuthorityRow> {
        let roots = self.0.iter().filter(|row| row.root.is_none() && is_trusted(row, now));
        roots.max_by_key(|row| (row.active_at, row.created_at))
    }

    /// The one with this id.
    pub fn get(&self, id: &str) -> Option<&AuthorityRow> {
        self.0.iter().find(|row| row.id == id)
    }

    /// The roots that are trusted, the oldest first.
    pub fn roots(&self, now: Timestamp) -> Vec<Vec<u8>> {
        let trusted = self.0.iter().filter(|row| row.root.is_none() && is_trusted(row, now));
        trusted.map(|row| row.certificate.clone()).collect()
    }

    /// It grows whenever a root comes or goes.
    pub fn sequence(&self) -> u64 {
        let roots = self.0.iter().filter(|row| row.root.is_none());
        roots.map(|row| 1 + u64::from(row.retired_at.is_some())).sum()
    }

    /// Serial numbers of authorities that nothing is trusted of any more.
    pub fn retired(&self) -> Result<Vec<String>, CaError> {
        let retired = self.0.iter().filter(|row| row.retired_at.is_some());
        retired.map(|row| Ok(AuthorityFacts::read(&row.certificate)?.serial)).collect()
    }

    /// What each of them does.
    pub fn status(&self, now: Timestamp) -> Vec<AuthorityStatus> {
        let signing = [self.signing(now), self.signing_root(now)];
        let one = |row: &AuthorityRow| AuthorityStatus {
            id: row.id.clone(),
            root: row.root.clone(),
            phase: if !is_trusted(row, now) {
                Phase::Retired
            } else if signing.iter().flatten().any(|signs| signs.id == row.id) {
                Phase::Signing
            } else if row.active_at > now.micros() {
                Phase::Published
            } else {
                Phase::Following
            },
            created_at: Timestamp::from_micros(row.created_at),
            active_at: Timestamp::from_micros(row.active_at),
            expires_at: Timestamp::from_micros(row.expires_at),
        };
        self.0.iter().map(one).collect()
    }
}

/// Neither retired nor over.
pub(crate) fn is_trusted(row: &AuthorityRow, now: Timestamp) -> bool {
    row.retired_at.is_none() && row.expires_at > now.micros()
}

/// Certificates one after another in PEM.
pub(crate) fn pem_file(certificates: &[Vec<u8>]) -> String {
    certificates.iter().map(|der| certificate_pem(der)).collect()
}

pub(crate) fn der(certificates: &[Vec<u8>]) -> Vec<CertificateDer<'static>> {
    certificates.iter().map(|der| CertificateDer::from(der.clone())).collect()
}
