use aws_lc_rs::digest::{SHA256, digest};
use data_encoding::BASE64URL_NOPAD;
use serde::{Deserialize, Serialize};

use crate::{Alg, EncryptionKey, KeyManagement, VerifyingKey};

/// A set takes at most this many keys; a provider that rotates needs a handful.
const MAX_KEYS: usize = 64;

/// A public key as JSON (RFC 7517). Private members have no field here and are dropped on reading.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Jwk {
    /// `OKP`, `EC` or `RSA`.
    pub kty: String,
    /// `Ed25519` or `P-256`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub crv: Option<String>,
    /// The x coordinate, or the Ed25519 key.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub x: Option<String>,
    /// The y coordinate.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub y: Option<String>,
    /// The RSA modulus.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub n: Option<String>,
    /// The RSA exponent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub e: Option<String>,
    /// What tokens call it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kid: Option<String>,
    /// The one algorithm it is for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub alg: Option<String>,
    /// `sig` or `enc`.
    #[serde(rename = "use", skip_serializing_if = "Option::is_none")]
    pub use_: Option<String>,
}

/// The key is not one we can use.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum JwkError {
    /// A member is missing, is not base64url, or does not fit the key type.
    #[error("the key is not a well-formed OKP (Ed25519), EC (P-256) or RSA (2048 to 8192 bit) key")]
    Malformed,
    /// The set holds too many keys.
    #[error("the set holds more than {MAX_KEYS} keys")]
    TooMany,
}

impl Jwk {
    pub(crate) fn okp(public: &[u8]) -> Self {
        Self { crv: Some("Ed25519".into()), x: Some(encode(public)), ..Self::new("OKP") }
            .named(Alg::EdDsa)
    }

    /// From an uncompressed point.
    pub(crate) fn ec(point: &[u8]) -> Option<Self> {
        let (x, y) = point.strip_prefix(&[4])?.split_at_checked(32)?;
        let key = Self {
            crv: Some("P-256".into()),
            x: Some(encode(x)),
            y: Some(encode(y)),
            ..Self::new("EC")
        };
        Some(key.named(Alg::Es256))
    }

    pub(crate) fn rsa(alg: Alg, n: &[u8], e: &[u8]) -> Self {
        Self { n: Some(encode(n)), e: Some(encode(e)), ..Self::new("RSA") }.named(alg)
    }

    fn new(kty: &str) -> Self {
        Self {
            kty: kty.into(),
            crv: None,
            x: None,
            y: None,
            n: None,
            e: None,
            kid: None,
            alg: None,
            use_: None,
        }
    }

    fn named(mut self, alg: Alg) -> Self {
        self.kid = self.thumbprint();
        self.alg = Some(alg.as_str().into());
        self.use_ = Some("sig".into());
        self
    }

    /// The RFC 7638 thumbprint with SHA-256; `None` if a required member is missing.
    pub fn thumbprint(&self) -> Option<String> {
        let canonical = match self.kty.as_str() {
            "OKP" => format!(
                r#"{{"crv":"{}","kty":"OKP","x":"{}"}}"#,
                self.crv.as_ref()?,
                self.x.as_ref()?
            ),
            "EC" => format!(
                r#"{{"crv":"{}","kty":"EC","x":"{}","y":"{}"}}"#,
                self.crv.as_ref()?,
                self.x.as_ref()?,
                self.y.as_ref()?
            ),
            "RSA" => {
                format!(r#"{{"e":"{}","kty":"RSA","n":"{}"}}"#, self.e.as_ref()?, self.n.as_ref()?)
            }
            _ => return None,
        };
        Some(encode(digest(&SHA256, canonical.as_bytes()).as_ref()))
    }

    /// The key ready for use. `use` and `alg`, where present, must allow signatures of the type;
    /// an RSA key that names no algorithm is one for RS256.
    pub fn verifying_key(&self) -> Result<VerifyingKey, JwkError> {
        let named = self.alg.as_deref().map(Alg::parse);
        let alg = match (self.kty.as_str(), named) {
            (_, Some(named)) => named,
            ("OKP", None) => Some(Alg::EdDsa),
            ("EC", None) => Some(Alg::Es256),
            (_, None) => Some(Alg::Rs256),
        };
        self.verifying_key_for(alg.ok_or(JwkError::Malformed)?)
    }

    /// The key ready for signatures with `alg`, which must be one for its type.
    pub fn verifying_key_for(&self, alg: Alg) -> Result<VerifyingKey, JwkError> {
        self.build(alg).ok_or(JwkError::Malformed)
    }

    fn build(&self, alg: Alg) -> Option<VerifyingKey> {
        if self.use_.as_deref().is_some_and(|use_| use_ != "sig") {
            return None;
        }
        let kid = self.kid.clone();
        let key = match (self.kty.as_str(), self.crv.as_deref()) {
            ("OKP", Some("Ed25519")) => {
                let public = decode(self.x.as_ref()?).filter(|x| x.len() == 32)?;
                VerifyingKey::ed25519(kid, &public)?
            }
            ("EC", Some("P-256")) => {
                let x = decode(self.x.as_ref()?).filter(|x| x.len() == 32)?;
                let y = decode(self.y.as_ref()?).filter(|y| y.len() == 32)?;
                VerifyingKey::p256(kid, &[&[4], x.as_slice(), y.as_slice()].concat())?
            }
            ("RSA", None) => {
                let (n, e) = (decode(self.n.as_ref()?)?, decode(self.e.as_ref()?)?);
                if n.first() == Some(&0) || n.len() > 1024 || e.len() > 8 {
                    return None;
                }
                VerifyingKey::rsa(alg, kid, &n, &e)?
            }
            _ => return None,
        };
        let allowed = self.alg.as_deref().is_none_or(|named| Alg::parse(named) == Some(alg));
        (allowed && key.alg() == alg).then_some(key)
    }
}

/// A set of public keys (RFC 7517, section 5).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct JwkSet {
    /// The keys.
    pub keys: Vec<Jwk>,
}

