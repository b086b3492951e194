//! Bodies against the contract of a route, on the way in and on the way out.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode, header, request::Parts};
use http_body::Body;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use portcullis_events::Stage;
use portcullis_jose::check_json;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::{
    answer::Refusal,
    body::{Bounded, Broken, GateBody, full},
    contract::{Checked, ContractViolation, Redacted},
    encoding::Encoding,
    forward::{broken_body, strip_hop_by_hop, too_long},
    guard::Head,
    pipeline::{LOCAL_PATIENCE, LOCAL_TOTAL},
    record::Trail,
    snapshot::Route,
};

/// JSON that a service gets without a contract: objects and arrays in each other.
const JSON_DEPTH: u8 = 64;

/// Holds a request against the contract of its route. Where there is one, or the body is JSON, it is
/// read before it goes on, and goes on as it was read; any other streams.
pub(crate) async fn validate<'a>(
    route: &'a Route,
    mut request: Request<Incoming>,
    head: &Head,
    buffers: &Arc<Semaphore>,
    trail: &mut Trail,
) -> Result<(Request<GateBody>, Option<Checked<'a>>), Refusal> {
    let json = route.checks_json && is_json(request.headers()) && !request.body().is_end_stream();
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
    if let (true, Err(refusal)) = (route.learning, Encoding::of(request.headers())) {
        // It cannot be looked into, and nothing is refused.
        trail.learned(vec![ContractViolation {
            pointer: "/body".into(),
            code: refusal.reason.into(),
            message: refusal.detail,
        }]);
        return Ok((request, checked));
    }
    let (parts, read, _room) = Box::pin(unpacked(route, request, buffers)).await?;
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

/// A body as its service will see it, and what it takes to hold it.
async fn unpacked(
    route: &Route,
    request: Request<GateBody>,
    buffers: &Arc<Semaphore>,
) -> Result<(Parts, Bytes, OwnedSemaphorePermit), Refusal> {
    let (mut parts, body) = request.into_parts();
    let encoding = Encoding::of(&parts.headers)?;
    let longest = match encoding {
        Encoding::Identity => body.size_hint().upper().unwrap_or(route.max_body),
        _ => route.max_body,
    };
    let room = room(buffers, longest.min(route.max_body))?;
    let read = read_whole(body, route.max_body).await?;
    let read = encoding.decode(read, route.max_body)?;
    if parts.headers.remove(header::CONTENT_ENCODING).is_some() {
        // The service gets what was looked at, and its length with it.
        parts.headers.remove(header::CONTENT_LENGTH);
    }
    Ok((parts, read, room))
}

/// JSON about which two readers could disagree does not go on.
async fn check_syntax(
    route: &Route,
    request: Request<GateBody>,
    buffers: &Arc<Semaphore>,
) -> Result<Request<GateBody>, Refusal> {
    let refuse =
        |status, reason, detail: &str| Refusal::new(Stage::Validate, status, reason, detail);
    if charset(request.headers()).is_some_and(|name| !name.eq_ignore_ascii_case("utf-8")) {
        let status = StatusCode::UNSUPPORTED_MEDIA_TYPE;
        return Err(refuse(status, "charset", "JSON is UTF-8"));
    }
    let (parts, read, _room) = unpacked(route, request, buffers).await?;
    if read.is_empty() {
        // Under HTTP/2 that is often found out only now.
        return Ok(Request::from_parts(parts, full(read)));
    }
    check_json(&read, JSON_DEPTH).map_err(|error| {
        let detail = "the body is not JSON, repeats a name, is nested too deep, or has a number \
                      that is too large";
        refuse(StatusCode::BAD_REQUEST, "json", detail).because(error.to_string())
    })?;
    Ok(Request::from_parts(parts, full(read)))
}

fn is_json(headers: &HeaderMap) -> bool {
    let mut kinds = headers.get_all(header::CONTENT_TYPE).iter().map(HeaderValue::as_bytes);
    kinds.any(|kind| {
        let kind = kind.split(|byte| *byte == b';').next().unwrap_or_default();
        let kind = kind.trim_ascii().to_ascii_lowercase();
        kind == b"application/json" || kind == b"text/json" || kind.ends_with(b"+json")
    })
}

fn charset(headers: &HeaderMap) -> Option<&str> {
    let kind = headers.get(header::CONTENT_TYPE)?.to_str().ok()?;
    let mut parameters = kind.split(';').skip(1).filter_map(|part| part.split_once('='));
    let charset = parameters.find(|(name, _)| name.trim().eq_ignore_ascii_case("charset"));
    charset.map(|(_, value)| value.trim().trim_matches('"'))
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
        Refusal::new(Stage::Filter, status, "response_contract", detail).because(why.to_owned())
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
    let mut body = Bounded::new(body, limit, LOCAL_PATIENCE, LOCAL_TOTAL);
    let mut whole = BytesMut::new();
    while let Some(frame) = body.frame().await {
        match frame {
            Ok(frame) => whole.extend_from_slice(frame.data_ref().unwrap_or(&Bytes::new())),
            Err(error) => return Err(broken_body(error.as_ref())),
        }
    }
    Ok(whole.freeze())
}

fn unfit(status: StatusCode, violations: Vec<ContractViolation>) -> Refusal {
    let detail = "the request does not fit what the service accepts";
    let refusal = Refusal::new(Stage::Validate, status, "contract", detail);
    Refusal { violations, ..refusal }
}

/// What bodies that are read whole may take together, in pieces of 64 KiB: 256 MiB.
pub(crate) const BUFFERS: usize = 4_096;
const PIECE: u64 = 64 * 1024;

/// Room for a body, until it has been read and looked at. The first refusal, not the last piece of
/// memory, goes to whoever comes when there is none.
fn room(buffers: &Arc<Semaphore>, bytes: u64) -> Result<OwnedSemaphorePermit, Refusal> {
    let pieces = u32::try_from(bytes.div_ceil(PIECE)).unwrap_or(u32::MAX);
    buffers.clone().try_acquire_many_owned(pieces).map_err(|_| {
        let detail = "there are too many large requests at once; try again";
        let status = StatusCode::SERVICE_UNAVAILABLE;
        Refusal::new(Stage::Validate, status, "buffers", detail).with(header::RETRY_AFTER, "1")
    })
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
