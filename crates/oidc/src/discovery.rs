use portcullis_identity::Assurance;
use portcullis_jose::{Alg, Enc, KeyManagement};
use serde_json::{Value, json};

use crate::{AuthMethod, GrantType, Provider, SubjectType, verified};

/// The endpoints that clients with certificates call (RFC 8705, section 5).
const MESH_ENDPOINTS: [(&str, &str); 6] = [
    ("token_endpoint", "/oauth2/token"),
    ("pushed_authorization_request_endpoint", "/oauth2/par"),
    ("device_authorization_endpoint", "/oauth2/device_authorization"),
    ("introspection_endpoint", "/oauth2/introspect"),
    ("revocation_endpoint", "/oauth2/revoke"),
    ("userinfo_endpoint", "/oauth2/userinfo"),
];

fn aliases(base: &str) -> Value {
    let alias = |(name, path): (&str, &str)| (name.to_owned(), format!("{base}{path}").into());
    Value::Object(MESH_ENDPOINTS.into_iter().map(alias).collect())
}

impl Provider {
    /// OpenID Connect for Identity Assurance 1.0, section 7.
    fn add_verified(&self, metadata: &mut Value) {
        let more = [
            ("verified_claims_supported", json!(true)),
            ("trust_frameworks_supported", json!(self.settings.trust_frameworks)),
            ("claims_in_verified_claims_supported", json!(verified::CLAIMS)),
            ("evidence_supported", json!(["document"])),
            ("documents_supported", json!(["passport", "idcard", "residence_permit"])),
            ("documents_check_methods_supported", json!(["vcrypt"])),
        ];
        for (name, value) in more {
            metadata[name] = value;
        }
        for list in ["scopes_supported", "claims_supported"] {
            if let Some(list) = metadata[list].as_array_mut() {
                list.push(verified::SCOPE.into());
            }
        }
    }

    /// OpenID Connect Discovery 1.0, section 3, and RFC 8414, section 2: one document for both.
    pub(crate) fn metadata(&self) -> Value {
        let methods: Vec<_> = AuthMethod::ALL.into_iter().filter(|way| self.offers(*way)).collect();
        let methods: Vec<_> = methods.into_iter().map(AuthMethod::as_str).collect();
        let confidential: Vec<_> = methods.iter().filter(|method| **method != "none").collect();
        let algs = Alg::ALL.map(Alg::as_str);
        let signing: Vec<_> =
            self.keys.schedule().algorithms.iter().map(|alg| alg.as_str()).collect();
        let mut metadata = json!({
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
            "scopes_supported": ["openid", "profile", "email", "groups", "roles"],
            "response_types_supported": ["code"],
            "response_modes_supported": ["query"],
            "grant_types_supported": GrantType::ALL.map(GrantType::as_str),
            "subject_types_supported": SubjectType::ALL.map(SubjectType::as_str),
            "backchannel_logout_supported": true,
            "backchannel_logout_session_supported": true,
            "id_token_encryption_alg_values_supported": KeyManagement::ALL.map(KeyManagement::as_str),
            "id_token_encryption_enc_values_supported": Enc::ALL.map(Enc::as_str),
            "userinfo_signing_alg_values_supported": signing,
            "userinfo_encryption_alg_values_supported": KeyManagement::ALL.map(KeyManagement::as_str),
            "userinfo_encryption_enc_values_supported": Enc::ALL.map(Enc::as_str),
            "id_token_signing_alg_values_supported": signing,
            "token_endpoint_auth_methods_supported": methods,
            "token_endpoint_auth_signing_alg_values_supported": algs,
            "introspection_endpoint_auth_methods_supported": confidential,
            "introspection_endpoint_auth_signing_alg_values_supported": algs,
            "revocation_endpoint_auth_methods_supported": methods,
            "revocation_endpoint_auth_signing_alg_values_supported": algs,
            "code_challenge_methods_supported": ["S256"],
            "acr_values_supported": self.acr_values(),
            "claims_supported": [
                "sub", "iss", "aud", "exp", "iat", "auth_time", "acr", "amr", "nonce", "at_hash", "sid", "name",
                "preferred_username", "email", "email_verified", "updated_at", "locale", "groups", "roles",
            ],
            "authorization_response_iss_parameter_supported": true,
            "ui_locales_supported": ["en", "de", "es", "fr"],
            "request_parameter_supported": false,
            "request_uri_parameter_supported": false,
            "claims_parameter_supported": true,
            "tls_client_certificate_bound_access_tokens": self.settings.mesh_url.is_some(),
        });
        if !self.settings.trust_frameworks.is_empty() {
            self.add_verified(&mut metadata);
        }
        if self.registers() {
            metadata["registration_endpoint"] = self.url("/oauth2/register").into();
        }
        if let Some(base) = &self.settings.mesh_url {
            metadata["mtls_endpoint_aliases"] = aliases(base);
        }
        metadata
    }

    fn acr_values(&self) -> Vec<&str> {
        let proofs = self.settings.proofs.iter().map(|rule| &rule.acr[..]);
        Assurance::ALL.map(Assurance::acr).into_iter().chain(proofs).collect()
    }

    /// Whether a client can prove itself in this way here.
    pub(crate) fn offers(&self, method: AuthMethod) -> bool {
        let mesh = self.settings.mesh_url.is_some();
        match method {
            AuthMethod::TlsClientAuth => mesh,
            AuthMethod::SelfSignedTlsClientAuth => mesh && self.settings.self_signed_clients,
            _ => true,
        }
    }
}
