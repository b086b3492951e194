use portcullis_events::{Actor, AdminChange, Kind, Origin, Outcome};
use portcullis_store::{
    Tx,
    accounts::{self, Account},
    recovery,
};
use portcullis_texts::Lang;
use portcullis_types::{Id, Secret, tags};
use serde_json::{Value, json};

use crate::{Email, Identity, IdentityError, Username, registration::problem, service::actor};

/// A display name is at most this long.
const MAX_DISPLAY_NAME_CHARS: usize = 100;
/// An account or group has at most this many roles.
const MAX_ROLES: usize = 32;
const MAX_ROLE_CHARS: usize = 64;

/// An account that an administrator makes. Its address counts as proven by the administrator.
#[derive(Debug, Clone)]
pub struct NewAccount {
    /// The user name.
    pub username: String,
    /// The e-mail address.
    pub email: String,
    /// The first password.
    pub password: Secret<String>,
    /// Roles.
    pub roles: Vec<String>,
}

impl Identity {
    /// How the owner of an account is called here, if there is one.
    pub async fn username(&self, account: Id<tags::User>) -> Result<Option<String>, IdentityError> {
        let found = accounts::by_id(&self.db, &self.tenant, account).await?;
        Ok(found.map(|account| account.username))
    }

    /// Changes what a person is called, and what they read.
    pub async fn set_profile(
        &self,
        account: &Account,
        name: &str,
        lang: Option<Lang>,
        origin: &Origin,
    ) -> Result<Account, IdentityError> {
        let name = &checked_display_name(name)?;
        self.db
            .write(|tx| async move {
                let stored = self.stored(&tx, account.id).await?;
                let stored = Account {
                    display_name: name.clone(),
                    locale: lang.map_or(stored.locale, |lang| lang.tag().to_owned()),
                    updated_at: self.now().micros(),
                    ..stored
                };
                accounts::update(&tx, &self.tenant, &stored).await?;
                let user = actor(&stored);
                tx.emit(self.changed(origin, "profile_changed", user.clone(), user)).await?;
                Ok(stored)
            })
            .await
    }

    /// Makes an account on behalf of `by`.
    pub async fn create_account(
        &self,
        new: &NewAccount,
        by: &Actor,
        origin: &Origin,
    ) -> Result<Account, IdentityError> {
        let mut problems = Vec::new();
        let name = new.username.parse::<Username>();
        let name = name.map_err(|error| problems.push(problem("username", &error)));
        let email = new.email.parse::<Email>();
        let email = email.map_err(|error| problems.push(problem("email", &error)));
        let context = [new.username.as_str(), new.email.as_str()];
        if let Err(error) = self.check_rules(&new.password, &context).await? {
            problems.push(problem("password", &error));
        }
        let roles = checked_roles(&new.roles)?;
        let (Ok(username), Ok(email), true) = (name, email, problems.is_empty()) else {
            return Err(IdentityError::Invalid(problems));
        };
        let now = self.now();
        let id = Id::new(now, &*self.entropy);
        let account = &Account {
            password_hash: self.hasher.hash(&new.password).await?,
            roles,
            ..Account::new(id, username.as_str(), email.as_str(), now)
        };
        let inserted = self
            .db
            .write(|tx| async move {
                accounts::insert(&tx, &self.tenant, account).await?;
                tx.emit(self.administered(origin, by, "create", None, Some(account))).await?;
                Ok::<_, IdentityError>(())
            })
            .await;
        inserted.map_err(taken)?;
        Ok(account.clone())
    }

    /// Disables an account at once: sessions end, tokens are void. Or enables it again.
    pub async fn set_disabled(
        &self,
        id: Id<tags::User>,
        disabled: bool,
        by: &Actor,
        origin: &Origin,
    ) -> Result<Account, IdentityError> {
        let now = self.now();
        let (account, revoked) = self
            .db
            .write(|tx| async move {
                let before = self.stored(&tx, id).await?;
                let after = Account {
                    disabled_at: disabled.then_some(now.micros()),
                    updated_at: now.micros(),
                    ..before.clone()
                };
                accounts::update(&tx, &self.tenant, &after).await?;
                self.after_admin(&tx, &before, by, origin).await?;
                let revoked = if disabled {
                    recovery::void_all_of(&tx, &self.tenant, id, now).await?;
                    self.end_everything(&tx, id, None, "account_disabled", now).await?
                } else {
                    Vec::new()
                };
                let action = if disabled { "disable" } else { "enable" };
                tx.emit(self.administered(origin, by, action, Some(&before), Some(&after))).await?;
                Ok::<_, IdentityError>((after, revoked))
            })
            .await?;
        self.apply(&revoked, now);
        Ok(account)
    }

    /// Gives an account other roles.
    pub async fn set_roles(
        &self,
        id: Id<tags::User>,
        roles: &[String],
        by: &Actor,
        origin: &Origin,
    ) -> Result<Account, IdentityError> {
        let roles = &checked_roles(roles)?;
        let now = self.now();
        let (account, revoked) = self
            .db
            .write(|tx| async move {
                let before = self.stored(&tx, id).await?;
                let after =
                    Account { roles: roles.clone(), updated_at: now.micros(), ..before.clone() };
                accounts::update(&tx, &self.tenant, &after).await?;
                self.after_admin(&tx, &before, by, origin).await?;
                // Tokens carry scopes that the old roles allowed.
                let revoked = self.end_everything(&tx, id, None, "roles_changed", now).await?;
                tx.emit(self.administered(origin, by, "update", Some(&before), Some(&after)))
                    .await?;
                Ok::<_, IdentityError>((after, revoked))
            })
            .await?;
        self.apply(&revoked, now);
        Ok(account)
    }

