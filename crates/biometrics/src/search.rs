use std::collections::HashMap;

use fearless_simd::{Level, Simd, dispatch};

use crate::template::{Template, cosine};

/// Faces in a block: each is one allocation, so that a million of them grow without being copied.
const BLOCK: usize = 4_096;
/// The first numbers of a face that are looked at for all, in sixteenths. A search is as fast as memory is read, and
/// the rest cannot make up for it if these are too far away, which is so for nearly everybody else.
const HEAD_SIXTEENTHS: usize = 11;
/// Numbers that are multiplied at once by the widest processors, twice.
const WIDE: usize = 64;
/// Parts of a block that are read beside each other.
const STREAMS: usize = 4;
/// Rounding of the bound: nobody is left out for it.
const SLACK: f32 = 1e-4;

/// Who was found.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Hit {
    /// As it was put in.
    pub id: u128,
    /// The cosine, -1 to 1.
    pub score: f64,
}

/// Faces in memory, all looked at by each search: whoever is there is found, and whoever was removed is gone at once.
/// Those of one tenant and one model are in one.
pub struct FaceIndex {
    dimensions: usize,
    head: usize,
    blocks: Vec<Block>,
    places: HashMap<u128, usize>,
    level: Level,
}

#[derive(Default)]
struct Block {
    ids: Vec<u128>,
    scales: Vec<f32>,
    /// The length of the rest of each.
    tail_lengths: Vec<f32>,
    heads: Vec<i8>,
    tails: Vec<i8>,
}

impl std::fmt::Debug for FaceIndex {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "FaceIndex({})", self.len())
    }
}

impl FaceIndex {
    /// Of faces with so many numbers.
    pub fn new(dimensions: usize) -> Self {
        let dimensions = dimensions.max(1);
        let head =
            (dimensions * HEAD_SIXTEENTHS).div_ceil(16).next_multiple_of(WIDE).min(dimensions);
        Self { dimensions, head, blocks: Vec::new(), places: HashMap::new(), level: Level::new() }
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.places.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.places.is_empty()
    }

    /// How many numbers each has.
    pub fn dimensions(&self) -> usize {
        self.dimensions
    }

    /// Adds one, or puts it in the place of another of the same id; `false` if it is not as long as the others.
    pub fn insert(&mut self, id: u128, template: &Template) -> bool {
        let (scale, numbers) = template.parts();
        if numbers.len() != self.dimensions {
            return false;
        }
        self.remove(id);
        if self.blocks.last().is_none_or(|block| block.ids.len() == BLOCK) {
            self.blocks.push(Block::default());
        }
        let before = self.blocks.len().saturating_sub(1) * BLOCK;
        let Some(block) = self.blocks.last_mut() else { return false };
        self.places.insert(id, before + block.ids.len());
        let (head, tail) = numbers.split_at(self.head);
        block.ids.push(id);
        block.scales.push(scale);
        block.tail_lengths.push(scale * length(tail));
        block.heads.extend_from_slice(head);
        block.tails.extend_from_slice(tail);
        true
    }

    /// Removes one: the last takes its place, and what was there is overwritten. `false` if it is not there.
    pub fn remove(&mut self, id: u128) -> bool {
        let Some(place) = self.places.remove(&id) else { return false };
        let (head, tail) = (self.head, self.dimensions - self.head);
        let Some(last) = self.blocks.last_mut().and_then(|block| block.pop(head, tail)) else {
            return false;
        };
        if self.blocks.last().is_some_and(|block| block.ids.is_empty()) {
            self.blocks.pop();
        }
        if last.id != id {
            self.blocks[place / BLOCK].put(place % BLOCK, &last);
            self.places.insert(last.id, place);
        }
        true
    }

    /// Keeps those of these ids alone.
    pub fn retain(&mut self, is_kept: impl Fn(u128) -> bool) {
        let gone: Vec<u128> = self.places.keys().copied().filter(|id| !is_kept(*id)).collect();
        for id in gone {
            self.remove(id);
        }
    }

    /// Those at least so near, the nearest first, and at most so many. The same faces are always found in the same
    /// order.
    pub fn search(&self, template: &Template, from: f64, most: usize) -> Vec<Hit> {
        let (scale, numbers) = template.parts();
        if numbers.len() != self.dimensions || most == 0 {
            return Vec::new();
        }
        let wide: Vec<i16> = numbers.iter().map(|number| i16::from(*number)).collect();
        let (head, tail) = wide.split_at(self.head);
        let tail_length = scale * length(&numbers[self.head..]);
        let mut found: Vec<Hit> = Vec::new();
        let mut least = from;
        let mut dots = Vec::with_capacity(BLOCK);
        for block in &self.blocks {
            dots.clear();
            dispatch!(self.level, simd => all_dots(simd, head, &block.heads, &mut dots));
            let bounds = block.scales.iter().zip(&block.tail_lengths);
            for (at, (dot, (other, length))) in dots.iter().zip(bounds).enumerate() {
                // No two tails of these lengths have a greater product (Cauchy and Schwarz).
                if f64::from(short(*dot) * scale * other + tail_length * length + SLACK) < least {
                    continue;
                }
                let rest = tail.len();
                let dot = dot + self::dot(tail, &block.tails[at * rest..(at + 1) * rest]);
                let score = cosine(dot, scale, *other);
                if score >= least {
                    found.push(Hit { id: block.ids[at], score });
                }
            }
            // Whoever is not among the first now never is.
            if found.len() > 4 * most + BLOCK {
                first(&mut found, most);
                least = found.last().map_or(from, |hit| hit.score);
            }
        }
        first(&mut found, most);
        found
    }
}

