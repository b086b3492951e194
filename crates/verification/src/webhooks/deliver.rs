use std::time::Duration;

use http::{HeaderValue, Method};
use portcullis_egress::{Call, EgressError, webhook::headers};
use portcullis_events::Actor;
use portcullis_store::{
    Tx,
    idv::webhooks::{self, DeliveryRow, WebhookRow},
};
use portcullis_types::{Id, random_array, tags};
use serde::{Deserialize, Serialize};
use serde_json::json;
use tokio::task::JoinSet;

use super::{Webhooks, manage::RECEIVERS_MAX};
use crate::SessionError;

/// What one receiver is told at once.
const BATCH: usize = 4;
/// Calls at once, if every receiver is told as much as it can be: none has to wait for what another answers.
pub const WEBHOOK_CALLS: usize = BATCH * RECEIVERS_MAX;
/// Whoever took a message to deliver has so long; then it is somebody else's.
const LEASE: Duration = Duration::from_secs(60);
/// After how many seconds a message that was not taken is told again. With what chance adds, which is up to a
/// fifth, that is more than three days; then it is given up.
pub const RETRIES: [u64; 9] = [5, 300, 1_800, 7_200, 18_000, 36_000, 50_400, 72_000, 86_400];
/// What is older and was not taken once more is given up, however often it was tried: behind a receiver that was
/// down for long, much waits that was not tried at all.
const AGE_MAX: Duration = Duration::from_secs(7 * 24 * 3600);
/// Attempts that are remembered.
const ATTEMPTS_KEPT: usize = 20;
/// After so many failures in a row a receiver is left alone for a while, twice as long each time.
const FAILURES_BORNE: i64 = 5;
const REST: Duration = Duration::from_secs(10);
const REST_MAX: Duration = Duration::from_secs(600);
/// HTTP 410: whoever was there does not want to hear of it any more.
const GONE: u16 = 410;

/// One attempt to tell a receiver a message.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attempt {
    /// When, in microseconds since 1970.
    pub at: i64,
    /// What it answered; nothing, if it did not.
    pub status: Option<u16>,
    /// Why it was not reached.
    pub why: Option<String>,
    /// How long it took.
    pub millis: u64,
}

impl Attempt {
    /// Whether the message was taken.
    pub fn is_taken(&self) -> bool {
        self.status.is_some_and(|status| (200..300).contains(&status))
    }

    /// The attempts of a delivery, the oldest first.
    pub fn all(row: &DeliveryRow) -> Vec<Self> {
        serde_json::from_str(&row.attempts).unwrap_or_default()
    }
}

impl Webhooks {
    /// Receivers that can be told something now.
    pub async fn due(&self) -> Result<Vec<Id<tags::Webhook>>, SessionError> {
        Ok(webhooks::due(&self.db, &self.tenant, self.now()).await?)
    }

    /// Tells a receiver what it can be told now, and how much of it that was. Meant for one at a time; of two
    /// that do so at once each tells something else.
    pub async fn drain(&self, id: Id<tags::Webhook>) -> Result<usize, SessionError> {
        let taken = self
            .db
            .write(|tx| async move {
                let row = self.find(&tx, id).await?;
                if !row.disabled.is_empty() || row.rests_until > self.now() {
                    return Ok((row, Vec::new()));
                }
                let (now, until) = (self.now(), self.now().plus(LEASE));
                let most = i64::try_from(BATCH).unwrap_or(i64::MAX);
                let taken = webhooks::take(&tx, &self.tenant, id, (now, until), most).await?;
                Ok::<_, SessionError>((row, taken))
            })
            .await;
        let (row, taken) = match taken {
            Ok(taken) => taken,
            // It was removed meanwhile.
            Err(SessionError::NotFound) => return Ok(0),
            Err(error) => return Err(error),
        };
        let count = taken.len();
        let mut running = JoinSet::new();
        for delivery in taken {
            let (service, row) = (self.clone(), row.clone());
            running.spawn(async move {
                let attempt = service.attempt(&row, &delivery).await?;
                service.settle(&row, &delivery, attempt).await
            });
        }
        // What one comes to does not end the others.
        let mut all = Ok(count);
        while let Some(done) = running.join_next().await {
            if let Err(error) = done.unwrap_or(Err(SessionError::Sealed)) {
                all = Err(error);
            }
        }
        all
    }

    async fn attempt(
        &self,
        row: &WebhookRow,
        delivery: &DeliveryRow,
    ) -> Result<Attempt, SessionError> {
        let begun = self.now();
        let mut keys = vec![self.open_keys(row.id, &row.keys)?];
        if row.previous_until.is_some_and(|until| begun.micros() < until) {
            keys.push(self.open_keys(row.id, &row.previous_keys)?);
        }
        let secrets: Vec<_> = keys.iter().map(super::service::Keys::secret).collect();
        let signing = keys.iter().map(super::service::Keys::signing);
        let signing = signing.collect::<Result<Vec<_>, _>>()?;
        let (id, body) = (delivery.message.id.to_string(), &delivery.message.body);
        let headers = headers((&id, begun.secs()), body, &secrets, &signing);
        let headers = headers.ok_or(SessionError::Sealed)?;
        let call = Call {
            method: Method::POST,
            url: &row.url,
            headers: &headers,
            body: Some((HeaderValue::from_static("application/json"), body.clone())),
        };
        let answered = self.egress.status(call).await;
        // What it says beside that is not read: it may be the answer of somebody who was not meant.
        let (status, why) = match answered {
            Ok(status) => (Some(status.as_u16()), None),
            Err(error) => (None, Some(word(&error).to_owned())),
        };
        let millis = u64::try_from(self.now().since(begun).as_millis()).unwrap_or(u64::MAX);
        Ok(Attempt { at: begun.micros(), status, why, millis })
    }

