//! Whether a name of the index can be as near as is needed, told from what is known about its parts.
//!
//! Thousands of names have a part that is near enough: a common given name, a legal form. Most of them have
//! nothing else. So each part of the index is set against the whole name that is looked for once ([`Known`]), and
//! a name is dismissed by adding up what its parts can add. Where that is not enough, the parts whose letters
//! alone have been seen are measured, and then each pair counts.

use rustc_hash::FxHashMap;
use zerocopy::little_endian::U32;

use super::{
    bounds::Rest,
    company::REST_STEP,
    layout::View,
    marks::{MET, Marks},
    records::{Parts, Record},
    sum::{Known, Sum},
    words::{Look, Sought},
};
use crate::names::{
    Facet, Kind, LEAST_SIMILARITY, LEGAL_WEIGHT, NAME_MAX_WORDS, Part, Sides, Subject, Weights,
    worth,
};

/// Names that are passed over in a list of them cost as much together as one that is looked at.
const PASSED_OVER: usize = 16;

/// Weighs names against one that is looked for.
pub struct Scale<'s, 'q> {
    view: View<'s>,
    weights: &'s Weights,
    subject: Subject,
    sought: Vec<Sought<'q>>,
    /// The similarity that is needed.
    raw: f64,
    marks: Marks,
    /// What is known of parts that meet nothing, by their marks, and the mark of each kind of them.
    apart: Vec<Known>,
    kinds: Vec<u8>,
    /// What is known of the others.
    met: FxHashMap<u32, Known>,
    /// What counts of the parts that are sought, and of those of the name that is looked at.
    ours: Vec<Facet>,
    facets: Vec<Facet>,
    /// The parts of names that are looked at together, one after another.
    slices: Vec<&'s [U32]>,
    new: Vec<u32>,
}

/// A part that is sought as a bit; a name has no more than there are ([`NAME_MAX_WORDS`]).
fn bit(place: usize) -> u32 {
    1 << (place % 32)
}

impl<'s, 'q> Scale<'s, 'q> {
    /// For a name with these parts, of which this similarity is needed.
    pub fn new(
        view: View<'s>,
        weights: &'s Weights,
        subject: Subject,
        sought: Vec<Sought<'q>>,
        raw: f64,
        mut marks: Marks,
    ) -> Self {
        marks.clear(view.parts.len());
        let ours = sought.iter().map(|one| Facet::of(one.part())).collect();
        Self {
            view,
            weights,
            subject,
            sought,
            raw,
            marks,
            apart: Vec::new(),
            kinds: vec![0; view.part_kinds.len()],
            met: FxHashMap::default(),
            ours,
            facets: Vec::new(),
            slices: Vec::new(),
            new: Vec::new(),
        }
    }

    /// The parts that are looked for.
    pub fn sought(&self) -> &[Sought<'q>] {
        &self.sought
    }

    /// The similarity that is needed.
    pub fn raw(&self) -> f64 {
        self.raw
    }

    /// Gives the marks back.
    pub fn into_marks(self) -> Marks {
        self.marks
    }

