use std::collections::{BTreeMap, BTreeSet};

use portcullis_types::Timestamp;
use serde::{Deserialize, Serialize};

use super::event::{Report, Verdict};
use crate::{
    condition::Field,
    span::Span,
    value::{CheckStatus, Value, Values},
};

/// Where a session is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// Nobody has given anything yet.
    #[default]
    Created,
    /// The person is to give something.
    AwaitingInput,
    /// A check runs, or time passes.
    Processing,
    /// People are to decide.
    InReview,
    /// It is approved.
    Approved,
    /// It is declined.
    Declined,
    /// The person did not give what was asked for in time.
    Expired,
    /// Somebody ended it.
    Cancelled,
}

impl Status {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::Created,
        Self::AwaitingInput,
        Self::Processing,
        Self::InReview,
        Self::Approved,
        Self::Declined,
        Self::Expired,
        Self::Cancelled,
    ];

    /// As it is written.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Created => "created",
            Self::AwaitingInput => "awaiting_input",
            Self::Processing => "processing",
            Self::InReview => "in_review",
            Self::Approved => "approved",
            Self::Declined => "declined",
            Self::Expired => "expired",
            Self::Cancelled => "cancelled",
        }
    }

    /// Whether nothing can happen any more.
    pub fn is_final(self) -> bool {
        matches!(self, Self::Approved | Self::Declined | Self::Expired | Self::Cancelled)
    }
}

/// A session, as far as it has come.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct State {
    /// Where it is.
    pub status: Status,
    /// How many events made it.
    pub version: u32,
    /// What it waits for, by numbers that are never used again.
    pub tasks: BTreeMap<u32, Task>,
    /// What came of the last try of each node.
    pub done: BTreeMap<String, Done>,
    /// What was decided.
    pub decision: Option<Decision>,
    /// Which way it took.
    pub trace: Vec<Trace>,
    /// When it began.
    pub begun_at: Option<Timestamp>,
    /// Until when the person has time.
    pub deadline: Option<Timestamp>,
    pub(super) is_armed: bool,
    pub(super) ttl: Option<Span>,
    pub(super) was_given: bool,
    pub(super) last_serial: u32,
    pub(super) joins: BTreeMap<String, BTreeSet<usize>>,
    pub(super) visits: BTreeMap<String, u32>,
    /// What conditions can ask of the session itself.
    pub(super) session: BTreeMap<&'static str, Value>,
}

/// Something that a session waits for.
#[derive(Debug, Clone, PartialEq)]
pub struct Task {
    /// Where.
    pub node: String,
    /// For what.
    pub phase: Phase,
    /// Since when.
    pub since: Timestamp,
    /// The review that asked for it again.
    pub review: Option<u32>,
}

/// For what a task waits.
#[derive(Debug, Clone, PartialEq)]
pub enum Phase {
    /// For the person.
    Asking {
        /// Which try it is, from 1.
        attempt: u32,
    },
    /// For other steps that were asked for again, on which it depends.
    Held,
    /// For a check.
    Performing {
        /// How often it was tried before.
        retry: u32,
        /// The number of the first try: what is asked is the same question.
        first: u32,
    },
    /// Before a check is tried again.
    BackingOff {
        /// How often it was tried before.
        retry: u32,
        /// The number of the first try.
        first: u32,
    },
    /// For time to pass.
    Waiting,
    /// For people.
    Reviewing {
        /// What they said so far, each person once.
        votes: Vec<Vote>,
        /// Whether it takes longer than it should.
        is_overdue: bool,
    },
}

/// What somebody decided.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Vote {
    /// Who.
    pub by: String,
    /// What.
    pub verdict: Verdict,
    /// Why.
    pub reason: String,
    /// When.
    pub at: Timestamp,
}

/// What came of a node.
#[derive(Debug, Clone, PartialEq)]
pub struct Done {
    /// As what it counts.
    pub status: CheckStatus,
    /// What was found, if it was done.
    pub report: Option<Box<Report>>,
    /// Why it was not done.
    pub why: Option<String>,
    /// Whether the graph says how to go on without it, so that nobody has to look at that.
    pub is_accepted: bool,
    /// Counts what was done in the session.
    pub order: u32,
    /// When.
    pub at: Timestamp,
    /// What conditions can look at.
    pub values: Values,
}

/// What was decided. There is one, and it does not change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Decision {
    /// What.
    pub verdict: Verdict,
    /// Who or what decided.
    pub by: By,
    /// At which node.
    pub node: String,
    /// Why, in a word.
    pub reason: Option<String>,
    /// When.
    pub at: Timestamp,
}

/// Who or what decided.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum By {
    /// What all checks came to.
    Rule,
    /// The graph says so at this node.
    Graph,
    /// These people.
    Reviewers(Vec<String>),
}

impl By {
    /// `rule`, `graph` or `reviewers`.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Rule => "rule",
            Self::Graph => "graph",
            Self::Reviewers(_) => "reviewers",
        }
    }

    /// The accounts of the people, if people decided.
    pub fn reviewers(&self) -> &[String] {
        match self {
            Self::Rule | Self::Graph => &[],
            Self::Reviewers(accounts) => accounts,
        }
    }
}

/// Where a session went on from a node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Trace {
    /// From here.
    pub node: String,
    /// This way: `next`, `case:…`, `else`, `on_error` and so on.
    pub way: String,
    /// When.
    pub at: Timestamp,
}

impl State {
    /// What a field says.
    pub(crate) fn tell(&self, field: &Field) -> Option<&Value> {
        match &field.node {
            None => self.session.get(field.name),
            Some(node) => self.done.get(node)?.values.get(field.name),
        }
    }

    /// Until when the person has time, if anything is asked of them or may be.
    pub fn open_deadline(&self) -> Option<Timestamp> {
        self.deadline.filter(|_| self.is_armed && !self.status.is_final())
    }

    /// The task at a node.
    pub fn task_at(&self, node: &str) -> Option<(u32, &Task)> {
        self.tasks.iter().find(|(_, task)| task.node == node).map(|(serial, task)| (*serial, task))
    }

    /// What people are to decide about.
    pub fn reviews(&self) -> impl Iterator<Item = (u32, &Task)> {
        let reviews = |task: &Task| matches!(task.phase, Phase::Reviewing { .. });
        self.tasks
            .iter()
            .filter(move |(_, task)| reviews(task))
            .map(|(serial, task)| (*serial, task))
    }
}
