//! Whether a name of the index can be as near as is needed, told from what is known about its parts.
//!
//! Thousands of names have a part that is near enough: a common given name, a legal form. Most of them have
//! nothing else. So each part of the index is set against the whole name that is looked for once ([`Known`]), and
//! a name is dismissed by adding up what its parts can add. Where that is not enough, the parts whose letters
//! alone have been seen are measured, and then each pair counts.

use zerocopy::little_endian::U32;

use super::{
    bounds::Rest,
    layout::View,
    words::{Look, Parts, Record, Sought},
};
use crate::names::{Kind, Subject, Weights, worth};

/// What is known of a part of the index against all parts that are looked for.
#[derive(Clone, Copy, Default)]
struct Known {
    /// The most it can add.
    gain: f64,
    /// What it weighs if it is left out.
    weight: f64,
    /// What it weighs if it contradicts.
    against: f64,
    /// Those that it may be, a bit each.
    met: u32,
    /// Those of them that are words, as it is.
    words: u32,
    /// Those of them that have not been measured.
    open: u32,
}

/// What the parts of a name come to.
#[derive(Default)]
struct Sum {
    gained: f64,
    others: Rest,
    met: u32,
    words: u32,
    open: u32,
}

impl Sum {
    fn add(&mut self, known: &Known) {
        self.gained += known.gain;
        self.met |= known.met;
        self.words |= known.words;
        self.open |= known.open;
        if known.met == 0 {
            self.others.weight += known.weight;
            self.others.against += known.against;
        }
    }
}

