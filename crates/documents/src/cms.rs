//! Signed data (RFC 5652, 5), as far as documents and master lists have it: content inside, signed attributes.

use crate::{
    Malformed,
    certificate::Certificate,
    der::{self, Algorithm, Element, Reader, tag},
    digest::Hash,
    key::Scheme,
};

/// `id-signedData`: 1.2.840.113549.1.7.2.
pub const SIGNED_DATA: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x07, 0x02];
/// The beginning of the attributes of PKCS #9.
const ATTRIBUTE: [u8; 8] = [0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x09];
const CONTENT_TYPE: u8 = 3;
const MESSAGE_DIGEST: u8 = 4;
const SIGNING_TIME: u8 = 5;

/// Certificates that are looked at.
const CERTIFICATES_MAX: usize = 16;
/// Signers that are looked at.
const SIGNERS_MAX: usize = 8;
/// Attributes of a signer.
const ATTRIBUTES_MAX: usize = 32;

/// Content with signatures, not yet verified.
pub struct SignedData<'a> {
    /// The value of the identifier of what the content is.
    pub content_type: &'a [u8],
    /// What was signed.
    pub content: &'a [u8],
    /// Certificates that came along, as they stand there.
    pub certificates: Vec<&'a [u8]>,
    /// Who signed.
    pub signers: Vec<Signer<'a>>,
}

/// A signature and what it says about itself.
pub struct Signer<'a> {
    id: SignerId<'a>,
    hash: Hash,
    /// As they are signed: as a set.
    attributes: Vec<u8>,
    content_type: &'a [u8],
    digest: &'a [u8],
    /// When it says that it was made, in seconds since 1970.
    pub signing_time: Option<i64>,
    scheme: Scheme,
    signature: &'a [u8],
}

enum SignerId<'a> {
    Issuer { name: &'a [u8], serial: &'a [u8] },
    Key(&'a [u8]),
}

impl<'a> SignedData<'a> {
    /// A `ContentInfo` and nothing behind it.
    pub fn read(bytes: &'a [u8]) -> Result<Self, Malformed> {
        let mut outer = der::only(bytes, tag::SEQUENCE)?;
        if outer.value(tag::OID)? != SIGNED_DATA {
            return Err(Malformed("it is not signed data"));
        }
        let mut explicit = outer.nested(tag::CONTEXT_0)?;
        outer.end()?;
        let mut inside = explicit.nested(tag::SEQUENCE)?;
        explicit.end()?;
        inside.small()?;
        inside.value(tag::SET)?;
        let mut encapsulated = inside.nested(tag::SEQUENCE)?;
        let content_type = encapsulated.value(tag::OID)?;
        let mut content = encapsulated.nested(tag::CONTEXT_0)?;
        let content = content.value(tag::OCTET_STRING)?;
        let mut certificates = Vec::new();
        if let Some(set) = inside.optional(tag::CONTEXT_0)? {
            let mut set = Reader::new(set.value);
            while !set.is_empty() {
                if certificates.len() == CERTIFICATES_MAX {
                    return Err(Malformed("signed data has more than 16 certificates"));
                }
                certificates.push(set.any()?.whole);
            }
        }
        inside.optional(tag::CONTEXT_1)?;
        let mut set = inside.nested(tag::SET)?;
        inside.end()?;
        let mut signers = Vec::new();
        while !set.is_empty() {
            if signers.len() == SIGNERS_MAX {
                return Err(Malformed("signed data has more than 8 signers"));
            }
            signers.push(Signer::read(set.nested(tag::SEQUENCE)?)?);
        }
        Ok(Self { content_type, content, certificates, signers })
    }
}

/// Why a signature does not hold.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fault {
    /// The content is not the one that was signed.
    Content,
    /// The signature is not that of the key.
    Signature,
}

