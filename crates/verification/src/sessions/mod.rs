//! Sessions of verification: a workflow, what happened on the way through it, and what was decided.
//!
//! A session is its events. Whoever changes one reads them, lets the engine take the step, and adds the event,
//! what it asks for and the entry in the audit log in one transaction; of two who do so at once one comes
//! too late. What has to be brought about is in the same transaction, so a node that dies leaves it to others.

mod alone;
mod answer;
mod begin;
mod browser;
mod cases;
mod code;
mod credential;
mod device;
mod erase;
mod error;
mod evidence;
mod execute;
mod face_memory;
mod faces;
mod give;
mod group;
mod identity;
mod kinds;
mod known;
mod link;
mod lists;
mod open;
mod people;
mod pictures;
mod proof;
mod questions;
mod risk;
mod seen;
mod service;
mod time_zones;
mod told;
mod velocity;
mod workflows;

pub use alone::{MailHosts, SignalAsked, SignalReport};
pub use answer::{Answer, Answered, ReportViews};
pub(crate) use begin::check_locale;
pub use begin::{Begin, Begun};
pub use browser::BrowserFacts;
pub use cases::Note;
pub use code::{Channel, CodeAnswer, SmsTerms};
pub use device::{ToldDevice, ToldKey};
pub use erase::Erasure;
pub use error::SessionError;
pub use evidence::{
    Decided, EVIDENCE_SALT_BYTES, EVIDENCE_SCHEMA, EVIDENCE_TYP, Evidence, evidence_digest,
};
pub use faces::{FaceFound, FaceSearch, MATCHES_MAX};
pub use give::{Asked, Given, UNSUPPORTED};
pub use identity::VerifiedIdentity;
pub use kinds::ListKind;
pub use known::Known;
pub use link::Step;
pub(crate) use lists::identifiers;
pub use lists::{Entry, Identifiers, Listed};
pub use open::Open;
pub use people::Reviewed;
pub use pictures::SessionPicture;
pub use proof::{Needed, Owner};
pub use seen::{AddressFacts, AddressSources, Addresses};
pub use service::{SessionParts, Sessions};
pub(crate) use told::Detail;
pub use told::Told;
pub use workflows::{Backtested, Change, Diff, Differing};
