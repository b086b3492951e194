use std::{cmp::Ordering, collections::BTreeMap};

use serde::{Deserialize, Serialize};

/// What came of a check. How sure that is is another matter: [`Assurance`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CheckStatus {
    /// Nothing is wrong.
    Passed,
    /// Something is.
    Failed,
    /// A person should look.
    Review,
    /// It was not done: nobody asked for it, or the document cannot.
    NotPerformed,
    /// It could not be done.
    Error,
}

impl CheckStatus {
    /// All of them, as they are written.
    pub const ALL: [&str; 5] = ["passed", "failed", "review", "not_performed", "error"];

    /// As it is written.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Passed => "passed",
            Self::Failed => "failed",
            Self::Review => "review",
            Self::NotPerformed => "not_performed",
            Self::Error => "error",
        }
    }
}

/// By what it is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Assurance {
    /// A signature up to somebody whom the operator trusts.
    Cryptographic,
    /// A record that somebody else keeps.
    Database,
    /// How near two faces are, or what a model sees in one.
    Biometric,
    /// A rule of thumb.
    Heuristic,
    /// Nothing but what whoever sent it says: the check digits of a zone are printed by whoever prints it.
    SelfAsserted,
}

impl Assurance {
    /// All of them, as they are written.
    pub const ALL: [&str; 5] =
        ["cryptographic", "database", "biometric", "heuristic", "self_asserted"];

    /// As it is written.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Cryptographic => "cryptographic",
            Self::Database => "database",
            Self::Biometric => "biometric",
            Self::Heuristic => "heuristic",
            Self::SelfAsserted => "self_asserted",
        }
    }
}

/// What a check tells, for conditions.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Value {
    /// Yes or no.
    Flag(bool),
    /// A number.
    Number(f64),
    /// Text; a day is one, `YYYY-MM-DD`.
    Text(String),
    /// Several texts.
    Texts(Vec<String>),
}

/// By the names of fields.
pub type Values = BTreeMap<String, Value>;

/// What a field holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Yes or no.
    Flag,
    /// A number.
    Number,
    /// Any text.
    Text,
    /// `YYYY-MM-DD`
    Day,
    /// One of these.
    Choice(&'static [&'static str]),
    /// Several texts.
    Texts,
}

impl Kind {
    /// As it is written.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Flag => "boolean",
            Self::Number => "number",
            Self::Text => "string",
            Self::Day => "date",
            Self::Choice(_) => "choice",
            Self::Texts => "strings",
        }
    }

    /// Whether a value may stand beside it.
    pub(crate) fn takes(self, value: &Value) -> bool {
        match (self, value) {
            (Self::Flag, Value::Flag(_)) | (Self::Number, Value::Number(_)) => true,
            (Self::Text | Self::Texts, Value::Text(_)) => true,
            (Self::Choice(all), Value::Text(text)) => all.contains(&&text[..]),
            (Self::Day, Value::Text(text)) => is_day(text),
            _ => false,
        }
    }

    /// Whether two fields can be compared.
    pub(crate) fn compares(self, other: Self) -> bool {
        let texts = |kind| matches!(kind, Self::Text | Self::Choice(_));
        self == other || texts(self) && texts(other)
    }

    /// Whether more and less mean something.
    pub(crate) fn is_ordered(self) -> bool {
        matches!(self, Self::Number | Self::Day)
    }
}

impl Value {
    /// `None` where one of the two is no such thing.
    pub(crate) fn order(&self, other: &Self) -> Option<Ordering> {
        match (self, other) {
            (Self::Number(one), Self::Number(other)) => one.partial_cmp(other),
            (Self::Text(one), Self::Text(other)) => Some(one.cmp(other)),
            (Self::Flag(one), Self::Flag(other)) => Some(one.cmp(other)),
            _ => None,
        }
    }
}

fn is_day(text: &str) -> bool {
    let bytes = text.as_bytes();
    let number = |range: std::ops::Range<usize>| text.get(range)?.parse::<u8>().ok();
    let digits = bytes.iter().enumerate().all(|(at, byte)| match at {
        4 | 7 => *byte == b'-',
        _ => byte.is_ascii_digit(),
    });
    bytes.len() == 10
        && digits
        && number(5..7).is_some_and(|month| (1..=12).contains(&month))
        && number(8..10).is_some_and(|day| (1..=31).contains(&day))
}
