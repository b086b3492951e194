use std::{net::IpAddr, time::Duration};

use portcullis_types::{Secret, Timestamp};
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa,
    Issuer, KeyPair, KeyUsagePurpose, SanType,
};
use time::OffsetDateTime;

use crate::SpiffeId;

/// The authority lives this long.
const AUTHORITY_LIFETIME: Duration = Duration::from_secs(10 * 365 * 24 * 3600);
/// Certificates begin this long ago, for clocks that are behind.
const BACKDATED: Duration = Duration::from_secs(300);

/// A certificate could not be made or read.
#[derive(Debug, thiserror::Error)]
pub enum PkiError {
    /// The library refused.
    #[error("the certificate could not be made or read")]
    Rcgen(#[from] rcgen::Error),
    /// The name is not a DNS name or address.
    #[error("{0} is not a DNS name or address")]
    Name(String),
    /// The moment is outside the calendar.
    #[error("the time is outside the calendar")]
    Time,
}

/// What an authority is kept as.
#[derive(Debug)]
pub struct AuthorityMaterial {
    /// Its certificate, for everyone.
    pub certificate_pem: String,
    /// Its private key, PKCS#8 in PEM. Seal it.
    pub key_pem: Secret<String>,
}

/// A certificate with its chain and private key.
#[derive(Debug)]
pub struct CertifiedPem {
    /// The certificate, then the authority's.
    pub chain_pem: String,
    /// The private key, PKCS#8 in PEM.
    pub key_pem: Secret<String>,
}

/// A certificate authority that can issue.
#[derive(Debug)]
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    certificate_pem: String,
}

impl Authority {
    /// Makes a new authority.
    pub fn create(name: &str, now: Timestamp) -> Result<AuthorityMaterial, PkiError> {
        let mut params = params(name, now, AUTHORITY_LIFETIME)?;
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let key = KeyPair::generate()?;
        let certificate = params.self_signed(&key)?;
        Ok(AuthorityMaterial {
            certificate_pem: certificate.pem(),
            key_pem: Secret::new(key.serialize_pem()),
        })
    }

    /// Loads an authority that was made before.
    pub fn load(material: &AuthorityMaterial) -> Result<Self, PkiError> {
        let key = KeyPair::from_pem(material.key_pem.expose())?;
        let issuer = Issuer::from_ca_cert_pem(&material.certificate_pem, key)?;
        Ok(Self { issuer, certificate_pem: material.certificate_pem.clone() })
    }

    /// The authority's own certificate.
    pub fn certificate_pem(&self) -> &str {
        &self.certificate_pem
    }

    /// A server certificate for DNS names and addresses.
    pub fn issue_server(
        &self,
        names: &[String],
        now: Timestamp,
        lifetime: Duration,
    ) -> Result<CertifiedPem, PkiError> {
        let first = names.first().map_or("portcullis", String::as_str);
        let mut params = params(first, now, lifetime)?;
        for name in names {
            let san = match name.parse::<IpAddr>() {
                Ok(ip) => SanType::IpAddress(ip),
                Err(_) => {
                    let dns = name.as_str().try_into();
                    SanType::DnsName(dns.map_err(|_| PkiError::Name(name.clone()))?)
                }
            };
            params.subject_alt_names.push(san);
        }
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        self.issue(params)
    }

    /// A certificate for a workload, good for both ends of a connection. DNS names may be added for
    /// workloads that serve.
    pub fn issue_workload(
        &self,
        id: &SpiffeId,
        names: &[String],
        now: Timestamp,
        lifetime: Duration,
    ) -> Result<CertifiedPem, PkiError> {
        let mut params = params(id.as_str(), now, lifetime)?;
        let uri = id.as_str().try_into().map_err(|_| PkiError::Name(id.to_string()))?;
        params.subject_alt_names.push(SanType::URI(uri));
        for name in names {
            let dns = name.as_str().try_into().map_err(|_| PkiError::Name(name.clone()))?;
            params.subject_alt_names.push(SanType::DnsName(dns));
        }
        params.extended_key_usages =
            vec![ExtendedKeyUsagePurpose::ClientAuth, ExtendedKeyUsagePurpose::ServerAuth];
        self.issue(params)
    }

    fn issue(&self, mut params: CertificateParams) -> Result<CertifiedPem, PkiError> {
        params.is_ca = IsCa::ExplicitNoCa;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.use_authority_key_identifier_extension = true;
        let key = KeyPair::generate()?;
        let certificate = params.signed_by(&key, &self.issuer)?;
        Ok(CertifiedPem {
            chain_pem: format!("{}{}", certificate.pem(), self.certificate_pem),
            key_pem: Secret::new(key.serialize_pem()),
        })
    }
}

fn params(name: &str, now: Timestamp, life: Duration) -> Result<CertificateParams, PkiError> {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name.get(..64).unwrap_or(name));
    params.not_before = calendar(now.minus(BACKDATED))?;
    params.not_after = calendar(now.plus(life))?;
    Ok(params)
}

fn calendar(time: Timestamp) -> Result<OffsetDateTime, PkiError> {
    OffsetDateTime::from_unix_timestamp(time.secs()).map_err(|_| PkiError::Time)
}
