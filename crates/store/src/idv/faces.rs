//! Faces that are kept to be found again.

use portcullis_types::{Id, Timestamp, tags};

use crate::db::{DbError, Tx};
use crate::query::{Source, per, sql};

/// A face as it goes into memory.
#[derive(Debug, Clone, sqlx::FromRow)]
pub struct FaceRow {
    /// It.
    #[sqlx(try_from = "String")]
    pub id: Id<tags::Face>,
    /// Counts up.
    pub number: i64,
    /// The template, sealed.
    pub sealed: Vec<u8>,
}

/// Whose a face is.
#[derive(Debug, Clone, Copy)]
pub enum Whose {
    /// Of a person who goes through a session.
    Session(Id<tags::IdvSession>),
    /// Of an entry of a list.
    Entry(Id<tags::IdvList>, Id<tags::IdvListEntry>),
}

/// A face that is to be kept.
#[derive(Debug)]
pub struct NewFace<'a> {
    /// It.
    pub id: Id<tags::Face>,
    /// Whose it is.
    pub whose: Whose,
    /// SHA-256 of the model that made it.
    pub model: &'a str,
    /// The template, sealed.
    pub sealed: &'a [u8],
    /// When it goes.
    pub expires_at: Option<Timestamp>,
}

/// A face that was found, as it is now.
#[derive(Debug, Clone, sqlx::FromRow)]
pub struct FoundRow {
    /// It.
    #[sqlx(try_from = "String")]
    pub id: Id<tags::Face>,
    /// The session of the person.
    pub session_id: Option<String>,
    /// How whoever began that calls the person.
    pub reference: Option<String>,
    /// Whose account it is about.
    pub account_id: Option<String>,
    /// What became of the session.
    pub status: Option<String>,
    /// The list.
    pub list_name: Option<String>,
    /// Its purpose.
    pub purpose: Option<String>,
    /// The entry.
    pub entry_id: Option<String>,
}

/// Keeps a face, in the place of another one of the same session or entry. Numbers are given one after the other, so
/// that whoever has read up to one has missed none before it.
pub async fn put(tx: &Tx, tenant: &str, face: &NewFace<'_>, now: Timestamp) -> Result<(), DbError> {
    let (session, list, entry) = match face.whose {
        Whose::Session(session) => (Some(session.to_string()), None, None),
        Whose::Entry(list, entry) => (None, Some(list.to_string()), Some(entry.to_string())),
    };
    sql("INSERT INTO face_count (tenant, number) VALUES ($1, 1) \
         ON CONFLICT (tenant) DO UPDATE SET number = face_count.number + 1")
    .bind(tenant)
    .execute(tx)
    .await?;
    sql("DELETE FROM face_template WHERE tenant = $1 AND model = $2 \
         AND (session_id = $3 OR (list_id = $4 AND entry_id = $5))")
    .bind(tenant)
    .bind(face.model)
    .bind(session.clone())
    .bind(list.clone())
    .bind(entry.clone())
    .execute(tx)
    .await?;
    sql("INSERT INTO face_template (tenant, id, number, model, session_id, list_id, entry_id, is_proven, \
         sealed, created_at, expires_at) SELECT $1, $2, number, $3, $4, $5, $6, FALSE, $7, $8, $9 \
         FROM face_count WHERE tenant = $1")
    .bind(tenant)
    .bind(face.id)
    .bind(face.model)
    .bind(session)
    .bind(list)
    .bind(entry)
    .bind(face.sealed)
    .bind(now)
    .bind(face.expires_at.map(Timestamp::micros))
    .execute(tx)
    .await
    .map(drop)
}

/// The next faces of a model after a number.
pub async fn after(
    source: impl Source,
    tenant: &str,
    model: &str,
    number: i64,
    most: i64,
) -> Result<Vec<FaceRow>, DbError> {
    sql("SELECT id, number, sealed FROM face_template WHERE tenant = $1 AND model = $2 AND number > $3 \
         ORDER BY number LIMIT $4")
    .bind(tenant)
    .bind(model)
    .bind(number)
    .bind(most)
    .all(source)
    .await
}

/// Those of these faces, a JSON array of ids, that are still there, with whose they are.
pub async fn still(
    source: impl Source,
    tenant: &str,
    ids: &str,
    now: Timestamp,
) -> Result<Vec<FoundRow>, DbError> {
    macro_rules! text {
        ($ids:literal) => {
            concat!(
                "SELECT f.id, f.session_id, s.reference, s.account_id, s.status, l.name AS list_name, l.purpose, \
                 f.entry_id FROM face_template f \
                 LEFT JOIN idv_session s ON s.tenant = f.tenant AND s.id = f.session_id \
                 LEFT JOIN idv_list l ON l.tenant = f.tenant AND l.id = f.list_id \
                 WHERE f.tenant = $1 AND f.id IN (",
                $ids,
                ") AND (f.expires_at IS NULL OR f.expires_at > $3)"
            )
        };
    }
    per(
        text!("SELECT value FROM json_each($2)"),
        text!("SELECT jsonb_array_elements_text($2::jsonb)"),
    )
    .bind(tenant)
    .bind(ids)
    .bind(now)
    .all(source)
    .await
}

