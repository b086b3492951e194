//! Development only: fixed time, seeded randomness, and a database of either kind for each test.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test that cannot be set up must fail")]

use std::{
    future::Future,
    pin::Pin,
    sync::{
        Arc, Mutex,
        atomic::{AtomicI64, AtomicU64, Ordering},
    },
    task::{Context, Poll},
};

use portcullis_events::Event;
use portcullis_store::{CommitSink, Db, SinkFuture};
use portcullis_types::{Clock, Entropy, Timestamp};

/// The time at which every test begins: 2026-06-01T12:00:00Z.
pub const START: Timestamp = Timestamp::from_secs(1_780_315_200);

/// A clock that moves only when it is told to.
#[derive(Debug)]
pub struct FixedClock(AtomicI64);

impl FixedClock {
    /// A clock at [`START`].
    pub fn new() -> Arc<Self> {
        Arc::new(Self(AtomicI64::new(START.micros())))
    }

    /// Moves the clock.
    pub fn advance(&self, span: std::time::Duration) {
        self.0.store(self.now().plus(span).micros(), Ordering::SeqCst);
    }
}

impl Clock for FixedClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_micros(self.0.load(Ordering::SeqCst))
    }
}

/// Bytes that look random and are the same in every run.
#[derive(Debug, Default)]
pub struct SeededEntropy(AtomicU64);

impl SeededEntropy {
    /// A source that begins with `seed`.
    pub fn new(seed: u64) -> Arc<Self> {
        Arc::new(Self(AtomicU64::new(seed)))
    }
}

impl Entropy for SeededEntropy {
    fn fill(&self, out: &mut [u8]) {
        for chunk in out.chunks_mut(8) {
            // splitmix64
            let mut z = self.0.fetch_add(0x9e37_79b9_7f4a_7c15, Ordering::SeqCst);
            z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            let bytes = (z ^ (z >> 31)).to_le_bytes();
            chunk.copy_from_slice(&bytes[..chunk.len()]);
        }
    }
}

/// Keeps the events of every commit.
#[derive(Default)]
pub struct Recorded {
    events: Mutex<Vec<Event>>,
    refuse: std::sync::atomic::AtomicBool,
}

impl Recorded {
    /// The codes of all events so far, in order.
    pub fn codes(&self) -> Vec<String> {
        let events = self.events.lock().unwrap();
        events.iter().map(|event| event.kind.code(event.outcome.is_success())).collect()
    }

    /// All events so far.
    pub fn events(&self) -> Vec<Event> {
        self.events.lock().unwrap().clone()
    }

    /// From now on the log refuses everything.
    pub fn refuse(&self, refuse: bool) {
        self.refuse.store(refuse, Ordering::SeqCst);
    }
}

impl CommitSink for Recorded {
    fn committed<'a>(&'a self, events: &'a [Event]) -> SinkFuture<'a> {
        Box::pin(async move {
            if self.refuse.load(Ordering::SeqCst) {
                return Err(());
            }
            self.events.lock().unwrap().extend_from_slice(events);
            Ok(())
        })
    }
}

/// The variable that names a PostgreSQL server for tests; `cargo xtask test` sets it.
pub const POSTGRES_VARIABLE: &str = "PORTCULLIS_TEST_POSTGRES";

/// An empty database of one kind, and what was recorded with its commits.
pub struct TestDb {
    /// The database.
    pub db: Db,
    /// What was recorded.
    pub recorded: Arc<Recorded>,
    /// Its address, to open it again.
    pub url: String,
    _dir: Option<TempDir>,
}

/// The two kinds of database.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// SQLite in a file of its own.
    Sqlite,
    /// PostgreSQL in a schema of its own.
    Postgres,
}

impl TestDb {
    /// A fresh database of `kind`.
    pub async fn new(kind: Kind) -> Self {
        let (url, dir) = fresh_url(kind).await;
        let recorded = Arc::new(Recorded::default());
        let db = Db::open(&url, recorded.clone()).await.unwrap();
        Self { db, recorded, url, _dir: dir }
    }
}

/// The address of a fresh, empty database.
pub async fn fresh_url(kind: Kind) -> (String, Option<TempDir>) {
    match kind {
        Kind::Sqlite => {
            let dir = TempDir::new();
            (format!("sqlite:{}", dir.path.join("test.db").display()), Some(dir))
        }
        Kind::Postgres => (fresh_schema().await, None),
    }
}

async fn fresh_schema() -> String {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let server = variable(POSTGRES_VARIABLE)
        .unwrap_or_else(|| panic!("set {POSTGRES_VARIABLE}, or run `cargo xtask test`"));
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    let schema = format!("t{}_{number}_{}", std::process::id(), nanos());
    let mut connection = <sqlx::PgConnection as sqlx::Connection>::connect(&server).await.unwrap();
    let create = sqlx::AssertSqlSafe(format!("CREATE SCHEMA {schema}"));
    sqlx::query(create).execute(&mut connection).await.unwrap();
    let separator = if server.contains('?') { '&' } else { '?' };
    format!("{server}{separator}options[search_path]={schema}")
}

#[expect(clippy::disallowed_methods, reason = "tests are told of the server by the environment")]
fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

#[expect(clippy::disallowed_methods, reason = "names of schemas must differ between runs")]
fn nanos() -> u128 {
    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_nanos()
}

/// A directory that goes away with the value.
#[derive(Debug)]
pub struct TempDir {
    /// Where it is.
    pub path: std::path::PathBuf,
}

impl TempDir {
    /// A fresh directory.
    pub fn new() -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("portcullis-{}-{number}-{}", std::process::id(), nanos());
        let path = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&path).unwrap();
        Self { path }
    }
}

impl Default for TempDir {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for TempDir {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.path);
    }
}

/// Runs a future until it has been woken so often, and then lets it go.
pub struct Killed<F> {
    inner: Pin<Box<F>>,
    polls: u32,
}

impl<F: Future> Future for Killed<F> {
    type Output = Option<F::Output>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        if self.polls == 0 {
            return Poll::Ready(None);
        }
        self.polls -= 1;
        self.inner.as_mut().poll(context).map(Some)
    }
}

/// `inner`, of which somebody loses interest after it was polled `polls` times.
pub fn killed<F: Future>(polls: u32, inner: F) -> Killed<F> {
    Killed { inner: Box::pin(inner), polls }
}

/// Runs an async test body once for each kind of database, as two tests in a module of that name.
///
/// ```ignore
/// on_both!(accounts_are_unique, |db: TestDb| { … });
/// ```
#[macro_export]
macro_rules! on_both {
    ($(#[$doc:meta])* $name:ident, |$db:ident: TestDb| $body:block) => {
        $(#[$doc])*
        mod $name {
            #[allow(unused_imports, clippy::allow_attributes, reason = "not every body needs them")]
            use super::*;

            async fn body($db: $crate::TestDb) $body

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn sqlite() {
                body($crate::TestDb::new($crate::Kind::Sqlite).await).await;
            }

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn postgres() {
                body($crate::TestDb::new($crate::Kind::Postgres).await).await;
            }
        }
    };
}
