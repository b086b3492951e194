//! Others whose access tokens are accepted: what their tokens must say, which keys are theirs, and
//! what of their claims is believed.

use std::{
    fmt,
    future::Future,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use arc_swap::ArcSwap;
use portcullis_jose::{
    Alg, Audience, JwkSet, Verifier, VerifyError, VerifyingKey,
    access_token::{AccessClaims, Confirmation, TYP},
};
use portcullis_types::Timestamp;
use serde::Deserialize;
use serde_json::Value;
use tokio::{
    sync::{Notify, Semaphore, watch},
    time::timeout,
};

/// What our own tokens are called where others have a name.
pub const OWN_TOKENS: &str = "portcullis";
/// A request whose token names an unknown key waits this long for newer keys.
const KEYS_PATIENCE: Duration = Duration::from_secs(3);
/// Tokens asked about at an issuer at once. More are told to come back: whoever sends rubbish must
/// not make us flood somebody else.
const MAX_QUESTIONS: usize = 16;
/// Names taken from a token are at most this long.
const MAX_NAME_BYTES: usize = 256;
/// A token that does not say when it was issued is taken for the oldest of all, so that every
/// revocation voids it.
const OLDEST: i64 = 1;
/// Roles or groups of a token that are looked at.
const MAX_NAMES: usize = 128;

/// What an issuer's tokens must be like.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IssuerRules {
    /// What it is called here; before every name that comes from it.
    pub name: String,
    /// Its `iss`.
    pub issuer: String,
    /// Any of these must be in `aud`.
    pub audiences: Vec<String>,
    /// What it may sign with.
    pub algorithms: Vec<Alg>,
    /// Whether only tokens of the type `at+jwt` are taken (RFC 9068).
    pub typed: bool,
    /// Only these of its keys, by RFC 7638 thumbprint; empty means all that it publishes.
    pub pins: Vec<String>,
    /// Where in the claims roles are, as a JSON pointer.
    pub roles: Option<String>,
    /// Where groups are.
    pub groups: Option<String>,
}

/// What an issuer says of a token that cannot be read here (RFC 7662), or that it cannot be asked.
pub type Introspection = Pin<Box<dyn Future<Output = Option<Value>> + Send>>;
/// Asks an issuer about a token.
pub type Introspect = Arc<dyn Fn(String) -> Introspection + Send + Sync>;

/// Somebody else whose tokens are accepted.
pub struct Issuer {
    /// What its tokens must be like.
    pub rules: IssuerRules,
    verifier: Verifier,
    keys: ArcSwap<Vec<VerifyingKey>>,
    published: ArcSwap<JwkSet>,
    /// Grows with every change of its keys; 0 while none are known.
    epoch: AtomicU64,
    wanted: Notify,
    looked: watch::Sender<u64>,
    pub(crate) introspect: Option<Introspect>,
    pub(crate) questions: Semaphore,
}

/// The token does not hold, or cannot be checked now.
#[derive(Debug)]
pub(crate) enum Refused {
    Void(String),
    /// The issuer's keys are not known, or it cannot be asked.
    Unavailable,
}

impl Issuer {
    /// An issuer of which nothing is known yet.
    pub fn new(rules: IssuerRules, introspect: Option<Introspect>) -> Self {
        let first = rules.audiences.first().cloned().unwrap_or_default();
        let verifier = Verifier::new(&rules.issuer, first, TYP, &rules.algorithms);
        let verifier = if rules.typed { verifier } else { verifier.or_type("JWT").or_untyped() };
        let more = rules.audiences.iter().skip(1);
        let verifier = more.fold(verifier, |verifier, audience| verifier.or_audience(audience));
        Self {
            rules,
            verifier,
            keys: ArcSwap::default(),
            published: ArcSwap::default(),
            epoch: AtomicU64::new(0),
            wanted: Notify::new(),
            looked: watch::Sender::new(0),
            introspect,
            questions: Semaphore::new(MAX_QUESTIONS),
        }
    }

