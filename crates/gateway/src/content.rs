//! Bodies against the contract of a route, on the way in and on the way out.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use http::{Request, Response, StatusCode, header, request::Parts};
use http_body::Body;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use portcullis_events::Stage;
use portcullis_jose::check_json;
use tokio::{
    runtime::{Handle, RuntimeFlavor},
    sync::{OwnedSemaphorePermit, Semaphore},
    task::block_in_place,
};

use crate::{
    answer::Refusal,
    body::{Bounded, Broken, GateBody, full},
    contract::{Checked, ContractViolation, Redacted},
    encoding::Encoding,
    forward::{BODY_PATIENCE, BODY_TOTAL, broken_body, strip_hop_by_hop, too_long},
    guard::Head,
    leftover::Kept,
    media_type::MediaType,
    record::Trail,
    snapshot::Route,
};

/// JSON that a service gets without a contract: objects and arrays in each other.
const JSON_DEPTH: u8 = 64;

/// Holds a request against the contract of its route. Where there is one, or the body is JSON, it is
/// read before it goes on, and goes on as it was read; any other streams.
pub(crate) async fn validate<'a>(
    route: &'a Route,
    mut request: Request<Kept<Incoming>>,
    head: &Head,
    buffers: &Buffers,
    trail: &mut Trail,
) -> Result<(Request<GateBody>, Option<Checked<'a>>), Refusal> {
    let looks = route.contract.is_none() && route.checks_json && !request.body().is_end_stream();
    let json = looks && json(&mut request)?;
    if route.contract.is_some() || json {
        // Before anything is looked at: what does not go on must not have been checked.
        strip_hop_by_hop(request.headers_mut());
    }
    let request = request.map(|body| body.map_err(|error| Broken(error).into()).boxed_unsync());
    let Some(contract) = &route.contract else {
        if !json {
            return Ok((request, None));
        }
        return Ok((Box::pin(check_syntax(route, request, buffers)).await?, None));
    };
    let query = request.uri().query().unwrap_or_default();
    let checked = contract.check_head(request.method(), &head.path, query, request.headers());
    let checked = match checked {
        Ok(checked) => Some(checked),
        Err((_, violations)) if route.learning => {
            trail.learned(violations);
            None
        }
        Err((status, violations)) => return Err(unfit(status, violations)),
    };
    if route.learning && !matches!(Encoding::of(request.headers()), Ok(Encoding::Identity)) {
        // To unpack it could fail, and nothing is refused.
        trail.learned(vec![ContractViolation {
            pointer: "/body".into(),
            code: "content_encoding".into(),
            message: "it is packed, and was not looked into".into(),
        }]);
        return Ok((request, checked));
    }
    let (parts, read) = Box::pin(unpacked(route, request, buffers)).await?;
    if let Some(checked) = &checked {
        let violations = Box::pin(checked.check_body(&parts.headers, &read)).await;
        if route.learning {
            trail.learned(violations);
        } else if !violations.is_empty() {
            return Err(unfit(StatusCode::BAD_REQUEST, violations));
        }
    }
    Ok((Request::from_parts(parts, full(read)), checked))
}

/// A body as its service will see it. The room that it takes is held until the last of it is gone.
async fn unpacked(
    route: &Route,
    request: Request<GateBody>,
    buffers: &Buffers,
) -> Result<(Parts, Bytes), Refusal> {
    let (mut parts, body) = request.into_parts();
    let encoding = Encoding::of(&parts.headers)?;
    let mut room = Room { all: &buffers.room, held: None, pieces: 0 };
    let read = read_growing(body, route.max_body, |bytes| room.grow(bytes)).await?;
    let packed = read.len() as u64;
    let read = heavy(buffers, read.len() * usual_ratio(encoding), || {
        encoding.decode(read, route.max_body, |bytes| room.grow(packed + bytes))
    });
    let read = read.await?;
    if parts.headers.remove(header::CONTENT_ENCODING).is_some() {
        // The service gets what was looked at, and its length with it.
        parts.headers.remove(header::CONTENT_LENGTH);
    }
    let held = room.held;
    Ok((parts, Bytes::from_owner(Held { bytes: read, _room: held })))
}

