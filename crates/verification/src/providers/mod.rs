//! Checks that somebody else does: a register that is asked, a document that is looked at.
//!
//! One call to an https address of the operator's choice, signed as webhooks are, with no more of the person than the
//! operator says. It carries a key that is the same however often a step is tried, so that whoever keeps it does
//! nothing twice. The answer is read strictly; what cannot be read passes nobody.

mod alone;
mod contract;

pub use alone::{ProviderAsked, ProviderReport};
pub use contract::provider_outcome;

use std::{
    collections::{BTreeMap, HashSet},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use aws_lc_rs::digest;
use data_encoding::{BASE64, HEXLOWER};
use http::{HeaderName, HeaderValue, Method};
use portcullis_egress::{Call, Egress, EgressError, webhook};
use portcullis_types::{Id, Timestamp, tags};
use portcullis_workflow::{Assurance, Outcome, is_name};
use serde_json::{Map, Value as Json, json};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::sessions::{Identifiers, Known, ListKind};

/// Members of a subject that can be sent.
pub const SUBJECT: [&str; 8] = [
    "surname",
    "given_names",
    "date_of_birth",
    "date_of_expiry",
    "document_number",
    "nationality",
    "issuing_state",
    "sex",
];
/// What stands for a document among what a provider is told.
const DOCUMENT: &str = "document";
/// Questions of workflows that one provider is asked at once.
const CALLS_EACH: usize = 16;
/// Documents that one provider looks at at once, while their people wait.
const DOCUMENTS_EACH: usize = 8;
/// The longest time that an answer may take; whoever takes a step has a minute.
pub const TIMEOUT_MAX: Duration = Duration::from_secs(45);
/// What a question says it is.
const SCHEMA: &str = "idv.provider/1";

const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");

/// Somebody who does checks.
#[derive(Debug, Clone)]
pub struct CheckProvider {
    /// As graphs name them.
    pub name: String,
    /// Where they are asked, https.
    pub url: String,
    /// What they know us by.
    pub secret: webhook::Secret,
    /// What they are told of the person: members of [`SUBJECT`], kinds of identifiers, and `document` for whoever
    /// looks at what people send.
    pub sends: Vec<String>,
    /// By what they know it.
    pub assurance: Assurance,
    /// How long they may take.
    pub timeout: Duration,
}

/// Everybody who does checks. Cheap to clone.
#[derive(Clone)]
pub struct Providers(Arc<Inner>);

struct Inner {
    known: BTreeMap<String, Entry>,
    egress: Egress,
    /// Sessions whose document somebody looks at.
    documents: Mutex<HashSet<Id<tags::IdvSession>>>,
}

/// A provider, and how much room there is at it.
struct Entry {
    provider: CheckProvider,
    calls: Arc<Semaphore>,
    documents: Arc<Semaphore>,
}

/// Room for one question.
#[derive(Debug)]
pub struct Room {
    _permit: Option<OwnedSemaphorePermit>,
}

/// Room for one document of a session.
pub(crate) struct Looking {
    providers: Providers,
    session: Id<tags::IdvSession>,
    _room: OwnedSemaphorePermit,
}

impl Drop for Looking {
    fn drop(&mut self) {
        let documents = &self.providers.0.documents;
        documents.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.session);
    }
}

/// What is asked.
#[derive(Debug)]
pub(crate) struct Question<'a> {
    /// The same however often it is asked.
    pub key: String,
    pub check: &'a str,
    pub node: &'a str,
    pub session: String,
    pub locale: &'a str,
    pub subject: Option<&'a Known>,
    pub identifiers: &'a Identifiers,
    pub document: Option<&'a Document>,
    pub now: Timestamp,
}

/// A document that somebody else looks at. It is handed over and not kept.
#[derive(Debug, Clone)]
pub struct Document {
    media_type: &'static str,
    bytes: Vec<u8>,
}

impl Document {
    /// A PDF, JPEG or PNG, by its first bytes, whatever it is called.
    pub fn of(bytes: Vec<u8>) -> Option<Self> {
        let media_type = match &bytes[..] {
            [b'%', b'P', b'D', b'F', b'-', ..] => "application/pdf",
            [0xff, 0xd8, 0xff, ..] => "image/jpeg",
            [0x89, b'P', b'N', b'G', ..] => "image/png",
            _ => return None,
        };
        Some(Self { media_type, bytes })
    }

    pub(crate) fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Enough of its SHA-256 to tell it from another one.
    pub(crate) fn digest(&self) -> String {
        let digest = digest::digest(&digest::SHA256, &self.bytes);
        HEXLOWER.encode(&digest.as_ref()[..16])
    }
}

