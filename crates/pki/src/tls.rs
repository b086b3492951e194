use std::sync::Arc;

use rustls::{
    ClientConfig, RootCertStore, ServerConfig,
    crypto::CryptoProvider,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
    server::{WebPkiClientVerifier, danger::ClientCertVerifier},
};

use crate::{
    SpiffeId,
    peer::{ClientTrust, OrSelfSigned},
    pinned::PinnedServer,
};

/// TLS could not be set up from these files.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// Not PEM, or nothing of the expected kind in it.
    #[error("{0} is not valid PEM of that kind")]
    Pem(&'static str),
    /// Certificate and key do not belong together, or are not usable.
    #[error("the certificate cannot be used: {0}")]
    Rustls(#[from] rustls::Error),
    /// No root to trust.
    #[error("client certificates cannot be verified: {0}")]
    Verifier(#[from] rustls::server::VerifierBuilderError),
}

/// The one cryptographic provider.
pub fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::aws_lc_rs::default_provider())
}

/// Certificates that are trusted.
pub fn roots(pem: &str) -> Result<Arc<RootCertStore>, TlsError> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(pem)? {
        roots.add(certificate)?;
    }
    Ok(Arc::new(roots))
}

/// A certificate chain with its key.
pub fn identity(
    chain_pem: &str,
    key_pem: &str,
) -> Result<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>), TlsError> {
    let key = PrivateKeyDer::from_pem_slice(key_pem.as_bytes());
    Ok((certificates(chain_pem)?, key.map_err(|_| TlsError::Pem("the private key"))?))
}

/// The certificates of a file, in their order.
pub fn certificates(pem: &str) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem.as_bytes()).collect();
    chain.ok().filter(|chain| !chain.is_empty()).ok_or(TlsError::Pem("the certificate"))
}

/// The listener for everyone: TLS 1.2 and 1.3, HTTP/2 and HTTP/1.1.
pub fn public_config(chain_pem: &str, key_pem: &str) -> Result<ServerConfig, TlsError> {
    let (chain, key) = identity(chain_pem, key_pem)?;
    let config = ServerConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(chain, key)?;
    Ok(finished(config))
}

/// The listener for services: a client certificate of the authority is required, or, with
/// `self_signed`, one that vouches for itself. What comes back beside the configuration tells the
/// two apart.
pub fn mesh_config(
    chain_pem: &str,
    key_pem: &str,
    client_roots: Arc<RootCertStore>,
    self_signed: bool,
) -> Result<(ServerConfig, ClientTrust), TlsError> {
    let (chain, key) = identity(chain_pem, key_pem)?;
    let strict = WebPkiClientVerifier::builder_with_provider(client_roots, provider()).build()?;
    let trust = ClientTrust(strict.clone());
    let verifier: Arc<dyn ClientCertVerifier> =
        if self_signed { Arc::new(OrSelfSigned(strict)) } else { strict };
    let config = ServerConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()?
        .with_client_cert_verifier(verifier)
        .with_single_cert(chain, key)?;
    Ok((finished(config), trust))
}

fn finished(mut config: ServerConfig) -> ServerConfig {
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    // No early data: a request that can be replayed is not one we want.
    config.max_early_data_size = 0;
    config
}

/// Who a server must be, besides what its chain proves.
#[derive(Debug, Clone, Default)]
pub struct ServerIdentity {
    /// It must have this SPIFFE id, whatever it is called (X.509-SVID, section 5).
    pub spiffe_id: Option<SpiffeId>,
    /// Its public key must be one of these: SHA-256 of the SubjectPublicKeyInfo (RFC 7469, section
    /// 2.4).
    pub pins: Vec<[u8; 32]>,
}

/// The way to an upstream: `roots` are trusted, a certificate may be shown, and the server may have
/// to be somebody in particular. `alpn` is what is spoken.
pub fn client_config(
    roots: Arc<RootCertStore>,
    identity: Option<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>)>,
    server: ServerIdentity,
    alpn: &[u8],
) -> Result<ClientConfig, TlsError> {
    let builder =
        ClientConfig::builder_with_provider(provider()).with_safe_default_protocol_versions()?;
    let builder = if server.spiffe_id.is_none() && server.pins.is_empty() {
        builder.with_root_certificates(roots)
    } else {
        let verifier = PinnedServer::new(roots, server)?;
        builder.dangerous().with_custom_certificate_verifier(Arc::new(verifier))
    };
    let mut config = match identity {
        Some((chain, key)) => builder.with_client_auth_cert(chain, key)?,
        None => builder.with_no_client_auth(),
    };
    config.alpn_protocols = vec![alpn.to_vec()];
    Ok(config)
}
