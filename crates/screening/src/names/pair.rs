//! Two names against each other.
//!
//! Each part of one is set against each part of the other ([`alike`]), also two or three parts that stand
//! together against one. The best are taken first, each part once. The score is what was matched, by weight,
//! of what both have; what only one of them has counts against it, most where people do not leave it out.

use super::{
    alike::{How, alike, letters},
    distance::DISTANCE_MAX_LETTERS,
    joined::joined,
    parts::{Kind, Name, Part, Subject},
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

/// How near two names are.
#[derive(Clone, PartialEq, Debug)]
pub struct NameScore {
    /// From 0 to 1, before calibration.
    pub raw: f64,
    /// What matched.
    pub matched: Vec<Matched>,
    /// Whether one has a number that the other lacks.
    pub numbers_differ: bool,
}

impl NameScore {
    const NONE: Self = Self { raw: 0.0, matched: Vec::new(), numbers_differ: false };
}

/// A match that may be taken.
struct Candidate {
    matched: Matched,
    weight: f64,
}

fn mass(name: &Name, (first, count): (usize, usize)) -> f64 {
    (first..first + count).map(|at| name.parts[at % name.parts.len()].weight).sum()
}

struct Pair<'n> {
    left: &'n Name,
    right: &'n Name,
    weights: &'n Weights,
    /// Whether they may have more in common than their parts, one by one.
    together: bool,
}

/// How near two names are.
pub fn compare(left: &Name, right: &Name, weights: &Weights) -> NameScore {
    if left.is_empty() || right.is_empty() {
        return NameScore::NONE;
    }
    Pair { left, right, weights, together: true }.score()
}

/// How near two names are that have no more in common than their parts, one by one ([`stand_together`]).
pub(crate) fn compare_parts(left: &Name, right: &Name, weights: &Weights) -> f64 {
    if left.is_empty() || right.is_empty() {
        return 0.0;
    }
    Pair { left, right, weights, together: false }.score().raw
}

/// Whether two names have more in common than their parts, one by one: parts written together, the whole as one
/// word, first letters. Where they have not, [`compare`] finds no more than the parts allow.
pub(crate) fn stand_together(left: &Name, right: &Name) -> bool {
    let mut found = false;
    joined(left, right, |_, _, _| found = true);
    if !found {
        joined(right, left, |_, _, _| found = true);
    }
    found
        || telling(left).count() != telling(right).count() && whole_key(left) == whole_key(right)
        || left.subject != Subject::Person && (stands_for(left, right) || stands_for(right, left))
}

impl Pair<'_> {
    fn score(&self) -> NameScore {
        let taken = Taken::from(self);
        let mut score = NameScore {
            raw: taken.score(self),
            numbers_differ: taken.numbers_differ(self),
            matched: taken.matched,
        };
        if self.together {
            self.as_one_word(&mut score);
            self.acronym(&mut score);
        }
        score.raw = score.raw.clamp(0.0, 1.0);
        score
    }

    fn candidates(&self) -> Vec<Candidate> {
        let person = self.left.subject == Subject::Person;
        let mut found = Vec::with_capacity(self.left.parts.len() * 2);
        for (i, a) in self.left.parts.iter().enumerate() {
            for (j, b) in self.right.parts.iter().enumerate() {
                if let Some((similarity, how)) = alike(a, b, person, self.weights) {
                    found.push(self.candidate((i, 1), (j, 1), similarity, how));
                }
            }
        }
        if self.together {
            joined(self.left, self.right, |two, one, similarity| {
                found.push(self.candidate(two, one, similarity, How::Joined));
            });
            joined(self.right, self.left, |two, one, similarity| {
                found.push(self.candidate(one, two, similarity, How::Joined));
            });
        }
        // What is surer goes first, what weighs more among equals, then by places, in a way that does not
        // depend on which side is called left.
        found.sort_by(|p, q| {
            let places = |m: &Matched| {
                (m.left.0.abs_diff(m.right.0), m.left.0 + m.right.0, m.left.1 + m.right.1)
            };
            let by_similarity = q.matched.similarity.total_cmp(&p.matched.similarity);
            by_similarity
                .then(q.weight.total_cmp(&p.weight))
                .then_with(|| places(&p.matched).cmp(&places(&q.matched)))
        });
        found
    }

    fn candidate(
        &self,
        left: (usize, usize),
        right: (usize, usize),
        similarity: f64,
        how: How,
    ) -> Candidate {
        let (one, other) = (mass(self.left, left), mass(self.right, right));
        // An initial proves as much as an initial can, however rare the name.
        let weight = if matches!(how, How::Initial | How::LegalForm) {
            one.min(other)
        } else {
            (one + other) / 2.0
        };
        Candidate { matched: Matched { left, right, how, similarity }, weight }
    }

    /// All parts together, wherever they are parted.
    fn as_one_word(&self, score: &mut NameScore) {
        // Where both have as many parts, these have been compared already, and better.
        if score.raw > 0.9
            || score.numbers_differ
            || telling(self.left).count() == telling(self.right).count()
        {
            return;
        }
        let (a, b) = (whole(self.left), whole(self.right));
        let cut = |letters: &[u8]| letters.len() >= DISTANCE_MAX_LETTERS;
        if a.len() < 5 || b.len() < 5 || cut(&a) || cut(&b) {
            return;
        }
        if whole_key(self.left) != whole_key(self.right) {
            return;
        }
        let found = if a == b { 0.98 } else { letters(&a, &b, 0.86) - 0.06 };
        if found > 0.84 && found > score.raw {
            score.raw = found;
            let all = |name: &Name| (0, name.parts.len());
            score.matched = vec![Matched {
                left: all(self.left),
                right: all(self.right),
                how: How::Whole,
                similarity: found,
            }];
        }
    }

    fn acronym(&self, score: &mut NameScore) {
        if self.left.subject == Subject::Person || score.raw >= 0.72 {
            return;
        }
        if stands_for(self.left, self.right) || stands_for(self.right, self.left) {
            score.raw = 0.72;
            let all = |name: &Name| (0, name.parts.len());
            score.matched = vec![Matched {
                left: all(self.left),
                right: all(self.right),
                how: How::Acronym,
                similarity: 0.72,
            }];
        }
    }
}

