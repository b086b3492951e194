//! Accounts of people.

use portcullis_types::{Id, Timestamp, tags};

use crate::db::{DbError, Tx};
use crate::query::{Source, sql};

/// A row of `account`.
#[derive(Debug, Clone, sqlx::FromRow)]
pub struct Account {
    /// The account.
    #[sqlx(try_from = "String")]
    pub id: Id<tags::User>,
    /// Canonical user name.
    pub username: String,
    /// Normalised e-mail address. Always one that was proven.
    pub email: String,
    /// What to call the person.
    pub display_name: String,
    /// PHC string of the password.
    pub password_hash: String,
    /// Roles, separated by spaces.
    pub roles: String,
    /// When it was disabled, if it is.
    pub disabled_at: Option<i64>,
    /// When it was flagged for review, if it is.
    pub flagged_at: Option<i64>,
    /// Why.
    pub flag_reason: Option<String>,
    /// When it began.
    pub created_at: i64,
    /// When it last changed.
    pub updated_at: i64,
}

impl Account {
    /// Whether the account has `role`.
    pub fn has_role(&self, role: &str) -> bool {
        self.roles.split(' ').any(|own| own == role)
    }
}

macro_rules! select {
    ($rest:literal) => {
        concat!(
            "SELECT id, username, email, display_name, password_hash, roles, disabled_at, \
             flagged_at, flag_reason, created_at, updated_at FROM account WHERE tenant = $1 ",
            $rest
        )
    };
}

/// Adds an account. Fails on the constraints `account_username` and `account_email`.
pub async fn insert(tx: &Tx, tenant: &str, account: &Account) -> Result<(), DbError> {
    sql("INSERT INTO account (tenant, id, username, email, display_name, password_hash, roles, \
         disabled_at, flagged_at, flag_reason, created_at, updated_at) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)")
    .bind(tenant)
    .bind(account.id)
    .bind(&account.username)
    .bind(&account.email)
    .bind(&account.display_name)
    .bind(&account.password_hash)
    .bind(&account.roles)
    .bind(account.disabled_at)
    .bind(account.flagged_at)
    .bind(account.flag_reason.clone())
    .bind(account.created_at)
    .bind(account.updated_at)
    .execute(tx)
    .await?;
    Ok(())
}

/// The account with this id.
pub async fn by_id(
    source: impl Source,
    tenant: &str,
    id: Id<tags::User>,
) -> Result<Option<Account>, DbError> {
    sql(select!("AND id = $2")).bind(tenant).bind(id).optional(source).await
}

/// The account with this canonical user name.
pub async fn by_username(
    source: impl Source,
    tenant: &str,
    username: &str,
) -> Result<Option<Account>, DbError> {
    sql(select!("AND username = $2")).bind(tenant).bind(username).optional(source).await
}

/// The account with this normalised e-mail address.
pub async fn by_email(
    source: impl Source,
    tenant: &str,
    email: &str,
) -> Result<Option<Account>, DbError> {
    sql(select!("AND email = $2")).bind(tenant).bind(email).optional(source).await
}

/// A page of accounts after the id `after`, in order of id.
pub async fn page(
    source: impl Source,
    tenant: &str,
    after: &str,
    limit: i64,
) -> Result<Vec<Account>, DbError> {
    sql(select!("AND id > $2 ORDER BY id LIMIT $3"))
        .bind(tenant)
        .bind(after)
        .bind(limit)
        .all(source)
        .await
}

/// A page of flagged accounts after the id `after`.
pub async fn flagged(
    source: impl Source,
    tenant: &str,
    after: &str,
    limit: i64,
) -> Result<Vec<Account>, DbError> {
    sql(select!("AND flagged_at IS NOT NULL AND id > $2 ORDER BY id LIMIT $3"))
        .bind(tenant)
        .bind(after)
        .bind(limit)
        .all(source)
        .await
}

/// Whether any account has been made yet.
pub async fn any(source: impl Source, tenant: &str) -> Result<bool, DbError> {
    Ok(!page(source, tenant, "", 1).await?.is_empty())
}

/// Writes back everything that can change. Fails on the constraint `account_email`.
pub async fn update(tx: &Tx, tenant: &str, account: &Account) -> Result<(), DbError> {
    sql("UPDATE account SET email = $3, display_name = $4, password_hash = $5, roles = $6, \
         disabled_at = $7, flagged_at = $8, flag_reason = $9, updated_at = $10 \
         WHERE tenant = $1 AND id = $2")
    .bind(tenant)
    .bind(account.id)
    .bind(&account.email)
    .bind(&account.display_name)
    .bind(&account.password_hash)
    .bind(&account.roles)
    .bind(account.disabled_at)
    .bind(account.flagged_at)
    .bind(account.flag_reason.clone())
    .bind(account.updated_at)
    .execute(tx)
    .await?;
    Ok(())
}

/// Flags the account called `username` for review, unless it is already.
pub async fn flag(
    tx: &Tx,
    tenant: &str,
    id: &str,
    reason: &str,
    now: Timestamp,
) -> Result<bool, DbError> {
    let changed = sql("UPDATE account SET flagged_at = $3, flag_reason = $4 \
                       WHERE tenant = $1 AND id = $2 AND flagged_at IS NULL")
    .bind(tenant)
    .bind(id)
    .bind(now)
    .bind(reason)
    .execute(tx)
    .await?;
    Ok(changed == 1)
}

/// Removes an account and, through its foreign keys, everything that hangs on it.
pub async fn delete(tx: &Tx, tenant: &str, id: Id<tags::User>) -> Result<bool, DbError> {
    let changed =
        sql("DELETE FROM account WHERE tenant = $1 AND id = $2").bind(tenant).bind(id).execute(tx);
    Ok(changed.await? == 1)
}

/// Whether an account that is not disabled has the role `admin`.
pub async fn has_admin(source: impl Source, tenant: &str) -> Result<bool, DbError> {
    let found: Option<Account> =
        sql(select!("AND disabled_at IS NULL AND (' ' || roles || ' ') LIKE '% admin %' LIMIT 1"))
            .bind(tenant)
            .optional(source)
            .await?;
    Ok(found.is_some())
}
