use std::time::Duration;

use aws_lc_rs::hmac;
use data_encoding::BASE64URL_NOPAD;
use http::HeaderMap;
use portcullis_cluster::Replays;
use portcullis_jose::{
    CLOCK_SKEW,
    access_token::AccessClaims,
    dpop::{DpopProof, DpopRequest, PROOF_LIFETIME_SECS, verify_proof},
};
use portcullis_pki::PeerCertificate;
use portcullis_types::{Entropy, Timestamp};

use crate::{ErrorCode, OAuthError, Provider};

const HEADER: &str = "dpop";
/// A nonce is new for this long.
const NONCE_PERIOD_SECS: i64 = 60;
/// And is accepted for so many periods, the one it was made in included.
const NONCE_PERIODS: i64 = 3;
/// Bytes of the authenticator in a nonce.
const TAG_BYTES: usize = 16;

/// The provider's side of RFC 9449: nonces that need no table, and proofs that were seen.
///
/// A nonce is the number of its period with an authenticator, so that every node with the same key
/// accepts it. Seen proofs are remembered by each node for itself; what a proof could be replayed
/// for at another node is single-use or needs the client's own credential.
#[derive(Debug)]
pub struct Dpop {
    key: hmac::Key,
    /// Proofs at the endpoints of clients.
    used: Replays,
    /// Proofs that came with a token of ours. Apart from the others: whoever wants to fill this
    /// table needs tokens.
    presented: Replays,
}

impl Dpop {
    /// With a key for nonces that all nodes share.
    pub fn new(key: &[u8], entropy: &dyn Entropy) -> Self {
        Self {
            key: hmac::Key::new(hmac::HMAC_SHA256, key),
            used: Replays::new(proof_lifetime(), entropy),
            presented: Replays::new(proof_lifetime(), entropy),
        }
    }

    /// A nonce for proofs that are made now.
    pub(crate) fn nonce(&self, now: Timestamp) -> String {
        self.nonce_of(now.secs().div_euclid(NONCE_PERIOD_SECS))
    }

    fn nonce_of(&self, period: i64) -> String {
        let tag = hmac::sign(&self.key, &period.to_be_bytes());
        BASE64URL_NOPAD.encode(&[&period.to_be_bytes(), &tag.as_ref()[..TAG_BYTES]].concat())
    }

    fn is_fresh(&self, nonce: &str, now: Timestamp) -> bool {
        let newest = now.secs().div_euclid(NONCE_PERIOD_SECS);
        let known = |period| {
            portcullis_types::same_secret(self.nonce_of(period).as_bytes(), nonce.as_bytes())
        };
        (newest - NONCE_PERIODS + 1..=newest).any(known)
    }
}

/// How long after its first use a proof could still be taken for fresh.
pub fn proof_lifetime() -> Duration {
    // Times are compared in whole seconds, so a proof lives up to one longer than its numbers say.
    Duration::from_secs(PROOF_LIFETIME_SECS.unsigned_abs() + 2) + CLOCK_SKEW
}

impl Provider {
    /// The proof that a request at one of our endpoints brings; `None` without one. Our nonce is
    /// always asked for, so that no proof can be made ahead of its time.
    pub(crate) fn proof(
        &self,
        headers: &HeaderMap,
        url: &str,
    ) -> Result<Option<DpopProof>, OAuthError> {
        let Some(header) = proof_header(headers)? else { return Ok(None) };
        let request = DpopRequest { method: "POST", url, access_token: None };
        let proof = verify_proof(header, request, self.now()).map_err(|_| refused())?;
        let fresh =
            proof.nonce.as_deref().is_some_and(|nonce| self.dpop.is_fresh(nonce, self.now()));
        if !fresh {
            let text = "the DPoP proof must carry the nonce of the DPoP-Nonce field";
            return Err(OAuthError::new(ErrorCode::UseDpopNonce, text));
        }
        Ok(Some(proof))
    }

    /// The key of a proof, which is used up.
    pub(crate) fn used_once(&self, proof: DpopProof) -> Result<String, OAuthError> {
        self.once(&self.dpop.used, &proof)?;
        Ok(proof.jkt)
    }

    fn once(&self, seen: &Replays, proof: &DpopProof) -> Result<(), OAuthError> {
        let first = seen.first(&[&proof.jkt, &proof.jti], self.now());
        if first { Ok(()) } else { Err(refused()) }
    }

