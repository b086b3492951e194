//! Verifying RSA signatures: RSASSA-PKCS1-v1_5 and RSASSA-PSS (RFC 8017), and ISO/IEC 9796-2 scheme 1, by which
//! chips answer a challenge.
//!
//! Only public keys are here, so nothing has to take the same time. What the crypto library of this workspace
//! offers is not enough: documents have PSS with salts of other lengths than the digest and other hash functions
//! in the mask, and 9796-2, which needs what the signature recovers.

use num_bigint::BigUint;

use crate::{
    Malformed,
    der::{self, Reader, tag},
    digest::Hash,
};

/// Bits of a modulus.
const MODULUS_BITS: std::ops::RangeInclusive<u64> = 1024..=8192;

/// Bits of an exponent; all real ones are shorter, and a long one would take long.
const EXPONENT_MAX_BITS: u64 = 64;

/// A public key.
#[derive(Clone, Debug)]
pub struct RsaKey {
    modulus: BigUint,
    exponent: BigUint,
}

/// How the padding of PSS is made.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Pss {
    /// Of the message.
    pub hash: Hash,
    /// Of the mask.
    pub mask: Hash,
    /// Bytes of the salt.
    pub salt: usize,
}

impl RsaKey {
    /// An `RSAPublicKey` (RFC 8017, A.1.1).
    pub fn read(bytes: &[u8]) -> Result<Self, Malformed> {
        let mut inside = der::only(bytes, tag::SEQUENCE)?;
        let modulus = BigUint::from_bytes_be(inside.unsigned()?);
        let exponent = BigUint::from_bytes_be(inside.unsigned()?);
        inside.end()?;
        if !MODULUS_BITS.contains(&modulus.bits()) || !modulus.bit(0) {
            return Err(Malformed("an RSA modulus has not 1,024 to 8,192 bits"));
        }
        if exponent.bits() < 2 || exponent.bits() > EXPONENT_MAX_BITS || !exponent.bit(0) {
            return Err(Malformed("an RSA exponent is even, one, or above 64 bits"));
        }
        Ok(Self { modulus, exponent })
    }

    /// Bits of the modulus.
    pub fn bits(&self) -> u64 {
        self.modulus.bits()
    }

    fn len(&self) -> usize {
        usize::try_from(self.modulus.bits().div_ceil(8)).unwrap_or(0)
    }

    /// RSAVP1: the message representative, as long as the modulus.
    fn recover(&self, signature: &[u8]) -> Option<Vec<u8>> {
        let number = BigUint::from_bytes_be(signature);
        if signature.len() != self.len() || number >= self.modulus {
            return None;
        }
        let bytes = number.modpow(&self.exponent, &self.modulus).to_bytes_be();
        let mut padded = vec![0; self.len() - bytes.len()];
        padded.extend(bytes);
        Some(padded)
    }

    /// RSASSA-PKCS1-v1_5 (RFC 8017, 8.2.2). What the signer must have written is made and compared, so nothing
    /// of the padding is parsed.
    pub fn verifies_pkcs1(&self, hash: Hash, digest: &[u8], signature: &[u8]) -> bool {
        let Some(recovered) = self.recover(signature) else { return false };
        [Some(&[0x05, 0x00][..]), None].into_iter().any(|null| {
            let info = digest_info(hash, null.unwrap_or_default(), digest);
            let Some(padding) = self.len().checked_sub(info.len() + 3).filter(|len| *len >= 8)
            else {
                return false;
            };
            let mut expected = vec![0, 1];
            expected.resize(2 + padding, 0xff);
            expected.push(0);
            expected.extend(info);
            expected == recovered
        })
    }

    /// RSASSA-PSS (RFC 8017, 9.1.2).
    pub fn verifies_pss(&self, pss: Pss, digest: &[u8], signature: &[u8]) -> bool {
        let Some(recovered) = self.recover(signature) else { return false };
        let bits = usize::try_from(self.modulus.bits() - 1).unwrap_or(0);
        let length = bits.div_ceil(8);
        // Where the modulus has a byte of its own for its highest bit, that byte is zero.
        let (ahead, encoded) = recovered.split_at(recovered.len() - length);
        let hashed = pss.hash.bytes();
        if ahead.iter().any(|byte| *byte != 0) || length < hashed + pss.salt + 2 {
            return false;
        }
        let (masked, behind) = encoded.split_at(length - hashed - 1);
        let [sum @ .., 0xbc] = behind else { return false };
        let unused = 8 * length - bits;
        if unused > 0 && masked[0] >> (8 - unused) != 0 {
            return false;
        }
        let mut block: Vec<u8> =
            masked.iter().zip(mask(pss.mask, sum, masked.len())).map(|(a, b)| a ^ b).collect();
        block[0] &= 0xff >> unused;
        let Some((zeros, [1, salt @ ..])) = block.split_at_checked(length - hashed - pss.salt - 2)
        else {
            return false;
        };
        zeros.iter().all(|byte| *byte == 0) && pss.hash.of(&[&[0; 8], digest, salt]) == sum
    }

