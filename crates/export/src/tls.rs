use std::{
    net::IpAddr,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use rustix::net::sockopt::set_tcp_user_timeout;
use rustls::{
    ClientConfig, RootCertStore,
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem::PemObject},
};
use tokio::{
    io::{self, AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
    time::timeout,
};
use tokio_rustls::{TlsConnector, client::TlsStream};

/// Bytes that were sent are acknowledged in this time.
pub(crate) const UNACKNOWLEDGED: Duration = Duration::from_secs(8);
/// A connection stands in this time or is given up.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// Whom to trust, and what to show.
#[derive(Debug, Clone, Default)]
pub struct TlsSettings {
    /// Authorities, PEM; those of the web if left out.
    pub ca_pem: Option<String>,
    /// Our certificate and those that sign it, and its key, PEM.
    pub identity: Option<(String, String)>,
}

/// How connections to a receiver are protected.
#[derive(Clone)]
pub struct Tls(TlsConnector);

impl std::fmt::Debug for Tls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Tls")
    }
}

impl Tls {
    /// # Errors
    /// In words, if the certificates or the key cannot be used.
    pub fn new(settings: &TlsSettings) -> Result<Self, String> {
        let mut roots = RootCertStore::empty();
        match &settings.ca_pem {
            None => roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned()),
            Some(pem) => {
                for certificate in certificates(pem, "ca")? {
                    roots.add(certificate).map_err(|error| format!("ca: {error}"))?;
                }
            }
        }
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| error.to_string())?
            .with_root_certificates(roots);
        let config = match &settings.identity {
            None => config.with_no_client_auth(),
            Some((chain, key)) => {
                let key = PrivateKeyDer::from_pem_slice(key.as_bytes());
                let key = key.map_err(|error| format!("key: {error}"))?;
                config
                    .with_client_auth_cert(certificates(chain, "certificate")?, key)
                    .map_err(|error| format!("certificate: {error}"))?
            }
        };
        Ok(Self(TlsConnector::from(Arc::new(config))))
    }

    /// Opens a connection. Without TLS only this machine is talked to.
    pub(crate) async fn connect(&self, host: &str, port: u16, plain: bool) -> io::Result<Stream> {
        let refuse = |text: &str| io::Error::new(io::ErrorKind::InvalidInput, text);
        let open = async {
            let stream = TcpStream::connect((host, port)).await?;
            stream.set_nodelay(true)?;
            // What a peer does not acknowledge in time ends the connection, also if its machine is
            // gone or it stopped reading.
            let millis = u32::try_from(UNACKNOWLEDGED.as_millis()).unwrap_or(u32::MAX);
            set_tcp_user_timeout(&stream, millis)?;
            if plain {
                return if stream.peer_addr()?.ip().to_canonical().is_loopback() {
                    Ok(Stream::Plain(stream))
                } else {
                    Err(refuse("without TLS only this machine is talked to"))
                };
            }
            let name = match host.parse::<IpAddr>() {
                Ok(ip) => ServerName::IpAddress(ip.into()),
                Err(_) => ServerName::try_from(host.to_owned()).map_err(|_| refuse("no name"))?,
            };
            Ok(Stream::Tls(Box::new(self.0.connect(name, stream).await?)))
        };
        timeout(CONNECT_TIMEOUT, open).await.map_err(|_| io::ErrorKind::TimedOut)?
    }
}

fn certificates(pem: &str, what: &str) -> Result<Vec<CertificateDer<'static>>, String> {
    let all: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem.as_bytes()).collect();
    let all = all.map_err(|error| format!("{what}: {error}"))?;
    if all.is_empty() { Err(format!("{what}: there is no certificate in it")) } else { Ok(all) }
}

/// An open connection.
#[derive(Debug)]
pub(crate) enum Stream {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

impl AsyncRead for Stream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match &mut *self {
            Self::Plain(stream) => Pin::new(stream).poll_read(context, into),
            Self::Tls(stream) => Pin::new(stream).poll_read(context, into),
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match &mut *self {
            Self::Plain(stream) => Pin::new(stream).poll_write(context, bytes),
            Self::Tls(stream) => Pin::new(stream).poll_write(context, bytes),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut *self {
            Self::Plain(stream) => Pin::new(stream).poll_flush(context),
            Self::Tls(stream) => Pin::new(stream).poll_flush(context),
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut *self {
            Self::Plain(stream) => Pin::new(stream).poll_shutdown(context),
            Self::Tls(stream) => Pin::new(stream).poll_shutdown(context),
        }
    }
}
