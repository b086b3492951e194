use std::time::Duration;

use anyhow::{Result, ensure};
use schemars::JsonSchema;
use serde::Deserialize;

use super::{optional_span, span_schema};

/// A mistyped unit must not empty the log.
const SHORTEST: Duration = Duration::from_secs(24 * 3600);

/// How long the audit log keeps what.
#[derive(Debug, Clone, Copy, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AuditConfig {
    /// Entries are removed when they are older than this; hashes and proofs stay. Kept for ever if left
    /// out; at least `1d`.
    #[serde(default, rename = "keep_entries", deserialize_with = "optional_span")]
    #[schemars(schema_with = "span_schema")]
    pub entries: Option<Duration>,
    /// Names, addresses and browsers of people become unreadable when the month they are from ended
    /// longer ago than this. Readable as long as the account if left out; at least `1d`.
    #[serde(default, rename = "keep_personal", deserialize_with = "optional_span")]
    #[schemars(schema_with = "span_schema")]
    pub personal: Option<Duration>,
}

impl AuditConfig {
    pub(super) fn check(&self) -> Result<()> {
        for (name, span) in [("entries", self.entries), ("personal", self.personal)] {
            let long = span.is_none_or(|span| span >= SHORTEST);
            ensure!(long, "audit.keep_{name}: at least 1d");
        }
        if let (Some(entries), Some(personal)) = (self.entries, self.personal) {
            ensure!(
                personal <= entries,
                "audit.keep_personal: entries are removed before, by audit.keep_entries"
            );
        }
        Ok(())
    }
}
