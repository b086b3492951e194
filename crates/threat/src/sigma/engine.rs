//! Rules at work.

use std::{sync::Arc, time::Duration};

use portcullis_types::{Entropy, HashKey, Timestamp};
use serde_json::Value;

use super::{
    fields::Field,
    load::{About, Correlated, Looks, Rule, SigmaRules},
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
    /// What makes the group of a correlation, or whom a single event is about.
    pub facts: Vec<SigmaFact>,
    /// Stands for the rule and the group.
    pub key: u64,
    /// What a correlation counted.
    pub count: Option<f64>,
    /// The events that led to it, the newest of many.
    pub evidence: Vec<u128>,
    /// When the first of them came.
    pub first: Timestamp,
}

/// A field and its value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SigmaFact {
    /// As the rule calls it.
    pub name: String,
    /// What the event has.
    pub value: String,
    /// Whether it can be told of: nobody is known by it who is not named by an id.
    pub is_told: bool,
    /// Whether it is where somebody comes from.
    pub is_place: bool,
    /// Whether it is who somebody is.
    pub is_account: bool,
}

impl SigmaFact {
    fn new(name: &str, field: &Field, value: String) -> Self {
        Self {
            name: name.to_owned(),
            value,
            is_told: field.is_told(),
            is_place: field.is_place(),
            is_account: field.is_account(),
        }
    }
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
        let groups = tables(&rules);
        let hits = vec![false; rules.rules.len()];
        let quiet = Table::new(QUIETS);
        Self { rules, key: HashKey::new(entropy), groups, hits, quiet }
    }

    /// Other rules from now on. What is remembered for correlations that are still what they were,
    /// with all they are about, stays; and of what was told, nothing is told again.
    pub fn follow(&mut self, rules: Arc<SigmaRules>) {
        let mut before = std::mem::take(&mut self.groups);
        self.groups = tables(&rules);
        self.hits = vec![false; rules.rules.len()];
        for (place, rule) in rules.rules.iter().enumerate() {
            let same = |old: &Rule| old.definition == rule.definition;
            if let Some(old) = self.rules.rules.iter().position(same)
                && let Some(Some(table)) = before.get_mut(old).map(Option::take)
                && let (Looks::Rules(a), Looks::Rules(b)) =
                    (&self.rules.rules[old].looks, &rule.looks)
                && a.groups == b.groups
            {
                self.groups[place] = Some(table);
            }
        }
        self.rules = rules;
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

    /// Whether the rule said something of the group, or of whom it is about, within the last quarter
    /// of an hour: one wave of events is one alert.
    pub fn is_quiet(&self, found: &SigmaMatch, now: Timestamp) -> bool {
        self.quiet.is_quiet(found.key, now)
    }

    /// It was told.
    pub fn told(&mut self, found: &SigmaMatch, now: Timestamp) {
        self.quiet.hush(found.key, now);
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
                    if own.is_some_and(|own| own != class) || !detection.holds(event) {
                        continue;
                    }
                    hits[place] = true;
                    if !rule.tells {
                        continue;
                    }
                    let facts = whom(event);
                    let values: Vec<String> = facts.iter().map(|one| one.value.clone()).collect();
                    vec![SigmaMatch {
                        rule: rule.about.clone(),
                        key: hashed(key, &rule.about.id, &values),
                        facts,
                        count: None,
                        evidence: vec![id],
                        first: now,
                    }]
                }
                Looks::Rules(correlated) => {
                    let Some(table) = &mut groups[place] else { continue };
                    let at = Step { now: now.millis(), event: id, ..Step::default() };
                    let about = &rule.about;
                    correlated.look(about, event, at, hits, (key, table), now)
                }
            };
            hits[place] |= !looked.is_empty();
            if rule.tells {
                found.extend(looked);
            }
        }
    }
}

/// Room for what each correlation remembers.
fn tables(rules: &SigmaRules) -> Vec<Option<Table<Group>>> {
    let table = |looks: &Looks| match looks {
        Looks::Events(..) => None,
        Looks::Rules(correlated) => {
            let span = Duration::from_millis(correlated.span.unsigned_abs());
            Some(Table::forgetting(correlated.groups, span))
        }
    };
    rules.rules.iter().map(|rule| table(&rule.looks)).collect()
}

/// Whom an event is about: an account, or a place.
fn whom(event: &Value) -> Vec<SigmaFact> {
    let known = ["user_id", "src_network"].into_iter().find_map(|name| {
        let field = Field::new(name);
        let value = field.text(event)?;
        Some(SigmaFact::new(name, &field, value))
    });
    known.into_iter().collect()
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
    ) -> Vec<SigmaMatch> {
        let (mut looked, mut stepped) = (Vec::new(), Vec::new());
        let by_rule = matches!(self.counted, Counted::Rules | Counted::Ordered);
        // The last one first: an event is no step after itself.
        for (place, (rule, fields)) in self.rules.iter().enumerate().rev() {
            if !hits[*rule] {
                continue;
            }
            // An event without the fields of a group belongs to none.
            let values: Option<Vec<String>> =
                fields.iter().map(|field| field.text(event)).collect();
            let Some(values) = values else { continue };
            if !self.measure(event, key, &mut at) {
                continue;
            }
            at.rule = place;
            let name = hashed(key, &about.id, &values);
            // It is one event, however many rules it fits.
            if !by_rule && stepped.contains(&name) {
                continue;
            }
            stepped.push(name);
            let group = table.entry(name, now);
            let count = group.step(self.counted, at, self.span, self.rules.len(), self.most);
            let ends = self.counted != Counted::Ordered || place + 1 == self.rules.len();
            if ends && self.bounds.iter().all(|(bound, than)| bound.holds(count, *than)) {
                let named = self.group.iter().zip(fields).zip(values);
                looked.push(SigmaMatch {
                    rule: about.clone(),
                    facts: named
                        .map(|((name, field), value)| SigmaFact::new(name, field, value))
                        .collect(),
                    key: name,
                    count: Some(count),
                    evidence: group.evidence().collect(),
                    first: group.first(),
                });
            }
        }
        // Of one group, the last word.
        let mut told = Vec::new();
        looked.reverse();
        looked.retain(|one| {
            let first = !told.contains(&one.key);
            told.push(one.key);
            first
        });
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