impl CheckProvider {
    /// What is wrong with the terms, in words; `None` if nothing is.
    pub fn problem(&self) -> Option<&'static str> {
        let known = |name: &String| {
            name == DOCUMENT || SUBJECT.contains(&&name[..]) || ListKind::parse(name).is_some()
        };
        if !is_name(&self.name) {
            return Some("name must be 1 to 64 letters, digits, hyphens and underscores");
        }
        if !self.sends.iter().all(known) {
            return Some("sends must be members of a person or kinds of identifiers");
        }
        if self.assurance == Assurance::Cryptographic {
            return Some("assurance must not be cryptographic: no signature is verified here");
        }
        if !(Duration::from_secs(1)..=TIMEOUT_MAX).contains(&self.timeout) {
            return Some("timeout must be from 1s to 45s");
        }
        None
    }

    fn sends(&self, name: &str) -> bool {
        self.sends.iter().any(|sent| sent == name)
    }

    fn question(&self, asked: &Question<'_>) -> Json {
        let sends = |name: &str| self.sends(name);
        let subject = asked.subject.map(|known| json!(known));
        let subject = subject.as_ref().and_then(Json::as_object).into_iter().flatten();
        let subject: Map<String, Json> = subject
            .filter(|(name, _)| sends(name) && SUBJECT.contains(&&name[..]))
            .map(|(name, value)| (name.clone(), value.clone()))
            .collect();
        let identifiers = asked.identifiers.iter().filter(|(kind, _)| sends(kind.as_str()));
        let identifiers: Map<String, Json> =
            identifiers.map(|(kind, values)| (kind.as_str().to_owned(), json!(values))).collect();
        let mut question = json!({
            "schema": SCHEMA,
            "id": asked.key,
            "session": asked.session,
            "node": asked.node,
            "check": asked.check,
            "locale": asked.locale,
            "subject": subject,
            "identifiers": identifiers,
        });
        if let Some(document) = asked.document {
            question["document"] = json!({
                "media_type": document.media_type,
                "content": BASE64.encode(&document.bytes),
            });
        }
        question
    }
}

impl Providers {
    /// These, by this way out.
    pub fn new(known: Vec<CheckProvider>, egress: Egress) -> Self {
        let known = known.into_iter().map(|provider| {
            let calls = Arc::new(Semaphore::new(CALLS_EACH));
            let documents = Arc::new(Semaphore::new(DOCUMENTS_EACH));
            (provider.name.clone(), Entry { provider, calls, documents })
        });
        let documents = Mutex::default();
        Self(Arc::new(Inner { known: known.collect(), egress, documents }))
    }

    /// How many calls so many of them can make at once.
    pub fn calls(count: usize) -> usize {
        count.max(1) * (CALLS_EACH + DOCUMENTS_EACH)
    }

    /// Whether there is one of this name that may do a check.
    pub fn has(&self, name: &str, check: &str) -> bool {
        let known = self.0.known.get(name);
        known.is_some_and(|known| check != "proof_of_address" || known.provider.sends(DOCUMENT))
    }

    /// As much room as there is for questions to one of them. What is asked of nobody we know takes none.
    pub(crate) fn room(&self, name: &str) -> Vec<Room> {
        let Some(known) = self.0.known.get(name) else {
            return (0..CALLS_EACH).map(|_| Room { _permit: None }).collect();
        };
        let more = || {
            known.calls.clone().try_acquire_owned().ok().map(|room| Room { _permit: Some(room) })
        };
        std::iter::from_fn(more).collect()
    }

    /// By what a provider knows what it says of people, if there is one of this name.
    pub(crate) fn assurance(&self, name: &str) -> Option<Assurance> {
        Some(self.0.known.get(name)?.provider.assurance)
    }

    /// Room for one question to one of them, if there is some.
    pub(crate) fn enter_alone(&self, name: &str) -> Option<Room> {
        let room = self.0.known.get(name)?.calls.clone().try_acquire_owned().ok()?;
        Some(Room { _permit: Some(room) })
    }

    /// Room for a document of a session at one of them, if it has some and looks at none of it already.
    pub(crate) fn enter(&self, name: &str, session: Id<tags::IdvSession>) -> Option<Looking> {
        let room = self.0.known.get(name)?.documents.clone().try_acquire_owned().ok()?;
        let mut looked_at = self.0.documents.lock().unwrap_or_else(PoisonError::into_inner);
        let first = looked_at.insert(session);
        drop(looked_at);
        first.then(|| Looking { providers: self.clone(), session, _room: room })
    }

    /// The longest that any of them may take.
    pub(crate) fn longest(&self) -> Duration {
        self.0.known.values().map(|one| one.provider.timeout).max().unwrap_or_default()
    }

    /// What comes of a check that `name` does.
    pub(crate) async fn ask(
        &self,
        name: &str,
        asked: &Question<'_>,
        report: Id<tags::Check>,
    ) -> Outcome {
        let Some(Entry { provider, .. }) = self.0.known.get(name) else {
            return Outcome::Error("provider_unknown".to_owned());
        };
        if !self.has(name, asked.check) {
            return Outcome::Error("provider_not_told".to_owned());
        }
        let body = provider.question(asked).to_string();
        let seconds = asked.now.secs();
        let secrets = std::slice::from_ref(&provider.secret);
        let signed = webhook::headers((&asked.key, seconds), &body, secrets, &[]);
        let (Some(signed), Ok(key)) = (signed, HeaderValue::from_str(&asked.key)) else {
            return Outcome::Error("provider_not_asked".to_owned());
        };
        let headers: Vec<_> = signed.into_iter().chain([(IDEMPOTENCY_KEY, key)]).collect();
        let kind = HeaderValue::from_static("application/json");
        let body = Some((kind, body));
        let call = Call { method: Method::POST, url: &provider.url, headers: &headers, body };
        match self.0.egress.call_within(call, provider.timeout).await {
            Ok(answer) => provider_outcome(
                &answer,
                (asked.check, report),
                (&provider.name, provider.assurance),
            ),
            Err(EgressError::Url | EgressError::Address) => {
                Outcome::Error("provider_address".to_owned())
            }
            Err(error) => {
                tracing::warn!(provider = name, %error, "a provider of checks was not reached");
                Outcome::Unavailable("provider_unreachable".to_owned())
            }
        }
    }
}

impl std::fmt::Debug for Providers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_set().entries(self.0.known.keys()).finish()
    }
}
