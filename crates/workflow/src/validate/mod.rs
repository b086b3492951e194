//! Everything that can be known about a graph before anybody goes through it.

mod flow;
mod lanes;
mod loops;
mod nodes;
mod scope;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::LazyLock,
};

use serde::Serialize;

use crate::{
    catalogue::Input,
    condition::{self, Condition},
    graph::{Check, Graph, Node, Review},
};

pub use lanes::Lane;
pub use nodes::is_trust_framework;
use scope::At;
pub use scope::{FieldAt, fields_at};

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// It cannot be published so.
    Error,
    /// It may not be what was meant.
    Warning,
}

/// Something that is wrong with a graph.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Problem {
    /// How bad it is.
    pub severity: Severity,
    /// What, in a word that does not change.
    pub code: &'static str,
    /// Where; `None` for the graph as a whole.
    pub node: Option<String>,
    /// The member of the node, as a JSON pointer (RFC 6901); empty for the node itself.
    pub at: String,
    /// The same for a person.
    pub message: String,
}

/// A graph that makes sense: every way through it ends with a decision, and every condition on it looks only at
/// what is known by then.
#[derive(Debug, Clone)]
pub struct Plan {
    pub(crate) graph: Graph,
    /// By the node of the branch, in the order of its cases.
    pub(crate) conditions: BTreeMap<String, Vec<Condition>>,
    pub(crate) lanes: BTreeMap<String, Lane>,
}

impl Plan {
    /// The graph.
    pub fn graph(&self) -> &Graph {
        &self.graph
    }

    /// A node that is there.
    pub fn node(&self, name: &str) -> Option<&Node> {
        self.graph.nodes.get(name)
    }

    /// The check at a node.
    pub fn check(&self, name: &str) -> Option<&Check> {
        match self.node(name)? {
            Node::Check(check) => Some(check),
            _ => None,
        }
    }

    /// On what terms people decide at a node, if they may have to.
    pub fn review(&self, name: &str) -> Option<&Review> {
        static DEFAULT: LazyLock<Review> = LazyLock::new(Review::default);
        match self.node(name)? {
            Node::Review(review) => Some(review),
            Node::Decide(decide) => Some(decide.review.as_ref().unwrap_or(&DEFAULT)),
            _ => None,
        }
    }

    /// What beside the person's own data a session has to be begun with: whether some check takes who somebody is
    /// from what is expected.
    pub fn needs_expected(&self) -> bool {
        self.checks().any(|check| check.from.as_deref() == Some("expected"))
    }

    /// Whether a session has to say how the person is called elsewhere.
    pub fn needs_reference(&self) -> bool {
        let enrolled = |check: &Check| check.from.as_deref() == Some(ENROLLED);
        // Who looks like whom means something only where it is known who is who.
        self.checks().any(|check| check.monitor || check.keep.is_some() || enrolled(check))
    }

    /// Whether what a node comes to depends on what another one told of the person.
    pub(crate) fn follows(&self, node: &str, other: &str) -> bool {
        let spec = |name| self.check(name).and_then(|check| crate::check_spec(&check.check));
        let (Some(check), Some(own)) = (self.check(node), spec(node)) else { return false };
        match check.from.as_deref() {
            Some(from) if from == other => true,
            _ if own.needs_selfie => spec(other)
                .is_some_and(|spec| spec.name == SELFIE || own.name == AGE && spec.tells_person),
            Some(_) => false,
            None => {
                let looks = own.needs_person || own.gathers;
                looks && spec(other).is_some_and(|spec| spec.tells_person)
            }
        }
    }

    /// Whether pictures of people are kept for a while.
    pub fn keeps_pictures(&self) -> bool {
        self.checks().any(|check| {
            let shown = check.check == FACE_MATCH && check.from.as_deref() != Some(ENROLLED);
            check.check == SELFIE || shown
        })
    }

