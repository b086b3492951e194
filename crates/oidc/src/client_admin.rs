use std::{collections::BTreeSet, time::Duration};

use portcullis_cluster::Revoked;
use portcullis_events::{Actor, AdminChange, Event, Kind, Origin, Outcome};
use portcullis_identity::{FieldError, IdentityError};
use portcullis_jose::Alg;
use portcullis_store::{
    CLIENT_SECRET_PREFIX, Credential, DbError,
    clients::{self, ClientSecret},
    grants, wallet,
};
use portcullis_types::{Id, Secret, Timestamp};
use serde_json::{Value, json};

use crate::{AuthMethod, ClientSettings, GrantType, Provider};

/// After a rotation the old secret works this long.
const ROTATION_OVERLAP: Duration = Duration::from_secs(24 * 3600);

/// What the gate is called as a client for browsers in front of services.
pub const GATE_CLIENT: &str = "portcullis-gate";
/// What it is called for the console.
pub const CONSOLE_CLIENT: &str = "portcullis-console";

/// Whether it is the gate's own: only the gate redeems its codes and renews its tokens.
pub fn is_of_gate(client: &str) -> bool {
    [GATE_CLIENT, CONSOLE_CLIENT].contains(&client)
}

/// A client as an administrator describes it.
#[derive(Debug, Clone)]
pub struct ClientSpec {
    /// The `client_id`; made up if there is none.
    pub id: Option<String>,
    /// What people see.
    pub name: String,
    /// How it proves who it is.
    pub auth_method: AuthMethod,
    /// Ours: people are not asked for consent.
    pub first_party: bool,
    /// Where codes may go.
    pub redirect_uris: Vec<String>,
    /// Where a logout may return to.
    pub post_logout_redirect_uris: Vec<String>,
    /// Which grants it may use.
    pub grant_types: Vec<GrantType>,
    /// Which scopes it may ask for.
    pub scopes: Vec<String>,
    /// The resource servers its tokens are for; the issuer if there are none.
    pub audiences: Vec<String>,
    /// Its public keys.
    pub jwks: Option<Value>,
    /// The algorithm of its tokens.
    pub token_alg: Alg,
    /// Further metadata.
    pub settings: ClientSettings,
}

/// A client could not be registered or changed.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// Some values cannot be accepted.
    #[error("some values cannot be accepted")]
    Invalid(Vec<FieldError>),
    /// There is no such client.
    #[error("not found")]
    NotFound,
    /// Something else.
    #[error(transparent)]
    Failed(#[from] IdentityError),
}

impl From<DbError> for ClientError {
    fn from(error: DbError) -> Self {
        Self::Failed(error.into())
    }
}

impl portcullis_store::RaceCheck for ClientError {
    fn is_race(&self) -> bool {
        matches!(self, Self::Failed(error) if error.is_race())
    }
}

impl Provider {
    /// Registers a client. A confidential client's secret is returned here and never again.
    pub async fn create_client(
        &self,
        spec: &ClientSpec,
        by: &Actor,
        origin: &Origin,
    ) -> Result<(clients::Client, Option<Secret<String>>), ClientError> {
        self.check(spec)?;

        let now = self.now();
        let entropy = &*self.identity.entropy;
        let id = spec
            .id
            .clone()
            .unwrap_or_else(|| Id::<portcullis_types::tags::Client>::new(now, entropy).to_string());
        let sector_identifier = self.sector(spec, &id).await?;
        let settings = ClientSettings { sector_identifier, ..spec.settings.clone() };
        let row = &clients::Client {
            id,
            status_epoch: 0,
            created_at: now.micros(),
            disabled_at: None,
            ..self.described(spec, &settings)
        };
        let with_secret = matches!(
            spec.auth_method,
            AuthMethod::ClientSecretBasic | AuthMethod::ClientSecretPost
        );
        let secret = with_secret.then(|| self.fresh_secret());
        let (stored, text) = secret.unzip();
        let stored = &stored;
        let inserted = self
            .identity
            .db
            .write(|tx| async move {
                clients::insert(&tx, self.tenant(), row).await?;
                if let Some(secret) = stored {
                    clients::insert_secret(&tx, self.tenant(), &row.id, secret).await?;
                }
                tx.emit(self.client_event("create", None, Some(row), by, origin)).await?;
                Ok::<_, ClientError>(())
            })
            .await;
        inserted.map_err(taken)?;
        Ok((row.clone(), text))
    }

