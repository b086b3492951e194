use std::{collections::BTreeSet, str::FromStr};

use data_encoding::BASE64;
use portcullis_jose::{Alg, Enc, JwkSet, KeyManagement};
use portcullis_pki::{CertificateName, certificate_thumbprint, is_certificate};
use portcullis_store::{DbError, clients};
use serde::{Deserialize, Serialize};
use url::{Host, Url};

use crate::{SecurityProfile, SubjectType};

/// How a client proves who it is (RFC 7591, section 2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AuthMethod {
    /// A public client.
    None,
    /// HTTP Basic.
    ClientSecretBasic,
    /// In the form.
    ClientSecretPost,
    /// A signed assertion (RFC 7523).
    PrivateKeyJwt,
    /// A certificate of the authority with a registered name (RFC 8705, section 2.1).
    TlsClientAuth,
    /// A registered certificate (RFC 8705, section 2.2).
    SelfSignedTlsClientAuth,
}

impl AuthMethod {
    /// All of them.
    pub const ALL: [Self; 6] = [
        Self::None,
        Self::ClientSecretBasic,
        Self::ClientSecretPost,
        Self::PrivateKeyJwt,
        Self::TlsClientAuth,
        Self::SelfSignedTlsClientAuth,
    ];

    /// The registered name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::ClientSecretBasic => "client_secret_basic",
            Self::ClientSecretPost => "client_secret_post",
            Self::PrivateKeyJwt => "private_key_jwt",
            Self::TlsClientAuth => "tls_client_auth",
            Self::SelfSignedTlsClientAuth => "self_signed_tls_client_auth",
        }
    }
}

impl FromStr for AuthMethod {
    type Err = ();
    fn from_str(text: &str) -> Result<Self, ()> {
        Self::ALL.into_iter().find(|method| method.as_str() == text).ok_or(())
    }
}

/// The grants of the token endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum GrantType {
    /// RFC 6749, section 4.1.
    AuthorizationCode,
    /// RFC 6749, section 6.
    RefreshToken,
    /// RFC 6749, section 4.4.
    ClientCredentials,
    /// RFC 8693.
    #[serde(rename = "urn:ietf:params:oauth:grant-type:token-exchange")]
    TokenExchange,
    /// RFC 8628.
    #[serde(rename = "urn:ietf:params:oauth:grant-type:device_code")]
    DeviceCode,
    /// OpenID for Verifiable Credential Issuance 1.0, section 3.5.
    #[serde(rename = "urn:ietf:params:oauth:grant-type:pre-authorized_code")]
    PreAuthorizedCode,
}

impl GrantType {
    /// All of them.
    pub const ALL: [Self; 6] = [
        Self::AuthorizationCode,
        Self::RefreshToken,
        Self::ClientCredentials,
        Self::DeviceCode,
        Self::TokenExchange,
        Self::PreAuthorizedCode,
    ];

    /// The registered name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::AuthorizationCode => "authorization_code",
            Self::RefreshToken => "refresh_token",
            Self::ClientCredentials => "client_credentials",
            Self::TokenExchange => "urn:ietf:params:oauth:grant-type:token-exchange",
            Self::DeviceCode => "urn:ietf:params:oauth:grant-type:device_code",
            Self::PreAuthorizedCode => "urn:ietf:params:oauth:grant-type:pre-authorized_code",
        }
    }
}

impl FromStr for GrantType {
    type Err = ();
    fn from_str(text: &str) -> Result<Self, ()> {
        Self::ALL.into_iter().find(|grant| grant.as_str() == text).ok_or(())
    }
}

/// A registered client, read and understood.
#[derive(Debug, Clone)]
pub struct Client {
    /// The `client_id`.
    pub id: String,
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
    pub grant_types: BTreeSet<GrantType>,
    /// Which scopes it may ask for.
    pub scopes: BTreeSet<String>,
    /// The resource servers its tokens are for.
    pub audiences: Vec<String>,
    /// Its public keys.
    pub jwks: Option<JwkSet>,
    /// The thumbprints of its certificates: the first of each `x5c` among its keys.
    pub certificates: Vec<String>,
    /// The algorithm of its tokens.
    pub token_alg: Alg,
    /// What else was registered.
    pub settings: ClientSettings,
    /// How often its block in the status list was given up.
    pub status_epoch: i64,
    /// Whether it may be used.
    pub enabled: bool,
}

