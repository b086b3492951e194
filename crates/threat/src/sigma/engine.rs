//! Rules at work.

use std::sync::Arc;

use portcullis_types::{Entropy, HashKey, Timestamp};
use serde_json::Value;

use super::{
    fields::Field,
    load::{About, Correlated, Looks, SigmaRules},
    window::{Counted, Group, Step},
};
use crate::{sight::hash, table::Table, watch::Quiet};

/// Rules and groups of which nothing more is said for a while.
const QUIETS: usize = 8_192;

/// A rule found something.
#[derive(Debug, Clone, PartialEq)]
pub struct SigmaMatch {
    /// Which one.
    pub rule: Arc<About>,
    /// The fields that make the group of a correlation, and their values.
    pub group: Vec<(String, String)>,
    /// Stands for the rule and the group.
    pub key: u64,
    /// What a correlation counted.
    pub count: Option<f64>,
    /// The events that led to it, the newest of many.
    pub evidence: Vec<u128>,
    /// When the first of them came.
    pub first: Timestamp,
}

/// All rules, with what they remember.
///
/// Memory is fixed when the rules are loaded. A group that is new takes the place of one that holds
/// least, so a flood of groups does not make the engine forget those that are near their condition.
#[derive(Debug)]
pub struct Sigma {
    rules: Arc<SigmaRules>,
    key: HashKey,
    /// For each correlation, by the place of its rule.
    groups: Vec<Option<Table<Group>>>,
    /// Which rules found something in the present event.
    hits: Vec<bool>,
    quiet: Table<Quiet>,
}

impl Sigma {
    /// Rules that have seen nothing.
    pub fn new(rules: Arc<SigmaRules>, entropy: &dyn Entropy) -> Self {
        let table = |looks: &Looks| match looks {
            Looks::Events(..) => None,
            Looks::Rules(correlated) => Some(Table::new(correlated.groups)),
        };
        let groups = rules.rules.iter().map(|rule| table(&rule.looks)).collect();
        let hits = vec![false; rules.rules.len()];
        let quiet = Table::new(QUIETS);
        Self { rules, key: HashKey::new(entropy), groups, hits, quiet }
    }

    /// The rules it has.
    pub fn rules(&self) -> &Arc<SigmaRules> {
        &self.rules
    }

    /// Whether any rule looks at events of a class of OCSF.
    pub fn wants(&self, class: u32) -> bool {
        self.rules.rules.iter().any(|rule| match &rule.looks {
            Looks::Events(own, _) => own.is_none_or(|own| own == class),
            Looks::Rules(_) => false,
        })
    }

    /// Whether the rule said nothing of the group within the last quarter of an hour: one wave of
    /// events is one alert.
    pub fn is_news(&mut self, found: &SigmaMatch, now: Timestamp) -> bool {
        self.quiet.is_news(found.key, now)
    }

    /// Looks at an event of a class that arrived at `now`, by a clock that nobody sets back.
    pub fn observe(
        &mut self,
        class: u32,
        event: &Value,
        id: u128,
        now: Timestamp,
        found: &mut Vec<SigmaMatch>,
    ) {
        let Self { rules, key, groups, hits, .. } = self;
        hits.fill(false);
        for (place, rule) in rules.rules.iter().enumerate() {
            let looked = match &rule.looks {
                Looks::Events(own, detection) => {
                    let fits = own.is_none_or(|own| own == class) && detection.holds(event);
                    fits.then(|| SigmaMatch {
                        rule: rule.about.clone(),
                        group: Vec::new(),
                        key: hash(key, b'S', [0, 0], rule.about.id.as_bytes()),
                        count: None,
                        evidence: vec![id],
                        first: now,
                    })
                }
                Looks::Rules(correlated) => {
                    let Some(table) = &mut groups[place] else { continue };
                    let at = Step { now: now.millis(), event: id, ..Step::default() };
                    let about = &rule.about;
                    correlated.look(about, event, at, hits, (key, table), now)
                }
            };
            if let Some(looked) = looked {
                hits[place] = true;
                if rule.tells {
                    found.push(looked);
                }
            }
        }
    }
}

impl Correlated {
    fn look(
        &self,
        about: &Arc<About>,
        event: &Value,
        mut at: Step,
        hits: &[bool],
        (key, table): (&HashKey, &mut Table<Group>),
        now: Timestamp,
    ) -> Option<SigmaMatch> {
        let mut looked = None;
        let by_rule = matches!(self.counted, Counted::Rules | Counted::Ordered);
        for (place, (_, fields)) in
            self.rules.iter().enumerate().filter(|(_, (rule, _))| hits[*rule])
        {
            // An event without the fields of a group belongs to none.
            let values: Option<Vec<String>> =
                fields.iter().map(|field| field.text(event)).collect();
            let Some(values) = values else { continue };
            if !self.measure(event, key, &mut at) {
                continue;
            }
            at.rule = place;
            let name = hashed(key, &about.id, &values);
            let group = table.entry(name, now);
            let count = group.step(self.counted, at, self.span, self.rules.len(), self.most);
            let holds = self.bounds.iter().all(|(bound, than)| bound.holds(count, *than));
            if holds {
                looked = Some(SigmaMatch {
                    rule: about.clone(),
                    group: self.group.iter().cloned().zip(values).collect(),
                    key: name,
                    count: Some(count),
                    evidence: group.evidence().collect(),
                    first: group.first(),
                });
            }
            if !by_rule {
                // It is one event, however many rules it fits.
                break;
            }
        }
        looked
    }

    /// The value that is counted, if the event has it.
    fn measure(&self, event: &Value, key: &HashKey, at: &mut Step) -> bool {
        let texts = || -> Option<Vec<String>> {
            self.fields.iter().map(|field: &Field| field.text(event)).collect()
        };
        match self.counted {
            Counted::Events | Counted::Rules | Counted::Ordered => true,
            Counted::Values => {
                let Some(values) = texts() else { return false };
                at.value = hashed(key, "", &values);
                true
            }
            Counted::Sum | Counted::Average | Counted::Percentile(_) => {
                let number = self.fields.first().and_then(|field| field.number(event));
                at.number = number.unwrap_or_default();
                number.is_some()
            }
        }
    }
}

fn hashed(key: &HashKey, name: &str, values: &[String]) -> u64 {
    let mut bytes = name.as_bytes().to_vec();
    for value in values {
        bytes.extend_from_slice(&(value.len() as u64).to_le_bytes());
        bytes.extend_from_slice(value.as_bytes());
    }
    hash(key, b'S', [1, name.len() as u64], &bytes)
}
