use std::{
    collections::VecDeque,
    convert::Infallible,
    future::Future,
    io,
    path::PathBuf,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use memchr::memmem::Finder;
use portcullis_audit::{LogError, LogReader};
use portcullis_types::SharedClock;
use tokio::time::{Instant, sleep};

use crate::{
    cursor::Place,
    record::Record,
    sink::{Refused, Sink, SinkError},
};

/// Whether the log grew is looked at so often.
const LOOK_EVERY: Duration = Duration::from_millis(200);
/// A connection that stands for so long after a batch has delivered it, where the protocol has no
/// other word for it.
const SETTLED: Duration = Duration::from_secs(2);
/// The first pause after trouble; each further one is twice as long,
const FIRST_PAUSE: Duration = Duration::from_secs(1);
/// up to this.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);
/// Bundles that are looked through for one batch.
const MOST_BUNDLES: u64 = 64;
const PER_BUNDLE: u64 = 256;

/// Makes what is sealed in an entry readable, where it may be.
pub type Open = Arc<dyn Fn(Vec<u8>) -> Pin<Box<dyn Future<Output = Vec<u8>> + Send>> + Send + Sync>;

/// What a sink gets that never had anything of this log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Begin {
    /// All of it.
    #[default]
    Oldest,
    /// What comes from now on.
    Newest,
}

/// How far a sink is.
#[derive(Debug, Default)]
pub struct Progress {
    /// The entry it goes on with if everything stops now.
    pub next: AtomicU64,
    /// Entries of the log when it last looked.
    pub size: AtomicU64,
    /// Records that the receiver took.
    pub delivered: AtomicU64,
    /// Records that it never will.
    pub refused: AtomicU64,
    /// Deliveries that failed and come again.
    pub failures: AtomicU64,
    /// When the oldest record that waits happened, in milliseconds; 0 if none waits.
    pub waiting_since: AtomicU64,
    /// Whether the last delivery failed.
    pub failing: AtomicBool,
}

/// One sink on its way through the log.
pub struct Exporter {
    /// What the operator calls it.
    pub name: String,
    /// Its own directory.
    pub dir: PathBuf,
    /// The directory of the log.
    pub log: PathBuf,
    /// The name of the log.
    pub origin: String,
    /// Codes of events, or how they begin; all if empty.
    pub kinds: Vec<String>,
    /// Where to begin.
    pub begin: Begin,
    /// What makes sealed fields readable.
    pub open: Option<Open>,
    /// Where records go.
    pub sink: Sink,
    /// The time.
    pub clock: SharedClock,
    /// How far it is, for others to see.
    pub progress: Arc<Progress>,
}

impl std::fmt::Debug for Exporter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Exporter").field("name", &self.name).finish_non_exhaustive()
    }
}

