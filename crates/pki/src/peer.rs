use std::{
    fmt::Write,
    net::IpAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use aws_lc_rs::digest::{SHA256, digest};
use data_encoding::{BASE64URL_NOPAD, HEXLOWER};
use portcullis_types::Timestamp;
use rustls::{
    DigitallySignedStruct, DistinguishedName, Error, SignatureScheme,
    client::danger::HandshakeSignatureValid,
    pki_types::{CertificateDer, UnixTime},
    server::danger::{ClientCertVerified, ClientCertVerifier},
};
use x509_parser::{
    certificate::X509Certificate,
    extensions::GeneralName,
    prelude::FromDer,
    x509::{AttributeTypeAndValue, X509Name},
};

use crate::{SpiffeId, Trust, authority::serial_text, peer_spiffe_id};

/// The certificate that a peer showed, and proved to hold the key of.
#[derive(Debug)]
pub struct PeerCertificate {
    der: Vec<u8>,
    thumbprint: String,
    not_after: i64,
    vouched: Option<Vouched>,
    /// It is of an authority that was not trusted any more when TLS was done with it.
    disowned: bool,
    workload: Option<SpiffeId>,
}

/// That a chain led to a root, when it was last looked at.
#[derive(Debug)]
struct Vouched {
    trust: Arc<Trust>,
    chain: Vec<CertificateDer<'static>>,
    epoch: AtomicU64,
}

/// A name in a certificate, as a client may be registered by (RFC 8705, section 2.1.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CertificateName<'a> {
    /// The subject, as RFC 4514 writes it.
    SubjectDn(&'a str),
    /// A DNS name.
    Dns(&'a str),
    /// A URI.
    Uri(&'a str),
    /// An address.
    Ip(&'a str),
    /// A mail address.
    Email(&'a str),
}

impl PeerCertificate {
    /// What TLS took from the peer. `trust` says whether an authority vouches for it; of one that
    /// nobody vouches for no name means anything. `None` if there is no certificate.
    pub fn new(
        chain: &[CertificateDer<'_>],
        trust: Option<&Arc<Trust>>,
        now: Timestamp,
    ) -> Option<Self> {
        let der = chain.first()?.to_vec();
        let not_after = parse(&der)?.validity().not_after.timestamp();
        // Before the check: what changes meanwhile is looked at again.
        let vouched = trust.map(|trust| (trust, trust.epoch()));
        let vouched = vouched.filter(|(trust, _)| trust.vouches_for(chain, now));
        let workload = vouched.and_then(|_| peer_spiffe_id(&der));
        let alone = chain.len() == 1 && parse(&der).is_some_and(|read| is_own_issuer(&read));
        let disowned = trust.is_some() && vouched.is_none() && !alone;
        let vouched = vouched.map(|(trust, epoch)| Vouched {
            trust: trust.clone(),
            chain: chain.iter().map(|one| one.clone().into_owned()).collect(),
            epoch: AtomicU64::new(epoch),
        });
        let thumbprint = certificate_thumbprint(&der);
        Some(Self { der, thumbprint, not_after, vouched, disowned, workload })
    }

    /// Whether it is what it was in the handshake: not past its end, not revoked, and of an authority
    /// that is still trusted. Connections live longer than what opened them.
    pub fn still_stands(&self, now: Timestamp) -> bool {
        if self.disowned || now.secs() > self.not_after {
            return false;
        }
        let Some(vouched) = &self.vouched else { return true };
        let epoch = vouched.trust.epoch();
        if vouched.epoch.load(Ordering::Relaxed) == epoch {
            return true;
        }
        let stands = vouched.trust.vouches_for(&vouched.chain, now);
        if stands {
            vouched.epoch.store(epoch, Ordering::Relaxed);
        }
        stands
    }

    /// When it ends.
    pub fn not_after(&self) -> Timestamp {
        Timestamp::from_secs(self.not_after)
    }

    /// Its serial number, hexadecimal.
    pub fn serial(&self) -> Option<String> {
        parse(&self.der).map(|read| serial_text(read.raw_serial()))
    }

    /// `x5t#S256` (RFC 8705, section 3.1).
    pub fn thumbprint(&self) -> &str {
        &self.thumbprint
    }

    /// The workload it names, if the authority says so.
    pub fn workload(&self) -> Option<&SpiffeId> {
        self.workload.as_ref()
    }

    /// Whether the authority vouches that the peer is called this.
    pub fn is_called(&self, name: CertificateName<'_>) -> bool {
        let Some(certificate) = parse(&self.der).filter(|_| self.vouched.is_some()) else {
            return false;
        };
        if let CertificateName::SubjectDn(dn) = name {
            return subject_dn(certificate.subject()).is_some_and(|own| own == dn);
        }
        let Ok(Some(names)) = certificate.subject_alternative_name() else { return false };
        names.value.general_names.iter().any(|own| match (own, name) {
            (GeneralName::DNSName(own), CertificateName::Dns(name)) => {
                own.eq_ignore_ascii_case(name)
            }
            (GeneralName::URI(own), CertificateName::Uri(name)) => *own == name,
            (GeneralName::RFC822Name(own), CertificateName::Email(name)) => *own == name,
            (GeneralName::IPAddress(own), CertificateName::Ip(name)) => {
                name.parse().is_ok_and(|ip| is_address(own, ip))
            }
            _ => false,
        })
    }
}

/// SHA-256 of a certificate, base64url.
pub fn certificate_thumbprint(der: &[u8]) -> String {
    BASE64URL_NOPAD.encode(digest(&SHA256, der).as_ref())
}

/// Whether bytes are one X.509 certificate and nothing else.
pub fn is_certificate(der: &[u8]) -> bool {
    parse(der).is_some()
}

fn parse(der: &[u8]) -> Option<X509Certificate<'_>> {
    X509Certificate::from_der(der).ok().filter(|(rest, _)| rest.is_empty()).map(|(_, c)| c)
}

fn is_address(bytes: &[u8], ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => bytes == ip.octets(),
        IpAddr::V6(ip) => bytes == ip.octets(),
    }
}

/// RFC 4514, section 2: the last name first, attribute types by their short names.
fn subject_dn(name: &X509Name<'_>) -> Option<String> {
    let rdns: Option<Vec<String>> = name
        .iter_rdn()
        .map(|rdn| {
            let parts: Option<Vec<String>> = rdn.iter().map(attribute).collect();
            parts.map(|parts| parts.join("+"))
        })
        .collect();
    let mut rdns = rdns?;
    rdns.reverse();
    Some(rdns.join(","))
}

fn attribute(attribute: &AttributeTypeAndValue<'_>) -> Option<String> {
    let oid = attribute.attr_type().to_id_string();
    let short = match oid.as_str() {
        "2.5.4.3" => "CN",
        "2.5.4.7" => "L",
        "2.5.4.8" => "ST",
        "2.5.4.10" => "O",
        "2.5.4.11" => "OU",
        "2.5.4.6" => "C",
        "2.5.4.9" => "STREET",
        "0.9.2342.19200300.100.1.25" => "DC",
        "0.9.2342.19200300.100.1.1" => "UID",
        _ => {
            // Section 2.4: a type without a short name has the encoded value.
            let raw = attribute.attr_value();
            let mut der = vec![u8::try_from(raw.tag().0).ok()?];
            der.push(u8::try_from(raw.data.len()).ok().filter(|length| *length < 128)?);
            der.extend_from_slice(raw.data);
            return Some(format!("{oid}=#{}", HEXLOWER.encode(&der)));
        }
    };
    Some(format!("{short}={}", escaped(attribute.as_str().ok()?)))
}

fn escaped(value: &str) -> String {
    let mut text = String::with_capacity(value.len());
    let last = value.chars().count().saturating_sub(1);
    for (place, letter) in value.chars().enumerate() {
        let edge =
            (place == 0 && (letter == ' ' || letter == '#')) || (place == last && letter == ' ');
        if letter == '\0' {
            text.push_str("\\00");
        } else if edge || r#""+,;<>\"#.contains(letter) {
            let _ = write!(text, "\\{letter}");
        } else {
            text.push(letter);
        }
    }
    text
}

/// Takes, besides certificates of the authority, those that vouch for themselves: whoever shows one
/// proves to hold its key, and that is all (RFC 8705, section 2.2).
#[derive(Debug)]
pub(crate) struct OrSelfSigned(pub Arc<Trust>);

impl ClientCertVerifier for OrSelfSigned {
    /// None: a hint would keep clients from showing what the authority did not sign.
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        self.0.verify_client_cert(end_entity, intermediates, now).or_else(|error| {
            let alone = intermediates.is_empty() && is_self_signed(end_entity, now);
            if alone { Ok(ClientCertVerified::assertion()) } else { Err(error) }
        })
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.0.verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.0.verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.supported_verify_schemes()
    }
}

/// Its own issuer, and within its time.
fn is_self_signed(der: &[u8], now: UnixTime) -> bool {
    let now = i64::try_from(now.as_secs()).unwrap_or(i64::MAX);
    parse(der).is_some_and(|certificate| {
        let validity = certificate.validity();
        is_own_issuer(&certificate)
            && validity.not_before.timestamp() <= now
            && now <= validity.not_after.timestamp()
    })
}

fn is_own_issuer(certificate: &X509Certificate<'_>) -> bool {
    certificate.subject().as_raw() == certificate.issuer().as_raw()
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, DistinguishedName as Name, DnType, KeyPair, SanType};

    use super::*;

    fn certificate() -> Vec<u8> {
        let mut params = CertificateParams::new(vec!["api.example".to_owned()]).unwrap();
        params.subject_alt_names.push(SanType::URI("urn:x:1".try_into().unwrap()));
        params.subject_alt_names.push(SanType::IpAddress("192.0.2.1".parse().unwrap()));
        let mut name = Name::new();
        name.push(DnType::CountryName, "DE");
        name.push(DnType::OrganizationName, "Doe, Inc. \"X\"");
        name.push(DnType::CommonName, " #api");
        params.distinguished_name = name;
        params.self_signed(&KeyPair::generate().unwrap()).unwrap().der().to_vec()
    }

    #[test]
    fn names_count_only_if_the_authority_says_so() {
        let der = CertificateDer::from(certificate());
        let now = Timestamp::from_secs(1_700_000_000);
        // A trust anchor vouches for what is signed by its key, itself included.
        let trust = Trust::new(std::slice::from_ref(&der)).unwrap();
        let ours = PeerCertificate::new(std::slice::from_ref(&der), Some(&trust), now).unwrap();
        let alone = PeerCertificate::new(&[der], None, now).unwrap();
        for name in [
            CertificateName::SubjectDn(r#"CN=\ #api,O=Doe\, Inc. \"X\",C=DE"#),
            CertificateName::Dns("API.example"),
            CertificateName::Uri("urn:x:1"),
            CertificateName::Ip("192.0.2.1"),
        ] {
            assert!(ours.is_called(name), "{name:?}");
            assert!(!alone.is_called(name), "{name:?}");
        }
        for name in [
            CertificateName::SubjectDn("C=DE"),
            CertificateName::Dns("example"),
            CertificateName::Uri("urn:x:2"),
            CertificateName::Ip("192.0.2.2"),
            CertificateName::Email("urn:x:1"),
        ] {
            assert!(!ours.is_called(name), "{name:?}");
        }
        assert_eq!(ours.thumbprint(), alone.thumbprint());
        assert_eq!(ours.thumbprint().len(), 43);
    }
}
