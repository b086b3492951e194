//! What a correlation remembers of one group.

use std::{collections::VecDeque, time::Duration};

use portcullis_types::Timestamp;

use crate::table::{Kept, Table};

/// What three allocations cost besides their bytes.
const ALLOCATIONS: usize = 3 * 16;
/// Events of a group that an alert names.
const EVIDENCE: usize = 8;

/// How a count is held against a number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Bound {
    Greater,
    GreaterOrEqual,
    Less,
    LessOrEqual,
    Equal,
    NotEqual,
}

impl Bound {
    pub fn holds(self, count: f64, than: f64) -> bool {
        match self {
            Self::Greater => count > than,
            Self::GreaterOrEqual => count >= than,
            Self::Less => count < than,
            Self::LessOrEqual => count <= than,
            #[expect(clippy::float_cmp, reason = "the rule asks for it")]
            Self::Equal => count == than,
            #[expect(clippy::float_cmp, reason = "the rule asks for it")]
            Self::NotEqual => count != than,
        }
    }
}

/// What is counted.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Counted {
    /// Events.
    Events,
    /// Distinct values of a field.
    Values,
    /// Rules that matched.
    Rules,
    /// Rules that matched one after the other.
    Ordered,
    Sum,
    Average,
    Percentile(f64),
}

/// One event, as a window sees it.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Step {
    pub now: i64,
    /// The place of the rule that matched among those of the correlation.
    pub rule: usize,
    /// The hash of a value.
    pub value: u64,
    pub number: f64,
    pub event: u128,
}

/// A group. It holds as much as its condition needs to be decided, and no more.
#[derive(Debug, Clone, Default)]
pub(super) struct Group {
    /// Times, with the hash of a value or a number as bits. Oldest first.
    seen: VecDeque<(i64, u64)>,
    /// For each rule: when it matched last, or when the newest chain that ends with it began.
    rules: Vec<i64>,
    events: VecDeque<(i64, u128)>,
}

impl Kept for Group {
    /// Each correlation has its own.
    const STALE: Duration = Duration::MAX;

    fn weight(&self) -> u32 {
        let rules = self.rules.iter().filter(|at| **at != i64::MIN).count();
        u32::try_from(self.seen.len() + rules).unwrap_or(u32::MAX)
    }

    fn clear(&mut self) {
        self.seen.clear();
        self.rules.clear();
        self.events.clear();
    }
}

impl Group {
    /// Takes a step. What is counted now, in the window of `span` that ends with it.
    pub fn step(
        &mut self,
        counted: Counted,
        step: Step,
        span: i64,
        rules: usize,
        most: usize,
    ) -> f64 {
        let since = step.now.saturating_sub(span);
        while self.seen.front().is_some_and(|(at, _)| *at < since) {
            self.seen.pop_front();
        }
        while self.events.front().is_some_and(|(at, _)| *at < since) {
            self.events.pop_front();
        }
        if self.events.len() >= EVIDENCE {
            self.events.pop_front();
        }
        self.events.push_back((step.now, step.event));
        match counted {
            Counted::Events => self.push(step.now, 0, most),
            Counted::Values => {
                self.seen.retain(|(_, value)| *value != step.value);
                self.push(step.now, step.value, most);
            }
            Counted::Rules => {
                self.rules.resize(rules, i64::MIN);
                self.rules[step.rule] = step.now;
            }
            Counted::Ordered => {
                self.rules.resize(rules, i64::MIN);
                let begun = match step.rule.checked_sub(1) {
                    None => step.now,
                    Some(before) => self.rules[before],
                };
                self.rules[step.rule] = self.rules[step.rule].max(begun);
            }
            Counted::Sum | Counted::Average | Counted::Percentile(_) => {
                self.push(step.now, step.number.to_bits(), most);
            }
        }
        self.count(counted, since)
    }

    fn push(&mut self, now: i64, what: u64, most: usize) {
        if self.seen.len() >= most {
            self.seen.pop_front();
        }
        self.seen.push_back((now, what));
    }

    #[expect(clippy::cast_precision_loss, reason = "there are at most some thousand")]
    fn count(&self, counted: Counted, since: i64) -> f64 {
        let numbers = || self.seen.iter().map(|(_, bits)| f64::from_bits(*bits));
        match counted {
            Counted::Events | Counted::Values => self.seen.len() as f64,
            Counted::Rules => self.rules.iter().filter(|at| **at >= since).count() as f64,
            Counted::Ordered => {
                let whole = self.rules.last().is_some_and(|begun| *begun >= since);
                if whole { self.rules.len() as f64 } else { 0.0 }
            }
            Counted::Sum => numbers().sum(),
            Counted::Average => numbers().sum::<f64>() / self.seen.len() as f64,
            Counted::Percentile(rank) => percentile(numbers().collect(), rank),
        }
    }

    /// The newest events of the window.
    pub fn evidence(&self) -> impl Iterator<Item = u128> {
        self.events.iter().map(|(_, event)| *event)
    }

    /// When the oldest of them came.
    pub fn first(&self) -> Timestamp {
        let seen = self.seen.front().map(|(at, _)| *at);
        let events = self.events.front().map(|(at, _)| *at);
        let first = seen.into_iter().chain(events).min().unwrap_or_default();
        Timestamp::from_micros(first.saturating_mul(1_000))
    }

    /// Bytes that a group can come to.
    pub fn most_bytes(counted: Counted, rules: usize, most: usize) -> usize {
        let own = match counted {
            Counted::Rules | Counted::Ordered => rules.max(4) * size_of::<i64>(),
            // Deques grow to twice what they need.
            _ => 2 * most * size_of::<(i64, u64)>(),
        };
        Table::<Self>::EACH + own + EVIDENCE * size_of::<(i64, u128)>() + ALLOCATIONS
    }
}

/// With what lies between two numbers, in proportion.
#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a place in a list of some thousand"
)]
fn percentile(mut numbers: Vec<f64>, rank: f64) -> f64 {
    numbers.sort_by(f64::total_cmp);
    let place = rank / 100.0 * (numbers.len().saturating_sub(1)) as f64;
    let (low, high) = (place.floor() as usize, place.ceil() as usize);
    match (numbers.get(low), numbers.get(high)) {
        (Some(a), Some(b)) => a + (b - a) * (place - place.floor()),
        _ => 0.0,
    }
}
