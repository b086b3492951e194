//! The keys of clients: registered, or fetched from where they publish them.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use portcullis_jose::{JwkSet, from_slice_strict};
use portcullis_types::Timestamp;

use crate::{Client, Provider};

/// Fetched keys are used this long.
const FRESH: Duration = Duration::from_secs(600);
/// After a fetch, even one that failed, nobody fetches again for this long.
const PAUSE: Duration = Duration::from_secs(15);
/// Clients whose keys are kept at hand.
const MAX_CLIENTS: usize = 1_024;

/// Key sets by client.
#[derive(Debug, Default)]
pub struct ClientKeys(Mutex<HashMap<String, Fetched>>);

#[derive(Debug, Clone)]
struct Fetched {
    uri: String,
    at: Timestamp,
    keys: Option<Arc<JwkSet>>,
}

impl Provider {
    /// The client with its keys, fetched if they are elsewhere. `anew` asks for fresh ones: a
    /// signature names a key that is not known.
    pub(crate) async fn with_keys(&self, mut client: Client, anew: bool) -> Client {
        let Some(uri) = client.settings.jwks_uri.clone() else { return client };
        let now = self.now();
        let known = self.client_keys.known(&client.id, &uri);
        let age = known.as_ref().map(|fetched| now.since(fetched.at));
        let keep = if anew { PAUSE } else { FRESH };
        let fetched = match (known, age) {
            (Some(fetched), Some(age)) if age < keep && (fetched.keys.is_some() || age < PAUSE) => {
                fetched
            }
            (known, _) => {
                let keys = self.fetch_keys(&uri).await.map(Arc::new);
                // Old keys are better than none while the client is away.
                let keys = keys.or(known.and_then(|known| known.keys));
                let fetched = Fetched { uri, at: now, keys };
                self.client_keys.remember(&client.id, fetched.clone());
                fetched
            }
        };
        client.jwks = fetched.keys.map(|keys| (*keys).clone());
        client
    }

    async fn fetch_keys(&self, uri: &str) -> Option<JwkSet> {
        match self.egress.get(uri).await {
            Ok(answer) if answer.status.as_u16() == 200 => from_slice_strict(&answer.body).ok(),
            Ok(answer) => {
                tracing::info!(status = %answer.status, "a client's keys were not fetched");
                None
            }
            Err(error) => {
                tracing::info!(%error, "a client's keys were not fetched");
                None
            }
        }
    }
}

impl ClientKeys {
    fn known(&self, client: &str, uri: &str) -> Option<Fetched> {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.get(client).filter(|fetched| fetched.uri == uri).cloned()
    }

    fn remember(&self, client: &str, fetched: Fetched) {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= MAX_CLIENTS && !known.contains_key(client) {
            let oldest = known.iter().min_by_key(|(_, fetched)| fetched.at);
            if let Some(oldest) = oldest.map(|(client, _)| client.clone()) {
                known.remove(&oldest);
            }
        }
        known.insert(client.to_owned(), fetched);
    }
}
