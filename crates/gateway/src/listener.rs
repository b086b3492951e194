use std::{
    collections::HashMap,
    convert::Infallible,
    net::SocketAddr,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use arc_swap::ArcSwap;
use http::StatusCode;
use hyper::{
    server::conn::{http1, http2},
    service::service_fn,
};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use portcullis_pki::{PeerCertificate, Trust};
use portcullis_types::{AddrKey, ClientAddr};
use rustls::ServerConfig;
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{Semaphore, watch},
    time::timeout,
};
use tokio_rustls::{TlsAcceptor, server::TlsStream};

use crate::{
    client_hello::{Overhear, UNREAD, ja4},
    guard::{MAX_HEADER_BYTES, MAX_HEADERS},
    pipeline::{Gateway, Peer},
    proxy_protocol,
    pulse::{Beat, Pulse},
    steady::Steady,
    strict_lines::StrictLines,
};

/// Connections open at once from one address, or IPv6 /64, in a process that may have many.
const MAX_PER_ADDRESS: usize = 1_024;
/// A handshake is done in this time or given up.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
/// A request's head arrives in this time, the wait for the next request included.
pub(crate) const HEAD_TIMEOUT: Duration = Duration::from_secs(30);
/// A client that takes nothing of its answer for so long is gone.
const WRITE_PATIENCE: Duration = Duration::from_secs(60);
/// When the gate closes, requests on their way have this long to finish.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(10);
/// Bytes a connection may keep in memory before its head is complete.
const HEAD_BUFFER: usize = 64 * 1024;
const MAX_STREAMS: u32 = 128;
/// Streams a peer may open and reset before its connection is closed (CVE-2023-44487).
const MAX_RESETS: usize = 20;
/// A connection is closed at most so long before the certificate of its client ends.
const BEFORE_END: Duration = Duration::from_secs(60);
const KEEP_ALIVE_EVERY: Duration = Duration::from_secs(30);
/// A peer that does not answer a ping in this time is gone.
const KEEP_ALIVE_ANSWER: Duration = Duration::from_secs(10);

/// The doors.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ListenerKind {
    /// TLS for everyone.
    Public,
    /// Mutual TLS for services.
    Mesh,
    /// No door of ours: requests that another proxy asks about.
    Elsewhere,
}

/// A door that is open.
pub struct Listener {
    /// Which one.
    pub kind: ListenerKind,
    /// The socket.
    pub socket: TcpListener,
    /// What it shows to new connections.
    pub door: Arc<ArcSwap<Door>>,
    /// Connections open at once.
    pub max_connections: usize,
}

/// What a listener shows, and whom it trusts.
pub struct Door {
    /// The certificate and what is asked of clients.
    pub tls: Arc<ServerConfig>,
    /// Tells which certificates of clients the authority vouches for.
    pub trust: Option<Arc<Trust>>,
}

impl std::fmt::Debug for Door {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Door")
    }
}

impl std::fmt::Debug for Listener {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Listener({:?})", self.kind)
    }
}

