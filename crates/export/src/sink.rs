use std::time::Duration;

use http::StatusCode;

use crate::{Elastic, Otlp, Record, Slack, Splunk, Syslog, Webhook, http::Reply};

/// Where records go.
#[derive(Debug)]
pub enum Sink {
    /// RFC 5424 over TLS.
    Syslog(Syslog),
    /// Splunk's HTTP Event Collector.
    Splunk(Splunk),
    /// Elasticsearch or OpenSearch.
    Elastic(Elastic),
    /// OpenTelemetry logs.
    Otlp(Otlp),
    /// Signed webhooks.
    Webhook(Webhook),
    /// A channel that people read.
    Slack(Slack),
}

/// The receiver will never take this record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    /// Which one, by its position.
    pub position: u64,
    /// What it said.
    pub why: String,
}

/// The first records of a batch are dealt with: they went, or were refused for good.
#[derive(Debug)]
pub struct Taken {
    /// How many, at least one.
    pub count: usize,
    /// Those among them that were refused.
    pub refused: Vec<Refused>,
    /// Whether the receiver said that it has the others. Where a protocol has no word for that, a
    /// connection that stays open for a while has to do.
    pub confirmed: bool,
}

impl Taken {
    pub(crate) fn all(records: &[Record]) -> Self {
        Self { count: records.len(), refused: Vec::new(), confirmed: true }
    }

    /// A record more, by what was answered to it alone.
    pub(crate) fn one_more(&mut self, answered: Result<Reply, SinkError>) -> Result<(), SinkError> {
        let reply = answered?;
        match reply.status {
            status if status.is_success() => {
                self.count += 1;
                Ok(())
            }
            StatusCode::BAD_REQUEST
            | StatusCode::PAYLOAD_TOO_LARGE
            | StatusCode::UNPROCESSABLE_ENTITY => Err(SinkError::Divide(reply.quote())),
            _ => Err(reply.trouble()),
        }
    }

    /// What went before there was trouble; the trouble is met again with the next one.
    pub(crate) fn or(self, error: SinkError) -> Result<Self, SinkError> {
        if self.count == 0 { Err(error) } else { Ok(self) }
    }
}

/// Nothing is known to have been taken.
#[derive(Debug, thiserror::Error)]
pub enum SinkError {
    /// The receiver is away, busy, or does not let us in: the same again later.
    #[error("{why}")]
    Later {
        /// In words.
        why: String,
        /// Not before this time has passed.
        after: Option<Duration>,
        /// Whether it took too long: less at once may be done in time.
        slow: bool,
    },
    /// Not all of it together: it is too much, or something among it does not fit and the receiver
    /// does not say what. The same again in two halves.
    #[error("{0}")]
    Divide(String),
}

impl SinkError {
    pub(crate) fn later(why: impl Into<String>) -> Self {
        Self::Later { why: why.into(), after: None, slow: false }
    }
}

impl Sink {
    /// Records in one delivery.
    pub fn most(&self) -> usize {
        match self {
            // Each is a request of its own; what was taken is remembered after every few.
            Self::Webhook(_) | Self::Slack(_) => 16,
            _ => 512,
        }
    }

    /// Delivers records, in order, and says how many it dealt with.
    ///
    /// # Errors
    /// If nothing is known to have arrived or been refused; all of them come again.
    pub async fn send(&mut self, records: &[Record]) -> Result<Taken, SinkError> {
        match self {
            Self::Syslog(sink) => sink.send(records).await,
            Self::Splunk(sink) => sink.send(records).await,
            Self::Elastic(sink) => sink.send(records).await,
            Self::Otlp(sink) => sink.send(records).await,
            Self::Webhook(sink) => sink.send(records).await,
            Self::Slack(sink) => sink.send(records).await,
        }
    }

    /// Whether what was sent over the present connection may still arrive.
    pub async fn stands(&mut self) -> bool {
        match self {
            Self::Syslog(sink) => sink.stands().await,
            _ => true,
        }
    }
}
