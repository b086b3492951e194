//! Tokens through the public interface: what is accepted, and everything that must not be.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on must fail")]

use std::sync::atomic::{AtomicU8, Ordering};

use data_encoding::BASE64URL_NOPAD;
use portcullis_jose::{Alg, Jwk, SigningKey, Verifier, VerifyError, VerifyingKey, sign};
use portcullis_types::{Entropy, Timestamp};
use proptest::prelude::*;
use serde_json::{Value, json};

const NOW: Timestamp = Timestamp::from_secs(1_800_000_000);

fn verifier() -> Verifier {
    Verifier::new("https://id.example", "api", "at+jwt", &Alg::ALL)
}

fn claims() -> Value {
    json!({"iss": "https://id.example", "aud": "api", "exp": NOW.secs() + 60, "iat": NOW.secs()})
}

fn key(alg: Alg) -> (SigningKey, Vec<VerifyingKey>) {
    let (key, pkcs8) = SigningKey::generate(alg).unwrap();
    assert_eq!(SigningKey::from_pkcs8(alg, &pkcs8).unwrap().kid(), key.kid());
    let public = key.public().verifying_key().unwrap();
    (key, vec![public])
}

fn check(token: &str, keys: &[VerifyingKey]) -> Result<Value, VerifyError> {
    verifier().verify(token, keys, NOW)
}

/// A token of which the caller wrote every byte, signed honestly.
fn forged(key: &SigningKey, header: &str, payload: &str) -> String {
    let signed = format!(
        "{}.{}",
        BASE64URL_NOPAD.encode(header.as_bytes()),
        BASE64URL_NOPAD.encode(payload.as_bytes())
    );
    let signature = key.sign(signed.as_bytes()).unwrap();
    format!("{signed}.{}", BASE64URL_NOPAD.encode(&signature))
}

#[test]
fn every_algorithm_round_trips() {
    for alg in Alg::ALL {
        let (key, keys) = key(alg);
        let token = sign(&key, "at+jwt", &claims()).unwrap();
        assert_eq!(check(&token, &keys).unwrap()["aud"], "api", "{alg:?}");
    }
}

#[test]
fn claims_that_do_not_fit_are_refused_by_name() {
    let (key, keys) = key(Alg::EdDsa);
    let with = |name: &str, value: Value| {
        let mut claims = claims();
        claims[name] = value;
        check(&sign(&key, "at+jwt", &claims).unwrap(), &keys).unwrap_err()
    };
    assert!(matches!(with("iss", json!("https://evil.example")), VerifyError::Issuer));
    assert!(matches!(with("aud", json!("other")), VerifyError::Audience));
    assert!(matches!(with("aud", json!([])), VerifyError::Audience));
    assert!(matches!(with("exp", json!(NOW.secs())), VerifyError::Expired));
    assert!(matches!(with("nbf", json!(NOW.secs() + 31)), VerifyError::NotYetValid));
    assert!(matches!(with("iat", json!(NOW.secs() + 31)), VerifyError::NotYetValid));
}

/// Rule R12: a wrong JSON type refuses the token and never reads as absent.
#[test]
fn r12_claims_of_the_wrong_type_are_refused() {
    let (key, keys) = key(Alg::EdDsa);
    for (name, value) in [
        ("exp", json!("1900000000")),
        ("exp", json!(1.9e9)),
        ("exp", Value::Null),
        ("nbf", json!("soon")),
        ("iat", json!([1])),
        ("iss", json!(["https://id.example"])),
        ("aud", json!({"api": true})),
        ("aud", json!(["api", 7])),
    ] {
        let mut claims = claims();
        claims[name] = value;
        let refused = check(&sign(&key, "at+jwt", &claims).unwrap(), &keys).unwrap_err();
        assert!(matches!(refused, VerifyError::Claims), "{claims}");
    }
}

/// Rule R8: a token that lacks issuer or audience fails.
#[test]
fn r8_missing_claims_are_refused() {
    let (key, keys) = key(Alg::EdDsa);
    for name in ["iss", "aud", "exp"] {
        let mut claims = claims();
        claims.as_object_mut().unwrap().remove(name);
        let refused = check(&sign(&key, "at+jwt", &claims).unwrap(), &keys).unwrap_err();
        assert!(matches!(refused, VerifyError::Claims), "{name}");
    }
}