    /// Digital signature scheme 1 of ISO/IEC 9796-2, with part of the message recovered from the signature and
    /// `known` the rest of it (ICAO 9303-11, 6.1): which hash it was, if it is right.
    pub fn verifies_9796(&self, known: &[u8], signature: &[u8]) -> Option<Hash> {
        let recovered = self.recover(signature)?;
        let (hash, body) = match recovered.as_slice() {
            [body @ .., 0xbc] => (Hash::Sha1, body),
            [body @ .., id, 0xcc] => (hash_of_trailer(*id)?, body),
            _ => return None,
        };
        let (message, sum) = body.split_at_checked(body.len().checked_sub(hash.bytes())?)?;
        // `01` for a header, `1` since part of the message is not in here, then padding of `B` up to an `A`.
        let message = match message {
            [0x6a, rest @ ..] => rest,
            [0x6b, rest @ ..] => {
                let filled = rest.iter().position(|byte| *byte != 0xbb)?;
                match rest.get(filled)? {
                    0xba => rest.get(filled + 1..)?,
                    _ => return None,
                }
            }
            _ => return None,
        };
        (hash.of(&[message, known]) == sum).then_some(hash)
    }
}

/// Hash identifiers of ISO/IEC 10118-3.
fn hash_of_trailer(id: u8) -> Option<Hash> {
    match id {
        0x33 => Some(Hash::Sha1),
        0x34 => Some(Hash::Sha256),
        0x35 => Some(Hash::Sha512),
        0x36 => Some(Hash::Sha384),
        0x38 => Some(Hash::Sha224),
        _ => None,
    }
}

/// A `DigestInfo`; some signers leave out the `NULL`.
fn digest_info(hash: Hash, null: &[u8], digest: &[u8]) -> Vec<u8> {
    let short = |len: usize| u8::try_from(len).unwrap_or(u8::MAX);
    let oid = hash.oid();
    let algorithm = oid.len() + 2 + null.len();
    let mut info = vec![0x30, short(algorithm + 2 + digest.len() + 2), 0x30, short(algorithm)];
    info.extend([0x06, short(oid.len())]);
    info.extend(oid);
    info.extend(null);
    info.extend([0x04, short(digest.len())]);
    info.extend(digest);
    info
}

/// MGF1 (RFC 8017, B.2.1).
fn mask(hash: Hash, seed: &[u8], length: usize) -> Vec<u8> {
    let mut mask = Vec::with_capacity(length + hash.bytes());
    let mut counter = 0u32;
    while mask.len() < length {
        mask.extend(hash.of(&[seed, &counter.to_be_bytes()]));
        counter += 1;
    }
    mask.truncate(length);
    mask
}

/// `RSASSA-PSS-params` (RFC 8017, A.2.3).
pub fn pss_parameters(parameters: Reader<'_>) -> Result<Pss, Malformed> {
    const MASK_MGF1: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x08];
    let mut reader = parameters;
    let mut pss = Pss { hash: Hash::Sha1, mask: Hash::Sha1, salt: 20 };
    // Some write that there are none as a NULL.
    if reader.optional(tag::NULL)?.is_some() || reader.is_empty() {
        return reader.end().map(|()| pss);
    }
    let mut inside = reader.nested(tag::SEQUENCE)?;
    let unknown = Malformed("a hash of RSASSA-PSS is not known");
    if let Some(hash) = inside.optional(tag::CONTEXT_0)? {
        let algorithm = der::Algorithm::read(&mut Reader::new(hash.value))?;
        pss.hash = Hash::of_oid(algorithm.oid).ok_or(unknown)?;
    }
    if let Some(mask) = inside.optional(tag::CONTEXT_1)? {
        let mut algorithm = der::Algorithm::read(&mut Reader::new(mask.value))?;
        if algorithm.oid != MASK_MGF1 {
            return Err(Malformed("the mask of RSASSA-PSS is not MGF1"));
        }
        let hash = der::Algorithm::read(&mut algorithm.parameters)?;
        pss.mask = Hash::of_oid(hash.oid).ok_or(unknown)?;
    }
    if let Some(salt) = inside.optional(0xa2)? {
        pss.salt = usize::try_from(Reader::new(salt.value).small()?).unwrap_or(usize::MAX);
        if pss.salt > 1024 {
            return Err(Malformed("the salt of RSASSA-PSS is too long"));
        }
    }
    if let Some(trailer) = inside.optional(0xa3)?
        && Reader::new(trailer.value).small()? != 1
    {
        return Err(Malformed("the trailer of RSASSA-PSS is not known"));
    }
    inside.end()?;
    Ok(pss)
}
