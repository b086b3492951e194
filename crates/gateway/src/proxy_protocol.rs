//! The PROXY protocol, versions 1 and 2 (HAProxy, "The PROXY protocol"): what a load balancer says
//! of a connection before the first byte of it.

use std::{
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
};

use tokio::io::{AsyncRead, AsyncReadExt};

/// Section 2.1: a line of version 1 is at most this long, its end included.
const MAX_LINE: usize = 107;
/// A header of version 2 with addresses and extensions is at most this long here.
const MAX_BLOCK: usize = 16 + 512;
/// Section 2.2.
const SIGNATURE: &[u8; 12] = b"\r\n\r\n\0\r\nQUIT\n";

/// The bytes are no header, or one that cannot be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the connection does not begin with a PROXY header")]
pub struct ProxyHeaderError;

/// What the first bytes of a connection say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProxyHeader {
    /// As many bytes are needed to say more.
    Needs(usize),
    /// A whole header of so many bytes. Without an address the connection is the balancer's own.
    Whole {
        /// Where the client is.
        client: Option<SocketAddr>,
        /// The bytes of the header.
        length: usize,
    },
}

/// Reads the header at the beginning of `bytes`.
pub fn read_proxy_header(bytes: &[u8]) -> Result<ProxyHeader, ProxyHeaderError> {
    let begins = |with: &[u8]| {
        let common = bytes.len().min(with.len());
        bytes[..common] == with[..common]
    };
    // The first byte tells the versions apart; the shortest line is shorter than any block.
    if bytes.is_empty() {
        return Ok(ProxyHeader::Needs(1));
    }
    if begins(SIGNATURE) {
        return version_2(bytes);
    }
    if begins(b"PROXY ") { version_1(bytes) } else { Err(ProxyHeaderError) }
}

fn version_1(bytes: &[u8]) -> Result<ProxyHeader, ProxyHeaderError> {
    let Some(end) = bytes.windows(2).position(|pair| pair == b"\r\n") else {
        return if bytes.len() < MAX_LINE {
            Ok(ProxyHeader::Needs(bytes.len() + 1))
        } else {
            Err(ProxyHeaderError)
        };
    };
    let length = end + 2;
    let line = std::str::from_utf8(&bytes[..end]).map_err(|_| ProxyHeaderError)?;
    if length > MAX_LINE {
        return Err(ProxyHeaderError);
    }
    let words: Vec<&str> = line.split(' ').collect();
    let client = match words.as_slice() {
        ["PROXY", "UNKNOWN", ..] => None,
        ["PROXY", family, source, destination, port, other] => {
            let read = |text: &str| text.parse::<IpAddr>().map_err(|_| ProxyHeaderError);
            let (source, destination) = (read(source)?, read(destination)?);
            let fits = match *family {
                "TCP4" => source.is_ipv4() && destination.is_ipv4(),
                "TCP6" => source.is_ipv6() && destination.is_ipv6(),
                _ => false,
            };
            let port = read_port(port).filter(|_| fits && read_port(other).is_some());
            Some(SocketAddr::new(source, port.ok_or(ProxyHeaderError)?))
        }
        _ => return Err(ProxyHeaderError),
    };
    Ok(ProxyHeader::Whole { client, length })
}

/// Digits alone: no sign, no zero in front.
fn read_port(text: &str) -> Option<u16> {
    let plain = text.bytes().all(|b| b.is_ascii_digit()) && (text == "0" || !text.starts_with('0'));
    text.parse().ok().filter(|_| plain)
}

fn version_2(bytes: &[u8]) -> Result<ProxyHeader, ProxyHeaderError> {
    let Some(head) = bytes.first_chunk::<16>() else { return Ok(ProxyHeader::Needs(16)) };
    let length = 16 + usize::from(u16::from_be_bytes([head[14], head[15]]));
    if length > MAX_BLOCK {
        return Err(ProxyHeaderError);
    }
    let Some(block) = bytes.get(16..length) else { return Ok(ProxyHeader::Needs(length)) };
    let client = match (head[12], head[13]) {
        // LOCAL: a health check of the balancer.
        (0x20, _) => None,
        // PROXY over TCP.
        (0x21, 0x11) => {
            let block = block.first_chunk::<12>().ok_or(ProxyHeaderError)?;
            let ip = Ipv4Addr::new(block[0], block[1], block[2], block[3]);
            Some(SocketAddr::new(ip.into(), u16::from_be_bytes([block[8], block[9]])))
        }
        (0x21, 0x21) => {
            let block = block.first_chunk::<36>().ok_or(ProxyHeaderError)?;
            let ip = block.first_chunk::<16>().ok_or(ProxyHeaderError)?;
            let port = u16::from_be_bytes([block[32], block[33]]);
            Some(SocketAddr::new(Ipv6Addr::from(*ip).into(), port))
        }
        // Section 2.2: of an unknown family nothing is known.
        (0x21, 0x00) => None,
        _ => return Err(ProxyHeaderError),
    };
    Ok(ProxyHeader::Whole { client, length })
}

