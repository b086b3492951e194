use std::time::Duration;

use portcullis_egress::EgressError;
use portcullis_events::{Actor, Origin};
use portcullis_store::{
    Source,
    idv::webhooks::{self, DeliveryFilter, DeliveryRow, WebhookRow},
};
use portcullis_types::{Id, Timestamp, tags};
use serde_json::json;

use super::{TYPES, Webhooks, message::HITS_CHANGED, service::Keys};
use crate::SessionError;

/// Receivers of one tenant: each message is written for each of them.
pub(super) const RECEIVERS_MAX: usize = 20;
const DESCRIPTION_MAX_CHARS: usize = 200;
/// Keys that were changed sign as well for so long.
const OVERLAP: Duration = Duration::from_secs(24 * 3600);

/// Whoever manages receivers.
#[derive(Debug, Clone, Copy)]
pub struct Keeper<'a> {
    /// Who.
    pub actor: &'a Actor,
    /// From where.
    pub origin: &'a Origin,
    /// Whether they may know what screening finds. Whoever may not has nothing to do with receivers that are told.
    pub may_screen: bool,
}

impl<'a> Keeper<'a> {
    fn by(&self) -> (&'a Actor, Option<&'a Origin>) {
        (self.actor, Some(self.origin))
    }

    fn check(&self, row: &WebhookRow) -> Result<(), SessionError> {
        match hears_of_hits(row) && !self.may_screen {
            true => Err(SessionError::Forbidden),
            false => Ok(()),
        }
    }
}

fn hears_of_hits(row: &WebhookRow) -> bool {
    row.types.split(' ').any(|one| one == HITS_CHANGED)
}

/// What somebody says of a receiver. What they leave out stays as it is.
#[derive(Debug, Clone, Default)]
pub struct Receiver {
    /// An https URL.
    pub url: Option<String>,
    /// What it is for.
    pub description: Option<String>,
    /// Types that it wants; all, if there is none.
    pub types: Option<Vec<String>>,
    /// Whether anything is sent.
    pub is_enabled: Option<bool>,
}

/// What a receiver verifies with.
#[derive(Clone)]
pub struct Secrets {
    /// `whsec_…`, for HMAC.
    pub secret: String,
    /// `whpk_…`, for Ed25519.
    pub public_key: String,
}

impl std::fmt::Debug for Secrets {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Secrets").field("public_key", &self.public_key).finish_non_exhaustive()
    }
}

impl Secrets {
    fn of(keys: &Keys) -> Result<Self, SessionError> {
        Ok(Self { secret: keys.secret_text(), public_key: keys.signing()?.public() })
    }
}

impl Webhooks {
    async fn kept(
        &self,
        source: impl Source,
        id: Id<tags::Webhook>,
        keeper: Keeper<'_>,
    ) -> Result<WebhookRow, SessionError> {
        let row = self.find(source, id).await?;
        keeper.check(&row)?;
        Ok(row)
    }

    /// Every receiver with which somebody may have to do, the oldest first.
    pub async fn receivers(&self, keeper: Keeper<'_>) -> Result<Vec<WebhookRow>, SessionError> {
        let mut rows = webhooks::all(&self.db, &self.tenant).await?;
        rows.retain(|row| keeper.check(row).is_ok());
        Ok(rows)
    }

    /// A receiver.
    pub async fn receiver(
        &self,
        id: Id<tags::Webhook>,
        keeper: Keeper<'_>,
    ) -> Result<WebhookRow, SessionError> {
        self.kept(&self.db, id, keeper).await
    }

    /// How many messages wait for a receiver, and how many were given up.
    pub async fn waiting(&self, id: Id<tags::Webhook>) -> Result<(i64, i64), SessionError> {
        let counts = webhooks::counts(&self.db, &self.tenant, id).await?;
        let of = |status: &str| counts.iter().find(|(one, _)| one == status).map_or(0, |(_, n)| *n);
        Ok((of("pending"), of("failed")))
    }

    /// What a receiver verifies signatures with, as far as that is no secret.
    pub fn public_key(&self, row: &WebhookRow) -> Result<String, SessionError> {
        Ok(self.open_keys(row.id, &row.keys)?.signing()?.public())
    }

