//! Answers: what a service says beyond what it declared does not leave.

use jsonschema::Validator;
use portcullis_jose::from_slice_strict;
use serde_json::Value;

use super::{Contract, MAX_DEPTH, Operation, against};

/// What an operation answers with a status.
pub(super) struct Answer {
    /// `200`, `2XX` or `DEFAULT`.
    pub status: String,
    pub schema: Value,
    pub validator: Validator,
}

/// What became of an answer.
#[derive(Debug, PartialEq, Eq)]
pub enum Redacted {
    /// It is as it was declared.
    Same,
    /// This was left of it.
    Changed {
        /// The new body.
        body: Vec<u8>,
        /// What was taken out, as JSON pointers.
        removed: Vec<String>,
    },
    /// It is not what was declared, even without what was not.
    Unfit(String),
}

/// Pointers that are told.
const MAX_POINTERS: usize = 20;

impl Operation {
    /// What is declared for a status: by itself, by its class, or for all others.
    pub(super) fn answer(&self, status: u16) -> Option<&Answer> {
        let exact = status.to_string();
        let class = format!("{}XX", status / 100);
        let named = |name: &str| self.answers.iter().find(|answer| answer.status == name);
        named(&exact).or_else(|| named(&class)).or_else(|| named("DEFAULT"))
    }
}

impl Contract {
    /// Takes out of a JSON answer what its schema does not declare.
    pub(super) fn redact(&self, answer: &Answer, body: &[u8]) -> Redacted {
        let Ok(mut value) = from_slice_strict::<Value>(body) else {
            return Redacted::Unfit("it is not JSON".into());
        };
        let mut removed = Vec::new();
        self.strip(&[&answer.schema], &mut value, "", &mut removed, MAX_DEPTH);
        if let Some(first) = against(&answer.validator, &value, "").first() {
            return Redacted::Unfit(format!("{} {}", first.pointer, first.message));
        }
        if removed.is_empty() {
            return Redacted::Same;
        }
        removed.sort();
        removed.truncate(MAX_POINTERS);
        Redacted::Changed { body: value.to_string().into_bytes(), removed }
    }

    /// Removes members that none of the schemas declares.
    fn strip(
        &self,
        schemas: &[&Value],
        value: &mut Value,
        at: &str,
        removed: &mut Vec<String>,
        depth: u8,
    ) {
        let Some(depth) = depth.checked_sub(1) else { return };
        let all = self.spread(schemas);
        match value {
            Value::Array(items) => {
                let inner: Vec<&Value> = all.iter().filter_map(|s| s.get("items")).collect();
                for (place, item) in items.iter_mut().enumerate() {
                    self.strip(&inner, item, &format!("{at}/{place}"), removed, depth);
                }
            }
            Value::Object(members) => {
                let listed = |s: &&&Value| s.get("properties").is_some_and(Value::is_object);
                let lists = all.iter().any(|s| listed(&s));
                let open = all.iter().any(|s| match s.get("additionalProperties") {
                    None | Some(Value::Bool(false)) => s.get("patternProperties").is_some(),
                    Some(_) => true,
                });
                members.retain(|name, member| {
                    let declared: Vec<&Value> = all
                        .iter()
                        .filter_map(|s| s.get("properties")?.get(name))
                        .filter(|declared| !is_hidden(declared))
                        .collect();
                    let pointer = format!("{at}/{}", super::escape(name));
                    if declared.is_empty() && lists && !open {
                        removed.push(portcullis_events::clean(&pointer));
                        return false;
                    }
                    let more = all.iter().filter_map(|s| s.get("additionalProperties"));
                    let inner: Vec<&Value> =
                        if declared.is_empty() { more.collect() } else { declared };
                    self.strip(&inner, member, &pointer, removed, depth);
                    true
                });
            }
            _ => {}
        }
    }

    /// The schemas, and those they are made of.
    fn spread<'a>(&'a self, schemas: &[&'a Value]) -> Vec<&'a Value> {
        let mut all: Vec<&Value> = Vec::new();
        let mut open: Vec<&Value> = schemas.to_vec();
        while let Some(schema) = open.pop() {
            // Twice is enough: a circle ends here.
            if all.iter().filter(|known| std::ptr::eq(**known, schema)).count() > 0
                || all.len() > 256
            {
                continue;
            }
            all.push(schema);
            let reference = schema.get("$ref").and_then(Value::as_str);
            let pointer = reference.and_then(|reference| reference.strip_prefix("#/components"));
            open.extend(pointer.and_then(|pointer| self.declared.pointer(pointer)));
            for word in ["allOf", "anyOf", "oneOf"] {
                open.extend(schema.get(word).and_then(Value::as_array).into_iter().flatten());
            }
        }
        all
    }
}

/// What is only for requests.
fn is_hidden(declared: &Value) -> bool {
    declared.get("not").is_some_and(|not| not.as_object().is_some_and(serde_json::Map::is_empty))
}
