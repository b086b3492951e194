//! Policies: what counts how much, and from where on it is a match.

use serde::{Deserialize, Serialize};

use crate::{dates::DateMatch, names::Weights};

/// What each qualifier adds to the evidence, in nats (natural logarithm of the odds): +0.7 doubles the odds
/// that both are the same, -0.7 halves them.
#[derive(Clone, Copy, PartialEq, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Qualifiers {
    /// The same day of birth.
    pub birth_exact: f64,
    /// Day and month swapped.
    pub birth_swapped: f64,
    /// A slip apart.
    pub birth_nearly_exact: f64,
    /// What is known agrees.
    pub birth_consistent: f64,
    /// The same year, another day.
    pub birth_same_year: f64,
    /// One or two years apart.
    pub birth_near: f64,
    /// Further apart.
    pub birth_different: f64,
    /// The same gender.
    pub gender_same: f64,
    /// Another gender.
    pub gender_different: f64,
    /// A country in common.
    pub country_same: f64,
    /// Countries, but none in common.
    pub country_different: f64,
    /// The same place of birth.
    pub place_same: f64,
    /// The same address.
    pub address_same: f64,
    /// The same number of a document or register.
    pub number_same: f64,
    /// Different numbers of the same kind of document.
    pub number_different: f64,
    /// Different numbers of which each has only one, such as IMO numbers of ships.
    pub unique_different: f64,
    /// The name that matched is a weak alias.
    pub weak_alias: f64,
    /// The name that matched is a former one.
    pub former_name: f64,
}

impl Default for Qualifiers {
    fn default() -> Self {
        Self {
            birth_exact: 2.0,
            birth_swapped: 1.4,
            birth_nearly_exact: 0.9,
            birth_consistent: 0.7,
            birth_same_year: 0.2,
            birth_near: -0.7,
            birth_different: -2.2,
            gender_same: 0.1,
            gender_different: -2.0,
            country_same: 0.4,
            country_different: -0.5,
            place_same: 0.5,
            address_same: 1.0,
            number_same: 4.0,
            number_different: -0.4,
            unique_different: -3.0,
            weak_alias: -1.0,
            former_name: -0.1,
        }
    }
}

impl Qualifiers {
    /// What two dates of birth add, and its name.
    pub(crate) fn birth(&self, found: DateMatch) -> (&'static str, f64) {
        match found {
            DateMatch::Exact => ("birth_exact", self.birth_exact),
            DateMatch::Swapped => ("birth_swapped", self.birth_swapped),
            DateMatch::NearlyExact => ("birth_nearly_exact", self.birth_nearly_exact),
            DateMatch::Consistent => ("birth_consistent", self.birth_consistent),
            DateMatch::SameYear => ("birth_same_year", self.birth_same_year),
            DateMatch::Near => ("birth_near", self.birth_near),
            DateMatch::Different => ("birth_different", self.birth_different),
        }
    }
}

/// A policy.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Policy {
    /// Its name.
    pub name: String,
    /// The score from which it is a match, 0 to 1.
    pub threshold: f64,
    /// What names are made of.
    pub names: Weights,
    /// What else counts.
    pub qualifiers: Qualifiers,
}

impl Default for Policy {
    fn default() -> Self {
        Self::balanced()
    }
}

impl Policy {
    /// As many near names are let through as are wrongly stopped: a match from even odds.
    pub fn balanced() -> Self {
        Self {
            name: "balanced".into(),
            threshold: 0.70,
            names: Weights::default(),
            qualifiers: Qualifiers::default(),
        }
    }

    /// Rather a false alarm than a miss: a match from odds of one to three, and what speaks against a match
    /// counts half, because documents are wrong or forged more often than names are chosen at random.
    pub fn strict() -> Self {
        let half = |nats: f64| if nats < 0.0 { nats / 2.0 } else { nats };
        let q = Qualifiers::default();
        let qualifiers = Qualifiers {
            birth_near: half(q.birth_near),
            birth_different: half(q.birth_different),
            gender_different: half(q.gender_different),
            country_different: half(q.country_different),
            number_different: half(q.number_different),
            unique_different: half(q.unique_different),
            weak_alias: half(q.weak_alias),
            former_name: half(q.former_name),
            ..q
        };
        Self { name: "strict".into(), threshold: 0.50, names: Weights::default(), qualifiers }
    }

    /// The published policy of that name.
    pub fn named(name: &str) -> Option<Self> {
        match name {
            "balanced" => Some(Self::balanced()),
            "strict" => Some(Self::strict()),
            _ => None,
        }
    }

    /// Whether its numbers make sense: a threshold and factors from 0 to 1, everything finite and bounded.
    pub fn check(&self) -> Result<(), PolicyError> {
        if !(0.0..=1.0).contains(&self.threshold) {
            return Err(PolicyError("threshold", "0 and 1"));
        }
        if self.name.is_empty() || self.name.len() > POLICY_NAME_MAX_BYTES {
            return Err(PolicyError("name", "1 and 64 bytes"));
        }
        let numbers = |value: serde_json::Result<serde_json::Value>| {
            let value = value.unwrap_or_default();
            value
                .as_object()
                .into_iter()
                .flatten()
                .map(|(_, value)| value.as_f64().unwrap_or(f64::NAN))
                .collect::<Vec<_>>()
        };
        if !numbers(serde_json::to_value(self.names))
            .iter()
            .all(|weight| (0.0..=5.0).contains(weight))
        {
            return Err(PolicyError("a weight of names", "0 and 5"));
        }
        let Weights { worth_70, worth_80, worth_90, worth_95, .. } = self.names;
        if ![worth_70, worth_80, worth_90, worth_95, 1.0].is_sorted() {
            return Err(PolicyError(
                "worth_70, worth_80, worth_90 and worth_95",
                "0 and 1, none less than the one before",
            ));
        }
        if !numbers(serde_json::to_value(self.qualifiers))
            .iter()
            .all(|nats| (-10.0..=10.0).contains(nats))
        {
            return Err(PolicyError("a qualifier", "-10 and 10"));
        }
        Ok(())
    }
}

/// The longest name of a policy.
pub const POLICY_NAME_MAX_BYTES: usize = 64;

/// What is wrong with a policy.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("{0} must be between {1}")]
pub struct PolicyError(&'static str, &'static str);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_policy_of_ones_own_is_checked() {
        assert_eq!(Policy::balanced().check(), Ok(()));
        assert_eq!(Policy::strict().check(), Ok(()));
        let own: Policy = serde_json::from_str(
            r#"{"name":"own","threshold":0.8,"qualifiers":{"birth_exact":3}}"#,
        )
        .unwrap();
        assert_eq!(own.check(), Ok(()));
        assert!(Policy { threshold: 1.1, ..own.clone() }.check().is_err());
        assert!(
            Policy { qualifiers: Qualifiers { birth_exact: f64::NAN, ..own.qualifiers }, ..own }
                .check()
                .is_err()
        );
        let falling: Policy = serde_json::from_str(r#"{"names":{"worth_90":0.3}}"#).unwrap();
        assert!(falling.check().unwrap_err().to_string().contains("worth_90"));
        assert!(serde_json::from_str::<Policy>(r#"{"treshold":0.8}"#).is_err());
    }
}
