use http::{Method, StatusCode};
use portcullis_jose::{Alg, Enc, KeyManagement};
use portcullis_oidc::{
    AuthMethod, ClientSettings, ClientSpec, GrantType, SecurityProfile, SubjectType, is_of_gate,
};
use portcullis_store::clients;
use portcullis_types::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use crate::{
    ApiError,
    call::{Call, Page},
    client_view::ClientView,
    endpoint::{Api, Endpoint, Permission::Admin, Reply, created, nothing, ok},
};

const CLIENTS: &str = "/api/admin/v1/clients";
const CLIENT: &str = "/api/admin/v1/clients/{id}";

pub(crate) fn endpoints() -> Vec<Endpoint> {
    let ok = StatusCode::OK;
    vec![
        Endpoint::new(Method::GET, CLIENTS, Admin, "List OAuth clients", list)
            .paged()
            .returns::<Page<ClientView>>(ok),
        Endpoint::new(
            Method::POST,
            CLIENTS,
            Admin,
            "Register a client; its secret is shown once",
            create,
        )
        .takes::<NewClient>()
        .returns::<CreatedClient>(StatusCode::CREATED),
        Endpoint::new(Method::GET, CLIENT, Admin, "One client", show).returns::<ClientView>(ok),
        Endpoint::new(
            Method::PUT,
            CLIENT,
            Admin,
            "Change a client as a whole; what loses a scope or an audience loses its grants",
            update,
        )
        .takes::<NewClient>()
        .returns::<ClientView>(ok),
        Endpoint::new(
            Method::DELETE,
            CLIENT,
            Admin,
            "Remove a client and everything granted to it",
            delete,
        )
        .returns_nothing(),
        Endpoint::new(
            Method::POST,
            "/api/admin/v1/clients/{id}/rotate-secret",
            Admin,
            "A new secret; the old one works for a day",
            rotate,
        )
        .returns::<ShownSecret>(ok),
        Endpoint::new(
            Method::POST,
            "/api/admin/v1/clients/{id}/disable",
            Admin,
            "Disable a client at once",
            disable,
        )
        .returns::<ClientView>(ok),
        Endpoint::new(
            Method::POST,
            "/api/admin/v1/clients/{id}/enable",
            Admin,
            "Enable a client again",
            enable,
        )
        .returns::<ClientView>(ok),
    ]
}

/// A client that was just registered.
#[derive(Debug, Serialize, ToSchema)]
struct CreatedClient {
    client: ClientView,
    /// Shown once; only its hash is stored.
    #[serde(skip_serializing_if = "Option::is_none")]
    client_secret: Option<String>,
}

/// A secret, shown once.
#[derive(Debug, Serialize, ToSchema)]
struct ShownSecret {
    client_secret: String,
}

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct NewClient {
    /// Made up if it is left out.
    client_id: Option<String>,
    name: String,
    /// `none`, `client_secret_basic`, `client_secret_post`, `private_key_jwt`, `tls_client_auth` or
    /// `self_signed_tls_client_auth`.
    token_endpoint_auth_method: String,
    /// Ours: people are not asked for consent.
    #[serde(default)]
    first_party: bool,
    #[serde(default)]
    redirect_uris: Vec<String>,
    #[serde(default)]
    post_logout_redirect_uris: Vec<String>,
    /// `authorization_code`, `refresh_token`, `client_credentials`,
    /// `urn:ietf:params:oauth:grant-type:device_code` and
    /// `urn:ietf:params:oauth:grant-type:token-exchange`.
    grant_types: Vec<String>,
    #[serde(default)]
    scopes: Vec<String>,
    /// The resource servers its tokens are for; the issuer if there are none.
    #[serde(default)]
    audiences: Vec<String>,
    /// Public keys for `private_key_jwt`, as a JWK set.
    #[schema(value_type = Option<Object>)]
    jwks: Option<Value>,
    /// `EdDSA` (the default), `ES256` or `RS256`.
    token_alg: Option<String>,
    /// Authorization requests must be pushed (RFC 9126).
    #[serde(default)]
    require_pushed_authorization_requests: bool,
    /// Tokens are always bound to a key (RFC 9449).
    #[serde(default)]
    dpop_bound_access_tokens: bool,
    /// The client may leave PKCE out and rely on the nonce of its ID tokens; not for public ones.
    #[serde(default)]
    nonce_instead_of_pkce: bool,
    /// Tokens are always bound to a certificate (RFC 8705) or a key.
    #[serde(default)]
    tls_client_certificate_bound_access_tokens: bool,
    /// What its certificate is called, for `tls_client_auth`: exactly one of these.
    tls_client_auth_subject_dn: Option<String>,
    tls_client_auth_san_dns: Option<String>,
    tls_client_auth_san_uri: Option<String>,
    tls_client_auth_san_ip: Option<String>,
    tls_client_auth_san_email: Option<String>,
    /// `RSA-OAEP-256`, `ECDH-ES` or `ECDH-ES+A256KW`, with a key in `jwks`.
    id_token_encrypted_response_alg: Option<String>,
    /// `A256GCM` or `A128CBC-HS256` (the default).
    id_token_encrypted_response_enc: Option<String>,
    /// `EdDSA`, `ES256` or `RS256`.
    userinfo_signed_response_alg: Option<String>,
    /// As for ID tokens.
    userinfo_encrypted_response_alg: Option<String>,
    /// As for ID tokens.
    userinfo_encrypted_response_enc: Option<String>,
    /// `fapi_2_0`: the FAPI 2.0 Security Profile.
    security_profile: Option<String>,
    /// `public` (the default) or `pairwise`.
    subject_type: Option<String>,
    /// A document that lists its redirect URIs, for `pairwise` with several hosts.
    sector_identifier_uri: Option<String>,
    /// Where its keys are, instead of `jwks`.
    jwks_uri: Option<String>,
    /// Where it is told of logouts.
    backchannel_logout_uri: Option<String>,
    /// Its home page, privacy policy and terms, for the consent page.
    client_uri: Option<String>,
    policy_uri: Option<String>,
    tos_uri: Option<String>,
    /// The audiences whose resource server it is: it may exchange tokens for them (RFC 8693).
    #[serde(default)]
    serves: Vec<String>,
    /// Audiences that its tokens are for only if it asks (`resource`, RFC 8707).
    #[serde(default)]
    optional_audiences: Vec<String>,
    /// Administrators may use it to look at the world as somebody else does.
    #[serde(default)]
    may_impersonate: bool,
    /// What `acr_values` is if a request does not say.
    #[serde(default)]
    default_acr_values: Vec<String>,
    /// What `max_age` is if a request does not say, in seconds.
    default_max_age: Option<u32>,
    /// When what is changed was changed last, as it was seen: if somebody changed it since, this is refused.
    updated_at: Option<String>,
}

