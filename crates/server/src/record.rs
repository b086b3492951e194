//! The audit log of this node: its names, what the database remembers of it, the year it is in, and
//! how long it keeps what.

use std::{
    collections::BTreeSet,
    fs::File,
    path::{Path, PathBuf},
    sync::{Mutex, MutexGuard, PoisonError},
};

use anyhow::{Context, Result, ensure};
use data_encoding::HEXLOWER;
use portcullis_audit::{
    Filter, LogError, LogWriter, Logs, finish_pruning, log_years, newest_log, prune,
};
use portcullis_events::{Lifecycle, PRUNED, Pruned, Removed};
use portcullis_store::secrets;
use portcullis_tlog::{Checkpoint, NoteSigner, NoteVerifier};
use portcullis_types::{
    DEFAULT_TENANT, Month, Secret, SharedClock, SharedEntropy, Timestamp, random_array,
};

use crate::{app::App, jobs::lifecycle, log_time::LogTime, system::SteadyClock, vault::Vault};

/// Under which name the database of a single node remembers what its logs are called.
const NODE: &str = "audit_node";

/// Where the audit logs are, each in a directory named by its year.
pub fn audit_dir(data: &Path) -> PathBuf {
    data.join("audit")
}

/// The logs of this node: what they are called and signed with, and how far they are.
pub struct Record {
    /// `HOST/audit/NODE`; the name of a log is this, a slash, and the year.
    pub prefix: String,
    seed: Secret<Vec<u8>>,
    /// Held as long as the process lives: nobody else writes here, whatever the year.
    _lock: File,
    steady: SteadyClock,
    state: Mutex<State>,
}

struct State {
    /// Years of which there is a log. They only become more.
    years: BTreeSet<String>,
    time: LogTime,
    /// What the database remembers.
    anchored: String,
}

impl Record {
    /// The name is made up at the first start and kept beside the logs, not in them. Each node has its
    /// own: one key must never sign two logs under one name.
    pub async fn open(
        vault: &Vault,
        data: &Path,
        issuer: &str,
        clock: &SharedClock,
        entropy: &SharedEntropy,
    ) -> Result<(Self, LogWriter)> {
        let root = audit_dir(data);
        let lock = File::create(data.join("audit.lock"))?;
        lock.try_lock().ok().with_context(|| LogError::InUse(root.clone()))?;
        let record = Self {
            prefix: prefix(vault, data, issuer, entropy).await?,
            seed: vault.random("audit_log_seed").await?,
            _lock: lock,
            steady: SteadyClock::new(clock.now()),
            state: Mutex::new(State {
                years: BTreeSet::new(),
                time: LogTime::default(),
                anchored: String::new(),
            }),
        };
        let dir = newest_log(&root)?.unwrap_or_else(|| root.join(year_of(clock.now())));
        let signer = record.signer(&file_name(&dir))?;
        let writer = tokio::task::spawn_blocking(move || LogWriter::open(&dir, signer)).await?;
        let writer = writer.context("open the audit log")?;
        record.check(vault, &root).await?;
        record.state().years.extend(log_years(&root)?);
        // Only what is proven is removed.
        for (_, dir) in Logs::open(&root)?.parts() {
            finish_pruning(dir)?;
        }
        Ok((record, writer))
    }

