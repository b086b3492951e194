use schemars::JsonSchema;
use serde::Deserialize;

/// Identity verification.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct VerificationConfig {
    /// By whose rules workflows may verify whom accounts belong to: names that clients find in
    /// `trust_framework` of `verified_claims`, such as `eidas` or one of your own. None is told anything if
    /// there are none.
    #[serde(default)]
    pub trust_frameworks: Vec<String>,
}
