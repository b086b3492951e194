use portcullis_identity::Assurance;
use portcullis_jose::Alg;
use serde_json::{Value, json};

use crate::{AuthMethod, GrantType, Provider};

impl Provider {
    /// OpenID Connect Discovery 1.0, section 3, and RFC 8414, section 2: one document for both.
    pub(crate) fn metadata(&self) -> Value {
        let methods = AuthMethod::ALL.map(AuthMethod::as_str);
        let confidential: Vec<_> = methods.into_iter().filter(|method| *method != "none").collect();
        let algs = Alg::ALL.map(Alg::as_str);
        let signing = Alg::SIGNING.map(Alg::as_str);
        json!({
            "issuer": self.settings.issuer,
            "authorization_endpoint": self.url("/oauth2/authorize"),
            "token_endpoint": self.url("/oauth2/token"),
            "userinfo_endpoint": self.url("/oauth2/userinfo"),
            "jwks_uri": self.url("/oauth2/jwks"),
            "introspection_endpoint": self.url("/oauth2/introspect"),
            "revocation_endpoint": self.url("/oauth2/revoke"),
            "pushed_authorization_request_endpoint": self.url("/oauth2/par"),
            "device_authorization_endpoint": self.url("/oauth2/device_authorization"),
            "require_pushed_authorization_requests": false,
            "dpop_signing_alg_values_supported": ["EdDSA", "Ed25519", "ES256", "PS256"],
            "end_session_endpoint": self.url("/oauth2/logout"),
            "scopes_supported": ["openid", "profile", "email"],
            "response_types_supported": ["code"],
            "response_modes_supported": ["query"],
            "grant_types_supported": GrantType::ALL.map(GrantType::as_str),
            "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": signing,
            "token_endpoint_auth_methods_supported": methods,
            "token_endpoint_auth_signing_alg_values_supported": algs,
            "introspection_endpoint_auth_methods_supported": confidential,
            "introspection_endpoint_auth_signing_alg_values_supported": algs,
            "revocation_endpoint_auth_methods_supported": methods,
            "revocation_endpoint_auth_signing_alg_values_supported": algs,
            "code_challenge_methods_supported": ["S256"],
            "acr_values_supported": Assurance::ALL.map(Assurance::acr),
            "claims_supported": [
                "sub", "iss", "aud", "exp", "iat", "auth_time", "acr", "amr", "nonce", "at_hash", "sid", "name",
                "preferred_username", "email", "email_verified", "updated_at",
            ],
            "authorization_response_iss_parameter_supported": true,
            "request_parameter_supported": false,
            "request_uri_parameter_supported": false,
            "claims_parameter_supported": true,
        })
    }
}
