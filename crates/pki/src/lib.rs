//! Certificate authorities, workload certificates with SPIFFE ids, and TLS settings.
//!
//! Pure but for the generator of private keys: times and randomness come in, certificates go out, and
//! others decide where they are kept.

mod authority;
mod bundle;
mod expected;
mod peer;
mod request;
mod shown;
mod spiffe;
mod tls;
mod trust;

pub use authority::{
    Authority, AuthorityFacts, AuthorityMaterial, Issued, MAX_NAMES, PkiError, Revoked, Subject,
    certificate_pem, is_certificate_name, key_of, lifetime, new_key, request_pem,
};
pub use bundle::spiffe_bundle;
pub use peer::{CertificateName, PeerCertificate, certificate_thumbprint, is_certificate};
pub use request::{CertificateRequest, MAX_REQUEST_BYTES, RequestError};
pub use shown::Shown;
pub use spiffe::{SpiffeError, SpiffeId, is_trust_domain, peer_spiffe_id};
pub use tls::{
    ServerIdentity, TlsError, certificates, client_config, mesh_config, provider, public_config,
};
pub use trust::{Identity, Trust};
