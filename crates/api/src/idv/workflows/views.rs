use portcullis_store::idv::workflows::{VersionRow, WorkflowRow};
use portcullis_verification::Change;
use portcullis_workflow::{FieldSpec, Fixture, Kind, Problem, Severity, Simulated};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use utoipa::ToSchema;

/// The checks that a graph can be made of.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct CatalogueView {
    pub checks: Vec<CheckView>,
    /// What can be asked of each session, as `session.…`.
    pub session: Vec<FieldView>,
}

#[derive(Debug, Serialize, ToSchema)]
pub(super) struct CheckView {
    pub check: &'static str,
    /// `person` gives what it needs, or it is in the `session` already.
    pub input: &'static str,
    /// Whether it tells who somebody is.
    pub tells_person: bool,
    /// Whether it needs to know who somebody is.
    pub needs_person: bool,
    /// Parts that a graph can insist on.
    pub parts: &'static [&'static str],
    /// Codes after which the person may try again.
    pub retake: &'static [&'static str],
    pub fields: Vec<FieldView>,
}

#[derive(Debug, Serialize, ToSchema)]
pub(super) struct FieldView {
    pub name: String,
    /// `boolean`, `number`, `string`, `date`, `choice`, `strings`
    pub kind: &'static str,
    /// The values of a `choice`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub values: Option<&'static [&'static str]>,
}

impl FieldView {
    pub fn of(name: String, kind: Kind) -> Self {
        let values = match kind {
            Kind::Choice(values) => Some(values),
            _ => None,
        };
        Self { name, kind: kind.as_str(), values }
    }
}

impl From<FieldSpec> for FieldView {
    fn from(field: FieldSpec) -> Self {
        Self::of(field.name.to_owned(), field.kind)
    }
}

/// A workflow.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct WorkflowView {
    pub id: String,
    pub name: String,
    /// The version that new sessions are begun with.
    pub current_version: Option<i64>,
    /// How many there are.
    pub latest_version: i64,
    /// Grows with each change; whoever changes it says which one they saw.
    pub revision: i64,
    /// RFC 3339.
    pub created_at: String,
    pub updated_at: String,
}

impl From<&WorkflowRow> for WorkflowView {
    fn from(row: &WorkflowRow) -> Self {
        Self {
            id: row.id.to_string(),
            name: row.name.clone(),
            current_version: row.current_version,
            latest_version: row.latest_version,
            revision: row.revision,
            created_at: row.created_at.to_rfc3339(),
            updated_at: row.updated_at.to_rfc3339(),
        }
    }
}

/// A workflow with its draft.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct WorkflowDetail {
    #[serde(flatten)]
    pub workflow: WorkflowView,
    /// `{"schema": "idv.workflow/1", "start": …, "nodes": {…}}`
    #[schema(value_type = Object)]
    pub draft: Value,
    pub problems: Vec<ProblemView>,
}

/// Something that is wrong with a graph.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct ProblemView {
    /// `error` (it cannot be published so) or `warning`.
    pub severity: &'static str,
    /// Does not change.
    pub code: &'static str,
    /// `null` for the graph as a whole.
    pub node: Option<String>,
    /// The member of the node, as a JSON pointer.
    pub at: String,
    /// For a person.
    pub message: String,
}

impl From<Problem> for ProblemView {
    fn from(problem: Problem) -> Self {
        let severity = match problem.severity {
            Severity::Error => "error",
            Severity::Warning => "warning",
        };
        let Problem { code, node, at, message, .. } = problem;
        Self { severity, code, node, at, message }
    }
}

/// A version of a workflow. It never changes.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct VersionView {
    pub version: i64,
    /// SHA-256 of what the graph means, hexadecimal.
    pub digest: String,
    pub note: String,
    pub published_by: String,
    /// RFC 3339.
    pub published_at: String,
}

/// A version with its graph.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct VersionDetail {
    #[serde(flatten)]
    pub version: VersionView,
    #[schema(value_type = Object)]
    pub graph: Value,
}

impl From<&VersionRow> for VersionView {
    fn from(row: &VersionRow) -> Self {
        Self {
            version: row.version,
            digest: row.digest.clone(),
            note: row.note.clone(),
            published_by: row.published_by.clone(),
            published_at: row.published_at.to_rfc3339(),
        }
    }
}

