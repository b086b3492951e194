//! Logins by mail.

use portcullis_types::{Id, Timestamp, tags};

use crate::db::{DbError, Tx};
use crate::query::{Source, sql};

/// A row of `mail_login`.
#[derive(Debug, Clone, sqlx::FromRow)]
pub struct MailLogin {
    /// The hash of the link's token, which is the key.
    pub link_hash: Vec<u8>,
    /// The hash of what the browser that asked holds.
    pub browser_hash: Vec<u8>,
    /// The hash of the code.
    pub code_hash: Vec<u8>,
    /// Who logs in; nobody if the address has no account.
    pub account_id: Option<String>,
}

impl MailLogin {
    /// Who logs in.
    pub fn account(&self) -> Option<Id<tags::User>> {
        self.account_id.as_deref().and_then(|id| id.parse().ok())
    }
}

/// Keeps a login until its link or code comes.
pub async fn insert(
    tx: &Tx,
    tenant: &str,
    login: &MailLogin,
    now: Timestamp,
    expires_at: Timestamp,
) -> Result<(), DbError> {
    sql(
        "INSERT INTO mail_login (tenant, link_hash, browser_hash, code_hash, account_id, attempts, \
         created_at, expires_at) VALUES ($1, $2, $3, $4, $5, 0, $6, $7)",
    )
    .bind(tenant)
    .bind(login.link_hash.as_slice())
    .bind(login.browser_hash.as_slice())
    .bind(login.code_hash.as_slice())
    .bind(login.account_id.clone())
    .bind(now)
    .bind(expires_at)
    .execute(tx)
    .await?;
    Ok(())
}

macro_rules! select {
    ($rest:literal) => {
        concat!(
            "SELECT link_hash, browser_hash, code_hash, account_id FROM mail_login \
             WHERE tenant = $1 AND consumed_at IS NULL AND expires_at > $2 ",
            $rest
        )
    };
}

/// The login that a link opens.
pub async fn by_link(
    source: impl Source,
    tenant: &str,
    link_hash: &[u8],
    now: Timestamp,
) -> Result<Option<MailLogin>, DbError> {
    sql(select!("AND link_hash = $3")).bind(tenant).bind(now).bind(link_hash).optional(source).await
}

/// The login that a browser asked for.
pub async fn by_browser(
    source: impl Source,
    tenant: &str,
    browser_hash: &[u8],
    now: Timestamp,
) -> Result<Option<MailLogin>, DbError> {
    sql(select!("AND browser_hash = $3"))
        .bind(tenant)
        .bind(now)
        .bind(browser_hash)
        .optional(source)
        .await
}

/// Counts an attempt to type the code; `false` if there were `most` before.
pub async fn attempt(
    tx: &Tx,
    tenant: &str,
    browser_hash: &[u8],
    most: i64,
) -> Result<bool, DbError> {
    let counted = sql("UPDATE mail_login SET attempts = attempts + 1 \
                       WHERE tenant = $1 AND browser_hash = $2 AND attempts < $3")
    .bind(tenant)
    .bind(browser_hash)
    .bind(most)
    .execute(tx)
    .await?;
    Ok(counted == 1)
}

/// Consumes a login; `false` if it was consumed or has expired.
pub async fn consume(
    tx: &Tx,
    tenant: &str,
    link_hash: &[u8],
    now: Timestamp,
) -> Result<bool, DbError> {
    let consumed = sql("UPDATE mail_login SET consumed_at = $3 WHERE tenant = $1 \
                        AND link_hash = $2 AND consumed_at IS NULL AND expires_at > $3")
    .bind(tenant)
    .bind(link_hash)
    .bind(now)
    .execute(tx)
    .await?;
    Ok(consumed == 1)
}
