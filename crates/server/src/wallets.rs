//! Credentials that people show from their wallets: whose count, and who asks.

use std::{path::PathBuf, sync::Arc};

use anyhow::{Context, Result};
use portcullis_ca::Identities;
use portcullis_egress::Egress;
use portcullis_oidc::{KeyUse, Provider, WALLET_LISTS, WALLET_VCT};
use portcullis_pki::{Identity, Subject};
use portcullis_types::DEFAULT_TENANT;
use portcullis_verification::{IssuerTrust, OwnIssuer, PresentationParts, Presentations, Sessions};

use crate::config::Config;

/// The service.
pub fn open(
    config: &Config,
    provider: &Provider,
    identities: &Identities,
    egress: Egress,
    sessions: &Sessions,
) -> Result<Presentations> {
    let settings = &provider.settings;
    let keys = provider.clone();
    let own = provider.issues_credentials().then(|| OwnIssuer {
        issuer: settings.issuer.clone(),
        vct: WALLET_VCT.to_owned(),
        keys: Arc::new(move || keys.keys.current().verifying(KeyUse::Credential).to_vec()),
        trust_frameworks: settings.trust_frameworks.clone(),
        lists: format!("{}/", provider.url(WALLET_LISTS)),
    });
    let trusted = config.verification.issuer.iter().map(|one| IssuerTrust {
        issuer: one.issuer.clone(),
        types: one.types.clone(),
        identity: one.identity.clone(),
        hosts: one.hosts.clone(),
    });
    let identity = &provider.identity;
    Ok(Presentations::new(PresentationParts {
        tenant: DEFAULT_TENANT.to_owned(),
        db: identity.db.clone(),
        sealer: identity.sealer.clone(),
        clock: identity.clock.clone(),
        entropy: identity.entropy.clone(),
        issuer: settings.issuer.clone(),
        identity: certificate(config, identities)?,
        own,
        trusted: trusted.collect(),
        egress,
        sessions: sessions.clone(),
    }))
}

/// What requests are signed with.
pub fn certificate(config: &Config, identities: &Identities) -> Result<Arc<Identity>> {
    let Some(own) = &config.verification.requests else {
        let issuer = url::Url::parse(&config.issuer)?;
        let host = issuer.host_str().unwrap_or("localhost").trim_matches(['[', ']']).to_owned();
        return Ok(identities.get(&Subject { workload: None, names: vec![host] })?);
    };
    let read = |path: &PathBuf| {
        let path = config.path(path);
        std::fs::read_to_string(&path).with_context(|| format!("read {}", path.display()))
    };
    let identity = Identity::from_pem(&read(&own.certificate)?, &read(&own.key)?);
    let identity = identity.context("verification.requests")?;
    let signs = identity.sign_es256(|_| String::new()).is_some();
    anyhow::ensure!(signs, "verification.requests: the key must be one on P-256");
    Ok(identity)
}
