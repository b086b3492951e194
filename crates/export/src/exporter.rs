use std::{
    collections::VecDeque,
    convert::Infallible,
    future::Future,
    io,
    path::PathBuf,
    pin::Pin,
    sync::{Arc, PoisonError, atomic::Ordering},
    time::Duration,
};

use data_encoding::HEXLOWER;
use memchr::memmem::Finder;
use portcullis_audit::{Entry, LogError, Logs};
use portcullis_tlog::NoteVerifier;
use portcullis_types::SharedClock;
use tokio::time::{Instant, sleep};

use crate::{
    cursor::{Cursor, Mark, Place},
    integrity::Link,
    pace::Pace,
    progress::Progress,
    record::Record,
    sink::{Refused, Sink, SinkError},
};

/// Whether the log grew is looked at so often.
const LOOK_EVERY: Duration = Duration::from_millis(200);
/// A connection that stands for so long after a batch has delivered it, where the protocol has no
/// other word for it: longer than bytes may stay unacknowledged.
const SETTLED: Duration = Duration::from_secs(10);
/// Bundles that are looked through for one batch.
const MOST_BUNDLES: usize = 64;
/// Entries that a sink does not want are looked through so far before the place is written down.
const LOOKED_THROUGH: u64 = 4_096;

/// Makes what is sealed in an entry readable, where it may be. `None` if that cannot be said now.
pub type Open =
    Arc<dyn Fn(Vec<u8>) -> Pin<Box<dyn Future<Output = Option<Vec<u8>>> + Send>> + Send + Sync>;

/// Knows the key of the log of a year.
pub type Verifier = Arc<dyn Fn(&str) -> Result<NoteVerifier, LogError> + Send + Sync>;

/// What a sink gets that never had anything of this log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Begin {
    /// All of it.
    #[default]
    Oldest,
    /// What comes from now on.
    Newest,
}

/// One sink on its way through the log.
pub struct Exporter {
    /// What the operator calls it.
    pub name: String,
    /// Its own directory.
    pub dir: PathBuf,
    /// The directory of the logs.
    pub log: PathBuf,
    /// What the names of the logs begin with.
    pub origin: String,
    /// The key of the log of a year.
    pub verifier: Verifier,
    /// Codes of events, or how they begin; all if empty.
    pub kinds: Vec<String>,
    /// Where to begin.
    pub begin: Begin,
    /// Whether each event points to the one before it (OCSF 1.9, `record_integrity`).
    pub integrity: bool,
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
    #[error("what is sealed cannot be opened now")]
    Sealed,
    #[error("a task failed")]
    Task,
}

/// Places in the log, and how it goes.
struct Position {
    cursor: Cursor,
    /// Everything before it was taken or refused.
    kept: u64,
    /// Everything before it was sent.
    next: u64,
    /// The event before it, as the next one points to it.
    link: Option<Link>,
    /// Ends of batches that were sent, with the event before the end, and when.
    sent: VecDeque<(u64, Option<Link>, Instant)>,
}

impl Position {
    /// What is not known to have arrived is sent again.
    fn go_back(&mut self) {
        self.next = self.kept;
        self.link = self.cursor.marks().last().and_then(|mark| mark.link.clone());
        self.sent.clear();
    }
}

/// Entries as they are stored.
struct Chunk {
    entries: Vec<Entry>,
    /// Entries that were removed before they could be sent.
    missed: u64,
    /// The end of what was looked through.
    end: u64,
    size: u64,
}

impl Exporter {
    /// Delivers what the log has and what it gets, for ever.
    pub async fn run(mut self) {
        let mut pace = Pace::new(self.sink.most());
        loop {
            let Err(error) = self.work(&mut pace).await;
            self.progress.failing.store(true, Ordering::Relaxed);
            self.progress.failures.fetch_add(1, Ordering::Relaxed);
            tracing::error!(sink = self.name, %error, "a sink cannot go on");
            sleep(pace.next()).await;
        }
    }

    async fn work(&mut self, pace: &mut Pace) -> Result<Infallible, ExportError> {
        let place = Place::new(&self.dir)?;
        let mut at = self.begin(&place).await?;
        self.progress.next.store(at.kept, Ordering::Relaxed);
        loop {
            self.settle(&place, &mut at, pace).await?;
            let chunk = self.read(at.next, pace.batch).await?;
            self.progress.size.store(chunk.size, Ordering::Relaxed);
            if chunk.end == at.next {
                sleep(LOOK_EVERY).await;
                continue;
            }
            self.deliver(&place, &mut at, chunk, pace).await?;
        }
    }

