//! The `_bulk` API of Elasticsearch and OpenSearch.

use std::fmt::Write as _;

use aws_lc_rs::digest::{SHA256, digest};
use bytes::Bytes;
use data_encoding::HEXLOWER;
use http::StatusCode;
use portcullis_types::Timestamp;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::{
    http::HttpClient,
    record::Record,
    sink::{Refused, SinkError, Taken},
};

/// Digits that stand for the log in the id of a document.
const LOG_DIGITS: usize = 16;

/// A cluster, and the index or data stream that documents go to.
#[derive(Debug)]
pub struct Elastic {
    client: HttpClient,
    index: String,
    /// Before the index of an entry: what is sent twice is one document.
    prefix: String,
}

#[derive(Deserialize)]
struct Answer {
    items: Vec<Item>,
}

#[derive(Deserialize)]
struct Item {
    create: Created,
}

#[derive(Deserialize)]
struct Created {
    status: u16,
    error: Option<Value>,
}

impl Elastic {
    /// For the log named `origin`.
    ///
    /// # Errors
    /// In words, if the name of the index cannot be one.
    pub fn new(client: HttpClient, index: &str, origin: &str) -> Result<Self, String> {
        let fits = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "-_.".contains(c);
        let begins = index.starts_with(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit());
        if !begins || index.len() > 255 || !index.chars().all(fits) {
            return Err("index: expected lower-case letters, digits, -, _ and .".to_owned());
        }
        let mut prefix = HEXLOWER.encode(digest(&SHA256, origin.as_bytes()).as_ref());
        prefix.truncate(LOG_DIGITS);
        Ok(Self { client, index: index.to_owned(), prefix })
    }

    pub(crate) async fn send(&mut self, records: &[Record]) -> Result<Taken, SinkError> {
        let mut body = String::new();
        for record in records {
            // With the event's own id: a log that was put back to an earlier state has other events
            // at the same places.
            let id = format!("{}-{}-{}", self.prefix, record.position, record.uid());
            let mut document = record.event.clone();
            let millis = i64::try_from(record.millis()).unwrap_or_default();
            let time = Timestamp::from_micros(millis.saturating_mul(1_000));
            document["@timestamp"] = time.to_rfc3339().into();
            let _ = writeln!(body, "{}\n{document}", json!({ "create": { "_id": id } }));
        }
        let wanted = "filter_path=items.*.status,items.*.error";
        let path = format!("{}/{}/_bulk?{wanted}", self.client.path(), self.index);
        let body = Bytes::from(body);
        let reply = self.client.post(&path, &[], "application/x-ndjson", body).await?;
        if reply.status != StatusCode::OK {
            return Err(reply.trouble());
        }
        let answer: Answer = serde_json::from_slice(&reply.body)
            .map_err(|_| SinkError::later("the answer is none of the bulk API"))?;
        if answer.items.len() != records.len() {
            return Err(SinkError::later("the answer is not about what was sent"));
        }
        let mut taken = Taken::all(records);
        for (record, Item { create }) in records.iter().zip(answer.items) {
            match create.status {
                // 409: it came before.
                200..=299 | 409 => {}
                400 | 413 | 422 => {
                    let why = create.error.unwrap_or_default().to_string();
                    let why = portcullis_events::clean(&why);
                    taken.refused.push(Refused { position: record.position, why });
                }
                status => {
                    let why =
                        format!("a document got {status}: {}", create.error.unwrap_or_default());
                    return Err(SinkError::later(portcullis_events::clean(&why)));
                }
            }
        }
        Ok(taken)
    }
}
