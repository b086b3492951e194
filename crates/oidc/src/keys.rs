use std::{sync::Arc, time::Duration};

use arc_swap::ArcSwap;
use portcullis_events::{Actor, AdminChange, Event, Kind, Origin, Outcome};
use portcullis_jose::{Alg, JwkSet, KeyError, SigningKey, VerifyingKey};
use portcullis_store::{
    Db, DbError, SealError, Sealer, Tx,
    signing_keys::{self, SigningKeyRow},
};
use portcullis_types::{Id, SharedEntropy, Timestamp};
use serde_json::json;

/// The purpose under which private keys are sealed.
const PURPOSE: &str = "signing_key";

/// The keys could not be loaded or made.
#[derive(Debug, thiserror::Error)]
pub enum KeyRingError {
    /// The database.
    #[error("the key store failed")]
    Db(#[from] DbError),
    /// The key-encryption key is not the one they were sealed with.
    #[error("the signing keys cannot be opened with this key-encryption key")]
    Seal(#[from] SealError),
    /// A stored key is malformed.
    #[error("a signing key is malformed")]
    Key(#[from] KeyError),
    /// There is no such key in use.
    #[error("no key of that name is in use")]
    NotFound,
    /// More keys are published than clients read.
    #[error("too many keys are published: wait until old ones have ended, or retire some")]
    TooMany,
}

impl portcullis_store::RaceCheck for KeyRingError {
    fn is_race(&self) -> bool {
        matches!(self, Self::Db(error) if error.is_race())
    }
}

/// The longest that a credential lives.
pub const CREDENTIAL_LIFETIME_MAX: Duration = Duration::from_secs(2 * 366 * 24 * 3_600);
/// A key signs credentials for at least so long: each stays published for two years more.
const CREDENTIALS_SIGNED_FOR: Duration = Duration::from_secs(90 * 24 * 3_600);

/// Keys that may be published at once by hand, of tokens and of credentials; others read no more than 64.
const MAX_PUBLISHED: usize = 48;

/// Who changes the keys, and through which request.
#[derive(Debug, Clone, Copy)]
pub struct KeyChangedBy<'a> {
    /// Who.
    pub actor: &'a Actor,
    /// The request, if it was one.
    pub origin: Option<&'a Origin>,
}

impl KeyChangedBy<'static> {
    /// The schedule.
    pub const SYSTEM: Self = Self { actor: &Actor::System, origin: None };
    /// Somebody with access to the machine.
    pub const OPERATOR: Self = Self { actor: &Actor::Operator, origin: None };
}

/// What a key signs. Each use has keys of its own, so that one can be retired without the others,
/// and a token of one kind never verifies as another, whatever its header says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum KeyUse {
    /// Access tokens (RFC 9068) and the status list that revokes them.
    AccessToken,
    /// What clients read: ID tokens, signed userinfo, logout tokens.
    IdToken,
    /// Tokens that the gate makes for the services behind it.
    Upstream,
    /// Credentials that people keep, and the status lists that revoke them. They are published apart from the keys of
    /// tokens, so that nobody takes a credential for a token.
    Credential,
}

impl KeyUse {
    /// Every use.
    pub const ALL: [Self; 4] = [Self::AccessToken, Self::IdToken, Self::Upstream, Self::Credential];

    /// Its name in the database, in events and on the command line.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::AccessToken => "access_token",
            Self::IdToken => "id_token",
            Self::Upstream => "upstream",
            Self::Credential => "credential",
        }
    }

    /// Reads a name.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|each| each.as_str() == name)
    }
}

/// Which algorithms there are keys for, and when a key follows another.
#[derive(Debug, Clone)]
pub struct KeySchedule {
    /// The algorithms that tokens are signed with, the preferred first; never empty.
    pub algorithms: Vec<Alg>,
    /// A key signs for this long.
    pub signs_for: Duration,
    /// A successor is published this long before it signs, so that nobody meets an unknown key.
    pub published_before: Duration,
    /// A key stays published this long after it signed last: longer than any token lives.
    pub published_after: Duration,
    /// Whether there are credentials. Their keys sign for at least [`CREDENTIALS_SIGNED_FOR`] and stay published for as
    /// long as credentials may live at most, whatever the configuration says later.
    pub credentials: bool,
}