pub(crate) fn telling(name: &Name) -> impl Iterator<Item = &Part> {
    name.parts.iter().filter(|part| !matches!(part.kind, Kind::Legal(_)))
}

/// What two names have in common that are one when written as one word: their consonants.
pub(crate) fn whole_key(name: &Name) -> Vec<u8> {
    let mut consonants: Vec<u8> =
        telling(name).flat_map(|part| part.consonants.bytes()).copied().collect();
    consonants.dedup();
    consonants
}

fn whole(name: &Name) -> Vec<u8> {
    telling(name).flat_map(|part| part.text.bytes()).copied().take(DISTANCE_MAX_LETTERS).collect()
}

/// Whether `short` is one word of the first letters of `long`.
fn stands_for(short: &Name, long: &Name) -> bool {
    let mut words = telling(short);
    let (Some(word), None) = (words.next(), words.next()) else { return false };
    if word.text.len() < 3 {
        return false;
    }
    initials(long).iter().any(|initials| initials == word.text.bytes())
}

/// The first letters of a name: of all telling words, without the little ones, and with legal forms.
pub(crate) fn initials(name: &Name) -> [Vec<u8>; 3] {
    let little = |part: &&Part| part.text.len() <= 3 && part.weight < 0.2;
    let first = |part: &Part| part.text.first();
    [
        telling(name).map(first).collect(),
        telling(name).filter(|part| !little(part)).map(first).collect(),
        name.parts.iter().map(first).collect(),
    ]
}

/// What parts weigh that have no counterpart.
fn weight_of(parts: &[&Part]) -> f64 {
    parts.iter().map(|part| part.weight).sum()
}

/// What they weigh where both names have such: as a contradiction a common name counts like a rare one, and a
/// common word of organisations more than by itself.
fn contradiction_of(parts: &[&Part], weights: &Weights) -> f64 {
    parts.iter().map(|part| against(part.kind, part.weight, weights)).sum()
}

/// What one part weighs where both names have what the other lacks.
pub(crate) fn against(kind: Kind, weight: f64, weights: &Weights) -> f64 {
    match kind {
        Kind::Word if weight >= 0.2 => weight.max(weights.least_contradiction),
        Kind::Word if weight >= LEAST_TERM => weight.max(weights.term_contradiction),
        _ => weight,
    }
}

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

/// The matches that were taken, and what is left.
struct Taken {
    matched: Vec<Matched>,
    /// Weight that was matched, by how well, and in all.
    worth: f64,
    weight: f64,
    words: usize,
    left: u32,
    right: u32,
}

fn bits(name: &Name, (first, count): (usize, usize)) -> u32 {
    (first..first + count).fold(0, |bits, at| bits | 1 << (at % name.parts.len()))
}

impl Taken {
    fn from(pair: &Pair<'_>) -> Self {
        let mut taken =
            Self { matched: Vec::new(), worth: 0.0, weight: 0.0, words: 0, left: 0, right: 0 };
        for candidate in pair.candidates() {
            let (left, right) = (
                bits(pair.left, candidate.matched.left),
                bits(pair.right, candidate.matched.right),
            );
            if taken.left & left != 0 || taken.right & right != 0 {
                continue;
            }
            taken.left |= left;
            taken.right |= right;
            let similarity = candidate.matched.similarity;
            taken.worth += candidate.weight * worth(similarity, pair.weights);
            taken.weight += candidate.weight;
            let word =
                |name: &Name, (first, _): (usize, usize)| name.parts[first].kind == Kind::Word;
            if word(pair.left, candidate.matched.left) && word(pair.right, candidate.matched.right)
            {
                taken.words += candidate.matched.left.1.max(candidate.matched.right.1);
            }
            taken.matched.push(candidate.matched);
        }
        taken
    }

