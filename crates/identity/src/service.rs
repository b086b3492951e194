use std::{
    path::PathBuf,
    sync::{Arc, Mutex},
};

use aws_lc_rs::hmac::{HMAC_SHA256, Key, sign};
use data_encoding::HEXLOWER;
use portcullis_audit::Audit;
use portcullis_cluster::{ApiKeys, Blocks, LimitBlocks, Limiter, Revocations};
use portcullis_events::{AccountChange, Actor, Event, Kind, Origin, Outcome};
use portcullis_store::{Db, LogKeys, Sealer, accounts::Account, api_keys};
use portcullis_types::{HashKey, Id, Secret, SharedClock, SharedEntropy, Timestamp};

use tokio::sync::Semaphore;
use url::Url;
use webauthn_rs::{Webauthn, WebauthnBuilder};

use crate::{Delays, HashError, Hasher, IdentityError, PasswordError, PasswordRules, StaffDevices};

/// What [`Identity`] is built from.
pub struct Parts {
    /// The tenant.
    pub tenant: String,
    /// The only source of our own links.
    pub issuer: String,
    /// The database.
    pub db: Db,
    /// The log.
    pub audit: Audit,
    /// Where it is, to be read.
    pub log_dir: PathBuf,
    /// The keys of what it says of people.
    pub log_keys: Arc<LogKeys>,
    /// The time.
    pub clock: SharedClock,
    /// Randomness.
    pub entropy: SharedEntropy,
    /// Password hashing.
    pub hasher: Hasher,
    /// The devices that staff may keep passkeys on; `None` for any.
    pub staff_devices: Option<StaffDevices>,
    /// The rules for new passwords.
    pub rules: PasswordRules,
    /// The key-encryption key.
    pub sealer: Arc<Sealer>,
    /// Key of the pseudonyms of unknown names; the same over restarts.
    pub pseudonym_key: Vec<u8>,
    /// Tokens that are void.
    pub revocations: Arc<Revocations>,
    /// Addresses that may not enter.
    pub blocks: Arc<Blocks>,
    /// Networks from which a password alone is not enough.
    pub suspects: Arc<Blocks>,
    /// Networks whose attempts to log in wait.
    pub delays: Arc<Delays>,
    /// Addresses that one limit has closed a door for.
    pub limit_blocks: Arc<LimitBlocks>,
    /// The counters of the gate.
    pub limiter: Arc<Limiter>,
    /// API keys that work.
    pub api_keys: Arc<ApiKeys>,
}

/// The identity services. Cheap to clone.
#[derive(Clone)]
pub struct Identity(Arc<Inner>);

/// The parts, and keys derived from them.
pub(crate) struct Inner {
    pub parts: Parts,
    pub pseudonym: Key,
    /// Of this process only: fingerprints of failed passwords must not outlive it.
    pub fingerprints: HashKey,
    /// None if the issuer is an address, which no passkey can be for.
    pub webauthn: Option<Webauthn>,
    /// What was read of the API keys last.
    pub api_keys_state: Mutex<api_keys::State>,
    /// Exports that are made at once.
    pub exports: Semaphore,
    /// Searches of the log at once, apart from exports: whoever follows an attack must not wait for
    /// everybody's.
    pub searches: Semaphore,
    pub proofs: Semaphore,
    /// Held while blocks are read and taken over: what was read earlier must not come later.
    pub reloading: tokio::sync::Mutex<()>,
}

impl std::ops::Deref for Identity {
    type Target = Parts;

    fn deref(&self) -> &Parts {
        &self.0.parts
    }
}

impl Identity {
    /// The services over `parts`.
    pub fn new(parts: Parts) -> Self {
        let pseudonym = Key::new(HMAC_SHA256, &parts.pseudonym_key);
        let fingerprints = HashKey::new(&*parts.entropy);
        let webauthn = webauthn(&parts.issuer);
        Self(Arc::new(Inner {
            parts,
            pseudonym,
            fingerprints,
            webauthn,
            api_keys_state: Mutex::default(),
            exports: Semaphore::new(1),
            searches: Semaphore::new(2),
            proofs: Semaphore::new(1),
            reloading: tokio::sync::Mutex::default(),
        }))
    }

    pub(crate) fn inner(&self) -> &Inner {
        &self.0
    }

    /// What people know this installation by: the host of the issuer.
    pub(crate) fn site_name(&self) -> String {
        let host = Url::parse(&self.issuer).ok().and_then(|url| url.host_str().map(str::to_owned));
        host.unwrap_or_else(|| "Portcullis".to_owned())
    }

    /// The time now.
    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// An event of this moment.
    pub fn event(&self, origin: &Origin, actor: Actor, outcome: Outcome, kind: Kind) -> Event {
        let now = self.now();
        Event::new(Id::new(now, &*self.entropy), now, Some(origin.clone()), actor, outcome, kind)
    }

    pub(crate) fn changed(
        &self,
        origin: &Origin,
        change: &'static str,
        actor: Actor,
        user: Actor,
    ) -> Event {
        let kind = Kind::Account(AccountChange { change, user, provider: None });
        self.event(origin, actor, Outcome::Success, kind)
    }

    /// Stands for a name that no account has.
    pub(crate) fn unknown(&self, name: &str) -> Actor {
        let tag = sign(&self.0.pseudonym, name.to_lowercase().as_bytes());
        let pseudonym = HEXLOWER.encode(&tag.as_ref()[..16]);
        Actor::UnknownUser { pseudonym }
    }

    pub(crate) fn password_fingerprint(&self, password: &str) -> u128 {
        self.0.fingerprints.fingerprint(&[b"password", password.as_bytes()])
    }

    /// Checks a new password. Scoring takes time that grows with cunning, so it waits its turn; a
    /// score that cannot be computed is no score.
    pub(crate) async fn check_rules(
        &self,
        password: &Secret<String>,
        context: &[&str],
    ) -> Result<Result<(), PasswordError>, IdentityError> {
        let (rules, password) = (self.rules.clone(), password.clone());
        let context: Vec<String> = context.iter().map(|text| (*text).to_owned()).collect();
        let check = move || {
            let context: Vec<&str> = context.iter().map(String::as_str).collect();
            Ok(rules.check(password.expose(), &context))
        };
        match self.hasher.run(check).await {
            Err(HashError::Failed) => Ok(Err(PasswordError::Weak)),
            result => Ok(result?),
        }
    }

    pub(crate) fn link(&self, page: &str, token: &str) -> String {
        format!("{}/{page}?token={token}", self.issuer)
    }
}

impl std::fmt::Debug for Identity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Identity")
    }
}

/// Passkeys are for the host of the issuer and are used on its pages only.
fn webauthn(issuer: &str) -> Option<Webauthn> {
    let origin = Url::parse(issuer).ok()?;
    let host = origin.domain()?;
    WebauthnBuilder::new(host, &origin).ok()?.rp_name(host).build().ok()
}

/// An account as the one who did something.
pub(crate) fn actor(account: &Account) -> Actor {
    Actor::User { id: account.id.to_string(), username: account.username.clone() }
}
