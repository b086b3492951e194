//! Whose credentials count: their keys, and how their credentials stand.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use arc_swap::ArcSwapOption;
use portcullis_credentials::{CredentialError, Presentation};
use portcullis_jose::{
    JwkSet, VerifyingKey, from_slice_strict,
    status_list::{Reference, StatusList},
};
use portcullis_store::wallet;
use portcullis_types::Timestamp;
use serde::Deserialize;
use tokio::sync::Mutex as Turn;
use url::Url;

use super::{OwnKeys, PresentationError, Presentations};

/// Keys of an issuer are read again after this.
const KEYS_FOR: Duration = Duration::from_secs(300);
/// However long nobody answers, they count no longer than this.
const KEYS_FOR_MAX: Duration = Duration::from_secs(3_600);
/// And no sooner than this, however many unknown ones are shown.
const KEYS_AGAIN: Duration = Duration::from_secs(30);
/// A status list that says nothing of it is read again after this.
const LIST_FOR: Duration = Duration::from_secs(60);
/// One that could not be read is not asked for again so soon.
const LIST_AGAIN: Duration = Duration::from_secs(10);
/// And one is never kept for longer.
const LIST_FOR_MAX: Duration = Duration::from_secs(3_600);
/// Lists that are kept of each issuer. Each may unpack to 4 MiB.
const LISTS_MAX: usize = 8;

/// An issuer whose credentials count.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IssuerTrust {
    /// Its name, an https URL, as `iss` has it.
    pub issuer: String,
    /// What its credentials may be, at least one `vct`.
    pub types: Vec<String>,
    /// Which of these prove who somebody is.
    pub identity: Vec<String>,
    /// Where its keys and status lists may be beside its own host.
    pub hosts: Vec<String>,
}

impl IssuerTrust {
    /// Whether something of this issuer may be at an address: it is signed by nobody else, and still is asked for from
    /// inside.
    fn may_be_at(&self, url: &str) -> bool {
        let host = |url: &str| Url::parse(url).ok()?.host_str().map(str::to_owned);
        let at = host(url);
        at.is_some() && (at == host(&self.issuer) || at.is_some_and(|at| self.hosts.contains(&at)))
    }
}

/// Our own credentials.
#[derive(Clone)]
pub struct OwnIssuer {
    /// As `iss` has it.
    pub issuer: String,
    /// What they are.
    pub vct: String,
    /// What they are checked with now.
    pub keys: OwnKeys,
    /// The rules that are ours.
    pub trust_frameworks: Vec<String>,
    /// Where our status lists are, up to their number.
    pub lists: String,
}

/// What is known of each issuer.
pub(crate) struct Issuers(BTreeMap<String, Issuer>);

/// What is known is at hand. Whoever asks has the turn: many questions are one, and one that fails is remembered as
/// well, so that a slow issuer holds up no credential whose key is known, and nobody's of another.
#[derive(Default)]
struct Issuer {
    keys: ArcSwapOption<Known>,
    asking: Turn<Option<Timestamp>>,
    lists: Mutex<HashMap<String, Kept>>,
    asking_list: Turn<HashMap<String, Timestamp>>,
}

impl Issuers {
    pub fn new(trusted: &[IssuerTrust]) -> Self {
        Self(trusted.iter().map(|one| (one.issuer.clone(), Issuer::default())).collect())
    }
}

struct Known {
    keys: Arc<Vec<VerifyingKey>>,
    read_at: Timestamp,
}

impl Known {
    /// The keys, if they are not too old: whoever lost one may have taken it back.
    fn good(&self, now: Timestamp) -> Result<Arc<Vec<VerifyingKey>>, Distrust> {
        let is_good = self.read_at <= now && now.since(self.read_at) < KEYS_FOR_MAX;
        if is_good { Ok(self.keys.clone()) } else { Err(Distrust::Unavailable) }
    }

    fn has(&self, kid: Option<&str>) -> bool {
        kid.is_none_or(|kid| self.keys.iter().any(|key| key.kid() == Some(kid)))
    }
}

struct Kept {
    list: Arc<StatusList>,
    until: Timestamp,
}

/// JWT VC Issuer Metadata (draft-ietf-oauth-sd-jwt-vc, section 4).
#[derive(Deserialize)]
struct Metadata {
    issuer: String,
    jwks: Option<JwkSet>,
    jwks_uri: Option<String>,
}