    /// Puts what `spec` describes in the place of what a client was registered with. How it proves
    /// who it is, and its secrets, stay. What was granted to it ends if it loses a scope or an
    /// audience. `may` says of the client, as it is at that moment, why it cannot be changed.
    pub(crate) async fn replace_client(
        &self,
        id: &str,
        spec: &ClientSpec,
        may: impl Fn(&clients::Client) -> Result<(), ClientError>,
        by: &Actor,
        origin: &Origin,
    ) -> Result<clients::Client, ClientError> {
        self.check(spec)?;
        let now = self.now();
        // This asks the client's server, which may take its time.
        let sector_identifier = self.sector(spec, id).await?;
        let settings = &ClientSettings { sector_identifier, ..spec.settings.clone() };
        let may = &may;
        let changed = self.identity.db.write(|tx| async move {
            // Not what was read before: it may have been disabled or removed meanwhile.
            let before = clients::by_id(&tx, self.tenant(), id).await?;
            let before = before.ok_or(ClientError::NotFound)?;
            may(&before)?;
            let after = clients::Client {
                id: before.id.clone(),
                auth_method: before.auth_method.clone(),
                status_epoch: before.status_epoch,
                created_at: before.created_at,
                disabled_at: before.disabled_at,
                ..self.described(spec, settings)
            };
            clients::update(&tx, self.tenant(), &after).await?;
            let revoked = match loses(&before, &after) {
                true => self.void_client(&tx, id).await?,
                false => Vec::new(),
            };
            let event = self.client_event("update", Some(&before), Some(&after), by, origin);
            tx.emit(event).await?;
            Ok::<_, ClientError>((after, revoked))
        });
        let (after, revoked) = changed.await?;
        self.forget_client(id);
        self.identity.apply(&revoked, now);
        Ok(after)
    }

    /// The same for an administrator, who names the client, and may say when what they saw was changed last: if it
    /// was changed since, it stays as it is.
    pub async fn update_client(
        &self,
        id: &str,
        spec: &ClientSpec,
        seen: Option<Timestamp>,
        by: &Actor,
        origin: &Origin,
    ) -> Result<clients::Client, ClientError> {
        let before = clients::by_id(&self.identity.db, self.tenant(), id).await?;
        let before = before.ok_or(ClientError::NotFound)?;
        let fixed = |field, same| match same {
            true => Ok(()),
            false => {
                let message = "cannot be changed; register another client".to_owned();
                Err(ClientError::Invalid(vec![FieldError { field, message }]))
            }
        };
        fixed("client_id", spec.id.as_deref().is_none_or(|named| named == id))?;
        let same = spec.auth_method.as_str() == before.auth_method;
        fixed("token_endpoint_auth_method", same)?;
        let may = |row: &clients::Client| match seen {
            Some(seen) if seen.micros() != row.updated_at => {
                Err(ClientError::Failed(IdentityError::Stale))
            }
            _ => Ok(()),
        };
        self.replace_client(id, spec, may, by, origin).await
    }

    /// What an administrator, or the client itself, says of a client, as a row; the rest of it is
    /// for the caller to say.
    fn described(&self, spec: &ClientSpec, settings: &ClientSettings) -> clients::Client {
        clients::Client {
            id: String::new(),
            name: spec.name.clone(),
            auth_method: spec.auth_method.as_str().into(),
            first_party: spec.first_party,
            redirect_uris: json!(spec.redirect_uris).to_string(),
            post_logout_redirect_uris: json!(spec.post_logout_redirect_uris).to_string(),
            grant_types: json!(spec.grant_types).to_string(),
            scopes: spec.scopes.join(" "),
            audiences: json!(self.audiences_of(spec)).to_string(),
            jwks: spec.jwks.as_ref().map(Value::to_string),
            token_alg: spec.token_alg.as_str().into(),
            settings: json!(settings).to_string(),
            status_epoch: 0,
            created_at: 0,
            updated_at: self.now().micros(),
            disabled_at: None,
        }
    }

    fn audiences_of(&self, spec: &ClientSpec) -> Vec<String> {
        match spec.audiences.is_empty() {
            true => vec![self.settings.issuer.clone()],
            false => spec.audiences.clone(),
        }
    }

    fn fresh_secret(&self) -> (ClientSecret, Secret<String>) {
        let now = self.now();
        let credential = Credential::new(CLIENT_SECRET_PREFIX, &*self.identity.entropy);
        let secret = ClientSecret {
            id: Id::new(now, &*self.identity.entropy),
            hash: credential.hash,
            hint: credential.hint,
            created_at: now.micros(),
            expires_at: None,
        };
        (secret, credential.text)
    }

    /// Gives a client a new secret; the old ones end after a day.
    pub async fn rotate_client_secret(
        &self,
        id: &str,
        by: &Actor,
        origin: &Origin,
    ) -> Result<Secret<String>, ClientError> {
        let (secret, text) = self.fresh_secret();
        let secret = &secret;
        let end = self.now().plus(ROTATION_OVERLAP);
        self.identity
            .db
            .write(|tx| async move {
                let client = clients::by_id(&tx, self.tenant(), id).await?;
                let client = client
                    .filter(|client| client.auth_method.starts_with("client_secret_"))
                    .ok_or(ClientError::NotFound)?;
                clients::expire_secrets(&tx, self.tenant(), id, end).await?;
                clients::insert_secret(&tx, self.tenant(), id, secret).await?;
                tx.emit(self.client_event("rotate", Some(&client), Some(&client), by, origin))
                    .await?;
                Ok::<_, ClientError>(())
            })
            .await?;
        self.forget_client(id);
        Ok(text)
    }