    /// Whether it looks at the devices of people, so that their browsers have to show a key.
    pub fn looks_at_devices(&self) -> bool {
        self.checks().any(|check| check.check == DEVICE)
    }

    /// How long the face of the person is kept to be found again, if it is.
    pub fn keeps_face(&self) -> Option<crate::Span> {
        self.checks().filter_map(|check| check.keep).max()
    }

    /// Whether another check looks at the face that a node shows.
    pub fn shows_face(&self, node: &str) -> bool {
        self.checks().any(|check| check.check == FACE_MATCH && check.from.as_deref() == Some(node))
    }

    /// These nodes, and those that were made and follow from them.
    pub(crate) fn followers(
        &self,
        nodes: &BTreeSet<String>,
        is_made: impl Fn(&str) -> bool,
    ) -> BTreeSet<String> {
        let mut all = nodes.clone();
        loop {
            let before = all.len();
            let follows =
                |name: &&String| is_made(name) && all.iter().any(|other| self.follows(name, other));
            let more: Vec<String> = self.graph.nodes.keys().filter(follows).cloned().collect();
            all.extend(more);
            if all.len() == before {
                return all;
            }
        }
    }

    fn checks(&self) -> impl Iterator<Item = &Check> {
        self.graph.nodes.values().filter_map(|node| match node {
            Node::Check(check) => Some(check),
            _ => None,
        })
    }
}

/// The check that takes a picture of the person, and the one that compares it with a portrait.
const SELFIE: &str = "selfie";
const DEVICE: &str = "device";
const FACE_MATCH: &str = "face_match";
/// The one that holds how old they look against what documents say.
const AGE: &str = "age_estimation";
/// The faces that are kept of the person.
pub const ENROLLED: &str = "enrolled";

/// What is found as it goes.
#[derive(Default)]
struct Problems(Vec<Problem>);

impl Problems {
    fn add(
        &mut self,
        code: &'static str,
        node: Option<&str>,
        at: &str,
        message: impl Into<String>,
    ) {
        self.0.push(Problem::of(code, node, at, message));
    }

    fn warn(&mut self, code: &'static str, node: &str, at: &str, message: impl Into<String>) {
        let problem = Problem::of(code, Some(node), at, message);
        self.0.push(Problem { severity: Severity::Warning, ..problem });
    }

    /// Whether ways can be followed through the graph.
    fn has_shape(&self) -> bool {
        const SHAPELESS: [&str; 2] = ["branch_shared", "too_many_parallel"];
        !self.0.iter().any(|problem| SHAPELESS.contains(&problem.code))
    }

    fn has_errors(&self) -> bool {
        self.0.iter().any(|problem| problem.severity == Severity::Error)
    }
}

/// A plan with what may not be meant, or everything that is wrong.
pub fn validate(graph: Graph) -> Result<(Plan, Vec<Problem>), Vec<Problem>> {
    let mut problems = Problems::default();
    nodes::check(&graph, &mut problems);
    // Where an edge leads nowhere, nothing can be said about ways.
    if !nodes::edges(&graph, &mut problems) {
        return Err(problems.0);
    }
    let lanes = lanes::find(&graph, &mut problems);
    loops::check(&graph, &mut problems);
    // Where branches are not apart from each other, what is known where has no meaning.
    if !problems.has_shape() {
        return Err(problems.0);
    }
    let known = flow::known(&graph, &lanes);
    check_inputs(&graph, &known, &mut problems);
    let conditions = read_conditions(&graph, &known, &mut problems);
    if problems.has_errors() {
        return Err(problems.0);
    }
    Ok((Plan { graph, conditions, lanes: lanes.of }, problems.0))
}

/// By node: the checks that were made on every way to it. A node to which there is no way is not among them.
type Known = BTreeMap<String, BTreeSet<String>>;

