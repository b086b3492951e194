use std::sync::Arc;

use rustls::{
    ClientConfig, ServerConfig,
    client::{Resumption, VerifierBuilderError},
    crypto::CryptoProvider,
    pki_types::{CertificateDer, pem::PemObject},
    server::{NoServerSessionStorage, danger::ClientCertVerifier},
};

use crate::{
    SpiffeId,
    expected::ExpectedServer,
    peer::OrSelfSigned,
    trust::{Identity, Trust},
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
    #[error("certificates of others cannot be verified: {0}")]
    Verifier(#[from] VerifierBuilderError),
}

/// The one cryptographic provider.
pub fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::aws_lc_rs::default_provider())
}

/// The certificates of a file, in their order.
pub fn certificates(pem: &str) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem.as_bytes()).collect();
    chain.ok().filter(|chain| !chain.is_empty()).ok_or(TlsError::Pem("the certificate"))
}

/// The listener for everyone: TLS 1.2 and 1.3, HTTP/2 and HTTP/1.1.
pub fn public_config(shown: Arc<Identity>) -> Result<ServerConfig, TlsError> {
    let config = ServerConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_cert_resolver(shown);
    Ok(finished(config))
}

/// The listener for services: a client certificate that leads to a root of `trust` is required, or,
/// with `self_signed`, one that vouches for itself.
pub fn mesh_config(
    shown: Arc<Identity>,
    trust: Arc<Trust>,
    self_signed: bool,
) -> Result<ServerConfig, TlsError> {
    let verifier: Arc<dyn ClientCertVerifier> =
        if self_signed { Arc::new(OrSelfSigned(trust)) } else { trust };
    let mut config = ServerConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()?
        .with_client_cert_verifier(verifier)
        .with_cert_resolver(shown);
    // A session that goes on would bring back a certificate that nobody looks at again.
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    Ok(finished(config))
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
    /// It must not be a workload: one that was granted the name of the gate is not the gate.
    pub no_workload: bool,
}

/// The way to a server: its chain leads to a root of `trust`, a certificate may be shown, and the
/// server may have to be somebody in particular. `alpn` is what is spoken.
pub fn client_config(
    trust: Arc<Trust>,
    shown: Option<Arc<Identity>>,
    server: ServerIdentity,
    alpn: &[u8],
) -> Result<ClientConfig, TlsError> {
    let builder = ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(ExpectedServer { trust, server }));
    let mut config = match shown {
        Some(shown) => builder.with_client_cert_resolver(shown),
        None => builder.with_no_client_auth(),
    };
    config.alpn_protocols = vec![alpn.to_vec()];
    // A session that goes on would keep a certificate that is not trusted any more.
    config.resumption = Resumption::disabled();
    Ok(config)
}
