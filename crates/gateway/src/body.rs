use std::{
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering},
    },
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::{Buf, Bytes};
use http::{HeaderMap, HeaderName, HeaderValue, header};
use http_body::{Body, Frame, SizeHint};
use http_body_util::{BodyExt, Empty, Full, combinators::UnsyncBoxBody};
use tokio::time::{Instant, Sleep, sleep_until};

use crate::forward::{strip_hop_by_hop, strip_identity};

/// Whatever went wrong with a body.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// The body of every request and answer inside the gate.
pub type GateBody = UnsyncBoxBody<Bytes, BoxError>;

/// A body that ends at once.
pub fn empty() -> GateBody {
    Empty::new().map_err(|never| match never {}).boxed_unsync()
}

/// A body that is there already.
pub fn full(bytes: impl Into<Bytes>) -> GateBody {
    Full::new(bytes.into()).map_err(|never| match never {}).boxed_unsync()
}

/// The body is longer than the route allows.
#[derive(Debug, thiserror::Error)]
#[error("the body is longer than {limit} bytes")]
pub(crate) struct TooLong {
    limit: u64,
}

/// Nothing came for too long.
#[derive(Debug, thiserror::Error)]
#[error("the body made no progress in time")]
pub(crate) struct Stalled;

/// The client's body broke off or was malformed.
#[derive(Debug, thiserror::Error)]
#[error("the body of the request broke off or is malformed")]
pub(crate) struct Broken(#[source] pub hyper::Error);

/// Passes a body through, but not for ever: at most `limit` bytes, and something at least every
/// `patience`.
pub(crate) struct Bounded<B> {
    inner: B,
    limit: u64,
    left: u64,
    patience: Duration,
    /// Made when there is first something to wait for: most bodies are there at once.
    deadline: Option<Pin<Box<Sleep>>>,
    waiting: bool,
    /// However steadily it drips, it ends in this time,
    total: Duration,
    /// counted from when there was first something to wait for.
    last: Option<Instant>,
}

impl<B> Bounded<B> {
    pub fn new(inner: B, limit: u64, patience: Duration, total: Duration) -> Self {
        let (deadline, last, waiting, left) = (None, None, false, limit);
        Self { inner, limit, left, patience, deadline, waiting, total, last }
    }
}

impl<B> Bounded<B> {
    /// Ready when nothing came for too long, counted from when it was first asked for in vain.
    fn stalled(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if !self.waiting {
            let now = Instant::now();
            let until = (now + self.patience).min(*self.last.get_or_insert(now + self.total));
            match &mut self.deadline {
                Some(deadline) => deadline.as_mut().reset(until),
                None => self.deadline = Some(Box::pin(sleep_until(until))),
            }
            self.waiting = true;
        }
        self.deadline.as_mut().map_or(Poll::Pending, |deadline| deadline.as_mut().poll(cx))
    }
}

impl<B> Body for Bounded<B>
where
    B: Body<Data = Bytes, Error = BoxError> + Unpin,
{
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let this = &mut *self;
        match Pin::new(&mut this.inner).poll_frame(cx) {
            Poll::Ready(Some(Ok(mut frame))) => {
                this.waiting = false;
                if let Some(trailers) = frame.trailers_mut() {
                    clean_trailers(trailers);
                }
                let length = frame.data_ref().map_or(0, |data| data.remaining() as u64);
                match this.left.checked_sub(length) {
                    Some(left) => {
                        this.left = left;
                        Poll::Ready(Some(Ok(frame)))
                    }
                    None => Poll::Ready(Some(Err(TooLong { limit: this.limit }.into()))),
                }
            }
            Poll::Ready(Some(Err(error))) => Poll::Ready(Some(Err(error))),
            Poll::Ready(None) => Poll::Ready(None),
            Poll::Pending => {
                ready!(this.stalled(cx));
                Poll::Ready(Some(Err(Stalled.into())))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

/// The names in the `Trailer` fields of an answer (RFC 9110, section 6.6.2) that may come.
pub(crate) fn announced_trailers(headers: &HeaderMap) -> Option<HeaderValue> {
    let values = headers.get_all(header::TRAILER).iter().filter_map(|value| value.to_str().ok());
    let names =
        values.flat_map(|value| value.split(',')).filter_map(|name| name.trim().parse().ok());
    let mut kept: HeaderMap =
        names.map(|name: HeaderName| (name, HeaderValue::from_static(""))).collect();
    clean_trailers(&mut kept);
    let names: Vec<&str> = kept.keys().map(HeaderName::as_str).collect();
    HeaderValue::try_from(names.join(", ")).ok().filter(|value| !value.is_empty())
}

/// What comes after a body says nothing about how to read it, where it goes, who sends it, or what a
/// browser may do with it (RFC 9110, section 6.5.1): some readers put it beside the other fields.
fn clean_trailers(trailers: &mut HeaderMap) {
    strip_hop_by_hop(trailers);
    strip_identity(trailers);
    for name in FRAMING {
        trailers.remove(name);
    }
    let names = trailers.keys().filter(|name| {
        let name = name.as_str();
        ["access-control-", "content-", "cross-origin-", "set-cookie", "www-"]
            .iter()
            .any(|prefix| name.starts_with(prefix))
    });
    for name in names.cloned().collect::<Vec<_>>() {
        trailers.remove(name);
    }
}

/// Fields that must not come after the body.
const FRAMING: [HeaderName; 16] = [
    header::HOST,
    header::COOKIE,
    header::CACHE_CONTROL,
    header::LOCATION,
    header::STRICT_TRANSPORT_SECURITY,
    header::REFERRER_POLICY,
    header::REFRESH,
    header::LINK,
    header::AGE,
    header::EXPIRES,
    header::VARY,
    header::DATE,
    header::RETRY_AFTER,
    HeaderName::from_static("clear-site-data"),
    HeaderName::from_static("permissions-policy"),
    HeaderName::from_static("authentication-info"),
];

/// A body that holds something until it was read or given up.
pub(crate) struct Holding<T> {
    inner: GateBody,
    held: Option<T>,
}

impl<T> Holding<T> {
    pub fn new(inner: GateBody, held: T) -> Self {
        let held = (!inner.is_end_stream()).then_some(held);
        Self { inner, held }
    }
}

impl<T: Unpin> Body for Holding<T> {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let frame = ready!(Pin::new(&mut self.inner).poll_frame(cx));
        if frame.is_none() || self.inner.is_end_stream() {
            self.held = None;
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

/// How far the body of a request has come, for whoever waits for the answer to it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Progress(Option<Arc<State>>);

#[derive(Debug)]
struct State {
    begun: Instant,
    /// Microseconds from the beginning to the last piece.
    last: AtomicU64,
    over: AtomicBool,
    /// Whether it was asked for and has not come.
    awaited: AtomicBool,
    fault: AtomicU8,
}

/// What a client did wrong with its body. Whoever sends it on only learns that it ended early.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    TooLong = 1,
    Stalled = 2,
    Broken = 3,
}

impl Progress {
    /// Whether nothing of the body is still to come.
    pub fn is_over(&self) -> bool {
        self.0.as_ref().is_none_or(|state| state.over.load(Ordering::Relaxed))
    }

    /// What the client did wrong, if it did.
    pub fn fault(&self) -> Option<Fault> {
        let state = self.0.as_ref()?;
        [Fault::TooLong, Fault::Stalled, Fault::Broken]
            .into_iter()
            .find(|fault| *fault as u8 == state.fault.load(Ordering::Relaxed))
    }

    /// Nothing moved for too long: if it is the client who is waited for, it is the client's fault.
    pub fn note_stall(&self) {
        if let Some(state) = &self.0
            && state.awaited.load(Ordering::Relaxed)
        {
            state.fault.store(Fault::Stalled as u8, Ordering::Relaxed);
        }
    }

    /// How long ago the last piece went on.
    pub fn quiet_for(&self) -> Duration {
        self.0.as_ref().map_or(Duration::MAX, |state| {
            let last = Duration::from_micros(state.last.load(Ordering::Relaxed));
            state.begun.elapsed().saturating_sub(last)
        })
    }
}

/// A body that is watched on its way.
pub(crate) struct Watched<B> {
    inner: B,
    state: Arc<State>,
}

impl<B> Watched<B> {
    pub fn new(inner: B) -> (Self, Progress) {
        let state = Arc::new(State {
            begun: Instant::now(),
            last: AtomicU64::new(0),
            over: AtomicBool::new(false),
            awaited: AtomicBool::new(false),
            fault: AtomicU8::new(0),
        });
        (Self { inner, state: state.clone() }, Progress(Some(state)))
    }
}

impl<B: Body<Data = Bytes, Error = BoxError> + Unpin> Body for Watched<B> {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let polled = Pin::new(&mut self.inner).poll_frame(cx);
        self.state.awaited.store(polled.is_pending(), Ordering::Relaxed);
        let frame = ready!(polled);
        if let Some(Err(error)) = &frame {
            let fault = if caused_by::<TooLong>(error.as_ref()) {
                Fault::TooLong
            } else if caused_by::<Stalled>(error.as_ref()) {
                Fault::Stalled
            } else {
                Fault::Broken
            };
            self.state.fault.store(fault as u8, Ordering::Relaxed);
        }
        let at = u64::try_from(self.state.begun.elapsed().as_micros()).unwrap_or(u64::MAX);
        self.state.last.store(at, Ordering::Relaxed);
        if frame.is_none() || self.inner.is_end_stream() {
            self.state.over.store(true, Ordering::Relaxed);
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

/// Whether `error`, or what caused it, is of type `T`.
pub(crate) fn caused_by<T: std::error::Error + 'static>(
    error: &(dyn std::error::Error + 'static),
) -> bool {
    let mut next = Some(error);
    while let Some(error) = next {
        if error.is::<T>() {
            return true;
        }
        next = error.source();
    }
    false
}
