use std::sync::Arc;

use portcullis_events::{Actor, Origin};
use portcullis_store::{
    Sealer, Tx,
    idv::{sessions::SessionRow, workflows},
};
use portcullis_types::{Id, Timestamp, random_array, tags};
use portcullis_workflow::{Event, Facts, Span, State};
use serde_json::Value;

use super::{
    Known, ListKind, Open, SessionError, Sessions,
    link::{self, check_callback},
    lists::identifiers,
    open::Start,
    service::Pinned,
};

/// Bytes of what whoever begins a session wants to see again.
const METADATA_MAX_BYTES: usize = 4 * 1024;
/// Bytes of how they call the person.
const REFERENCE_MAX_BYTES: usize = 128;
/// Bytes of the tag of a language.
const LOCALE_MAX_BYTES: usize = 35;
/// Nobody gives something in less.
const TTL_MIN: Span = Span::seconds(60);
/// Bytes of the key of a session.
const KEY_BYTES: usize = 32;

/// A session that is asked for.
#[derive(Debug, Clone, Default)]
pub struct Begin {
    /// The id or the name of the workflow.
    pub workflow: String,
    /// A version of it; the current one if there is none.
    pub version: Option<i64>,
    /// How the caller calls the person.
    pub reference: Option<String>,
    /// Whose account it is about, if it is about one.
    pub account: Option<Id<tags::User>>,
    /// By which passkey the owner of the account is logged in who begins it themselves, empty if by none.
    pub passkey: Option<String>,
    /// Who the person should be.
    pub expected: Known,
    /// By what else the person is known, in any writing.
    pub identifiers: Vec<(ListKind, String)>,
    /// Their language, as BCP 47 has it.
    pub locale: Option<String>,
    /// Where the person goes when it is over.
    pub callback: Option<String>,
    /// How long the person has, if that is less than the workflow gives them.
    pub ttl: Option<Span>,
    /// Whatever the caller wants to see again.
    pub metadata: Value,
    /// What makes two requests one, with a digest of the request.
    pub key: Option<(String, Vec<u8>)>,
}

/// A session that was begun, now or by the same request before.
#[derive(Debug, Clone)]
pub struct Begun {
    /// It.
    pub open: Open,
    /// Whether it was begun before.
    pub is_repeated: bool,
}

impl Sessions {
    /// Begins a session in a transaction that goes on.
    pub(super) async fn begin_in(
        &self,
        tx: &Tx,
        asked: &Begin,
        (by, origin): (&Actor, &Origin),
    ) -> Result<Open, SessionError> {
        let open = self.prepare(tx, asked, self.now()).await?;
        self.take_first(tx, open, (by, origin)).await
    }

    pub(super) async fn take_first(
        &self,
        tx: &Tx,
        open: Open,
        (by, origin): (&Actor, &Origin),
    ) -> Result<Open, SessionError> {
        let facts = Facts {
            bucket: self.bucket(&open),
            locale: open.start.locale.clone(),
            has_expected: !open.start.expected.is_empty(),
            ttl: open.start.ttl,
        };
        self.take(tx, open, Event::Began { facts }, (by, Some(origin))).await
    }

