use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use http::{HeaderValue, Request, Response, Uri, header};
use hyper::{
    body::Incoming,
    client::conn::http1::{self, SendRequest},
};
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use tokio::{
    net::TcpStream,
    time::{interval, timeout},
};
use tokio_rustls::TlsConnector;

use crate::{
    body::{GateBody, empty},
    pool::Pool,
};

/// A connection, its TLS handshake included, is up in this time or not at all.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// A health check answers in this time or fails.
const HEALTH_TIMEOUT: Duration = Duration::from_secs(2);
/// An answer's header fields, all together.
const MAX_RESPONSE_HEAD: usize = 64 * 1024;

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
}

/// One server of an upstream.
pub struct Server {
    host: String,
    port: u16,
    /// What goes into `Host`.
    authority: HeaderValue,
    tls: Option<(TlsConnector, ServerName<'static>)>,
    healthy: AtomicBool,
    pub(crate) pool: Arc<Pool>,
}

impl Server {
    /// From its URL, `http://host:port` or `https://host:port`. For https, `tls` says whom to trust
    /// and what to show. `None` if the URL is something else.
    pub fn new(url: &str, tls: Option<Arc<rustls::ClientConfig>>) -> Option<Self> {
        let uri: Uri = url.parse().ok()?;
        let plain = matches!(uri.path(), "" | "/") && uri.query().is_none();
        let host = uri.host().filter(|_| plain)?.trim_matches(['[', ']']).to_owned();
        let (port, tls) = match uri.scheme_str()? {
            "http" => (80, None),
            "https" => {
                let name = ServerName::try_from(host.clone()).ok()?;
                (443, Some((TlsConnector::from(tls?), name)))
            }
            _ => return None,
        };
        let port = uri.port_u16().unwrap_or(port);
        let named = if host.contains(':') { format!("[{host}]") } else { host.clone() };
        let authority = HeaderValue::from_str(&format!("{named}:{port}")).ok()?;
        let healthy = AtomicBool::new(true);
        Some(Self { host, port, authority, tls, healthy, pool: Arc::default() })
    }

    pub(crate) async fn connect(&self) -> std::io::Result<SendRequest<GateBody>> {
        let late = || std::io::Error::from(std::io::ErrorKind::TimedOut);
        timeout(CONNECT_TIMEOUT, self.handshake()).await.unwrap_or_else(|_| Err(late()))
    }

    async fn handshake(&self) -> std::io::Result<SendRequest<GateBody>> {
        let stream = TcpStream::connect((self.host.as_str(), self.port)).await?;
        stream.set_nodelay(true)?;
        let mut builder = http1::Builder::new();
        builder.max_buf_size(MAX_RESPONSE_HEAD);
        let sender = match &self.tls {
            None => spawn(builder.handshake(TokioIo::new(stream)).await),
            Some((connector, name)) => {
                let stream = connector.connect(name.clone(), stream).await?;
                spawn(builder.handshake(TokioIo::new(stream)).await)
            }
        };
        sender.map_err(std::io::Error::other)
    }
}

fn spawn<T>(
    handshake: hyper::Result<(SendRequest<GateBody>, http1::Connection<T, GateBody>)>,
) -> hyper::Result<SendRequest<GateBody>>
where
    T: hyper::rt::Read + hyper::rt::Write + Unpin + Send + 'static,
{
    let (sender, connection) = handshake?;
    tokio::spawn(async move {
        if let Err(error) = connection.with_upgrades().await {
            tracing::debug!(%error, "upstream connection ended");
        }
    });
    Ok(sender)
}

impl std::fmt::Debug for Server {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.authority.to_str().unwrap_or_default())
    }
}

