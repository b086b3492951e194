//! The record, out of the house: each sink reads the durable log from where it last stopped, and
//! remembers how far its receiver has taken it.
//!
//! ```text
//! log (durable) ──► Exporter: entries from the cursor on ──► personal fields opened, or not
//!                      │                                         │
//!                      │                                    Record (OCSF, index)
//!                      │                                         │
//!                 cursor ◄── taken ── Sink: syslog (OCSF or CEF), Splunk HEC, Elastic _bulk,
//!                 dead letters ◄── refused    OTLP/HTTP, Standard Webhooks, Slack
//! ```
//!
//! Every event is delivered at least once. The log itself is the queue: a receiver that is away costs
//! neither memory nor a request's time. What a receiver says it will never take goes to a file of
//! dead letters, and the rest goes on; any other trouble is tried again until it ends.

mod cef;
mod cursor;
mod elastic;
mod exporter;
mod http;
mod integrity;
mod otlp;
mod otlp_common;
mod otlp_traces;
mod pace;
mod progress;
mod record;
mod sink;
mod slack;
mod splunk;
mod syslog;
mod tls;
mod webhook;

pub use cef::cef;
pub use elastic::Elastic;
pub use exporter::{Begin, Exporter, Open, Verifier};
pub use http::{HttpClient, HttpSettings};
pub use integrity::{DRAFT_VERSION, Link};
pub use otlp::Otlp;
pub use otlp_traces::OtlpTraces;
pub use portcullis_audit::Entry;
pub use progress::Progress;
pub use record::Record;
pub use sink::{Refused, Sink, SinkError, Taken};
pub use slack::{Slack, slack_text};
pub use splunk::Splunk;
pub use syslog::{Format, Syslog, SyslogSettings, frame, message};
pub use tls::{Tls, TlsSettings};
pub use webhook::Webhook;
