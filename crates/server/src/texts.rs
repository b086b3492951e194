//! Text messages on their way out: handed over one by one, by the contract `idv.sms/1`.

use std::{sync::Arc, time::Duration};

use anyhow::Result;
use http::{HeaderName, HeaderValue, Method};
use portcullis_egress::{Call, Egress, webhook};
use portcullis_store::{
    DbError, Sms,
    outbox::{self, MessageKind, PendingMessage},
};
use portcullis_types::Timestamp;
use serde_json::json;
use tokio::{sync::Mutex, task::JoinSet};

use crate::app::App;

/// Messages that are handed over at once.
pub const TEXTS_AT_ONCE: usize = 16;
/// Whoever took one has so long; then it is somebody else's.
const LEASE: Duration = Duration::from_secs(30);
/// How long an answer may take.
const TIMEOUT: Duration = Duration::from_secs(10);
/// What a message says it is.
const SCHEMA: &str = "idv.sms/1";
const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");

/// Whoever hands text messages over.
#[derive(Clone)]
pub struct Texts {
    url: String,
    secret: webhook::Secret,
    egress: Egress,
}

/// What became of a message.
#[derive(Debug, PartialEq, Eq)]
pub enum Handed {
    /// It was taken.
    Over,
    /// Nobody takes it, however often it is tried.
    Refused(u16),
    /// It may be taken another time.
    Later(String),
}

impl Texts {
    /// By this way out.
    pub fn new(url: String, secret: webhook::Secret, egress: Egress) -> Self {
        Self { url, secret, egress }
    }

    /// Hands one message over. `id` is the same at every try.
    pub async fn hand_over(&self, id: &str, sms: &Sms, now: Timestamp) -> Handed {
        let body = json!({
            "schema": SCHEMA,
            "id": id,
            "to": sms.to,
            "text": sms.text,
            "purpose": "verification_code",
            "locale": sms.locale,
            "expires_at": sms.expires_at.secs(),
        });
        let body = body.to_string();
        let secrets = std::slice::from_ref(&self.secret);
        let signed = webhook::headers((id, now.secs()), &body, secrets, &[]);
        let (Some(signed), Ok(key)) = (signed, HeaderValue::from_str(id)) else {
            return Handed::Refused(0);
        };
        let headers: Vec<_> = signed.into_iter().chain([(IDEMPOTENCY_KEY, key)]).collect();
        let body = Some((HeaderValue::from_static("application/json"), body));
        let call = Call { method: Method::POST, url: &self.url, headers: &headers, body };
        let status = self.egress.call_within(call, TIMEOUT).await.map(|answer| answer.status);
        match status {
            Ok(status) if status.is_success() => Handed::Over,
            Ok(status)
                if status.is_server_error()
                    || [401, 403, 408, 425, 429].contains(&status.as_u16()) =>
            {
                Handed::Later(status.to_string())
            }
            Ok(status) => Handed::Refused(status.as_u16()),
            Err(error) => Handed::Later(error.to_string()),
        }
    }
}

/// Messages on their way: one that is slow takes a place, and keeps nobody else waiting as long as there are others.
pub struct Texting {
    texts: Option<Texts>,
    running: Mutex<JoinSet<()>>,
}

impl Texting {
    /// By whoever hands them over, if somebody does.
    pub fn new(texts: Option<Texts>) -> Self {
        Self { texts, running: Mutex::default() }
    }

    /// Takes as many as there are places for, and goes on before they are handed over.
    pub async fn hand_over_due(&self, app: &Arc<App>) -> Result<()> {
        let mut running = self.running.lock().await;
        while running.try_join_next().is_some() {}
        let (db, now) = (&app.identity.db, app.clock.now());
        let free = TEXTS_AT_ONCE.saturating_sub(running.len());
        if free == 0 || !outbox::has_message(db, MessageKind::Sms, now).await? {
            return Ok(());
        }
        let terms = (now, now.plus(LEASE), free);
        let taken =
            db.write(|tx| async move { outbox::take_messages(&tx, MessageKind::Sms, terms).await });
        for pending in taken.await? {
            let (app, texts) = (app.clone(), self.texts.clone());
            running.spawn(async move {
                if let Err(error) = settle(&app, texts.as_ref(), &pending).await {
                    // It is tried again when its time is over.
                    tracing::error!(message = pending.id, %error, "a text message was left as it is");
                }
            });
        }
        Ok(())
    }
}

/// Hands one over, and keeps or forgets it by what came of that.
async fn settle(app: &App, texts: Option<&Texts>, row: &PendingMessage) -> Result<(), DbError> {
    let (db, now) = (&app.identity.db, app.clock.now());
    let remove =
        || async { db.write(|tx| async move { outbox::remove_message(&tx, row).await }).await };
    let Some(sms) = Sms::open(&app.identity.sealer, &row.sealed) else {
        tracing::error!(message = row.id, "a queued text message cannot be opened");
        return remove().await;
    };
    if sms.expires_at <= now {
        tracing::warn!(message = row.id, "a text message came too late");
        return remove().await;
    }
    let handed = match texts {
        Some(texts) => texts.hand_over(&row.id, &sms, now).await,
        // Another node may know who does, while this one is about to start again.
        None => Handed::Later("nobody hands it over".to_owned()),
    };
    match handed {
        Handed::Over => {}
        Handed::Refused(status) => {
            tracing::error!(message = row.id, status, "a text message was refused");
        }
        Handed::Later(why) => {
            tracing::warn!(message = row.id, why, "a text message was not handed over");
            let wait = Duration::from_secs(1 << row.attempts.clamp(1, 7));
            let next = app.clock.now().plus(wait);
            return db.write(|tx| async move { outbox::retry_message(&tx, row, next).await }).await;
        }
    }
    remove().await
}