    /// Takes in what it publishes. Whatever was verified with a key that is gone must be verified
    /// again, so everything is.
    pub fn set_keys(&self, set: JwkSet) {
        if self.epoch() == 0 || **self.published.load() != set {
            let mut known = set.clone();
            if !self.rules.pins.is_empty() {
                known.keys.retain(|key| {
                    key.thumbprint().is_some_and(|print| self.rules.pins.contains(&print))
                });
            }
            let keys = known.verifying_keys().unwrap_or_default();
            self.keys.store(Arc::new(keys));
            self.published.store(Arc::new(set));
            // After the keys: whoever sees the new epoch sees them too.
            self.epoch.fetch_add(1, Ordering::Release);
        }
        self.was_asked();
    }

    /// Its keys were asked for, with or without success.
    pub fn was_asked(&self) {
        self.looked.send_modify(|count| *count += 1);
    }

    /// Whether its keys were ever fetched.
    pub fn is_known(&self) -> bool {
        self.epoch() > 0
    }

    /// Returns when a token named a key that is not known.
    pub async fn keys_wanted(&self) {
        self.wanted.notified().await;
    }

    /// Which keys are in force.
    pub(crate) fn epoch(&self) -> u64 {
        self.epoch.load(Ordering::Acquire)
    }

    /// Checks a JWT. If its key is not known, newer keys are asked for, once.
    pub(crate) async fn verify(
        &self,
        token: &str,
        now: Timestamp,
    ) -> Result<(AccessClaims, u64), Refused> {
        let before = *self.looked.borrow();
        match self.check(token, now) {
            Err(Refused::Unavailable) => {}
            known => return known,
        }
        self.wanted.notify_one();
        let mut looked = self.looked.subscribe();
        let _ = timeout(KEYS_PATIENCE, looked.wait_for(|count| *count > before)).await;
        self.check(token, now).map_err(|error| match error {
            Refused::Unavailable if self.epoch() > 0 => {
                Refused::Void(VerifyError::UnknownKey.to_string())
            }
            error => error,
        })
    }

    fn check(&self, token: &str, now: Timestamp) -> Result<(AccessClaims, u64), Refused> {
        // Before the keys: if they change meanwhile, the claims are remembered under the old epoch
        // and looked at again.
        let epoch = self.epoch();
        let keys = self.keys.load();
        match self.verifier.verify::<Value>(token, keys.as_slice(), now) {
            Ok(claims) => {
                let claims = self
                    .believe(&claims, now)
                    .ok_or_else(|| Refused::Void(VerifyError::Claims.to_string()))?;
                Ok((claims, epoch))
            }
            Err(VerifyError::UnknownKey) => Err(Refused::Unavailable),
            Err(error) => Err(Refused::Void(error.to_string())),
        }
    }

    /// What of its claims is believed, with names that cannot be taken for ours.
    fn believe(&self, claims: &Value, now: Timestamp) -> Option<AccessClaims> {
        let own = Claims::deserialize(claims).ok()?;
        // An ID token is for its client, whatever its audience says (OpenID Connect Core, section 2).
        let is_id_token = own.nonce.is_some() || own.at_hash.is_some() || own.c_hash.is_some();
        // Keycloak calls all of its tokens JWT, and says here which they are.
        let other_kind = own.typ.as_deref().is_some_and(|typ| typ != "Bearer" && typ != "DPoP");
        if is_id_token || other_kind || own.sub.is_empty() || own.sub.len() > MAX_NAME_BYTES {
            return None;
        }
        let named = |text: &str| format!("{}:{text}", self.rules.name);
        let client = own.client_id.or(own.azp).or(own.appid).unwrap_or_default();
        if client.len() > MAX_NAME_BYTES {
            return None;
        }
        let scope = match (own.scope, own.scp) {
            (Some(scope), _) => scope.0,
            (None, Some(scp)) => scp.0,
            (None, None) => String::new(),
        };
        let names = |pointer: &Option<String>| match pointer {
            None => Some(Vec::new()),
            Some(pointer) => names(claims.pointer(pointer)),
        };
        Some(AccessClaims {
            iss: self.rules.issuer.clone(),
            sub: named(&own.sub),
            aud: Audience::Many(self.rules.audiences.clone()),
            exp: own.exp,
            iat: own.iat.or(own.nbf).unwrap_or(0).clamp(OLDEST, now.secs()),
            jti: named(own.jti.as_deref().unwrap_or_default()),
            client_id: named(&client),
            scope,
            auth_time: own.auth_time,
            acr: own.acr,
            groups: names(&self.rules.groups)?,
            roles: names(&self.rules.roles)?,
            cnf: own.cnf,
            act: None,
            sid: None,
            grant_id: None,
            preferred_username: None,
            status: None,
        })
    }

