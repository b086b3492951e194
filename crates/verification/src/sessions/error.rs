use portcullis_store::{DbError, MailError, RaceCheck, SealError};
use portcullis_workflow::{Problem, Refused};

use crate::checks::CheckError;

/// A session or a workflow cannot be what it was to become.
#[derive(Debug, thiserror::Error)]
pub enum SessionError {
    /// A value cannot be accepted: its field, and what it must be.
    #[error("{0} {1}")]
    Invalid(&'static str, String),
    /// A graph makes no sense; everything that is wrong with it.
    #[error("the graph makes no sense")]
    Graph(Vec<Problem>),
    /// There is no such object.
    #[error("there is no such object")]
    NotFound,
    /// It changed since the caller looked.
    #[error("it changed meanwhile; look at it again")]
    Stale,
    /// Nothing of the workflow was published yet.
    #[error("no version of the workflow was published")]
    NotPublished,
    /// There is no decision whose evidence could be shown.
    #[error("the session is not decided")]
    NotDecided,
    /// Not now.
    #[error(transparent)]
    Refused(#[from] Refused),
    /// The session waits for other steps than this one, which are named.
    #[error("the session does not wait for this")]
    NotAsked(Vec<String>),
    /// The keys before these still sign; if they were changed again, whoever has them would be cut off.
    #[error("the keys were changed less than a day ago")]
    Overlap,
    /// Whoever asks may not know what it is about.
    #[error("needs the scope aml as well")]
    Forbidden,
    /// The same key came with another request.
    #[error("the idempotency key was used for another request")]
    KeyReused,
    /// What the session was about was erased.
    #[error("the session was erased")]
    Erased,
    /// What is stored cannot be opened or read.
    #[error("a stored session cannot be read")]
    Sealed,
    /// What was given cannot be looked at.
    #[error(transparent)]
    Check(#[from] CheckError),
    /// The database.
    #[error(transparent)]
    Db(#[from] DbError),
}

impl From<SealError> for SessionError {
    fn from(_: SealError) -> Self {
        Self::Sealed
    }
}

impl From<MailError> for SessionError {
    fn from(error: MailError) -> Self {
        match error {
            MailError::Db(error) => error.into(),
            MailError::Seal(error) => error.into(),
        }
    }
}

impl RaceCheck for SessionError {
    fn is_race(&self) -> bool {
        match self {
            Self::Db(error) => error.is_race(),
            Self::Check(error) => error.is_race(),
            _ => false,
        }
    }
}
