use std::collections::BTreeSet;

use portcullis_types::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use crate::{
    span::Span,
    value::{Assurance, CheckStatus, Values},
};

/// Something that happened to a session, and when.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Happened {
    /// When.
    pub at: Timestamp,
    /// What.
    #[serde(flatten)]
    pub event: Event,
}

/// What can happen. All of these in their order are a session; there is nothing else to it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Event {
    /// It began.
    Began {
        /// What is known of it.
        facts: Facts,
    },
    /// The person gave something, and this came of looking at it.
    Given {
        /// The task.
        serial: u32,
        /// What came of it.
        outcome: Outcome,
    },
    /// A check that takes nothing from the person was done, or could not be.
    Performed {
        /// The task.
        serial: u32,
        /// What came of it.
        outcome: Outcome,
    },
    /// The time of a task is up.
    Due {
        /// The task.
        serial: u32,
    },
    /// The time of the person is up.
    Expired,
    /// Somebody decided.
    Voted {
        /// The task.
        serial: u32,
        /// Who.
        by: String,
        /// What.
        verdict: Verdict,
        /// Why, in a word.
        reason: String,
    },
    /// Somebody wants to see things again before deciding.
    Resubmitted {
        /// The review.
        serial: u32,
        /// Who.
        by: String,
        /// Which steps.
        nodes: BTreeSet<String>,
        /// Why, in a word.
        reason: String,
    },
    /// Somebody ended it.
    Cancelled {
        /// Who.
        by: String,
        /// Why, in a word.
        reason: String,
    },
}

impl Event {
    /// As it is written.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Began { .. } => "began",
            Self::Given { .. } => "given",
            Self::Performed { .. } => "performed",
            Self::Due { .. } => "due",
            Self::Expired => "expired",
            Self::Voted { .. } => "voted",
            Self::Resubmitted { .. } => "resubmitted",
            Self::Cancelled { .. } => "cancelled",
        }
    }

    /// What came of a check, if that is what happened.
    pub fn outcome(&self) -> Option<(u32, &Outcome)> {
        match self {
            Self::Given { serial, outcome } | Self::Performed { serial, outcome } => {
                Some((*serial, outcome))
            }
            _ => None,
        }
    }
}

/// What conditions can ask of a session itself.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Facts {
    /// From 0 to 99.
    pub bucket: u8,
    /// The language of the person.
    pub locale: String,
    /// Whether it is told who the person should be.
    pub has_expected: bool,
    /// How long the person has, if that is less than the graph gives them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ttl: Option<Span>,
}

/// What people decide.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// It is approved.
    Approved,
    /// It is not.
    Declined,
}

impl Verdict {
    /// As it is written.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Approved => "approved",
            Self::Declined => "declined",
        }
    }
}

/// What came of a check.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// It was done.
    Report(Box<Report>),
    /// The document or the device cannot; why, in a word.
    Unsupported(String),
    /// Whoever does it cannot be reached.
    Unavailable(String),
    /// It could not be done.
    Error(String),
}

/// What a check found out.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// Its id.
    pub id: String,
    /// What came of it.
    pub status: CheckStatus,
    /// By what that is known.
    pub assurance: Assurance,
    /// Why.
    #[serde(default)]
    pub reasons: Vec<Reason>,
    /// What conditions can look at.
    #[serde(default)]
    pub values: Values,
    /// Everything else that it says, for whoever may see it.
    #[serde(default)]
    pub detail: Json,
}

/// Something that was found out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reason {
    /// What.
    pub code: String,
    /// How much it matters.
    pub severity: Weight,
}

/// How much something matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Weight {
    /// Good to know.
    Information,
    /// A person should look.
    Doubt,
    /// The check fails.
    Failure,
}

/// What somebody has to bring about. What comes of it is an event, if it can come to anything.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Effect {
    /// Do a check. Whoever does it again for the same task says the same key, so that it is done once where the
    /// other side can tell.
    Perform {
        /// The task, which is the key within a session.
        serial: u32,
        /// The node with its terms.
        node: String,
    },
    /// Say [`Event::Due`] at this time, unless the task is over by then.
    Timer {
        /// The task.
        serial: u32,
        /// When.
        at: Timestamp,
    },
    /// Say [`Event::Expired`] at this time.
    Deadline {
        /// When.
        at: Timestamp,
    },
    /// Tell whoever listens.
    Notify {
        /// The node that says so.
        node: String,
        /// What the event is called.
        event: String,
    },
}