    /// Adds a receiver.
    pub async fn add(
        &self,
        receiver: &Receiver,
        keeper: Keeper<'_>,
    ) -> Result<(WebhookRow, Secrets), SessionError> {
        self.db
            .write(|tx| async move {
                if webhooks::all(&tx, &self.tenant).await?.len() >= RECEIVERS_MAX {
                    let must = format!("is one too many: there may be {RECEIVERS_MAX} webhooks");
                    return Err(SessionError::Invalid("url", must));
                }
                let now = self.now();
                let id = Id::new(now, &*self.entropy);
                let (keys, sealed) = self.make_keys(id)?;
                let mut row = WebhookRow {
                    id,
                    url: String::new(),
                    description: String::new(),
                    types: String::new(),
                    keys: sealed,
                    previous_keys: Vec::new(),
                    previous_until: None,
                    disabled: String::new(),
                    failures: 0,
                    rests_until: now,
                    revision: 1,
                    created_at: now,
                    updated_at: now,
                };
                self.say(&mut row, receiver)?;
                keeper.check(&row)?;
                webhooks::insert(&tx, &self.tenant, &row).await?;
                let after = Some(json!({ "host": host(&row.url), "types": row.types }));
                self.emit(&tx, keeper.by(), "create", id, after).await?;
                Ok((row, Secrets::of(&keys)?))
            })
            .await
    }

    /// Changes a receiver that was seen as `revision`.
    pub async fn change(
        &self,
        id: Id<tags::Webhook>,
        (revision, receiver): (i64, &Receiver),
        keeper: Keeper<'_>,
    ) -> Result<WebhookRow, SessionError> {
        let changed = self
            .db
            .write(|tx| async move {
                let mut row = self.kept(&tx, id, keeper).await?;
                if row.revision != revision {
                    return Err(SessionError::Stale);
                }
                let was_told = hears_of_hits(&row);
                self.say(&mut row, receiver)?;
                keeper.check(&row)?;
                if was_told && !hears_of_hits(&row) {
                    // From now on others may look at what it was told.
                    webhooks::forget(&tx, &self.tenant, id, HITS_CHANGED).await?;
                }
                // Whoever changes it wants to see whether it works now.
                (row.failures, row.rests_until) = (0, self.now());
                (row.revision, row.updated_at) = (revision + 1, self.now());
                webhooks::update(&tx, &self.tenant, &row).await?;
                let after = json!({
                    "host": host(&row.url), "types": row.types, "disabled": row.disabled,
                });
                self.emit(&tx, keeper.by(), "update", id, Some(after)).await?;
                Ok::<_, SessionError>(row)
            })
            .await?;
        self.wake();
        Ok(changed)
    }

    /// New keys for a receiver. Those before sign as well for a day, in which there are no newer ones.
    pub async fn rotate(
        &self,
        id: Id<tags::Webhook>,
        keeper: Keeper<'_>,
    ) -> Result<(WebhookRow, Secrets), SessionError> {
        self.db
            .write(|tx| async move {
                let mut row = self.kept(&tx, id, keeper).await?;
                if row.previous_until.is_some_and(|until| self.now().micros() < until) {
                    return Err(SessionError::Overlap);
                }
                let (keys, sealed) = self.make_keys(id)?;
                row.previous_keys = std::mem::replace(&mut row.keys, sealed);
                row.previous_until = Some(self.now().plus(OVERLAP).micros());
                (row.revision, row.updated_at) = (row.revision + 1, self.now());
                webhooks::update(&tx, &self.tenant, &row).await?;
                self.emit(&tx, keeper.by(), "rotate", id, Some(json!({}))).await?;
                Ok((row, Secrets::of(&keys)?))
            })
            .await
    }

    /// Removes a receiver and whatever it was not told.
    pub async fn remove(
        &self,
        id: Id<tags::Webhook>,
        keeper: Keeper<'_>,
    ) -> Result<(), SessionError> {
        self.db
            .write(|tx| async move {
                self.kept(&tx, id, keeper).await?;
                if !webhooks::delete(&tx, &self.tenant, id).await? {
                    return Err(SessionError::NotFound);
                }
                self.emit(&tx, keeper.by(), "delete", id, None).await
            })
            .await
    }

    /// Tells a receiver that it is a receiver.
    pub async fn ping(
        &self,
        id: Id<tags::Webhook>,
        keeper: Keeper<'_>,
    ) -> Result<DeliveryRow, SessionError> {
        let made = self
            .db
            .write(|tx| async move {
                let row = self.kept(&tx, id, keeper).await?;
                let message = self.tell_ping(&tx, row.id).await?;
                let made = webhooks::delivery(&tx, &self.tenant, id, message.id).await?;
                made.ok_or(SessionError::NotFound)
            })
            .await?;
        self.wake();
        Ok(made)
    }

