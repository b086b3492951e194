//! How far two words are apart: by mistakes, and by how easily each is made.

/// Cost of what counts as one whole mistake.
pub const EDIT_COST: u16 = 100;

/// What two letters in the wrong order cost.
pub const SWAPPED: u16 = 70;

/// What `rn` in the place of `m` costs: they look alike in print.
pub const MISREAD: u16 = 50;

/// What a letter costs that is written once more.
pub const REPEATED: u16 = 25;

/// What putting one letter for another costs, by how easily they are confused in speech or print.
static SUBSTITUTION: [[u8; 128]; 128] = substitutions();

const fn substitutions() -> [[u8; 128]; 128] {
    let mut costs = [[100u8; 128]; 128];
    let vowels = b"aeiouy";
    let mut i = 0;
    while i < vowels.len() {
        let mut j = 0;
        while j < vowels.len() {
            costs[vowels[i] as usize][vowels[j] as usize] = 55;
            j += 1;
        }
        i += 1;
    }
    // Voiced and voiceless, spellings across languages, and letters that look alike in print.
    let close =
        b"ChckkqszvwbvfvjgjydtgkmnbpghxkijcsuwuvlrceSsCcSCCjCkhxjzjiuvmnlitfieeciyoenhrncghkSjCtCs";
    let mut i = 0;
    while i + 1 < close.len() {
        let (a, b) = (close[i] as usize, close[i + 1] as usize);
        if costs[a][b] > 60 {
            costs[a][b] = 60;
            costs[b][a] = 60;
        }
        i += 2;
    }
    // One Arabic letter is d in the west and z in the east.
    costs[b'z' as usize][b'd' as usize] = 35;
    costs[b'd' as usize][b'z' as usize] = 35;
    // Digits do not stand for each other.
    let mut digit = b'0' as usize;
    while digit <= b'9' as usize {
        let mut other = 0;
        while other < 128 {
            costs[digit][other] = 150;
            costs[other][digit] = 150;
            other += 1;
        }
        digit += 1;
    }
    let mut same = 0;
    while same < 128 {
        costs[same][same] = 0;
        same += 1;
    }
    costs
}

/// What it costs to put each letter for this one.
pub fn substitution(letter: u8) -> &'static [u8; 128] {
    &SUBSTITUTION[usize::from(letter & 127)]
}

/// What a letter too many costs.
pub fn gap(letters: &[u8], at: usize) -> u16 {
    let letter = letters[at];
    if letter.is_ascii_digit() {
        return 150;
    }
    if at > 0 && letters[at - 1] == letter {
        return REPEATED;
    }
    match letter {
        b'h' => 40,
        b'a' | b'e' | b'i' | b'o' | b'u' | b'y' => 60,
        _ => 100,
    }
}

/// Letters that [`distance`] can compare.
pub const DISTANCE_MAX_LETTERS: usize = 64;

/// More than any distance, also when something is added.
pub const FAR: u16 = u16::MAX / 4;

/// The distance of two words in hundredths of a mistake: insertion, deletion, substitution, and two
/// letters in wrong order. `None` as soon as it is surely above `most`.
pub fn distance(a: &[u8], b: &[u8], most: u16) -> Option<u16> {
    debug_assert!(a.len().max(b.len()) <= DISTANCE_MAX_LETTERS, "callers cut longer ones");
    let longer = u16::try_from(a.len().abs_diff(b.len())).unwrap_or(u16::MAX);
    if longer.saturating_mul(REPEATED) > most {
        return None;
    }
    if a.len().max(b.len()) < 32 {
        Measure::<32>::new(a, b, most).distance()
    } else {
        Measure::<{ DISTANCE_MAX_LETTERS + 1 }>::new(a, b, most).distance()
    }
}

/// A row of distances, and where in it something is near enough.
#[derive(Clone, Copy)]
pub struct Row<const CELLS: usize> {
    /// The distances; [`FAR`] where they are more than is allowed.
    pub cells: [u16; CELLS],
    /// The first that is not.
    pub from: usize,
    /// The last that is not.
    pub to: usize,
}

impl<const CELLS: usize> Row<CELLS> {
    /// Nothing is near.
    pub const NONE: Self = Self { cells: [FAR; CELLS], from: usize::MAX, to: 0 };

    /// Whether nothing is.
    pub fn is_none(&self) -> bool {
        self.from == usize::MAX
    }
}

