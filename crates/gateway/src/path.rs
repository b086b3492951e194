//! One spelling for every path. The same text is matched, authorised, logged and forwarded.

/// The path has more than one meaning, so it has none here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PathError {
    /// It does not begin with a slash.
    #[error("the path must begin with a slash")]
    Relative,
    /// A percent sign without two hexadecimal digits after it.
    #[error("the path has a malformed percent-encoding")]
    Encoding,
    /// An encoded slash, backslash, percent sign or control character, or a raw one.
    #[error("the path has a character that servers read in different ways")]
    Character,
    /// `.`, `..` or an empty segment.
    #[error("the path has an empty or dot segment")]
    Segment,
    /// `;` begins parameters for some servers and not for others.
    #[error("the path has parameters")]
    Parameter,
    /// The decoded bytes are not UTF-8.
    #[error("the path is not UTF-8")]
    Utf8,
}

/// The canonical form of `raw`: unreserved characters plain, everything else percent-encoded with
/// capital digits (RFC 3986, section 6.2.2). What is ambiguous is refused.
///
/// ```
/// use portcullis_gateway::normalise;
/// assert_eq!(normalise("/%6Cogin").unwrap(), "/login");
/// assert!(normalise("/public/../admin").is_err());
/// ```
pub fn normalise(raw: &str) -> Result<String, PathError> {
    if !raw.starts_with('/') {
        return Err(PathError::Relative);
    }
    if is_canonical(raw) {
        return Ok(raw.to_owned());
    }
    let decoded = decode(raw.as_bytes())?;
    let text = String::from_utf8(decoded).map_err(|_| PathError::Utf8)?;
    let segments = text[1..].split('/');
    let count = segments.clone().count();
    for (place, segment) in segments.enumerate() {
        let last = place + 1 == count;
        if segment == "." || segment == ".." || (segment.is_empty() && !last) {
            return Err(PathError::Segment);
        }
        if segment.contains(';') {
            return Err(PathError::Parameter);
        }
    }
    Ok(encode(&text))
}

/// Most paths are written in one way only, and need no second look: nothing encoded, no `;`, and no
/// segment that is empty or begins with a dot.
fn is_canonical(raw: &str) -> bool {
    let plain = |b: &u8| is_plain(*b);
    let bytes = raw.as_bytes();
    let doubtful = |pair: &[u8]| pair[0] == b'/' && matches!(pair[1], b'/' | b'.');
    bytes.iter().all(plain) && !bytes.windows(2).any(doubtful)
}

/// RFC 3986: unreserved, sub-delims without ';', ':', '@' and the slash.
fn is_plain(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._~!$&'()*+,=:@/".contains(&byte)
}

fn decode(raw: &[u8]) -> Result<Vec<u8>, PathError> {
    let mut decoded = Vec::with_capacity(raw.len());
    let mut rest = raw;
    while let Some((&byte, tail)) = rest.split_first() {
        let value = if byte == b'%' {
            let [high, low, ..] = *tail else {
                return Err(PathError::Encoding);
            };
            let digit = |b: u8| char::from(b).to_digit(16).and_then(|d| u8::try_from(d).ok());
            let (Some(high), Some(low)) = (digit(high), digit(low)) else {
                return Err(PathError::Encoding);
            };
            let value = high * 16 + low;
            if matches!(value, b'/' | b'\\' | b'%') || value.is_ascii_control() {
                return Err(PathError::Character);
            }
            rest = &tail[2..];
            value
        } else {
            if !byte.is_ascii_graphic() || matches!(byte, b'\\' | b'?' | b'#') {
                return Err(PathError::Character);
            }
            rest = tail;
            byte
        };
        decoded.push(value);
    }
    Ok(decoded)
}

fn encode(text: &str) -> String {
    let mut path = String::with_capacity(text.len());
    for byte in text.bytes() {
        if is_plain(byte) {
            path.push(char::from(byte));
        } else {
            path.push_str(&format!("%{byte:02X}"));
        }
    }
    path
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spellings_of_one_path_become_one() {
        for (raw, path) in [
            ("/", "/"),
            ("/login", "/login"),
            ("/%6c%6Fgin", "/login"),
            ("/a/", "/a/"),
            ("/caf%c3%a9", "/caf%C3%A9"),
            ("/a%20b", "/a%20b"),
            ("/a:b@c", "/a:b@c"),
        ] {
            assert_eq!(normalise(raw).unwrap(), path, "{raw}");
        }
    }

    /// Rule R14: what servers read in different ways is refused.
    #[test]
    fn r14_ambiguous_paths_are_refused() {
        for raw in [
            "",
            "login",
            "/a/../b",
            "/a/./b",
            "/..",
            "/a/%2e%2e/b",
            "/a/%2E./b",
            "//a",
            "/a//b",
            "/a%2fb",
            "/a%2Fb",
            "/a%5cb",
            "/a\\b",
            "/a;x=1",
            "/a%3bx",
            "/a%00",
            "/a%0d%0ab",
            "/a%",
            "/a%4",
            "/a%zz",
            "/a%252e",
            "/%c0%ae%c0%ae/",
            "/a%ff",
            "/a b",
            "/é",
            "/a%7f",
        ] {
            assert!(normalise(raw).is_err(), "{raw:?}");
        }
    }

    #[test]
    fn the_canonical_form_is_a_fixed_point() {
        for raw in ["/a%20b", "/caf%C3%A9", "/x/{y}", "/a%22"] {
            let Ok(once) = normalise(raw) else { continue };
            assert_eq!(normalise(&once).unwrap(), once);
        }
    }
}
