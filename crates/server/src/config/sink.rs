//! `[[sink]]`: who gets the record besides us.

use std::path::PathBuf;

use anyhow::{Context, Result, ensure};
use schemars::JsonSchema;
use serde::Deserialize;

use super::check::unique;

/// A receiver of events. Exactly one of `syslog`, `splunk`, `elastic`, `otlp`, `webhook` and `slack`
/// says which.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SinkConfig {
    /// Letters, digits, - and _. Its place in the log is remembered under it.
    pub name: String,
    /// Codes of events or how they begin, such as `authn_` or `alert_`; all if left out.
    #[serde(default)]
    pub kinds: Vec<String>,
    /// What is personal: `open` as it was, or `sealed` as the log has it. Whoever is erased here is
    /// not erased there.
    #[serde(default)]
    pub personal: Personal,
    /// What a sink gets first that is new here: the `oldest` entry of the log or what is `newest`.
    #[serde(default)]
    pub begin: Beginning,
    /// The version of OCSF: `1.8`, or the draft of `1.9`, in which each event has a fingerprint and
    /// points to the one before it (profile `record_integrity`).
    #[serde(default)]
    pub ocsf_version: OcsfVersion,
    /// Authorities that sign the receiver's certificate, PEM; those of the web if left out.
    pub ca: Option<PathBuf>,
    /// The certificate shown to the receiver, PEM.
    pub certificate: Option<PathBuf>,
    /// Its private key, PEM.
    pub key: Option<PathBuf>,
    /// A file with the token or secret; the variable `PORTCULLIS_SINK_<NAME>_SECRET` if left out,
    /// with the name in capitals and _ for -.
    pub secret_file: Option<PathBuf>,
    /// RFC 5424 over TLS.
    pub syslog: Option<SyslogConfig>,
    /// Splunk's HTTP Event Collector; the secret is its token.
    pub splunk: Option<SplunkConfig>,
    /// Elasticsearch or OpenSearch; the secret is the value of `Authorization`.
    pub elastic: Option<ElasticConfig>,
    /// OpenTelemetry logs over HTTP; the secret, if there is one, is the value of `Authorization`.
    pub otlp: Option<UrlConfig>,
    /// Standard Webhooks; the secret is `whsec_…`, or several while they change, one a line.
    pub webhook: Option<UrlConfig>,
    /// An incoming webhook of Slack or of another that takes the same; the secret is its URL.
    pub slack: Option<SlackConfig>,
}

/// Which events a sink gets.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
pub enum OcsfVersion {
    /// As the log has them.
    #[default]
    #[serde(rename = "1.8")]
    V1_8,
    /// With `attestation_list`.
    #[serde(rename = "1.9")]
    V1_9,
}

/// What is said of people.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Personal {
    /// Names, addresses and browsers.
    #[default]
    Open,
    /// Ids and tags.
    Sealed,
}

/// Where a new sink begins.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Beginning {
    /// With the first entry of the log.
    #[default]
    Oldest,
    /// With the next one.
    Newest,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SyslogConfig {
    /// `HOST:PORT`; 6514 if the port is left out.
    pub address: String,
    /// `ocsf` for JSON, or `cef`.
    #[serde(default)]
    pub format: SyslogFormat,
    /// Messages are at most so many bytes long; longer events are shortened, and say so.
    #[serde(default = "eight_thousand")]
    pub max_message: usize,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum SyslogFormat {
    /// JSON.
    #[default]
    Ocsf,
    /// ArcSight's Common Event Format.
    Cef,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SplunkConfig {
    /// `https://HOST:8088`.
    pub url: String,
    /// The index; that of the token if left out.
    pub index: Option<String>,
    /// Whether events count as delivered only when they are indexed. The token needs indexer
    /// acknowledgement for it.
    #[serde(default = "yes")]
    pub acknowledge: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ElasticConfig {
    /// `https://HOST:9200`.
    pub url: String,
    /// The index or data stream.
    pub index: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct UrlConfig {
    /// `https://…`, or `http://…` on this machine.
    pub url: String,
}

/// Its URL is a secret.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SlackConfig {}

impl SinkConfig {
    /// Where the secret is if there is no file.
    pub fn variable(&self) -> String {
        format!("PORTCULLIS_SINK_{}_SECRET", self.name.to_ascii_uppercase().replace('-', "_"))
    }

    fn check(&self) -> Result<()> {
        let kinds = [
            self.syslog.is_some(),
            self.splunk.is_some(),
            self.elastic.is_some(),
            self.otlp.is_some(),
            self.webhook.is_some(),
            self.slack.is_some(),
        ];
        ensure!(
            kinds.into_iter().filter(|given| *given).count() == 1,
            "exactly one of syslog, splunk, elastic, otlp, webhook and slack says what it is"
        );
        ensure!(
            self.certificate.is_some() == self.key.is_some(),
            "certificate and key belong together"
        );
        let cef = self.syslog.as_ref().is_some_and(|own| own.format == SyslogFormat::Cef);
        ensure!(
            self.ocsf_version == OcsfVersion::V1_8 || !(cef || self.slack.is_some()),
            "ocsf_version is for sinks that get OCSF"
        );
        let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
        for kind in &self.kinds {
            ensure!(
                !kind.is_empty() && kind.chars().all(plain),
                "kinds: {kind:?} is not the code of an event, nor its beginning"
            );
        }
        Ok(())
    }
}

/// Refuses what cannot be meant.
pub(super) fn check(sinks: &[SinkConfig]) -> Result<()> {
    unique("sink", sinks.iter().map(|sink| &sink.name))?;
    // Names that differ in - and _ or in case would share a variable.
    let variables = sinks.iter().map(|sink| sink.variable()).collect::<Vec<_>>();
    unique("sink", variables.iter())?;
    for sink in sinks {
        sink.check().with_context(|| format!("sink {}", sink.name))?;
    }
    Ok(())
}

fn eight_thousand() -> usize {
    8_192
}

fn yes() -> bool {
    true
}