/// Further registered metadata, in the words of the registry that RFC 7591 began.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ClientSettings {
    /// Authorization requests must be pushed (RFC 9126, section 6).
    #[serde(skip_serializing_if = "is_false")]
    pub require_pushed_authorization_requests: bool,
    /// A confidential client may leave PKCE out and rely on the nonce of its ID tokens (OAuth 2.1,
    /// section 7.5.1).
    #[serde(skip_serializing_if = "is_false")]
    pub nonce_instead_of_pkce: bool,
    /// Tokens are always bound to a key (RFC 9449, section 5.2).
    #[serde(skip_serializing_if = "is_false")]
    pub dpop_bound_access_tokens: bool,
    /// Tokens are always bound to a certificate (RFC 8705, section 3.4), or to a key.
    #[serde(skip_serializing_if = "is_false")]
    pub tls_client_certificate_bound_access_tokens: bool,
    /// What its certificate is called, for `tls_client_auth`: exactly one (RFC 8705,
    /// section 2.1.2).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tls_client_auth_subject_dn: Option<String>,
    /// A DNS name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tls_client_auth_san_dns: Option<String>,
    /// A URI, such as a SPIFFE id.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tls_client_auth_san_uri: Option<String>,
    /// An address.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tls_client_auth_san_ip: Option<String>,
    /// A mail address.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tls_client_auth_san_email: Option<String>,
    /// How ID tokens are encrypted to it, if they are.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id_token_encrypted_response_alg: Option<KeyManagement>,
    /// `A128CBC-HS256` if this is left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id_token_encrypted_response_enc: Option<Enc>,
    /// How userinfo is signed, if it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub userinfo_signed_response_alg: Option<Alg>,
    /// How userinfo is encrypted, if it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub userinfo_encrypted_response_alg: Option<KeyManagement>,
    /// `A128CBC-HS256` if this is left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub userinfo_encrypted_response_enc: Option<Enc>,
    /// What the client knows people by; `public` if this is left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub subject_type: Option<SubjectType>,
    /// A document that lists its redirect URIs, if they have several hosts.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sector_identifier_uri: Option<String>,
    /// The sector of its pairwise subjects. Found out at registration.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sector_identifier: Option<String>,
    /// Where its keys are, if they are not registered with it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub jwks_uri: Option<String>,
    /// Where it is told of logouts (OpenID Connect Back-Channel Logout, section 2.2).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub backchannel_logout_uri: Option<String>,
    /// It wants to know which session ended; it always is told.
    #[serde(skip_serializing_if = "is_false")]
    pub backchannel_logout_session_required: bool,
    /// Its home page, for the consent page.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_uri: Option<String>,
    /// What it does with people's data.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub policy_uri: Option<String>,
    /// Its terms.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tos_uri: Option<String>,
    /// The audiences whose resource server it is: it may exchange tokens for them (RFC 8693).
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub serves: Vec<String>,
    /// Audiences that its tokens are for only if it asks (`resource`, RFC 8707).
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub optional_audiences: Vec<String>,
    /// Administrators may use it to look at the world as somebody else does.
    #[serde(skip_serializing_if = "is_false")]
    pub may_impersonate: bool,
    /// Rules beyond what every client must keep.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub security_profile: Option<SecurityProfile>,
    /// What `acr_values` is if a request does not say (OpenID Connect Registration, section 2).
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub default_acr_values: Vec<String>,
    /// What `max_age` is if a request does not say, in seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub default_max_age: Option<u32>,
}

impl ClientSettings {
    /// Reads what is stored. A member that is not known here, which a newer version may have
    /// written, makes the client unusable: it could be one that asks for more security.
    fn from_row(text: &str) -> Option<Self> {
        let stored: serde_json::Map<String, serde_json::Value> = serde_json::from_str(text).ok()?;
        if stored.is_empty() {
            return Some(Self::default());
        }
        let settings: Self = serde_json::from_str(text).ok()?;
        let known = serde_json::to_value(&settings).ok()?;
        stored.keys().all(|name| known.get(name).is_some()).then_some(settings)
    }

    /// The addresses in it that we call or show.
    pub(crate) fn uris(&self) -> impl Iterator<Item = (&'static str, &str)> {
        let uris = [
            ("sector_identifier_uri", &self.sector_identifier_uri),
            ("jwks_uri", &self.jwks_uri),
            ("backchannel_logout_uri", &self.backchannel_logout_uri),
            ("client_uri", &self.client_uri),
            ("policy_uri", &self.policy_uri),
            ("tos_uri", &self.tos_uri),
        ];
        uris.into_iter().filter_map(|(field, uri)| uri.as_deref().map(|uri| (field, uri)))
    }

