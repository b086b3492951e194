//! What logs and traces of OTLP have in common.

use bytes::Bytes;
use http::StatusCode;
use prost::Message;

use crate::{http::HttpClient, sink::SinkError};

/// Hands a request in at a path below the collector's URL. Returns what of it was not taken.
pub(crate) async fn hand_in(
    client: &mut HttpClient,
    path: &str,
    request: &impl Message,
) -> Result<PartialSuccess, SinkError> {
    let path = format!("{}{path}", client.path());
    let body = Bytes::from(request.encode_to_vec());
    let reply = client.post(&path, &[], "application/x-protobuf", body).await?;
    match reply.status {
        StatusCode::OK => {}
        // The specification: never to be sent again as it is.
        StatusCode::BAD_REQUEST => return Err(SinkError::Divide(reply.quote())),
        _ => return Err(reply.trouble()),
    }
    let answer = ExportServiceResponse::decode(reply.body.clone());
    let answer = answer.map_err(|_| SinkError::later("the answer is none of OTLP"))?;
    Ok(answer.partial_success.unwrap_or_default())
}

/// `ExportLogsServiceResponse` and `ExportTraceServiceResponse`, which are alike.
#[derive(Clone, PartialEq, Message)]
struct ExportServiceResponse {
    #[prost(message, optional, tag = "1")]
    partial_success: Option<PartialSuccess>,
}

/// How many records or spans were not taken, and why.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct PartialSuccess {
    #[prost(int64, tag = "1")]
    pub rejected: i64,
    #[prost(string, tag = "2")]
    pub error_message: String,
}

/// `opentelemetry.proto.common.v1` and `resource.v1`.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct Resource {
    #[prost(message, repeated, tag = "1")]
    attributes: Vec<KeyValue>,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct Scope {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(string, tag = "2")]
    version: String,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct KeyValue {
    #[prost(string, tag = "1")]
    key: String,
    #[prost(message, optional, tag = "2")]
    value: Option<AnyValue>,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct AnyValue {
    #[prost(oneof = "Variant", tags = "1, 3")]
    value: Option<Variant>,
}

#[derive(Clone, PartialEq, prost::Oneof)]
pub(crate) enum Variant {
    #[prost(string, tag = "1")]
    Text(String),
    #[prost(int64, tag = "3")]
    Number(i64),
}

impl From<Variant> for AnyValue {
    fn from(value: Variant) -> Self {
        Self { value: Some(value) }
    }
}

impl KeyValue {
    pub fn number(key: &str, number: i64) -> Self {
        Self { key: key.into(), value: Some(Variant::Number(number).into()) }
    }

    pub fn new(key: &str, text: &str) -> Self {
        Self { key: key.into(), value: Some(Variant::Text(text.into()).into()) }
    }
}

impl Resource {
    /// This node.
    pub fn of(node: &str) -> Self {
        let attributes = vec![
            KeyValue::new("service.name", "portcullis"),
            KeyValue::new("service.version", env!("CARGO_PKG_VERSION")),
            KeyValue::new("service.instance.id", node),
        ];
        Self { attributes }
    }
}

impl Scope {
    pub fn named(name: &str) -> Self {
        Self { name: name.into(), version: String::new() }
    }
}
