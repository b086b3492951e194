//! Identity verification from the command line: whom the operator trusts to sign travel documents.

use std::{collections::BTreeMap, fs::File, io::Read, path::PathBuf, process::ExitCode};

use anyhow::{Context, Result, bail, ensure};
use clap::Subcommand;
use portcullis_types::{DEFAULT_TENANT, Timestamp};
use portcullis_verification::{Imported, TrustStore};

use crate::{
    Place,
    commands::{
        Offline,
        evidence::{self, EvidenceArgs},
        say,
    },
};

/// Bytes of a file; more is refused without reading on.
const FILE_MAX_BYTES: u64 = 32 << 20;

#[derive(Subcommand)]
pub enum IdvCommand {
    /// Authorities of countries, by whom the chips of travel documents are verified
    #[command(subcommand)]
    Trust(TrustCommand),
    /// Check the evidence of a decision, with nothing but the key of the audit log
    Evidence(EvidenceArgs),
}

#[derive(Subcommand)]
pub enum TrustCommand {
    /// Trust the authorities of a master list, or certificates and revocation lists; a running service follows
    /// with the next check
    Import {
        #[command(flatten)]
        place: Place,
        /// Say what would be taken up, and by whom a master list is signed, and change nothing
        #[arg(long)]
        dry_run: bool,
        /// Take a master list only if this certificate signed it: SHA-256, hexadecimal
        #[arg(long, value_name = "SHA256")]
        signer: Option<String>,
        /// Master lists (CMS), certificates and revocation lists, as DER or PEM
        #[arg(required = true, value_name = "FILE")]
        files: Vec<PathBuf>,
    },
    /// Whom documents are verified by
    List {
        #[command(flatten)]
        place: Place,
        /// As JSON, one on each line
        #[arg(long)]
        json: bool,
    },
    /// Trust an authority no longer, or forget a revocation list
    Remove {
        #[command(flatten)]
        place: Place,
        /// SHA-256 of the certificate or list, as `list` shows it
        fingerprint: String,
    },
}

pub async fn run(command: IdvCommand) -> Result<ExitCode> {
    let command = match command {
        IdvCommand::Trust(command) => command,
        IdvCommand::Evidence(args) => return evidence::run(&args),
    };
    match command {
        TrustCommand::Import { place, dry_run, signer, files } => {
            import(&place, &files, signer.as_deref(), dry_run).await
        }
        TrustCommand::List { place, json } => list(&place, json).await,
        TrustCommand::Remove { place, fingerprint } => remove(&place, &fingerprint).await,
    }
}

/// Whether everything was taken up.
async fn import(
    place: &Place,
    paths: &[PathBuf],
    signer: Option<&str>,
    dry: bool,
) -> Result<ExitCode> {
    let offline = Offline::open_to_change(place).await?;
    let event = |kind| offline.event(kind);
    let store = TrustStore { db: &offline.db, tenant: DEFAULT_TENANT, event: &event };
    let mut files = Vec::new();
    for path in paths {
        let shown = path.display();
        let mut bytes = Vec::new();
        let file = File::open(path).with_context(|| format!("read {shown}"))?;
        file.take(FILE_MAX_BYTES + 1)
            .read_to_end(&mut bytes)
            .with_context(|| format!("read {shown}"))?;
        let name = path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned();
        files.push((name, bytes));
    }
    let now = offline.clock.now();
    if let Some(signer) = signer {
        let wanted = hexadecimal(signer)?;
        let looked = store.import(&files, now, true).await?;
        ensure!(!looked.signers.is_empty(), "there is no master list among the files");
        let other = looked.signers.iter().find(|one| one.fingerprint != wanted);
        ensure!(
            other.is_none(),
            "a master list is signed by another certificate: {}",
            other.map(|one| one.fingerprint.as_str()).unwrap_or_default()
        );
    }
    let imported = store.import(&files, now, dry).await?;
    tell(&imported, dry);
    Ok(if imported.refused.is_empty() { ExitCode::SUCCESS } else { ExitCode::from(2) })
}

fn hexadecimal(fingerprint: &str) -> Result<String> {
    let fingerprint = fingerprint.trim().replace(':', "").to_ascii_lowercase();
    let digits = fingerprint.bytes().all(|digit| digit.is_ascii_hexdigit());
    ensure!(digits && fingerprint.len() == 64, "a fingerprint has 64 hexadecimal digits");
    Ok(fingerprint)
}

fn tell(imported: &Imported, dry: bool) {
    for signer in &imported.signers {
        let late = if signer.in_force { "" } else { ", whose certificate is not in force" };
        say(&format!("{}\n  signed a master list{late}: {}", signer.fingerprint, signer.subject));
    }
    let Imported { certificates, crls, known, refused, .. } = imported;
    let verb = if dry { "would be new" } else { "are new" };
    say(&format!(
        "{certificates} authorities and {crls} revocation lists {verb}, {known} were there, {} refused",
        refused.len()
    ));
    for item in refused {
        say(&format!("  refused: {}: {}", item.whose, item.why));
    }
}

async fn list(place: &Place, json: bool) -> Result<ExitCode> {
    let offline = Offline::open(place).await?;
    let event = |kind| offline.event(kind);
    let store = TrustStore { db: &offline.db, tenant: DEFAULT_TENANT, event: &event };
    let rows = store.all().await?;
    let day = |micros: i64| Timestamp::from_micros(micros).to_rfc3339();
    for row in &rows {
        if json {
            let value = serde_json::json!({
                "fingerprint": row.fingerprint,
                "kind": row.kind,
                "country": row.country,
                "subject": row.subject,
                "valid_from": day(row.valid_from),
                "valid_until": row.valid_until.map(day),
                "source": row.source,
                "imported_at": day(row.imported_at),
            });
            say(&value.to_string());
        } else {
            let until = row.valid_until.map_or_else(String::new, day);
            say(&format!(
                "{}  {:<2}  {:<11}  until {until}  {}",
                row.fingerprint, row.country, row.kind, row.subject
            ));
        }
    }
    if !json {
        let mut countries: BTreeMap<&str, usize> = BTreeMap::new();
        for row in rows.iter().filter(|row| row.kind == "certificate") {
            *countries.entry(&row.country).or_default() += 1;
        }
        let authorities: usize = countries.values().sum();
        say(&format!("{authorities} authorities of {} countries", countries.len()));
    }
    Ok(ExitCode::SUCCESS)
}

async fn remove(place: &Place, fingerprint: &str) -> Result<ExitCode> {
    let fingerprint = hexadecimal(fingerprint)?;
    let offline = Offline::open_to_change(place).await?;
    let event = |kind| offline.event(kind);
    let store = TrustStore { db: &offline.db, tenant: DEFAULT_TENANT, event: &event };
    let gone = store.remove(&fingerprint).await?;
    if gone.is_empty() {
        bail!("nothing with that fingerprint is trusted");
    }
    for row in gone {
        say(&format!("{}  {} counts no longer: {}", row.fingerprint, row.kind, row.subject));
    }
    Ok(ExitCode::SUCCESS)
}
