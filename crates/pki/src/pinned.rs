use std::sync::Arc;

use aws_lc_rs::digest::{SHA256, digest};
use rustls::{
    CertificateError, DigitallySignedStruct, Error, RootCertStore, SignatureScheme,
    client::{
        WebPkiServerVerifier,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
        verify_server_cert_signed_by_trust_anchor,
    },
    pki_types::{CertificateDer, ServerName, UnixTime},
    server::ParsedCertificate,
};
use x509_parser::prelude::{FromDer, X509Certificate};

use crate::{ServerIdentity, TlsError, peer_spiffe_id, provider};

/// Trusts a server only if it is the one that was meant: by its SPIFFE id, its key, or both.
#[derive(Debug)]
pub(crate) struct PinnedServer {
    inner: Arc<WebPkiServerVerifier>,
    roots: Arc<RootCertStore>,
    server: ServerIdentity,
}

impl PinnedServer {
    pub fn new(roots: Arc<RootCertStore>, server: ServerIdentity) -> Result<Self, TlsError> {
        let builder = WebPkiServerVerifier::builder_with_provider(roots.clone(), provider());
        Ok(Self { inner: builder.build()?, roots, server })
    }

    fn is_pinned(&self, certificate: &CertificateDer<'_>) -> bool {
        let Ok((_, parsed)) = X509Certificate::from_der(certificate) else { return false };
        let key = digest(&SHA256, parsed.public_key().raw);
        self.server.pins.iter().any(|pin| pin == key.as_ref())
    }
}

impl ServerCertVerifier for PinnedServer {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        match &self.server.spiffe_id {
            None => {
                self.inner.verify_server_cert(
                    end_entity,
                    intermediates,
                    server_name,
                    ocsp_response,
                    now,
                )?;
            }
            Some(id) => {
                let parsed = ParsedCertificate::try_from(end_entity)?;
                let algorithms = provider().signature_verification_algorithms.all;
                let roots = &self.roots;
                verify_server_cert_signed_by_trust_anchor(
                    &parsed,
                    roots,
                    intermediates,
                    now,
                    algorithms,
                )?;
                if peer_spiffe_id(end_entity).as_ref() != Some(id) {
                    return Err(CertificateError::NotValidForName.into());
                }
            }
        }
        if !self.server.pins.is_empty() && !self.is_pinned(end_entity) {
            return Err(CertificateError::ApplicationVerificationFailure.into());
        }
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.inner.verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.inner.verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.inner.supported_verify_schemes()
    }
}
