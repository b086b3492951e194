use std::time::Duration;

use portcullis_types::Timestamp;

/// Which request of which trace something belongs to (W3C Trace Context).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TraceIds {
    /// The trace.
    pub trace: [u8; 16],
    /// The span in it.
    pub span: [u8; 8],
}

/// What a trace says of one request: that it was answered here, or that another was asked for it.
#[derive(Debug, Clone, PartialEq)]
pub struct Span {
    /// The trace and this span.
    pub ids: TraceIds,
    /// The span it is a part of.
    pub parent: Option<[u8; 8]>,
    /// Whether it was asked of another (OpenTelemetry: `CLIENT`), or of us (`SERVER`).
    pub asked_another: bool,
    /// The method and the route's path: few different ones.
    pub name: String,
    /// When it began.
    pub begun: Timestamp,
    /// How long it took.
    pub took: Duration,
    /// What OpenTelemetry's conventions for HTTP call it.
    pub attributes: Vec<(&'static str, SpanValue)>,
    /// Why it failed, by the same conventions; nothing if it did not.
    pub error: Option<String>,
}

/// The value of an attribute.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SpanValue {
    /// A text.
    Text(String),
    /// A number.
    Number(i64),
}

impl From<&str> for SpanValue {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<u16> for SpanValue {
    fn from(number: u16) -> Self {
        Self::Number(number.into())
    }
}