    pub(crate) fn is_pairwise(&self) -> bool {
        self.subject_type == Some(SubjectType::Pairwise)
    }

    pub(crate) fn id_token_enc(&self) -> Enc {
        self.id_token_encrypted_response_enc.unwrap_or(Enc::A128CbcHs256)
    }

    pub(crate) fn userinfo_enc(&self) -> Enc {
        self.userinfo_encrypted_response_enc.unwrap_or(Enc::A128CbcHs256)
    }

    /// What its certificate may be called; one, if the client is registered as it should be.
    pub(crate) fn certificate_names(&self) -> Vec<CertificateName<'_>> {
        let names = [
            self.tls_client_auth_subject_dn.as_deref().map(CertificateName::SubjectDn),
            self.tls_client_auth_san_dns.as_deref().map(CertificateName::Dns),
            self.tls_client_auth_san_uri.as_deref().map(CertificateName::Uri),
            self.tls_client_auth_san_ip.as_deref().map(CertificateName::Ip),
            self.tls_client_auth_san_email.as_deref().map(CertificateName::Email),
        ];
        names.into_iter().flatten().collect()
    }
}

/// The certificates in a JWK set (RFC 7517, section 4.7).
pub(crate) fn certificates(jwks: &str) -> Vec<String> {
    #[derive(Deserialize)]
    struct Set {
        keys: Vec<Key>,
    }
    #[derive(Deserialize)]
    struct Key {
        #[serde(default)]
        x5c: Vec<String>,
    }
    let set: Option<Set> = serde_json::from_str(jwks).ok();
    let first = |key: &Key| BASE64.decode(key.x5c.first()?.as_bytes()).ok();
    let keys = set.map(|set| set.keys).unwrap_or_default();
    let certificates = keys.iter().filter_map(first).filter(|der| is_certificate(der));
    certificates.map(|der| certificate_thumbprint(&der)).collect()
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it with a reference")]
fn is_false(value: &bool) -> bool {
    !value
}

impl Client {
    /// Reads a stored client.
    pub fn from_row(row: &clients::Client) -> Result<Self, DbError> {
        Self::read(row).ok_or(DbError::Stored("client"))
    }

    fn read(row: &clients::Client) -> Option<Self> {
        let list = |text: &str| serde_json::from_str::<Vec<String>>(text).ok();
        let grants: Option<BTreeSet<_>> =
            list(&row.grant_types)?.iter().map(|grant| grant.parse().ok()).collect();
        Some(Self {
            id: row.id.clone(),
            name: row.name.clone(),
            auth_method: row.auth_method.parse().ok()?,
            first_party: row.first_party,
            redirect_uris: list(&row.redirect_uris)?,
            post_logout_redirect_uris: list(&row.post_logout_redirect_uris)?,
            grant_types: grants?,
            scopes: row.scopes.split(' ').filter(|s| !s.is_empty()).map(str::to_owned).collect(),
            audiences: list(&row.audiences)?,
            certificates: row.jwks.as_deref().map(certificates).unwrap_or_default(),
            jwks: row.jwks.as_deref().map(serde_json::from_str).transpose().ok()?,
            token_alg: Alg::parse(&row.token_alg)?,
            settings: ClientSettings::from_row(&row.settings)?,
            status_epoch: row.status_epoch,
            enabled: row.disabled_at.is_none(),
        })
    }

    /// The age of a login that will do if a request does not say.
    pub(crate) fn default_max_age(&self) -> Option<std::time::Duration> {
        self.settings.default_max_age.map(|secs| std::time::Duration::from_secs(secs.into()))
    }

    /// Whether a code may go to `uri`: an exact match, except that a loopback address may use any
    /// port (RFC 8252, section 7.3; RFC 9700, section 4.1.3).
    pub fn may_redirect_to(&self, uri: &str) -> bool {
        self.redirect_uris.iter().any(|known| known == uri || is_loopback_variant(known, uri))
    }

    /// The same for the end of a logout.
    pub fn may_return_to(&self, uri: &str) -> bool {
        let known = &self.post_logout_redirect_uris;
        known.iter().any(|known| known == uri || is_loopback_variant(known, uri))
    }

    /// Whether tokens may be asked for that are for `resource` (RFC 8707).
    pub fn may_ask_for(&self, resource: &String) -> bool {
        self.audiences.contains(resource) || self.settings.optional_audiences.contains(resource)
    }

    /// The scopes of `asked` that the client may have, in order; `None` if one is beyond it.
    pub fn scopes_of<'a>(&self, asked: &'a str) -> Option<Vec<&'a str>> {
        let offered = |scope: &&str| is_offered(scope) || self.scopes.contains(*scope);
        let mut scopes: Vec<&str> = asked.split(' ').filter(offered).collect();
        scopes.sort_unstable();
        scopes.dedup();
        scopes.iter().all(|scope| self.scopes.contains(*scope)).then_some(scopes)
    }
}

