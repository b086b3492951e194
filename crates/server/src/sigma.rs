//! Sigma rules of the operator: read from files, at work beside the detectors, told of as alerts.

use std::{collections::HashMap, path::Path, sync::Arc};

use anyhow::{Context, Result, ensure};
use portcullis_events::{Event, Kind, class_uid, ocsf};
use portcullis_identity::RuleAlert;
use portcullis_threat::{Sigma, SigmaFact, SigmaMatch, SigmaRules};
use portcullis_types::{Id, Timestamp, tags};

use crate::{app::App, config::Config};

/// A file of rules is at most so long.
const MAX_FILE_BYTES: u64 = 1024 * 1024;
/// Alerts of one rule in a minute.
const MOST_PER_MINUTE: u32 = 30;

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
    /// How often each rule told something within this minute.
    told: HashMap<String, u32>,
    minute: i64,
}

impl Work {
    pub fn new(app: &App) -> Self {
        let sigma = Sigma::new(app.sigma.load_full(), &*app.entropy);
        Self { sigma, found: Vec::new(), told: HashMap::new(), minute: 0 }
    }

    /// Takes other rules, if there are any. What is remembered for those that stay, stays.
    pub fn follow(&mut self, app: &App) {
        let rules = app.sigma.load();
        if !Arc::ptr_eq(self.sigma.rules(), &rules) {
            self.sigma.follow(rules.clone());
        }
    }

    /// Looks at an event, and hands on what is news. What `tell` does not take, nobody was told.
    pub fn look(&mut self, event: &Event, now: Timestamp, tell: impl Fn(RuleAlert) -> bool) {
        let class = class_uid(&event.kind);
        if !self.sigma.wants(class) || is_of_a_rule(event) {
            return;
        }
        self.sigma.observe(class, &ocsf(event), event.id.bits(), now, &mut self.found);
        for found in std::mem::take(&mut self.found) {
            if !self.sigma.is_quiet(&found, now) && self.has_its_share(&found, now) {
                if tell(alert(&found, event)) {
                    self.sigma.told(&found, now);
                } else {
                    tracing::error!(rule = found.rule.id, "nobody could be told: too many wait");
                }
            }
        }
    }

    /// A rule that finds something everywhere must not take the room of the others.
    fn has_its_share(&mut self, found: &SigmaMatch, now: Timestamp) -> bool {
        let minute = now.secs() / 60;
        if self.minute != minute {
            self.minute = minute;
            self.told.clear();
        }
        let told = self.told.entry(found.rule.id.clone()).or_default();
        *told += 1;
        if *told == MOST_PER_MINUTE + 1 {
            let rule = &found.rule.id;
            tracing::error!(
                rule,
                "a rule finds too much; of the rest of this minute nobody is told"
            );
        }
        *told <= MOST_PER_MINUTE
    }
}

/// Rules must not keep each other talking.
fn is_of_a_rule(event: &Event) -> bool {
    matches!(&event.kind, Kind::Alert(raised) if raised.rule.starts_with("sigma_"))
}

fn alert(found: &SigmaMatch, event: &Event) -> RuleAlert {
    let account = |fact: &SigmaFact| {
        if fact.is_account { fact.value.parse::<Id<tags::User>>().ok() } else { None }
    };
    let accounts: Vec<_> = found.facts.iter().filter_map(account).collect();
    // What is about a person names no place: in the log it is sealed, and goes when they go.
    let of_place = accounts.is_empty() && found.facts.iter().any(|fact| fact.is_place);
    let addr = event.origin.as_ref().map(|origin| origin.addr.ip());
    let facts = found.facts.iter().filter(|fact| fact.is_told);
    let facts: String = facts.map(|fact| format!(", {} {}", fact.name, fact.value)).collect();
    let counted = found.count.map(|count| format!(" Counted: {count}{facts}.")).unwrap_or_default();
    RuleAlert {
        rule: found.rule.id.clone(),
        title: found.rule.title.clone(),
        description: portcullis_events::clean(&format!("{}{counted}", found.rule.description)),
        technique: found.rule.technique.clone().unwrap_or_default(),
        severity: found.rule.severity.map_or(1, portcullis_threat::Severity::ocsf),
        first_seen: found.first,
        evidence: found.evidence.iter().copied().map(Id::from_bits).collect(),
        accounts,
        source: addr.filter(|_| of_place),
    }
}
