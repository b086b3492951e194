//! What a client says first in TLS, as a fingerprint of the software that says it: JA4 (FoxIO, "JA4: TLS client
//! fingerprinting"), of connections over TCP.
//!
//! It tells programs apart, and no people: every copy of one browser has the same. Whoever wants to can send what a
//! browser sends, so that it is a reason to look and never a proof.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll},
};

use aws_lc_rs::digest::{SHA256, digest};
use data_encoding::HEXLOWER;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Bytes at the beginning of a connection that are looked at. With keys that withstand quantum computers a hello has
/// about 2 KiB.
const MAX_BYTES: usize = 8 * 1024;
/// What stands for a hello that is longer, or is not understood here: no browser has such a one.
pub(crate) const UNREAD: &str = "unread";

const RECORD_HANDSHAKE: u8 = 22;
const CLIENT_HELLO: u8 = 1;
const SERVER_NAME: u16 = 0;
const SIGNATURE_ALGORITHMS: u16 = 13;
const ALPN: u16 = 16;
const SUPPORTED_VERSIONS: u16 = 43;
/// Where there is nothing to digest.
const NOTHING: &str = "000000000000";

/// A stream that keeps what comes first on it, until that is taken.
#[derive(Debug)]
pub(crate) struct Overhear<S> {
    stream: S,
    heard: Option<Vec<u8>>,
}

impl<S> Overhear<S> {
    pub(crate) fn new(stream: S) -> Self {
        Self { stream, heard: Some(Vec::new()) }
    }

    /// What was heard; from now on nothing is kept any more.
    pub(crate) fn heard(&mut self) -> Vec<u8> {
        self.heard.take().unwrap_or_default()
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Overhear<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = into.filled().len();
        let polled = Pin::new(&mut self.stream).poll_read(context, into);
        if let Some(heard) = &mut self.heard {
            let came = into.filled().get(before..).unwrap_or_default();
            let room = MAX_BYTES - heard.len();
            heard.extend_from_slice(&came[..came.len().min(room)]);
        }
        polled
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Overhear<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

/// The fingerprint of the ClientHello (RFC 8446, section 4.1.2) in the records at the beginning of a connection, like
/// `t13d1516h2_8daaf6152771_e5627efa2ab1`; nothing if there is no whole one in its first 8 KiB.
pub fn ja4(records: &[u8]) -> Option<String> {
    let message = message(&records[..records.len().min(MAX_BYTES)])?;
    let hello = Hello::read(&message)?;
    Some(hello.fingerprint())
}

/// The handshake message that the first records hold, without its head.
fn message(records: &[u8]) -> Option<Vec<u8>> {
    let mut left = Bytes(records);
    let mut message = Vec::new();
    loop {
        if let [kind, a, b, c, body @ ..] = &message[..] {
            let length = u32::from_be_bytes([0, *a, *b, *c]) as usize;
            if *kind != CLIENT_HELLO {
                return None;
            }
            if body.len() >= length {
                return Some(body[..length].to_vec());
            }
        }
        let [kind, ..] = *left.take(3)? else { return None };
        if kind != RECORD_HANDSHAKE {
            return None;
        }
        message.extend_from_slice(left.list_16()?.0);
    }
}

/// What counts of a hello.
struct Hello<'a> {
    version: u16,
    ciphers: Vec<u16>,
    extensions: Vec<u16>,
    algorithms: Vec<u16>,
    protocol: Option<&'a [u8]>,
}

impl<'a> Hello<'a> {
    fn read(message: &'a [u8]) -> Option<Self> {
        let mut left = Bytes(message);
        let version = left.number()?;
        left.take(32)?;
        left.list_8()?;
        let ciphers = left.list_16()?.numbers();
        left.list_8()?;
        let mut hello = Self {
            version,
            ciphers,
            extensions: Vec::new(),
            algorithms: Vec::new(),
            protocol: None,
        };
        // Before TLS 1.2 there may be none at all.
        let mut each = if left.0.is_empty() { left } else { left.list_16()? };
        while !each.0.is_empty() {
            let (kind, mut body) = (each.number()?, each.list_16()?);
            match kind {
                SUPPORTED_VERSIONS => {
                    let versions = body.list_8()?.numbers();
                    hello.version = versions.into_iter().max().unwrap_or(version);
                }
                SIGNATURE_ALGORITHMS => hello.algorithms = body.list_16()?.numbers(),
                ALPN => hello.protocol = Some(body.list_16()?.list_8()?.0),
                _ => {}
            }
            hello.extensions.push(kind);
        }
        hello.extensions.retain(|kind| !is_grease(*kind));
        Some(hello)
    }

