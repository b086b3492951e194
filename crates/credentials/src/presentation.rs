use std::{
    collections::{BTreeSet, HashMap},
    time::Duration,
};

use data_encoding::BASE64URL_NOPAD;
use portcullis_jose::{
    Alg, CLOCK_SKEW, Compact, Jwk, KeySource, VerifyingKey, from_slice_strict,
    status_list::Reference,
};
use portcullis_types::Timestamp;
use serde::Deserialize;
use serde_json::{Map, Value};

use crate::{KEY_BINDING_TYP, TYP, sha256};

/// A presentation is at most this long.
pub const MAX_BYTES: usize = 64 * 1024;
/// Disclosures in one.
const MAX_DISCLOSURES: usize = 256;
/// Bytes of the JWT that the issuer signed, and of the key binding.
const MAX_JWT_BYTES: usize = 32 * 1024;
/// Objects and arrays in each other after everything that is told stands in its place.
const MAX_DEPTH: usize = 16;
/// How old a key binding may be.
const BINDING_LIFETIME: Duration = Duration::from_secs(300);
/// Claims that decide whether it counts, and so may not be hidden (draft-ietf-oauth-sd-jwt-vc, section 2.2.2).
const NEVER_HIDDEN: [&str; 8] =
    ["iss", "nbf", "exp", "iat", "cnf", "vct", "vct#integrity", "status"];

/// Why a presentation is not taken. The text never repeats what was in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CredentialError {
    /// It is no SD-JWT with a key binding, or one beyond the limits.
    #[error("not an SD-JWT with a key binding")]
    Malformed,
    /// It is of another type.
    #[error("not a credential of type dc+sd-jwt")]
    Type,
    /// Its issuer has no such key.
    #[error("the issuer has no such key")]
    UnknownKey,
    /// The signature is not that of its issuer.
    #[error("the signature is not that of the issuer")]
    Signature,
    /// Something is told that the issuer did not sign, or not in this place.
    #[error("a disclosure is not one of this credential")]
    Disclosure,
    /// A claim that it needs is missing, hidden, or of another form.
    #[error("a claim that decides about it is missing or malformed")]
    Claims,
    /// Its time is over.
    #[error("the credential has expired")]
    Expired,
    /// Its time has not come.
    #[error("the credential is not valid yet")]
    NotYetValid,
    /// Nobody shows to hold its key.
    #[error("the key binding is not one of the holder's key")]
    Binding,
    /// It was shown to somebody else, or in another request.
    #[error("the key binding is for another request")]
    Request,
    /// It was shown at another time.
    #[error("the key binding is not fresh")]
    Stale,
}

impl CredentialError {
    /// As reasons of reports name it.
    pub fn code(self) -> &'static str {
        match self {
            Self::Malformed => "credential_malformed",
            Self::Type => "credential_type_unknown",
            Self::UnknownKey => "issuer_key_unknown",
            Self::Signature => "signature_invalid",
            Self::Disclosure => "disclosure_invalid",
            Self::Claims => "claims_malformed",
            Self::Expired => "credential_expired",
            Self::NotYetValid => "credential_not_yet_valid",
            Self::Binding => "holder_not_proven",
            Self::Request => "presented_elsewhere",
            Self::Stale => "presentation_stale",
        }
    }
}

/// What a presentation was asked for.
#[derive(Debug, Clone, Copy)]
pub struct Asked<'a> {
    /// By whom.
    pub audience: &'a str,
    /// In which request.
    pub nonce: &'a str,
    /// When it is looked at.
    pub now: Timestamp,
}

/// A presentation taken apart. Nothing in it is trusted yet.
#[derive(Debug)]
pub struct Presentation<'a> {
    jwt: Compact<'a>,
    payload: Map<String, Value>,
    disclosures: Vec<&'a str>,
    /// What the key binding is about, the last `~` included.
    shown: &'a str,
    binding: &'a str,
}

/// What a presentation says, proven.
#[derive(Debug, Clone)]
pub struct Verified {
    /// Who says it.
    pub issuer: String,
    /// What it is; empty where it was verified as an SD-JWT that is no credential.
    pub vct: String,
    /// All that is told, in its place.
    pub claims: Map<String, Value>,
    /// Claims of which some elements were not told.
    pub withheld: BTreeSet<String>,
    /// Where its status is, if it has one.
    pub status: Option<Reference>,
    /// The RFC 7638 thumbprint of the key of its holder.
    pub holder: String,
}

#[derive(Deserialize)]
struct Plain {
    iss: String,
    vct: Option<String>,
    exp: Option<i64>,
    nbf: Option<i64>,
    iat: Option<i64>,
    cnf: Cnf,
    status: Option<Status>,
}

#[derive(Deserialize)]
struct Cnf {
    jwk: Jwk,
}

#[derive(Deserialize)]
struct Status {
    status_list: Option<Reference>,
}

#[derive(Deserialize)]
struct Binding {
    aud: String,
    nonce: String,
    iat: i64,
    sd_hash: String,
}

