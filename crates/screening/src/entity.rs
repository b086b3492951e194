//! Who or what is screened, in the shape of [FollowTheMoney](https://followthemoney.tech/): a schema and
//! properties with lists of values.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::profile::is_compared;

/// Values of one property that are read.
pub const PROPERTY_MAX_VALUES: usize = 1_000;

/// Bytes of one value that are read.
pub const VALUE_MAX_BYTES: usize = 4_096;

/// Properties of one entity that are read.
pub const ENTITY_MAX_PROPERTIES: usize = 200;

/// What an entity is, as far as matching needs to know.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Schema {
    /// A natural person.
    Person,
    /// A company.
    Company,
    /// Another organisation: a group, a party, an authority.
    Organization,
    /// A person or an organisation.
    LegalEntity,
    /// A ship.
    Vessel,
    /// An aircraft.
    Airplane,
    /// A wallet of a cryptocurrency.
    CryptoWallet,
    /// A place with a postal address.
    Address,
    /// Anything else.
    Thing,
}

impl Schema {
    /// The schema of that name; unknown ones are [`Schema::Thing`].
    pub fn named(name: &str) -> Self {
        match name {
            "Person" => Self::Person,
            "Company" => Self::Company,
            "Organization" | "PublicBody" => Self::Organization,
            "LegalEntity" => Self::LegalEntity,
            "Vessel" => Self::Vessel,
            "Airplane" => Self::Airplane,
            "CryptoWallet" => Self::CryptoWallet,
            "Address" => Self::Address,
            _ => Self::Thing,
        }
    }

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Person => "Person",
            Self::Company => "Company",
            Self::Organization => "Organization",
            Self::LegalEntity => "LegalEntity",
            Self::Vessel => "Vessel",
            Self::Airplane => "Airplane",
            Self::CryptoWallet => "CryptoWallet",
            Self::Address => "Address",
            Self::Thing => "Thing",
        }
    }

    /// Whether one can be the other.
    pub fn fits(self, other: Self) -> bool {
        let organisation = |schema| matches!(schema, Self::Company | Self::Organization);
        let legal = |schema| organisation(schema) || schema == Self::Person;
        match (self, other) {
            (Self::Thing, _) | (_, Self::Thing) => true,
            (Self::LegalEntity, other) | (other, Self::LegalEntity) => {
                legal(other) || other == Self::LegalEntity
            }
            (a, b) => a == b || organisation(a) && organisation(b),
        }
    }
}

/// Why something is no entity.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum EntityError {
    /// Not an object.
    #[error("an entity is a JSON object with `schema` and `properties`")]
    NotAnObject,
    /// No schema.
    #[error("`schema` is missing or not a string")]
    NoSchema,
    /// No properties.
    #[error("`properties` is missing or not an object")]
    NoProperties,
    /// Values of another kind.
    #[error("the values of `{0}` are neither strings nor a list of them")]
    NotStrings(String),
    /// Too much.
    #[error(
        "`{0}` has more than {PROPERTY_MAX_VALUES} values, or one longer than {VALUE_MAX_BYTES} bytes"
    )]
    TooMuch(String),
    /// Too many properties.
    #[error("there are more than {ENTITY_MAX_PROPERTIES} properties")]
    TooManyProperties,
}

/// An entity.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Entity {
    /// What it is.
    pub schema: Schema,
    /// What is known about it.
    pub properties: BTreeMap<String, Vec<String>>,
}

impl Entity {
    /// An entity without properties.
    pub fn new(schema: Schema) -> Self {
        Self { schema, properties: BTreeMap::new() }
    }

    /// Adds a value, unless it is empty, there already, or one too many.
    pub fn add(&mut self, property: &str, value: &str) {
        let value = value.trim();
        if value.is_empty() || value.len() > VALUE_MAX_BYTES {
            return;
        }
        let values = self.properties.entry(property.to_owned()).or_default();
        if values.len() < PROPERTY_MAX_VALUES && !values.iter().any(|have| have == value) {
            values.push(value.to_owned());
        }
    }