    fn fingerprint(mut self) -> String {
        let version = match self.version {
            0x0304 => "13",
            0x0303 => "12",
            0x0302 => "11",
            0x0301 => "10",
            0x0300 => "s3",
            0x0002 => "s2",
            _ => "00",
        };
        let name = if self.extensions.contains(&SERVER_NAME) { 'd' } else { 'i' };
        let (ciphers, extensions) = (self.ciphers.len().min(99), self.extensions.len().min(99));
        let [first, last] = self.protocol.map_or(['0', '0'], ends);
        // Browsers send both in another order each time.
        self.ciphers.sort_unstable();
        self.extensions.retain(|kind| ![SERVER_NAME, ALPN].contains(kind));
        self.extensions.sort_unstable();
        let mut said = joined(&self.extensions);
        if !self.algorithms.is_empty() && !said.is_empty() {
            said = format!("{said}_{}", joined(&self.algorithms));
        }
        let (second, third) = (shortened(&joined(&self.ciphers)), shortened(&said));
        format!("t{version}{name}{ciphers:02}{extensions:02}{first}{last}_{second}_{third}")
    }
}

/// The first and the last sign of a protocol; of its hexadecimal form if they are no letters or digits.
fn ends(protocol: &[u8]) -> [char; 2] {
    let (Some(first), Some(last)) = (protocol.first(), protocol.last()) else { return ['0', '0'] };
    if first.is_ascii_alphanumeric() && last.is_ascii_alphanumeric() {
        return [char::from(*first), char::from(*last)];
    }
    let digit = |number: u8| char::from_digit(number.into(), 16).unwrap_or('0');
    [digit(first >> 4), digit(last & 15)]
}

fn joined(numbers: &[u16]) -> String {
    numbers.iter().map(|number| format!("{number:04x}")).collect::<Vec<_>>().join(",")
}

fn shortened(text: &str) -> String {
    if text.is_empty() {
        return NOTHING.to_owned();
    }
    let mut hex = HEXLOWER.encode(digest(&SHA256, text.as_bytes()).as_ref());
    hex.truncate(NOTHING.len());
    hex
}

/// RFC 8701: numbers that mean nothing, and are another one each time.
fn is_grease(number: u16) -> bool {
    number & 0x0f0f == 0x0a0a && number >> 8 == number & 0xff
}

/// What is left to read.
struct Bytes<'a>(&'a [u8]);