impl Default for KeySchedule {
    /// Every algorithm; 90 days, one day before, one day after.
    fn default() -> Self {
        let day = Duration::from_secs(24 * 3600);
        Self {
            algorithms: Alg::SIGNING.to_vec(),
            signs_for: 90 * day,
            published_before: day,
            published_after: day,
            credentials: false,
        }
    }
}

impl KeySchedule {
    /// The algorithm of everything that no client chose one for.
    pub fn preferred(&self) -> Alg {
        self.algorithms.first().copied().unwrap_or(Alg::EdDsa)
    }

    /// Every use with every algorithm that it has keys of.
    fn slots(&self) -> Vec<(KeyUse, Alg)> {
        let of_clients = [KeyUse::AccessToken, KeyUse::IdToken];
        let chosen = of_clients
            .into_iter()
            .flat_map(|key_use| self.algorithms.iter().map(move |alg| (key_use, *alg)));
        let credentials = self.credentials.then_some((KeyUse::Credential, Alg::Es256));
        chosen.chain([(KeyUse::Upstream, self.preferred())]).chain(credentials).collect()
    }

    fn end_of(&self, key_use: KeyUse, active_from: Timestamp) -> Timestamp {
        active_from.plus(self.signs(key_use)).plus(self.after(key_use))
    }

    /// How long a key signs.
    fn signs(&self, key_use: KeyUse) -> Duration {
        match key_use {
            KeyUse::Credential => self.signs_for.max(CREDENTIALS_SIGNED_FOR),
            _ => self.signs_for,
        }
    }

    /// How long a key stays published after it signed last.
    fn after(&self, key_use: KeyUse) -> Duration {
        match key_use {
            KeyUse::Credential => self.published_after.max(CREDENTIAL_LIFETIME_MAX),
            _ => self.published_after,
        }
    }
}

/// The keys at one moment.
#[derive(Debug, Default)]
pub struct Keys {
    signing: Vec<(KeyUse, Arc<SigningKey>)>,
    verifying: Vec<(KeyUse, Vec<VerifyingKey>)>,
    /// What is published.
    pub published: JwkSet,
    /// What credentials are checked with.
    pub credentials: JwkSet,
    /// Names of what is published and of what signs, to tell whether something changed.
    state: Vec<(String, bool)>,
}

impl Keys {
    /// The key that signs for `key_use` with `alg` now.
    pub fn signing(&self, key_use: KeyUse, alg: Alg) -> Option<&Arc<SigningKey>> {
        let mut keys = self.signing.iter().filter(|(own, key)| *own == key_use && key.alg() == alg);
        keys.next().map(|(_, key)| key)
    }

    /// What tokens of `key_use` are checked with.
    pub fn verifying(&self, key_use: KeyUse) -> &[VerifyingKey] {
        let own = self.verifying.iter().find(|(own, _)| *own == key_use);
        own.map_or(&[], |(_, keys)| keys)
    }
}

/// The signing keys: one for each use and algorithm, rotated with overlap, sealed at rest.
#[derive(Clone)]
pub struct KeyRing {
    tenant: String,
    db: Db,
    sealer: Arc<Sealer>,
    entropy: SharedEntropy,
    schedule: Arc<KeySchedule>,
    current: Arc<ArcSwap<Keys>>,
}

impl KeyRing {
    /// A ring that has loaded nothing yet; [`KeyRing::refresh`] does.
    pub fn new(
        tenant: &str,
        db: Db,
        sealer: Arc<Sealer>,
        entropy: SharedEntropy,
        schedule: KeySchedule,
    ) -> Self {
        let (tenant, schedule) = (tenant.to_owned(), Arc::new(schedule));
        Self { tenant, db, sealer, entropy, schedule, current: Arc::default() }
    }

    /// The keys now.
    pub fn current(&self) -> Arc<Keys> {
        self.current.load_full()
    }

    /// When keys follow each other, and of which algorithms there are.
    pub fn schedule(&self) -> &KeySchedule {
        &self.schedule
    }

    /// Makes the successors whose time has come and loads what is published. Called regularly.
    /// True if other keys are published, or sign, than before.
    pub async fn refresh(&self, now: Timestamp) -> Result<bool, KeyRingError> {
        let mut rows = signing_keys::published(&self.db, &self.tenant, now).await?;
        let due: Vec<_> = self.due(&rows, now).collect();
        if !due.is_empty() {
            for (slot, from) in due {
                self.add(slot, KeyChangedBy::SYSTEM, now, from).await?;
            }
            rows = signing_keys::published(&self.db, &self.tenant, now).await?;
        }
        let state = state(&rows, now);
        if state == self.current().state {
            return Ok(false);
        }
        let keys = Keys { state, ..self.load(&rows, now)? };
        self.current.store(Arc::new(keys));
        Ok(true)
    }