impl NewClient {
    fn into_spec(self) -> Result<ClientSpec, ApiError> {
        let method: AuthMethod = self.token_endpoint_auth_method.parse().map_err(|()| {
            ApiError::field(
                "token_endpoint_auth_method",
                "must be none, client_secret_basic, client_secret_post, private_key_jwt, \
                 tls_client_auth or self_signed_tls_client_auth",
            )
        })?;
        let grants: Result<Vec<GrantType>, ()> =
            self.grant_types.iter().map(|grant| grant.parse()).collect();
        let alg = Alg::parse(self.token_alg.as_deref().unwrap_or("EdDSA"));
        Ok(ClientSpec {
            id: self.client_id,
            name: self.name,
            auth_method: method,
            first_party: self.first_party,
            redirect_uris: self.redirect_uris,
            post_logout_redirect_uris: self.post_logout_redirect_uris,
            grant_types: grants.map_err(|()| {
                ApiError::field(
                    "grant_types",
                    "may contain authorization_code, refresh_token, client_credentials, \
                     urn:ietf:params:oauth:grant-type:device_code and \
                     urn:ietf:params:oauth:grant-type:token-exchange",
                )
            })?,
            scopes: self.scopes,
            audiences: self.audiences,
            jwks: self.jwks,
            token_alg: alg
                .ok_or_else(|| ApiError::field("token_alg", "must be EdDSA, ES256 or RS256"))?,
            settings: ClientSettings {
                require_pushed_authorization_requests: self.require_pushed_authorization_requests,
                dpop_bound_access_tokens: self.dpop_bound_access_tokens,
                nonce_instead_of_pkce: self.nonce_instead_of_pkce,
                tls_client_certificate_bound_access_tokens: self
                    .tls_client_certificate_bound_access_tokens,
                tls_client_auth_subject_dn: self.tls_client_auth_subject_dn,
                tls_client_auth_san_dns: self.tls_client_auth_san_dns,
                tls_client_auth_san_uri: self.tls_client_auth_san_uri,
                tls_client_auth_san_ip: self.tls_client_auth_san_ip,
                tls_client_auth_san_email: self.tls_client_auth_san_email,
                id_token_encrypted_response_alg: named(
                    "id_token_encrypted_response_alg",
                    self.id_token_encrypted_response_alg.as_deref(),
                    KeyManagement::parse,
                )?,
                id_token_encrypted_response_enc: named(
                    "id_token_encrypted_response_enc",
                    self.id_token_encrypted_response_enc.as_deref(),
                    Enc::parse,
                )?,
                userinfo_signed_response_alg: named(
                    "userinfo_signed_response_alg",
                    self.userinfo_signed_response_alg.as_deref(),
                    Alg::parse,
                )?,
                userinfo_encrypted_response_alg: named(
                    "userinfo_encrypted_response_alg",
                    self.userinfo_encrypted_response_alg.as_deref(),
                    KeyManagement::parse,
                )?,
                userinfo_encrypted_response_enc: named(
                    "userinfo_encrypted_response_enc",
                    self.userinfo_encrypted_response_enc.as_deref(),
                    Enc::parse,
                )?,
                security_profile: named(
                    "security_profile",
                    self.security_profile.as_deref(),
                    SecurityProfile::parse,
                )?,
                subject_type: named(
                    "subject_type",
                    self.subject_type.as_deref(),
                    SubjectType::parse,
                )?,
                sector_identifier_uri: self.sector_identifier_uri,
                jwks_uri: self.jwks_uri,
                backchannel_logout_uri: self.backchannel_logout_uri,
                client_uri: self.client_uri,
                policy_uri: self.policy_uri,
                tos_uri: self.tos_uri,
                sector_identifier: None,
                backchannel_logout_session_required: false,
                serves: self.serves,
                optional_audiences: self.optional_audiences,
                may_impersonate: self.may_impersonate,
                default_acr_values: self.default_acr_values,
                default_max_age: self.default_max_age,
            },
        })
    }
}