    /// Names with a part that is alike to the one at a place, and with something else that is sought, or with so
    /// little else that the part alone is enough; `None` if all names of that part have to be looked at.
    pub fn beside(&mut self, place: usize, part: u32, parts: &mut Parts) -> Option<Vec<u32>> {
        let view = self.view;
        let company = view.companies.get(part)?;
        if !self.sought.iter().all(Sought::can_be_beside) {
            return None;
        }
        self.look(part, &view.record(part));
        let known = *self.met.get(&part)?;
        // Legal forms are in so many names that each may be there.
        let is_legal = |one: &Sought<'_>| matches!(one.part().kind, Kind::Legal(_));
        let most = 1.0 - self.raw;
        let met = known.met | bit(place);
        let (mut gained, mut words, mut as_legal) = (known.gain, Vec::new(), false);
        for (at, one) in self.sought.iter().enumerate() {
            if is_legal(one) {
                gained += one.part().weight.max(LEGAL_WEIGHT) * most.max(0.0);
                as_legal |= met & bit(at) != 0;
            } else {
                words.push((at, one.part()));
            }
        }
        // The part is one of those that it meets, and the others are left.
        let taken = words.iter().map(|(at, _)| *at).filter(|at| met & bit(*at) != 0).map(Some);
        let left: Vec<Vec<&Part>> = taken
            .chain(as_legal.then_some(None))
            .map(|taken| {
                words.iter().filter(move |(at, _)| Some(*at) != taken).map(|(_, part)| *part)
            })
            .map(Iterator::collect)
            .collect();
        let mut alone = Rest { weight: f64::INFINITY, against: f64::INFINITY };
        for left in &left {
            let mut rest = Rest::NONE;
            left.iter().for_each(|part| rest.add(part.kind, part.weight, self.weights));
            alone.weight = alone.weight.min(rest.weight);
            alone.against = alone.against.min(rest.against);
        }
        // The part alone is enough for names that have less than so many steps of something else.
        let enough = (0..=u8::MAX).find(|steps| {
            let weight = f64::from(*steps) * REST_STEP;
            // What stands against something weighs no less than what is left out.
            let others = Rest { weight, against: weight };
            !self.outweighs(gained, self.raw, 1, &alone, &others)
        });
        let enough = enough?;
        let least = left.iter().map(|left| self.least_beside(gained, left));
        let least = least.fold(f64::INFINITY, f64::min);
        let mut others = Vec::new();
        let rules = (self.subject, self.weights);
        // What stands beside it may be the one in its place where it is another of them.
        let only = met == bit(place);
        for (_, one) in self.sought.iter_mut().enumerate().filter(|(at, _)| *at != place || !only) {
            if !is_legal(one) {
                one.beside(&view, parts, &company, rules, least, &mut others);
            } else {
                // What counts as the legal form is not something else, and says more than the form itself.
                one.misspelt_beside(&view, &company, self.subject, &mut others);
            }
        }
        others.sort_unstable();
        others.dedup();
        others.retain(|other| *other != part);
        let names = view.postings.get(part as usize);
        let passed = |other: &u32| view.postings.range(*other as usize).len().min(names.len());
        if others.iter().map(passed).sum::<usize>() > names.len() * PASSED_OVER {
            return None;
        }
        let mut both = Vec::new();
        for other in others {
            in_both(view.postings.get(other as usize), names, |name| both.push(name));
        }
        // A name that has the part twice has it for both that it meets.
        let enough = if only { enough } else { enough.max(1) };
        let alone = names.iter().zip(company.rests).filter(|(_, rest)| **rest < enough);
        both.extend(alone.map(|(name, _)| name.get()));
        Some(both)
    }

    /// The least similarity that one more part must have where one part adds so much and those of these weights
    /// are also sought.
    fn least_beside(&self, gained: f64, telling: &[&Part]) -> f64 {
        let left_out = match self.subject {
            Subject::Person => self.weights.left_out_person.min(self.weights.left_out_single),
            _ => self.weights.left_out_organisation,
        };
        let is_possible = |similarity: f64| {
            let lacking = (self.raw - worth(similarity, self.weights)).max(0.0);
            // What the other side weighs is not known; less costs less.
            let matched = |weight: f64| weight / 2.0 * lacking;
            let cheapest = |weight: f64| matched(weight).min(self.raw * left_out * weight);
            let weights = || telling.iter().map(|part| part.weight);
            let all: f64 = weights().map(cheapest).sum();
            let one = |weight: f64| all - cheapest(weight) + matched(weight);
            let cost = weights().map(one).fold(f64::INFINITY, f64::min);
            gained - cost >= -1e-9
        };
        // Not below what counts as alike at all, and in steps that cannot leave out anybody.
        let steps = (1..=20u8).map(|step| LEAST_SIMILARITY + f64::from(step) / 100.0);
        steps.take_while(|similarity| !is_possible(*similarity)).last().unwrap_or(LEAST_SIMILARITY)
    }

    /// Leaves those names whose parts allow the similarity that is needed, apart from what common keys find, as far
    /// as it is known without measuring.
    pub fn dismiss(&mut self, names: &mut Vec<u32>) {
        let raw = self.raw;
        self.retain(names, |name| (*name, raw));
    }

    /// Leaves those whose name allows the similarity that is said with it. What is known of them lies far apart, so
    /// the same is fetched for all of them before the next: a core waits for many at once then.
    pub fn retain<T>(&mut self, names: &mut Vec<T>, name: impl Fn(&T) -> (u32, f64)) {
        let view = self.view;
        let mut slices = std::mem::take(&mut self.slices);
        slices.clear();
        slices.extend(names.iter().map(|one| view.names.get(name(one).0 as usize)));
        let mut new = std::mem::take(&mut self.new);
        new.clear();
        let parts = slices.iter().flat_map(|parts| parts.iter().map(|part| part.get()));
        new.extend(parts.filter(|part| self.marks.get(*part) == 0));
        let records: Vec<Record> = new.iter().map(|part| view.record(*part)).collect();
        for (part, record) in new.iter().zip(&records) {
            if self.marks.get(*part) == 0 {
                self.look(*part, record);
            }
        }
        let mut at = slices.iter();
        names.retain(|one| {
            let Some(parts) = at.next() else { return true };
            let raw = name(one).1;
            let sum = self.sum(parts, raw);
            self.is_enough(&sum, raw)
        });
        (self.slices, self.new) = (slices, new);
    }

