//! Two entities against each other: a score from 0 to 1, and the reasons for it.
//!
//! # What the score means
//!
//! The similarity of the best two names is turned into odds that both are the same ([`nats`]), each
//! qualifier multiplies the odds by what its policy says, and the score is the square root of the
//! probability. So 0.70 stands for even odds, 0.50 for one in four, 0.90 for four in five, 0.95 for nine in
//! ten. The odds were measured on labelled pairs of near names (`bench/screening.py` prints how well they
//! hold), not on the customers of a business, of whom far fewer are on a list.

use serde::Serialize;

use crate::{
    dates,
    identifiers::{self, NumbersSay},
    names::{Kind, Matched, Name, NameScore, Script, compare},
    policy::Policy,
    profile::{Alias, Profile, Quality},
};

/// What qualifiers can add together, in nats: not so much that they make two different names one. The number
/// of a document is not among them.
pub(crate) const QUALIFIERS_MAX_NATS: f64 = 2.5;

/// The score of two entities with the same unique number.
const SAME_UNIQUE_SCORE: f64 = 0.99;

/// The verdict over two entities.
#[derive(Clone, PartialEq, Debug)]
pub struct Verdict {
    /// From 0 to 1, in steps of 0.0001; see the module.
    pub score: f64,
    /// Whether the score reaches the threshold of the policy.
    pub is_match: bool,
    /// The best two names.
    pub names: Option<NameEvidence>,
    /// Whether one can be the other at all, by what they are.
    pub schemas_fit: bool,
    /// What else was compared, in order.
    pub qualifiers: Vec<Evidence>,
}

/// Two names, and how near they are.
#[derive(Clone, PartialEq, Debug)]
pub struct NameEvidence {
    /// The left name, as it was given.
    pub left: String,
    /// The right name.
    pub right: String,
    /// What matched, and what did not.
    pub parts: Vec<PartEvidence>,
    /// The score that the names alone would have.
    pub score: f64,
}

/// Parts of names that matched, or one that did not.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct PartEvidence {
    /// On the left, in Latin letters.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub left: Option<String>,
    /// On the right.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub right: Option<String>,
    /// How they matched.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub how: Option<crate::names::How>,
    /// 1 for the same, 0 for what has no counterpart.
    pub similarity: f64,
    /// The share of this part in its name or names, 0 to 1.
    pub weight: f64,
}

/// A qualifier.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct Evidence {
    /// What was compared: `birth_exact` and so on, as in the policy.
    pub kind: &'static str,
    /// The value on the left.
    pub left: String,
    /// The value on the right.
    pub right: String,
    /// What it changed in the score.
    pub effect: f64,
}

/// Compares two entities.
pub fn score(left: &Profile, right: &Profile, policy: &Policy) -> Verdict {
    let none = Verdict {
        score: 0.0,
        is_match: false,
        names: None,
        qualifiers: Vec::new(),
        schemas_fit: false,
    };
    if !left.schema.fits(right.schema) {
        return none;
    }
    let best = best_names(left, right, policy);
    let mut tally = Tally {
        nats: best.as_ref().map_or(f64::NEG_INFINITY, |best| best.nats),
        added: 0.0,
        evidence: Vec::new(),
    };
    let by_name = probability_score(tally.nats);
    if let Some(best) = &best {
        tally.alias(best, policy);
    }
    tally.qualify(left, right, policy);
    let decides = tally.numbers(left, right, policy);
    let score = if decides {
        SAME_UNIQUE_SCORE.max(probability_score(tally.nats))
    } else {
        probability_score(tally.nats)
    };
    let score = (score * 10_000.0).round() / 10_000.0;
    Verdict {
        score,
        is_match: score >= policy.threshold,
        names: best.map(|best| best.evidence(by_name)),
        qualifiers: tally.evidence,
        schemas_fit: true,
    }
}

/// Odds for a similarity of names, in nats: straight lines between measured points.
pub fn nats(similarity: f64) -> f64 {
    along(KNOTS, similarity.clamp(0.0, 1.0))
}

/// The similarity that has these odds; 0 or 1 if none has.
pub(crate) fn similarity_for(nats: f64) -> f64 {
    along(KNOTS.map(|(similarity, nats)| (nats, similarity)), nats).clamp(0.0, 1.0)
}

/// Similarities, and the odds they stand for.
const KNOTS: [(f64, f64); 11] = [
    (0.0, -4.5),
    (0.25, -3.0),
    (0.35, -2.1),
    (0.45, -1.4),
    (0.55, -0.65),
    (0.65, 0.0),
    (0.75, 0.9),
    (0.85, 1.8),
    (0.92, 2.8),
    (0.98, 3.8),
    (1.0, 5.0),
];

