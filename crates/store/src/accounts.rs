//! Accounts of people.

use portcullis_types::{Id, Timestamp, tags};

use crate::db::{DbError, Tx};
use crate::query::{Query, Source, per, sql};

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
    /// PHC string of the password; empty if there is none.
    pub password_hash: String,
    /// How often the password was changed or removed. A hash at another cost is no change.
    pub password_epoch: i64,
    /// Roles, separated by spaces.
    pub roles: String,
    /// When it was disabled, if it is.
    pub disabled_at: Option<i64>,
    /// When it was flagged for review, if it is.
    pub flagged_at: Option<i64>,
    /// Why.
    pub flag_reason: Option<String>,
    /// Until then a login from a new device needs more than a password.
    pub step_up_until: Option<i64>,
    /// Devices that came since then are new.
    pub step_up_from: Option<i64>,
    /// The language the person reads, such as `de`; empty if we do not know.
    pub locale: String,
    /// When it began.
    pub created_at: i64,
    /// When it last changed.
    pub updated_at: i64,
}

impl Account {
    /// A new account without password and roles. Its address must have been proven.
    pub fn new(id: Id<tags::User>, username: &str, email: &str, now: Timestamp) -> Self {
        Self {
            id,
            username: username.to_owned(),
            email: email.to_owned(),
            display_name: username.to_owned(),
            password_hash: String::new(),
            password_epoch: 0,
            roles: String::new(),
            disabled_at: None,
            flagged_at: None,
            flag_reason: None,
            step_up_until: None,
            step_up_from: None,
            locale: String::new(),
            created_at: now.micros(),
            updated_at: now.micros(),
        }
    }

    /// The same account with another password, or without one.
    pub fn with_password(self, hash: String, now: Timestamp) -> Self {
        let password_epoch = self.password_epoch + 1;
        Self { password_hash: hash, password_epoch, updated_at: now.micros(), ..self }
    }

    /// Whether the account has `role`.
    pub fn has_role(&self, role: &str) -> bool {
        self.roles.split(' ').any(|own| own == role)
    }
}

macro_rules! select {
    ($rest:literal) => {
        concat!(
            "SELECT id, username, email, display_name, password_hash, password_epoch, roles, disabled_at, \
             flagged_at, flag_reason, step_up_until, step_up_from, locale, created_at, updated_at FROM account WHERE tenant = $1 ",
            $rest
        )
    };
}

/// Adds an account. Fails on the constraints `account_username` and `account_email`.
pub async fn insert(tx: &Tx, tenant: &str, account: &Account) -> Result<(), DbError> {
    sql("INSERT INTO account (tenant, id, username, email, display_name, password_hash, roles, \
         disabled_at, flagged_at, flag_reason, created_at, updated_at, locale, password_epoch) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)")
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
    .bind(&account.locale)
    .bind(account.password_epoch)
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
    by_id_query(tenant, id).optional(source).await
}

pub(crate) fn by_id_query(tenant: &str, id: Id<tags::User>) -> Query {
    sql(select!("AND id = $2")).bind(tenant).bind(id)
}

/// The account with this canonical user name.
pub async fn by_username(
    source: impl Source,
    tenant: &str,
    username: &str,
) -> Result<Option<Account>, DbError> {
    by_username_query(tenant, username).optional(source).await
}

pub(crate) fn by_username_query(tenant: &str, username: &str) -> Query {
    sql(select!("AND username = $2")).bind(tenant).bind(username)
}

/// The account with this normalised e-mail address.
pub async fn by_email(
    source: impl Source,
    tenant: &str,
    email: &str,
) -> Result<Option<Account>, DbError> {
    by_email_query(tenant, email).optional(source).await
}

pub(crate) fn by_email_query(tenant: &str, email: &str) -> Query {
    sql(select!("AND email = $2")).bind(tenant).bind(email)
}

/// A page of accounts after the id `after`, in order of id.
pub async fn page(
    source: impl Source,
    tenant: &str,
    after: &str,
    limit: i64,
) -> Result<Vec<Account>, DbError> {
    page_query(tenant, after, limit).all(source).await
}

pub(crate) fn page_query(tenant: &str, after: &str, limit: i64) -> Query {
    sql(select!("AND id > $2 ORDER BY id LIMIT $3")).bind(tenant).bind(after).bind(limit)
}

/// A page of flagged accounts after the id `after`.
pub async fn flagged(
    source: impl Source,
    tenant: &str,
    after: &str,
    limit: i64,
) -> Result<Vec<Account>, DbError> {
    flagged_query(tenant, after, limit).all(source).await
}

pub(crate) fn flagged_query(tenant: &str, after: &str, limit: i64) -> Query {
    sql(select!("AND flagged_at IS NOT NULL AND id > $2 ORDER BY id LIMIT $3"))
        .bind(tenant)
        .bind(after)
        .bind(limit)
}

/// Accounts whose user name begins with `prefix`, after the name `after`, in the order of their
/// bytes.
pub async fn by_username_prefix(
    source: impl Source,
    tenant: &str,
    prefix: &str,
    after: &str,
    limit: i64,
) -> Result<Vec<Account>, DbError> {
    username_prefix_query(tenant, prefix, after, limit).all(source).await
}