impl JwkSet {
    /// The first key that something can be encrypted to with `alg`.
    pub fn encryption_key(&self, alg: KeyManagement) -> Option<EncryptionKey> {
        self.keys.iter().take(MAX_KEYS).find_map(|key| EncryptionKey::from_jwk(key, alg))
    }

    /// The keys that can check signatures, one for each algorithm they are for. Keys of unknown
    /// types are passed over, as section 5 asks, so that a provider may add new ones.
    pub fn verifying_keys(&self) -> Result<Vec<VerifyingKey>, JwkError> {
        if self.keys.len() > MAX_KEYS {
            return Err(JwkError::TooMany);
        }
        let usable = |key| Alg::ALL.iter().filter_map(move |alg| Jwk::build(key, *alg));
        Ok(self.keys.iter().flat_map(usable).collect())
    }
}

fn encode(bytes: &[u8]) -> String {
    BASE64URL_NOPAD.encode(bytes)
}

fn decode(text: &str) -> Option<Vec<u8>> {
    BASE64URL_NOPAD.decode(text.as_bytes()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thumbprint_matches_rfc_8037_appendix_a_3() {
        let key: Jwk = serde_json::from_str(
            r#"{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}"#,
        )
        .unwrap();
        assert_eq!(key.thumbprint().unwrap(), "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k");
    }

    #[test]
    fn points_of_small_order_are_no_keys() {
        let mut points = vec![[0; 32]; 1];
        for (first, rest, last) in
            [(1, 0, 0), (0xec, 0xff, 0x7f), (0xed, 0xff, 0x7f), (0xee, 0xff, 0x7f)]
        {
            let mut y = [rest; 32];
            (y[0], y[31]) = (first, last);
            points.push(y);
        }
        for hex in [
            "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
            "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
        ] {
            let bytes = data_encoding::HEXLOWER.decode(hex.as_bytes()).unwrap();
            points.push(bytes.try_into().unwrap());
        }
        for mut point in points {
            for sign in [0, 0x80] {
                point[31] = point[31] & 0x7f | sign;
                let key = Jwk { alg: None, use_: None, ..Jwk::okp(&point) };
                assert_eq!(key.verifying_key().unwrap_err(), JwkError::Malformed, "{point:x?}");
            }
        }
    }

    #[test]
    fn wrong_use_wrong_alg_and_bad_points_are_refused() {
        let good = crate::SigningKey::generate(Alg::Es256).unwrap().0.public().clone();
        assert!(good.verifying_key().is_ok());
        let bad = [
            Jwk { use_: Some("enc".into()), ..good.clone() },
            Jwk { alg: Some("EdDSA".into()), ..good.clone() },
            Jwk { y: good.x.clone(), ..good.clone() },
            Jwk { x: None, ..good.clone() },
            Jwk { crv: Some("P-384".into()), ..good.clone() },
            Jwk { x: Some(format!("{}=", good.x.clone().unwrap())), ..good },
        ];
        for key in bad {
            assert_eq!(key.verifying_key().unwrap_err(), JwkError::Malformed, "{key:?}");
        }
    }
}
