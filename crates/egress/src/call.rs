use std::{
    future::Future,
    io,
    net::{IpAddr, SocketAddr},
    pin::Pin,
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Method, Request, StatusCode, header};
use http_body_util::{BodyExt, Full, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use ipnet::IpNet;
use rustls::{
    ClientConfig, RootCertStore,
    pki_types::{CertificateDer, ServerName, pem::PemObject},
};
use tokio::{net::TcpStream, sync::Semaphore, time::timeout};
use tokio_rustls::TlsConnector;
use url::{Host, Url};

use crate::is_public;

/// An answer is at most this long.
pub const MAX_ANSWER_BYTES: usize = 256 * 1024;
/// The whole call is done in this time.
const CALL_TIMEOUT: Duration = Duration::from_secs(5);
/// Calls at once, where nobody says otherwise.
pub const MAX_CALLS: usize = 32;
/// A URL is at most this long.
const MAX_URL_BYTES: usize = 2_048;
/// Addresses of one name that are looked at.
const MAX_ADDRESSES: usize = 16;

/// Turns a name and a port into addresses.
pub type Resolve = Arc<
    dyn Fn(String, u16) -> Pin<Box<dyn Future<Output = io::Result<Vec<SocketAddr>>> + Send>>
        + Send
        + Sync,
>;

/// What operators allow.
#[derive(Debug, Clone, Default)]
pub struct Settings {
    /// Networks that may be called although they are not public.
    pub allow: Vec<IpNet>,
    /// Authorities that are trusted besides those of the web, PEM.
    pub ca_pem: Option<String>,
}

/// A call was not made, or not answered.
#[derive(Debug, thiserror::Error)]
pub enum EgressError {
    /// Not an https URL with a host and nothing that hides another one.
    #[error("only plain https URLs are called")]
    Url,
    /// The name has no address, or one that is not public.
    #[error("the address is not public")]
    Address,
    /// The authorities cannot be read.
    #[error("the certificates of the authorities are not PEM")]
    Authorities,
    /// It could not be reached, or its certificate does not hold.
    #[error("the connection failed")]
    Connect(#[source] io::Error),
    /// The answer is not HTTP, or too long.
    #[error("the answer could not be read")]
    Answer,
    /// It took too long.
    #[error("there was no answer in time")]
    Timeout,
}

/// What to send where.
#[derive(Debug, Clone)]
pub struct Call<'a> {
    /// The method.
    pub method: Method,
    /// An https URL.
    pub url: &'a str,
    /// Fields beside those that every call has. `Host` and `Content-Type` are not among them.
    pub headers: &'a [(HeaderName, HeaderValue)],
    /// The body, with its media type.
    pub body: Option<(HeaderValue, String)>,
}

/// A status and a body.
#[derive(Debug, Clone)]
pub struct Answer {
    /// The status. Redirects come back like any other.
    pub status: StatusCode,
    /// The media type, without its parameters.
    pub content_type: Option<String>,
    /// The body.
    pub body: Bytes,
}

/// The way out. Cheap to clone.
#[derive(Clone)]
pub struct Egress(Arc<Inner>);

struct Inner {
    allow: Vec<IpNet>,
    tls: TlsConnector,
    resolve: Resolve,
    calls: Semaphore,
}

/// The resolver of the system.
pub fn system_resolver() -> Resolve {
    Arc::new(|host, port| {
        Box::pin(async move { Ok(tokio::net::lookup_host((host.as_str(), port)).await?.collect()) })
    })
}

impl Egress {
    /// A way out under these settings.
    pub fn new(settings: Settings, resolve: Resolve) -> Result<Self, EgressError> {
        Self::with_calls(settings, resolve, MAX_CALLS)
    }

    /// A way out for so many calls at once. Waiting for one of them counts as time of a call.
    pub fn with_calls(
        settings: Settings,
        resolve: Resolve,
        calls: usize,
    ) -> Result<Self, EgressError> {
        let mut roots = RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
        for certificate in
            CertificateDer::pem_slice_iter(settings.ca_pem.unwrap_or_default().as_bytes())
        {
            let added = certificate.ok().and_then(|certificate| roots.add(certificate).ok());
            added.ok_or(EgressError::Authorities)?;
        }
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|_| EgressError::Authorities)?
            .with_root_certificates(roots)
            .with_no_client_auth();
        let tls = TlsConnector::from(Arc::new(config));
        let calls = Semaphore::new(calls);
        Ok(Self(Arc::new(Inner { allow: settings.allow, tls, resolve, calls })))
    }

    /// Fetches a document.
    pub async fn get(&self, url: &str) -> Result<Answer, EgressError> {
        self.call(Call { method: Method::GET, url, headers: &[], body: None }).await
    }

    /// Sends a form.
    pub async fn post_form(&self, url: &str, form: String) -> Result<Answer, EgressError> {
        let kind = HeaderValue::from_static("application/x-www-form-urlencoded");
        let body = Some((kind, form));
        self.call(Call { method: Method::POST, url, headers: &[], body }).await
    }

    /// Whether a URL may be called as far as that can be told without looking up its name.
    pub fn check(&self, url: &str) -> Result<(), EgressError> {
        let target = Target::read(url)?;
        let ip = match target.url.host() {
            Some(Host::Ipv4(ip)) => ip.into(),
            Some(Host::Ipv6(ip)) => ip.into(),
            Some(Host::Domain(_)) | None => return Ok(()),
        };
        if self.may(ip) { Ok(()) } else { Err(EgressError::Address) }
    }

    fn may(&self, ip: IpAddr) -> bool {
        let ip = ip.to_canonical();
        is_public(ip) || self.0.allow.iter().any(|network| network.contains(&ip))
    }

    /// Makes any call.
    pub async fn call(&self, call: Call<'_>) -> Result<Answer, EgressError> {
        self.answered(&call, true, CALL_TIMEOUT).await
    }

    /// Makes a call that may take longer than others, or less long.
    pub async fn call_within(&self, call: Call<'_>, time: Duration) -> Result<Answer, EgressError> {
        self.answered(&call, true, time).await
    }

    /// Makes a call of whose answer only the status counts: the rest is not waited for.
    pub async fn status(&self, call: Call<'_>) -> Result<StatusCode, EgressError> {
        Ok(self.answered(&call, false, CALL_TIMEOUT).await?.status)
    }

    async fn answered(
        &self,
        call: &Call<'_>,
        reads_body: bool,
        time: Duration,
    ) -> Result<Answer, EgressError> {
        let target = Target::read(call.url)?;
        let work = async {
            let _place = self.0.calls.acquire().await.map_err(|_| EgressError::Timeout)?;
            let addrs = self.addresses(&target).await?;
            self.exchange(&target, &addrs, call, reads_body).await
        };
        timeout(time, work).await.map_err(|_| EgressError::Timeout)?
    }

    /// Every address of the host, all of which may be called. A name that also has an address
    /// inside is somebody's attempt to get there by luck.
    async fn addresses(&self, target: &Target) -> Result<Vec<SocketAddr>, EgressError> {
        let addrs = match target.url.host() {
            Some(Host::Ipv4(ip)) => vec![SocketAddr::new(ip.into(), target.port)],
            Some(Host::Ipv6(ip)) => vec![SocketAddr::new(ip.into(), target.port)],
            Some(Host::Domain(name)) => (self.0.resolve)(name.to_owned(), target.port)
                .await
                .map_err(EgressError::Connect)?,
            None => Vec::new(),
        };
        let may = |addr: &SocketAddr| self.may(addr.ip());
        let fit = !addrs.is_empty() && addrs.len() <= MAX_ADDRESSES && addrs.iter().all(may);
        if fit { Ok(addrs) } else { Err(EgressError::Address) }
    }

    async fn exchange(
        &self,
        target: &Target,
        addrs: &[SocketAddr],
        call: &Call<'_>,
        reads_body: bool,
    ) -> Result<Answer, EgressError> {
        let stream = TcpStream::connect(addrs).await.map_err(EgressError::Connect)?;
        let name = ServerName::try_from(target.name.clone()).map_err(|_| EgressError::Url)?;
        let stream = self.0.tls.connect(name, stream).await.map_err(EgressError::Connect)?;
        let (mut sender, connection) =
            http1::handshake(TokioIo::new(stream)).await.map_err(|_| EgressError::Answer)?;
        // Ends with the sender, which ends with the call.
        let connection = tokio::spawn(async move {
            let _ = connection.await;
        });
        let request = target.request(call)?;
        let answered = async {
            let response = sender.send_request(request).await.map_err(|_| EgressError::Answer)?;
            let status = response.status();
            let kind = response.headers().get(header::CONTENT_TYPE).and_then(|v| v.to_str().ok());
            let kind = kind.and_then(|kind| kind.split(';').next());
            let content_type = kind.map(|kind| kind.trim().to_ascii_lowercase());
            let body = if reads_body {
                let body = Limited::new(response.into_body(), MAX_ANSWER_BYTES).collect().await;
                body.map_err(|_| EgressError::Answer)?.to_bytes()
            } else {
                Bytes::new()
            };
            Ok(Answer { status, content_type, body })
        };
        let answer = answered.await;
        connection.abort();
        answer
    }
}

