//! Invitations: an administrator names an address, and whoever reads its mail gets the account.

use std::time::Duration;

use portcullis_events::{Actor, AdminChange, Event, Kind, Origin, Outcome};
use portcullis_store::{
    Tx,
    accounts::{self, Account},
    groups,
    invitations::{self, Invitation},
};
use portcullis_texts::tf;
use portcullis_types::{Id, Secret, tags};
use serde_json::{Value, json};

use crate::{
    Browser, Email, FieldError, Identity, IdentityError, LoggedIn, Mail, Method, Methods, Username,
    api_keys::label,
    groups::MAX_GROUPS,
    link::{fresh, hash_of},
    profile::checked_roles,
    profile::taken,
    registration::problem,
    service::actor,
};

/// An invitation can be accepted for this long.
pub const INVITATION_LIFETIME: Duration = Duration::from_secs(7 * 24 * 3600);

/// An account to be.
#[derive(Debug, Clone)]
pub struct NewInvitation {
    /// The address.
    pub email: String,
    /// Its roles.
    pub roles: Vec<String>,
    /// Its groups.
    pub groups: Vec<Id<tags::Group>>,
}

/// What whoever accepts an invitation chooses.
#[derive(Debug, Clone)]
pub struct Acceptance {
    /// The user name.
    pub username: String,
    /// The password; empty for an account without one.
    pub password: Secret<String>,
}

impl Identity {
    /// Sends an invitation. What was sent to the address before is void.
    pub async fn invite(
        &self,
        new: &NewInvitation,
        by: &Actor,
        origin: &Origin,
    ) -> Result<Invitation, IdentityError> {
        let email = &new.email.parse::<Email>().map_err(|e| IdentityError::field("email", e))?;
        let roles = checked_roles(&new.roles)?;
        if new.groups.len() > MAX_GROUPS {
            return Err(IdentityError::field("groups", "an account is in at most 100 groups"));
        }
        let now = self.now();
        let ids: Vec<String> = new.groups.iter().map(Id::to_string).collect();
        let invitation = &Invitation {
            id: Id::new(now, &*self.entropy),
            email: email.to_string(),
            roles,
            group_ids: ids.join(" "),
            invited_by: label(by),
            created_at: now,
            expires_at: now.plus(INVITATION_LIFETIME),
            consumed_at: None,
        };
        let (token, hash) = &fresh(&*self.entropy);
        self.db
            .write(|tx| async move {
                if accounts::by_email(&tx, &self.tenant, email.as_str()).await?.is_some() {
                    return Err(IdentityError::field("email", "has an account already"));
                }
                for group in &new.groups {
                    if groups::by_id(&tx, &self.tenant, *group).await?.is_none() {
                        return Err(IdentityError::field("groups", "contains no group of ours"));
                    }
                }
                invitations::withdraw_others(&tx, &self.tenant, email.as_str()).await?;
                invitations::insert(&tx, &self.tenant, hash, invitation).await?;
                let mail = invited(email, &self.site_name(), &self.link("invitation", token));
                mail.queue(&tx, &self.tenant, &self.sealer, &self.entropy, now).await?;
                tx.emit(self.invitation_event("create", invitation, by, origin)).await?;
                Ok(invitation.clone())
            })
            .await
    }

    /// Withdraws an invitation that nobody has accepted.
    pub async fn withdraw_invitation(
        &self,
        id: Id<tags::Invitation>,
        by: &Actor,
        origin: &Origin,
    ) -> Result<(), IdentityError> {
        self.db
            .write(|tx| async move {
                let gone = invitations::withdraw(&tx, &self.tenant, id).await?;
                let gone = gone.ok_or(IdentityError::NotFound)?;
                tx.emit(self.invitation_event("revoke", &gone, by, origin)).await?;
                Ok(())
            })
            .await
    }

    pub(crate) async fn withdraw_invitations_of(
        &self,
        tx: &Tx,
        username: &str,
        by: &Actor,
        origin: &Origin,
    ) -> Result<(), IdentityError> {
        for gone in invitations::withdraw_of(tx, &self.tenant, username).await? {
            tx.emit(self.invitation_event("revoke", &gone, by, origin)).await?;
        }
        Ok(())
    }

