//! Lists of the authorities of countries, as they exchange them (ICAO 9303-12, 9).

use std::collections::HashSet;

use crate::{
    Malformed,
    certificate::Certificate,
    cms::{SIGNED_DATA, SignedData},
    der::{self, tag},
};

/// Bytes of a master list; that of Germany has one and a half million.
pub const MASTER_LIST_MAX_BYTES: usize = 32 << 20;

/// Certificates in a master list; that of Germany has some six hundred.
const CERTIFICATES_MAX: usize = 5_000;

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
        // Told by what it says it is, so that one that is damaged is refused as what it is.
        let ahead = bytes.get(..bytes.len().min(32)).unwrap_or_default();
        ahead.windows(SIGNED_DATA.len()).any(|part| part == SIGNED_DATA)
    }

    /// Reads one. Its signer must be allowed to sign such lists and be signed by an authority that is in it or
    /// came along; whether that one is trusted is for whoever imports it to say.
    pub fn read(bytes: &[u8]) -> Result<Self, Malformed> {
        if bytes.len() > MASTER_LIST_MAX_BYTES {
            return Err(Malformed("a master list is above 32 MiB"));
        }
        let data = SignedData::read(bytes)?;
        if data.content_type != MASTER_LIST {
            return Err(Malformed("what is signed is no master list"));
        }
        let mut inside = der::only(data.content, tag::SEQUENCE)?;
        inside.small()?;
        let mut list = inside.nested(tag::SET)?;
        let mut certificates = Vec::new();
        let mut seen = HashSet::new();
        while !list.is_empty() {
            let der = list.any()?.whole;
            if seen.insert(der) {
                certificates.push(Certificate::read(der));
            }
            if seen.len() > CERTIFICATES_MAX {
                return Err(Malformed("a master list has more than 5,000 certificates"));
            }
        }
        let [one] = data.signers.as_slice() else {
            return Err(Malformed("a master list has one signer"));
        };
        let along: Vec<Certificate> =
            data.certificates.iter().filter_map(|der| Certificate::read(der).ok()).collect();
        let signed = |certificate: &&Certificate| {
            one.is(certificate) && one.verify(&data, certificate).is_ok()
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
                && (signer.issuer_key_id.is_none() || signer.issuer_key_id == authority.key_id)
                && signer.is_signed_by(&authority.key)
        }) {
            return Err(Malformed("no authority in the master list signed its signer"));
        }
        Ok(Self { signer: signer.clone(), certificates })
    }
}
