//! The gate as it stands, and what it would say to a request.

use std::net::IpAddr;

use http::{Method, StatusCode};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use crate::{
    ApiError,
    call::Call,
    endpoint::{Api, Endpoint, Permission::Admin, Reply, ok},
};

/// Header fields of a request to explain.
const FIELDS_MAX: usize = 100;

pub(crate) fn endpoints() -> Vec<Endpoint> {
    let ok = StatusCode::OK;
    vec![
        Endpoint::new(
            Method::GET,
            "/api/admin/v1/gateway",
            Admin,
            "The routes of the file as they are in force, and how the servers behind them are",
            show,
        )
        .returns::<GatewayView>(ok),
        Endpoint::new(
            Method::GET,
            "/api/admin/v1/gateway/activity",
            Admin,
            "Refusals by route and stage, who uses up which limit, and what contracts learn",
            activity,
        )
        .returns::<ActivityView>(ok),
        Endpoint::new(
            Method::POST,
            "/api/admin/v1/gateway/explain",
            Admin,
            "What each stage would say to a request. Nothing is sent on and nothing is counted",
            explain,
        )
        .takes::<ExplainInput>()
        .returns::<ExplanationView>(ok),
    ]
}

/// The gate.
#[derive(Debug, Serialize, ToSchema)]
pub struct GatewayView {
    /// Each as the file has it.
    #[schema(value_type = Vec<Object>)]
    pub routes: Vec<Value>,
    /// What they lead to.
    pub upstreams: Vec<UpstreamView>,
}

/// Servers of one service.
#[derive(Debug, Serialize, ToSchema)]
pub struct UpstreamView {
    /// As routes name it.
    pub name: String,
    /// Empty while discovery has found none.
    pub servers: Vec<ServerView>,
}

/// One of them.
#[derive(Debug, Serialize, ToSchema)]
pub struct ServerView {
    /// Host and port, with the address if discovery found it.
    pub server: String,
    /// What the last health checks said; true without them.
    pub healthy: bool,
    /// Whether it is left alone for a while, since it failed.
    pub ejected: bool,
    /// Requests on their way.
    pub active: usize,
}

/// A request that is not sent.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ExplainInput {
    /// The method.
    pub method: String,
    /// Path and query.
    pub path: String,
    /// The host, with its port if it has one; the issuer's if left out.
    pub host: Option<String>,
    /// Further header fields, at most 100.
    #[serde(default)]
    pub headers: Vec<FieldInput>,
    /// Where it comes from; 127.0.0.1 if left out.
    #[schema(value_type = Option<String>)]
    pub address: Option<IpAddr>,
}

/// A header field.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct FieldInput {
    /// Its name.
    pub name: String,
    /// Its value.
    pub value: String,
}

/// What the stages say, up to the one that refuses.
#[derive(Debug, Serialize, ToSchema)]
pub struct ExplanationView {
    /// In their order.
    pub stages: Vec<StageView>,
}

/// What one stage says.
#[derive(Debug, Serialize, ToSchema)]
pub struct StageView {
    /// `guard`, `block_list`, `route`, `limits`, `authenticate`, `authorise`, `validate` …
    pub stage: String,
    /// In words.
    pub said: String,
    /// The status of the refusal, if it is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// Why, in a word that does not change.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// What the gate does now: this node, in memory, since it started or for the last hour.
#[derive(Debug, Serialize, ToSchema)]
pub struct ActivityView {
    /// From when on requests are counted here, RFC 3339.
    pub since: String,
    /// The same for those who use limits up.
    pub consumers_since: String,
    /// Routes that were asked for, by name; `-` for requests that have none.
    pub routes: Vec<RouteActivity>,
    /// The limits in force.
    pub limits: Vec<LimitView>,
    /// What contracts would have refused that are still learned (`openapi_mode = "learn"`), since the start.
    pub learned: Vec<LearnedView>,
}

/// What became of the requests of a route.
#[derive(Debug, Serialize, ToSchema)]
pub struct RouteActivity {
    /// Its name.
    pub route: String,
    /// How many there were.
    pub requests: u64,
    /// Those among them that the gate refused, by stage.
    pub refused: Vec<RefusedView>,
}

/// Refusals of one stage.
#[derive(Debug, Serialize, ToSchema)]
pub struct RefusedView {
    /// `guard`, `block_list`, `route`, `limits` …
    pub stage: String,
    /// How many.
    pub count: u64,
}

/// A limit, and who uses it up.
#[derive(Debug, Serialize, ToSchema)]
pub struct LimitView {
    /// Its name.
    pub limit: String,
    /// The routes that share it.
    pub routes: Vec<String>,
    /// How much may pass, in words.
    pub allows: String,
    /// False where it counts by something that the log does not have, such as a header field: then
    /// nobody is named.
    pub told_apart: bool,
    /// At most 20, the heaviest first.
    pub consumers: Vec<ConsumerView>,
}

/// Somebody whom a limit counts.
#[derive(Debug, Serialize, ToSchema)]
pub struct ConsumerView {
    /// All of it together.
    pub who: Vec<ConsumedView>,
    /// Their requests, at least; those that are few among many are not counted exactly.
    pub requests: u64,
    /// What may still pass now.
    pub left: u64,
    /// Seconds until there is more, if nothing is left; until nothing is used any more otherwise.
    pub wait_seconds: u64,
    /// Whether they are kept out for longer than the limit alone would.
    pub blocked: bool,
}

/// What somebody is counted by.
#[derive(Debug, Serialize, ToSchema)]
pub struct ConsumedView {
    /// `ip`, `ip56`, `ip48`, `subject`, `api-key`, `tenant`, `route` or `everyone`.
    pub by: String,
    /// Who that is.
    pub value: String,
}

/// What does not fit a contract that is still learned.
#[derive(Debug, Serialize, ToSchema)]
pub struct LearnedView {
    /// The route.
    pub route: String,
    /// Where (`*` stands for every place of a list) and what; left out where there were too many to tell.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub violation: Option<String>,
    /// How often.
    pub count: u64,
    /// When it was last seen, RFC 3339.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_at: Option<String>,
}

async fn show(api: Api, _: Call) -> Reply {
    ok(api.reload.0.gateway().ok_or(ApiError::NotFound)?)
}

async fn activity(api: Api, _: Call) -> Reply {
    ok(api.reload.0.activity().ok_or(ApiError::NotFound)?)
}

async fn explain(api: Api, call: Call) -> Reply {
    let input: ExplainInput = call.json()?;
    if input.headers.len() > FIELDS_MAX {
        let message = format!("must be at most {FIELDS_MAX}");
        return Err(ApiError::field("headers", message));
    }
    ok(ExplanationView { stages: api.reload.0.explain(input).await.ok_or(ApiError::NotFound)? })
}
