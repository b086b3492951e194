use std::collections::BTreeMap;

use data_encoding::HEXLOWER;
use portcullis_events::{Actor, Origin};
use portcullis_store::idv::{
    sessions,
    workflows::{self, VersionRow, WorkflowRow},
};
use portcullis_types::{Id, tags};
use portcullis_workflow::{
    Event, Fixture, Graph, Node, Plan, Problem, Severity, Status, TEXT_MAX_BYTES, is_name,
    simulate, validate,
};
use serde_json::{Value, json};

use super::{SessionError, Sessions, open::read, service::label};

/// Characters of why something was published.
const NOTE_MAX_CHARS: usize = 1_000;
/// Sessions that a graph is tried with at once.
const BACKTEST_MAX: i64 = 500;

/// What is different between two graphs.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Diff {
    /// The first node or the limits, as JSON pointers.
    pub frame: Vec<Change>,
    /// Nodes.
    pub nodes: BTreeMap<String, Change>,
}

/// Before and after; `None` where there is nothing.
#[derive(Debug, Clone, PartialEq)]
pub struct Change {
    /// Where, as a JSON pointer (RFC 6901).
    pub at: String,
    /// Before.
    pub before: Option<Value>,
    /// After.
    pub after: Option<Value>,
}

/// What a graph would have made of sessions that are over.
#[derive(Debug, Clone, Default)]
pub struct Backtested {
    /// How many were looked at.
    pub sessions: usize,
    /// How many would have been decided in the same way.
    pub same: usize,
    /// The others.
    pub different: Vec<Differing>,
}

/// A session that would have come to something else.
#[derive(Debug, Clone)]
pub struct Differing {
    /// It.
    pub session: Id<tags::IdvSession>,
    /// What it came to.
    pub was: Status,
    /// What it would have come to.
    pub would_be: Status,
    /// Where it would wait, if it would not be over.
    pub waits_at: Vec<String>,
    /// Which way it would have taken.
    pub trace: Vec<String>,
}

impl Sessions {
    /// Makes a workflow with its first draft, which need not make sense yet.
    pub async fn create_workflow(
        &self,
        name: &str,
        graph: &Value,
        by: &Actor,
        origin: &Origin,
    ) -> Result<WorkflowRow, SessionError> {
        if !is_name(name) {
            let must = "must be 1 to 64 letters, digits, hyphens and underscores".to_owned();
            return Err(SessionError::Invalid("name", must));
        }
        let draft = &text(graph)?;
        self.db
            .write(|tx| async move {
                let now = self.now();
                let row = WorkflowRow {
                    id: Id::new(now, &*self.entropy),
                    name: name.to_owned(),
                    draft: draft.clone(),
                    current_version: None,
                    latest_version: 0,
                    revision: 1,
                    created_at: now,
                    updated_at: now,
                };
                if !workflows::insert(&tx, &self.tenant, &row).await? {
                    let must = "must be one that no other workflow has".to_owned();
                    return Err(SessionError::Invalid("name", must));
                }
                let told = json!({ "name": name });
                self.emit_change(&tx, (by, origin), "create", &row, told).await?;
                Ok(row)
            })
            .await
    }

    /// A page of workflows, after the id `after`.
    pub async fn workflows(
        &self,
        after: &str,
        limit: i64,
    ) -> Result<Vec<WorkflowRow>, SessionError> {
        Ok(workflows::page(&self.db, &self.tenant, after, limit).await?)
    }

    /// A workflow.
    pub async fn workflow(&self, id: Id<tags::Workflow>) -> Result<WorkflowRow, SessionError> {
        workflows::by_id(&self.db, &self.tenant, id).await?.ok_or(SessionError::NotFound)
    }

    /// The versions of a workflow before `before`, the newest first, without their graphs.
    pub async fn versions(
        &self,
        id: Id<tags::Workflow>,
        before: i64,
        limit: i64,
    ) -> Result<Vec<VersionRow>, SessionError> {
        self.workflow(id).await?;
        Ok(workflows::versions(&self.db, &self.tenant, id, before, limit).await?)
    }

    /// A version of a workflow.
    pub async fn version(
        &self,
        id: Id<tags::Workflow>,
        version: i64,
    ) -> Result<VersionRow, SessionError> {
        let row = workflows::version(&self.db, &self.tenant, id, version).await?;
        row.ok_or(SessionError::NotFound)
    }

    /// Puts another draft in the place of the one that was seen as `revision`.
    pub async fn draft(
        &self,
        id: Id<tags::Workflow>,
        revision: i64,
        graph: &Value,
        (by, origin): (&Actor, &Origin),
    ) -> Result<WorkflowRow, SessionError> {
        let draft = &text(graph)?;
        self.change(id, revision, (by, origin), "draft", |row| {
            Ok((WorkflowRow { draft: draft.clone(), ..row }, json!({}), None))
        })
        .await
    }

