//! Services behind the gate: which of their servers gets a request, and what happens when one fails.

mod budget;
mod health;
mod load;
mod outlier;
mod pool;
mod server;

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use arc_swap::ArcSwap;
use http::{Method, Request, Response, StatusCode, header};
use http_body::Body;
use hyper::{body::Incoming, upgrade::OnUpgrade};
use portcullis_types::Entropy;
use tokio::time::{Instant, sleep, timeout};

pub use health::{HealthCheck, watch_health};
pub use server::{Server, ServerState, ServerTls};

use crate::body::{GateBody, Progress, empty};
use budget::Budget;
pub(crate) use load::Dice;
use load::FAILED;
use pool::{Give, Pooled};
use server::Sender;

/// Before something is tried again, up to twice this time passes, drawn at random.
const RETRY_PAUSE: Duration = Duration::from_millis(10);

/// Why an upstream did not answer.
#[derive(Debug, thiserror::Error)]
pub enum UpstreamError {
    /// No server could be reached.
    #[error("no server of the upstream can be reached")]
    Connect(#[source] Option<std::io::Error>),
    /// A server spoke something else than HTTP, or broke off.
    #[error("the upstream broke off")]
    Protocol(#[source] hyper::Error),
    /// The answer did not begin in time.
    #[error("the upstream did not answer in time")]
    Timeout,
    /// As many requests as it may have are on their way.
    #[error("the upstream has enough to do")]
    Full,
}

/// What is spoken with a server.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Protocol {
    /// HTTP/1.1, a connection for each request at a time.
    #[default]
    Http1,
    /// HTTP/2, all requests over one connection: over TLS by ALPN, otherwise with prior knowledge.
    Http2,
}

/// How an upstream is treated.
#[derive(Debug, Clone)]
pub struct UpstreamSettings {
    /// An answer begins in this time, whatever had to be tried for it; counted from the end of the
    /// request's body.
    pub timeout: Duration,
    /// One server may take so long of it.
    pub try_timeout: Duration,
    /// How often a request that may be repeated is tried again at most.
    pub retries: u32,
    /// Requests on their way at once; beyond that, callers are told to come back.
    pub max_requests: usize,
    /// A server that comes back gets its share by and by, over this time.
    pub slow_start: Duration,
    /// After so many failures in a row a server is left alone; 0 for never.
    pub eject_after: u32,
    /// For this long, the first time.
    pub eject_for: Duration,
    /// Whether a connection is used again after a request with a body. A service that answers
    /// without reading the body takes it for the next request.
    pub reuse_after_body: bool,
    /// Where and how often to ask whether a server is well.
    pub health: Option<HealthCheck>,
}

/// Servers behind the gate that do the same job.
#[derive(Debug)]
pub struct Upstream {
    /// Its name.
    pub name: String,
    /// The audience of the tokens it gets.
    pub audience: String,
    /// What is spoken with its servers.
    pub protocol: Protocol,
    settings: UpstreamSettings,
    servers: ArcSwap<Vec<Arc<Server>>>,
    active: AtomicUsize,
    budget: Budget,
    dice: Dice,
    /// Where the monotonic clock of its records begins.
    begun: Instant,
}

/// An answer that has begun.
pub(crate) struct Answered {
    pub response: Response<Incoming>,
    sender: Sender,
    server: Arc<Server>,
    place: InFlight,
    reusable: bool,
}

impl Answered {
    /// The head of an answer after which both sides speak another protocol, that connection, and the
    /// place that it takes as long as it lasts.
    pub fn into_tunnel(mut self) -> (http::response::Parts, OnUpgrade, InFlight) {
        let tunnel = hyper::upgrade::on(&mut self.response);
        (self.response.into_parts().0, tunnel, self.place)
    }

