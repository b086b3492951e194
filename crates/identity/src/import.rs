//! Accounts that come from another system.

use portcullis_events::{Actor, AdminChange, Event, Kind, Outcome};
use portcullis_store::{
    Db, DbError, Tx,
    accounts::{self, Account},
    groups::{self, Group},
    imports::{self, Progress},
};
use portcullis_types::{Id, SharedEntropy, Timestamp};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::{
    Email, FieldError, IdentityError, Username, check_password_hash,
    groups::MAX_GROUPS,
    profile::{checked_display_name, checked_roles},
    registration::problem,
};

/// Records that become accounts, or do not, in one transaction.
pub const IMPORT_BATCH: usize = 200;

/// A record of the file. Its address counts as proven by whoever imports it, unless it says that
/// it is not.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ImportRecord {
    /// The user name.
    pub username: String,
    /// The e-mail address.
    pub email: String,
    /// Whether the other system had it proven.
    pub email_verified: Option<bool>,
    /// What to call the person; the user name if left out.
    pub display_name: Option<String>,
    /// A hash in one of the known formats; left out for an account without a password.
    pub password_hash: Option<String>,
    /// Roles.
    pub roles: Vec<String>,
    /// Names of groups, which are made if they are not there.
    pub groups: Vec<String>,
    /// The language the person reads.
    pub locale: Option<String>,
    /// Whether the account is disabled.
    pub disabled: bool,
}

/// What of the file goes wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// The line it begins at.
    pub line: u64,
    /// What is wrong.
    pub problems: Vec<FieldError>,
}

/// Imports into one tenant, from the command line.
pub struct Importer<'a> {
    /// The tenant.
    pub tenant: &'a str,
    /// The database.
    pub db: &'a Db,
    /// Randomness.
    pub entropy: &'a SharedEntropy,
    /// SHA-256 of the file, hexadecimal: an import is the import of one file.
    pub digest: &'a str,
}

