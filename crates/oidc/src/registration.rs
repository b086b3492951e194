//! Clients that register themselves (RFC 7591) and look after their registration (RFC 7592), under
//! a policy.

use std::time::Duration;

use portcullis_events::{Actor, Origin};
use portcullis_jose::Alg;
use portcullis_store::{clients, registrations, token_hash};
use portcullis_types::{Secret, random_token, same_secret};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{AuthMethod, Client, ClientError, ClientSettings, ClientSpec, GrantType, Provider};

/// The scope of a token that may register clients.
pub(crate) const SCOPE: &str = "client_registration";
/// A client that nobody has used goes after this time.
const UNUSED: Duration = Duration::from_secs(7 * 24 * 3600);

/// Who may register clients.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum RegistrationMode {
    /// Nobody: only administrators do.
    #[default]
    Off,
    /// Whoever has an access token with the scope `client_registration`.
    Token,
    /// Everybody. People are always asked for consent, and clients act for people only.
    Open,
}

/// What may be registered.
#[derive(Debug, Clone, Default)]
pub struct RegistrationPolicy {
    /// Who.
    pub mode: RegistrationMode,
    /// The scopes a client may have.
    pub scopes: Vec<String>,
    /// The audiences a client may ask for.
    pub audiences: Vec<String>,
    /// Whether confidential clients may rely on their nonce instead of PKCE.
    pub nonce_instead_of_pkce: bool,
}

/// Client metadata (RFC 7591, section 2; OpenID Connect Registration, section 2). What is not known
/// here is passed over.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Metadata {
    #[serde(skip_serializing_if = "Option::is_none")]
    client_name: Option<String>,
    redirect_uris: Vec<String>,
    post_logout_redirect_uris: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    token_endpoint_auth_method: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    grant_types: Option<Vec<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    response_types: Option<Vec<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    scope: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    jwks: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    id_token_signed_response_alg: Option<String>,
    #[serde(flatten)]
    settings: ClientSettings,
}

/// A registration as the client gets it (RFC 7591, section 3.2.1).
#[derive(Serialize)]
pub(crate) struct Registered {
    client_id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    client_secret: Option<String>,
    client_id_issued_at: i64,
    /// Never.
    client_secret_expires_at: i64,
    registration_client_uri: String,
    registration_access_token: String,
    #[serde(flatten)]
    metadata: Metadata,
}

/// Why a registration is refused (RFC 7591, section 3.2.2).
#[derive(Debug)]
pub(crate) enum RegistrationError {
    /// There is no registration here.
    Off,
    /// The token does not do.
    Token,
    /// The metadata cannot be accepted.
    Metadata { redirect: bool, description: String },
    /// We failed.
    Failed(ClientError),
}

impl From<ClientError> for RegistrationError {
    fn from(error: ClientError) -> Self {
        match error {
            ClientError::Invalid(fields) => {
                let redirect = fields.iter().any(|field| field.field == "redirect_uris");
                let lines = fields.iter().map(|field| format!("{} {}", field.field, field.message));
                Self::Metadata { redirect, description: lines.collect::<Vec<_>>().join("; ") }
            }
            ClientError::NotFound => Self::Token,
            error => Self::Failed(error),
        }
    }
}

impl From<portcullis_store::DbError> for RegistrationError {
    fn from(error: portcullis_store::DbError) -> Self {
        Self::Failed(error.into())
    }
}

impl Provider {
    /// Whether clients can register themselves here.
    pub(crate) fn registers(&self) -> bool {
        self.settings.registration.mode != RegistrationMode::Off
    }

    /// RFC 7591, section 3. `by` is whoever showed a token for it.
    pub(crate) async fn register(
        &self,
        metadata: Metadata,
        by: Option<Actor>,
        origin: &Origin,
    ) -> Result<Registered, RegistrationError> {
        let spec = self.spec(metadata)?;
        let token = random_token(&*self.identity.entropy);
        let now = self.now();
        let hash = &token_hash(&token);
        let by = by.unwrap_or_default();
        let (row, secret) = self.create_client(&spec, &by, origin).await?;
        let id = &row.id;
        let noted = self.identity.db.write(|tx| async move {
            registrations::insert(&tx, self.tenant(), id, hash, now, now.plus(UNUSED)).await
        });
        noted.await?;
        self.registered(&row, token, secret)
    }

    /// RFC 7592, section 2: the client that this token manages.
    pub(crate) async fn registration(
        &self,
        id: &str,
        token: &str,
    ) -> Result<Registered, RegistrationError> {
        let row = self.managed(id, token).await?;
        self.registered(&row, token.to_owned(), None)
    }

    /// RFC 7592, section 2.2: the metadata takes the place of what there was.
    pub(crate) async fn change_registration(
        &self,
        id: &str,
        token: &str,
        metadata: Metadata,
        origin: &Origin,
    ) -> Result<Registered, RegistrationError> {
        let row = self.managed(id, token).await?;
        let spec = self.spec(metadata)?;
        if spec.auth_method.as_str() != row.auth_method {
            let description = "token_endpoint_auth_method cannot be changed".to_owned();
            return Err(RegistrationError::Metadata { redirect: false, description });
        }
        let by = Actor::Client { id: row.id.clone() };
        let enabled = |row: &clients::Client| match row.disabled_at {
            None => Ok(()),
            Some(_) => Err(ClientError::NotFound),
        };
        let changed = match self.replace_client(id, &spec, enabled, &by, origin).await {
            Err(ClientError::NotFound) => return Err(RegistrationError::Token),
            changed => changed?,
        };
        self.registered(&changed, token.to_owned(), None)
    }

