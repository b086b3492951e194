use portcullis_credentials::FORMAT;
use portcullis_jose::Alg;
use serde_json::{Value, json};

use super::{BATCH_MAX, CONFIGURATION, VCT};
use crate::Provider;

/// What there is in a credential, and what people see it called.
const CLAIMS: [(&str, &str, &str, &str, &str); 8] = [
    ("given_name", "Given names", "Vornamen", "Nombres", "Prénoms"),
    ("family_name", "Surname", "Nachname", "Apellidos", "Nom"),
    ("birthdate", "Date of birth", "Geburtsdatum", "Fecha de nacimiento", "Date de naissance"),
    ("nationalities", "Nationalities", "Staatsangehörigkeiten", "Nacionalidades", "Nationalités"),
    ("age_equal_or_over", "Age at least", "Mindestalter", "Edad mínima", "Âge minimum"),
    ("verified_at", "Verified at", "Geprüft am", "Verificado el", "Vérifié le"),
    ("document", "Document", "Dokument", "Documento", "Document"),
    (
        "check_methods",
        "How it was checked",
        "Wie es geprüft wurde",
        "Cómo se comprobó",
        "Comment c'est vérifié",
    ),
];

impl Provider {
    /// Credential Issuer Metadata (OpenID for Verifiable Credential Issuance 1.0, section 12.2.4).
    pub(super) fn credential_issuer_metadata(&self) -> Value {
        let claims = CLAIMS.map(|(name, en, de, es, fr)| {
            let languages = [("en", en), ("de", de), ("es", es), ("fr", fr)];
            json!({
                "path": [name],
                "mandatory": false,
                "display": languages.map(|(locale, name)| json!({ "name": name, "locale": locale })),
            })
        });
        let names = [
            ("en", "Verified person"),
            ("de", "Geprüfte Person"),
            ("es", "Persona verificada"),
            ("fr", "Personne vérifiée"),
        ];
        json!({
            "credential_issuer": self.settings.issuer,
            "credential_endpoint": self.url("/credentials/issue"),
            "nonce_endpoint": self.url("/credentials/nonce"),
            "batch_credential_issuance": { "batch_size": BATCH_MAX },
            "credential_configurations_supported": { CONFIGURATION: {
                "format": FORMAT,
                "vct": VCT,
                "scope": CONFIGURATION,
                "cryptographic_binding_methods_supported": ["jwk"],
                "credential_signing_alg_values_supported": [Alg::Es256.as_str()],
                "proof_types_supported": { "jwt": {
                    "proof_signing_alg_values_supported": ["ES256", "EdDSA", "Ed25519", "PS256"],
                } },
                "credential_metadata": {
                    "display": names.map(|(locale, name)| json!({ "name": name, "locale": locale })),
                    "claims": claims,
                },
            } },
        })
    }

    /// JWT VC Issuer Metadata (draft-ietf-oauth-sd-jwt-vc, section 4).
    pub(super) fn vc_issuer_metadata(&self) -> Value {
        json!({ "issuer": self.settings.issuer, "jwks": self.keys.current().credentials })
    }
}
