//! The authorities that the operator trusts: those of countries that sign the signers of documents (CSCA), and
//! what they have revoked.

use std::collections::HashSet;

use crate::certificate::{Certificate, Crl, usage};

/// An authority that is trusted.
pub type Anchor = Certificate;

/// Why a certificate or a list is not taken up.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Refused {
    /// It is of somebody who must not sign certificates.
    #[error("it is not of an authority: it may not sign certificates")]
    NotAuthority,
    /// Neither its own key nor one that is trusted signed it.
    #[error("neither its own key nor that of a trusted authority signed it")]
    NotSigned,
    /// The list is older than the one that is there.
    #[error("a newer revocation list of the same authority is there")]
    Older,
}

/// Authorities and their revocation lists.
#[derive(Clone, Default, Debug)]
pub struct Trust {
    anchors: Vec<Anchor>,
    fingerprints: HashSet<Vec<u8>>,
    crls: Vec<Crl>,
}

impl Trust {
    /// Nobody.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes up an authority: one whose own key signed its certificate, or one that a trusted one vouches for (a
    /// link certificate, ICAO 9303-12, 7.1.2). Whether it was not there yet.
    pub fn admit(&mut self, certificate: Certificate) -> Result<bool, Refused> {
        if !certificate.is_authority || !certificate.may(usage::CERTIFICATES) {
            return Err(Refused::NotAuthority);
        }
        let vouched = certificate.names_itself() && certificate.is_signed_by(&certificate.key)
            || self.issuer_of(&certificate).is_some();
        if !vouched {
            return Err(Refused::NotSigned);
        }
        let is_new = self.fingerprints.insert(certificate.fingerprint());
        if is_new {
            self.anchors.push(certificate);
        }
        Ok(is_new)
    }

    /// Takes up a revocation list in place of an older one. Whether it was not there yet.
    pub fn admit_crl(&mut self, crl: Crl) -> Result<bool, Refused> {
        let signed = |anchor: &Anchor| anchor.may(usage::CRLS) && crl.is_signed_by(anchor);
        if !self.of(&crl.issuer, None, &crl.country).into_iter().any(signed) {
            return Err(Refused::NotSigned);
        }
        let fingerprint = crl.fingerprint();
        match self.crls.iter_mut().find(|other| other.issuer == crl.issuer) {
            Some(other) if other.fingerprint() == fingerprint => return Ok(false),
            Some(other) if other.this_update > crl.this_update => return Err(Refused::Older),
            Some(other) => *other = crl,
            None => self.crls.push(crl),
        }
        Ok(true)
    }

    /// The authorities.
    pub fn anchors(&self) -> &[Anchor] {
        &self.anchors
    }

    /// The revocation lists.
    pub fn crls(&self) -> &[Crl] {
        &self.crls
    }

    /// Whether nobody is trusted.
    pub fn is_empty(&self) -> bool {
        self.anchors.is_empty()
    }

    /// The authority that signed a certificate.
    pub fn issuer_of(&self, certificate: &Certificate) -> Option<&Anchor> {
        let (name, key) = (&certificate.issuer, certificate.issuer_key_id.as_deref());
        self.of(name, key, &certificate.country)
            .into_iter()
            .find(|anchor| certificate.is_signed_by(&anchor.key))
    }

    /// The revocation list for what this authority signed.
    pub fn crl_of(&self, anchor: &Anchor) -> Option<&Crl> {
        self.crls.iter().find(|crl| crl.issuer == anchor.subject || crl.is_signed_by(anchor))
    }

    /// Who may have this name or key. Names are written in several ways, so those of the country come last.
    fn of(&self, name: &[u8], key: Option<&[u8]>, country: &str) -> Vec<&Anchor> {
        let rank = |anchor: &&Anchor| {
            let same_key = key.is_some() && anchor.key_id.as_deref() == key;
            (!same_key, anchor.subject != name)
        };
        let may_be = |anchor: &&Anchor| {
            let (other_key, other_name) = rank(anchor);
            !other_key || !other_name || anchor.country == country
        };
        let mut found: Vec<&Anchor> = self.anchors.iter().filter(may_be).collect();
        found.sort_by_key(rank);
        found
    }
}
