//! Requests for certificates (PKCS#10, RFC 2986).

use std::net::IpAddr;

use aws_lc_rs::digest::{SHA256, digest};
use rcgen::SubjectPublicKeyInfo;
use rustls::pki_types::{CertificateSigningRequestDer, pem::PemObject};
use x509_parser::{
    certification_request::X509CertificationRequest,
    extensions::{GeneralName, ParsedExtension},
    prelude::FromDer,
    public_key::PublicKey,
};

use crate::Subject;

/// A request is at most this long.
pub const MAX_REQUEST_BYTES: usize = 16 * 1024;
/// RSA keys, in bits.
const RSA_BITS: std::ops::RangeInclusive<usize> = 2_048..=4_096;
/// Coordinates of P-256 and P-384, in bits.
const CURVES: [usize; 2] = [256, 384];

/// Why a request for a certificate is refused.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum RequestError {
    /// Too long, or not one request and nothing else.
    #[error("this is not one PKCS#10 request in PEM or DER of at most {MAX_REQUEST_BYTES} bytes")]
    Malformed,
    /// Whoever sends it does not hold the key.
    #[error("the signature of the request is not by its own key")]
    Signature,
    /// A key that certificates are not issued for.
    #[error("the key must be on P-256, P-384 or Ed25519, or RSA of 2048 to 4096 bits")]
    Key,
    /// It asks for what it is not for.
    #[error("the request asks for {0}, which is not granted; leave names to the authority")]
    Name(String),
}

/// A request whose sender holds the key.
#[derive(Debug)]
pub struct CertificateRequest {
    /// The key.
    pub key: SubjectPublicKeyInfo,
    uris: Vec<String>,
    names: Vec<String>,
    others: Option<String>,
    key_hash: [u8; 32],
}

impl CertificateRequest {
    /// Reads PEM or DER and checks the signature.
    pub fn parse(bytes: &[u8]) -> Result<Self, RequestError> {
        if bytes.len() > MAX_REQUEST_BYTES {
            return Err(RequestError::Malformed);
        }
        let der = if bytes.first() == Some(&0x30) {
            CertificateSigningRequestDer::from(bytes)
        } else {
            let mut all = CertificateSigningRequestDer::pem_slice_iter(bytes);
            let first = all.next().and_then(Result::ok).ok_or(RequestError::Malformed)?;
            if all.next().is_some() {
                return Err(RequestError::Malformed);
            }
            first
        };
        let read = X509CertificationRequest::from_der(&der).ok();
        let request = read.filter(|(rest, _)| rest.is_empty()).map(|(_, request)| request);
        let request = request.ok_or(RequestError::Malformed)?;
        let key = &request.certification_request_info.subject_pki;
        let hash = digest(&SHA256, key.raw);
        let usable = match key.parsed() {
            Ok(PublicKey::RSA(rsa)) => RSA_BITS.contains(&rsa.key_size()),
            Ok(PublicKey::EC(point)) => CURVES.contains(&point.key_size()),
            Ok(PublicKey::Unknown(bytes)) => bytes.len() == 32,
            _ => false,
        };
        let key = SubjectPublicKeyInfo::from_der(key.raw).ok().filter(|_| usable);
        let key = key.ok_or(RequestError::Key)?;
        request.verify_signature().map_err(|_| RequestError::Signature)?;
        let key_hash = hash.as_ref().try_into().map_err(|_| RequestError::Key)?;
        let (uris, names) = (Vec::new(), Vec::new());
        let mut this = Self { key, uris, names, others: None, key_hash };
        for extension in request.requested_extensions().into_iter().flatten() {
            match extension {
                ParsedExtension::SubjectAlternativeName(san) => {
                    san.general_names.iter().for_each(|name| this.add(name));
                }
                ParsedExtension::BasicConstraints(basic) if basic.ca => {
                    this.others = Some("to be an authority".into());
                }
                // The authority decides on usages.
                _ => {}
            }
        }
        Ok(this)
    }

    /// SHA-256 of the key.
    pub fn key_hash(&self) -> &[u8; 32] {
        &self.key_hash
    }

    fn add(&mut self, name: &GeneralName<'_>) {
        match name {
            GeneralName::URI(uri) => self.uris.push((*uri).to_owned()),
            GeneralName::DNSName(name) => self.names.push(name.to_ascii_lowercase()),
            GeneralName::IPAddress(bytes) => match address(bytes) {
                Some(ip) => self.names.push(ip.to_string()),
                None => self.others = Some("an address that is none".into()),
            },
            _ => self.others = Some("a name that is neither URI, DNS name nor address".into()),
        }
    }

