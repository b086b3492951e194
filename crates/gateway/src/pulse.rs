//! What an HTTP/2 connection is used for. Its pings are answered by any library, so they do not tell.

use std::{
    pin::Pin,
    sync::{
        Arc, Mutex, PoisonError, Weak,
        atomic::{AtomicU8, AtomicU64, Ordering},
    },
    task::{Context, Poll},
};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use http_body_util::BodyExt;
use tokio::sync::Notify;

use crate::{
    body::{BoxError, GateBody},
    listener::HEAD_TIMEOUT,
};

/// A client may give up so many requests before it is asked whether it does anything else
/// (CVE-2023-44487, where each is accepted first).
const MAX_GIVEN_UP: u64 = 200;

/// Whether anything happens on a connection.
#[derive(Default)]
pub(crate) struct Pulse {
    begun: AtomicU64,
    ended: AtomicU64,
    given_up: AtomicU64,
    abused: Notify,
    answers: Mutex<Vec<(Weak<Answer>, u64)>>,
}

/// One request. It ends when it is answered, and also when its stream is reset.
pub(crate) struct Beat {
    pulse: Arc<Pulse>,
    answered: bool,
}

impl Beat {
    pub fn new(pulse: Arc<Pulse>) -> Self {
        pulse.begun.fetch_add(1, Ordering::Relaxed);
        Self { pulse, answered: false }
    }

    pub fn answered(mut self) {
        self.answered = true;
    }
}

impl Drop for Beat {
    fn drop(&mut self) {
        self.pulse.ended.fetch_add(1, Ordering::Relaxed);
        if !self.answered {
            let given_up = self.pulse.given_up.fetch_add(1, Ordering::Relaxed) + 1;
            let begun = self.pulse.begun.load(Ordering::Relaxed);
            if given_up > MAX_GIVEN_UP && given_up * 2 > begun {
                self.pulse.abused.notify_one();
            }
        }
    }
}

/// An answer on its way to a client that may not read it.
struct Answer {
    body: Mutex<Option<GateBody>>,
    polls: AtomicU64,
    state: AtomicU8,
}

/// It waits for the service, which may be quiet; in every other state it waits for the client.
const FOR_SERVICE: u8 = 1;

struct Watched(Arc<Answer>);

impl Body for Watched {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        self.0.polls.fetch_add(1, Ordering::Relaxed);
        let mut body = self.0.body.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(body) = body.as_mut() else {
            return Poll::Ready(Some(Err("nobody read the answer".into())));
        };
        let polled = Pin::new(body).poll_frame(cx);
        self.0.state.store(u8::from(polled.is_pending()), Ordering::Relaxed);
        polled
    }

    fn is_end_stream(&self) -> bool {
        let body = self.0.body.lock().unwrap_or_else(PoisonError::into_inner);
        body.as_ref().is_some_and(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        let body = self.0.body.lock().unwrap_or_else(PoisonError::into_inner);
        body.as_ref().map_or_else(SizeHint::default, Body::size_hint)
    }
}

impl Pulse {
    /// A body that is taken back if its client does not read it: what it holds (a place, a
    /// connection to the service, memory) is needed for others.
    pub fn watched(&self, body: GateBody) -> GateBody {
        if body.is_end_stream() {
            return body;
        }
        let answer = Arc::new(Answer {
            body: Mutex::new(Some(body)),
            polls: AtomicU64::new(0),
            state: AtomicU8::new(0),
        });
        let mut answers = self.answers.lock().unwrap_or_else(PoisonError::into_inner);
        if answers.len() >= 64 {
            answers.retain(|(answer, _)| answer.strong_count() > 0);
        }
        answers.push((Arc::downgrade(&answer), u64::MAX));
        drop(answers);
        Watched(answer).boxed_unsync()
    }

    /// Takes back what was not read since the last call. Returns how many are still on their way.
    fn sweep(&self) -> usize {
        let mut answers = self.answers.lock().unwrap_or_else(PoisonError::into_inner);
        answers.retain_mut(|(answer, seen)| {
            let Some(answer) = answer.upgrade() else { return false };
            let polls = answer.polls.load(Ordering::Relaxed);
            let for_client = answer.state.load(Ordering::Relaxed) != FOR_SERVICE;
            if for_client && *seen == polls {
                // Dropped outside of the lock of the list would be better, but nothing here waits.
                drop(answer.body.lock().unwrap_or_else(PoisonError::into_inner).take());
                return false;
            }
            *seen = polls;
            true
        });
        answers.len()
    }

    /// Returns when nothing was asked for [`HEAD_TIMEOUT`] and nothing is being answered; `false` if
    /// nothing ever was.
    pub async fn stops(&self) -> bool {
        let mut seen = 0;
        loop {
            tokio::time::sleep(HEAD_TIMEOUT).await;
            self.sweep();
            let begun = self.begun.load(Ordering::Relaxed);
            if begun == seen && self.ended.load(Ordering::Relaxed) == begun {
                return begun > 0;
            }
            seen = begun;
        }
    }

    /// Returns when no answer is on its way any more, or none is read.
    pub async fn nothing_is_read(&self) {
        loop {
            tokio::time::sleep(HEAD_TIMEOUT).await;
            if self.sweep() == 0 {
                return;
            }
        }
    }

    /// Returns when the client does little but give up what it asked for.
    pub async fn is_abused(&self) {
        self.abused.notified().await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::body::full;

    fn is_taken(body: &mut GateBody) -> bool {
        let mut cx = Context::from_waker(std::task::Waker::noop());
        matches!(Pin::new(body).poll_frame(&mut cx), Poll::Ready(Some(Err(_))))
    }

    #[test]
    fn what_nobody_reads_is_taken_back_and_what_is_quiet_is_not() {
        let pulse = Pulse::default();
        let mut unread = pulse.watched(full("x"));
        let quiet = http_body_util::StreamBody::new(futures_util::stream::pending());
        let mut quiet = pulse.watched(quiet.boxed_unsync());
        let mut cx = Context::from_waker(std::task::Waker::noop());
        assert!(Pin::new(&mut quiet).poll_frame(&mut cx).is_pending());
        assert_eq!((pulse.sweep(), pulse.sweep(), pulse.sweep()), (2, 1, 1));
        assert!(is_taken(&mut unread) && !is_taken(&mut quiet));
        drop(quiet);
        assert_eq!(pulse.sweep(), 0);
    }

    #[tokio::test]
    async fn a_client_that_only_gives_up_is_told_apart() {
        let pulse = Arc::new(Pulse::default());
        for _ in 0..1_000 {
            Beat::new(pulse.clone()).answered();
        }
        for _ in 0..600 {
            drop(Beat::new(pulse.clone()));
        }
        assert!(tokio::time::timeout(std::time::Duration::ZERO, pulse.is_abused()).await.is_err());
        for _ in 0..600 {
            drop(Beat::new(pulse.clone()));
        }
        pulse.is_abused().await;
    }
}
