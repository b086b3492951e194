use std::collections::BTreeMap;

use http::{Method, StatusCode};
use portcullis_store::idv::sessions::{SessionFilter, SessionRow};
use portcullis_types::{Id, Timestamp, tags};
use portcullis_verification::{Begin, ListKind, Open, ReportViews};
use portcullis_workflow::{Phase, Status};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use utoipa::ToSchema;

use super::{
    emrtd::EmrtdReportView,
    faces::FaceReportView,
    given::GivenInput,
    input::{ExpectedInput, invalid},
    lists::kind,
    mrz::ZoneReportView,
    picture::{BarcodeReportView, PICTURE_BODY_MAX_BYTES, PictureReportView},
};
use crate::{
    ApiError,
    call::{Call, Page},
    endpoint::{Api, Endpoint, Permission::Idv, Reply, created, ok},
};

const SESSIONS: &str = "/idv/v1/sessions";
pub(super) const SESSION: &str = "/idv/v1/sessions/{id}";

pub(crate) fn endpoints() -> Vec<Endpoint> {
    let (get, post) = (Method::GET, Method::POST);
    let ok = StatusCode::OK;
    vec![
        Endpoint::new(
            get.clone(),
            SESSIONS,
            Idv,
            "Sessions, by status, reference, workflow, queue, account or assignee",
            list,
        )
        .paged()
        .query(&["status", "reference", "workflow", "queue", "account", "assignee"])
        .returns::<Page<SessionRowView>>(ok),
        Endpoint::new(post.clone(), SESSIONS, Idv, "Begin a session", begin)
            .idempotent()
            .takes::<SessionInput>()
            .returns::<OpenSessionView>(StatusCode::CREATED),
        Endpoint::new(get, SESSION, Idv, "One session, and what it waits for", show)
            .returns::<SessionView>(ok),
        Endpoint::new(
            post.clone(),
            "/idv/v1/sessions/{id}/link",
            Idv,
            "The link for the person once more: whoever has it can take the steps, so the log says who asked",
            link,
        )
        .returns::<OpenSessionView>(ok),
        Endpoint::new(
            post.clone(),
            "/idv/v1/sessions/{id}/inputs",
            Idv,
            "Give what a step asks for: it is checked at once; pictures of people are kept for as long as is configured, \
             nothing else",
            give,
        )
        .body(PICTURE_BODY_MAX_BYTES)
        .takes::<GivenInput>()
        .returns::<GivenView>(ok),
        Endpoint::new(
            post,
            "/idv/v1/sessions/{id}/cancel",
            Idv,
            "End a session that is not decided",
            cancel,
        )
        .takes::<CancelInput>()
        .returns::<SessionView>(ok),
    ]
}

/// A session that is to be begun.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct SessionInput {
    /// The id or the name of one that was published.
    workflow: String,
    /// A version of it; the current one if it is left out.
    version: Option<i64>,
    /// How you call the person, 1 to 128 bytes. Screening knows them under this name in all sessions.
    reference: Option<String>,
    /// The id of the account that it is about. Where the workflow says `verifies`, an approval tells whom that
    /// belongs to.
    account: Option<String>,
    /// Who the person should be; each document is held against it.
    #[serde(default)]
    expected: ExpectedInput,
    /// By what else the person is known, for lists: `{"email": ["alice@example.org"], "ip_address": ["192.0.2.1"]}`,
    /// at most eight of each kind.
    #[serde(default)]
    identifiers: BTreeMap<String, Vec<String>>,
    /// Their language (BCP 47).
    locale: Option<String>,
    /// Where the person goes from our page when the session is over: https, or an app's own `com.example.app:`. The
    /// parameter `session` is added; what became of it is told by the API alone.
    callback: Option<String>,
    /// How long the person has from the first step that asks them, if that is less than `limits.ttl` of the workflow:
    /// `PT1M` to that (ISO 8601).
    ttl: Option<String>,
    /// An object of at most 4 KiB that you want to see again.
    #[serde(default)]
    #[schema(value_type = Object)]
    metadata: Value,
}

