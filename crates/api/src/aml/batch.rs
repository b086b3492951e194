//! Many subjects: JSON lines in, JSON lines out in the same order, while they come. What cannot be read is
//! answered in its line and does not stop the others.

use std::{
    collections::{HashMap, VecDeque},
    future::Future,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll},
};

use axum::{BoxError, body::Body, response::IntoResponse};
use bytes::Bytes;
use http::header;
use http_body::Frame;
use http_body_util::BodyExt;
use portcullis_jose::from_slice_strict;
use serde_json::{Value, json};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore, mpsc},
    task::{JoinError, JoinHandle},
};

use super::screen::{ScreenInput, verdict};
use crate::{
    ApiError,
    call::Call,
    endpoint::{Api, JSON_LINES, Reply},
};

/// The longest line.
const LINE_MAX_BYTES: usize = 256 * 1024;
/// Subjects of one batch that are screened at once.
const AT_ONCE: usize = 8;
/// Batches that are answered at once, and those of one caller.
const BATCHES_MAX: usize = 16;
const BATCHES_OF_A_CALLER_MAX: usize = 4;
/// Answers that wait for their client: many write all of their question before they read.
const WAITING_MAX_KIB: usize = 16 * 1024;

/// An answer, and its share of what may wait.
type Answer = Result<(Bytes, OwnedSemaphorePermit), BoxError>;

/// Lines on their way to the client.
struct Lines(mpsc::UnboundedReceiver<Answer>);

impl http_body::Body for Lines {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let next = self.0.poll_recv(context);
        next.map(|line| line.map(|line| line.map(|(text, _)| Frame::data(text))))
    }
}

/// Where answers go.
struct Client {
    send: mpsc::UnboundedSender<Answer>,
    room: Arc<Semaphore>,
}

impl Client {
    /// Hands on the answer of a line; whether anybody takes it.
    async fn answer(&self, answered: Result<Bytes, JoinError>) -> bool {
        let text = match answered {
            Ok(text) => text,
            // A line that is missing must not look like one without hits.
            Err(failed) => {
                drop(self.send.send(Err(failed.into())));
                return false;
            }
        };
        let kib = (text.len() / 1024 + 1).min(WAITING_MAX_KIB);
        let kib = u32::try_from(kib).unwrap_or(u32::MAX);
        let room = tokio::select! {
            room = self.room.clone().acquire_many_owned(kib) => room,
            () = self.send.closed() => return false,
        };
        room.is_ok_and(|room| self.send.send(Ok((text, room))).is_ok())
    }
}

/// Batches that are being answered, by caller.
#[derive(Debug, Clone, Default)]
pub(crate) struct Batches(Arc<Mutex<HashMap<String, usize>>>);

/// A place among them, until it is dropped.
struct Place {
    batches: Batches,
    caller: String,
}

impl Batches {
    fn enter(&self, caller: &str) -> Result<Place, ApiError> {
        let mut running = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let own = running.get(caller).copied().unwrap_or_default();
        if running.values().sum::<usize>() >= BATCHES_MAX || own >= BATCHES_OF_A_CALLER_MAX {
            return Err(ApiError::Busy);
        }
        running.insert(caller.to_owned(), own + 1);
        Ok(Place { batches: self.clone(), caller: caller.to_owned() })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut running = self.batches.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(own) = running.get_mut(&self.caller) {
            *own = own.saturating_sub(1);
        }
        running.retain(|_, own| *own > 0);
    }
}

pub(crate) fn batch(api: Api, call: Call, body: Body) -> Reply {
    let place = api.batches.enter(&call.caller.id)?;
    let (send, lines) = mpsc::unbounded_channel();
    let client = Client { send, room: Arc::new(Semaphore::new(WAITING_MAX_KIB)) };
    tokio::spawn(async move {
        answer(api, Arc::new(call), body, client).await;
        drop(place);
    });
    Ok(([(header::CONTENT_TYPE, JSON_LINES)], Body::new(Lines(lines))).into_response())
}

/// Reads lines, and answers them until whoever asked has gone. Those that are being answered then are
/// answered all the same: each may be a change that is half done.
async fn answer(api: Api, call: Arc<Call>, mut body: Body, client: Client) {
    let (mut waiting, mut splitter) = (VecDeque::<JoinHandle<Bytes>>::new(), Splitter::default());
    let start = |(number, line): (usize, Result<Vec<u8>, ApiError>)| {
        let (api, call) = (api.clone(), call.clone());
        tokio::spawn(async move { one(&api, &call, number, line).await })
    };
    let mut ready = VecDeque::new();
    let mut ended = false;
    loop {
        while waiting.len() < AT_ONCE
            && let Some(line) = ready.pop_front()
        {
            waiting.push_back(start(line));
        }
        if ended && waiting.is_empty() {
            return;
        }
        let full = ended || !ready.is_empty();
        tokio::select! {
            done = oldest(&mut waiting) => {
                waiting.pop_front();
                if !client.answer(done).await {
                    return;
                }
            }
            frame = body.frame(), if !full => match frame {
                Some(Ok(frame)) => {
                    ready.extend(splitter.take(&frame.into_data().unwrap_or_default()));
                }
                Some(Err(_)) => {
                    ended = true;
                    ready.extend(splitter.cut());
                }
                None => {
                    ended = true;
                    ready.extend(splitter.take(b"\n"));
                }
            },
        }
    }
}

