use std::{fmt, str::FromStr};

use x509_parser::{extensions::GeneralName, prelude::FromDer};

/// A SPIFFE id is at most this long (SPIFFE-ID, section 2.3).
const MAX_BYTES: usize = 2_048;

/// The name of a workload: `spiffe://trust-domain/path`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SpiffeId(String);

/// The text is not a SPIFFE id of a workload.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("expected a SPIFFE id such as spiffe://portcullis.local/service/back-office")]
pub struct SpiffeError;

impl SpiffeId {
    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The trust domain.
    pub fn trust_domain(&self) -> &str {
        self.0["spiffe://".len()..].split('/').next().unwrap_or_default()
    }
}

impl FromStr for SpiffeId {
    type Err = SpiffeError;

    /// SPIFFE-ID, sections 2.1 and 2.2: a lower-case trust domain and a path of plain segments.
    fn from_str(text: &str) -> Result<Self, SpiffeError> {
        let rest = text.strip_prefix("spiffe://").ok_or(SpiffeError)?;
        let (domain, path) = rest.split_once('/').ok_or(SpiffeError)?;
        let in_path = |b: u8| b.is_ascii_alphanumeric() || b".-_".contains(&b);
        let segment = |segment: &str| {
            !segment.is_empty() && segment != "." && segment != ".." && segment.bytes().all(in_path)
        };
        let fits =
            is_trust_domain(domain) && path.split('/').all(segment) && text.len() <= MAX_BYTES;
        if fits { Ok(Self(text.to_owned())) } else { Err(SpiffeError) }
    }
}

/// Whether a text is the name of a trust domain (SPIFFE-ID, section 2.1).
pub fn is_trust_domain(text: &str) -> bool {
    let allowed = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b".-_".contains(&b);
    (1..=255).contains(&text.len()) && text.bytes().all(allowed)
}

impl fmt::Display for SpiffeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The SPIFFE id of a certificate that TLS has verified: its one URI name (X.509-SVID, section 2).
/// A certificate with several URIs has none.
pub fn peer_spiffe_id(certificate: &[u8]) -> Option<SpiffeId> {
    let (_, certificate) = x509_parser::certificate::X509Certificate::from_der(certificate).ok()?;
    let names = certificate.subject_alternative_name().ok()??;
    let mut uris = names.value.general_names.iter().filter_map(|name| match name {
        GeneralName::URI(uri) => Some(*uri),
        _ => None,
    });
    let first = uris.next()?;
    uris.next().is_none().then(|| first.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_workload_ids_are_read() {
        let id: SpiffeId = "spiffe://portcullis.local/service/back-office".parse().unwrap();
        assert_eq!(id.trust_domain(), "portcullis.local");
        for bad in [
            "",
            "spiffe://",
            "spiffe://a",
            "spiffe://a/",
            "spiffe://A/b",
            "spiffe://a//b",
            "spiffe://a/../b",
            "spiffe://a/b?c",
            "spiffe://a/b#c",
            "https://a/b",
            "spiffe://a:1/b",
            "spiffe://u@a/b",
            "spiffe://a/%2e",
            "SPIFFE://a/b",
        ] {
            assert!(bad.parse::<SpiffeId>().is_err(), "{bad}");
        }
    }
}
