use std::path::PathBuf;

use anyhow::{Result, ensure};
use schemars::JsonSchema;
use serde::Deserialize;

/// Where traces of requests are collected.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TracingConfig {
    /// The base URL of an OpenTelemetry collector, `https://…`, or `http://…` on this machine; `/v1/traces`
    /// follows it.
    pub otlp: String,
    /// The share of requests of which traces are collected, from 0 to 1. Services with certificates
    /// decide it for what they ask within a trace of theirs.
    #[serde(default = "one_in_a_hundred")]
    pub share: f64,
    /// Authorities that sign the collector's certificate, PEM; those of the web if left out.
    pub ca: Option<PathBuf>,
    /// A file with the value of `Authorization`, if the collector asks for one.
    pub secret_file: Option<PathBuf>,
}

impl TracingConfig {
    /// Of so many requests out of 2^32.
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it is checked")]
    pub fn out_of_all(&self) -> u64 {
        (self.share * f64::from(u32::MAX)).ceil() as u64 + u64::from(self.share >= 1.0)
    }

    pub(super) fn check(&self) -> Result<()> {
        ensure!((0.0..=1.0).contains(&self.share), "tracing.share: from 0 to 1");
        Ok(())
    }
}

fn one_in_a_hundred() -> f64 {
    0.01
}
