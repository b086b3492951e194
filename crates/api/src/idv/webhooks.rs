use http::{Method, StatusCode};
use portcullis_store::idv::webhooks::{DeliveryFilter, DeliveryRow, WebhookRow};
use portcullis_types::{Id, Timestamp, tags};
use portcullis_verification::{Attempt, Keeper, Receiver, Secrets, USUAL_TYPES};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use super::input::invalid;
use crate::{
    ApiError,
    call::{Call, Page},
    endpoint::{
        Api, Endpoint,
        Permission::{Aml, Idv},
        Reply, created, nothing, ok,
    },
};

const WEBHOOKS: &str = "/idv/v1/webhooks";
const WEBHOOK: &str = "/idv/v1/webhooks/{id}";
const STATES: [&str; 3] = ["pending", "delivered", "failed"];

pub(crate) fn endpoints() -> Vec<Endpoint> {
    let (get, post) = (Method::GET, Method::POST);
    let ok = StatusCode::OK;
    vec![
        Endpoint::new(get.clone(), WEBHOOKS, Idv, "Receivers of webhooks", list)
            .returns::<Page<WebhookView>>(ok),
        Endpoint::new(post.clone(), WEBHOOKS, Idv, "Tell somebody what becomes of sessions", add)
            .takes::<NewWebhook>()
            .returns::<SecretView>(StatusCode::CREATED),
        Endpoint::new(get.clone(), WEBHOOK, Idv, "One receiver, and what waits for it", show)
            .returns::<WebhookDetail>(ok),
        Endpoint::new(
            Method::PATCH,
            WEBHOOK,
            Idv,
            "Change where a receiver is, what it wants, or whether it is told anything",
            change,
        )
        .takes::<WebhookChange>()
        .returns::<WebhookView>(ok),
        Endpoint::new(
            Method::DELETE,
            WEBHOOK,
            Idv,
            "Remove a receiver with whatever it was not told",
            remove,
        )
        .returns_nothing(),
        Endpoint::new(
            post.clone(),
            "/idv/v1/webhooks/{id}/rotate",
            Idv,
            "Give a receiver new keys; those before sign as well for a day",
            rotate,
        )
        .returns::<SecretView>(ok),
        Endpoint::new(
            post.clone(),
            "/idv/v1/webhooks/{id}/ping",
            Idv,
            "Send a message that is about nothing, to see whether it comes",
            ping,
        )
        .returns::<DeliveryView>(StatusCode::CREATED),
        Endpoint::new(
            post.clone(),
            "/idv/v1/webhooks/{id}/replay",
            Idv,
            "Send everything again that was made since a time and given up",
            recover,
        )
        .takes::<RecoverInput>()
        .returns::<RecoveredView>(ok),
        Endpoint::new(
            get.clone(),
            "/idv/v1/webhooks/{id}/deliveries",
            Idv,
            "What a receiver was told or is to be, the newest first",
            deliveries,
        )
        .paged()
        .query(&["status", "session"])
        .returns::<Page<DeliveryView>>(ok),
        Endpoint::new(
            get,
            "/idv/v1/webhooks/{id}/deliveries/{message}",
            Idv,
            "One message, and every attempt to deliver it",
            delivery,
        )
        .returns::<DeliveryDetail>(ok),
        Endpoint::new(
            post,
            "/idv/v1/webhooks/{id}/deliveries/{message}/replay",
            Idv,
            "Send a message again, under the id that it had",
            replay,
        )
        .returns::<DeliveryView>(ok),
    ]
}

/// A receiver that is to be told.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct NewWebhook {
    /// An https URL.
    url: String,
    /// What it is for, at most 200 characters.
    description: Option<String>,
    /// `idv.session.status_changed`, `idv.session.notified`, `idv.session.erased`; all of these if it is left out.
    /// `aml.subject.hits_changed` needs the scope `aml` as well, and so does whatever is done with its receiver.
    types: Option<Vec<String>>,
}

/// What is different. What is left out stays as it is.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct WebhookChange {
    /// The one that you saw.
    revision: i64,
    url: Option<String>,
    description: Option<String>,
    types: Option<Vec<String>>,
    /// One that is not enabled is told nothing of what happens meanwhile; what waited for it goes on waiting.
    enabled: Option<bool>,
}