/// Servers behind the gate that do the same job.
#[derive(Debug)]
pub struct Upstream {
    /// Its name.
    pub name: String,
    /// The audience of the tokens it gets.
    pub audience: String,
    /// The servers.
    pub servers: Vec<Server>,
    /// An answer begins in this time.
    pub timeout: Duration,
    /// Where and how often to ask whether a server is well.
    pub health: Option<(String, Duration)>,
    /// Where the next request goes.
    pub next: AtomicUsize,
}

impl Upstream {
    /// Servers in turn, the unhealthy ones last: when all are ill, one of them is still tried.
    fn order(&self) -> impl Iterator<Item = &Server> {
        let first = self.next.fetch_add(1, Ordering::Relaxed);
        let turn = move |step: usize| &self.servers[(first + step) % self.servers.len()];
        let well = |server: &&Server| server.healthy.load(Ordering::Relaxed);
        let all = 0..self.servers.len();
        all.clone().map(turn).filter(well).chain(all.map(turn).filter(move |s| !well(s)))
    }

    /// Sends a request to one of the servers. It is tried again elsewhere only while nothing of it
    /// has been sent, so that no request is done twice.
    pub(crate) async fn send(
        &self,
        mut request: Request<GateBody>,
    ) -> Result<(Response<Incoming>, SendRequest<GateBody>, &Server), UpstreamError> {
        let mut last = None;
        for server in self.order() {
            request.headers_mut().insert(header::HOST, server.authority.clone());
            while let Some(sender) = server.pool.take() {
                match self.exchange(sender, request).await {
                    Ok((response, sender)) => return Ok((response, sender, server)),
                    Err(Exchange::Unsent(unsent)) => request = *unsent,
                    Err(Exchange::Failed(error)) => return Err(error),
                }
            }
            match server.connect().await {
                Ok(sender) => match self.exchange(sender, request).await {
                    Ok((response, sender)) => return Ok((response, sender, server)),
                    Err(Exchange::Unsent(unsent)) => request = *unsent,
                    Err(Exchange::Failed(error)) => return Err(error),
                },
                Err(error) => last = Some(error),
            }
        }
        Err(UpstreamError::Connect(last))
    }

    async fn exchange(
        &self,
        mut sender: SendRequest<GateBody>,
        request: Request<GateBody>,
    ) -> Result<(Response<Incoming>, SendRequest<GateBody>), Exchange> {
        match timeout(self.timeout, sender.try_send_request(request)).await {
            Ok(Ok(response)) => Ok((response, sender)),
            Ok(Err(mut error)) => Err(match error.take_message() {
                Some(unsent) => Exchange::Unsent(Box::new(unsent)),
                None => Exchange::Failed(UpstreamError::Protocol(error.into_error())),
            }),
            Err(_) => Err(Exchange::Failed(UpstreamError::Timeout)),
        }
    }
}

enum Exchange {
    /// The connection was gone before anything was written.
    Unsent(Box<Request<GateBody>>),
    Failed(UpstreamError),
}

/// Asks the servers of an upstream whether they are well, for as long as anybody else holds it.
pub async fn watch_health(upstream: std::sync::Weak<Upstream>) {
    let Some((path, every)) = upstream.upgrade().and_then(|upstream| upstream.health.clone())
    else {
        return;
    };
    let mut ticks = interval(every);
    loop {
        ticks.tick().await;
        let Some(upstream) = upstream.upgrade() else {
            return;
        };
        for server in &upstream.servers {
            let well =
                matches!(timeout(HEALTH_TIMEOUT, probe(server, &path)).await, Ok(Some(true)));
            let before = server.healthy.swap(well, Ordering::Relaxed);
            if before != well {
                tracing::warn!(upstream = upstream.name, server = ?server, well, "health changed");
            }
        }
    }
}

async fn probe(server: &Server, path: &str) -> Option<bool> {
    let mut sender = server.connect().await.ok()?;
    let request = Request::get(path).header(header::HOST, &server.authority).body(empty()).ok()?;
    let response = sender.send_request(request).await.ok()?;
    Some(response.status().is_success())
}
