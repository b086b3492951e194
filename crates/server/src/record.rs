//! The audit log of this node: its names, what the database remembers of it, the year it is in, and
//! how long it keeps what.

use std::{
    fs::File,
    path::{Path, PathBuf},
    sync::PoisonError,
};

use anyhow::{Context, Result, ensure};
use data_encoding::HEXLOWER;
use portcullis_audit::{LogWriter, Logs, finish_pruning, log_years, newest_log, prune};
use portcullis_events::{Lifecycle, Pruned};
use portcullis_store::secrets;
use portcullis_tlog::{Checkpoint, NoteSigner};
use portcullis_types::{
    DEFAULT_TENANT, Month, Secret, SharedClock, SharedEntropy, Timestamp, random_array,
};

use crate::{app::App, jobs::lifecycle, vault::Vault};

/// What the names of this node's logs begin with, and what signs them.
pub struct LogName {
    /// `HOST/audit/NODE`; the name of a log is this, a slash, and the year.
    pub prefix: String,
    seed: Secret<Vec<u8>>,
}

/// Where the audit logs are, each in a directory named by its year.
pub fn audit_dir(data: &Path) -> PathBuf {
    data.join("audit")
}

impl LogName {
    /// The name is made up at the first start and kept beside the logs, not in them. Each node has its
    /// own: one key must never sign two logs under one name.
    pub async fn of(
        vault: &Vault,
        data: &Path,
        issuer: &str,
        entropy: &SharedEntropy,
    ) -> Result<Self> {
        let seed = vault.random("audit_log_seed").await?;
        let path = data.join("audit-origin");
        if let Ok(prefix) = std::fs::read_to_string(&path) {
            return Ok(Self { prefix, seed });
        }
        let node = HEXLOWER.encode(&random_array::<8>(&**entropy));
        let prefix = format!("{}/audit/{node}", issuer.trim_start_matches("https://"));
        let temporary = data.join("audit-origin.new");
        std::fs::write(&temporary, &prefix)?;
        File::open(&temporary)?.sync_all()?;
        std::fs::rename(&temporary, &path)?;
        File::open(data)?.sync_all()?;
        Ok(Self { prefix, seed })
    }

    /// The node's part of it.
    pub fn node(&self) -> &str {
        self.prefix.rsplit('/').next().unwrap_or_default()
    }

    fn signer(&self, year: &str) -> Result<NoteSigner> {
        Ok(NoteSigner::new(&format!("{}/{year}", self.prefix), self.seed.expose())?)
    }

    /// Opens the newest log to be written, or begins the first.
    pub async fn open(&self, data: &Path, clock: &SharedClock) -> Result<LogWriter> {
        let root = audit_dir(data);
        let dir = newest_log(&root)?.unwrap_or_else(|| root.join(year_of(clock.now())));
        let signer = self.signer(&file_name(&dir))?;
        let open = move || {
            let log = LogWriter::open(&dir, signer)?;
            for (_, dir) in Logs::open(&root)?.parts() {
                finish_pruning(dir)?;
            }
            Ok::<_, portcullis_audit::LogError>(log)
        };
        tokio::task::spawn_blocking(open).await?.context("open the audit log")
    }

    /// Under which name the database remembers the newest checkpoint.
    fn anchor(&self) -> String {
        format!("audit_anchor {}", self.prefix)
    }

    /// Holds the logs against the checkpoint that the database remembers.
    pub async fn check_anchor(&self, vault: &Vault, data: &Path) -> Result<()> {
        let Some(note) = vault.look(&self.anchor()).await? else { return Ok(()) };
        let remembered = String::from_utf8(note)?;
        let (years, note) = remembered.split_once('\n').unwrap_or_default();
        let logs = Logs::open(&audit_dir(data))?;
        for year in years.split(' ') {
            let there = logs.parts().any(|(_, dir)| file_name(dir) == year);
            ensure!(there, "the audit log of {year} is gone, which the database remembers");
        }
        let origin = note.lines().next().unwrap_or_default();
        let year = origin.strip_prefix(&self.prefix).and_then(|year| year.strip_prefix('/'));
        let year = year.context("the database remembers the log of another node")?;
        let known = Checkpoint::open(note, &self.signer(year)?.verifier())?;
        ensure!(
            logs.continues(&known)?,
            "the audit log is not the one that the database remembers: at {} entries it was another",
            known.size
        );
        Ok(())
    }
}

