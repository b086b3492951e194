use data_encoding::BASE64URL_NOPAD;
use portcullis_credentials::{Asked, CredentialError, KeyProof, KeyProofError, Presentation};
use portcullis_jose::{Alg, SigningKey, sign};
use portcullis_types::Timestamp;
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::world::{AUDIENCE, ISSUER, NONCE, NOW, VCT, World, hash, object};

#[test]
fn what_is_shown_is_what_is_told() {
    let world = World::new();
    let all = world.verify(&world.presentation()).unwrap();
    assert_eq!((all.issuer.as_str(), all.vct.as_str()), (ISSUER, VCT));
    assert_eq!(all.holder, world.holder.public().thumbprint().unwrap());
    assert_eq!(all.status.as_ref().unwrap().idx, 7);
    assert_eq!(all.claims["nationalities"], json!(["DE", "FR"]));
    assert_eq!(all.claims["age_equal_or_over"], json!({ "18": true, "65": false }));
    let told = |keep: &dyn Fn(&Value) -> bool| {
        let shown = world.shown(&world.credential(), keep);
        let mut claims = world.verify(&world.bound(&shown)).unwrap().claims;
        claims
            .retain(|name, _| !["iss", "vct", "iat", "exp", "cnf", "status"].contains(&&name[..]));
        Value::Object(claims)
    };
    assert_eq!(told(&|_| false), json!({}));
    assert_eq!(told(&|one| one[1] == "given_name"), json!({ "given_name": "ANNA" }));
    // An element, a member, and what they are in.
    let german = told(&|one| one[1] == "DE" || one[1] == "nationalities");
    assert_eq!(german, json!({ "nationalities": ["DE"] }));
    // That there are more is known.
    let shown = world.shown(&world.credential(), |one| one[1] == "DE" || one[1] == "nationalities");
    let withheld = world.verify(&world.bound(&shown)).unwrap().withheld;
    assert_eq!(withheld.into_iter().collect::<Vec<_>>(), ["nationalities"]);
    assert!(all.withheld.is_empty());
    let adult = told(&|one| one[1] == "18" || one[1] == "age_equal_or_over");
    assert_eq!(adult, json!({ "age_equal_or_over": { "18": true } }));
    // Eight digests, whatever there is to tell, and none of them twice.
    let credential = world.credential();
    let payload = credential.split('.').nth(1).unwrap();
    let payload: Value =
        serde_json::from_slice(&BASE64URL_NOPAD.decode(payload.as_bytes()).unwrap()).unwrap();
    assert_eq!(payload["_sd"].as_array().unwrap().len(), 8);
}

#[test]
fn what_was_not_signed_is_not_told() {
    let world = World::new();
    let refused = |shown: &str| world.verify(&world.bound(shown)).unwrap_err();
    let encode = |value: Value| BASE64URL_NOPAD.encode(value.to_string().as_bytes());
    let none = world.shown(&world.credential(), |_| false);
    // Of somebody else, out of its place, and twice.
    let foreign = encode(json!(["salt", "given_name", "BOB"]));
    assert_eq!(refused(&format!("{none}{foreign}~")), CredentialError::Disclosure);
    let orphan = world.shown(&world.credential(), |one| one[1] == "18");
    assert_eq!(refused(&orphan), CredentialError::Disclosure);
    let name = world.shown(&world.credential(), |one| one[1] == "given_name");
    let again = name.trim_end_matches('~').rsplit('~').next().unwrap();
    assert_eq!(refused(&format!("{name}{again}~")), CredentialError::Disclosure);
    for malformed in ["", "!", "e30", &encode(json!(["a"])), &encode(json!({ "a": 1 }))] {
        assert_eq!(refused(&format!("{none}{malformed}~")), CredentialError::Disclosure);
    }

    // Signed by the issuer, and not to be taken all the same.
    let with = |more: Value, disclosures: &[Value]| {
        let mut plain = world.plain();
        plain.extend(object(more));
        let mut text = format!("{}~", sign(&world.issuer, "dc+sd-jwt", &plain).unwrap());
        for disclosure in disclosures {
            text.push_str(&encode(disclosure.clone()));
            text.push('~');
        }
        refused(&text)
    };
    let digest = |disclosure: &Value| hash(&encode(disclosure.clone()));
    for name in ["exp", "iss", "cnf", "status", "vct", "_sd", "...", "nbf"] {
        let hidden = json!(["salt", name, 1]);
        let plain = json!({ "_sd": [digest(&hidden)] });
        assert_eq!(with(plain, &[hidden]), CredentialError::Disclosure, "{name}");
    }
    let one = json!(["salt", "a", 1]);
    let twice = json!({ "_sd": [digest(&one), digest(&one)] });
    assert_eq!(with(twice, std::slice::from_ref(&one)), CredentialError::Disclosure);
    let taken = json!({ "a": 2, "_sd": [digest(&one)] });
    assert_eq!(with(taken, std::slice::from_ref(&one)), CredentialError::Disclosure);
    let element_as_member = json!({ "x": [{ "...": digest(&one) }] });
    assert_eq!(with(element_as_member, &[one]), CredentialError::Disclosure);
    let element = json!(["salt", "a"]);
    let member_as_element = json!({ "_sd": [digest(&element)] });
    assert_eq!(with(member_as_element, &[element]), CredentialError::Disclosure);
    for odd in [json!({ "_sd": "x" }), json!({ "_sd": [1] }), json!({ "x": [{ "...": 1 }] })] {
        assert_eq!(with(odd.clone(), &[]), CredentialError::Disclosure, "{odd}");
    }
    assert_eq!(with(json!({ "_sd_alg": "md5" }), &[]), CredentialError::Claims);
    assert_eq!(with(json!({ "status": { "other": 1 } }), &[]), CredentialError::Claims);
}

