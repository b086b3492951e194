//! Keys for what the log says of each person. Destroying one makes it unreadable and breaks no
//! proof; it goes with the account.

use std::{sync::Arc, time::Duration};

use aws_lc_rs::hmac;
use data_encoding::{BASE64URL_NOPAD, HEXLOWER};
use portcullis_events::{Event, SealPersonal, leaf, sealed_leaf, subject};
use portcullis_types::{AddrKey, SharedClock, SharedEntropy, Timestamp, random_array};
use quick_cache::sync::Cache;
use tokio::runtime::Handle;

use crate::db::{Db, DbError, Tx};
use crate::query::{Source, sql};
use crate::seal::{KEY_BYTES, Sealer};

/// Keys at hand.
const MAX_CACHED: usize = 10_000;
/// After this time a key is looked for again: another node may have destroyed it.
const FRESH: Duration = Duration::from_secs(60);
/// Under which what is personal in an entry is sealed.
const PURPOSE: &str = "log entry";
/// Hexadecimal digits of what stands for an address: enough that no two meet.
const TAG_DIGITS: usize = 32;

/// The keys of one tenant. Each is sealed with the installation's data key.
pub struct LogKeys {
    tenant: String,
    sealer: Arc<Sealer>,
    tag_key: hmac::Key,
    clock: SharedClock,
    entropy: SharedEntropy,
    known: Cache<String, (Timestamp, Arc<Sealer>)>,
}

#[derive(sqlx::FromRow)]
struct Row {
    sealed: Vec<u8>,
}

impl LogKeys {
    /// Over the installation's data key, and a key for what stands for addresses.
    pub fn new(
        tenant: &str,
        sealer: Arc<Sealer>,
        tag_key: &[u8],
        clock: SharedClock,
        entropy: SharedEntropy,
    ) -> Self {
        Self {
            tenant: tenant.to_owned(),
            sealer,
            tag_key: hmac::Key::new(hmac::HMAC_SHA256, tag_key),
            clock,
            entropy,
            known: Cache::new(MAX_CACHED),
        }
    }

    /// What stands for an address.
    pub fn tag(&self, addr: AddrKey) -> String {
        let tag = hmac::sign(&self.tag_key, addr.to_string().as_bytes());
        HEXLOWER.encode(tag.as_ref()).chars().take(TAG_DIGITS).collect()
    }

    /// What was sealed for `subject`, if the key is still there and can be read.
    pub async fn open(&self, db: &Db, subject: &str, data: &str) -> Option<Vec<u8>> {
        self.try_open(db, subject, data).await.ok()?
    }

    /// The same, for whoever must tell a key that is gone from a database that does not answer.
    pub async fn try_open(
        &self,
        db: &Db,
        subject: &str,
        data: &str,
    ) -> Result<Option<Vec<u8>>, DbError> {
        let key = self.committed(db, subject).await?;
        Ok(key.and_then(|key| open_with(&key, data)))
    }

    /// The key is destroyed with the account; nobody here uses it from now on.
    pub fn forget(&self, subject: &str) {
        self.known.remove(subject);
    }

    /// The entry of an event that commits with `tx`.
    pub(crate) async fn leaf_in(&self, tx: &Tx, event: &Event) -> Result<Vec<u8>, DbError> {
        let Some(subject) = subject(event) else { return Ok(leaf(event)) };
        let key = match self.cached(subject) {
            Some(key) => Some(key),
            // Not to be remembered: it may go with the transaction.
            None => self.key_in(tx, subject).await?,
        };
        Ok(sealed_leaf(event, &OneKey { keys: self, key }))
    }

    async fn key_in(&self, tx: &Tx, subject: &str) -> Result<Option<Arc<Sealer>>, DbError> {
        if let Some(key) = self.read(tx, subject).await? {
            return Ok(Some(key));
        }
        let fresh = random_array::<KEY_BYTES>(&*self.entropy);
        let sealed = self.sealer.seal(&purpose(subject), &fresh, &*self.entropy);
        let sealed = sealed.map_err(|_| DbError::Stored("subject_key"))?;
        // Only who has an account has a key; whoever is gone gets none again.
        sql("INSERT INTO subject_key (tenant, account_id, sealed, created_at) \
             SELECT tenant, id, $3, $4 FROM account WHERE tenant = $1 AND id = $2 \
             ON CONFLICT DO NOTHING")
        .bind(&self.tenant)
        .bind(subject)
        .bind(sealed)
        .bind(self.clock.now())
        .execute(tx)
        .await?;
        self.read(tx, subject).await
    }

