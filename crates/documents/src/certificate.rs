//! Certificates and revocation lists of those who sign documents (ICAO 9303-12, 7).

use x509_parser::{
    certificate::X509Certificate,
    extensions::ParsedExtension,
    prelude::FromDer,
    revocation_list::CertificateRevocationList,
    x509::{AlgorithmIdentifier, X509Name},
};

use crate::{
    Malformed,
    der::{self, Algorithm, Reader, tag},
    digest::Hash,
    key::{PublicKey, Scheme},
};

/// Bytes of a certificate.
pub const CERTIFICATE_MAX_BYTES: usize = 16 << 10;

/// Bytes of a revocation list.
pub const CRL_MAX_BYTES: usize = 16 << 20;

/// A certificate, as far as it matters here.
#[derive(Clone, Debug)]
pub struct Certificate {
    der: Vec<u8>,
    signed: Signed,
    /// The name of whom it is about, as it stands there.
    pub subject: Vec<u8>,
    /// The same, for people.
    pub subject_text: String,
    /// The name of who signed it, as it stands there.
    pub issuer: Vec<u8>,
    /// The country of its subject, or of its issuer, in capitals.
    pub country: String,
    /// Its number, without zeros in front.
    pub serial: Vec<u8>,
    /// Seconds since 1970.
    pub not_before: i64,
    /// Seconds since 1970.
    pub not_after: i64,
    /// Its key.
    pub key: PublicKey,
    /// SHA-256 of its key.
    pub key_hash: Vec<u8>,
    /// Whether it says that it is of an authority.
    pub is_authority: bool,
    /// Bits of the key usage, the first the lowest; `None` where it says nothing.
    pub key_usage: Option<u16>,
    /// The identifier of its key.
    pub key_id: Option<Vec<u8>>,
    /// The identifier of the key that signed it.
    pub issuer_key_id: Option<Vec<u8>>,
    /// Values of the identifiers of what its key is for.
    pub purposes: Vec<Vec<u8>>,
    /// Kinds of documents that it signs, as in their machine readable zones; empty for all.
    pub document_types: Vec<String>,
}

/// What was signed, how, and the signature.
#[derive(Clone, Debug)]
struct Signed {
    message: Vec<u8>,
    scheme: Scheme,
    signature: Vec<u8>,
}

impl Signed {
    fn is_by(&self, key: &PublicKey) -> bool {
        key.verifies(self.scheme, &self.message, &self.signature)
    }
}

/// A revocation list.
#[derive(Clone, Debug)]
pub struct Crl {
    der: Vec<u8>,
    signed: Signed,
    /// The name of who signed it, as it stands there.
    pub issuer: Vec<u8>,
    /// The same, for people.
    pub issuer_text: String,
    /// The country of that name.
    pub country: String,
    /// Seconds since 1970.
    pub this_update: i64,
    /// Seconds since 1970.
    pub next_update: Option<i64>,
    /// The distribution point that it is of, as it stands there; empty if it is of all.
    pub point: Vec<u8>,
    /// Numbers of revoked certificates, without zeros in front, in order.
    revoked: Vec<Vec<u8>>,
}

/// `documentTypeList` (ICAO 9303-12, 7.1.1.6): 2.23.136.1.1.6.2.
const DOCUMENT_TYPES: &[u8] = &[0x67, 0x81, 0x08, 0x01, 0x01, 0x06, 0x02];

/// The bits of the key usage (RFC 5280, 4.2.1.3).
pub mod usage {
    /// `digitalSignature`
    pub const SIGN: u16 = 1;
    /// `keyCertSign`
    pub const CERTIFICATES: u16 = 1 << 5;
    /// `cRLSign`
    pub const CRLS: u16 = 1 << 6;
}

/// Extensions that are understood here, apart from those that say nothing about who may sign what. A critical
/// one that is not must not be passed over (RFC 5280, 4.2).
const UNDERSTOOD: [&str; 10] = [
    "2.5.29.14",
    "2.5.29.15",
    "2.5.29.16",
    "2.5.29.17",
    "2.5.29.18",
    "2.5.29.19",
    "2.5.29.31",
    "2.5.29.32",
    "2.5.29.35",
    "2.5.29.37",
];

/// Those that decide who may sign what, so that none is believed that cannot be read.
const DECISIVE: [&str; 5] = ["2.5.29.14", "2.5.29.15", "2.5.29.19", "2.5.29.35", "2.5.29.37"];