    /// Where it stopped, if the log is still the one it stopped in.
    async fn begin(&self, place: &Place) -> Result<Position, ExportError> {
        let (log, origin, name) = (self.log.clone(), self.origin.clone(), self.name.clone());
        let (place, begin) = (place.clone(), self.begin);
        let begun = tokio::task::spawn_blocking(move || {
            let log = Logs::open(&log)?;
            let known = place.load(&origin)?;
            let is_so = |mark: &Mark| {
                let there = mark.next <= log.size();
                Ok::<_, LogError>(there && mark_at(&log, mark.next)?.hash == mark.hash)
            };
            let found = known.as_ref().map(|cursor| cursor.newest(is_so)).transpose()?;
            let link = found.clone().flatten().and_then(|mark| mark.link);
            let next = match found {
                Some(Some(mark)) => mark.next,
                // Not one of the places is in this log.
                Some(None) => 0,
                None if begin == Begin::Newest => log.size(),
                None => 0,
            };
            let newest = known.as_ref().and_then(|cursor| cursor.marks().last());
            if newest.is_some_and(|newest| newest.next != next) {
                tracing::warn!(
                    sink = name,
                    next,
                    "the log was put back to an earlier state; it is followed from where it parts"
                );
            }
            let mark = Mark { link: link.clone(), ..mark_at(&log, next)? };
            let mut cursor = known.unwrap_or_else(|| Cursor::at(&origin, mark.clone()));
            cursor.advance(mark);
            place.store(&cursor)?;
            Ok(Position { cursor, kept: next, next, link, sent: VecDeque::new() })
        });
        begun.await.map_err(|_| ExportError::Task)?
    }

