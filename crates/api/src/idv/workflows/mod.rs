mod views;

use http::{Method, StatusCode};
use portcullis_store::idv::workflows::{VersionRow, WorkflowRow};
use portcullis_types::{Id, Timestamp, tags};
use portcullis_verification::{SessionError, Sessions};
use portcullis_workflow::{CATALOGUE, Graph, Input, SESSION_FIELDS, Severity, fields_at, simulate};
use serde_json::Value;

use super::input::invalid;
use crate::{
    ApiError,
    call::{Call, Page},
    endpoint::{Api, Endpoint, Permission::Idv, Reply, created, ok},
};
use views::{
    BacktestInput, BacktestView, CatalogueView, ChangeView, CheckView, DiffInput, DiffView,
    DifferentView, DraftInput, FieldView, FieldsInput, FieldsView, GraphInput, NewWorkflow,
    ProblemView, PublishInput, RollbackInput, SimulationInput, SimulationView, ValidationView,
    VersionDetail, VersionView, WorkflowDetail, WorkflowView,
};

const WORKFLOWS: &str = "/idv/v1/workflows";
const WORKFLOW: &str = "/idv/v1/workflows/{id}";
const VERSION: &str = "/idv/v1/workflows/{id}/versions/{version}";
/// Two graphs, or a graph and a fixture.
const BODY_MAX_BYTES: usize = 600 * 1024;
/// Sessions of a backtest, unless the caller asks for others.
const BACKTEST_DEFAULT: i64 = 100;

pub(crate) fn endpoints() -> Vec<Endpoint> {
    let (get, post, put) = (Method::GET, Method::POST, Method::PUT);
    let ok = StatusCode::OK;
    vec![
        Endpoint::new(
            get.clone(),
            "/idv/v1/checks",
            Idv,
            "The checks and the fields they tell",
            catalogue,
        )
        .returns::<CatalogueView>(ok),
        Endpoint::new(get.clone(), WORKFLOWS, Idv, "Workflows", list)
            .paged()
            .returns::<Page<WorkflowView>>(ok),
        Endpoint::new(post.clone(), WORKFLOWS, Idv, "Make a workflow with its first draft", create)
            .body(BODY_MAX_BYTES)
            .takes::<NewWorkflow>()
            .returns::<WorkflowDetail>(StatusCode::CREATED),
        Endpoint::new(
            post.clone(),
            "/idv/v1/workflows/validate",
            Idv,
            "Everything that is wrong with a graph",
            validate,
        )
        .body(BODY_MAX_BYTES)
        .takes::<GraphInput>()
        .returns::<ValidationView>(ok),
        Endpoint::new(
            post.clone(),
            "/idv/v1/workflows/fields",
            Idv,
            "The fields that a condition at a node can look at",
            fields,
        )
        .body(BODY_MAX_BYTES)
        .takes::<FieldsInput>()
        .returns::<FieldsView>(ok),
        Endpoint::new(
            post.clone(),
            "/idv/v1/workflows/simulate",
            Idv,
            "What a graph would make of checks that come to this",
            play,
        )
        .body(BODY_MAX_BYTES)
        .takes::<SimulationInput>()
        .returns::<SimulationView>(ok),
        Endpoint::new(get.clone(), WORKFLOW, Idv, "One workflow, with its draft", show)
            .returns::<WorkflowDetail>(ok),
        Endpoint::new(
            put,
            "/idv/v1/workflows/{id}/draft",
            Idv,
            "Put another draft in the place of the last one",
            draft,
        )
        .body(BODY_MAX_BYTES)
        .takes::<DraftInput>()
        .returns::<WorkflowDetail>(ok),
        Endpoint::new(
            post.clone(),
            "/idv/v1/workflows/{id}/publish",
            Idv,
            "Make the draft a version that never changes, and begin sessions with it",
            publish,
        )
        .takes::<PublishInput>()
        .returns::<WorkflowView>(ok),
        Endpoint::new(
            post.clone(),
            "/idv/v1/workflows/{id}/rollback",
            Idv,
            "Begin sessions with another version that was published",
            roll_back,
        )
        .takes::<RollbackInput>()
        .returns::<WorkflowView>(ok),
        Endpoint::new(
            post.clone(),
            "/idv/v1/workflows/{id}/diff",
            Idv,
            "What is different between two versions, or a version and the draft",
            diff,
        )
        .takes::<DiffInput>()
        .returns::<DiffView>(ok),
        Endpoint::new(
            post,
            "/idv/v1/workflows/{id}/backtest",
            Idv,
            "What a graph would have made of the last sessions that were decided",
            backtest,
        )
        .body(BODY_MAX_BYTES)
        .takes::<BacktestInput>()
        .returns::<BacktestView>(ok),
        Endpoint::new(
            get.clone(),
            "/idv/v1/workflows/{id}/versions",
            Idv,
            "The versions of a workflow, the newest first",
            versions,
        )
        .paged()
        .returns::<Page<VersionView>>(ok),
        Endpoint::new(get, VERSION, Idv, "One version of a workflow, with its graph", version)
            .returns::<VersionDetail>(ok),
    ]
}

