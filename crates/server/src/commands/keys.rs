use std::{path::PathBuf, process::ExitCode, time::Duration};

use anyhow::{Context, Result, bail, ensure};
use clap::Subcommand;
use portcullis_events::{AdminChange, Kind};
use portcullis_jose::Alg;
use portcullis_oidc::{KeyChangedBy, KeyUse};
use portcullis_store::{DbError, clients, signing_keys};
use portcullis_types::{DEFAULT_TENANT, Timestamp};
use serde_json::json;

use crate::{
    Place, app,
    commands::{Offline, say},
    config::Config,
    kek::{self, Kek},
    vault::Vault,
};

#[derive(Subcommand)]
pub enum KeysCommand {
    /// Signing keys: what each is for, whether it signs, and until when it is published
    List {
        #[command(flatten)]
        place: Place,
    },
    /// Make successors; a running service follows within a second
    Rotate {
        #[command(flatten)]
        place: Place,
        /// Only keys of this use: access_token, id_token or upstream
        #[arg(long = "use", value_name = "USE", value_parser = parse_use)]
        key_use: Option<KeyUse>,
        /// Only keys of this algorithm
        #[arg(long, value_parser = parse_alg)]
        alg: Option<Alg>,
        /// Let them sign at once, although nobody has seen them published
        #[arg(long)]
        now: bool,
    },
    /// Take a key out of use at once: what it signed is no longer good
    Retire {
        #[command(flatten)]
        place: Place,
        /// The key, as `keys list` and tokens name it
        kid: String,
    },
    /// Let the clients that are registered with one algorithm get tokens of another
    Migrate {
        #[command(flatten)]
        place: Place,
        /// The algorithm they have
        #[arg(long, value_parser = parse_alg)]
        from: Alg,
        /// The algorithm they get
        #[arg(long, value_parser = parse_alg)]
        to: Alg,
    },
    /// Wrap the installation's data key with the key-encryption key of another configuration
    Rewrap {
        #[command(flatten)]
        place: Place,
        /// The configuration whose `key_encryption` holds from now on
        #[arg(long, value_name = "FILE")]
        to_config: PathBuf,
    },
}

fn parse_use(text: &str) -> Result<KeyUse, &'static str> {
    KeyUse::parse(text).ok_or("expected access_token, id_token or upstream")
}

fn parse_alg(text: &str) -> Result<Alg, &'static str> {
    let known = Alg::parse(text).filter(|alg| Alg::SIGNING.contains(alg));
    known.ok_or("expected EdDSA, ES256 or RS256")
}

pub async fn run(command: KeysCommand) -> Result<ExitCode> {
    match command {
        KeysCommand::List { place } => list(&Offline::open(&place).await?).await?,
        KeysCommand::Rotate { place, key_use, alg, now } => {
            rotate(&place, (key_use, alg), now).await?;
        }
        KeysCommand::Retire { place, kid } => {
            let offline = Offline::open_to_change(&place).await?;
            let ring = ring(&offline, &place).await?;
            ring.retire(&kid, KeyChangedBy::OPERATOR, offline.clock.now()).await?;
            say(&format!("{kid} is out of use"));
        }
        KeysCommand::Migrate { place, from, to } => {
            migrate(&Offline::open_to_change(&place).await?, from, to).await?;
        }
        KeysCommand::Rewrap { place, to_config } => rewrap(&place, &to_config).await?,
    }
    Ok(ExitCode::SUCCESS)
}

async fn ring(offline: &Offline, place: &Place) -> Result<portcullis_oidc::KeyRing> {
    let (db, entropy) = (offline.db.clone(), offline.entropy.clone());
    let vault = Vault::open(&offline.config, &place.data, db, entropy).await?;
    Ok(app::key_ring(&offline.config, &offline.db, &vault, &offline.entropy))
}