    /// The uses and algorithms that need a key, and from when.
    fn due<'a>(
        &'a self,
        rows: &'a [SigningKeyRow],
        now: Timestamp,
    ) -> impl Iterator<Item = ((KeyUse, Alg), Timestamp)> + 'a {
        self.schedule.slots().into_iter().filter_map(move |slot| {
            let own = rows.iter().filter(|row| is_in(row, slot));
            let Some(newest) = own.max_by_key(|row| row.active_from) else {
                return Some((slot, now));
            };
            // It ends earlier than planned if a successor was announced, which may be gone again.
            let planned = newest.active_from.plus(self.schedule.signs(slot.0));
            let ends = newest.expires_at.minus(self.schedule.after(slot.0)).min(planned);
            // After a long stop the old key may be about to end: then there is no overlap.
            let begin = now.plus(self.schedule.published_before).min(ends).max(now);
            (ends.minus(self.schedule.published_before) <= now).then_some((slot, begin))
        })
    }

    /// Begins a rotation by hand: a successor for each use and algorithm that `which` names, which
    /// signs after `overlap`. Returns the names of the new keys.
    pub async fn rotate(
        &self,
        which: (Option<KeyUse>, Option<Alg>),
        overlap: Duration,
        by: KeyChangedBy<'_>,
        now: Timestamp,
    ) -> Result<Vec<String>, KeyRingError> {
        let mut made = Vec::new();
        let slots = self.schedule.slots().into_iter().filter(|(key_use, alg)| {
            which.0.is_none_or(|own| own == *key_use) && which.1.is_none_or(|own| own == *alg)
        });
        let slots: Vec<_> = slots.collect();
        let rows = signing_keys::published(&self.db, &self.tenant, now).await?;
        // Those of credentials are a set of their own.
        let in_set = |of_credentials: bool| {
            let own = |key_use: KeyUse| (key_use == KeyUse::Credential) == of_credentials;
            let new = slots.iter().filter(|(key_use, _)| own(*key_use)).count();
            let old = rows.iter().filter_map(|row| KeyUse::parse(&row.key_use));
            if new == 0 { 0 } else { new + old.filter(|key_use| own(*key_use)).count() }
        };
        if [true, false].into_iter().any(|set| in_set(set) > MAX_PUBLISHED) {
            return Err(KeyRingError::TooMany);
        }
        for slot in slots {
            made.push(self.add(slot, by, now, now.plus(overlap)).await?);
        }
        Ok(made)
    }

    /// Takes a key out of use at once: what it signed is no longer good. If it was the one that
    /// signs, its successor signs from now on, published or not.
    pub async fn retire(
        &self,
        kid: &str,
        by: KeyChangedBy<'_>,
        now: Timestamp,
    ) -> Result<(), KeyRingError> {
        let rows = signing_keys::published(&self.db, &self.tenant, now).await?;
        let row = rows.iter().find(|row| row.kid == kid).ok_or(KeyRingError::NotFound)?;
        let slot = KeyUse::parse(&row.key_use).zip(Alg::parse(&row.alg));
        let mut signs = rows.iter().filter(|other| {
            (&other.key_use, &other.alg) == (&row.key_use, &row.alg) && other.active_from <= now
        });
        let is_current = signs.next_back().is_some_and(|newest| newest.kid == kid);
        let wanted = slot.filter(|slot| is_current && self.schedule.slots().contains(slot));
        let successor = &wanted.map(|slot| self.make(slot, now, now)).transpose()?;
        self.db
            .write(|tx| async move {
                if !signing_keys::retire(&tx, &self.tenant, kid, now).await? {
                    return Err(KeyRingError::NotFound);
                }
                tx.emit(self.event("retire", row, by, now)).await?;
                if let Some(successor) = successor {
                    self.insert(&tx, successor, by, now).await?;
                }
                Ok(())
            })
            .await
    }

    async fn add(
        &self,
        slot: (KeyUse, Alg),
        by: KeyChangedBy<'_>,
        now: Timestamp,
        from: Timestamp,
    ) -> Result<String, KeyRingError> {
        let row = &self.make(slot, now, from)?;
        self.db.write(|tx| async move { self.insert(&tx, row, by, now).await }).await?;
        Ok(row.kid.clone())
    }

    fn make(
        &self,
        (key_use, alg): (KeyUse, Alg),
        now: Timestamp,
        from: Timestamp,
    ) -> Result<SigningKeyRow, KeyRingError> {
        let (key, pkcs8) = SigningKey::generate(alg)?;
        Ok(SigningKeyRow {
            kid: key.kid().to_owned(),
            key_use: key_use.as_str().to_owned(),
            alg: alg.as_str().to_owned(),
            pkcs8: self.sealer.seal(PURPOSE, &pkcs8, &*self.entropy)?,
            created_at: now,
            active_from: from,
            expires_at: self.schedule.end_of(key_use, from),
            retired_at: None,
        })
    }

    async fn insert(
        &self,
        tx: &Tx,
        row: &SigningKeyRow,
        by: KeyChangedBy<'_>,
        now: Timestamp,
    ) -> Result<(), KeyRingError> {
        signing_keys::insert(tx, &self.tenant, row).await?;
        let after = KeyUse::parse(&row.key_use).map(|key_use| self.schedule.after(key_use));
        let end = row.active_from.plus(after.unwrap_or(self.schedule.published_after));
        let slot = (row.key_use.as_str(), row.alg.as_str());
        signing_keys::end_predecessors(tx, &self.tenant, slot, row.active_from, end).await?;
        Ok(tx.emit(self.event("create", row, by, now)).await?)
    }

    fn event(
        &self,
        action: &'static str,
        row: &SigningKeyRow,
        by: KeyChangedBy<'_>,
        now: Timestamp,
    ) -> Event {
        let change = AdminChange {
            action,
            object_type: "signing_key",
            object: row.kid.clone(),
            before: None,
            after: Some(json!({
                "use": row.key_use, "alg": row.alg, "active_from": row.active_from.to_rfc3339(),
            })),
        };
        let id = Id::new(now, &*self.entropy);
        let origin = by.origin.cloned();
        Event::new(id, now, origin, by.actor.clone(), Outcome::Success, Kind::Admin(change))
    }

    fn load(&self, rows: &[SigningKeyRow], now: Timestamp) -> Result<Keys, KeyRingError> {
        let mut keys = Keys::default();
        let mut early: Vec<(KeyUse, Arc<SigningKey>)> = Vec::new();
        // Newest first, so that the first active key of a slot is the one that signs.
        for row in rows.iter().rev() {
            let Some((key_use, alg)) = KeyUse::parse(&row.key_use).zip(Alg::parse(&row.alg)) else {
                continue;
            };
            let key = SigningKey::from_pkcs8(alg, &self.sealer.open(PURPOSE, &row.pkcs8)?)?;
            let verifying = key.public().verifying_key().ok();
            match keys.verifying.iter_mut().find(|(own, _)| *own == key_use) {
                Some((_, own)) => own.extend(verifying),
                None => keys.verifying.push((key_use, verifying.into_iter().collect())),
            }
            let published = match key_use {
                KeyUse::Credential => &mut keys.credentials,
                _ => &mut keys.published,
            };
            published.keys.push(key.public().clone());
            if keys.signing(key_use, alg).is_some() {
                continue;
            }
            if row.active_from <= now {
                keys.signing.push((key_use, Arc::new(key)));
            } else {
                early.push((key_use, Arc::new(key)));
            }
        }
        // Where none is active, because the clock was set back or the active one has ended, the next
        // one signs early: else nobody would get in.
        for (key_use, key) in early.into_iter().rev() {
            if keys.signing(key_use, key.alg()).is_none() {
                keys.signing.push((key_use, key));
            }
        }
        Ok(keys)
    }
}

impl std::fmt::Debug for KeyRing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("KeyRing")
    }
}

fn is_in(row: &SigningKeyRow, (key_use, alg): (KeyUse, Alg)) -> bool {
    row.key_use == key_use.as_str() && row.alg == alg.as_str()
}

fn state(rows: &[SigningKeyRow], now: Timestamp) -> Vec<(String, bool)> {
    rows.iter().map(|row| (row.kid.clone(), row.active_from <= now)).collect()
}
