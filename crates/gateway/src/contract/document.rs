//! Reading an OpenAPI document. What cannot be enforced is refused with its place, so that nobody
//! relies on a rule that is not kept.

use std::collections::{BTreeMap, HashMap};

use http::Method;
use jsonschema::{Draft, PatternOptions, Validator};
use serde_json::{Map, Value, json};

use super::{
    Body, ContractError, MAX_DEPTH, Media, Operation,
    body::{Format, Part},
    parameter::{Kind, Parameter, Place, Primitive, Style},
    part,
    response::Answer,
};

/// References that lead to references.
const MAX_REFERENCES: usize = 16;

/// Whom a schema speaks to.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Direction {
    /// What is `readOnly` must not be there.
    Request,
    /// What is `writeOnly` must not be there.
    Response,
}

pub(super) struct Reader<'a> {
    pub document: &'a Value,
    /// OpenAPI 3.0 writes `nullable: true`; 3.1 is JSON Schema.
    pub old: bool,
    /// Schemas that references may lead to, translated once for each direction.
    pub components: [Value; 2],
}

impl<'a> Reader<'a> {
    pub fn new(document: &'a Value, old: bool) -> Self {
        let mut reader = Self { document, old, components: [Value::Null, Value::Null] };
        reader.components = [Direction::Request, Direction::Response]
            .map(|direction| reader.translated_components(direction));
        reader
    }

    /// The path of the first server, below which the paths are.
    pub fn base(&self) -> String {
        let url = self.document["servers"][0]["url"].as_str().unwrap_or_default();
        let path = match url.split_once("://") {
            Some((_, rest)) => rest.find('/').map_or("", |slash| &rest[slash..]),
            None => url,
        };
        path.trim_end_matches('/').to_owned()
    }

    pub fn operations(
        &self,
        path: &str,
        item: &Value,
    ) -> Result<HashMap<Method, Operation>, ContractError> {
        let item = self.resolve(path, item)?;
        let mut operations = HashMap::new();
        for name in ["get", "put", "post", "delete", "options", "head", "patch"] {
            if let Some(operation) = item.get(name) {
                let at = format!("{} {path}", name.to_uppercase());
                let method = name.to_uppercase().parse().map_err(|_| part(&at, "method"))?;
                let read = self.operation(&at, operation, &item["parameters"])?;
                operations.insert(method, read);
            }
        }
        Ok(operations)
    }

    fn operation(
        &self,
        at: &str,
        operation: &Value,
        shared: &Value,
    ) -> Result<Operation, ContractError> {
        let mut parameters: Vec<Parameter> = Vec::new();
        let both = [&operation["parameters"], shared];
        for parameter in both.into_iter().filter_map(Value::as_array).flatten() {
            let read = self.parameter(at, self.resolve(at, parameter)?)?;
            let same = |known: &Parameter| known.place == read.place && known.name == read.name;
            if !parameters.iter().any(same) {
                parameters.push(read);
            }
        }
        let body = match operation.get("requestBody") {
            None => None,
            Some(body) => Some(self.body(at, self.resolve(at, body)?)?),
        };
        Ok(Operation { parameters, body, answers: self.answers(at, &operation["responses"])? })
    }

