//! State that a browser keeps for us, sealed: nothing is stored for strangers, and what comes back
//! is what was given.

use std::time::Duration;

use aws_lc_rs::digest::{SHA256, digest};
use data_encoding::BASE64URL_NOPAD;
use portcullis_types::Timestamp;
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use crate::{Identity, IdentityError};

/// Longer texts are not opened; a cookie holds no more.
const MAX_SEALED_CHARS: usize = 16 * 1024;

#[derive(Serialize, Deserialize)]
struct Sealed<T> {
    state: T,
    expires_at: i64,
}

/// State that came back.
pub struct Opened<T> {
    /// The state.
    pub state: T,
    /// When it is void.
    pub until: Timestamp,
    /// Stands for it where it may be used once: the sealed text has one spelling.
    pub hash: Vec<u8>,
}

impl Identity {
    /// Seals `state` for `lifetime`. The purpose is part of it: state of one kind never opens as
    /// another.
    pub fn seal_state<T: Serialize>(
        &self,
        purpose: &str,
        state: T,
        lifetime: Duration,
    ) -> Result<String, IdentityError> {
        let expires_at = self.now().plus(lifetime).micros();
        let json = serde_json::to_vec(&Sealed { state, expires_at });
        let json = json.map_err(|_| IdentityError::State)?;
        let sealed = self.sealer.seal(&format!("state {purpose}"), &json, &*self.entropy)?;
        Ok(BASE64URL_NOPAD.encode(&sealed))
    }

    /// Opens what [`Identity::seal_state`] made, unless it is too old, of another kind, or changed.
    pub fn open_state<T: DeserializeOwned>(&self, purpose: &str, text: &str) -> Option<Opened<T>> {
        if text.len() > MAX_SEALED_CHARS {
            return None;
        }
        let sealed = BASE64URL_NOPAD.decode(text.as_bytes()).ok()?;
        let opened = self.sealer.open(&format!("state {purpose}"), &sealed).ok()?;
        let sealed: Sealed<T> = serde_json::from_slice(&opened).ok()?;
        let until = Timestamp::from_micros(sealed.expires_at);
        let hash = digest(&SHA256, text.as_bytes()).as_ref().to_vec();
        (until > self.now()).then_some(Opened { state: sealed.state, until, hash })
    }
}
