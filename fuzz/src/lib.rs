//! What must hold for any input of each parser. `cargo fuzz run TARGET --features libfuzzer` looks
//! for inputs for which it does not; the test below tries the seeds and small changes of them with
//! the stable compiler on every run of the suite.
#![allow(clippy::allow_attributes, clippy::expect_used, reason = "a panic is how a target fails")]

mod connection;
mod credentials;
mod documents;
mod http1;
mod records;
mod screening;
mod workflows;

use std::{str, sync::LazyLock};

use data_encoding::BASE64URL_NOPAD;
use portcullis_cluster::Rate;
use portcullis_gateway::{Contract, normalise};
use portcullis_identity::{Email, Username, check_password_hash};
use portcullis_jose::{
    Alg, Audience, Compact, ContentType, DecryptionKey, Enc, EncryptionKey, Jwk, JwkSet,
    KeyManagement, SigningKey, Verifier, VerifyError, VerifyingKey,
    access_token::{self, AccessClaims},
    dpop::{DpopRequest, verify_proof},
    from_slice_strict, sign,
    status_list::{self, StatusList},
};
use portcullis_oidc::{Params, is_redirect_uri};
use portcullis_pki::{CertificateRequest, SpiffeId, Subject, peer_spiffe_id};
use portcullis_policy::{Policies, Source};
use portcullis_tlog::{
    Checkpoint, NoteSigner, NoteVerifier, OfflineProof, SignedNote, bundle_entries,
};
use portcullis_types::{AddrKey, Entropy, Timestamp};
use serde_json::json;

use connection::{CLIENT_HELLOS, NUMBERS, PROXY_HEADERS};
pub use connection::{client_hello, phone_number, proxy_header};
pub use credentials::{dcql, key_proof, presentation};
use documents::ZONES;
pub use documents::{authorities, chip, licence, model, picture, portrait, zone};
use http1::HTTP1;
pub use http1::http1;
use records::{LISTS, RECORDS, RULES};
pub use records::{lists, records, sigma};
use screening::PAIRS;
pub use screening::{
    list_csl_csv, list_csv, list_delta, list_eu_csv, list_eu_xml, list_ftm, list_ftm_nested,
    list_ftm_simple, list_ofac_advanced_xml, list_ofac_csv, list_ofac_xml, list_senzing,
    list_uk_csv, list_uk_xml, list_un_xml, screening_pairs,
};
use workflows::{ANSWERS, BROWSERS, EXPRESSIONS, GRAPHS};
pub use workflows::{browser, expression, provider_answer, workflow};

/// A target and inputs to begin with.
pub struct Target {
    /// Its name, also that of the binary.
    pub name: &'static str,
    /// What must hold for any input.
    pub check: fn(&[u8]),
    /// Inputs that reach deep.
    pub seeds: Vec<Vec<u8>>,
}