/// The value at a place on straight lines between points in order.
fn along<const POINTS: usize>(points: [(f64, f64); POINTS], place: f64) -> f64 {
    let after = points.iter().position(|(at, _)| place <= *at).unwrap_or(POINTS - 1).max(1);
    let ((x0, y0), (x1, y1)) = (points[after - 1], points[after]);
    y0 + (y1 - y0) * (place - x0) / (x1 - x0)
}

/// The square root of the probability.
fn probability_score(nats: f64) -> f64 {
    // `exp` is not the same to the last bit everywhere; the score is rounded far above that.
    (1.0 / (1.0 + (-nats).exp())).sqrt()
}

struct Best<'p> {
    left: &'p Alias,
    right: &'p Alias,
    score: NameScore,
    nats: f64,
}

/// The two names that say most, weak ones counted as such.
fn best_names<'p>(left: &'p Profile, right: &'p Profile, policy: &Policy) -> Option<Best<'p>> {
    let mut best: Option<Best<'p>> = None;
    for a in &left.aliases {
        for b in right.aliases.iter().filter(|b| can_be_one(a, b)) {
            let score = compare(&a.name, &b.name, &policy.names);
            let nats = nats(score.raw);
            let counted = |best: &Best<'_>| best.nats + quality_nats(best.left, best.right, policy);
            if best.as_ref().is_none_or(|best| nats + quality_nats(a, b, policy) > counted(best)) {
                best = Some(Best { left: a, right: b, score, nats });
            }
        }
    }
    best
}

/// Names in Chinese characters alone are compared as they are, not as one is read somewhere and the other elsewhere.
fn can_be_one(left: &Alias, right: &Alias) -> bool {
    let is_chinese = |alias: &Alias| {
        let mut letters = alias.text.chars().filter(|letter| letter.is_alphabetic());
        letters.all(|letter| Script::of(letter) == Script::Han)
    };
    !(left.is_reading || right.is_reading) || !(is_chinese(left) && is_chinese(right))
}

fn quality_nats(left: &Alias, right: &Alias, policy: &Policy) -> f64 {
    let of = |alias: &Alias| match alias.quality {
        Quality::Strong => 0.0,
        Quality::Former => policy.qualifiers.former_name,
        Quality::Weak => policy.qualifiers.weak_alias,
    };
    of(left).min(of(right))
}

impl Best<'_> {
    fn evidence(&self, by_name: f64) -> NameEvidence {
        let total = |name: &Name| {
            name.parts.iter().map(|part| part.weight).sum::<f64>().max(f64::MIN_POSITIVE)
        };
        let (left, right) = (total(&self.left.name), total(&self.right.name));
        let mut parts: Vec<PartEvidence> =
            self.score.matched.iter().map(|matched| self.matched(matched, left, right)).collect();
        let used = |side: fn(&Matched) -> (usize, usize), count: usize| {
            let mut used = vec![false; count];
            self.score.matched.iter().map(side).for_each(|(first, run)| {
                (first..first + run).for_each(|at| used[at % count] = true);
            });
            used
        };
        let unmatched = |name: &Name, used: Vec<bool>| {
            let parts = name.parts.iter().zip(used).filter(|(_, used)| !used);
            parts.map(|(part, _)| (part.text.to_string(), part.weight)).collect::<Vec<_>>()
        };
        for (text, weight) in
            unmatched(&self.left.name, used(|m| m.left, self.left.name.parts.len()))
        {
            parts.push(PartEvidence {
                left: Some(text),
                right: None,
                how: None,
                similarity: 0.0,
                weight: rounded(weight / left),
            });
        }
        for (text, weight) in
            unmatched(&self.right.name, used(|m| m.right, self.right.name.parts.len()))
        {
            parts.push(PartEvidence {
                left: None,
                right: Some(text),
                how: None,
                similarity: 0.0,
                weight: rounded(weight / right),
            });
        }
        NameEvidence {
            left: self.left.text.clone(),
            right: self.right.text.clone(),
            parts,
            score: rounded(by_name),
        }
    }

    fn matched(&self, matched: &Matched, left: f64, right: f64) -> PartEvidence {
        let side = |name: &Name, (first, count): (usize, usize)| {
            let parts = (first..first + count).map(|at| &name.parts[at % name.parts.len()]);
            let texts: Vec<&str> = parts.clone().map(|part| part.text.as_str()).collect();
            (texts.join(" "), parts.map(|part| part.weight).sum::<f64>())
        };
        let ((a, a_weight), (b, b_weight)) =
            (side(&self.left.name, matched.left), side(&self.right.name, matched.right));
        PartEvidence {
            left: Some(a),
            right: Some(b),
            how: Some(matched.how),
            similarity: rounded(matched.similarity),
            weight: rounded((a_weight / left + b_weight / right) / 2.0),
        }
    }
}