/// A receiver of webhooks.
#[derive(Debug, Serialize, ToSchema)]
struct WebhookView {
    id: String,
    url: String,
    description: String,
    /// What it is told.
    types: Vec<String>,
    /// `enabled`, `disabled` (by whoever may), or `gone`: it answered 410.
    status: &'static str,
    /// Attempts in a row that failed.
    failures: i64,
    /// For Ed25519 signatures (`v1a`): `whpk_` and the public key in base64.
    public_key: String,
    revision: i64,
    created_at: String,
    updated_at: String,
}

fn view(api: &Api, row: &WebhookRow) -> Result<WebhookView, ApiError> {
    let types: Vec<String> = match &row.types[..] {
        "" => USUAL_TYPES.map(str::to_owned).to_vec(),
        types => types.split(' ').map(str::to_owned).collect(),
    };
    Ok(WebhookView {
        id: row.id.to_string(),
        url: row.url.clone(),
        description: row.description.clone(),
        types,
        status: match &row.disabled[..] {
            "" => "enabled",
            "gone" => "gone",
            _ => "disabled",
        },
        failures: row.failures,
        public_key: api.sessions.webhooks.public_key(row)?,
        revision: row.revision,
        created_at: row.created_at.to_rfc3339(),
        updated_at: row.updated_at.to_rfc3339(),
    })
}

/// A receiver and its secret, which is shown once.
#[derive(Debug, Serialize, ToSchema)]
struct SecretView {
    #[serde(flatten)]
    webhook: WebhookView,
    /// For HMAC-SHA256 signatures (`v1`): `whsec_` and the secret in base64.
    secret: String,
}

fn with_secret(api: &Api, (row, secrets): (WebhookRow, Secrets)) -> Result<SecretView, ApiError> {
    Ok(SecretView { webhook: view(api, &row)?, secret: secrets.secret })
}

/// A receiver, and how it does.
#[derive(Debug, Serialize, ToSchema)]
struct WebhookDetail {
    #[serde(flatten)]
    webhook: WebhookView,
    /// Messages that it was not told yet.
    pending: i64,
    /// Messages that were given up, after more than three days.
    failed: i64,
}

/// What became of a message.
#[derive(Debug, Serialize, ToSchema)]
struct DeliveryView {
    /// The message: `webhook-id`.
    id: String,
    #[serde(rename = "type")]
    kind: String,
    /// About which session, or which subject of screening; empty if it is about none.
    session: String,
    /// Which message about it, from 1; 0 where their order does not matter.
    sequence: i64,
    /// `pending`, `delivered`, `failed`
    status: String,
    /// How often it was tried, of the last 20 times.
    attempts: usize,
    /// When it is tried next, RFC 3339.
    #[serde(skip_serializing_if = "Option::is_none")]
    next_attempt_at: Option<String>,
    created_at: String,
}

impl From<&DeliveryRow> for DeliveryView {
    fn from(row: &DeliveryRow) -> Self {
        let pending = row.status == "pending";
        Self {
            id: row.message.id.to_string(),
            kind: row.message.kind.clone(),
            session: row.message.session_id.clone(),
            sequence: row.message.sequence,
            status: row.status.clone(),
            attempts: Attempt::all(row).len(),
            next_attempt_at: pending.then(|| row.due_at.to_rfc3339()),
            created_at: row.message.created_at.to_rfc3339(),
        }
    }
}

/// A message, and each attempt to deliver it.
#[derive(Debug, Serialize, ToSchema)]
struct DeliveryDetail {
    #[serde(flatten)]
    delivery: DeliveryView,
    /// The last 20, the oldest first.
    log: Vec<AttemptView>,
    /// What is sent.
    #[schema(value_type = Object)]
    body: Value,
}

#[derive(Debug, Serialize, ToSchema)]
struct AttemptView {
    /// RFC 3339.
    at: String,
    /// What it answered; `null` if it did not.
    status: Option<u16>,
    /// Why it was not reached: `url`, `address_not_public`, `not_connected`, `no_http`, `timeout`
    why: Option<String>,
    millis: u64,
}

/// Since when.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct RecoverInput {
    /// When the first of them was made, RFC 3339. Messages are kept for 30 days.
    since: String,
}

#[derive(Debug, Serialize, ToSchema)]
struct RecoveredView {
    /// How many messages are sent again.
    messages: u64,
}

