//! What must leave the database after a commit: events for the log, mails for people.

use aws_lc_rs::hmac;
use portcullis_events::Event;
use portcullis_types::Timestamp;

use crate::db::{Db, DbError, Tx};
use crate::query::{Source, per, sql};

/// Rows handled at once.
const BATCH: i64 = 500;

pub(crate) async fn put_event(
    tx: &Tx,
    event: &Event,
    leaf: &[u8],
    key: Option<&hmac::Key>,
) -> Result<(), DbError> {
    let id = event.id.to_string();
    let mac = key.map(|key| hmac::sign(key, &vouched(&id, event.time, leaf)).as_ref().to_vec());
    sql("INSERT INTO event_outbox (tenant, event_id, leaf, created_at, mac) VALUES ($1, $2, $3, $4, $5)")
        .bind(&event.tenant)
        .bind(id)
        .bind(leaf)
        .bind(event.time)
        .bind(mac.unwrap_or_default())
        .later(tx)
        .await
}

/// What the key of the outbox vouches for.
fn vouched(id: &str, created_at: Timestamp, leaf: &[u8]) -> Vec<u8> {
    [id.as_bytes(), b"\0", &created_at.micros().to_be_bytes(), leaf].concat()
}

/// A row of `event_outbox`.
#[derive(Debug, sqlx::FromRow)]
pub struct PendingEvent {
    /// The event.
    pub event_id: String,
    /// The entry for the log.
    pub leaf: Vec<u8>,
    /// When it happened.
    #[sqlx(try_from = "i64")]
    pub created_at: Timestamp,
    mac: Option<Vec<u8>>,
}

impl Db {
    /// Whether an event was put there by somebody with the key of this installation. Without a key nothing was.
    pub fn vouches_for(&self, event: &PendingEvent) -> bool {
        let said = vouched(&event.event_id, event.created_at, &event.leaf);
        let mac = event.mac.as_deref().unwrap_or_default();
        self.outbox_key().is_some_and(|key| hmac::verify(&key, &said, mac).is_ok())
    }
}

/// Events that committed but that nobody is recording: left by a crash, or by the command line.
pub async fn stranded_events(db: &Db) -> Result<Vec<PendingEvent>, DbError> {
    // SQLite keeps whatever somebody wrote there: that one row cannot be read must not stop the others.
    let rows: Vec<PendingEvent> = per(
        "SELECT CAST(event_id AS TEXT) AS event_id, CAST(leaf AS BLOB) AS leaf, \
         CAST(created_at AS INTEGER) AS created_at, CAST(mac AS BLOB) AS mac FROM event_outbox \
         ORDER BY event_id LIMIT $1",
        "SELECT event_id, leaf, created_at, mac FROM event_outbox ORDER BY event_id LIMIT $1",
    )
    .bind(BATCH)
    .all(db)
    .await?;
    Ok(rows.into_iter().filter(|row| !db.is_in_flight(&row.event_id)).collect())
}

/// Removes the rows of events that are durable: those recorded at commit, and `also`.
pub async fn clear_events(db: &Db, also: &[String]) -> Result<(), DbError> {
    let mut done = db.recorded_events();
    done.extend_from_slice(also);
    if done.is_empty() {
        return Ok(());
    }
    let ids = &done;
    db.write(|tx| async move {
        if db.is_sqlite() {
            // All in one look at the table, since its key begins with the tenant.
            let all = serde_json::to_string(ids).map_err(|_| DbError::Stored("event id"))?;
            let remove =
                sql("DELETE FROM event_outbox WHERE event_id IN (SELECT value FROM json_each($1))");
            return remove.bind(all).execute(&tx).await.map(drop);
        }
        for id in ids {
            sql("DELETE FROM event_outbox WHERE event_id = $1").bind(id).execute(&tx).await?;
        }
        Ok::<_, DbError>(())
    })
    .await?;
    db.forget_ids(&done);
    Ok(())
}

/// How a message leaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MessageKind {
    /// A mail.
    Mail,
    /// A text message.
    Sms,
}