/// What the oldest line is answered; never, if there is none.
async fn oldest(waiting: &mut VecDeque<JoinHandle<Bytes>>) -> Result<Bytes, JoinError> {
    std::future::poll_fn(|context| match waiting.front_mut() {
        Some(first) => Pin::new(first).poll(context),
        None => Poll::Pending,
    })
    .await
}

/// Parts what comes into lines.
#[derive(Default)]
struct Splitter {
    rest: Vec<u8>,
    /// The lines so far, empty ones as well.
    number: usize,
    /// Within a line that is too long.
    passing: bool,
}

impl Splitter {
    /// The lines that are whole with this piece, without empty ones.
    fn take(&mut self, piece: &[u8]) -> Vec<(usize, Result<Vec<u8>, ApiError>)> {
        let mut lines = Vec::new();
        for part in piece.split_inclusive(|byte| *byte == b'\n') {
            if !self.passing {
                self.rest.extend_from_slice(part);
            }
            if self.rest.len() > LINE_MAX_BYTES {
                (self.rest, self.passing) = (Vec::new(), true);
            }
            if !part.ends_with(b"\n") {
                continue;
            }
            self.number += 1;
            let line = std::mem::take(&mut self.rest);
            if std::mem::take(&mut self.passing) {
                lines.push((self.number, Err(ApiError::Body)));
            } else if !line.trim_ascii().is_empty() {
                lines.push((self.number, Ok(line)));
            }
        }
        lines
    }

    /// The body ended before its end.
    fn cut(&mut self) -> [(usize, Result<Vec<u8>, ApiError>); 1] {
        [(self.number + 1, Err(ApiError::CutOff))]
    }
}

async fn one(api: &Api, call: &Call, number: usize, line: Result<Vec<u8>, ApiError>) -> Bytes {
    let read = line.and_then(|line| {
        let first = line.iter().find(|byte| !byte.is_ascii_whitespace());
        if first != Some(&b'{') {
            return Err(ApiError::Body);
        }
        from_slice_strict::<ScreenInput>(&line).map_err(|_| ApiError::Body)
    });
    let answer = match read {
        Ok(input) => verdict(api, call, input).await,
        Err(error) => Err(error),
    };
    told(number, answer.map(|view| json!(view)))
}

fn told(number: usize, answer: Result<Value, ApiError>) -> Bytes {
    let mut line = answer.unwrap_or_else(|error| {
        error.trace();
        json!({ "error": error.problem() })
    });
    line["line"] = number.into();
    let mut text = line.to_string();
    text.push('\n');
    text.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn split(pieces: &[&[u8]]) -> Vec<(usize, Option<String>)> {
        let mut splitter = Splitter::default();
        let mut lines: Vec<_> = pieces.iter().flat_map(|piece| splitter.take(piece)).collect();
        lines.extend(splitter.take(b"\n"));
        let text = |line: Vec<u8>| String::from_utf8_lossy(line.trim_ascii()).into_owned();
        lines.into_iter().map(|(number, line)| (number, line.ok().map(text))).collect()
    }

    #[test]
    fn lines_are_the_same_however_they_come_in_pieces() {
        let text = b"{\"a\":1}\r\n\n{\"b\":2}\n\n\n{\"c\":3}";
        let whole = split(&[text]);
        let told = |number, line: &str| (number, Some(line.to_owned()));
        assert_eq!(whole, [told(1, "{\"a\":1}"), told(3, "{\"b\":2}"), told(6, "{\"c\":3}")]);
        let pieces: Vec<&[u8]> = text.chunks(1).collect();
        assert_eq!(split(&pieces), whole);
        for at in 0..text.len() {
            assert_eq!(split(&[&text[..at], &text[at..]]), whole);
        }
    }

    #[test]
    fn a_line_that_is_too_long_does_not_take_the_next_with_it() {
        let long = vec![b'x'; LINE_MAX_BYTES];
        let lines = split(&[&long, b"yyy", b"\nnext\n", &long, b"\n", b"last"]);
        let told = |number, line: &str| (number, Some(line.to_owned()));
        assert_eq!(lines, [(1, None), told(2, "next"), (3, None), told(4, "last")]);
    }
}