    fn parameter(&self, at: &str, value: &Value) -> Result<Parameter, ContractError> {
        let name = value["name"].as_str().ok_or_else(|| part(at, "a parameter has no name"))?;
        let at = &format!("{at}, parameter {name}");
        let place = match value["in"].as_str() {
            Some("path") => Place::Path,
            Some("query") => Place::Query,
            Some("header") => Place::Header,
            Some("cookie") => Place::Cookie,
            _ => return Err(part(at, "`in` must be path, query, header or cookie")),
        };
        let content = value.get("content").and_then(Value::as_object);
        let (schema, style, explode) = match content {
            Some(content) => {
                let json = content.get("application/json").filter(|_| content.len() == 1);
                let json = json.ok_or_else(|| part(at, "only application/json is understood"))?;
                (&json["schema"], Style::Json, false)
            }
            None => {
                let schema = value.get("schema");
                let schema = schema.ok_or_else(|| part(at, "it has neither schema nor content"))?;
                let style = style(at, place, value["style"].as_str())?;
                let explode = value["explode"].as_bool().unwrap_or(style == Style::Form);
                (schema, style, explode)
            }
        };
        let kind = self.kind(at, schema)?;
        let fits = match style {
            Style::Deep => matches!(kind, Kind::Object(_)),
            Style::Space | Style::Pipe => !matches!(kind, Kind::One(_)) && !explode,
            _ => true,
        };
        if !fits {
            return Err(part(at, "the style does not fit the type"));
        }
        let named = if place == Place::Header { name.to_lowercase() } else { name.to_owned() };
        Ok(Parameter {
            name: named,
            place,
            required: value["required"] == true || place == Place::Path,
            style,
            explode,
            kind,
            validator: self.compile(at, schema, Direction::Request)?,
        })
    }

    /// What text stands for, as far as the schema says it outright.
    fn kind(&self, at: &str, schema: &Value) -> Result<Kind, ContractError> {
        let schema = self.resolve(at, schema)?;
        Ok(match type_of(schema) {
            Some("array") => {
                let items = self.resolve(at, &schema["items"])?;
                Kind::Array(primitive(items))
            }
            Some("object") => {
                let mut members = BTreeMap::new();
                for (name, member) in schema["properties"].as_object().into_iter().flatten() {
                    members.insert(name.clone(), primitive(self.resolve(at, member)?));
                }
                Kind::Object(members)
            }
            _ => Kind::One(primitive(schema)),
        })
    }

    fn body(&self, at: &str, body: &Value) -> Result<Body, ContractError> {
        let content =
            body["content"].as_object().ok_or_else(|| part(at, "the body has no content"))?;
        let mut media = Vec::new();
        for (name, value) in content {
            let at = &format!("{at}, body {name}");
            let name = name.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
            let schema = value.get("schema").unwrap_or(&Value::Bool(true));
            let format = match name.as_str() {
                "application/x-www-form-urlencoded" => Format::Form(self.form(at, schema)?),
                "multipart/form-data" => Format::Multipart(self.parts(at, schema, value)?),
                name if is_json(name) => Format::Json,
                "application/octet-stream" | "text/plain" => Format::Opaque,
                name if name.starts_with("image/") || name == "application/pdf" => Format::Opaque,
                _ => return Err(part(at, "bodies of this type cannot be checked")),
            };
            let validator = self.compile(at, schema, Direction::Request)?;
            media.push(Media { name, format, validator });
        }
        if media.is_empty() {
            return Err(part(at, "the body has no content"));
        }
        Ok(Body { required: body["required"] == true, media })
    }

    fn form(&self, at: &str, schema: &Value) -> Result<BTreeMap<String, Kind>, ContractError> {
        let schema = self.resolve(at, schema)?;
        let mut fields = BTreeMap::new();
        for (name, member) in schema["properties"].as_object().into_iter().flatten() {
            fields.insert(name.clone(), self.kind(at, member)?);
        }
        Ok(fields)
    }

    fn parts(
        &self,
        at: &str,
        schema: &Value,
        media: &Value,
    ) -> Result<BTreeMap<String, Part>, ContractError> {
        let kinds = self.form(at, schema)?;
        let mut parts = BTreeMap::new();
        for (name, kind) in kinds {
            let encoding = &media["encoding"][&name];
            let types = encoding["contentType"].as_str().map(|types| {
                types.split(',').map(|kind| kind.trim().to_ascii_lowercase()).collect()
            });
            parts.insert(name, Part { kind, types });
        }
        Ok(parts)
    }

