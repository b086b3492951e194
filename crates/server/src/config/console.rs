//! The pages for the people who run this.

use std::time::Duration;

use anyhow::{Result, ensure};
use portcullis_identity::RECENT;
use schemars::JsonSchema;
use serde::Deserialize;

use super::span_schema;

#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ConsoleConfig {
    /// Whether `/console` answers.
    pub enabled: bool,
    /// Its own name, without port; the issuer's if left out. Scripts of services behind the gate at the same name
    /// could do what whoever is logged in may do: give it one where such services answer at the issuer's. Routes have
    /// to name their hosts then.
    pub host: Option<String>,
    /// What cannot be taken back needs a login that is no older than this: secrets, keys, rights, and what removes. At
    /// most `10m`, beyond which no login counts as recent.
    #[serde(deserialize_with = "portcullis_types::span")]
    #[schemars(schema_with = "span_schema")]
    pub reauthenticate: Duration,
}

impl Default for ConsoleConfig {
    fn default() -> Self {
        Self { enabled: true, host: None, reauthenticate: RECENT }
    }
}

impl ConsoleConfig {
    /// Its own name, where it has one and answers.
    pub fn own_host(&self) -> Option<&String> {
        self.host.as_ref().filter(|_| self.enabled)
    }

    /// Whether the host is one, and not the issuer's.
    pub fn check(&self, issuer: &str) -> Result<()> {
        // A login at another provider that does not say when it was counts as older than this.
        ensure!(self.reauthenticate <= RECENT, "console.reauthenticate: at most 10m");
        let Some(host) = &self.host else { return Ok(()) };
        let known = url::Host::parse(host).is_ok_and(|parsed| parsed.to_string() == *host);
        ensure!(known, "console.host: {host:?} is not a lower-case host without a port");
        let same = url::Url::parse(issuer).is_ok_and(|url| url.host_str() == Some(host));
        ensure!(!same, "console.host: {host:?} is the issuer's name; leave it out");
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_host_is_a_name_alone() {
        let host = |host: &str| {
            ConsoleConfig { host: Some(host.into()), ..ConsoleConfig::default() }
                .check("https://id.example")
        };
        host("console.example.org").unwrap();
        for bad in [
            "Console.example.org",
            "a.example:8443",
            "https://a.example",
            "",
            "a b",
            "a.example/x",
            "id.example",
        ] {
            assert!(host(bad).is_err(), "{bad}");
        }
    }
}
