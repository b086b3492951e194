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

use std::{collections::VecDeque, ops::Range};

use super::{
    letters::{Letters, key},
    walk::{CELLS, LETTERS, Walk, bit},
};
use crate::names::{WORD_MAX_LETTERS, Word};

/// So many forms with the same beginning are looked at one by one.
const FEW: usize = 40;

/// The same where only some forms are looked at, which lie apart in the tree.
const FEW_AMONG: usize = 400;

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

impl Forms<'_> {
    /// Forms whose distance from `query` is at most `share` hundredths for each letter of the longer one. What has
    /// the same beginning stands together: that is measured once, and passed over if nothing near begins so.
    pub fn near(&self, query: &[u8], share: u16, mut found: impl FnMut(usize)) {
        if query.is_empty() || query.len() > WORD_MAX_LETTERS {
            return;
        }
        let mut walk = Walk::new(query, 0, share);
        let (mut at, mut depth, mut before) = (0, 0, <&[u8]>::default());
        while at < self.len() {
            let form = self.get(at);
            depth = before.iter().zip(form).take_while(|(a, b)| a == b).count().min(depth);
            before = form;
            let mut is_over = false;
            for letter in form.iter().take(WORD_MAX_LETTERS).skip(depth) {
                depth += 1;
                walk.step(*letter, depth);
                is_over = walk.is_over(depth);
                if is_over {
                    break;
                }
            }
            if is_over {
                at = self.behind(at, &form[..depth]);
            } else {
                if depth == form.len() && walk.ends_near(depth) {
                    found(at);
                }
                at += 1;
            }
        }
    }

    /// The first form from a place on that does not begin so.
    fn behind(&self, from: usize, beginning: &[u8]) -> usize {
        let begins = |at: usize| at < self.len() && self.get(at).starts_with(beginning);
        let (mut low, mut step) = (from, 1);
        while begins(low + step) {
            low += step;
            step *= 2;
        }
        let (mut low, mut high) = (low, low + step);
        while low + 1 < high {
            let middle = usize::midpoint(low, high);
            if begins(middle) {
                low = middle;
            } else {
                high = middle;
            }
        }
        high
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::names::{distance, most_for};

    #[test]
    fn all_that_is_near_is_found_in_order() {
        // Words of few letters, which often begin alike and differ by little.
        let mut state = 7u64;
        let mut next = |below: usize| {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            usize::try_from(state >> 33).unwrap() % below
        };
        let mut words: Vec<Word> = (0..4_000)
            .map(|_| {
                let letters: String =
                    (0..1 + next(9)).map(|_| char::from(b"abhmnrtz"[next(8)])).collect();
                Word::new(&letters)
            })
            .collect();
        words.sort_unstable_by(|a, b| a.bytes().cmp(b.bytes()));
        words.dedup();
        let mut offsets = vec![U32::new(0)];
        let mut letters = Vec::new();
        for word in &words {
            letters.extend_from_slice(word.bytes());
            offsets.push(U32::new(long(letters.len())));
        }
        let forms = Forms { offsets: &offsets, letters: &letters };
        let (mut all, mut more) = (0, 0);
        for query in words.iter().filter(|word| word.len() >= 4).step_by(37) {
            let mut found = Vec::new();
            forms.near(query.bytes(), 20, |at| found.push(at));
            let near = words.iter().enumerate().filter(|(_, word)| {
                let most = most_for(0.8, query.len().max(word.len()));
                distance(query.bytes(), word.bytes(), most).is_some()
            });
            let near: Vec<usize> = near.map(|(at, _)| at).collect();
            assert!(near.iter().all(|at| found.contains(at)), "{query}");
            (all, more) = (all + near.len(), more + found.len() - near.len());
        }
        // Of words whose letters differ much, a distance is not measured.
        assert!(all > 100 && more < all / 2, "{all} and {more} more");
    }
}
