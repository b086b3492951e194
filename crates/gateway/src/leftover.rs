//! What is left of a request's body when its answer is there already. Over HTTP/1.1 the next
//! request comes after it: a short rest is read, and before a long one the end of the connection is
//! announced (RFC 9112, section 9.6), so that no client sends its next request into the void.

use std::{
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use http::{Request, Version, header};
use http_body::{Body, Frame, SizeHint};
use http_body_util::BodyExt;
use tokio::time::timeout;

/// A rest up to this many bytes is read.
const SHORT: u64 = 64 * 1024;
/// If it comes in this time.
const PATIENCE: Duration = Duration::from_secs(2);

/// Where a body goes whose reader gave up on it.
#[derive(Debug)]
pub(crate) struct Leftover<B>(Option<Arc<Mutex<Option<B>>>>);

/// A body that is kept if it is dropped before its end.
#[derive(Debug)]
pub(crate) struct Kept<B: Body> {
    inner: Option<B>,
    place: Option<Arc<Mutex<Option<B>>>>,
}

impl<B: Body<Data = Bytes> + Unpin> Leftover<B> {
    /// Keeps the body of a request, where there is one and a next request would come after it.
    pub fn watch(request: Request<B>) -> (Request<Kept<B>>, Self) {
        let shared = request.version() <= Version::HTTP_11 && !request.body().is_end_stream();
        let place = shared.then(Arc::default);
        let left = Self(place.clone());
        (request.map(|body| Kept { inner: Some(body), place }), left)
    }

    /// Reads a rest that is short. Whether the connection can go on after it.
    pub async fn clear(&self, asked_first: bool) -> bool {
        let Some(place) = &self.0 else { return true };
        let Some(mut body) = place.lock().unwrap_or_else(PoisonError::into_inner).take() else {
            // It was read to its end, or is still on its way.
            return true;
        };
        // Whoever asks first sends nothing after a refusal (RFC 9110, section 10.1.1).
        if asked_first || body.size_hint().lower() > SHORT {
            return false;
        }
        let read = async {
            let mut left = SHORT;
            while let Some(frame) = body.frame().await {
                let Ok(frame) = frame else { return false };
                let length = frame.data_ref().map_or(0, Bytes::len) as u64;
                let Some(rest) = left.checked_sub(length) else { return false };
                left = rest;
            }
            true
        };
        timeout(PATIENCE, read).await.unwrap_or(false)
    }
}

/// Whether a client waits for a word before it sends its body.
pub(crate) fn asks_first<B>(request: &Request<B>) -> bool {
    request.headers().contains_key(header::EXPECT)
}

impl<B: Body + Unpin> Body for Kept<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        let Some(inner) = &mut self.inner else { return Poll::Ready(None) };
        let frame = ready!(Pin::new(inner).poll_frame(context));
        if !matches!(frame, Some(Ok(_))) {
            // Nothing comes any more, whether it ended well or broke off.
            self.inner = None;
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.inner.as_ref().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.as_ref().map_or_else(|| SizeHint::with_exact(0), Body::size_hint)
    }
}

impl<B: Body> Drop for Kept<B> {
    fn drop(&mut self) {
        if let (Some(body), Some(place)) = (self.inner.take(), &self.place)
            && !body.is_end_stream()
        {
            *place.lock().unwrap_or_else(PoisonError::into_inner) = Some(body);
        }
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::channel::Channel;
    use tokio::time::Instant;

    use super::*;

    type Sent = Channel<Bytes>;

    fn request(body: Sent) -> Request<Sent> {
        Request::new(body)
    }

    #[tokio::test(start_paused = true)]
    async fn a_short_rest_is_read() {
        let (mut sender, body) = Sent::new(1);
        let (request, left) = Leftover::watch(request(body));
        drop(request);
        tokio::spawn(async move {
            tokio::time::sleep(Duration::from_millis(100)).await;
            sender.send_data(Bytes::from_static(b"{}")).await.unwrap();
        });
        assert!(left.clear(false).await);
    }

    #[tokio::test(start_paused = true)]
    async fn what_does_not_come_or_does_not_end_closes_the_connection() {
        let (_sender, body) = Sent::new(1);
        let (request1, left) = Leftover::watch(request(body));
        drop(request1);
        let begun = Instant::now();
        assert!(!left.clear(false).await);
        assert_eq!(begun.elapsed(), PATIENCE);

        let (mut sender, body) = Sent::new(1);
        let (request2, left) = Leftover::watch(request(body));
        drop(request2);
        let sends = tokio::spawn(async move {
            while sender.send_data(Bytes::from_static(&[0; 1_024])).await.is_ok() {}
        });
        assert!(!left.clear(false).await);
        sends.await.unwrap();
    }

    #[tokio::test]
    async fn what_was_read_or_was_not_sent_yet_is_not_waited_for() {
        let (mut sender, body) = Sent::new(1);
        let (request1, left) = Leftover::watch(request(body));
        sender.send_data(Bytes::from_static(b"{}")).await.unwrap();
        drop(sender);
        assert_eq!(request1.into_body().collect().await.unwrap().to_bytes(), "{}");
        assert!(left.clear(false).await);

        let (_sender, body) = Sent::new(1);
        let (request2, left) = Leftover::watch(request(body));
        drop(request2);
        assert!(!left.clear(true).await, "a client that asks first sends nothing after a refusal");
    }
}
