//! Fetching what the issuer publishes: https, one host, bounded in time and size.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use http::{Request, StatusCode, Uri, header};
use http_body_util::{BodyExt, Empty, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use portcullis_jose::{JwkSet, VerifyError, VerifyingKey, from_slice_strict, status_list};
use rustls::{
    ClientConfig, RootCertStore,
    pki_types::{CertificateDer, ServerName, pem::PemObject},
};
use tokio::{net::TcpStream, time::timeout};
use tokio_rustls::TlsConnector;

const FETCH_TIMEOUT: Duration = Duration::from_secs(5);
const MAX_KEYS_BYTES: usize = 256 * 1024;
const JWKS_PATH: &str = "/oauth2/jwks";
/// Where the issuer publishes what it revoked.
pub(crate) const STATUS_PATH: &str = "/oauth2/status-list";

/// Something of the issuer's could not be fetched.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    /// The issuer is not an https URL, or the certificates are not PEM.
    #[error("the issuer must be an https URL and the CA a PEM certificate")]
    Configuration,
    /// The connection failed.
    #[error("the issuer cannot be reached")]
    Connect(#[from] std::io::Error),
    /// The answer is not what was asked for.
    #[error("the issuer's answer is not what was asked for")]
    Answer,
    /// The status list does not hold.
    #[error("the issuer's status list does not hold")]
    List(#[source] VerifyError),
    /// It failed a moment ago.
    #[error("the issuer could not be reached a moment ago")]
    Recently,
    /// It took too long.
    #[error("the issuer did not answer in time")]
    Timeout,
}

pub(crate) struct Source {
    host: String,
    authority: String,
    port: u16,
    tls: TlsConnector,
}

impl Source {
    pub fn new(issuer: &str, ca_pem: &str) -> Result<Self, FetchError> {
        let uri: Uri = issuer.parse().map_err(|_| FetchError::Configuration)?;
        let authority = uri.authority().filter(|_| uri.scheme_str() == Some("https"));
        let authority = authority.ok_or(FetchError::Configuration)?;
        let mut roots = RootCertStore::empty();
        for certificate in CertificateDer::pem_slice_iter(ca_pem.as_bytes()) {
            let added = certificate.ok().and_then(|certificate| roots.add(certificate).ok());
            added.ok_or(FetchError::Configuration)?;
        }
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|_| FetchError::Configuration)?
            .with_root_certificates(roots)
            .with_no_client_auth();
        Ok(Self {
            host: authority.host().trim_matches(['[', ']']).to_owned(),
            authority: authority.to_string(),
            port: authority.port_u16().unwrap_or(443),
            tls: TlsConnector::from(Arc::new(config)),
        })
    }

    pub async fn keys(&self) -> Result<Vec<VerifyingKey>, FetchError> {
        let fetched = self.get_in_time(JWKS_PATH, MAX_KEYS_BYTES).await?;
        let set: JwkSet = from_slice_strict(&fetched).map_err(|_| FetchError::Answer)?;
        set.verifying_keys().map_err(|_| FetchError::Answer)
    }

    pub async fn status_list(&self) -> Result<String, FetchError> {
        let fetched = self.get_in_time(STATUS_PATH, status_list::MAX_BYTES).await?;
        String::from_utf8(fetched.into()).map_err(|_| FetchError::Answer)
    }

    async fn get_in_time(&self, path: &str, max_bytes: usize) -> Result<Bytes, FetchError> {
        timeout(FETCH_TIMEOUT, self.get(path, max_bytes)).await.map_err(|_| FetchError::Timeout)?
    }

    async fn get(&self, path: &str, max_bytes: usize) -> Result<Bytes, FetchError> {
        let name =
            ServerName::try_from(self.host.clone()).map_err(|_| FetchError::Configuration)?;
        let stream = TcpStream::connect((self.host.as_str(), self.port)).await?;
        let stream = self.tls.connect(name, stream).await?;
        let (mut sender, connection) =
            http1::handshake(TokioIo::new(stream)).await.map_err(|_| FetchError::Answer)?;
        tokio::spawn(async move {
            let _ = connection.await;
        });
        let request = Request::get(path)
            .header(header::HOST, &self.authority)
            .body(Empty::<Bytes>::new())
            .map_err(|_| FetchError::Configuration)?;
        let response = sender.send_request(request).await.map_err(|_| FetchError::Answer)?;
        if response.status() != StatusCode::OK {
            return Err(FetchError::Answer);
        }
        let body = Limited::new(response.into_body(), max_bytes).collect().await;
        Ok(body.map_err(|_| FetchError::Answer)?.to_bytes())
    }
}
