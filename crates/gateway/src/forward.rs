use std::{
    io,
    pin::Pin,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use http::{
    HeaderMap, HeaderName, HeaderValue, Request, Response, StatusCode, Uri, Version, header,
    uri::PathAndQuery,
};
use http_body::Body;
use http_body_util::BodyExt;
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use portcullis_cluster::ConcurrencyPlace;
use portcullis_events::Stage;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    sync::oneshot,
    time::timeout,
};

use crate::{
    answer::Refusal,
    body::{
        Bounded, Broken, Fault, GateBody, Progress, Stalled, TooLong, Watched, announced_trailers,
        caused_by, empty,
    },
    cookies::{self, Cookies},
    guard::Head,
    upstream::{Protocol, Upstream, UpstreamError},
};

/// Header fields of an answer, all together.
const MAX_RESPONSE_HEADER_BYTES: usize = 64 * 1024;
/// A body that makes no progress for this long is given up.
pub(crate) const BODY_PATIENCE: Duration = Duration::from_secs(30);
/// A request's body, however steadily it comes, is over after this time.
pub(crate) const BODY_TOTAL: Duration = Duration::from_secs(600);
/// An answer may pause longer than a request: server-sent events are quiet at times.
const ANSWER_PATIENCE: Duration = Duration::from_secs(300);
/// Whether a WebSocket may stay open is asked this often.
const TUNNEL_LOOK: Duration = Duration::from_secs(2);
/// One on which nothing moves is closed after this time.
const TUNNEL_IDLE: Duration = Duration::from_secs(600);
/// And every one after this time.
const TUNNEL_LIFETIME: Duration = Duration::from_secs(12 * 3600);

/// Fields that belong to one connection (RFC 9110, section 7.6.1).
const HOP_BY_HOP: [HeaderName; 9] = [
    header::CONNECTION,
    HeaderName::from_static("keep-alive"),
    header::PROXY_AUTHENTICATE,
    header::PROXY_AUTHORIZATION,
    HeaderName::from_static("proxy-connection"),
    header::TE,
    header::TRAILER,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
];

/// Fields by which services are told who is calling, or what is called, by whoever stands in front of
/// them. Only the gate may write them.
const IDENTITY_PREFIXES: [&str; 22] = [
    "x-forwarded",
    "x-portcullis-",
    "x-auth",
    "x-user",
    "x-remote-",
    "x-real-ip",
    "x-client-",
    "x-ssl-",
    "x-original-",
    "x-rewrite-",
    "x-webauth-",
    "x-consumer-",
    "x-credential-",
    "x-ms-client-",
    "x-goog-",
    "x-amzn-oidc-",
    "x-envoy-",
    "x-cluster-client-",
    "remote-",
    "ssl-",
    "client-",
    "cf-",
];
/// Single fields of the same kind.
const IDENTITY_NAMES: [&str; 12] = [
    "dpop",
    "forwarded",
    "true-client-ip",
    "fastly-client-ip",
    "x-api-key",
    "x-request-id",
    "x-host",
    "proxy",
    "x-http-method-override",
    "x-http-method",
    "x-method-override",
    "expect",
];

/// What the gate knows about a request when it goes on.
pub(crate) struct Passage<'a> {
    pub head: &'a Head,
    pub client: String,
    pub request_id: &'a str,
    pub token: Option<Arc<str>>,
    pub max_body: u64,
    pub cookies: Cookies,
    /// Whether a WebSocket may stay open.
    pub stands: Option<Stands>,
}

/// Tells whether what somebody was admitted by still holds.
pub(crate) type Stands = Arc<dyn Fn() -> bool + Send + Sync>;

