//! An OpenAPI document as a contract: what does not fit is refused before a service sees it.

use std::collections::{BTreeMap, HashMap};

use http::{HeaderMap, Method, StatusCode, header};
use jsonschema::{Draft, Validator};
use portcullis_jose::from_slice_strict;
use serde::Serialize;
use serde_json::{Map, Value, json};

/// A document is at most this long.
const MAX_DOCUMENT_BYTES: usize = 2 * 1024 * 1024;
/// Schemas may be nested this deep.
const MAX_DEPTH: u8 = 64;
/// A refusal lists at most this many violations.
const MAX_VIOLATIONS: usize = 20;
/// A pointer into a hostile body is cut to this length.
const MAX_POINTER_BYTES: usize = 256;

/// The document cannot serve as a contract.
#[derive(Debug, thiserror::Error)]
pub enum ContractError {
    /// It is not YAML or JSON, or too long.
    #[error("not a YAML or JSON document of at most {MAX_DOCUMENT_BYTES} bytes")]
    Syntax,
    /// It is not OpenAPI 3.0 or 3.1.
    #[error("only OpenAPI 3.0 and 3.1 are understood")]
    Version,
    /// A part of it cannot be understood or enforced, so nothing of it is used.
    #[error("{at}: {why}")]
    Part {
        /// Where.
        at: String,
        /// What is wrong.
        why: String,
    },
}

/// One way in which a request does not fit. Nothing of the request is repeated but the pointer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ContractViolation {
    /// `/body/…`, `/query/name`, `/path/name` or `/header/name` (RFC 6901).
    pub pointer: String,
    /// The keyword of the schema that it does not satisfy, or `unknown`, `missing`, `syntax`.
    pub code: String,
    /// The same in words.
    pub message: String,
}

/// The operations of a document.
#[derive(Default)]
pub struct Contract {
    operations: matchit::Router<HashMap<Method, Operation>>,
}

#[derive(Default)]
struct Operation {
    parameters: Vec<Parameter>,
    body: Option<Body>,
}

struct Parameter {
    name: String,
    place: &'static str,
    required: bool,
    schema: Value,
    validator: Validator,
}

struct Body {
    required: bool,
    validator: Validator,
}

/// What the contract says about a request before its body is read.
pub(crate) struct Checked<'a>(Option<&'a Body>);

impl Contract {
    /// Reads a document. Only what can be enforced is accepted: local references, parameters in
    /// path, query and header, and JSON bodies.
    pub fn parse(text: &str) -> Result<Self, ContractError> {
        if text.len() > MAX_DOCUMENT_BYTES {
            return Err(ContractError::Syntax);
        }
        let document: Value = serde_saphyr::from_str(text).map_err(|_| ContractError::Syntax)?;
        let version = document["openapi"].as_str().unwrap_or_default();
        if !version.starts_with("3.0.") && !version.starts_with("3.1.") {
            return Err(ContractError::Version);
        }
        let reader = Reader { document: &document, nullable: version.starts_with("3.0.") };
        let mut contract = Self::default();
        for (path, item) in document["paths"].as_object().into_iter().flatten() {
            let operations = reader.operations(path, item)?;
            let full = format!("{}{path}", reader.base());
            let inserted = contract.operations.insert(full, operations);
            inserted.map_err(|error| part(path, &error.to_string()))?;
        }
        Ok(contract)
    }