    /// Reads `{"schema": …, "properties": {…}}`. Values may be a string, a list of strings, or null. Objects
    /// in a list (neighbours in the nested form) are passed over, and so is what is too much or no string in a
    /// property that is not compared.
    pub fn from_json(value: &Value) -> Result<Self, EntityError> {
        let object = value.as_object().ok_or(EntityError::NotAnObject)?;
        let schema = object.get("schema").and_then(Value::as_str).ok_or(EntityError::NoSchema)?;
        let properties =
            object.get("properties").and_then(Value::as_object).ok_or(EntityError::NoProperties)?;
        if properties.len() > ENTITY_MAX_PROPERTIES {
            return Err(EntityError::TooManyProperties);
        }
        let mut entity = Self::new(Schema::named(schema));
        for (property, values) in properties {
            let values = match values {
                Value::Null => continue,
                Value::Array(values) => values.as_slice(),
                one => std::slice::from_ref(one),
            };
            if values.len() > PROPERTY_MAX_VALUES && is_compared(property) {
                return Err(EntityError::TooMuch(property.clone()));
            }
            for value in values {
                entity.add_json(property, value)?;
            }
        }
        Ok(entity)
    }

    fn add_json(&mut self, property: &str, value: &Value) -> Result<(), EntityError> {
        match value {
            Value::String(text) if text.len() > VALUE_MAX_BYTES && is_compared(property) => {
                Err(EntityError::TooMuch(property.to_owned()))
            }
            Value::String(text) => {
                self.add(property, text);
                Ok(())
            }
            Value::Object(_) | Value::Null => Ok(()),
            _ if !is_compared(property) => Ok(()),
            _ => Err(EntityError::NotStrings(property.to_owned())),
        }
    }

    /// The values of a property.
    pub fn get(&self, property: &str) -> &[String] {
        self.properties.get(property).map_or(&[], Vec::as_slice)
    }

    /// The values of several properties.
    pub fn all<'e>(&'e self, properties: &'e [&str]) -> impl Iterator<Item = (&'e str, &'e str)> {
        properties
            .iter()
            .flat_map(|property| self.get(property).iter().map(|value| (*property, value.as_str())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn an_entity_is_read_as_clients_write_it() {
        let entity = Entity::from_json(&json!({
            "schema": "Person",
            "properties": {"name": ["Ann", "Ann", " "], "birthDate": "1975", "gender": null, "sanctions": [{"id": "x"}]},
        }));
        let entity = entity.unwrap();
        assert_eq!(entity.get("name"), ["Ann"]);
        assert_eq!(entity.get("birthDate"), ["1975"]);
        assert!(entity.get("sanctions").is_empty());
    }

    #[test]
    fn what_is_none_is_refused() {
        let refused = |value| Entity::from_json(&value).unwrap_err();
        assert_eq!(refused(json!([])), EntityError::NotAnObject);
        assert_eq!(refused(json!({"properties": {}})), EntityError::NoSchema);
        assert_eq!(refused(json!({"schema": "Person"})), EntityError::NoProperties);
        assert_eq!(
            refused(json!({"schema": "Person", "properties": {"name": [1]}})),
            EntityError::NotStrings("name".into())
        );
        let long = "x".repeat(VALUE_MAX_BYTES + 1);
        assert_eq!(
            refused(json!({"schema": "Person", "properties": {"name": long}})),
            EntityError::TooMuch("name".into())
        );
    }

    #[test]
    fn schemas_fit_where_one_can_be_the_other() {
        assert!(Schema::Company.fits(Schema::Organization));
        assert!(Schema::LegalEntity.fits(Schema::Person));
        assert!(!Schema::Person.fits(Schema::Company));
        assert!(!Schema::Vessel.fits(Schema::Airplane));
    }
}
