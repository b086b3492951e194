use std::time::Duration;

use http::{Method, StatusCode};
use portcullis_store::{
    api_keys::{self, ApiKey},
    defence::{self, Alert, AlertFilter, Block},
};
use portcullis_types::{Id, Prefix, Timestamp, tags};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{
    ApiError,
    call::{Call, Page},
    collateral::{self, BlockPreviewInput, BlockPreviewView},
    endpoint::{Api, Endpoint, Permission::Admin, Reply, created, nothing, ok},
};

/// A block by hand lasts at most this long.
const MAX_BLOCK: u64 = 30 * 24 * 3600;

pub(crate) fn endpoints() -> Vec<Endpoint> {
    const KEYS: &str = "/api/admin/v1/api-keys";
    const BLOCKS: &str = "/api/admin/v1/blocks";
    const ALERTS: &str = "/api/admin/v1/alerts";
    let ok = StatusCode::OK;
    vec![
        Endpoint::new(Method::GET, KEYS, Admin, "List API keys", list_keys)
            .paged()
            .returns::<Page<ApiKeyView>>(ok),
        Endpoint::new(Method::POST, KEYS, Admin, "Make an API key; it is shown once", create_key)
            .takes::<NewApiKey>()
            .returns::<CreatedApiKey>(StatusCode::CREATED),
        Endpoint::new(
            Method::POST,
            "/api/admin/v1/api-keys/{id}/rotate",
            Admin,
            "A successor; the old key works for a day",
            rotate_key,
        )
        .returns::<CreatedApiKey>(StatusCode::CREATED),
        Endpoint::new(
            Method::DELETE,
            "/api/admin/v1/api-keys/{id}",
            Admin,
            "Revoke an API key at once",
            revoke_key,
        )
        .returns_nothing(),
        Endpoint::new(Method::GET, BLOCKS, Admin, "Blocks in force", list_blocks)
            .returns::<Page<BlockView>>(ok),
        Endpoint::new(Method::POST, BLOCKS, Admin, "Block an address", create_block)
            .takes::<NewBlock>()
            .returns::<BlockView>(StatusCode::CREATED),
        Endpoint::new(
            Method::POST,
            "/api/admin/v1/blocks/preview",
            Admin,
            "Whom a block would hit besides: who is logged in from there, and whether that is you",
            collateral::preview,
        )
        .takes::<BlockPreviewInput>()
        .returns::<BlockPreviewView>(ok),
        Endpoint::new(Method::DELETE, "/api/admin/v1/blocks/{id}", Admin, "Lift a block", lift)
            .returns_nothing(),
        Endpoint::new(
            Method::GET,
            ALERTS,
            Admin,
            "Alerts, newest first: ?from=, ?until= (RFC 3339), ?answer=observed for what would have been done",
            list_alerts,
        )
            .paged()
            .query(&["from", "until", "answer"])
            .returns::<Page<AlertView>>(ok),
        Endpoint::new(Method::GET, "/api/admin/v1/alerts/{id}", Admin, "One alert", show_alert)
            .returns::<AlertView>(ok),
        Endpoint::new(
            Method::POST,
            "/api/admin/v1/alerts/{id}/acknowledge",
            Admin,
            "Take note of an alert",
            acknowledge,
        )
        .returns_nothing(),
    ]
}

/// An API key, without the key.
#[derive(Debug, Serialize, ToSchema)]
struct ApiKeyView {
    id: String,
    name: String,
    /// The last characters of the key.
    hint: String,
    scopes: Vec<String>,
    created_by: String,
    created_at: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    expires_at: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    revoked_at: Option<String>,
}

impl From<ApiKey> for ApiKeyView {
    fn from(key: ApiKey) -> Self {
        Self {
            id: key.id.to_string(),
            name: key.name,
            hint: key.hint,
            scopes: key.scopes.split(' ').map(str::to_owned).collect(),
            created_by: key.created_by,
            created_at: text(key.created_at),
            expires_at: key.expires_at.map(text),
            revoked_at: key.revoked_at.map(text),
        }
    }
}

fn text(micros: i64) -> String {
    Timestamp::from_micros(micros).to_rfc3339()
}

#[derive(Debug, Serialize, ToSchema)]
struct CreatedApiKey {
    api_key: ApiKeyView,
    /// Shown once; only its hash is stored.
    key: String,
}

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct NewApiKey {
    name: String,
    scopes: Vec<String>,
    /// RFC 3339; the key does not expire if it is left out.
    expires_at: Option<String>,
}

async fn list_keys(api: Api, call: Call) -> Reply {
    let (after, limit) = call.page::<Id<tags::ApiKey>>()?;
    let rows = api_keys::page(&api.identity.db, &api.identity.tenant, &after, limit).await?;
    ok(Page::of(rows, limit, |row| row.id.to_string(), ApiKeyView::from))
}

async fn create_key(api: Api, call: Call) -> Reply {
    let new: NewApiKey = call.json()?;
    let now = api.identity.now();
    let expires_at = new.expires_at.as_deref().map(Timestamp::parse_rfc3339).transpose();
    let expires_at = expires_at.ok().filter(|at| at.is_none_or(|at| at > now));
    let expires_at = expires_at.ok_or_else(|| {
        let message = "must be a time to come, RFC 3339".to_owned();
        ApiError::Invalid(vec![portcullis_identity::FieldError { field: "expires_at", message }])
    })?;
    let (by, origin) = (&call.caller.actor, &call.origin);
    let made = api.identity.create_api_key(&new.name, &new.scopes, expires_at, by, origin).await?;
    created(CreatedApiKey { api_key: made.0.into(), key: made.1.expose().clone() })
}

