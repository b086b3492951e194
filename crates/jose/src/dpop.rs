//! Demonstrating Proof of Possession (RFC 9449): a proof shows that whoever uses a token holds the
//! key it is bound to.

use aws_lc_rs::digest::{SHA256, digest};
use data_encoding::BASE64URL_NOPAD;
use portcullis_types::Timestamp;
use serde::Deserialize;
use url::Url;

use crate::{
    CLOCK_SKEW, from_slice_strict,
    self_signed::{SelfSigned, SelfSignedError},
};

/// The media type of a proof (RFC 9449, section 4.2).
pub const TYP: &str = "dpop+jwt";
/// A proof may be this old, in seconds.
pub const PROOF_LIFETIME_SECS: i64 = 60;
/// A proof longer than this is refused unread.
const MAX_PROOF_BYTES: usize = 4 * 1024;
/// `jti` and `nonce` are at most this long.
const MAX_TEXT_BYTES: usize = 256;
/// Why a proof does not hold. The text never repeats what was in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum DpopError {
    /// Not a compact JWS of type `dpop+jwt` with a public key of an accepted algorithm.
    #[error("the DPoP proof is malformed")]
    Malformed,
    /// The signature is not that of the key in the header.
    #[error("the DPoP proof's signature is not valid")]
    Signature,
    /// For another method or URL.
    #[error("the DPoP proof is for another request")]
    Request,
    /// Too old, or from the future.
    #[error("the DPoP proof is not fresh")]
    Time,
    /// `ath` is missing or belongs to another token.
    #[error("the DPoP proof is for another token")]
    Token,
}

/// What a proof must fit.
#[derive(Debug, Clone, Copy)]
pub struct DpopRequest<'a> {
    /// The method of the request.
    pub method: &'a str,
    /// The URL of the request; query and fragment do not count.
    pub url: &'a str,
    /// The access token that is sent with it, at a resource server.
    pub access_token: Option<&'a str>,
}

/// A proof that holds. Whether it was seen before, and whether its nonce is one of ours, is for
/// the caller to find out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DpopProof {
    /// The RFC 7638 thumbprint of the key, as in `cnf.jkt`.
    pub jkt: String,
    /// The proof's id.
    pub jti: String,
    /// The server's nonce, if there is one.
    pub nonce: Option<String>,
}

#[derive(Deserialize)]
struct Claims {
    jti: String,
    htm: String,
    htu: String,
    iat: i64,
    ath: Option<String>,
    nonce: Option<String>,
}

/// Checks everything of RFC 9449, section 4.3, that a proof and its request decide by themselves.
pub fn verify_proof(
    proof: &str,
    request: DpopRequest<'_>,
    now: Timestamp,
) -> Result<DpopProof, DpopError> {
    let proof = SelfSigned::open(proof, TYP, MAX_PROOF_BYTES).map_err(|error| match error {
        SelfSignedError::Malformed => DpopError::Malformed,
        SelfSignedError::Signature => DpopError::Signature,
    })?;
    let jkt = proof.jkt;
    let claims: Claims = from_slice_strict(&proof.payload).map_err(|_| DpopError::Malformed)?;
    let fits = |text: &str| (1..=MAX_TEXT_BYTES).contains(&text.len());
    if !fits(&claims.jti) || !claims.nonce.as_deref().is_none_or(fits) {
        return Err(DpopError::Malformed);
    }
    if claims.htm != request.method || !same_url(&claims.htu, request.url) {
        return Err(DpopError::Request);
    }
    let newest = now.plus(CLOCK_SKEW).secs();
    let oldest = now.secs().saturating_sub(PROOF_LIFETIME_SECS);
    if !(oldest..=newest).contains(&claims.iat) {
        return Err(DpopError::Time);
    }
    if let Some(token) = request.access_token
        && claims.ath.as_deref() != Some(sha256(token.as_bytes()).as_str())
    {
        return Err(DpopError::Token);
    }
    Ok(DpopProof { jkt, jti: claims.jti, nonce: claims.nonce })
}

/// Whether two URLs are the same after the normalisation of RFC 3986, without query and fragment.
fn same_url(claimed: &str, expected: &str) -> bool {
    let bare = |text: &str| {
        let mut url = Url::parse(text).ok()?;
        url.set_query(None);
        url.set_fragment(None);
        Some(url)
    };
    bare(claimed).is_some_and(|claimed| bare(expected) == Some(claimed))
}