/// Bytes and the room that they take.
struct Held {
    bytes: Bytes,
    _room: Option<OwnedSemaphorePermit>,
}

impl AsRef<[u8]> for Held {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

/// A packed body is some ten times as much.
fn usual_ratio(encoding: Encoding) -> usize {
    if encoding == Encoding::Identity { 1 } else { 10 }
}

/// JSON about which two readers could disagree does not go on.
async fn check_syntax(
    route: &Route,
    request: Request<GateBody>,
    buffers: &Buffers,
) -> Result<Request<GateBody>, Refusal> {
    let (parts, read) = unpacked(route, request, buffers).await?;
    if read.is_empty() {
        // Under HTTP/2 that is often found out only now.
        return Ok(Request::from_parts(parts, full(read)));
    }
    let checked = heavy(buffers, read.len(), || check_json(&read, JSON_DEPTH)).await;
    checked.map_err(|error| {
        let detail = "the body is not JSON, repeats a name, is nested too deep, or has a number \
                      that is too large";
        refuse(StatusCode::BAD_REQUEST, "json", detail).because("content", error.to_string())
    })?;
    Ok(Request::from_parts(parts, full(read)))
}

/// Whether the body of a request is to be looked at as JSON. Its type then goes on in the way of
/// writing it that everybody reads alike.
fn json<B>(request: &mut Request<B>) -> Result<bool, Refusal> {
    let status = StatusCode::UNSUPPORTED_MEDIA_TYPE;
    let kind = MediaType::of(request.headers())
        .map_err(|_| refuse(status, "content_type", "the Content-Type is not a media type"))?;
    let Some(kind) = kind.filter(MediaType::is_json) else { return Ok(false) };
    if !kind.is_utf8() {
        return Err(refuse(status, "charset", "JSON is UTF-8"));
    }
    if let Some(canonical) = kind.canonical() {
        request.headers_mut().insert(header::CONTENT_TYPE, canonical);
    }
    Ok(true)
}

fn refuse(status: StatusCode, reason: &'static str, detail: &str) -> Refusal {
    Refusal::new(Stage::Validate, status, reason, detail)
}

/// Work on so many bytes, in turn and beside the other tasks of this thread if it may take long.
async fn heavy<T>(buffers: &Buffers, bytes: usize, work: impl FnOnce() -> T) -> T {
    if bytes <= LIGHT {
        return work();
    }
    let _turn = buffers.work.acquire().await;
    match Handle::current().runtime_flavor() {
        RuntimeFlavor::MultiThread => block_in_place(work),
        _ => work(),
    }
}

/// Takes out of an answer what its contract does not declare. What is not what was declared even
/// then does not leave.
pub(crate) async fn filter(
    route: &Route,
    checked: &Checked<'_>,
    response: Response<GateBody>,
    trail: &mut Trail,
) -> Result<Response<GateBody>, Refusal> {
    if !checked.declares(response.status().as_u16(), response.headers()) {
        return Ok(response);
    }
    let broken = |why: &str| {
        let detail = "the service's answer is not what it should be";
        let status = StatusCode::BAD_GATEWAY;
        Refusal::new(Stage::Filter, status, "response_contract", detail).because("content", why)
    };
    if response.headers().contains_key(header::CONTENT_ENCODING) {
        return Err(broken("it is encoded"));
    }
    let (mut parts, body) = response.into_parts();
    let read = read_whole(body, route.max_response).await.map_err(|_| broken("it is too long"))?;
    match checked.redact(parts.status.as_u16(), &read) {
        Redacted::Same => Ok(Response::from_parts(parts, full(read))),
        Redacted::Changed { removed, .. } if route.learning => {
            trail.removed(&removed);
            Ok(Response::from_parts(parts, full(read)))
        }
        Redacted::Changed { body, removed } => {
            trail.removed(&removed);
            parts.headers.remove(header::CONTENT_LENGTH);
            parts.headers.remove(header::ETAG);
            Ok(Response::from_parts(parts, full(body)))
        }
        Redacted::Unfit(why) if route.learning => {
            trail.removed(&[why]);
            Ok(Response::from_parts(parts, full(read)))
        }
        Redacted::Unfit(why) => Err(broken(&why)),
    }
}

pub(crate) async fn read_whole(body: GateBody, limit: u64) -> Result<Bytes, Refusal> {
    read_growing(body, limit, |_| Ok(())).await
}

/// Reads a body to its end. `room` is asked before there are so many bytes of it.
async fn read_growing(
    body: GateBody,
    limit: u64,
    mut room: impl FnMut(u64) -> Result<(), Refusal>,
) -> Result<Bytes, Refusal> {
    let mut body = Bounded::new(body, limit, BODY_PATIENCE, BODY_TOTAL);
    let mut whole = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| broken_body(error.as_ref()))?;
        if let Some(data) = frame.data_ref() {
            room((whole.len() + data.len()) as u64)?;
            whole.extend_from_slice(data);
        }
    }
    Ok(whole.freeze())
}

