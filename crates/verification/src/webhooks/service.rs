use std::sync::Arc;

use portcullis_egress::{
    Egress,
    webhook::{Secret, SigningKey},
};
use portcullis_events::{Actor, AdminChange, Event, Kind, Origin, Outcome};
use portcullis_store::{Db, Sealer, Tx, idv::webhooks::WebhookRow};
use portcullis_types::{Id, SharedClock, SharedEntropy, Timestamp, random_array, tags};
use serde_json::Value;
use tokio::sync::Notify;

use crate::SessionError;

/// Bytes of a secret, and of the seed of a signing key.
const SECRET_BYTES: usize = 32;

/// What the service is made of.
pub struct WebhookParts {
    /// Whose sessions these are about.
    pub tenant: String,
    /// Where they are kept.
    pub db: Db,
    /// Seals the keys of receivers.
    pub sealer: Arc<Sealer>,
    /// The time.
    pub clock: SharedClock,
    /// Chance.
    pub entropy: SharedEntropy,
    /// The way out, for [`crate::WEBHOOK_CALLS`] at once. Its own one, so that receivers that are slow hold up nobody else.
    pub egress: Egress,
}

/// Receivers of webhooks. Cheap to clone.
#[derive(Clone)]
pub struct Webhooks(Arc<Inner>);

struct Inner {
    parts: WebhookParts,
    due: Notify,
}

impl std::ops::Deref for Webhooks {
    type Target = WebhookParts;

    fn deref(&self) -> &WebhookParts {
        &self.0.parts
    }
}

impl std::fmt::Debug for Webhooks {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Webhooks")
    }
}

/// The secret and the seed of a receiver.
pub(super) struct Keys([u8; 2 * SECRET_BYTES]);

impl Keys {
    pub fn secret_text(&self) -> String {
        Secret::text(&self.0[..SECRET_BYTES])
    }

    pub fn secret(&self) -> Secret {
        Secret::new(&self.0[..SECRET_BYTES])
    }

    pub fn signing(&self) -> Result<SigningKey, SessionError> {
        SigningKey::from_seed(&self.0[SECRET_BYTES..]).ok_or(SessionError::Sealed)
    }
}

impl Webhooks {
    /// The service.
    pub fn new(parts: WebhookParts) -> Self {
        Self(Arc::new(Inner { parts, due: Notify::new() }))
    }

    pub(super) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// Until there may be something to tell.
    pub async fn wait_due(&self) {
        self.0.due.notified().await;
    }

    /// Something may have to be told.
    pub(crate) fn wake(&self) {
        self.0.due.notify_one();
    }

    fn purpose(id: Id<tags::Webhook>) -> String {
        format!("idv_webhook:{id}:keys")
    }

    /// New keys of a receiver, and the same sealed.
    pub(super) fn make_keys(&self, id: Id<tags::Webhook>) -> Result<(Keys, Vec<u8>), SessionError> {
        let keys = random_array(&*self.entropy);
        let sealed = self.sealer.seal(&Self::purpose(id), &keys, &*self.entropy)?;
        Ok((Keys(keys), sealed))
    }

    pub(super) fn open_keys(
        &self,
        id: Id<tags::Webhook>,
        sealed: &[u8],
    ) -> Result<Keys, SessionError> {
        let keys = self.sealer.open(&Self::purpose(id), sealed)?;
        Ok(Keys(keys.try_into().map_err(|_| SessionError::Sealed)?))
    }

    /// Tells the audit log about a receiver.
    pub(super) async fn emit(
        &self,
        tx: &Tx,
        (by, origin): (&Actor, Option<&Origin>),
        action: &'static str,
        id: Id<tags::Webhook>,
        after: Option<Value>,
    ) -> Result<(), SessionError> {
        let object_type = "idv_webhook";
        let change =
            AdminChange { action, object_type, object: id.to_string(), before: None, after };
        let now = self.now();
        let (event, kind) = (Id::new(now, &*self.entropy), Kind::Admin(change));
        let origin = origin.cloned();
        let event = Event::new(event, now, origin, by.clone(), Outcome::Success, kind);
        Ok(tx.emit(event).await?)
    }

    pub(super) async fn find(
        &self,
        source: impl portcullis_store::Source,
        id: Id<tags::Webhook>,
    ) -> Result<WebhookRow, SessionError> {
        let row = portcullis_store::idv::webhooks::by_id(source, &self.tenant, id).await?;
        row.ok_or(SessionError::NotFound)
    }
}
