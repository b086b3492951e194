//! What a client may be.

use portcullis_events::clean;
use portcullis_identity::{Assurance, FieldError};
use portcullis_jose::{JwkSet, KeyManagement};
use portcullis_types::is_scope_token;

use crate::{
    AuthMethod, ClientError, ClientSpec, GrantType, Provider,
    client::{certificates, is_https, is_redirect_uri},
    fapi,
};

/// A client has at most this many of anything.
const MAX_LIST: usize = 32;
const MAX_NAME_CHARS: usize = 100;

impl Provider {
    pub(crate) fn check(&self, spec: &ClientSpec) -> Result<(), ClientError> {
        let mut problems = Vec::new();
        let mut refuse = |field, message: &str| {
            problems.push(FieldError { field, message: message.to_owned() });
        };
        let id = |b: u8| b.is_ascii_alphanumeric() || b"-._~".contains(&b);
        if spec
            .id
            .as_ref()
            .is_some_and(|text| !(1..=64).contains(&text.len()) || !text.bytes().all(id))
        {
            refuse("id", "must be 1 to 64 letters, digits or - . _ ~");
        }
        // A client must not be taken for a person or a key (RFC 9068, section 5).
        let id = spec.id.as_deref().unwrap_or_default();
        if ["usr_", "key_"].iter().any(|prefix| id.starts_with(prefix)) {
            refuse("id", "must not look like the id of an account or a key");
        }
        let name = spec.name.as_str();
        if name.is_empty() || name.chars().count() > MAX_NAME_CHARS || clean(name) != name {
            refuse("name", "must be 1 to 100 printable characters");
        }
        let uses_codes = spec.grant_types.contains(&GrantType::AuthorizationCode);
        let uris = &spec.redirect_uris;
        if uris.len() > MAX_LIST || !uris.iter().all(|uri| is_redirect_uri(uri)) {
            refuse(
                "redirect_uris",
                "must be at most 32 absolute URIs without fragment: https, http on loopback, or a \
             private scheme with a dot",
            );
        } else if uses_codes && uris.is_empty() {
            refuse("redirect_uris", "must not be empty for the authorization code grant");
        }
        let back = &spec.post_logout_redirect_uris;
        if back.len() > MAX_LIST || !back.iter().all(|uri| is_redirect_uri(uri)) {
            refuse("post_logout_redirect_uris", "must be at most 32 URIs as for redirect_uris");
        }
        if spec.grant_types.is_empty() {
            refuse("grant_types", "must not be empty");
        }
        let public = spec.auth_method == AuthMethod::None;
        if public && spec.grant_types.contains(&GrantType::ClientCredentials) {
            refuse("grant_types", "must not contain client_credentials for a public client");
        }
        if public && spec.settings.nonce_instead_of_pkce {
            refuse("nonce_instead_of_pkce", "must not be set for a public client");
        }
        let known = |acr: &String| {
            let proofs = &self.settings.proofs;
            Assurance::of_acr(acr).is_some() || proofs.iter().any(|rule| rule.acr == *acr)
        };
        if !spec.settings.default_acr_values.iter().all(known) {
            refuse(
                "default_acr_values",
                "must be values that we can reach; see acr_values_supported",
            );
        }
        if !self.keys.schedule().algorithms.contains(&spec.token_alg) {
            refuse("token_alg", "must be an algorithm that tokens are signed with here");
        }
        if spec.scopes.len() > MAX_LIST || !spec.scopes.iter().all(|scope| is_scope_token(scope)) {
            refuse("scopes", "must be at most 32 scope names");
        }
        if spec.audiences.len() > MAX_LIST
            || spec.settings.optional_audiences.len() > MAX_LIST
            || (spec.audiences.iter().chain(&spec.settings.optional_audiences))
                .any(|aud| clean(aud) != *aud || aud.is_empty())
        {
            refuse("audiences", "must be at most 32 identifiers of resource servers");
        }
        let keys = spec.jwks.as_ref().map(|jwks| {
            let set: Option<JwkSet> = serde_json::from_value(jwks.clone()).ok();
            set.map_or((0, false), |set| {
                let signing = set.verifying_keys().map_or(0, |keys| keys.len());
                let encrypting = KeyManagement::ALL.map(|alg| set.encryption_key(alg).is_some());
                (signing, encrypting.contains(&true))
            })
        });
        for (field, message) in fapi::lacking(spec) {
            refuse(field, message);
        }
        let keys_for = |alg: KeyManagement| {
            let set: Option<JwkSet> =
                spec.jwks.as_ref().and_then(|jwks| serde_json::from_value(jwks.clone()).ok());
            set.is_some_and(|set| set.encryption_key(alg).is_some())
        };
        let encrypted = [
            spec.settings.id_token_encrypted_response_alg,
            spec.settings.userinfo_encrypted_response_alg,
        ];
        if !encrypted.into_iter().flatten().all(keys_for) {
            refuse("jwks", "must hold a public key for each way of encryption");
        }
        let userinfo = spec.settings.userinfo_signed_response_alg;
        if userinfo.is_some_and(|alg| !self.keys.schedule().algorithms.contains(&alg)) {
            refuse(
                "userinfo_signed_response_alg",
                "must be an algorithm that tokens are signed with here",
            );
        }
        if public && spec.grant_types.contains(&GrantType::TokenExchange) {
            refuse("grant_types", "must not contain token exchange for a public client");
        }
        for (field, uri) in spec.settings.uris() {
            if !is_https(uri) {
                refuse(field, "must be an https URL without user and fragment");
            }
        }
        // OpenID Connect Registration, section 2: the one needs the other.
        let settings = &spec.settings;
        for (field, alg, enc) in [
            (
                "id_token_encrypted_response_enc",
                settings.id_token_encrypted_response_alg,
                settings.id_token_encrypted_response_enc,
            ),
            (
                "userinfo_encrypted_response_enc",
                settings.userinfo_encrypted_response_alg,
                settings.userinfo_encrypted_response_enc,
            ),
        ] {
            if enc.is_some() && alg.is_none() {
                refuse(field, "needs the algorithm beside it");
            }
        }
        if spec.settings.jwks_uri.is_some() && spec.jwks.is_some() {
            refuse("jwks", "and jwks_uri exclude each other");
        }
        if spec.settings.sector_identifier_uri.is_some() && !spec.settings.is_pairwise() {
            refuse("sector_identifier_uri", "is for the subject type pairwise only");
        }
        if !self.offers(spec.auth_method) {
            refuse("token_endpoint_auth_method", "is not available here; see the configuration");
        }
        let settings = &spec.settings;
        let names = settings.certificate_names().len();
        match (spec.auth_method, names) {
            (AuthMethod::TlsClientAuth, 1) => {}
            (AuthMethod::TlsClientAuth, _) => {
                refuse(
                    "tls_client_auth_subject_dn",
                    "or one of tls_client_auth_san_… must be given",
                );
            }
            (_, 0) => {}
            _ => refuse("tls_client_auth_subject_dn", "and the like are for tls_client_auth only"),
        }
        let certificates = spec.jwks.as_ref().map(|jwks| certificates(&jwks.to_string()).len());
        if spec.auth_method == AuthMethod::SelfSignedTlsClientAuth
            && certificates.is_none_or(|count| count == 0)
        {
            refuse("jwks", "must hold a key with its certificate (x5c)");
        }
        if public && settings.tls_client_certificate_bound_access_tokens {
            let text = "must not be set for a public client; use DPoP";
            refuse("tls_client_certificate_bound_access_tokens", text);
        }
        if settings.tls_client_certificate_bound_access_tokens && self.settings.mesh_url.is_none() {
            let text = "needs the mesh listener";
            refuse("tls_client_certificate_bound_access_tokens", text);
        }
        match (spec.auth_method, keys) {
            (AuthMethod::PrivateKeyJwt, None) if spec.settings.jwks_uri.is_some() => {}
            (AuthMethod::PrivateKeyJwt, None | Some((0, _))) => {
                refuse("jwks", "must hold at least one usable public key for private_key_jwt");
            }
            (_, Some((0, false))) => refuse("jwks", "must hold usable public keys"),
            _ => {}
        }
        if problems.is_empty() { Ok(()) } else { Err(ClientError::Invalid(problems)) }
    }
}
