//! Encryption to a key of somebody else (RFC 7516), and of somebody else to ours.

use std::fmt;

use aws_lc_rs::{
    agreement::{ECDH_P256, PrivateKey, UnparsedPublicKey, agree},
    constant_time::verify_slices_are_equal,
    encoding::{AsDer, Pkcs8V1Der},
    key_wrap::{AES_256, AesKek, KeyWrap},
    rsa::{
        KeySize, OAEP_SHA256_MGF1SHA256, OaepPrivateDecryptingKey, OaepPublicEncryptingKey,
        PrivateDecryptingKey, PublicEncryptingKey,
    },
    signature::RsaPublicKeyComponents,
};
use data_encoding::BASE64URL_NOPAD;
use portcullis_types::{Entropy, random_array};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::{Enc, Jwk, KeyError, content, from_slice_strict};

/// A compact JWE longer than this is refused unread: a token of the greatest length, and what
/// encryption adds.
pub const MAX_JWE_BYTES: usize = 16 * 1024;
/// Bytes of an uncompressed point of P-256.
const POINT_BYTES: usize = 65;

/// How the content key gets to its reader (RFC 7518, section 4).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum KeyManagement {
    /// RSAES OAEP with SHA-256.
    #[serde(rename = "RSA-OAEP-256")]
    RsaOaep256,
    /// Agreed on P-256 with a key of this one token.
    #[serde(rename = "ECDH-ES")]
    EcdhEs,
    /// The same, wrapping a content key.
    #[serde(rename = "ECDH-ES+A256KW")]
    EcdhEsA256Kw,
}

impl KeyManagement {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::RsaOaep256, Self::EcdhEs, Self::EcdhEsA256Kw];

    /// The name in the IANA registry.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::RsaOaep256 => "RSA-OAEP-256",
            Self::EcdhEs => "ECDH-ES",
            Self::EcdhEsA256Kw => "ECDH-ES+A256KW",
        }
    }

    /// Reads a registered name.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|alg| alg.as_str() == name)
    }
}

/// Why something was not encrypted or decrypted. It is not said which part was wrong: whoever sends
/// many variants of a token must learn nothing from the answers (RFC 7516, section 11.5).
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum JweError {
    /// Not five base64url parts with a header of ours, or too long.
    #[error("not a compact JWE")]
    Malformed,
    /// Another algorithm than the registered one.
    #[error("the algorithms of the token are not the ones agreed on")]
    Algorithm,
    /// It is not for this key, or was changed.
    #[error("the token cannot be decrypted")]
    Decrypt,
    /// The cryptographic library failed.
    #[error("the cryptographic library refused the operation")]
    Unspecified,
}

/// A public key that something can be encrypted to.
pub struct EncryptionKey {
    kid: Option<String>,
    alg: KeyManagement,
    key: Public,
}

enum Public {
    Rsa(OaepPublicEncryptingKey),
    P256(Vec<u8>),
}

#[derive(Serialize, Deserialize)]
struct Header {
    alg: String,
    enc: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    kid: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    typ: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cty: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    epk: Option<Point>,
    #[serde(skip_serializing)]
    apu: Option<String>,
    #[serde(skip_serializing)]
    apv: Option<String>,
    #[serde(skip_serializing)]
    crit: Option<serde_json::Value>,
    #[serde(skip_serializing)]
    zip: Option<serde_json::Value>,
}

#[derive(Serialize, Deserialize)]
struct Point {
    kty: String,
    crv: String,
    x: String,
    y: String,
}

/// What the header says about the content.
#[derive(Debug, Clone, Copy, Default)]
pub struct ContentType<'a> {
    /// `typ`: what the whole is.
    pub typ: Option<&'a str>,
    /// `cty`: `JWT` if a token is inside.
    pub cty: Option<&'a str>,
}