    /// The answer with a body that keeps the connection until it is read.
    pub fn into_parts(self) -> (http::response::Parts, Pooled) {
        let (parts, body) = self.response.into_parts();
        let give = match self.sender {
            // What of the request is still on its way would be taken for the next one.
            Sender::Http1(sender) if self.reusable => Some((sender, self.server.pool.clone())),
            Sender::Http1(_) => None,
            // The connection is everybody's.
            Sender::Http2(_) => None,
        };
        (parts, Pooled::new(body, Give { connection: give, place: self.place }))
    }
}

/// A request that is on its way, until its answer was read.
pub(crate) struct InFlight {
    upstream: Arc<Upstream>,
    server: Arc<Server>,
}

impl InFlight {
    fn new(upstream: &Arc<Upstream>, server: &Arc<Server>) -> Self {
        upstream.active.fetch_add(1, Ordering::Relaxed);
        server.load.active.fetch_add(1, Ordering::Relaxed);
        Self { upstream: upstream.clone(), server: server.clone() }
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.upstream.active.fetch_sub(1, Ordering::Relaxed);
        self.server.load.active.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Upstream {
    /// An upstream with its first servers.
    pub fn new(
        name: String,
        audience: String,
        protocol: Protocol,
        settings: UpstreamSettings,
        servers: Vec<Server>,
        entropy: &dyn Entropy,
    ) -> Self {
        let servers = servers.into_iter().map(Arc::new).collect();
        Self {
            name,
            audience,
            protocol,
            settings,
            servers: ArcSwap::from_pointee(servers),
            active: AtomicUsize::new(0),
            budget: Budget::default(),
            dice: Dice::new(entropy),
            begun: Instant::now(),
        }
    }

    /// The servers as they are now, for people.
    pub fn describe(&self) -> String {
        let servers = self.servers.load();
        servers.iter().map(|server| format!("{server:?}")).collect::<Vec<_>>().join(", ")
    }

    /// How each server is.
    pub fn servers(&self) -> Vec<ServerState> {
        let now = self.now();
        let state = |server: &Arc<Server>| ServerState {
            server: format!("{server:?}"),
            healthy: server.is_healthy(),
            ejected: server.record.is_ejected(now),
            active: server.load.active.load(Ordering::Relaxed),
        };
        self.servers.load().iter().map(state).collect()
    }

    /// Takes over what discovery found. Those that are still there keep their connections and what
    /// is known of them; requests to the others finish.
    pub fn set_servers(&self, found: Vec<Server>) {
        let known = self.servers.load_full();
        let kept = |server: Server| {
            let same = known.iter().find(|known| known.is_same_place(&server));
            same.cloned().unwrap_or_else(|| Arc::new(server))
        };
        self.servers.store(Arc::new(found.into_iter().map(kept).collect()));
    }

    /// The monotonic time of its records.
    fn now(&self) -> Duration {
        self.begun.elapsed()
    }

    /// The server for the next request: the better of two. Those that are ill or failed lately are
    /// passed over, unless there is no other; `but` is one that was tried in vain.
    fn choose(&self, but: &[Arc<Server>], now: Duration) -> Option<Arc<Server>> {
        let servers = self.servers.load();
        if let ([only], []) = (servers.as_slice(), but) {
            return Some(only.clone());
        }
        let fresh = |server: &&Arc<Server>| !but.iter().any(|tried| Arc::ptr_eq(tried, server));
        let good = |server: &&Arc<Server>| server.is_healthy() && !server.record.is_ejected(now);
        let mut candidates: Vec<&Arc<Server>> = servers.iter().filter(good).filter(fresh).collect();
        if candidates.is_empty() {
            candidates = servers.iter().filter(fresh).collect();
        }
        let (one, other) = self.dice.two_of(candidates.len());
        let (one, other) = (candidates.get(one)?, candidates.get(other)?);
        let better = if self.cost(one, now) <= self.cost(other, now) { one } else { other };
        Some((*better).clone())
    }

    fn cost(&self, server: &Server, now: Duration) -> u64 {
        let cost = server.load.cost(now);
        match server.record.back_since(now).filter(|since| *since < self.settings.slow_start) {
            None => cost,
            Some(since) => {
                let whole = self.settings.slow_start.as_millis().max(1);
                let part = since.as_millis().max(whole / 20).max(1);
                u64::try_from(u128::from(cost) * whole / part).unwrap_or(u64::MAX)
            }
        }
    }

    /// Sends a request to one of the servers. It is tried again elsewhere while nothing of it has
    /// been sent; after that only if it may be repeated (RFC 9110, section 9.2.2), has no body, and
    /// the budget allows it.
    pub(crate) async fn send(
        self: &Arc<Self>,
        request: Request<GateBody>,
        progress: &Progress,
    ) -> Result<Answered, UpstreamError> {
        if self.active.load(Ordering::Relaxed) >= self.settings.max_requests {
            return Err(UpstreamError::Full);
        }
        self.budget.deposit();
        let deadline = Deadline::new(&self.settings, progress);
        let repeatable = is_idempotent(request.method())
            && request.body().is_end_stream()
            && !request.headers().contains_key(header::UPGRADE);
        let copy = repeatable.then(|| duplicate(&request));
        let (mut request, mut tried) = (request, Vec::new());
        let mut again = 0;
        loop {
            let count = self.servers.load().len();
            let server = self.choose(&tried, self.now()).ok_or(UpstreamError::Connect(None))?;
            let begun = self.now();
            let went = self.attempt(&server, request, &deadline).await;
            self.observe(&server, &went, begun, progress);
            if let Err(Failed::Unsent(error, unsent)) = went {
                tried.push(server);
                if tried.len() >= count {
                    return Err(error);
                }
                request = *unsent;
                continue;
            }
            let good = went.as_ref().is_ok_and(|answered| !is_trouble(answered.response.status()));
            let Some(copy) = copy.as_ref().filter(|_| {
                !good
                    && again < self.settings.retries
                    && !deadline.is_over()
                    && self.budget.withdraw()
            }) else {
                return went.map_err(Failed::into_error);
            };
            again += 1;
            request = duplicate(copy);
            if tried.len() + 1 < count {
                tried.push(server);
            }
            self.pause().await;
        }
    }

    async fn attempt(
        self: &Arc<Self>,
        server: &Arc<Server>,
        mut request: Request<GateBody>,
        deadline: &Deadline<'_>,
    ) -> Result<Answered, Failed> {
        server.address(&mut request);
        let place = InFlight::new(self, server);
        let bodiless = request.body().is_end_stream();
        let reusable =
            || bodiless || (self.settings.reuse_after_body && deadline.progress.is_over());
        while let Some(sender) = server.waiting() {
            match exchange(sender, request, deadline).await {
                Ok((response, sender)) => {
                    let (server, reusable) = (server.clone(), reusable());
                    return Ok(Answered { response, sender, server, place, reusable });
                }
                // The server closed it while it waited: nothing is wrong with the server.
                Err(Failed::Unsent(_, unsent)) => request = *unsent,
                Err(failed) => {
                    let broke = matches!(failed, Failed::Sent(UpstreamError::Protocol(_)));
                    if broke && deadline.progress.fault().is_none() {
                        server.retire();
                    }
                    return Err(failed);
                }
            }
        }
        // A handshake is rare and large: there must not be room for one in every request.
        match Box::pin(server.connect()).await {
            Ok(sender) => {
                let (response, sender) = exchange(sender, request, deadline).await?;
                let (server, reusable) = (server.clone(), reusable());
                Ok(Answered { response, sender, server, place, reusable })
            }
            Err(error) => {
                Err(Failed::Unsent(UpstreamError::Connect(Some(error)), Box::new(request)))
            }
        }
    }

    /// Takes in how it went.
    fn observe(
        &self,
        server: &Server,
        went: &Result<Answered, Failed>,
        begun: Duration,
        progress: &Progress,
    ) {
        let now = self.now();
        let good = match went {
            Ok(answered) => !is_trouble(answered.response.status()),
            // Whoever sends half a body must not be able to close a service for everybody; and a
            // service that has answered need not read the rest of it.
            Err(Failed::Sent(_)) if progress.fault().is_some() || !progress.is_over() => return,
            Err(_) => false,
        };
        let took = now.saturating_sub(begun);
        server.load.observe(if good { took } else { took.max(FAILED) }, now);
        let most = self.settings.eject_after;
        if most > 0 && server.record.observe(good, most) {
            self.eject(server, now);
        }
    }

    /// Leaves a server alone, unless half of them are alone already.
    fn eject(&self, server: &Server, now: Duration) {
        let servers = self.servers.load();
        let away = servers.iter().filter(|server| server.record.is_ejected(now)).count();
        if (away + 1) * 2 <= servers.len() && !server.record.is_ejected(now) {
            let span = server.record.eject(self.settings.eject_for, now);
            let secs = span.as_secs();
            tracing::warn!(
                upstream = self.name,
                ?server,
                secs,
                "a server that fails is left alone"
            );
        }
    }

    async fn pause(&self) {
        let most = u64::try_from(RETRY_PAUSE.as_micros()).unwrap_or(u64::MAX);
        sleep(RETRY_PAUSE + Duration::from_micros(self.dice.roll() % most)).await;
    }
}

/// Until when an answer must have begun.
struct Deadline<'a> {
    begun: Instant,
    total: Duration,
    each: Duration,
    progress: &'a Progress,
}

impl<'a> Deadline<'a> {
    fn new(settings: &UpstreamSettings, progress: &'a Progress) -> Self {
        let UpstreamSettings { timeout, try_timeout, .. } = *settings;
        Self { begun: Instant::now(), total: timeout, each: try_timeout, progress }
    }

