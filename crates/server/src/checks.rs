//! Identity verification in the service: checks of documents, and sessions that are made of them.

use std::{sync::Arc, time::Duration};

use anyhow::Result;
use portcullis_store::{CommitSink, Db};
use portcullis_types::{DEFAULT_TENANT, SharedClock, SharedEntropy};
use portcullis_verification::{Aml, CheckParts, Checks, SessionParts, Sessions};

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
    aml: &Aml,
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
    }))
}

/// Takes workflows further until nothing is due, and then waits for a while or until something may be.
pub async fn run_workflows(sessions: &Sessions) -> Result<()> {
    while sessions.run_due().await? > 0 {}
    let _ = tokio::time::timeout(WORKFLOWS_WAIT, sessions.wait_due()).await;
    Ok(())
}
