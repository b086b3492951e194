//! Watches what hyper reads under HTTP/1.1 and breaks off where it would be lenient: lines that end
//! in a bare LF (RFC 9112, section 2.2, lets a recipient take them; two recipients that differ are
//! how requests are smuggled), and a target with a fragment, which it would drop in silence.
//!
//! It follows heads and bodies just far enough to know where the next head begins. It changes
//! nothing: where it and hyper could differ, it has broken off.

use std::{
    io,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, ready},
};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// A line is remembered up to this length; a head has its own limit elsewhere.
const MAX_LINE: usize = 64 * 1024;

/// What is read next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Expects {
    RequestLine,
    Field,
    /// So many bytes of a body.
    Body(u64),
    ChunkSize,
    /// So many bytes of a chunk, the line end after it included.
    Chunk(u64),
    Trailer,
    /// Nothing: hyper refuses what came, and says so.
    End,
}

/// The state of one connection.
#[derive(Debug)]
pub(crate) struct Lines {
    expects: Expects,
    /// The line that is not over yet.
    line: Vec<u8>,
    length: Option<u64>,
    chunked: bool,
}

/// The bytes are not what they should be.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Lenient;

impl Default for Lines {
    fn default() -> Self {
        Self { expects: Expects::RequestLine, line: Vec::new(), length: None, chunked: false }
    }
}

impl Lines {
    /// Takes in what was read.
    pub fn feed(&mut self, mut bytes: &[u8]) -> Result<(), Lenient> {
        while !bytes.is_empty() {
            match self.expects {
                Expects::End => return Ok(()),
                Expects::Body(left) | Expects::Chunk(left) => {
                    let taken = left.min(bytes.len() as u64);
                    let left = left - taken;
                    bytes = &bytes[usize::try_from(taken).unwrap_or(bytes.len())..];
                    self.expects = match self.expects {
                        Expects::Body(_) if left > 0 => Expects::Body(left),
                        Expects::Chunk(_) if left > 0 => Expects::Chunk(left),
                        Expects::Chunk(_) => Expects::ChunkSize,
                        _ => Expects::RequestLine,
                    };
                }
                _ => match bytes.iter().position(|byte| *byte == b'\n') {
                    None => {
                        self.line.extend_from_slice(bytes);
                        return if self.line.len() > MAX_LINE { Err(Lenient) } else { Ok(()) };
                    }
                    Some(end) => {
                        let mut line = std::mem::take(&mut self.line);
                        line.extend_from_slice(&bytes[..end]);
                        bytes = &bytes[end + 1..];
                        let whole = line.strip_suffix(b"\r").ok_or(Lenient)?;
                        self.take(whole)?;
                        line.clear();
                        self.line = line;
                    }
                },
            }
        }
        Ok(())
    }

    fn take(&mut self, line: &[u8]) -> Result<(), Lenient> {
        if line.contains(&b'\r') {
            return Err(Lenient);
        }
        self.expects = match self.expects {
            // An empty line before a request may be skipped (section 2.2).
            Expects::RequestLine if line.is_empty() => Expects::RequestLine,
            Expects::RequestLine => {
                let fine = line.iter().filter(|byte| **byte == b' ').count() == 2;
                if !fine || line.contains(&b'#') {
                    return Err(Lenient);
                }
                (self.length, self.chunked) = (None, false);
                Expects::Field
            }
            Expects::Field if line.is_empty() => match (self.chunked, self.length) {
                (true, _) => Expects::ChunkSize,
                (false, Some(length)) if length > 0 => Expects::Body(length),
                _ => Expects::RequestLine,
            },
            Expects::Field => {
                self.field(line)?;
                Expects::Field
            }
            Expects::ChunkSize => {
                let digits = line.iter().take_while(|byte| byte.is_ascii_hexdigit()).count();
                let text = std::str::from_utf8(&line[..digits]).map_err(|_| Lenient)?;
                match u64::from_str_radix(text, 16).map(|size| (size, size.checked_add(2))) {
                    Ok((0, _)) => Expects::Trailer,
                    Ok((_, Some(with_end))) => Expects::Chunk(with_end),
                    _ => Expects::End,
                }
            }
            Expects::Trailer if line.is_empty() => Expects::RequestLine,
            Expects::Trailer => Expects::Trailer,
            same => same,
        };
        Ok(())
    }

