//! What tokens are for (RFC 8707), and resource servers that get theirs encrypted.

use std::{collections::HashMap, sync::Arc};

use arc_swap::ArcSwap;
use portcullis_events::{Actor, AdminChange, Event, Kind, Origin, Outcome, clean};
use portcullis_identity::FieldError;
use portcullis_jose::{Audience, ContentType, Enc, EncryptionKey, JwkSet, KeyManagement};
use portcullis_store::{
    DbError,
    resource_servers::{self, ResourceServer},
};
use portcullis_types::{Id, tags};
use serde_json::{Value, json};

use crate::{Client, ClientError, ErrorCode, OAuthError, Params, Provider, ProviderError};

/// Resource servers that are kept at hand.
const MAX_RESOURCE_SERVERS: i64 = 10_000;
/// Resources of one request.
const MAX_RESOURCES: usize = 16;
const MAX_NAME_CHARS: usize = 100;
const MAX_AUDIENCE_BYTES: usize = 256;

/// The keys of resource servers by audience.
#[derive(Debug, Default)]
pub struct ResourceKeys(ArcSwap<Known>);

#[derive(Debug, Default)]
struct Known {
    /// Which rows these are; a row never changes.
    ids: Vec<Id<tags::ResourceServer>>,
    recipients: HashMap<String, Recipient>,
}

#[derive(Debug)]
struct Recipient {
    key: EncryptionKey,
    enc: Enc,
}

/// A resource server as an administrator describes it.
#[derive(Debug, Clone)]
pub struct ResourceServerSpec {
    /// What tokens for it say in `aud`.
    pub audience: String,
    /// What people see.
    pub name: String,
    /// Its public keys.
    pub jwks: Value,
    /// How content keys are brought to it.
    pub alg: KeyManagement,
    /// How content is encrypted.
    pub enc: Enc,
}

impl Provider {
    /// Takes in the resource servers as the database has them.
    pub async fn reload_resource_servers(&self) -> Result<(), DbError> {
        let (db, tenant) = (&self.identity.db, self.tenant());
        let rows = resource_servers::page(db, tenant, "", MAX_RESOURCE_SERVERS).await?;
        let ids: Vec<_> = rows.iter().map(|row| row.id).collect();
        if self.resource_keys.0.load().ids == ids {
            return Ok(());
        }
        let mut recipients = HashMap::with_capacity(rows.len());
        for row in rows {
            // A row that cannot be read must not turn into tokens in the clear.
            let recipient = recipient(&row).ok_or(DbError::Stored("resource server"))?;
            recipients.insert(row.audience, recipient);
        }
        self.resource_keys.0.store(Arc::new(Known { ids, recipients }));
        Ok(())
    }

    /// Registers a resource server: from now on its tokens are encrypted.
    pub async fn create_resource_server(
        &self,
        spec: &ResourceServerSpec,
        by: &Actor,
        origin: &Origin,
    ) -> Result<ResourceServer, ClientError> {
        let now = self.now();
        let row = &ResourceServer {
            id: Id::new(now, &*self.identity.entropy),
            audience: spec.audience.clone(),
            name: spec.name.clone(),
            jwks: spec.jwks.to_string(),
            alg: spec.alg.as_str().to_owned(),
            enc: spec.enc.as_str().to_owned(),
            created_at: now.micros(),
        };
        check(row)?;
        let inserted = self.identity.db.write(|tx| async move {
            resource_servers::insert(&tx, self.tenant(), row).await?;
            tx.emit(self.resource_event("create", row, by, origin)).await?;
            Ok::<_, ClientError>(())
        });
        inserted.await.map_err(|error| match &error {
            ClientError::Failed(portcullis_identity::IdentityError::Db(db))
                if db.constraint().is_some() =>
            {
                wrong("audience", "is taken")
            }
            _ => error,
        })?;
        self.reload_resource_servers().await?;
        Ok(row.clone())
    }

    /// Removes a resource server: its tokens are in the clear again.
    pub async fn delete_resource_server(
        &self,
        id: Id<tags::ResourceServer>,
        by: &Actor,
        origin: &Origin,
    ) -> Result<(), ClientError> {
        let (db, tenant) = (&self.identity.db, self.tenant());
        let rows = resource_servers::page(db, tenant, "", MAX_RESOURCE_SERVERS).await?;
        let row = rows.into_iter().find(|row| row.id == id).ok_or(ClientError::NotFound)?;
        let row = &row;
        let removed = self.identity.db.write(|tx| async move {
            if !resource_servers::delete(&tx, self.tenant(), id).await? {
                return Err(ClientError::NotFound);
            }
            tx.emit(self.resource_event("delete", row, by, origin)).await?;
            Ok(())
        });
        removed.await?;
        Ok(self.reload_resource_servers().await?)
    }