    /// The address an invitation was sent to, for the page that asks for name and password.
    pub async fn invited_address(&self, token: &str) -> Result<String, IdentityError> {
        let hash = hash_of(token);
        let found = invitations::live(&self.db, &self.tenant, &hash, self.now()).await?;
        Ok(found.ok_or(IdentityError::Link)?.email)
    }

    /// Makes the account that an invitation is for, and logs its owner in: the link proves the
    /// address as a login by mail would.
    pub async fn accept_invitation(
        &self,
        token: &str,
        acceptance: &Acceptance,
        browser: Browser<'_>,
        origin: &Origin,
    ) -> Result<LoggedIn, IdentityError> {
        let hash = &hash_of(token);
        let now = self.now();
        let email = self.invited_address(token).await?;
        let username = &self.checked(acceptance, &email).await?;
        let password_hash = &match acceptance.password.expose().is_empty() {
            true => String::new(),
            false => self.hasher.hash(&acceptance.password).await?,
        };
        let accepted = self.db.write(|tx| async move {
            let invitation = invitations::live(&tx, &self.tenant, hash, now).await?;
            let invitation = invitation.ok_or(IdentityError::Link)?;
            if !invitations::consume(&tx, &self.tenant, hash, now).await? {
                return Err(IdentityError::Link);
            }
            let id = Id::new(now, &*self.entropy);
            let account = Account {
                password_hash: password_hash.clone(),
                roles: invitation.roles.clone(),
                locale: portcullis_texts::current().tag().to_owned(),
                ..Account::new(id, username.as_str(), &invitation.email, now)
            };
            accounts::insert(&tx, &self.tenant, &account).await?;
            for group in invitation.group_ids.split(' ').filter_map(|id| id.parse().ok()) {
                // It may have been removed meanwhile.
                if groups::by_id(&tx, &self.tenant, group).await?.is_some() {
                    self.add_to_group(&tx, group, &account, now).await?;
                }
            }
            let user = actor(&account);
            tx.emit(self.changed(origin, "invitation_accepted", user.clone(), user)).await?;
            let methods = Methods::one(Method::Mail);
            self.enter(&tx, &account, &methods, Method::Mail, browser, origin).await
        });
        let entered = accepted.await.map_err(taken)?;
        self.leave_other(&entered, browser, origin).await?;
        Ok(entered)
    }

    async fn checked(
        &self,
        acceptance: &Acceptance,
        email: &str,
    ) -> Result<Username, IdentityError> {
        let mut problems: Vec<FieldError> = Vec::new();
        let username = Username::for_registration(&acceptance.username)
            .map_err(|error| problems.push(problem("username", &error)));
        if !acceptance.password.expose().is_empty() {
            let context = [acceptance.username.as_str(), email];
            if let Err(error) = self.check_rules(&acceptance.password, &context).await? {
                problems.push(problem("password", &error));
            }
        }
        match username {
            Ok(username) if problems.is_empty() => Ok(username),
            _ => Err(IdentityError::Invalid(problems)),
        }
    }

    fn invitation_event(
        &self,
        action: &'static str,
        invitation: &Invitation,
        by: &Actor,
        origin: &Origin,
    ) -> Event {
        let after = (action == "create").then(|| visible(invitation));
        let change = AdminChange {
            action,
            object_type: "invitation",
            object: invitation.id.to_string(),
            before: (action != "create").then(|| visible(invitation)),
            after,
        };
        self.event(origin, by.clone(), Outcome::Success, Kind::Admin(change))
    }
}

/// The address is personal and stays out of the record until it has an account.
fn visible(invitation: &Invitation) -> Value {
    json!({ "roles": invitation.roles, "groups": invitation.group_ids })
}

fn invited(email: &Email, site: &str, link: &str) -> Mail {
    Mail {
        to: email.to_string(),
        subject: tf("You are invited to {0}", &[site]),
        text: tf(
            "You are invited to make an account at {0}. Follow this link within seven days; it \
             works once:\n\n{1}\n\nIf you did not expect it, ignore this mail.\n",
            &[site, link],
        ),
    }
}