/// Why a credential does not count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Distrust {
    /// Its issuer, or what it is, is none that is trusted.
    Issuer,
    /// Its issuer could not be asked.
    Unavailable,
    /// It was revoked or suspended.
    Revoked,
    /// It does not hold.
    Credential(CredentialError),
}

impl Distrust {
    /// As reasons of reports name it.
    pub fn code(self) -> &'static str {
        match self {
            Self::Issuer => "issuer_not_trusted",
            Self::Unavailable => "issuer_unavailable",
            Self::Revoked => "credential_revoked",
            Self::Credential(error) => error.code(),
        }
    }
}

impl From<CredentialError> for Distrust {
    fn from(error: CredentialError) -> Self {
        Self::Credential(error)
    }
}

impl Presentations {
    /// The keys that a presentation may be signed with.
    pub(super) async fn keys_for(
        &self,
        shown: &Presentation<'_>,
    ) -> Result<Arc<Vec<VerifyingKey>>, Distrust> {
        let (issuer, vct) = shown.issuer().zip(shown.vct()).ok_or(Distrust::Issuer)?;
        if let Some(own) = self.own.as_ref().filter(|own| own.issuer == issuer) {
            return if own.vct == vct { Ok(Arc::new((own.keys)())) } else { Err(Distrust::Issuer) };
        }
        let trusted = self.trusted.iter().find(|trusted| trusted.issuer == issuer);
        let trusted = trusted.ok_or(Distrust::Issuer)?;
        if !trusted.types.iter().any(|own| own == vct) {
            return Err(Distrust::Issuer);
        }
        let known = self.issuers().0.get(issuer).ok_or(Distrust::Issuer)?;
        let kid = shown.kid();
        let at_hand = known.keys.load_full();
        let fresh = |held: &Arc<Known>| {
            held.has(kid) && self.now().since(held.read_at) < KEYS_FOR && held.read_at <= self.now()
        };
        if let Some(held) = at_hand.as_ref().filter(|held| fresh(held)) {
            return Ok(held.keys.clone());
        }
        let mut tried = match (known.asking.try_lock(), &at_hand) {
            (Ok(turn), _) => turn,
            // Somebody is asking. What is known will do, or is not enough.
            (Err(_), Some(held)) => return held.good(self.now()),
            (Err(_), None) => known.asking.lock().await,
        };
        let now = self.now();
        let at_hand = known.keys.load_full();
        let lately = tried.is_some_and(|tried| tried <= now && now.since(tried) < KEYS_AGAIN);
        match at_hand {
            Some(held) if fresh(&held) || lately => return held.good(now),
            None if lately => return Err(Distrust::Unavailable),
            _ => {}
        }
        let keys = self.fetch_keys(trusted).await;
        *tried = Some(now);
        let Some(keys) = keys else {
            let held = known.keys.load_full().ok_or(Distrust::Unavailable)?;
            return held.good(now);
        };
        let keys = Arc::new(keys);
        known.keys.store(Some(Arc::new(Known { keys: keys.clone(), read_at: now })));
        Ok(keys)
    }

    /// Reads the keys of a trusted issuer.
    async fn fetch_keys(&self, trusted: &IssuerTrust) -> Option<Vec<VerifyingKey>> {
        let url = well_known(&trusted.issuer)?;
        let answer = self.egress.get(url.as_str()).await.ok()?;
        let metadata: Metadata = from_slice_strict(&answer.body).ok()?;
        if !answer.status.is_success() || metadata.issuer != trusted.issuer {
            return None;
        }
        let jwks = match (metadata.jwks, metadata.jwks_uri) {
            (Some(jwks), None) => jwks,
            (None, Some(uri)) if trusted.may_be_at(&uri) => {
                let answer = self.egress.get(&uri).await.ok()?;
                let body = answer.status.is_success().then_some(answer.body)?;
                from_slice_strict(&body).ok()?
            }
            _ => return None,
        };
        jwks.verifying_keys().ok()
    }

    /// Whether a credential with this status is good. What cannot be found out is not good.
    pub(super) async fn check_status(
        &self,
        issuer: &str,
        keys: &[VerifyingKey],
        status: Option<&Reference>,
    ) -> Result<Result<(), Distrust>, PresentationError> {
        let own = self.own.as_ref().filter(|own| own.issuer == issuer);
        let Some(status) = status else {
            // Each of ours has one.
            return Ok(if own.is_some() { Err(Distrust::Issuer) } else { Ok(()) });
        };
        if let Some(own) = own {
            return self.own_status(own, status).await;
        }
        Ok(match self.list(issuer, keys, &status.uri).await {
            None => Err(Distrust::Unavailable),
            Some(list) if list.get(status.idx) == Some(0) => Ok(()),
            Some(_) => Err(Distrust::Revoked),
        })
    }

