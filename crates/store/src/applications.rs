//! What a person's account is used by: the clients with grants in use, and those with consent.

use portcullis_types::{Id, Timestamp, tags};

use crate::db::{DbError, Tx};
use crate::query::{Source, sql};

/// No more grants than this are looked at for one account.
const MAX_ROWS: i64 = 2000;

/// Something that a person granted to a client.
#[derive(Debug, Clone, sqlx::FromRow)]
pub struct Access {
    /// The client.
    pub client_id: String,
    /// What it calls itself.
    pub name: String,
    /// The scopes, separated by spaces.
    pub scope: String,
    /// The claims that were asked for by name, as the grant has them.
    pub claims: Option<String>,
    /// When it was granted.
    #[sqlx(try_from = "i64")]
    pub at: Timestamp,
}

/// The grants of an account that are in use, newest first.
pub async fn in_use(
    source: impl Source,
    tenant: &str,
    account: Id<tags::User>,
    now: Timestamp,
) -> Result<Vec<Access>, DbError> {
    sql("SELECT g.client_id AS client_id, c.name AS name, g.scope AS scope, g.claims AS claims, \
         g.created_at AS at \
         FROM oauth_grant g JOIN oauth_client c ON c.tenant = g.tenant AND c.id = g.client_id \
         WHERE g.tenant = $1 AND g.account_id = $2 AND g.revoked_at IS NULL \
         AND g.redeemed_at IS NOT NULL AND g.expires_at > $3 ORDER BY g.id DESC LIMIT $4")
    .bind(tenant)
    .bind(account)
    .bind(now)
    .bind(MAX_ROWS)
    .all(source)
    .await
}

/// What an account has consented to.
pub async fn consented(
    source: impl Source,
    tenant: &str,
    account: Id<tags::User>,
) -> Result<Vec<Access>, DbError> {
    sql("SELECT o.client_id AS client_id, c.name AS name, o.scopes AS scope, \
         CAST(NULL AS TEXT) AS claims, o.granted_at AS at \
         FROM consent o JOIN oauth_client c ON c.tenant = o.tenant AND c.id = o.client_id \
         WHERE o.tenant = $1 AND o.account_id = $2 LIMIT $3")
    .bind(tenant)
    .bind(account)
    .bind(MAX_ROWS)
    .all(source)
    .await
}

/// Forgets a consent; `false` if there was none.
pub async fn forget_consent(
    tx: &Tx,
    tenant: &str,
    account: Id<tags::User>,
    client: &str,
) -> Result<bool, DbError> {
    let forgotten =
        sql("DELETE FROM consent WHERE tenant = $1 AND account_id = $2 AND client_id = $3")
            .bind(tenant)
            .bind(account)
            .bind(client)
            .execute(tx)
            .await?;
    Ok(forgotten == 1)
}