#[test]
fn headers_that_confuse_are_refused() {
    let (key, keys) = key(Alg::EdDsa);
    let payload = claims().to_string();
    let refused = |header: &str| check(&forged(&key, header, &payload), &keys).unwrap_err();
    assert!(matches!(refused(r#"{"alg":"none","typ":"at+jwt"}"#), VerifyError::Malformed(_)));
    assert!(matches!(refused(r#"{"alg":"HS256","typ":"at+jwt"}"#), VerifyError::Malformed(_)));
    assert!(matches!(refused(r#"{"alg":"ES256","typ":"at+jwt"}"#), VerifyError::UnknownKey));
    assert!(matches!(refused(r#"{"alg":"EdDSA","typ":"JWT"}"#), VerifyError::Type));
    assert!(matches!(refused(r#"{"alg":"EdDSA"}"#), VerifyError::Type));
    assert!(matches!(
        refused(r#"{"alg":"EdDSA","typ":"at+jwt","crit":["exp"]}"#),
        VerifyError::Malformed(_)
    ));
    assert!(matches!(
        refused(r#"{"alg":"EdDSA","typ":"at+jwt","kid":"../../dev/null"}"#),
        VerifyError::UnknownKey
    ));
    assert!(matches!(
        refused(r#"{"alg":"EdDSA","alg":"EdDSA","typ":"at+jwt"}"#),
        VerifyError::Malformed(_)
    ));
    assert!(
        check(&forged(&key, r#"{"alg":"EdDSA","typ":"application/AT+JWT"}"#, &payload), &keys)
            .is_ok()
    );
}

#[test]
fn duplicate_claims_are_refused() {
    let (key, keys) = key(Alg::EdDsa);
    let payload = claims().to_string().replacen('{', r#"{"aud":"other","#, 1);
    let token = forged(&key, r#"{"alg":"EdDSA","typ":"at+jwt"}"#, &payload);
    assert!(matches!(check(&token, &keys).unwrap_err(), VerifyError::Claims));
}

#[test]
fn a_key_from_elsewhere_does_not_verify() {
    let (_, keys) = key(Alg::Rs256);
    let (other, _) = key(Alg::Rs256);
    let token = sign(&other, "at+jwt", &claims()).unwrap();
    assert!(matches!(check(&token, &keys).unwrap_err(), VerifyError::UnknownKey));
    let renamed: Vec<_> = keys
        .iter()
        .map(|_| Jwk { kid: Some(other.kid().into()), ..key(Alg::Rs256).0.public().clone() })
        .map(|jwk| jwk.verifying_key().unwrap())
        .collect();
    assert!(matches!(check(&token, &renamed).unwrap_err(), VerifyError::Signature));
}

proptest! {
    #[test]
    fn any_changed_character_is_refused(position in 0usize..200, replacement in "[A-Za-z0-9._-]") {
        let (key, pkcs8) = SigningKey::generate(Alg::EdDsa).unwrap();
        let _ = pkcs8;
        let keys = vec![key.public().verifying_key().unwrap()];
        let token = sign(&key, "at+jwt", &claims()).unwrap();
        let at = position % token.len();
        let changed = format!("{}{replacement}{}", &token[..at], &token[at + 1..]);
        prop_assume!(changed != token);
        prop_assert!(check(&changed, &keys).is_err());
    }

    #[test]
    fn arbitrary_text_never_panics(text in "\\PC{0,300}") {
        let (_, keys) = key(Alg::EdDsa);
        prop_assert!(check(&text, &keys).is_err());
    }
}

/// Bytes that differ from each other, which is all that the test needs of them.
#[derive(Debug)]
struct Counting(AtomicU8);

impl Entropy for Counting {
    fn fill(&self, out: &mut [u8]) {
        out.fill_with(|| self.0.fetch_add(1, Ordering::Relaxed));
    }
}

#[test]
fn what_is_encrypted_comes_back_and_only_as_agreed() {
    use portcullis_jose::{
        ContentType, DecryptionKey, Enc, EncryptionKey, JweError, KeyManagement,
    };
    let entropy = Counting(AtomicU8::new(0));
    for alg in KeyManagement::ALL {
        let (key, pkcs8) = DecryptionKey::generate(alg).unwrap();
        let again = DecryptionKey::from_pkcs8(alg, &pkcs8).unwrap();
        let public = EncryptionKey::from_jwk(key.public(), alg).unwrap();
        let stranger = DecryptionKey::generate(alg).unwrap().0;
        for enc in Enc::ALL {
            let content = ContentType { typ: None, cty: Some("JWT") };
            for text in [&b""[..], b"x", b"exactly sixteen!", &[7; 1000]] {
                let token = public.encrypt(enc, content, text, &entropy).unwrap();
                assert_eq!(again.decrypt(&token, enc).unwrap().as_slice(), text, "{alg:?} {enc:?}");
            }
            let token = public.encrypt(enc, content, b"secret", &entropy).unwrap();
            assert!(stranger.decrypt(&token, enc).is_err());
            let other = Enc::ALL.into_iter().find(|one| *one != enc).unwrap();
            assert_eq!(key.decrypt(&token, other).unwrap_err(), JweError::Algorithm);
            for place in 0..token.len() {
                let mut bytes = token.clone().into_bytes();
                bytes[place] = if bytes[place] == b'A' { b'B' } else { b'A' };
                let changed = String::from_utf8(bytes).unwrap();
                assert!(key.decrypt(&changed, enc).is_err(), "{alg:?} {enc:?} {place}");
            }
            for cut in ["", ".", "....", ".....", "a.b.c.d.e", &token[1..], &format!("{token}.x")] {
                assert!(key.decrypt(cut, enc).is_err());
            }
        }
        let signing = Jwk { use_: Some("sig".into()), ..key.public().clone() };
        assert!(EncryptionKey::from_jwk(&signing, alg).is_none());
        let elsewhere = Jwk { alg: Some("dir".into()), ..key.public().clone() };
        assert!(EncryptionKey::from_jwk(&elsewhere, alg).is_none());
        if let Some(x) = key.public().x.clone() {
            let off_the_curve = Jwk { y: Some(x), ..key.public().clone() };
            assert!(EncryptionKey::from_jwk(&off_the_curve, alg).is_none());
        }
    }
}