impl<'a> Presentation<'a> {
    /// Takes `text` apart (RFC 9901, section 4). One without a key binding is none: whoever finds a credential could
    /// show it.
    pub fn parse(text: &'a str) -> Result<Self, CredentialError> {
        let malformed = CredentialError::Malformed;
        if text.len() > MAX_BYTES {
            return Err(malformed);
        }
        let (shown, binding) = text.rsplit_once('~').ok_or(malformed)?;
        if binding.is_empty() {
            return Err(CredentialError::Binding);
        }
        let mut parts = shown.split('~');
        let jwt = parts.next().ok_or(malformed)?;
        let disclosures: Vec<&str> = parts.collect();
        if disclosures.len() > MAX_DISCLOSURES {
            return Err(malformed);
        }
        let jwt = Compact::parse_up_to(jwt, MAX_JWT_BYTES).map_err(|_| malformed)?;
        let payload = from_slice_strict(&jwt.payload).map_err(|_| malformed)?;
        // The `~` that rsplit took belongs to what was signed.
        let shown = &text[..=shown.len()];
        Ok(Self { jwt, payload, disclosures, shown, binding })
    }

    /// Who it says has issued it, to find their keys.
    pub fn issuer(&self) -> Option<&str> {
        self.payload.get("iss")?.as_str()
    }

    /// What it says to be.
    pub fn vct(&self) -> Option<&str> {
        self.payload.get("vct")?.as_str()
    }

    /// The key that it says was signed with.
    pub fn kid(&self) -> Option<&str> {
        self.jwt.kid.as_deref()
    }

    /// Checks all of it (RFC 9901, sections 7.1 and 7.3) but its status, with the keys of its issuer.
    pub fn verify(
        self,
        keys: &(impl KeySource + ?Sized),
        asked: &Asked<'_>,
    ) -> Result<Verified, CredentialError> {
        if self.vct().is_none_or(str::is_empty) {
            return Err(CredentialError::Claims);
        }
        self.verify_as(TYP, keys, asked)
    }

    /// The same for SD-JWTs of another media type, which say not what they are.
    pub fn verify_as(
        self,
        typ: &str,
        keys: &(impl KeySource + ?Sized),
        asked: &Asked<'_>,
    ) -> Result<Verified, CredentialError> {
        if self.jwt.typ.as_deref() != Some(typ) {
            return Err(CredentialError::Type);
        }
        let key = keys.find(self.jwt.kid.as_deref(), self.jwt.alg);
        let key = key.ok_or(CredentialError::UnknownKey)?;
        if !key.verify(self.jwt.signed, &self.jwt.signature) {
            return Err(CredentialError::Signature);
        }
        // What decides is read before anything that was told is put in its place.
        // One that is there and says nothing would read as one that is not there.
        if NEVER_HIDDEN.iter().any(|name| self.payload.get(*name).is_some_and(Value::is_null)) {
            return Err(CredentialError::Claims);
        }
        let plain = Plain::deserialize(&Value::Object(self.payload.clone()));
        let plain = plain.map_err(|_| CredentialError::Claims)?;
        let soon = asked.now.plus(CLOCK_SKEW).secs();
        if plain.exp.is_some_and(|exp| asked.now.secs() >= exp) {
            return Err(CredentialError::Expired);
        }
        if [plain.nbf, plain.iat].into_iter().flatten().any(|from| from > soon) {
            return Err(CredentialError::NotYetValid);
        }
        let holder = plain.cnf.jwk.thumbprint().ok_or(CredentialError::Claims)?;
        check_binding(self.binding, self.shown, &plain.cnf.jwk, asked)?;
        let (claims, withheld) = told(self.payload, &self.disclosures)?;
        let Plain { iss: issuer, vct, status, .. } = plain;
        let vct = vct.unwrap_or_default();
        // Some other way of telling that it was revoked cannot be followed, and not be passed over.
        let status = match status {
            Some(status) => Some(status.status_list.ok_or(CredentialError::Claims)?),
            None => None,
        };
        Ok(Verified { issuer, vct, claims, withheld, status, holder })
    }
}

/// Section 7.3, number 5.
fn check_binding(
    binding: &str,
    shown: &str,
    holder: &Jwk,
    asked: &Asked<'_>,
) -> Result<(), CredentialError> {
    let unbound = CredentialError::Binding;
    let binding = Compact::parse_up_to(binding, MAX_JWT_BYTES).map_err(|_| unbound)?;
    let typed = binding.typ.as_deref() == Some(KEY_BINDING_TYP);
    if !typed || !Alg::DPOP.contains(&binding.alg) {
        return Err(unbound);
    }
    let key: VerifyingKey = holder.verifying_key_for(binding.alg).map_err(|_| unbound)?;
    if !key.verify(binding.signed, &binding.signature) {
        return Err(unbound);
    }
    let claims: Binding = from_slice_strict(&binding.payload).map_err(|_| unbound)?;
    if claims.sd_hash != sha256(shown) {
        return Err(unbound);
    }
    if claims.aud != asked.audience || claims.nonce != asked.nonce {
        return Err(CredentialError::Request);
    }
    let times = asked.now.minus(BINDING_LIFETIME).secs()..=asked.now.plus(CLOCK_SKEW).secs();
    if times.contains(&claims.iat) { Ok(()) } else { Err(CredentialError::Stale) }
}

