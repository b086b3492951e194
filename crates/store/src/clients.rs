//! OAuth clients and their secrets.

use portcullis_types::{Id, Timestamp, tags};

use crate::db::{DbError, Tx};
use crate::query::{Source, sql};

/// A row of `oauth_client`. Lists are JSON arrays of strings.
#[derive(Debug, Clone, sqlx::FromRow)]
pub struct Client {
    /// The `client_id`.
    pub id: String,
    /// What people see.
    pub name: String,
    /// `none`, `client_secret_basic`, `client_secret_post` or `private_key_jwt`.
    pub auth_method: String,
    /// Ours: people are not asked for consent.
    pub first_party: bool,
    /// Where codes may go.
    pub redirect_uris: String,
    /// Where a logout may return to.
    pub post_logout_redirect_uris: String,
    /// Which grants it may use.
    pub grant_types: String,
    /// Which scopes it may ask for, separated by spaces.
    pub scopes: String,
    /// The resource servers its tokens are for.
    pub audiences: String,
    /// Its public keys, for `private_key_jwt`.
    pub jwks: Option<String>,
    /// The algorithm of its tokens.
    pub token_alg: String,
    /// What else was registered, as a JSON object in the words of RFC 7591.
    pub settings: String,
    /// How often its block in the status list was given up.
    pub status_epoch: i64,
    /// When it was registered.
    pub created_at: i64,
    /// When it last changed.
    pub updated_at: i64,
    /// When it was disabled, if it is.
    pub disabled_at: Option<i64>,
}

macro_rules! select {
    ($rest:literal) => {
        concat!(
            "SELECT id, name, auth_method, first_party, redirect_uris, post_logout_redirect_uris, \
             grant_types, scopes, audiences, jwks, token_alg, settings, status_epoch, created_at, \
             updated_at, disabled_at FROM oauth_client WHERE tenant = $1 ",
            $rest
        )
    };
}

/// Registers a client. Fails on the primary key if the id is taken.
pub async fn insert(tx: &Tx, tenant: &str, client: &Client) -> Result<(), DbError> {
    sql("INSERT INTO oauth_client (tenant, id, name, auth_method, first_party, redirect_uris, \
         post_logout_redirect_uris, grant_types, scopes, audiences, jwks, token_alg, created_at, \
         updated_at, disabled_at, settings) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16)")
    .bind(tenant)
    .bind(&client.id)
    .bind(&client.name)
    .bind(&client.auth_method)
    .bind(client.first_party)
    .bind(&client.redirect_uris)
    .bind(&client.post_logout_redirect_uris)
    .bind(&client.grant_types)
    .bind(&client.scopes)
    .bind(&client.audiences)
    .bind(client.jwks.clone())
    .bind(&client.token_alg)
    .bind(client.created_at)
    .bind(client.updated_at)
    .bind(client.disabled_at)
    .bind(&client.settings)
    .execute(tx)
    .await?;
    Ok(())
}

/// Writes back everything that can change.
pub async fn update(tx: &Tx, tenant: &str, client: &Client) -> Result<(), DbError> {
    sql("UPDATE oauth_client SET name = $3, redirect_uris = $4, post_logout_redirect_uris = $5, \
         scopes = $6, audiences = $7, jwks = $8, updated_at = $9, disabled_at = $10, settings = $11, \
         grant_types = $12, token_alg = $13 WHERE tenant = $1 AND id = $2")
    .bind(tenant)
    .bind(&client.id)
    .bind(&client.name)
    .bind(&client.redirect_uris)
    .bind(&client.post_logout_redirect_uris)
    .bind(&client.scopes)
    .bind(&client.audiences)
    .bind(client.jwks.clone())
    .bind(client.updated_at)
    .bind(client.disabled_at)
    .bind(&client.settings)
    .bind(&client.grant_types)
    .bind(&client.token_alg)
    .execute(tx)
    .await?;
    Ok(())
}

#[derive(sqlx::FromRow)]
struct Count {
    n: i64,
}

/// How many clients get tokens, or userinfo, signed with `alg`.
pub async fn with_algorithm(source: impl Source, tenant: &str, alg: &str) -> Result<i64, DbError> {
    let count: Option<Count> = sql("SELECT COUNT(*) AS n FROM oauth_client WHERE tenant = $1 \
                                    AND (token_alg = $2 OR settings LIKE $3)")
    .bind(tenant)
    .bind(alg)
    .bind(format!("%{}%", userinfo_alg(alg)))
    .optional(source)
    .await?;
    Ok(count.map_or(0, |count| count.n))
}

/// As it stands in `settings`, which is written by us and without spaces.
fn userinfo_alg(alg: &str) -> String {
    format!("\"userinfo_signed_response_alg\":\"{alg}\"")
}

/// Whether a client that is held to FAPI 2.0 gets tokens signed with `alg`.
pub async fn any_fapi(source: impl Source, tenant: &str, alg: &str) -> Result<bool, DbError> {
    let count: Option<Count> = sql("SELECT COUNT(*) AS n FROM oauth_client WHERE tenant = $1 \
                                    AND token_alg = $2 AND settings LIKE '%\"fapi_2_0\"%'")
    .bind(tenant)
    .bind(alg)
    .optional(source)
    .await?;
    Ok(count.is_some_and(|count| count.n > 0))
}