async fn catalogue(_: Api, _: Call) -> Reply {
    let checks = CATALOGUE.iter().map(|spec| CheckView {
        check: spec.name,
        input: match spec.input {
            Input::Person => "person",
            Input::Session => "session",
        },
        tells_person: spec.tells_person,
        needs_person: spec.needs_person,
        parts: spec.parts,
        retake: spec.retake,
        fields: spec.all_fields().map(FieldView::from).collect(),
    });
    let session = SESSION_FIELDS.into_iter().map(FieldView::from).collect();
    ok(CatalogueView { checks: checks.collect(), session })
}

async fn list(api: Api, call: Call) -> Reply {
    let (after, limit) = call.page::<Id<tags::Workflow>>()?;
    let rows = api.sessions.workflows(&after, limit).await?;
    let id = |row: &WorkflowRow| row.id.to_string();
    ok(Page::of(rows, limit, id, |row| WorkflowView::from(&row)))
}

async fn create(api: Api, call: Call) -> Reply {
    let NewWorkflow { name, graph } = call.json()?;
    let (by, origin) = (&call.caller.actor, &call.origin);
    let row = api.sessions.create_workflow(&name, &graph, by, origin).await?;
    created(detail(&api, &row)?)
}

async fn show(api: Api, call: Call) -> Reply {
    ok(detail(&api, &api.sessions.workflow(call.id()?).await?)?)
}

fn detail(api: &Api, row: &WorkflowRow) -> Result<WorkflowDetail, ApiError> {
    let draft: Value = serde_json::from_str(&row.draft).unwrap_or_default();
    let problems = api.sessions.problems(&draft)?.into_iter().map(ProblemView::from).collect();
    Ok(WorkflowDetail { workflow: row.into(), draft, problems })
}

async fn draft(api: Api, call: Call) -> Reply {
    let DraftInput { revision, graph } = call.json()?;
    let by = (&call.caller.actor, &call.origin);
    ok(detail(&api, &api.sessions.draft(call.id()?, revision, &graph, by).await?)?)
}

async fn publish(api: Api, call: Call) -> Reply {
    let PublishInput { revision, note } = call.json()?;
    let by = (&call.caller.actor, &call.origin);
    let row = api.sessions.publish(call.id()?, revision, &note, by).await?;
    ok(WorkflowView::from(&row))
}

async fn roll_back(api: Api, call: Call) -> Reply {
    let RollbackInput { revision, version } = call.json()?;
    let by = (&call.caller.actor, &call.origin);
    let row = api.sessions.roll_back(call.id()?, revision, version, by).await?;
    ok(WorkflowView::from(&row))
}

