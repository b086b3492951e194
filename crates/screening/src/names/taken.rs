//! Which of the matches of parts are taken, and what they come to.

use super::{
    alike::How,
    parts::{Kind, Part},
    text::NAME_MAX_WORDS,
    weights::Weights,
};

/// Parts that were matched.
#[derive(Clone, PartialEq, Debug)]
pub struct Matched {
    /// Parts of the left name: the first, and how many; after the last comes the first again.
    pub left: (usize, usize),
    /// Parts of the right name.
    pub right: (usize, usize),
    /// Why.
    pub how: How,
    /// 1 for the same, towards 0 for less.
    pub similarity: f64,
}

/// What of a part counts once it is known what it is alike to.
#[derive(Clone, Copy)]
pub struct Facet {
    /// What it is.
    pub kind: Kind,
    /// How much it says.
    pub weight: f64,
    /// Whether it is a particle that says whose child somebody is.
    pub patronym: bool,
}

impl Facet {
    /// Of a part.
    pub fn of(part: &Part) -> Self {
        let patronym =
            part.kind == Kind::Particle && part.known.is_some_and(|known| known.patronym);
        Self { kind: part.kind, weight: part.weight, patronym }
    }
}

/// A match that may be taken.
pub struct Candidate {
    matched: Matched,
    weight: f64,
}

/// Two names as what counts of their parts.
pub struct Sides<'f> {
    /// One.
    pub left: &'f [Facet],
    /// The other.
    pub right: &'f [Facet],
    /// Whether they are names of people.
    pub person: bool,
    /// What counts how much.
    pub weights: &'f Weights,
}

impl Sides<'_> {
    /// A match that may be taken.
    pub fn candidate(
        &self,
        left: (usize, usize),
        right: (usize, usize),
        similarity: f64,
        how: How,
    ) -> Candidate {
        let mass = |side: &[Facet], (first, count): (usize, usize)| -> f64 {
            (first..first + count).map(|at| side[at % side.len()].weight).sum()
        };
        let (one, other) = (mass(self.left, left), mass(self.right, right));
        // An initial proves as much as an initial can, however rare the name.
        let weight = if matches!(how, How::Initial | How::LegalForm) {
            one.min(other)
        } else {
            (one + other) / 2.0
        };
        Candidate { matched: Matched { left, right, how, similarity }, weight }
    }

    /// Takes the best first, each part once.
    pub fn take(&self, mut candidates: Vec<Candidate>) -> Taken {
        // What is surer goes first, what weighs more among equals, then by places, in a way that does not
        // depend on which side is called left.
        candidates.sort_by(|p, q| {
            let places = |m: &Matched| {
                (m.left.0.abs_diff(m.right.0), m.left.0 + m.right.0, m.left.1 + m.right.1)
            };
            let by_similarity = q.matched.similarity.total_cmp(&p.matched.similarity);
            by_similarity
                .then(q.weight.total_cmp(&p.weight))
                .then_with(|| places(&p.matched).cmp(&places(&q.matched)))
        });
        let mut taken =
            Taken { matched: Vec::new(), worth: 0.0, weight: 0.0, words: 0, left: 0, right: 0 };
        for candidate in candidates {
            let (left, right) = (
                bits(self.left.len(), candidate.matched.left),
                bits(self.right.len(), candidate.matched.right),
            );
            if taken.left & left != 0 || taken.right & right != 0 {
                continue;
            }
            taken.left |= left;
            taken.right |= right;
            taken.worth += candidate.weight * worth(candidate.matched.similarity, self.weights);
            taken.weight += candidate.weight;
            let word = |side: &[Facet], (first, _): (usize, usize)| side[first].kind == Kind::Word;
            if word(self.left, candidate.matched.left) && word(self.right, candidate.matched.right)
            {
                taken.words += candidate.matched.left.1.max(candidate.matched.right.1);
            }
            taken.matched.push(candidate.matched);
        }
        taken
    }
}

/// The matches that were taken, and what is left.
pub struct Taken {
    /// They, the surest first.
    pub matched: Vec<Matched>,
    /// Weight that was matched, by how well, and in all.
    worth: f64,
    weight: f64,
    words: usize,
    left: u32,
    right: u32,
}

// A part is a bit of 32.
const _: () = assert!(NAME_MAX_WORDS <= 32, "parts of a name are bits");

fn bits(count: usize, (first, taken): (usize, usize)) -> u32 {
    (first..first + taken).fold(0, |bits, at| bits | 1 << (at % count.max(1)))
}

