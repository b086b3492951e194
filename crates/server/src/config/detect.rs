use std::{path::PathBuf, time::Duration};

use anyhow::{Result, ensure};
use portcullis_identity::{AlertMail, Email};
use portcullis_threat::{Mode, Rules, Severity};
use portcullis_types::Prefix;
use schemars::JsonSchema;
use serde::Deserialize;

use super::{Config, span_schema};

/// What is looked for, and how it is answered.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Detect {
    /// How long a network that attacks stays out.
    #[serde(deserialize_with = "portcullis_types::span")]
    #[schemars(schema_with = "span_schema")]
    pub block: Duration,
    /// How long a network or account under suspicion needs more than a password.
    #[serde(deserialize_with = "portcullis_types::span")]
    #[schemars(schema_with = "span_schema")]
    pub step_up: Duration,
    /// How long attempts to log in from a network wait two seconds each, where some failed.
    #[serde(deserialize_with = "portcullis_types::span")]
    #[schemars(schema_with = "span_schema")]
    pub delay: Duration,
    /// `respond`, or `observe`: alerts and nothing else, or `off`. A rule can only do less.
    pub mode: Mode,
    /// Networks that are never blocked and never asked for more, such as `192.0.2.0/24`.
    pub allow: Vec<String>,
    /// Networks that are blocked or asked for more in a minute; beyond that there are only alerts.
    pub max_answers_per_minute: u32,
    /// Who is told of alerts by mail.
    pub mail: AlertMails,
    /// Where addresses are.
    pub maps: MapFiles,
    /// Files of Sigma rules, and directories whose `.yml` and `.yaml` files are.
    pub sigma: Vec<PathBuf>,
    /// Each rule: whether it responds, and from when on.
    pub rules: Rules,
}

/// Who is told of alerts by mail, through `[mail]`.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct AlertMails {
    /// The addresses.
    pub to: Vec<String>,
    /// From this severity on.
    pub severity: Severity,
}

impl Default for AlertMails {
    fn default() -> Self {
        Self { to: Vec::new(), severity: Severity::High }
    }
}

/// Files of the MaxMind DB format, and lists.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct MapFiles {
    /// Countries and coordinates, such as GeoLite2-City.
    pub city: Option<PathBuf>,
    /// Autonomous systems, such as GeoLite2-ASN.
    pub asn: Option<PathBuf>,
    /// Proxies, Tor exits and data centres, such as GeoIP2-Anonymous-IP.
    pub anonymous: Option<PathBuf>,
    /// Tor exits: a text file with an address or network to a line, or Tor's own exit list.
    pub tor: Option<PathBuf>,
    /// Data centres: a text file with an address or network to a line.
    pub hosting: Option<PathBuf>,
}

impl Default for Detect {
    fn default() -> Self {
        Self {
            block: Duration::from_secs(900),
            step_up: Duration::from_secs(3_600),
            delay: Duration::from_secs(600),
            mode: Mode::Respond,
            allow: Vec::new(),
            max_answers_per_minute: 120,
            mail: AlertMails::default(),
            maps: MapFiles::default(),
            sigma: Vec::new(),
            rules: Rules::default(),
        }
    }
}

impl Detect {
    /// Whether what the rule finds is answered.
    pub fn responds(&self, rule: &str) -> bool {
        self.mode == Mode::Respond && self.rules.mode(rule) == Mode::Respond
    }

    /// Who is told of alerts.
    pub fn alert_mail(&self) -> AlertMail {
        AlertMail { to: self.mail.to.clone(), severity: self.mail.severity.ocsf() }
    }

    /// The networks that are never answered.
    pub fn allowed(&self) -> Vec<Prefix> {
        self.allow.iter().filter_map(|text| Prefix::parse(text)).collect()
    }

    /// Refuses what cannot be meant.
    pub fn check(&self) -> Result<()> {
        for text in &self.allow {
            ensure!(
                Prefix::parse(text).is_some(),
                "detect.allow: {text} is not a network such as 192.0.2.0/24"
            );
        }
        for address in &self.mail.to {
            ensure!(
                address.parse::<Email>().is_ok(),
                "detect.mail.to: {address} is no mail address"
            );
        }
        ensure!(
            self.max_answers_per_minute > 0,
            "detect.max_answers_per_minute must be at least 1; mode = \"observe\" answers nothing"
        );
        self.rules.check().map_err(|(rule, why)| anyhow::anyhow!("detect.rules.{rule}: {why}"))
    }

    /// The files with Sigma rules, in order of their names.
    pub fn rule_files(&self, config: &Config) -> Vec<PathBuf> {
        let mut files = Vec::new();
        for path in self.sigma.iter().map(|path| config.path(path)) {
            let Ok(inside) = std::fs::read_dir(&path) else {
                files.push(path);
                continue;
            };
            let inside = inside.flatten().map(|entry| entry.path());
            let mut inside: Vec<_> = inside
                .filter(|path| path.extension().is_some_and(|end| end == "yml" || end == "yaml"))
                .collect();
            inside.sort();
            files.extend(inside);
        }
        files
    }

    /// The files that it reads.
    pub fn files(&self) -> impl Iterator<Item = &PathBuf> {
        let MapFiles { city, asn, anonymous, tor, hosting } = &self.maps;
        [city, asn, anonymous, tor, hosting].into_iter().flatten()
    }
}
