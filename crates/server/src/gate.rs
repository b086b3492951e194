//! What a configuration makes of the gate: the part that a reload replaces.

use std::sync::Arc;

use anyhow::Result;
use portcullis_ca::Identities;
use portcullis_egress::Egress;
use portcullis_gateway::{Issuer, Upstream, watch_health};
use portcullis_policy::Policies;
use portcullis_types::SharedEntropy;

use crate::{
    config::Config,
    issuers::{self, Known},
    policies,
    upstreams::{self, Service},
};

/// A configuration and what was built from it.
pub struct Gate {
    pub config: Config,
    pub services: Vec<Service>,
    pub issuers: Vec<Known>,
    pub policies: Option<Arc<Policies>>,
}

impl Gate {
    /// Builds everything, or nothing. What did not change since `before` is taken over with its
    /// connections and what is known of its health.
    pub fn build(
        config: Config,
        identities: &Identities,
        entropy: &SharedEntropy,
        egress: &Egress,
        before: Option<&Self>,
    ) -> Result<Self> {
        let services = upstreams::all(&config, identities, entropy, before)?;
        let issuers = issuers::all(&config, egress, before)?;
        let policies = policies::load(&config)?;
        Ok(Self { config, services, issuers, policies })
    }

    /// The issuers by their names.
    pub fn issuer(&self, name: &str) -> Option<&Arc<Issuer>> {
        self.issuers.iter().map(|known| &known.issuer).find(|known| known.rules.name == name)
    }

    /// The upstreams by their names.
    pub fn upstream(&self, name: &str) -> Option<&Arc<Upstream>> {
        self.services.iter().map(|service| &service.upstream).find(|known| known.name == name)
    }

    /// Watches what was not watched before.
    pub fn watch(&self, before: Option<&Self>) {
        for known in &self.issuers {
            let mut old = before.iter().flat_map(|before| &before.issuers);
            if !old.any(|old| Arc::ptr_eq(&old.issuer, &known.issuer)) {
                known.follow();
            }
        }
        for Service { upstream, follow } in &self.services {
            let known = before.iter().flat_map(|before| &before.services);
            if known.into_iter().any(|known| Arc::ptr_eq(&known.upstream, upstream)) {
                continue;
            }
            tokio::spawn(watch_health(Arc::downgrade(upstream)));
            if let Some(follow) = follow.clone() {
                let upstream = Arc::downgrade(upstream);
                tokio::spawn(async move { follow.run(upstream).await });
            }
        }
    }
}
