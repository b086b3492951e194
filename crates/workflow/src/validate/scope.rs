use std::{
    cell::Cell,
    collections::{BTreeMap, BTreeSet},
};

use super::{Known, Problems, flow, lanes, nodes};
use crate::{
    catalogue::{CheckSpec, FieldSpec, SESSION_FIELDS, check_spec},
    condition::{Field, Scope, Typed},
    graph::{Graph, Node},
    value::Kind,
};

/// So many nodes are named where there are several.
const NAMED: usize = 5;

/// What is known at one node.
pub(super) struct At<'a> {
    graph: &'a Graph,
    known: &'a BTreeSet<String>,
    /// By the check, the nodes that make it.
    by_check: BTreeMap<&'a str, Vec<&'a str>>,
    /// Why the last field could not be used.
    code: Cell<Option<&'static str>>,
}

impl<'a> At<'a> {
    pub fn new(graph: &'a Graph, known: &'a BTreeSet<String>) -> Self {
        let mut by_check: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        for (name, node) in &graph.nodes {
            if let Node::Check(check) = node {
                by_check.entry(&check.check).or_default().push(name);
            }
        }
        Self { graph, known, by_check, code: Cell::new(None) }
    }

    pub fn take_code(&self) -> Option<&'static str> {
        self.code.take()
    }

    fn wrong<T>(&self, code: &'static str, message: String) -> Result<T, String> {
        self.code.set(Some(code));
        Err(message)
    }

    /// The node whose check is meant: by its own name, or by that of its check if only one makes it.
    fn node(&self, prefix: &str) -> Result<(&'a str, &'static CheckSpec), String> {
        let known = |node: &str| self.known.contains(node);
        let name = match self.graph.nodes.get_key_value(prefix) {
            Some((name, Node::Check(_))) => &name[..],
            Some(_) => {
                return self.wrong("unknown_field", format!("{prefix} is no check"));
            }
            None => match self.by_check.get(prefix).map_or(&[][..], |nodes| nodes) {
                [] => {
                    let message = format!("there is no node and no check {prefix} in this graph");
                    return self.wrong("unknown_field", message);
                }
                [one] => one,
                several => {
                    match several.iter().filter(|node| known(node)).collect::<Vec<_>>()[..] {
                        [one] => one,
                        _ => {
                            let some = several.len().min(NAMED);
                            let nodes = several[..some].join(", ");
                            let message =
                                format!("several nodes check {prefix}: name one of {nodes}");
                            return self.wrong("unknown_field", message);
                        }
                    }
                }
            },
        };
        let spec = match self.graph.nodes.get(name) {
            Some(Node::Check(check)) => check_spec(&check.check),
            _ => None,
        };
        let Some(spec) = spec else {
            return self.wrong("unknown_field", format!("{prefix} is no check"));
        };
        if !known(name) {
            let message = format!("{name} is not done on every way to this node");
            return self.wrong("not_on_every_path", message);
        }
        Ok((name, spec))
    }
}

impl Scope for At<'_> {
    fn field(&self, name: &str) -> Result<Typed, String> {
        let Some((prefix, rest)) = name.split_once('.') else {
            return self.wrong("unknown_field", "fields are called node.field".to_owned());
        };
        if prefix == "session" {
            let found = SESSION_FIELDS.iter().find(|field| field.name == rest);
            return match found {
                Some(FieldSpec { name, kind }) => {
                    Ok(Typed { field: Field { node: None, name }, kind: *kind })
                }
                None => self.wrong("unknown_field", format!("a session has no field {rest}")),
            };
        }
        let (node, spec) = self.node(prefix)?;
        match spec.field(rest) {
            Some(FieldSpec { name, kind }) => {
                Ok(Typed { field: Field { node: Some(node.to_owned()), name }, kind })
            }
            None => self.wrong("unknown_field", format!("{} tells no {rest}", spec.name)),
        }
    }
}

/// A field that can be looked at somewhere.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FieldAt {
    /// `node.field`
    pub name: String,
    /// What it holds.
    pub kind: Kind,
}

/// The fields that a condition at a node can look at; `None` if there is no such node or no way to it.
pub fn fields_at(graph: &Graph, node: &str) -> Option<Vec<FieldAt>> {
    let mut problems = Problems::default();
    if !nodes::edges(graph, &mut problems) {
        return None;
    }
    let lanes = lanes::find(graph, &mut problems);
    if !problems.has_shape() {
        return None;
    }
    let known: Known = flow::known(graph, &lanes);
    let session = SESSION_FIELDS.iter();
    let session =
        session.map(|field| FieldAt { name: format!("session.{}", field.name), kind: field.kind });
    let told = known.get(node)?.iter().flat_map(|name| {
        let spec = match graph.nodes.get(name) {
            Some(Node::Check(check)) => check_spec(&check.check),
            _ => None,
        };
        let fields = spec.into_iter().flat_map(CheckSpec::all_fields);
        fields
            .map(move |field| FieldAt { name: format!("{name}.{}", field.name), kind: field.kind })
    });
    Some(session.chain(told).collect())
}
