use portcullis_types::{Id, Prefix, Timestamp, tags};

use crate::{Answer, Rule};

/// Where an attack comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Source {
    /// The address or network.
    pub network: Prefix,
    /// Whether many people who did nothing wrong are there too: an office, a carrier's gateway.
    pub shared: bool,
}

/// An attack was seen.
#[derive(Debug, Clone)]
pub struct Finding {
    /// The rule that saw it.
    pub rule: &'static Rule,
    /// What should be done, beside the alert.
    pub answer: Answer,
    /// Where it comes from, if it is about places.
    pub sources: Vec<Source>,
    /// The accounts that it is about; those that exist.
    pub accounts: Vec<Id<tags::User>>,
    /// The session or grant that it is about.
    pub session: Option<String>,
    /// The events that led to it, the last of each kind.
    pub evidence: Vec<Id<tags::Event>>,
    /// When it began.
    pub first_seen: Timestamp,
    /// It is about an attack that was reported already, and only adds where it comes from.
    pub continues: bool,
    /// What happened, in a sentence, with the numbers.
    pub description: String,
}
