//! Groups of accounts, and the roles that they bring.

use portcullis_types::{Id, Timestamp, tags};

use crate::db::{DbError, Tx};
use crate::query::{Query, Source, sql};

/// A row of `account_group`.
#[derive(Debug, Clone, sqlx::FromRow)]
pub struct Group {
    /// The group.
    #[sqlx(try_from = "String")]
    pub id: Id<tags::Group>,
    /// Its name, as tokens have it.
    pub name: String,
    /// What it is for.
    pub description: String,
    /// Roles of its members, separated by spaces.
    pub roles: String,
    /// When it began.
    #[sqlx(try_from = "i64")]
    pub created_at: Timestamp,
    /// When it last changed.
    #[sqlx(try_from = "i64")]
    pub updated_at: Timestamp,
}

/// A member of a group.
#[derive(Debug, Clone, sqlx::FromRow)]
pub struct Member {
    /// The account.
    #[sqlx(try_from = "String")]
    pub account_id: Id<tags::User>,
    /// Its user name.
    pub username: String,
    /// When it was added.
    #[sqlx(try_from = "i64")]
    pub added_at: Timestamp,
}

macro_rules! select {
    ($rest:literal) => {
        concat!(
            "SELECT id, name, description, roles, created_at, updated_at FROM account_group \
             WHERE tenant = $1 ",
            $rest
        )
    };
}

/// Adds a group. Fails on the constraint `account_group_name`.
pub async fn insert(tx: &Tx, tenant: &str, group: &Group) -> Result<(), DbError> {
    sql(
        "INSERT INTO account_group (tenant, id, name, description, roles, created_at, updated_at) \
         VALUES ($1, $2, $3, $4, $5, $6, $7)",
    )
    .bind(tenant)
    .bind(group.id)
    .bind(&group.name)
    .bind(&group.description)
    .bind(&group.roles)
    .bind(group.created_at)
    .bind(group.updated_at)
    .execute(tx)
    .await?;
    Ok(())
}

/// Writes back what can change. Fails on the constraint `account_group_name`.
pub async fn update(tx: &Tx, tenant: &str, group: &Group) -> Result<(), DbError> {
    sql("UPDATE account_group SET name = $3, description = $4, roles = $5, updated_at = $6 \
         WHERE tenant = $1 AND id = $2")
    .bind(tenant)
    .bind(group.id)
    .bind(&group.name)
    .bind(&group.description)
    .bind(&group.roles)
    .bind(group.updated_at)
    .execute(tx)
    .await?;
    Ok(())
}

/// Removes a group; its members stay.
pub async fn delete(tx: &Tx, tenant: &str, id: Id<tags::Group>) -> Result<(), DbError> {
    sql("DELETE FROM account_group WHERE tenant = $1 AND id = $2")
        .bind(tenant)
        .bind(id)
        .execute(tx)
        .await?;
    Ok(())
}

/// The group with this id.
pub async fn by_id(
    source: impl Source,
    tenant: &str,
    id: Id<tags::Group>,
) -> Result<Option<Group>, DbError> {
    sql(select!("AND id = $2")).bind(tenant).bind(id).optional(source).await
}

/// The group of this name.
pub async fn by_name(
    source: impl Source,
    tenant: &str,
    name: &str,
) -> Result<Option<Group>, DbError> {
    sql(select!("AND name = $2")).bind(tenant).bind(name).optional(source).await
}

/// A page of groups after the id `after`, in order of id.
pub async fn page(
    source: impl Source,
    tenant: &str,
    after: &str,
    limit: i64,
) -> Result<Vec<Group>, DbError> {
    let query = sql(select!("AND id > $2 ORDER BY id LIMIT $3"));
    query.bind(tenant).bind(after).bind(limit).all(source).await
}

/// The groups of an account, by name.
pub async fn of_account(
    source: impl Source,
    tenant: &str,
    account: Id<tags::User>,
) -> Result<Vec<Group>, DbError> {
    let mut groups: Vec<Group> = of_account_query(tenant, account).all(source).await?;
    // An ORDER BY makes SQLite walk all groups in the order of their names instead.
    groups.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(groups)
}

/// The CROSS JOIN keeps SQLite to this order: memberships first, which are few.
pub(crate) fn of_account_query(tenant: &str, account: Id<tags::User>) -> Query {
    sql("SELECT g.id AS id, g.name AS name, g.description AS description, g.roles AS roles, \
         g.created_at AS created_at, g.updated_at AS updated_at \
         FROM group_member m CROSS JOIN account_group g \
         WHERE m.tenant = $1 AND m.account_id = $2 AND g.tenant = m.tenant AND g.id = m.group_id")
    .bind(tenant)
    .bind(account)
}

/// Adds an account to a group; `false` if it is in it.
pub async fn add(
    tx: &Tx,
    tenant: &str,
    group: Id<tags::Group>,
    account: Id<tags::User>,
    now: Timestamp,
) -> Result<bool, DbError> {
    let added = sql("INSERT INTO group_member (tenant, group_id, account_id, added_at) \
                     VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING")
    .bind(tenant)
    .bind(group)
    .bind(account)
    .bind(now)
    .execute(tx)
    .await?;
    Ok(added == 1)
}

/// Takes an account out of a group; `false` if it was not in it.
pub async fn remove(
    tx: &Tx,
    tenant: &str,
    group: Id<tags::Group>,
    account: Id<tags::User>,
) -> Result<bool, DbError> {
    let removed =
        sql("DELETE FROM group_member WHERE tenant = $1 AND group_id = $2 AND account_id = $3")
            .bind(tenant)
            .bind(group)
            .bind(account)
            .execute(tx)
            .await?;
    Ok(removed == 1)
}

/// A page of the members of a group after the account `after`.
pub async fn members(
    source: impl Source,
    tenant: &str,
    group: Id<tags::Group>,
    after: &str,
    limit: i64,
) -> Result<Vec<Member>, DbError> {
    members_query(tenant, group, after, limit).all(source).await
}

pub(crate) fn members_query(
    tenant: &str,
    group: Id<tags::Group>,
    after: &str,
    limit: i64,
) -> Query {
    sql("SELECT m.account_id AS account_id, a.username AS username, m.added_at AS added_at \
         FROM group_member m JOIN account a ON a.tenant = m.tenant AND a.id = m.account_id \
         WHERE m.tenant = $1 AND m.group_id = $2 AND m.account_id > $3 \
         ORDER BY m.account_id LIMIT $4")
    .bind(tenant)
    .bind(group)
    .bind(after)
    .bind(limit)
}
