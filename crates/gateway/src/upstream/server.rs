use std::{
    fmt,
    net::SocketAddr,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
    time::Duration,
};

use http::{HeaderValue, Request, Uri, header, uri::Scheme};
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use portcullis_pki::Trust;
use rustls::pki_types::ServerName;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
    time::timeout,
};
use tokio_rustls::TlsConnector;

use super::{Protocol, load::Load, outlier::Record, pool::Pool};
use crate::body::GateBody;

/// An answer's header fields, all together.
const MAX_RESPONSE_HEAD: usize = 64 * 1024;
/// Header fields of an answer.
const MAX_RESPONSE_HEADERS: usize = 128;
/// An HTTP/2 connection that does not answer a ping in this time is not used any more.
const PING_EVERY: Duration = Duration::from_secs(20);
const PING_ANSWER: Duration = Duration::from_secs(5);

/// What an answer may send ahead of its reader.
const STREAM_WINDOW: u32 = 64 * 1024;
/// The connection has room for so many answers that nobody reads: one reader must not hold up all
/// others who share it.
const MAX_SHARED_STREAMS: u32 = 2_048;

/// How to reach a server.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Place {
    /// A name, looked up at every new connection.
    Name(String, u16),
    /// What discovery found.
    Addr(SocketAddr),
}

/// One server of an upstream.
pub struct Server {
    place: Place,
    protocol: Protocol,
    scheme: Scheme,
    /// What goes into `Host` or `:authority`.
    authority: HeaderValue,
    tls: Option<Tls>,
    connect_timeout: Duration,
    /// What health checks say.
    pub(super) healthy: AtomicBool,
    /// Health checks that said the same, one after the other.
    pub(super) checks: AtomicU32,
    pub(super) load: Load,
    pub(super) record: Record,
    /// Connections that wait for their next request.
    pub(super) pool: Arc<Pool>,
    /// The one connection that every request shares under HTTP/2.
    shared: Mutex<Option<Shared>>,
    connecting: tokio::sync::Mutex<()>,
}

/// How a server is, for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerState {
    /// Its authority, with its address if discovery found it.
    pub server: String,
    /// What the last health checks said; true without them.
    pub healthy: bool,
    /// Whether it is left alone since it failed.
    pub ejected: bool,
    /// Requests on their way.
    pub active: usize,
}

/// How a server is reached over TLS.
#[derive(Debug, Clone)]
pub struct ServerTls {
    /// What is spoken and shown.
    pub config: Arc<rustls::ClientConfig>,
    /// Whom it trusts. After a change of it connections are not used again.
    pub trust: Arc<Trust>,
}

struct Tls {
    connector: TlsConnector,
    name: ServerName<'static>,
    trust: Arc<Trust>,
}

/// The connection of everybody, and the epoch of the trust that it was made under.
type Shared = (http2::SendRequest<GateBody>, u64);

/// A connection for one request after another, and the epoch of the trust that it was made under.
#[derive(Debug)]
pub(crate) struct Line {
    pub sender: http1::SendRequest<GateBody>,
    pub epoch: u64,
}

/// A connection that can take a request.
pub(super) enum Sender {
    Http1(Line),
    Http2(http2::SendRequest<GateBody>),
}

impl Server {
    /// From its URL, `http://host:port` or `https://host:port`. For https, `tls` says whom to trust
    /// and what to show. `None` if the URL is something else.
    pub fn new(
        url: &str,
        protocol: Protocol,
        connect_timeout: Duration,
        tls: Option<ServerTls>,
    ) -> Option<Self> {
        let uri: Uri = url.parse().ok()?;
        let plain = matches!(uri.path(), "" | "/") && uri.query().is_none();
        let host = uri.host().filter(|_| plain)?.trim_matches(['[', ']']).to_owned();
        let (port, scheme, tls) = match uri.scheme_str()? {
            "http" => (80, Scheme::HTTP, None),
            "https" => {
                let name = ServerName::try_from(host.clone()).ok()?;
                let ServerTls { config, trust } = tls?;
                let connector = TlsConnector::from(config);
                (443, Scheme::HTTPS, Some(Tls { connector, name, trust }))
            }
            _ => return None,
        };
        let port = uri.port_u16().unwrap_or(port);
        let named = if host.contains(':') { format!("[{host}]") } else { host.clone() };
        Some(Self {
            place: Place::Name(host, port),
            protocol,
            scheme,
            authority: HeaderValue::from_str(&format!("{named}:{port}")).ok()?,
            tls,
            connect_timeout,
            healthy: AtomicBool::new(true),
            checks: AtomicU32::default(),
            load: Load::default(),
            record: Record::default(),
            pool: Arc::default(),
            shared: Mutex::default(),
            connecting: tokio::sync::Mutex::default(),
        })
    }

    /// The same service at an address that discovery found.
    #[must_use]
    pub fn at(self, addr: SocketAddr) -> Self {
        Self { place: Place::Addr(addr), ..self }
    }

    /// Whether both lead to the same place under the same name.
    pub(super) fn is_same_place(&self, other: &Self) -> bool {
        self.place == other.place && self.authority == other.authority
    }

