//! Names of fields, and what they are in an event.

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

/// Fields of which somebody can be known who may be erased.
const PERSONAL: [&str; 5] = [
    "user.name",
    "actor.user.name",
    "http_request.user_agent",
    "src_endpoint.ip",
    "evidences.src_endpoint.ip",
];

fn meant(name: &str) -> impl Iterator<Item = &str> {
    let known = ALIASES.iter().find(|(alias, _)| *alias == name).map(|(_, fields)| *fields);
    known.unwrap_or_default().iter().copied().chain([name])
}

/// Whether a field of this name holds what is personal.
pub fn is_personal(name: &str) -> bool {
    meant(name).any(|name| PERSONAL.contains(&name))
}

/// Whether it holds the address of a client.
pub fn is_address(name: &str) -> bool {
    meant(name).any(|name| name.ends_with("src_endpoint.ip"))
}

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