    /// A page of what a receiver was told or is to be, the newest first, before the message `before`.
    pub async fn deliveries(
        &self,
        (id, keeper): (Id<tags::Webhook>, Keeper<'_>),
        filter: DeliveryFilter<'_>,
        before: &str,
        limit: i64,
    ) -> Result<Vec<DeliveryRow>, SessionError> {
        self.receiver(id, keeper).await?;
        Ok(webhooks::page(&self.db, &self.tenant, id, filter, before, limit).await?)
    }

    /// One of them.
    pub async fn delivery(
        &self,
        id: Id<tags::Webhook>,
        message: Id<tags::Message>,
        keeper: Keeper<'_>,
    ) -> Result<DeliveryRow, SessionError> {
        self.receiver(id, keeper).await?;
        let row = webhooks::delivery(&self.db, &self.tenant, id, message).await?;
        row.ok_or(SessionError::NotFound)
    }

    /// Tells a receiver a message again, under the id that it had.
    pub async fn replay(
        &self,
        id: Id<tags::Webhook>,
        message: Id<tags::Message>,
        keeper: Keeper<'_>,
    ) -> Result<DeliveryRow, SessionError> {
        let row = self
            .db
            .write(|tx| async move {
                self.kept(&tx, id, keeper).await?;
                let row = webhooks::delivery(&tx, &self.tenant, id, message).await?;
                let mut row = row.ok_or(SessionError::NotFound)?;
                (row.status, row.due_at, row.tries) = ("pending".to_owned(), self.now(), 0);
                webhooks::settle(&tx, &self.tenant, id, &row).await?;
                let after = Some(json!({ "message": message.to_string() }));
                self.emit(&tx, keeper.by(), "replay", id, after).await?;
                Ok::<_, SessionError>(row)
            })
            .await?;
        self.wake();
        Ok(row)
    }

    /// Tells a receiver everything again that it could not be told since a time; how much that is.
    pub async fn recover(
        &self,
        id: Id<tags::Webhook>,
        since: Timestamp,
        keeper: Keeper<'_>,
    ) -> Result<u64, SessionError> {
        let count = self
            .db
            .write(|tx| async move {
                self.kept(&tx, id, keeper).await?;
                let now = self.now();
                let count = webhooks::recover(&tx, &self.tenant, id, since, now).await?;
                let after = json!({ "since": since.to_rfc3339(), "messages": count });
                self.emit(&tx, keeper.by(), "replay", id, Some(after)).await?;
                Ok::<_, SessionError>(count)
            })
            .await?;
        self.wake();
        Ok(count)
    }

    /// Takes up what somebody says of a receiver.
    fn say(&self, row: &mut WebhookRow, receiver: &Receiver) -> Result<(), SessionError> {
        if let Some(url) = &receiver.url {
            self.egress.check(url).map_err(|error| match error {
                EgressError::Address => {
                    let must = "must not be an address of a private network";
                    SessionError::Invalid("url", must.to_owned())
                }
                _ => {
                    let must = "must be an https URL without user, password and fragment";
                    SessionError::Invalid("url", must.to_owned())
                }
            })?;
            // As it is read, so that nothing is hidden in how it is written.
            row.url = url::Url::parse(url).map(String::from).unwrap_or_default();
        }
        if let Some(description) = &receiver.description {
            let breaks = description.chars().any(char::is_control);
            if breaks || description.chars().count() > DESCRIPTION_MAX_CHARS {
                let must = format!("must be at most {DESCRIPTION_MAX_CHARS} characters");
                return Err(SessionError::Invalid("description", must));
            }
            row.description.clone_from(description);
        }
        if let Some(types) = &receiver.types {
            let known = types.iter().all(|one| TYPES.contains(&&one[..]));
            if !known || !(1..=TYPES.len()).contains(&types.len()) {
                let must = format!("must be some of {}", TYPES.join(", "));
                return Err(SessionError::Invalid("types", must));
            }
            row.types = types.join(" ");
        }
        match receiver.is_enabled {
            Some(true) => row.disabled.clear(),
            Some(false) => "operator".clone_into(&mut row.disabled),
            None => {}
        }
        Ok(())
    }
}

/// Of a URL only the host goes into the log: paths of receivers are often secrets.
fn host(url: &str) -> Option<String> {
    url::Url::parse(url).ok()?.host_str().map(str::to_owned)
}
