use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Value as Json, json};

use crate::{
    graph::{Graph, LABEL_MAX_CHARS, Limits, NODES_MAX, Node, SCHEMA, Verifies, Visits},
    validate::{Problem, Severity},
};

/// Bytes of the name of a node or a case.
const NAME_MAX_BYTES: usize = 64;

/// A graph cannot be read; every reason.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the graph cannot be read")]
pub struct GraphError(pub Vec<Problem>);

/// What is around the nodes.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Frame {
    schema: String,
    start: String,
    #[serde(default)]
    limits: Limits,
    #[serde(default)]
    verifies: Option<Verifies>,
    nodes: BTreeMap<String, Json>,
    #[serde(default)]
    layout: Json,
}

/// The same with the members of all objects in the order of their names, whatever order the map keeps.
fn sorted(json: Json) -> Json {
    match json {
        Json::Object(members) => {
            let members: BTreeMap<String, Json> = members.into_iter().collect();
            members.into_iter().map(|(name, value)| (name, sorted(value))).collect()
        }
        Json::Array(items) => items.into_iter().map(sorted).collect(),
        other => other,
    }
}

impl Graph {
    /// Reads a graph; all that is wrong with its form is told at once, node by node.
    pub fn read(json: &Json) -> Result<Self, GraphError> {
        let whole = |message: String| GraphError(vec![Problem::of("form", None, "", message)]);
        let frame = Frame::deserialize(json).map_err(|why| whole(why.to_string()))?;
        if frame.schema != SCHEMA {
            return Err(whole(format!("schema must be {SCHEMA}")));
        }
        if frame.nodes.len() > NODES_MAX {
            return Err(whole(format!("there may be at most {NODES_MAX} nodes")));
        }
        let mut graph = Self {
            start: frame.start,
            limits: frame.limits,
            verifies: frame.verifies,
            nodes: BTreeMap::new(),
            labels: BTreeMap::new(),
            visits: BTreeMap::new(),
            layout: frame.layout,
        };
        let nodes = frame.nodes.into_iter();
        let problems: Vec<Problem> =
            nodes.filter_map(|(name, node)| graph.add(name, node).err()).collect();
        if problems.is_empty() { Ok(graph) } else { Err(GraphError(problems)) }
    }

    fn add(&mut self, name: String, mut node: Json) -> Result<(), Problem> {
        let wrong = |at, message: String| Problem::of("form", Some(&name), at, message);
        if !is_name(&name) {
            let must = "names have 1 to 64 letters, digits, hyphens and underscores";
            return Err(wrong("", must.to_owned()));
        }
        let taken = ["session", "expected", crate::ENROLLED].contains(&&name[..]);
        if taken {
            return Err(wrong("", "session and expected are names of something else".to_owned()));
        }
        // These two are for any node.
        let mut take = |member: &str| node.as_object_mut().and_then(|node| node.remove(member));
        let (label, visits) = (take("label"), take("visits"));
        let node = Node::deserialize(node).map_err(|why| wrong("", why.to_string()))?;
        if let Some(label) = label {
            let label: String = serde_json::from_value(label)
                .map_err(|_| wrong("/label", "must be text".to_owned()))?;
            if label.chars().count() > LABEL_MAX_CHARS {
                return Err(wrong("/label", format!("has at most {LABEL_MAX_CHARS} characters")));
            }
            self.labels.insert(name.clone(), label);
        }
        if let Some(visits) = visits {
            let visits =
                Visits::deserialize(visits).map_err(|why| wrong("/visits", why.to_string()))?;
            self.visits.insert(name.clone(), visits);
        }
        self.nodes.insert(name, node);
        Ok(())
    }

    /// The graph without what means nothing: of two with the same meaning this is the same text, with the members
    /// of objects in the order of their names, so that whoever reads it anywhere comes to the same digest.
    pub fn meaning(&self) -> Json {
        let nodes = self.nodes.iter().map(|(name, node)| {
            let mut node = serde_json::to_value(node).unwrap_or_default();
            if let (Some(visits), Some(node)) = (self.visits.get(name), node.as_object_mut()) {
                node.insert("visits".to_owned(), json!(visits));
            }
            (name.clone(), node)
        });
        let mut meaning = json!({
            "schema": SCHEMA,
            "start": self.start,
            "limits": self.limits,
            "nodes": nodes.collect::<serde_json::Map<_, _>>(),
        });
        if let Some(verifies) = &self.verifies {
            meaning["verifies"] = json!(verifies);
        }
        sorted(meaning)
    }
}

/// Whether this can be a name: 1 to 64 letters, digits, hyphens and underscores.
pub fn is_name(name: &str) -> bool {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-';
    (1..=NAME_MAX_BYTES).contains(&name.len()) && name.bytes().all(fits)
}

impl Problem {
    pub(crate) fn of(
        code: &'static str,
        node: Option<&str>,
        at: &str,
        message: impl Into<String>,
    ) -> Self {
        let (node, at) = (node.map(str::to_owned), at.to_owned());
        Self { severity: Severity::Error, code, node, at, message: message.into() }
    }
}
