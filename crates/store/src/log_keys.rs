//! Keys for what the log says of each person in each month. Destroying that of the person or that of
//! the month makes it unreadable and breaks no proof: the one goes with the account, the other when
//! the month is old enough.

use std::{
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use aws_lc_rs::{
    hkdf::{HKDF_SHA256, Salt},
    hmac,
};
use data_encoding::{BASE64URL_NOPAD, HEXLOWER};
use portcullis_events::{Event, SealPersonal, Sealed, Whose, leaf, sealed_leaf, subject};
use portcullis_types::{AddrKey, Month, SharedClock, SharedEntropy, Timestamp, random_array};
use quick_cache::sync::Cache;
use tokio::runtime::Handle;

use crate::db::{Db, DbError, Tx};
use crate::query::{Source, sql};
use crate::seal::{KEY_BYTES, Sealer};

/// Keys at hand.
const MAX_CACHED: usize = 10_000;
/// Months at hand.
const MAX_MONTHS: usize = 256;
/// After this time a key is looked for again: another node may have destroyed it.
const FRESH: Duration = Duration::from_secs(60);
/// After it did not answer, the database is not asked for keys for so long.
const REST: Duration = Duration::from_secs(5);
/// Under which what is personal in an entry is sealed.
const PURPOSE: &str = "log entry";
/// Hexadecimal digits of what stands for an address: enough that no two meet.
const TAG_DIGITS: usize = 32;

type Key = [u8; KEY_BYTES];

/// The keys of one tenant. Each is sealed with the installation's data key.
pub struct LogKeys {
    tenant: String,
    sealer: Arc<Sealer>,
    clock: SharedClock,
    entropy: SharedEntropy,
    known: Cache<(String, Month), (Timestamp, Arc<Sealer>)>,
    months: Cache<Month, (Timestamp, Arc<hmac::Key>)>,
    /// When the database did not answer, in microseconds; 0 if it always did.
    failed_at: AtomicI64,
}

#[derive(sqlx::FromRow)]
struct Row {
    sealed: Option<Vec<u8>>,
}

#[derive(sqlx::FromRow)]
struct MonthRow {
    month: String,
}

impl LogKeys {
    /// Over the installation's data key.
    pub fn new(
        tenant: &str,
        sealer: Arc<Sealer>,
        clock: SharedClock,
        entropy: SharedEntropy,
    ) -> Self {
        Self {
            tenant: tenant.to_owned(),
            sealer,
            clock,
            entropy,
            known: Cache::new(MAX_CACHED),
            months: Cache::new(MAX_MONTHS),
            failed_at: AtomicI64::new(0),
        }
    }

    /// What stands for an address in each month whose key is there.
    pub async fn tags(&self, db: &Db, addr: AddrKey) -> Result<Vec<String>, DbError> {
        let rows: Vec<MonthRow> =
            sql("SELECT month FROM month_key WHERE tenant = $1 AND sealed IS NOT NULL \
                 ORDER BY month")
            .bind(&self.tenant)
            .all(db)
            .await?;
        let mut tags = Vec::new();
        for month in rows.iter().filter_map(|row| Month::parse(&row.month)) {
            tags.extend(self.tag_key(db, month).await?.map(|key| tag(&key, addr)));
        }
        Ok(tags)
    }

    async fn tag_key(&self, db: &Db, month: Month) -> Result<Option<Arc<hmac::Key>>, DbError> {
        if let Some(key) = self.fresh_of(self.months.get(&month)) {
            return Ok(Some(key));
        }
        let Some(key) = self.month(db, month).await? else {
            self.months.remove(&month);
            return Ok(None);
        };
        let key = Arc::new(tag_key_of(&key)?);
        self.months.insert(month, (self.clock.now(), key.clone()));
        Ok(Some(key))
    }

    async fn made_tag_key(&self, db: &Db, month: Month) -> Result<Option<Arc<hmac::Key>>, DbError> {
        if self.month(db, month).await?.is_none() {
            db.write(|tx| async move { self.month_in(&tx, month).await }).await?;
        }
        self.tag_key(db, month).await
    }

    /// What was looked up lately, by this clock: what seems to be from later is not trusted either.
    fn fresh_of<T>(&self, known: Option<(Timestamp, T)>) -> Option<T> {
        let (at, value) = known?;
        let now = self.clock.now();
        (now >= at && now.since(at) < FRESH).then_some(value)
    }

    /// What was sealed, if its keys are still there and can be read.
    pub async fn open(&self, db: &Db, sealed: &Sealed) -> Option<Vec<u8>> {
        self.try_open(db, sealed).await.ok()?
    }

    /// The same, for whoever must tell a key that is gone from a database that does not answer.
    pub async fn try_open(&self, db: &Db, sealed: &Sealed) -> Result<Option<Vec<u8>>, DbError> {
        let key = self.committed(db, sealed.whose()).await?;
        Ok(key.and_then(|key| open_with(&key, &sealed.data)))
    }

    /// Whether there ever was a key of a month.
    pub async fn any_month(db: &Db, tenant: &str) -> Result<bool, DbError> {
        let row: Option<MonthRow> = sql("SELECT month FROM month_key WHERE tenant = $1 LIMIT 1")
            .bind(tenant)
            .optional(db)
            .await?;
        Ok(row.is_some())
    }

    /// The key is destroyed with the account; nobody here uses it from now on.
    pub fn forget(&self, subject: &str) {
        self.known.retain(|(whose, _), _| whose != subject);
    }

    /// Destroys the keys of all months before `first`: what is personal in their entries can be read
    /// no more. Returns the months; `receipt` makes the event that commits with it.
    pub async fn destroy_months(
        &self,
        db: &Db,
        first: Month,
        receipt: impl Fn(&str) -> Event + Sync,
    ) -> Result<Vec<String>, DbError> {
        let receipt = &receipt;
        let destroyed = db.write(|tx| async move {
            let rows: Vec<MonthRow> = sql("UPDATE month_key SET sealed = NULL, destroyed_at = $3 \
                 WHERE tenant = $1 AND month < $2 AND sealed IS NOT NULL RETURNING month")
            .bind(&self.tenant)
            .bind(first.to_string())
            .bind(self.clock.now())
            .all(&tx)
            .await?;
            let mut months: Vec<String> = rows.into_iter().map(|row| row.month).collect();
            months.sort();
            for month in &months {
                tx.emit(receipt(month)).await?;
            }
            Ok::<_, DbError>(months)
        });
        let destroyed = destroyed.await?;
        self.known.retain(|(_, month), _| *month >= first);
        self.months.retain(|month, _| *month >= first);
        if !destroyed.is_empty() {
            db.overwrite_remnants().await;
        }
        Ok(destroyed)
    }

    /// The entry of an event that commits with `tx`.
    pub(crate) async fn leaf_in(&self, tx: &Tx, event: &Event) -> Result<Vec<u8>, DbError> {
        let Some(subject) = subject(event) else { return Ok(leaf(event)) };
        let whose = Whose { subject, month: Month::of(event.time) };
        let at_hand = self.at_hand(whose);
        let both = match at_hand {
            Some(both) => both,
            // Not to be remembered: it may go with the transaction.
            None => self.keys_in(tx, whose).await?,
        };
        Ok(sealed_leaf(event, &both.with(self)))
    }

    async fn keys_in(&self, tx: &Tx, whose: Whose<'_>) -> Result<Both, DbError> {
        let Some(month) = self.month_in(tx, whose.month).await? else { return Ok(Both::default()) };
        let tag = Some(Arc::new(tag_key_of(&month)?));
        let person = self.person_in(tx, whose.subject).await?;
        let seal = person.map(|person| derived(&person, &month)).transpose()?;
        Ok(Both { seal, tag })
    }

    /// Both, whenever they were looked up.
    fn known_before(&self, whose: Whose<'_>) -> Both {
        let seal = self.known.get(&(whose.subject.to_owned(), whose.month));
        let tag = self.months.get(&whose.month);
        Both { seal: seal.map(|(_, key)| key), tag: tag.map(|(_, key)| key) }
    }

    /// Both, if they were looked up lately.
    fn at_hand(&self, whose: Whose<'_>) -> Option<Both> {
        let tag = self.fresh_of(self.months.get(&whose.month))?;
        Some(Both { seal: Some(self.cached(whose)?), tag: Some(tag) })
    }

    async fn person_in(&self, tx: &Tx, subject: &str) -> Result<Option<Key>, DbError> {
        if let Some(key) = self.person(tx, subject).await? {
            return Ok(Some(key));
        }
        // Only who has an account has a key; whoever is gone gets none again.
        sql("INSERT INTO subject_key (tenant, account_id, sealed, created_at) \
             SELECT tenant, id, $3, $4 FROM account WHERE tenant = $1 AND id = $2 \
             ON CONFLICT DO NOTHING")
        .bind(&self.tenant)
        .bind(subject)
        .bind(self.fresh(&purpose_of_person(subject))?)
        .bind(self.clock.now())
        .execute(tx)
        .await?;
        self.person(tx, subject).await
    }

    async fn month_in(&self, tx: &Tx, month: Month) -> Result<Option<Key>, DbError> {
        if let Some(key) = self.month(tx, month).await? {
            return Ok(Some(key));
        }
        // A row without a key is that of a month whose key was destroyed: it gets none again.
        sql("INSERT INTO month_key (tenant, month, sealed, created_at) VALUES ($1, $2, $3, $4) \
             ON CONFLICT DO NOTHING")
        .bind(&self.tenant)
        .bind(month.to_string())
        .bind(self.fresh(&purpose_of_month(month))?)
        .bind(self.clock.now())
        .execute(tx)
        .await?;
        self.month(tx, month).await
    }

    /// A new key, sealed.
    fn fresh(&self, purpose: &str) -> Result<Vec<u8>, DbError> {
        let key = random_array::<KEY_BYTES>(&*self.entropy);
        let sealed = self.sealer.seal(purpose, &key, &*self.entropy);
        sealed.map_err(|_| DbError::Stored("log key"))
    }

    async fn person(&self, source: impl Source, subject: &str) -> Result<Option<Key>, DbError> {
        let row = sql("SELECT sealed FROM subject_key WHERE tenant = $1 AND account_id = $2")
            .bind(&self.tenant)
            .bind(subject)
            .optional(source)
            .await?;
        self.opened(row, &purpose_of_person(subject))
    }

    async fn month(&self, source: impl Source, month: Month) -> Result<Option<Key>, DbError> {
        let row = sql("SELECT sealed FROM month_key WHERE tenant = $1 AND month = $2")
            .bind(&self.tenant)
            .bind(month.to_string())
            .optional(source)
            .await?;
        self.opened(row, &purpose_of_month(month))
    }

    fn opened(&self, row: Option<Row>, purpose: &str) -> Result<Option<Key>, DbError> {
        let Some(sealed) = row.and_then(|row| row.sealed) else { return Ok(None) };
        let key = self.sealer.open(purpose, &sealed).ok().and_then(|key| key.try_into().ok());
        key.ok_or(DbError::Stored("log key")).map(Some)
    }

    fn cached(&self, whose: Whose<'_>) -> Option<Arc<Sealer>> {
        self.fresh_of(self.known.get(&(whose.subject.to_owned(), whose.month)))
    }

    /// The key as the database has it for everybody.
    async fn committed(&self, db: &Db, whose: Whose<'_>) -> Result<Option<Arc<Sealer>>, DbError> {
        if let Some(key) = self.cached(whose) {
            return Ok(Some(key));
        }
        let at = (whose.subject.to_owned(), whose.month);
        let keys = (self.person(db, whose.subject).await?, self.month(db, whose.month).await?);
        let (Some(person), Some(month)) = keys else {
            self.known.remove(&at);
            return Ok(None);
        };
        let key = derived(&person, &month)?;
        self.known.insert(at, (self.clock.now(), key.clone()));
        Ok(Some(key))
    }

    async fn committed_or_made(&self, db: &Db, whose: Whose<'_>) -> Result<Both, DbError> {
        if self.committed(db, whose).await?.is_none() {
            db.write(|tx| async move { self.keys_in(&tx, whose).await }).await?;
        }
        let seal = self.committed(db, whose).await?;
        Ok(Both { seal, tag: self.tag_key(db, whose.month).await? })
    }
}

/// What seals an entry, and what stands for addresses in it, as far as their keys are there.
#[derive(Default)]
struct Both {
    seal: Option<Arc<Sealer>>,
    tag: Option<Arc<hmac::Key>>,
}

impl Both {
    fn with(self, keys: &LogKeys) -> OneEntry<'_> {
        OneEntry { keys, both: self }
    }
}