    fn is_over(&self) -> bool {
        self.left().is_zero()
    }

    fn left(&self) -> Duration {
        self.total.saturating_sub(self.begun.elapsed())
    }

    /// Waits for an answer. While the request's body is still on its way the time does not run: the
    /// body has limits of its own.
    async fn keep<T>(&self, answer: impl Future<Output = T>) -> Option<T> {
        let mut answer = std::pin::pin!(answer);
        if self.progress.is_over() {
            return timeout(self.left().min(self.each), answer).await.ok();
        }
        loop {
            if let Ok(answer) = timeout(self.each, answer.as_mut()).await {
                return Some(answer);
            }
            if self.progress.quiet_for() >= self.each {
                self.progress.note_stall();
                return None;
            }
        }
    }
}

async fn exchange(
    sender: Sender,
    request: Request<GateBody>,
    deadline: &Deadline<'_>,
) -> Result<(Response<Incoming>, Sender), Failed> {
    let failed = |mut error: hyper::client::conn::TrySendError<Request<GateBody>>| {
        let unsent = error.take_message();
        let error = UpstreamError::Protocol(error.into_error());
        match unsent {
            Some(unsent) => Failed::Unsent(error, Box::new(unsent)),
            None => Failed::Sent(error),
        }
    };
    let late = || Failed::Sent(UpstreamError::Timeout);
    match sender {
        Sender::Http1(mut line) => {
            let answer = line.sender.try_send_request(request);
            let answer = deadline.keep(answer).await.ok_or_else(late)?;
            Ok((answer.map_err(failed)?, Sender::Http1(line)))
        }
        Sender::Http2(mut sender) => {
            let answer = deadline.keep(sender.try_send_request(request)).await.ok_or_else(late)?;
            Ok((answer.map_err(failed)?, Sender::Http2(sender)))
        }
    }
}

enum Failed {
    /// Nothing of it was written.
    Unsent(UpstreamError, Box<Request<GateBody>>),
    /// The server may have acted on it.
    Sent(UpstreamError),
}

impl Failed {
    fn into_error(self) -> UpstreamError {
        match self {
            Self::Unsent(error, _) | Self::Sent(error) => error,
        }
    }
}

fn is_idempotent(method: &Method) -> bool {
    matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS | Method::PUT | Method::DELETE)
}

/// What a server says that cannot do its work, or whose own upstream cannot.
fn is_trouble(status: StatusCode) -> bool {
    matches!(
        status,
        StatusCode::BAD_GATEWAY | StatusCode::SERVICE_UNAVAILABLE | StatusCode::GATEWAY_TIMEOUT
    )
}

fn duplicate(request: &Request<GateBody>) -> Request<GateBody> {
    let mut copy = Request::new(empty());
    *copy.method_mut() = request.method().clone();
    *copy.uri_mut() = request.uri().clone();
    *copy.version_mut() = request.version();
    *copy.headers_mut() = request.headers().clone();
    copy
}
