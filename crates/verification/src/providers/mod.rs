//! Checks that somebody else does: a register that is asked, a document that is looked at.
//!
//! One call to an https address of the operator's choice, signed as webhooks are, with no more of the person than the
//! operator says. It carries a key that is the same however often a step is tried, so that whoever keeps it does
//! nothing twice. The answer is read strictly; what cannot be read passes nobody.

mod contract;

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use data_encoding::BASE64;
use http::{HeaderName, HeaderValue, Method};
use portcullis_egress::{Call, Egress, EgressError, webhook};
use portcullis_types::Timestamp;
use portcullis_workflow::{Assurance, Outcome, is_name};
use serde_json::{Map, Value as Json, json};

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
    /// What they are told of the person: members of [`SUBJECT`], and kinds of identifiers.
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
    known: BTreeMap<String, CheckProvider>,
    egress: Egress,
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
}

impl CheckProvider {
    /// What is wrong with the terms, in words; `None` if nothing is.
    pub fn problem(&self) -> Option<&'static str> {
        let known = |name: &String| SUBJECT.contains(&&name[..]) || ListKind::parse(name).is_some();
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

    fn question(&self, asked: &Question<'_>) -> Json {
        let sends = |name: &str| self.sends.iter().any(|sent| sent == name);
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
        let known = known.into_iter().map(|one| (one.name.clone(), one)).collect();
        Self(Arc::new(Inner { known, egress }))
    }

    /// Whether there is one of this name.
    pub fn has(&self, name: &str) -> bool {
        self.0.known.contains_key(name)
    }

    /// The longest that any of them may take.
    pub(crate) fn longest(&self) -> Duration {
        self.0.known.values().map(|one| one.timeout).max().unwrap_or_default()
    }

    /// What comes of a check that `name` does.
    pub(crate) async fn ask(&self, name: &str, asked: &Question<'_>) -> Outcome {
        let Some(provider) = self.0.known.get(name) else {
            return Outcome::Error("provider_unknown".to_owned());
        };
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
            Ok(answer) => contract::outcome(&answer, asked.check, provider),
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
