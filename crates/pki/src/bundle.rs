//! The trust bundle of a domain, as others fetch it (SPIFFE Trust Domain and Bundle, section 4).

use data_encoding::{BASE64, BASE64URL_NOPAD};
use serde_json::{Value, json};
use x509_parser::{certificate::X509Certificate, prelude::FromDer, public_key::PublicKey};

use crate::PkiError;

/// The bundle as a JWK set: an entry for each root. `sequence` grows with every change;
/// `refresh_hint` says after how many seconds to look again.
pub fn spiffe_bundle(
    roots: &[Vec<u8>],
    sequence: u64,
    refresh_hint: u64,
) -> Result<Value, PkiError> {
    let keys: Result<Vec<Value>, PkiError> = roots.iter().map(|root| entry(root)).collect();
    Ok(json!({ "keys": keys?, "spiffe_sequence": sequence, "spiffe_refresh_hint": refresh_hint }))
}

/// RFC 7517 and 7518, with the certificate as the one member of `x5c` (section 4.2.2).
fn entry(root: &[u8]) -> Result<Value, PkiError> {
    let (_, read) = X509Certificate::from_der(root).map_err(|_| PkiError::NotAuthority)?;
    let x5c = [BASE64.encode(root)];
    match read.public_key().parsed() {
        Ok(PublicKey::EC(point)) => {
            let (curve, size) = match point.key_size() {
                256 => ("P-256", 32),
                384 => ("P-384", 48),
                _ => return Err(PkiError::NotAuthority),
            };
            // The uncompressed form: a byte, then both coordinates.
            let place = |from: usize| point.data().get(from..from + size);
            let (x, y) = place(1).zip(place(1 + size)).ok_or(PkiError::NotAuthority)?;
            let (x, y) = (BASE64URL_NOPAD.encode(x), BASE64URL_NOPAD.encode(y));
            Ok(json!({ "use": "x509-svid", "kty": "EC", "crv": curve, "x": x, "y": y, "x5c": x5c }))
        }
        Ok(PublicKey::RSA(key)) => {
            let number = |bytes: &[u8]| {
                let zeros = bytes.iter().take_while(|byte| **byte == 0).count();
                BASE64URL_NOPAD.encode(bytes.get(zeros..).unwrap_or_default())
            };
            let (n, e) = (number(key.modulus), number(key.exponent));
            Ok(json!({ "use": "x509-svid", "kty": "RSA", "n": n, "e": e, "x5c": x5c }))
        }
        _ => Err(PkiError::NotAuthority),
    }
}
