//! The index of a new version of a list, made of that of a version before.
//!
//! Most of a list is the same from one version to the next. What is the same, by its text, stays where it is in
//! the index there was; only the rest is read and gets a small index. Beside that is kept which entities of the
//! one before are still there and which numbers they have now: in runs, since few move. Who searches asks both
//! indexes and leaves out whom the new version does not have. Numbers are those that a whole index would give,
//! so the answer is the same to the last place.

use std::{
    io::{self, Write},
    ops::Range,
};

use rustc_hash::FxHashMap;
use zerocopy::little_endian::{U32, U64};

use super::{
    build::{IndexBuilder, Place, long},
    file::{IndexError, Sections},
    layout::section,
    segment::Segment,
};
/// What is new, gone or moved is only worth an index of its own while it is at most this part of the list.
const CHANGES_MAX_SHARE: usize = 8;

/// Entities of the version before that follow each other in the new one as well.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Run {
    /// The number of the first in the new version.
    number: u32,
    /// The number of the first in the version before.
    before: u32,
    count: u32,
    /// Where the text of the first is in the new version.
    offset: u64,
}

impl Run {
    fn numbers(&self) -> Range<u32> {
        self.number..self.number.saturating_add(self.count)
    }

    fn entities(&self) -> Range<u32> {
        self.before..self.before.saturating_add(self.count)
    }
}

/// The index of a new version that is being made.
pub struct Update {
    base: Segment,
    runs: Vec<Run>,
    /// How many entities are not of the version before.
    new: usize,
    /// Entities of the version before that are in the new one, a bit each.
    kept: Vec<u64>,
    kept_count: usize,
    /// Entities of the version before by the sums of their texts; made when one is not where it was.
    by_check: Option<FxHashMap<u64, u32>>,
}

impl Update {
    /// Nothing yet of the new version.
    pub(super) fn of(base: Segment) -> Self {
        Self {
            runs: Vec::new(),
            new: 0,
            kept: vec![0; base.len().div_ceil(64)],
            base,
            kept_count: 0,
            by_check: None,
        }
    }

    /// The next entity of the new version. If its text is one of the version before, with the same length and the
    /// same sum, that is all; `false` if it is not, and must be added to what is new.
    pub fn keep(&mut self, place: Place) -> bool {
        let next = self.runs.last().map_or(0, |run| run.entities().end);
        let Some(entity) = self.unchanged(next, place).or_else(|| self.moved(place)) else {
            self.new += 1;
            return false;
        };
        let number = long(self.len());
        self.kept[entity as usize / 64] |= 1 << (entity % 64);
        self.kept_count += 1;
        let text = |entity| self.base.place(entity).unwrap_or_default();
        let last = self.runs.last_mut().filter(|run| {
            let (own, first) = (text(entity).offset, text(run.before).offset);
            let apart = own.checked_sub(first);
            run.entities().end == entity
                && run.numbers().end == number
                && apart.and_then(|apart| run.offset.checked_add(apart)) == Some(place.offset)
        });
        match last {
            Some(run) => run.count += 1,
            None => {
                self.runs.push(Run { number, before: entity, count: 1, offset: place.offset });
            }
        }
        true
    }

    /// An entity of the version before, if it has this text and is not in the new version yet.
    fn unchanged(&self, entity: u32, place: Place) -> Option<u32> {
        let own = self.base.place(entity)?;
        let free = self.kept.get(entity as usize / 64)? & (1 << (entity % 64)) == 0;
        (free && own.check == place.check && own.length == place.length).then_some(entity)
    }

    fn moved(&mut self, place: Place) -> Option<u32> {
        let by_check = self.by_check.get_or_insert_with(|| {
            let checks: &[U64] = self.base.image.get(section::ENTITY_CHECKS);
            checks.iter().map(|check| check.get()).zip(0..).collect()
        });
        let entity = *by_check.get(&place.check)?;
        self.unchanged(entity, place)
    }

    /// How many entities there are.
    fn len(&self) -> usize {
        self.kept_count + self.new
    }

    /// Whether so much is new or moved that a whole index is better; once it is, it stays so.
    pub fn is_too_much(&self) -> bool {
        self.new.max(self.runs.len()) > self.base.len() / CHANGES_MAX_SHARE
    }

    /// Writes the index of what is `new`, in the order in which it came, for [`super::Index::open_updated`].
    /// `list` is the SHA-256 of the new version. `false`, and nothing is written, if so much is new, moved or gone
    /// that a whole index is better.
    pub fn write(
        self,
        new: IndexBuilder,
        list: [u8; 32],
        out: &mut impl Write,
    ) -> io::Result<bool> {
        if new.len() != self.new {
            return Err(io::Error::other("not all of what is new was added, or more than that"));
        }
        let gone = self.base.len() - self.kept_count;
        if self.is_too_much() || gone > self.base.len() / CHANGES_MAX_SHARE {
            return Ok(false);
        }
        new.write_into(written(&self.runs, &self.base), list, out).map(|()| true)
    }
}