    /// Checks everything but the body.
    pub(crate) fn check_head(
        &self,
        method: &Method,
        path: &str,
        query: &str,
        headers: &HeaderMap,
    ) -> Result<Checked<'_>, (StatusCode, Vec<ContractViolation>)> {
        let Ok(found) = self.operations.at(path) else {
            return Err((StatusCode::NOT_FOUND, vec![violation("/path", "unknown", "path")]));
        };
        let method = if *method == Method::HEAD { &Method::GET } else { method };
        let Some(operation) = found.value.get(method) else {
            let unknown = vec![violation("/method", "unknown", "method")];
            return Err((StatusCode::METHOD_NOT_ALLOWED, unknown));
        };
        let path: BTreeMap<String, Vec<String>> = found
            .params
            .iter()
            .map(|(name, value)| (name.to_owned(), vec![decode(value)]))
            .collect();
        let query = read_query(query);
        let mut violations = operation.parameters_of("path", &|name| path.get(name).cloned());
        violations.extend(operation.parameters_of("query", &|name| query.get(name).cloned()));
        violations.extend(operation.parameters_of("header", &|name| {
            let values = headers.get_all(name).iter().filter_map(|value| value.to_str().ok());
            let values: Vec<String> = values.map(str::to_owned).collect();
            (!values.is_empty()).then_some(values)
        }));
        let known = |name: &String| {
            operation.parameters.iter().any(|p| p.place == "query" && p.name == *name)
        };
        let unknown = query.keys().filter(|name| !known(name));
        violations.extend(unknown.map(|name| at("/query", name, "unknown", "is not a parameter")));
        if violations.is_empty() {
            Ok(Checked(operation.body.as_ref()))
        } else {
            violations.truncate(MAX_VIOLATIONS);
            Err((StatusCode::BAD_REQUEST, violations))
        }
    }
}

impl std::fmt::Debug for Contract {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Contract")
    }
}

impl Checked<'_> {
    /// Checks a body that was read to its end.
    pub fn check_body(&self, headers: &HeaderMap, body: &[u8]) -> Vec<ContractViolation> {
        let Some(rule) = self.0 else {
            return match body {
                [] => Vec::new(),
                _ => vec![violation("/body", "unknown", "there must be no body")],
            };
        };
        if body.is_empty() {
            let missing = vec![violation("/body", "missing", "a body is required")];
            return if rule.required { missing } else { Vec::new() };
        }
        let kind = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
        let kind = kind.and_then(|kind| kind.split(';').next()).map(str::trim);
        if !kind.is_some_and(|kind| kind.eq_ignore_ascii_case("application/json")) {
            let text = "the content type must be application/json";
            return vec![violation("/body", "content_type", text)];
        }
        match from_slice_strict::<Value>(body) {
            Ok(value) => against(&rule.validator, &value, "/body"),
            Err(_) => {
                let text = "not JSON, nested too deep, or with a repeated name";
                vec![violation("/body", "syntax", text)]
            }
        }
    }
}

impl Operation {
    fn parameters_of(
        &self,
        place: &str,
        values: &dyn Fn(&str) -> Option<Vec<String>>,
    ) -> Vec<ContractViolation> {
        let own = self.parameters.iter().filter(|parameter| parameter.place == place);
        own.flat_map(|parameter| parameter.check(values(&parameter.name))).collect()
    }
}

impl Parameter {
    fn check(&self, values: Option<Vec<String>>) -> Vec<ContractViolation> {
        let pointer = format!("/{}", self.place);
        let Some(values) = values else {
            let missing = vec![at(&pointer, &self.name, "missing", "is required")];
            return if self.required { missing } else { Vec::new() };
        };
        let is_array = self.schema["type"] == "array";
        let value = match values.as_slice() {
            [one] if !is_array => coerce(one, &self.schema),
            many if is_array => many.iter().map(|one| coerce(one, &self.schema["items"])).collect(),
            _ => return vec![at(&pointer, &self.name, "repeated", "must occur once")],
        };
        against(&self.validator, &value, &format!("{pointer}/{}", escape(&self.name)))
    }
}

/// Parameters are text; the schema says what the text stands for. Bodies are never coerced.
fn coerce(text: &str, schema: &Value) -> Value {
    let parsed = match schema["type"].as_str() {
        Some("integer") => text.parse::<i64>().ok().map(Value::from),
        Some("number") => text.parse::<f64>().ok().filter(|n| n.is_finite()).map(Value::from),
        Some("boolean") => text.parse::<bool>().ok().map(Value::from),
        _ => None,
    };
    parsed.unwrap_or_else(|| text.into())
}

