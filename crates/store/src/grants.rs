//! What people granted to clients, and the artefacts that come from it: codes, refresh tokens,
//! consents and revocations.

use portcullis_types::{Id, Timestamp, tags};

use crate::db::{DbError, Tx};
use crate::query::{Source, sql};

/// A row of `oauth_grant`: one authorisation, and the family of refresh tokens that descends
/// from it.
#[derive(Debug, Clone, sqlx::FromRow)]
pub struct Grant {
    /// The grant.
    #[sqlx(try_from = "String")]
    pub id: Id<tags::Grant>,
    /// The client it was granted to.
    pub client_id: String,
    /// The person who granted it.
    #[sqlx(try_from = "String")]
    pub account_id: Id<tags::User>,
    /// The session it was granted in.
    pub session_id: String,
    /// The scopes, separated by spaces.
    pub scope: String,
    /// What the client asked for by name, as JSON, if anything.
    pub claims: Option<String>,
    /// The resources it is for, as JSON, if it was narrowed to some (RFC 8707).
    pub resources: Option<String>,
    /// How the person had proved who they are.
    pub methods: String,
    /// What was proven besides, as `acr` names it; empty if nothing was.
    pub acr: String,
    /// When the person had proved who they are.
    #[sqlx(try_from = "i64")]
    pub auth_time: Timestamp,
    /// When it was granted.
    #[sqlx(try_from = "i64")]
    pub created_at: Timestamp,
    /// When it ends however often it is refreshed; before the first redemption, when its code
    /// ends.
    #[sqlx(try_from = "i64")]
    pub expires_at: Timestamp,
    /// When tokens were first issued from it, if they were.
    pub redeemed_at: Option<i64>,
    /// How often its place in the status list was given up.
    pub status_epoch: i64,
    /// When it was revoked, if it was.
    pub revoked_at: Option<i64>,
}

macro_rules! select_grant {
    ($rest:literal) => {
        concat!(
            "SELECT id, client_id, account_id, session_id, scope, claims, resources, methods, acr, auth_time, \
             created_at, expires_at, redeemed_at, status_epoch, revoked_at FROM oauth_grant WHERE tenant = $1 ",
            $rest
        )
    };
}

/// Adds a grant.
pub async fn insert(tx: &Tx, tenant: &str, grant: &Grant) -> Result<(), DbError> {
    sql(
        "INSERT INTO oauth_grant (tenant, id, client_id, account_id, session_id, scope, auth_time, \
         created_at, expires_at, claims, methods, resources, acr) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)",
    )
    .bind(tenant)
    .bind(grant.id)
    .bind(&grant.client_id)
    .bind(grant.account_id)
    .bind(&grant.session_id)
    .bind(&grant.scope)
    .bind(grant.auth_time)
    .bind(grant.created_at)
    .bind(grant.expires_at)
    .bind(grant.claims.clone())
    .bind(&grant.methods)
    .bind(grant.resources.clone())
    .bind(&grant.acr)
    .execute(tx)
    .await?;
    Ok(())
}

/// The grant with this id, revoked or not.
pub async fn by_id(source: impl Source, tenant: &str, id: &str) -> Result<Option<Grant>, DbError> {
    sql(select_grant!("AND id = $2")).bind(tenant).bind(id).optional(source).await
}

/// The grants of an account that are in use: redeemed and not revoked.
pub async fn live_of_account(
    source: impl Source,
    tenant: &str,
    account: Id<tags::User>,
) -> Result<Vec<Grant>, DbError> {
    sql(select_grant!("AND account_id = $2 AND revoked_at IS NULL AND redeemed_at IS NOT NULL"))
        .bind(tenant)
        .bind(account)
        .all(source)
        .await
}

/// The grants of a session that are in use.
pub async fn live_of_session(
    source: impl Source,
    tenant: &str,
    session: &str,
) -> Result<Vec<Grant>, DbError> {
    sql(select_grant!("AND session_id = $2 AND revoked_at IS NULL AND redeemed_at IS NOT NULL"))
        .bind(tenant)
        .bind(session)
        .all(source)
        .await
}