    /// Entries from `from` on that the sink wants.
    async fn read(&self, from: u64, most: usize) -> Result<Chunk, ExportError> {
        let (logs, kinds, verifier) = (self.log.clone(), self.kinds.clone(), self.verifier.clone());
        let read = tokio::task::spawn_blocking(move || {
            let log = Logs::open(&logs)?;
            let size = log.size();
            let (mut entries, mut end, mut missed) = (Vec::new(), from, 0);
            let needles: Vec<_> = kinds.iter().map(|kind| needle(kind)).collect();
            let finders: Vec<_> = needles.iter().map(Finder::new).collect();
            'full: for _ in 0..MOST_BUNDLES {
                let bundle = match log.bundle_from(end) {
                    Ok(bundle) if bundle.is_empty() => break,
                    Ok(bundle) => bundle,
                    // Their time was over; no sink keeps them longer.
                    Err(LogError::Removed { minimum }) if minimum > end => {
                        // Whoever can write a number there must not have anything left out.
                        Logs::open(&logs)?.check_minimums(&*verifier)?;
                        missed += minimum - end;
                        end = minimum;
                        continue;
                    }
                    Err(error) => return Err(error.into()),
                };
                for entry in bundle {
                    if entries.len() >= most {
                        break 'full;
                    }
                    end = entry.position + 1;
                    let wanted = |bytes| finders.iter().any(|f| f.find(bytes).is_some());
                    if !entry.is_link() && (finders.is_empty() || wanted(&entry.bytes)) {
                        entries.push(entry);
                    }
                }
            }
            Ok(Chunk { entries, missed, end, size })
        });
        read.await.map_err(|_| ExportError::Task)?
    }

    /// Records, and entries that are none.
    async fn records(
        &self,
        entries: Vec<Entry>,
        link: &mut Option<Link>,
    ) -> Result<(VecDeque<Record>, Vec<Refused>), ExportError> {
        let (mut records, mut refused) = (VecDeque::new(), Vec::new());
        for mut entry in entries {
            if let Some(open) = &self.open {
                entry.bytes = open(entry.bytes).await.ok_or(ExportError::Sealed)?;
            }
            let wanted = |record: &Record| {
                self.kinds.is_empty()
                    || self.kinds.iter().any(|kind| record.code().starts_with(kind.as_str()))
            };
            match Record::read(&entry) {
                Some(mut record) if wanted(&record) => {
                    if self.integrity {
                        *link = record.attest(&self.chain(), link.take());
                    }
                    records.push_back(record);
                }
                Some(_) => {}
                None => refused.push(Refused {
                    position: entry.position,
                    why: "the entry is not an event".into(),
                }),
            }
        }
        Ok((records, refused))
    }

    /// Lets records point to each other from `before` on. Returns what the next one points to; `link` as it
    /// is where they do not.
    fn relink(
        &self,
        records: &mut VecDeque<Record>,
        before: Option<Link>,
        link: Option<Link>,
    ) -> Option<Link> {
        if !self.integrity {
            return link;
        }
        let chain = self.chain();
        records.iter_mut().fold(before, |before, record| record.attest(&chain, before))
    }

    /// What its chain of events is called: a sink that wants some kinds only has a chain of those.
    fn chain(&self) -> String {
        format!("{}/{}", self.origin, self.name)
    }

    async fn deliver(
        &mut self,
        place: &Place,
        at: &mut Position,
        chunk: Chunk,
        pace: &mut Pace,
    ) -> Result<(), ExportError> {
        if chunk.missed > 0 {
            self.progress.missed.fetch_add(chunk.missed, Ordering::Relaxed);
            tracing::error!(
                sink = self.name,
                missed = chunk.missed,
                "entries were removed because their time was over, before they could be sent"
            );
        }
        let mut link = at.link.clone();
        let (mut left, refused) = self.records(chunk.entries, &mut link).await?;
        self.bury(place, refused).await?;
        if at.sent.is_empty() {
            let oldest = left.front().map_or(0, Record::millis);
            self.progress.waiting_since.store(oldest, Ordering::Relaxed);
        }
        if left.is_empty() && at.sent.is_empty() && chunk.end - at.kept < LOOKED_THROUGH {
            // To look through it again after a restart costs less than to write this down.
            at.next = chunk.end;
            self.progress.next.store(chunk.end, Ordering::Relaxed);
            return Ok(());
        }
        let (mut confirmed, mut part) = (true, left.len());
        // One that was refused alone. It is given up when another is taken: a receiver that refuses
        // everything has a trouble of its own.
        let mut doubtful: Option<(Record, String)> = None;
        while !left.is_empty() || doubtful.is_some() {
            part = part.clamp(1, left.len().max(1));
            let sent = match &*left.make_contiguous() {
                [] => Err(SinkError::later("it takes nothing of what there is")),
                left => self.sink.send(&left[..part]).await,
            };
            match sent {
                Ok(taken) => {
                    let count = taken.count.clamp(1, part);
                    let accepted = count.saturating_sub(taken.refused.len());
                    let mut refused = taken.refused;
                    if accepted > 0 {
                        refused.extend(
                            doubtful
                                .take()
                                .map(|(one, why)| Refused { position: one.position, why }),
                        );
                    }
                    self.progress.failing.store(false, Ordering::Relaxed);
                    self.progress.delivered.fetch_add(accepted as u64, Ordering::Relaxed);
                    confirmed &= taken.confirmed;
                    left.drain(..count);
                    self.bury(place, refused).await?;
                    pace.took(self.sink.most());
                    part = left.len();
                }
                Err(SinkError::Divide(_)) if part > 1 => part /= 2,
                Err(SinkError::Divide(why)) if doubtful.is_none() && left.len() > 1 => {
                    doubtful = left.pop_front().map(|record| (record, why));
                    // What comes after it points to what came before it, until it is taken.
                    let before = doubtful.as_ref().and_then(|(one, _)| one.before.clone());
                    link = self.relink(&mut left, before, link);
                    part = 1;
                }
                Err(error) => {
                    if let SinkError::Later { slow: true, .. } = error {
                        pace.batch = (part / 2).max(1);
                        part = pace.batch;
                    }
                    self.pause(pace, &error).await;
                    if let Some((record, _)) = doubtful.take() {
                        let before = left.front().and_then(|next| next.before.clone());
                        left.push_front(record);
                        link = self.relink(&mut left, before, link);
                    }
                    if !at.sent.is_empty() {
                        at.go_back();
                        return Ok(());
                    }
                    // What went before it stays done, and something else may have come that is taken.
                    if let Some(first) = left.front() {
                        at.next = first.position;
                        at.link.clone_from(&first.before);
                        return self.keep(place, at, first.position, first.before.clone()).await;
                    }
                }
            }
        }
        at.next = chunk.end;
        at.link.clone_from(&link);
        if confirmed && at.sent.is_empty() {
            pace.recovered();
            return self.keep(place, at, chunk.end, link).await;
        }
        at.sent.push_back((chunk.end, link, Instant::now()));
        Ok(())
    }

    /// Remembers what has been sent long enough ago, if the connection still stands.
    async fn settle(
        &mut self,
        place: &Place,
        at: &mut Position,
        pace: &mut Pace,
    ) -> Result<(), ExportError> {
        if at.sent.is_empty() {
            return Ok(());
        }
        if !self.sink.stands().await {
            at.go_back();
            self.pause(pace, &SinkError::later("the receiver closed the connection")).await;
            return Ok(());
        }
        let mut settled = None;
        while let Some((.., when)) = at.sent.front()
            && when.elapsed() >= SETTLED
        {
            settled = at.sent.pop_front().map(|(next, link, _)| (next, link));
        }
        let Some((next, link)) = settled else { return Ok(()) };
        pace.recovered();
        self.keep(place, at, next, link).await
    }

    async fn keep(
        &self,
        place: &Place,
        at: &mut Position,
        next: u64,
        link: Option<Link>,
    ) -> Result<(), ExportError> {
        if next == at.kept {
            return Ok(());
        }
        let (place, mut cursor, log) = (place.clone(), at.cursor.clone(), self.log.clone());
        let stored = tokio::task::spawn_blocking(move || {
            cursor.advance(Mark { link, ..mark_at(&Logs::open(&log)?, next)? });
            place.store(&cursor)?;
            Ok::<_, ExportError>(cursor)
        });
        at.cursor = stored.await.map_err(|_| ExportError::Task)??;
        at.kept = next;
        self.progress.next.store(next, Ordering::Relaxed);
        if next == at.next {
            self.progress.waiting_since.store(0, Ordering::Relaxed);
        }
        Ok(())
    }

    async fn bury(&self, place: &Place, refused: Vec<Refused>) -> Result<(), ExportError> {
        let Some(first) = refused.first() else { return Ok(()) };
        let (count, why) = (refused.len(), first.why.clone());
        self.progress.refused.fetch_add(count as u64, Ordering::Relaxed);
        tracing::warn!(sink = self.name, count, why, "a receiver refused events for good");
        let (place, now) = (place.clone(), self.clock.now());
        let buried = tokio::task::spawn_blocking(move || place.bury(&refused, now)).await;
        Ok(buried.map_err(|_| ExportError::Task)??)
    }

    async fn pause(&self, pace: &mut Pace, error: &SinkError) {
        self.progress.failures.fetch_add(1, Ordering::Relaxed);
        self.progress.failing.store(true, Ordering::Relaxed);
        let told = Some((self.clock.now(), error.to_string()));
        *self.progress.last_failure.lock().unwrap_or_else(PoisonError::into_inner) = told;
        let after = match error {
            SinkError::Later { after, .. } => after.unwrap_or_default(),
            SinkError::Divide(_) => Duration::ZERO,
        };
        let pause = pace.next().max(after);
        tracing::warn!(sink = self.name, %error, ?pause, "a delivery failed and comes again");
        sleep(pause).await;
        // The log grew meanwhile, and whoever watches must see that.
        let log = self.log.clone();
        let size = tokio::task::spawn_blocking(move || Logs::open(&log).map(|log| log.size()));
        if let Ok(Ok(size)) = size.await {
            self.progress.size.store(size, Ordering::Relaxed);
        }
    }
}

/// The place before entry `next`.
fn mark_at(log: &Logs, next: u64) -> Result<Mark, LogError> {
    let hash = match next.checked_sub(1) {
        Some(before) => HEXLOWER.encode(&log.leaf(before)?),
        None => String::new(),
    };
    Ok(Mark { next, hash, link: None })
}

/// How the code of an event of this kind stands in an entry. What somebody else wrote there has its
/// quotes escaped.
fn needle(kind: &str) -> Vec<u8> {
    format!("\"event_code\":\"{kind}").into_bytes()
}
