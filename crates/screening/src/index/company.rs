//! What stands beside the parts that many names have.
//!
//! A common given name is in tens of thousands of names, nearly all of which have nothing else that is sought.
//! So for each such part the index keeps the forms of the words that stand beside it. Where the part alone is
//! not enough, only those names are looked at in which something near another part that is sought stands
//! beside it: few forms are searched to find them, and the many names are not touched. Where it is enough, names
//! that have much else beside it are not, and what else they have is kept in one byte for each.

use rustc_hash::FxHashSet;
use zerocopy::little_endian::U32;

use super::{
    file::{Image, Sections, Table},
    layout::section,
};

/// Names from which on a part is common.
pub const COMMON_NAMES: usize = 1_000;

/// The common parts of an index.
#[derive(Clone, Copy)]
pub struct Companies<'a> {
    /// Their numbers, in order.
    parts: &'a [U32],
    /// Forms of words in Latin and kindred scripts beside each, by their places in order.
    forms: Table<'a, U32>,
    /// Parts of other scripts beside each.
    others: Table<'a, U32>,
    /// What else the names of each have, in the order of its names, in steps of [`REST_STEP`].
    rests: Table<'a, u8>,
}

/// What is kept of what names have beside a part: a step of its weight, rounded down.
pub const REST_STEP: f64 = 1.0 / 32.0;

/// What stands beside a part.
#[derive(Clone, Copy)]
pub struct Company<'a> {
    /// Forms by their places.
    pub forms: &'a [U32],
    /// Parts of other scripts.
    pub others: &'a [U32],
    /// What else each name has that is no legal form, in steps of [`REST_STEP`]; nothing for one that has the part
    /// twice.
    pub rests: &'a [u8],
}

impl<'a> Companies<'a> {
    /// Of an image.
    pub fn of(image: &'a Image) -> Self {
        let table = |at: u32| Table::new(image.get(at), image.get(at + 1));
        let at = section::COMPANY + 5;
        Self {
            parts: image.get(section::COMPANY),
            forms: table(section::COMPANY + 1),
            others: table(section::COMPANY + 3),
            rests: Table::new(image.get(at), image.get(at + 1)),
        }
    }

    /// What stands beside a part, if it is common.
    pub fn get(&self, part: u32) -> Option<Company<'a>> {
        let at = self.parts.binary_search_by_key(&part, |one| one.get()).ok()?;
        Some(Company {
            forms: self.forms.get(at),
            others: self.others.get(at),
            rests: self.rests.get(at),
        })
    }

    /// Writes what stands beside each part that has at least `common` names. `postings` gives the names of a
    /// part, `parts` the parts of a name, `form` the place of the form of a part, if it is in a script that has
    /// one here, `weight` what a part says that is no legal form.
    pub fn write<'p>(
        file: &mut Sections,
        common: usize,
        count: usize,
        postings: impl Fn(usize) -> &'p [u32],
        parts: impl Fn(u32) -> &'p [u32],
        form: impl Fn(u32) -> Option<u32>,
        weight: impl Fn(u32) -> f64,
    ) {
        let (mut numbers, mut forms, mut others) = (Vec::new(), Vec::new(), Vec::new());
        let (mut form_ends, mut other_ends) = (vec![0], vec![0]);
        let (mut rests, mut rest_ends) = (Vec::new(), vec![0]);
        let long = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
        for part in (0..count).filter(|part| postings(*part).len() >= common) {
            let mut beside: FxHashSet<u32> = FxHashSet::default();
            beside.extend(postings(part).iter().flat_map(|name| parts(*name)));
            let mut places: Vec<u32> = beside.iter().filter_map(|other| form(*other)).collect();
            places.sort_unstable();
            places.dedup();
            forms.extend(places);
            let first = others.len();
            others.extend(beside.into_iter().filter(|other| form(*other).is_none()));
            others[first..].sort_unstable();
            numbers.push(long(part));
            rests.extend(postings(part).iter().map(|name| {
                let is_this = |other: &&u32| **other == long(part);
                if parts(*name).iter().filter(is_this).count() > 1 {
                    return 0;
                }
                let all: f64 = parts(*name).iter().map(|part| weight(*part)).sum();
                steps(all - weight(long(part)))
            }));
            rest_ends.push(long(rests.len()));
            form_ends.push(long(forms.len()));
            other_ends.push(long(others.len()));
        }
        file.numbers(section::COMPANY, &numbers);
        file.numbers(section::COMPANY + 1, &form_ends);
        file.numbers(section::COMPANY + 2, &forms);
        file.numbers(section::COMPANY + 3, &other_ends);
        file.numbers(section::COMPANY + 4, &others);
        file.numbers(section::COMPANY + 5, &rest_ends);
        file.bytes(section::COMPANY + 6, rests);
    }
}

/// A weight in steps, not more than it is.
fn steps(weight: f64) -> u8 {
    // Sums in another order may differ in their last places.
    let steps = (weight - 1e-9) / REST_STEP;
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "0 to 255")]
    let steps = steps.clamp(0.0, 255.0) as u8;
    steps
}
