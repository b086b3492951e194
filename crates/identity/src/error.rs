use portcullis_audit::AuditError;
use portcullis_store::{DbError, MailError, SealError};

use crate::hasher::HashError;

/// A value that a person can correct: which one, and how.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FieldError {
    /// The name of the input: `username`, `email`, `password`, `current_password`.
    pub field: &'static str,
    /// What it must be; follows the name of the field in a sentence.
    pub message: String,
}

/// An operation on an account failed.
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    /// Some inputs cannot be accepted.
    #[error("some values cannot be accepted")]
    Invalid(Vec<FieldError>),
    /// The link was used, has expired, or never was one.
    #[error("the link is not valid any more")]
    Link,
    /// The current password is wrong.
    #[error("the current password is not right")]
    CurrentPassword,
    /// Too many wrong passwords; this is when it is worth trying again.
    #[error("too many attempts failed")]
    Throttled(std::time::Duration),
    /// What the browser says about a passkey cannot be accepted.
    #[error("the passkey cannot be accepted")]
    Passkey,
    /// State that a browser should keep could not be made.
    #[error("state could not be sealed")]
    State,
    /// There is no such account, session or object.
    #[error("not found")]
    NotFound,
    /// Too many password checks are waiting.
    #[error("too many requests are waiting")]
    Busy,
    /// The last administrator cannot be removed, disabled or demoted.
    #[error("the last administrator cannot be removed or disabled")]
    LastAdmin,
    /// It changed since whoever changes it looked.
    #[error("it changed meanwhile")]
    Stale,
    /// The database.
    #[error("the account store failed")]
    Db(#[from] DbError),
    /// The audit log.
    #[error("the audit log failed")]
    Audit(#[from] AuditError),
    /// A secret could not be sealed or opened.
    #[error("sealing failed")]
    Seal(#[from] SealError),
    /// The hash function.
    #[error("password hashing failed")]
    Hash(#[source] HashError),
}

impl IdentityError {
    /// One field that cannot be accepted.
    #[expect(clippy::needless_pass_by_value, reason = "errors and literals read better by value")]
    pub fn field(field: &'static str, message: impl ToString) -> Self {
        Self::Invalid(vec![FieldError { field, message: message.to_string() }])
    }
}

impl From<MailError> for IdentityError {
    fn from(error: MailError) -> Self {
        match error {
            MailError::Db(error) => error.into(),
            MailError::Seal(error) => error.into(),
        }
    }
}

impl From<HashError> for IdentityError {
    fn from(error: HashError) -> Self {
        match error {
            HashError::Busy => Self::Busy,
            HashError::Failed => Self::Hash(error),
        }
    }
}

impl portcullis_store::RaceCheck for IdentityError {
    fn is_race(&self) -> bool {
        matches!(self, Self::Db(error) if error.is_race())
    }
}
