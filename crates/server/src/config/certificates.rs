//! The certificate authority, and the workloads that issuers of tokens vouch for.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use portcullis_ca::is_own_name;
use portcullis_gateway::OWN_TOKENS;
use portcullis_pki::{MAX_NAMES, SpiffeId, is_certificate_name, is_trust_domain};
use schemars::JsonSchema;
use serde::Deserialize;

use super::{Config, span_schema};

/// How long certificates may live that renew themselves.
const LIFETIMES: std::ops::RangeInclusive<Duration> =
    Duration::from_secs(60)..=Duration::from_secs(90 * 24 * 3600);
/// How long a new root may be published before it signs.
const MOST_PUBLISHED: Duration = Duration::from_secs(365 * 24 * 3600);

#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Certificates {
    /// The name in the SPIFFE ids of this installation: `spiffe://TRUST_DOMAIN/…`.
    pub trust_domain: String,
    /// How long certificates live that can renew themselves, the gate's own among them; they do so
    /// after two thirds of it.
    #[serde(deserialize_with = "portcullis_types::span")]
    #[schemars(schema_with = "span_schema")]
    pub lifetime: Duration,
    /// How long a new root is published before anything is signed under it: longer than anybody
    /// takes to fetch the bundle again.
    #[serde(deserialize_with = "portcullis_types::span")]
    #[schemars(schema_with = "span_schema")]
    pub publish_root_first: Duration,
}

impl Default for Certificates {
    fn default() -> Self {
        let day = Duration::from_secs(24 * 3600);
        Self { trust_domain: "portcullis.local".into(), lifetime: day, publish_root_first: day }
    }
}

/// A workload that gets certificates with a token of an issuer, such as the service account token of
/// a pod.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct WorkloadConfig {
    /// The name of a `token_issuer`, or `portcullis` for tokens of this installation.
    pub issuer: String,
    /// The `sub` of its tokens, exactly.
    pub subject: String,
    /// What the workload is called.
    pub spiffe_id: String,
    /// DNS names and addresses under which it serves.
    #[serde(default)]
    pub names: Vec<String>,
}

impl Config {
    pub(super) fn check_certificates(&self) -> Result<()> {
        let Certificates { trust_domain, lifetime, publish_root_first } = &self.certificates;
        ensure!(
            is_trust_domain(trust_domain),
            "certificates.trust_domain must be lower-case letters, digits, dots, - and _"
        );
        ensure!(LIFETIMES.contains(lifetime), "certificates.lifetime must be from 1min to 90d");
        ensure!(
            *publish_root_first <= MOST_PUBLISHED,
            "certificates.publish_root_first must be at most 365d"
        );
        for workload in &self.workloads {
            self.check_workload(workload, trust_domain)
                .with_context(|| format!("workload {}", workload.spiffe_id))?;
        }
        Ok(())
    }

    fn check_workload(&self, workload: &WorkloadConfig, trust_domain: &str) -> Result<()> {
        let WorkloadConfig { issuer, subject, spiffe_id, names } = workload;
        let known = self.token_issuers.iter().any(|known| known.name == *issuer);
        ensure!(known || issuer == OWN_TOKENS, "there is no token_issuer called {issuer}");
        ensure!(!subject.is_empty(), "subject must not be empty");
        let id: SpiffeId = spiffe_id.parse()?;
        ensure!(
            id.trust_domain() == trust_domain,
            "spiffe_id must begin with spiffe://{trust_domain}/"
        );
        ensure!(names.len() <= MAX_NAMES, "names: at most {MAX_NAMES}");
        let wrong = names.iter().find(|name| !is_certificate_name(name));
        ensure!(wrong.is_none(), "names: {wrong:?} is neither DNS name nor address");
        let own = names.iter().find(|name| is_own_name(&self.issuer, name));
        ensure!(own.is_none(), "names: {own:?} is the name of the gate itself");
        let same = self.workloads.iter().filter(|o| o.issuer == *issuer && o.subject == *subject);
        ensure!(same.count() == 1, "another workload has the same issuer and subject");
        Ok(())
    }
}