    /// Takes the flag off an account after review.
    pub async fn clear_flag(
        &self,
        id: Id<tags::User>,
        by: &Actor,
        origin: &Origin,
    ) -> Result<Account, IdentityError> {
        self.db
            .write(|tx| async move {
                let before = self.stored(&tx, id).await?;
                let after = Account {
                    flagged_at: None,
                    flag_reason: None,
                    step_up_until: None,
                    ..before.clone()
                };
                accounts::update(&tx, &self.tenant, &after).await?;
                tx.emit(self.administered(origin, by, "update", Some(&before), Some(&after)))
                    .await?;
                self.close_case_of(&tx, id, by, origin).await?;
                Ok(after)
            })
            .await
    }

    /// Removes an account with everything that hangs on it.
    pub async fn delete_account(
        &self,
        id: Id<tags::User>,
        by: &Actor,
        origin: &Origin,
    ) -> Result<(), IdentityError> {
        let now = self.now();
        let revoked = self
            .db
            .write(|tx| async move {
                let before = self.stored(&tx, id).await?;
                let revoked = self.end_everything(&tx, id, None, "account_deleted", now).await?;
                self.erasure_is_done(&tx, id, origin).await?;
                accounts::delete(&tx, &self.tenant, id).await?;
                self.after_admin(&tx, &before, by, origin).await?;
                tx.emit(self.administered(origin, by, "delete", Some(&before), None)).await?;
                Ok::<_, IdentityError>(revoked)
            })
            .await?;
        self.log_keys.forget(&id.to_string());
        self.db.overwrite_remnants().await;
        self.apply(&revoked, now);
        Ok(())
    }

    pub(crate) async fn stored(
        &self,
        tx: &Tx,
        id: Id<tags::User>,
    ) -> Result<Account, IdentityError> {
        accounts::by_id(tx, &self.tenant, id).await?.ok_or(IdentityError::NotFound)
    }

    /// Whoever takes an administrator away must leave another; and what the one who went has
    /// promised to others is no promise any more.
    pub(crate) async fn after_admin(
        &self,
        tx: &Tx,
        before: &Account,
        by: &Actor,
        origin: &Origin,
    ) -> Result<(), IdentityError> {
        let is_admin = |a: &Account| a.has_role("admin") && a.disabled_at.is_none();
        if !is_admin(before) {
            return Ok(());
        }
        if !accounts::has_admin(tx, &self.tenant).await? {
            return Err(IdentityError::LastAdmin);
        }
        let now = accounts::by_id(tx, &self.tenant, before.id).await?;
        if now.as_ref().is_none_or(|account| !is_admin(account)) {
            self.withdraw_invitations_of(tx, &before.username, by, origin).await?;
        }
        Ok(())
    }

    fn administered(
        &self,
        origin: &Origin,
        by: &Actor,
        action: &'static str,
        before: Option<&Account>,
        after: Option<&Account>,
    ) -> portcullis_events::Event {
        let object = before.or(after).map(|account| account.id.to_string()).unwrap_or_default();
        let change = AdminChange {
            action,
            object_type: "user",
            object,
            before: before.map(visible),
            after: after.map(visible),
        };
        self.event(origin, by.clone(), Outcome::Success, Kind::Admin(change))
    }
}

/// What of an account may be written down.
fn visible(account: &Account) -> Value {
    // Its name is its own to be forgotten, not whoever's changed it; the id is enough.
    json!({
        "roles": account.roles,
        "disabled": account.disabled_at.is_some(),
        "flagged": account.flagged_at.is_some(),
    })
}

pub(crate) fn taken(error: IdentityError) -> IdentityError {
    let IdentityError::Db(db) = &error else {
        return error;
    };
    match db.constraint() {
        Some(c) if c.is("account_username", "account.username") => {
            IdentityError::field("username", "is taken")
        }
        Some(c) if c.is("account_email", "account.email") => {
            IdentityError::field("email", "is taken")
        }
        _ => error,
    }
}

/// Names that services know. `admin` is the one that Portcullis itself knows.
pub(crate) fn checked_roles(roles: &[String]) -> Result<String, IdentityError> {
    let is_name = |role: &String| {
        let letters = role
            .bytes()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"._:-".contains(&b));
        letters && (1..=MAX_ROLE_CHARS).contains(&role.len())
    };
    if roles.len() > MAX_ROLES || !roles.iter().all(is_name) {
        let text = "must be at most 32 names of 1 to 64 lower-case letters, digits, and . _ : -";
        return Err(IdentityError::field("roles", text));
    }
    let unique: std::collections::BTreeSet<&str> = roles.iter().map(String::as_str).collect();
    Ok(unique.into_iter().collect::<Vec<_>>().join(" "))
}

pub(crate) fn checked_display_name(name: &str) -> Result<String, IdentityError> {
    let name = name.trim();
    let clean = portcullis_events::clean(name) == name;
    if name.is_empty() || name.chars().count() > MAX_DISPLAY_NAME_CHARS || !clean {
        let text = "must be 1 to 100 characters without control or direction characters";
        return Err(IdentityError::field("display_name", text));
    }
    Ok(name.to_owned())
}
