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
    commands::{
        Offline,
        import::{self, Import},
        say,
    },
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
    /// Import accounts from CSV or JSON lines, with bcrypt, scrypt, PBKDF2 or argon2 hashes; run it
    /// again to go on where it was stopped
    Import(Import),
}

pub async fn run(command: UsersCommand) -> Result<ExitCode> {
    let (place, username, email, admin) = match command {
        UsersCommand::Import(import) => return import::run(import).await,
        UsersCommand::Create { place, username, email, admin } => (place, username, email, admin),
    };
    let offline = &Offline::open_to_change(&place).await?;
    let account = &new_account(offline, &username, &email, admin).await?;
    let inserted = offline.db.write(|tx| async move {
        accounts::insert(&tx, DEFAULT_TENANT, account).await?;
        let change = AdminChange {
            action: "create",
            object_type: "user",
            object: account.id.to_string(),
            before: None,
            // A name in the clear would outlive the account.
            after: Some(json!({ "roles": account.roles })),
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
    let id = Id::new(now, &*offline.entropy);
    Ok(Account {
        password_hash: hasher.hash(&password).await?,
        roles: if admin { "admin".into() } else { String::new() },
        ..Account::new(id, name.as_str(), email.as_str(), now)
    })
}