/// Weighs names against one that is looked for.
pub struct Scale<'s, 'q> {
    view: View<'s>,
    weights: &'s Weights,
    subject: Subject,
    sought: Vec<Sought<'q>>,
    /// The similarity that is needed.
    raw: f64,
    /// For each part of the index where it is in `known`, and one more; 0 if it was not looked at.
    places: Vec<u32>,
    known: Vec<Known>,
    /// The parts of the name that is looked at.
    records: Vec<Record>,
    /// The parts of names that are looked at together, one after another, and where what is known of each is.
    slices: Vec<&'s [U32]>,
    parts: Vec<u32>,
    found: Vec<u32>,
}

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
    ) -> Self {
        Self {
            view,
            weights,
            subject,
            sought,
            raw,
            places: vec![0; view.parts.len()],
            known: Vec::new(),
            records: Vec::new(),
            slices: Vec::new(),
            parts: Vec::new(),
            found: Vec::new(),
        }
    }

    /// The parts that are looked for.
    pub fn sought(&self) -> &[Sought<'q>] {
        &self.sought
    }

    /// Leaves those names whose parts allow the similarity that is needed, apart from what common keys find, as far
    /// as it is known without measuring. What is known of them lies far apart, so the same is fetched for all of
    /// them before the next: a core waits for many at once then.
    pub fn dismiss(&mut self, names: &mut Vec<u32>) {
        let view = self.view;
        self.slices.clear();
        self.slices.extend(names.iter().map(|name| view.names.get(*name as usize)));
        self.parts.clear();
        self.slices.iter().for_each(|parts| self.parts.extend(parts.iter().map(|part| part.get())));
        self.found.clear();
        let places = &self.places;
        let place = |part: &u32| places.get(*part as usize).copied().unwrap_or(0);
        self.found.extend(self.parts.iter().map(place));
        for at in 0..self.found.len() {
            if self.found[at] == 0 {
                let part = self.parts[at];
                self.look(part);
                self.found[at] = self.places.get(part as usize).copied().unwrap_or(0);
            }
        }
        let mut from = 0;
        let mut stays = Vec::with_capacity(names.len());
        for parts in &self.slices {
            let of = &self.found[from..from + parts.len()];
            from += parts.len();
            let mut sum = Sum::default();
            for place in of {
                if let Some(known) = self.known.get((*place as usize).wrapping_sub(1)) {
                    sum.add(known);
                }
            }
            stays.push(self.is_enough(&sum));
        }
        let mut stays = stays.into_iter();
        names.retain(|_| stays.next().unwrap_or(true));
    }

    /// The same for one that stays, with all of it measured.
    pub fn may_reach(&mut self, name: u32, parts: &mut Parts) -> bool {
        let sum = self.sum(name);
        if sum.open != 0 {
            self.measure(name, parts);
            let sum = self.sum(name);
            if !self.is_enough(&sum) {
                return false;
            }
        }
        self.reaches(name, self.raw, parts)
    }

    fn sum(&mut self, name: u32) -> Sum {
        let mut sum = Sum::default();
        for part in self.view.names.get(name as usize) {
            let part = part.get();
            let place = self.places.get(part as usize).copied().unwrap_or(0);
            let known = match self.known.get((place as usize).wrapping_sub(1)) {
                Some(known) => *known,
                None => self.look(part),
            };
            sum.add(&known);
        }
        sum
    }

    fn is_enough(&self, sum: &Sum) -> bool {
        let mut alone = Rest::default();
        for (place, one) in self.sought.iter().enumerate() {
            if sum.met & bit(place) == 0 {
                alone.add(one.part().kind, one.part().weight, self.weights.least_contradiction);
            }
        }
        let words = sum.words.count_ones();
        // Many parts share a bit.
        let words = if self.sought.len() > 32 { words.max(2) } else { words };
        self.outweighs(sum.gained, self.raw, words, &alone, &sum.others)
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
    fn look(&mut self, part: u32) -> Known {
        let other = self.view.record(part);
        let mut known = Known::default();
        for (place, one) in self.sought.iter().enumerate() {
            let worth = match one.look(part, &other) {
                Look::Apart => continue,
                Look::Alike(similarity) => worth(similarity, self.weights),
                // If it were worth more it would have been found.
                Look::Unknown => {
                    known.open |= bit(place);
                    self.raw
                }
            };
            known.met |= bit(place);
            if (other.kind, one.part().kind) == (Kind::Word, Kind::Word) {
                known.words |= bit(place);
            }
            known.gain = known.gain.max(value(one, &other, worth - self.raw));
        }
        let mut alone = Rest::default();
        alone.add(other.kind, other.weight, self.weights.least_contradiction);
        (known.weight, known.against) = (alone.weight, alone.against);
        match self.places.get_mut(part as usize) {
            Some(0) => {
                self.known.push(known);
                let count = u32::try_from(self.known.len()).unwrap_or(0);
                self.places[part as usize] = count;
            }
            Some(place) => self.known[*place as usize - 1] = known,
            None => {}
        }
        known
    }

    /// Measures the parts of a name of which only the letters were seen.
    fn measure(&mut self, name: u32, parts: &mut Parts) {
        for part in self.view.names.get(name as usize) {
            let part = part.get();
            let other = self.view.record(part);
            let mut measured = false;
            for one in &mut self.sought {
                if matches!(one.look(part, &other), Look::Unknown) {
                    let read = parts.get(&self.view, part);
                    one.measure(part, read, self.subject, self.weights);
                    measured = true;
                }
            }
            if measured {
                self.look(part);
            }
        }
    }

    /// Whether a name can be so similar, with each pair of parts measured.
    pub fn reaches(&mut self, name: u32, raw: f64, read: &mut Parts) -> bool {
        let view = self.view;
        let parts = view.names.get(name as usize);
        self.records.clear();
        self.records.extend(parts.iter().map(|part| view.record(part.get())));
        let mut met = 0u32;
        let (mut gained, mut alone) = (0.0, Rest::default());
        let mut words = 0;
        for one in &mut self.sought {
            let mut best: Option<f64> = None;
            let mut word = false;
            for (place, (number, other)) in parts.iter().zip(&self.records).enumerate() {
                let number = number.get();
                let similarity = match one.look(number, other) {
                    Look::Apart => None,
                    Look::Alike(similarity) => Some(similarity),
                    Look::Unknown => {
                        one.measure(number, read.get(&view, number), self.subject, self.weights)
                    }
                };
                let Some(similarity) = similarity else { continue };
                met |= bit(place);
                let value = value(one, other, worth(similarity, self.weights) - raw);
                best = Some(best.unwrap_or(f64::MIN).max(value));
                word |= other.kind == Kind::Word;
            }
            match best {
                Some(best) => {
                    gained += best.max(0.0);
                    words += u32::from(word && one.part().kind == Kind::Word);
                }
                None => {
                    alone.add(one.part().kind, one.part().weight, self.weights.least_contradiction);
                }
            }
        }
        let mut others = Rest::default();
        for (place, other) in self.records.iter().enumerate() {
            if met & bit(place) == 0 {
                others.add(other.kind, other.weight, self.weights.least_contradiction);
            }
        }
        self.outweighs(gained, raw, words, &alone, &others)
    }
}

/// What a match adds that is worth so much more than is needed.
fn value(one: &Sought<'_>, other: &Record, worth: f64) -> f64 {
    // How a match counts that is an initial or a legal form is not known here, so either way.
    let plain = |kind: Kind| matches!(kind, Kind::Word | Kind::Number | Kind::Particle);
    let (ours, theirs) = (one.part().weight, other.weight);
    let weight = match worth > 0.0 {
        _ if plain(other.kind) && plain(one.part().kind) => (ours + theirs) / 2.0,
        true => (ours + theirs) / 2.0,
        false => ours.min(theirs),
    };
    weight * worth
}
