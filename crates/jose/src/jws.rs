use data_encoding::BASE64URL_NOPAD;
use serde::{Deserialize, Serialize};

use crate::{Alg, KeyError, SigningKey, from_slice_strict};

/// A compact token longer than this is refused unread.
pub const MAX_TOKEN_BYTES: usize = 8 * 1024;

/// A compact JWS could not be made or read.
#[derive(Debug, thiserror::Error)]
pub enum JwsError {
    /// Not three base64url parts with a JSON header, or too long.
    #[error("not a compact JWS")]
    Malformed,
    /// The header names an algorithm that is not in use.
    #[error("the algorithm is not accepted")]
    Algorithm,
    /// The header has `crit`, which asks for an extension nobody here knows.
    #[error("the token demands an unknown extension")]
    Critical,
    /// The payload could not be written as JSON.
    #[error("the claims are not JSON")]
    Claims(#[source] serde_json::Error),
    /// The key refused to sign.
    #[error("the key refused to sign")]
    Key(#[from] KeyError),
}

#[derive(Serialize)]
struct HeaderOut<'a> {
    alg: Alg,
    typ: &'a str,
    kid: &'a str,
}

/// Only what we use. Members such as `jku`, `x5u` and `jwk` are ignored: keys never come from a
/// token (RFC 8725, section 3.10).
#[derive(Deserialize)]
struct HeaderIn {
    alg: String,
    typ: Option<String>,
    kid: Option<String>,
    crit: Option<serde_json::Value>,
    b64: Option<serde_json::Value>,
}

/// Signs `claims` as a compact JWS of media type `typ` (RFC 7515, section 7.1).
pub fn sign(key: &SigningKey, typ: &str, claims: &impl Serialize) -> Result<String, JwsError> {
    let header = HeaderOut { alg: key.alg(), typ, kid: key.kid() };
    let mut token = encode_json(&header)?;
    token.push('.');
    token.push_str(&encode_json(claims)?);
    let signature = key.sign(token.as_bytes())?;
    token.push('.');
    BASE64URL_NOPAD.encode_append(&signature, &mut token);
    Ok(token)
}

fn encode_json(value: &impl Serialize) -> Result<String, JwsError> {
    serde_json::to_vec(value).map(|json| BASE64URL_NOPAD.encode(&json)).map_err(JwsError::Claims)
}

/// A compact JWS taken apart. Nothing about it is trusted until a key has checked it.
#[derive(Debug)]
pub struct Compact<'a> {
    /// The algorithm the header names.
    pub alg: Alg,
    /// The type the header names.
    pub typ: Option<String>,
    /// The key the header names.
    pub kid: Option<String>,
    /// The bytes under the signature.
    pub signed: &'a [u8],
    /// The payload, decoded but not checked.
    pub payload: Vec<u8>,
    /// The signature.
    pub signature: Vec<u8>,
}

impl<'a> Compact<'a> {
    /// Takes `token` apart without checking its signature.
    pub fn parse(token: &'a str) -> Result<Self, JwsError> {
        Self::parse_up_to(token, MAX_TOKEN_BYTES)
    }

    /// The same for something of at most `max` bytes, which may be longer than a token.
    pub fn parse_up_to(token: &'a str, max: usize) -> Result<Self, JwsError> {
        if token.len() > max {
            return Err(JwsError::Malformed);
        }
        let (signed, signature) = token.rsplit_once('.').ok_or(JwsError::Malformed)?;
        let (header, payload) = signed.split_once('.').ok_or(JwsError::Malformed)?;
        let header: HeaderIn =
            from_slice_strict(&decode(header)?).map_err(|_| JwsError::Malformed)?;
        if header.crit.is_some() || header.b64.is_some() {
            return Err(JwsError::Critical);
        }
        Ok(Self {
            alg: Alg::parse(&header.alg).ok_or(JwsError::Algorithm)?,
            typ: header.typ,
            kid: header.kid,
            signed: signed.as_bytes(),
            payload: decode(payload)?,
            signature: decode(signature)?,
        })
    }
}

fn decode(part: &str) -> Result<Vec<u8>, JwsError> {
    BASE64URL_NOPAD.decode(part.as_bytes()).map_err(|_| JwsError::Malformed)
}
