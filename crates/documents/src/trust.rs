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
    /// The list is not newer than the one that is there.
    #[error("a revocation list of the same authority is there that is as new")]
    Older,
    /// The list is from a time that is not yet.
    #[error("the revocation list is from a time that is not yet")]
    Future,
}

/// A revocation list with who signed it.
#[derive(Clone, Debug)]
struct Listed {
    crl: Crl,
    /// SHA-256 of the key.
    key: Vec<u8>,
    /// The name that goes with the key.
    name: Vec<u8>,
}

/// Authorities and their revocation lists.
#[derive(Clone, Default, Debug)]
pub struct Trust {
    anchors: Vec<Anchor>,
    fingerprints: HashSet<Vec<u8>>,
    crls: Vec<Listed>,
}

impl Trust {
    /// Nobody.
    pub fn new() -> Self {
        Self::default()
    }

    /// Those who have been admitted before.
    pub fn of_known(anchors: Vec<Anchor>, crls: Vec<Crl>) -> Self {
        let fingerprints = anchors.iter().map(Certificate::fingerprint).collect();
        let mut trust = Self { anchors, fingerprints, crls: Vec::new() };
        for crl in crls {
            // One whose authority is gone says nothing any more, and of two of the same the newer counts.
            let _known = trust.admit_crl(crl, i64::MAX);
        }
        trust
    }

    /// Takes up an authority: one whose own key signed its certificate, or one that a trusted one of the same
    /// country vouches for (a link certificate, ICAO 9303-12, 7.1.2). Whether it was not there yet.
    pub fn admit(&mut self, certificate: Certificate) -> Result<bool, Refused> {
        if !certificate.is_authority || !certificate.may(usage::CERTIFICATES) {
            return Err(Refused::NotAuthority);
        }
        // No country speaks for another.
        let links = |from: &Anchor| {
            from.country == certificate.country && from.is_valid_at(certificate.not_before)
        };
        let vouched = certificate.is_signed_by(&certificate.key)
            || self.issuer_of(&certificate).is_some_and(links);
        if !vouched {
            return Err(Refused::NotSigned);
        }
        let is_new = self.fingerprints.insert(certificate.fingerprint());
        if is_new {
            self.anchors.push(certificate);
        }
        Ok(is_new)
    }

    /// Takes up a revocation list in place of an older one that the same key signed in the same name for the same
    /// distribution point. Whether it was not there yet.
    /// `now` is in seconds since 1970.
    pub fn admit_crl(&mut self, crl: Crl, now: i64) -> Result<bool, Refused> {
        if crl.this_update > now {
            return Err(Refused::Future);
        }
        let fingerprint = crl.fingerprint();
        let listed = self.listed(crl).ok_or(Refused::NotSigned)?;
        let same = |other: &&mut Listed| {
            let (one, other) = (&listed, &**other);
            (&one.key, &one.crl.issuer, &one.crl.point)
                == (&other.key, &other.crl.issuer, &other.crl.point)
        };
        match self.crls.iter_mut().find(same) {
            Some(other) if other.crl.fingerprint() == fingerprint => return Ok(false),
            Some(other) if other.crl.this_update >= listed.crl.this_update => {
                return Err(Refused::Older);
            }
            Some(other) => *other = listed,
            None => self.crls.push(listed),
        }
        Ok(true)
    }

    /// Who signed a list: an authority of its country that was in force then.
    fn listed(&self, crl: Crl) -> Option<Listed> {
        let signed = |anchor: &&Anchor| {
            anchor.country == crl.country
                && anchor.may(usage::CRLS)
                && anchor.is_valid_at(crl.this_update)
                && crl.is_signed_by(&anchor.key)
        };
        let signer = self.of(&crl.issuer, None, &crl.country).into_iter().find(signed)?;
        Some(Listed { key: signer.key_hash.clone(), name: signer.subject.clone(), crl })
    }

    /// The authorities.
    pub fn anchors(&self) -> &[Anchor] {
        &self.anchors
    }

    /// The revocation lists.
    pub fn crls(&self) -> impl Iterator<Item = &Crl> {
        self.crls.iter().map(|listed| &listed.crl)
    }

    /// Whether nobody is trusted.
    pub fn is_empty(&self) -> bool {
        self.anchors.is_empty()
    }

    /// The authority that signed a certificate: of several with the same key, one that was in force then.
    pub fn issuer_of(&self, certificate: &Certificate) -> Option<&Anchor> {
        let (name, key) = (&certificate.issuer, certificate.issuer_key_id.as_deref());
        let candidates = self.of(name, key, &certificate.country);
        let found = candidates.iter().find(|anchor| certificate.is_signed_by(&anchor.key))?;
        let in_force = candidates.iter().find(|anchor| {
            anchor.key_hash == found.key_hash && anchor.is_valid_at(certificate.not_before)
        });
        Some(in_force.unwrap_or(found))
    }

    /// The revocation lists for what this authority signed: of its key, and of other keys under its name.
    pub fn crls_of(&self, anchor: &Anchor) -> impl Iterator<Item = &Crl> {
        let own = |listed: &&Listed| {
            listed.key == anchor.key_hash
                || listed.name == anchor.subject
                || (listed.crl.issuer == anchor.subject && listed.crl.country == anchor.country)
        };
        self.crls.iter().filter(own).map(|listed| &listed.crl)
    }

    /// Whether a signer is revoked. When the key of an authority follows another, or its name is written anew, the
    /// next list has the signers of the one before; that list counts if the number cannot be another's by chance.
    pub fn is_revoked(&self, signer: &Certificate, authority: &Anchor) -> bool {
        /// Bytes of a number that two authorities do not give out twice.
        const TELLING_BYTES: usize = 7;
        let named = |crl: &Crl| crl.has(&signer.serial);
        let telling = signer.serial.len() >= TELLING_BYTES;
        let of_country = |crl: &&Crl| crl.country == authority.country;
        self.crls_of(authority).any(named) || telling && self.crls().filter(of_country).any(named)
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