/// The faces that are kept of a person who was approved under this reference or account and is proven to be theirs, the
/// newest first.
pub async fn enrolled(
    source: impl Source,
    tenant: &str,
    (reference, account, model): (&str, &str, &str),
    (now, most): (Timestamp, i64),
) -> Result<Vec<FaceRow>, DbError> {
    sql("SELECT f.id, f.number, f.sealed FROM face_template f \
         JOIN idv_session s ON s.tenant = f.tenant AND s.id = f.session_id \
         WHERE f.tenant = $1 AND f.model = $4 AND f.is_proven AND s.status = 'approved' \
         AND ((s.account_id = $3 AND $3 <> '') \
         OR (s.reference = $2 AND $2 <> '' AND $3 = '' AND s.account_id IS NULL)) \
         AND (f.expires_at IS NULL OR f.expires_at > $5) ORDER BY f.number DESC LIMIT $6")
    .bind(tenant)
    .bind(reference)
    .bind(account)
    .bind(model)
    .bind(now)
    .bind(most)
    .all(source)
    .await
}

/// A face without what it looks like.
#[derive(Debug, Clone, Copy, sqlx::FromRow)]
pub struct NumberRow {
    /// It.
    #[sqlx(try_from = "String")]
    pub id: Id<tags::Face>,
    /// Counts up.
    pub number: i64,
}

/// Some of the faces of a model between two numbers, in their order.
pub async fn numbers(
    source: impl Source,
    tenant: &str,
    model: &str,
    (after, upto): (i64, i64),
) -> Result<Vec<NumberRow>, DbError> {
    sql("SELECT id, number FROM face_template WHERE tenant = $1 AND model = $2 AND number > $3 \
         AND number <= $4 ORDER BY number LIMIT 10000")
    .bind(tenant)
    .bind(model)
    .bind(after)
    .bind(upto)
    .all(source)
    .await
}

/// How many faces of a model there are up to a number.
pub async fn count(
    source: impl Source,
    tenant: &str,
    model: &str,
    number: i64,
) -> Result<i64, DbError> {
    let count: Option<(i64,)> = sql("SELECT COUNT(*) FROM face_template \
                                     WHERE tenant = $1 AND model = $2 AND number <= $3")
    .bind(tenant)
    .bind(model)
    .bind(number)
    .optional(source)
    .await?;
    Ok(count.map_or(0, |(count,)| count))
}

/// Faces that another model made, which cannot be compared: whether there are some of people, and the names of the lists
/// on which there are some.
pub async fn of_others(
    source: impl Source + Copy,
    tenant: &str,
    model: &str,
    now: Timestamp,
) -> Result<(bool, Vec<String>), DbError> {
    // Two ranges of an index, where `<>` would look at every face at each search.
    let one: Option<(String,)> = sql("SELECT id FROM face_template \
         WHERE tenant = $1 AND (model < $2 OR model > $2) AND COALESCE(session_id, '') <> '' \
         AND (expires_at IS NULL OR expires_at > $3) LIMIT 1")
    .bind(tenant)
    .bind(model)
    .bind(now)
    .optional(source)
    .await?;
    let lists: Vec<(String,)> = sql("SELECT DISTINCT l.name FROM face_template f \
         JOIN idv_list l ON l.tenant = f.tenant AND l.id = f.list_id \
         WHERE f.tenant = $1 AND (f.model < $2 OR f.model > $2) AND (f.expires_at IS NULL OR f.expires_at > $3) \
         ORDER BY l.name")
    .bind(tenant)
    .bind(model)
    .bind(now)
    .all(source)
    .await?;
    Ok((one.is_some(), lists.into_iter().map(|(name,)| name).collect()))
}

/// Says of the face of a session that it is proven whose it is.
pub async fn prove(tx: &Tx, tenant: &str, session: Id<tags::IdvSession>) -> Result<(), DbError> {
    sql("UPDATE face_template SET is_proven = TRUE WHERE tenant = $1 AND session_id = $2")
        .bind(tenant)
        .bind(session)
        .execute(tx)
        .await
        .map(drop)
}

/// Forgets the face of a session.
pub async fn remove(tx: &Tx, tenant: &str, session: Id<tags::IdvSession>) -> Result<(), DbError> {
    sql("DELETE FROM face_template WHERE tenant = $1 AND session_id = $2")
        .bind(tenant)
        .bind(session)
        .execute(tx)
        .await
        .map(drop)
}

/// Forgets the faces of an account.
pub async fn remove_of(tx: &Tx, tenant: &str, account: &str) -> Result<(), DbError> {
    sql("DELETE FROM face_template WHERE tenant = $1 AND session_id IN \
         (SELECT id FROM idv_session WHERE tenant = $1 AND (account_id = $2 OR reference = $2))")
    .bind(tenant)
    .bind(account)
    .execute(tx)
    .await
    .map(drop)
}
