use std::{net::IpAddr, time::Duration};

use aws_lc_rs::digest::{SHA256, digest};
use data_encoding::{BASE64, HEXLOWER};
use portcullis_types::{Entropy, Secret, Timestamp, random_array};
use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, CrlDistributionPoint,
    DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose,
    PublicKeyData, RevocationReason, RevokedCertParams, SanType, SerialNumber,
};
use rustls::pki_types::{CertificateDer, pem::PemObject};
use time::OffsetDateTime;
use x509_parser::{certificate::X509Certificate, extensions::ParsedExtension, prelude::FromDer};

use crate::SpiffeId;

/// Certificates begin this long ago, for clocks that are behind.
const BACKDATED: Duration = Duration::from_secs(300);
/// Names in one certificate.
pub const MAX_NAMES: usize = 16;

/// A certificate could not be made or read.
#[derive(Debug, thiserror::Error)]
pub enum PkiError {
    /// The library refused.
    #[error("the certificate could not be made or read")]
    Rcgen(#[from] rcgen::Error),
    /// The name is not a DNS name or address.
    #[error("{0} is not a DNS name or address")]
    Name(String),
    /// Too many names for one certificate.
    #[error("a certificate holds at most {MAX_NAMES} names")]
    Names,
    /// The moment is outside the calendar.
    #[error("the time is outside the calendar")]
    Time,
    /// Not the certificate of an authority.
    #[error("this is not the certificate of an authority")]
    NotAuthority,
}

/// What an authority is kept as.
#[derive(Debug)]
pub struct AuthorityMaterial {
    /// Its certificate, for everyone.
    pub certificate: Vec<u8>,
    /// Its private key, PKCS#8 in PEM. Seal it.
    pub key_pem: Secret<String>,
}

/// Whom a certificate is for. One with a SPIFFE id is good for both ends of a connection (X.509-SVID,
/// section 4), one without for servers.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Subject {
    /// The workload.
    pub workload: Option<SpiffeId>,
    /// DNS names and addresses under which it serves.
    pub names: Vec<String>,
}

/// A certificate that was issued.
#[derive(Debug, Clone)]
pub struct Issued {
    /// Its serial number: 16 bytes, hexadecimal.
    pub serial: String,
    /// The certificate, then the authority that signed it; the root is not among them.
    pub chain: Vec<CertificateDer<'static>>,
    /// When it was issued; its own beginning is a little earlier, for clocks that are behind.
    pub issued_at: Timestamp,
    /// When it ends.
    pub not_after: Timestamp,
}

impl Issued {
    /// The chain in PEM (RFC 8555, section 9.1).
    pub fn chain_pem(&self) -> String {
        self.chain.iter().map(|certificate| certificate_pem(certificate)).collect()
    }
}

/// An entry of a revocation list.
#[derive(Debug, Clone)]
pub struct Revoked {
    /// The serial number, hexadecimal.
    pub serial: String,
    /// When it was revoked.
    pub at: Timestamp,
    /// Whether its key is in other hands; otherwise the workload is gone.
    pub compromised: bool,
}

/// A certificate authority that can issue: a root, or an intermediate that a root has signed.
#[derive(Debug)]
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    certificate: CertificateDer<'static>,
    /// Its subject key identifier, hexadecimal.
    pub id: String,
    /// When its certificate ends.
    pub not_after: Timestamp,
    /// Where its revocation list is.
    crl_url: Option<String>,
}

impl Authority {
    /// Makes a new root.
    pub fn create_root(
        name: &str,
        now: Timestamp,
        lifetime: Duration,
    ) -> Result<AuthorityMaterial, PkiError> {
        let mut params = authority_params(name, now, now.plus(lifetime), 1)?;
        params.key_identifier_method = rcgen::KeyIdMethod::Sha256;
        let key = KeyPair::generate()?;
        let certificate = params.self_signed(&key)?;
        Ok(AuthorityMaterial {
            certificate: certificate.der().to_vec(),
            key_pem: Secret::new(key.serialize_pem()),
        })
    }

    /// Makes an intermediate, which this root signs. It does not outlive its root.
    pub fn create_intermediate(
        &self,
        name: &str,
        now: Timestamp,
        lifetime: Duration,
        entropy: &dyn Entropy,
    ) -> Result<AuthorityMaterial, PkiError> {
        let mut params = authority_params(name, now, now.plus(lifetime).min(self.not_after), 0)?;
        params.serial_number = Some(serial(entropy).1);
        params.use_authority_key_identifier_extension = true;
        params.crl_distribution_points = self.distribution_points();
        let key = KeyPair::generate()?;
        let certificate = params.signed_by(&key, &self.issuer)?;
        Ok(AuthorityMaterial {
            certificate: certificate.der().to_vec(),
            key_pem: Secret::new(key.serialize_pem()),
        })
    }

