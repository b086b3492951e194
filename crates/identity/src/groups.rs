//! Groups, the roles they bring, and who is in them.

use std::collections::BTreeSet;

use portcullis_cluster::Place;
use portcullis_events::{Actor, AdminChange, Event, Kind, Origin, Outcome, clean};
use portcullis_store::{
    DbError, Source, Tx,
    accounts::Account,
    grants::{self, Revocation},
    groups::{self, Group},
};
use portcullis_types::{Id, Timestamp, tags};
use serde_json::{Value, json};

use crate::{Identity, IdentityError, profile::checked_roles, status};

/// A name is at most this long.
const MAX_NAME_CHARS: usize = 64;
const MAX_DESCRIPTION_CHARS: usize = 300;
/// An account is in at most this many groups: they have to fit into a token.
pub const MAX_GROUPS: usize = 100;
/// The access tokens of so many members follow a change of their group at once. In a larger group
/// the others follow when they expire: a change must stay one short transaction.
const MAX_VOIDED_MEMBERS: i64 = 1_000;

/// A group as an administrator describes it.
#[derive(Debug, Clone)]
pub struct GroupSpec {
    /// Its name, as tokens have it.
    pub name: String,
    /// What it is for.
    pub description: String,
    /// Roles of its members.
    pub roles: Vec<String>,
}

/// What an account is to services: its groups, and its roles with those of its groups.
#[derive(Debug, Clone, Default)]
pub struct Memberships {
    /// Names of the groups, sorted.
    pub groups: Vec<String>,
    /// The roles, sorted.
    pub roles: BTreeSet<String>,
}

impl Identity {
    /// The groups and roles of an account now.
    pub async fn memberships(
        &self,
        source: impl Source,
        account: &Account,
    ) -> Result<Memberships, DbError> {
        let groups = groups::of_account(source, &self.tenant, account.id).await?;
        let brought = groups.iter().flat_map(|group| words(&group.roles));
        let roles = words(&account.roles).chain(brought).map(str::to_owned).collect();
        Ok(Memberships { roles, groups: groups.into_iter().map(|group| group.name).collect() })
    }

    /// Makes a group.
    pub async fn create_group(
        &self,
        spec: &GroupSpec,
        by: &Actor,
        origin: &Origin,
    ) -> Result<Group, IdentityError> {
        let now = self.now();
        let group =
            &Group { id: Id::new(now, &*self.entropy), created_at: now, ..checked(spec, now)? };
        let made = self.db.write(|tx| async move {
            groups::insert(&tx, &self.tenant, group).await?;
            tx.emit(self.group_event("create", (None, Some(group)), by, origin)).await?;
            Ok(group.clone())
        });
        made.await.map_err(name_taken)
    }

    /// Changes a group. Tokens of its members follow at once if its roles change, or its name.
    pub async fn update_group(
        &self,
        id: Id<tags::Group>,
        spec: &GroupSpec,
        by: &Actor,
        origin: &Origin,
    ) -> Result<Group, IdentityError> {
        let now = self.now();
        let wanted = &checked(spec, now)?;
        let changed = self.db.write(|tx| async move {
            let before = self.stored_group(&tx, id).await?;
            let after = Group { id, created_at: before.created_at, ..wanted.clone() };
            groups::update(&tx, &self.tenant, &after).await?;
            let told = (&before.name, &before.roles) != (&after.name, &after.roles);
            let revoked = if told { self.members_anew(&tx, id, now).await? } else { Vec::new() };
            let change = (Some(&before), Some(&after));
            tx.emit(self.group_event("update", change, by, origin)).await?;
            Ok((after, revoked))
        });
        let (group, revoked) = changed.await.map_err(name_taken)?;
        self.apply(&revoked, now);
        Ok(group)
    }

    /// Removes a group. Its members lose the roles it brought at once.
    pub async fn delete_group(
        &self,
        id: Id<tags::Group>,
        by: &Actor,
        origin: &Origin,
    ) -> Result<(), IdentityError> {
        let now = self.now();
        let revoked = self
            .db
            .write(|tx| async move {
                let before = self.stored_group(&tx, id).await?;
                let revoked = self.members_anew(&tx, id, now).await?;
                groups::delete(&tx, &self.tenant, id).await?;
                tx.emit(self.group_event("delete", (Some(&before), None), by, origin)).await?;
                Ok::<_, IdentityError>(revoked)
            })
            .await?;
        self.apply(&revoked, now);
        Ok(())
    }

