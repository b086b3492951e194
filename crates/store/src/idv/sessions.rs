//! Sessions of verification: what happened to them, and what has to be brought about.

use portcullis_types::{Id, Timestamp, tags};

use crate::db::{DbError, Tx};
use crate::query::{Source, sql};

/// A row of `idv_session`.
#[derive(Debug, Clone, sqlx::FromRow)]
pub struct SessionRow {
    /// The session.
    #[sqlx(try_from = "String")]
    pub id: Id<tags::IdvSession>,
    /// Its workflow.
    #[sqlx(try_from = "String")]
    pub workflow_id: Id<tags::Workflow>,
    /// The version to which it is pinned.
    pub workflow_version: i64,
    /// How whoever began it calls the person; empty if they did not say.
    pub reference: String,
    /// Whose account it is about, if it is about one.
    pub account_id: Option<String>,
    /// Whose account looks after it.
    pub assignee: Option<String>,
    /// Where it is.
    pub status: String,
    /// How many events there are.
    pub version: i64,
    /// How many messages there were to receivers of webhooks.
    pub messages: i64,
    /// The key of what is sealed, itself sealed; `None` once it was erased.
    pub key: Option<Vec<u8>>,
    /// What was given when it began, sealed.
    pub given: Vec<u8>,
    /// In whose queue a review is; empty if there is none.
    pub queue: String,
    /// Since when people are to decide.
    pub in_review_since: Option<i64>,
    /// By when.
    pub review_due: Option<i64>,
    /// Until when the person has time.
    pub deadline: Option<i64>,
    /// When it began.
    #[sqlx(try_from = "i64")]
    pub created_at: Timestamp,
    /// When something happened last.
    #[sqlx(try_from = "i64")]
    pub updated_at: Timestamp,
    /// When it was over.
    pub ended_at: Option<i64>,
    /// When it goes.
    pub expires_at: Option<i64>,
    /// When its key was destroyed.
    pub erased_at: Option<i64>,
    /// By which passkey the owner of the account was logged in who began it themselves, empty if by none; `None` if
    /// somebody else began it.
    pub passkey_id: Option<String>,
}

/// A row of `idv_session_event`.
#[derive(Debug, Clone, sqlx::FromRow)]
pub struct EventRow {
    /// From 1.
    pub number: i64,
    /// What happened, in a word.
    pub kind: String,
    /// When.
    #[sqlx(try_from = "i64")]
    pub at: Timestamp,
    /// All of it, sealed.
    pub sealed: Vec<u8>,
}

/// A row of `idv_effect`.
#[derive(Debug, Clone, PartialEq, Eq, sqlx::FromRow)]
pub struct EffectRow {
    /// Of which session.
    #[sqlx(try_from = "String")]
    pub session_id: Id<tags::IdvSession>,
    /// For which of its tasks.
    pub task: i64,
    /// `perform`, `timer`, or `call` where somebody else is asked.
    pub kind: String,
    /// Who is asked, of a call.
    pub provider: String,
    /// Not before.
    #[sqlx(try_from = "i64")]
    pub due_at: Timestamp,
    /// How often somebody took it before.
    pub tries: i64,
}

impl SessionRow {
    /// Whose account it is about, if it is about one.
    pub fn account(&self) -> Option<Id<tags::User>> {
        self.account_id.as_deref()?.parse().ok()
    }
}

macro_rules! select {
    ($rest:literal) => {
        concat!(
            "SELECT id, workflow_id, workflow_version, reference, account_id, assignee, status, version, messages, \
             key, given, queue, in_review_since, review_due, deadline, created_at, updated_at, ended_at, \
             expires_at, erased_at, passkey_id FROM idv_session WHERE ",
            $rest
        )
    };
}

