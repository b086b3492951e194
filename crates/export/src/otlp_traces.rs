//! OpenTelemetry traces over OTLP/HTTP, in binary protobuf.

use portcullis_events::{Span, SpanValue};
use prost::Message;

use crate::{
    http::HttpClient,
    otlp_common::{KeyValue, Resource, Scope, hand_in},
    sink::SinkError,
};

/// OpenTelemetry's `SPAN_KIND_SERVER` and `SPAN_KIND_CLIENT`.
const SERVER: i32 = 2;
const CLIENT: i32 = 3;
/// `STATUS_CODE_ERROR`.
const ERROR: i32 = 2;

/// A collector of traces. Its URL is the base; `/v1/traces` follows it.
#[derive(Debug)]
pub struct OtlpTraces {
    client: HttpClient,
    resource: Resource,
}

impl OtlpTraces {
    /// For the node of this name.
    pub fn new(client: HttpClient, node: &str) -> Self {
        Self { client, resource: Resource::of(node) }
    }

    /// Hands in spans. Returns how many were taken.
    ///
    /// # Errors
    /// If it has to be tried again, or to be given up.
    pub async fn send(&mut self, spans: &[Span]) -> Result<u64, SinkError> {
        let scope = Some(Scope::named("portcullis.gate"));
        let spans_of_scope = ScopeSpans { scope, spans: spans.iter().map(Sent::of).collect() };
        let resource = Some(self.resource.clone());
        let resource_spans = ResourceSpans { resource, scope_spans: vec![spans_of_scope] };
        let request = ExportTraceServiceRequest { resource_spans: vec![resource_spans] };
        let refused = hand_in(&mut self.client, "/v1/traces", &request).await?.rejected;
        Ok((spans.len() as u64).saturating_sub(u64::try_from(refused).unwrap_or(0)))
    }
}

/// `opentelemetry.proto.collector.trace.v1`, as far as it is used.
#[derive(Clone, PartialEq, Message)]
struct ExportTraceServiceRequest {
    #[prost(message, repeated, tag = "1")]
    resource_spans: Vec<ResourceSpans>,
}

/// `opentelemetry.proto.trace.v1`.
#[derive(Clone, PartialEq, Message)]
struct ResourceSpans {
    #[prost(message, optional, tag = "1")]
    resource: Option<Resource>,
    #[prost(message, repeated, tag = "2")]
    scope_spans: Vec<ScopeSpans>,
}

#[derive(Clone, PartialEq, Message)]
struct ScopeSpans {
    #[prost(message, optional, tag = "1")]
    scope: Option<Scope>,
    #[prost(message, repeated, tag = "2")]
    spans: Vec<Sent>,
}

/// `Span`.
#[derive(Clone, PartialEq, Message)]
struct Sent {
    #[prost(bytes = "vec", tag = "1")]
    trace_id: Vec<u8>,
    #[prost(bytes = "vec", tag = "2")]
    span_id: Vec<u8>,
    #[prost(bytes = "vec", tag = "4")]
    parent_span_id: Vec<u8>,
    #[prost(string, tag = "5")]
    name: String,
    #[prost(int32, tag = "6")]
    kind: i32,
    #[prost(fixed64, tag = "7")]
    start_time_unix_nano: u64,
    #[prost(fixed64, tag = "8")]
    end_time_unix_nano: u64,
    #[prost(message, repeated, tag = "9")]
    attributes: Vec<KeyValue>,
    #[prost(message, optional, tag = "15")]
    status: Option<Status>,
}

#[derive(Clone, PartialEq, Message)]
struct Status {
    #[prost(int32, tag = "3")]
    code: i32,
}

impl Sent {
    fn of(span: &Span) -> Self {
        let start = u64::try_from(span.begun.micros()).unwrap_or(0).saturating_mul(1_000);
        let took = u64::try_from(span.took.as_nanos()).unwrap_or(u64::MAX);
        let mut attributes: Vec<_> = span.attributes.iter().map(attribute).collect();
        attributes.extend(span.error.as_ref().map(|why| KeyValue::new("error.type", why)));
        Self {
            trace_id: span.ids.trace.to_vec(),
            span_id: span.ids.span.to_vec(),
            parent_span_id: span.parent.map(|parent| parent.to_vec()).unwrap_or_default(),
            name: span.name.clone(),
            kind: if span.asked_another { CLIENT } else { SERVER },
            start_time_unix_nano: start,
            end_time_unix_nano: start.saturating_add(took),
            attributes,
            status: span.error.is_some().then_some(Status { code: ERROR }),
        }
    }
}

fn attribute((name, value): &(&'static str, SpanValue)) -> KeyValue {
    match value {
        SpanValue::Text(text) => KeyValue::new(name, text),
        SpanValue::Number(number) => KeyValue::number(name, *number),
    }
}