/// Everything that is told, in its place (section 7.1, number 3).
fn told(
    mut payload: Map<String, Value>,
    disclosures: &[&str],
) -> Result<(Map<String, Value>, BTreeSet<String>), CredentialError> {
    let refused = CredentialError::Disclosure;
    match payload.remove("_sd_alg") {
        None => {}
        Some(Value::String(alg)) if alg == "sha-256" => {}
        Some(_) => return Err(CredentialError::Claims),
    }
    let mut all = Disclosures {
        by_digest: HashMap::new(),
        seen: Vec::new(),
        claim: String::new(),
        withheld: BTreeSet::new(),
    };
    for text in disclosures {
        let bytes = BASE64URL_NOPAD.decode(text.as_bytes()).map_err(|_| refused)?;
        let contents: Vec<Value> = from_slice_strict(&bytes).map_err(|_| refused)?;
        if all.by_digest.insert(sha256(text), contents).is_some() {
            return Err(refused);
        }
    }
    let mut payload = Value::Object(payload);
    all.place(&mut payload, 0)?;
    all.seen.sort_unstable();
    let twice = all.seen.windows(2).any(|pair| pair[0] == pair[1]);
    // What is told has to be in the credential, once.
    if twice || !all.by_digest.is_empty() {
        return Err(refused);
    }
    match payload {
        Value::Object(payload) => Ok((payload, all.withheld)),
        _ => Err(refused),
    }
}

struct Disclosures {
    /// Those that are not in their place yet.
    by_digest: HashMap<String, Vec<Value>>,
    /// Every digest there is.
    seen: Vec<String>,
    /// The claim that is looked at.
    claim: String,
    withheld: BTreeSet<String>,
}

impl Disclosures {
    fn place(&mut self, value: &mut Value, depth: usize) -> Result<(), CredentialError> {
        if depth > MAX_DEPTH {
            return Err(CredentialError::Malformed);
        }
        match value {
            Value::Object(members) => self.place_members(members, depth),
            Value::Array(elements) => self.place_elements(elements, depth),
            _ => Ok(()),
        }
    }

    fn place_members(
        &mut self,
        members: &mut Map<String, Value>,
        depth: usize,
    ) -> Result<(), CredentialError> {
        let refused = CredentialError::Disclosure;
        let hidden = match members.remove("_sd") {
            None => Vec::new(),
            Some(Value::Array(digests)) => digests,
            Some(_) => return Err(refused),
        };
        if members.contains_key("...") {
            return Err(refused);
        }
        for (name, value) in members.iter_mut() {
            if depth == 0 {
                self.claim.clone_from(name);
            }
            self.place(value, depth + 1)?;
        }
        for digest in hidden {
            let Value::String(digest) = digest else { return Err(refused) };
            let contents = self.by_digest.remove(&digest);
            self.seen.push(digest);
            let Some(contents) = contents else { continue };
            let Ok([Value::String(_), Value::String(name), mut value]) =
                <[Value; 3]>::try_from(contents)
            else {
                return Err(refused);
            };
            let is_taken = members.contains_key(&name) || ["_sd", "..."].contains(&&name[..]);
            if is_taken || (depth == 0 && NEVER_HIDDEN.contains(&&name[..])) {
                return Err(refused);
            }
            if depth == 0 {
                self.claim.clone_from(&name);
            }
            self.place(&mut value, depth + 1)?;
            members.insert(name, value);
        }
        Ok(())
    }

    fn place_elements(
        &mut self,
        elements: &mut Vec<Value>,
        depth: usize,
    ) -> Result<(), CredentialError> {
        let refused = CredentialError::Disclosure;
        let mut placed = Vec::with_capacity(elements.len());
        for mut element in std::mem::take(elements) {
            let hidden = match &element {
                Value::Object(members) if members.len() == 1 => members.get("..."),
                _ => None,
            };
            match hidden {
                Some(Value::String(digest)) => {
                    self.seen.push(digest.clone());
                    let Some(contents) = self.by_digest.remove(digest) else {
                        self.withheld.insert(self.claim.clone());
                        continue;
                    };
                    let Ok([Value::String(_), mut value]) = <[Value; 2]>::try_from(contents) else {
                        return Err(refused);
                    };
                    self.place(&mut value, depth + 1)?;
                    placed.push(value);
                }
                Some(_) => return Err(refused),
                None => {
                    self.place(&mut element, depth + 1)?;
                    placed.push(element);
                }
            }
        }
        *elements = placed;
        Ok(())
    }
}
