//! Threads for work that an attacker can make expensive. They stand back: whatever else the process
//! has to do goes first, so that a queue of logins does not keep others waiting for tokens.

use std::{
    io,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc, Mutex, PoisonError,
        mpsc::{Receiver, Sender, channel},
    },
    thread,
};

use rustix::process::setpriority_process;

/// How nice they are: a tenth of the time that a thread at 0 gets beside them.
const NICE: i32 = 10;

type Job = Box<dyn FnOnce() + Send>;

/// The threads. They end when this is dropped and the queue is empty.
pub(crate) struct HashThreads(Sender<Job>);

impl HashThreads {
    /// Starts `count` threads, at least one.
    pub fn start(count: usize) -> io::Result<Self> {
        let (jobs, queue) = channel();
        let queue = Arc::new(Mutex::new(queue));
        for _ in 0..count.max(1) {
            let queue = queue.clone();
            thread::Builder::new().name("hash".into()).spawn(move || work(&queue))?;
        }
        Ok(Self(jobs))
    }

    /// Puts `job` at the end of the queue.
    pub fn submit(&self, job: impl FnOnce() + Send + 'static) {
        // Without a thread the job is dropped, and with it whatever tells its owner of the result.
        let _ = self.0.send(Box::new(job));
    }
}

fn work(queue: &Mutex<Receiver<Job>>) {
    // On Linux that is this thread alone.
    if let Err(error) = setpriority_process(None, NICE) {
        tracing::debug!(%error, "the threads that hash passwords cannot be made nice");
    }
    loop {
        let job = queue.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok(job) = job else { return };
        // The panic was reported where it happened; the next job is another matter.
        let _ = catch_unwind(AssertUnwindSafe(job));
    }
}
