use std::{
    path::PathBuf,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread,
    time::Duration,
};

use portcullis_events::{Event, SealPersonal, leaf_into};
use portcullis_tlog::NoteSigner;
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
/// Events that may be held back. Beyond that, while the disk is stuck, they are counted as lost.
const HELD_EVENTS: usize = 16_384;

/// Entries whose room is kept, and how large they may be.
const MAX_SPARE: usize = 1_024;
const MAX_SPARE_BYTES: usize = 4_096;

/// Sees every event as it is handed in, before it is durable: a detector must not wait for a disk.
/// It must not block.
pub type Watcher = Arc<dyn Fn(&Arc<Event>) + Send + Sync>;

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

/// The log to go on in.
struct Next {
    root: PathBuf,
    year: String,
    signer: NoteSigner,
}

enum Job {
    Events(Vec<Arc<Event>>, oneshot::Sender<Result<(), AuditError>>),
    /// There is something among what is held back.
    Look,
    Leaves(Vec<Vec<u8>>, oneshot::Sender<Result<(), AuditError>>),
    Checkpoint(oneshot::Sender<Result<(), AuditError>>),
    Rotate(Box<Next>, oneshot::Sender<Result<(), AuditError>>),
    Close(oneshot::Sender<()>),
}

/// The handle through which everything is recorded. Cheap to clone.
#[derive(Clone)]
pub struct Audit {
    jobs: mpsc::Sender<Job>,
    /// Events that nobody waits for. Only the first of them wakes the sequencer: a wake-up for each
    /// would cost more than all else that is done for it.
    held: Arc<Mutex<Vec<Arc<Event>>>>,
    watcher: Option<Watcher>,
    lost: Arc<AtomicU64>,
    healthy: Arc<AtomicBool>,
    /// The newest checkpoint.
    note: Arc<Mutex<String>>,
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
        let held = Arc::<Mutex<Vec<Arc<Event>>>>::default();
        let note = Arc::new(Mutex::new(writer.note().to_owned()));
        let told = note.clone();
        let (flag, uncounted, unwatched) = (healthy.clone(), lost.clone(), held.clone());
        let failed =
            |source| LogError::Io { operation: "start", path: "audit thread".into(), source };
        let runtime = runtime::Builder::new_current_thread().enable_time().build();
        let runtime = runtime.map_err(failed)?;
        thread::Builder::new()
            .name("audit".into())
            .spawn(move || {
                let sealer = sealer.as_deref();
                let _told = Told(&flag);
                run(&runtime, writer, queue, (&unwatched, &told), sealer, &flag, &uncounted);
            })
            .map_err(failed)?;
        Ok(Self { jobs, held, watcher, lost, healthy, note })
    }

    /// Records events and waits until they are durable. No answer may say "done" before this does.
    pub async fn append(&self, events: Vec<Event>) -> Result<(), AuditError> {
        let events: Vec<_> = events.into_iter().map(Arc::new).collect();
        events.iter().for_each(|event| self.show(event));
        self.wait(|done| Job::Events(events, done)).await
    }

    /// Records an event without waiting, for requests at the gate. If too many are held back the
    /// event is counted as lost and a gap is recorded as soon as there is room.
    pub fn record(&self, event: Event) {
        // The detector and the sequencer look at the same one.
        let event = Arc::new(event);
        self.show(&event);
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        let count = held.len();
        if count < HELD_EVENTS {
            held.push(event);
        }
        drop(held);
        // Where the queue is full, the sequencer is awake and takes what is held with the next batch.
        let taken = count > 0 || self.jobs.try_send(Job::Look).is_ok() || !self.jobs.is_closed();
        if count >= HELD_EVENTS || !taken {
            self.lost.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Records entries that were encoded earlier and waited in an outbox.
    pub async fn append_leaves(&self, leaves: Vec<Vec<u8>>) -> Result<(), AuditError> {
        self.wait(|done| Job::Leaves(leaves, done)).await
    }

    fn show(&self, event: &Arc<Event>) {
        if let Some(watcher) = &self.watcher {
            watcher(event);
        }
    }

    /// Signs a checkpoint if the log grew.
    pub async fn checkpoint(&self) -> Result<(), AuditError> {
        self.wait(Job::Checkpoint).await
    }

    /// The newest checkpoint, as it was signed: what the disk says by now may be another.
    pub fn newest_checkpoint(&self) -> String {
        self.note.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Goes on in the log of `year` below `root`, which begins with the last checkpoint of this one.
    pub async fn rotate(
        &self,
        root: PathBuf,
        year: String,
        signer: NoteSigner,
    ) -> Result<(), AuditError> {
        self.wait(|done| Job::Rotate(Box::new(Next { root, year, signer }), done)).await
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

/// Says that the log accepts nothing more, should its thread end by a panic.
struct Told<'a>(&'a AtomicBool);

impl Drop for Told<'_> {
    fn drop(&mut self) {
        if thread::panicking() {
            self.0.store(false, Ordering::Relaxed);
        }
    }
}

/// Takes what is queued, at least one job unless the queue is closed. If nobody waits for any of it,
/// more may come first.
async fn take(queue: &mut mpsc::Receiver<Job>, jobs: &mut Vec<Job>) {
    queue.recv_many(jobs, BATCH_JOBS).await;
    let hold = async {
        while jobs.len() < BATCH_JOBS && jobs.iter().all(|job| matches!(job, Job::Look)) {
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
    (held, note): (&Mutex<Vec<Arc<Event>>>, &Mutex<String>),
    sealer: Option<&(dyn SealPersonal + Send + Sync)>,
    healthy: &AtomicBool,
    lost: &AtomicU64,
) {
    let mut jobs = Vec::with_capacity(BATCH_JOBS);
    let (mut unwatched, mut leaves, mut spare) = (Vec::new(), Vec::new(), Vec::<Vec<u8>>::new());
    loop {
        runtime.block_on(take(&mut queue, &mut jobs));
        if jobs.is_empty() {
            return;
        }
        let (mut waiting, mut signing, mut closing) = (Vec::new(), Vec::new(), None);
        let mut rotating = None;
        leaves.clear();
        let mut entry = |event: &Event| {
            let mut bytes = spare.pop().unwrap_or_default();
            leaf_into(event, sealer.map(|sealer| sealer as &dyn SealPersonal), &mut bytes);
            fit(bytes)
        };
        // The room goes back and forth, so that it is not asked of the system for every batch.
        unwatched.clear();
        std::mem::swap(&mut *held.lock().unwrap_or_else(PoisonError::into_inner), &mut unwatched);
        leaves.extend(unwatched.iter().map(|event| entry(event)));
        for job in jobs.drain(..) {
            match job {
                Job::Look => {}
                Job::Events(events, done) => {
                    leaves.extend(events.iter().map(|event| entry(event)));
                    waiting.push(done);
                }
                Job::Leaves(ready, done) => {
                    leaves.extend(ready.into_iter().map(fit));
                    waiting.push(done);
                }
                Job::Checkpoint(done) => signing.push(done),
                Job::Rotate(next, done) => rotating = Some((next, done)),
                Job::Close(done) => closing = Some(done),
            }
        }
        if !leaves.is_empty() {
            let written = writer.append(&leaves);
            healthy.store(written.is_ok(), Ordering::Relaxed);
            if written.is_err() {
                // Nobody waits for these, so the failure must be counted here.
                lost.fetch_add(unwatched.len() as u64, Ordering::Relaxed);
            }
            answer(waiting, &written);
            // Their room is kept for the next batch: to give it back and ask for it again, hundreds
            // of times a second, costs more than to fill it.
            let kept = leaves.drain(..).filter(|bytes| bytes.capacity() <= MAX_SPARE_BYTES);
            spare.extend(kept);
            spare.truncate(MAX_SPARE);
        }
        if !signing.is_empty() || closing.is_some() {
            let signed = writer.checkpoint().map(drop);
            healthy.fetch_and(signed.is_ok(), Ordering::Relaxed);
            if signed.is_ok() {
                tell(note, &writer);
            }
            answer(signing, &signed);
        }
        if let Some((next, done)) = rotating {
            let Next { root, year, signer } = *next;
            let rotated = writer.rotate(&root, &year, signer);
            if rotated.is_ok() {
                tell(note, &writer);
            }
            answer(vec![done], &rotated);
        }
        if let Some(done) = closing {
            drop(writer);
            let _ = done.send(());
            return;
        }
    }
}

fn tell(note: &Mutex<String>, writer: &LogWriter) {
    writer.note().clone_into(&mut note.lock().unwrap_or_else(PoisonError::into_inner));
}

fn answer(waiting: Vec<oneshot::Sender<Result<(), AuditError>>>, result: &Result<(), LogError>) {
    if let Err(error) = result {
        tracing::error!(error = error as &dyn std::error::Error, "the audit log refused a batch");
    }
    for done in waiting {
        let _ = done.send(result.as_ref().map(drop).map_err(|_| AuditError::Failed));
    }
}
