//! An OpenAPI document as a contract: what does not fit is refused before a service sees it, and what
//! a service says beyond it does not leave.

mod body;
mod document;
mod parameter;
mod response;

use std::collections::HashMap;

use bytes::Bytes;
use http::{HeaderMap, Method, StatusCode, header};
use jsonschema::Validator;
use serde::Serialize;
use serde_json::Value;

use body::Format;
use document::{Direction, Reader};
use parameter::{Parameter, Place, Raw};
use response::Answer;
pub use response::Redacted;

use crate::media_type::MediaType;

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
    #[error("not a YAML or JSON document of at most {MAX_DOCUMENT_BYTES} bytes: {0}")]
    Syntax(String),
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
    /// `/body/…`, `/query/name`, `/path/name`, `/header/name` or `/cookie/name` (RFC 6901).
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
    /// What answers may refer to.
    declared: Value,
}

#[derive(Default)]
struct Operation {
    parameters: Vec<Parameter>,
    body: Option<Body>,
    answers: Vec<Answer>,
}

struct Body {
    required: bool,
    media: Vec<Media>,
}

struct Media {
    name: String,
    format: Format,
    validator: Validator,
}

/// What the contract says about a request before its body is read.
pub(crate) struct Checked<'a> {
    contract: &'a Contract,
    operation: &'a Operation,
}

