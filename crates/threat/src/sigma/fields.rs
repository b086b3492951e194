//! Names of fields, and what they are in an event.

use portcullis_types::AddrKey;
use serde_json::Value;

/// Names of Sigma's taxonomy and of ECS, and the fields of OCSF that they are here. The first that an
/// event has counts.
pub const ALIASES: &[(&str, &[&str])] = &[
    ("c-ip", &["src_endpoint.ip"]),
    ("src_ip", &["src_endpoint.ip"]),
    ("source.ip", &["src_endpoint.ip"]),
    ("cs-method", &["http_request.http_method"]),
    ("cs-uri-stem", &["http_request.url.path"]),
    ("cs-uri", &["http_request.url.path"]),
    ("cs-user-agent", &["http_request.user_agent"]),
    ("user_agent.original", &["http_request.user_agent"]),
    ("sc-status", &["http_response.code"]),
    ("http.response.status_code", &["http_response.code"]),
    ("EventID", &["metadata.event_code"]),
    ("event.code", &["metadata.event_code"]),
    ("User", &["user.name", "actor.user.name"]),
    ("username", &["user.name", "actor.user.name"]),
    ("user_id", &["user.uid", "actor.user.uid"]),
    ("client_id", &["unmapped.client_id"]),
];

/// The network that somebody comes from: the address, or for IPv6 its /64, of which one customer has
/// all addresses. It is none of OCSF's, and can be grouped and counted by.
const NETWORK: &str = "src_network";

/// Fields whose values can stand in an alert: nobody is known by them who is not named by an id.
const TOLD: [&str; 12] = [
    "actor.user.uid",
    "class_uid",
    "entity.type",
    "entity.uid",
    "http_request.http_method",
    "http_response.code",
    "metadata.event_code",
    "service.name",
    "session.uid",
    "status_detail",
    "unmapped.client_id",
    "user.uid",
];

/// Where a field is looked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Field {
    /// As the rule has it.
    pub name: String,
    paths: Vec<Vec<String>>,
}

impl Field {
    pub fn new(name: &str) -> Self {
        let known = ALIASES.iter().find(|(alias, _)| *alias == name).map(|(_, fields)| *fields);
        let path = |text: &str| text.split('.').map(str::to_owned).collect();
        let paths = match known {
            Some(fields) => fields.iter().map(|field| path(field)).collect(),
            None => vec![path(name)],
        };
        Self { name: name.to_owned(), paths }
    }

    /// Whether its values can be told of.
    pub fn is_told(&self) -> bool {
        self.paths.iter().all(|path| TOLD.contains(&path.join(".").as_str()))
    }

    /// Whether it holds where somebody comes from.
    pub fn is_place(&self) -> bool {
        self.name == NETWORK || self.ends_with(&["src_endpoint", "ip"])
    }

    /// Whether it holds who somebody is.
    pub fn is_account(&self) -> bool {
        self.ends_with(&["user", "uid"])
    }

    fn ends_with(&self, end: &[&str]) -> bool {
        let ends = |path: &Vec<String>| {
            path.len() >= end.len() && path.iter().rev().zip(end.iter().rev()).all(|(a, b)| a == b)
        };
        self.paths.iter().any(ends)
    }

    /// Every value of the field: several where there is a list on the way.
    pub fn values<'a>(&self, event: &'a Value) -> Vec<&'a Value> {
        let mut found = Vec::new();
        for path in &self.paths {
            collect(event, path, &mut found);
            if !found.is_empty() {
                break;
            }
        }
        found
    }

    /// The value as a text, to group and to count by.
    pub fn text(&self, event: &Value) -> Option<String> {
        if self.name == NETWORK {
            let addr = Self::new("src_ip").text(event)?;
            return Some(AddrKey::parse(&addr)?.to_string());
        }
        self.values(event).into_iter().find_map(text_of)
    }

    pub fn number(&self, event: &Value) -> Option<f64> {
        self.values(event).into_iter().find_map(number_of)
    }
}

/// A value as Sigma compares it: what is a number or a truth has its usual spelling.
pub(crate) fn text_of(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(truth) => Some(truth.to_string()),
        _ => None,
    }
}

pub(crate) fn number_of(value: &Value) -> Option<f64> {
    match value {
        Value::Number(number) => number.as_f64(),
        Value::String(text) => text.parse().ok().filter(|number: &f64| number.is_finite()),
        _ => None,
    }
}

fn collect<'a>(value: &'a Value, path: &[String], found: &mut Vec<&'a Value>) {
    match (value, path) {
        (Value::Array(items), _) => items.iter().for_each(|item| collect(item, path, found)),
        (_, []) => found.push(value),
        (Value::Object(fields), [name, rest @ ..]) => {
            if let Some(value) = fields.get(name) {
                collect(value, rest, found);
            }
        }
        _ => {}
    }
}
