//! Requests under HTTP/1.1: heads and chunked bodies, as the gate reads them, against a reader that
//! knows nothing but what RFC 9112 says of where a request ends.

use std::{
    convert::Infallible,
    sync::{Arc, Mutex, atomic::AtomicBool},
};

use http_body_util::{BodyExt, Empty};
use hyper::{
    Request, Response,
    body::{Bytes, Incoming},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::TokioIo;
use portcullis_gateway::{MAX_HEADERS, StrictLines};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, duplex},
    runtime,
};

/// Method, target and body of a request.
type Seen = (String, String, Vec<u8>);

/// The gate sees no request that the plain reader does not see, in no other order, and none with
/// another body: whoever stands behind it and reads plainly cannot be made to see something else.
pub fn http1(input: &[u8]) {
    // How the bytes are cut into pieces must not matter.
    let (pieces, input) = input
        .split_first()
        .map_or((1, input), |(first, rest)| (usize::from(*first % 40) + 1, rest));
    let (gate, plain) = (by_gate(input, pieces), by_plain_reader(input));
    assert!(gate.len() <= plain.len(), "{gate:?} is not {plain:?}");
    assert_eq!(gate, plain[..gate.len()]);
}

fn by_gate(input: &[u8], pieces: usize) -> Vec<Seen> {
    let runtime = runtime::Builder::new_current_thread().build().expect("a runtime");
    let seen = Arc::<Mutex<Vec<Seen>>>::default();
    let told = seen.clone();
    runtime.block_on(async move {
        let (mut client, server) = duplex(1 << 20);
        let service = service_fn(move |request: Request<Incoming>| {
            let told = told.clone();
            async move {
                let (head, body) = request.into_parts();
                let target = head.uri.to_string();
                if let Ok(body) = body.collect().await {
                    let seen = (head.method.to_string(), target, body.to_bytes().to_vec());
                    told.lock().expect("no panic before").push(seen);
                }
                Ok::<_, Infallible>(Response::new(Empty::<Bytes>::new()))
            }
        });
        let strict = StrictLines::new(server, Arc::new(AtomicBool::new(false)));
        let serving = http1::Builder::new()
            .max_headers(MAX_HEADERS)
            .max_buf_size(64 * 1024)
            .serve_connection(TokioIo::new(strict), service);
        let asking = async {
            for piece in input.chunks(input.len().div_ceil(pieces).max(1)) {
                if client.write_all(piece).await.is_err() {
                    break;
                }
                tokio::task::yield_now().await;
            }
            let _ = client.shutdown().await;
            let _ = client.read_to_end(&mut Vec::new()).await;
        };
        let _ = tokio::join!(serving, asking);
    });
    let seen = seen.lock().expect("no panic before");
    seen.clone()
}

/// Lines end in CRLF; a body is as long as its head says, chunks if it says so.
fn by_plain_reader(input: &[u8]) -> Vec<Seen> {
    let (mut seen, mut rest) = (Vec::new(), input);
    while let Some((request, after)) = next(rest) {
        seen.push(request);
        rest = after;
    }
    seen
}

fn next(mut rest: &[u8]) -> Option<(Seen, &[u8])> {
    let mut start = line(&mut rest)?;
    while start.is_empty() {
        start = line(&mut rest)?;
    }
    let start = std::str::from_utf8(start).ok()?;
    let mut words = start.split(' ');
    let (method, target) = (words.next()?.to_owned(), words.next()?.to_owned());
    let (mut length, mut chunked) = (0, false);
    loop {
        let field = line(&mut rest)?;
        if field.is_empty() {
            break;
        }
        let colon = field.iter().position(|byte| *byte == b':')?;
        let (name, value) = (&field[..colon], field[colon + 1..].trim_ascii());
        if name.eq_ignore_ascii_case(b"content-length") {
            length = std::str::from_utf8(value).ok()?.parse().ok()?;
        }
        chunked |= name.eq_ignore_ascii_case(b"transfer-encoding");
    }
    let mut body = Vec::new();
    if !chunked {
        let (own, after) = rest.split_at_checked(length)?;
        return Some(((method, target, own.to_vec()), after));
    }
    loop {
        let size = line(&mut rest)?;
        let digits = size.iter().take_while(|byte| byte.is_ascii_hexdigit()).count();
        let size = usize::from_str_radix(std::str::from_utf8(&size[..digits]).ok()?, 16).ok()?;
        if size == 0 {
            break;
        }
        let (piece, after) = rest.split_at_checked(size)?;
        body.extend_from_slice(piece);
        rest = after.strip_prefix(b"\r\n")?;
    }
    while !line(&mut rest)?.is_empty() {}
    Some(((method, target, body), rest))
}

fn line<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    let end = rest.windows(2).position(|two| two == b"\r\n")?;
    let (line, after) = rest.split_at(end);
    *rest = &after[2..];
    Some(line)
}

/// Inputs to begin with; the first byte says how they are cut.
pub const HTTP1: &[&[u8]] = &[
    b"\x05GET /a HTTP/1.1\r\nHost: a\r\n\r\nPOST /b HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhelloGET /c HTTP/1.1\r\nHost: a\r\n\r\n",
    b"\x09POST /b HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5;a=b\r\nhello\r\nA\r\n0123456789\r\n0\r\nT: x\r\n\r\nGET /c HTTP/1.1\r\nHost: a\r\n\r\n",
    b"\x01POST /b HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n0\r\n\r\nGET /c HTTP/1.1\r\nHost: a\r\n\r\n",
];