fn rounded(value: f64) -> f64 {
    (value * 10_000.0).round() / 10_000.0
}

/// The odds, as they are changed by one qualifier after the other.
struct Tally {
    nats: f64,
    added: f64,
    evidence: Vec<Evidence>,
}

impl Tally {
    fn add(&mut self, kind: &'static str, nats: f64, left: String, right: String) {
        let before = probability_score(self.nats);
        let nats = if nats > 0.0 && kind != "number_same" {
            nats.min((QUALIFIERS_MAX_NATS - self.added).max(0.0))
        } else {
            nats
        };
        if kind != "number_same" {
            self.added += nats.max(0.0);
        }
        self.nats += nats;
        let effect = rounded(probability_score(self.nats) - before);
        self.evidence.push(Evidence { kind, left, right, effect });
    }

    fn alias(&mut self, best: &Best<'_>, policy: &Policy) {
        let weak = best.left.quality == Quality::Weak || best.right.quality == Quality::Weak;
        let former = best.left.quality == Quality::Former || best.right.quality == Quality::Former;
        let kind = if weak { "weak_alias" } else { "former_name" };
        if weak || former {
            self.add(
                kind,
                quality_nats(best.left, best.right, policy),
                best.left.text.clone(),
                best.right.text.clone(),
            );
        }
    }

    fn qualify(&mut self, left: &Profile, right: &Profile, policy: &Policy) {
        let q = &policy.qualifiers;
        if let Some((found, a, b)) = dates::compare(&left.births, &right.births) {
            let (kind, nats) = q.birth(found);
            self.add(kind, nats, a.to_string(), b.to_string());
        }
        self.lists(
            &left.genders,
            &right.genders,
            ("gender_same", q.gender_same),
            ("gender_different", q.gender_different),
            |gender| (*gender).to_owned(),
        );
        let code = |code: &[u8; 2]| String::from_utf8_lossy(code).into_owned();
        self.lists(
            &left.countries,
            &right.countries,
            ("country_same", q.country_same),
            ("country_different", q.country_different),
            code,
        );
        self.places("place_same", q.place_same, &left.places, &right.places, policy);
        self.places("address_same", q.address_same, &left.addresses, &right.addresses, policy);
    }

    fn lists<T: PartialEq>(
        &mut self,
        left: &[T],
        right: &[T],
        same: (&'static str, f64),
        different: (&'static str, f64),
        show: impl Fn(&T) -> String,
    ) {
        let (Some(a), Some(b)) = (left.first(), right.first()) else { return };
        match left.iter().find(|value| right.contains(value)) {
            Some(value) => self.add(same.0, same.1, show(value), show(value)),
            None => self.add(different.0, different.1, show(a), show(b)),
        }
    }

    fn places(
        &mut self,
        kind: &'static str,
        nats: f64,
        left: &[Alias],
        right: &[Alias],
        policy: &Policy,
    ) {
        let near = |a: &Alias, b: &Alias| compare(&a.name, &b.name, &policy.names).raw >= 0.85;
        let numbers = |alias: &Alias| {
            alias.name.parts.iter().any(|part| part.kind == Kind::Number)
                || alias.name.parts.len() >= 3
        };
        let telling = |a: &Alias, b: &Alias| kind == "place_same" || numbers(a) && numbers(b);
        let found = left
            .iter()
            .find_map(|a| right.iter().find(|b| telling(a, b) && near(a, b)).map(|b| (a, b)));
        if let Some((a, b)) = found {
            self.add(kind, nats, a.text.clone(), b.text.clone());
        }
    }

    /// What numbers say; whether they decide alone.
    fn numbers(&mut self, left: &Profile, right: &Profile, policy: &Policy) -> bool {
        let q = &policy.qualifiers;
        match identifiers::compare(&left.identifiers, &right.identifiers) {
            NumbersSay::SameUnique(number) => {
                let before = probability_score(self.nats);
                let effect = rounded(SAME_UNIQUE_SCORE.max(before) - before);
                self.evidence.push(Evidence {
                    kind: "number_decides",
                    left: format!("{} {}", number.kind, number.value),
                    right: number.value,
                    effect,
                });
                return true;
            }
            NumbersSay::SameIssued(number) => {
                // A passport is not nothing where names differ, but names must not be altogether different.
                self.nats = self.nats.max(nats(0.25));
                self.add(
                    "number_same",
                    q.number_same,
                    format!("{} {}", number.kind, number.value),
                    number.value,
                );
            }
            NumbersSay::DifferentUnique(a, b) => {
                self.add("unique_different", q.unique_different, a.value, b.value);
            }
            NumbersSay::DifferentIssued(a, b) => {
                self.add("number_different", q.number_different, a.value, b.value);
            }
            NumbersSay::Nothing => {}
        }
        false
    }
}