/// Sends a request to an upstream and brings the answer back.
pub(crate) async fn forward(
    upstream: &Arc<Upstream>,
    mut request: Request<GateBody>,
    passage: &Passage<'_>,
) -> Result<Response<GateBody>, Refusal> {
    if passage.head.upgrade && upstream.protocol == Protocol::Http2 {
        let detail = "the service takes no WebSockets";
        return Err(refuse(StatusCode::NOT_IMPLEMENTED, "upgrade", detail));
    }
    let tunnel = passage.head.upgrade.then(|| hyper::upgrade::on(&mut request));
    let trailers = tunnel.is_none() && wants_trailers(request.headers());
    let mut request = prepare(request, passage)?;
    if trailers {
        // gRPC servers ask for it.
        request.headers_mut().insert(header::TE, HeaderValue::from_static("trailers"));
        if upstream.protocol == Protocol::Http1 {
            request.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("te"));
        }
    }
    let (request, progress) = watched(request);
    let answered =
        upstream.send(request, &progress).await.map_err(|error| failed(&error, &progress))?;
    if answered.response.status() == StatusCode::SWITCHING_PROTOCOLS {
        let Some(client) = tunnel else {
            let detail = "the upstream switched protocols unasked";
            return Err(refuse(StatusCode::BAD_GATEWAY, "bad_gateway", detail));
        };
        let (parts, server, place) = answered.into_tunnel();
        let (give, given) = oneshot::channel();
        let stands = passage.stands.clone();
        tokio::spawn(async move {
            // It counts among those on their way, everywhere, until it is over.
            let held = given.await;
            join(client, server, stands).await;
            drop((held, place));
        });
        let mut response = switching(&parts);
        response.extensions_mut().insert(Tunnel(Arc::new(Mutex::new(Some(give)))));
        return Ok(response);
    }
    let bytes: usize =
        answered.response.headers().iter().map(|(n, v)| n.as_str().len() + v.len()).sum();
    if bytes > MAX_RESPONSE_HEADER_BYTES {
        let detail = "the service's header fields are too large";
        return Err(refuse(StatusCode::BAD_GATEWAY, "upstream_headers", detail));
    }
    let (mut parts, body) = answered.into_parts();
    // Only what comes in chunks has something behind it.
    let chunked = !parts.headers.contains_key(header::CONTENT_LENGTH);
    let announced = (trailers && chunked).then(|| announced_trailers(&parts.headers)).flatten();
    strip_hop_by_hop(&mut parts.headers);
    if let Some(names) = announced {
        parts.headers.insert(header::TRAILER, names);
    }
    cookies::harden(&mut parts.headers, passage.cookies);
    parts.version = Version::HTTP_11;
    let body = Bounded::new(body, u64::MAX, ANSWER_PATIENCE, TUNNEL_LIFETIME).boxed_unsync();
    Ok(Response::from_parts(parts, body))
}

/// Whether the caller reads what comes after the body (RFC 9110, section 10.1.4).
fn wants_trailers(headers: &HeaderMap) -> bool {
    let values = headers.get_all(header::TE).iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).any(|word| word.trim() == "trailers")
}

/// A request whose body can be seen on its way. Most have none.
fn watched(request: Request<GateBody>) -> (Request<GateBody>, Progress) {
    if request.body().is_end_stream() {
        return (request, Progress::default());
    }
    let (parts, body) = request.into_parts();
    let (body, progress) = Watched::new(body);
    (Request::from_parts(parts, body.boxed_unsync()), progress)
}