impl<'a> Signer<'a> {
    fn read(mut inside: Reader<'a>) -> Result<Self, Malformed> {
        inside.small()?;
        let id = inside.any()?;
        let id = match id.tag {
            tag::SEQUENCE => {
                let mut both = Reader::new(id.value);
                let name = both.element(tag::SEQUENCE)?.whole;
                SignerId::Issuer { name, serial: both.number()? }
            }
            tag::PLAIN_0 => SignerId::Key(id.value),
            _ => return Err(Malformed("a signer is not named")),
        };
        let hash = Algorithm::read(&mut inside)?;
        let hash = Hash::of_oid(hash.oid).ok_or(Malformed("a digest algorithm is not known"))?;
        let attributes = inside.optional(tag::CONTEXT_0)?;
        let attributes = attributes.ok_or(Malformed("a signature has no signed attributes"))?;
        let scheme = Scheme::read(Algorithm::read(&mut inside)?, Some(hash))?;
        let signature = inside.value(tag::OCTET_STRING)?;
        let (mut content_type, mut digest, mut signing_time) = (None, None, None);
        let mut rest = Reader::new(attributes.value);
        let mut count = 0;
        while !rest.is_empty() {
            count += 1;
            if count > ATTRIBUTES_MAX {
                return Err(Malformed("a signature has more than 32 signed attributes"));
            }
            let mut attribute = rest.nested(tag::SEQUENCE)?;
            let (oid, mut values) = (attribute.value(tag::OID)?, attribute.nested(tag::SET)?);
            let [start @ .., number] = oid else { continue };
            if *start != ATTRIBUTE {
                continue;
            }
            let twice = match *number {
                CONTENT_TYPE => content_type.replace(values.value(tag::OID)?).is_some(),
                MESSAGE_DIGEST => digest.replace(values.value(tag::OCTET_STRING)?).is_some(),
                SIGNING_TIME => signing_time.replace(time(values.any()?)).is_some(),
                _ => continue,
            };
            if twice || !values.is_empty() {
                return Err(Malformed("a signed attribute is there twice"));
            }
        }
        // What is signed has the tag of a set, whatever stands there (RFC 5652, 5.4).
        let mut as_set = attributes.whole.to_vec();
        as_set[0] = 0x31;
        Ok(Self {
            id,
            hash,
            attributes: as_set,
            content_type: content_type.ok_or(Malformed("a signature names no content type"))?,
            digest: digest.ok_or(Malformed("a signature has no digest of its content"))?,
            // Many are not as RFC 5652 has them, and one that cannot be read says nothing.
            signing_time: signing_time.and_then(Result::ok),
            scheme,
            signature,
        })
    }

    /// Whether this certificate is meant.
    pub fn is(&self, certificate: &Certificate) -> bool {
        match &self.id {
            SignerId::Issuer { name, serial } => {
                certificate.issuer == *name && certificate.serial == *serial
            }
            SignerId::Key(id) => certificate.key_id.as_deref() == Some(id),
        }
    }

    /// Whether a certificate has the number that is named, if a name is: issuers write one name in several ways.
    pub fn has_serial_of(&self, certificate: &Certificate) -> bool {
        matches!(&self.id, SignerId::Issuer { serial, .. } if certificate.serial == *serial)
    }

    /// Whether the key of a certificate signed this content.
    pub fn verify(&self, data: &SignedData<'_>, certificate: &Certificate) -> Result<(), Fault> {
        let same =
            self.content_type == data.content_type && self.hash.of(&[data.content]) == self.digest;
        if !same {
            return Err(Fault::Content);
        }
        let holds =
            |attributes: &[u8]| certificate.key.verifies(self.scheme, attributes, self.signature);
        // Some send attributes in another order than the one that they signed.
        if holds(&self.attributes) || sorted(&self.attributes).is_ok_and(|sorted| holds(&sorted)) {
            Ok(())
        } else {
            Err(Fault::Signature)
        }
    }

    /// Whether SHA-1 is in it.
    pub fn is_weak(&self) -> bool {
        self.hash == Hash::Sha1 || self.scheme.hash() == Hash::Sha1
    }

    /// How it was signed.
    pub fn scheme(&self) -> Scheme {
        self.scheme
    }
}

/// A set in the order of DER (X.690, 11.6).
fn sorted(set: &[u8]) -> Result<Vec<u8>, Malformed> {
    let mut inside = der::only(set, tag::SET)?;
    let length = set.len() - inside.left();
    let mut elements = Vec::new();
    while !inside.is_empty() {
        elements.push(inside.any()?.whole);
    }
    elements.sort_unstable();
    Ok([&set[..length], &elements.concat()].concat())
}

/// A time (RFC 5280, 4.1.2.5), in seconds since 1970.
fn time(element: Element<'_>) -> Result<i64, Malformed> {
    const UTC: u16 = 0x17;
    let wrong = Malformed("a time cannot be read");
    let text = std::str::from_utf8(element.value).map_err(|_| wrong)?;
    let digits = text.strip_suffix('Z').ok_or(wrong)?;
    if !digits.bytes().all(|digit| digit.is_ascii_digit()) {
        return Err(wrong);
    }
    let (year, rest) = if element.tag == UTC {
        let (year, rest) = digits.split_at_checked(2).ok_or(wrong)?;
        let year: i32 = year.parse().map_err(|_| wrong)?;
        (if year < 50 { 2000 + year } else { 1900 + year }, rest)
    } else {
        let (year, rest) = digits.split_at_checked(4).ok_or(wrong)?;
        (year.parse().map_err(|_| wrong)?, rest)
    };
    if rest.len() != 10 {
        return Err(wrong);
    }
    let part = |at: usize| rest[at..at + 2].parse::<u8>().map_err(|_| wrong);
    let month = time::Month::try_from(part(0)?).map_err(|_| wrong)?;
    let date = time::Date::from_calendar_date(year, month, part(2)?).map_err(|_| wrong)?;
    let time = date.with_hms(part(4)?, part(6)?, part(8)?).map_err(|_| wrong)?;
    Ok(time.assume_utc().unix_timestamp())
}
