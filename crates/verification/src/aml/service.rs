use std::sync::{Arc, Mutex, OnceLock};

use arc_swap::ArcSwap;
use aws_lc_rs::{
    digest::{Context, SHA256, digest},
    hmac,
};
use data_encoding::HEXLOWER;
use portcullis_events::{Actor, AdminChange, Event, Kind, Origin, Outcome, Screening};
use portcullis_screening::{Entity, Policy, index};
use portcullis_store::{
    CommitSink, Db, Sealer, Tx,
    aml::{self, HitRow, ListRow, SubjectRow},
};
use portcullis_types::{Id, SharedClock, SharedEntropy, Timestamp};
use serde_json::Value;
use tokio::sync::Semaphore;

use super::{AmlError, Lists, ScreeningList, Terms, meter::Meter};
use crate::Webhooks;

/// Screenings that may wait for a core.
const WAITING_MAX: usize = 1_024;

/// How this installation screens.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Every policy that can be named.
    pub policies: Vec<Policy>,
    /// The one that is used if none is named.
    pub policy: String,
    /// Whether a second person must approve what clears somebody.
    pub four_eyes: bool,
}

impl Default for Settings {
    fn default() -> Self {
        let policies = vec![Policy::balanced(), Policy::strict()];
        Self { policies, policy: "balanced".into(), four_eyes: true }
    }
}

/// What the service is made of.
pub struct AmlParts {
    /// Whose subjects these are.
    pub tenant: String,
    /// Where they are kept.
    pub db: Db,
    /// Where verdicts about subjects that are not kept are recorded.
    pub sink: Arc<dyn CommitSink>,
    /// Seals what is known of them.
    pub sealer: Arc<Sealer>,
    /// The time.
    pub clock: SharedClock,
    /// Chance.
    pub entropy: SharedEntropy,
    /// The key of the digests in the audit log that stand for who was screened.
    pub digest_key: Vec<u8>,
    /// How many screenings run at once.
    pub cores: usize,
    /// How this installation screens.
    pub settings: Settings,
}

/// The screening service. Cheap to clone.
#[derive(Clone)]
pub struct Aml(Arc<Inner>);

pub(crate) struct Inner {
    parts: AmlParts,
    digest_key: hmac::Key,
    lists: ArcSwap<Lists>,
    basis: String,
    pub(crate) meter: Meter,
    /// Who is told what monitoring finds.
    pub(crate) told: OnceLock<Webhooks>,
    /// When this node was started.
    pub(crate) since: i64,
    /// The last subject that was compared again.
    pub(crate) rechecked_to: Mutex<String>,
    pub(crate) waiting: Semaphore,
    pub(crate) cores: Arc<Semaphore>,
}

impl std::ops::Deref for Aml {
    type Target = AmlParts;

    fn deref(&self) -> &AmlParts {
        &self.0.parts
    }
}

impl std::fmt::Debug for Aml {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Aml")
    }
}

impl Aml {
    /// The service, without lists yet.
    pub fn new(parts: AmlParts) -> Self {
        Self(Arc::new(Inner {
            digest_key: hmac::Key::new(hmac::HMAC_SHA256, &parts.digest_key),
            lists: ArcSwap::default(),
            basis: basis(&parts.settings),
            meter: Meter::default(),
            told: OnceLock::new(),
            since: parts.clock.now().micros(),
            rechecked_to: Mutex::default(),
            waiting: Semaphore::new(WAITING_MAX),
            cores: Arc::new(Semaphore::new(parts.cores.max(1))),
            parts,
        }))
    }

    pub(crate) fn inner(&self) -> &Inner {
        &self.0
    }

    /// From now on whoever asked for it is told what monitoring finds.
    pub(crate) fn tells(&self, webhooks: Webhooks) {
        let _ = self.0.told.set(webhooks);
    }

    /// What was done, in numbers: verdicts that were asked for, and those of them that were a match.
    pub fn counts(&self) -> (u64, u64) {
        self.0.meter.counts()
    }

    /// The lists that are used now.
    pub fn lists(&self) -> Arc<Lists> {
        self.0.lists.load_full()
    }

    /// Uses other lists from now on.
    pub fn set_lists(&self, lists: Lists) {
        self.0.lists.store(Arc::new(lists));
    }

    /// Uses other lists from now on, and remembers that there are those that were not known yet.
    pub async fn take_over(&self, lists: Lists) -> Result<(), AmlError> {
        let known = self.known_lists().await?;
        let names = lists.ready.iter().map(|list| list.version().used.name.clone());
        let new = names.filter(|name| !known.iter().any(|row| row.list == *name));
        let new: &Vec<String> = &new.collect();
        if !new.is_empty() {
            self.db
                .write(|tx| async move {
                    for name in new {
                        aml::note(&tx, &self.tenant, name, self.now()).await?;
                    }
                    Ok::<_, AmlError>(())
                })
                .await?;
        }
        self.set_lists(lists);
        Ok(())
    }

    /// A sum of policies and rules: where it changes, everybody who is monitored is compared again.
    pub(crate) fn basis(&self) -> &str {
        &self.0.basis
    }

    /// The lists that there are or were, and how far it is with them.
    pub async fn known_lists(&self) -> Result<Vec<ListRow>, AmlError> {
        Ok(aml::progress(&self.db, &self.tenant).await?)
    }