    fn answers(&self, at: &str, responses: &Value) -> Result<Vec<Answer>, ContractError> {
        let mut answers = Vec::new();
        for (status, response) in responses.as_object().into_iter().flatten() {
            let at = &format!("{at}, response {status}");
            let response = self.resolve(at, response)?;
            for (name, media) in response["content"].as_object().into_iter().flatten() {
                let kind = name.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
                if !is_json(&kind) {
                    continue;
                }
                let Some(schema) = media.get("schema") else { continue };
                answers.push(Answer {
                    status: status.to_uppercase(),
                    schema: self.translated(schema, Direction::Response, true, MAX_DEPTH),
                    validator: self.compile(at, schema, Direction::Response)?,
                });
            }
        }
        Ok(answers)
    }

    /// Follows local references of a parameter, body or schema.
    pub fn resolve<'v>(&'v self, at: &str, value: &'v Value) -> Result<&'v Value, ContractError> {
        let mut value = value;
        for _ in 0..MAX_REFERENCES {
            let Some(reference) = value.get("$ref").and_then(Value::as_str) else {
                return Ok(value);
            };
            let pointer = reference.strip_prefix('#');
            let target = pointer.and_then(|pointer| self.document.pointer(pointer));
            value =
                target.ok_or_else(|| part(at, "a reference must lead into the same document"))?;
        }
        Err(part(at, "a reference leads in a circle"))
    }

    /// The schema with everything that references may lead to beside it. Patterns are compiled for
    /// linear time; what `regex` cannot express is refused.
    fn compile(
        &self,
        at: &str,
        schema: &Value,
        direction: Direction,
    ) -> Result<Validator, ContractError> {
        let schema = self.translated(schema, direction, true, MAX_DEPTH);
        let mut whole = json!({ "allOf": [schema] });
        whole["components"] = self.components[direction as usize].clone();
        jsonschema::options()
            .with_draft(Draft::Draft202012)
            .should_validate_formats(true)
            .with_pattern_options(PatternOptions::regex())
            .build(&whole)
            .map_err(|error| part(at, &error.to_string()))
    }

    /// Everything that references may lead to. Schemas are open here: whether one is closed is
    /// decided where it is used, or parts of a larger one could never fit together.
    fn translated_components(&self, direction: Direction) -> Value {
        let mut all = Map::new();
        for (section, named) in self.document["components"].as_object().into_iter().flatten() {
            let close = section != "schemas";
            let translated = named.as_object().into_iter().flatten().map(|(name, value)| {
                (name.clone(), self.translated(value, direction, close, MAX_DEPTH))
            });
            all.insert(section.clone(), translated.collect::<Map<_, _>>().into());
        }
        all.into()
    }

    /// OpenAPI 3.0 in the words of JSON Schema, and closed: an object that lists its properties has
    /// no others, unless it says so. What is only for the other direction is not there.
    fn translated(&self, value: &Value, direction: Direction, close: bool, depth: u8) -> Value {
        let Some(depth) = depth.checked_sub(1) else { return Value::Bool(false) };
        match value {
            Value::Array(items) => {
                items.iter().map(|item| self.translated(item, direction, close, depth)).collect()
            }
            Value::Object(members) => {
                let mut schema: Map<String, Value> = members
                    .iter()
                    .map(|(name, member)| {
                        let inner = !COMPOSED.contains(&name.as_str());
                        (name.clone(), self.translated(member, direction, inner, depth))
                    })
                    .collect();
                if self.old {
                    translate_3_0(&mut schema);
                }
                hide(&mut schema, members, direction);
                if close && self.lists(value) && !self.is_open(value, MAX_DEPTH) {
                    // Sees through references and compositions, which the other word does not.
                    schema.insert("unevaluatedProperties".into(), false.into());
                }
                schema.into()
            }
            other => other.clone(),
        }
    }

    /// Whether a schema, or a part of it, lists properties.
    fn lists(&self, schema: &Value) -> bool {
        self.any_part(schema, MAX_DEPTH, &|part| {
            part.get("properties").is_some_and(Value::is_object)
        })
    }

    /// Whether a schema, or a part of it, says what others may be there.
    fn is_open(&self, schema: &Value, depth: u8) -> bool {
        self.any_part(schema, depth, &|part| {
            let words = ["patternProperties", "unevaluatedProperties"];
            words.iter().any(|word| part.get(word).is_some())
                || part.get("additionalProperties").is_some_and(|more| *more != Value::Bool(false))
        })
    }