fn unfit(status: StatusCode, violations: Vec<ContractViolation>) -> Refusal {
    let detail = "the request does not fit what the service accepts";
    let refusal = Refusal::new(Stage::Validate, status, "contract", detail);
    Refusal { violations, ..refusal }
}

/// What bodies that are read whole may take together, in pieces of 4 KiB: 256 MiB.
const ROOM: usize = 65_536;
const PIECE: u64 = 4_096;
/// Bodies up to this many bytes are looked at in between.
const LIGHT: usize = 64 * 1024;
/// Larger ones that are looked at at once.
const TURNS: usize = 2;

/// Room for bodies that are read whole, and turns to look at large ones.
#[derive(Debug, Clone)]
pub(crate) struct Buffers {
    room: Arc<Semaphore>,
    work: Arc<Semaphore>,
}

impl Default for Buffers {
    fn default() -> Self {
        let (room, work) = (Semaphore::new(ROOM), Semaphore::new(TURNS));
        Self { room: Arc::new(room), work: Arc::new(work) }
    }
}

/// The room of one body. It grows with what has come: who only says that something will come takes
/// none.
struct Room<'a> {
    all: &'a Arc<Semaphore>,
    held: Option<OwnedSemaphorePermit>,
    pieces: u64,
}

impl Room<'_> {
    /// The first refusal, not the last piece of memory, goes to whoever comes when there is none.
    fn grow(&mut self, bytes: u64) -> Result<(), Refusal> {
        let missing = bytes.div_ceil(PIECE).saturating_sub(self.pieces);
        if missing == 0 {
            return Ok(());
        }
        let count = u32::try_from(missing).unwrap_or(u32::MAX);
        let more = self.all.clone().try_acquire_many_owned(count).map_err(|_| {
            let detail = "there are too many large requests at once; try again";
            refuse(StatusCode::SERVICE_UNAVAILABLE, "buffers", detail)
                .with(header::RETRY_AFTER, "1")
        })?;
        match &mut self.held {
            Some(held) => held.merge(more),
            None => self.held = Some(more),
        }
        self.pieces += missing;
        Ok(())
    }
}

/// A body that says it is too long need not be read to find out.
pub(crate) fn check_length<B>(request: &Request<B>, route: &Route) -> Result<(), Refusal> {
    let length = request.headers().get(header::CONTENT_LENGTH);
    let length = length.and_then(|value| value.to_str().ok()).map(str::parse::<u64>);
    match length {
        Some(Ok(length)) if length <= route.max_body => Ok(()),
        Some(_) => Err(too_long()),
        None => Ok(()),
    }
}
