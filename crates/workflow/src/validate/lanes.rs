//! Which branch of which `parallel` a node belongs to. Branches share nothing but nodes that decide, so that a join
//! knows by construction whom it waits for.

use std::collections::{BTreeMap, BTreeSet};

use super::Problems;
use crate::graph::{Graph, JoinMode, Node, Set};

/// Branches of one `parallel`.
const BRANCHES_MAX: usize = 8;
/// How many `parallel` may be inside each other.
const DEPTH_MAX: usize = 3;

/// Where a node belongs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Lane {
    /// To no branch.
    Main,
    /// To a branch.
    Of {
        /// Of this node.
        parallel: String,
        /// Which one, from 0.
        branch: usize,
    },
    /// It decides, from wherever one comes.
    Anywhere,
}

/// Every lane.
#[derive(Debug)]
pub(super) struct Lanes {
    pub of: BTreeMap<String, Lane>,
    /// By `parallel`: the nodes of each of its branches.
    pub members: BTreeMap<String, Vec<BTreeSet<String>>>,
}

pub(super) fn find(graph: &Graph, problems: &mut Problems) -> Lanes {
    let mut finder =
        Finder { graph, problems, lanes: Lanes { of: BTreeMap::new(), members: BTreeMap::new() } };
    let main = finder.members(&graph.start);
    finder.claim(&Lane::Main, &main, 0);
    let Finder { lanes, problems, .. } = finder;
    for name in graph.nodes.keys().filter(|name| !lanes.of.contains_key(*name)) {
        problems.add("unreachable", Some(name), "", "no way leads to this node");
    }
    lanes
}

struct Finder<'a> {
    graph: &'a Graph,
    problems: &'a mut Problems,
    lanes: Lanes,
}

impl Finder<'_> {
    /// Everything that is reached without entering a branch.
    fn members(&self, entry: &str) -> BTreeSet<String> {
        let (mut found, mut next) = (BTreeSet::new(), vec![entry]);
        while let Some(name) = next.pop() {
            let Some(node) = self.graph.nodes.get(name) else { continue };
            if found.insert(name.to_owned()) {
                next.extend(node.edges().iter().map(|edge| edge.to));
                next.extend(self.graph.visits.get(name).map(|visits| &visits.over[..]));
            }
        }
        found
    }

    fn claim(&mut self, lane: &Lane, members: &BTreeSet<String>, depth: usize) {
        for name in members {
            let Some(node) = self.graph.nodes.get(name) else { continue };
            let decides = matches!(node, Node::Decide(_));
            let new = if decides { Lane::Anywhere } else { lane.clone() };
            if *lane != Lane::Main
                && let Node::Decide(decide) = node
                && decide.set == Some(Set::Approved)
            {
                let message =
                    "approves out of a branch, whatever the other branches of the parallel come to";
                self.problems.warn("decides_alone", name, "/set", message);
            }
            let before = self.lanes.of.insert(name.clone(), new);
            if before.is_some() && !decides {
                self.problems.add(
                    "branch_shared",
                    Some(name),
                    "",
                    "is reached from a branch of a parallel and from outside of it: end the branch by leaving \
                     next out, and go on after the join",
                );
                continue;
            }
            if *lane == Lane::Main
                && let Some(at) = node.open_end()
            {
                self.problems.add(
                    "open_path",
                    Some(name),
                    at,
                    "a way ends here without a decision",
                );
            }
            if let Node::Parallel(parallel) = node {
                self.branches(name, &parallel.branches, parallel.join.mode, depth);
            }
        }
    }

    fn branches(&mut self, name: &str, entries: &[String], mode: JoinMode, depth: usize) {
        if depth >= DEPTH_MAX {
            let message = format!("at most {DEPTH_MAX} parallel may be inside each other");
            return self.problems.add("too_many_parallel", Some(name), "", message);
        }
        if !(2..=BRANCHES_MAX).contains(&entries.len()) {
            let message = format!("needs 2 to {BRANCHES_MAX} branches");
            return self.problems.add("too_many_parallel", Some(name), "/branches", message);
        }
        let members: Vec<BTreeSet<String>> =
            entries.iter().map(|entry| self.members(entry)).collect();
        self.lanes.members.insert(name.to_owned(), members.clone());
        let ends = |name: &String| {
            self.graph.nodes.get(name).is_some_and(|node| node.open_end().is_some())
        };
        let mut ending = members.iter().map(|members| members.iter().any(ends));
        let joins = if mode == JoinMode::All { ending.all(|ends| ends) } else { ending.any(|e| e) };
        if !joins {
            let message = "waits for a branch that never comes to an end which is joined";
            self.problems.add("join_never", Some(name), "/join", message);
        }
        for (branch, members) in members.iter().enumerate() {
            let lane = Lane::Of { parallel: name.to_owned(), branch };
            self.claim(&lane, members, depth + 1);
        }
    }
}