impl Certificate {
    /// A certificate and nothing behind it.
    pub fn read(bytes: &[u8]) -> Result<Self, Malformed> {
        if bytes.len() > CERTIFICATE_MAX_BYTES {
            return Err(Malformed("a certificate is above 16 KiB"));
        }
        let wrong = Malformed("a certificate cannot be read");
        let (rest, parsed) = X509Certificate::from_der(bytes).map_err(|_| wrong)?;
        if !rest.is_empty() {
            return Err(Malformed("there is something behind a certificate"));
        }
        let mut certificate = Self {
            der: bytes.to_vec(),
            signed: Signed {
                message: parsed.tbs_certificate.as_ref().to_vec(),
                scheme: scheme(
                    &parsed.signature_algorithm,
                    &parsed.tbs_certificate.signature,
                    bytes,
                )?,
                signature: parsed.signature_value.data.to_vec(),
            },
            subject: parsed.subject().as_raw().to_vec(),
            subject_text: text(parsed.subject()),
            issuer: parsed.issuer().as_raw().to_vec(),
            country: country(parsed.subject())
                .or_else(|| country(parsed.issuer()))
                .unwrap_or_default(),
            serial: number(parsed.raw_serial()),
            not_before: parsed.validity().not_before.timestamp(),
            not_after: parsed.validity().not_after.timestamp(),
            key: PublicKey::read(parsed.public_key().raw)?,
            key_hash: Hash::Sha256.of(&[parsed.public_key().raw]),
            is_authority: false,
            key_usage: None,
            key_id: None,
            issuer_key_id: None,
            purposes: Vec::new(),
            document_types: Vec::new(),
        };
        certificate.read_extensions(&parsed)?;
        Ok(certificate)
    }

