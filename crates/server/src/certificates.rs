//! The certificate authority of an installation, as the configuration has it.

use std::{path::Path, sync::Arc};

use anyhow::{Context, Result};
use portcullis_ca::{Ca, CaSettings, Directory, WorkloadRule};
use portcullis_gateway::OWN_TOKENS;
use portcullis_store::Db;
use portcullis_types::{SharedClock, SharedEntropy};

use crate::{
    app::App,
    config::{Config, WorkloadConfig},
    vault::Vault,
};

/// Opens the authority; the first start makes it.
pub async fn open(
    config: &Config,
    vault: &Vault,
    db: &Db,
    clock: &SharedClock,
    entropy: &SharedEntropy,
) -> Result<Arc<Ca>> {
    let own = &config.certificates;
    let settings = CaSettings {
        trust_domain: own.trust_domain.clone(),
        url: config.issuer.clone(),
        lifetime: own.lifetime,
        publish_root_first: own.publish_root_first,
    };
    let (db, sealer) = (db.clone(), vault.sealer.clone());
    let opened = Ca::open(db, sealer, clock.clone(), entropy.clone(), settings).await;
    opened.context("open the certificate authority")
}

/// What others ask of the authority over HTTP.
pub fn router(config: &Config, ca: &Arc<Ca>) -> Result<axum::Router> {
    let directory = Directory { public: config.issuer.clone(), mesh: config.mesh_url() };
    let rules: Result<Vec<_>> = config.workloads.iter().map(|one| rule(config, one)).collect();
    Ok(portcullis_ca::router(ca.clone(), directory, rules?))
}

/// The names of an issuer begin with its own where the gate has checked its tokens.
fn rule(config: &Config, own: &WorkloadConfig) -> Result<WorkloadRule> {
    let (issuer, subject) = if own.issuer == OWN_TOKENS {
        (config.issuer.clone(), own.subject.clone())
    } else {
        let known = config.token_issuers.iter().find(|known| known.name == own.issuer);
        let known = known.context("there is no such token_issuer")?;
        (known.issuer.clone(), format!("{}:{}", known.name, own.subject))
    };
    let (spiffe_id, names) = (own.spiffe_id.parse()?, own.names.clone());
    Ok(WorkloadRule { issuer, subject, spiffe_id, names })
}

/// Writes the roots that are trusted where people and sample services find them.
pub fn publish(ca: &Ca, data: &Path) -> Result<()> {
    let (path, bundle) = (data.join("ca.pem"), ca.bundle_pem());
    if std::fs::read(&path).is_ok_and(|known| known == bundle) {
        return Ok(());
    }
    let temporary = data.join("ca.pem.new");
    std::fs::write(&temporary, bundle)
        .and_then(|()| std::fs::rename(&temporary, &path))
        .with_context(|| format!("write {}", path.display()))
}

/// Takes in what changed.
pub async fn follow(app: &App) -> Result<()> {
    app.ca.follow().await?;
    publish(&app.ca, &app.data)
}