/// A session in a list.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct SessionRowView {
    id: String,
    /// `created`, `awaiting_input`, `processing`, `in_review`, `approved`, `declined`, `expired`, `cancelled`
    status: String,
    /// Grows with each event.
    version: i64,
    /// Its id.
    workflow: String,
    /// The version to which the session is pinned.
    workflow_version: i64,
    /// As whoever began it calls the person.
    reference: String,
    /// The account that it is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    account: Option<String>,
    /// The account that looks after it.
    #[serde(skip_serializing_if = "Option::is_none")]
    assignee: Option<String>,
    /// Whose review it waits for.
    #[serde(skip_serializing_if = "String::is_empty")]
    queue: String,
    /// Since when, RFC 3339.
    #[serde(skip_serializing_if = "Option::is_none")]
    in_review_since: Option<String>,
    /// By when.
    #[serde(skip_serializing_if = "Option::is_none")]
    review_due: Option<String>,
    /// Until when the person has time, RFC 3339.
    expires_at: Option<String>,
    created_at: String,
    updated_at: String,
    /// When what it was about was erased.
    #[serde(skip_serializing_if = "Option::is_none")]
    erased_at: Option<String>,
}

fn time(micros: Option<i64>) -> Option<String> {
    micros.map(|micros| Timestamp::from_micros(micros).to_rfc3339())
}

impl From<&SessionRow> for SessionRowView {
    fn from(row: &SessionRow) -> Self {
        Self {
            id: row.id.to_string(),
            status: row.status.clone(),
            version: row.version,
            workflow: row.workflow_id.to_string(),
            workflow_version: row.workflow_version,
            reference: row.reference.clone(),
            account: row.account_id.clone(),
            assignee: row.assignee.clone(),
            queue: row.queue.clone(),
            in_review_since: time(row.in_review_since),
            review_due: time(row.review_due),
            expires_at: time(row.deadline),
            created_at: row.created_at.to_rfc3339(),
            updated_at: row.updated_at.to_rfc3339(),
            erased_at: time(row.erased_at),
        }
    }
}

/// A session, and the way for the person to go through it.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct OpenSessionView {
    #[serde(flatten)]
    session: SessionView,
    /// Our page, for the person alone: whoever has the address can take the steps. None once it is over.
    #[serde(skip_serializing_if = "Option::is_none")]
    url: Option<String>,
    /// What is in that address.
    #[serde(skip_serializing_if = "Option::is_none")]
    client_token: Option<String>,
}

impl OpenSessionView {
    fn of(api: &Api, open: &Open) -> Self {
        let over = open.state.status.is_final();
        let token = (!over).then(|| api.sessions.client_token(open.row.id));
        let issuer = &api.provider.settings.issuer;
        let url = (!over).then(|| api.sessions.page_url(issuer, open));
        Self { session: open.into(), url, client_token: token }
    }
}

/// A session.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct SessionView {
    #[serde(flatten)]
    session: SessionRowView,
    /// The steps that the person is asked for.
    awaiting: Vec<StepView>,
    /// What was said so far where people decide.
    votes: Vec<VoteView>,
    locale: String,
    #[schema(value_type = Object)]
    metadata: Value,
}

#[derive(Debug, Serialize, ToSchema)]
struct StepView {
    node: String,
    /// What it takes, and how the member of the input is called.
    check: String,
    /// Which try it is, from 1.
    attempt: u32,
}

#[derive(Debug, Serialize, ToSchema)]
struct VoteView {
    /// The account.
    by: String,
    /// `approved`, `declined`
    verdict: &'static str,
    reason: String,
    /// RFC 3339.
    at: String,
}

impl From<&Open> for SessionView {
    fn from(open: &Open) -> Self {
        let check =
            |node: &str| open.plan.check(node).map(|check| check.check.clone()).unwrap_or_default();
        let step = |task: &portcullis_workflow::Task| match task.phase {
            Phase::Asking { attempt } => {
                Some(StepView { node: task.node.clone(), check: check(&task.node), attempt })
            }
            _ => None,
        };
        let votes = open.state.tasks.values().flat_map(|task| match &task.phase {
            Phase::Reviewing { votes, .. } => &votes[..],
            _ => &[],
        });
        let votes = votes.map(|vote| VoteView {
            by: vote.by.clone(),
            verdict: vote.verdict.as_str(),
            reason: vote.reason.clone(),
            at: vote.at.to_rfc3339(),
        });
        Self {
            session: (&open.row).into(),
            awaiting: open.state.tasks.values().filter_map(step).collect(),
            votes: votes.collect(),
            locale: open.start.locale.clone(),
            metadata: open.start.metadata.clone(),
        }
    }
}

/// What came of it.
#[derive(Debug, Serialize, ToSchema)]
struct GivenView {
    /// The same report as of the check alone; `null` if nothing was checked.
    #[schema(value_type = Object)]
    report: Value,
    session: SessionView,
}

/// Why it ends.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct CancelInput {
    /// In a word of letters, digits and underscores.
    reason_code: String,
}

fn no_account() -> ApiError {
    invalid("account", "must be the id of an account")
}

