//! Accounts, credentials, sessions and recovery.
//!
//! Every operation is one method of [`Identity`] in a file of its own. What was proven by mail is a
//! type that only the proof can make; answers to strangers are the same whether an account exists.

mod access;
mod alerts;
mod api_keys;
mod attestation;
mod cases;
mod defence;
mod delay;
mod email;
mod error;
mod factors;
mod foreign_hash;
mod groups;
mod hash_threads;
mod hasher;
mod import;
mod invitations;
mod link;
mod login;
mod mail_login;
mod methods;
mod passkeys;
mod password;
mod profile;
mod record;
mod recovery;
mod recovery_codes;
mod registration;
mod rights;
mod sealed;
mod service;
mod session;
mod status;
mod subject_requests;
mod throttle;
mod totp;
mod upstream;
mod username;

pub use access::MAX_TOKEN_LIFETIME;
pub use alerts::{AlertMail, RuleAlert};
pub use attestation::{StaffDevices, StaffDevicesError};
pub use cases::{CASE_RESOLUTIONS, CASE_STATES, CaseChange};
pub use defence::{Answering, DELAYED, EVERYWHERE, STEP_UP};
pub use delay::Delays;
pub use email::{Email, EmailError};
pub use error::{FieldError, IdentityError};
pub use factors::Factors;
pub use foreign_hash::{HashFormatError, check_password_hash};
pub use groups::{GroupSpec, MAX_GROUPS, Memberships};
pub use hasher::{HashError, HashParameters, Hasher};
pub use import::{IMPORT_BATCH, ImportRecord, Importer, Refusal};
pub use invitations::{Acceptance, INVITATION_LIFETIME, NewInvitation};
pub use login::{Login, LoginError};
pub use methods::{Assurance, Method, Methods};
pub use passkeys::Ceremony;
pub use password::{MAX_PASSWORD_CHARS, MIN_PASSWORD_CHARS, PasswordError, PasswordRules};
pub use portcullis_audit::Filter as LogFilter;
pub use portcullis_store::Mail;
pub use profile::NewAccount;
pub use record::{LogEntry, LogPage};
pub use recovery::EMAIL_LINK_LIFETIME;
pub use registration::{Confirmed, Registration};
pub use rights::MAX_EXPORTED_ENTRIES;
pub use sealed::Opened;
pub use service::{Identity, Parts};
pub use session::{Browser, LoggedIn, RECENT, Recent, SESSION_LIFETIME};
pub use subject_requests::{
    NewSubjectRequest, SUBJECT_REQUEST_KINDS, SUBJECT_REQUEST_OUTCOMES, SubjectRequestChange,
};
pub use totp::TotpSetup;
pub use upstream::UpstreamLogin;
pub use username::{Username, UsernameError};