    /// The node's part of the name.
    pub fn node(&self) -> &str {
        self.prefix.rsplit('/').next().unwrap_or_default()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn signer(&self, year: &str) -> Result<NoteSigner, LogError> {
        let signer = NoteSigner::new(&format!("{}/{year}", self.prefix), self.seed.expose());
        signer.map_err(|error| LogError::Checkpoint(error.into()))
    }

    /// The key that checks the log of a year.
    pub fn verifier(&self, year: &str) -> Result<NoteVerifier, LogError> {
        Ok(self.signer(year)?.verifier())
    }

    /// Under which name the database remembers the years, the time and the newest checkpoint.
    fn anchor(&self) -> String {
        anchor_of(&self.prefix)
    }

    /// Holds the logs against what was signed, each other, and what the database remembers.
    async fn check(&self, vault: &Vault, root: &Path) -> Result<()> {
        let logs = Logs::open(root)?;
        logs.check(|year| self.verifier(year)).context("the audit log was changed")?;
        let Some(remembered) = vault.look(&self.anchor()).await? else {
            // Where nothing is yet, a wrong clock destroys nothing.
            if logs.size() == 0 && !vault.has_month_keys().await? {
                self.state().time = LogTime::right(self.steady.now());
            }
            return Ok(());
        };
        let remembered = String::from_utf8(remembered)?;
        let mut lines = remembered.splitn(3, '\n');
        let (years, time) = (lines.next().unwrap_or_default(), lines.next().unwrap_or_default());
        let note = lines.next().context("what the database remembers of the audit log")?;
        for year in years.split(' ') {
            let there = logs.parts().any(|(_, dir)| file_name(dir) == year);
            ensure!(there, "the audit log of {year} is gone, which the database remembers");
        }
        let newest = note.lines().next().unwrap_or_default();
        let year = newest.rsplit('/').next().unwrap_or_default();
        let known = Checkpoint::open(note, &self.verifier(year)?)?;
        ensure!(
            logs.continues(&known)?,
            "the audit log is not the one that the database remembers: at {} entries it was another",
            known.size
        );
        self.state().time = LogTime::parse(time).unwrap_or_default();
        Ok(())
    }
}

fn anchor_of(prefix: &str) -> String {
    format!("audit_anchor {prefix}")
}

async fn prefix(
    vault: &Vault,
    data: &Path,
    issuer: &str,
    entropy: &SharedEntropy,
) -> Result<String> {
    let path = data.join("audit-origin");
    let made = || {
        let node = HEXLOWER.encode(&random_array::<8>(&**entropy));
        format!("{}/audit/{node}", issuer.trim_start_matches("https://"))
    };
    let kept = match std::fs::read_to_string(&path) {
        Ok(kept) => Some(kept),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
        Err(error) => return Err(error).context("read audit-origin"),
    };
    let mut prefix = kept.clone().unwrap_or_else(made);
    if vault.is_of_one_node() {
        // What was cut off between the two first writes; there is no log yet.
        if let (None, Some(known)) = (&kept, vault.look(NODE).await?) {
            let known = String::from_utf8(known)?;
            let begun = vault.look(&anchor_of(&known)).await?.is_some();
            if !begun && newest_log(&audit_dir(data))?.is_none() {
                prefix = known;
            }
        }
        // Whoever takes away the logs and their name is found out.
        let known = vault.secret(NODE, || Ok(prefix.clone().into_bytes())).await?;
        ensure!(
            known.expose() == prefix.as_bytes(),
            "the audit log of this database is called {}",
            String::from_utf8_lossy(known.expose())
        );
    }
    if kept.is_none() {
        let temporary = data.join("audit-origin.new");
        std::fs::write(&temporary, &prefix)?;
        File::open(&temporary)?.sync_all()?;
        std::fs::rename(&temporary, &path)?;
        File::open(data)?.sync_all()?;
    }
    Ok(prefix)
}

fn year_of(time: Timestamp) -> String {
    format!("{:04}", Month::of(time).year())
}

fn file_name(dir: &Path) -> String {
    dir.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
}

impl App {
    /// Remembers the newest checkpoint, the years and the time in the database, so that the log cannot
    /// be put back to an earlier state by whoever can write its directory only.
    pub async fn anchor(&self) -> Result<()> {
        // As it was signed, and not as the disk has it by now.
        let note = self.audit.newest_checkpoint();
        let text = {
            let mut state = self.record.state();
            let origin = note.lines().next().unwrap_or_default();
            state.years.extend(origin.rsplit('/').next().map(str::to_owned));
            let years = state.years.iter().map(String::as_str).collect::<Vec<_>>().join(" ");
            format!("{years}\n{}\n{note}", state.time)
        };
        if self.record.state().anchored == text {
            return Ok(());
        }
        let identity = &self.identity;
        let name = &self.record.anchor();
        let sealed = &identity.sealer.seal(name, text.as_bytes(), &*self.entropy)?;
        let put = identity
            .db
            .write(|tx| async move { secrets::put(&tx, DEFAULT_TENANT, name, sealed).await });
        put.await?;
        self.record.state().anchored = text;
        Ok(())
    }