/// Two words that are measured: a row for each letter of the first, of which only the cells that are near
/// enough are looked at.
struct Measure<'w, const CELLS: usize> {
    a: &'w [u8],
    b: &'w [u8],
    most: u16,
    /// What each letter of the second costs if it is too many.
    gaps: [u16; CELLS],
    /// Whether one has an `m` and the other an `rn`.
    print: bool,
}

impl<'w, const CELLS: usize> Measure<'w, CELLS> {
    fn new(a: &'w [u8], b: &'w [u8], most: u16) -> Self {
        let mut gaps = [0; CELLS];
        for (at, cost) in gaps.iter_mut().enumerate().take(b.len()) {
            *cost = gap(b, at);
        }
        let misread = |word: &[u8], other: &[u8]| {
            other.contains(&b'm') && word.windows(2).any(|two| two == b"rn")
        };
        Self { a, b, most, gaps, print: misread(a, b) || misread(b, a) }
    }

    fn distance(&self) -> Option<u16> {
        let mut one = Row::NONE;
        let mut cost = 0u16;
        for at in 0..=self.b.len() {
            if cost > self.most {
                break;
            }
            one.cells[at] = cost;
            (one.from, one.to) = (0, at);
            cost = cost.saturating_add(self.gaps[at]);
        }
        let mut two = Row::NONE;
        for i in 0..self.a.len() {
            let here = self.row(i, &two, &one);
            // Two letters in wrong order, or read as one, reach over one row.
            if here.is_none() && one.is_none() {
                return None;
            }
            (two, one) = (one, here);
        }
        Some(one.cells[self.b.len()]).filter(|cost| *cost <= self.most)
    }

    fn row(&self, i: usize, two: &Row<CELLS>, one: &Row<CELLS>) -> Row<CELLS> {
        let (letter, length) = (self.a[i], self.b.len());
        let previous = i.checked_sub(1).map_or(0, |at| self.a[at]);
        let missing = gap(self.a, i);
        let costs = substitution(letter);
        let swapped = i > 0 && self.b.windows(2).any(|pair| pair == [letter, previous]);
        let special = swapped || self.print;
        let mut here = Row::NONE;
        let (mut at, mut last) = (one.from, one.to + 1);
        if special {
            at = at.min(two.from);
            last = last.max(two.to + 2).max(one.to + 2);
        }
        let mut before = FAR;
        while at <= length {
            let mut cost = one.cells[at] + missing;
            if let Some(left) = at.checked_sub(1) {
                let other = self.b[left];
                let substituted = one.cells[left] + u16::from(costs[usize::from(other & 127)]);
                cost = cost.min(substituted).min(before + self.gaps[left]);
                if special {
                    cost = cost.min(self.pair(i, at, two, one));
                }
            }
            if cost <= self.most {
                here.cells[at] = cost;
                here.from = here.from.min(at);
                here.to = at;
                before = cost;
            } else {
                before = FAR;
                if at >= last {
                    break;
                }
            }
            at += 1;
        }
        here
    }

    /// What ends here and reaches over two letters: their order, and `rn` that looks like `m` in print.
    fn pair(&self, i: usize, at: usize, two: &Row<CELLS>, one: &Row<CELLS>) -> u16 {
        let (a, b) = (self.a, self.b);
        let mut best = FAR;
        if i > 0 && at > 1 && a[i] == b[at - 2] && a[i - 1] == b[at - 1] {
            best = best.min(two.cells[at - 2] + SWAPPED);
        }
        if self.print && i > 0 && b[at - 1] == b'm' && a[i - 1..=i] == *b"rn" {
            best = best.min(two.cells[at - 1] + MISREAD);
        }
        if self.print && at > 1 && a[i] == b'm' && b[at - 2..at] == *b"rn" {
            best = best.min(one.cells[at - 2] + MISREAD);
        }
        best
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mistakes_cost_what_they_are_worth() {
        let d = |a: &str, b: &str| distance(a.as_bytes(), b.as_bytes(), 1000).unwrap_or(u16::MAX);
        assert_eq!(d("peter", "peter"), 0);
        assert_eq!(d("anna", "ana"), 25);
        assert_eq!(d("karl", "kalr"), 70);
        assert!(d("maria", "mario") < d("maria", "marta"));
        assert_eq!(distance(b"peter", b"wolfgang", 200), None);
        for (a, b) in [("smith", "smyth"), ("ahmad", "ahmed"), ("x", ""), ("abc", "cab")] {
            assert_eq!(d(a, b), d(b, a));
        }
    }
}
