use std::collections::BTreeSet;

use http::{Method, StatusCode};
use portcullis_verification::{Open, Reviewed};
use portcullis_workflow::{Decision, Done, Verdict};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use utoipa::ToSchema;

use super::{input::invalid, sessions::SessionView};
use crate::{
    ApiError,
    call::{Call, Page},
    endpoint::{Api, Endpoint, Permission::Idv, Reply, ok},
    reviewer::reviewer,
};

pub(crate) fn endpoints() -> Vec<Endpoint> {
    let (get, post) = (Method::GET, Method::POST);
    let ok = StatusCode::OK;
    vec![
        Endpoint::new(
            get.clone(),
            "/idv/v1/sessions/{id}/decision",
            Idv,
            "What was decided, by what evidence and on which way",
            decision,
        )
        .returns::<DecisionView>(ok),
        Endpoint::new(
            get,
            "/idv/v1/sessions/{id}/events",
            Idv,
            "Everything that happened to a session, in order",
            events,
        )
        .paged()
        .returns::<Page<SessionEventView>>(ok),
        Endpoint::new(
            post.clone(),
            "/idv/v1/sessions/{id}/review",
            Idv,
            "Decide about a session that waits for people; as many must agree as the workflow says",
            review,
        )
        .takes::<ReviewInput>()
        .returns::<SessionView>(ok),
        Endpoint::new(
            post,
            "/idv/v1/sessions/{id}/resubmit",
            Idv,
            "Ask the person for steps again before deciding",
            resubmit,
        )
        .takes::<ResubmitInput>()
        .returns::<SessionView>(ok),
    ]
}

/// What is known about a session, and what was decided.
#[derive(Debug, Serialize, ToSchema)]
struct DecisionView {
    session: String,
    status: &'static str,
    version: i64,
    workflow: String,
    workflow_version: i64,
    /// SHA-256 of what that version means.
    workflow_digest: String,
    /// `null` until there is one. It does not change.
    decision: Option<VerdictView>,
    /// The last report of each step, in the order in which they came.
    reports: Vec<StepReportView>,
    /// Which way it took.
    trace: Vec<TraceView>,
}

#[derive(Debug, Serialize, ToSchema)]
struct VerdictView {
    /// `approved`, `declined`
    verdict: &'static str,
    /// `rule` (what all checks came to), `graph` (set at a node), `reviewers`
    by: &'static str,
    /// Their accounts.
    reviewers: Vec<String>,
    node: String,
    reason: Option<String>,
    /// RFC 3339.
    at: String,
}

impl From<&Decision> for VerdictView {
    fn from(decision: &Decision) -> Self {
        Self {
            verdict: decision.verdict.as_str(),
            by: decision.by.as_str(),
            reviewers: decision.by.reviewers().to_vec(),
            node: decision.node.clone(),
            reason: decision.reason.clone(),
            at: decision.at.to_rfc3339(),
        }
    }
}

#[derive(Debug, Serialize, ToSchema)]
struct StepReportView {
    node: String,
    check: String,
    /// As what it counts: `passed`, `failed`, `review`, `not_performed`, `error`.
    status: &'static str,
    /// By what that is known: `cryptographic`, `database`, `heuristic`, `self_asserted`; `null` if it was not done.
    assurance: Option<&'static str>,
    /// Why it was not done.
    why: Option<String>,
    /// Whether the workflow says how to go on without it.
    accepted: bool,
    /// What conditions could look at.
    #[schema(value_type = Object)]
    values: Value,
    /// The report as the check gave it.
    #[schema(value_type = Object)]
    report: Value,
    /// RFC 3339.
    at: String,
}

impl StepReportView {
    fn of(open: &Open, node: &str, done: &Done) -> Self {
        let check = open.plan.check(node).map(|check| check.check.clone()).unwrap_or_default();
        let report = done.report.as_ref();
        Self {
            node: node.to_owned(),
            check,
            status: done.status.as_str(),
            assurance: report.map(|report| report.assurance.as_str()),
            why: done.why.clone(),
            accepted: done.is_accepted,
            values: json!(done.values),
            report: report.map(|report| report.detail["view"].clone()).unwrap_or_default(),
            at: done.at.to_rfc3339(),
        }
    }
}

#[derive(Debug, Serialize, ToSchema)]
struct TraceView {
    node: String,
    /// `next`, `case:…`, `else`, `join`, `on_error` …
    way: String,
    /// RFC 3339.
    at: String,
}

/// Something that happened.
#[derive(Debug, Serialize, ToSchema)]
struct SessionEventView {
    /// From 1.
    number: i64,
    /// RFC 3339.
    at: String,
    /// `{"type": "given", "serial": 1, "outcome": {…}}`
    #[schema(value_type = Object)]
    event: Value,
}

/// What a person decides.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct ReviewInput {
    /// The version of the session that they looked at.
    version: i64,
    /// `approved`, `declined`
    decision: String,
    /// Why, in a word of letters, digits and underscores.
    reason_code: String,
}

/// What a person wants to see again.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct ResubmitInput {
    /// The version of the session that they looked at.
    version: i64,
    /// Steps that the person has taken.
    nodes: BTreeSet<String>,
    /// Why, in a word of letters, digits and underscores.
    reason_code: String,
}

async fn decision(api: Api, call: Call) -> Reply {
    let open = api.sessions.read(call.id()?).await?;
    let mut done: Vec<(&String, &Done)> = open.state.done.iter().collect();
    done.sort_by_key(|(_, done)| done.order);
    let trace = open.state.trace.iter().map(|step| TraceView {
        node: step.node.clone(),
        way: step.way.clone(),
        at: step.at.to_rfc3339(),
    });
    ok(DecisionView {
        session: open.row.id.to_string(),
        status: open.state.status.as_str(),
        version: open.row.version,
        workflow: open.row.workflow_id.to_string(),
        workflow_version: open.row.workflow_version,
        workflow_digest: open.digest.to_string(),
        decision: open.state.decision.as_ref().map(VerdictView::from),
        reports: done
            .into_iter()
            .map(|(node, done)| StepReportView::of(&open, node, done))
            .collect(),
        trace: trace.collect(),
    })
}

async fn events(api: Api, call: Call) -> Reply {
    let (after, limit) = call.page_after("after", 18)?;
    let after = match &after[..] {
        "" => 0,
        number => number.parse().map_err(|_| ApiError::Parameter("after"))?,
    };
    let rows = api.sessions.events(call.id()?, after, limit).await?;
    ok(Page::of(
        rows,
        limit,
        |(number, _)| number.to_string(),
        |(number, happened)| SessionEventView {
            number,
            at: happened.at.to_rfc3339(),
            event: json!(happened.event),
        },
    ))
}

async fn review(api: Api, call: Call) -> Reply {
    let by = reviewer(&api, &call).await?;
    let ReviewInput { version, decision, reason_code } = call.json()?;
    let verdict = match &decision[..] {
        "approved" => Verdict::Approved,
        "declined" => Verdict::Declined,
        _ => return Err(invalid("decision", "must be approved or declined")),
    };
    let reviewed = Reviewed { version, verdict, reason: reason_code };
    let open = api.sessions.review(call.id()?, reviewed, &by, &call.origin).await?;
    ok(SessionView::from(&open))
}

async fn resubmit(api: Api, call: Call) -> Reply {
    let by = reviewer(&api, &call).await?;
    let ResubmitInput { version, nodes, reason_code } = call.json()?;
    let asked = (version, nodes, reason_code);
    let open = api.sessions.resubmit(call.id()?, asked, &by, &call.origin).await?;
    ok(SessionView::from(&open))
}
