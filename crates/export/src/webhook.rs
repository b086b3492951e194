//! Standard Webhooks 1.0: signed, one message for each event.

use bytes::Bytes;
use portcullis_egress::webhook::{Secret, headers};
use portcullis_types::{SharedClock, Timestamp};
use serde_json::json;

use crate::{
    http::HttpClient,
    record::Record,
    sink::{SinkError, Taken},
};

/// A receiver of webhooks.
#[derive(Debug)]
pub struct Webhook {
    client: HttpClient,
    /// While keys change there are two, and a message is signed with each.
    secrets: Vec<Secret>,
    clock: SharedClock,
}

impl Webhook {
    /// Signs with each of `secrets`.
    pub fn new(client: HttpClient, secrets: Vec<Secret>, clock: SharedClock) -> Self {
        Self { client, secrets, clock }
    }

    pub(crate) async fn send(&mut self, records: &[Record]) -> Result<Taken, SinkError> {
        let mut taken = Taken { count: 0, ..Taken::all(records) };
        for record in records {
            if let Err(error) = taken.one_more(self.post(record).await) {
                return taken.or(error);
            }
        }
        Ok(taken)
    }

    async fn post(&mut self, record: &Record) -> Result<crate::http::Reply, SinkError> {
        let millis = i64::try_from(record.millis()).unwrap_or_default();
        let time = Timestamp::from_micros(millis.saturating_mul(1_000)).to_rfc3339();
        let body = json!({ "type": record.code(), "timestamp": time, "data": record.event });
        let body = body.to_string();
        // The same at every attempt, so that the receiver knows what it has.
        let (id, seconds) = (record.uid(), self.clock.now().secs());
        let headers = headers((id, seconds), &body, &self.secrets, &[]);
        let headers = headers.ok_or_else(|| SinkError::later("the event has no id".to_owned()))?;
        let target = self.client.target();
        self.client.post(&target, &headers, "application/json", Bytes::from(body)).await
    }
}