    /// RFC 7592, section 2.3.
    pub(crate) async fn end_registration(
        &self,
        id: &str,
        token: &str,
        origin: &Origin,
    ) -> Result<(), RegistrationError> {
        let row = self.managed(id, token).await?;
        let by = Actor::Client { id: row.id.clone() };
        Ok(self.delete_client(&row.id, &by, origin).await?)
    }

    async fn managed(&self, id: &str, token: &str) -> Result<clients::Client, RegistrationError> {
        let (db, tenant) = (&self.identity.db, self.tenant());
        let known = registrations::token_hash(db, tenant, id).await?.unwrap_or_default();
        if !same_secret(&known, &token_hash(token)) {
            return Err(RegistrationError::Token);
        }
        let row = clients::by_id(db, tenant, id).await?;
        row.filter(|row| row.disabled_at.is_none()).ok_or(RegistrationError::Token)
    }

    /// What the metadata describes, if the policy lets it.
    fn spec(&self, metadata: Metadata) -> Result<ClientSpec, RegistrationError> {
        let policy = &self.settings.registration;
        let wrong = |description: &str| RegistrationError::Metadata {
            redirect: false,
            description: description.to_owned(),
        };
        let method =
            metadata.token_endpoint_auth_method.as_deref().unwrap_or("client_secret_basic");
        let auth_method: AuthMethod =
            method.parse().map_err(|()| wrong("token_endpoint_auth_method is not supported"))?;
        if metadata.response_types.is_some_and(|types| types.iter().any(|kind| kind != "code")) {
            return Err(wrong("only the response type code is supported"));
        }
        let grants = metadata.grant_types.unwrap_or_else(|| vec!["authorization_code".to_owned()]);
        let grants: Result<Vec<GrantType>, ()> = grants.iter().map(|grant| grant.parse()).collect();
        let grant_types = grants.map_err(|()| wrong("a grant type is not supported"))?;
        let for_people = |grant: &GrantType| {
            !matches!(grant, GrantType::ClientCredentials | GrantType::TokenExchange)
        };
        if policy.mode == RegistrationMode::Open && !grant_types.iter().all(for_people) {
            return Err(wrong("clients that register themselves act for people only"));
        }
        let scopes = match &metadata.scope {
            None => policy.scopes.clone(),
            Some(scope) => {
                let asked: Vec<_> =
                    scope.split(' ').filter(|scope| crate::client::is_offered(scope)).collect();
                if !asked.iter().all(|scope| policy.scopes.iter().any(|known| known == scope)) {
                    return Err(wrong(
                        "a scope is not offered to clients that register themselves",
                    ));
                }
                asked.into_iter().map(str::to_owned).collect()
            }
        };
        // OpenID Connect Registration, section 2, says what no choice means.
        let alg = metadata.id_token_signed_response_alg.as_deref().unwrap_or("RS256");
        let token_alg = Alg::parse(alg)
            .filter(|alg| self.keys.schedule().algorithms.contains(alg))
            .ok_or_else(|| wrong("id_token_signed_response_alg is not supported"))?;
        // What only an administrator may give.
        let settings = ClientSettings {
            nonce_instead_of_pkce: policy.nonce_instead_of_pkce && auth_method != AuthMethod::None,
            may_impersonate: false,
            serves: Vec::new(),
            optional_audiences: policy.audiences.clone(),
            sector_identifier: None,
            ..metadata.settings
        };
        Ok(ClientSpec {
            id: None,
            name: metadata.client_name.unwrap_or_else(|| "Unnamed client".to_owned()),
            auth_method,
            first_party: false,
            redirect_uris: metadata.redirect_uris,
            post_logout_redirect_uris: metadata.post_logout_redirect_uris,
            grant_types,
            scopes,
            audiences: Vec::new(),
            jwks: metadata.jwks,
            token_alg,
            settings,
        })
    }

    fn registered(
        &self,
        row: &clients::Client,
        token: String,
        secret: Option<Secret<String>>,
    ) -> Result<Registered, RegistrationError> {
        let client = Client::from_row(row)?;
        let metadata = Metadata {
            client_name: Some(client.name),
            redirect_uris: client.redirect_uris,
            post_logout_redirect_uris: client.post_logout_redirect_uris,
            token_endpoint_auth_method: Some(client.auth_method.as_str().to_owned()),
            grant_types: Some(
                client.grant_types.iter().map(|grant| grant.as_str().to_owned()).collect(),
            ),
            response_types: Some(vec!["code".to_owned()]),
            scope: Some(client.scopes.into_iter().collect::<Vec<_>>().join(" ")),
            jwks: row.jwks.as_deref().and_then(|jwks| serde_json::from_str(jwks).ok()),
            id_token_signed_response_alg: Some(client.token_alg.as_str().to_owned()),
            settings: ClientSettings { sector_identifier: None, ..client.settings },
        };
        Ok(Registered {
            registration_client_uri: self.url(&format!("/oauth2/register/{}", row.id)),
            client_id: row.id.clone(),
            client_secret: secret.map(|secret| secret.expose().clone()),
            client_id_issued_at: row.created_at / 1_000_000,
            client_secret_expires_at: 0,
            registration_access_token: token,
            metadata,
        })
    }
}