    /// How near a name is that stays, where it has nothing in common with what is sought but parts, one by one;
    /// `None` if that is seen not to be enough.
    pub fn nearness(&mut self, name: u32, raw: f64, parts: &mut Parts) -> Option<f64> {
        let of = self.view.names.get(name as usize);
        // Only a damaged index has such.
        if of.len() > NAME_MAX_WORDS {
            return None;
        }
        if self.sum(of, raw).open != 0 {
            self.measure(of, parts);
            let sum = self.sum(of, raw);
            if !self.is_enough(&sum, raw) {
                return None;
            }
        }
        let mut facets = std::mem::take(&mut self.facets);
        facets.clear();
        facets.extend(of.iter().map(|part| self.facet(part.get(), parts)));
        let sides = Sides {
            left: &self.ours,
            right: &facets,
            person: self.subject == Subject::Person,
            weights: self.weights,
        };
        let mut found = Vec::with_capacity(of.len());
        for (i, one) in self.sought.iter().enumerate() {
            for (j, part) in of.iter().enumerate() {
                let part = part.get();
                // Most parts of a name meet nothing.
                if self.marks.get(part) != MET {
                    continue;
                }
                if let Look::Alike(similarity, how) = one.look(part, &self.view.record(part)) {
                    found.push(sides.candidate((i, 1), (j, 1), similarity, how));
                }
            }
        }
        let nearness = sides.take(found).score(&sides).clamp(0.0, 1.0);
        self.facets = facets;
        Some(nearness)
    }

    fn facet(&self, part: u32, parts: &mut Parts) -> Facet {
        let record = self.view.record(part);
        if record.kind == Kind::Particle {
            Facet::of(parts.get(&self.view, part))
        } else {
            Facet { kind: record.kind, weight: record.weight, patronym: false }
        }
    }

    /// What parts come to that were all looked at.
    fn sum(&self, parts: &[U32], raw: f64) -> Sum {
        let less = self.raw - raw;
        let mut sum = Sum::new();
        for part in parts {
            let part = part.get();
            let known = match self.marks.get(part) {
                0 => None,
                MET => self.met.get(&part),
                mark => self.apart.get(usize::from(mark) - 1),
            };
            if let Some(known) = known {
                sum.add(known, less);
            }
        }
        sum
    }

    /// Whether it is enough to match what adds something and to leave the rest, or to match one more at least.
    fn is_enough(&self, sum: &Sum, raw: f64) -> bool {
        let (plus, minus) = (&sum.plus, &sum.minus);
        let mut others = sum.others;
        if minus.met != 0
            && self.outweighs(
                sum.gained + sum.lost,
                raw,
                (plus.words | minus.words).count_ones(),
                &self.alone(plus.met | minus.met),
                &others,
            )
        {
            return true;
        }
        others.weight += minus.rest.weight;
        others.against += minus.rest.against;
        let words = plus.words.count_ones();
        self.outweighs(sum.gained, raw, words, &self.alone(plus.met), &others)
    }

    /// The parts that are looked for and are none of these.
    fn alone(&self, met: u32) -> Rest {
        let mut alone = Rest::NONE;
        for (place, one) in self.sought.iter().enumerate() {
            if met & bit(place) == 0 {
                alone.add(one.part().kind, one.part().weight, self.weights);
            }
        }
        alone
    }

    /// The similarity is what was matched over what there is: each match adds its weight times what it is
    /// worth above the least that is needed, and what is left out takes its weight times that least.
    fn outweighs(&self, gained: f64, raw: f64, words: u32, alone: &Rest, others: &Rest) -> bool {
        if raw <= 0.0 || gained <= 0.0 {
            return raw <= 0.0;
        }
        let weights = self.weights;
        let person = self.subject == Subject::Person;
        let left_out = match (person, words) {
            (true, 0 | 1) => weights.left_out_single,
            (true, _) => weights.left_out_person.min(weights.left_out_single),
            (false, _) => weights.left_out_organisation,
        };
        let contradiction =
            if person { weights.contradiction_person } else { weights.contradiction_organisation };
        let penalty = contradiction * alone.against.min(others.against)
            + left_out * alone.weight.max(others.weight);
        gained - raw * penalty >= -1e-9
    }