impl Importer<'_> {
    /// How far an earlier run came.
    pub async fn progress(&self) -> Result<Progress, DbError> {
        imports::progress(self.db, self.tenant, self.digest).await
    }

    /// Imports one batch, of which `lines` are the numbers; what cannot be read has its problem
    /// already. The batch and the progress commit together.
    pub async fn batch(
        &self,
        records: &[(u64, Result<ImportRecord, FieldError>)],
        before: &Progress,
        now: Timestamp,
    ) -> Result<(Progress, Vec<Refusal>), IdentityError> {
        self.db
            .write(|tx| async move {
                let (mut refusals, mut made) = (Vec::new(), Vec::new());
                for (line, record) in records {
                    let imported = match record {
                        Ok(record) => self.one(&tx, record, now).await?,
                        Err(problem) => Err(vec![problem.clone()]),
                    };
                    match imported {
                        Ok(account) => made.push(json!({
                            "id": account.id.to_string(),
                            "roles": account.roles,
                            "groups": record.as_ref().map_or(&[][..], |record| &record.groups),
                        })),
                        Err(problems) => refusals.push(Refusal { line: *line, problems }),
                    }
                }
                let count = |n: usize| i64::try_from(n).unwrap_or(i64::MAX);
                let after = Progress {
                    lines: before.lines + count(records.len()),
                    imported: before.imported + count(made.len()),
                    refused: before.refused + count(refusals.len()),
                };
                imports::put(&tx, self.tenant, self.digest, &after, now).await?;
                if !made.is_empty() {
                    tx.emit(self.event(&made, now)).await?;
                }
                Ok((after, refusals))
            })
            .await
    }

    /// Makes one account, unless something about it is wrong.
    async fn one(
        &self,
        tx: &Tx,
        record: &ImportRecord,
        now: Timestamp,
    ) -> Result<Result<Account, Vec<FieldError>>, IdentityError> {
        let account = match self.read(record, now) {
            Ok(account) => account,
            Err(problems) => return Ok(Err(problems)),
        };
        let mut problems = Vec::new();
        if accounts::by_username(tx, self.tenant, &account.username).await?.is_some() {
            problems.push(wrong("username", "is taken"));
        }
        if accounts::by_email(tx, self.tenant, &account.email).await?.is_some() {
            problems.push(wrong("email", "is taken"));
        }
        if !problems.is_empty() {
            return Ok(Err(problems));
        }
        accounts::insert(tx, self.tenant, &account).await?;
        for name in &record.groups {
            let group = self.group(tx, name, now).await?;
            groups::add(tx, self.tenant, group.id, account.id, now).await?;
        }
        Ok(Ok(account))
    }

    fn read(&self, record: &ImportRecord, now: Timestamp) -> Result<Account, Vec<FieldError>> {
        let mut problems = Vec::new();
        let username = record.username.parse::<Username>();
        let username = username.map_err(|error| problems.push(problem("username", &error)));
        let email = record.email.parse::<Email>();
        let email = email.map_err(|error| problems.push(problem("email", &error)));
        if record.email_verified == Some(false) {
            problems.push(wrong("email_verified", "must be true: accounts have proven addresses"));
        }
        let hash = record.password_hash.as_deref().unwrap_or_default();
        if !hash.is_empty()
            && let Err(error) = check_password_hash(hash)
        {
            problems.push(problem("password_hash", &error));
        }
        let mut field = |result: Result<String, IdentityError>| match result {
            Ok(text) => text,
            Err(IdentityError::Invalid(own)) => {
                problems.extend(own);
                String::new()
            }
            Err(_) => String::new(),
        };
        let roles = field(checked_roles(&record.roles));
        let named = record.display_name.as_deref().filter(|name| !name.is_empty());
        let display_name = field(checked_display_name(named.unwrap_or(&record.username)));
        let is_group = |name: &String| {
            let clean = portcullis_events::clean(name) == *name && name.trim() == name;
            clean && (1..=64).contains(&name.chars().count())
        };
        if record.groups.len() > MAX_GROUPS || !record.groups.iter().all(is_group) {
            problems.push(wrong("groups", "must be at most 100 names of 1 to 64 characters"));
        }
        match (username, email) {
            (Ok(username), Ok(email)) if problems.is_empty() => Ok(Account {
                password_hash: hash.to_owned(),
                roles,
                display_name,
                locale: record.locale.clone().filter(|l| is_language(l)).unwrap_or_default(),
                disabled_at: record.disabled.then_some(now.micros()),
                ..Account::new(
                    Id::new(now, &**self.entropy),
                    username.as_str(),
                    email.as_str(),
                    now,
                )
            }),
            _ => Err(problems),
        }
    }

    async fn group(&self, tx: &Tx, name: &str, now: Timestamp) -> Result<Group, DbError> {
        if let Some(known) = groups::by_name(tx, self.tenant, name).await? {
            return Ok(known);
        }
        let group = Group {
            id: Id::new(now, &**self.entropy),
            name: name.to_owned(),
            description: String::new(),
            roles: String::new(),
            created_at: now,
            updated_at: now,
        };
        groups::insert(tx, self.tenant, &group).await?;
        let change = AdminChange {
            action: "create",
            object_type: "group",
            object: group.id.to_string(),
            before: None,
            after: Some(json!({ "name": group.name, "roles": group.roles })),
        };
        let id = Id::new(now, &**self.entropy);
        let kind = Kind::Admin(change);
        tx.emit(Event::new(id, now, None, Actor::Operator, Outcome::Success, kind)).await?;
        Ok(group)
    }

    fn event(&self, accounts: &[Value], now: Timestamp) -> Event {
        let change = AdminChange {
            action: "import",
            object_type: "users",
            object: self.digest.to_owned(),
            before: None,
            after: Some(json!({ "accounts": accounts })),
        };
        let id = Id::new(now, &**self.entropy);
        Event::new(id, now, None, Actor::Operator, Outcome::Success, Kind::Admin(change))
    }
}

fn wrong(field: &'static str, message: &str) -> FieldError {
    FieldError { field, message: message.to_owned() }
}

/// `de`, `pt-BR`: what a browser would send.
fn is_language(text: &str) -> bool {
    (2..=16).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
}