    fn rest<'n>(
        &self,
        pair: &Pair<'n>,
    ) -> (impl Iterator<Item = &'n Part> + use<'n>, impl Iterator<Item = &'n Part> + use<'n>) {
        let (left, right) = (self.left, self.right);
        let free = |bits: u32| move |(at, _): &(usize, &Part)| bits & (1 << at) == 0;
        let of = |name: &'n Name, bits| {
            name.parts.iter().enumerate().filter(free(bits)).map(|(_, part)| part)
        };
        (of(pair.left, left), of(pair.right, right))
    }

    fn numbers_differ(&self, pair: &Pair<'_>) -> bool {
        let (left, right) = self.rest(pair);
        left.chain(right).any(|part| part.kind == Kind::Number)
    }

    /// Whether one is the second and the other the third: each has a number that the other lacks.
    fn generations_differ(&self, pair: &Pair<'_>) -> bool {
        let (mut left, mut right) = self.rest(pair);
        let number = |part: &Part| part.kind == Kind::Number;
        pair.left.subject == Subject::Person && left.any(number) && right.any(number)
    }

    /// Whether the son of one is the father of the other: `A bin B` and `B bin A`.
    fn crosses(&self, pair: &Pair<'_>) -> bool {
        let son_of = |name: &Name| {
            name.parts.iter().position(|part| {
                part.kind == Kind::Particle && part.known.is_some_and(|known| known.patronym)
            })
        };
        let (Some(left), Some(right)) = (son_of(pair.left), son_of(pair.right)) else {
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

    fn score(&self, pair: &Pair<'_>) -> f64 {
        let (left, right) = self.rest(pair);
        let (left, right): (Vec<_>, Vec<_>) = (left.collect(), right.collect());
        let weights = pair.weights;
        let against = left.len().min(right.len()) > 0;
        let contradicts = contradiction_of(&left, weights).min(contradiction_of(&right, weights));
        let (left, right) = (weight_of(&left), weight_of(&right));
        let (few, many) = (if against { contradicts } else { 0.0 }, left.max(right));
        let person = pair.left.subject == Subject::Person;
        let left_out = match (person, self.words) {
            (true, 2..) => weights.left_out_person,
            (true, _) => weights.left_out_single,
            (false, _) => weights.left_out_organisation,
        };
        // Where both have what the other lacks, they contradict each other.
        let contradiction =
            if person { weights.contradiction_person } else { weights.contradiction_organisation };
        let total = self.weight + contradiction * few + left_out * many;
        let mut score = if total > 0.0 { self.worth / total } else { 0.0 };
        if self.generations_differ(pair) {
            score *= weights.generations;
        } else if self.numbers_differ(pair) {
            score *= if person { 0.95 } else { weights.numbers };
        }
        if person && self.crosses(pair) {
            score *= weights.crossed;
        }
        if person && self.words < 2 && pair.left.parts.len().min(pair.right.parts.len()) >= 2 {
            score *= weights.one_word;
        }
        score
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tables::tables;

    fn score(subject: Subject, left: &str, right: &str) -> f64 {
        let name = |text| Name::new(text, subject, tables());
        compare(&name(left), &name(right), &Weights::default()).raw
    }

    #[test]
    fn names_of_people_that_are_one() {
        for (left, right) in [
            ("Muammar al-Qadhafi", "Moammar Gaddafi"),
            ("PUTIN, Vladimir Vladimirovich", "Владимир Путин"),
            ("Bill Clinton", "William Jefferson Clinton"),
            ("Abd al-Rahman Yusuf", "Abdulrahman Yousef"),
            ("Ayman al-Zawahiri", "أيمن الظواهري"),
            ("Xi Jinping", "习近平"),
            ("Kim Jong Un", "김정은"),
        ] {
            let found = score(Subject::Person, left, right);
            assert!(found > 0.75, "{left} / {right}: {found}");
        }
    }

    #[test]
    fn names_of_people_that_are_two() {
        for (left, right) in [
            ("Ali Hassan", "Ahmed Hassan"),
            ("John Smith", "Jane Smith"),
            ("Ivan Petrov", "Pavel Petrov"),
        ] {
            let found = score(Subject::Person, left, right);
            assert!(found < 0.7, "{left} / {right}: {found}");
        }
    }

    #[test]
    fn the_sides_are_alike() {
        for (left, right) in [
            ("Abdul Rahman", "Rahman Abdulla Khan"),
            ("A. B. Smith", "Smith Adam"),
            ("Lim", "Lim Li"),
        ] {
            let (there, back) =
                (score(Subject::Person, left, right), score(Subject::Person, right, left));
            assert!((there - back).abs() < 1e-12, "{left} / {right}");
        }
    }
}
