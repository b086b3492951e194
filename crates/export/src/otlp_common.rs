//! What logs and traces of OTLP have in common.

use prost::Message;

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
