//! Answers in the words of yente.

use std::collections::{BTreeMap, BTreeSet};

use portcullis_screening::Entity;
use portcullis_verification::{Aml, HITS_MAX, ScreenedHit, Shown};
use serde_json::{Map, Value, json};

use super::question::ALL;

/// Topics of whom to beware of, or what they begin with.
const RISKS: [&str; 7] =
    ["sanction", "role.pep", "role.rca", "crime", "debarment", "poi", "export.control"];

/// An entity, with the lists that it is on.
pub(super) struct Entry<'h> {
    pub hit: &'h ScreenedHit,
    lists: Vec<&'h str>,
}

/// One entry for each entity: where lists share identifiers, the best hit counts.
pub(super) fn entries(hits: &[ScreenedHit]) -> Vec<Entry<'_>> {
    let mut entries: Vec<Entry<'_>> = Vec::new();
    let mut places = BTreeMap::new();
    for hit in hits {
        match places.get(&hit.entity_id) {
            Some(place) => {
                let entry: &mut Entry<'_> = &mut entries[*place];
                if !entry.lists.contains(&hit.list.as_str()) {
                    entry.lists.push(&hit.list);
                }
            }
            None => {
                places.insert(&hit.entity_id, entries.len());
                entries.push(Entry { hit, lists: vec![&hit.list] });
            }
        }
    }
    entries
}

impl Entry<'_> {
    pub fn entity(&self) -> Value {
        entity(&self.hit.entity_id, &self.hit.listed, &self.lists)
    }

    /// The entity with its score, and what made it.
    pub fn scored(&self) -> Value {
        let verdict = &self.hit.verdict;
        let mut explanations = Map::new();
        if let Some(names) = &verdict.names {
            let detail = json!({
                "score": names.score,
                "detail": "Names by themselves",
                "query": names.left,
                "candidate": names.right,
            });
            explanations.insert("name".to_owned(), detail);
        }
        for evidence in &verdict.qualifiers {
            let detail = json!({
                "score": evidence.effect,
                "detail": null,
                "query": evidence.left,
                "candidate": evidence.right,
            });
            explanations.insert(evidence.kind.to_owned(), detail);
        }
        let features = explanations.iter().map(|(name, one)| (name.clone(), one["score"].clone()));
        let features: Map<String, Value> = features.collect();
        let mut found = self.entity();
        found["score"] = verdict.score.into();
        found["match"] = verdict.is_match.into();
        found["features"] = features.into();
        found["explanations"] = explanations.into();
        found
    }
}

/// An entity of lists.
pub(super) fn entity(id: &str, listed: &Entity, lists: &[&str]) -> Value {
    let mut properties = listed.properties.clone();
    let mut taken = |name: &str| properties.remove(name).unwrap_or_default();
    let (mut datasets, referents) = (taken("datasets"), taken("referents"));
    for list in lists {
        if !datasets.iter().any(|own| own == list) {
            datasets.push((*list).to_owned());
        }
    }
    let topics = listed.get("topics");
    let risky = |topic: &String| RISKS.iter().any(|risk| topic.starts_with(risk));
    let target = topics.is_empty() || topics.iter().any(risky);
    json!({
        "id": id,
        "caption": listed.get("name").first().map_or(id, String::as_str),
        "schema": listed.schema.name(),
        "properties": properties,
        "datasets": datasets,
        "referents": referents,
        "target": target,
        "first_seen": null,
        "last_seen": null,
        "last_change": null,
    })
}

/// How many there are, or at least.
pub(super) fn total(count: usize, hits: &[ScreenedHit]) -> Value {
    let relation = if hits.len() >= HITS_MAX { "gte" } else { "eq" };
    json!({ "value": count, "relation": relation })
}

/// Counts over what was found.
pub(super) fn facets(entries: &[Entry<'_>]) -> Value {
    let of = |name: &'static str| move |entry: &Entry<'_>| entry.hit.listed.get(name).to_vec();
    let countries = |entry: &Entry<'_>| Shown::countries_of(&entry.hit.listed);
    let schema = |entry: &Entry<'_>| vec![entry.hit.listed.schema.name().to_owned()];
    let lists = |entry: &Entry<'_>| entry.lists.iter().map(|list| (*list).to_owned()).collect();
    json!({
        "countries": facet("Countries", entries, countries),
        "datasets": facet("Data sources", entries, lists),
        "schema": facet("Schema", entries, schema),
        "topics": facet("Topics", entries, of("topics")),
    })
}

fn facet(label: &str, entries: &[Entry<'_>], of: impl Fn(&Entry<'_>) -> Vec<String>) -> Value {
    let mut counts = BTreeMap::<String, usize>::new();
    for entry in entries {
        let values: BTreeSet<String> = of(entry).into_iter().collect();
        values.into_iter().for_each(|value| *counts.entry(value).or_default() += 1);
    }
    let values = counts
        .into_iter()
        .map(|(name, count)| json!({ "name": name, "label": name, "count": count }));
    json!({ "label": label, "values": values.collect::<Value>() })
}

/// The lists, and what holds all of them.
pub(super) fn catalog(aml: &Aml) -> Value {
    let lists = aml.lists();
    let dataset = |name: &str, title: &str, version: &str, entities: usize, parts: Vec<&str>| {
        json!({
            "name": name,
            "title": title,
            "version": version,
            "index_version": version.get(..14).unwrap_or_default(),
            "index_current": true,
            "index_stale": false,
            "load": true,
            "entity_count": entities,
            "children": parts,
        })
    };
    let versions: Vec<_> = lists.ready.iter().map(|list| list.version().clone()).collect();
    let newest = versions.iter().map(|one| one.used.version.as_str()).max().unwrap_or_default();
    let names: Vec<&str> = versions.iter().map(|one| one.used.name.as_str()).collect();
    let count = versions.iter().map(|one| one.entities).sum();
    let mut datasets = vec![dataset(ALL, "All lists", newest, count, names.clone())];
    datasets.extend(versions.iter().map(|one| {
        dataset(&one.used.name, &one.used.name, &one.used.version, one.entities, Vec::new())
    }));
    let broken: Vec<&str> = lists.broken.iter().map(|(name, _)| name.as_str()).collect();
    json!({ "datasets": datasets, "current": names, "outdated": broken, "index_stale": false })
}

/// Our policies as algorithms.
pub(super) fn algorithms(aml: &Aml) -> Value {
    let usual = &aml.settings.policy;
    let one = |name: &String| {
        let text = format!("Names and qualifiers under the policy {name}");
        let docs = json!({ "name": name, "description": text, "config": {}, "features": {} });
        json!({ "name": name, "description": text, "features": {}, "docs": docs })
    };
    let all: Value = aml.settings.policies.iter().map(|policy| one(&policy.name)).collect();
    json!({ "algorithms": all, "default": usual, "best": usual })
}
