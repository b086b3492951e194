//! Certificates of authorities that sign the signers of documents, and their revocation lists.

use crate::db::{DbError, Tx};
use crate::query::{Source, sql};

/// A row of `idv_trust`.
#[derive(Debug, Clone, PartialEq, Eq, sqlx::FromRow)]
pub struct TrustRow {
    /// SHA-256 of it, hexadecimal.
    pub fingerprint: String,
    /// `certificate` or `crl`.
    pub kind: String,
    /// Two letters.
    pub country: String,
    /// Whose certificate, or whose list, for people.
    pub subject: String,
    /// Since when it is in force.
    pub valid_from: i64,
    /// Until when; a list need not say.
    pub valid_until: Option<i64>,
    /// As it was imported.
    pub der: Vec<u8>,
    /// The file that it came with.
    pub source: String,
    /// When it was imported.
    pub imported_at: i64,
}

/// How often the table has changed.
pub async fn version(source: impl Source, tenant: &str) -> Result<i64, DbError> {
    let row = sql("SELECT version FROM idv_trust_version WHERE tenant = $1")
        .bind(tenant)
        .optional::<(i64,)>(source)
        .await?;
    Ok(row.map_or(0, |(version,)| version))
}

/// Everything, in the order in which it came.
pub async fn all(source: impl Source, tenant: &str) -> Result<Vec<TrustRow>, DbError> {
    sql("SELECT fingerprint, kind, country, subject, valid_from, valid_until, der, source, \
         imported_at FROM idv_trust WHERE tenant = $1 ORDER BY imported_at, fingerprint")
    .bind(tenant)
    .all(source)
    .await
}

/// Takes up one; whether it was not there.
pub async fn insert(tx: &Tx, tenant: &str, row: &TrustRow) -> Result<bool, DbError> {
    let inserted = sql("INSERT INTO idv_trust (tenant, fingerprint, kind, country, subject, \
                        valid_from, valid_until, der, source, imported_at) \
                        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10) \
                        ON CONFLICT (tenant, fingerprint) DO NOTHING")
    .bind(tenant)
    .bind(&row.fingerprint)
    .bind(&row.kind)
    .bind(&row.country)
    .bind(&row.subject)
    .bind(row.valid_from)
    .bind(row.valid_until)
    .bind(&*row.der)
    .bind(&row.source)
    .bind(row.imported_at)
    .execute(tx)
    .await?;
    Ok(inserted == 1)
}

/// Removes one; whether it was there.
pub async fn remove(tx: &Tx, tenant: &str, fingerprint: &str) -> Result<bool, DbError> {
    let removed = sql("DELETE FROM idv_trust WHERE tenant = $1 AND fingerprint = $2")
        .bind(tenant)
        .bind(fingerprint)
        .execute(tx)
        .await?;
    Ok(removed == 1)
}

/// Counts a change of the table.
pub async fn changed(tx: &Tx, tenant: &str) -> Result<(), DbError> {
    sql("INSERT INTO idv_trust_version (tenant, version) VALUES ($1, 1) \
         ON CONFLICT (tenant) DO UPDATE SET version = idv_trust_version.version + 1")
    .bind(tenant)
    .execute(tx)
    .await
    .map(drop)
}
