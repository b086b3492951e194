//! Parts of the product as the configuration describes them.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use portcullis_egress::{Egress, webhook::Secret as Shared};
use portcullis_federation::{ProviderSettings, UpstreamProvider};
use portcullis_identity::StaffDevices;
use portcullis_oidc::{RegistrationMode, RegistrationPolicy};
use portcullis_pages::Theme;
use portcullis_types::Secret;
use portcullis_verification::CheckProvider;

use crate::{
    app::egress_for,
    config::{Config, LoginProvider, ProviderConfig, Registration},
    system,
    texts::{TEXTS_AT_ONCE, Texts},
};

/// The devices that administrators may keep passkeys on.
pub fn staff_devices(config: &Config) -> Result<Option<StaffDevices>> {
    let own = &config.passkeys;
    let Some(path) = &own.staff_attestation_ca else {
        ensure!(own.staff_models.is_empty(), "passkeys: staff_models needs staff_attestation_ca");
        return Ok(None);
    };
    let path = config.path(path);
    let pem = std::fs::read_to_string(&path);
    let pem = pem.with_context(|| format!("passkeys: read {}", path.display()))?;
    Ok(Some(StaffDevices::new(&pem, &own.staff_models).context("passkeys")?))
}

/// The look of the pages, checked.
pub fn theme(config: &Config) -> Result<Theme> {
    let own = &config.theme;
    let read = |path: &PathBuf| {
        let path = config.path(path);
        std::fs::read(&path).with_context(|| format!("theme.logo: read {}", path.display()))
    };
    let logo = own.logo.as_ref().map(read).transpose()?;
    let (accent, dark) = (own.accent.as_deref(), own.accent_dark.as_deref());
    Theme::new(&own.name, accent, dark, logo).context("theme")
}

/// A secret in a file, or in a variable where no file is named.
fn secret(config: &Config, file: Option<&PathBuf>, variable: &str) -> Result<Option<String>> {
    let Some(path) = file else { return Ok(system::variable(variable)) };
    let path = config.path(path);
    let text = std::fs::read_to_string(&path);
    Ok(Some(text.with_context(|| format!("read {}", path.display()))?))
}

/// Whoever hands over text messages, if somebody does, with the secret by which they know us.
pub fn texts(config: &Config) -> Result<Option<Texts>> {
    let Some(own) = &config.verification.sms else { return Ok(None) };
    let secret = secret(config, own.secret_file.as_ref(), "PORTCULLIS_SMS_SECRET")?;
    let secret = secret.context("verification.sms: no secret_file and no PORTCULLIS_SMS_SECRET")?;
    let secret = Shared::read(&secret).context("verification.sms: the secret is not whsec_…")?;
    Ok(Some(Texts::new(own.url.clone(), secret, egress_for(config, TEXTS_AT_ONCE)?)))
}

/// Whoever does checks, with the secrets by which they know us; nothing is asked of them yet.
pub fn check_providers(config: &Config) -> Result<Vec<CheckProvider>> {
    let one = |own: &ProviderConfig| {
        let secret = secret(config, own.secret_file.as_ref(), &own.variable())?;
        let secret = secret.with_context(|| {
            format!("verification.provider {}: no secret_file and no {}", own.name, own.variable())
        })?;
        own.provider(secret.trim())
    };
    config.verification.provider.iter().map(one).collect()
}

/// The providers that people may log in with; nothing is asked of them yet.
pub fn login_providers(config: &Config, egress: &Egress) -> Result<Vec<UpstreamProvider>> {
    let one = |own: &LoginProvider| {
        let secret = match &own.client_secret_file {
            Some(path) => {
                let path = config.path(path);
                Some(
                    std::fs::read_to_string(&path)
                        .with_context(|| format!("read {}", path.display()))?,
                )
            }
            None => system::variable(&own.variable()),
        };
        let secret = secret.with_context(|| {
            format!("login_provider {}: no client_secret_file and no {}", own.name, own.variable())
        })?;
        let settings = ProviderSettings {
            name: own.name.clone(),
            label: own.label.clone(),
            issuer: own.issuer.clone(),
            client_id: own.client_id.clone(),
            client_secret: Secret::new(secret.trim().to_owned()),
            scopes: own.scopes.clone(),
            trust_email: own.trust_email,
        };
        Ok(UpstreamProvider::new(settings, egress.clone()))
    };
    config.login_providers.iter().map(one).collect()
}

pub fn registration(config: &Config) -> RegistrationPolicy {
    let registration = &config.registration;
    RegistrationPolicy {
        mode: match registration.mode {
            Registration::Off => RegistrationMode::Off,
            Registration::Token => RegistrationMode::Token,
            Registration::Open => RegistrationMode::Open,
        },
        scopes: registration.scopes.clone(),
        audiences: registration.audiences.clone(),
        nonce_instead_of_pkce: registration.nonce_instead_of_pkce,
    }
}

/// The address of the database, SQLite files being in the data directory.
pub fn database_url(config: &Config, data: &Path) -> String {
    match config.database.url.strip_prefix("sqlite:") {
        Some(file) if !file.starts_with(['/', ':']) => {
            format!("sqlite:{}", data.join(file.trim_start_matches("//")).display())
        }
        _ => config.database.url.clone(),
    }
}
