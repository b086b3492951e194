//! `[keys]` and `[key_encryption]`.

use std::{path::PathBuf, time::Duration};

use portcullis_jose::Alg;
use schemars::JsonSchema;
use serde::Deserialize;

use super::span_schema;

#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Keys {
    /// The algorithms that tokens are signed with, the preferred first. One that is taken out here
    /// stays published until its last key ends; no client may be registered with it.
    pub algorithms: Vec<Algorithm>,
    /// A key signs for this long.
    #[serde(deserialize_with = "portcullis_types::span")]
    #[schemars(schema_with = "span_schema")]
    pub signs_for: Duration,
    /// A successor is published this long before it signs.
    #[serde(deserialize_with = "portcullis_types::span")]
    #[schemars(schema_with = "span_schema")]
    pub published_before: Duration,
    /// A key stays published this long after it signed last; at least 2h.
    #[serde(deserialize_with = "portcullis_types::span")]
    #[schemars(schema_with = "span_schema")]
    pub published_after: Duration,
}

impl Default for Keys {
    fn default() -> Self {
        let day = Duration::from_secs(24 * 3600);
        Self {
            algorithms: vec![Algorithm::EdDsa, Algorithm::Es256, Algorithm::Rs256],
            signs_for: 90 * day,
            published_before: day,
            published_after: day,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
pub enum Algorithm {
    /// Ed25519.
    #[serde(rename = "EdDSA")]
    EdDsa,
    /// ECDSA on P-256.
    #[serde(rename = "ES256")]
    Es256,
    /// RSA, for clients that know nothing newer.
    #[serde(rename = "RS256")]
    Rs256,
}

impl Algorithm {
    /// The same for tokens.
    pub fn alg(self) -> Alg {
        match self {
            Self::EdDsa => Alg::EdDsa,
            Self::Es256 => Alg::Es256,
            Self::Rs256 => Alg::Rs256,
        }
    }
}

/// Where the key is that the installation's secrets are sealed with.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(tag = "provider", rename_all = "lowercase", deny_unknown_fields)]
pub enum KeyEncryption {
    /// 32 bytes, base64url: `PORTCULLIS_KEK`, or a file that the first start makes.
    Local {
        /// The file; `kek` in the data directory if left out.
        file: Option<PathBuf>,
    },
    /// The transit engine of HashiCorp Vault or OpenBao.
    Transit {
        /// `https://HOST:PORT`.
        address: String,
        /// The path of the engine.
        #[serde(default = "transit")]
        mount: String,
        /// The name of the key.
        key: String,
        /// The namespace, where there are several.
        namespace: Option<String>,
        /// The file with the token; `VAULT_TOKEN` if left out.
        token_file: Option<PathBuf>,
        /// The authority of its certificate, PEM, besides those of the web.
        ca: Option<PathBuf>,
    },
    /// A token behind PKCS#11.
    Pkcs11 {
        /// The shared library of the token's maker.
        module: PathBuf,
        /// The label of the token.
        token_label: String,
        /// The label of the AES-256 key; made if there is none.
        #[serde(default = "portcullis")]
        key_label: String,
        /// The file with the user's PIN; `PORTCULLIS_PKCS11_PIN` if left out.
        pin_file: Option<PathBuf>,
    },
}

impl Default for KeyEncryption {
    fn default() -> Self {
        Self::Local { file: None }
    }
}

fn transit() -> String {
    "transit".to_owned()
}

fn portcullis() -> String {
    "portcullis".to_owned()
}