#[test]
fn signatures_types_and_times_are_checked() {
    let world = World::new();
    let text = world.presentation();
    let (jwt, rest) = text.split_once('~').unwrap();
    let (signed, _) = jwt.rsplit_once('.').unwrap();
    let stranger = World::new();
    assert_eq!(stranger.verify(&text).unwrap_err(), CredentialError::UnknownKey);
    let other = BASE64URL_NOPAD.encode(&stranger.issuer.sign(signed.as_bytes()).unwrap());
    let forged = format!("{signed}.{other}~{rest}");
    assert_eq!(world.verify(&forged).unwrap_err(), CredentialError::Signature);
    let typ = format!("{}~", sign(&world.issuer, "at+jwt", &world.plain()).unwrap());
    assert_eq!(world.verify(&world.bound(&typ)).unwrap_err(), CredentialError::Type);
    assert_eq!(world.verify_at(&text, NOW + 100).unwrap_err(), CredentialError::Expired);
    assert_eq!(world.verify_at(&text, NOW - 31).unwrap_err(), CredentialError::NotYetValid);
    for nothing in ["exp", "status", "nbf"] {
        let mut plain = world.plain();
        plain.insert(nothing.to_owned(), Value::Null);
        let text = world.bound(&world.credential_of(plain));
        assert_eq!(world.verify(&text).unwrap_err(), CredentialError::Claims, "{nothing}");
    }
    for missing in ["iss", "vct", "cnf"] {
        let mut plain = world.plain();
        plain.remove(missing);
        let text = world.bound(&world.credential_of(plain));
        assert_eq!(world.verify(&text).unwrap_err(), CredentialError::Claims, "{missing}");
    }
    let mut text_time = world.plain();
    text_time.insert("exp".to_owned(), json!("never"));
    let text = world.bound(&world.credential_of(text_time));
    assert_eq!(world.verify(&text).unwrap_err(), CredentialError::Claims);
}

#[test]
fn who_shows_it_has_to_hold_its_key_here_and_now() {
    let world = World::new();
    let shown = world.credential();
    let with = |key: &SigningKey, typ: &str, binding: &Value| {
        let text = format!("{shown}{}", sign(key, typ, binding).unwrap());
        world.verify(&text).unwrap_err()
    };
    assert_eq!(world.verify(&shown).unwrap_err(), CredentialError::Binding);
    let fine = world.binding(&shown);
    let stranger = SigningKey::generate(Alg::Es256).unwrap().0;
    assert_eq!(with(&stranger, "kb+jwt", &fine), CredentialError::Binding);
    assert_eq!(with(&world.holder, "jwt", &fine), CredentialError::Binding);
    for (name, value, error) in [
        ("aud", json!("https://other.example"), CredentialError::Request),
        ("nonce", json!("other"), CredentialError::Request),
        ("iat", json!(NOW - 301), CredentialError::Stale),
        ("iat", json!(NOW + 31), CredentialError::Stale),
        ("sd_hash", json!(hash("x")), CredentialError::Binding),
        ("iat", json!("now"), CredentialError::Binding),
    ] {
        let mut binding = fine.clone();
        binding[name] = value;
        assert_eq!(with(&world.holder, "kb+jwt", &binding), error, "{name}");
    }
    // Somebody on the way adds, or takes away, what was not shown.
    let text = world.presentation();
    let (start, binding) = text.rsplit_once('~').unwrap();
    let less = start.rsplit_once('~').unwrap().0;
    assert_eq!(world.verify(&format!("{less}~{binding}")).unwrap_err(), CredentialError::Binding);
}

