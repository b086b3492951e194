use std::collections::HashMap;

use portcullis_types::{Id, Timestamp, tags};

use crate::db::{DbError, Tx};
use crate::query::{Source, sql};

/// A row of `aml_subject`.
#[derive(Debug, Clone, sqlx::FromRow)]
pub struct SubjectRow {
    /// The subject.
    #[sqlx(try_from = "String")]
    pub id: Id<tags::AmlSubject>,
    /// How whoever had it screened calls it.
    pub reference: String,
    /// What is known about it, sealed.
    pub sealed: Vec<u8>,
    /// On what terms it is screened, as JSON.
    pub terms: String,
    /// The policy that the terms name.
    pub policy: String,
    /// Whether it is compared with each new version of the lists.
    pub monitored: bool,
    /// Whether it must be compared with all lists again.
    pub recheck: bool,
    /// Grows with each change.
    pub version: i64,
    /// When it was compared last.
    #[sqlx(try_from = "i64")]
    pub screened_at: Timestamp,
    /// With which versions of lists, under which policy, as JSON.
    pub screened_with: String,
    /// When it came.
    #[sqlx(try_from = "i64")]
    pub created_at: Timestamp,
    /// Grows when more is found against it than before, and when it is another person or not looked after any more.
    pub findings: i64,
}

macro_rules! select {
    ($rest:literal) => {
        concat!(
            "SELECT id, reference, sealed, terms, policy, monitored, recheck, version, screened_at, \
             screened_with, created_at, findings FROM aml_subject WHERE tenant = $1 ",
            $rest
        )
    };
}

/// Adds a subject.
pub async fn insert(tx: &Tx, tenant: &str, row: &SubjectRow) -> Result<(), DbError> {
    sql("INSERT INTO aml_subject (tenant, id, reference, sealed, terms, policy, monitored, recheck, \
         version, screened_at, screened_with, created_at) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)")
    .bind(tenant)
    .bind(row.id)
    .bind(&row.reference)
    .bind(row.sealed.as_slice())
    .bind(&row.terms)
    .bind(&row.policy)
    .bind(row.monitored)
    .bind(row.recheck)
    .bind(row.version)
    .bind(row.screened_at)
    .bind(&row.screened_with)
    .bind(row.created_at)
    .execute(tx)
    .await
    .map(drop)
}

/// Writes what may change of a subject as of version `before`; `false` if it changed meanwhile.
pub async fn update(tx: &Tx, tenant: &str, row: &SubjectRow, before: i64) -> Result<bool, DbError> {
    let changed =
        sql("UPDATE aml_subject SET sealed = $3, terms = $4, policy = $5, monitored = $6, \
                       recheck = $7, screened_at = $8, screened_with = $9, version = version + 1 \
                       WHERE tenant = $1 AND id = $2 AND version = $10")
        .bind(tenant)
        .bind(row.id)
        .bind(row.sealed.as_slice())
        .bind(&row.terms)
        .bind(&row.policy)
        .bind(row.monitored)
        .bind(row.recheck)
        .bind(row.screened_at)
        .bind(&row.screened_with)
        .bind(before)
        .execute(tx)
        .await?;
    Ok(changed == 1)
}

#[derive(sqlx::FromRow)]
struct Found {
    findings: i64,
}

/// Notes that more is found against a subject than before, or that it is not looked after as it was: what rested on it
/// does no more. Tells how often that was.
pub async fn found(tx: &Tx, tenant: &str, id: Id<tags::AmlSubject>) -> Result<i64, DbError> {
    let now: Option<Found> = sql("UPDATE aml_subject SET findings = findings + 1 \
                                  WHERE tenant = $1 AND id = $2 RETURNING findings")
    .bind(tenant)
    .bind(id)
    .optional(tx)
    .await?;
    Ok(now.map_or(0, |now| now.findings))
}

/// Removes a subject and its hits; whether there was one.
pub async fn remove(tx: &Tx, tenant: &str, id: Id<tags::AmlSubject>) -> Result<bool, DbError> {
    // What was told of it names it.
    sql("DELETE FROM idv_message WHERE tenant = $1 AND session_id = $2")
        .bind(tenant)
        .bind(id)
        .execute(tx)
        .await?;
    let query = sql("DELETE FROM aml_subject WHERE tenant = $1 AND id = $2");
    Ok(query.bind(tenant).bind(id).execute(tx).await? == 1)
}

