use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread,
    time::Duration,
};

use portcullis_events::{Event, SealPersonal, leaf, sealed_leaf};
use tokio::{
    runtime::{self, Runtime},
    sync::{mpsc, oneshot},
    time::timeout,
};

use crate::{
    files::LogError,
    writer::{LogWriter, fit},
};

/// Jobs that may wait for the sequencer before callers have to.
const QUEUE_JOBS: usize = 8_192;
/// Jobs written in one flush.
const BATCH_JOBS: usize = 256;
/// Events that nobody waits for are held back this long, to be flushed with those that somebody
/// does wait for.
const HOLD: Duration = Duration::from_millis(10);

/// Sees every event as it is handed in, before it is durable: a detector must not wait for a disk.
/// It must not block.
pub type Watcher = Arc<dyn Fn(&Event) + Send + Sync>;

/// Seals what is personal in entries, on the thread that writes them.
pub type EntrySealer = Arc<dyn SealPersonal + Send + Sync>;

/// The event is not durable; whatever it was about must not be answered as done.
#[derive(Debug, Clone, thiserror::Error)]
pub enum AuditError {
    /// The log refused; the reason was traced where it happened.
    #[error("the audit log could not be written")]
    Failed,
    /// The sequencer has stopped.
    #[error("the audit log is closed")]
    Closed,
}

enum Job {
    Events(Vec<Event>, Option<oneshot::Sender<Result<(), AuditError>>>),
    Leaves(Vec<Vec<u8>>, oneshot::Sender<Result<(), AuditError>>),
    Checkpoint(oneshot::Sender<Result<(), AuditError>>),
    Close(oneshot::Sender<()>),
}

/// The handle through which everything is recorded. Cheap to clone.
#[derive(Clone)]
pub struct Audit {
    jobs: mpsc::Sender<Job>,
    watcher: Option<Watcher>,
    lost: Arc<AtomicU64>,
    healthy: Arc<AtomicBool>,
}

impl Audit {
    /// Starts the sequencer thread over `writer`.
    pub fn start(
        writer: LogWriter,
        watcher: Option<Watcher>,
        sealer: Option<EntrySealer>,
    ) -> Result<Self, LogError> {
        let (jobs, queue) = mpsc::channel(QUEUE_JOBS);
        let healthy = Arc::new(AtomicBool::new(true));
        let lost = Arc::new(AtomicU64::new(0));
        let (flag, uncounted) = (healthy.clone(), lost.clone());
        let failed =
            |source| LogError::Io { operation: "start", path: "audit thread".into(), source };
        let runtime = runtime::Builder::new_current_thread().enable_time().build();
        let runtime = runtime.map_err(failed)?;
        thread::Builder::new()
            .name("audit".into())
            .spawn(move || run(&runtime, writer, queue, sealer.as_deref(), &flag, &uncounted))
            .map_err(failed)?;
        Ok(Self { jobs, watcher, lost, healthy })
    }

    /// Records events and waits until they are durable. No answer may say "done" before this does.
    pub async fn append(&self, events: Vec<Event>) -> Result<(), AuditError> {
        self.show(&events);
        self.wait(|done| Job::Events(events, Some(done))).await
    }

