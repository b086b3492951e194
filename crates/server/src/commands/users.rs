use std::{io::Read, process::ExitCode, sync::Arc};

use anyhow::{Context, Result, bail};
use clap::Subcommand;
use portcullis_events::{Actor, AdminChange, Kind};
use portcullis_identity::{Email, HashParameters, Hasher, PasswordRules, Username};
use portcullis_store::{
    DbError,
    accounts::{self, Account},
};
use portcullis_types::{DEFAULT_TENANT, Id, Secret};
use serde_json::json;

use crate::{
    Place,
    commands::{Offline, say},
};

/// A password on standard input is at most this long.
const MAX_PASSWORD_BYTES: u64 = 4_096;

#[derive(Subcommand)]
pub enum UsersCommand {
    /// Make an account; the password is read from standard input
    Create {
        #[command(flatten)]
        place: Place,
        /// The user name
        username: String,
        /// The e-mail address
        email: String,
        /// Make it an administrator
        #[arg(long)]
        admin: bool,
    },
}

pub async fn run(command: UsersCommand) -> Result<ExitCode> {
    let UsersCommand::Create { place, username, email, admin } = command;
    let offline = &Offline::open(&place).await?;
    let account = &new_account(offline, &username, &email, admin).await?;
    let inserted = offline.db.write(|tx| async move {
        accounts::insert(&tx, DEFAULT_TENANT, account).await?;
        let change = AdminChange {
            action: "create",
            object_type: "user",
            object: account.id.to_string(),
            before: None,
            after: Some(json!({ "username": account.username, "roles": account.roles })),
        };
        let event = offline.event(Kind::Admin(change));
        tx.emit(portcullis_events::Event { actor: Actor::Operator, ..event }).await?;
        Ok::<_, DbError>(())
    });
    match inserted.await {
        Ok(()) => say(&format!("{} is {}", account.username, account.id)),
        Err(error) if error.constraint().is_some() => {
            bail!("the user name or the e-mail address is taken")
        }
        Err(error) => return Err(error.into()),
    }
    Ok(ExitCode::SUCCESS)
}

async fn new_account(
    offline: &Offline,
    username: &str,
    email: &str,
    admin: bool,
) -> Result<Account> {
    let name: Username = username.parse().context("the user name")?;
    let email: Email = email.parse().context("the e-mail address")?;
    let mut password = String::new();
    std::io::stdin().take(MAX_PASSWORD_BYTES).read_to_string(&mut password)?;
    let password = Secret::new(password.trim_end_matches(['\r', '\n']).to_owned());
    let context = [name.as_str(), email.as_str()];
    PasswordRules::default().check(password.expose(), &context).context("the password")?;
    let passwords = &offline.config.passwords;
    let parameters = HashParameters {
        memory_kib: passwords.memory_kib,
        passes: passwords.passes,
        concurrency: 1,
    };
    let hasher = Hasher::new(parameters, Arc::clone(&offline.entropy))?;
    let now = offline.clock.now();
    Ok(Account {
        id: Id::new(now, &*offline.entropy),
        display_name: name.to_string(),
        username: name.to_string(),
        email: email.to_string(),
        password_hash: hasher.hash(&password).await?,
        roles: if admin { "admin".into() } else { String::new() },
        disabled_at: None,
        flagged_at: None,
        flag_reason: None,
        created_at: now.micros(),
        updated_at: now.micros(),
    })
}
