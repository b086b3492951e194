//! The FAPI 2.0 Security Profile as one switch: what it asks of a registration is checked when the
//! client is registered, what it asks of a request when one comes.

use portcullis_jose::Alg;
use serde::{Deserialize, Serialize};

use crate::{AuthMethod, ClientSettings, ClientSpec};

/// PKCS #1 v1.5 is not among them (section 5.4.1).
const FAPI_ALGS: [Alg; 3] = [Alg::EdDsa, Alg::Es256, Alg::Ps256];

/// A set of rules beyond what every client must keep.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum SecurityProfile {
    /// FAPI 2.0 Security Profile.
    #[serde(rename = "fapi_2_0")]
    Fapi2,
}

impl SecurityProfile {
    /// Reads the registered name.
    pub fn parse(name: &str) -> Option<Self> {
        (name == "fapi_2_0").then_some(Self::Fapi2)
    }

    /// The name.
    pub fn as_str(self) -> &'static str {
        "fapi_2_0"
    }
}

impl ClientSettings {
    /// Whether requests must be pushed (FAPI 2.0 Security Profile, section 5.3.2.2).
    pub(crate) fn must_push(&self) -> bool {
        self.require_pushed_authorization_requests || self.security_profile.is_some()
    }

    /// Whether tokens must be bound to a key or certificate (section 5.3.2.1).
    pub(crate) fn must_bind(&self) -> bool {
        self.tls_client_certificate_bound_access_tokens || self.security_profile.is_some()
    }

    /// What an assertion may be signed with (section 5.4.1).
    pub(crate) fn assertion_algs(&self) -> &'static [Alg] {
        if self.security_profile.is_some() { &FAPI_ALGS } else { &Alg::ALL }
    }

    /// Whether refresh tokens stay the same (section 5.3.2.1): they are bound to a client that
    /// proves itself, and a rotation that fails half-way would cost the person another login.
    pub(crate) fn keeps_refresh_tokens(&self) -> bool {
        self.security_profile.is_some()
    }
}

/// What a registration lacks for its profile: field and message.
pub(crate) fn lacking(spec: &ClientSpec) -> Vec<(&'static str, &'static str)> {
    if spec.settings.security_profile.is_none() {
        return Vec::new();
    }
    let strong = matches!(
        spec.auth_method,
        AuthMethod::PrivateKeyJwt | AuthMethod::TlsClientAuth | AuthMethod::SelfSignedTlsClientAuth
    );
    let mut lacking = Vec::new();
    if !strong {
        let text =
            "must be private_key_jwt, tls_client_auth or self_signed_tls_client_auth for FAPI";
        lacking.push(("token_endpoint_auth_method", text));
    }
    if !matches!(spec.token_alg, Alg::EdDsa | Alg::Es256) {
        lacking.push(("token_alg", "must be EdDSA or ES256 for FAPI"));
    }
    if spec.settings.nonce_instead_of_pkce {
        lacking.push(("nonce_instead_of_pkce", "must not be set for FAPI"));
    }
    if spec.redirect_uris.iter().any(|uri| !uri.starts_with("https://")) {
        lacking.push(("redirect_uris", "must be https for FAPI"));
    }
    lacking
}
