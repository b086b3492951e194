//! Strict checks of a request's head, before anything is done with it. What could be read in two
//! ways is refused.

use http::{HeaderMap, HeaderName, Method, Request, StatusCode, Version, header, uri::Authority};
use portcullis_events::Stage;

use crate::{answer::Refusal, path::normalise};

/// Header fields of a request.
pub const MAX_HEADERS: usize = 100;
/// Bytes of all header fields together.
pub const MAX_HEADER_BYTES: usize = 32 * 1024;
/// Bytes of the request target.
pub const MAX_URI_BYTES: usize = 8 * 1024;

/// Fields that may occur only once: two would let two readers choose differently.
const SINGLE: [HeaderName; 7] = [
    header::EXPECT,
    header::HOST,
    header::CONTENT_LENGTH,
    header::CONTENT_TYPE,
    header::AUTHORIZATION,
    header::TRANSFER_ENCODING,
    header::ORIGIN,
];

/// What the guard found out about a request.
#[derive(Debug)]
pub(crate) struct Head {
    /// The canonical path.
    pub path: String,
    /// The host, lower case, with its port if one was given.
    pub host: String,
    /// Whether it asks to become a WebSocket.
    pub upgrade: bool,
}

pub(crate) fn check<B>(request: &Request<B>) -> Result<Head, Refusal> {
    let headers = request.headers();
    check_size(request)?;
    if matches!(*request.method(), Method::CONNECT | Method::TRACE) {
        return Err(refuse(StatusCode::METHOD_NOT_ALLOWED, "method", "the method is not allowed"));
    }
    for name in SINGLE {
        if headers.get_all(&name).iter().nth(1).is_some() {
            return Err(bad("repeated_header", "a header field that may occur once is repeated"));
        }
    }
    check_framing(headers)?;
    if headers.get(header::EXPECT).is_some_and(|value| value != "100-continue") {
        let status = StatusCode::EXPECTATION_FAILED;
        return Err(refuse(status, "expectation", "only 100-continue can be expected"));
    }
    Ok(Head {
        path: normalise(request.uri().path()).map_err(|error| bad("path", &error.to_string()))?,
        host: host(request)?,
        upgrade: upgrade(request)?,
    })
}

fn check_size<B>(request: &Request<B>) -> Result<(), Refusal> {
    let headers = request.headers();
    let bytes: usize = headers.iter().map(|(name, value)| name.as_str().len() + value.len()).sum();
    if headers.len() > MAX_HEADERS || bytes > MAX_HEADER_BYTES {
        let status = StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE;
        return Err(refuse(status, "headers_too_large", "the header fields are too large"));
    }
    let target = request.uri().path_and_query().map_or(0, |target| target.as_str().len());
    if target > MAX_URI_BYTES {
        return Err(refuse(StatusCode::URI_TOO_LONG, "uri_too_long", "the target is too long"));
    }
    Ok(())
}

/// Request smuggling lives on messages whose end can be found in two ways.
fn check_framing(headers: &HeaderMap) -> Result<(), Refusal> {
    let encoding = headers.get(header::TRANSFER_ENCODING);
    if encoding.is_some_and(|value| !value.as_bytes().eq_ignore_ascii_case(b"chunked")) {
        return Err(bad("transfer_encoding", "the only transfer encoding is chunked"));
    }
    if encoding.is_some() && headers.contains_key(header::CONTENT_LENGTH) {
        return Err(bad("framing", "a message has a length or is chunked, not both"));
    }
    let length = headers.get(header::CONTENT_LENGTH);
    let digits = |value: &http::HeaderValue| value.as_bytes().iter().all(u8::is_ascii_digit);
    if length.is_some_and(|value| value.is_empty() || !digits(value)) {
        return Err(bad("content_length", "the content length must be a number"));
    }
    Ok(())
}

/// The one host of the request. An absolute target or `:authority` must say the same as `Host`.
fn host<B>(request: &Request<B>) -> Result<String, Refusal> {
    let wrong = || bad("host", "the host is missing, malformed or contradictory");
    let named = request.headers().get(header::HOST).map(|value| value.to_str());
    let named = named.transpose().map_err(|_| wrong())?;
    let target = request.uri().authority().map(Authority::as_str);
    let text = match (named, target) {
        (Some(named), Some(target)) if !named.eq_ignore_ascii_case(target) => return Err(wrong()),
        (Some(text), _) | (None, Some(text)) => text,
        (None, None) => return Err(wrong()),
    };
    let authority: Authority = text.parse().map_err(|_| wrong())?;
    // A dot at the end is another spelling of the same name.
    let odd = authority.host().is_empty() || authority.host().ends_with('.');
    if text.contains('@') || odd || text.len() > 255 + 6 {
        return Err(wrong());
    }
    Ok(text.to_ascii_lowercase())
}

fn upgrade<B>(request: &Request<B>) -> Result<bool, Refusal> {
    let Some(wanted) = request.headers().get(header::UPGRADE) else {
        return Ok(false);
    };
    // Browsers offer h2c now and then; an offer that is not taken up may be ignored.
    if request.version() != Version::HTTP_11
        || !wanted.as_bytes().eq_ignore_ascii_case(b"websocket")
    {
        return Ok(false);
    }
    let connection = request.headers().get_all(header::CONNECTION).iter();
    let words = connection.filter_map(|value| value.to_str().ok()).flat_map(|v| v.split(','));
    if !words.into_iter().any(|word| word.trim().eq_ignore_ascii_case("upgrade")) {
        // RFC 9110, section 7.8: without this it was meant for somebody else, or for nobody.
        return Ok(false);
    }
    if request.method() == Method::GET {
        Ok(true)
    } else {
        Err(bad("upgrade", "only GET can become a WebSocket"))
    }
}

fn bad(reason: &'static str, detail: &str) -> Refusal {
    refuse(StatusCode::BAD_REQUEST, reason, detail)
}

fn refuse(status: StatusCode, reason: &'static str, detail: &str) -> Refusal {
    Refusal::new(Stage::Guard, status, reason, detail)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(headers: &[(&str, &str)]) -> Request<()> {
        let mut request = Request::builder().uri("/x").header("host", "gate.example");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request.body(()).unwrap()
    }

    #[test]
    fn framing_that_can_be_read_twice_is_refused() {
        for headers in [
            &[("content-length", "1"), ("transfer-encoding", "chunked")][..],
            &[("transfer-encoding", "gzip, chunked")],
            &[("transfer-encoding", "xchunked")],
            &[("content-length", "1"), ("content-length", "2")],
            &[("content-length", "+1")],
            &[("content-length", "")],
            &[("host", "other.example")],
            &[("authorization", "a"), ("authorization", "b")],
        ] {
            assert!(check(&request(headers)).is_err(), "{headers:?}");
        }
        assert!(check(&request(&[("transfer-encoding", "Chunked")])).is_ok());
    }

    #[test]
    fn the_host_is_one_and_the_same() {
        let with = |uri: &str, host: Option<&str>| {
            let mut request = Request::builder().uri(uri);
            if let Some(host) = host {
                request = request.header("host", host);
            }
            check(&request.body(()).unwrap()).map(|head| head.host)
        };
        assert_eq!(with("https://GATE.example/x", Some("gate.EXAMPLE")).unwrap(), "gate.example");
        assert!(with("https://a.example/x", Some("b.example")).is_err());
        assert!(with("/x", None).is_err());
        assert!(with("/x", Some("u@gate.example")).is_err());
        assert!(with("/x", Some("gate.example/y")).is_err());
    }
}
