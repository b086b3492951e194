//! Token Status List (draft-ietf-oauth-status-list): a bit for every token, published as one
//! signed list, so that whoever checks tokens learns of revocations without asking about each.

use data_encoding::BASE64URL_NOPAD;
use miniz_oxide::{deflate::compress_to_vec_zlib, inflate::decompress_to_vec_zlib_with_limit};
use portcullis_types::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{
    Alg, CLOCK_SKEW, Compact, JwsError, KeySource, SigningKey, VerifyError, from_slice_strict,
    sign,
    verify::{check_signature, is_type},
};

/// The media type of a status list token (section 5.1).
pub const TYP: &str = "statuslist+jwt";
/// A signed list is at most this long: one of [`PLACES`] that no compression helps.
pub const MAX_BYTES: usize = 6 * 1024 * 1024;
/// The tokens that our own lists have a place for.
pub const PLACES: u32 = 1 << 24;
/// A list unpacks to at most this much.
const MAX_UNPACKED_BYTES: usize = 4 * 1024 * 1024;
/// Almost all of a list is zeros. For them this is as small as any, and in full lists it takes a
/// quarter of the time of the usual 6 for a sixth more bytes.
const COMPRESSION: u8 = 3;

/// The claim `status` of a token (section 6.2).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    /// Its place.
    pub status_list: Reference,
}

/// A place in a list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reference {
    /// Counted from 0.
    pub idx: u32,
    /// Where the list is.
    pub uri: String,
}

/// A list that was checked.
#[derive(Debug)]
pub struct StatusList {
    issued_at: i64,
    expires_at: Option<i64>,
    /// After so many seconds a newer one may be there.
    pub ttl: Option<u64>,
    /// Bits for each token: 1, 2, 4 or 8.
    bits: u8,
    unpacked: Vec<u8>,
}

#[derive(Serialize, Deserialize)]
struct Claims {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    iss: Option<String>,
    sub: String,
    iat: i64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    exp: Option<i64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    ttl: Option<u64>,
    status_list: Packed,
}

#[derive(Serialize, Deserialize)]
struct Packed {
    bits: u8,
    lst: String,
}

/// A list of ours, to be signed.
#[derive(Debug)]
pub struct Unsigned<'a> {
    /// Who publishes it.
    pub issuer: &'a str,
    /// Where.
    pub uri: &'a str,
    /// When.
    pub now: Timestamp,
    /// Until when it counts, in seconds from now.
    pub lifetime: u64,
    /// After how many seconds readers should look again.
    pub ttl: u64,
    /// A bit for each token, the first in the lowest place (section 4.1).
    pub bitmap: &'a [u8],
}

impl Unsigned<'_> {
    /// The status list token.
    pub fn sign(&self, key: &SigningKey) -> Result<String, JwsError> {
        let claims = Claims {
            iss: Some(self.issuer.to_owned()),
            sub: self.uri.to_owned(),
            iat: self.now.secs(),
            exp: Some(self.now.secs().saturating_add(i64::try_from(self.lifetime).unwrap_or(0))),
            ttl: Some(self.ttl),
            status_list: Packed { bits: 1, lst: pack(self.bitmap) },
        };
        sign(key, TYP, &claims)
    }
}

impl StatusList {
    /// Checks a status list token and unpacks it (section 8.3). It must be the list at `uri` of
    /// `issuer`.
    pub fn open(
        token: &str,
        issuer: &str,
        uri: &str,
        keys: &(impl KeySource + ?Sized),
        now: Timestamp,
    ) -> Result<Self, VerifyError> {
        let token = Compact::parse_up_to(token, MAX_BYTES).map_err(VerifyError::Malformed)?;
        if !token.typ.as_deref().is_some_and(|typ| is_type(typ, TYP)) {
            return Err(VerifyError::Type);
        }
        check_signature(&token, &Alg::SIGNING, keys)?;
        let claims: Claims = from_slice_strict(&token.payload).map_err(|_| VerifyError::Claims)?;
        if claims.sub != uri || claims.iss.as_deref().is_some_and(|iss| iss != issuer) {
            return Err(VerifyError::Issuer);
        }
        if claims.exp.is_some_and(|exp| now.minus(CLOCK_SKEW).secs() >= exp) {
            return Err(VerifyError::Expired);
        }
        if claims.iat > now.plus(CLOCK_SKEW).secs() {
            return Err(VerifyError::NotYetValid);
        }
        let Packed { bits, lst } = claims.status_list;
        if ![1, 2, 4, 8].contains(&bits) {
            return Err(VerifyError::Claims);
        }
        Ok(Self {
            issued_at: claims.iat,
            expires_at: claims.exp,
            ttl: claims.ttl,
            bits,
            unpacked: unpack(&lst).ok_or(VerifyError::Claims)?,
        })
    }

