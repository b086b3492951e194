use portcullis_types::{Id, Timestamp, tags};

use crate::db::{DbError, Tx};
use crate::query::{Source, sql};

/// A row of `aml_hit`, with the reference of its subject.
#[derive(Debug, Clone, PartialEq, Eq, sqlx::FromRow)]
pub struct HitRow {
    /// The hit.
    #[sqlx(try_from = "String")]
    pub id: Id<tags::AmlHit>,
    /// Who was screened.
    #[sqlx(try_from = "String")]
    pub subject_id: Id<tags::AmlSubject>,
    /// How whoever had it screened calls the subject.
    pub reference: String,
    /// The list.
    pub list: String,
    /// The entity on it.
    pub entity_id: String,
    /// The version of the list with which it was compared last.
    pub list_version: String,
    /// The score in ten-thousandths.
    pub score: i64,
    /// The entity as it is listed, as JSON.
    pub entity: String,
    /// Why it is a hit, sealed.
    pub reasons: Vec<u8>,
    /// `Unreviewed`, `Confirmed Match`, `False Positive` or `Inconclusive`.
    pub state: String,
    /// Why it is in this state, sealed; empty if nobody said.
    pub note: Vec<u8>,
    /// By whom; empty if by nobody.
    pub decided_by: String,
    /// When.
    pub decided_at: Option<i64>,
    /// Until when the subject may be taken for somebody else whatever the list says.
    pub allowed_until: Option<i64>,
    /// The state that somebody has proposed; empty if nobody has.
    pub proposed_state: String,
    /// Why, sealed.
    pub proposed_note: Vec<u8>,
    /// Who has.
    pub proposed_by: String,
    /// When.
    pub proposed_at: Option<i64>,
    /// Until when it is to be allowed.
    pub proposed_until: Option<i64>,
    /// Grows with each change.
    pub version: i64,
    /// When it was found first.
    #[sqlx(try_from = "i64")]
    pub first_seen_at: Timestamp,
    /// When it was found last.
    #[sqlx(try_from = "i64")]
    pub last_seen_at: Timestamp,
    /// Since when it is none any more.
    pub gone_at: Option<i64>,
}

macro_rules! select {
    ($rest:literal) => {
        concat!(
            "SELECT h.id, h.subject_id, s.reference, h.list, h.entity_id, h.list_version, h.score, \
             h.entity, h.reasons, h.state, h.note, h.decided_by, h.decided_at, h.allowed_until, \
             h.proposed_state, h.proposed_note, h.proposed_by, h.proposed_at, h.proposed_until, \
             h.version, h.first_seen_at, h.last_seen_at, h.gone_at \
             FROM aml_hit h JOIN aml_subject s ON s.tenant = h.tenant AND s.id = h.subject_id \
             WHERE h.tenant = $1 ",
            $rest
        )
    };
}

/// Adds a hit.
pub async fn insert(tx: &Tx, tenant: &str, row: &HitRow) -> Result<(), DbError> {
    sql("INSERT INTO aml_hit (tenant, id, subject_id, list, entity_id, list_version, score, entity, \
         reasons, state, note, proposed_note, version, first_seen_at, last_seen_at) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15)")
    .bind(tenant)
    .bind(row.id)
    .bind(row.subject_id)
    .bind(&row.list)
    .bind(&row.entity_id)
    .bind(&row.list_version)
    .bind(row.score)
    .bind(&row.entity)
    .bind(row.reasons.as_slice())
    .bind(&row.state)
    .bind(row.note.as_slice())
    .bind(row.proposed_note.as_slice())
    .bind(row.version)
    .bind(row.first_seen_at)
    .bind(row.last_seen_at)
    .execute(tx)
    .await
    .map(drop)
}

