//! Forms of words in order, and the walk that finds all that are near a given one.
//!
//! Sorted forms are a tree of beginnings, down to a few forms that share one. A walk measures each beginning
//! once ([`crate::names::distance`], row by row), and leaves what no continuation can bring near enough. The
//! few forms at its ends are dismissed by their letters ([`super::letters`]) or measured.
//!
//! Of any two words that are near, either the first halves or the second halves differ by at most half of
//! what is allowed. So there are two trees, one of beginnings and one of endings, and each is walked with half
//! of the allowance for the first half of the letters. That leaves a few beginnings of thousands.

use zerocopy::little_endian::{U32, U64};

use super::letters::{LEAST_GAP, Letters, key};
use crate::names::{WORD_MAX_LETTERS, Word, distance, gap, substitution};

/// So many forms with the same beginning are looked at one by one.
const FEW: usize = 16;

/// More than any distance, also when something is added.
const FAR: u16 = u16::MAX / 4;

/// Places in a row: before, between and behind letters.
const CELLS: usize = 32;

/// Sorted forms, each once, and the tree of their beginnings or endings.
#[derive(Clone, Copy)]
pub struct Forms<'a> {
    /// Where each begins in `letters`; one more than there are forms.
    pub offsets: &'a [U32],
    /// The letters of all; of each from its end, if this is a tree of endings.
    pub letters: &'a [u8],
    /// Which letters each has.
    pub keys: &'a [U64],
    /// The nodes of the tree, a parent before its children: its letter and depth.
    pub nodes: &'a [[u8; 2]],
    /// The node after the last below each.
    pub ends: &'a [U32],
    /// The first form below each; one more than there are nodes.
    pub firsts: &'a [U32],
}

/// What is written for [`Forms`].
#[derive(Default)]
pub struct FormsWritten {
    pub offsets: Vec<u32>,
    pub letters: Vec<u8>,
    pub keys: Vec<u64>,
    pub nodes: Vec<[u8; 2]>,
    pub ends: Vec<u32>,
    pub firsts: Vec<u32>,
}