/// Whether a scope means something here. OpenID Connect has some more, which clients ask everybody
/// for, and which it says to ignore where they are not understood (Core, section 3.1.2.1).
pub(crate) fn is_offered(scope: &str) -> bool {
    !["", "address", "phone", "offline_access"].contains(&scope)
}

fn is_loopback_variant(known: &str, asked: &str) -> bool {
    let (Ok(mut known), Ok(mut asked_url)) = (Url::parse(known), Url::parse(asked)) else {
        return false;
    };
    let loopback = |url: &Url| match url.host() {
        Some(Host::Ipv4(ip)) => ip.is_loopback(),
        Some(Host::Ipv6(ip)) => ip.is_loopback(),
        _ => false,
    };
    if known.scheme() != "http" || !loopback(&known) || asked_url.as_str() != asked {
        return false;
    }
    let cleared = known.set_port(None).is_ok() && asked_url.set_port(None).is_ok();
    cleared && known == asked_url
}

/// Whether `uri` may be registered as a redirect URI: absolute, without fragment, user or
/// wildcard; https, http on loopback only, or a private scheme with a dot (RFC 8252, section 7.1).
/// It must be spelled as every URL parser spells it: what is compared as text must not be read in
/// two ways.
pub fn is_redirect_uri(uri: &str) -> bool {
    let Ok(url) = Url::parse(uri) else {
        return false;
    };
    let canonical = url.as_str() == uri || url.as_str().strip_suffix('/') == Some(uri);
    let bare = canonical
        && url.fragment().is_none()
        && url.username().is_empty()
        && url.password().is_none()
        && uri.len() <= 512
        && uri.bytes().all(is_uri_byte);
    let local = matches!(url.host(), Some(Host::Ipv4(ip)) if ip.is_loopback())
        || matches!(url.host(), Some(Host::Ipv6(ip)) if ip.is_loopback())
        || url.host_str() == Some("localhost");
    bare && match url.scheme() {
        "https" => url.host().is_some(),
        "http" => local,
        scheme => scheme.contains('.'),
    }
}

/// Whether `uri` is one that we may call or show: https, spelled as every parser spells it, without
/// user or fragment.
pub(crate) fn is_https(uri: &str) -> bool {
    uri.starts_with("https://") && is_redirect_uri(uri)
}

/// RFC 3986, section 2, without `*`, which is nothing but a wildcard that somebody hoped for.
fn is_uri_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._~:/?#[]@!$&'()+,;=%".contains(&byte)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_safe_redirect_uris_can_be_registered() {
        for good in [
            "https://app.example/cb",
            "https://app.example/cb?x=1",
            "http://127.0.0.1/cb",
            "http://localhost:3000/cb",
            "com.example.app:/cb",
        ] {
            assert!(is_redirect_uri(good), "{good}");
        }
        for bad in [
            "",
            "/cb",
            "http://app.example/cb",
            "https://app.example/cb#x",
            "https://u:p@a.example/",
            "https://*.example/cb",
            "javascript:alert(1)",
            "data:text/html,x",
            "https://a.example/\n",
            "file:///etc/passwd",
            "//app.example/cb",
            "https://app.example\\@evil.example/",
            "http://0x7f.1/cb",
            "HTTPS://app.example/cb",
            "com.example.app:?x://e\\|e",
            "com.example.app:/<cb>",
            "https://app.example/a/../cb",
        ] {
            assert!(!is_redirect_uri(bad), "{bad}");
        }
    }

    #[test]
    fn redirects_match_exactly_but_for_the_port_of_a_loopback() {
        let known = ["https://app.example/cb", "http://127.0.0.1/cb"];
        let may = |uri: &str| known.iter().any(|k| *k == uri || is_loopback_variant(k, uri));
        assert!(may("https://app.example/cb"));
        assert!(may("http://127.0.0.1:49152/cb"));
        for bad in [
            "https://app.example/cb/",
            "https://app.example/cb?x",
            "https://APP.example/cb",
            "https://app.example:443/cb",
            "https://app.example/cb/../evil",
            "http://127.0.0.1:1/other",
            "http://127.0.0.2:1/cb",
            "http://127.0.0.1:1/cb#x",
            "http://x@127.0.0.1/cb",
        ] {
            assert!(!may(bad), "{bad}");
        }
    }
}
