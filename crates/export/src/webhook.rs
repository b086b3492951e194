//! Standard Webhooks 1.0: signed, one message for each event.

use aws_lc_rs::hmac;
use bytes::Bytes;
use data_encoding::BASE64;
use http::{HeaderName, HeaderValue};
use portcullis_types::{SharedClock, Timestamp};
use serde_json::json;

use crate::{
    http::HttpClient,
    record::Record,
    sink::{SinkError, Taken},
};

const ID: HeaderName = HeaderName::from_static("webhook-id");
const TIMESTAMP: HeaderName = HeaderName::from_static("webhook-timestamp");
const SIGNATURE: HeaderName = HeaderName::from_static("webhook-signature");

/// The key that receiver and sender share.
#[derive(Clone)]
pub struct WebhookSecret(hmac::Key);

impl std::fmt::Debug for WebhookSecret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("WebhookSecret")
    }
}

impl WebhookSecret {
    /// Reads `whsec_` and 24 to 64 bytes in base64.
    pub fn read(text: &str) -> Option<Self> {
        let key = BASE64.decode(text.trim().strip_prefix("whsec_")?.as_bytes()).ok()?;
        (24..=64).contains(&key.len()).then(|| Self(hmac::Key::new(hmac::HMAC_SHA256, &key)))
    }

    fn sign(&self, id: &str, seconds: i64, body: &str) -> String {
        let tag = hmac::sign(&self.0, format!("{id}.{seconds}.{body}").as_bytes());
        format!("v1,{}", BASE64.encode(tag.as_ref()))
    }
}

/// A receiver of webhooks.
#[derive(Debug)]
pub struct Webhook {
    client: HttpClient,
    /// While keys change there are two, and a message is signed with each.
    secrets: Vec<WebhookSecret>,
    clock: SharedClock,
}

impl Webhook {
    /// Signs with each of `secrets`.
    pub fn new(client: HttpClient, secrets: Vec<WebhookSecret>, clock: SharedClock) -> Self {
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
        let signed: Vec<_> =
            self.secrets.iter().map(|secret| secret.sign(id, seconds, &body)).collect();
        let value = |text: &str| {
            HeaderValue::from_str(text).map_err(|error| SinkError::later(error.to_string()))
        };
        let headers = [
            (ID, value(id)?),
            (TIMESTAMP, value(&seconds.to_string())?),
            (SIGNATURE, value(&signed.join(" "))?),
        ];
        let target = self.client.target();
        self.client.post(&target, &headers, "application/json", Bytes::from(body)).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of the specification.
    #[test]
    fn a_signature_is_the_one_of_the_specification() {
        let secret = WebhookSecret::read("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").unwrap();
        let signed =
            secret.sign("msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330, "{\"test\": 2432232314}");
        assert_eq!(signed, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
        for bad in ["", "whsec_", "whsec_AAAA", "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"] {
            assert!(WebhookSecret::read(bad).is_none(), "{bad}");
        }
    }
}