/// The grants of a client that are in use.
pub async fn live_of_client(
    source: impl Source,
    tenant: &str,
    client: &str,
) -> Result<Vec<Grant>, DbError> {
    sql(select_grant!("AND client_id = $2 AND revoked_at IS NULL AND redeemed_at IS NOT NULL"))
        .bind(tenant)
        .bind(client)
        .all(source)
        .await
}

/// The grants of an account to a client that are in use, newest first, after the first `keep`.
pub async fn beyond(
    source: impl Source,
    tenant: &str,
    account: Id<tags::User>,
    client: &str,
    keep: i64,
) -> Result<Vec<Grant>, DbError> {
    sql(select_grant!(
        "AND account_id = $2 AND client_id = $3 AND revoked_at IS NULL \
         AND redeemed_at IS NOT NULL ORDER BY id DESC LIMIT 1000 OFFSET $4"
    ))
    .bind(tenant)
    .bind(account)
    .bind(client)
    .bind(keep)
    .all(source)
    .await
}

/// The first redemption of a grant: from now on it lives until `expires_at`.
pub async fn redeem(
    tx: &Tx,
    tenant: &str,
    id: &str,
    now: Timestamp,
    expires_at: Timestamp,
) -> Result<bool, DbError> {
    let redeemed = sql("UPDATE oauth_grant SET redeemed_at = $3, expires_at = $4 \
                        WHERE tenant = $1 AND id = $2 AND redeemed_at IS NULL")
    .bind(tenant)
    .bind(id)
    .bind(now)
    .bind(expires_at)
    .execute(tx)
    .await?;
    Ok(redeemed == 1)
}

