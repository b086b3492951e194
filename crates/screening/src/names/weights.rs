//! What the comparison of names is made of, as numbers.

use serde::{Deserialize, Serialize};

/// How much each circumstance counts. The defaults were found on the tuning half of the labelled pairs
/// (`bench/screening.py`); who changes them should measure again.
#[derive(Clone, Copy, PartialEq, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Weights {
    /// What a part of a person's name counts that the other leaves out, if two or more words matched.
    pub left_out_person: f64,
    /// The same, if only one word matched.
    pub left_out_single: f64,
    /// The same in names of organisations and things.
    pub left_out_organisation: f64,
    /// What counts against two names of people that each have what the other lacks.
    pub contradiction_person: f64,
    /// The same for organisations and things.
    pub contradiction_organisation: f64,
    /// The least weight of a word in a contradiction, however common it is.
    pub least_contradiction: f64,
    /// The least weight in a contradiction of a word that says what an organisation does.
    pub term_contradiction: f64,
    /// Matched weight of two names of people from which on what counts against them counts more, as they are longer:
    /// cousins have all names in common but one.
    pub long_person: f64,
    /// Factor where two people have different numbers, as father and son have.
    pub generations: f64,
    /// Factor where an organisation or thing has a number that the other lacks.
    pub numbers: f64,
    /// Factor where the son of one is the father of the other.
    pub crossed: f64,
    /// Factor where only one word of two people's names matched.
    pub one_word: f64,
    /// What two words lose that both are known as different ones.
    pub known_to_differ: f64,
    /// What two words lose of which no more is known than that they are different names.
    pub names_differ: f64,
    /// What two words lose that begin with different sounds.
    pub first_letter: f64,
    /// What a similarity of 0.70 is worth.
    pub worth_70: f64,
    /// What a similarity of 0.80 is worth.
    pub worth_80: f64,
    /// What a similarity of 0.90 is worth.
    pub worth_90: f64,
    /// What a similarity of 0.95 is worth.
    pub worth_95: f64,
}

impl Default for Weights {
    fn default() -> Self {
        Self {
            left_out_person: 0.23,
            left_out_single: 0.85,
            left_out_organisation: 0.22,
            contradiction_person: 1.15,
            contradiction_organisation: 1.8,
            least_contradiction: 1.05,
            term_contradiction: 0.28,
            long_person: 2.0,
            generations: 0.6,
            numbers: 0.9,
            crossed: 0.6,
            one_word: 0.95,
            known_to_differ: 0.22,
            names_differ: 0.18,
            first_letter: 0.04,
            worth_70: 0.12,
            worth_80: 0.45,
            worth_90: 0.9,
            worth_95: 0.97,
        }
    }
}
