//! From the configuration to the issuers whose tokens routes accept, and following their keys.

use std::{path::PathBuf, sync::Arc, time::Duration};

use anyhow::{Context, Result};
use portcullis_egress::Egress;
use portcullis_federation::{IntrospectionSettings, IssuerClient};
use portcullis_gateway::{Introspect, Issuer, IssuerRules};
use portcullis_types::Secret;
use tokio::time::{sleep, timeout};

use crate::{
    config::{Config, TokenIssuer},
    gate::Gate,
    system,
};

/// Keys are fetched again after this time.
const KEYS_EVERY: Duration = Duration::from_secs(600);
/// For a key that is not known they are fetched sooner, but not more often than this.
const PAUSE: Duration = Duration::from_secs(5);

/// An issuer, and the way to it.
pub struct Known {
    pub issuer: Arc<Issuer>,
    pub client: IssuerClient,
}

/// The issuers of the file. What did not change is taken over from `before`, with its keys.
pub fn all(config: &Config, egress: &Egress, before: Option<&Gate>) -> Result<Vec<Known>> {
    let one = |own: &TokenIssuer| {
        let kept = before.filter(|_| own.introspection.is_none()).and_then(|before| {
            let place = before.config.token_issuers.iter().position(|known| known == own);
            before.issuers.get(place?)
        });
        if let Some(Known { issuer, client }) = kept {
            return Ok(Known { issuer: issuer.clone(), client: client.clone() });
        }
        build(config, own, egress).with_context(|| format!("token_issuer {}", own.name))
    };
    config.token_issuers.iter().map(one).collect()
}

fn build(config: &Config, own: &TokenIssuer, egress: &Egress) -> Result<Known> {
    let introspection = own.introspection.as_ref().map(|asked| {
        let read = |path: &PathBuf| {
            let path = config.path(path);
            std::fs::read_to_string(&path).with_context(|| format!("read {}", path.display()))
        };
        let secret = match &asked.client_secret_file {
            Some(path) => read(path)?,
            None => system::variable(&own.variable())
                .with_context(|| format!("no client_secret_file and no {}", own.variable()))?,
        };
        anyhow::Ok(IntrospectionSettings {
            endpoint: asked.endpoint.clone(),
            client_id: asked.client_id.clone(),
            client_secret: Secret::new(secret.trim().to_owned()),
        })
    });
    let client = IssuerClient {
        issuer: own.issuer.clone(),
        jwks_uri: own.jwks_uri.clone(),
        introspection: introspection.transpose()?,
        egress: egress.clone(),
    };
    let rules = IssuerRules {
        name: own.name.clone(),
        issuer: own.issuer.clone(),
        audiences: own.audiences.clone(),
        algorithms: own.algorithms.clone(),
        typed: own.typed,
        pins: own.pins.clone(),
        roles: own.roles.clone(),
        groups: own.groups.clone(),
    };
    let introspect = client.introspection.is_some().then(|| asking(client.clone()));
    Ok(Known { issuer: Arc::new(Issuer::new(rules, introspect)), client })
}

fn asking(client: IssuerClient) -> Introspect {
    Arc::new(move |token| {
        let client = client.clone();
        Box::pin(async move {
            let told = client.introspect(&token).await;
            let issuer = &client.issuer;
            told.inspect_err(|error| tracing::warn!(%error, issuer, "an issuer was asked in vain"))
                .ok()
        })
    })
}

impl Known {
    /// Keeps the keys as the issuer publishes them, for as long as anybody holds it.
    pub fn follow(&self) {
        let (issuer, client) = (Arc::downgrade(&self.issuer), self.client.clone());
        tokio::spawn(async move {
            loop {
                let fetched = client.keys().await;
                let Some(issuer) = issuer.upgrade() else { return };
                match fetched {
                    Ok(keys) => issuer.set_keys(keys),
                    Err(error) => {
                        let name = &issuer.rules.name;
                        let error = &error as &dyn std::error::Error;
                        tracing::warn!(error, issuer = name, "keys could not be fetched");
                        issuer.was_asked();
                    }
                }
                sleep(PAUSE).await;
                let known = issuer.is_known();
                // One that was never reached is tried again soon, and does not wait to be asked.
                if known {
                    let _ = timeout(KEYS_EVERY, issuer.keys_wanted()).await;
                }
            }
        });
    }
}