/// All of them.
pub fn targets() -> Vec<Target> {
    let target = |name, check, seeds: &[&[u8]]| Target {
        name,
        check,
        seeds: seeds.iter().map(|seed| seed.to_vec()).collect(),
    };
    vec![
        target("authorities", authorities, AUTHORITIES),
        target("chip", chip, &[documents::SOD]),
        target("certificate", certificate, &[CERTIFICATE]),
        target("certificate_request", certificate_request, &[REQUEST]),
        target("client_hello", client_hello, CLIENT_HELLOS),
        target("contract", contract, &[CONTRACT]),
        target("claims", claims, &[CLAIMS]),
        target("dcql", dcql, &[credentials::QUERY]),
        target("key_proof", key_proof, &[PROOF_OF_KEY.as_bytes()]),
        target("presentation", presentation, &[&credentials::held()]),
        target("dpop", dpop, &[PROOF_OF_KEY.as_bytes()]),
        target("http1", http1, HTTP1),
        target("jwk", jwk, &[PUBLIC.as_bytes()]),
        target("jwe", jwe, &[SEALED[0].as_bytes(), SEALED[1].as_bytes()]),
        target("jws", jws, &[TOKEN.as_bytes()]),
        target("list_un_xml", list_un_xml, &[screening::UN_XML]),
        target("list_ofac_csv", list_ofac_csv, &[screening::OFAC_CSV]),
        target("list_ofac_xml", list_ofac_xml, &[screening::OFAC_XML]),
        target("list_ofac_advanced_xml", list_ofac_advanced_xml, &[screening::OFAC_ADVANCED_XML]),
        target("list_eu_xml", list_eu_xml, &[screening::EU_XML]),
        target("list_eu_csv", list_eu_csv, &[screening::EU_CSV]),
        target("list_uk_xml", list_uk_xml, &[screening::UK_XML]),
        target("list_uk_csv", list_uk_csv, &[screening::UK_CSV]),
        target("list_csl_csv", list_csl_csv, &[screening::CSL_CSV]),
        target("list_ftm", list_ftm, &[screening::FTM]),
        target("list_ftm_nested", list_ftm_nested, &[screening::FTM_NESTED]),
        target("list_ftm_simple", list_ftm_simple, &[screening::FTM_SIMPLE]),
        target("list_senzing", list_senzing, &[screening::SENZING]),
        target("list_csv", list_csv, &[screening::CSV]),
        target("list_delta", list_delta, &[screening::DELTA]),
        target("licence", licence, &[documents::LICENCE]),
        target("lists", lists, LISTS),
        target("names", names, NAMES),
        target("note", note, &[NOTE.as_bytes(), b"\0\x01a\0\0"]),
        target("password_hash", password_hash, HASHES),
        target("params", params, &[b"grant_type=authorization_code&code=a%20b&x=", b"a=1&a=2"]),
        target("path", path, &[b"/profile/%7Eme/x", b"/a/%2e%2e/b", b"/%F0%9F%94%92;x"]),
        target("phone_number", phone_number, NUMBERS),
        target("picture", picture, &[documents::PICTURE]),
        target("portrait", portrait, documents::PORTRAITS),
        target("model", model, documents::MODELS),
        target("policies", policies, &[POLICIES]),
        target("proof", proof, &[PROOF]),
        target("proxy_header", proxy_header, PROXY_HEADERS),
        target("records", records, RECORDS),
        target("redirect_uri", redirect_uri, URIS),
        target("screening_pairs", screening_pairs, PAIRS),
        target("sigma", sigma, RULES),
        target(
            "status_list",
            status_list,
            &[b"\0eNrbuRgAAhcBXQ", b"\x01eNo76fITAAPfAgc", b"\x03AAAA"],
        ),
        target(
            "strict_json",
            strict_json,
            &[br#"{"a":[1,{"b":"c"}],"d":1.5e3}"#, br#"{"a":1,"a":2}"#],
        ),
        target("zone", zone, ZONES),
        target("browser", browser, BROWSERS),
        target("provider_answer", provider_answer, ANSWERS),
        target("workflow", workflow, GRAPHS),
        target("expression", expression, EXPRESSIONS),
    ]
}

const AUTHORITIES: &[&[u8]] = &[documents::AUTHORITY, documents::REVOKED, documents::MASTER_LIST];
const CERTIFICATE: &[u8] = include_bytes!("../seeds/workload.der");
const REQUEST: &[u8] = include_bytes!("../seeds/request.der");
const CONTRACT: &[u8] = include_bytes!("../../examples/profile.openapi.yaml");
const PROOF: &[u8] = b"c2sp.org/tlog-proof@v1\nindex 1\n47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=\n\nlog\n2\n47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=\n\n\xe2\x80\x94 log AAAAAAA=\n";
const CLAIMS: &[u8] =
    br#"{"userinfo":{"name":null},"id_token":{"email":{"essential":true},"sub":{"value":"u"}}}"#;
const POLICIES: &[u8] = b"@id(\"a\") permit (principal in Role::\"x\", action in Action::\"read\", resource) when { context.ip.isInRange(ip(\"10.0.0.0/8\")) };";
const NAMES: &[&[u8]] = &[
    b"ada.lovelace+x@example.org",
    b"ada_lovelace",
    b"spiffe://portcullis.internal/service/profile",
    b"2001:db8::1",
    b"203.0.113.7:4711",
    b"120/min",
    b"2026-02-28T23:59:60.123456Z",
];
const HASHES: &[&[u8]] = &[
    b"$2b$04$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW",
    b"$scrypt$ln=4,r=8,p=1$c2FsdHNhbHQ$c2FsdHNhbHRzYWx0c2FsdA",
    b"$pbkdf2-sha256$i=1000$c2FsdA$c2FsdHNhbHRzYWx0c2FsdA",
    b"pbkdf2_sha256$1000$salt$c2FsdHNhbHRzYWx0c2FsdA==",
    b"$argon2id$v=19$m=19456,t=2,p=1$c2FsdHNhbHQ$c2FsdHNhbHRzYWx0c2FsdA",
];
const URIS: &[&[u8]] = &[
    b"https://app.example/cb?x=1",
    b"http://127.0.0.1:1234/cb",
    b"com.example.app:/cb",
    b"https://app.example\\@evil.example/",
    b"j..ttps:?l://e\\|e.lvam",
];

struct Keys {
    public: VerifyingKey,
    verifier: Verifier,
    notes: NoteVerifier,
}

static SECRET: LazyLock<SigningKey> =
    LazyLock::new(|| SigningKey::generate(Alg::EdDsa).expect("make a key").0);
static READERS: LazyLock<[DecryptionKey; 2]> = LazyLock::new(|| {
    [KeyManagement::EcdhEs, KeyManagement::RsaOaep256]
        .map(|alg| DecryptionKey::generate(alg).expect("make a key").0)
});
static SEALED: LazyLock<[String; 2]> = LazyLock::new(|| {
    let seal = |alg, key: &DecryptionKey, enc| {
        let key = EncryptionKey::from_jwk(key.public(), alg).expect("read our own key");
        key.encrypt(enc, ContentType::default(), b"content", &Zeros).expect("encrypt")
    };
    [
        seal(KeyManagement::EcdhEs, &READERS[0], Enc::A256Gcm),
        seal(KeyManagement::RsaOaep256, &READERS[1], Enc::A128CbcHs256),
    ]
});
/// The content key of a seed need not be a secret.
#[derive(Debug)]
struct Zeros;
impl Entropy for Zeros {
    fn fill(&self, out: &mut [u8]) {
        out.fill(0);
    }
}
static SIGNER: LazyLock<NoteSigner> =
    LazyLock::new(|| NoteSigner::new("log", &[7; 32]).expect("make a signer"));
static KEYS: LazyLock<Keys> = LazyLock::new(|| Keys {
    public: SECRET.public().verifying_key().expect("read our own key"),
    verifier: Verifier::new(
        "https://id.example",
        "https://id.example",
        access_token::TYP,
        &[Alg::EdDsa, Alg::Es256, Alg::Rs256],
    ),
    notes: SIGNER.verifier(),
});
static PUBLIC: LazyLock<String> =
    LazyLock::new(|| serde_json::to_string(SECRET.public()).expect("write our own key"));
static TOKEN: LazyLock<String> = LazyLock::new(|| {
    let claims = AccessClaims {
        iss: "https://id.example".into(),
        sub: "ada".into(),
        aud: Audience::One("https://id.example".into()),
        exp: 2_000,
        iat: 1_000,
        jti: "t".into(),
        client_id: "web".into(),
        scope: "openid profile".into(),
        auth_time: Some(900),
        sid: None,
        grant_id: None,
        preferred_username: Some("ada".into()),
        acr: None,
        groups: Vec::new(),
        roles: Vec::new(),
        act: None,
        cnf: None,
        status: None,
    };
    sign(&SECRET, access_token::TYP, &claims).expect("sign a token")
});
static PROOF_OF_KEY: LazyLock<String> = LazyLock::new(|| {
    let part = |value: serde_json::Value| BASE64URL_NOPAD.encode(value.to_string().as_bytes());
    let header = json!({ "typ": "dpop+jwt", "alg": "EdDSA", "jwk": SECRET.public() });
    let url = "https://id.example/oauth2/token";
    let claims = json!({ "jti": "one", "htm": "POST", "htu": url, "iat": 1_500 });
    let signed = format!("{}.{}", part(header), part(claims));
    let signature = SECRET.sign(signed.as_bytes()).expect("sign a proof");
    format!("{signed}.{}", BASE64URL_NOPAD.encode(&signature))
});
static NOTE: LazyLock<String> = LazyLock::new(|| {
    let checkpoint = Checkpoint { origin: "log".into(), size: 2, root: [9; 32] };
    checkpoint.sign(&SIGNER).expect("sign a checkpoint")
});

/// Only the token that was signed passes, whatever is made of it.
pub fn jws(input: &[u8]) {
    let Ok(text) = str::from_utf8(input) else { return };
    let _ = Compact::parse(text);
    let keys: &[VerifyingKey] = std::slice::from_ref(&KEYS.public);
    let now = Timestamp::from_secs(1_500);
    let verified: Result<AccessClaims, VerifyError> = KEYS.verifier.verify(text, keys, now);
    assert!(verified.is_err() || text == *TOKEN);
}

/// A list of whatever bytes, signed by its issuer, is read within its bounds: every place has a
/// status that fits its bits, and there is nothing behind the last one.
pub fn status_list(input: &[u8]) {
    let Some((first, lst)) = input.split_first() else { return };
    let Ok(lst) = str::from_utf8(lst) else { return };
    let bits = 1_u8 << (first & 3);
    let uri = "https://id.example/oauth2/status-list";
    let claims = json!({ "sub": uri, "iat": 1_000, "status_list": { "bits": bits, "lst": lst } });
    let token = sign(&SECRET, status_list::TYP, &claims).expect("sign a list");
    let keys: &[VerifyingKey] = std::slice::from_ref(&KEYS.public);
    let now = Timestamp::from_secs(1_500);
    let Ok(list) = StatusList::open(&token, "https://id.example", uri, keys, now) else { return };
    let status = |place: u32| list.get(place);
    assert!((0..64).filter_map(status).all(|status| u32::from(status) < 1 << bits));
    assert_eq!(status(u32::MAX), None);
    // Who was not the issuer signs in vain.
    let other = StatusList::open(&token, "https://id.example", "https://else", keys, now);
    assert!(other.is_err());
}

/// Only what was encrypted is decrypted.
pub fn jwe(input: &[u8]) {
    let Ok(text) = str::from_utf8(input) else { return };
    for key in READERS.iter() {
        for enc in Enc::ALL {
            let opened = key.decrypt(text, enc);
            // Whoever knows the public key can encrypt something else, but not without trying.
            assert!(opened.is_err() || SEALED.iter().any(|sealed| sealed == text));
        }
    }
}

/// Only the proof that was signed passes, and only for its own request.
pub fn dpop(input: &[u8]) {
    let Ok(text) = str::from_utf8(input) else { return };
    let url = "https://id.example/oauth2/token";
    let request = DpopRequest { method: "POST", url, access_token: None };
    let now = Timestamp::from_secs(1_500);
    // Whoever fuzzes long enough may sign with a key of their own, but not with ours.
    if let Ok(proof) = verify_proof(text, request, now) {
        assert!(text == *PROOF_OF_KEY || Some(proof.jkt) != SECRET.public().thumbprint());
    }
    let other = DpopRequest { method: "GET", url, access_token: None };
    assert!(verify_proof(text, other, now).is_err() || text != *PROOF_OF_KEY);
}

/// What a request asks for by name is read or refused.
pub fn claims(input: &[u8]) {
    let Ok(text) = str::from_utf8(input) else { return };
    let _ = portcullis_oidc::check_claims_parameter(text);
}

/// A key that is accepted keeps its name when it is written and read again.
pub fn jwk(input: &[u8]) {
    let _ = from_slice_strict::<JwkSet>(input);
    let Ok(key) = from_slice_strict::<Jwk>(input) else { return };
    if key.verifying_key().is_ok() {
        let written = serde_json::to_vec(&key).expect("write a key");
        let again: Jwk = from_slice_strict(&written).expect("read it again");
        assert_eq!(key.thumbprint(), again.thumbprint());
    }
}

/// What is accepted means the same to a lenient parser.
pub fn strict_json(input: &[u8]) {
    if let Ok(strict) = from_slice_strict::<serde_json::Value>(input) {
        let lenient: serde_json::Value = serde_json::from_slice(input).expect("valid JSON");
        assert_eq!(strict, lenient);
    }
}

/// A hash that a login would check is short and of a known kind.
pub fn password_hash(input: &[u8]) {
    let Ok(text) = str::from_utf8(input) else { return };
    if check_password_hash(text).is_ok() {
        assert!(text.len() <= 512);
        let known = ["$2", "$scrypt$", "$pbkdf2", "pbkdf2_", "$argon2"];
        assert!(known.iter().any(|kind| text.starts_with(kind)));
    }
}

/// No parameter is repeated or empty.
pub fn params(input: &[u8]) {
    let Ok(params) = Params::parse(input) else { return };
    for (name, value) in params.iter() {
        assert!(!value.is_empty() && params.get(name) == Some(value));
    }
}

/// A canonical path is its own canonical form, and has nothing in it that could lead elsewhere.
pub fn path(input: &[u8]) {
    let Ok(text) = str::from_utf8(input) else { return };
    let Ok(canonical) = normalise(text) else { return };
    assert_eq!(normalise(&canonical).as_deref(), Ok(canonical.as_str()));
    assert!(canonical.starts_with('/') && canonical.is_ascii());
    assert!(!canonical.contains("/../") && !canonical.contains("//"));
    assert!(!canonical.contains(['\\', ';', '\0', '?', '#']));
}

/// A redirect URI has no fragment and no user, and an http one stays on this machine.
pub fn redirect_uri(input: &[u8]) {
    let Ok(text) = str::from_utf8(input) else { return };
    if is_redirect_uri(text) {
        assert!(!text.contains(['#', ' ', '\n', '\\']), "{text:?}");
        if let Some(rest) = text.strip_prefix("http://") {
            assert!(["127.", "[::1]", "localhost"].iter().any(|own| rest.starts_with(own)));
        }
    }
}

/// A document is read or refused; what was read checks any request.
pub fn contract(input: &[u8]) {
    if let Ok(text) = str::from_utf8(input) {
        let _ = Contract::parse(text);
    }
}

/// Only the note that was signed opens; a bundle's entries are what it holds.
pub fn note(input: &[u8]) {
    if let Some(entries) = bundle_entries(input) {
        let length: usize = entries.iter().map(|entry| entry.len() + 2).sum();
        assert_eq!(length, input.len());
    }
    let Ok(text) = str::from_utf8(input) else { return };
    let _ = NoteVerifier::parse(text);
    let opened = Checkpoint::open(text, &KEYS.notes);
    if let Ok(checkpoint) = opened {
        assert_eq!((checkpoint.size, checkpoint.root), (2, [9; 32]));
    }
    if let Ok(note) = SignedNote::parse(text) {
        assert!(note.text.ends_with('\n') && !note.signatures.is_empty());
    }
}

/// Whatever the text, it is refused or decides without a panic.
pub fn policies(input: &[u8]) {
    let Ok(text) = str::from_utf8(input) else { return };
    let _ = Policies::load(&[Source { name: "a.cedar", text }], None);
}

/// A proof that is read is written in the same way, and proves nothing without a signature.
pub fn proof(input: &[u8]) {
    let Ok(text) = str::from_utf8(input) else { return };
    let Ok(proof) = OfflineProof::parse(text) else { return };
    let again = OfflineProof::parse(&proof.to_text()).expect("read what was written");
    assert_eq!(again, proof);
    assert!(proof.verify(b"entry", &KEYS.notes).is_err());
}

/// Whatever is accepted as a name is in its final form.
pub fn names(input: &[u8]) {
    let Ok(text) = str::from_utf8(input) else { return };
    if let Ok(email) = text.parse::<Email>() {
        let again = email.as_str().parse::<Email>().expect("read it again");
        assert_eq!(again, email);
        assert!(email.as_str().is_ascii() && !email.as_str().contains(['\r', '\n', '<', '>', '"']));
    }
    if let Ok(name) = text.parse::<Username>() {
        assert!(!name.as_str().contains(['<', '>', '"', '\'', '&', '\0', '\u{202e}']));
    }
    if let Ok(id) = text.parse::<SpiffeId>() {
        assert_eq!(id.as_str().parse::<SpiffeId>().ok().as_ref(), Some(&id));
    }
    if let Some(addr) = AddrKey::parse(text) {
        assert_eq!(AddrKey::parse(&addr.to_string()), Some(addr));
    }
    let _ = text.parse::<Rate>();
    let _ = Timestamp::parse_rfc3339(text);
}

/// A request is read only if its own key signed it; one that asks for names fits nobody without.
pub fn certificate_request(input: &[u8]) {
    if let Ok(request) = CertificateRequest::parse(input) {
        let _ = request.fits(&Subject::default());
    }
}

/// A certificate that is not one has no name.
pub fn certificate(input: &[u8]) {
    let _ = peer_spiffe_id(input);
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Bytes that mean something to one parser or another.
    const ODD_BYTES: &[u8] = b"\0 %/\"{}[]:,+.=&\n\xff9a";

    /// Small changes of a seed, the same at every run.
    fn changed(seed: &[u8], round: u64) -> Vec<u8> {
        let mut state = round.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
        let mut next = |below: usize| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            usize::try_from(state % u64::try_from(below.max(1)).unwrap()).unwrap()
        };
        let mut input = seed.to_vec();
        for _ in 0..=next(3) {
            let at = next(input.len());
            match next(5) {
                0 if !input.is_empty() => input[at] ^= 1 << next(8),
                1 if !input.is_empty() => drop(input.remove(at)),
                2 => input.insert(at, ODD_BYTES[next(ODD_BYTES.len())]),
                3 => input.truncate(at),
                _ => {
                    let piece = input[at..input.len().min(at + next(16))].to_vec();
                    let place = next(input.len());
                    input.splice(place..place, piece);
                }
            }
        }
        input
    }

    #[test]
    fn seeds_and_their_neighbours_hold() {
        for target in targets() {
            for seed in &target.seeds {
                (target.check)(seed);
                // Long seeds take long, and change less by each change.
                for round in 0..if seed.len() > 4096 { 60 } else { 400 } {
                    (target.check)(&changed(seed, round));
                }
            }
        }
    }

    /// A target whose seed does not get through its parser tests nothing.
    #[test]
    fn seeds_reach_what_they_are_for() {
        let keys: &[VerifyingKey] = std::slice::from_ref(&KEYS.public);
        let now = Timestamp::from_secs(1_500);
        assert!(KEYS.verifier.verify::<AccessClaims>(&TOKEN, keys, now).is_ok());
        assert!(Checkpoint::open(&NOTE, &KEYS.notes).is_ok());
        let url = "https://id.example/oauth2/token";
        let request = DpopRequest { method: "POST", url, access_token: None };
        assert!(verify_proof(&PROOF_OF_KEY, request, now).is_ok());
        assert!(OfflineProof::parse(str::from_utf8(PROOF).unwrap()).is_ok());
        assert!(Contract::parse(str::from_utf8(CONTRACT).unwrap()).is_ok());
        assert!(peer_spiffe_id(CERTIFICATE).is_some());
        assert!(is_redirect_uri(str::from_utf8(URIS[0]).unwrap()));
        assert!(normalise("/profile/%7Eme/x").is_ok());
    }
}
