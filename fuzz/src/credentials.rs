//! Presentations of credentials, proofs of wallets and queries of verifiers.

use std::sync::LazyLock;

use portcullis_credentials::{Asked, Draft, KeyProof, Presentation, bind, dcql::Query};
use portcullis_jose::{Alg, SigningKey, VerifyingKey};
use portcullis_types::{Entropy, Timestamp};
use serde_json::{Map, Value, json};

const AUDIENCE: &str = "x509_hash:a";
const NONCE: &str = "n";
const NOW: Timestamp = Timestamp::from_secs(1_000);

/// The issuer and the holder are one, and what they made.
static HELD: LazyLock<(SigningKey, VerifyingKey, String)> = LazyLock::new(make);

fn make() -> (SigningKey, VerifyingKey, String) {
    let key = SigningKey::generate(Alg::Es256).map(|(key, _)| key);
    let Ok(key) = key else { unreachable!("a key can be made") };
    let plain = json!({ "iss": "https://id.example", "vct": "x", "cnf": { "jwk": key.public() } });
    let plain: Map<String, Value> = plain.as_object().cloned().unwrap_or_default();
    let mut draft = Draft::new(plain, &Nothing);
    draft.hide("a", &json!("b"));
    draft.hide_elements("c", vec![json!(1), json!(2)]);
    draft.hide_members("d", Map::from_iter([("e".to_owned(), json!(true))]));
    let shown = draft.sign(&key, 4).unwrap_or_default();
    let asked = Asked { audience: AUDIENCE, nonce: NONCE, now: NOW };
    let held = bind(&shown, &key, &asked).unwrap_or_default();
    let Ok(public) = key.public().verifying_key() else { unreachable!("its own key is good") };
    (key, public, held)
}

#[derive(Debug)]
struct Nothing;

impl Entropy for Nothing {
    fn fill(&self, out: &mut [u8]) {
        out.fill(7);
    }
}

/// One that holds, to begin with.
pub(crate) fn held() -> Vec<u8> {
    HELD.2.as_bytes().to_vec()
}

/// Only what was signed holds, and nothing of it is another thing.
pub fn presentation(input: &[u8]) {
    let Ok(text) = str::from_utf8(input) else { return };
    let asked = Asked { audience: AUDIENCE, nonce: NONCE, now: NOW };
    let Ok(parsed) = Presentation::parse(text) else { return };
    let keys = std::slice::from_ref(&HELD.1);
    if let Ok(verified) = parsed.verify(keys, &asked) {
        assert_eq!(text, HELD.2);
        assert_eq!(verified.claims["a"], "b");
    }
}

/// A proof is read or refused, and none of another key is taken for one of ours.
pub fn key_proof(input: &[u8]) {
    let Ok(text) = str::from_utf8(input) else { return };
    if let Ok(proof) = KeyProof::open(text, "https://id.example", "wallet", NOW) {
        assert_ne!(Some(proof.jkt), HELD.0.public().thumbprint());
    }
}

/// What is taken is written as it was read.
pub fn dcql(input: &[u8]) {
    let Ok(query) = serde_json::from_slice::<Query>(input) else { return };
    if query.problem().is_none() {
        let written = serde_json::to_value(&query).unwrap_or_default();
        assert_eq!(serde_json::from_value::<Query>(written).ok(), Some(query));
    }
}

/// A query that is fine.
pub(crate) const QUERY: &[u8] = br#"{"credentials":[{"id":"a","format":"dc+sd-jwt","meta":{"vct_values":["x"]},"claims":[{"id":"n","path":["a","b",null],"values":[1]}],"claim_sets":[["n"]]}],"credential_sets":[{"options":[["a"]],"required":false}]}"#;
