use std::sync::Arc;

use aws_lc_rs::digest::{Context, SHA256, digest};
use portcullis_jose::access_token::AccessClaims;
use portcullis_types::Timestamp;
use quick_cache::sync::Cache;

use crate::{authn::Principal, issuers::Issuer};

/// Tokens for upstreams that are remembered.
const MINTED: usize = 8_192;

type Digest = [u8; 32];

/// Signatures that were checked or made a moment ago. It belongs to a snapshot, so that a change of
/// our keys or of the configuration drops it whole; what is known by the keys of others is dropped
/// when these change. It remembers only what a signature proves: expiry and revocation are looked at
/// for every request, remembered or not.
///
/// Keys are SHA-256 digests: two tokens cannot be made to meet, and the cache holds no token.
pub(crate) struct TokenCache {
    verified: Option<Cache<Digest, Verified>>,
    minted: Cache<Digest, Minted>,
}

/// A token that was checked.
#[derive(Clone)]
pub(crate) struct Verified {
    pub claims: Arc<AccessClaims>,
    /// Whose it is, if it is not ours, and which of their keys were in force.
    theirs: Option<(Arc<Issuer>, u64)>,
    /// Until when that is worth remembering, in seconds.
    until: i64,
}

impl Verified {
    pub fn ours(claims: AccessClaims) -> Self {
        Self { until: claims.exp, claims: Arc::new(claims), theirs: None }
    }

    pub fn theirs(claims: AccessClaims, issuer: &Arc<Issuer>, epoch: u64) -> Self {
        let theirs = Some((issuer.clone(), epoch));
        Self { until: claims.exp, claims: Arc::new(claims), theirs }
    }

    /// The same, worth remembering no longer than this.
    pub fn until(self, until: i64) -> Self {
        Self { until, ..self }
    }

    /// Whose it is; `None` for ours.
    pub fn issuer(&self) -> Option<&Arc<Issuer>> {
        self.theirs.as_ref().map(|(issuer, _)| issuer)
    }

    fn still_holds(&self, now: Timestamp) -> bool {
        let same_keys = |(issuer, epoch): &(Arc<Issuer>, u64)| issuer.epoch() == *epoch;
        now.secs() < self.until
            && now.secs() >= self.claims.iat
            && self.theirs.as_ref().is_none_or(same_keys)
    }
}

/// A token that was signed for an upstream.
#[derive(Clone)]
struct Minted {
    token: Arc<str>,
    /// Until when it is handed out again: well before it expires.
    until: Timestamp,
}

impl TokenCache {
    /// Remembers about so many tokens; none if 0.
    pub fn new(verified: usize) -> Self {
        let verified = (verified > 0).then(|| Cache::new(verified));
        Self { verified, minted: Cache::new(MINTED) }
    }

    /// What a token is remembered by.
    pub fn key(&self, token: &str) -> Digest {
        sha256(token)
    }

    /// What is known of a token and still holds. Of what a check found, only times and keys can
    /// stop being true, so these are looked at again.
    pub fn verified(&self, key: &Digest, now: Timestamp) -> Option<Verified> {
        self.verified.as_ref()?.get(key).filter(|verified| verified.still_holds(now))
    }

    /// Remembers a token that was checked.
    pub fn remember(&self, key: Digest, verified: Verified) {
        if let Some(cache) = &self.verified {
            cache.insert(key, verified);
        }
    }

    /// A token for `who` at `audience`: the last one while it is fresh, otherwise a new one, which
    /// `sign` returns with the time until which it is fresh, if there is one for such a caller.
    pub(crate) fn minted<E>(
        &self,
        who: &Principal,
        audience: &str,
        now: Timestamp,
        sign: impl FnOnce() -> Result<Option<(String, Timestamp)>, E>,
    ) -> Result<Option<Arc<str>>, E> {
        let key = identity(who, audience);
        if let Some(minted) = self.minted.get(&key)
            && now < minted.until
        {
            return Ok(Some(minted.token));
        }
        let Some((token, until)) = sign()? else { return Ok(None) };
        let token: Arc<str> = token.into();
        self.minted.insert(key, Minted { token: token.clone(), until });
        Ok(Some(token))
    }
}

/// Everything that decides what is signed for `who`, each part with its length before it, so that
/// no two callers share a token.
fn identity(who: &Principal, audience: &str) -> Digest {
    let mut context = Context::new(&SHA256);
    let mut part = |text: &str| {
        context.update(&text.len().to_le_bytes());
        context.update(text.as_bytes());
    };
    part(audience);
    match who {
        Principal::Anonymous => part("anonymous"),
        Principal::Token(claims) => {
            part("token");
            for text in [&claims.sub, &claims.client_id, &claims.scope] {
                part(text);
            }
            part(claims.preferred_username.as_deref().unwrap_or_default());
            part(&claims.auth_time.unwrap_or_default().to_string());
            part(claims.acr.as_deref().unwrap_or_default());
            part(&claims.place().map(|place| place.to_string()).unwrap_or_default());
            for list in [&claims.groups, &claims.roles] {
                part(&list.len().to_string());
                list.iter().for_each(|name| part(name));
            }
            let mut actor = claims.act.as_ref();
            while let Some(act) = actor {
                part(&act.sub);
                actor = act.act.as_deref();
            }
        }
        Principal::ApiKey(key) => {
            part("api key");
            part(&key.id);
            part(&key.scopes.join(" "));
        }
        Principal::Workload(id) => {
            part("workload");
            part(id.as_str());
        }
    }
    array(context.finish().as_ref())
}