    async fn read(
        &self,
        source: impl Source,
        subject: &str,
    ) -> Result<Option<Arc<Sealer>>, DbError> {
        let row: Option<Row> =
            sql("SELECT sealed FROM subject_key WHERE tenant = $1 AND account_id = $2")
                .bind(&self.tenant)
                .bind(subject)
                .optional(source)
                .await?;
        let Some(row) = row else { return Ok(None) };
        let key = self.sealer.open(&purpose(subject), &row.sealed);
        let key =
            key.and_then(|key| Sealer::new(&key)).map_err(|_| DbError::Stored("subject_key"))?;
        Ok(Some(Arc::new(key)))
    }

    fn cached(&self, subject: &str) -> Option<Arc<Sealer>> {
        let (at, key) = self.known.get(subject)?;
        (self.clock.now().since(at) < FRESH).then_some(key)
    }

    /// The key as the database has it for everybody.
    async fn committed(&self, db: &Db, subject: &str) -> Result<Option<Arc<Sealer>>, DbError> {
        if let Some(key) = self.cached(subject) {
            return Ok(Some(key));
        }
        let key = self.read(db, subject).await?;
        match &key {
            Some(key) => {
                self.known.insert(subject.to_owned(), (self.clock.now(), key.clone()));
            }
            None => self.forget(subject),
        }
        Ok(key)
    }

    async fn committed_or_made(
        &self,
        db: &Db,
        subject: &str,
    ) -> Result<Option<Arc<Sealer>>, DbError> {
        if let Some(key) = self.committed(db, subject).await? {
            return Ok(Some(key));
        }
        db.write(|tx| async move { self.key_in(&tx, subject).await }).await?;
        self.committed(db, subject).await
    }
}

/// Seals for the thread that writes the log, which is nobody's task and may wait for the database.
pub struct LogSealer {
    /// The database.
    pub db: Db,
    /// The keys.
    pub keys: Arc<LogKeys>,
    /// Where waiting is done.
    pub runtime: Handle,
}

impl SealPersonal for LogSealer {
    fn seal(&self, subject: &str, plain: &[u8]) -> Option<String> {
        let key = match self.keys.cached(subject) {
            Some(key) => Some(key),
            None => {
                let wait = self.keys.committed_or_made(&self.db, subject);
                self.runtime.block_on(wait).unwrap_or_else(|error| {
                    // Without its key nothing personal is written; the rest of the entry is.
                    tracing::error!(
                        error = &error as &dyn std::error::Error,
                        "the key of a person could not be read"
                    );
                    None
                })
            }
        };
        OneKey { keys: &self.keys, key }.seal(subject, plain)
    }

    fn tag(&self, addr: AddrKey) -> String {
        self.keys.tag(addr)
    }
}

struct OneKey<'a> {
    keys: &'a LogKeys,
    key: Option<Arc<Sealer>>,
}

impl SealPersonal for OneKey<'_> {
    fn seal(&self, _: &str, plain: &[u8]) -> Option<String> {
        let sealed = self.key.as_ref()?.seal(PURPOSE, plain, &*self.keys.entropy).ok()?;
        Some(BASE64URL_NOPAD.encode(&sealed))
    }

    fn tag(&self, addr: AddrKey) -> String {
        self.keys.tag(addr)
    }
}

fn open_with(key: &Sealer, data: &str) -> Option<Vec<u8>> {
    key.open(PURPOSE, &BASE64URL_NOPAD.decode(data.as_bytes()).ok()?).ok()
}

/// A key opens for its own person only.
fn purpose(subject: &str) -> String {
    format!("subject_key {subject}")
}

impl std::fmt::Debug for LogKeys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("LogKeys")
    }
}
