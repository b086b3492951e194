//! Who has which role, by themselves or as a member of a group.

use crate::{
    db::DbError,
    query::{Query, Source, sql},
};

/// Roles that somebody has from one source.
#[derive(Debug, Clone, PartialEq, Eq, sqlx::FromRow)]
pub struct RoleHolder {
    /// The account.
    pub account_id: String,
    /// What it is called.
    pub username: String,
    /// When it was disabled, if it is.
    pub disabled_at: Option<i64>,
    /// The roles, separated by spaces.
    pub roles: String,
    /// The group that gives them; empty if they are the account's own.
    pub group_id: String,
    /// What it is called.
    pub group_name: String,
}

/// A page of holders after an account and group, in their order; with `role` only those who have it.
pub async fn holders(
    source: impl Source,
    tenant: &str,
    role: &str,
    after: (&str, &str),
    limit: i64,
) -> Result<Vec<RoleHolder>, DbError> {
    holders_query(tenant, role, after, limit).all(source).await
}

pub(crate) fn holders_query(
    tenant: &str,
    role: &str,
    (account, group): (&str, &str),
    limit: i64,
) -> Query {
    sql("SELECT account_id, username, disabled_at, roles, group_id, group_name FROM ( \
         SELECT a.id AS account_id, a.username AS username, a.disabled_at AS disabled_at, \
         a.roles AS roles, '' AS group_id, '' AS group_name \
         FROM account a WHERE a.tenant = $1 AND a.roles <> '' \
         UNION ALL SELECT a.id, a.username, a.disabled_at, g.roles, g.id, g.name \
         FROM account_group g JOIN group_member m ON m.tenant = g.tenant AND m.group_id = g.id \
         JOIN account a ON a.tenant = m.tenant AND a.id = m.account_id \
         WHERE g.tenant = $1 AND g.roles <> '') held \
         WHERE (account_id > $2 OR account_id = $2 AND group_id > $3) \
         AND ($4 = '' OR replace(' ' || roles || ' ', ' ' || $4 || ' ', '') <> ' ' || roles || ' ') \
         ORDER BY account_id, group_id LIMIT $5")
    .bind(tenant)
    .bind(account)
    .bind(group)
    .bind(role)
    .bind(limit)
}