    /// The claims of the access token that a request presents, if it may: a token that is bound to
    /// a key needs a proof, one that is not must not pretend to (RFC 9449, section 7.1).
    pub(crate) fn presented(
        &self,
        headers: &HeaderMap,
        method: &str,
        url: &str,
        certificate: Option<&PeerCertificate>,
    ) -> Result<AccessClaims, PresentError> {
        let mut values = headers.get_all(http::header::AUTHORIZATION).iter();
        let value = values.next().and_then(|value| value.to_str().ok());
        let (scheme, token) = value
            .filter(|_| values.next().is_none())
            .and_then(|value| value.split_once(' '))
            .ok_or(PresentError::Missing)?;
        let bound = scheme.eq_ignore_ascii_case("dpop");
        if !bound && !scheme.eq_ignore_ascii_case("bearer") {
            return Err(PresentError::Missing);
        }
        let claims = self.active(token).ok_or(PresentError::Token)?;
        shown(&claims, certificate)?;
        let jkt = claims.cnf.as_ref().and_then(|cnf| cnf.jkt.as_deref());
        match (jkt, bound) {
            (None, false) => Ok(claims),
            (Some(jkt), true) => {
                let header = proof_header(headers)?.ok_or(PresentError::Proof)?;
                let request = DpopRequest { method, url, access_token: Some(token) };
                let proof =
                    verify_proof(header, request, self.now()).map_err(|_| PresentError::Proof)?;
                if proof.jkt != jkt {
                    return Err(PresentError::Proof);
                }
                self.once(&self.dpop.presented, &proof)?;
                Ok(claims)
            }
            _ => Err(PresentError::Token),
        }
    }
}

impl Provider {
    /// The same for a token in a form, where only a bearer token can be.
    pub(crate) fn presented_in_body(
        &self,
        token: Option<&str>,
        certificate: Option<&PeerCertificate>,
    ) -> Result<AccessClaims, PresentError> {
        let claims = self.active(token.ok_or(PresentError::Missing)?).ok_or(PresentError::Token)?;
        shown(&claims, certificate)?;
        let bound = claims.cnf.as_ref().is_some_and(|cnf| cnf.jkt.is_some());
        if bound { Err(PresentError::Token) } else { Ok(claims) }
    }
}

/// RFC 8705, section 3: a token that is bound to a certificate comes over a connection that shows
/// it.
fn shown(claims: &AccessClaims, own: Option<&PeerCertificate>) -> Result<(), PresentError> {
    let bound = claims.cnf.as_ref().and_then(|cnf| cnf.x5t_s256.as_deref());
    match bound {
        Some(bound) if own.is_none_or(|own| own.thumbprint() != bound) => Err(PresentError::Token),
        _ => Ok(()),
    }
}

/// Why a presented token is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum PresentError {
    /// There is none.
    Missing,
    /// It is not active here, or shown with the wrong scheme.
    Token,
    /// The proof of possession does not hold.
    Proof,
}

impl From<OAuthError> for PresentError {
    fn from(_: OAuthError) -> Self {
        Self::Proof
    }
}

/// The one proof of a request (RFC 9449, section 4.3, step 1).
fn proof_header(headers: &HeaderMap) -> Result<Option<&str>, OAuthError> {
    let mut values = headers.get_all(HEADER).iter();
    let Some(value) = values.next() else { return Ok(None) };
    let text = value.to_str().ok().filter(|_| values.next().is_none());
    text.map(Some).ok_or_else(refused)
}

fn refused() -> OAuthError {
    OAuthError::new(ErrorCode::InvalidDpopProof, "the DPoP proof does not hold for this request")
}

#[cfg(test)]
mod tests {
    use portcullis_testkit::{START, SeededEntropy};

    use super::*;

    #[test]
    fn a_nonce_is_good_for_three_periods_and_from_no_other_key() {
        let dpop = Dpop::new(&[1; 32], &*SeededEntropy::new(1));
        let nonce = dpop.nonce(START);
        let period = Duration::from_secs(60);
        for periods in 0..3 {
            assert!(dpop.is_fresh(&nonce, START.plus(period * periods)), "{periods}");
        }
        assert!(!dpop.is_fresh(&nonce, START.plus(period * 3)));
        assert!(!dpop.is_fresh(&nonce, START.minus(period)));
        assert!(!dpop.is_fresh("", START) && !dpop.is_fresh(&nonce[1..], START));
        let other = Dpop::new(&[2; 32], &*SeededEntropy::new(1));
        assert!(!dpop.is_fresh(&other.nonce(START), START));
    }
}
