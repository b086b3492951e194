use std::{
    fs::OpenOptions,
    io::Write,
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    process::ExitCode,
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use clap::Subcommand;
use portcullis_events::{AdminChange, Kind};
use portcullis_pki::SpiffeId;
use portcullis_store::DbError;
use serde_json::json;

use crate::{
    Place,
    commands::{Offline, say},
    vault::Vault,
};

/// A certificate issued by hand lives at most this long.
const MAX_DAYS: u64 = 397;

#[derive(Subcommand)]
pub enum CaCommand {
    /// Print the authority's certificate
    Show {
        #[command(flatten)]
        place: Place,
    },
    /// Issue a certificate for a service
    Issue {
        #[command(flatten)]
        place: Place,
        /// Its name, such as spiffe://portcullis.local/service/back-office
        #[arg(long)]
        spiffe_id: SpiffeId,
        /// A DNS name as well, for a service that also serves; may be repeated
        #[arg(long)]
        dns: Vec<String>,
        /// How long it lives
        #[arg(long, default_value_t = 30)]
        days: u64,
        /// Where to write cert.pem, key.pem and ca.pem
        #[arg(long, value_name = "DIR")]
        out: PathBuf,
    },
}

pub async fn run(command: CaCommand) -> Result<ExitCode> {
    match command {
        CaCommand::Show { place } => {
            let offline = Offline::open(&place).await?;
            let authority = vault(&offline, &place).await?.authority(&offline.clock).await?;
            say(authority.certificate_pem().trim_end());
        }
        CaCommand::Issue { place, spiffe_id, dns, days, out } => {
            ensure!((1..=MAX_DAYS).contains(&days), "--days must be 1 to {MAX_DAYS}");
            issue(&place, &spiffe_id, &dns, days, &out).await?;
            say(&format!("{} holds the certificate of {spiffe_id}", out.display()));
        }
    }
    Ok(ExitCode::SUCCESS)
}

async fn vault(offline: &Offline, place: &Place) -> Result<Vault> {
    let (db, entropy) = (offline.db.clone(), offline.entropy.clone());
    Vault::open(&offline.config, &place.data, db, entropy).await
}

async fn issue(place: &Place, id: &SpiffeId, dns: &[String], days: u64, out: &Path) -> Result<()> {
    let offline = &Offline::open(place).await?;
    let authority = vault(offline, place).await?.authority(&offline.clock).await?;
    let lifetime = Duration::from_secs(days * 24 * 3600);
    let made = authority.issue_workload(id, dns, offline.clock.now(), lifetime)?;
    let change = &AdminChange {
        action: "create",
        object_type: "certificate",
        object: id.to_string(),
        before: None,
        after: Some(json!({ "days": days, "dns": dns })),
    };
    let recorded = offline.db.write(|tx| async move {
        tx.emit(offline.event(Kind::Admin(change.clone()))).await?;
        Ok::<_, DbError>(())
    });
    recorded.await?;
    std::fs::create_dir_all(out).with_context(|| format!("create {}", out.display()))?;
    write(&out.join("cert.pem"), &made.chain_pem, 0o644)?;
    write(&out.join("key.pem"), made.key_pem.expose(), 0o600)?;
    write(&out.join("ca.pem"), authority.certificate_pem(), 0o644)
}

fn write(path: &Path, text: &str, mode: u32) -> Result<()> {
    let file = OpenOptions::new().write(true).create(true).truncate(true).mode(mode).open(path);
    file.and_then(|mut file| file.write_all(text.as_bytes()))
        .with_context(|| format!("write {}", path.display()))
}
