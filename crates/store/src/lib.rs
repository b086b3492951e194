//! The only place that knows SQL. SQLite and PostgreSQL behind one [`Db`], one text per query.
//!
//! [`db`] holds connections, transactions and binding; each other module is a group of tables.
//! Changes happen inside [`Db::write`]: events emitted there commit with the change and are durable
//! in the audit log before the call returns.

mod credential;
mod db;
mod log_keys;
mod mail;
mod migrate;
mod query;
mod seal;

pub mod accounts;
pub mod aml;
pub mod idv;

pub mod api_keys;
pub mod applications;
pub mod cases;
pub mod certificates;
pub mod clients;
pub mod compliance;
pub mod consents;
pub mod data_map;
pub mod defence;
pub mod device;
pub mod factors;
pub mod grants;
pub mod groups;
pub mod imports;
pub mod invitations;
pub mod logout_notices;
pub mod mail_login;
pub mod measures;
pub mod outbox;
pub mod passkeys;
pub mod plans;
pub mod pushed;
pub mod quotas;
pub mod recovery;
pub mod registrations;
pub mod resource_servers;
pub mod retention;
pub mod roles;
pub mod secrets;
pub mod sessions;
pub mod signing_keys;
pub mod subject_requests;
pub mod upstream;
pub mod wallet;

pub use credential::{
    API_KEY_PREFIX, CLIENT_SECRET_PREFIX, Credential, ENROLMENT_PREFIX, is_well_formed,
};
pub use db::{CommitSink, Constraint, Db, DbError, RaceCheck, SinkFuture, Tx};
pub use log_keys::{LogKeys, LogSealer};
pub use mail::{Mail, MailError, Sms};
pub use query::{Arg, Query, Source, per, sql};
pub use seal::{KEY_BYTES, SealError, Sealer};

use aws_lc_rs::digest::{SHA256, digest};

/// What is stored of a token, code or key: its SHA-256. Enough, because all of them are random.
pub fn token_hash(token: &str) -> Vec<u8> {
    digest(&SHA256, token.as_bytes()).as_ref().to_vec()
}
