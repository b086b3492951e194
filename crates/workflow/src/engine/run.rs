use std::collections::{BTreeMap, BTreeSet, VecDeque};

use portcullis_types::Timestamp;

use super::{
    event::{Effect, Event, Facts, Happened, Outcome, Report, Verdict, Weight},
    state::{By, Decision, Phase, State, Status, Task, Trace, Vote},
};
use crate::{
    catalogue::{CheckSpec, Input, check_spec},
    graph::{Check, Node},
    validate::Plan,
    value::{CheckStatus, Value},
};

/// Events of one session that people could bring about without an end.
pub const EVENTS_MAX: u32 = 1_000;
/// The longest time before a check is tried again.
const BACKOFF_MAX_SECONDS: u64 = 24 * 3_600;

/// An event that changes nothing, and must not be kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// It is over.
    #[error("the session is over")]
    Over,
    /// It has begun already, or has not.
    #[error("a session begins once")]
    Begun,
    /// The task is over, or waits for something else.
    #[error("nothing waits for this")]
    Stale,
    /// The review waits for the person.
    #[error("the person has been asked again, which comes first")]
    Asked,
    /// Steps can be asked for again only for a while.
    #[error("it is too late to ask for steps again")]
    TooLate,
    /// A step that cannot be asked for again.
    #[error("this is no step that the person has taken")]
    NoStep,
    /// A vote that changes nothing.
    #[error("you said so already")]
    Same,
    /// Too much has happened.
    #[error("too much has happened in this session")]
    TooMany,
}

/// The next state, and what has to be brought about. The same plan, state and event always come to the same.
pub fn step(
    plan: &Plan,
    state: State,
    happened: &Happened,
) -> Result<(State, Vec<Effect>), Refused> {
    if state.status.is_final() {
        return Err(Refused::Over);
    }
    if matches!(happened.event, Event::Began { .. }) != (state.version == 0) {
        return Err(Refused::Begun);
    }
    if state.version >= EVENTS_MAX && is_bounded(&state, &happened.event) {
        return Err(Refused::TooMany);
    }
    let mut run = Run { plan, state, at: happened.at, effects: Vec::new(), next: VecDeque::new() };
    run.happen(&happened.event)?;
    run.settle();
    run.state.version += 1;
    Ok((run.state, run.effects))
}

/// Whether somebody could say it again and again. What follows from the graph alone comes to an end by itself,
/// and what each person says once does too.
fn is_bounded(state: &State, event: &Event) -> bool {
    match event {
        Event::Given { .. } | Event::Resubmitted { .. } => true,
        Event::Voted { serial, by, .. } => match state.tasks.get(serial).map(|task| &task.phase) {
            Some(Phase::Reviewing { votes, .. }) => votes.iter().any(|vote| vote.by == *by),
            _ => true,
        },
        Event::Began { .. }
        | Event::Performed { .. }
        | Event::Due { .. }
        | Event::Expired
        | Event::Cancelled { .. } => false,
    }
}

pub(super) struct Run<'a> {
    pub plan: &'a Plan,
    pub state: State,
    pub at: Timestamp,
    pub effects: Vec<Effect>,
    /// Nodes that are to be entered.
    pub next: VecDeque<&'a str>,
}

impl<'a> Run<'a> {
    fn happen(&mut self, event: &Event) -> Result<(), Refused> {
        match event {
            Event::Began { facts } => self.begin(facts),
            Event::Given { serial, outcome } => self.given(*serial, outcome)?,
            Event::Performed { serial, outcome } => self.performed(*serial, outcome)?,
            Event::Due { serial } => self.due(*serial)?,
            Event::Expired => self.expire()?,
            Event::Voted { serial, by, verdict, reason } => {
                let vote =
                    Vote { by: by.clone(), verdict: *verdict, reason: reason.clone(), at: self.at };
                self.vote(*serial, vote)?;
            }
            Event::Resubmitted { serial, by, nodes, .. } => self.resubmit(*serial, by, nodes)?,
            Event::Cancelled { .. } => self.end(Status::Cancelled),
        }
        while let Some(name) = self.next.pop_front() {
            self.enter(name);
        }
        Ok(())
    }

    fn begin(&mut self, facts: &Facts) {
        self.state.ttl = facts.ttl;
        self.state.begun_at = Some(self.at);
        self.state.session = BTreeMap::from([
            ("bucket", Value::Number(f64::from(facts.bucket))),
            ("locale", Value::Text(facts.locale.clone())),
            ("has_expected", Value::Flag(facts.has_expected)),
        ]);
        self.next.push_back(&self.plan.graph.start);
    }

