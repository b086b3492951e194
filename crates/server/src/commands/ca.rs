use std::{
    path::{Path, PathBuf},
    process::ExitCode,
    sync::Arc,
    time::Duration,
};

use anyhow::{Result, ensure};
use clap::Subcommand;
use portcullis_ca::{Ca, Grant, How, Which};
use portcullis_events::Actor;
use portcullis_pki::{SpiffeId, new_key};
use portcullis_types::Timestamp;

use crate::{
    Place, certificates,
    commands::{
        Offline, enrol,
        keep::{create, replace},
        say,
    },
    vault::Vault,
};

/// A certificate issued by hand lives at most this long.
const MAX_DAYS: u64 = 397;
/// An enrolment token lives at most this long.
const MAX_TOKEN: Duration = Duration::from_secs(30 * 24 * 3600);
const DAY: Duration = Duration::from_secs(24 * 3600);

#[derive(Subcommand)]
pub enum CaCommand {
    /// Print the roots that are trusted, PEM
    Show {
        #[command(flatten)]
        place: Place,
    },
    /// List the authorities and what each of them does
    Status {
        #[command(flatten)]
        place: Place,
    },
    /// List certificates that have not ended, the newest first
    List {
        #[command(flatten)]
        place: Place,
        /// Only those of this workload
        #[arg(long)]
        spiffe_id: Option<SpiffeId>,
        /// How many at most
        #[arg(long, default_value_t = 100)]
        limit: u32,
    },
    /// Make a token that is good for one certificate, and print it
    Token {
        #[command(flatten)]
        place: Place,
        /// Whom the certificate is for, such as spiffe://portcullis.local/service/orders
        #[arg(long)]
        spiffe_id: SpiffeId,
        /// A DNS name or address under which it serves; may be repeated
        #[arg(long)]
        dns: Vec<String>,
        /// How long the token is good, such as 30min
        #[arg(long, default_value = "1h", value_parser = span)]
        lifetime: Duration,
    },
    /// Get a certificate with a token, on the machine of the workload, and keep it fresh
    Enrol(enrol::EnrolArguments),
    /// Issue a certificate with its key, for a service that cannot enrol
    Issue {
        #[command(flatten)]
        place: Place,
        /// Its name, such as spiffe://portcullis.local/service/back-office
        #[arg(long)]
        spiffe_id: SpiffeId,
        /// A DNS name or address as well, for a service that also serves; may be repeated
        #[arg(long)]
        dns: Vec<String>,
        /// How long it lives
        #[arg(long, default_value_t = 1)]
        days: u64,
        /// Where to write cert.pem, key.pem and ca.pem
        #[arg(long, value_name = "DIR")]
        out: PathBuf,
    },
    /// Take certificates back; a running service follows within a second
    Revoke {
        #[command(flatten)]
        place: Place,
        /// One certificate, by its serial number
        #[arg(long, required_unless_present = "spiffe_id", conflicts_with = "spiffe_id")]
        serial: Option<String>,
        /// All certificates of a workload, and its unused enrolment tokens
        #[arg(long)]
        spiffe_id: Option<SpiffeId>,
        /// The key is in other hands
        #[arg(long)]
        compromised: bool,
    },
    /// Let another intermediate sign from now on, or with --root publish another root
    Rotate {
        #[command(flatten)]
        place: Place,
        /// A new root: published at once, signing after certificates.publish_root_first
        #[arg(long)]
        root: bool,
        /// The old key is in other hands: the new one signs at once, and nothing that the old one
        /// signed is trusted any more
        #[arg(long)]
        compromised: bool,
    },
    /// Write the revocation list of each authority into a directory, DER
    Crl {
        #[command(flatten)]
        place: Place,
        #[arg(long, value_name = "DIR")]
        out: PathBuf,
    },
}

fn span(text: &str) -> Result<Duration, String> {
    portcullis_types::read_span(text)
        .ok_or_else(|| "expected a time such as 30min or 12h".to_owned())
}