fn long(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

impl FormsWritten {
    /// Of forms in order.
    pub fn of(forms: &[Word]) -> Self {
        let mut written = Self { offsets: vec![0], ..Self::default() };
        for form in forms {
            written.letters.extend_from_slice(form.bytes());
            written.offsets.push(long(written.letters.len()));
            written.keys.push(key(form.bytes()));
        }
        written.branch(forms, 0, 0);
        written.firsts.push(long(forms.len()));
        written
    }

    /// The nodes below a beginning of `depth` letters.
    fn branch(&mut self, forms: &[Word], first: usize, depth: u8) {
        let letter = |form: &Word| form.bytes().get(usize::from(depth)).copied();
        let mut at = 0;
        while at < forms.len() {
            let Some(here) = letter(&forms[at]) else {
                // What ends here was a node of its own.
                at += 1;
                continue;
            };
            let end = at + forms[at..].partition_point(|form| letter(form) <= Some(here));
            let node = self.nodes.len();
            self.nodes.push([here, depth + 1]);
            self.ends.push(0);
            self.firsts.push(long(first + at));
            if end - at > FEW {
                // The form that is the beginning itself has a node without children, which is at its end.
                let ended = forms[at].len() == usize::from(depth) + 1;
                if ended {
                    self.nodes.push([0, depth + 1]);
                    self.ends.push(long(node + 2));
                    self.firsts.push(long(first + at));
                }
                self.branch(&forms[at..end], first + at, depth + 1);
            }
            self.ends[node] = long(self.nodes.len());
            at = end;
        }
    }
}

impl<'a> Forms<'a> {
    fn len(&self) -> usize {
        self.keys.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// The form at a place.
    pub fn get(&self, at: usize) -> &'a [u8] {
        let place = |at: usize| self.offsets.get(at).map_or(0, |offset| offset.get() as usize);
        self.letters.get(place(at)..place(at + 1)).unwrap_or_default()
    }

    /// Where a form is.
    pub fn find(&self, form: &[u8]) -> Option<usize> {
        let (mut low, mut high) = (0, self.len());
        while low < high {
            let middle = usize::midpoint(low, high);
            match self.get(middle).cmp(form) {
                std::cmp::Ordering::Less => low = middle + 1,
                std::cmp::Ordering::Equal => return Some(middle),
                std::cmp::Ordering::Greater => high = middle,
            }
        }
        None
    }

    /// Forms whose distance from `query` is at most `share` hundredths for each letter of the longer one, of
    /// which at most half falls on the `first` letters of the query. Both stand from their ends in a tree of
    /// `endings`.
    pub fn near(
        &self,
        query: &[u8],
        letters: &Letters,
        first: usize,
        share: u16,
        endings: bool,
        mut found: impl FnMut(usize),
    ) {
        if query.is_empty() || query.len() > WORD_MAX_LETTERS {
            return;
        }
        let mut walk = Walk::new(query, first, share);
        let mut beginning = [0; CELLS];
        let mut node = 0;
        while let (Some([letter, depth]), Some(end)) = (self.nodes.get(node), self.ends.get(node)) {
            let (depth, end) = (usize::from(*depth) & (CELLS - 1), end.get() as usize);
            let is_near = *letter == 0 || {
                beginning[depth.saturating_sub(1)] = *letter;
                walk.step(&beginning, depth)
            };
            if is_near && end == node + 1 {
                let of =
                    |node: usize| self.firsts.get(node).map_or(0, |first| first.get() as usize);
                let range = of(node)..if *letter == 0 { of(node) + 1 } else { of(node + 1) };
                for (place, key) in range.clone().zip(self.keys.get(range).unwrap_or_default()) {
                    if letters.may_be_near(key.get(), share) {
                        let form = self.get(place);
                        if form.len() > WORD_MAX_LETTERS {
                            continue;
                        }
                        let most = share * short(form.len().max(query.len()));
                        // What looks like another letter in print does not so from its end.
                        let near = if endings {
                            let [query, form] =
                                [query, form].map(|letters| Word::of_letters(letters.iter().rev()));
                            distance(query.bytes(), form.bytes(), most)
                        } else {
                            distance(query, form, most)
                        };
                        if near.is_some() {
                            found(place);
                        }
                    }
                }
            }
            node = if is_near { node + 1 } else { end.max(node + 1) };
        }
    }
}

/// A row of distances, and where in it something is near enough.
#[derive(Clone, Copy)]
struct Row {
    cells: [u16; CELLS],
    from: usize,
    to: usize,
}

struct Walk<'q> {
    query: &'q [u8],
    first: usize,
    share: u16,
    /// What is allowed on the first letters, whatever follows.
    half: [u16; CELLS],
    /// What a letter of the query too many costs.
    gaps: [u16; WORD_MAX_LETTERS],
    rows: Box<[Row; CELLS]>,
    /// Where in the query each letter is, a bit each.
    places: [u32; 128],
    /// Where the query has `n` behind `r` or `r` behind `n`, which may be an `m`.
    misread: u32,
}

fn short(letters: usize) -> u16 {
    u16::try_from(letters).unwrap_or(u16::MAX)
}

impl<'q> Walk<'q> {
    fn new(query: &'q [u8], first: usize, share: u16) -> Self {
        let mut gaps = [0; WORD_MAX_LETTERS];
        for (at, cost) in gaps.iter_mut().enumerate().take(query.len()) {
            *cost = gap(query, at);
        }
        let none = Row { cells: [FAR; CELLS], from: 0, to: 0 };
        // A longer form may differ by more, but each letter more has its price later.
        let mut half = [0; CELLS];
        for (before, half) in half.iter_mut().enumerate() {
            let longer = |later: usize| {
                let most = share * short(query.len() + before + later);
                (most / 2 + 1).min(most.saturating_sub(LEAST_GAP * short(later)))
            };
            *half = (0..=WORD_MAX_LETTERS).map(longer).max().unwrap_or(0);
        }

        let rows = Box::new([none; CELLS]);
        let mut places = [0; 128];
        for (at, letter) in query.iter().enumerate() {
            places[usize::from(letter & 127)] |= 1 << at;
        }
        let behind = |a: u8, b: u8| places[usize::from(a)] << 1 & places[usize::from(b)];
        let misread = behind(b'r', b'n') | behind(b'n', b'r');
        let mut walk = Self { query, first, share, half, gaps, rows, places, misread };
        let mut row = none;
        let mut cost = 0u16;
        for at in 0..=query.len() {
            if cost > walk.limit(0, at) {
                break;
            }
            row.cells[at] = cost;
            row.to = at;
            cost = cost.saturating_add(gaps.get(at).copied().unwrap_or(FAR));
        }
        walk.rows[0] = row;
        walk
    }

