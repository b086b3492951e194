//! Which letters a form has, and how far two forms are apart at least.
//!
//! Each mistake changes few letters, so two forms that are near have nearly the same letters. How often a form
//! has each letter fits into 64 bits. For a given form, tables say for each byte of them what the letters cost
//! that only one side has; the sum is never more than the distance. So most words are dismissed without being
//! read.

use std::sync::LazyLock;

use crate::names::{EDIT_COST, substitution};

/// Groups of letters that are counted together.
const SLOTS: usize = 28;

/// Slots in one byte of a key.
const SLOTS_OF_BYTE: usize = 4;

/// Bytes of a key that count letters; the first holds the length.
const BYTES: usize = SLOTS / SLOTS_OF_BYTE;

/// What a letter more costs at least in a folded form: `h`.
pub const LEAST_GAP: u16 = 40;

/// What is counted together: letters that differ by less than others, and those that are rare. The commonest
/// come first.
fn slot(letter: u8) -> usize {
    match letter {
        b'a' => 0,
        b'e' => 1,
        b'i' => 2,
        b'o' => 3,
        b'n' | b'm' | b'N' => 4,
        b'r' => 5,
        b'l' => 6,
        b's' => 7,
        b'u' => 8,
        b'd' | b'z' => 9,
        b't' => 10,
        b'k' | b'c' | b'q' => 11,
        b'b' => 12,
        b'h' => 13,
        b'v' | b'w' => 14,
        b'g' => 15,
        b'j' => 16,
        b'f' => 17,
        b'p' => 18,
        b'S' => 19,
        b'C' => 20,
        b'y' => 22,
        b'0'..=b'9' => 23 + usize::from(letter - b'0') % 5,
        _ => 21,
    }
}

/// The least that a mistake costs which changes how many letters of a slot there are.
static COSTS: LazyLock<[u16; SLOTS]> = LazyLock::new(|| {
    let letters = || (b'a'..=b'z').chain([b'S', b'C', b'N']).chain(b'0'..=b'9');
    let mut costs = [EDIT_COST; SLOTS];
    for letter in letters() {
        let others = letters().filter(|other| slot(*other) != slot(letter));
        let least = others.map(|other| u16::from(substitution(letter)[usize::from(other)])).min();
        let alone = match letter {
            b'h' => LEAST_GAP,
            b'a' | b'e' | b'i' | b'o' | b'u' | b'y' => 60,
            // `rn` is read as `m`.
            b'r' => 50,
            _ => EDIT_COST,
        };
        let cost = &mut costs[slot(letter)];
        *cost = (*cost).min(least.unwrap_or(EDIT_COST)).min(alone);
    }
    costs
});

/// Which letters a form has: the length in the highest byte, then two bits for each slot, four slots a byte.
pub fn key(form: &[u8]) -> u64 {
    let mut counts = [0u8; SLOTS];
    for letter in form {
        let count = &mut counts[slot(*letter)];
        *count = (*count + 1).min(3);
    }
    let length = u64::try_from(form.len()).unwrap_or(u64::MAX).min(255);
    counts.chunks(SLOTS_OF_BYTE).fold(length, |key, four| {
        let byte = four.iter().rev().fold(0u64, |byte, count| byte << 2 | u64::from(*count));
        key << 8 | byte
    })
}

/// The letters of a form, ready to be set against many keys.
pub struct Letters {
    /// For each byte of a key and each value: what only this form has (low half), what only the other (high).
    tables: Box<[[u32; 256]; BYTES]>,
    length: usize,
}

impl Letters {
    /// Of a form.
    pub fn of(form: &[u8]) -> Self {
        let ours = key(form).to_be_bytes();
        let mut tables = Box::new([[0u32; 256]; BYTES]);
        for (byte, table) in tables.iter_mut().enumerate() {
            // A value is two halves of two slots each.
            let cost = |value: u8, place: usize| {
                let count = |byte: u8| u32::from(byte >> (2 * place) & 3);
                let cost = u32::from(COSTS[byte * SLOTS_OF_BYTE + place]);
                let (left, right) = (count(ours[1 + byte]), count(value));
                (cost * left.saturating_sub(right)) | ((cost * right.saturating_sub(left)) << 16)
            };
            let mut halves = [[0u32; 16]; 2];
            for value in 0u8..16 {
                halves[0][usize::from(value)] = cost(value, 0) + cost(value, 1);
                halves[1][usize::from(value)] = cost(value << 4, 2) + cost(value << 4, 3);
            }
            for (value, costs) in table.iter_mut().enumerate() {
                *costs = halves[0][value & 15] + halves[1][value >> 4];
            }
        }
        Self { tables, length: form.len() }
    }

    /// Whether a form with this key may be as near as `share` hundredths of a mistake for each letter.
    pub fn may_be_near(&self, key: u64, share: u16) -> bool {
        let [length, letters @ ..] = key.to_be_bytes();
        let longest = u32::try_from(self.length.max(usize::from(length))).unwrap_or(u32::MAX);
        let most = longest.saturating_mul(u32::from(share));
        let within = |cost: u32| (cost & 0xffff) <= most && (cost >> 16) <= most;
        let of = |byte: usize| self.tables[byte][usize::from(letters[byte])];
        let common = of(0) + of(1) + of(2);
        within(common) && within(common + of(3) + of(4) + of(5) + of(6))
    }

    /// The most similar that a form with this key may be.
    pub fn most_similar(&self, key: u64) -> f64 {
        let [length, letters @ ..] = key.to_be_bytes();
        let cost: u32 = (0..BYTES).map(|byte| self.tables[byte][usize::from(letters[byte])]).sum();
        let longest = u16::from(length).max(u16::try_from(self.length).unwrap_or(u16::MAX)).max(1);
        let least = (cost & 0xffff).max(cost >> 16);
        1.0 - f64::from(least) / (f64::from(EDIT_COST) * f64::from(longest))
    }
}