    /// How one of ours stands just now.
    async fn own_status(
        &self,
        own: &OwnIssuer,
        status: &Reference,
    ) -> Result<Result<(), Distrust>, PresentationError> {
        let list = status.uri.strip_prefix(&own.lists).and_then(|list| list.parse().ok());
        let Some(list) = list else { return Ok(Err(Distrust::Issuer)) };
        let place = i64::from(status.idx);
        let standing = wallet::standing(&self.db, &self.tenant, (list, place), self.now()).await?;
        let is_good = standing.is_some_and(|one| {
            let is_ours = |framework| own.trust_frameworks.contains(framework);
            one.revoked_at.is_none() && one.trust_framework.as_ref().is_some_and(is_ours)
        });
        Ok(if is_good { Ok(()) } else { Err(Distrust::Revoked) })
    }

    /// The status list at an address that a credential of a trusted issuer names.
    async fn list(
        &self,
        issuer: &str,
        keys: &[VerifyingKey],
        uri: &str,
    ) -> Option<Arc<StatusList>> {
        let trusted = self.trusted.iter().find(|trusted| trusted.issuer == issuer)?;
        if !trusted.may_be_at(uri) {
            return None;
        }
        let known = self.issuers().0.get(issuer)?;
        let at_hand = |now: Timestamp| {
            let lists = known.lists.lock().unwrap_or_else(PoisonError::into_inner);
            lists.get(uri).filter(|kept| kept.until > now).map(|kept| kept.list.clone())
        };
        if let Some(list) = at_hand(self.now()) {
            return Some(list);
        }
        let mut tried = known.asking_list.lock().await;
        let now = self.now();
        if let Some(list) = at_hand(now) {
            return Some(list);
        }
        tried.retain(|_, tried| *tried <= now && now.since(*tried) < LIST_AGAIN);
        if tried.contains_key(uri) || tried.len() >= LISTS_MAX {
            return None;
        }
        tried.insert(uri.to_owned(), now);
        let answer = self.egress.get(uri).await.ok()?;
        let body = answer.status.is_success().then_some(answer.body)?;
        let token = str::from_utf8(&body).ok()?.trim();
        let list = Arc::new(StatusList::open(token, issuer, uri, keys, now).ok()?);
        let again = list.ttl.map_or(LIST_FOR, Duration::from_secs);
        let until = now.plus(again.min(LIST_FOR_MAX));
        let until = list.expires_at().map_or(until, |end| until.min(end));
        tried.remove(uri);
        let mut lists = known.lists.lock().unwrap_or_else(PoisonError::into_inner);
        lists.retain(|_, kept| kept.until > now);
        if lists.len() >= LISTS_MAX {
            lists.clear();
        }
        lists.insert(uri.to_owned(), Kept { list: list.clone(), until });
        Some(list)
    }
}

/// Where an issuer says what its keys are: its path comes after the well-known part.
fn well_known(issuer: &str) -> Option<Url> {
    let mut url = Url::parse(issuer).ok()?;
    let path = url.path().trim_end_matches('/').to_owned();
    url.set_path(&format!("/.well-known/jwt-vc-issuer{path}"));
    Some(url)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_and_lists_are_where_the_issuer_is() {
        let trust = IssuerTrust {
            issuer: "https://id.example/a".to_owned(),
            types: Vec::new(),
            identity: Vec::new(),
            hosts: vec!["status.example".to_owned()],
        };
        for fits in
            ["https://id.example/list", "https://id.example:8443/x", "https://status.example/1"]
        {
            assert!(trust.may_be_at(fits), "{fits}");
        }
        for other in
            ["https://id.example.evil.example/", "https://127.0.0.1/", "x", "https://example/"]
        {
            assert!(!trust.may_be_at(other), "{other}");
        }
    }

    #[test]
    fn the_path_of_an_issuer_comes_last() {
        for (issuer, url) in [
            ("https://id.example", "https://id.example/.well-known/jwt-vc-issuer"),
            ("https://id.example/", "https://id.example/.well-known/jwt-vc-issuer"),
            ("https://id.example/a/b", "https://id.example/.well-known/jwt-vc-issuer/a/b"),
        ] {
            assert_eq!(well_known(issuer).unwrap().as_str(), url);
        }
        assert!(well_known("id.example").is_none());
    }
}