    /// Asks the issuer about a token that only it can read.
    pub(crate) async fn ask(&self, token: &str, now: Timestamp) -> Result<AccessClaims, Refused> {
        let inactive = || Refused::Void("the token is not active".into());
        let introspect = self.introspect.as_ref().ok_or_else(inactive)?;
        let _place = self.questions.try_acquire().map_err(|_| Refused::Unavailable)?;
        let told = introspect(token.to_owned()).await.ok_or(Refused::Unavailable)?;
        if told["active"] != true {
            return Err(inactive());
        }
        let fits = |name: &str, fit: &dyn Fn(&Value) -> bool| told.get(name).is_none_or(fit);
        let ours = |aud: &Value| {
            let aud: Option<Audience> = serde_json::from_value(aud.clone()).ok();
            aud.is_some_and(|aud| self.rules.audiences.iter().any(|own| aud.contains(own)))
        };
        if !fits("aud", &ours) || !fits("iss", &|iss| *iss == self.rules.issuer) {
            return Err(Refused::Void(VerifyError::Audience.to_string()));
        }
        let claims = self.believe(&told, now).ok_or_else(inactive)?;
        if claims.exp <= now.secs() { Err(inactive()) } else { Ok(claims) }
    }
}

impl fmt::Debug for Issuer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Issuer({})", self.rules.name)
    }
}

/// The claims that are looked at. What identity providers add besides says nothing here.
#[derive(Deserialize)]
struct Claims {
    sub: String,
    exp: i64,
    iat: Option<i64>,
    nbf: Option<i64>,
    jti: Option<String>,
    /// RFC 9068, section 2.2.
    client_id: Option<String>,
    /// The same at Keycloak and Auth0.
    azp: Option<String>,
    /// And at Entra, in tokens of version 1.
    appid: Option<String>,
    scope: Option<Words>,
    /// The same at Entra and Okta.
    scp: Option<Words>,
    auth_time: Option<i64>,
    acr: Option<String>,
    cnf: Option<Confirmation>,
    nonce: Option<Value>,
    at_hash: Option<Value>,
    c_hash: Option<Value>,
    typ: Option<String>,
}

/// Scopes as one text, from a text or a list.
#[derive(Deserialize)]
#[serde(try_from = "Value")]
struct Words(String);

impl TryFrom<Value> for Words {
    type Error = &'static str;

    fn try_from(value: Value) -> Result<Self, Self::Error> {
        let text = match value {
            Value::String(text) => Some(text),
            Value::Array(_) => names(Some(&value)).map(|names| names.join(" ")),
            _ => None,
        };
        text.map(Self).ok_or("scopes are text or a list of texts")
    }
}

fn names(value: Option<&Value>) -> Option<Vec<String>> {
    let Some(value) = value else { return Some(Vec::new()) };
    let list = value.as_array()?;
    let one = |name: &Value| {
        let name = name.as_str()?;
        (name.len() <= MAX_NAME_BYTES && !name.contains(' ')).then(|| name.to_owned())
    };
    list.iter().take(MAX_NAMES).map(one).collect()
}

#[cfg(test)]
mod tests {
    use portcullis_jose::{SigningKey, sign};
    use serde_json::json;

    use super::*;

    const NOW: Timestamp = Timestamp::from_secs(1_000);

