//! The pages for the people who run this.

use anyhow::{Result, ensure};
use schemars::JsonSchema;
use serde::Deserialize;

#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ConsoleConfig {
    /// Whether `/console` answers.
    pub enabled: bool,
    /// Its own name, without port; the issuer's if left out. Scripts of services behind the gate at the same name
    /// could do what whoever is logged in may do: give it one where such services answer at the issuer's.
    pub host: Option<String>,
}

impl Default for ConsoleConfig {
    fn default() -> Self {
        Self { enabled: true, host: None }
    }
}

impl ConsoleConfig {
    pub fn check(&self) -> Result<()> {
        let Some(host) = &self.host else { return Ok(()) };
        let known = url::Host::parse(host).is_ok_and(|parsed| parsed.to_string() == *host);
        ensure!(known, "console.host: {host:?} is not a lower-case host without a port");
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_host_is_a_name_alone() {
        let host = |host: &str| ConsoleConfig { enabled: true, host: Some(host.into()) }.check();
        host("console.example.org").unwrap();
        for bad in
            ["Console.example.org", "a.example:8443", "https://a.example", "", "a b", "a.example/x"]
        {
            assert!(host(bad).is_err(), "{bad}");
        }
    }
}
