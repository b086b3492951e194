//! Verifying ECDSA (FIPS 186-5, 6.4) on the curves that documents have.
//!
//! ICAO 9303-12 has the parameters of a curve written out in each certificate. They are only ever looked up:
//! whoever may choose a generator can make a key that fits any signature. Any hash function may go with any curve,
//! which is why the crypto library of this workspace, with its fixed pairs and without Brainpool, is not enough.
//! Only public values are here, so nothing has to take the same time.

mod curves;

use std::sync::LazyLock;

use num_bigint::BigUint;

use crate::{
    Malformed,
    der::{Element, Reader, tag},
};
use curves::CURVES;

/// A curve.
#[derive(Debug)]
pub struct Curve {
    /// As people write it.
    pub name: &'static str,
    oid: &'static [u8],
    p: BigUint,
    a: BigUint,
    b: BigUint,
    base: Affine,
    n: BigUint,
}

#[derive(Clone, PartialEq, Debug)]
struct Affine {
    x: BigUint,
    y: BigUint,
}

static ALL: LazyLock<Vec<Curve>> = LazyLock::new(|| {
    let number = |hex: &str| BigUint::parse_bytes(hex.as_bytes(), 16).unwrap_or_default();
    let curve = |of: &curves::Published| Curve {
        name: of.name,
        oid: of.oid,
        p: number(of.p),
        a: number(of.a),
        b: number(of.b),
        base: Affine { x: number(of.x), y: number(of.y) },
        n: number(of.n),
    };
    CURVES.iter().map(curve).collect()
});

/// A public key.
#[derive(Clone, Debug)]
pub struct EcKey {
    curve: &'static Curve,
    point: Affine,
}

impl EcKey {
    /// From `ECParameters` and an `ECPoint` (RFC 5480, 2; parameters written out as in SEC 1, C.2).
    pub fn read(parameters: Element<'_>, point: &[u8]) -> Result<Self, Malformed> {
        let curve = Curve::of(parameters)?;
        Ok(Self { curve, point: curve.point(point)? })
    }

    /// Its curve.
    pub fn curve(&self) -> &'static Curve {
        self.curve
    }

    /// Whether a signature of two numbers in a sequence (RFC 3279, 2.2.3) is right.
    pub fn verifies_der(&self, digest: &[u8], signature: &[u8]) -> bool {
        let numbers = || -> Result<_, Malformed> {
            let mut inside = crate::der::only(signature, tag::SEQUENCE)?;
            let numbers = (inside.unsigned()?, inside.unsigned()?);
            inside.end()?;
            Ok(numbers)
        };
        numbers().is_ok_and(|(r, s)| self.verifies(digest, r, s))
    }

    /// Whether a signature of two numbers side by side (BSI TR-03111, 5.2.1) is right.
    pub fn verifies_plain(&self, digest: &[u8], signature: &[u8]) -> bool {
        signature.len().is_multiple_of(2) && {
            let (r, s) = signature.split_at(signature.len() / 2);
            self.verifies(digest, r, s)
        }
    }

    fn verifies(&self, digest: &[u8], r: &[u8], s: &[u8]) -> bool {
        let curve = self.curve;
        let size = curve.bytes();
        if r.len() > size || s.len() > size {
            return false;
        }
        let [r, s] = [r, s].map(BigUint::from_bytes_be);
        let zero = BigUint::ZERO;
        if r == zero || s == zero || r >= curve.n || s >= curve.n {
            return false;
        }
        // The leftmost bits of the digest, as many as the order has.
        let digest_bits = u64::try_from(digest.len()).unwrap_or(0) * 8;
        let e = BigUint::from_bytes_be(digest) >> digest_bits.saturating_sub(curve.n.bits());
        let Some(w) = s.modinv(&curve.n) else { return false };
        let (u, v) = (e * &w % &curve.n, &r * &w % &curve.n);
        curve.sum_of(&u, &v, &self.point).is_some_and(|x| x % &curve.n == r)
    }
}

/// `X/Z²`, `Y/Z³`; nothing at infinity has `Z = 0`.
#[derive(Clone)]
struct Jacobian {
    x: BigUint,
    y: BigUint,
    z: BigUint,
}