fn year_of(time: Timestamp) -> String {
    format!("{:04}", Month::of(time).year())
}

fn file_name(dir: &Path) -> String {
    dir.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
}

impl App {
    /// Remembers the newest checkpoint and the years in the database, so that the log cannot be put back to an
    /// earlier state by whoever can write its directory only.
    pub async fn anchor(&self) -> Result<()> {
        let root = audit_dir(&self.data);
        let years = log_years(&root)?;
        let newest = years.last().context("there is no audit log")?;
        let note = std::fs::read_to_string(root.join(newest).join("checkpoint"))?;
        let note = format!("{}\n{note}", years.join(" "));
        if *self.anchored.lock().unwrap_or_else(PoisonError::into_inner) == note {
            return Ok(());
        }
        let identity = &self.identity;
        let name = &self.log.anchor();
        let sealed = &identity.sealer.seal(name, note.as_bytes(), &*self.entropy)?;
        let put = identity
            .db
            .write(|tx| async move { secrets::put(&tx, DEFAULT_TENANT, name, sealed).await });
        put.await?;
        *self.anchored.lock().unwrap_or_else(PoisonError::into_inner) = note;
        Ok(())
    }

    /// Begins the log of a new year, and lets go of what is old enough.
    pub async fn tend_log(&self) -> Result<()> {
        self.begin_year().await?;
        let keep = self.gate.load().config.audit;
        let now = self.clock.now();
        if let Some(keep) = keep.personal {
            self.erase_months(Month::of(now.minus(keep))).await?;
        }
        match keep.entries {
            Some(keep) => self.prune_log(now.minus(keep)).await,
            None => Ok(()),
        }
    }

    async fn begin_year(&self) -> Result<()> {
        let root = audit_dir(&self.data);
        let dir = newest_log(&root)?.context("there is no audit log")?;
        let year = year_of(self.clock.now());
        if year <= file_name(&dir) {
            return Ok(());
        }
        self.audit.rotate(root.clone(), year.clone(), self.log.signer(&year)?).await?;
        let closed = tokio::task::spawn_blocking(move || {
            let log = portcullis_audit::LogReader::open(&dir)?;
            Ok::<_, portcullis_audit::LogError>((log.origin()?, log.size()))
        });
        let (log, entries) = closed.await??;
        tracing::info!(log, entries, "the log of a year was closed");
        self.audit.append(vec![lifecycle(self, Lifecycle::Rotated { log, entries })]).await?;
        Ok(())
    }

    async fn erase_months(&self, first: Month) -> Result<()> {
        let identity = &self.identity;
        let receipt =
            |month: &str| lifecycle(self, Lifecycle::MonthErased { month: month.to_owned() });
        let erased = identity.log_keys.destroy_months(&identity.db, first, receipt).await?;
        if !erased.is_empty() {
            tracing::info!(months = erased.join(" "), "what the log said of people was erased");
        }
        Ok(())
    }

    async fn prune_log(&self, before: Timestamp) -> Result<()> {
        let root = audit_dir(&self.data);
        let due = tokio::task::spawn_blocking(move || old_parts(&root, before)).await??;
        for (dir, pruned) in due {
            // That it is removed is signed before it is: otherwise nobody could tell it from a theft.
            let minimum = pruned.minimum;
            tracing::info!(log = pruned.log, minimum, "entries are removed");
            self.audit.append(vec![lifecycle(self, Lifecycle::Pruned(pruned))]).await?;
            self.audit.checkpoint().await?;
            self.anchor().await?;
            tokio::task::spawn_blocking(move || prune(&dir, minimum)).await??;
        }
        Ok(())
    }
}

/// What of which log is to be removed, when nothing is kept from before a time.
fn old_parts(
    root: &Path,
    before: Timestamp,
) -> Result<Vec<(PathBuf, Pruned)>, portcullis_audit::LogError> {
    let logs = Logs::open(root)?;
    let newest = logs.parts().count();
    let mut due = Vec::new();
    for (number, (log, dir)) in (1..).zip(logs.parts()) {
        let minimum = log.prunable(before, number < newest)?;
        if minimum > log.minimum() {
            due.push((dir.to_owned(), Pruned { log: log.origin()?, minimum, before }));
        }
    }
    Ok(due)
}
