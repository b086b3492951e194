//! Identity verification in the service: checks of documents, and sessions that are made of them.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
    time::Duration,
};

use anyhow::{Context, Result, bail, ensure};
use portcullis_egress::Egress;
use portcullis_identity::Identity;
use portcullis_store::{CommitSink, Db};
use portcullis_types::{DEFAULT_TENANT, Id, SharedClock, SharedEntropy, Timestamp, tags};
use portcullis_verification::{
    Addresses, Aml, CheckParts, Checks, Decided, ModelUsed, Models, Providers, SessionError,
    SessionParts, Sessions, WebhookParts, Webhooks,
};
use tokio::{
    sync::Mutex,
    task::{AbortHandle, JoinSet},
};

use crate::{config::Config, mail_hosts::mail_hosts, vault::Vault};

/// What is due because time passed is looked for at least this often.
const WORKFLOWS_WAIT: Duration = Duration::from_millis(500);

/// A list of domains is at most this large.
const MAX_LIST_BYTES: u64 = 16 * 1024 * 1024;
/// Decisions without a proof that are looked for each time.
const LEFT_AT_ONCE: i64 = 8;

/// The service.
pub async fn open(
    (config, vault): (&Config, &Vault),
    (db, sink): (Db, Arc<dyn CommitSink>),
    clock: &SharedClock,
    entropy: &SharedEntropy,
) -> Result<Checks> {
    Ok(Checks::new(CheckParts {
        tenant: DEFAULT_TENANT.to_owned(),
        db,
        sink,
        clock: clock.clone(),
        entropy: entropy.clone(),
        digest_key: vault.random("idv_digest_key").await?.expose().clone(),
        cores: std::thread::available_parallelism().map_or(2, std::num::NonZero::get),
        models: models(config)?,
    }))
}

/// Models for faces, each loaded and tried. By which terms they may be used is for the operator to see.
fn models(config: &Config) -> Result<Option<Arc<Models>>> {
    let Some(path) = &config.verification.models else { return Ok(None) };
    let models = Models::load(&config.path(path)).context("verification.models")?;
    for model in models.used() {
        let ModelUsed { kind, name, version, sha256, licence, .. } = &model;
        tracing::info!(kind, name, version, sha256, licence, "a model for faces was loaded");
    }
    Ok(Some(Arc::new(models)))
}

/// Sessions and their workflows.
pub async fn sessions(
    vault: &Vault,
    db: &Db,
    (checks, aml, egress): (&Checks, &Aml, Egress),
    (config, providers, addresses): (&Config, Providers, Addresses),
    clock: &SharedClock,
    entropy: &SharedEntropy,
) -> Result<Sessions> {
    Ok(Sessions::new(SessionParts {
        tenant: DEFAULT_TENANT.to_owned(),
        db: db.clone(),
        sealer: vault.sealer.clone(),
        clock: clock.clone(),
        entropy: entropy.clone(),
        digest_key: vault.random("idv_session_key").await?.expose().clone(),
        checks: checks.clone(),
        keep_pictures: config.verification.keep_pictures(),
        aml: aml.clone(),
        trust_frameworks: config.verification.trust_frameworks.clone(),
        disposable: disposable(config)?,
        mail_hosts: config.verification.mail_resolver.as_ref().map(mail_hosts).transpose()?,
        sms: config.verification.sms.as_ref().map(|sms| sms.terms(&config.issuer)),
        addresses,
        providers,
        views: portcullis_api::report_views(),
        webhooks: Webhooks::new(WebhookParts {
            tenant: DEFAULT_TENANT.to_owned(),
            db: db.clone(),
            sealer: vault.sealer.clone(),
            clock: clock.clone(),
            entropy: entropy.clone(),
            egress,
        }),
    }))
}

/// Domains of mail that anybody has for a while: a text file with one on each line.
fn disposable(config: &Config) -> Result<Option<Arc<HashSet<String>>>> {
    let Some(path) = &config.verification.disposable_domains else { return Ok(None) };
    let path = config.path(path);
    let shown = path.display();
    let size = std::fs::metadata(&path).with_context(|| format!("read {shown}"))?.len();
    ensure!(size <= MAX_LIST_BYTES, "{shown} is larger than 16 MiB");
    let text = std::fs::read_to_string(&path).with_context(|| format!("read {shown}"))?;
    let lines = text.trim_start_matches('\u{feff}').lines();
    let lines = lines.map(|line| line.split(['#', ';']).next().unwrap_or_default().trim());
    let mut domains = HashSet::new();
    for line in lines.filter(|line| !line.is_empty()) {
        match url::Host::parse(line.trim_start_matches("*.")) {
            Ok(url::Host::Domain(domain)) if domain.contains('.') => domains.insert(domain),
            _ => bail!("{shown}: {line:?} is no domain"),
        };
    }
    Ok(Some(Arc::new(domains)))
}