    fn read_extensions(&mut self, parsed: &X509Certificate<'_>) -> Result<(), Malformed> {
        let twice = parsed.extensions_map().is_err();
        if twice {
            return Err(Malformed("a certificate has an extension twice"));
        }
        for extension in parsed.extensions() {
            let oid = extension.oid.to_id_string();
            match extension.parsed_extension() {
                ParsedExtension::BasicConstraints(found) => self.is_authority = found.ca,
                ParsedExtension::KeyUsage(found) => self.key_usage = Some(found.flags),
                ParsedExtension::SubjectKeyIdentifier(id) => self.key_id = Some(id.0.to_vec()),
                ParsedExtension::AuthorityKeyIdentifier(found) => {
                    self.issuer_key_id = found.key_identifier.as_ref().map(|id| id.0.to_vec());
                }
                ParsedExtension::ExtendedKeyUsage(_) => self.purposes = purposes(extension.value)?,
                ParsedExtension::ParseError { .. }
                    if extension.critical || DECISIVE.contains(&oid.as_str()) =>
                {
                    return Err(Malformed("an extension of a certificate cannot be read"));
                }
                _ if extension.oid.as_bytes() == DOCUMENT_TYPES => {
                    self.document_types = document_types(extension.value)?;
                }
                _ if extension.critical && !UNDERSTOOD.contains(&oid.as_str()) => {
                    return Err(Malformed(
                        "a certificate has a critical extension that is not known",
                    ));
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// As it was read.
    pub fn der(&self) -> &[u8] {
        &self.der
    }

    /// SHA-256 of the whole.
    pub fn fingerprint(&self) -> Vec<u8> {
        Hash::Sha256.of(&[&self.der])
    }

    /// Whether this key signed it.
    pub fn is_signed_by(&self, key: &PublicKey) -> bool {
        self.signed.is_by(key)
    }

    /// How it was signed.
    pub fn scheme(&self) -> Scheme {
        self.signed.scheme
    }

    /// Whether its key may be used so. What says nothing about it may be used for nothing (ICAO 9303-12, 7.1.1:
    /// the extension is mandatory).
    pub fn may(&self, use_of_key: u16) -> bool {
        self.key_usage.is_some_and(|usage| usage & use_of_key == use_of_key)
    }

    /// Whether it is in force at a time.
    pub fn is_valid_at(&self, seconds: i64) -> bool {
        (self.not_before..=self.not_after).contains(&seconds)
    }
}

impl Crl {
    /// A revocation list and nothing behind it.
    pub fn read(bytes: &[u8]) -> Result<Self, Malformed> {
        if bytes.len() > CRL_MAX_BYTES {
            return Err(Malformed("a revocation list is above 16 MiB"));
        }
        let wrong = Malformed("a revocation list cannot be read");
        let (rest, parsed) = CertificateRevocationList::from_der(bytes).map_err(|_| wrong)?;
        if !rest.is_empty() {
            return Err(Malformed("there is something behind a revocation list"));
        }
        let mut point = Vec::new();
        for extension in parsed.extensions() {
            let oid = extension.oid.to_id_string();
            match oid.as_str() {
                DELTA => return Err(Malformed("a revocation list has only what changed")),
                DISTRIBUTION_POINT => point = point_of(extension.value)?,
                _ if extension.critical && !CRL_UNDERSTOOD.contains(&oid.as_str()) => {
                    return Err(Malformed("a revocation list has a critical extension"));
                }
                _ => {}
            }
        }
        let mut revoked: Vec<Vec<u8>> = parsed
            .iter_revoked_certificates()
            .map(|revoked| number(revoked.raw_serial()))
            .collect();
        revoked.sort_unstable();
        Ok(Self {
            der: bytes.to_vec(),
            signed: Signed {
                message: parsed.tbs_cert_list.as_ref().to_vec(),
                scheme: scheme(
                    &parsed.signature_algorithm,
                    &parsed.tbs_cert_list.signature,
                    bytes,
                )?,
                signature: parsed.signature_value.data.to_vec(),
            },
            issuer: parsed.issuer().as_raw().to_vec(),
            issuer_text: text(parsed.issuer()),
            country: country(parsed.issuer()).unwrap_or_default(),
            this_update: parsed.last_update().timestamp(),
            next_update: parsed.next_update().map(|time| time.timestamp()),
            point,
            revoked,
        })
    }

    /// As it was read.
    pub fn der(&self) -> &[u8] {
        &self.der
    }

    /// SHA-256 of the whole.
    pub fn fingerprint(&self) -> Vec<u8> {
        Hash::Sha256.of(&[&self.der])
    }

    /// Whether this key signed it.
    pub fn is_signed_by(&self, key: &PublicKey) -> bool {
        self.signed.is_by(key)
    }

    /// Whether it has this number.
    pub fn has(&self, serial: &[u8]) -> bool {
        self.revoked.binary_search_by(|revoked| revoked.as_slice().cmp(serial)).is_ok()
    }

    /// How many certificates are revoked.
    pub fn len(&self) -> usize {
        self.revoked.len()
    }

    /// Whether none is.
    pub fn is_empty(&self) -> bool {
        self.revoked.is_empty()
    }
}

/// `deltaCRLIndicator`
const DELTA: &str = "2.5.29.27";
/// `issuingDistributionPoint`
const DISTRIBUTION_POINT: &str = "2.5.29.28";
/// `issuerAltName`, `cRLNumber`, `authorityKeyIdentifier`
const CRL_UNDERSTOOD: [&str; 3] = ["2.5.29.18", "2.5.29.20", "2.5.29.35"];

/// A list of some certificates only would clear those that it leaves out. One may be of a distribution point,
/// beside those of others, and not of authorities (RFC 5280, 5.2.5).
fn point_of(value: &[u8]) -> Result<Vec<u8>, Malformed> {
    let mut inside = der::only(value, tag::SEQUENCE)?;
    let mut point = Vec::new();
    while !inside.is_empty() {
        let element = inside.any()?;
        match element.tag {
            tag::CONTEXT_0 => point = element.value.to_vec(),
            0x81 => {}
            _ => return Err(Malformed("a revocation list is of some certificates only")),
        }
    }
    Ok(point)
}

/// A name for people: whoever made it must not write into a terminal or a log.
fn text(name: &X509Name<'_>) -> String {
    const MOST: usize = 300;
    let hidden = |letter: char| {
        letter.is_control()
            || matches!(letter, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    name.to_string()
        .chars()
        .map(|letter| if hidden(letter) { '?' } else { letter })
        .take(MOST)
        .collect()
}

/// The country of a name, in capitals: some write it small.
fn country(name: &X509Name<'_>) -> Option<String> {
    let country = name.iter_country().next()?.as_str().ok()?.trim().to_ascii_uppercase();
    // Two letters, or none at all.
    (country.len() == 2 && country.bytes().all(|letter| letter.is_ascii_uppercase()))
        .then_some(country)
}

fn number(raw: &[u8]) -> Vec<u8> {
    raw.iter().copied().skip_while(|byte| *byte == 0).collect()
}

/// The algorithm stands there twice, once signed; both must be the same (RFC 5280, 4.1.1.2).
fn scheme(
    outer: &AlgorithmIdentifier<'_>,
    inner: &AlgorithmIdentifier<'_>,
    whole: &[u8],
) -> Result<Scheme, Malformed> {
    if outer != inner {
        return Err(Malformed("a certificate names two signature algorithms"));
    }
    let mut inside = der::only(whole, tag::SEQUENCE)?;
    inside.any()?;
    let scheme = Scheme::read(Algorithm::read(&mut inside)?, None)?;
    // Whatever else stood there nobody signed, and it would make another fingerprint of the same.
    inside.bits()?;
    inside.end()?;
    Ok(scheme)
}

fn purposes(value: &[u8]) -> Result<Vec<Vec<u8>>, Malformed> {
    let mut inside = der::only(value, tag::SEQUENCE)?;
    let mut purposes = Vec::new();
    while !inside.is_empty() {
        purposes.push(inside.value(tag::OID)?.to_vec());
    }
    Ok(purposes)
}

/// `SEQUENCE { version INTEGER, docTypeList SET OF PrintableString }`
fn document_types(value: &[u8]) -> Result<Vec<String>, Malformed> {
    let mut inside = der::only(value, tag::SEQUENCE)?;
    inside.small()?;
    // Some have a sequence here, and other strings.
    let mut set = Reader::new(inside.any()?.value);
    let mut types = Vec::new();
    while !set.is_empty() {
        types.push(String::from_utf8_lossy(set.any()?.value).into_owned());
    }
    Ok(types)
}