    /// Takes up what came of an attempt.
    async fn settle(
        &self,
        tried: &WebhookRow,
        taken: &DeliveryRow,
        attempt: Attempt,
    ) -> Result<(), SessionError> {
        let (id, attempt) = (tried.id, &attempt);
        let done = self
            .db
            .write(|tx| async move {
                let row = self.find(&tx, id).await?;
                let delivery = webhooks::delivery(&tx, &self.tenant, id, taken.message.id).await?;
                let mut delivery = delivery.ok_or(SessionError::NotFound)?;
                let mut attempts = Attempt::all(&delivery);
                attempts.push(attempt.clone());
                let from = attempts.len().saturating_sub(ATTEMPTS_KEPT);
                delivery.attempts = json!(&attempts[from..]).to_string();
                // Unless somebody asked for it again meanwhile, or another node took it because this one was
                // taken for dead.
                if delivery.due_at == taken.due_at {
                    self.follow(&tx, &mut delivery, attempt, id).await?;
                    let waits = delivery.status == "pending";
                    let next = if waits { delivery.due_at } else { self.now() };
                    let message = &delivery.message;
                    webhooks::delay_followers(&tx, &self.tenant, id, message, next).await?;
                }
                webhooks::settle(&tx, &self.tenant, id, &delivery).await?;
                if row.url != tried.url {
                    // Whoever was there says nothing about who is there now.
                    return Ok(());
                }
                self.rest(&tx, &row, attempt).await
            })
            .await;
        match done {
            // The receiver was removed, or what the message was about erased.
            Err(SessionError::NotFound) => Ok(()),
            done => done,
        }
    }

    /// What follows for the message.
    async fn follow(
        &self,
        tx: &Tx,
        delivery: &mut DeliveryRow,
        attempt: &Attempt,
        id: Id<tags::Webhook>,
    ) -> Result<(), SessionError> {
        if attempt.is_taken() {
            "delivered".clone_into(&mut delivery.status);
            return Ok(());
        }
        let retry = usize::try_from(delivery.tries).ok().and_then(|at| RETRIES.get(at));
        delivery.tries += 1;
        let is_old = self.now() > delivery.message.created_at.plus(AGE_MAX);
        if let Some(seconds) = retry.filter(|_| !is_old) {
            delivery.due_at = self.now().plus(self.with_jitter(Duration::from_secs(*seconds)));
            return Ok(());
        }
        "failed".clone_into(&mut delivery.status);
        let after = json!({
            "message": delivery.message.id.to_string(),
            "session": delivery.message.session_id,
        });
        self.emit(tx, (&Actor::System, None), "give_up", id, Some(after)).await
    }

    /// What follows for the receiver.
    async fn rest(&self, tx: &Tx, row: &WebhookRow, attempt: &Attempt) -> Result<(), SessionError> {
        let now = self.now();
        if attempt.status == Some(GONE) && row.disabled.is_empty() {
            let gone = WebhookRow {
                disabled: "gone".to_owned(),
                revision: row.revision + 1,
                updated_at: now,
                ..row.clone()
            };
            webhooks::update(tx, &self.tenant, &gone).await?;
            let after = Some(json!({ "disabled": "gone" }));
            return self.emit(tx, (&Actor::System, None), "disable", row.id, after).await;
        }
        let failures = if attempt.is_taken() { 0 } else { row.failures + 1 };
        if failures == row.failures {
            return Ok(());
        }
        Ok(webhooks::rest(tx, &self.tenant, row.id, failures, now.plus(rest(failures))).await?)
    }

    /// A time and up to a fifth more, so that not everything is told again at once.
    fn with_jitter(&self, time: Duration) -> Duration {
        let chance = u32::from_be_bytes(random_array(&*self.entropy));
        time + time.mul_f64(f64::from(chance) / f64::from(u32::MAX) / 5.0)
    }
}

/// How long a receiver is left alone after so many failures.
fn rest(failures: i64) -> Duration {
    let over = failures - FAILURES_BORNE;
    if over < 0 {
        return Duration::ZERO;
    }
    let over = u32::try_from(over).unwrap_or(u32::MAX);
    REST.saturating_mul(2_u32.saturating_pow(over)).min(REST_MAX)
}

fn word(error: &EgressError) -> &'static str {
    match error {
        EgressError::Url => "url",
        EgressError::Address => "address_not_public",
        EgressError::Authorities | EgressError::Connect(_) => "not_connected",
        EgressError::Answer => "no_http",
        EgressError::Timeout => "timeout",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_days_pass_before_a_message_is_given_up() {
        assert!(RETRIES.iter().sum::<u64>() > 3 * 24 * 3600);
        assert!(RETRIES.is_sorted());
        let rests: Vec<u64> = (3..14).map(|failures| rest(failures).as_secs()).collect();
        assert_eq!(rests, [0, 0, 10, 20, 40, 80, 160, 320, 600, 600, 600]);
        assert_eq!(rest(i64::MAX).as_secs(), 600);
    }
}