/// A workflow that is to be made.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct NewWorkflow {
    /// 1 to 64 letters, digits, hyphens and underscores; no other workflow has it.
    pub name: String,
    /// It need not make sense yet.
    #[schema(value_type = Object)]
    pub graph: Value,
}

/// A graph.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct GraphInput {
    #[schema(value_type = Object)]
    pub graph: Value,
}

#[derive(Debug, Serialize, ToSchema)]
pub(super) struct ValidationView {
    /// Whether it can be published.
    pub valid: bool,
    pub problems: Vec<ProblemView>,
}

/// A node of a graph.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct FieldsInput {
    #[schema(value_type = Object)]
    pub graph: Value,
    pub node: String,
}

#[derive(Debug, Serialize, ToSchema)]
pub(super) struct FieldsView {
    pub fields: Vec<FieldView>,
}

/// A graph, and what its checks come to.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct SimulationInput {
    #[schema(value_type = Object)]
    pub graph: Value,
    /// `{"facts": {"bucket": 7}, "outcomes": {"NODE OR CHECK": [{"report": {"id": "1", "status": "passed",
    /// "assurance": "self_asserted", "reasons": [], "values": {}}}, {"unavailable": "down"}]}, "review": "approved"}`
    #[schema(value_type = Object)]
    pub fixture: Fixture,
}

/// What would come of it.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct SimulationView {
    /// Where it ends.
    pub status: &'static str,
    /// `null` if nothing is decided.
    #[schema(value_type = Object)]
    pub decision: Value,
    /// `node way`
    pub trace: Vec<String>,
    /// Where it waits for something that the fixture does not say.
    pub waits_at: Vec<String>,
    /// Events that were told by `webhook` nodes.
    pub notified: Vec<String>,
}

impl From<Simulated> for SimulationView {
    fn from(simulated: Simulated) -> Self {
        let Simulated { status, decision, trace, waits_at, notified } = simulated;
        Self {
            status: status.as_str(),
            decision: json!(decision),
            trace: trace.iter().map(|step| format!("{} {}", step.node, step.way)).collect(),
            waits_at,
            notified,
        }
    }
}

/// Another draft.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct DraftInput {
    /// The one that was seen.
    pub revision: i64,
    #[schema(value_type = Object)]
    pub graph: Value,
}

/// What is published is the draft.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct PublishInput {
    /// The one that was seen.
    pub revision: i64,
    /// Why, at most 1,000 characters.
    #[serde(default)]
    pub note: String,
}

/// Which version it is again.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RollbackInput {
    /// The one that was seen.
    pub revision: i64,
    pub version: i64,
}

/// Which two are compared; the draft where there is no version.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct DiffInput {
    pub from: Option<i64>,
    pub to: Option<i64>,
}

/// What is different.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct DiffView {
    /// The first node and the limits.
    pub frame: Vec<ChangeView>,
    /// Nodes, in the order of their names.
    pub nodes: Vec<ChangeView>,
}

/// `before` is `null` for what is new, `after` for what is gone.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct ChangeView {
    /// JSON pointer.
    pub at: String,
    #[schema(value_type = Object)]
    pub before: Option<Value>,
    #[schema(value_type = Object)]
    pub after: Option<Value>,
}

impl From<Change> for ChangeView {
    fn from(Change { at, before, after }: Change) -> Self {
        Self { at, before, after }
    }
}

/// With what it is tried: a graph, a version, or the draft if there is neither.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct BacktestInput {
    #[schema(value_type = Object)]
    pub graph: Option<Value>,
    pub version: Option<i64>,
    /// How many sessions, at most 500; 100 if it is left out.
    pub limit: Option<i64>,
}

/// What would have come of sessions that were decided.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct BacktestView {
    /// How many were looked at.
    pub sessions: usize,
    /// How many would have been decided in the same way.
    pub same: usize,
    pub different: Vec<DifferentView>,
}

#[derive(Debug, Serialize, ToSchema)]
pub(super) struct DifferentView {
    pub session: String,
    pub was: &'static str,
    pub would_be: &'static str,
    /// Where it would wait.
    pub waits_at: Vec<String>,
    /// `node way`
    pub trace: Vec<String>,
}
