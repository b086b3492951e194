//! Many subjects: JSON lines in, JSON lines out in the same order, while they come. What cannot be read is
//! answered in its line and does not stop the others.

use std::{
    collections::VecDeque,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use axum::{body::Body, response::IntoResponse};
use bytes::Bytes;
use http::header;
use http_body::Frame;
use http_body_util::BodyExt;
use portcullis_jose::from_slice_strict;
use serde_json::{Value, json};
use tokio::{sync::mpsc, task::JoinHandle};

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

/// Lines on their way to the client.
struct Lines(mpsc::Receiver<Bytes>);

impl http_body::Body for Lines {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        self.0.poll_recv(context).map(|line| line.map(|line| Ok(Frame::data(line))))
    }
}

// The shape of a handler.
#[expect(clippy::unnecessary_wraps, reason = "handlers can refuse")]
pub(crate) fn batch(api: Api, call: Call, body: Body) -> Reply {
    let (send, lines) = mpsc::channel(AT_ONCE);
    tokio::spawn(answer(api, Arc::new(call), body, send));
    Ok(([(header::CONTENT_TYPE, JSON_LINES)], Body::new(Lines(lines))).into_response())
}

/// Reads lines, and answers them until whoever asked has gone.
async fn answer(api: Api, call: Arc<Call>, mut body: Body, send: mpsc::Sender<Bytes>) {
    let mut waiting = VecDeque::new();
    let (mut rest, mut number, mut passing) = (Vec::new(), 0, false);
    loop {
        let frame = body.frame().await;
        let (data, ended) = match frame {
            Some(Ok(frame)) => (frame.into_data().unwrap_or_default(), false),
            // Cut off: the last line is not one.
            Some(Err(_)) => {
                let cut = told(number + 1, Err(ApiError::Body));
                waiting.push_back(tokio::spawn(async move { cut }));
                break;
            }
            None => (Bytes::from_static(b"\n"), true),
        };
        for part in data.split_inclusive(|byte| *byte == b'\n') {
            if !passing {
                rest.extend_from_slice(part);
            }
            let whole = part.ends_with(b"\n");
            if rest.len() > LINE_MAX_BYTES {
                (rest, passing) = (Vec::new(), true);
            }
            if !whole {
                continue;
            }
            let line = std::mem::take(&mut rest);
            let too_long = std::mem::take(&mut passing);
            if ended && !too_long && line.trim_ascii().is_empty() {
                continue;
            }
            number += 1;
            if !too_long && line.trim_ascii().is_empty() {
                continue;
            }
            let (api, call, line) = (api.clone(), call.clone(), (!too_long).then_some(line));
            waiting.push_back(tokio::spawn(async move { one(&api, &call, number, line).await }));
            if waiting.len() >= AT_ONCE && !forward(&mut waiting, &send).await {
                return;
            }
        }
        if ended {
            break;
        }
    }
    while !waiting.is_empty() && forward(&mut waiting, &send).await {}
}

/// Sends the answer of the oldest line; whether anybody takes it.
async fn forward(waiting: &mut VecDeque<JoinHandle<Bytes>>, send: &mpsc::Sender<Bytes>) -> bool {
    let Some(oldest) = waiting.pop_front() else { return false };
    // One that failed ends the answer: a line that is missing must not look like one without hits.
    let Ok(line) = oldest.await else { return false };
    send.send(line).await.is_ok()
}

async fn one(api: &Api, call: &Call, number: usize, line: Option<Vec<u8>>) -> Bytes {
    let read = line.ok_or(ApiError::Body).and_then(|line| {
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
    let mut line = answer.unwrap_or_else(|error| json!({ "error": error.problem() }));
    line["line"] = number.into();
    let mut text = line.to_string();
    text.push('\n');
    text.into()
}