    /// Makes the draft a version that never changes, and the one that new sessions are begun with.
    pub async fn publish(
        &self,
        id: Id<tags::Workflow>,
        revision: i64,
        note: &str,
        (by, origin): (&Actor, &Origin),
    ) -> Result<WorkflowRow, SessionError> {
        let breaks = |char: char| char.is_control() && char != '\n';
        if note.chars().count() > NOTE_MAX_CHARS || note.contains(breaks) {
            let must = format!("must be at most {NOTE_MAX_CHARS} characters, and text");
            return Err(SessionError::Invalid("note", must));
        }
        self.change(id, revision, (by, origin), "publish", |row| {
            let graph = parse(&row.draft)?;
            let (plan, _) = validate(graph).map_err(SessionError::Graph)?;
            self.known_here(plan.graph())?;
            let version = row.latest_version + 1;
            let published = VersionRow {
                version,
                graph: row.draft.clone(),
                digest: digest(&plan),
                note: note.to_owned(),
                published_by: label(by),
                published_at: self.now(),
            };
            let told = json!({ "version": version, "digest": published.digest });
            let row =
                WorkflowRow { current_version: Some(version), latest_version: version, ..row };
            Ok((row, told, Some(published)))
        })
        .await
    }

    /// Begins new sessions with another version that was published.
    pub async fn roll_back(
        &self,
        id: Id<tags::Workflow>,
        revision: i64,
        version: i64,
        (by, origin): (&Actor, &Origin),
    ) -> Result<WorkflowRow, SessionError> {
        let Some(old) = workflows::version(&self.db, &self.tenant, id, version).await? else {
            let must = "must be one that was published".to_owned();
            return Err(SessionError::Invalid("version", must));
        };
        self.known_here(&parse(&old.graph)?)?;
        self.change(id, revision, (by, origin), "rollback", |row| {
            let told = json!({ "version": version, "before": row.current_version });
            Ok((WorkflowRow { current_version: Some(version), ..row }, told, None))
        })
        .await
    }

    /// Whether this installation has the rules and the providers that a graph names.
    fn known_here(&self, graph: &Graph) -> Result<(), SessionError> {
        let framework = unknown_framework(graph, &self.trust_frameworks);
        let provider = graph.nodes.iter().filter_map(|(name, node)| {
            let Node::Check(check) = node else { return None };
            let provider = check.provider.as_deref()?;
            (!self.providers.has(provider, &check.check)).then(|| Problem {
                severity: Severity::Error,
                code: "unknown_provider",
                node: Some(name.clone()),
                at: "/provider".to_owned(),
                message: "must be one of verification.provider in the configuration that is told what it needs".to_owned(),
            })
        });
        let problems: Vec<_> = framework.into_iter().chain(provider).collect();
        if problems.is_empty() { Ok(()) } else { Err(SessionError::Graph(problems)) }
    }

    async fn change(
        &self,
        id: Id<tags::Workflow>,
        revision: i64,
        (by, origin): (&Actor, &Origin),
        action: &'static str,
        change: impl Fn(WorkflowRow) -> Result<(WorkflowRow, Value, Option<VersionRow>), SessionError>,
    ) -> Result<WorkflowRow, SessionError> {
        let change = &change;
        self.db
            .write(|tx| async move {
                let row = workflows::by_id(&tx, &self.tenant, id).await?;
                let row = row.ok_or(SessionError::NotFound)?;
                if row.revision != revision {
                    return Err(SessionError::Stale);
                }
                let (mut row, told, published) = change(row)?;
                row.updated_at = self.now();
                if !workflows::update(&tx, &self.tenant, &row, revision).await? {
                    return Err(SessionError::Stale);
                }
                row.revision += 1;
                if let Some(published) = &published {
                    workflows::publish(&tx, &self.tenant, id, published).await?;
                }
                self.emit_change(&tx, (by, origin), action, &row, told).await?;
                Ok(row)
            })
            .await
    }

    /// What a graph would have made of the last sessions of a workflow that were decided, if their checks had
    /// come to the same.
    pub async fn backtest(
        &self,
        id: Id<tags::Workflow>,
        graph: &Value,
        limit: i64,
    ) -> Result<Backtested, SessionError> {
        self.workflow(id).await?;
        let (plan, _) = validate(read_graph(graph)?).map_err(SessionError::Graph)?;
        let limit = limit.clamp(1, BACKTEST_MAX);
        let rows = sessions::decided(&self.db, &self.tenant, id, limit).await?;
        let mut tested = Backtested::default();
        for row in rows {
            let fixture = match self.fixture(row.id).await {
                Ok(fixture) => fixture,
                // It was erased meanwhile.
                Err(SessionError::Erased | SessionError::NotFound) => continue,
                Err(error) => return Err(error),
            };
            let was = Status::ALL.into_iter().find(|status| status.as_str() == row.status);
            let Some(was) = was else { continue };
            let would_be = simulate(&plan, &fixture, row.created_at);
            tested.sessions += 1;
            if would_be.status == was {
                tested.same += 1;
                continue;
            }
            let trace = would_be.trace.iter().map(|step| format!("{} {}", step.node, step.way));
            tested.different.push(Differing {
                session: row.id,
                was,
                would_be: would_be.status,
                waits_at: would_be.waits_at,
                trace: trace.collect(),
            });
        }
        Ok(tested)
    }

