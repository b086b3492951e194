use std::{
    io::{BufWriter, Write},
    path::PathBuf,
    process::ExitCode,
};

use anyhow::{Context, Result, bail};
use clap::{Args, Subcommand};
use portcullis_audit::{Filter, LogReader, MAX_RESULTS, verify};
use portcullis_tlog::NoteVerifier;
use portcullis_types::{AddrKey, Timestamp};

use crate::{app::audit_dir, commands::say};

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
    /// The key that signed the log, noted down elsewhere; the log's own copy if left out
    #[arg(long, value_name = "VKEY")]
    vkey: Option<String>,
}

#[derive(Args)]
pub struct Search {
    #[command(flatten)]
    log: Log,
    /// At this time or later, RFC 3339
    #[arg(long)]
    from: Option<String>,
    /// Before this time, RFC 3339
    #[arg(long)]
    until: Option<String>,
    /// An id or name of anyone concerned
    #[arg(long)]
    subject: Option<String>,
    /// The address or IPv6 /64 it came from
    #[arg(long)]
    addr: Option<String>,
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

pub fn run(command: AuditCommand) -> Result<ExitCode> {
    match command {
        AuditCommand::Verify(log) => run_verify(&log),
        AuditCommand::Prove { log, index } => prove(&log, index),
        AuditCommand::Search(search) => print(&search, false),
        AuditCommand::Export(search) => print(&search, true),
    }
}

impl Log {
    fn open(&self) -> Result<LogReader> {
        LogReader::open(&audit_dir(&self.data)).context("open the audit log")
    }

    fn verifier(&self, log: &LogReader) -> Result<NoteVerifier> {
        match &self.vkey {
            Some(vkey) => NoteVerifier::parse(vkey).context("--vkey"),
            None => Ok(log.verifier()?),
        }
    }
}

fn run_verify(log: &Log) -> Result<ExitCode> {
    let verifier = log.verifier(&log.open()?)?;
    let report = verify(&audit_dir(&log.data), &verifier)?;
    say(&format!("log          {}", report.origin));
    say(&format!("key          {}", verifier.vkey()));
    say(&format!("entries      {} ({} signed)", report.entries, report.signed));
    say(&format!("checkpoints  {} hold", report.checkpoints));
    match report.damage {
        None => {
            say("verified     every entry is the one that was written");
            Ok(ExitCode::SUCCESS)
        }
        Some(damage) => {
            say(&format!("DAMAGED      {damage}"));
            Ok(ExitCode::from(2))
        }
    }
}

fn prove(log: &Log, index: u64) -> Result<ExitCode> {
    let reader = log.open()?;
    let verifier = log.verifier(&reader)?;
    let proof = reader.prove(index, &verifier).with_context(|| {
        format!("entry {index} is not covered by a checkpoint; new entries are within a second")
    })?;
    proof.verify(&reader.entry(index)?, &verifier).context("the log does not prove itself")?;
    say(proof.to_text().trim_end_matches('\n'));
    Ok(ExitCode::SUCCESS)
}

impl Search {
    fn filter(&self) -> Result<Filter> {
        let time = |name: &str, text: &Option<String>| {
            let text = text.as_deref();
            text.map(Timestamp::parse_rfc3339).transpose().with_context(|| format!("--{name}"))
        };
        let addr = self.addr.as_deref().map(|addr| {
            AddrKey::parse(addr).context("--addr: expected an IP address or an IPv6 /64")
        });
        Ok(Filter {
            from: time("from", &self.from)?,
            until: time("until", &self.until)?,
            subject: self.subject.clone(),
            addr: addr.transpose()?,
            kind: self.kind.clone(),
            success: match self.outcome.as_deref() {
                None => None,
                Some("success") => Some(true),
                Some("failure") => Some(false),
                Some(_) => bail!("--outcome: expected success or failure"),
            },
            request_id: self.request.clone(),
            from_index: self.from_index,
            limit: MAX_RESULTS,
        })
    }
}

/// One entry a line; `export` leaves out the index, so that each line is an OCSF event.
fn print(search: &Search, export: bool) -> Result<ExitCode> {
    let reader = search.log.open()?;
    let mut filter = search.filter()?;
    let mut left = search.limit.unwrap_or(usize::MAX);
    let mut out = BufWriter::new(std::io::stdout().lock());
    while left > 0 {
        filter.limit = left.min(MAX_RESULTS);
        let found = reader.search(&filter)?;
        for hit in &found {
            if !export {
                write!(out, "{}\t", hit.index)?;
            }
            out.write_all(&hit.entry)?;
            out.write_all(b"\n")?;
        }
        left -= found.len();
        match found.last() {
            Some(last) if found.len() == filter.limit => filter.from_index = last.index + 1,
            _ => break,
        }
    }
    out.flush()?;
    Ok(ExitCode::SUCCESS)
}