/// Builds the request anew from its parts: nothing is forwarded that was not understood.
fn prepare(
    request: Request<GateBody>,
    passage: &Passage<'_>,
) -> Result<Request<GateBody>, Refusal> {
    let (mut parts, body) = request.into_parts();
    parts.uri = target(&parts.uri, &passage.head.path)?;
    parts.version = Version::HTTP_11;
    strip_hop_by_hop(&mut parts.headers);
    strip_identity(&mut parts.headers);
    cookies::join(&mut parts.headers);
    let mut set = |name: &'static str, value: &str| {
        if let Ok(value) = HeaderValue::from_str(value) {
            parts.headers.insert(HeaderName::from_static(name), value);
        }
    };
    set("x-forwarded-for", &passage.client);
    set("x-forwarded-proto", "https");
    set("x-forwarded-host", &passage.head.host);
    set("x-request-id", passage.request_id);
    if let Some(token) = &passage.token {
        set("authorization", &format!("Bearer {token}"));
    }
    if passage.head.upgrade {
        set("connection", "upgrade");
        set("upgrade", "websocket");
    }
    let body = Bounded::new(body, passage.max_body, BODY_PATIENCE, BODY_TOTAL).boxed_unsync();
    Ok(Request::from_parts(parts, body))
}

/// The canonical path with the query as it came, in origin form.
pub(crate) fn target(uri: &Uri, path: &str) -> Result<Uri, Refusal> {
    if let (true, Some(same)) = (uri.path() == path, uri.path_and_query()) {
        return Ok(same.clone().into());
    }
    let query = uri.query().map(|query| format!("?{query}")).unwrap_or_default();
    let target: Result<PathAndQuery, _> = format!("{path}{query}").parse();
    let detail = "the target is malformed";
    Ok(target.map_err(|_| refuse(StatusCode::BAD_REQUEST, "target", detail))?.into())
}

pub(crate) fn strip_hop_by_hop(headers: &mut HeaderMap) {
    let named = headers
        .get_all(header::CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .filter_map(|name| name.trim().parse().ok());
    let known = headers.keys().filter(|name| HOP_BY_HOP.contains(name)).cloned();
    let doomed: Vec<HeaderName> = named.chain(known).collect();
    for name in doomed {
        headers.remove(name);
    }
}

/// Removes these fields.
pub(crate) fn strip_names<'a>(headers: &mut HeaderMap, names: impl Iterator<Item = &'a str>) {
    for name in names {
        headers.remove(name);
    }
}

/// Removes what only the gate may say, and names with anything but letters, digits and dashes: some
/// servers read an underscore, a dot or others as a dash.
pub(crate) fn strip_identity(headers: &mut HeaderMap) {
    let foreign: Vec<HeaderName> = headers
        .keys()
        .filter(|name| {
            let name = name.as_str();
            !name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
                || IDENTITY_NAMES.contains(&name)
                || IDENTITY_PREFIXES.iter().any(|prefix| name.starts_with(prefix))
        })
        .cloned()
        .collect();
    for name in foreign {
        headers.remove(name);
    }
    headers.remove(header::AUTHORIZATION);
}

fn switching(parts: &http::response::Parts) -> Response<GateBody> {
    let mut answer = Response::new(empty());
    *answer.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    for (name, value) in &parts.headers {
        if name == "sec-websocket-accept"
            || name == "sec-websocket-protocol"
            || name == "sec-websocket-extensions"
        {
            answer.headers_mut().append(name.clone(), value.clone());
        }
    }
    let headers = answer.headers_mut();
    headers.insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
    headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
    answer
}

/// A tunnel that has begun takes over what its request held.
#[derive(Clone)]
pub(crate) struct Tunnel(Arc<Mutex<Option<oneshot::Sender<Vec<ConcurrencyPlace>>>>>);

impl Tunnel {
    pub fn take_over(&self, places: Vec<ConcurrencyPlace>) {
        if let Some(give) = self.0.lock().unwrap_or_else(PoisonError::into_inner).take() {
            let _ = give.send(places);
        }
    }
}