impl EncryptionKey {
    /// The key of a JWK for `alg`; `None` if it is of another type, for signatures only, or for
    /// another algorithm.
    pub fn from_jwk(jwk: &Jwk, alg: KeyManagement) -> Option<Self> {
        let may = jwk.use_.as_deref().is_none_or(|use_| use_ == "enc");
        let named = jwk.alg.as_deref().is_none_or(|named| named == alg.as_str());
        if !may || !named {
            return None;
        }
        let key = match (alg, jwk.kty.as_str(), jwk.crv.as_deref()) {
            (KeyManagement::RsaOaep256, "RSA", None) => {
                let n = decode(jwk.n.as_ref()?).filter(|n| (256..=1024).contains(&n.len()))?;
                let e = decode(jwk.e.as_ref()?).filter(|e| e.len() <= 8)?;
                let components = RsaPublicKeyComponents { n, e };
                let public: PublicEncryptingKey = components.try_into().ok()?;
                Public::Rsa(OaepPublicEncryptingKey::new(public).ok()?)
            }
            (KeyManagement::EcdhEs | KeyManagement::EcdhEsA256Kw, "EC", Some("P-256")) => {
                Public::P256(point(jwk.x.as_ref()?, jwk.y.as_ref()?)?)
            }
            _ => return None,
        };
        let usable = Self { kid: jwk.kid.clone(), alg, key };
        // A point that is not on the curve shows only when it is used.
        usable.content_key(Enc::A256Gcm, &[0; 64]).is_ok().then_some(usable)
    }

    /// Encrypts `plaintext` (RFC 7516, section 5.1). The keys of one token come from the library's
    /// own generator, like every private key; `entropy` gives the rest.
    pub fn encrypt(
        &self,
        enc: Enc,
        content: ContentType<'_>,
        plaintext: &[u8],
        entropy: &dyn Entropy,
    ) -> Result<String, JweError> {
        let fresh = Zeroizing::new(random_array::<64>(entropy));
        let Prepared { content_key, encrypted_key, epk } = self.content_key(enc, &*fresh)?;
        let header = Header {
            alg: self.alg.as_str().to_owned(),
            enc: enc.as_str().to_owned(),
            kid: self.kid.clone(),
            typ: content.typ.map(str::to_owned),
            cty: content.cty.map(str::to_owned),
            epk,
            apu: None,
            apv: None,
            crit: None,
            zip: None,
        };
        let header = serde_json::to_vec(&header).map_err(|_| JweError::Unspecified)?;
        let header = BASE64URL_NOPAD.encode(&header);
        let sealed = content::seal(enc, &content_key, header.as_bytes(), plaintext, entropy)?;
        let parts = [&encrypted_key, &sealed.iv, &sealed.ciphertext, &sealed.tag];
        let rest = parts.map(|part| BASE64URL_NOPAD.encode(part)).join(".");
        Ok(format!("{header}.{rest}"))
    }

    fn content_key(&self, enc: Enc, fresh: &[u8]) -> Result<Prepared, JweError> {
        let fresh = fresh.get(..enc.key_bytes()).ok_or(JweError::Unspecified)?;
        match &self.key {
            Public::Rsa(key) => {
                let mut encrypted = vec![0; key.ciphertext_size()];
                key.encrypt(&OAEP_SHA256_MGF1SHA256, fresh, &mut encrypted, None)
                    .map_err(|_| JweError::Unspecified)?;
                let content_key = Zeroizing::new(fresh.to_vec());
                Ok(Prepared { content_key, encrypted_key: encrypted, epk: None })
            }
            Public::P256(theirs) => {
                let own = PrivateKey::generate(&ECDH_P256).map_err(|_| JweError::Unspecified)?;
                let epk = own.compute_public_key().map_err(|_| JweError::Unspecified)?;
                let epk = Some(Point::of(epk.as_ref()).ok_or(JweError::Unspecified)?);
                let agreed = agreed_key(&own, theirs, self.alg, enc)?;
                if self.alg == KeyManagement::EcdhEs {
                    return Ok(Prepared { content_key: agreed, encrypted_key: Vec::new(), epk });
                }
                let kek = AesKek::new(&AES_256, &agreed).map_err(|_| JweError::Unspecified)?;
                let mut wrapped = vec![0; fresh.len() + 8];
                let wrapped = kek.wrap(fresh, &mut wrapped).map_err(|_| JweError::Unspecified)?;
                let content_key = Zeroizing::new(fresh.to_vec());
                Ok(Prepared { content_key, encrypted_key: wrapped.to_vec(), epk })
            }
        }
    }
}