    /// Disables a client at once, or enables it again. Its tokens are void.
    pub async fn set_client_disabled(
        &self,
        id: &str,
        disabled: bool,
        by: &Actor,
        origin: &Origin,
    ) -> Result<clients::Client, ClientError> {
        let now = self.now();
        let (client, revoked) = self
            .identity
            .db
            .write(|tx| async move {
                let before = clients::by_id(&tx, self.tenant(), id).await?;
                let before = before.ok_or(ClientError::NotFound)?;
                let after = clients::Client {
                    disabled_at: disabled.then_some(now.micros()),
                    updated_at: now.micros(),
                    ..before.clone()
                };
                clients::update(&tx, self.tenant(), &after).await?;
                let revoked = if disabled { self.void_client(&tx, id).await? } else { Vec::new() };
                let action = if disabled { "disable" } else { "enable" };
                let event = self.client_event(action, Some(&before), Some(&after), by, origin);
                tx.emit(event).await?;
                Ok::<_, ClientError>((after, revoked))
            })
            .await?;
        self.forget_client(id);
        self.identity.apply(&revoked, now);
        Ok(client)
    }

    /// Removes a client with everything that was granted to it.
    pub async fn delete_client(
        &self,
        id: &str,
        by: &Actor,
        origin: &Origin,
    ) -> Result<(), ClientError> {
        let now = self.now();
        let revoked = self
            .identity
            .db
            .write(|tx| async move {
                let before = clients::by_id(&tx, self.tenant(), id).await?;
                let before = before.ok_or(ClientError::NotFound)?;
                let revoked = self.void_client(&tx, id).await?;
                clients::delete(&tx, self.tenant(), id).await?;
                tx.emit(self.client_event("delete", Some(&before), None, by, origin)).await?;
                Ok::<_, ClientError>(revoked)
            })
            .await?;
        self.forget_client(id);
        self.identity.apply(&revoked, now);
        Ok(())
    }

    async fn void_client(
        &self,
        tx: &portcullis_store::Tx,
        id: &str,
    ) -> Result<Vec<grants::Revocation>, ClientError> {
        let now = self.now();
        let waiting = grants::Of::Client(id);
        grants::revoke_unredeemed(tx, self.tenant(), waiting, "client_disabled", now).await?;
        wallet::revoke_all(tx, self.tenant(), wallet::Of::Client(id), now).await?;
        let live = grants::live_of_client(tx, self.tenant(), id).await?;
        let mut revoked = self.identity.revoke_grants(tx, live, "client_disabled", now).await?;
        revoked.push(self.identity.revocation(tx, Revoked::Client(id), now).await?);
        revoked.extend(self.identity.mark_client(tx, id, now).await?);
        Ok(revoked)
    }

    fn client_event(
        &self,
        action: &'static str,
        before: Option<&clients::Client>,
        after: Option<&clients::Client>,
        by: &Actor,
        origin: &Origin,
    ) -> Event {
        let object = before.or(after).map(|client| client.id.clone()).unwrap_or_default();
        let change = AdminChange {
            action,
            object_type: "client",
            object,
            before: before.map(visible),
            after: after.map(visible),
        };
        self.identity.event(origin, by.clone(), Outcome::Success, Kind::Admin(change))
    }
}

/// Whether a client had a scope or an audience before that it has no more.
fn loses(before: &clients::Client, after: &clients::Client) -> bool {
    let audiences = |client: &clients::Client| {
        let settings: ClientSettings = serde_json::from_str(&client.settings).unwrap_or_default();
        let own: Vec<String> = serde_json::from_str(&client.audiences).unwrap_or_default();
        own.into_iter().chain(settings.optional_audiences).collect::<BTreeSet<_>>()
    };
    let scopes = |client: &clients::Client| {
        client.scopes.split(' ').map(str::to_owned).collect::<BTreeSet<_>>()
    };
    !audiences(before).is_subset(&audiences(after)) || !scopes(before).is_subset(&scopes(after))
}

fn visible(client: &clients::Client) -> Value {
    json!({
        "name": client.name,
        "auth_method": client.auth_method,
        "redirect_uris": client.redirect_uris,
        "grant_types": client.grant_types,
        "scopes": client.scopes,
        "audiences": client.audiences,
        "settings": client.settings,
        "disabled": client.disabled_at.is_some(),
    })
}

fn taken(error: ClientError) -> ClientError {
    match &error {
        ClientError::Failed(IdentityError::Db(db)) if db.constraint().is_some() => {
            let message = "is taken".to_owned();
            ClientError::Invalid(vec![FieldError { field: "id", message }])
        }
        _ => error,
    }
}