/// Accepts connections until `closing` turns true, then lets those on their way finish.
pub async fn serve(listener: Listener, gateway: Gateway, mut closing: watch::Receiver<bool>) {
    let most = listener.max_connections.max(1);
    let places = Arc::new(Semaphore::new(most));
    let guests = Guests { most: MAX_PER_ADDRESS.min(most / 4).max(1), ..Guests::default() };
    loop {
        let Ok(place) = places.clone().acquire_owned().await else {
            break;
        };
        let accepted = tokio::select! {
            accepted = listener.socket.accept() => accepted,
            () = closed(&mut closing) => break,
        };
        match accepted {
            Ok((stream, addr)) => {
                // Proxies bring the connections of many; whose these are is found out later.
                let proxy = gateway.is_proxy(addr.ip());
                let guest = guests.admit(addr);
                if guest.is_none() && !proxy {
                    continue;
                }
                let (kind, gateway, closing) = (listener.kind, gateway.clone(), closing.clone());
                let door = listener.door.load_full();
                tokio::spawn(async move {
                    connection(kind, stream, addr, &door, gateway, closing).await;
                    drop((place, guest));
                });
            }
            Err(error) => {
                // Out of file descriptors, most likely: give others time to close theirs.
                tracing::warn!(%error, "a connection could not be accepted");
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
    }
    let all = u32::try_from(most).unwrap_or(u32::MAX);
    let _ = timeout(DRAIN_TIMEOUT, places.acquire_many(all)).await;
}

/// How many connections each address has open. Never larger than the number of connections.
#[derive(Clone, Default)]
struct Guests {
    open: Arc<Mutex<HashMap<AddrKey, usize>>>,
    most: usize,
}

/// One connection of an address; it counts until it is dropped.
struct Guest {
    guests: Guests,
    addr: AddrKey,
}

impl Guests {
    fn admit(&self, addr: SocketAddr) -> Option<Guest> {
        let addr = ClientAddr::new(addr.ip()).key();
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let count = open.entry(addr).or_default();
        if *count >= self.most {
            return None;
        }
        *count += 1;
        drop(open);
        Some(Guest { guests: self.clone(), addr })
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        let mut open = self.guests.open.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = open.get_mut(&self.addr) {
            *count -= 1;
            if *count == 0 {
                open.remove(&self.addr);
            }
        }
    }
}

/// Returns when the gate closes, or just before the certificate of the connection ends: a client
/// that renews its own comes back with the new one, and no request is refused in between. What is
/// still on its way then has until the time that is returned, if there is one.
async fn closed_to(
    peer: &Peer,
    gateway: &Gateway,
    closing: &mut watch::Receiver<bool>,
) -> Option<Duration> {
    let Some(own) = &peer.certificate else {
        closed(closing).await;
        return None;
    };
    let left = own.not_after().since(gateway.now());
    let before = BEFORE_END.min(left / 10);
    match timeout(left - before, closed(closing)).await {
        Ok(()) => None,
        Err(_) => Some(before),
    }
}

/// Returns after this time, or never.
async fn after(time: Option<Duration>) {
    match time {
        Some(time) => tokio::time::sleep(time).await,
        None => std::future::pending().await,
    }
}

/// Returns when the gate closes.
async fn closed(closing: &mut watch::Receiver<bool>) {
    let _ = closing.wait_for(|closing| *closing).await;
}

async fn connection(
    kind: ListenerKind,
    stream: TcpStream,
    addr: SocketAddr,
    door: &Door,
    gateway: Gateway,
    closing: watch::Receiver<bool>,
) {
    let _ = stream.set_nodelay(true);
    let (mut stream, mut addr) = (stream, addr);
    if gateway.speaks_proxy_protocol(addr.ip()) {
        match timeout(HANDSHAKE_TIMEOUT, proxy_protocol::take(&mut stream)).await {
            Ok(Ok(client)) => addr = client.unwrap_or(addr),
            Ok(Err(error)) => {
                tracing::debug!(%error, %addr, "a proxy did not say whose connection it is");
                return;
            }
            Err(_) => return,
        }
    }
    let stream = Overhear::new(Steady::new(stream, WRITE_PATIENCE));
    let acceptor = TlsAcceptor::from(door.tls.clone());
    let mut stream = match timeout(HANDSHAKE_TIMEOUT, acceptor.accept(stream)).await {
        Ok(Ok(stream)) => stream,
        Ok(Err(error)) => {
            tracing::debug!(%error, %addr, "TLS handshake failed");
            return;
        }
        Err(_) => return,
    };
    let heard = stream.get_mut().0.heard();
    let ja4 = Some(ja4(&heard).map_or_else(|| Arc::from(UNREAD), Arc::from));
    let session = stream.get_ref().1;
    let chain = session.peer_certificates().unwrap_or_default();
    let certificate = PeerCertificate::new(chain, door.trust.as_ref(), gateway.now());
    let certificate = certificate.map(Arc::new);
    let http2 = session.alpn_protocol() == Some(b"h2");
    let peer = Arc::new(Peer { listener: kind, addr, certificate, ja4 });
    if http2 {
        serve_http2(stream, peer, gateway, closing).await;
    } else {
        serve_http1(stream, peer, gateway, closing).await;
    }
}

async fn serve_http1(
    stream: TlsStream<Overhear<Steady<TcpStream>>>,
    peer: Arc<Peer>,
    gateway: Gateway,
    mut closing: watch::Receiver<bool>,
) {
    let switched = Arc::new(AtomicBool::new(false));
    let switches = switched.clone();
    // One count for each request, not one for each of its parts.
    let gateway = Arc::new(gateway);
    let (ours, theirs) = (gateway.clone(), peer.clone());
    let service = service_fn(move |request| {
        let (gateway, peer, switches) = (gateway.clone(), peer.clone(), switches.clone());
        // hyper keeps room for an answer on its way as long as the connection lives; what is in a
        // box takes some only while there is one.
        Box::pin(async move {
            let response = gateway.answer(request, peer).await;
            if response.status() == StatusCode::SWITCHING_PROTOCOLS {
                switches.store(true, Ordering::Relaxed);
            }
            Ok::<_, Infallible>(response)
        })
    });
    let stream = StrictLines::new(stream, switched);
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .max_headers(MAX_HEADERS)
        .max_buf_size(HEAD_BUFFER)
        .serve_connection(TokioIo::new(stream), service)
        .with_upgrades();
    let mut connection = std::pin::pin!(connection);
    let last = tokio::select! {
        ended = connection.as_mut() => return told(ended),
        last = closed_to(&theirs, &ours, &mut closing) => last,
    };
    connection.as_mut().graceful_shutdown();
    tokio::select! {
        ended = connection => told(ended),
        () = after(last) => {}
    }
}

async fn serve_http2(
    stream: TlsStream<Overhear<Steady<TcpStream>>>,
    peer: Arc<Peer>,
    gateway: Gateway,
    mut closing: watch::Receiver<bool>,
) {
    let gateway = Arc::new(gateway);
    let (ours, theirs) = (gateway.clone(), peer.clone());
    let pulse = Arc::new(Pulse::default());
    let beating = pulse.clone();
    let service = service_fn(move |request| {
        let (gateway, peer, pulse) = (gateway.clone(), peer.clone(), beating.clone());
        async move {
            let beat = Beat::new(pulse.clone());
            let response = gateway.answer(request, peer).await;
            beat.answered();
            Ok::<_, Infallible>(response.map(|body| pulse.watched(body)))
        }
    });
    let list = u32::try_from(MAX_HEADER_BYTES).unwrap_or(u32::MAX);
    let connection = http2::Builder::new(TokioExecutor::new())
        .timer(TokioTimer::new())
        .max_concurrent_streams(MAX_STREAMS)
        .max_header_list_size(list)
        .max_pending_accept_reset_streams(MAX_RESETS)
        .max_local_error_reset_streams(MAX_RESETS)
        .keep_alive_interval(KEEP_ALIVE_EVERY)
        .keep_alive_timeout(KEEP_ALIVE_ANSWER)
        .serve_connection(TokioIo::new(stream), service);
    let mut connection = std::pin::pin!(connection);
    let finishing = tokio::select! {
        ended = connection.as_mut() => return told(ended),
        served = pulse.stops() => {
            if !served {
                // Not one request: not even the end of a handshake is worth waiting for.
                return;
            }
            None
        }
        () = pulse.is_abused() => {
            tracing::debug!("a client gives up what it asks for, again and again");
            return;
        }
        last = closed_to(&theirs, &ours, &mut closing) => last,
    };
    connection.as_mut().graceful_shutdown();
    tokio::select! {
        ended = connection.as_mut() => told(ended),
        () = pulse.nothing_is_read() => {}
        () = pulse.is_abused() => {}
        () = after(finishing) => {}
    }
}

fn told(ended: hyper::Result<()>) {
    if let Err(error) = ended {
        tracing::debug!(%error, "connection ended");
    }
}
