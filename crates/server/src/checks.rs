//! Checks of documents in the service.

use std::sync::Arc;

use anyhow::Result;
use portcullis_store::{CommitSink, Db};
use portcullis_types::{DEFAULT_TENANT, SharedClock, SharedEntropy};
use portcullis_verification::{CheckParts, Checks};

use crate::vault::Vault;

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