impl<'a> Bytes<'a> {
    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, left) = self.0.split_at_checked(count)?;
        self.0 = left;
        Some(taken)
    }

    fn number(&mut self) -> Option<u16> {
        self.take(2)?.try_into().ok().map(u16::from_be_bytes)
    }

    /// What has its length in one byte before it.
    fn list_8(&mut self) -> Option<Self> {
        let length = *self.take(1)?.first()?;
        self.take(length.into()).map(Self)
    }

    /// What has its length in two bytes before it.
    fn list_16(&mut self) -> Option<Self> {
        let length = self.number()?;
        self.take(length.into()).map(Self)
    }

    /// All of it as numbers, without those that mean nothing.
    fn numbers(&self) -> Vec<u16> {
        let pairs = self.0.chunks_exact(2);
        let numbers = pairs.filter_map(|pair| pair.try_into().ok().map(u16::from_be_bytes));
        numbers.filter(|number| !is_grease(*number)).collect()
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

    use super::*;

    fn list(bytes: &[u8]) -> Vec<u8> {
        [&u16::try_from(bytes.len()).unwrap().to_be_bytes()[..], bytes].concat()
    }

    fn numbers(text: &str) -> Vec<u8> {
        let each = text.split(',').filter(|one| !one.is_empty());
        each.flat_map(|one| u16::from_str_radix(one, 16).unwrap().to_be_bytes()).collect()
    }

    /// A hello with these lists, in records of at most so many bytes.
    fn hello(ciphers: &str, extensions: &str, algorithms: &str, record: usize) -> Vec<u8> {
        let each = extensions.split(',').filter(|one| !one.is_empty()).flat_map(|kind| {
            let body = match kind {
                "000d" => list(&numbers(algorithms)),
                "0010" => list(&[&[2][..], b"h2", &[8], b"http/1.1"].concat()),
                "002b" => [&[6][..], &numbers("baba,0304,0303")].concat(),
                _ => Vec::new(),
            };
            [numbers(kind), list(&body)].concat()
        });
        let extensions: Vec<u8> = each.collect();
        let body = [
            &[3, 3][..],
            &[7; 32],
            &[0],
            &list(&numbers(ciphers)),
            &[1, 0],
            &if extensions.is_empty() { Vec::new() } else { list(&extensions) },
        ]
        .concat();
        let length = u32::try_from(body.len()).unwrap().to_be_bytes();
        let message = [&[1], &length[1..], &body].concat();
        message.chunks(record).flat_map(|part| [&[22, 3, 1][..], &list(part)].concat()).collect()
    }

    /// The example of FoxIO's description, and one that somebody else published.
    #[test]
    fn published_hellos_have_their_fingerprints() {
        let chrome = |record| {
            hello(
                "2a2a,1301,1302,1303,c02b,c02f,c02c,c030,cca9,cca8,c013,c014,009c,009d,002f,0035",
                "4a4a,0000,0017,ff01,000a,000b,0023,0010,0005,000d,0012,0033,002d,002b,001b,4469,fafa,0015",
                "0403,0804,0401,0503,0805,0501,0806,0601",
                record,
            )
        };
        for record in [16_384, 100, 1] {
            let told = ja4(&chrome(record));
            assert_eq!(told.as_deref(), Some("t13d1516h2_8daaf6152771_e5627efa2ab1"), "{record}");
        }
        let other = hello(
            "1302,1303,1301,c02c,c030,c02b,c02f,cca9,cca8,00ff",
            "002b,000b,000a,0023,0010,0017,000d,0033,002d,0005,0000",
            "0503,0403,0807,0806,0805,0804,0601,0501,0401",
            16_384,
        );
        assert_eq!(ja4(&other).as_deref(), Some("t13d1011h2_61a7ad8aa9b6_3fcd1a44f3e3"));
    }

    #[test]
    fn what_is_no_hello_has_none() {
        let whole = hello("1301", "0000,002b,000d,0010", "0403", 16_384);
        assert!(ja4(&whole).is_some());
        for cut in 0..whole.len() {
            assert_eq!(ja4(&whole[..cut]), None, "{cut}");
        }
        assert_eq!(ja4(b"GET / HTTP/1.1\r\n\r\n"), None);
        assert_eq!(ja4(&[22, 3, 1, 0, 0].repeat(4_000)), None, "empty records come to an end");
        let bare = hello("", "", "", 16_384);
        assert_eq!(ja4(&bare).as_deref(), Some("t12i000000_000000000000_000000000000"));
    }

    #[test]
    fn protocols_that_are_no_text_are_told_in_hexadecimal() {
        assert_eq!(ends(b"h2"), ['h', '2']);
        assert_eq!(ends(b"http/1.1"), ['h', '1']);
        assert_eq!(ends(b"\xab"), ['a', 'b']);
        assert_eq!(ends(b"0\xab"), ['3', 'b']);
        assert_eq!(ends(b""), ['0', '0']);
    }

    #[tokio::test]
    async fn what_comes_first_is_kept_and_passed_on() {
        let (mut far, near) = duplex(64 * 1024);
        far.write_all(&[1; MAX_BYTES + 10]).await.unwrap();
        let mut near = Overhear::new(near);
        let mut all = vec![0; MAX_BYTES + 10];
        near.read_exact(&mut all).await.unwrap();
        assert_eq!(near.heard(), [1; MAX_BYTES]);
        far.write_all(&[2; 4]).await.unwrap();
        near.read_exact(&mut all[..4]).await.unwrap();
        assert_eq!(&all[..5], [2, 2, 2, 2, 1]);
        assert!(near.heard().is_empty());
    }
}