/// The sections of runs.
fn written(runs: &[Run], base: &Segment) -> Sections {
    let mut file = Sections::new();
    let numbers = runs.iter().flat_map(|run| [run.number, run.before, run.count]);
    file.numbers(section::RUNS, &numbers.collect::<Vec<_>>());
    let offsets = runs.iter().map(|run| run.offset);
    file.long(section::RUN_OFFSETS, &offsets.collect::<Vec<_>>());
    file.bytes(section::BASE, base.image.list.to_vec());
    file
}

/// What is new since the version before, and where the rest of it is now.
pub struct Updated {
    /// The index of what is new.
    pub new: Segment,
    /// In order of the new version.
    runs: Vec<Run>,
    /// How many entities each run and those before it have.
    ends: Vec<u32>,
    /// Places of runs, in order of the version before.
    by_entity: Vec<u32>,
}

impl Updated {
    /// From the bytes that [`Update`] has written, for this version before.
    pub fn open(
        base: &Segment,
        bytes: impl AsRef<[u8]> + Send + Sync + 'static,
    ) -> Result<Self, IndexError> {
        let new = Segment::of_any(bytes)?;
        if new.image.get::<u8>(section::BASE) != base.image.list {
            return Err(IndexError::Base);
        }
        let numbers: &[[U32; 3]] = new.image.get(section::RUNS);
        let offsets: &[U64] = new.image.get(section::RUN_OFFSETS);
        let run = |([number, before, count], offset): (&[U32; 3], &U64)| Run {
            number: number.get(),
            before: before.get(),
            count: count.get(),
            offset: offset.get(),
        };
        let runs: Vec<Run> = numbers.iter().zip(offsets).map(run).collect();
        let mut by_entity: Vec<u32> = (0..).take(runs.len()).collect();
        by_entity.sort_unstable_by_key(|at| runs[*at as usize].before);
        let mut sum = 0u32;
        let ends = runs.iter().map(|run| {
            sum = sum.saturating_add(run.count);
            sum
        });
        let ends = ends.collect();
        let whole = numbers.len() == offsets.len();
        let updated = Self { new, runs, ends, by_entity };
        if whole && updated.fits(base) { Ok(updated) } else { Err(IndexError::Damaged) }
    }

    /// Whether no entity and no number is in two runs, and all are there.
    fn fits(&self, base: &Segment) -> bool {
        let by_entity = self.by_entity.iter().filter_map(|at| self.runs.get(*at as usize));
        are_apart(self.runs.iter().map(Run::numbers), self.len())
            && are_apart(by_entity.map(Run::entities), base.len())
            && u32::try_from(self.len()).is_ok()
    }

    /// SHA-256 of the new version.
    pub fn list(&self) -> [u8; 32] {
        self.new.image.list
    }

    /// How many entities the new version has.
    pub fn len(&self) -> usize {
        self.ends.last().map_or(0, |end| *end as usize) + self.new.len()
    }

    /// Bytes of the file.
    pub fn bytes(&self) -> usize {
        self.new.image.len()
    }

    /// Where the text of an entity of the new version is.
    pub fn place(&self, base: &Segment, number: u32) -> Option<Place> {
        let after = self.runs.partition_point(|run| run.number <= number);
        let last = after.checked_sub(1).and_then(|at| self.runs.get(at));
        let Some(run) = last.filter(|run| run.numbers().contains(&number)) else {
            return self.new.place(number.checked_sub(self.kept_before(after))?);
        };
        let first = base.place(run.before)?;
        let own = base.place(run.before + (number - run.number))?;
        // Their texts follow each other here as they did there.
        let offset = run.offset.checked_add(own.offset.checked_sub(first.offset)?)?;
        Some(Place { offset, ..own })
    }

    /// The number that an entity of the version before has in the new one.
    pub fn number_of_kept(&self, entity: u32) -> Option<u32> {
        let run = |at: &u32| &self.runs[*at as usize];
        let after = self.by_entity.partition_point(|at| run(at).before <= entity);
        let run = run(self.by_entity.get(after.checked_sub(1)?)?);
        run.entities().contains(&entity).then(|| run.number + (entity - run.before))
    }

    /// The number that an entity of what is new has in the new version.
    pub fn number_of_new(&self, entity: u32) -> Option<u32> {
        let (mut from, mut to) = (0, self.runs.len());
        // How many runs come before it: those before which there are at most so many that are new.
        while from < to {
            let middle = from.midpoint(to);
            if self.runs[middle].number - self.kept_before(middle) <= entity {
                from = middle + 1;
            } else {
                to = middle;
            }
        }
        entity.checked_add(self.kept_before(from))
    }

