use std::fmt::Write as _;

use data_encoding::BASE64URL_NOPAD;
use portcullis_jose::{JwsError, SigningKey, sign};
use portcullis_types::{Entropy, random_array};
use serde_json::{Map, Value, json};

use crate::{Asked, KEY_BINDING_TYP, TYP, sha256};

/// Bytes of a salt (RFC 9901, section 9.3).
const SALT_BYTES: usize = 16;

/// A credential that is being made: some of it is told to everybody, the rest only where its holder wants to.
#[derive(Debug)]
pub struct Draft<'a> {
    entropy: &'a dyn Entropy,
    /// Told to everybody who sees it.
    plain: Map<String, Value>,
    digests: Vec<String>,
    disclosures: Vec<String>,
}

impl<'a> Draft<'a> {
    /// With what everybody sees: `iss`, `vct`, `exp`, `cnf` and `status` among it, which may not be hidden
    /// (draft-ietf-oauth-sd-jwt-vc, section 2.2.2).
    pub fn new(plain: Map<String, Value>, entropy: &'a dyn Entropy) -> Self {
        Self { entropy, plain, digests: Vec::new(), disclosures: Vec::new() }
    }

    /// Adds a claim that its holder tells or not.
    pub fn hide(&mut self, name: &str, value: &Value) {
        let digest = self.disclose(&json!([self.salt(), name, value]));
        self.digests.push(digest);
    }

    /// Adds a claim whose members are told or not, each for itself; so is the claim.
    pub fn hide_members(&mut self, name: &str, members: Map<String, Value>) {
        let each = members.into_iter();
        let mut digests: Vec<_> =
            each.map(|(name, value)| self.disclose(&json!([self.salt(), name, value]))).collect();
        digests.sort_unstable();
        self.hide(name, &json!({ "_sd": digests }));
    }

    /// Adds a claim whose elements are told or not, each for itself; so is the claim.
    pub fn hide_elements(&mut self, name: &str, elements: Vec<Value>) {
        let each = elements.into_iter();
        let hidden: Vec<_> =
            each.map(|one| json!({ "...": self.disclose(&json!([self.salt(), one])) })).collect();
        self.hide(name, &Value::Array(hidden));
    }

    /// Signs it (RFC 9901, section 4): `<JWT>~<disclosure>~…~`. Digests that stand for nothing are added up to
    /// `at_least`, so that nobody sees how much there is to tell.
    pub fn sign(mut self, key: &SigningKey, at_least: usize) -> Result<String, JwsError> {
        while self.digests.len() < at_least {
            self.digests.push(sha256(&self.salt()));
        }
        // In an order that says nothing of what they stand for.
        self.digests.sort_unstable();
        self.plain.insert("_sd".to_owned(), json!(self.digests));
        self.plain.insert("_sd_alg".to_owned(), json!("sha-256"));
        let mut credential = sign(key, TYP, &self.plain)?;
        credential.push('~');
        for disclosure in self.disclosures {
            let _ = write!(credential, "{disclosure}~");
        }
        Ok(credential)
    }

    fn salt(&self) -> String {
        BASE64URL_NOPAD.encode(&random_array::<SALT_BYTES>(self.entropy))
    }

    /// Keeps a disclosure; tells its digest (RFC 9901, section 4.2.3).
    fn disclose(&mut self, contents: &Value) -> String {
        let disclosure = BASE64URL_NOPAD.encode(contents.to_string().as_bytes());
        let digest = sha256(&disclosure);
        self.disclosures.push(disclosure);
        digest
    }
}

/// What a holder shows: a credential with the disclosures that are left in it, bound to the key and to whoever asked
/// (RFC 9901, section 4.3).
pub fn bind(shown: &str, key: &SigningKey, asked: &Asked<'_>) -> Result<String, JwsError> {
    let said = json!({
        "aud": asked.audience,
        "nonce": asked.nonce,
        "iat": asked.now.secs(),
        "sd_hash": sha256(shown),
    });
    Ok(format!("{shown}{}", sign(key, KEY_BINDING_TYP, &said)?))
}