impl fmt::Debug for EncryptionKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EncryptionKey").field("kid", &self.kid).field("alg", &self.alg).finish()
    }
}

struct Prepared {
    content_key: Zeroizing<Vec<u8>>,
    encrypted_key: Vec<u8>,
    epk: Option<Point>,
}

/// A private key that something was encrypted to.
pub struct DecryptionKey {
    alg: KeyManagement,
    key: Private,
    public: Jwk,
}

enum Private {
    Rsa(OaepPrivateDecryptingKey),
    P256(PrivateKey),
}

impl DecryptionKey {
    /// Makes a new key and returns its PKCS#8 form as well.
    pub fn generate(alg: KeyManagement) -> Result<(Self, Vec<u8>), KeyError> {
        let pkcs8 = match alg {
            KeyManagement::RsaOaep256 => {
                PrivateDecryptingKey::generate(KeySize::Rsa2048).and_then(|key| {
                    let der: Pkcs8V1Der<'_> = key.as_der()?;
                    Ok(der.as_ref().to_vec())
                })
            }
            KeyManagement::EcdhEs | KeyManagement::EcdhEsA256Kw => {
                use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair};
                EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING)
                    .and_then(|pair| pair.to_pkcs8v1())
                    .map(|document| document.as_ref().to_vec())
            }
        };
        let pkcs8 = pkcs8.map_err(|_| KeyError::Unspecified)?;
        Ok((Self::from_pkcs8(alg, &pkcs8)?, pkcs8))
    }

    /// Reads a PKCS#8 private key.
    pub fn from_pkcs8(alg: KeyManagement, pkcs8: &[u8]) -> Result<Self, KeyError> {
        let (key, jwk) = match alg {
            KeyManagement::RsaOaep256 => {
                let key =
                    PrivateDecryptingKey::from_pkcs8(pkcs8).map_err(|_| KeyError::Malformed)?;
                let pair = aws_lc_rs::signature::RsaKeyPair::from_pkcs8(pkcs8)
                    .map_err(|_| KeyError::Malformed)?;
                let public = aws_lc_rs::signature::KeyPair::public_key(&pair);
                let (n, e) = (
                    public.modulus().big_endian_without_leading_zero(),
                    public.exponent().big_endian_without_leading_zero(),
                );
                let jwk = Jwk::rsa(crate::Alg::Rs256, n, e);
                let key = OaepPrivateDecryptingKey::new(key).map_err(|_| KeyError::Malformed)?;
                (Private::Rsa(key), jwk)
            }
            KeyManagement::EcdhEs | KeyManagement::EcdhEsA256Kw => {
                let key = PrivateKey::from_private_key_der(&ECDH_P256, pkcs8)
                    .map_err(|_| KeyError::Malformed)?;
                let public = key.compute_public_key().map_err(|_| KeyError::Malformed)?;
                let jwk = Jwk::ec(public.as_ref()).ok_or(KeyError::Malformed)?;
                (Private::P256(key), jwk)
            }
        };
        let public = Jwk { alg: Some(alg.as_str().into()), use_: Some("enc".into()), ..jwk };
        Ok(Self { alg, key, public })
    }

    /// The public half, with `kid`, `alg` and `use` set.
    pub fn public(&self) -> &Jwk {
        &self.public
    }

    /// Decrypts a compact JWE (RFC 7516, section 5.2) whose algorithms must be the key's and `enc`.
    pub fn decrypt(&self, token: &str, enc: Enc) -> Result<Zeroizing<Vec<u8>>, JweError> {
        if token.len() > MAX_JWE_BYTES {
            return Err(JweError::Malformed);
        }
        let parts: Vec<&str> = token.splitn(6, '.').collect();
        let [protected, encrypted_key, iv, ciphertext, tag] = parts.as_slice() else {
            return Err(JweError::Malformed);
        };
        let part = |text: &str| decode(text).ok_or(JweError::Malformed);
        let header: Header =
            from_slice_strict(&part(protected)?).map_err(|_| JweError::Malformed)?;
        // Compression tells the length of what is inside; nobody needs an extension or a party.
        let plain = header.crit.is_none()
            && header.zip.is_none()
            && header.apu.is_none()
            && header.apv.is_none();
        if !plain || header.alg != self.alg.as_str() || header.enc != enc.as_str() {
            return Err(JweError::Algorithm);
        }
        let content_key = self.unwrapped(&header, &part(encrypted_key)?, enc)?;
        let sealed =
            content::Sealed { iv: part(iv)?, ciphertext: part(ciphertext)?, tag: part(tag)? };
        content::open(enc, &content_key, protected.as_bytes(), sealed)
    }

    fn unwrapped(
        &self,
        header: &Header,
        encrypted: &[u8],
        enc: Enc,
    ) -> Result<Zeroizing<Vec<u8>>, JweError> {
        match &self.key {
            Private::Rsa(key) => {
                let mut buffer = Zeroizing::new(vec![0; key.min_output_size()]);
                let opened = key.decrypt(&OAEP_SHA256_MGF1SHA256, encrypted, &mut buffer, None);
                let opened = opened.map_err(|_| JweError::Decrypt)?;
                let opened = Zeroizing::new(opened.to_vec());
                if opened.len() == enc.key_bytes() { Ok(opened) } else { Err(JweError::Decrypt) }
            }
            Private::P256(key) => {
                let epk = header.epk.as_ref().and_then(Point::bytes).ok_or(JweError::Malformed)?;
                let agreed = agreed_key(key, &epk, self.alg, enc)?;
                if self.alg == KeyManagement::EcdhEs {
                    let direct = encrypted.is_empty();
                    return if direct { Ok(agreed) } else { Err(JweError::Malformed) };
                }
                if encrypted.len() != enc.key_bytes() + 8 {
                    return Err(JweError::Decrypt);
                }
                let kek = AesKek::new(&AES_256, &agreed).map_err(|_| JweError::Unspecified)?;
                let mut buffer = Zeroizing::new(vec![0; encrypted.len()]);
                let opened = kek.unwrap(encrypted, &mut buffer).map_err(|_| JweError::Decrypt)?;
                Ok(Zeroizing::new(opened.to_vec()))
            }
        }
    }
}

