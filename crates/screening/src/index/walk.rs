//! Measuring a word against many, letter by letter: what they share is measured once.

use std::sync::LazyLock;

use super::letters::LEAST_GAP;
use crate::names::{FAR, MISREAD, REPEATED, Row, SWAPPED, WORD_MAX_LETTERS, gap, substitution};

/// Places in a row: before, between and behind letters.
pub const CELLS: usize = 32;

/// A word that is measured against the beginnings of others.
pub struct Walk<'q> {
    query: &'q [u8],
    first: usize,
    pub share: u16,
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
pub const LETTERS: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// A letter as a bit, in the same order; none for what is no letter.
pub fn bit(letter: u8) -> u64 {
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
    /// Towards forms whose distance is at most `share` hundredths for each letter of the longer one, at most half
    /// of it on the `first` letters of the query.
    pub fn new(query: &'q [u8], first: usize, share: u16) -> Self {
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
    pub fn next(&self, depth: usize) -> u64 {
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
    pub fn ends_near(&self, depth: usize) -> bool {
        self.rows[depth].cells[self.query.len()] < FAR
    }

    /// Whether nothing is near that begins with the letters that were measured.
    pub fn is_over(&self, depth: usize) -> bool {
        self.rows[depth].is_none() && self.rows[depth.saturating_sub(1)].is_none()
    }

    /// Whether a form is near of which the first `depth` letters are measured.
    pub fn goes_near<'l>(
        &mut self,
        form: impl ExactSizeIterator<Item = &'l u8>,
        depth: usize,
    ) -> bool {
        let length = form.len();
        if length > WORD_MAX_LETTERS {
            return false;
        }
        for (at, letter) in form.enumerate().skip(depth) {
            self.step(*letter, at + 1);
            if self.is_over(at + 1) {
                return false;
            }
        }
        self.ends_near(length)
    }

    /// Measures one letter more, the one before `i`.
    pub fn step(&mut self, letter: u8, i: usize) {
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