    /// Uses a list no longer since a time; whether that is so: it may have been taken up again after that. Its
    /// hits stay until people decide about them.
    pub async fn retire(&self, name: &str, at: Timestamp) -> Result<bool, AmlError> {
        self.db
            .write(|tx| async move {
                let retired = aml::retire(&tx, &self.tenant, name, at).await?;
                if retired {
                    // Whoever named it may have no list any more.
                    let text = serde_json::to_string(name).unwrap_or_default();
                    aml::mark_terms(&tx, &self.tenant, &text).await?;
                    self.emit_list(&tx, "retire", name).await?;
                }
                Ok(retired)
            })
            .await
    }

    /// Uses a list again that was retired.
    pub async fn reinstate(&self, name: &str) -> Result<(), AmlError> {
        self.db
            .write(|tx| async move {
                if aml::reinstate(&tx, &self.tenant, name, self.now()).await? {
                    self.emit_list(&tx, "reinstate", name).await?;
                }
                Ok(())
            })
            .await
    }

    async fn emit_list(&self, tx: &Tx, action: &'static str, name: &str) -> Result<(), AmlError> {
        let change = AdminChange {
            action,
            object_type: "aml_list",
            object: name.to_owned(),
            before: None,
            after: None,
        };
        Ok(tx.emit(self.event(&Actor::Operator, None, Kind::Admin(change))).await?)
    }

    /// The entity that a list calls so, looked for on a core of those that are for that.
    pub async fn entity(
        &self,
        list: Arc<dyn ScreeningList>,
        id: String,
    ) -> Result<Option<Entity>, AmlError> {
        let broken =
            |list: &dyn ScreeningList, why| AmlError::List(list.version().used.name.clone(), why);
        self.on_core(move || list.entity(&id).map_err(|why| broken(&*list, why))).await
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// Policies that subjects are screened under and that are not known here any more.
    pub async fn unknown_policies(&self) -> Result<Vec<String>, AmlError> {
        let known = |name: &String| self.settings.policies.iter().any(|own| own.name == *name);
        let mut used = aml::policies(&self.db, &self.tenant).await?;
        used.retain(|name| !name.is_empty() && !known(name));
        Ok(used)
    }

    /// What stands for a subject in the audit log.
    pub fn subject_digest(&self, subject: &Entity) -> String {
        let text = serde_json::to_vec(subject).unwrap_or_default();
        HEXLOWER.encode(hmac::sign(&self.0.digest_key, &text).as_ref())
    }

    /// What is known of a subject.
    pub fn open_subject(&self, row: &SubjectRow) -> Result<(Entity, Terms), AmlError> {
        let opened = self.sealer.open(&subject_purpose(row), &row.sealed)?;
        let entity = serde_json::from_slice(&opened).map_err(|_| AmlError::Sealed)?;
        Ok((entity, serde_json::from_str(&row.terms).map_err(|_| AmlError::Sealed)?))
    }

    pub(crate) fn seal_subject(
        &self,
        row: &SubjectRow,
        subject: &Entity,
    ) -> Result<Vec<u8>, AmlError> {
        let text = serde_json::to_vec(subject).map_err(|_| AmlError::Sealed)?;
        Ok(self.sealer.seal(&subject_purpose(row), &text, &*self.entropy)?)
    }

    /// Why something is a hit: `{"reasons": …, "text": …}`.
    pub fn open_reasons(&self, row: &HitRow) -> Result<Value, AmlError> {
        let opened = self.sealer.open(&hit_purpose(row), &row.reasons)?;
        serde_json::from_slice(&opened).map_err(|_| AmlError::Sealed)
    }

    pub(crate) fn seal_reasons(&self, row: &HitRow, reasons: &Value) -> Result<Vec<u8>, AmlError> {
        let text = reasons.to_string();
        Ok(self.sealer.seal(&hit_purpose(row), text.as_bytes(), &*self.entropy)?)
    }

    /// Why somebody decided as they did, or proposes to; empty if nobody said.
    pub fn open_note(&self, row: &HitRow, sealed: &[u8]) -> Result<String, AmlError> {
        if sealed.is_empty() {
            return Ok(String::new());
        }
        let opened = self.sealer.open(&note_purpose(row), sealed)?;
        String::from_utf8(opened).map_err(|_| AmlError::Sealed)
    }

    pub(crate) fn seal_note(&self, row: &HitRow, note: &str) -> Result<Vec<u8>, AmlError> {
        Ok(self.sealer.seal(&note_purpose(row), note.as_bytes(), &*self.entropy)?)
    }

    pub(crate) fn event(&self, by: &Actor, origin: Option<&Origin>, kind: Kind) -> Event {
        let now = self.now();
        let id = Id::new(now, &*self.entropy);
        Event::new(id, now, origin.cloned(), by.clone(), Outcome::Success, kind)
    }

    pub(crate) fn screened_event(
        &self,
        by: &Actor,
        origin: Option<&Origin>,
        screening: Screening,
    ) -> Event {
        self.event(by, origin, Kind::Screening(screening))
    }
}

fn subject_purpose(row: &SubjectRow) -> String {
    format!("aml_subject:{}", row.id)
}

fn note_purpose(row: &HitRow) -> String {
    format!("aml_note:{}", row.id)
}

fn hit_purpose(row: &HitRow) -> String {
    format!("aml_hit:{}", row.id)
}

/// SHA-256 of a policy with its threshold.
pub(crate) fn policy_hash(policy: &Policy) -> String {
    let text = serde_json::to_vec(policy).unwrap_or_default();
    HEXLOWER.encode(digest(&SHA256, &text).as_ref())
}

fn basis(settings: &Settings) -> String {
    let mut sum = Context::new(&SHA256);
    sum.update(&index::rules().to_be_bytes());
    sum.update(settings.policy.as_bytes());
    for policy in &settings.policies {
        sum.update(policy_hash(policy).as_bytes());
    }
    HEXLOWER.encode(sum.finish().as_ref())
}