fn against(validator: &Validator, value: &Value, prefix: &str) -> Vec<ContractViolation> {
    let errors = validator.iter_errors(value).take(MAX_VIOLATIONS);
    errors
        .map(|error| {
            let keyword = error.schema_path().to_string();
            let keyword = keyword.rsplit('/').next().unwrap_or("schema").to_owned();
            let pointer = portcullis_events::clean(&format!("{prefix}{}", error.instance_path()));
            let end = pointer.floor_char_boundary(MAX_POINTER_BYTES);
            let message = format!("does not satisfy {keyword}");
            ContractViolation { pointer: pointer[..end].to_owned(), code: keyword, message }
        })
        .collect()
}

fn violation(pointer: &str, code: &str, message: &str) -> ContractViolation {
    ContractViolation { pointer: pointer.into(), code: code.into(), message: message.into() }
}

fn at(prefix: &str, name: &str, code: &str, message: &str) -> ContractViolation {
    let name = portcullis_events::clean(name);
    let end = name.floor_char_boundary(MAX_POINTER_BYTES);
    violation(&format!("{prefix}/{}", escape(&name[..end])), code, message)
}

/// RFC 6901, section 3.
fn escape(name: &str) -> String {
    name.replace('~', "~0").replace('/', "~1")
}

fn decode(text: &str) -> String {
    percent_encoding::percent_decode_str(text).decode_utf8_lossy().into_owned()
}

fn read_query(query: &str) -> BTreeMap<String, Vec<String>> {
    let mut values: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let plain = |text: &str| decode(&text.replace('+', " "));
        values.entry(plain(name)).or_default().push(plain(value));
    }
    values
}

fn part(at: &str, why: &str) -> ContractError {
    ContractError::Part { at: at.to_owned(), why: why.to_owned() }
}

/// Reads the parts of a document.
struct Reader<'a> {
    document: &'a Value,
    /// OpenAPI 3.0 writes `nullable: true`; 3.1 is JSON Schema.
    nullable: bool,
}

