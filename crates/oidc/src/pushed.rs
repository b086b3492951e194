use std::time::Duration;

use portcullis_store::{
    pushed::{self, PushedRequest},
    token_hash,
};
use portcullis_types::{Timestamp, random_token};
use serde::Serialize;

use crate::{
    AuthorizationRequest, Client, ErrorCode, OAuthError, Params, Provider, ProviderError,
    authorize::Refused,
};

/// RFC 9126, section 2.2.
pub(crate) const URN: &str = "urn:ietf:params:oauth:request_uri:";
/// A browser must come with a pushed request within this time.
const PUSHED_LIFETIME: Duration = Duration::from_secs(90);
/// And the person must have logged in and agreed within this time from then.
const BEGUN_LIFETIME: Duration = Duration::from_secs(600);
/// Or within this time, if they have to be verified.
const HELD_LIFETIME: Duration = Duration::from_secs(3_600);
/// A request is stored for anybody who names a public client, so it must be small. Longer ones
/// than this would not fit into the URL of a browser either.
const MAX_PUSHED_BYTES: usize = 8 * 1024;
/// What authenticated the client is not part of the request.
const NOT_STORED: [&str; 3] = ["client_secret", "client_assertion", "client_assertion_type"];

/// The answer of the endpoint (RFC 9126, section 2.2).
#[derive(Debug, Serialize)]
pub(crate) struct PushedResponse {
    request_uri: String,
    expires_in: u64,
}

/// The pushed request that an authorization request refers to.
#[derive(Debug, Clone)]
pub(crate) struct Pushed {
    pub uri_hash: Vec<u8>,
    /// When a browser first came with it. A login after that answers `prompt=login`.
    pub begun_at: Timestamp,
}

impl Provider {
    /// Takes an authorization request from a client that was authenticated, checked as if a
    /// browser had brought it. `key` is what its DPoP proof showed; the code will be bound to it.
    pub(crate) async fn push(
        &self,
        client: &Client,
        params: &Params,
        key: Option<&str>,
    ) -> Result<PushedResponse, ProviderError> {
        if params.get("request_uri").is_some() {
            return Err(OAuthError::request("request_uri cannot be pushed").into());
        }
        if params.get("client_id").is_some_and(|id| id != client.id) {
            return Err(OAuthError::request("client_id is another client's").into());
        }
        let mut params = params.clone().with("client_id", &client.id);
        for name in NOT_STORED {
            params = params.without(name);
        }
        if let Some(key) = key {
            if params.get("dpop_jkt").is_some_and(|jkt| jkt != key) {
                let text = "dpop_jkt is not the key of the DPoP proof";
                return Err(OAuthError::new(ErrorCode::InvalidDpopProof, text).into());
            }
            params = params.with("dpop_jkt", key);
        }
        let stored = params.to_query();
        if stored.len() > MAX_PUSHED_BYTES {
            return Err(OAuthError::request("the request is longer than 8 KiB").into());
        }
        self.checked_request(&params).await.map_err(|refused| match refused {
            Refused::Untrusted(error) | Refused::Trusted { error, .. } => error.into(),
            Refused::Failed(error) => error,
        })?;
        let now = self.now();
        let name = random_token(&*self.identity.entropy);
        let hash = &token_hash(&name);
        let row = &PushedRequest {
            client_id: client.id.clone(),
            params: stored,
            created_at: now,
            expires_at: now.plus(PUSHED_LIFETIME),
            begun_at: None,
            consumed_at: None,
        };
        self.identity
            .db
            .write(|tx| async move {
                pushed::insert(&tx, self.tenant(), hash, row).await?;
                Ok::<_, ProviderError>(())
            })
            .await?;
        let expires_in = PUSHED_LIFETIME.as_secs();
        Ok(PushedResponse { request_uri: format!("{URN}{name}"), expires_in })
    }

    /// Lets a pushed request wait while its person does what takes longer than a login.
    pub async fn hold(&self, request: &AuthorizationRequest) -> Result<(), ProviderError> {
        let Some(Pushed { uri_hash, begun_at }) = &request.pushed else { return Ok(()) };
        let until = begun_at.plus(HELD_LIFETIME);
        let held = self.identity.db.write(|tx| async move {
            pushed::hold(&tx, self.tenant(), uri_hash, until).await?;
            Ok::<_, ProviderError>(())
        });
        held.await
    }

    /// The request that a browser refers to. What was stored is checked again (rule R19); what
    /// else the browser brings does not count.
    pub(crate) async fn pushed_request(
        &self,
        params: &Params,
        uri: &str,
    ) -> Result<AuthorizationRequest, Refused> {
        let page = |code, text| Refused::Untrusted(OAuthError::new(code, text));
        let over = || {
            let text = "the pushed request is unknown, was used or has expired";
            page(ErrorCode::InvalidRequestUri, text)
        };
        let name = uri.strip_prefix(URN).filter(|name| name.len() <= 64).ok_or_else(over)?;
        let (now, hash) = (self.now(), &token_hash(name));
        let row = pushed::by_hash(&self.identity.db, self.tenant(), hash).await?;
        let row = row
            .filter(|row| params.get("client_id") == Some(&row.client_id))
            .filter(|row| row.consumed_at.is_none() && row.expires_at > now)
            .ok_or_else(over)?;
        if row.begun_at.is_none() {
            let until = now.plus(BEGUN_LIFETIME);
            self.identity
                .db
                .write(|tx| async move {
                    pushed::begin(&tx, self.tenant(), hash, now, until).await?;
                    Ok::<_, ProviderError>(())
                })
                .await?;
        }
        let stored = Params::parse(row.params.as_bytes()).map_err(|_| over())?;
        let request = self.checked_request(&stored).await?;
        let begun_at = row.begun_at.map_or(now, Timestamp::from_micros);
        Ok(AuthorizationRequest {
            params: Params::default().with("client_id", &row.client_id).with("request_uri", uri),
            pushed: Some(Pushed { uri_hash: hash.clone(), begun_at }),
            ..request
        })
    }
}