/// Takes workflows further until nothing is due, and then waits for a while or until something may be.
pub async fn run_workflows(sessions: &Sessions) -> Result<()> {
    while sessions.run_due().await? > 0 {}
    let _ = tokio::time::timeout(WORKFLOWS_WAIT, sessions.wait_due()).await;
    Ok(())
}

/// Providers of checks that are asked, one at a time for each step.
#[derive(Default)]
pub struct Asking(Mutex<JoinSet<()>>);

/// Asks whoever is to be asked, and then waits for a while or until somebody may be. One who is slow keeps nobody
/// else waiting.
pub async fn ask_providers(sessions: &Sessions, asking: &Asking) -> Result<()> {
    {
        let mut running = asking.0.lock().await;
        while running.try_join_next().is_some() {}
        let due = sessions.due_calls().await?;
        for (call, room) in due {
            let sessions = sessions.clone();
            running.spawn(async move {
                if let Err(error) = sessions.ask_others(&call, room).await {
                    let session = call.session_id.to_string();
                    tracing::warn!(session, %error, "what a provider said was not taken up");
                }
            });
        }
    }
    let _ = tokio::time::timeout(WORKFLOWS_WAIT, sessions.wait_calls()).await;
    Ok(())
}

/// Finds the decisions of this node in its log, and keeps the proofs with them: whoever asks another node for them,
/// or asks when the log is gone, gets them all the same.
pub async fn prove_decisions(sessions: &Sessions, identity: &Identity) -> Result<()> {
    for decided in sessions.decided_here() {
        match prove(sessions, identity, decided).await {
            Ok(true) => {}
            Ok(false) => sessions.wait_for(decided),
            Err(error) => {
                tracing::warn!(%error, "a decision was not looked for in the log");
                sessions.wait_for(decided);
            }
        }
    }
    Ok(())
}

/// Looks for decisions that a stop or a crash left without their proof, some at a time: those of other nodes are
/// in logs that are not here, and each of them takes long to be missed.
pub async fn prove_what_is_left(
    sessions: &Sessions,
    identity: &Identity,
    from: &Mutex<Timestamp>,
) -> Result<()> {
    let mut from = from.lock().await;
    let left = sessions.unproven(*from, LEFT_AT_ONCE).await?;
    *from = left.last().map_or(Timestamp::from_micros(i64::MIN), |decided| decided.at);
    for decided in left {
        prove(sessions, identity, decided).await?;
    }
    Ok(())
}

async fn prove(sessions: &Sessions, identity: &Identity, decided: Decided) -> Result<bool> {
    let Some(proof) = identity.find_event(decided.event, decided.at).await? else {
        return Ok(false);
    };
    sessions.prove(decided.session, &proof).await?;
    Ok(true)
}

/// Receivers of webhooks that are told something: one at a time each, so that one that is slow keeps nobody else
/// waiting.
#[derive(Default)]
pub struct Telling(Mutex<Running>);

#[derive(Default)]
struct Running {
    tasks: JoinSet<()>,
    told: HashMap<Id<tags::Webhook>, AbortHandle>,
}

/// Tells receivers of webhooks what is due, and then waits for a while or until something may be.
pub async fn run_webhooks(webhooks: &Webhooks, telling: &Telling) -> Result<()> {
    let due = webhooks.due().await?;
    {
        let mut running = telling.0.lock().await;
        let Running { tasks, told } = &mut *running;
        while tasks.try_join_next().is_some() {}
        told.retain(|_, handle| !handle.is_finished());
        for id in due {
            if told.contains_key(&id) {
                continue;
            }
            let webhooks = webhooks.clone();
            let handle = tasks.spawn(async move {
                if let Err(error) = drain(&webhooks, id).await {
                    let webhook = id.to_string();
                    tracing::warn!(webhook, %error, "a receiver could not be told");
                }
            });
            told.insert(id, handle);
        }
    }
    let _ = tokio::time::timeout(WORKFLOWS_WAIT, webhooks.wait_due()).await;
    Ok(())
}

async fn drain(webhooks: &Webhooks, id: Id<tags::Webhook>) -> Result<(), SessionError> {
    while webhooks.drain(id).await? > 0 {}
    Ok(())
}
