//! Bodies that come packed (RFC 9110, section 8.4).

use std::io::{Read, Result as IoResult};

use bytes::Bytes;
use flate2::bufread::{GzDecoder, ZlibDecoder};
use http::{HeaderMap, StatusCode, header};
use portcullis_events::Stage;

use crate::{answer::Refusal, forward::too_long};

/// How a body is packed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Encoding {
    Identity,
    Gzip,
    Deflate,
}

/// What is told to whoever packs a body in another way.
const ACCEPTED: &str = "gzip, deflate";

impl Encoding {
    /// The one coding of a body that has to be looked into.
    pub fn of(headers: &HeaderMap) -> Result<Self, Refusal> {
        let mut named = headers.get_all(header::CONTENT_ENCODING).iter();
        let (first, second) = (named.next(), named.next());
        let name = match first.map(|name| name.to_str().unwrap_or_default().trim()) {
            None => return Ok(Self::Identity),
            Some(name) if second.is_none() => name,
            Some(_) => "",
        };
        match name.to_ascii_lowercase().as_str() {
            "identity" => Ok(Self::Identity),
            "gzip" | "x-gzip" => Ok(Self::Gzip),
            "deflate" => Ok(Self::Deflate),
            _ => {
                let detail = "the body is encoded in a way that is not accepted here";
                let status = StatusCode::UNSUPPORTED_MEDIA_TYPE;
                let refusal = Refusal::new(Stage::Validate, status, "content_encoding", detail);
                Err(refusal.with(header::ACCEPT_ENCODING, ACCEPTED))
            }
        }
    }

    /// Unpacks a body, which must be whole, and nothing behind it, and at most `limit` bytes then.
    /// `room` is asked before there are so many.
    pub fn decode(
        self,
        body: Bytes,
        limit: u64,
        room: impl FnMut(u64) -> Result<(), Refusal>,
    ) -> Result<Bytes, Refusal> {
        let mut rest = &body[..];
        let unpacked = match self {
            Self::Identity => return Ok(body),
            Self::Gzip => read(GzDecoder::new(&mut rest), limit, room)?,
            Self::Deflate => read(ZlibDecoder::new(&mut rest), limit, room)?,
        };
        let wrong = || {
            let detail = "the body is not what its Content-Encoding says";
            Refusal::new(Stage::Validate, StatusCode::BAD_REQUEST, "content_encoding", detail)
        };
        let unpacked = unpacked.map_err(|_| wrong())?;
        if unpacked.len() as u64 > limit {
            return Err(too_long());
        }
        if !rest.is_empty() {
            return Err(wrong());
        }
        Ok(unpacked.into())
    }
}

/// One byte more than is allowed, and no more than that, however much there would be.
fn read(
    packed: impl Read,
    limit: u64,
    mut room: impl FnMut(u64) -> Result<(), Refusal>,
) -> Result<IoResult<Vec<u8>>, Refusal> {
    let (mut unpacked, mut piece) = (Vec::new(), vec![0; 64 * 1024]);
    let mut packed = packed.take(limit.saturating_add(1));
    loop {
        match packed.read(&mut piece) {
            Ok(0) => return Ok(Ok(unpacked)),
            Ok(count) => {
                room((unpacked.len() + count) as u64)?;
                unpacked.extend_from_slice(&piece[..count]);
            }
            Err(error) => return Ok(Err(error)),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use flate2::{Compression, write::GzEncoder, write::ZlibEncoder};

    use super::*;

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut packer = GzEncoder::new(Vec::new(), Compression::best());
        packer.write_all(bytes).unwrap();
        packer.finish().unwrap()
    }

    #[test]
    fn what_is_packed_is_unpacked_whole_and_within_its_limit() {
        let text = b"{\"a\":1}".repeat(100);
        let limit = text.len() as u64;
        assert_eq!(Encoding::Gzip.decode(gzip(&text).into(), limit, |_| Ok(())).unwrap(), text);
        let mut packer = ZlibEncoder::new(Vec::new(), Compression::best());
        packer.write_all(&text).unwrap();
        let packed = packer.finish().unwrap();
        assert_eq!(Encoding::Deflate.decode(packed.into(), limit, |_| Ok(())).unwrap(), text);
        let status = |body: Vec<u8>, limit| {
            Encoding::Gzip.decode(body.into(), limit, |_| Ok(())).unwrap_err().status.as_u16()
        };
        assert_eq!(status(gzip(&text), limit - 1), 413);
        // A thousand times as large as it comes, and never unpacked beyond the limit.
        assert_eq!(status(gzip(&vec![0; 64 << 20]), 1_000), 413);
        let whole = gzip(&text);
        for at in 0..whole.len() {
            assert_eq!(status(whole[..at].to_vec(), limit), 400, "cut at {at}");
        }
        assert_eq!(status([&whole[..], b"x"].concat(), limit), 400, "something behind it");
        assert_eq!(status([&whole[..], &whole[..]].concat(), limit * 2), 400, "two members");
        let mut broken = whole.clone();
        let crc = broken.len() - 6;
        broken[crc] ^= 1;
        assert_eq!(status(broken, limit), 400, "the checksum");
    }

    #[test]
    fn one_coding_that_is_known() {
        let of = |values: &[&'static str]| {
            let mut headers = HeaderMap::new();
            for value in values {
                headers.append(header::CONTENT_ENCODING, value.parse().unwrap());
            }
            Encoding::of(&headers).ok()
        };
        assert_eq!(of(&[]), Some(Encoding::Identity));
        assert_eq!(of(&["GZip"]), Some(Encoding::Gzip));
        for bad in [&["br"][..], &["gzip, gzip"], &["gzip", "gzip"], &[""], &["gzip,"]] {
            assert_eq!(of(bad), None, "{bad:?}");
        }
    }
}
