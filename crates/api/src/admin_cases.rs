use http::{Method, StatusCode};
use portcullis_identity::{CASE_STATES, CaseChange};
use portcullis_store::cases::{self, Case};
use portcullis_types::{Id, Timestamp, tags};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{
    ApiError,
    call::{Call, Page},
    endpoint::{Api, Endpoint, Permission::Admin, Reply, ok},
};

const CASES: &str = "/api/admin/v1/cases";
const CASE: &str = "/api/admin/v1/cases/{id}";

pub(crate) fn endpoints() -> Vec<Endpoint> {
    let ok = StatusCode::OK;
    vec![
        Endpoint::new(
            Method::GET,
            CASES,
            Admin,
            "Flagged accounts to review, oldest first; ?state=open, in_review or closed",
            list,
        )
        .paged()
        .query(&["state"])
        .returns::<Page<CaseView>>(ok),
        Endpoint::new(Method::GET, CASE, Admin, "One case", show).returns::<CaseView>(ok),
        Endpoint::new(
            Method::PATCH,
            CASE,
            Admin,
            "Take, describe or close a case; a resolution closes it and takes the flag off",
            change,
        )
        .takes::<CaseInput>()
        .returns::<CaseView>(ok),
    ]
}

/// An account that a detector flagged.
#[derive(Debug, Serialize, ToSchema)]
struct CaseView {
    id: String,
    account: String,
    username: String,
    /// `open`, `in_review` or `closed`.
    state: String,
    /// The rule that flagged the account first.
    reason: String,
    /// The highest of its findings: 2 low, 3 medium, 4 high, 5 critical (OCSF).
    severity: i64,
    /// Ids of the alerts.
    alerts: Vec<String>,
    /// Who looks at it; empty for nobody.
    assignee: String,
    note: String,
    /// `confirmed`, `false_alarm` or `inconclusive`; empty until it is closed.
    resolution: String,
    /// To be sent with a change, which is refused if somebody else was first.
    version: i64,
    opened_at: String,
    updated_at: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    closed_at: Option<String>,
    #[serde(skip_serializing_if = "String::is_empty")]
    closed_by: String,
}

impl From<Case> for CaseView {
    fn from(case: Case) -> Self {
        Self {
            id: case.id.to_string(),
            account: case.account_id.to_string(),
            username: case.username,
            state: case.state,
            reason: case.reason,
            severity: case.severity,
            alerts: serde_json::from_str(&case.alerts).unwrap_or_default(),
            assignee: case.assignee,
            note: case.note,
            resolution: case.resolution,
            version: case.version,
            opened_at: case.opened_at.to_rfc3339(),
            updated_at: case.updated_at.to_rfc3339(),
            closed_at: case.closed_at.map(|at| Timestamp::from_micros(at).to_rfc3339()),
            closed_by: case.closed_by,
        }
    }
}

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct CaseInput {
    /// The version that was seen.
    version: i64,
    /// `open` or `in_review`.
    state: Option<String>,
    /// Who looks at it; empty for nobody.
    assignee: Option<String>,
    /// In the place of what was written down; at most 4,000 characters.
    note: Option<String>,
    /// `confirmed`, `false_alarm` or `inconclusive`: closes the case.
    resolution: Option<String>,
}

async fn list(api: Api, call: Call) -> Reply {
    let state = call.query.get("state").unwrap_or("open").to_owned();
    if !CASE_STATES.contains(&state.as_str()) {
        return Err(ApiError::Parameter("state"));
    }
    let (after, limit) = call.page::<Id<tags::Case>>()?;
    let (db, tenant) = (&api.identity.db, &api.identity.tenant);
    let rows = cases::page(db, tenant, &state, &after, limit).await?;
    ok(Page::of(rows, limit, |row| row.id.to_string(), CaseView::from))
}

async fn show(api: Api, call: Call) -> Reply {
    let case = cases::by_id(&api.identity.db, &api.identity.tenant, call.id()?).await?;
    ok(CaseView::from(case.ok_or(ApiError::NotFound)?))
}

async fn change(api: Api, call: Call) -> Reply {
    let CaseInput { version, state, assignee, note, resolution } = call.json()?;
    let change = CaseChange { version, state, assignee, note, resolution };
    let by = &call.caller.actor;
    let case = api.identity.change_case(call.id()?, &change, by, &call.origin).await?;
    ok(CaseView::from(case))
}