/// Writes what may change of a hit as of version `before`; `false` if it changed meanwhile.
pub async fn update(tx: &Tx, tenant: &str, row: &HitRow, before: i64) -> Result<bool, DbError> {
    let changed =
        sql("UPDATE aml_hit SET list_version = $3, score = $4, entity = $5, reasons = $6, \
                       state = $7, note = $8, decided_by = $9, decided_at = $10, \
                       allowed_until = $11, proposed_state = $12, proposed_note = $13, \
                       proposed_by = $14, proposed_at = $15, proposed_until = $16, \
                       last_seen_at = $17, gone_at = $18, version = version + 1 \
                       WHERE tenant = $1 AND id = $2 AND version = $19")
        .bind(tenant)
        .bind(row.id)
        .bind(&row.list_version)
        .bind(row.score)
        .bind(&row.entity)
        .bind(row.reasons.as_slice())
        .bind(&row.state)
        .bind(row.note.as_slice())
        .bind(&row.decided_by)
        .bind(row.decided_at)
        .bind(row.allowed_until)
        .bind(&row.proposed_state)
        .bind(row.proposed_note.as_slice())
        .bind(&row.proposed_by)
        .bind(row.proposed_at)
        .bind(row.proposed_until)
        .bind(row.last_seen_at)
        .bind(row.gone_at)
        .bind(before)
        .execute(tx)
        .await?;
    Ok(changed == 1)
}

/// The hit with this id.
pub async fn by_id(
    source: impl Source,
    tenant: &str,
    id: Id<tags::AmlHit>,
) -> Result<Option<HitRow>, DbError> {
    sql(select!("AND h.id = $2")).bind(tenant).bind(id).optional(source).await
}

/// Everything that was ever a hit of a subject, in order of lists and entities.
pub async fn of_subject(
    source: impl Source,
    tenant: &str,
    subject: Id<tags::AmlSubject>,
) -> Result<Vec<HitRow>, DbError> {
    sql(select!("AND h.subject_id = $2 ORDER BY h.list, h.entity_id"))
        .bind(tenant)
        .bind(subject)
        .all(source)
        .await
}

/// What was ever a hit on one list, of the subjects after `after` up to `last`.
pub async fn of_subjects(
    source: impl Source,
    tenant: &str,
    list: &str,
    after: &str,
    last: &str,
) -> Result<Vec<HitRow>, DbError> {
    sql(select!(
        "AND h.list = $2 AND h.subject_id > $3 AND h.subject_id <= $4 \
         ORDER BY h.subject_id, h.entity_id"
    ))
    .bind(tenant)
    .bind(list)
    .bind(after)
    .bind(last)
    .all(source)
    .await
}

/// Which hits.
#[derive(Debug, Clone, Default)]
pub struct HitFilter<'a> {
    /// In this state.
    pub state: &'a str,
    /// Of this subject; empty for all.
    pub subject: &'a str,
    /// Only those that somebody has proposed another state for.
    pub proposed: bool,
    /// Only those on the allow list of their subject at this time.
    pub allowed_at: Option<Timestamp>,
}

/// A page of hits that are still hits, after the id `after`.
pub async fn page(
    source: impl Source,
    tenant: &str,
    filter: &HitFilter<'_>,
    after: &str,
    limit: i64,
) -> Result<Vec<HitRow>, DbError> {
    sql(select!(
        "AND h.gone_at IS NULL AND h.id > $2 AND ($3 = '' OR h.state = $3) \
         AND ($4 = '' OR h.subject_id = $4) AND (NOT $5 OR h.proposed_state <> '') \
         AND ($6 = 0 OR h.allowed_until > $6) ORDER BY h.id LIMIT $7"
    ))
    .bind(tenant)
    .bind(after)
    .bind(filter.state)
    .bind(filter.subject)
    .bind(filter.proposed)
    .bind(filter.allowed_at.map_or(0, Timestamp::micros))
    .bind(limit)
    .all(source)
    .await
}

/// Hits whose time on the allow list is over.
pub async fn expired(
    source: impl Source,
    tenant: &str,
    now: Timestamp,
    limit: i64,
) -> Result<Vec<HitRow>, DbError> {
    sql(select!("AND h.allowed_until <= $2 ORDER BY h.allowed_until LIMIT $3"))
        .bind(tenant)
        .bind(now)
        .bind(limit)
        .all(source)
        .await
}