impl fmt::Debug for DecryptionKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DecryptionKey").field("kid", &self.public.kid).finish_non_exhaustive()
    }
}

impl Point {
    fn of(bytes: &[u8]) -> Option<Self> {
        let jwk = Jwk::ec(bytes)?;
        Some(Self { kty: jwk.kty, crv: jwk.crv?, x: jwk.x?, y: jwk.y? })
    }

    fn bytes(&self) -> Option<Vec<u8>> {
        let p256 = self.kty == "EC" && self.crv == "P-256";
        p256.then(|| point(&self.x, &self.y)).flatten()
    }
}

/// RFC 7518, section 4.6: what two keys agree on, for one algorithm.
fn agreed_key(
    own: &PrivateKey,
    theirs: &[u8],
    alg: KeyManagement,
    enc: Enc,
) -> Result<Zeroizing<Vec<u8>>, JweError> {
    let (name, bytes) = match alg {
        KeyManagement::EcdhEs => (enc.as_str(), enc.key_bytes()),
        _ => (alg.as_str(), 32),
    };
    let theirs = UnparsedPublicKey::new(&ECDH_P256, theirs);
    agree(own, theirs, JweError::Decrypt, |shared| Ok(content::concat_kdf(shared, name, bytes)))
}

fn point(x: &str, y: &str) -> Option<Vec<u8>> {
    let x = decode(x).filter(|x| x.len() == 32)?;
    let y = decode(y).filter(|y| y.len() == 32)?;
    let point = [&[4], x.as_slice(), y.as_slice()].concat();
    (point.len() == POINT_BYTES).then_some(point)
}

fn decode(text: &str) -> Option<Vec<u8>> {
    BASE64URL_NOPAD.decode(text.as_bytes()).ok()
}

/// Whether two tags are equal, in time that depends on their lengths only.
pub(crate) fn same_tag(left: &[u8], right: &[u8]) -> bool {
    verify_slices_are_equal(left, right).is_ok()
}