#[test]
fn size_and_depth_have_limits() {
    let world = World::new();
    for text in ["", "~", "~~", "a~b", "a.b.c~d.e.f", &"~".repeat(300), &"x".repeat(70_000)] {
        let error = world.verify(text).unwrap_err();
        let known = [CredentialError::Malformed, CredentialError::Binding];
        assert!(known.contains(&error), "{text:.20}: {error}");
    }
    // Each disclosure is within the next one, and they hash to each other.
    let (mut inner, mut disclosures) = (json!(1), Vec::new());
    for depth in 0..40 {
        let text = json!(["salt", format!("m{depth}"), inner]).to_string();
        let disclosure = BASE64URL_NOPAD.encode(text.as_bytes());
        inner = json!({ "_sd": [hash(&disclosure)] });
        disclosures.push(disclosure);
    }
    let mut plain = world.plain();
    plain.insert("x".to_owned(), inner);
    let jwt = sign(&world.issuer, "dc+sd-jwt", &plain).unwrap();
    let shown = format!("{jwt}~{}~", disclosures.join("~"));
    assert_eq!(world.verify(&world.bound(&shown)).unwrap_err(), CredentialError::Malformed);
}

#[test]
fn proofs_are_for_us_of_the_client_and_fresh() {
    let (key, _) = SigningKey::generate(Alg::Es256).unwrap();
    let now = Timestamp::from_secs(NOW);
    let proof = |typ: &str, claims: &Value, jwk: &Value| {
        let part = |value: &Value| BASE64URL_NOPAD.encode(value.to_string().as_bytes());
        let header = json!({ "typ": typ, "alg": "ES256", "jwk": jwk });
        let signed = format!("{}.{}", part(&header), part(claims));
        let signature = key.sign(signed.as_bytes()).unwrap();
        format!("{signed}.{}", BASE64URL_NOPAD.encode(&signature))
    };
    let (typ, jwk) = ("openid4vci-proof+jwt", json!(key.public()));
    let fine = json!({ "iss": "wallet", "aud": ISSUER, "iat": NOW, "nonce": "n" });
    let open = |text: &str| KeyProof::open(text, ISSUER, "wallet", now);
    let held = open(&proof(typ, &fine, &jwk)).unwrap();
    assert_eq!(held.nonce.as_deref(), Some("n"));
    assert_eq!(held.jkt, key.public().thumbprint().unwrap());
    for (name, value, error) in [
        ("aud", json!("https://other.example"), KeyProofError::Audience),
        ("iss", json!("other"), KeyProofError::Client),
        ("iat", json!(NOW - 301), KeyProofError::Time),
        ("iat", json!(NOW + 31), KeyProofError::Time),
        ("aud", json!(7), KeyProofError::Malformed),
    ] {
        let mut claims = fine.clone();
        claims[name] = value;
        assert_eq!(open(&proof(typ, &claims, &jwk)).unwrap_err(), error, "{name}");
    }
    assert_eq!(open(&proof("dpop+jwt", &fine, &jwk)).unwrap_err(), KeyProofError::Malformed);
    let mut private = jwk.clone();
    private["d"] = json!("x");
    assert_eq!(open(&proof(typ, &fine, &private)).unwrap_err(), KeyProofError::Malformed);
    let other = json!(SigningKey::generate(Alg::Es256).unwrap().0.public());
    assert_eq!(open(&proof(typ, &fine, &other)).unwrap_err(), KeyProofError::Signature);
}

proptest! {
    /// Whatever byte of a presentation is another one, it is refused.
    #[test]
    fn one_other_byte_is_refused(place in any::<prop::sample::Index>(), byte in 33_u8..126) {
        let world = World::new();
        let mut text = world.presentation().into_bytes();
        let place = place.index(text.len());
        prop_assume!(text[place] != byte);
        text[place] = byte;
        let text = String::from_utf8(text).unwrap();
        prop_assert!(world.verify(&text).is_err());
    }

    #[test]
    fn nothing_makes_it_panic(text in "[a-zA-Z0-9_.~-]{0,400}") {
        let keys = Vec::new();
        let asked =
            Asked { audience: AUDIENCE, nonce: NONCE, now: Timestamp::from_secs(NOW) };
        if let Ok(presentation) = Presentation::parse(&text) {
            prop_assert!(presentation.verify(keys.as_slice(), &asked).is_err());
        }
    }
}
