use portcullis_screening::{Entity, Schema};
use serde_json::{Map, Value, json};

/// Properties that tell a country.
const COUNTRIES: [&str; 7] = [
    "country",
    "nationality",
    "citizenship",
    "jurisdiction",
    "birthCountry",
    "mainCountry",
    "flag",
];

/// Which hits are told of a subject that is not kept.
#[derive(Debug, Clone, Default)]
pub struct Shown {
    /// The least score: what it takes for a match if `None`. It is never more than that.
    pub cutoff: Option<f64>,
    /// Only entities of one of these countries, as the list writes them; of any if there is none.
    pub countries: Vec<String>,
    /// Only entities with all of these values of properties.
    pub properties: Vec<(String, String)>,
    /// Only entities of these schemata; of any if there is none.
    pub schemata: Vec<Schema>,
    /// None of these schemata.
    pub not_schemata: Vec<Schema>,
    /// None of these entities, by identifier.
    pub not_entities: Vec<String>,
}

impl Shown {
    /// Whether an entity is among them.
    pub(crate) fn covers(&self, id: &str, listed: &Entity) -> bool {
        let from =
            || listed.all(&COUNTRIES).any(|(_, own)| self.countries.iter().any(|one| one == own));
        let has = |(property, value): &(String, String)| listed.get(property).contains(value);
        (self.countries.is_empty() || from())
            && self.properties.iter().all(has)
            && (self.schemata.is_empty() || self.schemata.contains(&listed.schema))
            && !self.not_schemata.contains(&listed.schema)
            && !self.not_entities.iter().any(|one| one == id)
    }

    /// What is left out, if anything is: part of what a verdict depends on.
    pub(crate) fn filter(&self) -> Option<Value> {
        let names = |schemata: &[Schema]| -> Value {
            schemata.iter().map(|schema| Value::from(schema.name())).collect()
        };
        let mut filter = Map::new();
        if !self.countries.is_empty() {
            filter.insert("countries".into(), json!(self.countries));
        }
        if !self.properties.is_empty() {
            filter.insert("properties".into(), json!(self.properties));
        }
        if !self.schemata.is_empty() {
            filter.insert("schemata".into(), names(&self.schemata));
        }
        if !self.not_schemata.is_empty() {
            filter.insert("not_schemata".into(), names(&self.not_schemata));
        }
        if !self.not_entities.is_empty() {
            filter.insert("not_entities".into(), json!(self.not_entities));
        }
        (!filter.is_empty()).then(|| filter.into())
    }

    /// The countries of an entity, as the list writes them.
    pub fn countries_of(listed: &Entity) -> Vec<String> {
        listed.all(&COUNTRIES).map(|(_, value)| value.to_owned()).collect()
    }
}