async fn list(offline: &Offline) -> Result<()> {
    let now = offline.clock.now();
    let rows = signing_keys::all(&offline.db, DEFAULT_TENANT).await?;
    for row in &rows {
        let later = rows.iter().any(|other| {
            (&other.key_use, &other.alg) == (&row.key_use, &row.alg)
                && other.expires_at > now
                && other.active_from <= now
                && other.active_from > row.active_from
        });
        let state = match () {
            () if row.retired_at.is_some() => "retired",
            () if row.expires_at <= now => "ended",
            () if row.active_from > now => "announced",
            () if later => "verifies",
            () => "signs",
        };
        let day = |time: Timestamp| time.to_rfc3339();
        say(&format!(
            "{}  {:<12}  {:<5}  {state:<9}  from {}  until {}",
            row.kid,
            row.key_use,
            row.alg,
            day(row.active_from),
            day(row.expires_at)
        ));
    }
    Ok(())
}

async fn rotate(place: &Place, which: (Option<KeyUse>, Option<Alg>), at_once: bool) -> Result<()> {
    let offline = Offline::open_to_change(place).await?;
    let ring = ring(&offline, place).await?;
    let overlap = if at_once { Duration::ZERO } else { ring.schedule().published_before };
    let made = ring.rotate(which, overlap, KeyChangedBy::OPERATOR, offline.clock.now()).await?;
    ensure!(!made.is_empty(), "keys.algorithms has no keys of that use and algorithm");
    for kid in made {
        say(&format!("{kid} signs in {} s", overlap.as_secs()));
    }
    Ok(())
}

async fn migrate(offline: &Offline, from: Alg, to: Alg) -> Result<()> {
    ensure!(from != to, "--from and --to are the same");
    let offered = offline.config.keys.algorithms.iter().any(|own| own.alg() == to);
    ensure!(offered, "keys.algorithms leaves {} out", to.as_str());
    let (from, to) = (from.as_str(), to.as_str());
    let moved = offline.db.write(|tx| async move {
        if to == "RS256" && clients::any_fapi(&tx, DEFAULT_TENANT, from).await? {
            return Ok(None);
        }
        let moved =
            clients::set_algorithm(&tx, DEFAULT_TENANT, from, to, offline.clock.now()).await?;
        let change = AdminChange {
            action: "update",
            object_type: "clients",
            object: format!("registered with {from}"),
            before: Some(json!({ "alg": from })),
            after: Some(json!({ "alg": to, "clients": moved })),
        };
        tx.emit(offline.event(Kind::Admin(change))).await?;
        Ok::<_, DbError>(Some(moved))
    });
    match moved.await? {
        Some(moved) => say(&format!("{moved} clients get {to} instead of {from}")),
        None => bail!("clients with the FAPI 2.0 Security Profile may not have RS256"),
    }
    Ok(())
}

async fn rewrap(place: &Place, to_config: &std::path::Path) -> Result<()> {
    let offline = &Offline::open_to_change(place).await?;
    let to = Config::load(to_config).context("read the other configuration")?;
    let current = Kek::open(&offline.config, &place.data, &offline.entropy)?;
    let key = current.data_key(&offline.db, &offline.entropy).await?;
    let next = Kek::open(&to, &place.data, &offline.entropy)?;
    let wrapped = &next.rewrap(&key, &offline.entropy).await?;
    let change = &AdminChange {
        action: "rotate",
        object_type: "key_encryption_key",
        object: "data_key".into(),
        before: Some(json!({ "provider": current.name() })),
        after: Some(json!({ "provider": next.name() })),
    };
    let stored = offline.db.write(|tx| async move {
        kek::store(&tx, wrapped).await?;
        tx.emit(offline.event(Kind::Admin(change.clone()))).await?;
        Ok::<_, DbError>(())
    });
    stored.await?;
    say(&format!(
        "the data key is wrapped by the key of {}; start with that configuration from now on",
        to_config.display()
    ));
    Ok(())
}