/// One that was taken out.
struct Taken {
    id: u128,
    scale: f32,
    tail_length: f32,
    head: Vec<i8>,
    tail: Vec<i8>,
}

impl Block {
    /// Takes out the last, and overwrites where it was.
    fn pop(&mut self, head: usize, tail: usize) -> Option<Taken> {
        let take = |numbers: &mut Vec<i8>, length: usize| {
            let start = numbers.len() - length;
            let taken = numbers[start..].to_vec();
            numbers[start..].fill(0);
            numbers.truncate(start);
            taken
        };
        Some(Taken {
            id: self.ids.pop()?,
            scale: self.scales.pop()?,
            tail_length: self.tail_lengths.pop()?,
            head: take(&mut self.heads, head),
            tail: take(&mut self.tails, tail),
        })
    }

    fn put(&mut self, at: usize, one: &Taken) {
        self.ids[at] = one.id;
        self.scales[at] = one.scale;
        self.tail_lengths[at] = one.tail_length;
        let (head, tail) = (one.head.len(), one.tail.len());
        self.heads[at * head..(at + 1) * head].copy_from_slice(&one.head);
        self.tails[at * tail..(at + 1) * tail].copy_from_slice(&one.tail);
    }
}

fn length(numbers: &[i8]) -> f32 {
    let squares: i32 = numbers.iter().map(|number| i32::from(*number).pow(2)).sum();
    short(squares).sqrt()
}

#[expect(clippy::cast_precision_loss, reason = "of 24 bits, which is what the slack is for")]
fn short(number: i32) -> f32 {
    number as f32
}

fn first(found: &mut Vec<Hit>, most: usize) {
    found.sort_unstable_by(|one, two| two.score.total_cmp(&one.score).then(one.id.cmp(&two.id)));
    found.truncate(most);
}

/// The products of one with each of many. Everything is inlined, so that it is compiled for each kind of processor. Four
/// parts of them are read beside each other: a processor fetches each in advance, and one alone keeps it waiting.
#[inline(always)]
fn all_dots<S: Simd>(simd: S, one: &[i16], many: &[i8], dots: &mut Vec<i32>) {
    simd.vectorize(
        #[inline(always)]
        || {
            let length = one.len();
            let rows = many.len() / length;
            let part = rows / STREAMS;
            dots.resize(rows, 0);
            for row in 0..part {
                for stream in 0..STREAMS {
                    let at = stream * part + row;
                    dots[at] = dot(one, &many[at * length..(at + 1) * length]);
                }
            }
            for at in STREAMS * part..rows {
                dots[at] = dot(one, &many[at * length..(at + 1) * length]);
            }
        },
    );
}

#[inline(always)]
fn dot(one: &[i16], two: &[i8]) -> i32 {
    one.iter().zip(two).map(|(a, b)| i32::from(*a) * i32::from(*b)).sum()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const DIMENSIONS: usize = 24;

    fn numbers() -> impl Strategy<Value = Vec<f32>> {
        // Of few different numbers, so that many are near and some are the same.
        prop::collection::vec(prop::sample::select(vec![-1.0f32, -0.3, 0.0, 0.4, 1.0]), DIMENSIONS)
            .prop_filter("nothing", |numbers| numbers.iter().any(|number| *number != 0.0))
    }

    /// What is put in and taken out again.
    fn changes() -> impl Strategy<Value = Vec<(u128, Option<Vec<f32>>)>> {
        prop::collection::vec((0u128..40, prop::option::weighted(0.8, numbers())), 0..120)
    }

    proptest! {
        /// Whatever was put in and taken out, a search finds what looking at each of them finds.
        #[test]
        fn whoever_is_there_is_found(changes in changes(), asked in numbers(),
                                     from in -1.0f64..1.0, most in 0usize..20) {
            let mut index = FaceIndex::new(DIMENSIONS);
            let mut there = std::collections::BTreeMap::new();
            for (id, change) in changes {
                match change {
                    Some(numbers) => {
                        let template = Template::of(&numbers).unwrap();
                        prop_assert!(index.insert(id, &template));
                        there.insert(id, template);
                    }
                    None => prop_assert_eq!(index.remove(id), there.remove(&id).is_some()),
                }
            }
            prop_assert_eq!(index.len(), there.len());
            let asked = Template::of(&asked).unwrap();
            let mut expected: Vec<Hit> = there
                .iter()
                .map(|(id, other)| Hit { id: *id, score: asked.cosine(other).unwrap() })
                .filter(|hit| hit.score >= from)
                .collect();
            first(&mut expected, most);
            prop_assert_eq!(index.search(&asked, from, most), expected);
        }
    }

    #[test]
    fn more_than_a_block_is_searched_and_emptied() {
        let mut index = FaceIndex::new(8);
        let one = |at: u16| {
            let bits: Vec<f32> = (0..8u16).map(|bit| f32::from(at >> bit & 1) + 0.1).collect();
            Template::of(&bits).unwrap()
        };
        let count = 2 * BLOCK + 5;
        for (at, id) in (0u16..251).cycle().zip(0..count as u128) {
            assert!(index.insert(id, &one(at)));
        }
        let hits = index.search(&one(7), 0.999, 3);
        assert_eq!(hits.iter().map(|hit| hit.id).collect::<Vec<_>>(), [7, 7 + 251, 7 + 502]);
        assert_eq!(index.search(&one(7), -1.0, 5_000).len(), 5_000);
        for id in 0..count as u128 {
            assert!(index.remove(id));
        }
        assert!(index.is_empty() && index.blocks.is_empty());
        assert!(index.search(&one(7), -1.0, 5).is_empty());
        assert!(!index.insert(1, &Template::of(&[1.0; 9]).unwrap()));
    }
}