impl Curve {
    /// A named curve, or one whose parameters are written out and are those of a named one.
    fn of(parameters: Element<'_>) -> Result<&'static Self, Malformed> {
        let unknown = Malformed("a curve is none of those that documents have");
        match parameters.tag {
            tag::OID => ALL.iter().find(|curve| curve.oid == parameters.value).ok_or(unknown),
            tag::SEQUENCE => {
                let written = Written::read(Reader::new(parameters.value))?;
                ALL.iter().find(|curve| written.is(curve)).ok_or(unknown)
            }
            _ => Err(unknown),
        }
    }

    fn bytes(&self) -> usize {
        usize::try_from(self.p.bits().div_ceil(8)).unwrap_or(0)
    }

    /// Bits of its field.
    pub fn bits(&self) -> u64 {
        self.p.bits()
    }

    /// `ECPoint`, whole or with the sign of `y` alone (SEC 1, 2.3.4). All curves have cofactor 1, so a point on
    /// one is in the group.
    fn point(&self, bytes: &[u8]) -> Result<Affine, Malformed> {
        let outside = Malformed("a point is not on its curve");
        let (form, rest) = bytes.split_first().ok_or(outside)?;
        let (x, y) = match form {
            4 if rest.len() == 2 * self.bytes() => {
                let (x, y) = rest.split_at(self.bytes());
                (BigUint::from_bytes_be(x), BigUint::from_bytes_be(y))
            }
            2 | 3 if rest.len() == self.bytes() => {
                let x = BigUint::from_bytes_be(rest);
                let y = self.root(&self.right(&x)).ok_or(outside)?;
                let odd = y.bit(0) == (*form == 3);
                let y = if odd { y } else { &self.p - y };
                (x, y)
            }
            _ => return Err(outside),
        };
        let fits = x < self.p && y < self.p && &y * &y % &self.p == self.right(&x);
        if fits { Ok(Affine { x, y }) } else { Err(outside) }
    }

    /// `x³ + ax + b`.
    fn right(&self, x: &BigUint) -> BigUint {
        ((x * x + &self.a) * x + &self.b) % &self.p
    }

    /// A square root, where the prime is 3 modulo 4.
    fn root(&self, square: &BigUint) -> Option<BigUint> {
        if !(self.p.bit(0) && self.p.bit(1)) {
            return None;
        }
        let root = square.modpow(&((&self.p + 1u32) >> 2), &self.p);
        (&root * &root % &self.p == *square).then_some(root)
    }

    fn minus(&self, a: &BigUint, b: &BigUint) -> BigUint {
        if a >= b { a - b } else { &self.p - b + a }
    }

    fn double(&self, point: &Jacobian) -> Jacobian {
        let p = &self.p;
        let (x, y, z) = (&point.x, &point.y, &point.z);
        let yy = y * y % p;
        let s = ((x * &yy) << 2) % p;
        let zz = z * z % p;
        let m = (x * x * 3u32 + &self.a * (&zz * &zz % p)) % p;
        let x3 = self.minus(&(&m * &m % p), &((&s << 1) % p));
        let y3 = self.minus(&(&m * self.minus(&s, &x3) % p), &(((&yy * &yy) << 3) % p));
        let z3 = ((y * z) << 1) % p;
        Jacobian { x: x3, y: y3, z: z3 }
    }

    fn add(&self, one: &Jacobian, other: &Affine) -> Jacobian {
        let p = &self.p;
        if one.z == BigUint::ZERO {
            return Jacobian { x: other.x.clone(), y: other.y.clone(), z: BigUint::from(1u32) };
        }
        let zz = &one.z * &one.z % p;
        let h = self.minus(&(&other.x * &zz % p), &one.x);
        let r = self.minus(&(&other.y * (&zz * &one.z % p) % p), &one.y);
        if h == BigUint::ZERO {
            if r == BigUint::ZERO {
                return self.double(one);
            }
            return Jacobian { x: BigUint::from(1u32), y: BigUint::from(1u32), z: BigUint::ZERO };
        }
        let hh = &h * &h % p;
        let hhh = &hh * &h % p;
        let v = &one.x * &hh % p;
        let x = self.minus(&self.minus(&(&r * &r % p), &hhh), &((&v << 1) % p));
        let y = self.minus(&(&r * self.minus(&v, &x) % p), &(&one.y * &hhh % p));
        let z = &one.z * &h % p;
        Jacobian { x, y, z }
    }

    fn affine(&self, point: &Jacobian) -> Option<Affine> {
        let inverse = point.z.modinv(&self.p)?;
        let square = &inverse * &inverse % &self.p;
        let x = &point.x * &square % &self.p;
        let y = &point.y * (square * inverse % &self.p) % &self.p;
        Some(Affine { x, y })
    }

    /// `x` of `uG + vQ`; `None` at infinity.
    fn sum_of(&self, u: &BigUint, v: &BigUint, point: &Affine) -> Option<BigUint> {
        let nothing = Jacobian { x: BigUint::from(1u32), y: BigUint::from(1u32), z: BigUint::ZERO };
        let base = self.add(&nothing, &self.base);
        let both = self.affine(&self.add(&base, point));
        let mut sum = nothing;
        for bit in (0..u.bits().max(v.bits())).rev() {
            sum = self.double(&sum);
            sum = match (u.bit(bit), v.bit(bit)) {
                (false, false) => sum,
                (true, false) => self.add(&sum, &self.base),
                (false, true) => self.add(&sum, point),
                // Where the key is the base turned over, both together are nothing.
                (true, true) => match &both {
                    Some(both) => self.add(&sum, both),
                    None => sum,
                },
            };
        }
        Some(self.affine(&sum)?.x)
    }
}

/// Parameters that are written out (SEC 1, C.2).
struct Written {
    p: BigUint,
    a: BigUint,
    b: BigUint,
    base: Vec<u8>,
    n: BigUint,
    cofactor: Option<BigUint>,
}

impl Written {
    fn read(mut inside: Reader<'_>) -> Result<Self, Malformed> {
        const PRIME_FIELD: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x01, 0x01];
        let number = |bytes: &[u8]| BigUint::from_bytes_be(bytes);
        // From version 2 on there must be a seed, which says nothing about the curve.
        if !(1..=3).contains(&inside.small()?) {
            return Err(Malformed("parameters of a curve have another version"));
        }
        let mut field = inside.nested(tag::SEQUENCE)?;
        if field.value(tag::OID)? != PRIME_FIELD {
            return Err(Malformed("a curve is not over a prime field"));
        }
        let p = number(field.unsigned()?);
        let mut curve = inside.nested(tag::SEQUENCE)?;
        let (a, b) =
            (number(curve.value(tag::OCTET_STRING)?), number(curve.value(tag::OCTET_STRING)?));
        let base = inside.value(tag::OCTET_STRING)?.to_vec();
        let n = number(inside.unsigned()?);
        let cofactor = if inside.is_empty() { None } else { Some(number(inside.unsigned()?)) };
        Ok(Self { p, a, b, base, n, cofactor })
    }

