use std::{
    net::{IpAddr, SocketAddr},
    sync::Arc,
};

use arc_swap::ArcSwap;
use http::{
    HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode, Version, header,
};
use http_body::Body;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use portcullis_events::{Origin, Stage, clean};
use portcullis_pki::PeerCertificate;
use portcullis_types::{ClientAddr, Id, Timestamp, tags};

use crate::{
    answer::{Refusal, harden, prefers_html},
    authn::{AuthKind, Principal, authenticate},
    authz::{Question, authorise},
    body::{GateBody, Holding, empty},
    browser::by_session,
    content::{Buffers, check_length, filter, validate},
    cors::read_preflight,
    explain::in_words,
    forward::Tunnel,
    forward_auth,
    guard::{self, Head},
    leftover::{Kept, Leftover, asks_first},
    limits::{self, Countable, client_address, count},
    listener::ListenerKind,
    pass::Admitted,
    record::{Record, Trail},
    session::OwnPath,
    snapshot::{Found, Route, Shared, Snapshot},
};

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// The reason for refusing what comes over a connection whose certificate is not good any more.
const CERTIFICATE_ENDED: &str = "certificate_ended";
/// A request id from a trusted proxy is taken over up to this length.
const MAX_REQUEST_ID: usize = 64;

/// Where a connection came from.
#[derive(Debug, Clone)]
pub(crate) struct Peer {
    pub listener: ListenerKind,
    pub addr: SocketAddr,
    pub certificate: Option<Arc<PeerCertificate>>,
    /// The fingerprint of its TLS, if it speaks any.
    pub ja4: Option<Arc<str>>,
}

/// The gate: a configuration that can be swapped, and what changes while requests pass.
#[derive(Debug, Clone)]
pub struct Gateway {
    pub(crate) snapshot: Arc<ArcSwap<Snapshot>>,
    pub(crate) shared: Shared,
    /// Room for bodies that are read whole.
    buffers: Buffers,
}

/// Who stands at the door, as far as the connection tells.
#[derive(Clone, Copy)]
pub(crate) struct Caller<'a> {
    pub listener: ListenerKind,
    pub addr: ClientAddr,
    pub certificate: Option<&'a Arc<PeerCertificate>>,
}

impl Gateway {
    /// The time by the gate's clock.
    pub(crate) fn now(&self) -> Timestamp {
        self.shared.clock.now()
    }

    /// A gate with its first configuration.
    pub fn new(snapshot: Snapshot, shared: Shared) -> Self {
        let buffers = Buffers::default();
        Self { snapshot: Arc::new(ArcSwap::from_pointee(snapshot)), shared, buffers }
    }

    /// Swaps the configuration. Requests on their way finish with the old one.
    pub fn swap(&self, snapshot: Snapshot) {
        self.snapshot.store(Arc::new(snapshot));
    }

    /// The configuration in force.
    pub fn snapshot(&self) -> Arc<Snapshot> {
        self.snapshot.load_full()
    }

    /// The tables that limits count in.
    pub fn counters(&self) -> &limits::Counters {
        &self.shared.counters
    }

    /// Whether an address is one of the proxies in front.
    pub(crate) fn is_proxy(&self, ip: IpAddr) -> bool {
        let ip = ip.to_canonical();
        self.snapshot.load().trusted_proxies.iter().any(|net| net.contains(&ip))
    }

    /// Whether connections from an address begin with a PROXY header. It is never guessed: a client
    /// that could choose would choose its address.
    pub(crate) fn speaks_proxy_protocol(&self, ip: IpAddr) -> bool {
        self.snapshot.load().proxy_protocol && self.is_proxy(ip)
    }

