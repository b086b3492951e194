use std::sync::Arc;

use arc_swap::ArcSwapOption;
use aws_lc_rs::hmac;
use data_encoding::HEXLOWER;
use portcullis_biometrics::Models;
use portcullis_documents::{finding::Finding, zone::Expected};
use portcullis_events::{Actor, Check, Event, Kind, Origin, Outcome};
use portcullis_store::{CommitSink, Db};
use portcullis_types::{Id, SharedClock, SharedEntropy, Timestamp};
use portcullis_workflow::Assurance;
use serde_json::json;
use tokio::sync::{Mutex, Semaphore};

use super::{CheckError, Report, TrustUsed, anchors::Loaded, report::status};

/// Checks that may wait for a core.
const WAITING_MAX: usize = 256;

/// What the service is made of.
pub struct CheckParts {
    /// Whose checks these are.
    pub tenant: String,
    /// Where authorities and challenges are.
    pub db: Db,
    /// Where reports are recorded.
    pub sink: Arc<dyn CommitSink>,
    /// The time.
    pub clock: SharedClock,
    /// Chance.
    pub entropy: SharedEntropy,
    /// The key of the digests in the audit log that stand for what was checked.
    pub digest_key: Vec<u8>,
    /// How many checks run at once.
    pub cores: usize,
    /// Models for faces, if the operator brought some.
    pub models: Option<Arc<Models>>,
}

/// Checks of documents. Cheap to clone.
#[derive(Clone)]
pub struct Checks(Arc<Inner>);

pub(super) struct Inner {
    parts: CheckParts,
    digest_key: hmac::Key,
    pub(super) loaded: ArcSwapOption<Loaded>,
    /// Held by whoever reads the authorities anew, so that one does.
    pub(super) loading: Mutex<()>,
    waiting: Semaphore,
    cores: Arc<Semaphore>,
}

impl std::ops::Deref for Checks {
    type Target = CheckParts;

    fn deref(&self) -> &CheckParts {
        &self.0.parts
    }
}

impl std::fmt::Debug for Checks {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Checks")
    }
}

/// What a document is held against, as it goes into the digest of a check.
pub(super) fn held(expected: &Expected, printed: Option<&str>) -> String {
    json!({
        "surname": expected.surname,
        "given_names": expected.given_names,
        "date_of_birth": expected.date_of_birth,
        "date_of_expiry": expected.date_of_expiry,
        "document_number": expected.document_number,
        "nationality": expected.nationality,
        "issuing_state": expected.issuing_state,
        "mrz": printed,
    })
    .to_string()
}

/// Who asks, and from where.
pub(super) struct By<'a> {
    pub actor: &'a Actor,
    pub origin: &'a Origin,
}

/// A check that is under way.
pub(crate) struct Begun {
    check: &'static str,
    inputs_hash: String,
    started_at: Timestamp,
}

impl Checks {
    /// The service.
    pub fn new(parts: CheckParts) -> Self {
        Self(Arc::new(Inner {
            digest_key: hmac::Key::new(hmac::HMAC_SHA256, &parts.digest_key),
            loaded: ArcSwapOption::empty(),
            loading: Mutex::new(()),
            waiting: Semaphore::new(WAITING_MAX),
            cores: Arc::new(Semaphore::new(parts.cores.max(1))),
            parts,
        }))
    }

    pub(super) fn inner(&self) -> &Inner {
        &self.0
    }

    /// Runs work that takes a core for a while, unless too many wait for one.
    pub(crate) async fn on_core<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, CheckError> {
        let _waiting = self.0.waiting.try_acquire().map_err(|_| CheckError::Busy)?;
        let core = self.0.cores.clone().acquire_owned().await.map_err(|_| CheckError::Busy)?;
        let done = tokio::task::spawn_blocking(move || {
            let done = work();
            drop(core);
            done
        });
        done.await.map_err(|_| CheckError::Busy)
    }

    /// Begins a check of these pieces, each with its length before it, so that no two inputs are one.
    pub(crate) fn begin(&self, check: &'static str, pieces: &[&[u8]]) -> Begun {
        let mut sum = hmac::Context::with_key(&self.0.digest_key);
        sum.update(check.as_bytes());
        for piece in pieces {
            sum.update(&u64::try_from(piece.len()).unwrap_or(u64::MAX).to_be_bytes());
            sum.update(piece);
        }
        let inputs_hash = HEXLOWER.encode(sum.sign().as_ref());
        Begun { check, inputs_hash, started_at: self.clock.now() }
    }

    /// Ends it: the report is in the audit log before anybody sees it.
    pub(super) async fn finish<T>(
        &self,
        begun: Begun,
        by: &By<'_>,
        (assurance, findings): (Assurance, Vec<Finding>),
        trust: Option<TrustUsed>,
        found: T,
    ) -> Result<Report<T>, CheckError> {
        let now = self.clock.now();
        let took = now.micros().saturating_sub(begun.started_at.micros());
        let report = Report {
            id: Id::new(now, &*self.entropy),
            check: begun.check,
            status: status(&findings),
            assurance,
            findings,
            inputs_hash: begun.inputs_hash,
            trust,
            started_at: begun.started_at,
            ms: u64::try_from(took / 1_000).unwrap_or(0),
            found,
        };
        let check = Check {
            report: report.id.to_string(),
            check: report.check,
            status: report.status.as_str(),
            assurance: report.assurance.as_str(),
            codes: report.codes(),
            inputs_hash: report.inputs_hash.clone(),
            trust: report.trust.as_ref().map(|trust| trust.digest.clone()),
        };
        let event = self.event(by.actor, Some(by.origin), Kind::Check(check));
        self.sink.committed(&[event]).await.map_err(|()| CheckError::NotRecorded)?;
        Ok(report)
    }

    pub(super) fn event(&self, by: &Actor, origin: Option<&Origin>, kind: Kind) -> Event {
        let now = self.clock.now();
        let id = Id::new(now, &*self.entropy);
        Event::new(id, now, origin.cloned(), by.clone(), Outcome::Success, kind)
    }
}