    fn any_part(&self, schema: &Value, depth: u8, found: &dyn Fn(&Value) -> bool) -> bool {
        let Some(depth) = depth.checked_sub(1) else { return false };
        let referred =
            schema.get("$ref").is_some().then(|| self.resolve("", schema).ok()).flatten();
        let parts = COMPOSED.iter().filter_map(|word| schema.get(*word));
        let parts = parts.flat_map(|part| match part {
            Value::Array(items) => items.iter().collect(),
            one => vec![one],
        });
        found(schema)
            || referred.into_iter().chain(parts).any(|part| self.any_part(part, depth, found))
    }
}

/// Where a schema is made of others.
const COMPOSED: [&str; 7] = ["allOf", "anyOf", "oneOf", "not", "if", "then", "else"];

/// Properties of the other direction are refused, and nobody has to give them.
fn hide(schema: &mut Map<String, Value>, members: &Map<String, Value>, direction: Direction) {
    let word = match direction {
        Direction::Request => "readOnly",
        Direction::Response => "writeOnly",
    };
    let Some(properties) = members.get("properties").and_then(Value::as_object) else { return };
    let hidden: Vec<&String> = properties
        .iter()
        .filter(|(_, member)| member.get(word) == Some(&Value::Bool(true)))
        .map(|(name, _)| name)
        .collect();
    for name in hidden {
        schema["properties"][name.as_str()] = json!({ "not": {} });
        if let Some(Value::Array(required)) = schema.get_mut("required") {
            required.retain(|required| required != name.as_str());
        }
    }
}

fn translate_3_0(schema: &mut Map<String, Value>) {
    if schema.get("nullable") == Some(&Value::Bool(true))
        && let Some(kind) = schema.get("type").filter(|kind| kind.is_string()).cloned()
    {
        schema.insert("type".into(), json!([kind, "null"]));
    }
    for (exclusive, bound) in [("exclusiveMinimum", "minimum"), ("exclusiveMaximum", "maximum")] {
        if schema.get(exclusive).is_some_and(Value::is_boolean) {
            let strict = schema.remove(exclusive) == Some(Value::Bool(true));
            if let Some(limit) = schema.get(bound).filter(|_| strict).cloned() {
                schema.remove(bound);
                schema.insert(exclusive.into(), limit);
            }
        }
    }
}

/// `application/json` and everything that is JSON too (RFC 6839).
pub(super) fn is_json(kind: &str) -> bool {
    kind == "application/json" || (kind.starts_with("application/") && kind.ends_with("+json"))
}

fn style(at: &str, place: Place, named: Option<&str>) -> Result<Style, ContractError> {
    Ok(match (place, named) {
        (Place::Path | Place::Header, None | Some("simple")) => Style::Simple,
        (Place::Path, Some("label")) => Style::Label,
        // The gate refuses `;` in paths: servers read it in different ways.
        (Place::Path, Some("matrix")) => {
            return Err(part(at, "paths with ; are refused, so matrix cannot be used"));
        }
        (Place::Query | Place::Cookie, None | Some("form")) => Style::Form,
        (Place::Query, Some("spaceDelimited")) => Style::Space,
        (Place::Query, Some("pipeDelimited")) => Style::Pipe,
        (Place::Query, Some("deepObject")) => Style::Deep,
        _ => return Err(part(at, "this style does not exist there")),
    })
}

/// The type that is not null.
fn type_of(schema: &Value) -> Option<&str> {
    match &schema["type"] {
        Value::String(kind) => Some(kind),
        Value::Array(kinds) => kinds.iter().filter_map(Value::as_str).find(|kind| *kind != "null"),
        _ => None,
    }
}

fn primitive(schema: &Value) -> Primitive {
    match type_of(schema) {
        Some("integer") => Primitive::Integer,
        Some("number") => Primitive::Number,
        Some("boolean") => Primitive::Boolean,
        _ => Primitive::Text,
    }
}