impl Taken {
    fn rest<'f>(
        &self,
        sides: &Sides<'f>,
    ) -> (impl Iterator<Item = &'f Facet> + use<'f>, impl Iterator<Item = &'f Facet> + use<'f>)
    {
        let (left, right) = (self.left, self.right);
        let of = |side: &'f [Facet], bits: u32| {
            let free = move |(at, _): &(usize, &Facet)| bits & (1 << at) == 0;
            side.iter().enumerate().filter(free).map(|(_, facet)| facet)
        };
        (of(sides.left, left), of(sides.right, right))
    }

    /// Whether one has a number that the other lacks.
    pub fn numbers_differ(&self, sides: &Sides<'_>) -> bool {
        let (left, right) = self.rest(sides);
        left.chain(right).any(|part| part.kind == Kind::Number)
    }

    /// Whether one is the second and the other the third: each has a number that the other lacks.
    fn generations_differ(&self, sides: &Sides<'_>) -> bool {
        let (mut left, mut right) = self.rest(sides);
        let number = |part: &Facet| part.kind == Kind::Number;
        sides.person && left.any(number) && right.any(number)
    }

    /// Whether the son of one is the father of the other: `A bin B` and `B bin A`.
    fn crosses(&self, sides: &Sides<'_>) -> bool {
        let son_of = |side: &[Facet]| side.iter().position(|part| part.patronym);
        let (Some(left), Some(right)) = (son_of(sides.left), son_of(sides.right)) else {
            return false;
        };
        let crossed = |before: bool| {
            self.matched.iter().any(|m| {
                m.left.0 != left
                    && m.right.0 != right
                    && (m.left.0 < left) == before
                    && (m.right.0 < right) != before
            })
        };
        crossed(true) && crossed(false)
    }

    /// How near the two are, before anything but their parts is looked at.
    pub fn score(&self, sides: &Sides<'_>) -> f64 {
        let weights = sides.weights;
        let add = |(weight, contradicts): (f64, f64), part: &Facet| {
            (weight + part.weight, contradicts + against(part.kind, part.weight, weights))
        };
        let (left, right) = self.rest(sides);
        let (left, right) = (left.fold((0.0, 0.0), add), right.fold((0.0, 0.0), add));
        // If one has nothing left, nothing contradicts.
        let (few, many) = (left.1.min(right.1), left.0.max(right.0));
        let person = sides.person;
        let left_out = match (person, self.words) {
            (true, 2..) => weights.left_out_person,
            (true, _) => weights.left_out_single,
            (false, _) => weights.left_out_organisation,
        };
        // Where both have what the other lacks, they contradict each other.
        let contradiction = if person {
            weights.contradiction_person
                * (self.weight / weights.long_person.max(LONG_MIN)).max(1.0)
        } else {
            weights.contradiction_organisation
        };
        let total = self.weight + contradiction * few + left_out * many;
        let mut score = if total > 0.0 { self.worth / total } else { 0.0 };
        if self.generations_differ(sides) {
            score *= weights.generations;
        } else if self.numbers_differ(sides) {
            score *= if person { 0.95 } else { weights.numbers };
        }
        if person && self.crosses(sides) {
            score *= weights.crossed;
        }
        if person && self.words < 2 && sides.left.len().min(sides.right.len()) >= 2 {
            score *= weights.one_word;
        }
        score
    }
}

/// What one part weighs where both names have what the other lacks.
pub(crate) fn against(kind: Kind, weight: f64, weights: &Weights) -> f64 {
    match kind {
        Kind::Word if weight >= 0.2 => weight.max(weights.least_contradiction),
        Kind::Word if weight >= LEAST_TERM => weight.max(weights.term_contradiction),
        _ => weight,
    }
}

/// The least weight from which names count as long.
const LONG_MIN: f64 = 0.1;

/// What words weigh that say what an organisation does; `of` and `the` weigh less.
const LEAST_TERM: f64 = 0.13;

/// A weak likeness is worth less than it looks: most names with a third of other letters are other names.
pub(crate) fn worth(similarity: f64, weights: &Weights) -> f64 {
    let knots = [
        (0.6, 0.0),
        (0.7, weights.worth_70),
        (0.8, weights.worth_80),
        (0.9, weights.worth_90),
        (0.95, weights.worth_95),
        (1.0, 1.0),
    ];
    let Some(after) = knots.iter().position(|(at, _)| similarity <= *at) else { return 1.0 };
    let Some(before) = after.checked_sub(1) else { return 0.0 };
    let ((x0, y0), (x1, y1)) = (knots[before], knots[after]);
    y0 + (y1 - y0) * (similarity - x0) / (x1 - x0)
}