    /// Loads an authority that was made before. Certificates that it issues will say that its
    /// revocation list is at `crl_base` followed by its id and `.crl`.
    pub fn load(
        certificate: &[u8],
        key_pem: &Secret<String>,
        crl_base: Option<&str>,
    ) -> Result<Self, PkiError> {
        let AuthorityFacts { id, not_after, .. } = AuthorityFacts::read(certificate)?;
        let certificate = CertificateDer::from(certificate.to_vec());
        let issuer = Issuer::from_ca_cert_der(&certificate, KeyPair::from_pem(key_pem.expose())?)?;
        let crl_url = crl_base.map(|base| format!("{base}{id}.crl"));
        Ok(Self { issuer, certificate, id, not_after, crl_url })
    }

    /// A certificate for a key that somebody else holds. It does not outlive the authority.
    pub fn issue(
        &self,
        subject: &Subject,
        key: &impl PublicKeyData,
        now: Timestamp,
        lifetime: Duration,
        entropy: &dyn Entropy,
    ) -> Result<Issued, PkiError> {
        if subject.names.len() > MAX_NAMES {
            return Err(PkiError::Names);
        }
        let (not_before, not_after) =
            (now.minus(BACKDATED), now.plus(lifetime).min(self.not_after));
        let first = subject.names.first().map_or("portcullis", String::as_str);
        let name = subject.workload.as_ref().map_or(first, SpiffeId::as_str);
        let mut params = params(name, not_before, not_after)?;
        if let Some(id) = &subject.workload {
            let uri = id.as_str().try_into().map_err(|_| PkiError::Name(id.to_string()))?;
            params.subject_alt_names.push(SanType::URI(uri));
        }
        for name in &subject.names {
            params.subject_alt_names.push(alternative_name(name)?);
        }
        params.extended_key_usages = match subject.workload {
            Some(_) => {
                vec![ExtendedKeyUsagePurpose::ClientAuth, ExtendedKeyUsagePurpose::ServerAuth]
            }
            None => vec![ExtendedKeyUsagePurpose::ServerAuth],
        };
        params.is_ca = IsCa::ExplicitNoCa;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.use_authority_key_identifier_extension = true;
        params.crl_distribution_points = self.distribution_points();
        let (serial, number) = serial(entropy);
        params.serial_number = Some(number);
        let certificate = params.signed_by(key, &self.issuer)?;
        let chain = vec![certificate.der().clone(), self.certificate.clone()];
        Ok(Issued { serial, chain, issued_at: now, not_after })
    }

    /// The revocation list of this authority (RFC 5280, section 5), in DER.
    pub fn revocation_list(
        &self,
        number: u64,
        now: Timestamp,
        next: Timestamp,
        revoked: &[Revoked],
    ) -> Result<Vec<u8>, PkiError> {
        let entry = |one: &Revoked| {
            let serial = HEXLOWER.decode(one.serial.as_bytes()).map_err(|_| PkiError::NotAuthority);
            Ok::<_, PkiError>(RevokedCertParams {
                serial_number: SerialNumber::from(serial?),
                revocation_time: calendar(one.at)?,
                reason_code: Some(match one.compromised {
                    true => RevocationReason::KeyCompromise,
                    false => RevocationReason::CessationOfOperation,
                }),
                invalidity_date: None,
            })
        };
        let params = CertificateRevocationListParams {
            this_update: calendar(now.minus(BACKDATED))?,
            next_update: calendar(next)?,
            crl_number: SerialNumber::from(number),
            issuing_distribution_point: None,
            revoked_certs: revoked.iter().map(entry).collect::<Result<_, _>>()?,
            key_identifier_method: rcgen::KeyIdMethod::Sha256,
        };
        Ok(params.signed_by(&self.issuer)?.der().to_vec())
    }

    fn distribution_points(&self) -> Vec<CrlDistributionPoint> {
        let point = |url: &String| CrlDistributionPoint { uris: vec![url.clone()] };
        self.crl_url.iter().map(point).collect()
    }
}

/// What a certificate says of the authority that it is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuthorityFacts {
    /// The subject key identifier, hexadecimal.
    pub id: String,
    /// The serial number, hexadecimal.
    pub serial: String,
    /// When it ends.
    pub not_after: Timestamp,
}

impl AuthorityFacts {
    /// Reads them; `certificate` is DER.
    pub fn read(certificate: &[u8]) -> Result<Self, PkiError> {
        let (_, read) =
            X509Certificate::from_der(certificate).map_err(|_| PkiError::NotAuthority)?;
        let id = read.extensions().iter().find_map(|one| match one.parsed_extension() {
            ParsedExtension::SubjectKeyIdentifier(id) => Some(HEXLOWER.encode(id.0)),
            _ => None,
        });
        let id = id.filter(|_| read.is_ca()).ok_or(PkiError::NotAuthority)?;
        let not_after = Timestamp::from_secs(read.validity().not_after.timestamp());
        Ok(Self { id, serial: serial_text(read.raw_serial()), not_after })
    }
}

