use std::{sync::Arc, time::Duration};

use anyhow::{Context, Result, ensure};
use portcullis_identity::Assurance;
use portcullis_oidc::ProofRule;
use portcullis_verification::is_trust_framework;
use schemars::JsonSchema;
use serde::Deserialize;

use super::{optional_span, span_schema};

/// Values of `acr` that there may be.
const ACR_MAX: usize = 16;
/// Bytes of one.
const ACR_MAX_BYTES: usize = 128;
/// How long somebody who was declined waits, if nothing is said.
const RETRY_AFTER: Duration = Duration::from_secs(24 * 3_600);

/// Identity verification.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct VerificationConfig {
    /// By whose rules workflows may verify whom accounts belong to: names that clients find in
    /// `trust_framework` of `verified_claims`, such as `eidas` or one of your own. None is told anything if
    /// there are none.
    #[serde(default)]
    pub trust_frameworks: Vec<String>,
    /// What clients can ask for in `acr_values` that a workflow has to approve.
    #[serde(default)]
    pub acr: Vec<AcrConfig>,
}

/// A value of `acr` that stands for a verification of the person. Whoever logs in for it and was not verified goes
/// through the workflow first.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AcrConfig {
    /// As clients ask for it and tokens say it, such as `urn:example:verified`.
    pub value: String,
    /// The name of the workflow.
    pub workflow: String,
    /// How long an approval counts, such as `365d`; as long as it is kept if nothing is said.
    #[serde(default, deserialize_with = "optional_span")]
    #[schemars(schema_with = "span_schema")]
    pub max_age: Option<Duration>,
    /// Whether only approvals by the current version of the workflow count.
    #[serde(default)]
    pub current_version: bool,
    /// How long somebody who was declined waits before they can try again; a day if nothing is said.
    #[serde(default, deserialize_with = "optional_span")]
    #[schemars(schema_with = "span_schema")]
    pub retry_after: Option<Duration>,
    /// How the person has to log in besides, such as `urn:portcullis:acr:multi-factor`.
    pub login: Option<String>,
}

impl VerificationConfig {
    /// Whether all of it makes sense.
    pub fn check(&self) -> Result<()> {
        let mut frameworks = std::collections::BTreeSet::new();
        for name in &self.trust_frameworks {
            ensure!(
                is_trust_framework(name) && frameworks.insert(name),
                "verification.trust_frameworks: {name:?} must be there once and have 1 to 128 letters, digits \
                 and any of _-.:/"
            );
        }
        ensure!(self.acr.len() <= ACR_MAX, "verification.acr: at most {ACR_MAX} values");
        let mut values = std::collections::BTreeSet::new();
        for acr in &self.acr {
            let value = &acr.value;
            let fits = (1..=ACR_MAX_BYTES).contains(&value.len())
                && value.bytes().all(|byte| byte.is_ascii_graphic() && !b"\"\\".contains(&byte));
            ensure!(
                fits && values.insert(value) && Assurance::of_acr(value).is_none(),
                "verification.acr: {value:?} must be there once, have 1 to {ACR_MAX_BYTES} visible letters of \
                 ASCII, and not be a value of ours"
            );
        }
        self.proofs().map(drop)
    }

    /// What the provider makes of it.
    pub fn proofs(&self) -> Result<Vec<Arc<ProofRule>>> {
        self.acr.iter().map(|acr| acr.rule().map(Arc::new)).collect()
    }
}

impl AcrConfig {
    fn rule(&self) -> Result<ProofRule> {
        let known = Assurance::ALL.map(Assurance::acr).join(", ");
        let login = self.login.as_deref().map(|login| {
            Assurance::of_acr(login)
                .with_context(|| format!("verification.acr: login must be one of {known}"))
        });
        Ok(ProofRule {
            acr: self.value.clone(),
            workflow: self.workflow.clone(),
            max_age: self.max_age,
            current_version: self.current_version,
            retry_after: self.retry_after.unwrap_or(RETRY_AFTER),
            login: login.transpose()?.unwrap_or(Assurance::Single),
        })
    }
}
