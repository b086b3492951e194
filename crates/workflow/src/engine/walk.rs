//! From node to node.

use std::collections::BTreeSet;

use super::{
    decide::fold,
    event::{Effect, Outcome, Report, Verdict},
    run::Run,
    state::{By, Done, Phase, Task},
};
use crate::{
    catalogue::{Input, check_spec},
    graph::{Check, Fallback, JoinMode, Node, Set, SetTo},
    validate::{Lane, Plan},
    value::{CheckStatus, Value, Values},
};

impl<'a> Run<'a> {
    /// Goes on from a check.
    pub(super) fn leave(&mut self, task: &Task, check: &'a Check, outcome: &Outcome) {
        let (status, report, why, fallback, way) = match outcome {
            Outcome::Report(report) => match missing_part(check, report) {
                None => (report.status, Some(&**report), None, None, "next"),
                Some(part) => {
                    let why = Some(format!("{part}_not_performed"));
                    let fallback = check.on_unsupported.as_ref();
                    (CheckStatus::NotPerformed, Some(&**report), why, fallback, "on_unsupported")
                }
            },
            Outcome::Unsupported(why) => {
                let fallback = check.on_unsupported.as_ref();
                (CheckStatus::NotPerformed, None, Some(why.clone()), fallback, "on_unsupported")
            }
            Outcome::Unavailable(why) => {
                let fallback = check.on_unavailable.as_ref();
                (CheckStatus::Error, None, Some(why.clone()), fallback, "on_unavailable")
            }
            Outcome::Error(why) => {
                let fallback = check.on_error.as_ref();
                (CheckStatus::Error, None, Some(why.clone()), fallback, "on_error")
            }
        };
        let node = &task.node;
        if let Some(review) = task.review {
            // It goes back to whoever asked for it, and no other way.
            self.done(node, status, report, why, false);
            return self.release(review);
        }
        let (status, is_accepted, way, to) = match fallback {
            Some(Fallback::Goto(to)) => {
                // A way of its own for those who cannot is a way to go on. What should have been done and was
                // not stays open on every way.
                let is_other = way == "on_unsupported" && Some(to) != check.next.as_ref();
                (status, is_other, way, Some(to))
            }
            Some(Fallback::Set { set }) => {
                let (status, is_accepted) = match set {
                    SetTo::NotPerformed => (CheckStatus::NotPerformed, true),
                    SetTo::Review => (CheckStatus::Review, false),
                    SetTo::Failed => (CheckStatus::Failed, false),
                };
                (status, is_accepted, way, check.next.as_ref())
            }
            None => (status, false, "next", check.next.as_ref()),
        };
        self.done(node, status, report, why, is_accepted);
        self.go(node, way, to.map(String::as_str));
    }

    pub(super) fn done(
        &mut self,
        node: &str,
        status: CheckStatus,
        report: Option<&Report>,
        why: Option<String>,
        is_accepted: bool,
    ) {
        let order = self.state.done.values().map(|done| done.order).max().unwrap_or(0) + 1;
        let mut values: Values = report.map(|report| report.values.clone()).unwrap_or_default();
        values.insert("status".to_owned(), Value::Text(status.as_str().to_owned()));
        if let Some(report) = report {
            let codes = report.reasons.iter().map(|reason| reason.code.clone()).collect();
            let assurance = report.assurance.as_str().to_owned();
            values.insert("assurance".to_owned(), Value::Text(assurance));
            values.insert("codes".to_owned(), Value::Texts(codes));
        }
        let (report, at) = (report.cloned().map(Box::new), self.at);
        let done = Done { status, report, why, is_accepted, order, at, values };
        self.state.done.insert(node.to_owned(), done);
    }

    /// Goes on from a node, or to the join if its branch ends there.
    pub(super) fn go(&mut self, node: &str, way: &str, to: Option<&'a str>) {
        self.trace(node, way);
        match to {
            Some(to) => self.next.push_back(to),
            None => self.arrive(node),
        }
    }

