//! Whether every way comes to an end, and whether it takes only so many nodes until something is waited for.

use std::collections::BTreeMap;

use super::Problems;
use crate::graph::{Graph, Node};

pub(super) fn check(graph: &Graph, problems: &mut Problems) {
    // A node that was entered too often has one way out, over which no way may come back for ever either.
    let endless = |name: &str| match graph.visits.get(name) {
        Some(visits) => vec![&visits.over[..]],
        None => ways(graph, name),
    };
    if let Some(name) = find(graph, endless) {
        problems.add(
            "unbounded_loop",
            Some(name),
            "",
            "comes back to itself: set visits on one node of the loop, with an over that leads out of it",
        );
    }
    // One step goes on until something has to happen, so that there has to be something on the way round.
    let at_once = |name: &str| {
        let waits = matches!(
            graph.nodes.get(name),
            Some(Node::Check(_) | Node::Wait(_) | Node::Review(_) | Node::Decide(_))
        );
        let mut to = if waits { Vec::new() } else { ways(graph, name) };
        to.extend(graph.visits.get(name).map(|visits| &visits.over[..]));
        to
    };
    if let Some(name) = find(graph, at_once) {
        problems.add(
            "idle_loop",
            Some(name),
            "",
            "comes back to itself with nothing to wait for: a loop needs a check, a wait or a review",
        );
    }
}

/// Every way out of a node, into branches as well.
fn ways<'a>(graph: &'a Graph, name: &str) -> Vec<&'a str> {
    let Some(node) = graph.nodes.get(name) else { return Vec::new() };
    let mut ways: Vec<&str> = node.edges().iter().map(|edge| edge.to).collect();
    if let Node::Parallel(parallel) = node {
        ways.extend(parallel.branches.iter().map(String::as_str));
    }
    ways
}

/// A node from which these ways come back to it.
fn find<'a>(graph: &'a Graph, ways: impl Fn(&str) -> Vec<&'a str>) -> Option<&'a str> {
    // `true`: done; `false`: on the way.
    let mut state: BTreeMap<&str, bool> = BTreeMap::new();
    for start in graph.nodes.keys() {
        if state.contains_key(&start[..]) {
            continue;
        }
        let mut stack = vec![(&start[..], ways(start))];
        state.insert(start, false);
        while let Some((name, rest)) = stack.last_mut() {
            let Some(to) = rest.pop() else {
                state.insert(name, true);
                stack.pop();
                continue;
            };
            match state.get(to) {
                Some(false) => return Some(to),
                Some(true) => {}
                None => {
                    state.insert(to, false);
                    stack.push((to, ways(to)));
                }
            }
        }
    }
    None
}