/// Whoever needs to know who somebody is must stand behind somebody who tells.
fn check_inputs(graph: &Graph, known: &Known, problems: &mut Problems) {
    for (name, node) in &graph.nodes {
        let (Node::Check(check), Some(known)) = (node, known.get(name)) else { continue };
        let Some(spec) = crate::check_spec(&check.check) else { continue };
        let tells = |node: &str| match graph.nodes.get(node) {
            Some(Node::Check(check)) => {
                crate::check_spec(&check.check).is_some_and(|spec| spec.tells_person)
            }
            _ => false,
        };
        let reads_zone = |node: &str| match graph.nodes.get(node) {
            Some(Node::Check(check)) => matches!(&check.check[..], "mrz" | "emrtd"),
            _ => false,
        };
        let is = |node: &str, checks: &[&str]| match graph.nodes.get(node) {
            Some(Node::Check(check)) => checks.contains(&&check.check[..]),
            _ => false,
        };
        let mut missing = |message: String| problems.add("input_missing", Some(name), "", message);
        if spec.needs_selfie && !known.iter().any(|node| is(node, &[SELFIE])) {
            missing(format!(
                "{} needs a picture of the person: put a selfie before it on every way",
                spec.name
            ));
        }
        let asks = |node: &String| match graph.nodes.get(node) {
            Some(Node::Check(check)) => {
                crate::check_spec(&check.check).is_some_and(|spec| spec.input == Input::Person)
            }
            _ => false,
        };
        if spec.name == DEVICE && !known.iter().any(asks) {
            missing(
                "device sees the browser of a step before it: put one that asks the person there"
                    .into(),
            );
        }
        if spec.name == FACE_MATCH {
            match check.from.as_deref() {
                Some(ENROLLED) => {}
                Some(from) if is(from, &["emrtd", "image"]) && known.contains(from) => {}
                _ => missing(
                    "from must be a chip or an image that is done on every way to this node, or enrolled".into(),
                ),
            }
            continue;
        }
        match check.from.as_deref() {
            None if !spec.needs_person => {}
            Some("expected") if spec.needs_person => {}
            Some(from) if !tells(from) => missing(format!("{from} does not tell who somebody is")),
            Some(from) if spec.compares && !reads_zone(from) => {
                missing(format!("{from} reads no zone that the chip could be held against"));
            }
            Some(from) if !known.contains(from) => {
                missing(format!("{from} is not done on every way to this node"));
            }
            Some(_) => {}
            None if known.iter().any(|node| tells(node)) => {}
            None => missing(format!(
                "{} needs to know who somebody is: put a check of a document before it on every way, or set \
                 from to expected",
                check.check
            )),
        }
    }
}

/// Regular expressions of one graph: compiling one takes up to a millisecond.
const PATTERNS_MAX: usize = 100;

fn read_conditions(
    graph: &Graph,
    known: &Known,
    problems: &mut Problems,
) -> BTreeMap<String, Vec<Condition>> {
    let (mut conditions, mut patterns) = (BTreeMap::new(), 0);
    for (name, node) in &graph.nodes {
        let (Node::Branch(branch), Some(known)) = (node, known.get(name)) else { continue };
        let scope = At::new(graph, known);
        let mut read = Vec::new();
        for (at, case) in branch.cases.iter().enumerate() {
            let pointer = format!("/cases/{at}/when");
            // Whatever may be one, since those that cannot be compiled take their time as well.
            patterns += case.when.to_string().matches("matches").count();
            if patterns > PATTERNS_MAX {
                let message = format!("a graph has at most {PATTERNS_MAX} regular expressions");
                problems.add("limit", Some(name), &pointer, message);
                return conditions;
            }
            match condition::read(&case.when, &scope) {
                Ok(condition) => read.push(condition),
                Err(message) => {
                    let code = scope.take_code().unwrap_or("condition");
                    problems.add(code, Some(name), &pointer, message);
                }
            }
        }
        conditions.insert(name.clone(), read);
    }
    conditions
}