    fn arrive(&mut self, from: &str) {
        let Some(Lane::Of { parallel, branch }) = self.plan.lanes.get(from) else { return };
        let Some(Node::Parallel(node)) = self.plan.node(parallel) else { return };
        // If it is over already, this branch was given up.
        let Some(arrived) = self.state.joins.get_mut(parallel) else { return };
        arrived.insert(*branch);
        let all = arrived.len() == node.branches.len();
        let decisive =
            self.state.done.get(from).is_some_and(|done| {
                matches!(done.status, CheckStatus::Passed | CheckStatus::Failed)
            });
        let joined = match node.join.mode {
            JoinMode::All => all,
            JoinMode::Any => true,
            JoinMode::FirstDecisive => all || decisive,
        };
        if joined {
            self.give_up(parallel);
            self.go(parallel, "join", node.join.then.as_deref());
        }
    }

    /// Ends whatever is still going on in the branches of a `parallel`.
    fn give_up(&mut self, parallel: &str) {
        let plan = self.plan;
        let inside = |node: &str| is_inside(plan, node, parallel);
        self.state.tasks.retain(|_, task| !inside(&task.node));
        let left: BTreeSet<u32> = self.state.tasks.keys().copied().collect();
        self.state.tasks.retain(|_, task| task.review.is_none_or(|review| left.contains(&review)));
        self.state.joins.retain(|name, _| name != parallel && !inside(name));
        self.next.retain(|name| !inside(name));
    }

    /// A check that is entered again has passed no more, and neither has what was found of the person it told.
    /// What failed or is doubtful stays so until it is done again: going round a loop makes nobody better.
    fn withdraw(&mut self, name: &str) {
        let done = &self.state.done;
        if !done.contains_key(name) {
            return;
        }
        let all = self.plan.followers(&[name.to_owned()].into(), |node| done.contains_key(node));
        // What looks at whatever is known does so where the graph says, and is looked at again there.
        let gathers = |node: &String| {
            let check = self.plan.check(node).and_then(|check| check_spec(&check.check));
            check.is_some_and(|spec| spec.gathers)
        };
        let passed = |node: &String| {
            self.state.done.get(node).is_some_and(|done| done.status == CheckStatus::Passed)
        };
        let withdrawn: Vec<String> =
            all.into_iter().filter(|node| !gathers(node) && passed(node)).collect();
        for node in withdrawn {
            let why = Some("asked_again".to_owned());
            self.done(&node, CheckStatus::NotPerformed, None, why, false);
        }
    }

    /// Until checks are done again they were not done, nor was what follows from them, and nothing can pass for
    /// that.
    pub(super) fn ask_again(&mut self, nodes: &BTreeSet<String>) -> BTreeSet<String> {
        let all = self.plan.followers(nodes, |node| self.state.done.contains_key(node));
        for node in &all {
            let why = Some("asked_again".to_owned());
            self.done(node, CheckStatus::NotPerformed, None, why, false);
        }
        all
    }