    fn given(&mut self, serial: u32, outcome: &Outcome) -> Result<(), Refused> {
        let task = self.state.tasks.get(&serial).ok_or(Refused::Stale)?;
        let Phase::Asking { attempt } = task.phase else { return Err(Refused::Stale) };
        let (check, spec) = self.check(&task.node).ok_or(Refused::Stale)?;
        let task = self.state.tasks.remove(&serial).ok_or(Refused::Stale)?;
        self.state.was_given = true;
        match outcome {
            Outcome::Report(report)
                if attempt < self.plan.graph.limits.attempts && may_retake(spec, report) =>
            {
                // It counts when it was the last try. Until then a branch that is given up says nothing.
                self.trace(&task.node, "again");
                let phase = Phase::Asking { attempt: attempt + 1 };
                self.wait(&task.node, phase, task.review);
            }
            outcome => self.leave(&task, check, outcome),
        }
        Ok(())
    }

    fn performed(&mut self, serial: u32, outcome: &Outcome) -> Result<(), Refused> {
        let task = self.state.tasks.get(&serial).ok_or(Refused::Stale)?;
        let Phase::Performing { retry, first } = task.phase else { return Err(Refused::Stale) };
        let (check, _) = self.check(&task.node).ok_or(Refused::Stale)?;
        let task = self.state.tasks.remove(&serial).ok_or(Refused::Stale)?;
        let failed = matches!(outcome, Outcome::Unavailable(_) | Outcome::Error(_));
        match check.retry {
            Some(again) if failed && retry < again.max => {
                self.trace(&task.node, "retry");
                let factor = 2_u64.saturating_pow(retry);
                let seconds = again.backoff.duration().as_secs().saturating_mul(factor);
                let wait = std::time::Duration::from_secs(seconds.min(BACKOFF_MAX_SECONDS));
                let serial = self.wait(&task.node, Phase::BackingOff { retry, first }, task.review);
                self.effects.push(Effect::Timer { serial, at: self.at.plus(wait) });
            }
            _ => self.leave(&task, check, outcome),
        }
        Ok(())
    }

    fn due(&mut self, serial: u32) -> Result<(), Refused> {
        let task = self.state.tasks.get_mut(&serial).ok_or(Refused::Stale)?;
        match &mut task.phase {
            Phase::Asking { .. } | Phase::Held => return Err(Refused::Stale),
            Phase::Performing { .. } => {
                return self.performed(serial, &Outcome::Error("timeout".to_owned()));
            }
            Phase::BackingOff { retry, first } => {
                let (retry, first) = (*retry + 1, *first);
                let (node, review) = (task.node.clone(), task.review);
                self.state.tasks.remove(&serial);
                self.perform(&node, review, Some((retry, first)));
            }
            Phase::Waiting => {
                let node = task.node.clone();
                self.state.tasks.remove(&serial);
                if let Some(Node::Wait(wait)) = self.plan.node(&node) {
                    self.go(&node, "next", wait.next.as_deref());
                }
            }
            Phase::Reviewing { is_overdue, .. } => {
                if *is_overdue {
                    return Err(Refused::Stale);
                }
                *is_overdue = true;
                let node = task.node.clone();
                let review = self.plan.review(&node);
                if let Some(to) = review.and_then(|review| review.on_timeout.as_deref()) {
                    self.drop_review(serial);
                    self.go(&node, "on_timeout", Some(to));
                }
            }
        }
        Ok(())
    }

    /// The time of the person is up, which matters if something is asked of them.
    fn expire(&mut self) -> Result<(), Refused> {
        if self.state.deadline.is_none_or(|deadline| self.at < deadline) || !self.state.is_armed {
            return Err(Refused::Stale);
        }
        self.state.is_armed = false;
        let asked = |task: &Task| matches!(task.phase, Phase::Asking { .. });
        if self.state.tasks.values().any(asked) {
            self.end(Status::Expired);
        }
        Ok(())
    }

    fn vote(&mut self, serial: u32, vote: Vote) -> Result<(), Refused> {
        if self.state.tasks.values().any(|task| task.review == Some(serial)) {
            return Err(Refused::Asked);
        }
        let task = self.state.tasks.get_mut(&serial).ok_or(Refused::Stale)?;
        let node = task.node.clone();
        let Phase::Reviewing { votes, .. } = &mut task.phase else { return Err(Refused::Stale) };
        if votes.iter().any(|one| one.by == vote.by && one.verdict == vote.verdict) {
            return Err(Refused::Same);
        }
        // Whoever changes their mind has one vote all the same.
        votes.retain(|one| one.by != vote.by);
        let (verdict, reason) = (vote.verdict, vote.reason.clone());
        votes.push(vote);
        let (those, others): (Vec<&Vote>, Vec<&Vote>) =
            votes.iter().partition(|vote| vote.verdict == verdict);
        let by: Vec<String> = those.iter().map(|vote| vote.by.clone()).collect();
        let opposed = verdict == Verdict::Approved && !others.is_empty();
        let Some(review) = self.plan.review(&node) else { return Err(Refused::Stale) };
        let needed = usize::try_from(review.approvers).unwrap_or(usize::MAX);
        if by.len() < needed || opposed {
            return Ok(());
        }
        let to = match verdict {
            Verdict::Approved => review.on_approved.as_deref(),
            Verdict::Declined => review.on_declined.as_deref(),
        };
        self.drop_review(serial);
        match to {
            Some(to) => self.go(&node, &format!("on_{}", verdict.as_str()), Some(to)),
            None => self.decide(&node, verdict, By::Reviewers(by), Some(reason)),
        }
        Ok(())
    }

