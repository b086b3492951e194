//! What is known where.

use std::collections::BTreeMap;

use super::{Known, lanes::Lanes};
use crate::graph::{Graph, JoinMode, Node};

/// A set of nodes by their numbers.
#[derive(Clone)]
struct Bits(Vec<u64>);

impl Bits {
    fn empty(nodes: usize) -> Self {
        Self(vec![0; nodes.div_ceil(64)])
    }

    fn add(&mut self, number: usize) {
        self.0[number / 64] |= 1 << (number % 64);
    }

    fn has(&self, number: usize) -> bool {
        self.0[number / 64] & 1 << (number % 64) != 0
    }

    /// Keeps what both have; whether something went.
    fn and(&mut self, other: &Self) -> bool {
        let mut changed = false;
        for (one, other) in self.0.iter_mut().zip(&other.0) {
            changed |= *one & !other != 0;
            *one &= other;
        }
        changed
    }

    fn or(&mut self, other: &Self) {
        self.0.resize(self.0.len().max(other.0.len()), 0);
        self.0.iter_mut().zip(&other.0).for_each(|(one, other)| *one |= other);
    }
}

/// A node with numbers in the place of names.
struct Place {
    is_check: bool,
    open_end: bool,
    edges: Vec<usize>,
    /// Where it goes on when it was entered too often.
    over: Option<usize>,
    branches: Option<Branches>,
}

struct Branches {
    mode: JoinMode,
    entries: Vec<usize>,
    members: Vec<Vec<usize>>,
}

struct Flow {
    places: Vec<Place>,
    /// What is known on entering a node; `None` while no way to it has been found.
    known: Vec<Option<Bits>>,
}

/// By node: the checks that were made on every way to it.
pub(super) fn known(graph: &Graph, lanes: &Lanes) -> Known {
    let names: Vec<&str> = graph.nodes.keys().map(String::as_str).collect();
    let number: BTreeMap<&str, usize> =
        names.iter().enumerate().map(|(number, name)| (*name, number)).collect();
    let places = graph.nodes.iter().map(|(name, node)| place(graph, lanes, &number, name, node));
    let mut flow = Flow { places: places.collect(), known: vec![None; names.len()] };
    if let Some(start) = number.get(&graph.start[..]).copied() {
        flow.known[start] = Some(Bits::empty(names.len()));
        let order = flow.order(start);
        // Sets only shrink and nodes are only added, so this ends.
        let mut changed = true;
        while changed {
            changed = false;
            for number in &order {
                changed |= flow.pass(*number);
            }
        }
    }
    let told = flow.known.iter().zip(&names).filter_map(|(known, name)| {
        let known = known.as_ref()?;
        let known = names.iter().enumerate().filter(|(number, _)| known.has(*number));
        Some(((*name).to_owned(), known.map(|(_, name)| (*name).to_owned()).collect()))
    });
    told.collect()
}

fn place(
    graph: &Graph,
    lanes: &Lanes,
    number: &BTreeMap<&str, usize>,
    name: &str,
    node: &Node,
) -> Place {
    let at = |name: &str| number.get(name).copied();
    let branches = match node {
        Node::Parallel(parallel) => lanes.members.get(name).map(|members| Branches {
            mode: parallel.join.mode,
            entries: parallel.branches.iter().filter_map(|entry| at(entry)).collect(),
            members: members
                .iter()
                .map(|names| names.iter().filter_map(|name| at(name)).collect())
                .collect(),
        }),
        _ => None,
    };
    Place {
        is_check: matches!(node, Node::Check(_)),
        open_end: node.open_end().is_some(),
        edges: node.edges().iter().filter_map(|edge| at(edge.to)).collect(),
        over: graph.visits.get(name).and_then(|visits| at(&visits.over)),
        branches,
    }
}

impl Flow {
    /// The nodes to which there is a way, each before those behind it as far as there are no loops.
    fn order(&self, start: usize) -> Vec<usize> {
        let mut seen = vec![false; self.places.len()];
        let mut order = Vec::new();
        let mut stack = vec![(start, self.targets(start))];
        seen[start] = true;
        while let Some((number, rest)) = stack.last_mut() {
            match rest.pop() {
                Some(to) if !seen[to] => {
                    seen[to] = true;
                    stack.push((to, self.targets(to)));
                }
                Some(_) => {}
                None => {
                    order.push(*number);
                    stack.pop();
                }
            }
        }
        order.reverse();
        order
    }

    /// Branches are looked at last, so that they stand before what comes after their join.
    fn targets(&self, number: usize) -> Vec<usize> {
        let place = &self.places[number];
        let entries = place.branches.iter().flat_map(|branches| &branches.entries);
        let all = entries.rev().chain(&place.over).chain(&place.edges);
        all.copied().collect()
    }

    /// Takes what is known at a node to those behind it; whether that changed anything.
    fn pass(&mut self, number: usize) -> bool {
        let Some(here) = self.known[number].clone() else { return false };
        let mut changed = false;
        // Whoever goes on because a node was entered too often has not done it once more.
        let place = &self.places[number];
        let entries = place.branches.iter().flat_map(|branches| branches.entries.iter());
        let same: Vec<usize> = entries.chain(&place.over).copied().collect();
        for to in same {
            changed |= self.flow(to, &here);
        }
        if let Some(after) = self.after(number) {
            for at in 0..self.places[number].edges.len() {
                changed |= self.flow(self.places[number].edges[at], &after);
            }
        }
        changed
    }

    fn flow(&mut self, to: usize, known: &Bits) -> bool {
        match &mut self.known[to] {
            place @ None => {
                *place = Some(known.clone());
                true
            }
            Some(bits) => bits.and(known),
        }
    }

    /// What is known on leaving a node; `None` while it cannot be left.
    fn after(&self, number: usize) -> Option<Bits> {
        let mut known = self.known[number].clone()?;
        let place = &self.places[number];
        if place.is_check {
            known.add(number);
        }
        if let Some(branches) = &place.branches {
            let mut ends = branches.members.iter().map(|members| self.end(members));
            let joined = match branches.mode {
                // Each of them adds to what is known, so none may be left out.
                JoinMode::All => ends.try_fold(Bits(Vec::new()), |mut all, end| {
                    all.or(&end?);
                    Some(all)
                })?,
                JoinMode::Any | JoinMode::FirstDecisive => {
                    ends.flatten().reduce(|mut all, end| {
                        all.and(&end);
                        all
                    })?
                }
            };
            known.or(&joined);
        }
        Some(known)
    }

    /// What is known at the end of a branch, whichever way one takes through it.
    fn end(&self, members: &[usize]) -> Option<Bits> {
        let ends = members.iter().copied().filter(|number| self.places[*number].open_end);
        ends.filter_map(|number| self.after(number)).reduce(|mut all, one| {
            all.and(&one);
            all
        })
    }
}
