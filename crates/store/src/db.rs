use std::{
    any::Any,
    collections::{HashMap, HashSet},
    future::Future,
    pin::Pin,
    str::FromStr,
    sync::{Arc, Mutex, OnceLock, PoisonError},
    time::Duration,
};

use aws_lc_rs::hmac;
use portcullis_events::{Event, leaf};
use sqlx::{
    PgPool, Postgres, Sqlite, SqlitePool,
    postgres::{PgConnectOptions, PgPoolOptions},
    sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous},
};
use tokio::sync::{Mutex as AsyncMutex, RwLock};

use crate::{
    log_keys::LogKeys,
    migrate, outbox,
    query::{Query, flush},
};

/// Connections that read at once from SQLite.
const SQLITE_READERS: u32 = 4;
/// Connections to PostgreSQL.
const POSTGRES_CONNECTIONS: u32 = 16;
/// How long a caller waits for a connection.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(5);
/// How often a write that lost a race is tried again.
const WRITE_ATTEMPTS: u32 = 12;
/// A write that lost so many races has the database of this process to itself: whoever writes all
/// the time cannot keep an administrator from taking something away from them.
const RACES_LOST: u32 = 3;
/// How often a SQLite file that somebody else holds is opened again: about six seconds.
const OPEN_ATTEMPTS: u32 = 100;

/// The database could not do it.
#[derive(Debug, thiserror::Error)]
pub enum DbError {
    /// The address is not one of a database we know.
    #[error("the database url must begin with sqlite: or postgres://")]
    Url,
    /// The database or the connection to it.
    #[error("database: {0}")]
    Sqlx(#[from] sqlx::Error),
    /// The schema is from a newer version, or a migration was changed after it ran.
    #[error("the database schema does not fit this version: {0}")]
    Schema(String),
    /// A stored value is not what this version writes.
    #[error("a stored {0} is malformed")]
    Stored(&'static str),
    /// The transaction was used after it ended.
    #[error("the transaction has ended")]
    Ended,
    /// The commit broke off, so that nobody knows whether the change is stored.
    #[error("nobody knows whether the change is stored: the database went away meanwhile")]
    Unsure,
    /// The change is stored, but its events are not durable yet, so it must not be answered as
    /// done. The outbox makes up for it.
    #[error("the change is stored but could not be recorded in the audit log")]
    NotRecorded,
}

/// A constraint of the schema that a change would break.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Constraint(String);

impl Constraint {
    /// Whether this is the constraint called `name`; on SQLite, which names the columns instead,
    /// whether `columns` are the ones.
    pub fn is(&self, name: &str, columns: &str) -> bool {
        self.0 == name || self.0.ends_with(columns)
    }
}

impl DbError {
    /// Whether a statement failed, by which the database says that nothing of the change is stored.
    pub fn is_of_statement(&self) -> bool {
        match self {
            Self::Sqlx(sqlx::Error::Database(error)) => !is_unsure(&**error),
            Self::Sqlx(sqlx::Error::ColumnDecode { .. }) | Self::Stored(_) => true,
            _ => false,
        }
    }

    /// The constraint that was in the way, if that is what went wrong.
    pub fn constraint(&self) -> Option<Constraint> {
        let Self::Sqlx(sqlx::Error::Database(error)) = self else {
            return None;
        };
        if !error.is_unique_violation() {
            return None;
        }
        // SQLite says "UNIQUE constraint failed: account.tenant, account.username".
        let name = error.constraint().unwrap_or_else(|| error.message());
        Some(Constraint(name.to_owned()))
    }
}

/// Whether the database may have done it all the same: it went away, or whoever stands before it says so.
fn is_unsure(error: &dyn sqlx::error::DatabaseError) -> bool {
    let code = error.code().unwrap_or_default();
    // Classes of PostgreSQL have five letters; 10 is an I/O error of SQLite, with more above the lowest byte.
    let is_lost =
        code == "40003" || ["08", "57P", "58"].iter().any(|class| code.starts_with(class));
    let is_io = code.parse::<u32>().is_ok_and(|code| code & 0xff == 10);
    if code.len() == 5 { is_lost } else { is_io }
}

/// What a commit waits for.
pub type SinkFuture<'a> = Pin<Box<dyn Future<Output = Result<(), ()>> + Send + 'a>>;

/// Where the events of a committed change go. The call returns when they are durable.
pub trait CommitSink: Send + Sync {
    /// Records the events.
    fn committed<'a>(&'a self, events: &'a [Event]) -> SinkFuture<'a>;
}

/// A database. Cheap to clone.
#[derive(Clone)]
pub struct Db {
    pub(crate) pools: Pools,
    sink: Arc<dyn CommitSink>,
    in_flight: Arc<Mutex<InFlight>>,
    /// Held by every write, and alone by one that lost too many races.
    turns: Arc<RwLock<()>>,
    /// Set once the installation's keys are open.
    log_keys: Arc<OnceLock<Arc<LogKeys>>>,
    /// The same.
    outbox_key: Arc<OnceLock<Arc<hmac::Key>>>,
}

#[derive(Clone)]
pub(crate) enum Pools {
    Sqlite { read: SqlitePool, write: SqlitePool },
    Postgres(PgPool),
}

/// Events between their commit and the removal of their outbox row.
#[derive(Default)]
struct InFlight {
    waiting: HashSet<String>,
    recorded: HashSet<String>,
}

/// Events that somebody is about to record. If they do not come to that, for whatever reason, the outbox does.
struct Waiting<'a> {
    db: &'a Db,
    events: Vec<Event>,
    is_recorded: bool,
}

impl<'a> Waiting<'a> {
    fn new(db: &'a Db, events: Vec<Event>) -> Self {
        db.in_flight().waiting.extend(events.iter().map(|event| event.id.to_string()));
        Self { db, events, is_recorded: false }
    }