    fn resource_event(
        &self,
        action: &'static str,
        row: &ResourceServer,
        by: &Actor,
        origin: &Origin,
    ) -> Event {
        let fields = json!({ "audience": row.audience, "name": row.name, "alg": row.alg });
        let (before, after) =
            if action == "create" { (None, Some(fields)) } else { (Some(fields), None) };
        let object = row.id.to_string();
        let change = AdminChange { action, object_type: "resource_server", object, before, after };
        self.identity.event(origin, by.clone(), Outcome::Success, Kind::Admin(change))
    }

    /// The audience of a token: the resources asked for, or those that were granted. Whoever named
    /// none when it was granted was granted what the client is registered for by default; a client
    /// that acts for itself (`None`) may ask for any that it is registered for.
    pub(crate) fn audience(
        &self,
        client: &Client,
        granted: Option<&[String]>,
        asked: &[String],
    ) -> Result<Audience, OAuthError> {
        let target = |text| OAuthError::new(ErrorCode::InvalidTarget, text);
        let granted = granted.map(|list| if list.is_empty() { &client.audiences } else { list });
        if granted.is_some_and(|granted| asked.iter().any(|one| !granted.contains(one))) {
            return Err(target("the resource was not granted"));
        }
        let all = granted.unwrap_or(&client.audiences);
        let chosen = if asked.is_empty() { all } else { asked };
        // What was granted may have been taken from the client since.
        if !chosen.iter().all(|resource| client.may_ask_for(resource)) {
            return Err(target("the resource is not registered for this client"));
        }
        let keys = self.resource_keys.0.load();
        match chosen {
            [] => Ok(Audience::One(self.settings.issuer.clone())),
            [one] => Ok(Audience::One(one.clone())),
            many if many.iter().any(|one| keys.recipients.contains_key(one)) => {
                Err(target("a token that is encrypted is for one resource: ask for one"))
            }
            many => Ok(Audience::Many(many.to_vec())),
        }
    }

    /// Encrypts a signed access token if its resource server registered a key.
    pub(crate) fn for_its_reader(
        &self,
        audience: &Audience,
        signed: String,
    ) -> Result<String, ProviderError> {
        let keys = self.resource_keys.0.load();
        let recipient = match audience {
            Audience::One(one) => keys.recipients.get(one),
            Audience::Many(_) => None,
        };
        let Some(Recipient { key, enc }) = recipient else { return Ok(signed) };
        let content = ContentType { typ: None, cty: Some("JWT") };
        Ok(key.encrypt(*enc, content, signed.as_bytes(), &*self.identity.entropy)?)
    }
}

/// The resources that a request names (RFC 8707, section 2).
pub(crate) fn asked(params: &Params) -> Result<Vec<String>, OAuthError> {
    let mut resources: Vec<String> = params.all("resource").map(str::to_owned).collect();
    resources.sort_unstable();
    resources.dedup();
    if resources.len() > MAX_RESOURCES {
        return Err(OAuthError::new(ErrorCode::InvalidTarget, "there are too many resources"));
    }
    Ok(resources)
}

/// As stored with a grant; nothing for nothing.
pub(crate) fn to_row(resources: &[String]) -> Option<String> {
    if resources.is_empty() { None } else { Some(json!(resources).to_string()) }
}

/// From the row of a grant.
pub(crate) fn from_row(row: Option<&str>) -> Result<Vec<String>, DbError> {
    let Some(text) = row else { return Ok(Vec::new()) };
    serde_json::from_str(text).map_err(|_| DbError::Stored("resources of a grant"))
}

fn recipient(row: &ResourceServer) -> Option<Recipient> {
    let alg = KeyManagement::parse(&row.alg)?;
    let set: JwkSet = serde_json::from_str(&row.jwks).ok()?;
    let key = set.encryption_key(alg)?;
    Some(Recipient { key, enc: Enc::parse(&row.enc)? })
}

fn wrong(field: &'static str, message: &str) -> ClientError {
    ClientError::Invalid(vec![FieldError { field, message: message.to_owned() }])
}

fn check(row: &ResourceServer) -> Result<(), ClientError> {
    let name = row.name.as_str();
    if name.is_empty() || name.chars().count() > MAX_NAME_CHARS || clean(name) != name {
        return Err(wrong("name", "must be 1 to 100 printable characters"));
    }
    let audience = row.audience.as_str();
    if audience.is_empty() || audience.len() > MAX_AUDIENCE_BYTES || clean(audience) != audience {
        return Err(wrong("audience", "must be 1 to 256 printable characters"));
    }
    if recipient(row).is_none() {
        return Err(wrong("jwks", "must hold a public key for the algorithm"));
    }
    Ok(())
}
