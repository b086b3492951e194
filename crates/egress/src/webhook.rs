//! Standard Webhooks 1.0: how a message is signed, so that whoever receives it knows who sent it and when.
//!
//! What is signed is `{webhook-id}.{webhook-timestamp}.{body}`, with the body as it is on the wire. There are
//! two kinds of signatures: `v1` is an HMAC-SHA256 with a secret that both sides have, `v1a` is Ed25519
//! (RFC 8032), for receivers that want to be unable to forge.

use aws_lc_rs::{
    hmac,
    signature::{Ed25519KeyPair, KeyPair},
};
use data_encoding::BASE64;
use http::{HeaderName, HeaderValue};

/// Names a message. It is the same at every attempt, so that the receiver knows what it has.
pub const ID: HeaderName = HeaderName::from_static("webhook-id");
/// When the attempt was made, in seconds since 1970.
pub const TIMESTAMP: HeaderName = HeaderName::from_static("webhook-timestamp");
/// Signatures, with spaces between them.
pub const SIGNATURE: HeaderName = HeaderName::from_static("webhook-signature");

/// The key that receiver and sender share.
#[derive(Clone)]
pub struct Secret(hmac::Key);

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secret")
    }
}

impl Secret {
    /// Reads `whsec_` and 24 to 64 bytes in base64.
    pub fn read(text: &str) -> Option<Self> {
        let key = BASE64.decode(text.trim().strip_prefix("whsec_")?.as_bytes()).ok()?;
        (24..=64).contains(&key.len()).then(|| Self::new(&key))
    }

    /// A secret of these bytes.
    pub fn new(key: &[u8]) -> Self {
        Self(hmac::Key::new(hmac::HMAC_SHA256, key))
    }

    /// How receivers write these bytes.
    pub fn text(key: &[u8]) -> String {
        format!("whsec_{}", BASE64.encode(key))
    }

    fn sign(&self, signed: &[u8]) -> String {
        format!("v1,{}", BASE64.encode(hmac::sign(&self.0, signed).as_ref()))
    }
}

/// The key that only the sender has.
#[derive(Debug)]
pub struct SigningKey(Ed25519KeyPair);

impl SigningKey {
    /// The key of a seed (RFC 8032, section 5.1.5); `None` if it has not 32 bytes.
    pub fn from_seed(seed: &[u8]) -> Option<Self> {
        Ed25519KeyPair::from_seed_unchecked(seed).ok().map(Self)
    }

    /// What receivers verify with: `whpk_` and the public key in base64.
    pub fn public(&self) -> String {
        format!("whpk_{}", BASE64.encode(self.0.public_key().as_ref()))
    }

    fn sign(&self, signed: &[u8]) -> String {
        format!("v1a,{}", BASE64.encode(self.0.sign(signed).as_ref()))
    }
}

/// The headers of one attempt to hand a message over. Each key signs; `None` if `id` cannot stand in a header.
pub fn headers(
    (id, seconds): (&str, i64),
    body: &str,
    secrets: &[Secret],
    keys: &[SigningKey],
) -> Option<[(HeaderName, HeaderValue); 3]> {
    let signed = format!("{id}.{seconds}.{body}");
    let signed = signed.as_bytes();
    let tags = secrets.iter().map(|secret| secret.sign(signed));
    let signatures: Vec<_> = tags.chain(keys.iter().map(|key| key.sign(signed))).collect();
    Some([
        (ID, HeaderValue::from_str(id).ok()?),
        (TIMESTAMP, HeaderValue::from(seconds)),
        (SIGNATURE, HeaderValue::from_str(&signatures.join(" ")).ok()?),
    ])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn signature(secrets: &[Secret], keys: &[SigningKey], body: &str) -> String {
        let id = "msg_p5jXN8AQM9LWM0D4loKWxJek";
        let [_, time, signature] = headers((id, 1_614_265_330), body, secrets, keys).unwrap();
        assert_eq!(time.1, "1614265330");
        signature.1.to_str().unwrap().to_owned()
    }

    /// The example of the specification.
    #[test]
    fn a_signature_is_the_one_of_the_specification() {
        let secret = Secret::read("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").unwrap();
        let signed = signature(&[secret], &[], "{\"test\": 2432232314}");
        assert_eq!(signed, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
        for bad in ["", "whsec_", "whsec_AAAA", "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"] {
            assert!(Secret::read(bad).is_none(), "{bad}");
        }
    }

    #[test]
    fn each_key_signs_and_none_that_is_not_public_is_told() {
        let (seed, key) = ([7; 32], [9; 32]);
        let ours = SigningKey::from_seed(&seed).unwrap();
        let public = BASE64.decode(ours.public().strip_prefix("whpk_").unwrap().as_bytes());
        let signed = signature(&[Secret::new(&key), Secret::new(&key)], &[ours], "{}");
        let parts: Vec<_> = signed.split(' ').collect();
        let [one, other, signed] = parts[..] else { panic!("{parts:?}") };
        assert_eq!(one, other);
        let signed = BASE64.decode(signed.strip_prefix("v1a,").unwrap().as_bytes()).unwrap();
        let over = b"msg_p5jXN8AQM9LWM0D4loKWxJek.1614265330.{}";
        let verifying = aws_lc_rs::signature::UnparsedPublicKey::new(
            &aws_lc_rs::signature::ED25519,
            public.unwrap(),
        );
        verifying.verify(over, &signed).unwrap();
        assert!(SigningKey::from_seed(&[7; 31]).is_none());
        assert!(headers(("a\nb", 1), "", &[], &[]).is_none());
    }
}