    fn recorded(mut self) {
        let ids = self.events.iter().map(|event| event.id.to_string());
        self.db.in_flight().recorded.extend(ids);
        self.is_recorded = true;
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        if !self.is_recorded {
            let mut in_flight = self.db.in_flight();
            for event in &self.events {
                let id = event.id.to_string();
                in_flight.waiting.remove(&id);
            }
        }
    }
}

impl Db {
    /// Opens `url` (`sqlite:FILE`, `sqlite::memory:` or `postgres://…`) and brings its schema up to
    /// date.
    pub async fn open(url: &str, sink: Arc<dyn CommitSink>) -> Result<Self, DbError> {
        let pools = if url.starts_with("sqlite:") {
            // The switch to WAL takes the whole file and does not wait for others who hold it, so
            // a process that starts beside another has to try again.
            retry_races(OPEN_ATTEMPTS, |_| Self::open_sqlite(url)).await?
        } else if url.starts_with("postgres://") || url.starts_with("postgresql://") {
            let options = PgConnectOptions::from_str(url)?;
            let pool = PgPoolOptions::new()
                .max_connections(POSTGRES_CONNECTIONS)
                .acquire_timeout(ACQUIRE_TIMEOUT)
                .connect_with(options)
                .await?;
            Pools::Postgres(pool)
        } else {
            return Err(DbError::Url);
        };
        let db = Self {
            pools,
            sink,
            in_flight: Arc::default(),
            turns: Arc::default(),
            log_keys: Arc::default(),
            outbox_key: Arc::default(),
        };
        migrate::run(&db).await?;
        Ok(db)
    }

    async fn open_sqlite(url: &str) -> Result<Pools, DbError> {
        let options = SqliteConnectOptions::from_str(url)?
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            // A commit that was answered must survive a power cut.
            .synchronous(SqliteSynchronous::Full)
            .foreign_keys(true)
            .busy_timeout(ACQUIRE_TIMEOUT)
            // A key that was destroyed must not stay in a page that nobody uses.
            .pragma("secure_delete", "ON")
            .statement_cache_capacity(256);
        let pool = SqlitePoolOptions::new().acquire_timeout(ACQUIRE_TIMEOUT);
        // A pool of one never closes its connection, so that an in-memory database stays.
        let write = pool
            .clone()
            .max_connections(1)
            .min_connections(1)
            .idle_timeout(None)
            .max_lifetime(None)
            .connect_with(options.clone())
            .await?;
        let in_memory = url.contains(":memory:");
        let read = if in_memory {
            write.clone()
        } else {
            pool.max_connections(SQLITE_READERS).connect_with(options.read_only(true)).await?
        };
        Ok(Pools::Sqlite { read, write })
    }

    /// From now on what events say of people is sealed.
    pub fn seal_events(&self, keys: Arc<LogKeys>) {
        let _ = self.log_keys.set(keys);
    }

