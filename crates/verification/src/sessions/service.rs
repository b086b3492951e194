use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use aws_lc_rs::hmac;
use data_encoding::HEXLOWER;
use portcullis_documents::zone::Day;
use portcullis_events::{Actor, AdminChange, Event, Kind, Origin, Outcome};
use portcullis_store::{
    Db, Sealer, Source, Tx,
    idv::workflows::{self, WorkflowRow},
};
use portcullis_types::{Id, SharedClock, SharedEntropy, Timestamp, tags};
use portcullis_workflow::{Graph, Plan, validate};
use serde_json::Value;
use tokio::sync::Notify;

use super::{
    Addresses, MailHosts, ReportViews, SessionError, SmsTerms, evidence::Decided,
    face_memory::FacesLoaded, group::Begins,
};
use crate::{Aml, Checks, Providers, Webhooks};

/// Plans that are kept in memory.
const PLANS_MAX: usize = 256;

/// What the service is made of.
pub struct SessionParts {
    /// Whose sessions these are.
    pub tenant: String,
    /// Where they are kept.
    pub db: Db,
    /// Seals the keys of sessions.
    pub sealer: Arc<Sealer>,
    /// The time.
    pub clock: SharedClock,
    /// Chance.
    pub entropy: SharedEntropy,
    /// The key of what is derived from ids and requests.
    pub digest_key: Vec<u8>,
    /// Who looks at documents and faces.
    pub checks: Checks,
    /// How long pictures are kept for people to look at.
    pub keep_pictures: Duration,
    /// Who screens.
    pub aml: Aml,
    /// By whose rules workflows may verify whom accounts belong to.
    pub trust_frameworks: Vec<String>,
    /// How reports are shown to whoever gave what they are about.
    pub views: ReportViews,
    /// What is known of addresses.
    pub addresses: Addresses,
    /// Domains of mail that anybody has for a while, if there is a list of them.
    pub disposable: Option<Arc<HashSet<String>>>,
    /// Who tells whether a domain takes mail, if somebody may be asked.
    pub mail_hosts: Option<MailHosts>,
    /// How codes go out as text messages, if they do.
    pub sms: Option<SmsTerms>,
    /// Whoever else does checks.
    pub providers: Providers,
    /// Whoever wants to know what becomes of sessions.
    pub webhooks: Webhooks,
}

/// Sessions and their workflows. Cheap to clone.
#[derive(Clone)]
pub struct Sessions(Arc<Inner>);

pub(super) struct Inner {
    parts: SessionParts,
    digest_key: hmac::Key,
    plans: Mutex<HashMap<(u128, i64), Pinned>>,
    /// Decisions of this node that wait for their proof.
    pub(super) decided: Mutex<Vec<Decided>>,
    /// Sessions that are asked for.
    pub(super) begins: Begins,
    /// Faces in memory.
    pub(super) faces: Arc<FacesLoaded>,
    /// Something may be due.
    pub(super) due: Notify,
    /// Somebody else may have to be asked.
    pub(super) calls: Notify,
}

/// A published version, ready to be gone through.
#[derive(Clone)]
pub(super) struct Pinned {
    pub plan: Arc<Plan>,
    pub digest: Arc<str>,
}

impl std::ops::Deref for Sessions {
    type Target = SessionParts;

    fn deref(&self) -> &SessionParts {
        &self.0.parts
    }
}

impl std::fmt::Debug for Sessions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Sessions")
    }
}

/// Who somebody is, in a word.
pub(super) fn label(by: &Actor) -> String {
    match by {
        Actor::User { id, .. } => format!("user:{id}"),
        Actor::Client { id } => format!("client:{id}"),
        Actor::ApiKey { id } => format!("key:{id}"),
        Actor::Workload { spiffe_id } => spiffe_id.clone(),
        Actor::Operator => "operator".to_owned(),
        Actor::System => "system".to_owned(),
        Actor::Anonymous | Actor::UnknownUser { .. } => "nobody".to_owned(),
    }
}

impl Sessions {
    /// The service.
    pub fn new(parts: SessionParts) -> Self {
        parts.aml.tells(parts.webhooks.clone());
        Self(Arc::new(Inner {
            digest_key: hmac::Key::new(hmac::HMAC_SHA256, &parts.digest_key),
            plans: Mutex::default(),
            decided: Mutex::default(),
            begins: Begins::default(),
            faces: Arc::default(),
            due: Notify::new(),
            calls: Notify::new(),
            parts,
        }))
    }

    pub(super) fn inner(&self) -> &Inner {
        &self.0
    }

    /// Something may have to be brought about, and somebody to be told.
    pub(super) fn wake(&self) {
        self.0.due.notify_one();
        self.0.calls.notify_one();
        self.webhooks.wake();
    }

    pub(super) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    pub(super) fn today(&self) -> Day {
        Day::at(self.now().micros().div_euclid(1_000_000))
    }

    /// A keyed digest of pieces, each with its length before it.
    pub(super) fn digest(&self, pieces: &[&[u8]]) -> Vec<u8> {
        let mut sum = hmac::Context::with_key(&self.0.digest_key);
        for piece in pieces {
            sum.update(&u64::try_from(piece.len()).unwrap_or(u64::MAX).to_be_bytes());
            sum.update(piece);
        }
        sum.sign().as_ref().to_vec()
    }

    pub(crate) fn hex_digest(&self, pieces: &[&[u8]]) -> String {
        HEXLOWER.encode(&self.digest(pieces))
    }

    pub(crate) fn event(&self, by: &Actor, origin: Option<&Origin>, kind: Kind) -> Event {
        let now = self.now();
        let id = Id::new(now, &*self.entropy);
        Event::new(id, now, origin.cloned(), by.clone(), Outcome::Success, kind)
    }

    /// Tells the audit log about a change of a workflow.
    pub(super) async fn emit_change(
        &self,
        tx: &Tx,
        (by, origin): (&Actor, &Origin),
        action: &'static str,
        row: &WorkflowRow,
        after: Value,
    ) -> Result<(), SessionError> {
        let change = AdminChange {
            action,
            object_type: "idv_workflow",
            object: row.id.to_string(),
            before: None,
            after: Some(after),
        };
        Ok(tx.emit(self.event(by, Some(origin), Kind::Admin(change))).await?)
    }

    /// The plan of a version. It never changes, so it is read once.
    pub(super) async fn plan(
        &self,
        source: impl Source,
        workflow: Id<tags::Workflow>,
        version: i64,
    ) -> Result<Pinned, SessionError> {
        let key = (workflow.bits(), version);
        let plans = || self.0.plans.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(pinned) = plans().get(&key) {
            return Ok(pinned.clone());
        }
        let row = workflows::version(source, &self.tenant, workflow, version).await?;
        let row = row.ok_or(SessionError::NotFound)?;
        let json: Value = serde_json::from_str(&row.graph).map_err(|_| SessionError::Sealed)?;
        let graph = Graph::read(&json).map_err(|_| SessionError::Sealed)?;
        let (plan, _) = validate(graph).map_err(SessionError::Graph)?;
        let pinned = Pinned { plan: Arc::new(plan), digest: row.digest.into() };
        let mut plans = plans();
        if plans.len() >= PLANS_MAX {
            plans.clear();
        }
        plans.insert(key, pinned.clone());
        Ok(pinned)
    }
}
