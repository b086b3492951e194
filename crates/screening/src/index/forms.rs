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

use std::{collections::VecDeque, ops::Range, sync::LazyLock};

use super::letters::{LEAST_GAP, Letters, key};
use crate::names::{
    FAR, MISREAD, REPEATED, Row, SWAPPED, WORD_MAX_LETTERS, Word, gap, substitution,
};

/// So many forms with the same beginning are looked at one by one.
const FEW: usize = 40;

/// The same where only some forms are looked at, which lie apart in the tree.
const FEW_AMONG: usize = 400;

/// Places in a row: before, between and behind letters.
const CELLS: usize = 32;

/// Sorted forms, each once.
#[derive(Clone, Copy)]
pub struct Forms<'a> {
    /// Where each begins in `letters`; one more than there are forms.
    pub offsets: &'a [U32],
    /// The letters of all.
    pub letters: &'a [u8],
}

/// The tree of the beginnings of forms, or of their endings.
#[derive(Clone, Copy)]
pub struct Tree<'a> {
    /// The forms.
    pub forms: Forms<'a>,
    /// For a tree of endings: the place of each form by its letters from the end, among those in order.
    pub places: Option<&'a [U32]>,
    /// Which letters each form has, in the order of the tree.
    pub keys: &'a [U64],
    /// The nodes of the tree, the root first, children of one beside each other.
    pub nodes: &'a [Node],
}

/// A node of a tree: which letters follow, a bit each ([`bit`]), and its first child and the first form below it,
/// 32 bits each. None follow where few forms are left.
pub type Node = [U64; 2];

/// The first child of a node and the first form below it; the last of all where it is not there.
fn below(node: Option<&Node>) -> (usize, usize) {
    let below = node.map_or(u64::MAX, |node| node[1].get());
    ((below >> 32) as usize, (below & 0xffff_ffff) as usize)
}

/// What is written for [`Tree`].
#[derive(Default)]
pub struct TreeWritten {
    pub keys: Vec<u64>,
    pub nodes: Vec<u64>,
}

fn long(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

impl TreeWritten {
    /// Of forms in order.
    pub fn of(forms: &[Word]) -> Self {
        let keys = forms.iter().map(|form| key(form.bytes())).collect();
        let mut written = Self { keys, ..Self::default() };
        // Nodes that are written but for their children: which forms, and how many letters these share.
        let mut open = VecDeque::from([(0..forms.len(), 0)]);
        let mut below = 1;
        while let Some((range, depth)) = open.pop_front() {
            let mut letters = 0;
            let place = (u64::from(long(below)) << 32) | u64::from(long(range.start));
            if range.len() > FEW {
                let letter = |form: &Word| form.bytes().get(depth).copied();
                // What ends here comes first.
                let mut at = range.start + usize::from(letter(&forms[range.start]).is_none());
                while at < range.end {
                    let here = letter(&forms[at]);
                    let same = forms[at..range.end].partition_point(|form| letter(form) <= here);
                    debug_assert!(here.is_none_or(|letter| bit(letter) != 0), "forms have letters");
                    letters |= here.map_or(0, bit);
                    open.push_back((at..at + same, depth + 1));
                    below += 1;
                    at += same;
                }
            }
            written.nodes.extend([letters, place]);
        }
        written
    }
}

impl<'a> Forms<'a> {
    fn len(&self) -> usize {
        self.offsets.len().saturating_sub(1)
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
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
}

impl Tree<'_> {
    /// Forms whose distance from `query` is at most `share` hundredths for each letter of the longer one, of
    /// which at most half falls on the `first` letters of the query; in a tree of endings both stand from their
    /// ends. Perhaps some more: what looks like another letter in print does not so from its end.
    pub fn near(
        &self,
        query: &[u8],
        letters: &Letters,
        first: usize,
        share: u16,
        mut found: impl FnMut(usize),
    ) {
        if query.is_empty() || query.len() > WORD_MAX_LETTERS {
            return;
        }
        let walk = Walk::new(query, first, share);
        Near { tree: self, letters, walk, found: &mut found }.below(0, 0..self.keys.len(), 0, None);
    }

    /// The same among some forms, whose places in the tree are given in order; however the mistakes fall.
    pub fn near_among(
        &self,
        query: &[u8],
        letters: &Letters,
        share: u16,
        among: &[U32],
        mut found: impl FnMut(usize),
    ) {
        if query.is_empty() || query.len() > WORD_MAX_LETTERS {
            return;
        }
        let walk = Walk::new(query, 0, share);
        let all = 0..self.keys.len();
        Near { tree: self, letters, walk, found: &mut found }.below(0, all, 0, Some(among));
    }
}

/// A walk through a tree.
struct Near<'f, 'q, F> {
    tree: &'f Tree<'f>,
    letters: &'f Letters,
    walk: Walk<'q>,
    found: F,
}

impl<F: FnMut(usize)> Near<'_, '_, F> {
    /// What is near below a node, which has these forms and is `depth` letters deep; only what is `among` others.
    fn below(&mut self, node: usize, forms: Range<usize>, depth: usize, among: Option<&[U32]>) {
        let among = among.map(|among| within(among, &forms));
        if let Some(among) = among.filter(|among| among.len() <= FEW_AMONG) {
            for at in among {
                self.one(at.get() as usize, depth);
            }
            return;
        }
        let nodes = self.tree.nodes;
        let own = nodes.get(node);
        let letters = own.map_or(0, |own| own[0].get());
        if letters == 0 || depth + 1 >= CELLS {
            match among {
                Some(among) => among.iter().for_each(|at| self.one(at.get() as usize, depth)),
                None => forms.for_each(|at| self.one(at, depth)),
            }
            return;
        }
        let (children, _) = below(own);
        let count = letters.count_ones() as usize;
        // A damaged tree could lead back.
        if children <= node {
            return;
        }
        let (_, first) = below(nodes.get(children));
        let here = among
            .is_none_or(|among| among.first().is_some_and(|at| at.get() as usize == forms.start));
        if first > forms.start && here && self.walk.ends_near(depth) {
            let place = self.place(forms.start);
            (self.found)(place);
        }
        let mut left = letters & self.walk.next(depth);
        while left != 0 {
            let lowest = left & left.wrapping_neg();
            left ^= lowest;
            let nth = (letters & (lowest - 1)).count_ones() as usize;
            let child = children + nth;
            let (_, start) = below(nodes.get(child));
            let end = if nth + 1 == count { forms.end } else { below(nodes.get(child + 1)).1 };
            self.walk.step(LETTERS[lowest.trailing_zeros() as usize % LETTERS.len()], depth + 1);
            self.below(child, start..end.min(forms.end), depth + 1, among);
        }
    }

    /// Looks at one form.
    fn one(&mut self, at: usize, depth: usize) {
        let Some(key) = self.tree.keys.get(at) else { return };
        if !self.letters.may_be_near(key.get(), self.walk.share) {
            return;
        }
        let place = self.place(at);
        let form = self.tree.forms.get(place).iter();
        let is_near = if self.tree.places.is_some() {
            self.walk.goes_near(form.rev(), depth)
        } else {
            self.walk.goes_near(form, depth)
        };
        if is_near {
            (self.found)(place);
        }
    }

    /// The place of a form among those in order.
    fn place(&self, at: usize) -> usize {
        let turned =
            |places: &[U32]| places.get(at).map_or(usize::MAX, |place| place.get() as usize);
        self.tree.places.map_or(at, turned)
    }
}

/// Those of some places in order that are in a range.
fn within<'a>(places: &'a [U32], range: &Range<usize>) -> &'a [U32] {
    let before = |end: usize| places.partition_point(|place| (place.get() as usize) < end);
    places.get(before(range.start)..before(range.end)).unwrap_or_default()
}