impl std::fmt::Debug for Egress {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Egress").field("allow", &self.0.allow).finish_non_exhaustive()
    }
}

/// A URL that may be called, if its address may.
struct Target {
    url: Url,
    name: String,
    port: u16,
}

impl Target {
    fn read(text: &str) -> Result<Self, EgressError> {
        let url = Url::parse(text).map_err(|_| EgressError::Url)?;
        let plain = text.len() <= MAX_URL_BYTES
            && url.scheme() == "https"
            && url.username().is_empty()
            && url.password().is_none()
            && url.fragment().is_none();
        let host = url.host_str().map(|host| host.trim_matches(['[', ']']).to_owned());
        match (host, url.port_or_known_default()) {
            (Some(name), Some(port)) if plain => Ok(Self { url, name, port }),
            _ => Err(EgressError::Url),
        }
    }

    fn request(&self, call: &Call<'_>) -> Result<Request<Full<Bytes>>, EgressError> {
        let path = &self.url[url::Position::BeforePath..url::Position::AfterQuery];
        let authority = &self.url[url::Position::BeforeHost..url::Position::AfterPort];
        let mut request = Request::builder()
            .method(&call.method)
            .uri(path)
            .header(header::HOST, authority)
            .header(header::ACCEPT, "application/json, */*;q=0.1")
            .header(header::USER_AGENT, "portcullis")
            .body(Full::from(call.body.as_ref().map(|(_, text)| text.clone()).unwrap_or_default()))
            .map_err(|_| EgressError::Url)?;
        let headers = request.headers_mut();
        headers.extend(call.headers.iter().cloned());
        if let Some((kind, _)) = &call.body {
            headers.insert(header::CONTENT_TYPE, kind.clone());
        }
        Ok(request)
    }
}
