//! Sigma rules of the operator: read from files, at work beside the detectors, told of as alerts.

use std::{path::Path, sync::Arc};

use anyhow::{Context, Result, ensure};
use portcullis_events::{Event, Kind, class_uid, ocsf, subject};
use portcullis_identity::RuleAlert;
use portcullis_threat::{Sigma, SigmaMatch, SigmaRules, is_address, is_personal};
use portcullis_types::{Id, Timestamp};

use crate::{app::App, config::Config};

/// A file of rules is at most so long.
const MAX_FILE_BYTES: u64 = 1024 * 1024;

/// The rules that the configuration names. Where their files are those of `running`, what it
/// remembers stays.
pub fn load(config: &Config, running: Option<&Arc<SigmaRules>>) -> Result<Arc<SigmaRules>> {
    let mut files = Vec::new();
    for path in config.detect.rule_files(config) {
        files.push((path.display().to_string(), read(&path)?));
    }
    if let Some(running) = running.filter(|running| running.is_made_of(&files)) {
        return Ok(running.clone());
    }
    Ok(Arc::new(SigmaRules::read(files).context("detect.sigma")?))
}

fn read(path: &Path) -> Result<String> {
    let name = path.display();
    let length = std::fs::metadata(path).with_context(|| format!("detect.sigma: read {name}"))?;
    ensure!(length.len() <= MAX_FILE_BYTES, "detect.sigma: {name} is longer than 1 MiB");
    std::fs::read_to_string(path).with_context(|| format!("detect.sigma: read {name}"))
}

/// Rules at work, as of the last reload.
pub struct Work {
    sigma: Sigma,
    found: Vec<SigmaMatch>,
}

impl Work {
    pub fn new(app: &App) -> Self {
        let sigma = Sigma::new(app.sigma.load_full(), &*app.entropy);
        Self { sigma, found: Vec::new() }
    }

    /// Takes other rules, if there are any.
    pub fn follow(&mut self, app: &App) {
        if !Arc::ptr_eq(self.sigma.rules(), &app.sigma.load()) {
            *self = Self::new(app);
        }
    }

    /// Looks at an event, and hands on what is news.
    pub fn look(&mut self, event: &Event, now: Timestamp, mut tell: impl FnMut(RuleAlert)) {
        let class = class_uid(&event.kind);
        if !self.sigma.wants(class) || is_of_a_rule(event) {
            return;
        }
        let id = event.id.bits();
        self.sigma.observe(class, &ocsf(event), id, now, &mut self.found);
        for found in std::mem::take(&mut self.found) {
            if self.sigma.is_news(&found, now) {
                tell(alert(&found, event));
            }
        }
    }
}

/// Rules must not keep each other talking.
fn is_of_a_rule(event: &Event) -> bool {
    matches!(&event.kind, Kind::Alert(raised) if raised.rule.starts_with("sigma_"))
}

fn alert(found: &SigmaMatch, event: &Event) -> RuleAlert {
    let addr = event.origin.as_ref().map(|origin| origin.addr.ip());
    let person = subject(event).and_then(|id| id.parse().ok());
    // What is about a place names it, and what is about a person names no place.
    let of_place = found.group.iter().any(|(name, _)| is_address(name)) || person.is_none();
    let facts = found.group.iter().filter(|(name, _)| !is_personal(name));
    let facts: String = facts.map(|(name, value)| format!(", {name} {value}")).collect();
    let counted = found.count.map(|count| format!(" Counted: {count}{facts}.")).unwrap_or_default();
    RuleAlert {
        rule: found.rule.id.clone(),
        title: found.rule.title.clone(),
        description: portcullis_events::clean(&format!("{}{counted}", found.rule.description)),
        technique: found.rule.technique.clone().unwrap_or_default(),
        severity: found.rule.severity.map_or(1, portcullis_threat::Severity::ocsf),
        first_seen: found.first,
        evidence: found.evidence.iter().copied().map(Id::from_bits).collect(),
        accounts: person.filter(|_| !of_place).into_iter().collect(),
        source: addr.filter(|_| of_place),
    }
}
