//! Parameters as OpenAPI writes them (3.1, section 4.8.12.2): from text to the value that the schema
//! speaks of.

use std::collections::BTreeMap;

use jsonschema::Validator;
use portcullis_jose::from_slice_strict;
use serde_json::{Map, Value};

use super::{ContractViolation, against, at, escape};

/// Values of one parameter, and members of one object.
const MAX_ITEMS: usize = 1_000;

/// Where a parameter stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    Path,
    Query,
    Header,
    Cookie,
}

impl Place {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Path => "path",
            Self::Query => "query",
            Self::Header => "header",
            Self::Cookie => "cookie",
        }
    }
}

/// How a value is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Style {
    Simple,
    Label,
    Form,
    Space,
    Pipe,
    Deep,
    /// A document of its own.
    Json,
}

/// What the text stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Kind {
    One(Primitive),
    Array(Primitive),
    /// Its members, as far as they are declared.
    Object(BTreeMap<String, Primitive>),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Primitive {
    Integer,
    Number,
    Boolean,
    Text,
}

pub(super) struct Parameter {
    pub name: String,
    pub place: Place,
    pub required: bool,
    pub style: Style,
    pub explode: bool,
    pub kind: Kind,
    pub validator: Validator,
}

/// What a request says in one place: names as they are meant, values as they were written.
pub(super) type Raw = Vec<(String, String)>;

impl Parameter {
    /// Whether a name in the query is this parameter, or a part of it.
    pub fn owns(&self, name: &str) -> bool {
        match (&self.kind, self.style) {
            (Kind::Object(_), Style::Deep) => {
                name.strip_prefix(&self.name).is_some_and(|rest| member(rest).is_some())
            }
            (Kind::Object(members), Style::Form) if self.explode => members.contains_key(name),
            _ => name == self.name,
        }
    }

    /// What is wrong with it.
    pub fn check(&self, raw: &Raw) -> Vec<ContractViolation> {
        let pointer = format!("/{}", self.place.as_str());
        let values: Vec<&(String, String)> =
            raw.iter().filter(|(name, _)| self.owns(name)).take(MAX_ITEMS).collect();
        if values.is_empty() {
            let missing = vec![at(&pointer, &self.name, "missing", "is required")];
            return if self.required { missing } else { Vec::new() };
        }
        match self.value(&values) {
            Ok(value) => {
                against(&self.validator, &value, &format!("{pointer}/{}", escape(&self.name)))
            }
            Err((code, message)) => vec![at(&pointer, &self.name, code, message)],
        }
    }

    fn value(&self, values: &[&(String, String)]) -> Result<Value, (&'static str, &'static str)> {
        const REPEATED: (&str, &str) = ("repeated", "must occur once");
        const SYNTAX: (&str, &str) = ("syntax", "is not written as it should be");
        match (&self.kind, self.style) {
            (Kind::Object(members), Style::Deep) => {
                let mut object = Map::new();
                for (name, raw) in values {
                    let member = name.strip_prefix(&self.name).and_then(member).ok_or(SYNTAX)?;
                    let value = coerce(&self.decoded(raw)?, kind_of(members, member));
                    if object.insert(member.to_owned(), value).is_some() {
                        return Err(REPEATED);
                    }
                }
                return Ok(object.into());
            }
            (Kind::Object(members), Style::Form) if self.explode => {
                let mut object = Map::new();
                for (name, raw) in values {
                    let value = coerce(&self.decoded(raw)?, kind_of(members, name));
                    if object.insert(name.clone(), value).is_some() {
                        return Err(REPEATED);
                    }
                }
                return Ok(object.into());
            }
            (Kind::Array(items), Style::Form) if self.explode => {
                let one = |(_, raw): &&(String, String)| Ok(coerce(&self.decoded(raw)?, *items));
                return values.iter().map(one).collect();
            }
            _ => {}
        }
        let [(_, raw)] = values else { return Err(REPEATED) };
        if self.style == Style::Json {
            return from_slice_strict(self.decoded(raw)?.as_bytes()).map_err(|_| SYNTAX);
        }
        let raw = self.without_prefix(raw).ok_or(SYNTAX)?;
        match &self.kind {
            Kind::One(kind) => Ok(coerce(&self.decoded(raw)?, *kind)),
            Kind::Array(items) => {
                let one = |part: &str| Ok(coerce(&self.decoded(part)?, *items));
                self.parts(raw).into_iter().take(MAX_ITEMS).map(one).collect()
            }
            Kind::Object(members) => {
                let parts = self.parts(raw);
                let pairs: Vec<(&str, &str)> = if self.explode {
                    let pairs: Option<_> = parts.iter().map(|part| part.split_once('=')).collect();
                    pairs.ok_or(SYNTAX)?
                } else {
                    let whole = parts.len().is_multiple_of(2);
                    let pairs = parts.chunks_exact(2).map(|pair| (pair[0], pair[1])).collect();
                    if whole { pairs } else { return Err(SYNTAX) }
                };
                let mut object = Map::new();
                for (name, value) in pairs.into_iter().take(MAX_ITEMS) {
                    let name = self.decoded(name)?;
                    let value = coerce(&self.decoded(value)?, kind_of(members, &name));
                    if object.insert(name, value).is_some() {
                        return Err(REPEATED);
                    }
                }
                Ok(object.into())
            }
        }
    }

