//! Text messages on their way out: handed over one by one, by the contract `idv.sms/1`.

use http::{HeaderName, HeaderValue, Method};
use portcullis_egress::{Call, Egress, webhook};
use portcullis_store::Sms;
use portcullis_types::Timestamp;
use serde_json::json;

/// Messages that are handed over at once.
pub const TEXTS_AT_ONCE: usize = 16;
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
        match self.egress.status(call).await {
            Ok(status) if status.is_success() => Handed::Over,
            Ok(status)
                if status.is_server_error() || [408, 425, 429].contains(&status.as_u16()) =>
            {
                Handed::Later(status.to_string())
            }
            Ok(status) => Handed::Refused(status.as_u16()),
            Err(error) => Handed::Later(error.to_string()),
        }
    }
}