    /// How many entities the first runs have.
    fn kept_before(&self, runs: usize) -> u32 {
        runs.checked_sub(1).and_then(|last| self.ends.get(last)).map_or(0, |end| *end)
    }
}

/// Whether ranges come one after the other, none is empty, and the last ends by `end`.
fn are_apart(mut ranges: impl Iterator<Item = Range<u32>>, end: usize) -> bool {
    let mut last = 0;
    let apart = ranges.all(|range| {
        let fits = last <= range.start && range.start < range.end;
        last = range.end;
        fits
    });
    apart && last as usize <= end
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::allow_attributes, reason = "a test fails by panicking")]

    use super::*;
    use crate::{Entity, Schema, index::Index};

    fn built(count: usize) -> IndexBuilder {
        let mut builder = IndexBuilder::new();
        for number in 0..count {
            let mut entity = Entity::new(Schema::Person);
            entity.add("name", &format!("Anna Berg {number}"));
            let place = Place { offset: number as u64 * 10, length: 10, check: number as u64 };
            builder.add(&entity, place);
        }
        builder
    }

    fn file(builder: IndexBuilder, sections: Sections) -> Vec<u8> {
        let mut file = Vec::new();
        builder.write_into(sections, [1; 32], &mut file).unwrap();
        file
    }

    #[test]
    fn runs_that_cannot_be_are_refused() {
        let base = || file(built(10), Sections::new());
        let opened = |runs: &[(u32, u32, u32)], new: usize| {
            let run = |(number, before, count): &(u32, u32, u32)| Run {
                number: *number,
                before: *before,
                count: *count,
                offset: u64::from(*number) * 10,
            };
            let runs: Vec<Run> = runs.iter().map(run).collect();
            let update = file(built(new), written(&runs, &Segment::open(base()).unwrap()));
            Index::open_updated(base(), update)
        };
        let good = opened(&[(0, 5, 5), (7, 0, 2)], 2).unwrap();
        assert_eq!(good.len(), 9);
        let offset = |number| good.place(number).map(|place| (place.offset, place.check));
        assert_eq!((offset(0), offset(4)), (Some((0, 5)), Some((40, 9))));
        assert_eq!((offset(5), offset(6)), (Some((0, 0)), Some((10, 1))));
        assert_eq!((offset(7), offset(8)), (Some((70, 0)), Some((80, 1))));
        assert_eq!((offset(9), offset(u32::MAX)), (None, None));
        for (runs, new) in [
            // A number or an entity twice.
            (&[(0, 0, 5), (4, 5, 5)][..], 2),
            (&[(0, 0, 5), (5, 4, 5)], 0),
            // Not in order.
            (&[(5, 0, 5), (0, 5, 5)], 0),
            // Not of the version before.
            (&[(0, 6, 5)], 0),
            (&[(0, u32::MAX, 1)], 0),
            (&[(0, 0, u32::MAX), (0, 0, u32::MAX)], 3),
            // More numbers than there are entities.
            (&[(1, 0, 10)], 0),
            (&[(u32::MAX, 0, 10)], 0),
            (&[(0, 0, 0)], 1),
        ] {
            assert_eq!(opened(runs, new).err(), Some(IndexError::Damaged), "{runs:?}");
        }
    }

    #[test]
    fn what_cannot_go_together_is_refused() {
        let base = file(built(10), Sections::new());
        let (mut other, mut update) = (Vec::new(), Vec::new());
        built(10).write([2; 32], &mut other).unwrap();
        let mut making = Index::open(base.clone()).unwrap().into_update();
        assert!((0..10).all(|number| {
            making.keep(Place { offset: 50 + number * 10, length: 10, check: number })
        }));
        assert!(making.write(IndexBuilder::new(), [3; 32], &mut update).unwrap());
        let opened = Index::open_updated(base.clone(), update.clone()).unwrap();
        assert_eq!((opened.list(), opened.len()), ([3; 32], 10));
        assert_eq!(opened.place(9).unwrap().offset, 140);
        assert_eq!(Index::open(update.clone()).err(), Some(IndexError::Base));
        assert_eq!(Index::open_updated(other, update.clone()).err(), Some(IndexError::Base));
        assert_eq!(Index::open_updated(base.clone(), base.clone()).err(), Some(IndexError::Base));
        assert_eq!(Index::open_updated(update.clone(), update).err(), Some(IndexError::Base));

        // Somebody forgot what is new.
        let mut making = Index::open(base).unwrap().into_update();
        assert!(!making.keep(Place { offset: 0, length: 9, check: 0 }));
        assert!(making.write(IndexBuilder::new(), [3; 32], &mut Vec::new()).is_err());
    }
}
