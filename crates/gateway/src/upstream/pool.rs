use std::{
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use tokio::time::Instant;

use super::{InFlight, server::Line};
use crate::body::BoxError;

/// Idle connections kept for each server.
const MAX_IDLE: usize = 64;
/// An idle connection is not used again after this time: the other side may be closing it.
const MAX_IDLE_TIME: Duration = Duration::from_secs(20);

/// Connections to one server that wait for their next request.
#[derive(Debug, Default)]
pub(crate) struct Pool(Mutex<Vec<Idle>>);

#[derive(Debug)]
struct Idle {
    line: Line,
    since: Instant,
}

impl Pool {
    /// A connection that is ready, the one used last first: it is the least likely to be closed. Those
    /// that were made under another trust are closed.
    pub fn take(&self, epoch: u64) -> Option<Line> {
        let mut idle = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        while let Some(Idle { line, since }) = idle.pop() {
            let fresh = line.epoch == epoch && since.elapsed() < MAX_IDLE_TIME;
            if fresh && line.sender.is_ready() {
                return Some(line);
            }
        }
        None
    }

    fn put(&self, line: Line) {
        let mut idle = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if idle.len() < MAX_IDLE && !line.sender.is_closed() {
            idle.push(Idle { line, since: Instant::now() });
        }
    }
}

/// What a body holds until it was read: its connection, if nobody else uses it, and its place among
/// those on their way.
pub(crate) struct Give {
    pub connection: Option<(Line, Arc<Pool>)>,
    pub place: InFlight,
}

/// An answer's body that gives its connection back when it has been read to the end. If it is
/// dropped before, the connection is closed: nobody knows what is still on the way.
pub(crate) struct Pooled {
    body: Incoming,
    give: Option<Give>,
}

impl Pooled {
    pub fn new(body: Incoming, give: Give) -> Self {
        let mut pooled = Self { body, give: Some(give) };
        if pooled.body.is_end_stream() {
            pooled.finish();
        }
        pooled
    }

    /// The connection task needs a moment to notice the end itself.
    fn finish(&mut self) {
        let Some(Give { connection, place }) = self.give.take() else { return };
        drop(place);
        let Some((mut line, pool)) = connection else { return };
        if line.sender.is_ready() {
            pool.put(line);
        } else {
            tokio::spawn(async move {
                if line.sender.ready().await.is_ok() {
                    pool.put(line);
                }
            });
        }
    }
}

impl Body for Pooled {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let frame = Pin::new(&mut self.body).poll_frame(cx);
        match &frame {
            Poll::Ready(None) => self.finish(),
            Poll::Ready(Some(Err(_))) => self.give = None,
            Poll::Ready(Some(Ok(_))) if self.body.is_end_stream() => self.finish(),
            _ => {}
        }
        frame.map_err(Into::into)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
