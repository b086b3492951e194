//! `Content-Type`, read as it is written (RFC 9110, section 8.3). Readers that split it where they
//! see a semicolon find other parameters than those that know quoted strings.

use http::{HeaderMap, HeaderValue, header};

/// A media type with its parameters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct MediaType {
    /// Type and subtype, lower case.
    pub essence: String,
    /// Names in lower case, each once.
    parameters: Vec<(String, String)>,
}

/// The field is there, and is not one media type.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Malformed;

/// Streams of JSON texts, which are no JSON text.
const STREAMS: [&str; 7] =
    ["json-seq", "x-ndjson", "ndjson", "jsonl", "jsonlines", "x-json-stream", "stream+json"];

impl MediaType {
    /// The type of a body, if it has one.
    pub fn of(headers: &HeaderMap) -> Result<Option<Self>, Malformed> {
        let mut fields = headers.get_all(header::CONTENT_TYPE).iter();
        let Some(field) = fields.next() else { return Ok(None) };
        match (fields.next(), field.to_str()) {
            (None, Ok(text)) => Self::parse(text).map(Some).ok_or(Malformed),
            _ => Err(Malformed),
        }
    }

    fn parse(text: &str) -> Option<Self> {
        let (essence, mut rest) = text.split_at(text.find(';').unwrap_or(text.len()));
        let essence = essence.trim_matches([' ', '\t']).to_ascii_lowercase();
        let (kind, subtype) = essence.split_once('/')?;
        let mut parameters: Vec<(String, String)> = Vec::new();
        if !is_token(kind) || !is_token(subtype) {
            return None;
        }
        while let Some(after) = rest.strip_prefix(';') {
            let after = after.trim_start_matches([' ', '\t']);
            if after.is_empty() || after.starts_with(';') {
                rest = after;
                continue;
            }
            let (name, after) = after.split_once('=')?;
            let name = name.to_ascii_lowercase();
            let (value, after) = value(after)?;
            let known = parameters.iter().any(|(known, _)| *known == name);
            if !is_token(&name) || known {
                return None;
            }
            parameters.push((name, value));
            rest = after.trim_start_matches([' ', '\t']);
        }
        rest.is_empty().then_some(Self { essence, parameters })
    }

    /// Whether a body of this type is one JSON text. Many services take for JSON whatever has it in
    /// its name.
    pub fn is_json(&self) -> bool {
        let subtype = self.essence.split_once('/').map_or("", |(_, subtype)| subtype);
        subtype.contains("json") && !STREAMS.contains(&subtype)
    }

    /// Whether nothing says that a text is in another encoding than UTF-8.
    pub fn is_utf8(&self) -> bool {
        let mut said = self.parameters.iter().filter(|(name, _)| name.starts_with("charset"));
        said.all(|(name, value)| name == "charset" && value.eq_ignore_ascii_case("utf-8"))
    }

    /// The same in the one way of writing it that everybody reads alike.
    pub fn canonical(&self) -> Option<HeaderValue> {
        let mut text = self.essence.clone();
        for (name, value) in &self.parameters {
            let plain = is_token(value);
            let value = if plain { value.clone() } else { quoted(value) };
            text.push_str(&format!("; {name}={value}"));
        }
        HeaderValue::try_from(text).ok()
    }
}

fn value(text: &str) -> Option<(String, &str)> {
    let Some(inner) = text.strip_prefix('"') else {
        let (token, after) = text.split_at(text.find([';', ' ', '\t']).unwrap_or(text.len()));
        return is_token(token).then(|| (token.to_owned(), after));
    };
    let (mut value, mut letters) = (String::new(), inner.char_indices());
    while let Some((at, letter)) = letters.next() {
        match letter {
            '"' => return Some((value, &inner[at + 1..])),
            '\\' => value.push(letters.next()?.1),
            other => value.push(other),
        }
    }
    None
}

fn quoted(value: &str) -> String {
    format!("\"{}\"", value.replace('\\', "\\\\").replace('"', "\\\""))
}

/// RFC 9110, section 5.6.2.
fn is_token(text: &str) -> bool {
    let letter = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b);
    !text.is_empty() && text.bytes().all(letter)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(value: &[u8]) -> Result<Option<MediaType>, Malformed> {
        let mut headers = HeaderMap::new();
        headers.append(header::CONTENT_TYPE, HeaderValue::from_bytes(value).unwrap());
        MediaType::of(&headers)
    }

    #[test]
    fn what_it_says_is_read_and_nothing_else() {
        let read = |text: &str| of(text.as_bytes()).unwrap().unwrap();
        for json in [
            "application/json",
            "Application/JSON ; charset=\"UTF-8\";",
            "application/merge-patch+json",
            "application/x-json",
            "text/json;a=\"b;c\"; d=e",
        ] {
            assert!(read(json).is_json() && read(json).is_utf8(), "{json}");
        }
        for other in ["text/plain", "application/x-ndjson", "application/json-seq", "image/png"] {
            assert!(!read(other).is_json(), "{other}");
        }
        for odd in [
            "application/json; charset=utf-7",
            "application/json; Charset=utf-7",
            r#"application/json; x="; charset=utf-8; "; charset=utf-7"#,
            r#"application/json; a="b\"; charset=utf-8; c=\""; charset=utf-7"#,
            "application/json; charset*=utf-8''utf-7",
        ] {
            assert!(read(odd).is_json() && !read(odd).is_utf8(), "{odd}");
        }
        let canonical = |text| read(text).canonical().unwrap();
        assert_eq!(canonical("Text/JSON;;A=\"b\\\"; c\";d=e"), r#"text/json; a="b\"; c"; d=e"#);
    }

    #[test]
    fn what_is_no_media_type_is_refused() {
        for bad in [
            &b""[..],
            b"json",
            b"application/json x",
            b"application/json, text/plain",
            b"application/json,",
            b"application/json\xa0",
            b"application/json; charset=utf-7; x=\"\xe9\"",
            b"application/json; charset =utf-7",
            b"application/json; charset= utf-7",
            b"application/json; charset",
            b"application/json; charset=utf-8; charset=utf-7",
            b"application/json; a=\"b",
            b"application/json; =b",
            b"application/json; a=b c=d",
            b"application/",
            b"/json",
        ] {
            assert_eq!(of(bad), Err(Malformed), "{:?}", String::from_utf8_lossy(bad));
        }
        assert_eq!(MediaType::of(&HeaderMap::new()), Ok(None));
    }
}
