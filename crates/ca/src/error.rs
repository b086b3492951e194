use portcullis_pki::{PkiError, RequestError, TlsError};
use portcullis_store::{DbError, RaceCheck, SealError};

/// The authority does not do it.
#[derive(Debug, thiserror::Error)]
pub enum CaError {
    /// The request for a certificate is not one that is granted.
    #[error(transparent)]
    Request(#[from] RequestError),
    /// No token that is good for a certificate.
    #[error("the enrolment token is not valid")]
    Token,
    /// The certificate that was shown cannot be renewed.
    #[error("the certificate cannot be renewed: {0}")]
    Renewal(&'static str),
    /// The name is not in the trust domain of this authority.
    #[error("{0} is not in the trust domain {1}")]
    TrustDomain(String, String),
    /// There is no such certificate, or nothing of it is left to take back.
    #[error("there is nothing of that name to revoke")]
    Nothing,
    /// Another process changed the authorities at the same time.
    #[error("somebody else changed the authorities at the same time: look again")]
    Raced,
    /// A workload must not be taken for the gate.
    #[error("{0} is the name of the gate itself")]
    OwnName(String),
    /// There is no authority that can sign.
    #[error("no authority can sign at this time")]
    NoAuthority,
    /// A certificate could not be made.
    #[error(transparent)]
    Pki(#[from] PkiError),
    /// A certificate could not be used.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The database.
    #[error(transparent)]
    Db(#[from] DbError),
    /// A key could not be opened.
    #[error("a key of the authority cannot be opened")]
    Seal(#[from] SealError),
}

impl RaceCheck for CaError {
    fn is_race(&self) -> bool {
        matches!(self, Self::Db(error) if error.is_race())
    }
}
