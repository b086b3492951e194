//! Lists of one's own, and what is on them.

use portcullis_types::{Id, Timestamp, tags};

use crate::db::{DbError, Tx};
use crate::query::{Source, per, sql};

/// A row of `idv_list`.
#[derive(Debug, Clone, sqlx::FromRow)]
pub struct ListRow {
    /// The list.
    #[sqlx(try_from = "String")]
    pub id: Id<tags::IdvList>,
    /// How workflows call it.
    pub name: String,
    /// `block`, `allow`, `custom`
    pub purpose: String,
    /// What it is for.
    pub description: String,
    /// How many entries there are.
    pub size: i64,
    /// When it was made.
    #[sqlx(try_from = "i64")]
    pub created_at: Timestamp,
    /// When an entry was added or removed last.
    #[sqlx(try_from = "i64")]
    pub updated_at: Timestamp,
}

/// A row of `idv_list_entry`.
#[derive(Debug, Clone, sqlx::FromRow)]
pub struct ListEntryRow {
    /// The entry.
    #[sqlx(try_from = "String")]
    pub id: Id<tags::IdvListEntry>,
    /// What it is.
    pub kind: String,
    /// Keyed, of the kind and the value, hexadecimal.
    pub digest: String,
    /// The value and what was noted with it, sealed.
    pub sealed: Vec<u8>,
    /// Who added it.
    pub added_by: String,
    /// When.
    #[sqlx(try_from = "i64")]
    pub created_at: Timestamp,
    /// When it goes.
    pub expires_at: Option<i64>,
}

/// An entry that was looked for and is there.
#[derive(Debug, Clone, sqlx::FromRow)]
pub struct ListedRow {
    /// How its list is called.
    pub name: String,
    /// The purpose of its list.
    pub purpose: String,
    /// What it is.
    pub kind: String,
    /// The entry.
    #[sqlx(try_from = "String")]
    pub id: Id<tags::IdvListEntry>,
    /// What was looked for.
    pub digest: String,
}

macro_rules! select {
    ($rest:literal) => {
        concat!(
            "SELECT id, name, purpose, description, size, created_at, updated_at FROM idv_list \
             WHERE tenant = $1 ",
            $rest
        )
    };
}

/// Adds a list; `false` if there is one of that name.
pub async fn insert(tx: &Tx, tenant: &str, row: &ListRow) -> Result<bool, DbError> {
    let added =
        sql("INSERT INTO idv_list (tenant, id, name, purpose, description, size, created_at, \
                     updated_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8) \
                     ON CONFLICT (tenant, name) DO NOTHING")
        .bind(tenant)
        .bind(row.id)
        .bind(&row.name)
        .bind(&row.purpose)
        .bind(&row.description)
        .bind(row.size)
        .bind(row.created_at)
        .bind(row.updated_at)
        .execute(tx)
        .await?;
    Ok(added == 1)
}

/// Every list, by name.
pub async fn all(source: impl Source, tenant: &str) -> Result<Vec<ListRow>, DbError> {
    sql(select!("ORDER BY name")).bind(tenant).all(source).await
}

/// A list.
pub async fn by_id(
    source: impl Source,
    tenant: &str,
    id: Id<tags::IdvList>,
) -> Result<Option<ListRow>, DbError> {
    sql(select!("AND id = $2")).bind(tenant).bind(id).optional(source).await
}

/// Removes a list with everything on it; `false` if there is none.
pub async fn remove(tx: &Tx, tenant: &str, id: Id<tags::IdvList>) -> Result<bool, DbError> {
    let removed = sql("DELETE FROM idv_list WHERE tenant = $1 AND id = $2");
    Ok(removed.bind(tenant).bind(id).execute(tx).await? == 1)
}

/// Counts what was added or removed.
pub async fn count(
    tx: &Tx,
    tenant: &str,
    id: Id<tags::IdvList>,
    more: i64,
    now: Timestamp,
) -> Result<(), DbError> {
    sql("UPDATE idv_list SET size = size + $3, updated_at = $4 WHERE tenant = $1 AND id = $2")
        .bind(tenant)
        .bind(id)
        .bind(more)
        .bind(now)
        .execute(tx)
        .await
        .map(drop)
}

