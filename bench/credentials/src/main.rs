//! How long it takes to verify a presentation of an SD-JWT VC, ours beside sd-jwt-rs, on one core: the same text, taken
//! apart, both signatures (ES256), every disclosure in its place, key binding. Neither looks at a status list.

use std::time::{Duration, Instant};

use portcullis_credentials::{Asked, Draft, Presentation, bind};
use portcullis_jose::{Alg, SigningKey, VerifyingKey};
use portcullis_types::{Entropy, Timestamp};
use sd_jwt_rs::{SDJWTSerializationFormat, SDJWTVerifier};
use serde_json::{Map, Value, json};

const AUDIENCE: &str = "x509_hash:sm3x1mP0aiR7tcUHJrHbRDuKkRGnCdSpHPbVYRPPKZA";
const NONCE: &str = "n-0S6_WzA2Mj";
const ROUNDS: usize = 2_000;

#[derive(Debug)]
struct Counter(std::sync::atomic::AtomicU64);

impl Entropy for Counter {
    fn fill(&self, out: &mut [u8]) {
        for byte in out {
            let next = self.0.fetch_add(0x9e37_79b9_7f4a_7c15, std::sync::atomic::Ordering::Relaxed);
            *byte = (next >> 32) as u8;
        }
    }
}

fn made(issuer: &SigningKey, holder: &SigningKey, now: i64) -> String {
    let plain = json!({
        "iss": "https://id.example", "vct": "urn:portcullis:verified-person:1", "iat": now, "exp": now + 86_400,
        "cnf": { "jwk": holder.public() },
        "verification": { "trust_framework": "eidas", "assurance_level": "substantial" },
        "status": { "status_list": { "idx": 77_777, "uri": "https://id.example/credentials/status/1" } },
    });
    let entropy = Counter(1.into());
    let plain: Map<String, Value> = plain.as_object().cloned().unwrap();
    let mut draft = Draft::new(plain, &entropy);
    draft.hide("given_name", &json!("ERIKA"));
    draft.hide("family_name", &json!("MUSTERMANN"));
    draft.hide("birthdate", &json!("1964-08-12"));
    draft.hide_elements("nationalities", vec![json!("DE")]);
    let ages = [12, 14, 16, 18, 21, 65].map(|age: u32| (age.to_string(), json!(true)));
    draft.hide_members("age_equal_or_over", ages.into_iter().collect());
    draft.sign(issuer, 8).unwrap()
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times[times.len() / 2]
}

fn main() {
    let key = || SigningKey::generate(Alg::Es256).unwrap().0;
    let (issuer, holder) = (key(), key());
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    let now = i64::try_from(now.as_secs()).unwrap();
    let asked = Asked { audience: AUDIENCE, nonce: NONCE, now: Timestamp::from_secs(now) };
    let shown = bind(&made(&issuer, &holder, now), &holder, &asked).unwrap();
    let keys: Vec<VerifyingKey> = vec![issuer.public().verifying_key().unwrap()];
    let ours = || {
        let verified = Presentation::parse(&shown).unwrap().verify(keys.as_slice(), &asked).unwrap();
        assert_eq!(verified.claims["given_name"], "ERIKA");
    };
    let public = issuer.public();
    let (x, y) = (public.x.clone().unwrap(), public.y.clone().unwrap());
    let theirs = || {
        let (x, y) = (x.clone(), y.clone());
        let key = Box::new(move |_: &str, _: &jsonwebtoken::Header| {
            jsonwebtoken::DecodingKey::from_ec_components(&x, &y).unwrap()
        });
        let verified = SDJWTVerifier::new(
            shown.clone(),
            key,
            Some(AUDIENCE.to_owned()),
            Some(NONCE.to_owned()),
            SDJWTSerializationFormat::Compact,
        );
        assert_eq!(verified.unwrap().verified_claims["given_name"], "ERIKA");
    };
    let time = |work: &dyn Fn()| {
        let begun = Instant::now();
        work();
        begun.elapsed()
    };
    let (mut own, mut other) = (Vec::new(), Vec::new());
    for round in 0..ROUNDS + 100 {
        let (one, two) = (time(&ours), time(&theirs));
        if round >= 100 {
            own.push(one);
            other.push(two);
        }
    }
    let slowest = |times: &[Duration]| {
        let mut times = times.to_vec();
        times.sort_unstable();
        times[times.len() * 99 / 100]
    };
    println!("{} bytes, 11 disclosures, {ROUNDS} each, A B A B", shown.len());
    println!("ours      median {:?}, 99th of 100 {:?}", median(own.clone()), slowest(&own));
    println!("sd-jwt-rs median {:?}, 99th of 100 {:?}", median(other.clone()), slowest(&other));
    let ratio = median(other).as_secs_f64() / median(own).as_secs_f64();
    println!("sd-jwt-rs takes {ratio:.2} times as long");
}