    pub(super) fn enter(&mut self, name: &'a str) {
        if let Some(visits) = self.plan.graph.visits.get(name) {
            let count = self.state.visits.entry(name.to_owned()).or_insert(0);
            if *count >= visits.max {
                return self.go(name, "over", Some(&visits.over));
            }
            *count += 1;
        }
        let Some(node) = self.plan.node(name) else { return };
        if matches!(node, Node::Check(_)) {
            self.withdraw(name);
        }
        match node {
            Node::Check(check) => match check_spec(&check.check).map(|spec| spec.input) {
                Some(Input::Person) => {
                    self.wait(name, Phase::Asking { attempt: 1 }, None);
                }
                _ => self.perform(name, None, None),
            },
            Node::Parallel(parallel) => {
                self.trace(name, "branches");
                self.state.joins.insert(name.to_owned(), BTreeSet::new());
                self.next.extend(parallel.branches.iter().map(String::as_str));
            }
            Node::Branch(branch) => {
                let conditions = self.plan.conditions.get(name).map_or(&[][..], |all| all);
                let tell = |field: &_| self.state.tell(field);
                let holds = conditions.iter().position(|one| one.holds(&tell) == Some(true));
                match holds.and_then(|at| branch.cases.get(at)) {
                    Some(case) => self.go(name, &format!("case:{}", case.id), Some(&case.goto)),
                    None => self.go(name, "else", branch.otherwise.as_deref()),
                }
            }
            Node::Wait(wait) => {
                let serial = self.wait(name, Phase::Waiting, None);
                let at = self.at.plus(wait.span.duration());
                self.effects.push(Effect::Timer { serial, at });
            }
            Node::Review(_) => self.ask_people(name),
            Node::Webhook(webhook) => {
                let (node, event) = (name.to_owned(), webhook.event.clone());
                self.effects.push(Effect::Notify { node, event });
                self.go(name, "next", webhook.next.as_deref());
            }
            Node::Decide(decide) => {
                let (verdict, found, by) = match decide.set {
                    Some(Set::Approved) => (Some(Verdict::Approved), None, By::Graph),
                    Some(Set::Declined) => (Some(Verdict::Declined), None, By::Graph),
                    Some(Set::Review) => (None, None, By::Graph),
                    None => {
                        let (verdict, reason) = fold(self.plan, &self.state);
                        // What is going on beside it may come to something else.
                        let alone = self.state.tasks.is_empty() && self.next.is_empty();
                        let verdict = verdict.filter(|one| alone || *one == Verdict::Declined);
                        (verdict, reason, By::Rule)
                    }
                };
                match verdict {
                    Some(verdict) => {
                        self.decide(name, verdict, by, decide.reason.clone().or(found));
                    }
                    None => {
                        // Nothing else counts any more but what people say.
                        self.stop();
                        self.trace(name, "review");
                        self.ask_people(name);
                    }
                }
            }
        }
    }

    fn ask_people(&mut self, name: &str) {
        let phase = Phase::Reviewing { votes: Vec::new(), is_overdue: false };
        let serial = self.wait(name, phase, None);
        if let Some(sla) = self.plan.review(name).and_then(|review| review.sla) {
            self.effects.push(Effect::Timer { serial, at: self.at.plus(sla.duration()) });
        }
    }

    /// Has a check done, for the first time or, with how often and since which number it was tried, again.
    pub(super) fn perform(&mut self, name: &str, review: Option<u32>, again: Option<(u32, u32)>) {
        let (retry, first) = again.unwrap_or((0, self.state.last_serial + 1));
        let serial = self.wait(name, Phase::Performing { retry, first }, review);
        self.effects.push(Effect::Perform { serial, node: name.to_owned() });
        if let Some(timeout) = self.check(name).and_then(|(check, _)| check.timeout) {
            self.effects.push(Effect::Timer { serial, at: self.at.plus(timeout.duration()) });
        }
    }

    pub(super) fn wait(&mut self, node: &str, phase: Phase, review: Option<u32>) -> u32 {
        if matches!(phase, Phase::Asking { .. }) && !self.state.is_armed {
            let most = self.plan.graph.limits.ttl;
            let ttl = self.state.ttl.map_or(most, |ttl| ttl.min(most));
            let deadline = self.at.plus(ttl.duration());
            self.state.deadline = Some(deadline);
            self.state.is_armed = true;
            self.effects.push(Effect::Deadline { at: deadline });
        }
        self.state.last_serial += 1;
        let task = Task { node: node.to_owned(), phase, since: self.at, review };
        self.state.tasks.insert(self.state.last_serial, task);
        self.state.last_serial
    }
}

/// Whether a node is in a branch of a `parallel`, or in one of one that is.
fn is_inside(plan: &Plan, node: &str, parallel: &str) -> bool {
    let mut at = node;
    while let Some(Lane::Of { parallel: around, .. }) = plan.lanes.get(at) {
        if around == parallel {
            return true;
        }
        at = around;
    }
    false
}

/// A part that the graph insists on and that was not done, where nothing else is wrong: what failed or is
/// doubtful stays so, whatever the graph says of what is missing.
fn missing_part<'a>(check: &'a Check, report: &Report) -> Option<&'a str> {
    if report.status != CheckStatus::Passed {
        return None;
    }
    let done = |part: &&String| match report.values.get(*part) {
        Some(Value::Text(status)) => status != "not_performed",
        _ => false,
    };
    check.require.iter().find(|part| !done(part)).map(String::as_str)
}