    /// Puts an account into a group, or takes it out. Its tokens follow at once.
    pub async fn set_member(
        &self,
        id: Id<tags::Group>,
        account: Id<tags::User>,
        member: bool,
        by: &Actor,
        origin: &Origin,
    ) -> Result<(), IdentityError> {
        let now = self.now();
        let revoked = self
            .db
            .write(|tx| async move {
                let group = self.stored_group(&tx, id).await?;
                let account = self.stored(&tx, account).await?;
                let changed = if member {
                    self.add_to_group(&tx, id, &account, now).await?
                } else {
                    groups::remove(&tx, &self.tenant, id, account.id).await?
                };
                if !changed {
                    return Ok(Vec::new());
                }
                let action = if member { "add_member" } else { "remove_member" };
                tx.emit(self.member_event(action, &group, &account, by, origin)).await?;
                self.tokens_anew(&tx, account.id, now).await
            })
            .await?;
        self.apply(&revoked, now);
        Ok(())
    }

    pub(crate) async fn add_to_group(
        &self,
        tx: &Tx,
        group: Id<tags::Group>,
        account: &Account,
        now: Timestamp,
    ) -> Result<bool, IdentityError> {
        if groups::of_account(tx, &self.tenant, account.id).await?.len() >= MAX_GROUPS {
            return Err(IdentityError::field("groups", "an account is in at most 100 groups"));
        }
        Ok(groups::add(tx, &self.tenant, group, account.id, now).await?)
    }

    pub(crate) async fn stored_group(
        &self,
        tx: &Tx,
        id: Id<tags::Group>,
    ) -> Result<Group, IdentityError> {
        groups::by_id(tx, &self.tenant, id).await?.ok_or(IdentityError::NotFound)
    }

    /// Voids the access tokens of an account, which say what it was; those that its refresh tokens
    /// fetch say what it is. Call [`Identity::apply`] with the result after the commit.
    async fn tokens_anew(
        &self,
        tx: &Tx,
        account: Id<tags::User>,
        now: Timestamp,
    ) -> Result<Vec<Revocation>, IdentityError> {
        let mut revoked = vec![self.as_others(tx, account, now).await?];
        for (grant, epoch) in grants::next_epoch(tx, &self.tenant, account).await? {
            let place = Place::One(status::in_grant(&grant, epoch));
            revoked.push(self.mark(tx, place, now).await?);
        }
        Ok(revoked)
    }

    async fn members_anew(
        &self,
        tx: &Tx,
        group: Id<tags::Group>,
        now: Timestamp,
    ) -> Result<Vec<Revocation>, IdentityError> {
        let members = groups::members(tx, &self.tenant, group, "", MAX_VOIDED_MEMBERS).await?;
        let mut revoked = Vec::new();
        for member in members {
            revoked.extend(self.tokens_anew(tx, member.account_id, now).await?);
        }
        Ok(revoked)
    }

    fn group_event(
        &self,
        action: &'static str,
        (before, after): (Option<&Group>, Option<&Group>),
        by: &Actor,
        origin: &Origin,
    ) -> Event {
        let object = before.or(after).map(|group| group.id.to_string()).unwrap_or_default();
        let (before, after) = (before.map(visible), after.map(visible));
        let change = AdminChange { action, object_type: "group", object, before, after };
        self.event(origin, by.clone(), Outcome::Success, Kind::Admin(change))
    }

    fn member_event(
        &self,
        action: &'static str,
        group: &Group,
        account: &Account,
        by: &Actor,
        origin: &Origin,
    ) -> Event {
        let change = AdminChange {
            action,
            object_type: "group",
            object: group.id.to_string(),
            before: None,
            after: Some(json!({ "group": group.name, "user": account.id.to_string() })),
        };
        self.event(origin, by.clone(), Outcome::Success, Kind::Admin(change))
    }
}

fn visible(group: &Group) -> Value {
    json!({ "name": group.name, "roles": group.roles, "description": group.description })
}

fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(' ').filter(|word| !word.is_empty())
}

/// `admin` opens the administration itself; it is given to accounts, one by one, so that nobody
/// becomes an administrator because a group grew.
fn checked(spec: &GroupSpec, now: Timestamp) -> Result<Group, IdentityError> {
    let is_plain = |text: &str, most: usize| clean(text) == text && text.chars().count() <= most;
    if spec.name.trim() != spec.name
        || spec.name.is_empty()
        || !is_plain(&spec.name, MAX_NAME_CHARS)
    {
        let text = "must be 1 to 64 characters without control characters or spaces at the ends";
        return Err(IdentityError::field("name", text));
    }
    if !is_plain(&spec.description, MAX_DESCRIPTION_CHARS) {
        return Err(IdentityError::field("description", "must be at most 300 plain characters"));
    }
    if spec.roles.iter().any(|role| role == "admin") {
        return Err(IdentityError::field("roles", "must not contain admin"));
    }
    Ok(Group {
        id: Id::from_bits(0),
        name: spec.name.clone(),
        description: spec.description.clone(),
        roles: checked_roles(&spec.roles)?,
        created_at: now,
        updated_at: now,
    })
}

fn name_taken(error: IdentityError) -> IdentityError {
    let IdentityError::Db(db) = &error else { return error };
    match db.constraint() {
        Some(c) if c.is("account_group_name", "account_group.name") => {
            IdentityError::field("name", "is taken")
        }
        _ => error,
    }
}
