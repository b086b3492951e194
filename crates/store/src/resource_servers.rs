//! Resource servers that registered a key.

use portcullis_types::{Id, tags};

use crate::db::{DbError, Tx};
use crate::query::{Source, sql};

/// A row of `resource_server`.
#[derive(Debug, Clone, sqlx::FromRow)]
pub struct ResourceServer {
    /// Our name for it.
    #[sqlx(try_from = "String")]
    pub id: Id<tags::ResourceServer>,
    /// What tokens for it say in `aud`.
    pub audience: String,
    /// What people see.
    pub name: String,
    /// Its public keys.
    pub jwks: String,
    /// How content keys are brought to it.
    pub alg: String,
    /// How content is encrypted.
    pub enc: String,
    /// When it was registered.
    pub created_at: i64,
}

/// Registers a resource server. Fails on `resource_server_audience` if the audience is taken.
pub async fn insert(tx: &Tx, tenant: &str, server: &ResourceServer) -> Result<(), DbError> {
    sql("INSERT INTO resource_server (tenant, id, audience, name, jwks, alg, enc, created_at) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8)")
    .bind(tenant)
    .bind(server.id)
    .bind(&server.audience)
    .bind(&server.name)
    .bind(&server.jwks)
    .bind(&server.alg)
    .bind(&server.enc)
    .bind(server.created_at)
    .execute(tx)
    .await?;
    Ok(())
}

/// A page of resource servers after the id `after`.
pub async fn page(
    source: impl Source,
    tenant: &str,
    after: &str,
    limit: i64,
) -> Result<Vec<ResourceServer>, DbError> {
    sql("SELECT id, audience, name, jwks, alg, enc, created_at FROM resource_server \
         WHERE tenant = $1 AND id > $2 ORDER BY id LIMIT $3")
    .bind(tenant)
    .bind(after)
    .bind(limit)
    .all(source)
    .await
}

/// Removes a resource server; `false` if there is none.
pub async fn delete(tx: &Tx, tenant: &str, id: Id<tags::ResourceServer>) -> Result<bool, DbError> {
    let deleted = sql("DELETE FROM resource_server WHERE tenant = $1 AND id = $2")
        .bind(tenant)
        .bind(id)
        .execute(tx)
        .await?;
    Ok(deleted == 1)
}