    /// Sets a part of the index against all that are looked for; remembered.
    fn look(&mut self, part: u32, other: &Record) {
        let mut known = Known { gain: f64::NEG_INFINITY, least: f64::INFINITY, ..Known::default() };
        for (place, one) in self.sought.iter().enumerate() {
            let worth = match one.look(part, other) {
                Look::Apart => continue,
                Look::Alike(similarity, _) => worth(similarity, self.weights),
                // If it were worth more it would have been found.
                Look::Unknown(most) => {
                    known.open |= bit(place);
                    worth(most, self.weights).min(self.raw)
                }
            };
            known.met |= bit(place);
            if (other.kind, one.part().kind) == (Kind::Word, Kind::Word) {
                known.words |= bit(place);
            }
            known.gain = known.gain.max(value(one, other, worth - self.raw));
            known.mass = known.mass.max(matched(one, other));
            known.least = known.least.min(if are_plain(one, other) {
                matched(one, other)
            } else {
                lighter(one, other)
            });
        }
        let mut alone = Rest::NONE;
        alone.add(other.kind, other.weight, self.weights);
        (known.weight, known.against) = (alone.weight, alone.against);
        let mark = if known.met == 0 { self.mark_of(other.number, &known) } else { MET };
        if mark == MET {
            self.met.insert(part, known);
        }
        if self.marks.get(part) != mark {
            self.marks.set(part, mark);
        }
    }

    /// The mark of a kind of parts that meet nothing.
    fn mark_of(&mut self, kind: usize, known: &Known) -> u8 {
        let Some(mark) = self.kinds.get_mut(kind) else { return MET };
        if *mark == 0 && self.apart.len() < usize::from(MET) - 1 {
            self.apart.push(*known);
            *mark = u8::try_from(self.apart.len()).unwrap_or(MET);
        }
        if *mark == 0 { MET } else { *mark }
    }

    /// Measures the parts of a name of which only the letters were seen.
    fn measure(&mut self, name: &[U32], parts: &mut Parts) {
        for part in name {
            let part = part.get();
            let other = self.view.record(part);
            let mut measured = false;
            for one in &mut self.sought {
                if matches!(one.look(part, &other), Look::Unknown(_)) {
                    one.measure_unknown(&self.view, parts, part, self.subject, self.weights);
                    measured = true;
                }
            }
            if measured {
                self.look(part, &other);
            }
        }
    }
}

/// Numbers that are in two lists in order.
fn in_both(one: &[U32], other: &[U32], mut found: impl FnMut(u32)) {
    let (few, mut rest) = if one.len() < other.len() { (one, other) } else { (other, one) };
    for number in few {
        // The next is near, mostly.
        let mut step = 1;
        while rest.get(step).is_some_and(|far| far < number) {
            rest = &rest[step..];
            step *= 2;
        }
        let end = rest.len().min(step + 1);
        rest = &rest[rest[..end].partition_point(|before| before < number)..];
        if rest.first() == Some(number) {
            found(number.get());
        }
    }
}

/// What a match adds that is worth so much more than is needed.
fn value(one: &Sought<'_>, other: &Record, worth: f64) -> f64 {
    worth
        * if worth > 0.0 || are_plain(one, other) {
            matched(one, other)
        } else {
            lighter(one, other)
        }
}

/// Whether a match of these counts by both weights. How one counts that is an initial or a legal form is not known
/// here, so either way.
fn are_plain(one: &Sought<'_>, other: &Record) -> bool {
    let plain = |kind: Kind| matches!(kind, Kind::Word | Kind::Number | Kind::Particle);
    plain(other.kind) && plain(one.part().kind)
}

fn matched(one: &Sought<'_>, other: &Record) -> f64 {
    f64::midpoint(one.part().weight, other.weight)
}

fn lighter(one: &Sought<'_>, other: &Record) -> f64 {
    one.part().weight.min(other.weight)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_in_both_lists_is_found_however_long_they_are() {
        let every = |step: usize, count: usize| -> Vec<U32> {
            (0..count).map(|at| U32::new(u32::try_from(at * step).unwrap())).collect()
        };
        for (one, other) in [(3, 7), (1, 1_000), (250, 256), (2, 2)] {
            for (some, others) in [(0, 5), (1, 1), (40, 4_000), (4_000, 40), (700, 700)] {
                let (left, right) = (every(one, some), every(other, others));
                let mut found = Vec::new();
                in_both(&left, &right, |number| found.push(number));
                let both = left.iter().filter(|number| right.contains(number));
                assert_eq!(found, both.map(|number| number.get()).collect::<Vec<_>>());
            }
        }
    }
}