/// The key of what stands for addresses in a month.
fn tag_key_of(month: &Key) -> Result<hmac::Key, DbError> {
    let salted = Salt::new(HKDF_SHA256, b"portcullis addresses").extract(month);
    let key = salted.expand(&[b"tag"], hmac::HMAC_SHA256);
    key.map(Into::into).map_err(|_| DbError::Stored("log key"))
}

fn tag(key: &hmac::Key, addr: AddrKey) -> String {
    let tag = hmac::sign(key, addr.to_string().as_bytes());
    HEXLOWER.encode(tag.as_ref()).chars().take(TAG_DIGITS).collect()
}

/// The key of a person in a month (HKDF, RFC 5869): nothing without both.
fn derived(person: &Key, month: &Key) -> Result<Arc<Sealer>, DbError> {
    let mut key = [0; KEY_BYTES];
    let salted = Salt::new(HKDF_SHA256, month).extract(person);
    let filled = salted
        .expand(&[b"portcullis log entry"], HKDF_SHA256)
        .and_then(|expanded| expanded.fill(&mut key));
    let sealer = filled.ok().and_then(|()| Sealer::new(&key).ok());
    sealer.map(Arc::new).ok_or(DbError::Stored("log key"))
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

impl LogSealer {
    /// Waits for keys; `at_hand` where the database does not answer, so that what is known goes on being
    /// used. It is not asked again for a while then: everything waits for this thread.
    fn wait<T>(
        &self,
        keys: impl Future<Output = Result<T, DbError>>,
        at_hand: impl FnOnce() -> T,
    ) -> T {
        let now = self.keys.clock.now().micros();
        let failed = self.keys.failed_at.load(Ordering::Relaxed);
        if failed != 0 && (0..REST.as_micros()).contains(&(u128::from(now.abs_diff(failed)))) {
            return at_hand();
        }
        match self.runtime.block_on(keys) {
            Ok(keys) => keys,
            Err(error) => {
                let error = &error as &dyn std::error::Error;
                tracing::error!(error, "a key of the log could not be read");
                self.keys.failed_at.store(self.keys.clock.now().micros(), Ordering::Relaxed);
                at_hand()
            }
        }
    }
}

impl SealPersonal for LogSealer {
    fn seal(&self, whose: Whose<'_>, plain: &[u8]) -> Option<String> {
        let both = match self.keys.at_hand(whose) {
            Some(both) => both,
            None => self.wait(self.keys.committed_or_made(&self.db, whose), || {
                self.keys.known_before(whose)
            }),
        };
        both.with(&self.keys).seal(whose, plain)
    }

    fn tag(&self, month: Month, addr: AddrKey) -> Option<String> {
        let key = match self.keys.fresh_of(self.keys.months.get(&month)) {
            Some(key) => Some(key),
            None => self.wait(self.keys.made_tag_key(&self.db, month), || {
                self.keys.months.get(&month).map(|(_, key)| key)
            }),
        };
        key.map(|key| tag(&key, addr))
    }
}

struct OneEntry<'a> {
    keys: &'a LogKeys,
    both: Both,
}

impl SealPersonal for OneEntry<'_> {
    fn seal(&self, _: Whose<'_>, plain: &[u8]) -> Option<String> {
        let sealed = self.both.seal.as_ref()?.seal(PURPOSE, plain, &*self.keys.entropy).ok()?;
        Some(BASE64URL_NOPAD.encode(&sealed))
    }

    fn tag(&self, _: Month, addr: AddrKey) -> Option<String> {
        self.both.tag.as_ref().map(|key| tag(key, addr))
    }
}

fn open_with(key: &Sealer, data: &str) -> Option<Vec<u8>> {
    key.open(PURPOSE, &BASE64URL_NOPAD.decode(data.as_bytes()).ok()?).ok()
}

/// A key opens for its own person only,
fn purpose_of_person(subject: &str) -> String {
    format!("subject_key {subject}")
}

/// or its own month.
fn purpose_of_month(month: Month) -> String {
    format!("month_key {month}")
}

impl std::fmt::Debug for LogKeys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("LogKeys")
    }
}