/// Whoever asks. What is done to a receiver and what it was told are for whoever may know that.
fn keeper(call: &Call) -> Keeper<'_> {
    Keeper {
        actor: &call.caller.actor,
        origin: &call.origin,
        may_screen: call.caller.scopes.iter().any(|scope| scope == Aml.scope()),
    }
}

async fn list(api: Api, call: Call) -> Reply {
    let rows = api.sessions.webhooks.receivers(keeper(&call)).await?;
    let items: Result<Vec<_>, _> = rows.iter().map(|row| view(&api, row)).collect();
    ok(Page { items: items?, next: None })
}

async fn add(api: Api, call: Call) -> Reply {
    let NewWebhook { url, description, types } = call.json()?;
    let receiver = Receiver { url: Some(url), description, types, is_enabled: None };
    created(with_secret(&api, api.sessions.webhooks.add(&receiver, keeper(&call)).await?)?)
}

async fn show(api: Api, call: Call) -> Reply {
    let row = api.sessions.webhooks.receiver(call.id()?, keeper(&call)).await?;
    let (pending, failed) = api.sessions.webhooks.waiting(row.id).await?;
    ok(WebhookDetail { webhook: view(&api, &row)?, pending, failed })
}

async fn change(api: Api, call: Call) -> Reply {
    let WebhookChange { revision, url, description, types, enabled } = call.json()?;
    let receiver = Receiver { url, description, types, is_enabled: enabled };
    let row =
        api.sessions.webhooks.change(call.id()?, (revision, &receiver), keeper(&call)).await?;
    ok(view(&api, &row)?)
}

async fn remove(api: Api, call: Call) -> Reply {
    api.sessions.webhooks.remove(call.id()?, keeper(&call)).await?;
    nothing()
}

async fn rotate(api: Api, call: Call) -> Reply {
    ok(with_secret(&api, api.sessions.webhooks.rotate(call.id()?, keeper(&call)).await?)?)
}

async fn ping(api: Api, call: Call) -> Reply {
    created(DeliveryView::from(&api.sessions.webhooks.ping(call.id()?, keeper(&call)).await?))
}

async fn recover(api: Api, call: Call) -> Reply {
    let RecoverInput { since } = call.json()?;
    let since = Timestamp::parse_rfc3339(&since);
    let since = since.map_err(|_| invalid("since", "must be a time (RFC 3339)"))?;
    let messages = api.sessions.webhooks.recover(call.id()?, since, keeper(&call)).await?;
    ok(RecoveredView { messages })
}

async fn deliveries(api: Api, call: Call) -> Reply {
    let (before, limit) = call.page::<Id<tags::Message>>()?;
    let given = |name| call.query.get(name).unwrap_or_default();
    let (status, session) = (given("status"), given("session"));
    if !status.is_empty() && !STATES.contains(&status) {
        return Err(ApiError::Parameter("status"));
    }
    let filter = DeliveryFilter { status, session };
    let rows = api
        .sessions
        .webhooks
        .deliveries((call.id()?, keeper(&call)), filter, &before, limit)
        .await?;
    let id = |row: &DeliveryRow| row.message.id.to_string();
    ok(Page::of(rows, limit, id, |row| DeliveryView::from(&row)))
}

async fn delivery(api: Api, call: Call) -> Reply {
    let row = api.sessions.webhooks.delivery(call.id()?, message(&call)?, keeper(&call)).await?;
    let log = Attempt::all(&row).into_iter().map(|attempt| AttemptView {
        at: Timestamp::from_micros(attempt.at).to_rfc3339(),
        status: attempt.status,
        why: attempt.why,
        millis: attempt.millis,
    });
    let body = serde_json::from_str(&row.message.body).unwrap_or_default();
    ok(DeliveryDetail { delivery: (&row).into(), log: log.collect(), body })
}

async fn replay(api: Api, call: Call) -> Reply {
    let row = api.sessions.webhooks.replay(call.id()?, message(&call)?, keeper(&call)).await?;
    ok(DeliveryView::from(&row))
}

fn message(call: &Call) -> Result<Id<tags::Message>, ApiError> {
    let text = call.path.get("message").ok_or(ApiError::NotFound)?;
    text.parse().map_err(|_| ApiError::NotFound)
}