pub async fn run(command: CaCommand) -> Result<ExitCode> {
    match command {
        CaCommand::Show { place } => {
            let bundle = open(&place).await?.1.bundle_pem();
            say(String::from_utf8_lossy(&bundle).trim_end());
        }
        CaCommand::Status { place } => status(&open(&place).await?.1),
        CaCommand::List { place, spiffe_id, limit } => {
            list(&open(&place).await?.1, spiffe_id.as_ref(), limit).await?;
        }
        CaCommand::Token { place, spiffe_id, dns, lifetime } => {
            ensure!(lifetime <= MAX_TOKEN, "--lifetime must be at most 30d");
            let (_, ca) = open(&place).await?;
            let token = ca.make_token(&spiffe_id, &dns, lifetime, &Actor::Operator, None).await?;
            say(token.text.expose());
        }
        CaCommand::Enrol(arguments) => enrol::run(arguments).await?,
        CaCommand::Issue { place, spiffe_id, dns, days, out } => {
            ensure!((1..=MAX_DAYS).contains(&days), "--days must be 1 to {MAX_DAYS}");
            issue(&open(&place).await?.1, &spiffe_id, &dns, days, &out).await?;
            say(&format!("{} holds the certificate of {spiffe_id}", out.display()));
        }
        CaCommand::Revoke { place, serial, spiffe_id, compromised } => {
            let which = match (serial, spiffe_id) {
                (_, Some(id)) => Which::Workload(id),
                (serial, None) => Which::Serial(serial.unwrap_or_default()),
            };
            let (_, ca) = open(&place).await?;
            let count = ca.revoke(&which, compromised, &Actor::Operator, None).await?;
            say(&match count {
                0 => "its unused enrolment tokens have ended".to_owned(),
                _ => format!("{count} certificates are revoked"),
            });
        }
        CaCommand::Rotate { place, root, compromised } => {
            let (_, ca) = open(&place).await?;
            let made = ca.rotate(root, compromised, &Actor::Operator).await?;
            say(&format!("{} signs from {}", made.id, made.active_at.to_rfc3339()));
        }
        CaCommand::Crl { place, out } => {
            let (_, ca) = open(&place).await?;
            create(&out)?;
            for authority in ca.status() {
                if let Some(list) = ca.revocation_list(&authority.id) {
                    replace(&out.join(format!("{}.crl", authority.id)), &list, 0o644)?;
                }
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}

async fn open(place: &Place) -> Result<(Offline, Arc<Ca>)> {
    let offline = Offline::open_to_change(place).await?;
    let Offline { config, db, clock, entropy } = &offline;
    let vault = Vault::open(config, &place.data, db.clone(), entropy.clone()).await?;
    let ca = certificates::open(config, &vault, db, clock, entropy).await?;
    Ok((offline, ca))
}

fn status(ca: &Ca) {
    for one in ca.status() {
        let kind = if one.root.is_none() { "root        " } else { "intermediate" };
        let (from, until) = (one.active_at.to_rfc3339(), one.expires_at.to_rfc3339());
        say(&format!("{}  {kind}  {:<9}  {from}  {until}", one.id, one.phase.as_str()));
    }
}

async fn list(ca: &Ca, workload: Option<&SpiffeId>, limit: u32) -> Result<()> {
    for row in ca.issued(workload, i64::from(limit)).await? {
        let time = |micros| Timestamp::from_micros(micros).to_rfc3339();
        let state = match row.revoked_at {
            Some(at) => format!("revoked {}", time(at)),
            None => format!("until {}", time(row.expires_at)),
        };
        let whom = row.spiffe_id.as_deref().unwrap_or("server");
        say(&format!("{}  {state}  {:<9}  {whom}  {}", row.serial, row.how, row.names));
    }
    Ok(())
}

async fn issue(ca: &Ca, id: &SpiffeId, dns: &[String], days: u64, out: &Path) -> Result<()> {
    let grant = Grant {
        subject: ca.subject(id, dns)?,
        how: How::Operator,
        actor: Actor::Operator,
        origin: None,
        lifetime: Some(DAY * u32::try_from(days)?),
    };
    let (key, pem) = new_key()?;
    let issued = ca.issue(&grant, &key).await?;
    create(out)?;
    replace(&out.join("cert.pem"), issued.chain_pem().as_bytes(), 0o644)?;
    replace(&out.join("key.pem"), pem.expose().as_bytes(), 0o600)?;
    replace(&out.join("ca.pem"), &ca.bundle_pem(), 0o644)
}
