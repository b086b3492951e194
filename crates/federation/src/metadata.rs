//! What a provider says of itself, and its keys.

use std::{
    sync::{Arc, PoisonError},
    time::Duration,
};

use portcullis_egress::Answer;
use portcullis_jose::{JwkSet, VerifyingKey};
use portcullis_types::Timestamp;
use serde::{Deserialize, de::DeserializeOwned};

use crate::{UpstreamError, UpstreamProvider};

/// Metadata and keys are used this long.
const FRESH: Duration = Duration::from_secs(3600);
/// For an unknown key they are fetched again, but not sooner than after this time.
const PAUSE: Duration = Duration::from_secs(30);

/// OpenID Connect Discovery 1.0, section 3: what we need of it.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Metadata {
    issuer: String,
    pub authorization_endpoint: String,
    pub token_endpoint: String,
    #[serde(default)]
    pub userinfo_endpoint: Option<String>,
    jwks_uri: String,
    #[serde(default)]
    token_endpoint_auth_methods_supported: Option<Vec<String>>,
    #[serde(default)]
    pub authorization_response_iss_parameter_supported: bool,
}

impl Metadata {
    /// Whether the secret goes into the form; the default is the header (section 3).
    pub fn secret_in_form(&self) -> bool {
        let methods = self.token_endpoint_auth_methods_supported.as_deref().unwrap_or_default();
        let offers = |name: &str| methods.iter().any(|method| method == name);
        offers("client_secret_post") && !offers("client_secret_basic")
    }
}

/// Metadata and keys, and when they were fetched.
#[derive(Debug, Clone)]
pub(crate) struct Known {
    at: Timestamp,
    pub metadata: Arc<Metadata>,
    pub keys: Arc<Vec<VerifyingKey>>,
}

impl UpstreamProvider {
    /// Metadata and keys, at most an hour old.
    pub(crate) async fn known(&self, now: Timestamp) -> Result<Known, UpstreamError> {
        self.known_within(FRESH, now).await
    }

    /// The same, fetched anew for a key that is not among them.
    pub(crate) async fn known_anew(&self, now: Timestamp) -> Result<Known, UpstreamError> {
        self.known_within(PAUSE, now).await
    }

    async fn known_within(&self, age: Duration, now: Timestamp) -> Result<Known, UpstreamError> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some(known) = known.filter(|known| now.since(known.at) < age) {
            return Ok(known);
        }
        let known = self.fetch(now).await?;
        *self.known.lock().unwrap_or_else(PoisonError::into_inner) = Some(known.clone());
        Ok(known)
    }

    async fn fetch(&self, now: Timestamp) -> Result<Known, UpstreamError> {
        let issuer = self.settings.issuer.as_str();
        let url = format!("{}/.well-known/openid-configuration", issuer.trim_end_matches('/'));
        let metadata: Metadata = read(&self.egress.get(&url).await?, "the metadata")?;
        // Section 4.3: otherwise one provider could speak for another.
        if metadata.issuer != issuer {
            return Err(UpstreamError::Answer("the metadata"));
        }
        let set: JwkSet = read(&self.egress.get(&metadata.jwks_uri).await?, "the keys")?;
        let keys = set.verifying_keys().map_err(|_| UpstreamError::Answer("the keys"))?;
        Ok(Known { at: now, metadata: Arc::new(metadata), keys: Arc::new(keys) })
    }
}

pub(crate) fn read<T: DeserializeOwned>(
    answer: &Answer,
    what: &'static str,
) -> Result<T, UpstreamError> {
    if !answer.status.is_success() {
        tracing::info!(status = %answer.status, what, "a provider did not answer as it should");
        return Err(UpstreamError::Answer(what));
    }
    serde_json::from_slice(&answer.body).map_err(|_| UpstreamError::Answer(what))
}
