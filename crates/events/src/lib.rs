//! Every fact Portcullis records, as one typed [`Event`], and its OCSF 1.8.0 form.
//!
//! Secrets have no field here: passwords, tokens, codes and cookies cannot be put into an event by
//! mistake. What a person typed as a user name is kept only when the account exists; otherwise a
//! keyed pseudonym stands for it, because people type passwords into the wrong box.

mod clean;
mod entry;
mod idv;
mod kind;
mod ocsf;
mod request_leaf;
mod sealed;
mod span;

pub use clean::{MAX_TEXT_BYTES, clean};
pub use entry::{SearchFields, pruned, search_fields};
pub use kind::{
    AccountChange, AdminChange, AlertRaised, BlockChange, Check, HitChange, Kind, Lifecycle,
    ListUsed, LoginAttempt, PRUNED, PolicyDecision, Pruned, Removed, ReportUsed, RequestSeen,
    Screening, Stage, TokenOperation, Verification,
};
pub use ocsf::{OCSF_VERSION, class_uid, known_method, leaf, ocsf};
pub use request_leaf::leaf_into;
pub use sealed::{SealPersonal, Sealed, Whose, opened_entry, sealed_leaf, sealed_of, subject};
pub use span::{Span, SpanValue, TraceIds};

use std::sync::{Arc, OnceLock};

use portcullis_types::{ClientAddr, DEFAULT_TENANT, Id, Timestamp, tags};

/// One fact: who did what, from where, when, and how it ended.
#[derive(Debug, Clone)]
pub struct Event {
    /// Unique; the log keeps one entry for it however often it is offered.
    pub id: Id<tags::Event>,
    /// When it happened, by the server's clock. The order of the log is the index, not the time.
    pub time: Timestamp,
    /// The tenant it belongs to.
    pub tenant: String,
    /// The request it happened in, where there was one.
    pub origin: Option<Origin>,
    /// Who did it.
    pub actor: Actor,
    /// How it ended.
    pub outcome: Outcome,
    /// What happened.
    pub kind: Kind,
}

impl Event {
    /// An event of the default tenant.
    pub fn new(
        id: Id<tags::Event>,
        time: Timestamp,
        origin: Option<Origin>,
        actor: Actor,
        outcome: Outcome,
        kind: Kind,
    ) -> Self {
        if let (Some(origin), Actor::User { .. }) = (&origin, &actor) {
            origin.is_of(&actor);
        }
        Self { id, time, tenant: DEFAULT_TENANT.to_owned(), origin, actor, outcome, kind }
    }
}

/// Where a request came from.
#[derive(Debug, Clone, Default)]
pub struct Origin {
    /// The client's address after trusted proxies were taken off.
    pub addr: ClientAddr,
    /// The id of the request, also in the answer.
    pub request_id: String,
    /// The `User-Agent`, cleaned and cut.
    pub user_agent: Option<String>,
    /// The JA4 fingerprint of the client's TLS, where it is the client that speaks TLS with us.
    pub ja4: Option<Arc<str>>,
    /// Whose request it turned out to be. Clones of an origin learn of it together.
    pub person: Arc<OnceLock<Actor>>,
    /// Whether it is the gate that asks, as the client that keeps browsers logged in.
    pub is_of_gate: bool,
}

impl Origin {
    /// The origin of a request of nobody known yet.
    pub fn new(addr: ClientAddr, request_id: String, user_agent: Option<String>) -> Self {
        Self { addr, request_id, user_agent, ..Self::default() }
    }

    /// The same for what the gate asks the provider on behalf of that request.
    #[must_use]
    pub fn of_gate(&self) -> Self {
        Self { is_of_gate: true, ..self.clone() }
    }

    /// Notes whose request it is. The gate's own event of it must not say in the clear where
    /// somebody was whose other events are sealed.
    pub fn is_of(&self, person: &Actor) {
        let _ = self.person.set(person.clone());
    }

    /// Whose request it turned out to be.
    pub fn whose(&self) -> Option<&Actor> {
        self.person.get()
    }
}

/// Who did something.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Actor {
    /// Nobody who showed a credential.
    #[default]
    Anonymous,
    /// A person with an account.
    User {
        /// The account id.
        id: String,
        /// The user name at the time.
        username: String,
    },
    /// A name that no account has: a keyed hash of what was typed.
    UnknownUser {
        /// The keyed hash, hexadecimal.
        pseudonym: String,
    },
    /// An OAuth client acting for itself.
    Client {
        /// The `client_id`.
        id: String,
    },
    /// An API key.
    ApiKey {
        /// The id of the key, never the key.
        id: String,
    },
    /// A workload with a client certificate.
    Workload {
        /// Its SPIFFE id.
        spiffe_id: String,
    },
    /// Portcullis itself.
    System,
    /// Somebody with access to the machine, through the command line.
    Operator,
}

/// How it ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// It was done.
    Success,
    /// It was refused or failed, with a stable reason such as `bad_password`.
    Failure(&'static str),
}

impl Outcome {
    /// Whether it was done.
    pub fn is_success(&self) -> bool {
        matches!(self, Self::Success)
    }
}