struct Walk<'q> {
    query: &'q [u8],
    first: usize,
    share: u16,
    /// What is allowed on the first letters, whatever follows.
    half: [u16; CELLS],
    /// What a letter of the query too many costs.
    gaps: [u16; WORD_MAX_LETTERS],
    rows: Box<[Row<CELLS>; CELLS]>,
    /// Where in the query each letter is, a bit each.
    places: [u32; 128],
    /// Where the query has `n` behind `r` or `r` behind `n`, which may be an `m`.
    misread: u32,
    /// The letters that were measured.
    form: [u8; CELLS],
}

/// Costs of mistakes; what is allowed makes as much possible as the last of them that is within it.
const COSTS: [u16; 7] = [0, 35, 40, 55, 60, 100, 150];

/// Letters that a mistake of at most each of [`COSTS`] puts in the place of one, and letters too many.
struct Mistakes {
    instead: [[u64; COSTS.len()]; 128],
    more: [u64; COSTS.len()],
}

static MISTAKES: LazyLock<Box<Mistakes>> = LazyLock::new(|| {
    let mut mistakes =
        Box::new(Mistakes { instead: [[0; COSTS.len()]; 128], more: [0; COSTS.len()] });
    for letter in 0..128u8 {
        for (at, most) in COSTS.iter().enumerate() {
            if gap(&[letter], 0) <= *most {
                mistakes.more[at] |= bit(letter);
            }
            for other in (0..128u8).filter(|other| other.is_ascii_alphanumeric()) {
                if u16::from(substitution(letter)[usize::from(other)]) <= *most {
                    mistakes.instead[usize::from(letter)][at] |= bit(other);
                }
            }
        }
    }
    mistakes
});

