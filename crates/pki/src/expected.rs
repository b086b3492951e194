use std::sync::Arc;

use aws_lc_rs::digest::{SHA256, digest};
use rustls::{
    CertificateError, DigitallySignedStruct, Error, SignatureScheme,
    client::{
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
        verify_server_cert_signed_by_trust_anchor,
    },
    pki_types::{CertificateDer, ServerName, UnixTime},
    server::ParsedCertificate,
};
use x509_parser::prelude::{FromDer, X509Certificate};

use crate::{ServerIdentity, peer_spiffe_id, provider, trust::Trust};

/// Trusts a server whose chain leads to a root, and only if it is the one that was meant: by its
/// name, its SPIFFE id, its key, or several of them.
#[derive(Debug)]
pub(crate) struct ExpectedServer {
    pub trust: Arc<Trust>,
    pub server: ServerIdentity,
}

impl ExpectedServer {
    fn is_pinned(&self, certificate: &CertificateDer<'_>) -> bool {
        let Ok((_, parsed)) = X509Certificate::from_der(certificate) else { return false };
        let key = digest(&SHA256, parsed.public_key().raw);
        self.server.pins.iter().any(|pin| pin == key.as_ref())
    }
}

impl ServerCertVerifier for ExpectedServer {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let trusted = self.trust.now();
        match &self.server.spiffe_id {
            None => {
                trusted.servers.verify_server_cert(
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
                verify_server_cert_signed_by_trust_anchor(
                    &parsed,
                    &trusted.roots,
                    intermediates,
                    now,
                    algorithms,
                )?;
                if peer_spiffe_id(end_entity).as_ref() != Some(id) {
                    return Err(CertificateError::NotValidForName.into());
                }
            }
        }
        trusted.check_revoked(end_entity, intermediates)?;
        if self.server.no_workload && peer_spiffe_id(end_entity).is_some() {
            return Err(CertificateError::NotValidForName.into());
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
        self.trust.now().servers.verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.trust.now().servers.verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.trust.now().servers.supported_verify_schemes()
    }
}