fn sha256(text: &str) -> Digest {
    array(digest(&SHA256, text.as_bytes()).as_ref())
}

fn array(bytes: &[u8]) -> Digest {
    let mut digest = [0; 32];
    digest.copy_from_slice(bytes);
    digest
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use portcullis_jose::{
        Audience,
        status_list::{Reference, Status},
    };

    use super::*;

    fn claims(sub: &str) -> AccessClaims {
        AccessClaims {
            iss: "https://id.example".into(),
            sub: sub.into(),
            aud: Audience::One("https://id.example".into()),
            exp: 100,
            iat: 10,
            jti: "t".into(),
            client_id: "c".into(),
            scope: "profile".into(),
            auth_time: None,
            acr: None,
            groups: Vec::new(),
            roles: Vec::new(),
            act: None,
            sid: None,
            grant_id: None,
            preferred_username: None,
            cnf: None,
            status: None,
        }
    }

    fn at(secs: i64) -> Timestamp {
        Timestamp::from_secs(secs)
    }

    #[test]
    fn a_token_is_remembered_while_it_lives() {
        let cache = TokenCache::new(16);
        let (a, b) = (cache.key("a"), cache.key("b"));
        cache.remember(a, Verified::ours(claims("alice")));
        assert!(cache.verified(&a, at(20)).is_some() && cache.verified(&a, at(99)).is_some());
        assert!(cache.verified(&a, at(100)).is_none());
        assert!(cache.verified(&b, at(20)).is_none());
        // A clock that was put back does not make a token valid before its time.
        assert!(cache.verified(&a, at(5)).is_none());
        let none = TokenCache::new(0);
        none.remember(a, Verified::ours(claims("alice")));
        assert!(none.verified(&a, at(20)).is_none());
    }

    #[test]
    fn a_change_of_an_issuers_keys_is_a_change_of_what_is_known() {
        let rules = crate::IssuerRules {
            name: "x".into(),
            issuer: "https://x.example".into(),
            audiences: vec!["api".into()],
            algorithms: Vec::new(),
            typed: false,
            pins: Vec::new(),
            roles: None,
            groups: None,
        };
        let (cache, issuer) = (TokenCache::new(16), Arc::new(Issuer::new(rules, None)));
        let key = cache.key("a");
        cache.remember(key, Verified::theirs(claims("x:alice"), &issuer, issuer.epoch()));
        assert!(cache.verified(&key, at(20)).is_some());
        issuer.set_keys(portcullis_jose::JwkSet::default());
        assert!(cache.verified(&key, at(20)).is_none());
    }

    #[test]
    fn nobody_gets_a_token_made_for_another_or_an_old_one() {
        let (cache, made) = (TokenCache::new(16), Cell::new(0));
        let mint = |claims: AccessClaims, audience: &str, now: i64| {
            let who = Principal::Token(Arc::new(claims));
            let sign = || {
                made.set(made.get() + 1);
                Ok::<_, ()>(Some((format!("token {}", made.get()), at(now + 30))))
            };
            cache.minted(&who, audience, at(now), sign).unwrap().unwrap()
        };
        let first = mint(claims("alice"), "profile", 20);
        assert_eq!(mint(claims("alice"), "profile", 49), first);
        assert_ne!(mint(claims("alice"), "profile", 50), first);
        let mut all = vec![first, mint(claims("alice"), "admin", 20)];
        all.push(mint(claims("bob"), "profile", 20));
        let wider = AccessClaims { scope: "profile admin".into(), ..claims("alice") };
        all.push(mint(wider, "profile", 20));
        // What stands in one field must not be able to pass for another.
        let shifted = AccessClaims { client_id: String::new(), ..claims("alicec") };
        all.push(mint(shifted, "profile", 20));
        let elsewhere = AccessClaims { client_id: "d".into(), ..claims("alice") };
        all.push(mint(elsewhere, "profile", 20));
        let acting = portcullis_jose::access_token::ActClaim { sub: "svc".into(), act: None };
        all.push(mint(AccessClaims { act: Some(acting), ..claims("alice") }, "profile", 20));
        let surer = AccessClaims { acr: Some("phr".into()), ..claims("alice") };
        all.push(mint(surer, "profile", 20));
        let place = Reference { idx: 7, uri: "https://id.example/list".into() };
        let placed = Status { status_list: place };
        all.push(mint(AccessClaims { status: Some(placed), ..claims("alice") }, "profile", 20));
        let grouped = AccessClaims { groups: vec!["a".into(), "b".into()], ..claims("alice") };
        all.push(mint(grouped, "profile", 20));
        let roles = vec!["b".to_owned()];
        let apart = AccessClaims { groups: vec!["a".into()], roles, ..claims("alice") };
        all.push(mint(apart, "profile", 20));
        let later = AccessClaims { auth_time: Some(5), ..claims("alice") };
        all.push(mint(later, "profile", 20));
        let count = all.len();
        all.sort();
        all.dedup();
        assert_eq!(all.len(), count);
    }
}