    /// Whether it asks for nothing beyond `subject`.
    pub fn fits(&self, subject: &Subject) -> Result<(), RequestError> {
        let own = subject.workload.as_ref().map(crate::SpiffeId::as_str);
        let uri = self.uris.iter().find(|uri| own != Some(uri.as_str()));
        let granted =
            |name: &String| subject.names.iter().any(|own| own.eq_ignore_ascii_case(name));
        let name = self.names.iter().find(|name| !granted(name));
        match uri.or(name).or(self.others.as_ref()) {
            None => Ok(()),
            Some(name) => Err(RequestError::Name(shortened(name))),
        }
    }
}

/// What a stranger wrote, fit for an answer.
fn shortened(name: &str) -> String {
    name.escape_debug().take(200).collect()
}

pub(crate) fn address(bytes: &[u8]) -> Option<IpAddr> {
    match bytes.len() {
        4 => <[u8; 4]>::try_from(bytes).ok().map(IpAddr::from),
        16 => <[u8; 16]>::try_from(bytes).ok().map(IpAddr::from),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use rcgen::{
        BasicConstraints, CertificateParams, IsCa, KeyPair, PKCS_ECDSA_P384_SHA384, SanType,
    };

    use super::*;
    use crate::request_pem;

    fn subject() -> Subject {
        Subject {
            workload: Some("spiffe://a.example/orders".parse().unwrap()),
            names: vec!["orders.svc".into(), "192.0.2.1".into()],
        }
    }

    fn asking(sans: Vec<SanType>, is_ca: IsCa) -> Vec<u8> {
        let mut params = CertificateParams::default();
        params.subject_alt_names = sans;
        params.is_ca = is_ca;
        let key = KeyPair::generate().unwrap();
        params.serialize_request(&key).unwrap().der().to_vec()
    }

    #[test]
    fn names_that_are_granted_may_be_asked_for_and_no_others() {
        let uri = |uri: &str| SanType::URI(uri.try_into().unwrap());
        let dns = |name: &str| SanType::DnsName(name.try_into().unwrap());
        let ip = |ip: &str| SanType::IpAddress(ip.parse().unwrap());
        let all = vec![uri("spiffe://a.example/orders"), dns("ORDERS.svc"), ip("192.0.2.1")];
        let good = CertificateRequest::parse(&asking(all, IsCa::NoCa)).unwrap();
        assert_eq!(good.fits(&subject()), Ok(()));
        for (name, said) in [
            (uri("spiffe://a.example/admin"), "spiffe://a.example/admin"),
            (dns("other.svc"), "other.svc"),
            (dns("*.svc"), "*.svc"),
            (ip("192.0.2.2"), "192.0.2.2"),
            (SanType::Rfc822Name("a@b".try_into().unwrap()), "neither URI"),
        ] {
            let asked = CertificateRequest::parse(&asking(vec![name], IsCa::NoCa)).unwrap();
            let error = asked.fits(&subject()).unwrap_err().to_string();
            assert!(error.contains(said), "{error}");
        }
        let ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let asked = CertificateRequest::parse(&asking(Vec::new(), ca)).unwrap();
        assert!(asked.fits(&subject()).is_err());
    }

    #[test]
    fn only_whole_requests_by_the_holder_of_a_strong_key_are_read() {
        let key = KeyPair::generate().unwrap();
        let pem = request_pem(&key).unwrap();
        assert!(CertificateRequest::parse(pem.as_bytes()).is_ok());
        let p384 = KeyPair::generate_for(&PKCS_ECDSA_P384_SHA384).unwrap();
        assert!(CertificateRequest::parse(request_pem(&p384).unwrap().as_bytes()).is_ok());
        let twice = format!("{pem}{pem}");
        let malformed = Some(RequestError::Malformed);
        assert_eq!(CertificateRequest::parse(twice.as_bytes()).err(), malformed);
        let der = asking(Vec::new(), IsCa::NoCa);
        assert_eq!(CertificateRequest::parse(&[&der[..], b"x"].concat()).err(), malformed);
        let whole = CertificateRequest::parse(&der).unwrap();
        for at in 0..der.len() {
            assert!(CertificateRequest::parse(&der[..at]).is_err());
            let mut broken = der.clone();
            broken[at] ^= 1;
            // Outside of what is signed a bit may mean nothing; the key stays what it was.
            if let Ok(read) = CertificateRequest::parse(&broken) {
                assert_eq!(read.key, whole.key, "a changed byte at {at}");
                assert!(read.uris.is_empty() && read.names.is_empty() && read.others.is_none());
            }
        }
        assert_eq!(CertificateRequest::parse(&vec![b'0'; 20_000]).err(), malformed);
    }
}
