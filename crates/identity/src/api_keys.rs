use std::{collections::HashMap, sync::PoisonError, time::Duration};

use portcullis_cluster::ApiKeyInfo;
use portcullis_events::{Actor, AdminChange, Event, Kind, Origin, Outcome, clean};
use portcullis_store::{
    API_KEY_PREFIX, Credential,
    api_keys::{self, ApiKey},
};
use portcullis_types::{Id, Secret, Timestamp, tags};
use serde_json::json;

use crate::{Identity, IdentityError};

/// After a rotation the old key works this long.
const ROTATION_OVERLAP: Duration = Duration::from_secs(24 * 3600);
/// A key has a name of at most this length.
const MAX_NAME_CHARS: usize = 100;

impl Identity {
    /// Makes a key. Its text is returned here and never again.
    pub async fn create_api_key(
        &self,
        name: &str,
        scopes: &[String],
        expires_at: Option<Timestamp>,
        by: &Actor,
        origin: &Origin,
    ) -> Result<(ApiKey, Secret<String>), IdentityError> {
        if name.is_empty() || name.chars().count() > MAX_NAME_CHARS || clean(name) != name {
            return Err(IdentityError::field("name", "must be 1 to 100 printable characters"));
        }
        let scope = |scope: &String| portcullis_types::is_scope_token(scope);
        if scopes.is_empty() || !scopes.iter().all(scope) {
            return Err(IdentityError::field("scopes", "must be a list of scopes, not empty"));
        }
        let key = self.fresh_key(name, &scopes.join(" "), expires_at, by);
        self.store_key("create", key, None, by, origin).await
    }

    /// Makes a successor with the same name and scopes; the old key ends after a day.
    pub async fn rotate_api_key(
        &self,
        id: Id<tags::ApiKey>,
        by: &Actor,
        origin: &Origin,
    ) -> Result<(ApiKey, Secret<String>), IdentityError> {
        let old = api_keys::by_id(&self.db, &self.tenant, id).await?;
        let old = old.filter(|old| old.revoked_at.is_none()).ok_or(IdentityError::NotFound)?;
        let expires_at = old.expires_at.map(Timestamp::from_micros);
        let key = self.fresh_key(&old.name, &old.scopes, expires_at, by);
        self.store_key("rotate", key, Some(id), by, origin).await
    }

    fn fresh_key(
        &self,
        name: &str,
        scopes: &str,
        expires_at: Option<Timestamp>,
        by: &Actor,
    ) -> (ApiKey, Secret<String>) {
        let now = self.now();
        let credential = Credential::new(API_KEY_PREFIX, &*self.entropy);
        let key = ApiKey {
            id: Id::new(now, &*self.entropy),
            name: name.to_owned(),
            hash: credential.hash,
            hint: credential.hint,
            scopes: scopes.to_owned(),
            created_by: label(by),
            created_at: now.micros(),
            expires_at: expires_at.map(Timestamp::micros),
            revoked_at: None,
        };
        (key, credential.text)
    }

    async fn store_key(
        &self,
        action: &'static str,
        (key, text): (ApiKey, Secret<String>),
        replaces: Option<Id<tags::ApiKey>>,
        by: &Actor,
        origin: &Origin,
    ) -> Result<(ApiKey, Secret<String>), IdentityError> {
        let stored = &key;
        self.db
            .write(|tx| async move {
                api_keys::insert(&tx, &self.tenant, stored).await?;
                if let Some(old) = replaces {
                    let end = self.now().plus(ROTATION_OVERLAP);
                    api_keys::expire(&tx, &self.tenant, old, end).await?;
                }
                tx.emit(self.key_event(action, stored, by, origin)).await?;
                Ok::<_, IdentityError>(())
            })
            .await?;
        self.reload_api_keys().await?;
        Ok((key, text))
    }

    /// Revokes a key at once.
    pub async fn revoke_api_key(
        &self,
        id: Id<tags::ApiKey>,
        by: &Actor,
        origin: &Origin,
    ) -> Result<(), IdentityError> {
        self.db
            .write(|tx| async move {
                let key = api_keys::by_id(&tx, &self.tenant, id).await?;
                let key = key.ok_or(IdentityError::NotFound)?;
                if !api_keys::revoke(&tx, &self.tenant, id, self.now()).await? {
                    return Err(IdentityError::NotFound);
                }
                tx.emit(self.key_event("revoke", &key, by, origin)).await?;
                Ok(())
            })
            .await?;
        self.reload_api_keys().await
    }

    /// Takes in keys that another process made, changed or revoked. Called every second.
    pub async fn follow_api_keys(&self) -> Result<(), IdentityError> {
        let state = api_keys::state(&self.db, &self.tenant).await?;
        let known = &self.inner().api_keys_state;
        if *known.lock().unwrap_or_else(PoisonError::into_inner) != state {
            self.reload_api_keys().await?;
            *known.lock().unwrap_or_else(PoisonError::into_inner) = state;
        }
        Ok(())
    }

    /// Hands the keys that work to the gate.
    pub async fn reload_api_keys(&self) -> Result<(), IdentityError> {
        let rows = api_keys::live(&self.db, &self.tenant, self.now()).await?;
        let keys: HashMap<_, _> = rows
            .into_iter()
            .map(|row| {
                let info = ApiKeyInfo {
                    id: row.id.to_string(),
                    scopes: row.scopes.split(' ').map(str::to_owned).collect(),
                    expires_at: row.expires_at.map(Timestamp::from_micros),
                };
                (row.hash, info)
            })
            .collect();
        self.api_keys.replace(keys);
        Ok(())
    }

    fn key_event(&self, action: &'static str, key: &ApiKey, by: &Actor, origin: &Origin) -> Event {
        let change = AdminChange {
            action,
            object_type: "api_key",
            object: key.id.to_string(),
            before: None,
            after: Some(json!({ "name": key.name, "scopes": key.scopes, "hint": key.hint })),
        };
        self.event(origin, by.clone(), Outcome::Success, Kind::Admin(change))
    }
}

/// Who did it, for a column that people read.
pub(crate) fn label(actor: &Actor) -> String {
    match actor {
        Actor::User { username, .. } => username.clone(),
        Actor::Client { id } | Actor::ApiKey { id } => id.clone(),
        Actor::Workload { spiffe_id } => spiffe_id.clone(),
        Actor::System => "system".into(),
        Actor::Operator => "operator".into(),
        Actor::Anonymous | Actor::UnknownUser { .. } => "anonymous".into(),
    }
}