/// Adds a session.
pub async fn insert(tx: &Tx, tenant: &str, row: &SessionRow) -> Result<(), DbError> {
    sql("INSERT INTO idv_session (tenant, id, workflow_id, workflow_version, reference, status, \
         version, key, given, queue, in_review_since, review_due, deadline, created_at, \
         updated_at, ended_at, expires_at, messages, account_id, passkey_id) VALUES \
         ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20)")
    .bind(tenant)
    .bind(row.id)
    .bind(row.workflow_id)
    .bind(row.workflow_version)
    .bind(&row.reference)
    .bind(&row.status)
    .bind(row.version)
    .bind(row.key.clone().unwrap_or_default())
    .bind(row.given.as_slice())
    .bind(&row.queue)
    .bind(row.in_review_since)
    .bind(row.review_due)
    .bind(row.deadline)
    .bind(row.created_at)
    .bind(row.updated_at)
    .bind(row.ended_at)
    .bind(row.expires_at)
    .bind(row.messages)
    .bind(row.account_id.as_deref())
    .bind(row.passkey_id.as_deref())
    .later(tx)
    .await
}

/// Writes what may change of a session as of version `before`; `false` if it changed meanwhile.
pub async fn update(tx: &Tx, tenant: &str, row: &SessionRow, before: i64) -> Result<bool, DbError> {
    let changed = sql("UPDATE idv_session SET status = $3, version = $4, queue = $5, \
                       in_review_since = $6, review_due = $7, deadline = $8, updated_at = $9, \
                       ended_at = $10, expires_at = $11, messages = $13 \
                       WHERE tenant = $1 AND id = $2 AND version = $12 AND erased_at IS NULL")
    .bind(tenant)
    .bind(row.id)
    .bind(&row.status)
    .bind(row.version)
    .bind(&row.queue)
    .bind(row.in_review_since)
    .bind(row.review_due)
    .bind(row.deadline)
    .bind(row.updated_at)
    .bind(row.ended_at)
    .bind(row.expires_at)
    .bind(before)
    .bind(row.messages)
    .execute(tx)
    .await?;
    Ok(changed == 1)
}

/// Destroys the key of a session and everything that was sealed with it; `false` if that was done before. One
/// that was not over is cancelled by that, and its row goes at `expires_at`.
pub async fn erase(
    tx: &Tx,
    tenant: &str,
    id: Id<tags::IdvSession>,
    now: Timestamp,
    expires_at: Timestamp,
) -> Result<bool, DbError> {
    let erased =
        sql("UPDATE idv_session SET key = NULL, given = $3, reference = '', account_id = NULL, \
                      assignee = NULL, \
                      erased_at = $4, updated_at = $4, deadline = NULL, queue = '', \
                      in_review_since = NULL, review_due = NULL, \
                      messages = messages + CASE WHEN ended_at IS NULL THEN 2 ELSE 1 END, \
                      status = CASE WHEN ended_at IS NULL THEN 'cancelled' ELSE status END, \
                      ended_at = COALESCE(ended_at, $4), expires_at = COALESCE(expires_at, $5) \
                      WHERE tenant = $1 AND id = $2 AND erased_at IS NULL")
        .bind(tenant)
        .bind(id)
        .bind(Vec::new())
        .bind(now)
        .bind(expires_at)
        .execute(tx)
        .await?;
    for text in [
        "DELETE FROM idv_session_event WHERE tenant = $1 AND session_id = $2",
        "DELETE FROM verified_identity WHERE tenant = $1 AND session_id = $2",
        "UPDATE account_proof SET is_proven = FALSE, passkey_id = NULL, subject_id = NULL, findings = NULL \
         WHERE tenant = $1 AND session_id = $2 AND is_proven AND person_session <> $2",
        "DELETE FROM account_proof WHERE tenant = $1 AND session_id = $2 AND is_proven",
        "UPDATE account_proof SET person = '', person_session = NULL WHERE tenant = $1 AND person_session = $2",
        "DELETE FROM idv_code WHERE tenant = $1 AND session_id = $2",
        "DELETE FROM mail_outbox WHERE tenant = $1 AND session_id = $2",
        "DELETE FROM idv_seen WHERE tenant = $1 AND session_id = $2",
        "DELETE FROM idv_picture WHERE tenant = $1 AND session_id = $2",
        "DELETE FROM face_template WHERE tenant = $1 AND session_id = $2",
        "DELETE FROM idv_signal WHERE tenant = $1 AND session_id = $2",
        "DELETE FROM presentation WHERE tenant = $1 AND session_id = $2",
        "DELETE FROM idv_note WHERE tenant = $1 AND session_id = $2",
        "DELETE FROM idv_evidence WHERE tenant = $1 AND session_id = $2",
        "DELETE FROM idv_effect WHERE tenant = $1 AND session_id = $2",
        "DELETE FROM idv_idempotency WHERE tenant = $1 AND session_id = $2",
        "DELETE FROM idv_message WHERE tenant = $1 AND session_id = $2",
    ] {
        sql(text).bind(tenant).bind(id).execute(tx).await?;
    }
    Ok(erased == 1)
}