    /// Answers one request, and records it however it ends: a client that hangs up drops this future
    /// half-way, and its request is in the log all the same.
    pub(crate) async fn answer(
        &self,
        request: Request<Incoming>,
        peer: Arc<Peer>,
    ) -> Response<GateBody> {
        let now = self.shared.clock.now();
        let snapshot = self.snapshot.load_full();
        let origin = self.origin(&snapshot, &request, &peer, now);
        let for_people = prefers_html(request.headers());
        let reads_head = *request.method() == Method::HEAD;
        let http1 = request.version() <= Version::HTTP_11;
        let page = request.headers().get(header::ORIGIN).cloned();
        let asked_first = asks_first(&request);
        let (request, left) = Leftover::watch(request);
        let traced = self.shared.tracing.as_ref().map(|tracing| {
            let trusted = peer.listener == ListenerKind::Mesh;
            tracing.begin(request.headers(), trusted, now, &*self.shared.entropy)
        });
        let mut record = Record::new(&self.shared, &request, origin, traced);
        let Record { origin, trail, .. } = &mut record;
        let result = self.walk(&snapshot, request, &peer, origin, now, trail).await;
        let refused = result.as_ref().err().map(|refusal| (refusal.stage, refusal.reason));
        if let Err(refusal) = &result {
            trail.policies.extend_from_slice(&refusal.policies);
        }
        let mut response =
            result.unwrap_or_else(|refusal| refusal.respond(&origin.request_id, for_people));
        finish(&mut response, trail, origin, page.as_ref());
        if reads_head && refused.is_some() {
            // RFC 9110, section 9.3.2. Under HTTP/2 nobody else takes it away.
            *response.body_mut() = empty();
        }
        let closes = |(stage, reason)| stage == Stage::Guard || reason == CERTIFICATE_ENDED;
        // What follows on such a connection may have been meant as a part of it; or it is of nobody
        // any more.
        if http1 && (refused.is_some_and(closes) || !left.clear(asked_first).await) {
            response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        let status = response.status();
        let Shared { counters, limit_blocked, clock, .. } = &self.shared;
        let done = clock.now();
        trail.passed.settle(counters, status.as_u16(), origin.addr, done, &**limit_blocked);
        let places = std::mem::take(&mut trail.passed.places);
        if let Some(tunnel) = response.extensions_mut().remove::<Tunnel>() {
            tunnel.take_over(places);
        } else if !places.is_empty() {
            response = response.map(|body| Holding::new(body, places).boxed_unsync());
        }
        let bytes = length(&response);
        record.close(status, refused, bytes);
        response
    }

    /// The stages, in order.
    async fn walk(
        &self,
        snapshot: &Snapshot,
        request: Request<Kept<Incoming>>,
        peer: &Peer,
        origin: &Origin,
        now: Timestamp,
        trail: &mut Trail,
    ) -> Result<Response<GateBody>, Refusal> {
        let head = guard::check(&request)?;
        trail.path = Some(head.path.clone());
        if snapshot.answers_others() && forward_auth::is_asked(peer, &head) {
            let other = self.answer_other(snapshot, &request, peer, &head, origin, now, trail);
            return Box::pin(other).await;
        }
        if peer.listener == ListenerKind::Public
            && let Some((sessions, path)) = snapshot
                .sessions
                .iter()
                .find_map(|one| Some((one, one.own_path(request.method(), &head.path)?)))
        {
            self.block_list(snapshot, &request, &head, origin.addr, now)?;
            let at_door = Countable {
                rules: &sessions.limits,
                route: &head.path,
                headers: request.headers(),
                addr: origin.addr,
                who: None,
                now,
                counts: true,
            };
            let Shared { counters, limit_blocked, .. } = &self.shared;
            count(counters, at_door, &mut trail.passed, &**limit_blocked).await?;
            return match path {
                OwnPath::Callback => {
                    Box::pin(sessions.come_back(&request, &head, origin, now)).await
                }
                OwnPath::Again => Err(sessions.again(&request, &head, now)),
                OwnPath::Logout => Box::pin(sessions.log_out(&request, &head, origin)).await,
            };
        }
        if let Some((page, method)) = read_preflight(&request)
            && let Found::Route(route) =
                snapshot.find(peer.listener, &head.host, &method, &head.path)
            && let Some(cors) = &route.cors
        {
            self.block_list(snapshot, &request, &head, origin.addr, now)?;
            trail.route = Some(route.clone());
            return cors.preflight(&page, &method);
        }
        let certificate = peer.certificate.as_ref();
        let who = Caller { listener: peer.listener, addr: origin.addr, certificate };
        let (route, who) = self.admit(snapshot, &request, &head, who, now, trail).await?;
        check_length(&request, &route)?;
        let (mut request, checked) = validate(&route, request, &head, &self.buffers, trail).await?;
        let reads = *request.method() != Method::HEAD;
        let checked = checked.filter(|_| route.checks_responses && reads);
        if checked.is_some() {
            // What is packed could not be looked into.
            request
                .headers_mut()
                .insert(header::ACCEPT_ENCODING, HeaderValue::from_static("identity"));
        }
        let traced = trail.traced.as_ref();
        let admitted = Admitted { who: &who, origin, certificate, traced };
        let response = self.pass_on(snapshot, &route, request, &head, admitted, now).await?;
        match checked {
            Some(checked) => Box::pin(filter(&route, &checked, response, trail)).await,
            None => Ok(response),
        }
    }

    /// Whether a request may pass, as far as its head tells, and as whom: everything but its body
    /// and whoever answers it.
    pub(crate) async fn admit<B>(
        &self,
        snapshot: &Snapshot,
        request: &Request<B>,
        head: &Head,
        caller: Caller<'_>,
        now: Timestamp,
        trail: &mut Trail,
    ) -> Result<(Arc<Route>, Principal), Refusal> {
        let Caller { listener, addr, certificate } = caller;
        let closed = self.block_list(snapshot, request, head, addr, now)?;
        trail.step(Stage::BlockList, || match closed {
            None => format!("{addr} is not blocked"),
            Some(_) => format!("{addr} is blocked; only a good credential opens"),
        });
        let route = find_route(snapshot, request, listener, head)?;
        trail.route = Some(route.clone());
        trail.step(Stage::Route, || {
            format!("{} ({}) to {:?}", route.name, route.path, route.target)
        });
        if trail.steps.is_none() && self.shared.overload.refuses(route.priority) {
            let detail = "there is too much to do; try again";
            let status = StatusCode::SERVICE_UNAVAILABLE;
            let refusal = Refusal::new(Stage::Limits, status, "overloaded", detail);
            return Err(refusal.with(header::RETRY_AFTER, "1"));
        }
        self.limit(&route, request.headers(), (addr, now), None, trail).await?;
        let peer = certificate.map(|certificate| &**certificate);
        if peer.is_some_and(|own| !own.still_stands(now)) {
            let detail = "the certificate of this connection is not good any more; connect again";
            let status = StatusCode::UNAUTHORIZED;
            return Err(Refusal::new(Stage::Authenticate, status, CERTIFICATE_ENDED, detail));
        }
        let session = by_session(&snapshot.sessions, &route, request.headers(), head);
        let known = match session {
            Some(sessions) => {
                let at = (addr, now);
                Box::pin(self.session(snapshot, sessions, &route, request, head, at, trail)).await
            }
            None => authenticate(snapshot, &self.shared, &route, request, head, peer, now).await,
        };
        let who =
            known.map_err(|refusal| closed.map_or(refusal, |until| limits::blocked(until, now)))?;
        if let (Some(until), Principal::Anonymous) = (closed, &who) {
            return Err(limits::blocked(until, now));
        }
        trail.principal = Some(who.clone());
        trail.step(Stage::Authenticate, || who.to_string());
        let question = Question { snapshot, route: &route, who: &who, head, addr, now, peer };
        let decided = authorise(&question, request.method())?;
        trail.step(Stage::Authorise, || in_words(decided.iter(), "nothing is asked"));
        trail.policies = decided;
        self.limit(&route, request.headers(), (addr, now), Some(&who), trail).await?;
        Ok((route, who))
    }

    /// A blocked address may go on only where it can show a credential: whoever shares it with an
    /// attacker and holds a good token is not locked out.
    fn block_list<B>(
        &self,
        snapshot: &Snapshot,
        request: &Request<B>,
        head: &Head,
        addr: ClientAddr,
        now: Timestamp,
    ) -> Result<Option<Timestamp>, Refusal> {
        let Some(block) = self.shared.blocks.find(addr, now) else {
            return Ok(None);
        };
        let credential = request.headers().contains_key(header::AUTHORIZATION)
            || request.headers().contains_key("x-api-key")
            || snapshot.sessions.iter().any(|one| one.shown(request.headers(), head).is_some());
        if credential { Ok(Some(block.until)) } else { Err(limits::blocked(block.until, now)) }
    }

    async fn limit(
        &self,
        route: &Route,
        headers: &HeaderMap,
        (addr, now): (ClientAddr, Timestamp),
        who: Option<&Principal>,
        trail: &mut Trail,
    ) -> Result<(), Refusal> {
        if route.limits.is_empty() {
            return Ok(());
        }
        let Shared { counters, limit_blocked, .. } = &self.shared;
        let counts = trail.steps.is_none();
        let (rules, before) = (route.limits.as_slice(), trail.passed.looked);
        let request = Countable { rules, route: &route.name, headers, addr, who, now, counts };
        count(counters, request, &mut trail.passed, &**limit_blocked).await?;
        let looked = trail.passed.looked - before;
        trail.step(Stage::Limits, || match who {
            None => format!("{looked} limits have room before it is known who is calling"),
            Some(_) => format!("{looked} limits by caller have room"),
        });
        Ok(())
    }

    fn origin<B>(
        &self,
        snapshot: &Snapshot,
        request: &Request<B>,
        peer: &Peer,
        now: Timestamp,
    ) -> Origin {
        let text =
            |name: HeaderName| request.headers().get(name).and_then(|value| value.to_str().ok());
        let trusted = &snapshot.trusted_proxies;
        let public = peer.listener == ListenerKind::Public;
        let forwarded = (public && !trusted.is_empty()).then(|| {
            // Proxies may append a field of their own instead of extending the first one.
            let lines = request.headers().get_all("x-forwarded-for").iter();
            lines.map(|line| line.to_str().unwrap_or("-")).collect::<Vec<_>>().join(",")
        });
        let addr = client_address(peer.addr.ip(), forwarded.as_deref(), trusted);
        let from_proxy = addr != ClientAddr::new(peer.addr.ip());
        let plain = |id: &&str| {
            (1..=MAX_REQUEST_ID).contains(&id.len())
                && id.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
        };
        let given = text(REQUEST_ID).filter(plain).filter(|_| from_proxy);
        let fresh = || Id::<tags::Request>::new(now, &*self.shared.entropy).to_string();
        let request_id = given.map_or_else(fresh, str::to_owned);
        Origin {
            // Behind a proxy it is the proxy's.
            ja4: peer.ja4.clone().filter(|_| !from_proxy),
            ..Origin::new(addr, request_id, text(header::USER_AGENT).map(clean))
        }
    }
}

fn finish(
    response: &mut Response<GateBody>,
    trail: &Trail,
    origin: &Origin,
    page: Option<&HeaderValue>,
) {
    if let Some(cors) = trail.route.as_ref().and_then(|route| route.cors.as_ref()) {
        cors.announce(response.headers_mut(), page);
    }
    if response.status() != StatusCode::SWITCHING_PROTOCOLS {
        let known = trail.principal.as_ref().is_some_and(|who| who.id().is_some());
        harden(response.headers_mut(), known);
    }
    trail.passed.announce(response);
    if !trail.cookies.is_empty() {
        // Nobody on the way may keep it for others.
        let kept = HeaderValue::from_static("no-store");
        response.headers_mut().insert(header::CACHE_CONTROL, kept);
    }
    for cookie in &trail.cookies {
        response.headers_mut().append(header::SET_COOKIE, cookie.clone());
    }
    if let Ok(id) = HeaderValue::from_str(&origin.request_id) {
        response.headers_mut().insert(REQUEST_ID, id);
    }
}

fn find_route<B>(
    snapshot: &Snapshot,
    request: &Request<B>,
    listener: ListenerKind,
    head: &Head,
) -> Result<Arc<Route>, Refusal> {
    let refuse = |status, reason, detail: &str| Refusal::new(Stage::Route, status, reason, detail);
    let nothing = || refuse(StatusCode::NOT_FOUND, "no_route", "there is nothing here");
    // What the provider sends to the gate (codes, for one) is for no service, whether the gate expects it or not.
    if listener == ListenerKind::Public && head.path.starts_with(crate::session::RESERVED) {
        return Err(nothing());
    }
    match snapshot.find(listener, &head.host, request.method(), &head.path) {
        Found::Route(route) => Ok(route),
        Found::Methods(methods) => {
            let allow: Vec<&str> = methods.iter().map(http::Method::as_str).collect();
            let detail = "the method is not allowed here";
            Err(refuse(StatusCode::METHOD_NOT_ALLOWED, "method", detail)
                .with(header::ALLOW, &allow.join(", ")))
        }
        Found::Nothing => Err(nothing()),
    }
}

impl Route {
    /// Whether nobody needs to prove anything to use the route.
    pub fn is_open(&self) -> bool {
        self.authenticate.contains(&AuthKind::Anyone)
    }
}
/// How long an answer is, where its head says so.
fn length(response: &Response<GateBody>) -> Option<u64> {
    let named = response.headers().get(header::CONTENT_LENGTH);
    let named = named.and_then(|value| value.to_str().ok()?.parse().ok());
    named.or_else(|| response.body().size_hint().exact())
}