/// Letters and digits, in order.
const LETTERS: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// A letter as a bit, in the same order; none for what is no letter.
fn bit(letter: u8) -> u64 {
    match letter {
        b'0'..=b'9' => 1 << (letter - b'0'),
        b'A'..=b'Z' => 1 << (letter - b'A' + 10),
        b'a'..=b'z' => 1 << (letter - b'a' + 36),
        _ => 0,
    }
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
        // A longer form may differ by more, but each letter more has its price later.
        let mut half = [0; CELLS];
        for (before, half) in half.iter_mut().enumerate() {
            let longer = |later: usize| {
                let most = share * short(query.len() + before + later);
                (most / 2 + 1).min(most.saturating_sub(LEAST_GAP * short(later)))
            };
            *half = (0..=WORD_MAX_LETTERS).map(longer).max().unwrap_or(0);
        }

        let rows = Box::new([Row::NONE; CELLS]);
        let mut places = [0; 128];
        for (at, letter) in query.iter().enumerate() {
            places[usize::from(letter & 127)] |= 1 << at;
        }
        let behind = |a: u8, b: u8| places[usize::from(a)] << 1 & places[usize::from(b)];
        let misread = behind(b'r', b'n') | behind(b'n', b'r');
        let form = [0; CELLS];
        let mut walk = Self { query, first, share, half, gaps, rows, places, misread, form };
        let mut row = Row::NONE;
        let mut cost = 0u16;
        for at in 0..=query.len() {
            if cost > walk.limit(0, at) {
                break;
            }
            row.cells[at] = cost;
            (row.from, row.to) = (0, at);
            cost = cost.saturating_add(gaps.get(at).copied().unwrap_or(FAR));
        }
        walk.rows[0] = row;
        walk
    }

    /// Letters with which something is still near: most children of a node have another.
    fn next(&self, depth: usize) -> u64 {
        let mistakes = &**MISTAKES;
        let within = |allowed: u16| COSTS.iter().rposition(|cost| *cost <= allowed);
        let query = |at: usize| self.query.get(at).copied();
        let previous = depth.checked_sub(1).map_or(0, |at| self.form[at]);
        let one = &self.rows[depth];
        let i = depth + 1;
        let mut next = 0;
        for j in one.from..=one.to.min(self.query.len()) {
            let cost = one.cells[j & (CELLS - 1)];
            let left = |i: usize, j: usize| self.limit(i, j).checked_sub(cost);
            if let Some(left) = left(i, j) {
                next |= within(left).map_or(0, |at| mistakes.more[at]);
                // The same letter once more costs little.
                next |= if left >= REPEATED { bit(previous) } else { 0 };
            }
            let Some(letter) = query(j) else { continue };
            if let Some(left) = left(i, j + 1) {
                let instead = &mistakes.instead[usize::from(letter & 127)];
                next |= within(left).map_or(0, |at| instead[at]);
            }
            // Pairs of letters that begin here.
            if let Some(second) = query(j + 1) {
                next |= if cost + SWAPPED <= self.limit(i + 1, j + 2) { bit(second) } else { 0 };
                let misread = self.misread & 1 << (j + 1) != 0;
                next |=
                    if misread && cost + MISREAD <= self.limit(i, j + 2) { bit(b'm') } else { 0 };
            }
            let print = letter == b'm' && cost + MISREAD <= self.limit(i + 1, j + 1);
            next |= if print { bit(b'r') | bit(b'n') } else { 0 };
        }
        // And those that began a letter before.
        if let Some(two) = depth.checked_sub(1).map(|at| &self.rows[at]) {
            for j in two.from..=two.to.min(self.query.len()) {
                let cost = two.cells[j & (CELLS - 1)];
                let Some(letter) = query(j) else { continue };
                let swapped = query(j + 1) == Some(previous);
                if swapped && cost + SWAPPED <= self.limit(i, j + 2) {
                    next |= bit(letter);
                }
                let print = letter == b'm' && matches!(previous, b'r' | b'n');
                if print && cost + MISREAD <= self.limit(i, j + 1) {
                    next |= bit(b'r') | bit(b'n');
                }
            }
        }
        next
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

    /// Whether what was measured, `depth` letters, is near as a whole.
    fn ends_near(&self, depth: usize) -> bool {
        self.rows[depth].cells[self.query.len()] < FAR
    }

    /// Whether a form is near of which the first `depth` letters are measured.
    fn goes_near<'l>(&mut self, form: impl ExactSizeIterator<Item = &'l u8>, depth: usize) -> bool {
        let length = form.len();
        if length > WORD_MAX_LETTERS {
            return false;
        }
        for (at, letter) in form.enumerate().skip(depth) {
            self.step(*letter, at + 1);
            if self.rows[at + 1].is_none() && self.rows[at].is_none() {
                return false;
            }
        }
        self.ends_near(length)
    }

    /// Measures one letter more, the one before `i`.
    fn step(&mut self, letter: u8, i: usize) {
        self.form[i - 1] = letter;
        let previous = if i > 1 { self.form[i - 2] } else { 0 };
        let missing = gap(&self.form, i - 1);
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
        let mut row = Row::NONE;
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
                        cost = cost.min(two.cells[j - 2] + SWAPPED);
                    }
                    if print & place != 0 {
                        cost = cost.min(two.cells[j - 1] + MISREAD);
                    }
                    if misread & place != 0 {
                        cost = cost.min(one.cells[j - 2] + MISREAD);
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
        self.rows[i] = row;
    }
}
