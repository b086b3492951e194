//! Bodies: JSON, forms, and forms with files.

use std::collections::BTreeMap;

use bytes::Bytes;
use http::{HeaderMap, header};
use portcullis_jose::from_slice_strict;
use serde_json::{Map, Value};

use super::{
    ContractViolation, against,
    parameter::{Kind, Primitive, coerce},
    violation,
};

/// Fields of a form, and parts of one with files.
const MAX_FIELDS: usize = 1_000;
const MAX_PARTS: usize = 100;

/// How a body is written.
pub(super) enum Format {
    Json,
    Form(BTreeMap<String, Kind>),
    Multipart(BTreeMap<String, Part>),
    /// Only its length counts.
    Opaque,
}

/// A part of a form with files.
pub(super) struct Part {
    pub kind: Kind,
    /// The media types it may have.
    pub types: Option<Vec<String>>,
}

type Refused = Vec<ContractViolation>;

impl super::Media {
    pub async fn check(&self, headers: &HeaderMap, body: &Bytes) -> Refused {
        let value = match &self.format {
            Format::Opaque => return Vec::new(),
            Format::Json => from_slice_strict::<Value>(body).map_err(|_| {
                let text = "not JSON, nested too deep, or with a repeated name";
                vec![violation("/body", "syntax", text)]
            }),
            Format::Form(fields) => form(fields, body),
            Format::Multipart(parts) => multipart(parts, headers, body).await,
        };
        match value {
            Ok(value) => against(&self.validator, &value, "/body"),
            Err(refused) => refused,
        }
    }
}

fn wrong(code: &str, text: &str) -> Refused {
    vec![violation("/body", code, text)]
}

/// `application/x-www-form-urlencoded`.
fn form(fields: &BTreeMap<String, Kind>, body: &[u8]) -> Result<Value, Refused> {
    let text = std::str::from_utf8(body).map_err(|_| wrong("syntax", "not UTF-8"))?;
    let mut given: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for pair in text.split('&').filter(|pair| !pair.is_empty()).take(MAX_FIELDS + 1) {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let plain = |text: &str| {
            let text = text.replace('+', " ");
            let text = percent_encoding::percent_decode_str(&text).decode_utf8();
            text.map(std::borrow::Cow::into_owned).map_err(|_| wrong("syntax", "not UTF-8"))
        };
        given.entry(plain(name)?).or_default().push(plain(value)?);
    }
    if given.values().map(Vec::len).sum::<usize>() > MAX_FIELDS {
        return Err(wrong("syntax", "too many fields"));
    }
    let mut object = Map::new();
    for (name, values) in given {
        object.insert(name.clone(), value(fields.get(&name), values)?);
    }
    Ok(object.into())
}

fn value(kind: Option<&Kind>, mut values: Vec<String>) -> Result<Value, Refused> {
    match kind {
        Some(Kind::Array(items)) => Ok(values.iter().map(|text| coerce(text, *items)).collect()),
        _ if values.len() > 1 => Err(wrong("repeated", "a field that may occur once is repeated")),
        Some(Kind::Object(_)) => {
            let text = values.pop().unwrap_or_default();
            let read = from_slice_strict(text.as_bytes());
            read.map_err(|_| wrong("syntax", "a field does not hold the JSON that it should"))
        }
        Some(Kind::One(kind)) => Ok(coerce(&values.pop().unwrap_or_default(), *kind)),
        None => Ok(coerce(&values.pop().unwrap_or_default(), Primitive::Text)),
    }
}

/// `multipart/form-data` (RFC 7578).
async fn multipart(
    parts: &BTreeMap<String, Part>,
    headers: &HeaderMap,
    body: &Bytes,
) -> Result<Value, Refused> {
    let syntax = || wrong("syntax", "not multipart/form-data");
    let kind = headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
    let boundary = multer::parse_boundary(kind.unwrap_or_default()).map_err(|_| syntax())?;
    let whole = body.clone();
    let stream = futures_util::stream::once(async move { Ok::<_, std::io::Error>(whole) });
    let mut form = multer::Multipart::new(stream, boundary);
    let (mut given, mut count): (BTreeMap<String, Vec<Value>>, usize) = (BTreeMap::new(), 0);
    while let Some(field) = form.next_field().await.map_err(|_| syntax())? {
        count += 1;
        if count > MAX_PARTS {
            return Err(wrong("syntax", "too many parts"));
        }
        let name = field.name().ok_or_else(syntax)?.to_owned();
        if field.file_name().is_some_and(is_bad_name) {
            return Err(wrong(
                "file_name",
                "a file name must not have slashes or control characters",
            ));
        }
        let own = parts.get(&name);
        let kind = field.content_type().map(|kind| kind.essence_str().to_ascii_lowercase());
        let kind = kind.unwrap_or_else(|| "text/plain".to_owned());
        if own.and_then(|own| own.types.as_ref()).is_some_and(|types| !fits(types, &kind)) {
            return Err(wrong("content_type", "a part has a type that it must not have"));
        }
        let bytes = field.bytes().await.map_err(|_| syntax())?;
        given.entry(name).or_default().push(part(own, &kind, &bytes)?);
    }
    let mut object = Map::new();
    for (name, mut values) in given {
        let many = parts.get(&name).is_some_and(|own| matches!(own.kind, Kind::Array(_)));
        let value = match (many, values.len()) {
            (true, _) => values.into(),
            (false, 1) => values.pop().unwrap_or_default(),
            _ => return Err(wrong("repeated", "a part that may occur once is repeated")),
        };
        object.insert(name, value);
    }
    Ok(object.into())
}

fn part(own: Option<&Part>, kind: &str, bytes: &[u8]) -> Result<Value, Refused> {
    let object = own.is_some_and(|own| matches!(own.kind, Kind::Object(_)));
    if super::document::is_json(kind) || object {
        let read = from_slice_strict(bytes);
        return read.map_err(|_| wrong("syntax", "a part does not hold the JSON that it should"));
    }
    // Of a file the schema can ask the length; a character for each byte keeps it.
    let text = match std::str::from_utf8(bytes) {
        Ok(text) => text.to_owned(),
        Err(_) => bytes.iter().map(|byte| char::from(*byte)).collect(),
    };
    Ok(match own.map(|own| &own.kind) {
        Some(Kind::One(kind) | Kind::Array(kind)) => coerce(&text, *kind),
        _ => text.into(),
    })
}

fn fits(types: &[String], kind: &str) -> bool {
    types.iter().any(|known| match known.strip_suffix("/*") {
        Some(family) => kind.split('/').next() == Some(family),
        None => known == kind,
    })
}

fn is_bad_name(name: &str) -> bool {
    name.contains(['/', '\\']) || name.chars().any(char::is_control) || name == ".."
}
