//! Clients at hand: who asks for tokens all the time is not read from the database every time.
//!
//! What this process changes counts at once. What another one changes counts within
//! [`LIFETIME`], which is less than the second for which tokens of a client that is disabled stay
//! void after that moment.

use std::{
    collections::HashMap,
    sync::{
        Arc, PoisonError, RwLock,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use portcullis_store::{
    DbError,
    clients::{self, ClientSecret},
};
use portcullis_types::Timestamp;

use crate::{AuthMethod, Client, Provider};

/// A client that was read is good for this long.
const LIFETIME: Duration = Duration::from_millis(500);
/// More clients at once are read every time.
const MAX_CLIENTS: usize = 10_000;

/// A client with what proves that it is the one.
#[derive(Debug, Clone)]
pub(crate) struct Known {
    pub client: Arc<Client>,
    pub secrets: Arc<[ClientSecret]>,
    read_at: Timestamp,
}

/// The clients that were read last.
#[derive(Debug, Default)]
pub struct KnownClients {
    entries: RwLock<HashMap<String, Known>>,
    /// How often something changed: what was read before a change is not kept after it.
    changes: AtomicU64,
}

impl KnownClients {
    fn get(&self, id: &str, now: Timestamp) -> Option<Known> {
        let entries = self.entries.read().unwrap_or_else(PoisonError::into_inner);
        let fresh = |known: &&Known| known.read_at <= now && now.since(known.read_at) < LIFETIME;
        entries.get(id).filter(fresh).cloned()
    }

    fn keep(&self, known: Known, changes: u64) {
        let mut entries = self.entries.write().unwrap_or_else(PoisonError::into_inner);
        if self.changes.load(Ordering::Acquire) != changes {
            return;
        }
        if entries.len() >= MAX_CLIENTS {
            entries.clear();
        }
        entries.insert(known.client.id.clone(), known);
    }

    fn forget(&self, id: &str) {
        let mut entries = self.entries.write().unwrap_or_else(PoisonError::into_inner);
        self.changes.fetch_add(1, Ordering::Release);
        entries.remove(id);
    }
}

impl Provider {
    /// The client with this id, if it is registered and enabled.
    pub async fn client(&self, id: &str) -> Result<Option<Arc<Client>>, DbError> {
        Ok(self.known_client(id).await?.map(|known| known.client))
    }

    /// The same with its secrets, some of which may have ended.
    pub(crate) async fn known_client(&self, id: &str) -> Result<Option<Known>, DbError> {
        let now = self.now();
        if let Some(known) = self.known_clients.get(id, now) {
            return Ok(Some(known));
        }
        let changes = self.known_clients.changes.load(Ordering::Acquire);
        let (db, tenant) = (&self.identity.db, self.tenant());
        let row = clients::by_id(db, tenant, id).await?;
        let client = row.as_ref().map(Client::from_row).transpose()?;
        let Some(client) = client.filter(|client| client.enabled) else { return Ok(None) };
        let by_secret = [AuthMethod::ClientSecretBasic, AuthMethod::ClientSecretPost];
        let secrets = match by_secret.contains(&client.auth_method) {
            true => clients::live_secrets(db, tenant, id, now).await?,
            false => Vec::new(),
        };
        let known = Known { client: Arc::new(client), secrets: secrets.into(), read_at: now };
        self.known_clients.keep(known.clone(), changes);
        Ok(Some(known))
    }

    /// Called when a change of a client has been committed.
    pub(crate) fn forget_client(&self, id: &str) {
        self.known_clients.forget(id);
    }
}