/// Gives every client that has the algorithm `from` the algorithm `to`, and returns how many.
pub async fn set_algorithm(
    tx: &Tx,
    tenant: &str,
    from: &str,
    to: &str,
    now: Timestamp,
) -> Result<u64, DbError> {
    let changed = sql("UPDATE oauth_client SET updated_at = $6, \
                       token_alg = CASE WHEN token_alg = $2 THEN $3 ELSE token_alg END, \
                       settings = REPLACE(settings, $4, $5) \
                       WHERE tenant = $1 AND (token_alg = $2 OR settings LIKE '%' || $4 || '%')")
    .bind(tenant)
    .bind(from)
    .bind(to)
    .bind(userinfo_alg(from))
    .bind(userinfo_alg(to))
    .bind(now)
    .execute(tx);
    changed.await
}

/// Gives up the block of a client in the status list for that of a later epoch.
pub async fn set_status_epoch(tx: &Tx, tenant: &str, id: &str, epoch: i64) -> Result<(), DbError> {
    sql("UPDATE oauth_client SET status_epoch = $3 \
         WHERE tenant = $1 AND id = $2 AND status_epoch < $3")
    .bind(tenant)
    .bind(id)
    .bind(epoch)
    .execute(tx)
    .await?;
    Ok(())
}

/// The client with this id, disabled or not.
pub async fn by_id(source: impl Source, tenant: &str, id: &str) -> Result<Option<Client>, DbError> {
    sql(select!("AND id = $2")).bind(tenant).bind(id).optional(source).await
}

/// A page of clients after the id `after`.
pub async fn page(
    source: impl Source,
    tenant: &str,
    after: &str,
    limit: i64,
) -> Result<Vec<Client>, DbError> {
    sql(select!("AND id > $2 ORDER BY id LIMIT $3"))
        .bind(tenant)
        .bind(after)
        .bind(limit)
        .all(source)
        .await
}

/// Removes a client with its secrets, grants and consents.
pub async fn delete(tx: &Tx, tenant: &str, id: &str) -> Result<bool, DbError> {
    let deleted = sql("DELETE FROM oauth_client WHERE tenant = $1 AND id = $2")
        .bind(tenant)
        .bind(id)
        .execute(tx)
        .await?;
    Ok(deleted == 1)
}

/// A row of `client_secret`.
#[derive(Debug, Clone, sqlx::FromRow)]
pub struct ClientSecret {
    /// The secret's id.
    #[sqlx(try_from = "String")]
    pub id: Id<tags::ClientSecret>,
    /// SHA-256 of the secret.
    pub hash: Vec<u8>,
    /// Its last characters, to tell secrets apart.
    pub hint: String,
    /// When it was made.
    pub created_at: i64,
    /// When it ends, if it does.
    pub expires_at: Option<i64>,
}

/// Adds a secret.
pub async fn insert_secret(
    tx: &Tx,
    tenant: &str,
    client: &str,
    secret: &ClientSecret,
) -> Result<(), DbError> {
    sql("INSERT INTO client_secret (tenant, id, client_id, hash, hint, created_at, expires_at) \
         VALUES ($1, $2, $3, $4, $5, $6, $7)")
    .bind(tenant)
    .bind(secret.id)
    .bind(client)
    .bind(secret.hash.clone())
    .bind(&secret.hint)
    .bind(secret.created_at)
    .bind(secret.expires_at)
    .execute(tx)
    .await?;
    Ok(())
}

/// The secrets of a client that work at `now`, newest first.
pub async fn live_secrets(
    source: impl Source,
    tenant: &str,
    client: &str,
    now: Timestamp,
) -> Result<Vec<ClientSecret>, DbError> {
    sql("SELECT id, hash, hint, created_at, expires_at FROM client_secret \
         WHERE tenant = $1 AND client_id = $2 AND (expires_at IS NULL OR expires_at > $3) \
         ORDER BY id DESC")
    .bind(tenant)
    .bind(client)
    .bind(now)
    .all(source)
    .await
}

/// Lets the secrets of a client end at `at`, those that would live longer.
pub async fn expire_secrets(
    tx: &Tx,
    tenant: &str,
    client: &str,
    at: Timestamp,
) -> Result<u64, DbError> {
    sql("UPDATE client_secret SET expires_at = $3 \
         WHERE tenant = $1 AND client_id = $2 AND (expires_at IS NULL OR expires_at > $3)")
    .bind(tenant)
    .bind(client)
    .bind(at)
    .execute(tx)
    .await
}

/// Remembers a client assertion until it expires; `false` if it was seen before (RFC 7523,
/// section 3).
pub async fn use_assertion(
    tx: &Tx,
    tenant: &str,
    client: &str,
    jti: &str,
    expires_at: Timestamp,
) -> Result<bool, DbError> {
    let added = sql("INSERT INTO client_assertion (tenant, client_id, jti, expires_at) \
                     VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING")
    .bind(tenant)
    .bind(client)
    .bind(jti)
    .bind(expires_at)
    .execute(tx)
    .await?;
    Ok(added == 1)
}