/// A registered name, if there is one.
fn named<T>(
    field: &'static str,
    text: Option<&str>,
    parse: fn(&str) -> Option<T>,
) -> Result<Option<T>, ApiError> {
    let unknown = || ApiError::field(field, "is not one of the names that are known here");
    text.map(|text| parse(text).ok_or_else(unknown)).transpose()
}

/// The id of a client, which administrators may choose.
struct ClientId;

impl std::str::FromStr for ClientId {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let letter = |b: u8| b.is_ascii_alphanumeric() || b"-._~".contains(&b);
        let is_id = (1..=64).contains(&text.len()) && text.bytes().all(letter);
        if is_id { Ok(Self) } else { Err(()) }
    }
}

async fn list(api: Api, call: Call) -> Reply {
    let (after, limit) = call.page::<ClientId>()?;
    let rows = clients::page(&api.identity.db, &api.identity.tenant, &after, limit).await?;
    ok(Page::of(rows, limit, |row| row.id.clone(), ClientView::from))
}

/// The gate is a client itself, as the configuration says and nobody else.
fn not_ours(id: &str) -> Result<(), ApiError> {
    if is_of_gate(id) {
        let message = "is the gate's own; only the configuration changes it";
        return Err(ApiError::field("client_id", message));
    }
    Ok(())
}

async fn create(api: Api, call: Call) -> Reply {
    let spec = call.json::<NewClient>()?.into_spec()?;
    not_ours(spec.id.as_deref().unwrap_or_default())?;
    let (client, secret) =
        api.provider.create_client(&spec, &call.caller.actor, &call.origin).await?;
    let client_secret = secret.map(|secret| secret.expose().clone());
    created(CreatedClient { client: client.into(), client_secret })
}

async fn show(api: Api, call: Call) -> Reply {
    let id: String = call.id()?;
    let client = clients::by_id(&api.identity.db, &api.identity.tenant, &id).await?;
    ok(ClientView::from(client.ok_or(ApiError::NotFound)?))
}

async fn update(api: Api, call: Call) -> Reply {
    let id: String = call.id()?;
    not_ours(&id)?;
    let new = call.json::<NewClient>()?;
    let seen = new.updated_at.as_deref().map(Timestamp::parse_rfc3339).transpose();
    let seen = seen.map_err(|_| ApiError::field("updated_at", "must be a time as in RFC 3339"))?;
    let spec = new.into_spec()?;
    let (by, origin) = (&call.caller.actor, &call.origin);
    ok(ClientView::from(api.provider.update_client(&id, &spec, seen, by, origin).await?))
}

async fn delete(api: Api, call: Call) -> Reply {
    let id: String = call.id()?;
    not_ours(&id)?;
    api.provider.delete_client(&id, &call.caller.actor, &call.origin).await?;
    nothing()
}

async fn rotate(api: Api, call: Call) -> Reply {
    let id: String = call.id()?;
    not_ours(&id)?;
    let secret = api.provider.rotate_client_secret(&id, &call.caller.actor, &call.origin).await?;
    ok(ShownSecret { client_secret: secret.expose().clone() })
}

async fn disable(api: Api, call: Call) -> Reply {
    set_disabled(api, call, true).await
}

async fn enable(api: Api, call: Call) -> Reply {
    set_disabled(api, call, false).await
}

async fn set_disabled(api: Api, call: Call, disabled: bool) -> Reply {
    let id: String = call.id()?;
    not_ours(&id)?;
    let (by, origin) = (&call.caller.actor, &call.origin);
    ok(ClientView::from(api.provider.set_client_disabled(&id, disabled, by, origin).await?))
}