/// The hash of `ath`.
fn sha256(bytes: &[u8]) -> String {
    BASE64URL_NOPAD.encode(digest(&SHA256, bytes).as_ref())
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::{Alg, SigningKey};

    const URL: &str = "https://id.example/oauth2/token";

    fn at(secs: i64) -> Timestamp {
        Timestamp::from_secs(secs)
    }

    fn claims() -> Value {
        json!({ "jti": "one", "htm": "POST", "htu": URL, "iat": 1_000 })
    }

    fn proof_with(key: &SigningKey, header: &Value, claims: &Value) -> String {
        let part = |value: &Value| BASE64URL_NOPAD.encode(value.to_string().as_bytes());
        let signed = format!("{}.{}", part(header), part(claims));
        let signature = key.sign(signed.as_bytes()).unwrap();
        format!("{signed}.{}", BASE64URL_NOPAD.encode(&signature))
    }

    fn header(key: &SigningKey) -> Value {
        json!({ "typ": TYP, "alg": key.alg().as_str(), "jwk": key.public() })
    }

    fn check(proof: &str) -> Result<DpopProof, DpopError> {
        let request = DpopRequest { method: "POST", url: URL, access_token: None };
        verify_proof(proof, request, at(1_000))
    }

    /// RFC 9449, sections 4.2 and 6.1.
    #[test]
    fn the_example_of_the_rfc_holds() {
        let proof = concat!(
            "eyJ0eXAiOiJkcG9wK2p3dCIsImFsZyI6IkVTMjU2IiwiandrIjp7Imt0eSI6IkVDIiwieCI6Imw4dEZyaHgtMz",
            "R0VjNoUklDUkRZOXpDa0RscEJoRjQyVVFVZldWQVdCRnMiLCJ5IjoiOVZFNGpmX09rX282NHpiVFRsY3VOSmFq",
            "SG10NnY5VERWclUwQ2R2R1JEQSIsImNydiI6IlAtMjU2In19.eyJqdGkiOiItQndDM0VTYzZhY2MybFRjIiwiaH",
            "RtIjoiUE9TVCIsImh0dSI6Imh0dHBzOi8vc2VydmVyLmV4YW1wbGUuY29tL3Rva2VuIiwiaWF0IjoxNTYyMjYy",
            "NjE2fQ.2-GxA6T8lP4vfrg8v-FdWP0A0zdrj8igiMLvqRMUvwnQg4PtFLbdLXiOSsX0x7NVY-FNyJK70nfbV37",
            "xRZT3Lg",
        );
        let url = "https://server.example.com/token";
        let request = DpopRequest { method: "POST", url, access_token: None };
        let held = verify_proof(proof, request, at(1_562_262_616)).unwrap();
        assert_eq!(held.jkt, "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I");
        assert_eq!(held.jti, "-BwC3ESc6acc2lTc");
    }

    #[test]
    fn every_accepted_algorithm_holds_and_rs256_does_not() {
        for alg in Alg::DPOP {
            let key = SigningKey::generate(alg).unwrap().0;
            let held = check(&proof_with(&key, &header(&key), &claims())).unwrap();
            assert_eq!(held.jkt, key.public().thumbprint().unwrap());
        }
        let key = SigningKey::generate(Alg::EdDsa).unwrap().0;
        let mut renamed = header(&key);
        (renamed["alg"], renamed["jwk"]["alg"]) = (json!("Ed25519"), json!("Ed25519"));
        assert!(check(&proof_with(&key, &renamed, &claims())).is_ok());
        let key = SigningKey::generate(Alg::Rs256).unwrap().0;
        let proof = proof_with(&key, &header(&key), &claims());
        assert_eq!(check(&proof), Err(DpopError::Malformed));
    }

    #[test]
    fn a_header_that_says_something_else_is_refused() {
        let key = SigningKey::generate(Alg::Es256).unwrap().0;
        let other = SigningKey::generate(Alg::Es256).unwrap().0;
        let change = |name: &str, value: Value| {
            let mut header = header(&key);
            header[name] = value;
            check(&proof_with(&key, &header, &claims())).unwrap_err()
        };
        for (name, value) in [
            ("typ", json!("JWT")),
            ("alg", json!("none")),
            ("alg", json!("EdDSA")),
            ("alg", json!("Ed25519")),
            ("alg", json!("HS256")),
            ("crit", json!(["x"])),
            ("jwk", json!({ "kty": "oct", "k": "AA" })),
            ("jwk", Value::Null),
        ] {
            assert_eq!(change(name, value), DpopError::Malformed, "{name}");
        }
        assert_eq!(change("jwk", json!(other.public())), DpopError::Signature);
        let mut private = json!(key.public());
        private["d"] = json!("AA");
        assert_eq!(change("jwk", private), DpopError::Malformed);
    }

    #[test]
    fn a_proof_for_another_request_time_or_token_is_refused() {
        let key = SigningKey::generate(Alg::EdDsa).unwrap().0;
        let change = |name: &str, value: Value| {
            let mut claims = claims();
            claims[name] = value;
            check(&proof_with(&key, &header(&key), &claims)).map(drop)
        };
        for (name, value, expected) in [
            ("htm", json!("GET"), DpopError::Request),
            ("htm", json!("post"), DpopError::Request),
            ("htu", json!("https://id.example/oauth2/par"), DpopError::Request),
            ("htu", json!("http://id.example/oauth2/token"), DpopError::Request),
            ("htu", json!("https://id.example:444/oauth2/token"), DpopError::Request),
            ("htu", json!("https://id.example.evil/oauth2/token"), DpopError::Request),
            ("iat", json!(1_031), DpopError::Time),
            ("iat", json!(939), DpopError::Time),
            ("iat", json!(i64::MAX), DpopError::Time),
            ("iat", json!("1000"), DpopError::Malformed),
            ("jti", json!(""), DpopError::Malformed),
            ("jti", json!("x".repeat(257)), DpopError::Malformed),
            ("nonce", json!(7), DpopError::Malformed),
        ] {
            assert_eq!(change(name, value.clone()), Err(expected), "{name} {value}");
        }
        for same in ["HTTPS://ID.example:443/oauth2/token", "https://id.example/oauth2/token?a#b"] {
            assert_eq!(change("htu", json!(same)), Ok(()), "{same}");
        }
        for (name, ath) in [("ath", sha256(b"other")), ("nothing", sha256(b"token"))] {
            let mut claims = claims();
            claims[name] = json!(ath);
            let request = DpopRequest { method: "POST", url: URL, access_token: Some("token") };
            let proof = proof_with(&key, &header(&key), &claims);
            assert_eq!(verify_proof(&proof, request, at(1_000)), Err(DpopError::Token));
            claims["ath"] = json!(sha256(b"token"));
            let proof = proof_with(&key, &header(&key), &claims);
            assert!(verify_proof(&proof, request, at(1_000)).is_ok());
        }
    }
}