    /// How many seconds it lives, if it ends. Its reader counts them from when it asked for the
    /// list, so that clocks that differ neither shorten nor lengthen it.
    pub fn lifetime(&self) -> Option<u64> {
        u64::try_from(self.expires_at?.checked_sub(self.issued_at)?).ok()
    }

    /// When it ends, if it does.
    pub fn expires_at(&self) -> Option<Timestamp> {
        self.expires_at.map(Timestamp::from_secs)
    }

    /// The status at a place: 0 is good, everything else is not. `None` beyond the end of the list,
    /// which refuses the token (section 8.3).
    pub fn get(&self, idx: u32) -> Option<u8> {
        let each = usize::from(8 / self.bits);
        let idx = usize::try_from(idx).ok()?;
        let byte = *self.unpacked.get(idx / each)?;
        let shift = u8::try_from(idx % each).ok()? * self.bits;
        Some((byte >> shift) & (u8::MAX >> (8 - self.bits)))
    }
}

fn pack(bitmap: &[u8]) -> String {
    BASE64URL_NOPAD.encode(&compress_to_vec_zlib(bitmap, COMPRESSION))
}

fn unpack(lst: &str) -> Option<Vec<u8>> {
    let packed = BASE64URL_NOPAD.decode(lst.as_bytes()).ok()?;
    decompress_to_vec_zlib_with_limit(&packed, MAX_UNPACKED_BYTES).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const URI: &str = "https://id.example/oauth2/status-list";

    fn statuses(bits: u8, lst: &str) -> Vec<u8> {
        let unpacked = unpack(lst).unwrap();
        let list = StatusList { issued_at: 0, expires_at: None, ttl: None, bits, unpacked };
        (0..).map_while(|idx| list.get(idx)).collect()
    }

    /// The examples of section 4.
    #[test]
    fn lists_are_read_as_the_draft_writes_them() {
        let one = [1, 0, 0, 1, 1, 1, 0, 1, 1, 1, 0, 0, 0, 1, 0, 1];
        assert_eq!(statuses(1, "eNrbuRgAAhcBXQ"), one);
        let two = [1, 2, 0, 3, 0, 1, 0, 1, 1, 2, 3, 3];
        assert_eq!(statuses(2, "eNo76fITAAPfAgc"), two);
    }

    #[test]
    fn what_is_signed_is_read_and_nothing_else() {
        let (key, _) = SigningKey::generate(Alg::EdDsa).unwrap();
        let keys = [key.public().verifying_key().unwrap()];
        let now = Timestamp::from_secs(1_000_000);
        let mut bitmap = vec![0; PLACES as usize / 8];
        bitmap[7] = 0b0010_0000;
        let mut list = Unsigned {
            issuer: "https://id.example",
            uri: URI,
            now,
            lifetime: 15,
            ttl: 5,
            bitmap: &bitmap,
        };
        let token = list.sign(&key).unwrap();
        assert!(token.len() < 4096, "{}", token.len());
        let open = |token: &str, at: i64| {
            let at = Timestamp::from_secs(at);
            StatusList::open(token, "https://id.example", URI, keys.as_slice(), at)
        };
        let opened = open(&token, 1_000_044).unwrap();
        assert_eq!((opened.get(61), opened.get(60), opened.get(62)), (Some(1), Some(0), Some(0)));
        assert_eq!((opened.get(PLACES - 1), opened.get(PLACES)), (Some(0), None));
        assert!(matches!(open(&token, 1_000_045), Err(VerifyError::Expired)));
        assert_eq!((opened.lifetime(), opened.ttl), (Some(15), Some(5)));
        assert!(matches!(open(&token, 999_900), Err(VerifyError::NotYetValid)));
        let other = SigningKey::generate(Alg::EdDsa).unwrap().0;
        let forged = list.sign(&other).unwrap();
        assert!(open(&forged, 1_000_000).is_err());
        list.uri = "https://id.example/else";
        assert!(matches!(open(&list.sign(&key).unwrap(), 1_000_000), Err(VerifyError::Issuer)));
        let access = sign(&key, "at+jwt", &serde_json::json!({ "sub": URI })).unwrap();
        assert!(matches!(open(&access, 1_000_000), Err(VerifyError::Type)));
    }

    /// A few bytes must not become all of the memory.
    #[test]
    fn bombs_are_not_unpacked() {
        let bomb = pack(&vec![0; MAX_UNPACKED_BYTES + 1]);
        assert!(bomb.len() < 64 * 1024 && unpack(&bomb).is_none());
        assert_eq!(unpack(&pack(&[0xb9, 0xa3])).unwrap(), [0xb9, 0xa3]);
    }
}
