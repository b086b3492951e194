//! The keys of an issuer whose access tokens are accepted, and asking it about those that only it can
//! read. Everything goes through egress: public addresses, https, bounded.

use data_encoding::BASE64;
use form_urlencoded::Serializer;
use http::{HeaderName, HeaderValue, Method, StatusCode, header};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use portcullis_egress::{Call, Egress};
use portcullis_jose::{JwkSet, from_slice_strict};
use portcullis_types::Secret;
use serde::Deserialize;
use serde_json::Value;

use crate::{UpstreamError, metadata::read};

/// Where an issuer is asked about tokens (RFC 7662), and as whom.
#[derive(Debug, Clone)]
pub struct IntrospectionSettings {
    /// Its endpoint.
    pub endpoint: String,
    /// What we are called there.
    pub client_id: String,
    /// How we prove it.
    pub client_secret: Secret<String>,
}

/// The way to an issuer.
#[derive(Debug, Clone)]
pub struct IssuerClient {
    /// Its `iss`; metadata is below it.
    pub issuer: String,
    /// Where its keys are, if its metadata need not be asked.
    pub jwks_uri: Option<String>,
    /// How it is asked about tokens, if it is.
    pub introspection: Option<IntrospectionSettings>,
    /// The way out.
    pub egress: Egress,
}

#[derive(Deserialize)]
struct Metadata {
    issuer: String,
    jwks_uri: String,
}

impl IssuerClient {
    /// Its keys as it publishes them now.
    pub async fn keys(&self) -> Result<JwkSet, UpstreamError> {
        let uri = match &self.jwks_uri {
            Some(uri) => uri.clone(),
            None => self.metadata().await?.jwks_uri,
        };
        read(&self.egress.get(&uri).await?, "the keys")
    }

    /// By OpenID Connect Discovery, or RFC 8414 where there is none.
    async fn metadata(&self) -> Result<Metadata, UpstreamError> {
        let issuer = self.issuer.trim_end_matches('/');
        let first = format!("{issuer}/.well-known/openid-configuration");
        let mut answer = self.egress.get(&first).await?;
        if answer.status == StatusCode::NOT_FOUND {
            answer = self.egress.get(&oauth_metadata(issuer)).await?;
        }
        let metadata: Metadata = read(&answer, "the metadata")?;
        // Otherwise one issuer could speak for another (Discovery, section 4.3; RFC 8414, 3.3).
        if metadata.issuer == self.issuer {
            Ok(metadata)
        } else {
            Err(UpstreamError::Answer("the metadata"))
        }
    }

    /// What it says of a token.
    pub async fn introspect(&self, token: &str) -> Result<Value, UpstreamError> {
        let own = self.introspection.as_ref().ok_or(UpstreamError::Refused)?;
        // RFC 6749, section 2.3.1.
        let part = |text: &str| utf8_percent_encode(text, NON_ALPHANUMERIC).to_string();
        let pair = format!("{}:{}", part(&own.client_id), part(own.client_secret.expose()));
        let basic = HeaderValue::from_str(&format!("Basic {}", BASE64.encode(pair.as_bytes())));
        let mut basic = basic.map_err(|_| UpstreamError::Answer("the credentials"))?;
        basic.set_sensitive(true);
        let headers: [(HeaderName, HeaderValue); 1] = [(header::AUTHORIZATION, basic)];
        let form = Serializer::new(String::new())
            .extend_pairs([("token", token), ("token_type_hint", "access_token")])
            .finish();
        let kind = HeaderValue::from_static("application/x-www-form-urlencoded");
        let body = Some((kind, form));
        let call = Call { method: Method::POST, url: &own.endpoint, headers: &headers, body };
        let answer = self.egress.call(call).await?;
        if !answer.status.is_success() {
            return Err(UpstreamError::Answer("introspection"));
        }
        from_slice_strict(&answer.body).map_err(|_| UpstreamError::Answer("introspection"))
    }
}

/// RFC 8414, section 3.1: between the host and the path.
fn oauth_metadata(issuer: &str) -> String {
    const WELL_KNOWN: &str = "/.well-known/oauth-authorization-server";
    let after_scheme = issuer.find("://").map_or(0, |at| at + 3);
    match issuer[after_scheme..].find('/') {
        Some(slash) => {
            let (host, path) = issuer.split_at(after_scheme + slash);
            format!("{host}{WELL_KNOWN}{path}")
        }
        None => format!("{issuer}{WELL_KNOWN}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metadata_is_between_host_and_path() {
        for (issuer, url) in [
            ("https://a.example", "https://a.example/.well-known/oauth-authorization-server"),
            (
                "https://a.example/b/c",
                "https://a.example/.well-known/oauth-authorization-server/b/c",
            ),
        ] {
            assert_eq!(oauth_metadata(issuer), url);
        }
    }
}
