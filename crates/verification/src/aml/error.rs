use portcullis_store::{DbError, RaceCheck, SealError};

use super::list::ListError;

/// A screening, or a change of what came of one, cannot be done.
#[derive(Debug, thiserror::Error)]
pub enum AmlError {
    /// A value cannot be accepted: its field, and what it must be.
    #[error("{0} {1}")]
    Invalid(&'static str, String),
    /// There is no such object.
    #[error("there is no such object")]
    NotFound,
    /// It changed since the caller looked.
    #[error("it changed meanwhile; look at it again")]
    Stale,
    /// Whoever proposed it cannot approve it.
    #[error("somebody else than who proposed it must approve it")]
    FourEyes,
    /// A subject with hits that nobody has cleared cannot be erased.
    #[error("it has hits that nobody has cleared")]
    OpenHits,
    /// There is nothing to screen against, which must not look like a good result.
    #[error("no list has been imported")]
    NoLists,
    /// A list cannot be used, and nobody is told that there is no hit on the others.
    #[error("the list {0} cannot be used")]
    List(String, #[source] ListError),
    /// Too many screenings wait.
    #[error("too many screenings wait")]
    Busy,
    /// The verdict could not be recorded.
    #[error("the verdict could not be recorded in the audit log")]
    NotRecorded,
    /// What is stored of a subject cannot be opened or read.
    #[error("a stored subject or hit cannot be read")]
    Sealed,
    /// The database.
    #[error(transparent)]
    Db(#[from] DbError),
}

impl From<SealError> for AmlError {
    fn from(_: SealError) -> Self {
        Self::Sealed
    }
}

impl RaceCheck for AmlError {
    fn is_race(&self) -> bool {
        matches!(self, Self::Db(error) if error.is_race())
    }
}
