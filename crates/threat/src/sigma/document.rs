//! Rules as they are written.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Map, Value};

/// One document of a file: a rule, or a correlation of rules. What only people read is passed over.
#[derive(Debug, Deserialize)]
pub(crate) struct Document {
    pub title: String,
    pub id: Option<String>,
    pub name: Option<String>,
    pub description: Option<String>,
    pub level: Option<String>,
    #[serde(default)]
    pub tags: Vec<String>,
    pub logsource: Option<LogSource>,
    pub detection: Option<Map<String, Value>>,
    pub correlation: Option<Correlation>,
    /// Meta rules that we do not know.
    pub action: Option<Value>,
    pub filter: Option<Value>,
}

#[derive(Debug, Default, Deserialize)]
pub(crate) struct LogSource {
    pub product: Option<String>,
    pub category: Option<String>,
    pub service: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Correlation {
    #[serde(rename = "type")]
    pub kind: String,
    pub rules: OneOrMany,
    #[serde(rename = "group-by", default)]
    pub group_by: OneOrMany,
    pub timespan: String,
    pub condition: Option<Value>,
    #[serde(default)]
    pub aliases: BTreeMap<String, BTreeMap<String, String>>,
    #[serde(default)]
    pub generate: bool,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(untagged)]
pub(crate) enum OneOrMany {
    One(String),
    Many(Vec<String>),
}

impl Default for OneOrMany {
    fn default() -> Self {
        Self::Many(Vec::new())
    }
}

impl OneOrMany {
    pub fn all(&self) -> &[String] {
        match self {
            Self::One(one) => std::slice::from_ref(one),
            Self::Many(many) => many,
        }
    }
}
