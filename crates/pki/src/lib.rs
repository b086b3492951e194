//! The built-in certificate authority, workload certificates with SPIFFE ids, and TLS settings.
//!
//! Pure but for the generator of private keys: times come in, PEM goes out, and the server decides
//! where it is kept.

mod authority;
mod peer;
mod pinned;
mod spiffe;
mod tls;

pub use authority::{Authority, AuthorityMaterial, CertifiedPem, PkiError};
pub use peer::{
    CertificateName, ClientTrust, PeerCertificate, certificate_thumbprint, is_certificate,
};
pub use spiffe::{SpiffeError, SpiffeId, peer_spiffe_id};
pub use tls::{
    ServerIdentity, TlsError, certificates, client_config, identity, mesh_config, provider,
    public_config, roots,
};