    /// Begins the log of a new year, and lets go of what is old enough.
    pub async fn tend_log(&self) -> Result<()> {
        let now = {
            let mut state = self.record.state();
            let doubted = state.time.doubts();
            let believed = state.time.look(self.clock.now(), self.record.steady.now());
            if state.time.doubts() && !doubted {
                tracing::warn!("the clock is far off: nothing is removed from the log for a day");
            }
            believed
        };
        let Some(now) = now else { return Ok(()) };
        let keep = self.gate.load().config.audit;
        let mut done = vec![self.begin_year(now).await];
        if let Some(keep) = keep.personal {
            done.push(self.erase_months(Month::of(now.minus(keep))).await);
        }
        done.push(match keep.entries {
            Some(keep) => self.prune_log(now.minus(keep)).await,
            None => self.check_log().await,
        });
        // One that fails must not keep the others from being done.
        done.into_iter().collect()
    }

    async fn begin_year(&self, now: Timestamp) -> Result<()> {
        let root = audit_dir(&self.data);
        let note = self.audit.newest_checkpoint();
        let origin = note.lines().next().unwrap_or_default();
        let (year, current) = (year_of(now), origin.rsplit('/').next().unwrap_or_default());
        if year.as_str() <= current {
            return Ok(());
        }
        let dir = root.join(current);
        self.audit.rotate(root.clone(), year.clone(), self.record.signer(&year)?).await?;
        self.record.state().years.insert(year);
        let closed = tokio::task::spawn_blocking(move || {
            let log = portcullis_audit::LogReader::open(&dir)?;
            Ok::<_, LogError>((log.origin()?, log.size()))
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

    /// That nobody calls entries removed or exchanges a log while this runs.
    async fn check_log(&self) -> Result<()> {
        let (root, record) = (audit_dir(&self.data), self.record.clone());
        let check = move || Logs::open(&root)?.check(|year| record.verifier(year));
        Ok(tokio::task::spawn_blocking(check).await??)
    }

    async fn prune_log(&self, before: Timestamp) -> Result<()> {
        let (root, record) = (audit_dir(&self.data), self.record.clone());
        let find = move || due(&root, before, &record);
        let Some(due) = tokio::task::spawn_blocking(find).await?? else { return Ok(()) };
        tracing::info!(removed = ?due.removed, "entries are removed");
        let (root, from) = (audit_dir(&self.data), due.size);
        // That it is removed is signed before it is: otherwise nobody could tell it from a theft.
        let pruned = Pruned { removed: due.removed.clone(), before };
        self.audit.append(vec![lifecycle(self, Lifecycle::Pruned(pruned))]).await?;
        self.audit.checkpoint().await?;
        self.anchor().await?;
        let remove = move || {
            let receipt = Filter {
                kind: Some(PRUNED.to_owned()),
                from_index: from,
                limit: 1,
                ..Filter::default()
            };
            let found = Logs::open(&root)?.search_page(&receipt)?.found;
            let receipt = found.first().ok_or(LogError::Entry(from))?.index;
            for (dir, removed) in due.dirs.iter().zip(&due.removed) {
                prune(dir, removed.minimum, receipt)?;
            }
            Ok::<_, LogError>(())
        };
        tokio::task::spawn_blocking(remove).await??;
        Ok(())
    }
}

/// What is no longer to be kept.
struct Due {
    /// Of each log of which anything is gone.
    removed: Vec<Removed>,
    /// Where each is.
    dirs: Vec<PathBuf>,
    /// Entries of all logs at that moment.
    size: u64,
}

/// What of which log is to be removed, when nothing is kept from before a time; `None` if that is nothing
/// new.
fn due(root: &Path, before: Timestamp, record: &Record) -> Result<Option<Due>, LogError> {
    let logs = Logs::open(root)?;
    // What is gone already has its receipt, or somebody else took it.
    logs.check(|year| record.verifier(year))?;
    let newest = logs.parts().count();
    let mut due = Due { removed: Vec::new(), dirs: Vec::new(), size: logs.size() };
    let mut more = false;
    for (number, (log, dir)) in (1..).zip(logs.parts()) {
        let verifier = record.verifier(&file_name(dir))?;
        let minimum = log.removable(before, number < newest, &verifier)?;
        more |= minimum > log.minimum();
        if minimum > 0 {
            due.removed.push(Removed { log: log.origin()?, minimum });
            due.dirs.push(dir.to_owned());
        }
    }
    Ok(Some(due).filter(|_| more))
}