/// A DER certificate in PEM.
pub fn certificate_pem(der: &[u8]) -> String {
    let text = BASE64.encode(der);
    let mut pem = String::from("-----BEGIN CERTIFICATE-----\n");
    let mut rest = text.as_str();
    while !rest.is_empty() {
        let (line, tail) = rest.split_at(rest.len().min(64));
        pem.push_str(line);
        pem.push('\n');
        rest = tail;
    }
    pem.push_str("-----END CERTIFICATE-----\n");
    pem
}

/// A fresh key for a certificate of our own, and its PKCS#8 in PEM.
pub fn new_key() -> Result<(KeyPair, Secret<String>), PkiError> {
    let key = KeyPair::generate()?;
    let pem = Secret::new(key.serialize_pem());
    Ok((key, pem))
}

/// The key of a PEM file that [`new_key`] made.
pub fn key_of(pem: &Secret<String>) -> Option<KeyPair> {
    KeyPair::from_pem(pem.expose()).ok()
}

/// A request for a certificate of `key` (RFC 2986) that leaves the names to the authority, in PEM.
pub fn request_pem(key: &KeyPair) -> Result<String, PkiError> {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    Ok(params.serialize_request(key)?.pem()?)
}

/// When a certificate of ours, in PEM, was issued and when it ends.
pub fn lifetime(chain_pem: &str) -> Option<(Timestamp, Timestamp)> {
    let certificate = CertificateDer::from_pem_slice(chain_pem.as_bytes()).ok()?;
    let (_, read) = X509Certificate::from_der(&certificate).ok()?;
    let validity = read.validity();
    let time = |time: x509_parser::time::ASN1Time| Timestamp::from_secs(time.timestamp());
    Some((time(validity.not_before).plus(BACKDATED), time(validity.not_after)))
}

/// Whether a certificate can hold this name: a DNS name without wildcard, or an address.
pub fn is_certificate_name(name: &str) -> bool {
    alternative_name(name).is_ok()
}

fn alternative_name(name: &str) -> Result<SanType, PkiError> {
    if let Ok(ip) = name.parse::<IpAddr>() {
        return Ok(SanType::IpAddress(ip));
    }
    let label = |label: &str| {
        let inner = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
        (1..=63).contains(&label.len())
            && label.bytes().all(inner)
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    let wrong = || PkiError::Name(name.escape_debug().to_string());
    // What ends in a number is an address, or an attempt at one.
    let last = name.rsplit('.').next().unwrap_or_default();
    let numeric = last.bytes().all(|b| b.is_ascii_digit());
    if name.len() > 253 || numeric || !name.split('.').all(label) {
        return Err(wrong());
    }
    Ok(SanType::DnsName(name.try_into().map_err(|_| wrong())?))
}

/// Serial numbers are random, so that nobody can tell the next one, and positive.
fn serial(entropy: &dyn Entropy) -> (String, SerialNumber) {
    let mut bytes = random_array::<16>(entropy);
    bytes[0] = bytes[0] & 0x3f | 0x40;
    (HEXLOWER.encode(&bytes), SerialNumber::from_slice(&bytes))
}

/// The text of a serial number as it is in a certificate.
pub(crate) fn serial_text(raw: &[u8]) -> String {
    let zeros = raw.iter().take_while(|byte| **byte == 0).count();
    HEXLOWER.encode(raw.get(zeros..).unwrap_or_default())
}

fn authority_params(
    name: &str,
    now: Timestamp,
    not_after: Timestamp,
    below: u8,
) -> Result<CertificateParams, PkiError> {
    let mut params = params(name, now.minus(BACKDATED), not_after)?;
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(below));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    Ok(params)
}

fn params(name: &str, begins: Timestamp, ends: Timestamp) -> Result<CertificateParams, PkiError> {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    // RFC 5280, appendix A: a common name has at most 64 characters. Two names must not become one.
    let hashed;
    let name = if name.len() <= 64 {
        name
    } else {
        hashed = HEXLOWER.encode(digest(&SHA256, name.as_bytes()).as_ref());
        &hashed
    };
    params.distinguished_name.push(DnType::CommonName, name);
    params.not_before = calendar(begins)?;
    params.not_after = calendar(ends)?;
    Ok(params)
}

fn calendar(time: Timestamp) -> Result<OffsetDateTime, PkiError> {
    OffsetDateTime::from_unix_timestamp(time.secs()).map_err(|_| PkiError::Time)
}
