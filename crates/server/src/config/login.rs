//! `[[login_provider]]`, `[passkeys]` and `[theme]`.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::Deserialize;

#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LoginProvider {
    /// Letters, digits, - and _; 1 to 32. Linked identities are stored under it.
    pub name: String,
    /// What people see on the button.
    pub label: String,
    /// An OpenID provider: https, as it writes itself.
    pub issuer: String,
    /// What we are called there; its redirect URI is `ISSUER/login/upstream/callback/NAME`.
    pub client_id: String,
    /// The file with the secret; `PORTCULLIS_LOGIN_SECRET_NAME` if left out, with the name in
    /// capitals and _ for -.
    pub client_secret_file: Option<PathBuf>,
    /// What is asked for.
    #[serde(default = "scopes")]
    pub scopes: Vec<String>,
    /// Whether an address that it calls verified counts as proven here: whoever it says owns an
    /// address may make an account with it.
    #[serde(default)]
    pub trust_email: bool,
}

#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct PasskeysConfig {
    /// Authorities of makers of authenticators, PEM. With them, administrators may only have
    /// passkeys on devices that one of them vouches for.
    pub staff_attestation_ca: Option<PathBuf>,
    /// The models that administrators may use, as AAGUIDs; needed with the authorities.
    pub staff_models: Vec<String>,
}

#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ThemeConfig {
    /// What people know the installation by; 1 to 60 characters.
    pub name: String,
    /// The colour of links and buttons, such as `#0b5cad`; readable on white.
    pub accent: Option<String>,
    /// The same for dark pages; readable on `#18222b`.
    pub accent_dark: Option<String>,
    /// A picture in place of the name: PNG, JPEG or WebP, at most 256 KiB.
    pub logo: Option<PathBuf>,
}

impl Default for ThemeConfig {
    fn default() -> Self {
        Self { name: "Portcullis".to_owned(), accent: None, accent_dark: None, logo: None }
    }
}

fn scopes() -> Vec<String> {
    ["openid", "email", "profile"].map(str::to_owned).to_vec()
}

impl LoginProvider {
    /// Where the secret is if there is no file.
    pub fn variable(&self) -> String {
        format!("PORTCULLIS_LOGIN_SECRET_{}", self.name.to_ascii_uppercase().replace('-', "_"))
    }
}