async fn versions(api: Api, call: Call) -> Reply {
    let (after, limit) = call.page_after("after", 18)?;
    let before = match &after[..] {
        "" => i64::MAX,
        number => number.parse().map_err(|_| ApiError::Parameter("after"))?,
    };
    let rows = api.sessions.versions(call.id()?, before, limit).await?;
    let number = |row: &VersionRow| row.version.to_string();
    ok(Page::of(rows, limit, number, |row| VersionView::from(&row)))
}

async fn version(api: Api, call: Call) -> Reply {
    let row = api.sessions.version(call.id()?, call.number("version")?).await?;
    let graph = serde_json::from_str(&row.graph).unwrap_or_default();
    ok(VersionDetail { version: (&row).into(), graph })
}

/// The graph of a version, or the draft.
async fn graph(api: &Api, id: Id<tags::Workflow>, version: Option<i64>) -> Result<Value, ApiError> {
    let text = match version {
        Some(version) => api.sessions.version(id, version).await?.graph,
        None => api.sessions.workflow(id).await?.draft,
    };
    Ok(serde_json::from_str(&text).unwrap_or_default())
}

async fn diff(api: Api, call: Call) -> Reply {
    let DiffInput { from, to } = call.json()?;
    let id = call.id()?;
    let (before, after) = (graph(&api, id, from).await?, graph(&api, id, to).await?);
    let diff = Sessions::diff(&before, &after)?;
    let frame = diff.frame.into_iter().map(ChangeView::from).collect();
    let nodes = diff.nodes.into_values().map(ChangeView::from).collect();
    ok(DiffView { frame, nodes })
}

async fn backtest(api: Api, call: Call) -> Reply {
    let BacktestInput { graph: given, version, limit } = call.json()?;
    let id = call.id()?;
    let tried = match given {
        Some(_) if version.is_some() => {
            return Err(invalid("version", "cannot stand beside graph"));
        }
        Some(graph) => graph,
        None => graph(&api, id, version).await?,
    };
    let limit = limit.unwrap_or(BACKTEST_DEFAULT);
    let tested = api.sessions.backtest(id, &tried, limit).await?;
    let different = tested.different.into_iter().map(|one| DifferentView {
        session: one.session.to_string(),
        was: one.was.as_str(),
        would_be: one.would_be.as_str(),
        waits_at: one.waits_at,
        trace: one.trace,
    });
    let (sessions, same) = (tested.sessions, tested.same);
    ok(BacktestView { sessions, same, different: different.collect() })
}

async fn validate(api: Api, call: Call) -> Reply {
    let GraphInput { graph } = call.json()?;
    let problems = aside(move || api.sessions.problems(&graph)).await??;
    let valid = problems.iter().all(|problem| problem.severity == Severity::Warning);
    ok(ValidationView { valid, problems: problems.into_iter().map(ProblemView::from).collect() })
}

async fn fields(_: Api, call: Call) -> Reply {
    let FieldsInput { graph, node } = call.json()?;
    // One that is being drawn need not make sense as a whole.
    let graph = Graph::read(&graph).map_err(|wrong| ApiError::Graph(wrong.0))?;
    let fields = fields_at(&graph, &node)
        .ok_or_else(|| invalid("node", "must be a node to which there is a way"))?;
    let fields = fields.into_iter().map(|field| FieldView::of(field.name, field.kind)).collect();
    ok(FieldsView { fields })
}

async fn play(api: Api, call: Call) -> Reply {
    let SimulationInput { graph, fixture } = call.json()?;
    if !fixture.fits() {
        return Err(invalid("fixture", "may say 4 KiB of what each check comes to"));
    }
    let now: Timestamp = api.identity.clock.now();
    let played = move || Sessions::plan_of(&graph).map(|plan| simulate(&plan, &fixture, now));
    ok(SimulationView::from(aside(played).await??))
}

/// Work that takes long enough to keep other requests waiting.
async fn aside<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, ApiError> {
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(|_| ApiError::Verifying(SessionError::Sealed))
}