/// Accounts whose e-mail address begins with `prefix`, after the address `after`, in the order of
/// their bytes.
pub async fn by_email_prefix(
    source: impl Source,
    tenant: &str,
    prefix: &str,
    after: &str,
    limit: i64,
) -> Result<Vec<Account>, DbError> {
    email_prefix_query(tenant, prefix, after, limit).all(source).await
}

pub(crate) fn username_prefix_query(tenant: &str, prefix: &str, after: &str, limit: i64) -> Query {
    let query = per(
        select!(
            "AND username >= $2 AND username < $3 AND username > $4 ORDER BY username LIMIT $5"
        ),
        select!(
            "AND username ~>=~ $2 AND username ~<~ $3 AND username ~>~ $4 \
             ORDER BY username USING ~<~ LIMIT $5"
        ),
    );
    prefixed(query, tenant, prefix, after, limit)
}

pub(crate) fn email_prefix_query(tenant: &str, prefix: &str, after: &str, limit: i64) -> Query {
    let query = per(
        select!("AND email >= $2 AND email < $3 AND email > $4 ORDER BY email LIMIT $5"),
        select!(
            "AND email ~>=~ $2 AND email ~<~ $3 AND email ~>~ $4 \
             ORDER BY email USING ~<~ LIMIT $5"
        ),
    );
    prefixed(query, tenant, prefix, after, limit)
}

/// The last character that there is ends the range.
fn prefixed(query: Query, tenant: &str, prefix: &str, after: &str, limit: i64) -> Query {
    let end = format!("{prefix}\u{10ffff}");
    query.bind(tenant).bind(prefix).bind(end).bind(after).bind(limit)
}

/// Whether any account has been made yet.
pub async fn any(source: impl Source, tenant: &str) -> Result<bool, DbError> {
    Ok(!page(source, tenant, "", 1).await?.is_empty())
}

/// Writes back everything that can change. Fails on the constraint `account_email`.
pub async fn update(tx: &Tx, tenant: &str, account: &Account) -> Result<(), DbError> {
    sql("UPDATE account SET email = $3, display_name = $4, password_hash = $5, roles = $6, \
         disabled_at = $7, flagged_at = $8, flag_reason = $9, updated_at = $10, locale = $11, password_epoch = $12, \
         step_up_until = $13 \
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
    .bind(&account.locale)
    .bind(account.password_epoch)
    .bind(account.step_up_until)
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

/// A password alone is not enough for this account until then, and devices that are known since
/// `from` are not known.
pub async fn require_step_up(
    tx: &Tx,
    tenant: &str,
    id: Id<tags::User>,
    (from, now, until): (Timestamp, Timestamp, Timestamp),
) -> Result<(), DbError> {
    // Where there is suspicion already, the earlier one stays.
    sql("UPDATE account SET step_up_until = $5, step_up_from = \
         CASE WHEN COALESCE(step_up_until, 0) > $4 THEN step_up_from ELSE $3 END \
         WHERE tenant = $1 AND id = $2")
    .bind(tenant)
    .bind(id)
    .bind(from)
    .bind(now)
    .bind(until)
    .execute(tx)
    .await?;
    Ok(())
}

/// Removes an account and, through its foreign keys, everything that hangs on it.
pub async fn delete(tx: &Tx, tenant: &str, id: Id<tags::User>) -> Result<bool, DbError> {
    // Sessions of verification stay for as long as the law wants them, and are about nobody's account.
    for sessions in [
        "UPDATE idv_session SET account_id = NULL WHERE tenant = $1 AND account_id = $2",
        "UPDATE idv_session SET assignee = NULL WHERE tenant = $1 AND assignee = $2",
        // Places in status lists stay taken, and nothing there says whose they were.
        "UPDATE issued_credential SET account_id = '', client_id = '', grant_id = '' \
         WHERE tenant = $1 AND account_id = $2",
        // That it was answered in time must be shown when the account is long gone; what is not answered yet
        // must still be.
        "UPDATE subject_request SET requester = '', note = '', \
         extended_because = CASE WHEN extended_because = '' THEN '' ELSE '-' END \
         WHERE tenant = $1 AND account_id = $2 AND state = 'closed'",
        "UPDATE subject_request SET account_id = NULL, version = version + 1, requester = \
         CASE WHEN requester <> '' OR state = 'closed' THEN requester ELSE (SELECT a.username || ' <' \
         || a.email || '>' FROM account a WHERE a.tenant = $1 AND a.id = $2) END WHERE tenant = $1 AND account_id = $2",
    ] {
        sql(sessions).bind(tenant).bind(id).execute(tx).await?;
    }
    let changed =
        sql("DELETE FROM account WHERE tenant = $1 AND id = $2").bind(tenant).bind(id).execute(tx);
    Ok(changed.await? == 1)
}

/// Whether an account that is not disabled has the role `admin`.
pub async fn has_admin(source: impl Source, tenant: &str) -> Result<bool, DbError> {
    let found: Option<Account> = has_admin_query(tenant).optional(source).await?;
    Ok(found.is_some())
}

/// Few accounts have roles, and those have an index.
pub(crate) fn has_admin_query(tenant: &str) -> Query {
    sql(select!(
        "AND roles <> '' AND disabled_at IS NULL AND (' ' || roles || ' ') LIKE '% admin %' LIMIT 1"
    ))
    .bind(tenant)
}
