//! Requests of data subjects, and what is kept about one of them.

use http::{Method, StatusCode};
use portcullis_identity::{NewSubjectRequest, SubjectRequestChange};
use portcullis_store::subject_requests::{self, SubjectRequest};
use portcullis_types::{Id, Timestamp, tags};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{
    ApiError,
    call::{Call, Page},
    endpoint::{Api, Endpoint, Permission::Admin, Reply, created, ok},
};

const REQUESTS: &str = "/api/admin/v1/subject-requests";
const REQUEST: &str = "/api/admin/v1/subject-requests/{id}";
/// A deadline and an id.
const MAX_CURSOR_BYTES: usize = 64;

pub(crate) fn endpoints() -> Vec<Endpoint> {
    let ok = StatusCode::OK;
    vec![
        Endpoint::new(
            Method::GET,
            REQUESTS,
            Admin,
            "Requests of data subjects, those that are due first at the beginning; ?state=open or closed",
            list,
        )
        .paged()
        .query(&["state"])
        .returns::<Page<SubjectRequestView>>(ok),
        Endpoint::new(
            Method::POST,
            REQUESTS,
            Admin,
            "Write down what somebody asked about their data; it is due a month after it came in",
            add,
        )
        .takes::<SubjectRequestInput>()
        .returns::<SubjectRequestView>(StatusCode::CREATED),
        Endpoint::new(Method::GET, REQUEST, Admin, "One request of a data subject", show)
            .returns::<SubjectRequestView>(ok),
        Endpoint::new(
            Method::PATCH,
            REQUEST,
            Admin,
            "Describe, prolong (once, with a reason, before the deadline is over), close or open a request again",
            change,
        )
        .takes::<SubjectRequestPatch>()
        .returns::<SubjectRequestView>(ok),
        Endpoint::new(
            Method::POST,
            "/api/admin/v1/users/{id}/export",
            Admin,
            "Everything that is kept about a person, for somebody who cannot log in to get it",
            export,
        )
        .returns::<ExportView>(ok),
    ]
}

/// What somebody asked about their own data (GDPR, articles 15 to 22).
#[derive(Debug, Serialize, ToSchema)]
struct SubjectRequestView {
    id: String,
    /// `access`, `rectification`, `erasure`, `restriction`, `portability`, `objection` or `automated_decision`.
    kind: String,
    /// Whose account it is about; left out for somebody without one, and once it is gone.
    #[serde(skip_serializing_if = "Option::is_none")]
    account: Option<String>,
    requester: String,
    note: String,
    /// `open` or `closed`.
    state: String,
    /// RFC 3339.
    received_at: String,
    /// A month later, or three if it was prolonged. RFC 3339.
    due_at: String,
    /// Whether it is open and the deadline is over.
    overdue: bool,
    #[serde(skip_serializing_if = "String::is_empty")]
    extended_because: String,
    /// `fulfilled`, `refused` or `withdrawn`; empty until it is closed.
    outcome: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    closed_at: Option<String>,
    #[serde(skip_serializing_if = "String::is_empty")]
    closed_by: String,
    created_by: String,
    /// To be sent with a change, which is refused if somebody else was first.
    version: i64,
}

impl SubjectRequestView {
    fn of(row: SubjectRequest, now: Timestamp) -> Self {
        Self {
            id: row.id.to_string(),
            overdue: row.state == "open" && row.due_at < now,
            kind: row.kind,
            account: row.account_id,
            requester: row.requester,
            note: row.note,
            state: row.state,
            received_at: row.received_at.to_rfc3339(),
            due_at: row.due_at.to_rfc3339(),
            extended_because: row.extended_because,
            outcome: row.outcome,
            closed_at: row.closed_at.map(|at| Timestamp::from_micros(at).to_rfc3339()),
            closed_by: row.closed_by,
            created_by: row.created_by,
            version: row.version,
        }
    }
}

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct SubjectRequestInput {
    /// `access`, `rectification`, `erasure`, `restriction`, `portability`, `objection` or `automated_decision`.
    kind: String,
    /// The id of the account that it is about.
    account: Option<String>,
    /// Who asked; needed where there is no account. At most 200 characters.
    #[serde(default)]
    requester: String,
    /// At most 4,000 characters.
    #[serde(default)]
    note: String,
    /// When it came in, RFC 3339; now if left out.
    received_at: Option<String>,
}

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct SubjectRequestPatch {
    /// The version that was seen.
    version: i64,
    /// In the place of what was written down.
    note: Option<String>,
    /// Why it takes up to two months more; whoever asked must be told of it within the first.
    extend_because: Option<String>,
    /// `fulfilled`, `refused` or `withdrawn` closes the request; empty, it is open again.
    outcome: Option<String>,
}

/// Everything that is kept about a person.
#[derive(Debug, Serialize, ToSchema)]
#[schema(value_type = Object)]
struct ExportView(serde_json::Value);

async fn list(api: Api, call: Call) -> Reply {
    let state = call.query.get("state").unwrap_or("open").to_owned();
    if !["open", "closed"].contains(&state.as_str()) {
        return Err(ApiError::Parameter("state"));
    }
    let (after, limit) = call.page_after("after", MAX_CURSOR_BYTES)?;
    let (due, id) = match after.split_once('.') {
        _ if after.is_empty() => (i64::MIN, ""),
        Some((due, id)) => (due.parse().map_err(|_| ApiError::Parameter("after"))?, id),
        None => return Err(ApiError::Parameter("after")),
    };
    let (db, tenant, now) = (&api.identity.db, &api.identity.tenant, api.identity.now());
    let rows = subject_requests::page(db, tenant, &state, (due, id), limit).await?;
    let cursor = |row: &SubjectRequest| format!("{}.{}", row.due_at.micros(), row.id);
    ok(Page::of(rows, limit, cursor, |row| SubjectRequestView::of(row, now)))
}

async fn show(api: Api, call: Call) -> Reply {
    let (db, tenant) = (&api.identity.db, &api.identity.tenant);
    let row = subject_requests::by_id(db, tenant, call.id()?).await?.ok_or(ApiError::NotFound)?;
    ok(SubjectRequestView::of(row, api.identity.now()))
}

async fn add(api: Api, call: Call) -> Reply {
    let new: SubjectRequestInput = call.json()?;
    let account = new.account.as_deref().map(str::parse::<Id<tags::User>>).transpose();
    let at = new.received_at.as_deref().map(Timestamp::parse_rfc3339).transpose();
    let new = NewSubjectRequest {
        kind: new.kind,
        account: account.map_err(|_| ApiError::field("account", "must be the id of an account"))?,
        requester: new.requester,
        note: new.note,
        received_at: at
            .map_err(|_| ApiError::field("received_at", "must be a time as in RFC 3339"))?,
    };
    let row = api.identity.add_subject_request(&new, &call.caller.actor, &call.origin).await?;
    created(SubjectRequestView::of(row, api.identity.now()))
}

async fn change(api: Api, call: Call) -> Reply {
    let SubjectRequestPatch { version, note, extend_because, outcome } = call.json()?;
    let change = SubjectRequestChange { version, note, extend_because, outcome };
    let (id, by) = (call.id()?, &call.caller.actor);
    let row = api.identity.change_subject_request(id, &change, by, &call.origin).await?;
    ok(SubjectRequestView::of(row, api.identity.now()))
}

async fn export(api: Api, call: Call) -> Reply {
    let (id, by) = (call.id()?, &call.caller.actor);
    ok(ExportView(api.identity.export_for(id, by, &call.origin).await?))
}
