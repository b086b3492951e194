//! A short word of small Latin letters and digits, kept in place.

use std::{fmt, hash};

/// The longest word that is kept; the rest of a longer one becomes the next word. German compounds and
/// Thai names reach 40 letters, hardly any other.
pub const WORD_MAX_LETTERS: usize = 30;

/// ASCII letters in small case, digits, and the capital letters that stand for a sound in a folded form.
#[derive(Clone, Copy)]
pub struct Word {
    length: u8,
    letters: [u8; WORD_MAX_LETTERS],
}

impl Word {
    /// No letters.
    pub const EMPTY: Self = Self { length: 0, letters: [0; WORD_MAX_LETTERS] };

    /// What of `text` fits; only ASCII letters and digits are kept.
    pub fn new(text: &str) -> Self {
        let mut word = Self::EMPTY;
        text.bytes().filter(u8::is_ascii_alphanumeric).for_each(|letter| word.push(letter));
        word
    }

    /// Of letters, those that fit.
    pub fn of_letters<'l>(letters: impl Iterator<Item = &'l u8>) -> Self {
        let mut word = Self::EMPTY;
        letters.for_each(|letter| word.push(*letter));
        word
    }

    /// One more letter, unless the word is full or the byte is none.
    pub fn push(&mut self, letter: u8) {
        if self.is_full() || !letter.is_ascii_alphanumeric() {
            return;
        }
        self.letters[usize::from(self.length)] = letter;
        self.length += 1;
    }

    /// Whether no letter fits any more.
    pub fn is_full(&self) -> bool {
        usize::from(self.length) == WORD_MAX_LETTERS
    }

    /// From its end.
    pub fn reversed(&self) -> Self {
        Self::of_letters(self.bytes().iter().rev())
    }

    /// Takes the last letter away.
    pub fn pop(&mut self) {
        self.length = self.length.saturating_sub(1);
    }

    /// Puts another letter in place of the last; once, if it stands before that already.
    pub fn put_last(&mut self, letter: u8) {
        if !self.is_empty() {
            self.pop();
            if self.last() != letter {
                self.push(letter);
            }
        }
    }

    /// Both, one behind the other.
    pub fn join(&self, other: &Self) -> Self {
        let mut both = *self;
        other.bytes().iter().for_each(|letter| both.push(*letter));
        both
    }

    /// The letters.
    pub fn bytes(&self) -> &[u8] {
        &self.letters[..usize::from(self.length)]
    }

    /// The letters.
    pub fn as_str(&self) -> &str {
        // Only ASCII is ever pushed.
        std::str::from_utf8(self.bytes()).unwrap_or_default()
    }

    /// How many letters.
    pub fn len(&self) -> usize {
        usize::from(self.length)
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.length == 0
    }

    /// The first letter; 0 if there is none.
    pub fn first(&self) -> u8 {
        self.letters[0]
    }

    /// The last letter; 0 if there is none.
    pub fn last(&self) -> u8 {
        self.bytes().last().copied().unwrap_or(0)
    }

    /// Whether all of it are digits.
    pub fn is_number(&self) -> bool {
        !self.is_empty() && self.bytes().iter().all(u8::is_ascii_digit)
    }

    /// Which letters occur, a bit each; digits share six bits. Two words that are `k` edits apart differ
    /// in at most `2k` of them.
    pub fn mask(&self) -> u32 {
        self.bytes().iter().fold(0, |mask, letter| {
            mask | match letter {
                b'a'..=b'z' => 1 << (letter - b'a'),
                b'A'..=b'Z' => 1 << (letter - b'A'),
                digit => 1 << (26 + (digit % 6)),
            }
        })
    }
}

impl PartialEq for Word {
    fn eq(&self, other: &Self) -> bool {
        self.bytes() == other.bytes()
    }
}

impl Eq for Word {}

impl PartialOrd for Word {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Word {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.bytes().cmp(other.bytes())
    }
}

impl hash::Hash for Word {
    fn hash<H: hash::Hasher>(&self, state: &mut H) {
        self.bytes().hash(state);
    }
}

impl fmt::Debug for Word {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.as_str().fmt(f)
    }
}

impl fmt::Display for Word {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_letters_and_digits_up_to_its_length() {
        assert_eq!(Word::new("a-b é9").as_str(), "ab9");
        assert_eq!(Word::new(&"x".repeat(99)).len(), WORD_MAX_LETTERS);
        assert_eq!(Word::new("van").join(&Word::new("dyk")).as_str(), "vandyk");
    }
}
