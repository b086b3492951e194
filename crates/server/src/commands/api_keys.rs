use std::process::ExitCode;

use anyhow::{Result, bail, ensure};
use clap::Subcommand;
use portcullis_events::{AdminChange, Kind, clean};
use portcullis_store::{
    API_KEY_PREFIX, Credential, DbError,
    api_keys::{self, ApiKey},
};
use portcullis_types::{DEFAULT_TENANT, Id, Timestamp, is_scope_token, tags};
use serde_json::json;

use crate::{
    Place,
    commands::{Offline, say},
};

/// A key made here lives at most this long; one for good is made by the admin API.
const MAX_DAYS: u64 = 366;
const DAY_SECS: u64 = 24 * 3600;

#[derive(Subcommand)]
pub enum ApiKeysCommand {
    /// Make a key and print it; the way to the admin API of an installation that has no client yet
    Create {
        #[command(flatten)]
        place: Place,
        /// What it is for
        name: String,
        /// A scope such as admin; may be repeated
        #[arg(long, required = true)]
        scope: Vec<String>,
        /// How long it lives
        #[arg(long, default_value_t = 1)]
        days: u64,
    },
    /// Keys that were made, without their text
    List {
        #[command(flatten)]
        place: Place,
    },
    /// Revoke a key; a running service follows within a second
    Revoke {
        #[command(flatten)]
        place: Place,
        /// The key, such as key_01k…
        id: String,
    },
}

pub async fn run(command: ApiKeysCommand) -> Result<ExitCode> {
    match command {
        ApiKeysCommand::Create { place, name, scope, days } => {
            create(&Offline::open_to_change(&place).await?, &name, &scope, days).await?;
        }
        ApiKeysCommand::List { place } => list(&Offline::open(&place).await?).await?,
        ApiKeysCommand::Revoke { place, id } => {
            revoke(&Offline::open_to_change(&place).await?, id.parse()?).await?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

async fn create(offline: &Offline, name: &str, scopes: &[String], days: u64) -> Result<()> {
    ensure!((1..=MAX_DAYS).contains(&days), "--days must be 1 to {MAX_DAYS}");
    ensure!(clean(name) == name && (1..=100).contains(&name.len()), "the name is not printable");
    ensure!(scopes.iter().all(|scope| is_scope_token(scope)), "--scope is not a scope");
    let now = offline.clock.now();
    let credential = Credential::new(API_KEY_PREFIX, &*offline.entropy);
    let key = &ApiKey {
        id: Id::new(now, &*offline.entropy),
        name: name.to_owned(),
        hash: credential.hash,
        hint: credential.hint,
        scopes: scopes.join(" "),
        created_by: "operator".into(),
        created_at: now.micros(),
        expires_at: Some(now.plus(std::time::Duration::from_secs(days * DAY_SECS)).micros()),
        revoked_at: None,
    };
    let made = offline.db.write(|tx| async move {
        api_keys::insert(&tx, DEFAULT_TENANT, key).await?;
        tx.emit(offline.event(change("create", key))).await?;
        Ok::<_, DbError>(())
    });
    made.await?;
    say(credential.text.expose());
    Ok(())
}

async fn list(offline: &Offline) -> Result<()> {
    let (now, mut after) = (offline.clock.now(), String::new());
    loop {
        let page = api_keys::page(&offline.db, DEFAULT_TENANT, &after, 100).await?;
        let Some(last) = page.last() else { return Ok(()) };
        after = last.id.to_string();
        for key in page {
            let ends = key.expires_at.map(Timestamp::from_micros);
            let state = match ends {
                _ if key.revoked_at.is_some() => "revoked".to_owned(),
                Some(ends) if ends <= now => "ended".to_owned(),
                Some(ends) => format!("until {}", ends.to_rfc3339()),
                None => "works".to_owned(),
            };
            say(&format!("{}  {}…  {}  {state}  {}", key.id, key.hint, key.scopes, key.name));
        }
    }
}

async fn revoke(offline: &Offline, id: Id<tags::ApiKey>) -> Result<()> {
    let revoked = offline.db.write(|tx| async move {
        let Some(key) = api_keys::by_id(&tx, DEFAULT_TENANT, id).await? else { return Ok(false) };
        if !api_keys::revoke(&tx, DEFAULT_TENANT, id, offline.clock.now()).await? {
            return Ok(false);
        }
        tx.emit(offline.event(change("revoke", &key))).await?;
        Ok::<_, DbError>(true)
    });
    if !revoked.await? {
        bail!("no key of that id works");
    }
    say(&format!("{id} is revoked"));
    Ok(())
}

fn change(action: &'static str, key: &ApiKey) -> Kind {
    Kind::Admin(AdminChange {
        action,
        object_type: "api_key",
        object: key.id.to_string(),
        before: None,
        after: Some(json!({ "name": key.name, "scopes": key.scopes, "hint": key.hint })),
    })
}