/// Takes the header off a connection, and not a byte more.
pub(crate) async fn take<S: AsyncRead + Unpin>(stream: &mut S) -> io::Result<Option<SocketAddr>> {
    let mut bytes = Vec::with_capacity(128);
    loop {
        match read_proxy_header(&bytes).map_err(io::Error::other)? {
            ProxyHeader::Whole { client, .. } => return Ok(client),
            ProxyHeader::Needs(count) => {
                let known = bytes.len();
                bytes.resize(count.max(known + 1), 0);
                stream.read_exact(&mut bytes[known..]).await?;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn whole(bytes: &[u8]) -> (Option<String>, usize) {
        match read_proxy_header(bytes).unwrap() {
            ProxyHeader::Whole { client, length } => (client.map(|c| c.to_string()), length),
            needs => panic!("{needs:?}"),
        }
    }

    fn block(command: u8, family: u8, rest: &[u8]) -> Vec<u8> {
        let length = u16::try_from(rest.len()).unwrap().to_be_bytes();
        [SIGNATURE.as_slice(), &[command, family], &length, rest].concat()
    }

    #[test]
    fn both_versions_are_read() {
        let line = b"PROXY TCP4 192.0.2.1 198.51.100.1 56324 443\r\nGET";
        assert_eq!(whole(line), (Some("192.0.2.1:56324".into()), 45));
        let line = b"PROXY TCP6 2001:db8::1 2001:db8::2 1 2\r\n";
        assert_eq!(whole(line), (Some("[2001:db8::1]:1".into()), 40));
        assert_eq!(whole(b"PROXY UNKNOWN ffff:f 1\r\n"), (None, 24));
        let v4 = block(0x21, 0x11, &[192, 0, 2, 1, 198, 51, 100, 1, 0x04, 0, 1, 187, 9, 9]);
        assert_eq!(whole(&v4), (Some("192.0.2.1:1024".into()), 30));
        let v6 = block(0x21, 0x21, &[[1; 32].as_slice(), &[0, 7, 0, 8]].concat());
        assert_eq!(whole(&v6), (Some("[101:101:101:101:101:101:101:101]:7".into()), 52));
        assert_eq!(whole(&block(0x20, 0x00, &[])), (None, 16));
    }

    #[test]
    fn nothing_more_than_the_header_is_asked_for() {
        let line = b"PROXY TCP4 192.0.2.1 198.51.100.1 56324 443\r\n";
        let v2 = block(0x21, 0x11, &[1; 12]);
        for header in [&line[..], &v2, b"PROXY UNKNOWN\r\n"] {
            for end in 0..header.len() {
                let ProxyHeader::Needs(count) = read_proxy_header(&header[..end]).unwrap() else {
                    panic!("{end}");
                };
                assert!(count > end && count <= header.len(), "{end}");
            }
        }
    }

    #[test]
    fn what_is_no_header_is_refused() {
        for bad in [
            &b"GET / HTTP/1.1\r\n"[..],
            b"\x16\x03\x01",
            b"PROXY TCP4 192.0.2.1 198.51.100.1 056324 443\r\n",
            b"PROXY TCP4 192.0.2.1 198.51.100.1 65536 443\r\n",
            b"PROXY TCP4 2001:db8::1 2001:db8::2 1 2\r\n",
            b"PROXY TCP4 192.0.2.1 198.51.100.1 1\r\n",
            b"PROXY  TCP4 192.0.2.1 198.51.100.1 1 2\r\n",
            b"PROXY UDP4 192.0.2.1 198.51.100.1 1 2\r\n",
            b"PROXY \r\n",
            b"PROXY \xff\r\n",
            &[b"PROXY UNKNOWN ".as_slice(), &[b'x'; 200]].concat(),
            &block(0x11, 0x11, &[1; 12]),
            &block(0x22, 0x11, &[1; 12]),
            &block(0x21, 0x12, &[1; 12]),
            &block(0x21, 0x11, &[1; 11]),
            &block(0x21, 0x21, &[1; 35]),
            &block(0x21, 0x11, &[1; 600]),
        ] {
            assert!(read_proxy_header(bad).is_err(), "{bad:?}");
        }
    }
}