    /// Asks for steps again, and for everything that followed from what was given there.
    fn resubmit(&mut self, serial: u32, by: &str, nodes: &BTreeSet<String>) -> Result<(), Refused> {
        let task = self.state.tasks.get_mut(&serial).ok_or(Refused::Stale)?;
        let Phase::Reviewing { votes, .. } = &mut task.phase else { return Err(Refused::Stale) };
        let window = self.plan.graph.limits.window.duration();
        if self.state.begun_at.is_none_or(|begun| self.at > begun.plus(window)) {
            return Err(Refused::TooLate);
        }
        let asks = |node: &String| {
            let spec = self.plan.check(node).and_then(|check| check_spec(&check.check));
            let asked = self.state.done.contains_key(node);
            asked && spec.is_some_and(|spec| spec.input == Input::Person)
        };
        if nodes.is_empty() || !nodes.iter().all(asks) {
            return Err(Refused::NoStep);
        }
        // Who agreed did so about something else than what will be there then. Who objects is not passed over
        // by asking again, unless it is they who ask.
        votes.retain(|vote| vote.verdict == Verdict::Declined && vote.by != by);
        if nodes.iter().any(|node| self.state.task_at(node).is_some()) {
            return Err(Refused::Asked);
        }
        self.state.is_armed = false;
        for node in &self.ask_again(nodes) {
            self.trace(node, "resubmit");
            self.wait(node, Phase::Held, Some(serial));
        }
        self.release(serial);
        Ok(())
    }

    /// Takes up what a review asked for again, as far as that on which it depends was given.
    pub(super) fn release(&mut self, review: u32) {
        let open: BTreeMap<u32, String> = self
            .state
            .tasks
            .iter()
            .filter(|(_, task)| task.review == Some(review))
            .map(|(serial, task)| (*serial, task.node.clone()))
            .collect();
        let nodes: BTreeSet<&str> = open.values().map(String::as_str).collect();
        for (serial, node) in &open {
            let held = self.state.tasks.get(serial).map(|task| &task.phase) == Some(&Phase::Held);
            if !held || nodes.iter().any(|other| other != node && self.plan.follows(node, other)) {
                continue;
            }
            self.state.tasks.remove(serial);
            match self.check(node).map(|(_, spec)| spec.input) {
                Some(Input::Person) => {
                    self.wait(node, Phase::Asking { attempt: 1 }, Some(review));
                }
                _ => self.perform(node, Some(review), None),
            }
        }
    }

    pub(super) fn decide(&mut self, node: &str, verdict: Verdict, by: By, reason: Option<String>) {
        self.stop();
        self.trace(node, verdict.as_str());
        let node = node.to_owned();
        self.state.decision = Some(Decision { verdict, by, node, reason, at: self.at });
    }

    fn end(&mut self, status: Status) {
        self.stop();
        self.state.status = status;
    }

    pub(super) fn stop(&mut self) {
        self.state.tasks.clear();
        self.state.joins.clear();
        self.next.clear();
    }

    /// A review is over, and what it asked for with it.
    fn drop_review(&mut self, serial: u32) {
        self.state.tasks.retain(|at, task| *at != serial && task.review != Some(serial));
    }

    /// What everything comes to.
    fn settle(&mut self) {
        let state = &mut self.state;
        if state.status.is_final() {
            return;
        }
        let any = |is: fn(&Phase) -> bool| state.tasks.values().any(|task| is(&task.phase));
        let asking = any(|phase| matches!(phase, Phase::Asking { .. }));
        let reviewing = any(|phase| matches!(phase, Phase::Reviewing { .. }));
        let working = any(|phase| !matches!(phase, Phase::Asking { .. } | Phase::Reviewing { .. }));
        state.status = match &state.decision {
            Some(Decision { verdict: Verdict::Approved, .. }) => Status::Approved,
            Some(Decision { verdict: Verdict::Declined, .. }) => Status::Declined,
            None if asking && !state.was_given => Status::Created,
            None if asking => Status::AwaitingInput,
            None if reviewing && !working => Status::InReview,
            None => Status::Processing,
        };
    }

    pub(super) fn check(&self, name: &str) -> Option<(&'a Check, &'static CheckSpec)> {
        let check = self.plan.check(name)?;
        Some((check, check_spec(&check.check)?))
    }

    pub(super) fn trace(&mut self, node: &str, way: &str) {
        let (node, way) = (node.to_owned(), way.to_owned());
        self.state.trace.push(Trace { node, way, at: self.at });
    }
}

/// Whether not the document is wrong, but how it was captured.
fn may_retake(spec: &CheckSpec, report: &Report) -> bool {
    let blocking = report.reasons.iter().filter(|reason| reason.severity != Weight::Information);
    let mut codes = blocking.map(|reason| &reason.code[..]);
    report.status != CheckStatus::Passed && codes.any(|code| spec.retake.contains(&code))
}
