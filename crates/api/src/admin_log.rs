use http::{Method, StatusCode, header};
use portcullis_identity::LogFilter;
use portcullis_store::idv::evidence::LogProof;
use portcullis_types::{AddrKey, Prefix};
use serde::Serialize;
use utoipa::ToSchema;

use crate::{
    ApiError,
    call::Call,
    endpoint::{Api, Endpoint, Permission::Admin, Reply, ok},
};

/// A text that is searched for is at most this long.
const MAX_TEXT_BYTES: usize = 256;

pub(crate) fn endpoints() -> Vec<Endpoint> {
    vec![
        Endpoint::new(
            Method::GET,
            "/api/admin/v1/events",
            Admin,
            "Search the audit log of this node, oldest first or with ?order=newest the other way: ?from=, ?until= (RFC 3339), ?subject=, \
             ?addr= (address or network), ?kind= (the beginning of a code), ?outcome=success or \
             failure, ?request_id=, ?text=; ?after= is `next` of the page before",
            search,
        )
        .paged()
        .query(&[
            "order", "from", "until", "subject", "addr", "kind", "outcome", "request_id", "text",
        ])
        .returns::<EventPage>(StatusCode::OK),
        Endpoint::new(
            Method::GET,
            "/api/admin/v1/events/{id}",
            Admin,
            "An entry by its index: as it is stored, what it says, and the proof that it is in the log",
            entry,
        )
        .returns::<LogEntryView>(StatusCode::OK),
        Endpoint::new(
            Method::GET,
            "/api/admin/v1/events/{id}/proof",
            Admin,
            "The proof that an entry is in the log, for whoever has the key (C2SP tlog-proof)",
            prove,
        ),
    ]
}

/// Events that were found.
#[derive(Debug, Serialize, ToSchema)]
struct EventPage {
    items: Vec<EventView>,
    /// Where to go on; a page may end before it is full. The last page has none.
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<String>,
}

/// An entry of the audit log.
#[derive(Debug, Serialize, ToSchema)]
struct EventView {
    /// Its index in the log.
    index: u64,
    /// The event, OCSF 1.8.0.
    event: serde_json::Value,
}

/// An entry that can be checked without asking us.
#[derive(Debug, Serialize, ToSchema)]
struct LogEntryView {
    /// Its index in the log.
    index: u64,
    /// The event, OCSF 1.8.0, with the personal fields that can still be read.
    event: serde_json::Value,
    /// The entry byte for byte as it is in the log, where personal fields are sealed.
    stored: String,
    /// That it is there (C2SP tlog-proof).
    proof: String,
    /// The key that checks the proof (C2SP signed-note).
    log_key: String,
}

async fn entry(api: Api, call: Call) -> Reply {
    let index = call.id()?;
    let found = api.identity.log_entry(index, &call.caller.actor, &call.origin).await?;
    let LogProof { entry: stored, proof, log_key } = found.proven;
    ok(LogEntryView { index, event: found.event, stored, proof, log_key })
}

async fn search(api: Api, call: Call) -> Reply {
    let (after, limit) = call.page::<u64>()?;
    let newest_first = match call.query.get("order") {
        None | Some("oldest") => false,
        Some("newest") => true,
        Some(_) => return Err(ApiError::Parameter("order")),
    };
    let at = after.parse().ok();
    let (from, until) = call.times()?;
    let filter = LogFilter {
        from,
        until,
        subjects: text(&call, "subject")?.into_iter().collect(),
        kind: text(&call, "kind")?,
        request_id: text(&call, "request_id")?,
        text: text(&call, "text")?,
        success: match call.query.get("outcome") {
            None => None,
            Some("success") => Some(true),
            Some("failure") => Some(false),
            Some(_) => return Err(ApiError::Parameter("outcome")),
        },
        from_index: at.filter(|_| !newest_first).unwrap_or(0),
        before: at.filter(|_| newest_first),
        limit: usize::try_from(limit).unwrap_or(1),
        ..whence(&call)?
    };
    let page =
        api.identity.search_log(filter, newest_first, &call.caller.actor, &call.origin).await?;
    let items = page.items.into_iter().map(|(index, event)| EventView { index, event });
    ok(EventPage { items: items.collect(), next: page.next.map(|next| next.to_string()) })
}

fn whence(call: &Call) -> Result<LogFilter, ApiError> {
    let Some(text) = call.query.get("addr") else { return Ok(LogFilter::default()) };
    let addr = AddrKey::parse(text);
    let network = if addr.is_none() { Prefix::parse(text) } else { None };
    if addr.is_none() && network.is_none() {
        return Err(ApiError::Parameter("addr"));
    }
    Ok(LogFilter { addr, network, ..LogFilter::default() })
}

fn text(call: &Call, name: &'static str) -> Result<Option<String>, ApiError> {
    match call.query.get(name) {
        Some(text) if text.is_empty() || text.len() > MAX_TEXT_BYTES => {
            Err(ApiError::Parameter(name))
        }
        text => Ok(text.map(str::to_owned)),
    }
}

async fn prove(api: Api, call: Call) -> Reply {
    let proof = api.identity.prove_entry(call.id()?).await?;
    let reply = http::Response::builder()
        .header(header::CONTENT_TYPE, "text/plain; charset=utf-8")
        .body(axum::body::Body::from(proof));
    reply.map_err(|_| ApiError::NotFound)
}