impl Reader<'_> {
    /// The path of the first server, below which the paths are.
    fn base(&self) -> String {
        let url = self.document["servers"][0]["url"].as_str().unwrap_or_default();
        let path = match url.split_once("://") {
            Some((_, rest)) => rest.find('/').map_or("", |slash| &rest[slash..]),
            None => url,
        };
        path.trim_end_matches('/').to_owned()
    }

    fn operations(
        &self,
        path: &str,
        item: &Value,
    ) -> Result<HashMap<Method, Operation>, ContractError> {
        let mut operations = HashMap::new();
        for name in ["get", "put", "post", "delete", "options", "patch"] {
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
            let parameter = self.resolve(at, parameter)?;
            let place = parameter["in"].as_str().unwrap_or_default();
            let name =
                parameter["name"].as_str().ok_or_else(|| part(at, "a parameter has no name"))?;
            let known = parameters.iter().any(|known| known.place == place && known.name == name);
            if place == "cookie" || known {
                continue;
            }
            parameters.push(self.parameter(&format!("{at}, parameter {name}"), name, parameter)?);
        }
        let body = match operation.get("requestBody") {
            None => None,
            Some(body) => Some(self.body(at, self.resolve(at, body)?)?),
        };
        Ok(Operation { parameters, body })
    }

    fn parameter(&self, at: &str, name: &str, value: &Value) -> Result<Parameter, ContractError> {
        let place = match value["in"].as_str() {
            Some("path") => "path",
            Some("query") => "query",
            Some("header") => "header",
            _ => return Err(part(at, "`in` must be path, query, header or cookie")),
        };
        let schema = value.get("schema").ok_or_else(|| part(at, "only `schema` is understood"))?;
        let schema = self.translated(self.resolve(at, schema)?, true, MAX_DEPTH);
        let required = value["required"] == true;
        Ok(Parameter {
            name: name.to_owned(),
            place,
            required,
            validator: self.compile(at, &schema)?,
            schema,
        })
    }

    fn body(&self, at: &str, body: &Value) -> Result<Body, ContractError> {
        let media =
            body["content"].as_object().ok_or_else(|| part(at, "the body has no content"))?;
        let json = media.get("application/json").filter(|_| media.len() == 1);
        let json = json.ok_or_else(|| part(at, "only application/json bodies are understood"))?;
        let schema = self.translated(&json["schema"], true, MAX_DEPTH);
        Ok(Body { required: body["required"] == true, validator: self.compile(at, &schema)? })
    }

    /// Follows a local reference of a parameter, body or schema.
    fn resolve<'v>(&'v self, at: &str, value: &'v Value) -> Result<&'v Value, ContractError> {
        let mut value = value;
        for _ in 0..16 {
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

    /// The schema with everything that references may lead to beside it.
    fn compile(&self, at: &str, schema: &Value) -> Result<Validator, ContractError> {
        let mut whole = json!({ "allOf": [schema] });
        whole["components"] = self.translated(&self.document["components"], true, MAX_DEPTH);
        jsonschema::options()
            .with_draft(Draft::Draft202012)
            .should_validate_formats(true)
            .build(&whole)
            .map_err(|error| part(at, &error.to_string()))
    }

    /// OpenAPI 3.0 in the words of JSON Schema, and closed: an object that lists its properties has
    /// no others, unless it says so or is a part of a larger one.
    fn translated(&self, value: &Value, close: bool, depth: u8) -> Value {
        let Some(depth) = depth.checked_sub(1) else { return Value::Bool(false) };
        match value {
            Value::Array(items) => {
                items.iter().map(|item| self.translated(item, close, depth)).collect()
            }
            Value::Object(members) => {
                let composed = ["allOf", "anyOf", "oneOf"];
                let mut schema: Map<String, Value> = members
                    .iter()
                    .map(|(name, member)| {
                        let inner = !composed.contains(&name.as_str());
                        (name.clone(), self.translated(member, inner, depth))
                    })
                    .collect();
                if self.nullable {
                    translate_3_0(&mut schema);
                }
                let lists = schema.get("properties").is_some_and(Value::is_object);
                let open = schema.contains_key("additionalProperties")
                    || composed.iter().any(|word| schema.contains_key(*word));
                if close && lists && !open && schema.get("type").is_some() {
                    schema.insert("additionalProperties".into(), false.into());
                }
                schema.into()
            }
            other => other.clone(),
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

#[cfg(test)]
mod tests {
    use super::*;

    const DOCUMENT: &str = r##"
openapi: 3.0.3
paths:
  /profile/me:
    get:
      parameters:
        - { name: limit, in: query, schema: { type: integer, minimum: 1, maximum: 9 } }
        - { name: tag, in: query, schema: { type: array, items: { type: string, maxLength: 3 } } }
    patch:
      requestBody:
        required: true
        content:
          application/json: { schema: { $ref: "#/components/schemas/Change" } }
  /profile/{id}:
    get:
      parameters:
        - { name: id, in: path, required: true, schema: { type: string, format: uuid } }
components:
  schemas:
    Change:
      type: object
      required: [nickname]
      properties:
        nickname: { type: string, minLength: 1, maxLength: 5 }
        age: { type: integer, minimum: 0, exclusiveMinimum: true, nullable: true }
        mail: { type: string, format: email }
"##;

    fn head(method: &Method, path: &str, query: &str) -> Vec<String> {
        let contract = Contract::parse(DOCUMENT).unwrap();
        match contract.check_head(method, path, query, &HeaderMap::new()) {
            Ok(_) => Vec::new(),
            Err((_, violations)) => {
                violations.into_iter().map(|v| format!("{} {}", v.pointer, v.code)).collect()
            }
        }
    }

    fn body(body: &str) -> Vec<String> {
        let contract = Contract::parse(DOCUMENT).unwrap();
        let mut headers = HeaderMap::new();
        headers.insert(header::CONTENT_TYPE, "application/json; charset=utf-8".parse().unwrap());
        let checked = contract.check_head(&Method::PATCH, "/profile/me", "", &headers);
        let Ok(checked) = checked else { return vec!["head".into()] };
        let found = checked.check_body(&headers, body.as_bytes());
        found.into_iter().map(|v| format!("{} {}", v.pointer, v.code)).collect()
    }

    #[test]
    fn parameters_are_checked_and_unknown_ones_refused() {
        assert!(head(&Method::GET, "/profile/me", "limit=3&tag=a&tag=b").is_empty());
        assert_eq!(head(&Method::GET, "/profile/me", "limit=10"), ["/query/limit maximum"]);
        assert_eq!(head(&Method::GET, "/profile/me", "limit=x"), ["/query/limit type"]);
        assert_eq!(head(&Method::GET, "/profile/me", "limit=1&limit=2"), ["/query/limit repeated"]);
        assert_eq!(head(&Method::GET, "/profile/me", "tag=abcd"), ["/query/tag/0 maxLength"]);
        assert_eq!(head(&Method::GET, "/profile/me", "debug=1"), ["/query/debug unknown"]);
        assert_eq!(head(&Method::GET, "/profile/nobody", ""), ["/path/id format"]);
        assert!(head(&Method::GET, "/profile/0b9f6f6e-58c2-4a43-a3c8-5f4a0d5c5f5e", "").is_empty());
        assert_eq!(head(&Method::DELETE, "/profile/me", ""), ["/method unknown"]);
        assert_eq!(head(&Method::GET, "/other", ""), ["/path unknown"]);
    }

    #[test]
    fn bodies_are_checked_and_closed() {
        assert!(body(r#"{"nickname":"ada","age":null}"#).is_empty());
        assert_eq!(body("{}"), ["/body required"]);
        assert_eq!(body(r#"{"nickname":"ada","admin":true}"#), ["/body additionalProperties"]);
        assert_eq!(body(r#"{"nickname":"toolong"}"#), ["/body/nickname maxLength"]);
        assert_eq!(body(r#"{"nickname":"ada","age":0}"#), ["/body/age exclusiveMinimum"]);
        assert_eq!(body(r#"{"nickname":"ada","age":"1"}"#), ["/body/age type"]);
        assert_eq!(body(r#"{"nickname":"ada","mail":"x"}"#), ["/body/mail format"]);
        assert_eq!(body(r#"{"nickname":"a","nickname":"b"}"#), ["/body syntax"]);
        assert_eq!(body(""), ["/body missing"]);
        assert_eq!(body("nickname"), ["/body syntax"]);
    }

    #[test]
    fn documents_that_cannot_be_enforced_are_refused() {
        for bad in [
            "",
            "openapi: 2.0.0",
            "openapi: 3.1.0\npaths: { /x: { get: { parameters: [{ in: query }] } } }",
            "openapi: 3.1.0\npaths: { /x: { post: { requestBody: { content: { text/xml: {} } } } } }",
            "openapi: 3.1.0\npaths: { /x: { post: { requestBody: { $ref: \"https://evil.example/x\" } } } }",
            "openapi: 3.1.0\npaths: { \"/x/{*a}/b\": { get: {} } }",
            "openapi: 3.1.0\npaths: { /x: { get: { parameters: [{ name: a, in: query, schema: { type: 7 } }] } } }",
        ] {
            assert!(Contract::parse(bad).is_err(), "{bad}");
        }
    }
}