    /// A connection that waits for a request, if there is one.
    pub(super) fn waiting(&self) -> Option<Sender> {
        match self.protocol {
            Protocol::Http1 => self.pool.take(self.epoch()).map(Sender::Http1),
            Protocol::Http2 => self.alive().map(Sender::Http2),
        }
    }

    fn alive(&self) -> Option<http2::SendRequest<GateBody>> {
        let shared = self.shared.lock().unwrap_or_else(PoisonError::into_inner);
        let (sender, epoch) = shared.as_ref()?;
        (!sender.is_closed() && *epoch == self.epoch()).then(|| sender.clone())
    }

    /// Which trust holds now.
    fn epoch(&self) -> u64 {
        self.tls.as_ref().map_or(0, |tls| tls.trust.epoch())
    }

    /// The next request gets a connection of its own: this one answered in a way that may go on.
    pub(super) fn retire(&self) {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner).take();
    }

    /// A new connection; under HTTP/2 the one that another request made meanwhile.
    pub(super) async fn connect(&self) -> std::io::Result<Sender> {
        let late = || std::io::Error::from(std::io::ErrorKind::TimedOut);
        timeout(self.connect_timeout, self.handshake()).await.unwrap_or_else(|_| Err(late()))
    }

    async fn handshake(&self) -> std::io::Result<Sender> {
        if self.protocol == Protocol::Http1 {
            return self.open().await;
        }
        let _alone = self.connecting.lock().await;
        if let Some(sender) = self.alive() {
            return Ok(Sender::Http2(sender));
        }
        let epoch = self.epoch();
        let opened = self.open().await?;
        if let Sender::Http2(sender) = &opened {
            let shared = Some((sender.clone(), epoch));
            *self.shared.lock().unwrap_or_else(PoisonError::into_inner) = shared;
        }
        Ok(opened)
    }

    async fn open(&self) -> std::io::Result<Sender> {
        let stream = match &self.place {
            Place::Name(host, port) => TcpStream::connect((host.as_str(), *port)).await?,
            Place::Addr(addr) => TcpStream::connect(addr).await?,
        };
        stream.set_nodelay(true)?;
        // Before the handshake: what changes during it makes the connection an old one.
        let epoch = self.epoch();
        match &self.tls {
            None => speak(self.protocol, stream, epoch).await,
            Some(Tls { connector, name, .. }) => {
                let stream = connector.connect(name.clone(), stream).await?;
                let agreed = stream.get_ref().1.alpn_protocol() == Some(b"h2");
                if self.protocol == Protocol::Http2 && !agreed {
                    return Err(std::io::Error::other("the server does not speak HTTP/2"));
                }
                speak(self.protocol, stream, epoch).await
            }
        }
        .map_err(std::io::Error::other)
    }

    /// Addresses a request to this server.
    pub(super) fn address(&self, request: &mut Request<GateBody>) {
        match self.protocol {
            Protocol::Http1 => {
                request.headers_mut().insert(header::HOST, self.authority.clone());
            }
            // RFC 9113, section 8.3.1: `:authority` stands for `Host`.
            Protocol::Http2 => {
                request.headers_mut().remove(header::HOST);
                let mut parts = std::mem::take(request.uri_mut()).into_parts();
                parts.scheme = Some(self.scheme.clone());
                parts.authority = self.authority.as_bytes().try_into().ok();
                if let Ok(uri) = Uri::from_parts(parts) {
                    *request.uri_mut() = uri;
                }
            }
        }
    }
}

async fn speak<S>(protocol: Protocol, stream: S, epoch: u64) -> hyper::Result<Sender>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let ended = |ended: hyper::Result<()>| {
        if let Err(error) = ended {
            tracing::debug!(%error, "upstream connection ended");
        }
    };
    match protocol {
        Protocol::Http1 => {
            let mut builder = http1::Builder::new();
            builder.max_buf_size(MAX_RESPONSE_HEAD).max_headers(MAX_RESPONSE_HEADERS);
            let (sender, connection) = builder.handshake(TokioIo::new(stream)).await?;
            tokio::spawn(async move { ended(connection.with_upgrades().await) });
            Ok(Sender::Http1(Line { sender, epoch }))
        }
        Protocol::Http2 => {
            let mut builder = http2::Builder::new(TokioExecutor::new());
            let list = u32::try_from(MAX_RESPONSE_HEAD).unwrap_or(u32::MAX);
            builder
                .timer(TokioTimer::new())
                .max_header_list_size(list)
                .keep_alive_interval(PING_EVERY)
                .keep_alive_timeout(PING_ANSWER)
                .initial_stream_window_size(STREAM_WINDOW)
                .initial_connection_window_size(STREAM_WINDOW * MAX_SHARED_STREAMS);
            let (sender, connection) = builder.handshake(TokioIo::new(stream)).await?;
            tokio::spawn(async move { ended(connection.await) });
            Ok(Sender::Http2(sender))
        }
    }
}

impl Server {
    pub(super) fn is_healthy(&self) -> bool {
        self.healthy.load(Ordering::Relaxed)
    }
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.authority.to_str().unwrap_or_default())?;
        match &self.place {
            Place::Addr(addr) => write!(f, " ({addr})"),
            Place::Name(..) => Ok(()),
        }
    }
}
