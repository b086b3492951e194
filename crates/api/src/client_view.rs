//! A client as administrators see it.

use portcullis_jose::{Alg, Enc, KeyManagement};
use portcullis_oidc::{ClientSettings, SecurityProfile, SubjectType};
use portcullis_store::clients::Client;
use portcullis_types::Timestamp;
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

/// A client as administrators see it.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ClientView {
    client_id: String,
    name: String,
    token_endpoint_auth_method: String,
    first_party: bool,
    redirect_uris: Vec<String>,
    post_logout_redirect_uris: Vec<String>,
    grant_types: Vec<String>,
    scopes: Vec<String>,
    audiences: Vec<String>,
    token_alg: String,
    require_pushed_authorization_requests: bool,
    dpop_bound_access_tokens: bool,
    nonce_instead_of_pkce: bool,
    tls_client_certificate_bound_access_tokens: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    tls_client_auth_subject_dn: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tls_client_auth_san_dns: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tls_client_auth_san_uri: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tls_client_auth_san_ip: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tls_client_auth_san_email: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    id_token_encrypted_response_alg: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    id_token_encrypted_response_enc: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    userinfo_signed_response_alg: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    userinfo_encrypted_response_alg: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    userinfo_encrypted_response_enc: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    security_profile: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    subject_type: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sector_identifier_uri: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    jwks_uri: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    backchannel_logout_uri: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    client_uri: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    policy_uri: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tos_uri: Option<String>,
    serves: Vec<String>,
    optional_audiences: Vec<String>,
    may_impersonate: bool,
    default_acr_values: Vec<String>,
    default_max_age: Option<u32>,
    /// Public keys for `private_key_jwt`, as a JWK set.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    jwks: Option<Value>,
    disabled: bool,
    /// RFC 3339.
    created_at: String,
    /// RFC 3339. To be sent with a change, which is refused if somebody else was first.
    updated_at: String,
}

impl From<Client> for ClientView {
    fn from(client: Client) -> Self {
        let list = |text: &str| serde_json::from_str(text).unwrap_or_default();
        let settings: ClientSettings = serde_json::from_str(&client.settings).unwrap_or_default();
        Self {
            name: client.name,
            token_endpoint_auth_method: client.auth_method,
            first_party: client.first_party,
            redirect_uris: list(&client.redirect_uris),
            post_logout_redirect_uris: list(&client.post_logout_redirect_uris),
            grant_types: list(&client.grant_types),
            scopes: client.scopes.split(' ').filter(|s| !s.is_empty()).map(str::to_owned).collect(),
            audiences: list(&client.audiences),
            token_alg: client.token_alg,
            require_pushed_authorization_requests: settings.require_pushed_authorization_requests,
            dpop_bound_access_tokens: settings.dpop_bound_access_tokens,
            nonce_instead_of_pkce: settings.nonce_instead_of_pkce,
            tls_client_certificate_bound_access_tokens: settings
                .tls_client_certificate_bound_access_tokens,
            tls_client_auth_subject_dn: settings.tls_client_auth_subject_dn,
            tls_client_auth_san_dns: settings.tls_client_auth_san_dns,
            tls_client_auth_san_uri: settings.tls_client_auth_san_uri,
            tls_client_auth_san_ip: settings.tls_client_auth_san_ip,
            tls_client_auth_san_email: settings.tls_client_auth_san_email,
            id_token_encrypted_response_alg: settings
                .id_token_encrypted_response_alg
                .map(KeyManagement::as_str),
            id_token_encrypted_response_enc: settings
                .id_token_encrypted_response_enc
                .map(Enc::as_str),
            userinfo_signed_response_alg: settings.userinfo_signed_response_alg.map(Alg::as_str),
            userinfo_encrypted_response_alg: settings
                .userinfo_encrypted_response_alg
                .map(KeyManagement::as_str),
            userinfo_encrypted_response_enc: settings
                .userinfo_encrypted_response_enc
                .map(Enc::as_str),
            security_profile: settings.security_profile.map(SecurityProfile::as_str),
            subject_type: settings.subject_type.map(SubjectType::as_str),
            sector_identifier_uri: settings.sector_identifier_uri,
            jwks_uri: settings.jwks_uri,
            backchannel_logout_uri: settings.backchannel_logout_uri,
            client_uri: settings.client_uri,
            policy_uri: settings.policy_uri,
            tos_uri: settings.tos_uri,
            serves: settings.serves,
            optional_audiences: settings.optional_audiences,
            may_impersonate: settings.may_impersonate,
            default_acr_values: settings.default_acr_values,
            default_max_age: settings.default_max_age,
            jwks: client.jwks.as_deref().and_then(|text| serde_json::from_str(text).ok()),
            disabled: client.disabled_at.is_some(),
            updated_at: Timestamp::from_micros(client.updated_at).to_rfc3339(),
            created_at: Timestamp::from_micros(client.created_at).to_rfc3339(),
            client_id: client.id,
        }
    }
}
