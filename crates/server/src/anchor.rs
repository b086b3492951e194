//! The name of this node's log, and what the database remembers of it.

use std::{fs::File, path::Path, sync::PoisonError};

use anyhow::{Result, ensure};
use data_encoding::HEXLOWER;
use portcullis_audit::LogReader;
use portcullis_store::secrets;
use portcullis_tlog::Checkpoint;
use portcullis_types::{DEFAULT_TENANT, SharedEntropy, random_array};

use crate::{
    app::{App, audit_dir},
    vault::Vault,
};

/// The name of this node's log, made up at its first start and kept beside the log, not in it. Each
/// node has its own: one key must never sign two logs under one name.
pub fn log_origin(data: &Path, issuer: &str, entropy: &SharedEntropy) -> Result<String> {
    let path = data.join("audit-origin");
    if let Ok(origin) = std::fs::read_to_string(&path) {
        return Ok(origin);
    }
    let node = HEXLOWER.encode(&random_array::<8>(&**entropy));
    let origin = format!("{}/audit/{node}", issuer.trim_start_matches("https://"));
    let temporary = data.join("audit-origin.new");
    std::fs::write(&temporary, &origin)?;
    File::open(&temporary)?.sync_all()?;
    std::fs::rename(&temporary, &path)?;
    File::open(data)?.sync_all()?;
    Ok(origin)
}

/// Under which name the database remembers the newest checkpoint of a log.
fn anchor_name(origin: &str) -> String {
    format!("audit_anchor {origin}")
}

impl App {
    /// Remembers the newest checkpoint in the database, so that the log cannot be put back to an
    /// earlier state by whoever can write its directory only.
    pub async fn anchor(&self) -> Result<()> {
        let note = std::fs::read_to_string(audit_dir(&self.data).join("checkpoint"))?;
        if *self.anchored.lock().unwrap_or_else(PoisonError::into_inner) == note {
            return Ok(());
        }
        let identity = &self.identity;
        let name = &anchor_name(&self.origin);
        let sealed = &identity.sealer.seal(name, note.as_bytes(), &*self.entropy)?;
        let put = identity
            .db
            .write(|tx| async move { secrets::put(&tx, DEFAULT_TENANT, name, sealed).await });
        put.await?;
        *self.anchored.lock().unwrap_or_else(PoisonError::into_inner) = note;
        Ok(())
    }
}

/// Holds the log against the checkpoint that the database remembers.
pub async fn check_anchor(vault: &Vault, data: &Path, origin: &str) -> Result<()> {
    let Some(note) = vault.look(&anchor_name(origin)).await? else { return Ok(()) };
    let log = LogReader::open(&audit_dir(data))?;
    let known = Checkpoint::open(&String::from_utf8(note)?, &log.verifier()?)?;
    ensure!(
        log.continues(&known)?,
        "the audit log is not the one that the database remembers: at {} entries it was another",
        known.size
    );
    Ok(())
}
