use std::{
    io::{BufWriter, Write},
    path::PathBuf,
    process::ExitCode,
};

use anyhow::{Context, Result, bail, ensure};
use clap::{Args, Subcommand};
use portcullis_audit::{Filter, LogError, Logs, MAX_RESULTS, Report, verify_all};
use portcullis_events::{opened_entry, sealed_of};
use portcullis_store::{LogKeys, accounts};
use portcullis_tlog::NoteVerifier;
use portcullis_types::{AddrKey, DEFAULT_TENANT, Prefix, Timestamp};

use crate::{
    Place, app,
    commands::{Offline, say},
    kek::Kek,
    parts::database_url,
    record::audit_dir,
    vault::Vault,
};

#[derive(Subcommand)]
pub enum AuditCommand {
    /// Recompute the whole log and name the first damaged entry
    Verify(Log),
    /// Write a proof that an entry is in the log, for somebody who has only the entry and the key
    Prove {
        #[command(flatten)]
        log: Log,
        /// The entry
        index: u64,
    },
    /// Find entries
    Search(Search),
    /// Write entries as JSON lines
    Export(Search),
}

#[derive(Args)]
pub struct Log {
    /// The data directory
    #[arg(long, value_name = "DIR", default_value = "portcullis-data")]
    data: PathBuf,
    /// The key that signed the log of any year, noted down elsewhere; the log's own copy if left out
    #[arg(long, value_name = "VKEY")]
    vkey: Option<String>,
}

#[derive(Args)]
pub struct Search {
    #[command(flatten)]
    log: Log,
    /// The configuration, whose database has the keys of what is sealed
    #[arg(long, value_name = "FILE", default_value = "portcullis.toml")]
    config: PathBuf,
    /// Leave sealed what is sealed, as the log has it
    #[arg(long)]
    sealed: bool,
    /// At this time or later, RFC 3339
    #[arg(long)]
    from: Option<String>,
    /// Before this time, RFC 3339
    #[arg(long)]
    until: Option<String>,
    /// An id or name of anyone concerned
    #[arg(long)]
    subject: Option<String>,
    /// The address, the IPv6 /64 or a wider network it came from; by networks, what is sealed is
    /// not found
    #[arg(long)]
    addr: Option<String>,
    /// A text that is anywhere in the entry as it is stored
    #[arg(long)]
    text: Option<String>,
    /// The code of the event or its beginning, such as `authn_login_fail` or `authn_`
    #[arg(long)]
    kind: Option<String>,
    /// `success` or `failure`
    #[arg(long)]
    outcome: Option<String>,
    /// The request it happened in
    #[arg(long)]
    request: Option<String>,
    /// At this index or later
    #[arg(long, default_value_t = 0)]
    from_index: u64,
    /// At most this many; all if left out
    #[arg(long)]
    limit: Option<usize>,
}

pub async fn run(command: AuditCommand) -> Result<ExitCode> {
    match command {
        AuditCommand::Verify(log) => run_verify(&log),
        AuditCommand::Prove { log, index } => prove(&log, index),
        AuditCommand::Search(search) => print(&search, false).await,
        AuditCommand::Export(search) => print(&search, true).await,
    }
}

impl Log {
    fn open(&self) -> Result<Logs> {
        Logs::open(&audit_dir(&self.data)).context("open the audit log")
    }

    fn trusted(&self) -> Result<Option<NoteVerifier>> {
        self.vkey.as_deref().map(|vkey| NoteVerifier::parse(vkey).context("--vkey")).transpose()
    }
}

fn run_verify(log: &Log) -> Result<ExitCode> {
    let trusted = log.trusted()?;
    let reports =
        verify_all(&audit_dir(&log.data), trusted.as_ref()).context("open the audit log")?;
    let damaged = reports.iter().any(|report| report.damage.is_some());
    for report in reports {
        tell(&report);
    }
    if damaged {
        return Ok(ExitCode::from(2));
    }
    say("verified     every entry is the one that was written");
    Ok(ExitCode::SUCCESS)
}

fn tell(report: &Report) {
    say(&format!("log          {}", report.origin));
    say(&format!("key          {}", report.vkey));
    say(&format!("entries      {} ({} signed)", report.entries, report.signed));
    if report.minimum > 0 {
        let removed = "before it entries were removed, as recorded; their hashes hold";
        say(&format!("minimum      {} ({removed})", report.minimum));
    }
    say(&format!("checkpoints  {} hold", report.checkpoints));
    if let Some(damage) = &report.damage {
        say(&format!("DAMAGED      {damage}"));
    }
}

