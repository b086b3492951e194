//! Splunk's HTTP Event Collector.

use std::time::Duration;

use bytes::Bytes;
use data_encoding::HEXLOWER;
use http::{HeaderName, HeaderValue, StatusCode};
use serde::Deserialize;
use serde_json::json;
use tokio::time::sleep;

use crate::{
    http::{HttpClient, Reply},
    record::Record,
    sink::{Refused, SinkError, Taken},
};

const CHANNEL: HeaderName = HeaderName::from_static("x-splunk-request-channel");
/// How often it is asked whether a batch was indexed: at first, and the seldomer the longer it takes.
const ASK_EVERY: Duration = Duration::from_millis(500);
const ASKED_ALIKE: u32 = 60;
/// And how many times: for five minutes. Then it is sent again.
const MOST_ASKED: u32 = 240;
/// "Invalid data format", "event field is required", "event field cannot be blank".
const UNFIT: [i64; 3] = [6, 12, 13];

/// A collector. Its token is among the fields of the client.
#[derive(Debug)]
pub struct Splunk {
    client: HttpClient,
    host: String,
    index: Option<String>,
    /// Whether it is asked that batches were indexed.
    channel: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Answer {
    code: Option<i64>,
    #[serde(rename = "ackId")]
    ack: Option<u64>,
    #[serde(rename = "invalid-event-number")]
    unfit: Option<usize>,
}

#[derive(Deserialize)]
struct Acks {
    acks: std::collections::HashMap<String, bool>,
}

impl Splunk {
    /// `channel` are 16 random bytes, where the token has acknowledgement switched on.
    pub fn new(
        client: HttpClient,
        host: String,
        index: Option<String>,
        channel: Option<[u8; 16]>,
    ) -> Self {
        let channel = channel.map(|bytes| {
            let hex = HEXLOWER.encode(&bytes);
            let parts = [&hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]];
            parts.join("-")
        });
        Self { client, host, index, channel }
    }

    pub(crate) async fn send(&mut self, records: &[Record]) -> Result<Taken, SinkError> {
        let path = format!("{}/services/collector/event", self.client.path());
        let reply = self.post(&path, self.body(records)).await?;
        let answer: Answer = serde_json::from_slice(&reply.body).unwrap_or_default();
        if reply.status == StatusCode::OK && answer.code == Some(0) {
            self.wait_for(answer.ack).await?;
            return Ok(Taken::all(records));
        }
        if !answer.code.is_some_and(|code| UNFIT.contains(&code)) {
            return Err(reply.trouble());
        }
        // Whether those before it are indexed it does not say, so they go without it.
        match (answer.unfit, records) {
            (Some(0), [first, ..]) => {
                let refused = vec![Refused { position: first.position, why: reply.quote() }];
                Ok(Taken { count: 1, refused, confirmed: true })
            }
            _ => Err(SinkError::Divide(reply.quote())),
        }
    }

    fn body(&self, records: &[Record]) -> String {
        let one = |record: &Record| {
            #[expect(clippy::cast_precision_loss, reason = "milliseconds of this age fit")]
            let seconds = record.millis() as f64 / 1_000.0;
            let mut event = json!({
                "time": seconds,
                "host": self.host,
                "source": "portcullis",
                "sourcetype": "ocsf:json",
                "event": record.event,
            });
            if let Some(index) = &self.index {
                event["index"] = index.clone().into();
            }
            format!("{event}\n")
        };
        records.iter().map(one).collect()
    }

    async fn post(&mut self, path: &str, body: String) -> Result<Reply, SinkError> {
        let channel = self.channel.as_deref().and_then(|text| HeaderValue::from_str(text).ok());
        let channel = channel.map(|value| (CHANNEL, value));
        self.client.post(path, channel.as_slice(), "application/json", Bytes::from(body)).await
    }

    /// Returns when the batch is indexed: the collector's 200 only says that it arrived.
    async fn wait_for(&mut self, ack: Option<u64>) -> Result<(), SinkError> {
        let Some(channel) = self.channel.clone() else { return Ok(()) };
        let Some(ack) = ack else {
            let why = "the collector gives no ackId: acknowledgement is off for this token";
            return Err(SinkError::later(why));
        };
        let path = format!("{}/services/collector/ack?channel={channel}", self.client.path());
        for asked in 0..MOST_ASKED {
            let reply = self.post(&path, json!({ "acks": [ack] }).to_string()).await?;
            if reply.status != StatusCode::OK {
                return Err(reply.trouble());
            }
            let acks: Result<Acks, _> = serde_json::from_slice(&reply.body);
            if acks.is_ok_and(|acks| acks.acks.get(&ack.to_string()) == Some(&true)) {
                return Ok(());
            }
            sleep(ASK_EVERY * (1 + asked / ASKED_ALIKE)).await;
        }
        Err(SinkError::later("the collector did not confirm a batch in time"))
    }
}