async fn join(client: OnUpgrade, server: OnUpgrade, stands: Option<Stands>) {
    let (Ok(client), Ok(server)) = tokio::join!(client, server) else {
        return;
    };
    let moved = Arc::new(AtomicU64::new(0));
    let mut client = Moving { stream: TokioIo::new(client), moved: moved.clone() };
    let mut server = TokioIo::new(server);
    let both = tokio::io::copy_bidirectional(&mut client, &mut server);
    let over = async {
        let (mut before, mut quiet) = (0, Duration::ZERO);
        loop {
            tokio::time::sleep(TUNNEL_LOOK).await;
            let now = moved.load(Ordering::Relaxed);
            quiet = if now == before { quiet + TUNNEL_LOOK } else { Duration::ZERO };
            before = now;
            if quiet >= TUNNEL_IDLE {
                return "nothing moved on a WebSocket";
            }
            if stands.as_ref().is_some_and(|stands| !stands()) {
                return "what opened a WebSocket was taken back";
            }
        }
    };
    tokio::select! {
        ended = timeout(TUNNEL_LIFETIME, both) => if let Ok(Err(error)) = ended {
            tracing::debug!(%error, "a WebSocket ended");
        },
        why = over => tracing::debug!(why),
    }
}

/// Counts what goes in and out.
struct Moving<S> {
    stream: S,
    moved: Arc<AtomicU64>,
}

impl<S: AsyncRead + Unpin> AsyncRead for Moving<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let polled = Pin::new(&mut self.stream).poll_read(cx, into);
        if polled.is_ready() {
            self.moved.fetch_add(1, Ordering::Relaxed);
        }
        polled
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Moving<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.stream).poll_write(cx, bytes);
        if polled.is_ready() {
            self.moved.fetch_add(1, Ordering::Relaxed);
        }
        polled
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

/// What went wrong decides who is told what: a body that is too long is the client's doing.
fn failed(error: &UpstreamError, progress: &Progress) -> Refusal {
    tracing::debug!(error = error as &dyn std::error::Error, "forwarding failed");
    match progress.fault() {
        Some(Fault::TooLong) => return too_long(),
        Some(Fault::Stalled) => return stalled(),
        Some(Fault::Broken) => return broken(),
        None => {}
    }
    match error {
        UpstreamError::Timeout => {
            let detail = "the service did not answer in time";
            refuse(StatusCode::GATEWAY_TIMEOUT, "upstream_timeout", detail)
        }
        UpstreamError::Connect(_) => {
            let detail = "the service cannot be reached";
            refuse(StatusCode::BAD_GATEWAY, "upstream_unreachable", detail)
        }
        UpstreamError::Full => {
            let detail = "the service has enough to do; try again";
            refuse(StatusCode::SERVICE_UNAVAILABLE, "upstream_busy", detail)
                .with(header::RETRY_AFTER, "1")
        }
        UpstreamError::Protocol(_) => {
            refuse(StatusCode::BAD_GATEWAY, "upstream_broken", "the service broke off")
        }
    }
}

/// The refusal for a body that could not be read.
pub(crate) fn broken_body(error: &(dyn std::error::Error + 'static)) -> Refusal {
    clients_fault(error).unwrap_or_else(|| {
        refuse(StatusCode::BAD_REQUEST, "body_broken", "the body could not be read")
    })
}

fn clients_fault(error: &(dyn std::error::Error + 'static)) -> Option<Refusal> {
    if caused_by::<TooLong>(error) {
        return Some(too_long());
    }
    if caused_by::<Broken>(error) {
        return Some(broken());
    }
    caused_by::<Stalled>(error).then(stalled)
}

fn broken() -> Refusal {
    let detail = "the body broke off or is malformed";
    refuse(StatusCode::BAD_REQUEST, "body_broken", detail)
}

fn stalled() -> Refusal {
    let detail = "the body made no progress in time";
    refuse(StatusCode::REQUEST_TIMEOUT, "body_stalled", detail)
}

pub(crate) fn too_long() -> Refusal {
    let detail = "the body is longer than this route allows";
    refuse(StatusCode::PAYLOAD_TOO_LARGE, "body_too_large", detail)
}

fn refuse(status: StatusCode, reason: &'static str, detail: &str) -> Refusal {
    Refusal::new(Stage::Forward, status, reason, detail)
}
