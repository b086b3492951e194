//! What a key says of itself: a compact JWS whose header has the public key that signed it. Proofs of possession are
//! made so (RFC 9449, section 4.2; OpenID for Verifiable Credential Issuance 1.0, appendix F.1).

use data_encoding::BASE64URL_NOPAD;
use serde::Deserialize;
use serde_json::{Map, Value};

use crate::{Alg, Jwk, from_slice_strict};

/// Members of a JWK that belong to private or symmetric keys (RFC 7518, section 6).
const PRIVATE_MEMBERS: [&str; 8] = ["d", "p", "q", "dp", "dq", "qi", "oth", "k"];

/// Why it is none. The text never repeats what was in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SelfSignedError {
    /// Not a compact JWS of the type with a public key of an accepted algorithm.
    #[error("not a JWS of this type with its public key")]
    Malformed,
    /// The signature is not that of the key in the header.
    #[error("the signature is not that of its key")]
    Signature,
}

/// A JWS that its own key signed.
#[derive(Debug, Clone)]
pub struct SelfSigned {
    /// The payload.
    pub payload: Vec<u8>,
    /// The key.
    pub key: Jwk,
    /// Its RFC 7638 thumbprint.
    pub jkt: String,
    /// Whether the header names another key besides.
    pub names_other: bool,
}

#[derive(Deserialize)]
struct Header {
    typ: String,
    alg: String,
    jwk: Map<String, Value>,
    crit: Option<Value>,
    kid: Option<Value>,
    x5c: Option<Value>,
    trust_chain: Option<Value>,
}

impl SelfSigned {
    /// Checks a JWS of media type `typ` with at most `max` bytes.
    pub fn open(jws: &str, typ: &str, max: usize) -> Result<Self, SelfSignedError> {
        let malformed = SelfSignedError::Malformed;
        if jws.len() > max {
            return Err(malformed);
        }
        let decode = |part: &str| BASE64URL_NOPAD.decode(part.as_bytes()).map_err(|_| malformed);
        let (signed, signature) = jws.rsplit_once('.').ok_or(malformed)?;
        let (header, payload) = signed.split_once('.').ok_or(malformed)?;
        let header: Header = from_slice_strict(&decode(header)?).map_err(|_| malformed)?;
        let private = PRIVATE_MEMBERS.iter().any(|member| header.jwk.contains_key(*member));
        if header.typ != typ || header.crit.is_some() || private {
            return Err(malformed);
        }
        let others = [&header.kid, &header.x5c, &header.trust_chain];
        let names_other = others.into_iter().any(Option::is_some);
        let alg = Alg::parse(&header.alg).filter(|alg| Alg::DPOP.contains(alg)).ok_or(malformed)?;
        let key: Jwk = serde_json::from_value(Value::Object(header.jwk)).map_err(|_| malformed)?;
        let verifying = key.verifying_key_for(alg).map_err(|_| malformed)?;
        if !verifying.verify(signed.as_bytes(), &decode(signature)?) {
            return Err(SelfSignedError::Signature);
        }
        let jkt = key.thumbprint().ok_or(malformed)?;
        Ok(Self { payload: decode(payload)?, key, jkt, names_other })
    }
}
