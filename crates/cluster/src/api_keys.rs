use std::{collections::HashMap, sync::Arc};

use arc_swap::ArcSwap;
use portcullis_types::Timestamp;

/// What the gate knows of an API key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApiKeyInfo {
    /// The key's id.
    pub id: String,
    /// Its scopes.
    pub scopes: Vec<String>,
    /// When it ends, if it does.
    pub expires_at: Option<Timestamp>,
}

/// The API keys that work, by their hash; swapped as a whole when one changes.
#[derive(Debug, Default)]
pub struct ApiKeys(ArcSwap<HashMap<Vec<u8>, ApiKeyInfo>>);

impl ApiKeys {
    /// The key with this hash, if it works at `now`.
    pub fn find(&self, hash: &[u8], now: Timestamp) -> Option<ApiKeyInfo> {
        let keys = self.0.load();
        keys.get(hash).filter(|key| key.expires_at.is_none_or(|end| end > now)).cloned()
    }

    /// Whether the key with this id works at `now`.
    pub fn works(&self, id: &str, now: Timestamp) -> bool {
        let keys = self.0.load();
        keys.values().any(|key| key.id == id && key.expires_at.is_none_or(|end| end > now))
    }

    /// Replaces all keys, as the database has them.
    pub fn replace(&self, keys: HashMap<Vec<u8>, ApiKeyInfo>) {
        self.0.store(Arc::new(keys));
    }
}
