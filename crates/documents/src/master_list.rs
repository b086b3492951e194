//! Lists of the authorities of countries, as they exchange them (ICAO 9303-12, 9).

use crate::{
    Malformed,
    certificate::Certificate,
    cms::SignedData,
    der::{self, tag},
};

/// Bytes of a master list; that of Germany has one and a half million.
pub const MASTER_LIST_MAX_BYTES: usize = 32 << 20;

/// `id-icao-cscaMasterList`: 2.23.136.1.1.2.
const MASTER_LIST: &[u8] = &[0x67, 0x81, 0x08, 0x01, 0x01, 0x02];
/// `id-icao-cscaMasterListSigningKey`: 2.23.136.1.1.3.
const SIGNING_KEY: &[u8] = &[0x67, 0x81, 0x08, 0x01, 0x01, 0x03];

/// A master list whose signature holds.
#[derive(Debug)]
pub struct MasterList {
    /// Who signed it.
    pub signer: Certificate,
    /// Certificates in it, and why those that cannot be read cannot.
    pub certificates: Vec<Result<Certificate, Malformed>>,
}

impl MasterList {
    /// Whether this may be one.
    pub fn looks_like(bytes: &[u8]) -> bool {
        SignedData::read(bytes).is_ok_and(|data| data.content_type == MASTER_LIST)
    }

    /// Reads one. Its signer must be allowed to sign such lists and be signed by an authority that is in it or
    /// came along; whether that one is trusted is for whoever imports it to say.
    pub fn read(bytes: &[u8]) -> Result<Self, Malformed> {
        if bytes.len() > MASTER_LIST_MAX_BYTES {
            return Err(Malformed("a master list is above 32 MiB"));
        }
        let data = SignedData::read(bytes)?;
        if data.content_type != MASTER_LIST {
            return Err(Malformed("it is no master list"));
        }
        let mut inside = der::only(data.content, tag::SEQUENCE)?;
        inside.small()?;
        let mut list = inside.nested(tag::SET)?;
        let mut certificates = Vec::new();
        while !list.is_empty() {
            certificates.push(Certificate::read(list.any()?.whole));
        }
        let along: Vec<Certificate> =
            data.certificates.iter().filter_map(|der| Certificate::read(der).ok()).collect();
        let signed = |certificate: &&Certificate| {
            data.signers
                .iter()
                .any(|signer| signer.is(certificate) && signer.verify(&data, certificate).is_ok())
        };
        let signer = along.iter().find(signed);
        let signer = signer.ok_or(Malformed("the signature of the master list does not hold"))?;
        if !signer.purposes.iter().any(|purpose| purpose == SIGNING_KEY) {
            return Err(Malformed("who signed the master list may not sign such lists"));
        }
        let mut authorities = along.iter().chain(certificates.iter().flatten());
        if !authorities.any(|authority| {
            authority.is_authority
                && authority.subject == signer.issuer
                && signer.is_signed_by(&authority.key)
        }) {
            return Err(Malformed("no authority in the master list signed its signer"));
        }
        Ok(Self { signer: signer.clone(), certificates })
    }
}
