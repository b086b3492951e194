//! Webhooks: whoever wants to know what becomes of sessions is told.
//!
//! What is told is written in the transaction of what it is about, so that nothing is told that did not happen
//! and nothing that happened is not told. Each receiver gets it at least once; of one session in order, each
//! message only after the one before it was taken or given up. Messages are signed as Standard Webhooks has it.

mod deliver;
mod manage;
mod message;
mod service;

pub use deliver::{Attempt, RETRIES, WEBHOOK_CALLS};
pub use manage::{Keeper, Receiver, Secrets};
pub(crate) use message::Told;
pub use message::{TYPES, USUAL_TYPES};
pub use service::{WebhookParts, Webhooks};