/// The session with this id.
pub async fn by_id(
    source: impl Source,
    tenant: &str,
    id: Id<tags::IdvSession>,
) -> Result<Option<SessionRow>, DbError> {
    sql(select!("tenant = $1 AND id = $2")).bind(tenant).bind(id).optional(source).await
}

/// Which sessions; what is empty does not count.
#[derive(Debug, Clone, Copy, Default)]
pub struct SessionFilter<'a> {
    /// That are here.
    pub status: &'a str,
    /// Of whom their beginner calls so.
    pub reference: &'a str,
    /// Of this workflow.
    pub workflow: &'a str,
    /// In this queue of reviews.
    pub queue: &'a str,
    /// About this account.
    pub account: &'a str,
    /// That this account looks after.
    pub assignee: &'a str,
}

/// A page of sessions, after the id `after`.
pub async fn page(
    source: impl Source,
    tenant: &str,
    filter: SessionFilter<'_>,
    after: &str,
    limit: i64,
) -> Result<Vec<SessionRow>, DbError> {
    sql(select!(
        "tenant = $1 AND id > $2 AND ($3 = '' OR status = $3) AND ($4 = '' OR reference = $4) \
         AND ($5 = '' OR workflow_id = $5) AND ($6 = '' OR queue = $6) \
         AND ($8 = '' OR account_id = $8) AND ($9 = '' OR assignee = $9) ORDER BY id LIMIT $7"
    ))
    .bind(tenant)
    .bind(after)
    .bind(filter.status)
    .bind(filter.reference)
    .bind(filter.workflow)
    .bind(filter.queue)
    .bind(limit)
    .bind(filter.account)
    .bind(filter.assignee)
    .all(source)
    .await
}

/// The newest session of the workflow about an account that goes on, begun by its owner while they were logged in by this
/// passkey (by none if it is empty), or, where that is `also`, by somebody else.
pub async fn going_about(
    source: impl Source,
    tenant: &str,
    account: Id<tags::User>,
    workflow: Id<tags::Workflow>,
    (passkey, also): (&str, bool),
) -> Result<Option<SessionRow>, DbError> {
    sql(select!(
        "tenant = $1 AND account_id = $2 AND workflow_id = $3 AND ended_at IS NULL \
         AND (passkey_id = $4 OR $5 AND passkey_id IS NULL) \
         ORDER BY created_at DESC, id DESC LIMIT 1"
    ))
    .bind(tenant)
    .bind(account)
    .bind(workflow)
    .bind(passkey)
    .bind(also)
    .optional(source)
    .await
}

/// The last sessions of a workflow that were decided, the newest first.
pub async fn decided(
    source: impl Source,
    tenant: &str,
    workflow: Id<tags::Workflow>,
    limit: i64,
) -> Result<Vec<SessionRow>, DbError> {
    sql(select!(
        "tenant = $1 AND workflow_id = $2 AND status IN ('approved', 'declined') \
         AND erased_at IS NULL ORDER BY id DESC LIMIT $3"
    ))
    .bind(tenant)
    .bind(workflow)
    .bind(limit)
    .all(source)
    .await
}

/// Sessions whose person has no time left.
pub async fn overdue(
    source: impl Source,
    tenant: &str,
    now: Timestamp,
    limit: i64,
) -> Result<Vec<SessionRow>, DbError> {
    sql(select!("tenant = $1 AND deadline <= $2 ORDER BY deadline LIMIT $3"))
        .bind(tenant)
        .bind(now)
        .bind(limit)
        .all(source)
        .await
}

/// Adds what happened. A number that is taken is an error: somebody else was faster.
pub async fn append(
    tx: &Tx,
    tenant: &str,
    session: Id<tags::IdvSession>,
    row: &EventRow,
) -> Result<(), DbError> {
    sql("INSERT INTO idv_session_event (tenant, session_id, number, kind, at, sealed) \
         VALUES ($1, $2, $3, $4, $5, $6)")
    .bind(tenant)
    .bind(session)
    .bind(row.number)
    .bind(&row.kind)
    .bind(row.at)
    .bind(row.sealed.as_slice())
    .later(tx)
    .await
}