    fn places(&self, letter: u8) -> u32 {
        self.places[usize::from(letter & 127)]
    }

    /// What is allowed where `i` letters stand against `j` of the query: what is longer may cost more.
    fn limit(&self, i: usize, j: usize) -> u16 {
        let longer = i.saturating_sub(j);
        let most = self.share * short(self.query.len() + longer);
        if j < self.first { most.min(self.half[longer]) } else { most }
    }

    /// Measures the letter before `depth`; whether anything is still near.
    fn step(&mut self, form: &[u8; CELLS], depth: usize) -> bool {
        let i = depth;
        let letter = form[i - 1];
        let previous = if i > 1 { form[i - 2] } else { 0 };
        let missing = gap(form, i - 1);
        let costs = substitution(letter);
        let one = &self.rows[i - 1];
        let two = &self.rows[i.saturating_sub(2)];
        // Where two letters of the query stand in the other order, by the place of the second.
        let swapped = self.places(letter) << 1 & self.places(previous);
        let print = match (previous, letter) {
            // Read from its end, it is the other way round.
            (b'r', b'n') | (b'n', b'r') => self.places(b'm'),
            _ => 0,
        };
        let misread = if letter == b'm' { self.misread } else { 0 };
        let special = swapped | print | misread;
        let last = if special == 0 { one.to + 1 } else { two.to.max(one.to) + 2 };
        let last = last.max(one.to + 1).min(self.query.len());
        let from = if special == 0 { one.from } else { one.from.min(two.from) };
        let mut row = Row { cells: [FAR; CELLS], from: usize::MAX, to: 0 };
        let mut before = FAR;
        let mut at = from;
        while at <= self.query.len() {
            let j = at & (CELLS - 1);
            let mut cost = one.cells[j] + missing;
            if j > 0 {
                let other = self.query[j - 1];
                let substituted = one.cells[j - 1] + u16::from(costs[usize::from(other & 127)]);
                cost = cost.min(substituted).min(before + self.gaps[j - 1]);
                let place = 1u32 << (j - 1);
                if special & place != 0 {
                    if swapped & place != 0 {
                        cost = cost.min(two.cells[j - 2] + 70);
                    }
                    if print & place != 0 {
                        cost = cost.min(two.cells[j - 1] + 50);
                    }
                    if misread & place != 0 {
                        cost = cost.min(one.cells[j - 2] + 50);
                    }
                }
            }
            if cost <= self.limit(i, j) {
                row.cells[j] = cost;
                before = cost;
                row.from = row.from.min(j);
                row.to = j;
            } else {
                before = FAR;
                if j >= last {
                    break;
                }
            }
            at += 1;
        }
        let is_near = row.from != usize::MAX || self.reaches_over(i, letter);
        self.rows[i] = row;
        is_near
    }

    /// Whether the next letter may make a pair with this one that is near, though this one is not.
    fn reaches_over(&self, i: usize, letter: u8) -> bool {
        let one = &self.rows[i - 1];
        let print = matches!(letter, b'r' | b'n');
        (one.from..=one.to).any(|j| {
            let cost = one.cells[j & (CELLS - 1)];
            let swapped =
                self.query.get(j + 1) == Some(&letter) && cost + 70 <= self.limit(i + 1, j + 2);
            let misread =
                print && self.query.get(j) == Some(&b'm') && cost + 50 <= self.limit(i + 1, j + 1);
            cost < FAR && (swapped || misread)
        })
    }
}