    /// Whether all of it is that of a curve.
    fn is(&self, curve: &Curve) -> bool {
        self.p == curve.p
            && self.a == curve.a
            && self.b == curve.b
            && self.n == curve.n
            && self.cofactor.as_ref().is_none_or(|cofactor| *cofactor == BigUint::from(1u32))
            && curve.point(&self.base).is_ok_and(|base| base == curve.base)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bases_are_on_their_curves_and_have_their_order() {
        for curve in ALL.iter() {
            let y = &curve.base.y;
            assert_eq!(y * y % &curve.p, curve.right(&curve.base.x), "{}", curve.name);
            // (n - 1)G + G is nothing, (n - 1)G is G turned over.
            let less = &curve.n - 1u32;
            let one = BigUint::from(1u32);
            assert!(curve.sum_of(&less, &one, &curve.base).is_none(), "{}", curve.name);
            let x = curve.sum_of(&less, &BigUint::ZERO, &curve.base);
            assert_eq!(x.as_ref(), Some(&curve.base.x), "{}", curve.name);
        }
    }

    #[test]
    fn compressed_points_are_read() {
        for curve in ALL.iter().filter(|curve| curve.p.bit(1)) {
            let mut bytes = vec![if curve.base.y.bit(0) { 3 } else { 2 }];
            let x = curve.base.x.to_bytes_be();
            bytes.extend(vec![0; curve.bytes() - x.len()]);
            bytes.extend(x);
            assert_eq!(curve.point(&bytes), Ok(curve.base.clone()), "{}", curve.name);
        }
    }
}
