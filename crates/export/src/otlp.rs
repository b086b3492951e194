//! OpenTelemetry logs over OTLP/HTTP, in binary protobuf.

use data_encoding::HEXLOWER;
use prost::Message;

use crate::{
    http::HttpClient,
    otlp_common::{AnyValue, KeyValue, Resource, Scope, Variant, hand_in},
    record::Record,
    sink::{Refused, SinkError, Taken},
};

/// A receiver of OTLP. Its URL is the base; `/v1/logs` follows it.
#[derive(Debug)]
pub struct Otlp {
    client: HttpClient,
    resource: Resource,
}

impl Otlp {
    /// For the log named `origin`.
    pub fn new(client: HttpClient, origin: &str) -> Self {
        Self { client, resource: Resource::of(origin) }
    }

    pub(crate) async fn send(&mut self, records: &[Record]) -> Result<Taken, SinkError> {
        let scope = Scope::named("portcullis.audit");
        let logs = records.iter().map(LogRecord::of).collect();
        let scope_logs = vec![ScopeLogs { scope: Some(scope), log_records: logs }];
        let resource_logs = ResourceLogs { resource: Some(self.resource.clone()), scope_logs };
        let request = ExportLogsServiceRequest { resource_logs: vec![resource_logs] };
        let partial = hand_in(&mut self.client, "/v1/logs", &request).await?;
        if partial.rejected <= 0 {
            return Ok(Taken::all(records));
        }
        if records.len() > 1 {
            // It does not say which: one by one it will.
            return Err(SinkError::Divide(partial.error_message));
        }
        let why = portcullis_events::clean(&partial.error_message);
        let refused =
            records.iter().map(|one| Refused { position: one.position, why: why.clone() });
        Ok(Taken { refused: refused.collect(), ..Taken::all(records) })
    }
}

/// `opentelemetry.proto.collector.logs.v1`, as far as it is used.
#[derive(Clone, PartialEq, Message)]
struct ExportLogsServiceRequest {
    #[prost(message, repeated, tag = "1")]
    resource_logs: Vec<ResourceLogs>,
}

/// `opentelemetry.proto.logs.v1`.
#[derive(Clone, PartialEq, Message)]
struct ResourceLogs {
    #[prost(message, optional, tag = "1")]
    resource: Option<Resource>,
    #[prost(message, repeated, tag = "2")]
    scope_logs: Vec<ScopeLogs>,
}

#[derive(Clone, PartialEq, Message)]
struct ScopeLogs {
    #[prost(message, optional, tag = "1")]
    scope: Option<Scope>,
    #[prost(message, repeated, tag = "2")]
    log_records: Vec<LogRecord>,
}

#[derive(Clone, PartialEq, Message)]
struct LogRecord {
    #[prost(fixed64, tag = "1")]
    time_unix_nano: u64,
    #[prost(int32, tag = "2")]
    severity_number: i32,
    #[prost(string, tag = "3")]
    severity_text: String,
    #[prost(message, optional, tag = "5")]
    body: Option<AnyValue>,
    #[prost(message, repeated, tag = "6")]
    attributes: Vec<KeyValue>,
    #[prost(bytes = "vec", tag = "9")]
    trace_id: Vec<u8>,
    #[prost(bytes = "vec", tag = "10")]
    span_id: Vec<u8>,
    #[prost(fixed64, tag = "11")]
    observed_time_unix_nano: u64,
    #[prost(string, tag = "12")]
    event_name: String,
}

impl LogRecord {
    fn of(record: &Record) -> Self {
        let nanos = record.millis().saturating_mul(1_000_000);
        let (severity_number, severity_text) = severity(record.severity());
        let index = i64::try_from(record.index).unwrap_or(i64::MAX);
        let index = KeyValue::number("portcullis.tlog.index", index);
        let ids = |pointer, length| {
            let text = record.text(pointer).unwrap_or_default();
            HEXLOWER.decode(text.as_bytes()).ok().filter(|id| id.len() == length)
        };
        Self {
            time_unix_nano: nanos,
            observed_time_unix_nano: nanos,
            severity_number,
            severity_text: severity_text.into(),
            body: Some(Variant::Text(record.json()).into()),
            attributes: vec![KeyValue::new("log.record.uid", record.uid()), index],
            trace_id: ids("/trace/uid", 16).unwrap_or_default(),
            span_id: ids("/trace/span/uid", 8).unwrap_or_default(),
            event_name: record.code().into(),
        }
    }
}

/// From OCSF's 0 to 6 to the number and name of OpenTelemetry.
fn severity(id: u8) -> (i32, &'static str) {
    match id {
        2 => (10, "Low"),
        3 => (13, "Medium"),
        4 => (17, "High"),
        5 => (18, "Critical"),
        6 => (21, "Fatal"),
        1 => (9, "Informational"),
        _ => (0, "Unknown"),
    }
}