    /// Records an event without waiting, for requests at the gate. If the queue is full the event
    /// is counted as lost and a gap is recorded as soon as there is room.
    pub fn record(&self, event: Event) {
        self.show(std::slice::from_ref(&event));
        if self.jobs.try_send(Job::Events(vec![event], None)).is_err() {
            self.lost.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Records entries that were encoded earlier and waited in an outbox.
    pub async fn append_leaves(&self, leaves: Vec<Vec<u8>>) -> Result<(), AuditError> {
        self.wait(|done| Job::Leaves(leaves, done)).await
    }

    /// Shows events to the watcher only, for events that reach the log by another way.
    pub fn show(&self, events: &[Event]) {
        if let Some(watcher) = &self.watcher {
            events.iter().for_each(|event| watcher(event));
        }
    }

    /// Signs a checkpoint if the log grew.
    pub async fn checkpoint(&self) -> Result<(), AuditError> {
        self.wait(Job::Checkpoint).await
    }

    /// Takes the number of events lost since the last call, so that a gap can be recorded.
    pub fn take_lost(&self) -> u64 {
        self.lost.swap(0, Ordering::Relaxed)
    }

    /// Gives back what [`Audit::take_lost`] took, if the gap could not be recorded.
    pub fn give_back_lost(&self, lost: u64) {
        self.lost.fetch_add(lost, Ordering::Relaxed);
    }

    /// Whether the log still accepts entries.
    pub fn is_healthy(&self) -> bool {
        self.healthy.load(Ordering::Relaxed)
    }

    /// Writes what is queued, signs a last checkpoint and stops the thread.
    pub async fn close(&self) {
        let (done, closed) = oneshot::channel();
        if self.jobs.send(Job::Close(done)).await.is_ok() {
            let _ = closed.await;
        }
    }

    async fn wait(
        &self,
        job: impl FnOnce(oneshot::Sender<Result<(), AuditError>>) -> Job,
    ) -> Result<(), AuditError> {
        let (done, result) = oneshot::channel();
        self.jobs.send(job(done)).await.map_err(|_| AuditError::Closed)?;
        result.await.map_err(|_| AuditError::Closed)?
    }
}

impl std::fmt::Debug for Audit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Audit").field("healthy", &self.is_healthy()).finish_non_exhaustive()
    }
}

/// Takes what is queued, at least one job unless the queue is closed.
async fn take(queue: &mut mpsc::Receiver<Job>, jobs: &mut Vec<Job>) {
    let unwatched = |job: &Job| matches!(job, Job::Events(_, None));
    queue.recv_many(jobs, BATCH_JOBS).await;
    let hold = async {
        while !jobs.is_empty() && jobs.len() < BATCH_JOBS && jobs.iter().all(unwatched) {
            let more = queue.recv_many(jobs, BATCH_JOBS - jobs.len()).await;
            if more == 0 {
                return;
            }
        }
    };
    // What was taken by then is in `jobs`.
    let _ = timeout(HOLD, hold).await;
}

fn run(
    runtime: &Runtime,
    mut writer: LogWriter,
    mut queue: mpsc::Receiver<Job>,
    sealer: Option<&(dyn SealPersonal + Send + Sync)>,
    healthy: &AtomicBool,
    lost: &AtomicU64,
) {
    let mut jobs = Vec::with_capacity(BATCH_JOBS);
    loop {
        runtime.block_on(take(&mut queue, &mut jobs));
        if jobs.is_empty() {
            return;
        }
        let (mut leaves, mut waiting) = (Vec::new(), Vec::new());
        let (mut signing, mut closing) = (Vec::new(), None);
        let mut unwatched = 0;
        for job in jobs.drain(..) {
            match job {
                Job::Events(events, done) => {
                    let entry = |event| match sealer {
                        Some(sealer) => sealed_leaf(event, sealer),
                        None => leaf(event),
                    };
                    leaves.extend(events.iter().map(|event| fit(entry(event))));
                    // Nobody waits for these, so a failure must be counted here.
                    unwatched += if done.is_none() { events.len() as u64 } else { 0 };
                    waiting.extend(done);
                }
                Job::Leaves(ready, done) => {
                    leaves.extend(ready.into_iter().map(fit));
                    waiting.push(done);
                }
                Job::Checkpoint(done) => signing.push(done),
                Job::Close(done) => closing = Some(done),
            }
        }
        if !leaves.is_empty() {
            let written = writer.append(&leaves);
            healthy.store(written.is_ok(), Ordering::Relaxed);
            if written.is_err() {
                lost.fetch_add(unwatched, Ordering::Relaxed);
            }
            answer(waiting, &written);
        }
        if !signing.is_empty() || closing.is_some() {
            let signed = writer.checkpoint().map(drop);
            healthy.fetch_and(signed.is_ok(), Ordering::Relaxed);
            answer(signing, &signed);
        }
        if let Some(done) = closing {
            drop(writer);
            let _ = done.send(());
            return;
        }
    }
}

fn answer(waiting: Vec<oneshot::Sender<Result<(), AuditError>>>, result: &Result<(), LogError>) {
    if let Err(error) = result {
        tracing::error!(error = error as &dyn std::error::Error, "the audit log refused a batch");
    }
    for done in waiting {
        let _ = done.send(result.as_ref().map(drop).map_err(|_| AuditError::Failed));
    }
}
