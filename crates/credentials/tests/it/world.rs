use data_encoding::BASE64URL_NOPAD;
use portcullis_credentials::{Asked, CredentialError, Draft, Presentation, Verified, bind};
use portcullis_jose::{Alg, SigningKey, VerifyingKey};
use portcullis_testkit::SeededEntropy;
use portcullis_types::Timestamp;
use serde_json::{Map, Value, json};

pub const ISSUER: &str = "https://id.example";
pub const VCT: &str = "urn:portcullis:verified-person:1";
pub const AUDIENCE: &str = "x509_hash:abc";
pub const NONCE: &str = "n-0S6_WzA2Mj";
pub const NOW: i64 = 1_800_000_000;

pub fn object(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(members) => members,
        _ => panic!("not an object"),
    }
}

pub fn hash(text: &str) -> String {
    use aws_lc_rs::digest::{SHA256, digest};
    BASE64URL_NOPAD.encode(digest(&SHA256, text.as_bytes()).as_ref())
}

/// An issuer and a holder.
pub struct World {
    pub issuer: SigningKey,
    pub holder: SigningKey,
}

impl World {
    pub fn new() -> Self {
        let key = || SigningKey::generate(Alg::Es256).unwrap().0;
        Self { issuer: key(), holder: key() }
    }

    pub fn plain(&self) -> Map<String, Value> {
        object(json!({
            "iss": ISSUER, "vct": VCT, "iat": NOW, "exp": NOW + 100,
            "cnf": { "jwk": self.holder.public() },
            "status": { "status_list": { "idx": 7, "uri": "https://id.example/list" } },
        }))
    }

    pub fn credential(&self) -> String {
        self.credential_of(self.plain())
    }

    pub fn credential_of(&self, plain: Map<String, Value>) -> String {
        let entropy = SeededEntropy::new(1);
        let mut draft = Draft::new(plain, &*entropy);
        draft.hide("given_name", &json!("ANNA"));
        draft.hide("birthdate", &json!("1974-08-12"));
        draft.hide_elements("nationalities", vec![json!("DE"), json!("FR")]);
        draft.hide("nothing", &json!({}));
        draft.hide("nothing_of_it", &json!([]));
        draft.hide(
            "degrees",
            &json!([{ "type": "BSc", "grade": "A" }, { "type": "PhD", "grade": "C" }]),
        );
        draft.hide_members("age_equal_or_over", object(json!({ "18": true, "65": false })));
        draft.sign(&self.issuer, 8).unwrap()
    }

    /// What a holder shows of it: the disclosures of which `keep` says so.
    pub fn shown(&self, credential: &str, keep: impl Fn(&Value) -> bool) -> String {
        let mut parts = credential.split('~');
        let mut shown = format!("{}~", parts.next().unwrap());
        for part in parts.filter(|part| !part.is_empty()) {
            let contents = BASE64URL_NOPAD.decode(part.as_bytes()).unwrap();
            if keep(&serde_json::from_slice(&contents).unwrap()) {
                shown.push_str(part);
                shown.push('~');
            }
        }
        shown
    }

    pub fn binding(&self, shown: &str) -> Value {
        json!({ "aud": AUDIENCE, "nonce": NONCE, "iat": NOW, "sd_hash": hash(shown) })
    }

    pub fn bound(&self, shown: &str) -> String {
        let asked = Asked { audience: AUDIENCE, nonce: NONCE, now: Timestamp::from_secs(NOW) };
        bind(shown, &self.holder, &asked).unwrap()
    }

    /// All of it, shown as it has to be.
    pub fn presentation(&self) -> String {
        self.bound(&self.credential())
    }

    pub fn keys(&self) -> Vec<VerifyingKey> {
        vec![self.issuer.public().verifying_key().unwrap()]
    }

    pub fn verify(&self, text: &str) -> Result<Verified, CredentialError> {
        self.verify_at(text, NOW)
    }

    pub fn verify_at(&self, text: &str, now: i64) -> Result<Verified, CredentialError> {
        let asked = Asked { audience: AUDIENCE, nonce: NONCE, now: Timestamp::from_secs(now) };
        Presentation::parse(text)?.verify(self.keys().as_slice(), &asked)
    }
}