/// What happened after `after`, in order.
pub async fn events(
    source: impl Source,
    tenant: &str,
    session: Id<tags::IdvSession>,
    after: i64,
    limit: i64,
) -> Result<Vec<EventRow>, DbError> {
    sql("SELECT number, kind, at, sealed FROM idv_session_event \
         WHERE tenant = $1 AND session_id = $2 AND number > $3 ORDER BY number LIMIT $4")
    .bind(tenant)
    .bind(session)
    .bind(after)
    .bind(limit)
    .all(source)
    .await
}

/// Adds something to bring about.
pub async fn add_effect(tx: &Tx, tenant: &str, row: &EffectRow) -> Result<(), DbError> {
    sql("INSERT INTO idv_effect (tenant, session_id, task, kind, due_at, tries, provider) \
         VALUES ($1, $2, $3, $4, $5, 0, $6)")
    .bind(tenant)
    .bind(row.session_id)
    .bind(row.task)
    .bind(&row.kind)
    .bind(row.due_at)
    .bind(&row.provider)
    .later(tx)
    .await
}

/// Nothing has to be brought about for a task any more.
pub async fn drop_task(
    tx: &Tx,
    tenant: &str,
    session: Id<tags::IdvSession>,
    task: i64,
) -> Result<(), DbError> {
    sql("DELETE FROM idv_effect WHERE tenant = $1 AND session_id = $2 AND task = $3")
        .bind(tenant)
        .bind(session)
        .bind(task)
        .execute(tx)
        .await
        .map(drop)
}

/// One effect has been brought about, or never will be.
pub async fn drop_effect(tx: &Tx, tenant: &str, row: &EffectRow) -> Result<(), DbError> {
    sql("DELETE FROM idv_effect WHERE tenant = $1 AND session_id = $2 AND task = $3 AND kind = $4")
        .bind(tenant)
        .bind(row.session_id)
        .bind(row.task)
        .bind(&row.kind)
        .execute(tx)
        .await
        .map(drop)
}

/// Takes what is due, the oldest first. Nobody else gets it before `until`, so that it is taken again only if
/// whoever took it is gone by then.
pub async fn take_effects(
    tx: &Tx,
    tenant: &str,
    provider: Option<&str>,
    (now, until, limit): (Timestamp, Timestamp, i64),
) -> Result<Vec<EffectRow>, DbError> {
    sql("UPDATE idv_effect SET due_at = $3, tries = tries + 1 \
         WHERE tenant = $1 AND (session_id, task, kind) IN \
         (SELECT session_id, task, kind FROM idv_effect WHERE tenant = $1 AND due_at <= $2 \
          AND (kind = 'call') = $5 AND provider = $6 ORDER BY due_at LIMIT $4) \
         RETURNING session_id, task, kind, provider, due_at, tries")
    .bind(tenant)
    .bind(now)
    .bind(until)
    .bind(limit)
    .bind(provider.is_some())
    .bind(provider.unwrap_or_default())
    .all(tx)
    .await
}

#[derive(sqlx::FromRow)]
struct Asked {
    provider: String,
}

/// Who is to be asked something now.
pub async fn due_providers(
    source: impl Source,
    tenant: &str,
    now: Timestamp,
) -> Result<Vec<String>, DbError> {
    let asked: Vec<Asked> = sql("SELECT DISTINCT provider FROM idv_effect \
                                 WHERE tenant = $1 AND kind = 'call' AND due_at <= $2")
    .bind(tenant)
    .bind(now)
    .all(source)
    .await?;
    Ok(asked.into_iter().map(|asked| asked.provider).collect())
}

/// What has to be brought about for one session.
pub async fn effects_of(
    source: impl Source,
    tenant: &str,
    session: Id<tags::IdvSession>,
) -> Result<Vec<EffectRow>, DbError> {
    sql("SELECT session_id, task, kind, provider, due_at, tries FROM idv_effect \
         WHERE tenant = $1 AND session_id = $2 ORDER BY task, kind")
    .bind(tenant)
    .bind(session)
    .all(source)
    .await
}
