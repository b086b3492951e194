use std::{sync::Arc, time::Duration};

use arc_swap::ArcSwap;
use portcullis_jose::{Alg, JwkSet, KeyError, SigningKey, VerifyingKey};
use portcullis_store::{
    Db, DbError, SealError, Sealer,
    secrets::{self, SigningKeyRow},
};
use portcullis_types::{Id, SharedEntropy, Timestamp};

/// The purpose under which private keys are sealed.
const PURPOSE: &str = "signing_key";
/// A key signs for this long.
const SIGNS_FOR: Duration = Duration::from_secs(90 * 24 * 3600);
/// A successor is published this long before it signs, so that nobody meets an unknown key.
const PUBLISHED_BEFORE: Duration = Duration::from_secs(24 * 3600);
/// A key stays published this long after it signed last: longer than any token lives.
const PUBLISHED_AFTER: Duration = Duration::from_secs(24 * 3600);

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
}

impl portcullis_store::RaceCheck for KeyRingError {
    fn is_race(&self) -> bool {
        matches!(self, Self::Db(error) if error.is_race())
    }
}

/// The keys at one moment.
#[derive(Debug)]
pub struct Keys {
    signing: Vec<Arc<SigningKey>>,
    /// What tokens are checked with.
    pub verifying: Vec<VerifyingKey>,
    /// What is published.
    pub published: JwkSet,
}

impl Keys {
    /// The key that signs with `alg` now.
    pub fn signing(&self, alg: Alg) -> Option<&Arc<SigningKey>> {
        self.signing.iter().find(|key| key.alg() == alg)
    }
}

/// The signing keys: one for each algorithm, rotated with overlap, sealed at rest.
#[derive(Clone)]
pub struct KeyRing {
    tenant: String,
    db: Db,
    sealer: Arc<Sealer>,
    entropy: SharedEntropy,
    current: Arc<ArcSwap<Keys>>,
}

impl KeyRing {
    /// Loads the keys, making what is missing.
    pub async fn open(
        tenant: &str,
        db: Db,
        sealer: Arc<Sealer>,
        entropy: SharedEntropy,
        now: Timestamp,
    ) -> Result<Self, KeyRingError> {
        let none =
            Keys { signing: Vec::new(), verifying: Vec::new(), published: JwkSet::default() };
        let ring = Self {
            tenant: tenant.to_owned(),
            db,
            sealer,
            entropy,
            current: Arc::new(ArcSwap::from_pointee(none)),
        };
        ring.refresh(now).await?;
        Ok(ring)
    }

    /// The keys now.
    pub fn current(&self) -> Arc<Keys> {
        self.current.load_full()
    }

    /// Makes the successors whose time has come and loads what is published. Called regularly.
    pub async fn refresh(&self, now: Timestamp) -> Result<(), KeyRingError> {
        let rows = secrets::published_keys(&self.db, &self.tenant, now).await?;
        let mut made = false;
        for alg in Alg::SIGNING {
            let of_alg = || rows.iter().filter(|row| row.alg == alg.as_str());
            let newest = of_alg().map(|row| row.active_from).max();
            match newest {
                None => made |= self.add(alg, now, now).await?,
                Some(from) if from.plus(SIGNS_FOR).minus(PUBLISHED_BEFORE) <= now => {
                    // After a long stop the old key may be about to end: then there is no overlap.
                    let begin = now.plus(PUBLISHED_BEFORE).min(from.plus(SIGNS_FOR)).max(now);
                    made |= self.add(alg, now, begin).await?;
                }
                Some(_) => {}
            }
        }
        let rows =
            if made { secrets::published_keys(&self.db, &self.tenant, now).await? } else { rows };
        self.current.store(Arc::new(self.load(&rows, now)?));
        Ok(())
    }

    /// Begins a rotation by hand: every algorithm gets a successor that signs after the overlap.
    pub async fn rotate(&self, now: Timestamp, overlap: Duration) -> Result<(), KeyRingError> {
        for alg in Alg::SIGNING {
            self.add(alg, now, now.plus(overlap)).await?;
        }
        self.refresh(now).await
    }

    async fn add(&self, alg: Alg, now: Timestamp, from: Timestamp) -> Result<bool, KeyRingError> {
        let (_, pkcs8) = SigningKey::generate(alg)?;
        let row = &SigningKeyRow {
            id: Id::new(now, &*self.entropy),
            alg: alg.as_str().to_owned(),
            pkcs8: self.sealer.seal(PURPOSE, &pkcs8, &*self.entropy)?,
            created_at: now,
            active_from: from,
            expires_at: from.plus(SIGNS_FOR).plus(PUBLISHED_AFTER),
        };
        self.db
            .write(|tx| async move {
                secrets::insert_key(&tx, &self.tenant, row).await?;
                Ok::<_, KeyRingError>(())
            })
            .await?;
        Ok(true)
    }

    fn load(&self, rows: &[SigningKeyRow], now: Timestamp) -> Result<Keys, KeyRingError> {
        let mut keys =
            Keys { signing: Vec::new(), verifying: Vec::new(), published: JwkSet::default() };
        // Newest first, so that the first active key of an algorithm is the one that signs.
        for row in rows.iter().rev() {
            let Some(alg) = Alg::parse(&row.alg) else {
                continue;
            };
            let key = SigningKey::from_pkcs8(alg, &self.sealer.open(PURPOSE, &row.pkcs8)?)?;
            keys.verifying.extend(key.public().verifying_key().ok());
            keys.published.keys.push(key.public().clone());
            if row.active_from <= now && keys.signing(alg).is_none() {
                keys.signing.push(Arc::new(key));
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