impl MessageKind {
    fn as_str(self) -> &'static str {
        match self {
            Self::Mail => "mail",
            Self::Sms => "sms",
        }
    }
}

/// A row of `mail_outbox`.
#[derive(Debug, sqlx::FromRow)]
pub struct PendingMessage {
    /// The tenant it is sent for.
    pub tenant: String,
    /// The message.
    pub id: String,
    /// All of it, sealed.
    pub sealed: Vec<u8>,
    /// How often it was taken to be sent, this time among them: by that it is known whose it is.
    pub attempts: i64,
}

/// Queues a message; it leaves only if the transaction commits. What is about a session of verification goes with it.
pub async fn put_message(
    tx: &Tx,
    tenant: &str,
    (kind, id, session): (MessageKind, &str, &str),
    sealed: Vec<u8>,
    now: Timestamp,
) -> Result<(), DbError> {
    sql("INSERT INTO mail_outbox (tenant, id, channel, session_id, sealed, created_at, next_at, attempts) \
         VALUES ($1, $2, $3, $4, $5, $6, $6, 0)")
    .bind(tenant)
    .bind(id)
    .bind(kind.as_str())
    .bind(session)
    .bind(sealed)
    .bind(now)
    .execute(tx)
    .await?;
    Ok(())
}

/// Takes messages whose time has come, those that were tried least first. Whoever takes them has until `until` to send
/// them; then they are somebody else's.
pub async fn take_messages(
    tx: &Tx,
    kind: MessageKind,
    (now, until, most): (Timestamp, Timestamp, usize),
) -> Result<Vec<PendingMessage>, DbError> {
    let most = i64::try_from(most).unwrap_or(BATCH).min(BATCH);
    let due = sql("SELECT tenant, id, sealed, attempts FROM mail_outbox \
                   WHERE channel = $1 AND next_at <= $2 ORDER BY attempts, next_at, id LIMIT $3");
    let due: Vec<PendingMessage> = due.bind(kind.as_str()).bind(now).bind(most).all(tx).await?;
    let mut taken = Vec::with_capacity(due.len());
    for message in due {
        // Also one that ends whoever tries it is given up some day.
        let message = PendingMessage { attempts: message.attempts + 1, ..message };
        sql("UPDATE mail_outbox SET next_at = $3, attempts = $4 WHERE tenant = $1 AND id = $2")
            .bind(&message.tenant)
            .bind(&message.id)
            .bind(until)
            .bind(message.attempts)
            .execute(tx)
            .await?;
        taken.push(message);
    }
    Ok(taken)
}

/// Whether a message of a kind is due: most of the time none is, and nothing has to be written to know that.
pub async fn has_message(
    source: impl Source,
    kind: MessageKind,
    now: Timestamp,
) -> Result<bool, DbError> {
    let due = sql("SELECT tenant, id, sealed, attempts FROM mail_outbox \
                   WHERE channel = $1 AND next_at <= $2 LIMIT 1");
    let due: Option<PendingMessage> = due.bind(kind.as_str()).bind(now).optional(source).await?;
    Ok(due.is_some())
}

/// Forgets a message that was sent or given up, unless somebody else has taken it since.
pub async fn remove_message(tx: &Tx, message: &PendingMessage) -> Result<(), DbError> {
    sql("DELETE FROM mail_outbox WHERE tenant = $1 AND id = $2 AND attempts = $3")
        .bind(&message.tenant)
        .bind(&message.id)
        .bind(message.attempts)
        .execute(tx)
        .await?;
    Ok(())
}

/// Tries a message again at `next_at`, unless somebody else has taken it since.
pub async fn retry_message(
    tx: &Tx,
    message: &PendingMessage,
    next_at: Timestamp,
) -> Result<(), DbError> {
    sql("UPDATE mail_outbox SET next_at = $3 WHERE tenant = $1 AND id = $2 AND attempts = $4")
        .bind(&message.tenant)
        .bind(&message.id)
        .bind(next_at)
        .bind(message.attempts)
        .execute(tx)
        .await?;
    Ok(())
}