    /// From now on events that wait in the database carry what proves that they were put there with this key.
    pub fn vouch_for_events(&self, key: &[u8]) {
        let _ = self.outbox_key.set(Arc::new(hmac::Key::new(hmac::HMAC_SHA256, key)));
    }

    pub(crate) fn outbox_key(&self) -> Option<Arc<hmac::Key>> {
        self.outbox_key.get().cloned()
    }

    /// Overwrites what was just deleted, as far as it is still in the log of a SQLite database. What a
    /// reader holds up goes the next time.
    pub async fn overwrite_remnants(&self) {
        if let Pools::Sqlite { write, .. } = &self.pools
            && let Err(error) = sqlx::query("PRAGMA wal_checkpoint(TRUNCATE)").execute(write).await
        {
            tracing::warn!(error = &error as &dyn std::error::Error, "the database was not tidied");
        }
    }

    /// Whether this is SQLite.
    pub fn is_sqlite(&self) -> bool {
        matches!(self.pools, Pools::Sqlite { .. })
    }

    /// Runs `work` in one transaction: it commits when `work` succeeds and leaves nothing when it
    /// does not. A transaction that lost a race runs again, so `work` must not have effects of its
    /// own. Events emitted in it are in the audit log before this returns.
    pub async fn write<T, E, F, W>(&self, work: W) -> Result<T, E>
    where
        W: Fn(Tx) -> F,
        F: Future<Output = Result<T, E>>,
        E: From<DbError> + RaceCheck,
    {
        retry_races(WRITE_ATTEMPTS, |lost| self.try_write(&work, lost >= RACES_LOST)).await
    }

    async fn try_write<T, E, F, W>(&self, work: &W, alone: bool) -> Result<T, E>
    where
        W: Fn(Tx) -> F,
        F: Future<Output = Result<T, E>>,
        E: From<DbError>,
    {
        let turn = match alone {
            true => (Some(self.turns.write().await), None),
            false => (None, Some(self.turns.read().await)),
        };
        let tx = self.begin().await?;
        let value = work(tx.clone()).await?;
        let waiting = tx.commit(self).await?;
        // The log may take its time; nobody has to wait for that.
        drop(turn);
        if !waiting.events.is_empty() {
            if self.sink.committed(&waiting.events).await.is_err() {
                return Err(DbError::NotRecorded.into());
            }
            waiting.recorded();
        }
        Ok(value)
    }

    async fn begin(&self) -> Result<Tx, DbError> {
        let begun = match &self.pools {
            Pools::Sqlite { write, .. } => Begun::Sqlite(begin_sqlite(write).await?),
            Pools::Postgres(pool) => Begun::Postgres(begin_postgres(pool.clone()).await?),
        };
        let log_keys = self.log_keys.get().cloned();
        let open = Open {
            begun,
            events: Vec::new(),
            is_broken: false,
            has_failed: false,
            later: Vec::new(),
            once: HashMap::new(),
            log_keys,
            outbox_key: self.outbox_key(),
        };
        Ok(Tx(Arc::new(AsyncMutex::new(Some(open)))))
    }

    fn in_flight(&self) -> std::sync::MutexGuard<'_, InFlight> {
        self.in_flight.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes that the events with these ids are durable, so that their rows are only removed.
    pub fn mark_ids_recorded(&self, ids: &[String]) {
        let mut in_flight = self.in_flight();
        in_flight.waiting.extend(ids.iter().cloned());
        in_flight.recorded.extend(ids.iter().cloned());
    }

    /// The ids of events that are durable, whose outbox rows can go.
    pub(crate) fn recorded_events(&self) -> Vec<String> {
        self.in_flight().recorded.iter().cloned().collect()
    }

    pub(crate) fn is_in_flight(&self, event_id: &str) -> bool {
        self.in_flight().waiting.contains(event_id)
    }

    pub(crate) fn forget_ids(&self, ids: &[String]) {
        let mut in_flight = self.in_flight();
        for id in ids {
            in_flight.waiting.remove(id);
            in_flight.recorded.remove(id);
        }
    }
}

/// A caller that goes away while `BEGIN` is on its way would leave the transaction open in a connection of the
/// pool, since sqlx 0.9.0 does not count it yet; whoever has that connection next reads an old snapshot. So it
/// begins in a task of its own, which nobody interrupts, and what nobody waits for any more is rolled back.
async fn begin_postgres(pool: PgPool) -> Result<sqlx::Transaction<'static, Postgres>, DbError> {
    let begun = async move { pool.begin_with("BEGIN ISOLATION LEVEL SERIALIZABLE").await };
    // It does not panic, so the runtime ends.
    Ok(tokio::spawn(begun).await.map_err(|_| DbError::Ended)??)
}