/// Whose grants.
#[derive(Debug, Clone, Copy)]
pub enum Of<'a> {
    /// Those of an account.
    Account(Id<tags::User>),
    /// Those made in a session.
    Session(&'a str),
    /// Those to a client.
    Client(&'a str),
    /// Those of an account to a client.
    Application(Id<tags::User>, &'a str),
}

/// Voids the grants whose codes wait to be redeemed. Nothing was issued from them, so there is
/// nothing else to revoke, however many there are.
pub async fn revoke_unredeemed(
    tx: &Tx,
    tenant: &str,
    of: Of<'_>,
    reason: &str,
    now: Timestamp,
) -> Result<(), DbError> {
    macro_rules! revoke {
        ($whose:literal) => {
            sql(concat!(
                "UPDATE oauth_grant SET revoked_at = $2, revoke_reason = $3 WHERE tenant = $1 \
                 AND revoked_at IS NULL AND redeemed_at IS NULL AND ",
                $whose
            ))
            .bind(tenant)
            .bind(now)
            .bind(reason)
        };
    }
    let query = match of {
        Of::Account(id) => revoke!("account_id = $4").bind(id),
        Of::Session(id) => revoke!("session_id = $4").bind(id),
        Of::Client(id) => revoke!("client_id = $4").bind(id),
        Of::Application(account, client) => {
            revoke!("account_id = $4 AND client_id = $5").bind(account).bind(client)
        }
    };
    query.execute(tx).await?;
    Ok(())
}

#[derive(sqlx::FromRow)]
struct Epoch {
    status_epoch: i64,
}

/// Revokes a grant with everything that descends from it; its epoch in the status list, or nothing
/// if it was revoked before.
pub async fn revoke(
    tx: &Tx,
    tenant: &str,
    id: &str,
    reason: &str,
    now: Timestamp,
) -> Result<Option<i64>, DbError> {
    let epoch: Option<Epoch> = sql("UPDATE oauth_grant SET revoked_at = $3, revoke_reason = $4 \
             WHERE tenant = $1 AND id = $2 AND revoked_at IS NULL RETURNING status_epoch")
    .bind(tenant)
    .bind(id)
    .bind(now)
    .bind(reason)
    .optional(tx)
    .await?;
    Ok(epoch.map(|row| row.status_epoch))
}

/// Gives up the place of a grant in the status list for that of a later epoch.
pub async fn set_status_epoch(tx: &Tx, tenant: &str, id: &str, epoch: i64) -> Result<(), DbError> {
    sql("UPDATE oauth_grant SET status_epoch = $3 \
         WHERE tenant = $1 AND id = $2 AND status_epoch < $3")
    .bind(tenant)
    .bind(id)
    .bind(epoch)
    .execute(tx)
    .await?;
    Ok(())
}

#[derive(sqlx::FromRow)]
struct Moved {
    id: String,
    status_epoch: i64,
    redeemed_at: Option<i64>,
}

/// Gives up the places of the grants of an account in the status list. Those that tokens may hold,
/// as grant and epoch. It is one statement, so that it wins against the many that each touch one
/// grant.
pub async fn next_epoch(
    tx: &Tx,
    tenant: &str,
    account: Id<tags::User>,
) -> Result<Vec<(String, i64)>, DbError> {
    let moved: Vec<Moved> = sql("UPDATE oauth_grant SET status_epoch = status_epoch + 1 \
                                 WHERE tenant = $1 AND account_id = $2 AND revoked_at IS NULL \
                                 RETURNING id, status_epoch, redeemed_at")
    .bind(tenant)
    .bind(account)
    .all(tx)
    .await?;
    let held = moved.into_iter().filter(|row| row.redeemed_at.is_some());
    Ok(held.map(|row| (row.id, row.status_epoch - 1)).collect())
}

/// A row of `authorization_code`: everything that its redemption is compared with.
#[derive(Debug, Clone, sqlx::FromRow)]
pub struct Code {
    /// The grant it stands for.
    #[sqlx(try_from = "String")]
    pub grant_id: Id<tags::Grant>,
    /// The client it was issued to.
    pub client_id: String,
    /// The redirect URI of the request.
    pub redirect_uri: String,
    /// The PKCE challenge of the request (S256); empty if the client relies on its nonce.
    pub code_challenge: String,
    /// The nonce of the request.
    pub nonce: Option<String>,
    /// The thumbprint of the key that its redemption must prove (RFC 9449, section 10).
    pub dpop_jkt: Option<String>,
    /// When it ends.
    #[sqlx(try_from = "i64")]
    pub expires_at: Timestamp,
    /// When it was redeemed, if it was.
    pub consumed_at: Option<i64>,
}

/// Adds a code.
pub async fn insert_code(
    tx: &Tx,
    tenant: &str,
    code_hash: &[u8],
    code: &Code,
) -> Result<(), DbError> {
    sql("INSERT INTO authorization_code (tenant, code_hash, grant_id, client_id, redirect_uri, \
         code_challenge, nonce, expires_at, dpop_jkt) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)")
    .bind(tenant)
    .bind(code_hash)
    .bind(code.grant_id)
    .bind(&code.client_id)
    .bind(&code.redirect_uri)
    .bind(&code.code_challenge)
    .bind(code.nonce.clone())
    .bind(code.expires_at)
    .bind(code.dpop_jkt.clone())
    .execute(tx)
    .await?;
    Ok(())
}

/// The code that hashes to `code_hash`, redeemed or not.
pub async fn code(
    source: impl Source,
    tenant: &str,
    code_hash: &[u8],
) -> Result<Option<Code>, DbError> {
    sql("SELECT grant_id, client_id, redirect_uri, code_challenge, nonce, dpop_jkt, expires_at, \
         consumed_at FROM authorization_code WHERE tenant = $1 AND code_hash = $2")
    .bind(tenant)
    .bind(code_hash)
    .optional(source)
    .await
}

/// Redeems a code; `false` if it was redeemed before or has expired.
pub async fn consume_code(
    tx: &Tx,
    tenant: &str,
    code_hash: &[u8],
    now: Timestamp,
) -> Result<bool, DbError> {
    let changed = sql("UPDATE authorization_code SET consumed_at = $3 \
                       WHERE tenant = $1 AND code_hash = $2 AND consumed_at IS NULL \
                       AND expires_at > $3")
    .bind(tenant)
    .bind(code_hash)
    .bind(now)
    .execute(tx)
    .await?;
    Ok(changed == 1)
}

/// A row of `refresh_token`.
#[derive(Debug, Clone, sqlx::FromRow)]
pub struct Refresh {
    /// The family it belongs to.
    #[sqlx(try_from = "String")]
    pub grant_id: Id<tags::Grant>,
    /// The thumbprint of the key that its use must prove, for a public client's (RFC 9449,
    /// section 5).
    pub dpop_jkt: Option<String>,
    /// When it was issued.
    #[sqlx(try_from = "i64")]
    pub created_at: Timestamp,
    /// When it ends.
    #[sqlx(try_from = "i64")]
    pub expires_at: Timestamp,
    /// When it was used, if it was.
    pub consumed_at: Option<i64>,
}

/// Adds a refresh token.
pub async fn insert_refresh(
    tx: &Tx,
    tenant: &str,
    token_hash: &[u8],
    token: &Refresh,
) -> Result<(), DbError> {
    sql("INSERT INTO refresh_token (tenant, token_hash, grant_id, created_at, expires_at, dpop_jkt) \
         VALUES ($1, $2, $3, $4, $5, $6)")
    .bind(tenant)
    .bind(token_hash)
    .bind(token.grant_id)
    .bind(token.created_at)
    .bind(token.expires_at)
    .bind(token.dpop_jkt.clone())
    .execute(tx)
    .await?;
    Ok(())
}

/// The refresh token that hashes to `token_hash`, used or not.
pub async fn refresh(
    source: impl Source,
    tenant: &str,
    token_hash: &[u8],
) -> Result<Option<Refresh>, DbError> {
    sql("SELECT grant_id, dpop_jkt, created_at, expires_at, consumed_at FROM refresh_token \
         WHERE tenant = $1 AND token_hash = $2")
    .bind(tenant)
    .bind(token_hash)
    .optional(source)
    .await
}

/// Uses a refresh token; `false` if it was used before or has expired.
pub async fn consume_refresh(
    tx: &Tx,
    tenant: &str,
    token_hash: &[u8],
    now: Timestamp,
) -> Result<bool, DbError> {
    let changed = sql("UPDATE refresh_token SET consumed_at = $3 \
                       WHERE tenant = $1 AND token_hash = $2 AND consumed_at IS NULL \
                       AND expires_at > $3")
    .bind(tenant)
    .bind(token_hash)
    .bind(now)
    .execute(tx)
    .await?;
    Ok(changed == 1)
}

/// A row of `revocation`: tokens of `value` issued until `issued_until` are void.
#[derive(Debug, Clone, sqlx::FromRow)]
pub struct Revocation {
    /// `token`, `grant`, `subject` or `client`.
    pub kind: String,
    /// The id.
    pub value: String,
    /// Tokens issued until then are void.
    #[sqlx(try_from = "i64")]
    pub issued_until: Timestamp,
    /// When the last of them has expired.
    #[sqlx(try_from = "i64")]
    pub expires_at: Timestamp,
}

/// Remembers a revocation; a later one for the same value wins.
pub async fn insert_revocation(tx: &Tx, tenant: &str, row: &Revocation) -> Result<(), DbError> {
    sql("INSERT INTO revocation (tenant, kind, value, issued_until, expires_at) \
         VALUES ($1, $2, $3, $4, $5) ON CONFLICT (tenant, kind, value) \
         DO UPDATE SET issued_until = excluded.issued_until, expires_at = excluded.expires_at")
    .bind(tenant)
    .bind(&row.kind)
    .bind(&row.value)
    .bind(row.issued_until)
    .bind(row.expires_at)
    .execute(tx)
    .await?;
    Ok(())
}

/// The revocations that still matter at `now`.
pub async fn live_revocations(
    source: impl Source,
    tenant: &str,
    now: Timestamp,
) -> Result<Vec<Revocation>, DbError> {
    sql("SELECT kind, value, issued_until, expires_at FROM revocation \
         WHERE tenant = $1 AND expires_at > $2")
    .bind(tenant)
    .bind(now)
    .all(source)
    .await
}
