//! Mails and text messages that wait to be sent.

use portcullis_types::{Id, SharedEntropy, Timestamp, tags};
use serde::{Deserialize, Serialize};

use crate::{
    DbError, SealError, Sealer, Tx,
    outbox::{self, MessageKind},
};

/// The purpose under which queued mails are sealed: they carry links that open accounts.
const PURPOSE: &str = "mail";

/// The purpose under which text messages are: they carry codes.
const SMS_PURPOSE: &str = "sms";

/// A mail was not queued.
#[derive(Debug, thiserror::Error)]
pub enum MailError {
    /// The database.
    #[error(transparent)]
    Db(#[from] DbError),
    /// It cannot be sealed.
    #[error(transparent)]
    Seal(#[from] SealError),
}

/// A plain-text mail to one person.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mail {
    /// The address, normalised.
    pub to: String,
    /// The subject.
    pub subject: String,
    /// The text.
    pub text: String,
}

impl Mail {
    /// Queues the mail with the change it tells of.
    pub async fn queue(
        &self,
        tx: &Tx,
        tenant: &str,
        sealer: &Sealer,
        entropy: &SharedEntropy,
        now: Timestamp,
    ) -> Result<(), MailError> {
        self.queue_about(tx, (tenant, ""), sealer, entropy, now).await
    }

    /// The same, of a mail that goes with a session of verification.
    pub async fn queue_about(
        &self,
        tx: &Tx,
        (tenant, session): (&str, &str),
        sealer: &Sealer,
        entropy: &SharedEntropy,
        now: Timestamp,
    ) -> Result<(), MailError> {
        let sealed = sealed(self, PURPOSE, sealer, entropy)?;
        put(tx, (tenant, session), MessageKind::Mail, sealed, (entropy, now)).await
    }

    /// Does the work of queueing a mail without queueing it.
    pub async fn discard(
        &self,
        tx: &Tx,
        sealer: &Sealer,
        entropy: &SharedEntropy,
    ) -> Result<(), MailError> {
        let sealed = sealed(self, PURPOSE, sealer, entropy)?;
        let (tenant, id) = (String::new(), String::new());
        let nothing = outbox::PendingMessage { tenant, id, sealed, attempts: 0 };
        Ok(outbox::remove_message(tx, &nothing).await?)
    }

    /// Opens a queued mail.
    pub fn open(sealer: &Sealer, sealed: &[u8]) -> Option<Self> {
        serde_json::from_slice(&sealer.open(PURPOSE, sealed).ok()?).ok()
    }
}

/// A text message to one person.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sms {
    /// The number, E.164.
    pub to: String,
    /// The text.
    pub text: String,
    /// The language of the text, BCP 47.
    pub locale: String,
    /// From when on nobody needs it any more.
    pub expires_at: Timestamp,
}

impl Sms {
    /// Queues the message with the change it tells of; it goes with its session.
    pub async fn queue(
        &self,
        tx: &Tx,
        (tenant, session): (&str, &str),
        sealer: &Sealer,
        entropy: &SharedEntropy,
        now: Timestamp,
    ) -> Result<(), MailError> {
        let sealed = sealed(self, SMS_PURPOSE, sealer, entropy)?;
        put(tx, (tenant, session), MessageKind::Sms, sealed, (entropy, now)).await
    }

    /// Opens a queued message.
    pub fn open(sealer: &Sealer, sealed: &[u8]) -> Option<Self> {
        serde_json::from_slice(&sealer.open(SMS_PURPOSE, sealed).ok()?).ok()
    }
}

fn sealed(
    message: &impl Serialize,
    purpose: &str,
    sealer: &Sealer,
    entropy: &SharedEntropy,
) -> Result<Vec<u8>, SealError> {
    let json = serde_json::to_vec(message).unwrap_or_default();
    sealer.seal(purpose, &json, &**entropy)
}

async fn put(
    tx: &Tx,
    (tenant, session): (&str, &str),
    kind: MessageKind,
    sealed: Vec<u8>,
    (entropy, now): (&SharedEntropy, Timestamp),
) -> Result<(), MailError> {
    let id = Id::<tags::Event>::new(now, &**entropy).to_string();
    Ok(outbox::put_message(tx, tenant, (kind, &id, session), sealed, now).await?)
}