pub(super) fn identifiers(
    given: BTreeMap<String, Vec<String>>,
) -> Result<Vec<(ListKind, String)>, ApiError> {
    let mut all = Vec::new();
    for (name, values) in given {
        let kind = kind("identifiers", &name)?;
        all.extend(values.into_iter().map(|value| (kind, value)));
    }
    Ok(all)
}

fn no_span() -> ApiError {
    invalid("ttl", "must be a duration like PT2H (ISO 8601)")
}

async fn begin(api: Api, call: Call) -> Reply {
    let input: SessionInput = call.json()?;
    let key = call.idempotency_key()?.map(|key| (key.to_owned(), call.body.clone()));
    let asked = Begin {
        passkey: None,
        workflow: input.workflow,
        version: input.version,
        reference: input.reference,
        account: input.account.map(|id| id.parse().map_err(|_| no_account())).transpose()?,
        identifiers: identifiers(input.identifiers)?,
        expected: input.expected.read()?.into(),
        locale: input.locale,
        callback: input.callback,
        ttl: input.ttl.map(|text| text.parse().map_err(|_| no_span())).transpose()?,
        metadata: input.metadata,
        key,
    };
    let begun = api.sessions.begin(asked, &call.caller.actor, &call.origin).await?;
    let view = OpenSessionView::of(&api, &begun.open);
    if begun.is_repeated { ok(view) } else { created(view) }
}

async fn list(api: Api, call: Call) -> Reply {
    let (after, limit) = call.page::<Id<tags::IdvSession>>()?;
    let given = |name| call.query.get(name).unwrap_or_default();
    let status = given("status");
    if !status.is_empty() && Status::ALL.iter().all(|known| known.as_str() != status) {
        return Err(ApiError::Parameter("status"));
    }
    let filter = SessionFilter {
        status,
        reference: given("reference"),
        workflow: given("workflow"),
        queue: given("queue"),
        account: given("account"),
        assignee: given("assignee"),
    };
    let rows = api.sessions.page(filter, &after, limit).await?;
    ok(Page::of(rows, limit, |row| row.id.to_string(), |row| SessionRowView::from(&row)))
}

async fn show(api: Api, call: Call) -> Reply {
    let id = call.id()?;
    match api.sessions.read(id).await {
        Ok(open) => ok(SessionView::from(&open)),
        // That there was one is still told.
        Err(portcullis_verification::SessionError::Erased) => {
            ok(SessionRowView::from(&api.sessions.row(id).await?))
        }
        Err(error) => Err(error.into()),
    }
}

async fn link(api: Api, call: Call) -> Reply {
    let open = api.sessions.linked(call.id()?, &call.caller.actor, &call.origin).await?;
    ok(OpenSessionView::of(&api, &open))
}

async fn cancel(api: Api, call: Call) -> Reply {
    let CancelInput { reason_code } = call.json()?;
    let (by, origin) = (&call.caller.actor, &call.origin);
    let open = api.sessions.cancel(call.id()?, &reason_code, by, origin).await?;
    ok(SessionView::from(&open))
}

async fn give(api: Api, call: Call) -> Reply {
    let id: Id<tags::IdvSession> = call.id()?;
    let input: GivenInput = call.json()?;
    let node = input.node.clone();
    if input.is_for_wallet() {
        return ask_wallet(api, &call, id, &node).await;
    }
    let (by, answer) = ((&call.caller.actor, &call.origin), input.read()?);
    let answered = api.sessions.answer((id, &node, None), answer, by).await?;
    ok(GivenView { report: answered.report, session: (&answered.open).into() })
}

/// Asks for a credential. Nothing is given yet, so the session stays where it is.
async fn ask_wallet(api: Api, call: &Call, id: Id<tags::IdvSession>, node: &str) -> Reply {
    let asked = api.sessions.asked(id, node).await?;
    let by = (&call.caller.actor, &call.origin);
    let made = api.presentations.ask_for_step(id, asked.serial, by).await?;
    let report = json!({ "url": made.url, "expires_at": made.row.expires_at.to_rfc3339() });
    let open = api.sessions.read(id).await?;
    ok(GivenView { report, session: (&open).into() })
}

/// How reports of steps are shown.
pub fn report_views() -> ReportViews {
    ReportViews {
        zone: |report| json!(ZoneReportView::from(report)),
        chip: |report| json!(EmrtdReportView::from(report)),
        barcode: |report| json!(BarcodeReportView::from(report)),
        picture: |report| json!(PictureReportView::from(report)),
        face: |report, found| json!(FaceReportView::of(report, found)),
    }
}
