//! A session in no time: what would come of a plan if its checks came to this.

use std::collections::BTreeMap;

use portcullis_types::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{
    engine::{
        Decision, Effect, Event, Facts, Happened, Outcome, Phase, State, Status, Trace, Verdict,
        step,
    },
    validate::Plan,
};

/// Events of one simulation.
const STEPS_MAX: usize = 500;

/// What the checks of a session come to.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Fixture {
    /// What is known of the session.
    pub facts: Facts,
    /// By node, or by the name of its check: one after the other, and then the last one again.
    pub outcomes: BTreeMap<String, Vec<Outcome>>,
    /// What people decide, if they are asked; nothing if it is left out.
    pub review: Option<Verdict>,
}

/// Bytes of what a check comes to, as JSON.
const OUTCOME_MAX_BYTES: usize = 4 * 1024;

impl Fixture {
    /// Whether each outcome is of a size that a graph of any length can be played with.
    pub fn fits(&self) -> bool {
        let size = |outcome| serde_json::to_vec(outcome).map_or(usize::MAX, |text| text.len());
        self.outcomes.values().flatten().all(|outcome| size(outcome) <= OUTCOME_MAX_BYTES)
    }
}

/// What would come of it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Simulated {
    /// Where it ends.
    pub status: Status,
    /// What is decided.
    pub decision: Option<Decision>,
    /// Which way it took.
    pub trace: Vec<Trace>,
    /// Where it waits for something that the fixture does not say.
    pub waits_at: Vec<String>,
    /// Who was told what.
    pub notified: Vec<String>,
}

/// Plays a fixture, beginning at a time.
pub fn simulate(plan: &Plan, fixture: &Fixture, begin: Timestamp) -> Simulated {
    let mut play = Play { plan, fixture, at: begin, used: BTreeMap::new(), timers: Vec::new() };
    let (mut state, mut notified) = (State::default(), Vec::new());
    let mut next = Some(Event::Began { facts: fixture.facts.clone() });
    for _ in 0..STEPS_MAX {
        let Some(event) = next else { break };
        let happened = Happened { at: play.at, event };
        // What is refused changes nothing: the timer of a task that is over.
        if let Ok((stepped, effects)) = step(plan, state.clone(), &happened) {
            state = stepped;
            for effect in effects {
                match effect {
                    Effect::Timer { serial, at } => play.timers.push((at, serial)),
                    Effect::Notify { event, .. } => notified.push(event),
                    Effect::Perform { .. } | Effect::Deadline { .. } => {}
                }
            }
        }
        next = play.next(&state);
    }
    let waits_at = state.tasks.values().map(|task| task.node.clone()).collect();
    let State { status, decision, trace, .. } = state;
    Simulated { status, decision, trace, waits_at, notified }
}

struct Play<'a> {
    plan: &'a Plan,
    fixture: &'a Fixture,
    at: Timestamp,
    used: BTreeMap<String, usize>,
    timers: Vec<(Timestamp, u32)>,
}

impl Play<'_> {
    /// What happens next: what the fixture says first, then time.
    fn next(&mut self, state: &State) -> Option<Event> {
        for (serial, task) in &state.tasks {
            match task.phase {
                Phase::Asking { .. } => {
                    if let Some(outcome) = self.outcome(&task.node) {
                        return Some(Event::Given { serial: *serial, outcome });
                    }
                }
                Phase::Performing { .. } => {
                    if let Some(outcome) = self.outcome(&task.node) {
                        return Some(Event::Performed { serial: *serial, outcome });
                    }
                }
                Phase::Reviewing { ref votes, .. } => {
                    if let Some(verdict) = self.fixture.review {
                        let by = format!("reviewer {}", votes.len() + 1);
                        let reason = "SIMULATED".to_owned();
                        return Some(Event::Voted { serial: *serial, by, verdict, reason });
                    }
                }
                Phase::BackingOff { .. } | Phase::Waiting | Phase::Held => {}
            }
        }
        self.timers.retain(|(_, serial)| state.tasks.contains_key(serial));
        let (at, serial) = self.timers.iter().min().copied()?;
        self.timers.retain(|timer| *timer != (at, serial));
        self.at = self.at.max(at);
        Some(Event::Due { serial })
    }

    fn outcome(&mut self, node: &str) -> Option<Outcome> {
        let check = self.plan.check(node).map_or("", |check| &check.check);
        let outcomes = self.fixture.outcomes.get(node);
        let outcomes = outcomes.or_else(|| self.fixture.outcomes.get(check))?;
        let used = self.used.entry(node.to_owned()).or_insert(0);
        let outcome = outcomes.get(*used).or(outcomes.last()).cloned();
        *used += 1;
        outcome
    }
}
