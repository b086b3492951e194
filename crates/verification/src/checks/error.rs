use portcullis_store::{DbError, RaceCheck};

/// A check cannot be done.
#[derive(Debug, thiserror::Error)]
pub enum CheckError {
    /// A value cannot be accepted: its field, and what it must be.
    #[error("{0} {1}")]
    Invalid(&'static str, String),
    /// Too many checks wait.
    #[error("too many checks wait")]
    Busy,
    /// The report could not be recorded.
    #[error("the report could not be recorded in the audit log")]
    NotRecorded,
    /// The database.
    #[error(transparent)]
    Db(#[from] DbError),
}

impl RaceCheck for CheckError {
    fn is_race(&self) -> bool {
        matches!(self, Self::Db(error) if error.is_race())
    }
}