/// Adds an entry; of two of the same value the later end counts, and none at all is the latest. `false` if there was
/// one.
pub async fn put(
    tx: &Tx,
    tenant: &str,
    list: Id<tags::IdvList>,
    row: &ListEntryRow,
) -> Result<bool, DbError> {
    let known = sql("UPDATE idv_list_entry SET expires_at = CASE \
                     WHEN expires_at IS NULL OR CAST($4 AS BIGINT) IS NULL THEN NULL \
                     WHEN expires_at > CAST($4 AS BIGINT) THEN expires_at \
                     ELSE CAST($4 AS BIGINT) END \
                     WHERE tenant = $1 AND list_id = $2 AND digest = $3")
    .bind(tenant)
    .bind(list)
    .bind(&row.digest)
    .bind(row.expires_at)
    .execute(tx)
    .await?;
    if known > 0 {
        return Ok(false);
    }
    sql("INSERT INTO idv_list_entry (tenant, list_id, id, kind, digest, sealed, added_by, created_at, \
         expires_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)")
    .bind(tenant)
    .bind(list)
    .bind(row.id)
    .bind(&row.kind)
    .bind(&row.digest)
    .bind(row.sealed.as_slice())
    .bind(&row.added_by)
    .bind(row.created_at)
    .bind(row.expires_at)
    .execute(tx)
    .await?;
    Ok(true)
}

/// A page of what is on a list, after the id `after`.
pub async fn entries(
    source: impl Source,
    tenant: &str,
    list: Id<tags::IdvList>,
    after: &str,
    limit: i64,
) -> Result<Vec<ListEntryRow>, DbError> {
    sql("SELECT id, kind, digest, sealed, added_by, created_at, expires_at FROM idv_list_entry \
         WHERE tenant = $1 AND list_id = $2 AND id > $3 ORDER BY id LIMIT $4")
    .bind(tenant)
    .bind(list)
    .bind(after)
    .bind(limit)
    .all(source)
    .await
}

/// Removes an entry; `false` if there is none.
pub async fn remove_entry(
    tx: &Tx,
    tenant: &str,
    list: Id<tags::IdvList>,
    entry: Id<tags::IdvListEntry>,
) -> Result<bool, DbError> {
    let removed = sql("DELETE FROM idv_list_entry WHERE tenant = $1 AND list_id = $2 AND id = $3");
    Ok(removed.bind(tenant).bind(list).bind(entry).execute(tx).await? == 1)
}

/// Which of these digests, a JSON array, are on which lists.
pub async fn listed(
    source: impl Source,
    tenant: &str,
    digests: &str,
    now: Timestamp,
) -> Result<Vec<ListedRow>, DbError> {
    per(
        "SELECT l.name AS name, l.purpose AS purpose, e.kind AS kind, e.id AS id, \
         e.digest AS digest \
         FROM idv_list_entry e JOIN idv_list l ON l.tenant = e.tenant AND l.id = e.list_id \
         WHERE e.tenant = $1 AND e.digest IN (SELECT value FROM json_each($2)) \
         AND (e.expires_at IS NULL OR e.expires_at > $3) ORDER BY l.name, e.id",
        "SELECT l.name AS name, l.purpose AS purpose, e.kind AS kind, e.id AS id, \
         e.digest AS digest \
         FROM idv_list_entry e JOIN idv_list l ON l.tenant = e.tenant AND l.id = e.list_id \
         WHERE e.tenant = $1 AND e.digest IN (SELECT jsonb_array_elements_text($2::jsonb)) \
         AND (e.expires_at IS NULL OR e.expires_at > $3) ORDER BY l.name, e.id",
    )
    .bind(tenant)
    .bind(digests)
    .bind(now)
    .all(source)
    .await
}