    fn issuer(pins: &[String]) -> Issuer {
        let rules = IssuerRules {
            name: "kc".into(),
            issuer: "https://kc.example/realms/a".into(),
            audiences: vec!["api".into()],
            algorithms: vec![Alg::Es256],
            typed: false,
            pins: pins.to_vec(),
            roles: Some("/realm_access/roles".into()),
            groups: None,
        };
        Issuer::new(rules, None)
    }

    fn good() -> Value {
        json!({
            "iss": "https://kc.example/realms/a", "aud": ["api", "account"], "sub": "u1", "exp": 2_000,
            "iat": 900, "azp": "web", "typ": "Bearer", "scp": ["a", "b"],
            "realm_access": { "roles": ["editor"] }, "grant_id": "g", "sid": "s", "act": { "sub": "x" },
            "preferred_username": "ada", "status": { "status_list": { "idx": 3, "uri": "https://x" } },
        })
    }

    fn set(key: &SigningKey) -> JwkSet {
        JwkSet { keys: vec![key.public().clone()] }
    }

    #[test]
    fn its_names_cannot_be_taken_for_ours() {
        let (key, _) = SigningKey::generate(Alg::Es256).unwrap();
        let issuer = issuer(&[]);
        issuer.set_keys(set(&key));
        let (claims, epoch) = issuer.check(&sign(&key, "JWT", &good()).unwrap(), NOW).unwrap();
        assert_eq!(epoch, 1);
        assert_eq!((&*claims.sub, &*claims.client_id, &*claims.scope), ("kc:u1", "kc:web", "a b"));
        assert_eq!(claims.roles, ["editor"]);
        // Claims that mean something only in tokens of ours.
        assert!(claims.grant_id.is_none() && claims.sid.is_none() && claims.act.is_none());
        assert!(claims.status.is_none() && claims.preferred_username.is_none());
    }

    #[test]
    fn tokens_of_other_kinds_and_for_others_are_refused() {
        let (key, _) = SigningKey::generate(Alg::Es256).unwrap();
        let issuer = issuer(&[]);
        issuer.set_keys(set(&key));
        for (name, value) in [
            ("aud", json!("other")),
            ("iss", json!("https://kc.example/realms/b")),
            ("exp", json!(1_000)),
            ("exp", json!("2000")),
            ("nbf", json!(5_000)),
            ("nonce", json!("n")),
            ("at_hash", json!("h")),
            ("typ", json!("ID")),
            ("typ", json!("Refresh")),
            ("sub", json!("")),
            ("sub", json!(7)),
            ("scp", json!([1])),
            ("cnf", json!({ "kid": "x" })),
            ("realm_access", json!({ "roles": "admin" })),
        ] {
            let mut claims = good();
            claims[name] = value;
            let token = sign(&key, "JWT", &claims).unwrap();
            assert!(matches!(issuer.check(&token, NOW), Err(Refused::Void(_))), "{name}");
        }
        let token = sign(&key, "secevent+jwt", &good()).unwrap();
        assert!(matches!(issuer.check(&token, NOW), Err(Refused::Void(_))));
    }

    #[test]
    fn only_pinned_keys_count_and_a_change_begins_a_new_epoch() {
        let (one, _) = SigningKey::generate(Alg::Es256).unwrap();
        let (two, _) = SigningKey::generate(Alg::Es256).unwrap();
        let issuer = issuer(&[one.public().thumbprint().unwrap()]);
        let both = JwkSet { keys: vec![one.public().clone(), two.public().clone()] };
        issuer.set_keys(both.clone());
        issuer.set_keys(both);
        assert_eq!(issuer.epoch(), 1);
        let token = |key| sign(key, "JWT", &good()).unwrap();
        assert!(issuer.check(&token(&one), NOW).is_ok());
        assert!(matches!(issuer.check(&token(&two), NOW), Err(Refused::Unavailable)));
        issuer.set_keys(set(&two));
        assert_eq!(issuer.epoch(), 2);
        assert!(matches!(issuer.check(&token(&one), NOW), Err(Refused::Unavailable)));
    }
}