#[derive(Debug, thiserror::Error)]
enum ExportError {
    #[error("the cursor or the dead letters: {0}")]
    Place(#[from] io::Error),
    #[error("the log: {0}")]
    Log(#[from] LogError),
    #[error("a task failed")]
    Task,
}

/// Places in the log.
struct Position {
    /// Everything before it was taken or refused.
    kept: u64,
    /// Everything before it was sent.
    next: u64,
    /// Ends of batches that were sent, and when.
    sent: VecDeque<(u64, Instant)>,
    /// The next pause.
    pause: Duration,
}

impl Position {
    /// What is not known to have arrived is sent again.
    fn go_back(&mut self) {
        self.next = self.kept;
        self.sent.clear();
    }
}

/// Entries as they are stored, with what they are to be filtered by.
struct Chunk {
    entries: Vec<(u64, Vec<u8>)>,
    next: u64,
    size: u64,
}

impl Exporter {
    /// Delivers what the log has and what it gets, for ever.
    pub async fn run(mut self) {
        loop {
            let Err(error) = self.work().await;
            self.progress.failing.store(true, Ordering::Relaxed);
            tracing::error!(sink = self.name, %error, "a sink cannot go on");
            sleep(LONGEST_PAUSE).await;
        }
    }

    async fn work(&mut self) -> Result<Infallible, ExportError> {
        let place = Place::new(&self.dir)?;
        let size = self.read(u64::MAX).await?.size;
        let begun = match place.load(&self.origin)? {
            // A log that was put back to an earlier state grows from there.
            Some(next) => next.min(size),
            None if self.begin == Begin::Newest => size,
            None => 0,
        };
        let mut at =
            Position { kept: begun, next: begun, sent: VecDeque::new(), pause: FIRST_PAUSE };
        self.keep(&place, &mut at, begun).await?;
        loop {
            self.settle(&place, &mut at).await?;
            let chunk = self.read(at.next).await?;
            self.progress.size.store(chunk.size, Ordering::Relaxed);
            if chunk.next == at.next {
                sleep(LOOK_EVERY).await;
                continue;
            }
            self.deliver(&place, &mut at, chunk).await?;
        }
    }

    /// Entries from `from` on that the sink wants.
    async fn read(&self, from: u64) -> Result<Chunk, ExportError> {
        let (log, kinds, most) = (self.log.clone(), self.kinds.clone(), self.sink.most());
        let read = tokio::task::spawn_blocking(move || {
            let log = LogReader::open(&log)?;
            let size = log.size();
            let (mut entries, mut next) = (Vec::new(), from);
            let needles: Vec<_> = kinds.iter().map(|kind| needle(kind)).collect();
            let finders: Vec<_> = needles.iter().map(Finder::new).collect();
            let bundles = from / PER_BUNDLE..size.div_ceil(PER_BUNDLE);
            for number in bundles.take(usize::try_from(MOST_BUNDLES).unwrap_or(usize::MAX)) {
                for (entry, index) in log.bundle(number)?.into_iter().zip(number * PER_BUNDLE..) {
                    if index < from {
                        continue;
                    }
                    if entries.len() >= most {
                        return Ok(Chunk { entries, next, size });
                    }
                    next = index + 1;
                    if finders.is_empty() || finders.iter().any(|f| f.find(&entry).is_some()) {
                        entries.push((index, entry));
                    }
                }
            }
            Ok(Chunk { entries, next, size })
        });
        read.await.map_err(|_| ExportError::Task)?
    }

    /// Records, and entries that are none.
    async fn records(&self, entries: Vec<(u64, Vec<u8>)>) -> (Vec<Record>, Vec<Refused>) {
        let (mut records, mut refused) = (Vec::with_capacity(entries.len()), Vec::new());
        for (index, entry) in entries {
            let entry = match &self.open {
                Some(open) => open(entry).await,
                None => entry,
            };
            let wanted = |record: &Record| {
                self.kinds.is_empty()
                    || self.kinds.iter().any(|kind| record.code().starts_with(kind.as_str()))
            };
            match Record::read(index, &entry, &self.origin) {
                Some(record) if wanted(&record) => records.push(record),
                Some(_) => {}
                None => refused.push(Refused { index, why: "the entry is not an event".into() }),
            }
        }
        (records, refused)
    }

    async fn deliver(
        &mut self,
        place: &Place,
        at: &mut Position,
        chunk: Chunk,
    ) -> Result<(), ExportError> {
        let (records, refused) = self.records(chunk.entries).await;
        self.bury(place, refused, Vec::new()).await?;
        if at.sent.is_empty() {
            let oldest = records.first().map_or(0, Record::millis);
            self.progress.waiting_since.store(oldest, Ordering::Relaxed);
        }
        let mut confirmed = true;
        let mut parts = VecDeque::from([records]);
        while let Some(mut part) = parts.pop_front() {
            if part.is_empty() {
                continue;
            }
            match self.sink.send(&part).await {
                Ok(taken) => {
                    parts.push_front(part.split_off(taken.count.clamp(1, part.len())));
                    at.pause = FIRST_PAUSE;
                    self.progress.failing.store(false, Ordering::Relaxed);
                    let count = part.len() - taken.refused.len();
                    self.progress.delivered.fetch_add(count as u64, Ordering::Relaxed);
                    confirmed &= taken.confirmed;
                    self.bury(place, taken.refused, part).await?;
                }
                Err(SinkError::Divide) if part.len() > 1 => {
                    let rest = part.split_off(part.len() / 2);
                    parts.push_front(rest);
                    parts.push_front(part);
                }
                Err(error @ SinkError::Divide) => {
                    let why = error.to_string();
                    let refused = part.iter();
                    let refused = refused.map(|one| Refused { index: one.index, why: why.clone() });
                    self.bury(place, refused.collect(), part).await?;
                }
                Err(SinkError::Later { why, after }) => {
                    self.pause(at, &why, after).await;
                    if !at.sent.is_empty() {
                        at.go_back();
                        return Ok(());
                    }
                    parts.push_front(part);
                }
            }
        }
        at.next = chunk.next;
        if confirmed && at.sent.is_empty() {
            return self.keep(place, at, chunk.next).await;
        }
        at.sent.push_back((chunk.next, Instant::now()));
        Ok(())
    }

    /// Remembers what has been sent long enough ago, if the connection still stands.
    async fn settle(&mut self, place: &Place, at: &mut Position) -> Result<(), ExportError> {
        if at.sent.is_empty() {
            return Ok(());
        }
        if !self.sink.stands().await {
            at.go_back();
            self.pause(at, "the receiver closed the connection", None).await;
            return Ok(());
        }
        let mut settled = None;
        while let Some((next, when)) = at.sent.front()
            && when.elapsed() >= SETTLED
        {
            settled = Some(*next);
            at.sent.pop_front();
        }
        match settled {
            Some(next) => self.keep(place, at, next).await,
            None => Ok(()),
        }
    }

    async fn keep(&self, place: &Place, at: &mut Position, next: u64) -> Result<(), ExportError> {
        let (place, origin) = (place.clone(), self.origin.clone());
        let stored = tokio::task::spawn_blocking(move || place.store(&origin, next)).await;
        stored.map_err(|_| ExportError::Task)??;
        at.kept = next;
        self.progress.next.store(next, Ordering::Relaxed);
        if next == at.next {
            self.progress.waiting_since.store(0, Ordering::Relaxed);
        }
        Ok(())
    }

    async fn bury(
        &self,
        place: &Place,
        refused: Vec<Refused>,
        sent: Vec<Record>,
    ) -> Result<(), ExportError> {
        let Some(first) = refused.first() else { return Ok(()) };
        let (count, why) = (refused.len(), first.why.clone());
        self.progress.refused.fetch_add(count as u64, Ordering::Relaxed);
        tracing::warn!(sink = self.name, count, why, "a receiver refused events for good");
        let (place, now) = (place.clone(), self.clock.now());
        let buried = tokio::task::spawn_blocking(move || place.bury(&refused, &sent, now)).await;
        Ok(buried.map_err(|_| ExportError::Task)??)
    }

    async fn pause(&self, at: &mut Position, why: &str, after: Option<Duration>) {
        self.progress.failures.fetch_add(1, Ordering::Relaxed);
        self.progress.failing.store(true, Ordering::Relaxed);
        let pause = at.pause.max(after.unwrap_or_default());
        tracing::warn!(sink = self.name, why, ?pause, "a delivery failed and comes again");
        at.pause = (at.pause * 2).min(LONGEST_PAUSE);
        sleep(pause).await;
    }
}

/// How the code of an event of this kind stands in an entry. What somebody else wrote there has its
/// quotes escaped.
fn needle(kind: &str) -> Vec<u8> {
    format!("\"event_code\":\"{kind}").into_bytes()
}
