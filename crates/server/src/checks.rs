//! Identity verification in the service: checks of documents, and sessions that are made of them.

use std::{collections::HashMap, sync::Arc, time::Duration};

use anyhow::Result;
use portcullis_egress::Egress;
use portcullis_identity::Identity;
use portcullis_store::{CommitSink, Db};
use portcullis_types::{DEFAULT_TENANT, Id, SharedClock, SharedEntropy, tags};
use portcullis_verification::{
    Aml, CheckParts, Checks, SessionError, SessionParts, Sessions, WebhookParts, Webhooks,
};
use tokio::{
    sync::Mutex,
    task::{AbortHandle, JoinSet},
};

use crate::vault::Vault;

/// What is due because time passed is looked for at least this often.
const WORKFLOWS_WAIT: Duration = Duration::from_millis(500);

/// The service.
pub async fn open(
    vault: &Vault,
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
    }))
}

/// Sessions and their workflows.
pub async fn sessions(
    vault: &Vault,
    db: &Db,
    (aml, egress): (&Aml, Egress),
    trust_frameworks: Vec<String>,
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
        aml: aml.clone(),
        trust_frameworks,
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

/// Takes workflows further until nothing is due, and then waits for a while or until something may be.
pub async fn run_workflows(sessions: &Sessions) -> Result<()> {
    while sessions.run_due().await? > 0 {}
    let _ = tokio::time::timeout(WORKFLOWS_WAIT, sessions.wait_due()).await;
    Ok(())
}

/// Finds decisions of late in the log of this node, and keeps the proofs with them: whoever asks another node for
/// them, or asks when the log is gone, gets them all the same.
pub async fn prove_decisions(sessions: &Sessions, identity: &Identity) -> Result<()> {
    for (session, event, at) in sessions.unproven().await? {
        // What another node decided is in its log.
        if let Some(proof) = identity.find_event(event, at).await? {
            sessions.prove(session, &proof).await?;
        }
    }
    Ok(())
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