    /// Only what says where the next head begins. Whether it may say so is decided by the guard,
    /// which closes the connection where it may not.
    fn field(&mut self, line: &[u8]) -> Result<(), Lenient> {
        let colon = line.iter().position(|byte| *byte == b':').ok_or(Lenient)?;
        let (name, value) = (&line[..colon], line[colon + 1..].trim_ascii());
        if name.eq_ignore_ascii_case(b"transfer-encoding") {
            self.chunked = true;
        } else if name.eq_ignore_ascii_case(b"content-length") {
            let text = std::str::from_utf8(value).map_err(|_| Lenient)?;
            // A sign is read by some and not by others.
            let digits = value.iter().all(u8::is_ascii_digit);
            let length = text.parse::<u64>().ok().filter(|_| digits).ok_or(Lenient)?;
            if self.length.is_some_and(|known| known != length) {
                return Err(Lenient);
            }
            self.length = Some(length);
        }
        Ok(())
    }
}

/// A connection whose lines are watched, until it speaks another protocol: reading fails where two
/// readers of HTTP/1.1 could differ.
#[derive(Debug)]
pub struct StrictLines<S> {
    stream: S,
    lines: Lines,
    switched: Arc<AtomicBool>,
}

impl<S> StrictLines<S> {
    /// `switched` says when it speaks another protocol.
    pub fn new(stream: S, switched: Arc<AtomicBool>) -> Self {
        Self { stream, lines: Lines::default(), switched }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for StrictLines<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = into.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(cx, into))?;
        if !self.switched.load(Ordering::Relaxed)
            && self.lines.feed(&into.filled()[before..]).is_err()
        {
            into.set_filled(before);
            let text = "the request can be read in two ways";
            return Poll::Ready(Err(io::Error::new(io::ErrorKind::InvalidData, text)));
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for StrictLines<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(bytes: &[u8], step: usize) -> Result<(), Lenient> {
        let mut lines = Lines::default();
        bytes.chunks(step).try_for_each(|piece| lines.feed(piece))
    }

    #[test]
    fn good_requests_pass_in_whatever_pieces_they_come() {
        let good: &[&[u8]] = &[
            b"GET / HTTP/1.1\r\nHost: a\r\n\r\nGET /b HTTP/1.1\r\nHost: a\r\n\r\n",
            b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\na\nb\r\nGET / HTTP/1.1\r\n\r\n",
            b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n3;x=1\r\na\nb\r\n0\r\nT: x\r\n\r\nGET / HTTP/1.1\r\n\r\n",
            b"\r\nGET / HTTP/1.1\r\n\r\n",
        ];
        for bytes in good {
            for step in [1, 2, 3, 7, 1_000] {
                assert_eq!(read(bytes, step), Ok(()), "{:?}", String::from_utf8_lossy(bytes));
            }
        }
    }

    #[test]
    fn what_others_could_read_differently_does_not() {
        let bad: &[&[u8]] = &[
            b"GET / HTTP/1.1\nHost: a\n\n",
            b"GET / HTTP/1.1\r\nHost: a\nX: b\r\n\r\n",
            b"GET / HTTP/1.1\r\nHost: a\rX: b\r\n\r\n",
            b"GET /a#b HTTP/1.1\r\n\r\n",
            b"GET  / HTTP/1.1\r\n\r\n",
            b"GET /\r\n\r\n",
            b"GET / HTTP/1.1\r\nno colon\r\n\r\n",
            b"GET / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
            b"GET / HTTP/1.1\r\nContent-Length: 1, 2\r\n\r\n",
            b"GET / HTTP/1.1\r\nContent-Length: +1\r\n\r\n",
            b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n1\nZ\n0\n\n",
            b"POST / HTTP/1.1\r\nContent-Length: 1\r\n\r\nZGET / HTTP/1.1\n\n",
        ];
        for bytes in bad {
            for step in [1, 5, 1_000] {
                assert_eq!(read(bytes, step), Err(Lenient), "{:?}", String::from_utf8_lossy(bytes));
            }
        }
    }
}