    /// Labels begin with a dot.
    fn without_prefix<'a>(&self, raw: &'a str) -> Option<&'a str> {
        match self.style {
            Style::Label => raw.strip_prefix('.'),
            _ => Some(raw),
        }
    }

    fn parts<'a>(&self, raw: &'a str) -> Vec<&'a str> {
        if raw.is_empty() {
            return Vec::new();
        }
        match (self.style, self.explode) {
            (Style::Space, _) if raw.contains("%20") => raw.split("%20").collect(),
            (Style::Space, _) => raw.split('+').collect(),
            (Style::Pipe, _) if raw.contains("%7C") => raw.split("%7C").collect(),
            (Style::Pipe, _) => raw.split('|').collect(),
            (Style::Label, true) => raw.split('.').collect(),
            _ => raw.split(',').collect(),
        }
    }

    /// Only what stands in a URL is percent-encoded.
    fn decoded(&self, raw: &str) -> Result<String, (&'static str, &'static str)> {
        let raw = match self.place {
            Place::Header | Place::Cookie => return Ok(raw.to_owned()),
            Place::Query => raw.replace('+', " "),
            Place::Path => raw.to_owned(),
        };
        let text = percent_encoding::percent_decode_str(&raw).decode_utf8();
        text.map(std::borrow::Cow::into_owned).map_err(|_| ("encoding", "is not UTF-8"))
    }
}

/// `[name]`.
fn member(rest: &str) -> Option<&str> {
    let name = rest.strip_prefix('[')?.strip_suffix(']')?;
    (!name.is_empty() && !name.contains(['[', ']'])).then_some(name)
}

fn kind_of(members: &BTreeMap<String, Primitive>, name: &str) -> Primitive {
    members.get(name).copied().unwrap_or(Primitive::Text)
}

/// Parameters are text; the schema says what the text stands for. What does not read as that stays
/// text, and the schema refuses it. Bodies of JSON are never coerced.
pub(super) fn coerce(text: &str, kind: Primitive) -> Value {
    let plain = !text.starts_with('+');
    let read = match kind {
        // An integer has no largest value; beyond 64 bits its last digits do not matter here.
        Primitive::Integer if plain => text.parse::<i64>().map(Value::from).ok().or_else(|| {
            let digits = text.strip_prefix('-').unwrap_or(text);
            let whole = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit());
            text.parse::<f64>().ok().filter(|n| whole && n.is_finite()).map(Value::from)
        }),
        Primitive::Integer => None,
        Primitive::Number => {
            text.parse::<f64>().ok().filter(|n| n.is_finite() && plain).map(Value::from)
        }
        Primitive::Boolean => text.parse::<bool>().ok().map(Value::from),
        Primitive::Text => None,
    };
    read.unwrap_or_else(|| text.into())
}