fn prove(log: &Log, index: u64) -> Result<ExitCode> {
    let logs = log.open()?;
    let proof = logs.prove(index)?.with_context(|| {
        format!("entry {index} is not covered by a checkpoint; new entries are within a second")
    })?;
    let verifier = logs.verifier_at(index)?;
    let trusted = log.trusted()?.unwrap_or_else(|| verifier.clone()).renamed(verifier.name())?;
    match logs.entry(index) {
        Ok(entry) => drop(proof.verify(&entry, &trusted).context("the log does not prove itself")?),
        // Whoever kept the entry can still use it.
        Err(error @ LogError::Removed { .. }) => tracing::warn!(%error, "the entry is not here"),
        Err(error) => return Err(error.into()),
    }
    say(proof.to_text().trim_end_matches('\n'));
    Ok(ExitCode::SUCCESS)
}

impl Search {
    fn filter(&self) -> Result<Filter> {
        let time = |name: &str, text: &Option<String>| {
            let text = text.as_deref();
            text.map(Timestamp::parse_rfc3339).transpose().with_context(|| format!("--{name}"))
        };
        let addr = self.addr.as_deref().and_then(AddrKey::parse);
        let network = self.addr.as_deref().filter(|_| addr.is_none()).map(|network| {
            Prefix::parse(network).context("--addr: expected an IP address or a network")
        });
        Ok(Filter {
            from: time("from", &self.from)?,
            until: time("until", &self.until)?,
            subjects: self.subject.clone().into_iter().collect(),
            addr,
            addr_tags: Vec::new(),
            network: network.transpose()?,
            text: self.text.clone().filter(|text| !text.is_empty()),
            kind: self.kind.clone(),
            success: match self.outcome.as_deref() {
                None => None,
                Some("success") => Some(true),
                Some("failure") => Some(false),
                Some(_) => bail!("--outcome: expected success or failure"),
            },
            request_id: self.request.clone(),
            from_index: self.from_index,
            before: None,
            limit: MAX_RESULTS,
            most_bytes: None,
        })
    }
}

/// The keys of an installation, for whoever may use them.
struct Keys {
    offline: Offline,
    keys: LogKeys,
}

impl Keys {
    /// None where there is only a log, without its database or its key-encryption key.
    async fn of(search: &Search) -> Option<Self> {
        let place = Place { config: search.config.clone(), data: search.log.data.clone() };
        let opened = async {
            // Reading must not make what is not there.
            let config = place.load()?;
            let file = database_url(&config, &place.data);
            let file = file.strip_prefix("sqlite:").map(std::path::Path::new);
            ensure!(file.is_none_or(|file| file.exists()), "there is no database");
            ensure!(Kek::exists(&config, &place.data), "there is no key-encryption key");
            let offline = Offline::open(&place).await?;
            let (db, entropy) = (offline.db.clone(), offline.entropy.clone());
            let vault = Vault::open(&offline.config, &place.data, db, entropy).await?;
            let keys = app::log_keys(&vault, &offline.clock, &offline.entropy);
            anyhow::Ok(Self { offline, keys })
        };
        opened
            .await
            .map_err(|error| {
                let error = format!("{error:#}");
                tracing::info!(error, "what is sealed stays sealed: there are no keys");
            })
            .ok()
    }

    /// A name is in no entry; whose it is, the database knows.
    async fn complete(&self, filter: &mut Filter) -> Result<()> {
        if let Some(name) = filter.subjects.first() {
            let named = accounts::by_username(&self.offline.db, DEFAULT_TENANT, name).await?;
            filter.subjects.extend(named.map(|account| account.id.to_string()));
        }
        if let Some(addr) = filter.addr {
            filter.addr_tags = self.keys.tags(&self.offline.db, addr).await?;
        }
        Ok(())
    }

    async fn open(&self, entry: Vec<u8>) -> Vec<u8> {
        let Some(sealed) = sealed_of(&entry) else { return entry };
        let fields = self.keys.open(&self.offline.db, &sealed).await;
        opened_entry(&entry, |_| fields)
    }
}

/// One entry a line; `export` leaves out the index, so that each line is an OCSF event.
async fn print(search: &Search, export: bool) -> Result<ExitCode> {
    let reader = search.log.open()?;
    let mut filter = search.filter()?;
    let keys = if search.sealed { None } else { Keys::of(search).await };
    if let Some(keys) = &keys {
        keys.complete(&mut filter).await?;
    }
    let mut left = search.limit.unwrap_or(usize::MAX);
    let mut out = BufWriter::new(std::io::stdout());
    while left > 0 {
        filter.limit = left.min(MAX_RESULTS);
        let found = reader.search_page(&filter)?.found;
        let (count, last) = (found.len(), found.last().map(|hit| hit.index));
        for hit in found {
            if !export {
                write!(out, "{}\t", hit.index)?;
            }
            let entry = match &keys {
                Some(keys) => keys.open(hit.entry).await,
                None => hit.entry,
            };
            out.write_all(&entry)?;
            out.write_all(b"\n")?;
        }
        left -= count;
        match last {
            Some(last) if count == filter.limit => filter.from_index = last + 1,
            _ => break,
        }
    }
    out.flush()?;
    Ok(ExitCode::SUCCESS)
}
