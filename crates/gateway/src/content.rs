//! Bodies against the contract of a route, on the way in and on the way out.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use http::{Request, Response, StatusCode, header};
use http_body::Body;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use portcullis_events::Stage;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::{
    answer::Refusal,
    body::{Bounded, Broken, GateBody, full},
    contract::{Checked, ContractViolation, Redacted},
    forward::{broken_body, strip_hop_by_hop, too_long},
    guard::Head,
    pipeline::{LOCAL_PATIENCE, LOCAL_TOTAL},
    record::Trail,
    snapshot::Route,
};

/// Holds a request against the contract of its route. Where there is one, the body is read before
/// it goes on; on every other route it streams.
pub(crate) async fn validate<'a>(
    route: &'a Route,
    mut request: Request<Incoming>,
    head: &Head,
    buffers: &Arc<Semaphore>,
    trail: &mut Trail,
) -> Result<(Request<GateBody>, Option<Checked<'a>>), Refusal> {
    if route.contract.is_some() {
        // Before anything is looked at: what does not go on must not have been checked.
        strip_hop_by_hop(request.headers_mut());
    }
    let request = request.map(|body| body.map_err(|error| Broken(error).into()).boxed_unsync());
    let Some(contract) = &route.contract else { return Ok((request, None)) };
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
    let (parts, body) = request.into_parts();
    let _room =
        room(buffers, body.size_hint().upper().unwrap_or(route.max_body).min(route.max_body))?;
    let read = read_whole(body, route.max_body).await?;
    if let Some(checked) = &checked {
        let violations = checked.check_body(&parts.headers, &read).await;
        if route.learning {
            trail.learned(violations);
        } else if !violations.is_empty() {
            return Err(unfit(StatusCode::BAD_REQUEST, violations));
        }
    }
    Ok((Request::from_parts(parts, full(read)), checked))
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