async fn rotate_key(api: Api, call: Call) -> Reply {
    let (by, origin) = (&call.caller.actor, &call.origin);
    let made = api.identity.rotate_api_key(call.id()?, by, origin).await?;
    created(CreatedApiKey { api_key: made.0.into(), key: made.1.expose().clone() })
}

async fn revoke_key(api: Api, call: Call) -> Reply {
    api.identity.revoke_api_key(call.id()?, &call.caller.actor, &call.origin).await?;
    nothing()
}

/// An address that may not enter.
#[derive(Debug, Serialize, ToSchema)]
struct BlockView {
    id: String,
    addr: String,
    /// `all`; `step_up`, where a password alone is not enough; or the limit whose doors are closed.
    scope: String,
    reason: String,
    created_by: String,
    created_at: String,
    until: String,
}

impl From<Block> for BlockView {
    fn from(block: Block) -> Self {
        Self {
            id: block.id.to_string(),
            addr: block.addr,
            scope: block.scope,
            reason: block.reason,
            created_by: block.created_by,
            created_at: block.created_at.to_rfc3339(),
            until: block.until_at.to_rfc3339(),
        }
    }
}

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct NewBlock {
    /// An address or a network such as 192.0.2.0/24; an IPv6 address alone is its /64.
    addr: String,
    reason: String,
    /// Seconds, at most 30 days.
    seconds: u64,
}

async fn list_blocks(api: Api, _: Call) -> Reply {
    let identity = &api.identity;
    let rows = defence::live_blocks(&identity.db, &identity.tenant, identity.now()).await?;
    ok(Page { items: rows.into_iter().map(BlockView::from).collect(), next: None })
}

fn wrong(field: &'static str, message: &str) -> ApiError {
    let message = message.to_owned();
    ApiError::Invalid(vec![portcullis_identity::FieldError { field, message }])
}

/// What may be blocked.
pub(crate) fn blockable(text: &str) -> Result<Prefix, ApiError> {
    let widest =
        |network: &Prefix| network.length() >= if network.ip().is_ipv4() { 16 } else { 32 };
    Prefix::parse(text).filter(widest).ok_or_else(|| {
        wrong("addr", "must be an IP address or a network, at most an IPv4 /16 or an IPv6 /32")
    })
}

async fn create_block(api: Api, call: Call) -> Reply {
    let new: NewBlock = call.json()?;
    let addr = blockable(&new.addr)?;
    if !(1..=MAX_BLOCK).contains(&new.seconds) {
        return Err(wrong("seconds", "must be 1 to 2592000"));
    }
    let span = Duration::from_secs(new.seconds);
    let block = api.identity.block_address(addr, &new.reason, span, &call.caller.actor).await?;
    created(BlockView::from(block))
}

async fn lift(api: Api, call: Call) -> Reply {
    api.identity.lift_block(call.id()?, &call.caller.actor).await?;
    nothing()
}

/// Something a detector saw.
#[derive(Debug, Serialize, ToSchema)]
struct AlertView {
    id: String,
    rule: String,
    title: String,
    description: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    addr: Option<String>,
    /// Ids of the accounts concerned.
    accounts: Vec<String>,
    /// Ids of the events that led to it.
    evidence: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    block_id: Option<String>,
    /// 2 low, 3 medium, 4 high, 5 critical (OCSF).
    severity: i64,
    /// The MITRE ATT&CK technique.
    technique: String,
    /// What was done: `alert`, `block`, `delay`, `step_up`, `end_sessions`, or `observed`.
    answer: String,
    created_at: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    acknowledged_by: Option<String>,
}

impl From<Alert> for AlertView {
    fn from(alert: Alert) -> Self {
        let list = |text: &str| serde_json::from_str(text).unwrap_or_default();
        Self {
            id: alert.id.to_string(),
            rule: alert.rule,
            title: alert.title,
            description: alert.description,
            addr: alert.addr,
            accounts: list(&alert.accounts),
            evidence: list(&alert.evidence),
            block_id: alert.block_id,
            severity: alert.severity,
            technique: alert.technique,
            answer: alert.answer,
            created_at: alert.created_at.to_rfc3339(),
            acknowledged_by: alert.acknowledged_by,
        }
    }
}

async fn list_alerts(api: Api, call: Call) -> Reply {
    let (before, limit) = call.page::<Id<tags::Alert>>()?;
    let within = call.times()?;
    let answer = call.query.get("answer").unwrap_or_default();
    if !matches!(answer, "" | "alert" | "block" | "delay" | "step_up" | "end_sessions" | "observed")
    {
        return Err(ApiError::Parameter("answer"));
    }
    let asked = AlertFilter { within, answer };
    let (db, tenant) = (&api.identity.db, &api.identity.tenant);
    let rows = defence::alerts(db, tenant, asked, (&before, limit)).await?;
    ok(Page::of(rows, limit, |row| row.id.to_string(), AlertView::from))
}

async fn show_alert(api: Api, call: Call) -> Reply {
    let alert = defence::alert(&api.identity.db, &api.identity.tenant, call.id()?).await?;
    ok(AlertView::from(alert.ok_or(ApiError::NotFound)?))
}

async fn acknowledge(api: Api, call: Call) -> Reply {
    api.identity.acknowledge_alert(call.id()?, &call.caller.actor, &call.origin).await?;
    nothing()
}