    /// A session before anything happened.
    pub(super) async fn prepare(
        &self,
        tx: &Tx,
        asked: &Begin,
        now: Timestamp,
    ) -> Result<Open, SessionError> {
        let workflow = workflows::named_once(tx, &self.tenant, &asked.workflow).await?;
        let none = || SessionError::Invalid("workflow", "must be the id or name of one".into());
        let workflow = workflow.ok_or_else(none)?;
        let version = asked.version.or(workflow.current_version);
        let version = version.ok_or(SessionError::NotPublished)?;
        let pinned = self.plan(tx, workflow.id, version).await.map_err(|error| match error {
            SessionError::NotFound => {
                SessionError::Invalid("version", "must be one that was published".into())
            }
            error => error,
        })?;
        let Pinned { plan, digest } = pinned;
        let needs = |field, must: &str| Err(SessionError::Invalid(field, must.to_owned()));
        if plan.needs_expected() && asked.expected.entity().is_none() {
            return needs("expected", "must have a name: the workflow screens who is expected");
        }
        if plan.needs_reference() && asked.reference.is_none() {
            let must = "is needed: the workflow monitors the person, or knows them again";
            return needs("reference", must);
        }
        let most = plan.graph().limits.ttl;
        if asked.ttl.is_some_and(|ttl| ttl < TTL_MIN || ttl > most) {
            let must = format!("must be PT1M to {}, which the workflow gives", String::from(most));
            return needs("ttl", &must);
        }
        let mut known = identifiers(&asked.identifiers)?;
        if let Some(account) = asked.account {
            let email = self.check_account(tx, account).await?;
            // What somebody types is not what is known of the account.
            if let Ok(email) = ListKind::Email.normal(&email) {
                known.entry(ListKind::Email).or_insert_with(|| [email].into());
            }
        }
        let id = Id::new(now, &*self.entropy);
        let key = random_array::<KEY_BYTES>(&*self.entropy);
        let sealed = self.sealer.seal(&Open::purpose(id, "key"), &key, &*self.entropy)?;
        let key = Arc::new(Sealer::new(&key)?);
        let start = Start {
            expected: asked.expected.clone(),
            identifiers: known,
            metadata: asked.metadata.clone(),
            locale: asked.locale.clone().unwrap_or_default(),
            callback: asked.callback.clone(),
            ttl: asked.ttl,
        };
        let text = serde_json::to_vec(&start).map_err(|_| SessionError::Sealed)?;
        let row = SessionRow {
            id,
            workflow_id: workflow.id,
            workflow_version: version,
            reference: asked.reference.clone().unwrap_or_default(),
            account_id: asked.account.map(|account| account.to_string()),
            assignee: None,
            status: String::new(),
            version: 0,
            messages: 0,
            key: Some(sealed),
            given: key.seal(&Open::purpose(id, "given"), &text, &*self.entropy)?,
            queue: String::new(),
            in_review_since: None,
            review_due: None,
            deadline: None,
            created_at: now,
            updated_at: now,
            ended_at: None,
            expires_at: None,
            erased_at: None,
            passkey_id: asked.passkey.clone(),
        };
        Ok(Open {
            row,
            start,
            state: State::default(),
            plan,
            digest,
            key,
            told: Vec::new(),
            reached: Vec::new(),
            found: link::Found::new(),
            has_failed: false,
            decided: None,
        })
    }

    /// From 0 to 99, the same for one person where the caller says who it is.
    fn bucket(&self, open: &Open) -> u8 {
        let id = open.row.id.to_string();
        let whose = if open.row.reference.is_empty() { &id } else { &open.row.reference };
        let workflow = open.row.workflow_id.to_string();
        let digest = self.digest(&[b"bucket", workflow.as_bytes(), whose.as_bytes()]);
        let number = digest.first_chunk().map_or(0, |bytes| u32::from_be_bytes(*bytes));
        u8::try_from(number % 100).unwrap_or(0)
    }
}

/// Refuses what is no tag of a language.
pub(crate) fn check_locale(locale: Option<&str>) -> Result<(), SessionError> {
    let is_tag = |text: &str| {
        (1..=LOCALE_MAX_BYTES).contains(&text.len())
            && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
    };
    match locale.is_none_or(is_tag) {
        true => Ok(()),
        false => Err(SessionError::Invalid("locale", "must be a language tag (BCP 47)".to_owned())),
    }
}

pub(super) fn check(asked: &Begin) -> Result<(), SessionError> {
    let invalid = |field, must: String| Err(SessionError::Invalid(field, must));
    let plain = |text: &str, most| {
        !text.is_empty() && text.len() <= most && !text.chars().any(char::is_control)
    };
    if asked.reference.as_ref().is_some_and(|text| !plain(text, REFERENCE_MAX_BYTES)) {
        return invalid("reference", format!("must be 1 to {REFERENCE_MAX_BYTES} bytes of text"));
    }
    // A name has letters that a database takes.
    if !plain(&asked.workflow, REFERENCE_MAX_BYTES) {
        return invalid("workflow", "must be the id or name of one".to_owned());
    }
    check_locale(asked.locale.as_deref())?;
    asked.callback.as_deref().map(check_callback).transpose()?;
    let object = asked.metadata.is_object() || asked.metadata.is_null();
    if !object || asked.metadata.to_string().len() > METADATA_MAX_BYTES {
        return invalid("metadata", format!("must be an object of {METADATA_MAX_BYTES} bytes"));
    }
    Ok(())
}