impl Contract {
    /// Reads a document. Only what can be enforced is accepted: local references, and bodies of
    /// JSON, forms and forms with files.
    pub fn parse(text: &str) -> Result<Self, ContractError> {
        if text.len() > MAX_DOCUMENT_BYTES {
            return Err(ContractError::Syntax("it is too long".into()));
        }
        let document: Value = serde_saphyr::from_str(text)
            .map_err(|error| ContractError::Syntax(portcullis_events::clean(&error.to_string())))?;
        let version = document["openapi"].as_str().unwrap_or_default();
        if !version.starts_with("3.0.") && !version.starts_with("3.1.") {
            return Err(ContractError::Version);
        }
        let reader = Reader::new(&document, version.starts_with("3.0."));
        let declared = reader.components[Direction::Response as usize].clone();
        let mut contract = Self { declared, ..Self::default() };
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
        let own = found.value.get(method);
        let reads = || found.value.get(&Method::GET).filter(|_| *method == Method::HEAD);
        let Some(operation) = own.or_else(reads) else {
            let unknown = vec![violation("/method", "unknown", "method")];
            return Err((StatusCode::METHOD_NOT_ALLOWED, unknown));
        };
        let path: Raw =
            found.params.iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        let Some(query) = read_query(query) else {
            let odd = vec![violation("/query", "encoding", "is not UTF-8")];
            return Err((StatusCode::BAD_REQUEST, odd));
        };
        let fields: Raw = headers
            .iter()
            .filter_map(|(name, value)| Some((name.to_string(), value.to_str().ok()?.to_owned())))
            .collect();
        let cookies = read_cookies(headers);
        let mut violations = Vec::new();
        for parameter in &operation.parameters {
            violations.extend(parameter.check(match parameter.place {
                Place::Path => &path,
                Place::Query => &query,
                Place::Header => &fields,
                Place::Cookie => &cookies,
            }));
        }
        let known = |name: &str| {
            let mut own = operation.parameters.iter().filter(|own| own.place == Place::Query);
            own.any(|parameter| parameter.owns(name))
        };
        let unknown = query.iter().filter(|(name, _)| !known(name));
        violations
            .extend(unknown.map(|(name, _)| at("/query", name, "unknown", "is not a parameter")));
        if violations.is_empty() {
            Ok(Checked { contract: self, operation })
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
    pub async fn check_body(&self, headers: &HeaderMap, body: &Bytes) -> Vec<ContractViolation> {
        let Some(rule) = &self.operation.body else {
            return match body.len() {
                0 => Vec::new(),
                _ => vec![violation("/body", "unknown", "there must be no body")],
            };
        };
        if body.is_empty() {
            let missing = vec![violation("/body", "missing", "a body is required")];
            return if rule.required { missing } else { Vec::new() };
        }
        // What is packed cannot be looked into without unpacking it, and may be very large then.
        if headers.contains_key(header::CONTENT_ENCODING) {
            return vec![violation("/body", "content_encoding", "must have been unpacked")];
        }
        let Ok(kind) = MediaType::of(headers) else {
            return vec![violation("/body", "content_type", "is not a media type")];
        };
        if kind.as_ref().is_some_and(|kind| !kind.is_utf8()) {
            return vec![violation("/body", "charset", "must be UTF-8")];
        }
        let kind = kind.map(|kind| kind.essence).unwrap_or_default();
        match rule.media.iter().find(|media| media.name == kind) {
            Some(media) => media.check(headers, body).await,
            None => {
                let names: Vec<&str> = rule.media.iter().map(|media| &*media.name).collect();
                let text = format!("the content type must be {}", names.join(" or "));
                vec![violation("/body", "content_type", &text)]
            }
        }
    }

    /// Whether the answer with this status and type is to be looked at.
    pub fn declares(&self, status: u16, headers: &HeaderMap) -> bool {
        let kind = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
        let kind = kind.and_then(|kind| kind.split(';').next()).unwrap_or_default();
        self.operation.answer(status).is_some()
            && document::is_json(&kind.trim().to_ascii_lowercase())
    }

    /// Takes out of an answer what was not declared.
    pub fn redact(&self, status: u16, body: &[u8]) -> Redacted {
        match self.operation.answer(status) {
            Some(answer) => self.contract.redact(answer, body),
            None => Redacted::Same,
        }
    }
}

fn against(validator: &Validator, value: &Value, prefix: &str) -> Vec<ContractViolation> {
    let errors = validator.iter_errors(value).take(MAX_VIOLATIONS);
    errors
        .map(|error| {
            let keyword = error.schema_path().to_string();
            let (code, message) = match keyword.rsplit('/').next().unwrap_or("schema") {
                "additionalProperties" | "unevaluatedProperties" => {
                    ("additionalProperties", "has members that are not declared".to_owned())
                }
                "not" => ("not", "must not be there".to_owned()),
                keyword => (keyword, format!("does not satisfy {keyword}")),
            };
            let code = code.to_owned();
            let pointer = portcullis_events::clean(&format!("{prefix}{}", error.instance_path()));
            let end = pointer.floor_char_boundary(MAX_POINTER_BYTES);
            ContractViolation { pointer: pointer[..end].to_owned(), code, message }
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

/// Names decoded, values as they were written. `None` if a name is not UTF-8.
fn read_query(query: &str) -> Option<Raw> {
    let pairs = query.split('&').filter(|pair| !pair.is_empty());
    pairs
        .map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let name = name.replace('+', " ");
            let name = percent_encoding::percent_decode_str(&name).decode_utf8().ok()?;
            Some((name.into_owned(), value.to_owned()))
        })
        .collect()
}

fn read_cookies(headers: &HeaderMap) -> Raw {
    let lines = headers.get_all(header::COOKIE).iter().filter_map(|line| line.to_str().ok());
    let pairs = lines.flat_map(|line| line.split(';')).filter_map(|pair| pair.split_once('='));
    pairs.map(|(name, value)| (name.trim().to_owned(), value.trim().to_owned())).collect()
}

fn part(at: &str, why: &str) -> ContractError {
    ContractError::Part { at: at.to_owned(), why: why.to_owned() }
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
        let body = Bytes::copy_from_slice(body.as_bytes());
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let found = runtime.block_on(checked.check_body(&headers, &body));
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

    const STYLES: &str = r##"
openapi: 3.1.0
paths:
  /p/{id}/{label}:
    post:
      parameters:
        - { name: id, in: path, required: true, schema: { type: array, items: { type: integer } } }
        - { name: label, in: path, required: true, style: label, schema: { type: integer } }
        - { name: deep, in: query, style: deepObject, schema: { $ref: "#/components/schemas/Deep" } }
        - { name: csv, in: query, explode: false, schema: { type: array, items: { type: integer } } }
        - { name: pipe, in: query, style: pipeDelimited, explode: false, schema: { type: array, items: { type: boolean } } }
        - { name: json, in: query, content: { application/json: { schema: { type: object, required: [a] } } } }
        - { name: X-Trace, in: header, schema: { type: string, format: uuid } }
        - { name: tracker, in: cookie, schema: { type: integer, maximum: 9 } }
      requestBody:
        content:
          application/x-www-form-urlencoded:
            schema: { type: object, required: [name], properties: { name: { type: string, maxLength: 5 }, age: { type: integer }, tag: { type: array, items: { type: string } } } }
          multipart/form-data:
            encoding: { file: { contentType: "image/png, image/*" } }
            schema: { type: object, properties: { note: { type: string }, file: { type: string, maxLength: 8 }, meta: { type: object, properties: { a: { type: integer } } } } }
          application/merge-patch+json:
            schema: { type: object, properties: { id: { type: integer, readOnly: true }, name: { type: string, pattern: "^[a-z]+$" } } }
      responses:
        "200":
          content:
            application/json:
              schema: { type: array, items: { $ref: "#/components/schemas/User" } }
        4XX:
          content: { application/problem+json: { schema: { type: object, properties: { title: { type: string } } } } }
components:
  schemas:
    Deep: { type: object, properties: { a: { type: integer }, b: { type: string } } }
    Base: { type: object, properties: { id: { type: integer } } }
    User:
      allOf:
        - { $ref: "#/components/schemas/Base" }
        - { type: object, required: [name], properties: { name: { type: string }, password: { type: string, writeOnly: true }, friends: { type: array, items: { $ref: "#/components/schemas/User" } }, extra: { type: object }, free: { type: object, properties: { x: {} }, additionalProperties: true } } }
"##;

    fn styles(path: &str, query: &str, fields: &[(&'static str, &str)]) -> Vec<String> {
        let contract = Contract::parse(STYLES).unwrap();
        let mut headers = HeaderMap::new();
        for (name, value) in fields {
            headers.insert(*name, value.parse().unwrap());
        }
        match contract.check_head(&Method::POST, path, query, &headers) {
            Ok(_) => Vec::new(),
            Err((_, found)) => {
                found.into_iter().map(|v| format!("{} {}", v.pointer, v.code)).collect()
            }
        }
    }

    #[test]
    fn every_style_is_read_as_it_is_written() {
        let good = "deep[a]=1&deep[b]=x&csv=1,2&pipe=true|false&json=%7B%22a%22%3A1%7D";
        let uuid = "0b9f6f6e-58c2-4a43-a3c8-5f4a0d5c5f5e";
        let fields = [("x-trace", uuid), ("cookie", "other=1; tracker=5")];
        assert!(
            styles("/p/1,2,3/.7", good, &fields).is_empty(),
            "{:?}",
            styles("/p/1,2,3/.7", good, &fields)
        );
        for (path, query, fields, found) in [
            ("/p/1,x/.7", "", &[][..], "/path/id/1 type"),
            ("/p/1/7", "", &[], "/path/label syntax"),
            ("/p/1/.7", "deep[a]=x", &[], "/query/deep/a type"),
            ("/p/1/.7", "deep[c]=x", &[], "/query/deep additionalProperties"),
            ("/p/1/.7", "deep[a]=1&deep[a]=2", &[], "/query/deep repeated"),
            ("/p/1/.7", "deep=1", &[], "/query/deep unknown"),
            ("/p/1/.7", "csv=1&csv=2", &[], "/query/csv repeated"),
            ("/p/1/.7", "csv=1%2C2", &[], "/query/csv/0 type"),
            ("/p/1/.7", "pipe=1", &[], "/query/pipe/0 type"),
            ("/p/1/.7", "json=%7B%7D", &[], "/query/json required"),
            ("/p/1/.7", "json=%7B", &[], "/query/json syntax"),
            ("/p/1/.7", "csv=%ff", &[], "/query/csv encoding"),
            ("/p/1/.7", "%ff=1", &[], "/query encoding"),
            ("/p/1/.7", "", &[("x-trace", "1")], "/header/x-trace format"),
            ("/p/1/.7", "", &[("cookie", "tracker=10")], "/cookie/tracker maximum"),
        ] {
            assert_eq!(styles(path, query, fields), [found], "{path}?{query} {fields:?}");
        }
    }

    fn sent(kind: &str, body: &str) -> Vec<String> {
        let contract = Contract::parse(STYLES).unwrap();
        let mut headers = HeaderMap::new();
        headers.insert(header::CONTENT_TYPE, kind.parse().unwrap());
        let Ok(checked) = contract.check_head(&Method::POST, "/p/1/.7", "", &headers) else {
            return vec!["head".into()];
        };
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let body = Bytes::copy_from_slice(body.as_bytes());
        let found = runtime.block_on(checked.check_body(&headers, &body));
        found.into_iter().map(|v| format!("{} {}", v.pointer, v.code)).collect()
    }

    #[test]
    fn forms_files_and_patches_are_checked() {
        const FORM: &str = "application/x-www-form-urlencoded";
        const PATCH: &str = "application/merge-patch+json; charset=utf-8";
        const FILES: &str = "multipart/form-data; boundary=B";
        let part = |head: &str, text: &str| {
            format!("--B\r\nContent-Disposition: form-data; {head}\r\n\r\n{text}\r\n")
        };
        let png = "name=\"file\"; filename=\"a.png\"\r\nContent-Type: image/png";
        let whole = |parts: &[String]| format!("{}--B--\r\n", parts.concat());
        for (kind, body, found) in [
            (FORM, "name=ada&age=7&tag=a&tag=b".to_owned(), &[][..]),
            (FORM, "name=ada&age=x".into(), &["/body/age type"]),
            (FORM, "name=toolong".into(), &["/body/name maxLength"]),
            (FORM, "age=1".into(), &["/body required"]),
            (FORM, "name=a&admin=1".into(), &["/body additionalProperties"]),
            (FORM, "name=a&name=b".into(), &["/body repeated"]),
            (FORM, "name=%ff".into(), &["/body syntax"]),
            (PATCH, r#"{"name":"ada"}"#.into(), &[]),
            (PATCH, r#"{"name":"ADA"}"#.into(), &["/body/name pattern"]),
            (PATCH, r#"{"id":1}"#.into(), &["/body/id not"]),
            ("application/merge-patch+json; charset=utf-16", "{}".into(), &["/body charset"]),
            ("text/xml", "<x/>".into(), &["/body content_type"]),
            (FILES, whole(&[part("name=\"note\"", "hi"), part(png, "12345678")]), &[]),
            (FILES, whole(&[part(png, "123456789")]), &["/body/file maxLength"]),
            (FILES, whole(&[part("name=\"file\"", "1")]), &["/body content_type"]),
            (FILES, whole(&[part("name=\"file\"; filename=\"../a\"", "1")]), &["/body file_name"]),
            (FILES, whole(&[part("name=\"meta\"", r#"{"a":"x"}"#)]), &["/body/meta/a type"]),
            (FILES, whole(&[part("name=\"meta\"", "{")]), &["/body syntax"]),
            (FILES, whole(&[part("name=\"other\"", "1")]), &["/body additionalProperties"]),
            (
                FILES,
                whole(&[part("name=\"note\"", "1"), part("name=\"note\"", "2")]),
                &["/body repeated"],
            ),
            (FILES, "--B\r\n".into(), &["/body syntax"]),
            ("multipart/form-data", "--B--".into(), &["/body syntax"]),
        ] {
            assert_eq!(sent(kind, &body), found, "{kind}: {body}");
        }
    }

    fn answered(status: u16, body: &str) -> Redacted {
        let contract = Contract::parse(STYLES).unwrap();
        let headers = HeaderMap::new();
        let checked = contract.check_head(&Method::POST, "/p/1/.7", "", &headers).ok().unwrap();
        checked.redact(status, body.as_bytes())
    }

    #[test]
    fn what_an_answer_does_not_declare_is_taken_out() {
        let same = r#"[{"id":1,"name":"a","extra":{"z":1},"free":{"x":1,"y":2}}]"#;
        assert_eq!(answered(200, same), Redacted::Same);
        let leaky =
            r#"[{"name":"a","hash":"h","friends":[{"name":"b","password":"p","ssn":[1]}]}]"#;
        let Redacted::Changed { body, removed } = answered(200, leaky) else { panic!() };
        let left: Value = serde_json::from_slice(&body).unwrap();
        assert_eq!(left, serde_json::json!([{ "name": "a", "friends": [{ "name": "b" }] }]));
        assert_eq!(removed, ["/0/friends/0/password", "/0/friends/0/ssn", "/0/hash"]);
        for unfit in [
            r#"[{"id":1}]"#,
            r#"{"name":"a"}"#,
            r#"[{"name":1}]"#,
            "[",
            r#"[{"name":"a","name":"b"}]"#,
        ] {
            assert!(matches!(answered(200, unfit), Redacted::Unfit(_)), "{unfit}");
        }
        assert!(matches!(answered(404, r#"{"title":"x","stack":"y"}"#), Redacted::Changed { .. }));
        assert_eq!(answered(500, r#"{"anything":1}"#), Redacted::Same, "nothing is declared");
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
            "openapi: 3.1.0\npaths: { /x: { get: { parameters: [{ name: a, in: query, style: matrix, schema: {} }] } } }",
            "openapi: 3.1.0\npaths: { /x: { get: { parameters: [{ name: a, in: query, style: deepObject, schema: { type: string } }] } } }",
            "openapi: 3.1.0\npaths: { /x: { get: { parameters: [{ name: a, in: query, schema: { pattern: \"(?=x)\" } }] } } }",
            "openapi: 3.1.0\npaths: { /x: { get: { parameters: [{ $ref: \"#/components/parameters/a\" }] } } }\ncomponents: { parameters: { a: { $ref: \"#/components/parameters/a\" } } }",
            "openapi: 3.1.0\npaths: { /x: { get: { parameters: [{ name: a, in: query, schema: { type: 7 } }] } } }",
        ] {
            assert!(Contract::parse(bad).is_err(), "{bad}");
        }
    }
}
