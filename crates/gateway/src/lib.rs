//! The data plane: listeners, routes, the pipeline that every request passes, and upstreams.
//!
//! A request loads one immutable [`Snapshot`] and walks the stages in [`pipeline`]: guard → block
//! list → route → limits → authenticate → authorise → validate → forward → filter. Built-in services
//! are upstreams in the same process. There is no database here: what changes at runtime comes in
//! through [`Shared`], which is made of tables of fixed size.

mod answer;
mod authn;
mod authz;
mod bearer;
mod body;
mod browser;
mod client_hello;
mod consumer;
mod content;
mod contract;
mod cookies;
mod cors;
mod encoding;
mod explain;
mod forward;
mod forward_auth;
mod guard;
mod issuers;
mod leftover;
mod limits;
mod listener;
mod media_type;
mod minter;
mod overload;
mod pass;
mod path;
mod pipeline;
mod proxy_protocol;
mod pulse;
mod record;
mod same_origin;
mod session;
mod session_kind;
mod snapshot;
mod steady;
mod strict_lines;
mod token_cache;
mod trace_context;
mod upstream;

pub use answer::{Problem, problem};
pub use authn::{AuthKind, Principal};
pub use body::{BoxError, GateBody, empty, full};
pub use client_hello::ja4;
pub use consumer::{Consumer, Seen, Standing};
pub use contract::{Contract, ContractError, ContractViolation, Redacted};
pub use cookies::Cookies;
pub use cors::Cors;
pub use explain::{Asked, Step};
pub use guard::{MAX_HEADER_BYTES, MAX_HEADERS, MAX_URI_BYTES};
pub use issuers::{Introspect, Introspection, Issuer, IssuerRules, OWN_TOKENS};
pub use limits::{Counted, Counters, LimitBlock, LimitKey, LimitKind, LimitRule};
pub use listener::{Door, Listener, ListenerKind, serve};
pub use minter::Minter;
pub use overload::{Overload, Priority};
pub use path::{PathError, normalise};
pub use pipeline::Gateway;
pub use proxy_protocol::{ProxyHeader, ProxyHeaderError, read_proxy_header};
pub use session::{SessionState, Sessions};
pub use session_kind::SessionKind;
pub use snapshot::{
    DEFAULT_BODY_LIMIT, LocalService, Route, Shared, Snapshot, SnapshotError, SnapshotParts,
    StepUp, Target,
};
pub use strict_lines::StrictLines;
pub use trace_context::Tracing;
pub use upstream::{
    HealthCheck, Protocol, Server, ServerState, ServerTls, Upstream, UpstreamError,
    UpstreamSettings, watch_health,
};