    /// What the checks of a session came to.
    async fn fixture(&self, id: Id<tags::IdvSession>) -> Result<Fixture, SessionError> {
        let open = self.read(id).await?;
        let most = i64::from(portcullis_workflow::EVENTS_MAX) + 2;
        let rows = sessions::events(&self.db, &self.tenant, id, 0, most).await?;
        let mut fixture = Fixture::default();
        let mut state = portcullis_workflow::State::default();
        for row in &rows {
            let happened = read(&open.key, id, row)?;
            match &happened.event {
                Event::Began { facts } => fixture.facts = facts.clone(),
                Event::Voted { verdict, .. } => fixture.review = Some(*verdict),
                _ => {}
            }
            if let Some((serial, outcome)) = happened.event.outcome()
                && let Some(task) = state.tasks.get(&serial)
            {
                let check = open.plan.check(&task.node).map(|check| check.check.clone());
                for name in [Some(task.node.clone()), check].into_iter().flatten() {
                    let outcomes = fixture.outcomes.entry(name).or_default();
                    if outcomes.last() != Some(outcome) {
                        outcomes.push(outcome.clone());
                    }
                }
            }
            (state, _) = portcullis_workflow::step(&open.plan, state, &happened)
                .map_err(|_| SessionError::Sealed)?;
        }
        // What they said last is not always what was decided. Where nobody was asked, nobody knows what they would
        // have said.
        if fixture.review.is_some() {
            fixture.review = open.state.decision.as_ref().map(|decision| decision.verdict);
        }
        Ok(fixture)
    }

    /// What is different between two graphs.
    pub fn diff(before: &Value, after: &Value) -> Result<Diff, SessionError> {
        let (before, after) = (read_graph(before)?.meaning(), read_graph(after)?.meaning());
        let mut diff = Diff::default();
        for at in ["/start", "/limits/ttl", "/limits/attempts", "/limits/window"] {
            let (one, other) = (before.pointer(at).cloned(), after.pointer(at).cloned());
            if one != other {
                diff.frame.push(Change { at: at.to_owned(), before: one, after: other });
            }
        }
        let nodes = |graph: &Value| graph["nodes"].as_object().cloned().unwrap_or_default();
        let (before, after) = (nodes(&before), nodes(&after));
        for name in before.keys().chain(after.keys()) {
            let (one, other) = (before.get(name).cloned(), after.get(name).cloned());
            if one != other {
                let at = format!("/nodes/{name}");
                diff.nodes.insert(name.clone(), Change { at, before: one, after: other });
            }
        }
        Ok(diff)
    }

    /// Everything that is wrong with a graph, or may not be meant.
    pub fn problems(&self, graph: &Value) -> Result<Vec<Problem>, SessionError> {
        text(graph)?;
        let graph = match Graph::read(graph) {
            Err(wrong) => return Ok(wrong.0),
            Ok(graph) => graph,
        };
        let unknown = unknown_framework(&graph, &self.trust_frameworks);
        let (Ok((_, mut problems)) | Err(mut problems)) = validate(graph);
        problems.extend(unknown);
        Ok(problems)
    }

    /// A graph as a plan.
    pub fn plan_of(graph: &Value) -> Result<Plan, SessionError> {
        text(graph)?;
        let (plan, _) = validate(read_graph(graph)?).map_err(SessionError::Graph)?;
        Ok(plan)
    }
}

/// That a graph verifies by rules that are not those of this installation.
fn unknown_framework(graph: &Graph, trust_frameworks: &[String]) -> Option<Problem> {
    let named = &graph.verifies.as_ref()?.trust_framework;
    let message = "must be one of verification.trust_frameworks in the configuration";
    (!trust_frameworks.contains(named)).then(|| Problem {
        severity: Severity::Error,
        code: "unknown_trust_framework",
        node: None,
        at: "/verifies/trust_framework".to_owned(),
        message: message.to_owned(),
    })
}

fn parse(draft: &str) -> Result<Graph, SessionError> {
    read_graph(&serde_json::from_str(draft).map_err(|_| SessionError::Sealed)?)
}

fn read_graph(graph: &Value) -> Result<Graph, SessionError> {
    Graph::read(graph).map_err(|wrong| SessionError::Graph(wrong.0))
}

/// A draft as it is kept.
fn text(graph: &Value) -> Result<String, SessionError> {
    let text = graph.to_string();
    if !graph.is_object() || text.len() > TEXT_MAX_BYTES {
        let must = format!("must be an object of at most {TEXT_MAX_BYTES} bytes");
        return Err(SessionError::Invalid("graph", must));
    }
    Ok(text)
}

/// SHA-256 of what a plan means.
fn digest(plan: &Plan) -> String {
    let meaning = plan.graph().meaning().to_string();
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, meaning.as_bytes());
    HEXLOWER.encode(digest.as_ref())
}
