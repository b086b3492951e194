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
    taken::{Candidate, Facet, Matched, Sides},
    weights::Weights,
};

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

struct Pair<'n> {
    left: &'n Name,
    right: &'n Name,
    weights: &'n Weights,
}

/// How near two names are.
pub fn compare(left: &Name, right: &Name, weights: &Weights) -> NameScore {
    if left.is_empty() || right.is_empty() {
        return NameScore::NONE;
    }
    Pair { left, right, weights }.score()
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
        let [left, right] = [self.left, self.right]
            .map(|name| name.parts.iter().map(Facet::of).collect::<Vec<_>>());
        let person = self.left.subject == Subject::Person;
        let sides = Sides { left: &left, right: &right, person, weights: self.weights };
        let taken = sides.take(self.candidates(&sides));
        let mut score = NameScore {
            raw: taken.score(&sides),
            numbers_differ: taken.numbers_differ(&sides),
            matched: taken.matched,
        };
        self.as_one_word(&mut score);
        self.acronym(&mut score);
        score.raw = score.raw.clamp(0.0, 1.0);
        score
    }

    fn candidates(&self, sides: &Sides<'_>) -> Vec<Candidate> {
        let mut found = Vec::with_capacity(self.left.parts.len() * 2);
        for (i, a) in self.left.parts.iter().enumerate() {
            for (j, b) in self.right.parts.iter().enumerate() {
                if let Some((similarity, how)) = alike(a, b, sides.person, self.weights) {
                    found.push(sides.candidate((i, 1), (j, 1), similarity, how));
                }
            }
        }
        joined(self.left, self.right, |two, one, similarity| {
            found.push(sides.candidate(two, one, similarity, How::Joined));
        });
        joined(self.right, self.left, |two, one, similarity| {
            found.push(sides.candidate(one, two, similarity, How::Joined));
        });
        found
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

/// The first letters of a name: of all telling words, without the little ones, with legal forms, and with all
/// letters of short legal forms: `PDVSA`.
pub(crate) fn initials(name: &Name) -> [Vec<u8>; 4] {
    let little = |part: &&Part| part.text.len() <= 3 && part.weight < 0.2;
    let first = |part: &Part| part.text.first();
    let with_form = |part: &Part| match part.kind {
        Kind::Legal(_) if part.text.len() <= 3 => part.text.bytes().to_vec(),
        _ => vec![first(part)],
    };
    [
        telling(name).map(first).collect(),
        telling(name).filter(|part| !little(part)).map(first).collect(),
        name.parts.iter().map(first).collect(),
        name.parts.iter().flat_map(with_form).collect(),
    ]
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
