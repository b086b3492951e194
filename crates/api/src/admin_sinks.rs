//! Who gets the record besides us: how far they are, and trying one out.

use http::{Method, StatusCode};
use serde::Serialize;
use utoipa::ToSchema;

use crate::{
    ApiError,
    call::{Call, Page},
    endpoint::{Api, Endpoint, Permission::Admin, Reply, ok},
};

pub(crate) fn endpoints() -> Vec<Endpoint> {
    let ok = StatusCode::OK;
    vec![
        Endpoint::new(
            Method::GET,
            "/api/admin/v1/sinks",
            Admin,
            "Receivers of events, how far they are behind the log, and what went wrong last",
            list,
        )
        .returns::<Page<SinkView>>(ok),
        Endpoint::new(
            Method::POST,
            "/api/admin/v1/sinks/{id}/test",
            Admin,
            "Send an event to a receiver now, and tell what it said",
            test,
        )
        .returns::<SinkTestView>(ok),
    ]
}

/// A receiver of events, as this node has it.
#[derive(Debug, Serialize, ToSchema)]
pub struct SinkView {
    /// As the configuration calls it.
    pub name: String,
    /// `syslog`, `splunk`, `elastic`, `otlp`, `webhook` or `slack`.
    pub kind: String,
    /// Host and port; left out where even that may be a secret.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub to: Option<String>,
    /// Codes of events or how they begin; all if empty.
    pub kinds: Vec<String>,
    /// `open` or `sealed`: whether it can read what is personal.
    pub personal: String,
    /// Entries of the log that are not known to be delivered.
    pub behind_entries: u64,
    /// How old the oldest event is that waits.
    pub behind_seconds: u64,
    /// Events that it took since the start.
    pub delivered: u64,
    /// Those that it refused for good.
    pub refused: u64,
    /// Those whose time in the log was over before they could be sent.
    pub missed: u64,
    /// Deliveries that failed and came again.
    pub failures: u64,
    /// Whether the last delivery failed.
    pub failing: bool,
    /// What went wrong last.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_failure: Option<SinkFailureView>,
}

/// A delivery that failed.
#[derive(Debug, Serialize, ToSchema)]
pub struct SinkFailureView {
    /// RFC 3339.
    pub at: String,
    /// In words.
    pub said: String,
}

/// What came of it.
#[derive(Debug, Serialize, ToSchema)]
pub struct SinkTestView {
    /// Whether the receiver took the event.
    pub delivered: bool,
    /// Whether it said so. Syslog has no word for it: the event went out on a connection that stood.
    pub confirmed: bool,
    /// What it said, if it did not take it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub said: Option<String>,
    /// How long it took.
    pub took_millis: u64,
}

async fn list(api: Api, _: Call) -> Reply {
    ok(Page { items: api.reload.0.sinks().ok_or(ApiError::NotFound)?, next: None })
}

async fn test(api: Api, call: Call) -> Reply {
    let name: String = call.id()?;
    let tried = api.reload.0.try_sink(name, call.caller.actor, call.origin).await;
    ok(tried.flatten().ok_or(ApiError::NotFound)?)
}