/// After an I/O error SQLite ends the transaction by itself, which the connection does not know: it
/// would refuse every transaction after it. Such a connection is closed and another one opened.
async fn begin_sqlite(pool: &SqlitePool) -> sqlx::Result<sqlx::Transaction<'static, Sqlite>> {
    match pool.begin_with("BEGIN IMMEDIATE").await {
        Err(sqlx::Error::InvalidSavePointStatement) => {
            pool.acquire().await?.close().await?;
            pool.begin_with("BEGIN IMMEDIATE").await
        }
        begun => begun,
    }
}

/// Runs `work` again, after a growing pause, while it loses races; it is told how many it lost.
async fn retry_races<T, E: RaceCheck, F>(attempts: u32, work: impl Fn(u32) -> F) -> Result<T, E>
where
    F: Future<Output = Result<T, E>>,
{
    let mut attempt = 0;
    loop {
        attempt += 1;
        match work(attempt - 1).await {
            Err(error) if attempt < attempts && error.is_race() => {
                let pause = Duration::from_millis(1 << attempt.min(6));
                tokio::time::sleep(pause).await;
            }
            result => return result,
        }
    }
}

impl std::fmt::Debug for Db {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(if self.is_sqlite() { "Db(SQLite)" } else { "Db(PostgreSQL)" })
    }
}

/// Tells whether an error of a write means "run it again".
pub trait RaceCheck {
    /// Whether the transaction lost a race with another.
    fn is_race(&self) -> bool;
}

impl RaceCheck for DbError {
    fn is_race(&self) -> bool {
        let Self::Sqlx(sqlx::Error::Database(error)) = self else {
            return false;
        };
        matches!(error.code().as_deref(), Some("40001" | "40P01" | "5" | "6" | "517"))
    }
}

/// A transaction. Clones are the same transaction.
#[derive(Clone)]
pub struct Tx(pub(crate) Arc<AsyncMutex<Option<Open>>>);

pub(crate) struct Open {
    pub(crate) begun: Begun,
    events: Vec<Event>,
    /// Whether some that were put off failed: the others must not be committed without them.
    pub(crate) is_broken: bool,
    /// Whether some other statement failed.
    pub(crate) has_failed: bool,
    /// Statements that were put off.
    pub(crate) later: Vec<Query>,
    /// Rows that were read once, by what was asked.
    pub(crate) once: HashMap<String, Box<dyn Any + Send + Sync>>,
    log_keys: Option<Arc<LogKeys>>,
    outbox_key: Option<Arc<hmac::Key>>,
}

pub(crate) enum Begun {
    Sqlite(sqlx::Transaction<'static, Sqlite>),
    Postgres(sqlx::Transaction<'static, Postgres>),
}

impl Tx {
    /// Records `event` together with the change.
    pub async fn emit(&self, event: Event) -> Result<(), DbError> {
        let (keys, key) = {
            let open = self.0.lock().await;
            let open = open.as_ref().ok_or(DbError::Ended)?;
            (open.log_keys.clone(), open.outbox_key.clone())
        };
        let entry = match keys {
            Some(keys) => keys.leaf_in(self, &event).await?,
            None => leaf(&event),
        };
        outbox::put_event(self, &event, &entry, key.as_deref()).await?;
        self.0.lock().await.as_mut().ok_or(DbError::Ended)?.events.push(event);
        Ok(())
    }

    async fn commit(self, db: &Db) -> Result<Waiting<'_>, DbError> {
        let mut open = self.0.lock().await.take().ok_or(DbError::Ended)?;
        flush(&mut open).await?;
        if open.has_failed && !open.events.is_empty() {
            // PostgreSQL takes everything back then, and says nothing of it.
            return Err(DbError::Ended);
        }
        let waiting = Waiting::new(db, open.events);
        let committed = match open.begun {
            Begun::Sqlite(tx) => tx.commit().await,
            Begun::Postgres(tx) => tx.commit().await,
        };
        committed.map_err(|error| match error {
            // It has said no.
            sqlx::Error::Database(no) if !is_unsure(&*no) => {
                DbError::Sqlx(sqlx::Error::Database(no))
            }
            error => {
                tracing::error!(%error, "a commit broke off");
                DbError::Unsure
            }
        })?;
        Ok(waiting)
    }
}
