//! How near parts of names must be for a score to be possible.

use crate::{
    names::{Kind, Name, Part, Weights, against, worth},
    policy::Policy,
};

/// The similarity of words up to which a reason other than letters counts; all such reasons are found.
const SURE: f64 = 0.85;

/// Parts that have no counterpart.
#[derive(Clone, Copy)]
pub struct Rest {
    /// How much they say together.
    pub weight: f64,
    /// What they weigh where they contradict.
    pub against: f64,
}

impl Rest {
    /// None.
    pub const NONE: Self = Self { weight: 0.0, against: 0.0 };

    /// One more.
    pub fn add(&mut self, kind: Kind, weight: f64, weights: &Weights) {
        self.weight += weight;
        self.against += against(kind, weight, weights);
    }
}

/// How near the parts of a name must be.
pub struct Plan {
    /// The least similarity of one of them.
    pub least: f64,
    /// Names that have no more in common than a legal form or a particle are left out.
    small: bool,
}

impl Plan {
    /// For a name of which this similarity is needed.
    pub fn new(name: &Name, raw: f64, policy: &Policy) -> Self {
        let weights = &policy.names;
        let small = |part: &&Part| matches!(part.kind, Kind::Legal(_) | Kind::Particle);
        // What all small parts together can add, if the other side has the same ones as full words.
        let mass: f64 = name
            .parts
            .iter()
            .filter(small)
            .map(|part| if part.kind == Kind::Particle { part.weight.max(0.2) } else { 0.15 })
            .sum();
        let lightest = name
            .parts
            .iter()
            .filter(|part| !small(part))
            // An initial counts as what is lighter of both.
            .map(|part| if part.kind == Kind::Initial { 0.1 } else { (part.weight + 0.1) / 2.0 })
            .fold(f64::INFINITY, f64::min);
        let rest: f64 = name.parts.iter().filter(|part| !small(part)).map(|part| part.weight).sum();
        let most = 1.0 - raw;
        let needed = raw - mass * most / lightest;
        let left_out = weights.left_out_organisation.min(weights.left_out_person);
        let leaves = mass > 0.0
            && lightest.is_finite()
            && needed > raw * 0.7
            && mass * most < raw * left_out.min(weights.left_out_single) * rest;
        let worth_needed = if leaves { needed } else { raw };
        Self { least: similarity_worth(worth_needed, policy).min(SURE), small: leaves }
    }

    /// The least similarity of an initial or legal form.
    pub fn least_short(&self) -> f64 {
        if self.small { 0.0 } else { self.least }
    }

    /// Whether names are left out in which parts of this kind meet and no others.
    pub fn leaves_out(&self, kind: Kind) -> bool {
        self.small && matches!(kind, Kind::Legal(_) | Kind::Particle)
    }
}

/// The least similarity of words that is worth this much.
fn similarity_worth(needed: f64, policy: &Policy) -> f64 {
    let worth = |step: u32| worth(f64::from(step) / 400.0, &policy.names);
    // Below, words are not alike at all.
    let first = (288..=400).find(|step| worth(*step) >= needed);
    first.map_or(1.0, |step| f64::from(step - 1) / 400.0)
}