/// The subject with this id.
pub async fn by_id(
    source: impl Source,
    tenant: &str,
    id: Id<tags::AmlSubject>,
) -> Result<Option<SubjectRow>, DbError> {
    sql(select!("AND id = $2")).bind(tenant).bind(id).optional(source).await
}

/// The subject that its owner calls so.
pub async fn by_reference(
    source: impl Source,
    tenant: &str,
    reference: &str,
) -> Result<Option<SubjectRow>, DbError> {
    sql(select!("AND reference = $2")).bind(tenant).bind(reference).optional(source).await
}

/// A page of subjects after the id `after`; all, or those that are monitored.
pub async fn page(
    source: impl Source,
    tenant: &str,
    only_monitored: bool,
    after: &str,
    limit: i64,
) -> Result<Vec<SubjectRow>, DbError> {
    let query = match only_monitored {
        true => return monitored_after(source, tenant, after, limit).await,
        false => sql(select!("AND id > $2 ORDER BY id LIMIT $3")),
    };
    query.bind(tenant).bind(after).bind(limit).all(source).await
}

/// Monitored subjects after the id `after`.
pub async fn monitored_after(
    source: impl Source,
    tenant: &str,
    after: &str,
    limit: i64,
) -> Result<Vec<SubjectRow>, DbError> {
    sql(select!("AND monitored AND id > $2 ORDER BY id LIMIT $3"))
        .bind(tenant)
        .bind(after)
        .bind(limit)
        .all(source)
        .await
}

/// Subjects after the id `after` that must be compared with all lists again.
pub async fn to_recheck(
    source: impl Source,
    tenant: &str,
    after: &str,
    limit: i64,
) -> Result<Vec<SubjectRow>, DbError> {
    sql(select!("AND recheck AND id > $2 ORDER BY id LIMIT $3"))
        .bind(tenant)
        .bind(after)
        .bind(limit)
        .all(source)
        .await
}

/// Notes that a subject must be compared with all lists again.
pub async fn mark(tx: &Tx, tenant: &str, id: Id<tags::AmlSubject>) -> Result<(), DbError> {
    sql("UPDATE aml_subject SET recheck = TRUE WHERE tenant = $1 AND id = $2")
        .bind(tenant)
        .bind(id)
        .execute(tx)
        .await
        .map(drop)
}

/// Notes that monitored subjects whose terms have this text must be compared with all lists again.
pub async fn mark_terms(tx: &Tx, tenant: &str, text: &str) -> Result<(), DbError> {
    sql("UPDATE aml_subject SET recheck = TRUE WHERE tenant = $1 AND monitored AND terms LIKE $2")
        .bind(tenant)
        .bind(format!("%{text}%"))
        .execute(tx)
        .await
        .map(drop)
}

#[derive(sqlx::FromRow)]
struct Version {
    id: String,
    version: i64,
}

/// The versions of the monitored subjects after `after` up to `last`.
pub async fn versions(
    tx: &Tx,
    tenant: &str,
    after: &str,
    last: &str,
) -> Result<HashMap<String, i64>, DbError> {
    let rows: Vec<Version> = sql("SELECT id, version FROM aml_subject \
                                  WHERE tenant = $1 AND monitored AND id > $2 AND id <= $3")
    .bind(tenant)
    .bind(after)
    .bind(last)
    .all(tx)
    .await?;
    Ok(rows.into_iter().map(|row| (row.id, row.version)).collect())
}

#[derive(sqlx::FromRow)]
struct PolicyName {
    policy: String,
}

/// The policies that subjects are screened under.
pub async fn policies(source: impl Source, tenant: &str) -> Result<Vec<String>, DbError> {
    let query = sql("SELECT DISTINCT policy FROM aml_subject WHERE tenant = $1 ORDER BY policy");
    let rows: Vec<PolicyName> = query.bind(tenant).all(source).await?;
    Ok(rows.into_iter().map(|row| row.policy).collect())
}
