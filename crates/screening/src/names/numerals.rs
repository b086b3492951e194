//! Numbers that are written in words: `twenty-two`, `three hundred and thirteen`, `nineteen seventy`, `one one zero`.

use super::{
    parts::{Reader, Subject},
    word::Word,
};
use crate::tables::Known;

/// A word in a number.
#[derive(Clone, Copy, PartialEq)]
enum Numeral {
    /// What it says alone.
    Value(u32),
    /// It joins two.
    And,
}

/// Digits that are said one by one; fewer are rather as many numbers, as in `seven eleven`.
const DIGITS_MIN: usize = 3;
const DIGITS_MAX: usize = 9;

/// The number that words say from the first on, and how many of them say it; `None` if that are not two at least.
fn written_out(word: impl Fn(usize) -> Option<Numeral>) -> Option<(u32, usize)> {
    let words = Words { word };
    let found = words.digits().or_else(|| words.year()).or_else(|| words.thousands())?;
    (found.1 >= 2).then_some(found)
}

struct Words<W> {
    word: W,
}

impl<W: Fn(usize) -> Option<Numeral>> Words<W> {
    fn value(&self, at: usize) -> Option<u32> {
        match (self.word)(at)? {
            Numeral::Value(value) => Some(value),
            Numeral::And => None,
        }
    }

    fn digits(&self) -> Option<(u32, usize)> {
        let digits = (0..DIGITS_MAX).map_while(|at| self.value(at).filter(|value| *value < 10));
        let (all, count) = digits.fold((0, 0), |(all, count), digit| (all * 10 + digit, count + 1));
        (count >= DIGITS_MIN).then_some((all, count))
    }

    /// `nineteen seventy`.
    fn year(&self) -> Option<(u32, usize)> {
        let (century, taken) = self.tens(0).filter(|(value, _)| *value >= 10)?;
        let (rest, more) = self.tens(taken).filter(|(value, _)| *value >= 10)?;
        Some((century * 100 + rest, taken + more))
    }

    fn thousands(&self) -> Option<(u32, usize)> {
        let (few, taken) = self.hundreds(0).unwrap_or((1, 0));
        if self.value(taken) != Some(1000) {
            return (taken > 0).then_some((few, taken));
        }
        let (rest, more) = self.behind(taken + 1, |at| self.hundreds(at));
        Some((few * 1000 + rest, taken + 1 + more))
    }

    fn hundreds(&self, at: usize) -> Option<(u32, usize)> {
        let (few, taken) = self.tens(at).unwrap_or((1, 0));
        if few >= 10 || self.value(at + taken) != Some(100) {
            return (taken > 0).then_some((few, taken));
        }
        let (rest, more) = self.behind(at + taken + 1, |at| self.tens(at));
        Some((few * 100 + rest, taken + 1 + more))
    }

    fn tens(&self, at: usize) -> Option<(u32, usize)> {
        let value = self.value(at).filter(|value| (1..100).contains(value))?;
        let unit = || self.value(at + 1).filter(|unit| (1..10).contains(unit));
        match unit().filter(|_| value >= 20 && value % 10 == 0) {
            Some(unit) => Some((value + unit, 2)),
            None => Some((value, 1)),
        }
    }

    /// What follows, perhaps behind `and`.
    fn behind(&self, at: usize, rest: impl Fn(usize) -> Option<(u32, usize)>) -> (u32, usize) {
        let and = usize::from((self.word)(at) == Some(Numeral::And));
        rest(at + and).map_or((0, 0), |(value, taken)| (value, taken + and))
    }
}

fn is_roman(word: &Word) -> bool {
    word.bytes().iter().all(|letter| matches!(letter, b'i' | b'v' | b'x'))
}

impl Reader<'_> {
    /// Which of those of the same name somebody is, where a name says so behind it.
    pub(super) fn generation(&self, at: usize) -> Option<u16> {
        let last = at + 1 == self.written.len() && at >= 2;
        match self.written[at].latin.as_str() {
            _ if self.subject != Subject::Person || at == 0 => None,
            "jr" | "junior" => Some(2),
            "sr" | "senior" => Some(1),
            "ii" if last => Some(2),
            "iii" if last => Some(3),
            "iv" if last => Some(4),
            _ => None,
        }
    }

    /// A number that is written in words from here on, in names of organisations and things, and how many it takes.
    pub(super) fn written_out(&self, at: usize) -> Option<(u32, usize)> {
        if self.subject == Subject::Person {
            return None;
        }
        written_out(|behind| {
            let word = &self.written.get(at + behind)?.latin;
            if word.as_str() == "and" {
                return Some(Numeral::And);
            }
            let (number, ambiguous) = self.tables.known(word)?.number?;
            let in_digits = is_roman(word) || word.bytes().iter().any(u8::is_ascii_digit);
            // `Second` alone may be a word, but not behind `twenty`.
            (!in_digits && (behind > 0 || !ambiguous)).then_some(Numeral::Value(number.into()))
        })
    }

    /// The number that a word says, in names of organisations and things.
    pub(super) fn number(&self, at: usize, known: Option<&Known>) -> Option<u16> {
        let (number, ambiguous) = known?.number?;
        let roman = is_roman(&self.written[at].latin);
        let last = at + 1 == self.written.len() && at > 0;
        (self.subject != Subject::Person && (!ambiguous || last && roman)).then_some(number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Option<(u32, usize)> {
        let words: Vec<&str> = text.split(' ').collect();
        written_out(|at| {
            Some(Numeral::Value(match *words.get(at)? {
                "and" => return Some(Numeral::And),
                "zero" => 0,
                "one" => 1,
                "two" => 2,
                "three" => 3,
                "seven" => 7,
                "eight" => 8,
                "eleven" => 11,
                "thirteen" => 13,
                "nineteen" => 19,
                "twenty" => 20,
                "sixty" => 60,
                "ninety" => 90,
                "hundred" => 100,
                "thousand" => 1000,
                _ => return None,
            }))
        })
    }

    #[test]
    fn numbers_of_words() {
        assert_eq!(read("twenty two brigade"), Some((22, 2)));
        assert_eq!(read("three hundred and thirteen"), Some((313, 4)));
        assert_eq!(read("three hundred brigade"), Some((300, 2)));
        assert_eq!(read("three one three"), Some((313, 3)));
        assert_eq!(read("nineteen twenty seven"), Some((1927, 3)));
        let many = "sixty one thousand three hundred ninety eight";
        assert_eq!(read(many), Some((61_398, 7)));
        assert_eq!(read("thousand and one"), Some((1001, 3)));
        assert_eq!(read("hundred thousand"), Some((100_000, 2)));
        for one in ["seven eleven", "seven", "seven brigade", "and seven", "hundred", "brigade"] {
            assert_eq!(read(one), None, "{one}");
        }
    }

    #[test]
    fn none_is_longer_than_its_words() {
        let words = ["zero", "one", "three", "thirteen", "twenty", "hundred", "thousand", "and"];
        for n in 0..words.len().pow(5) {
            let text: Vec<&str> =
                (0..5).map(|at| words[n / words.len().pow(at) % words.len()]).collect();
            let taken = read(&text.join(" ")).map_or(2, |(_, taken)| taken);
            assert!((2..=5).contains(&taken), "{text:?}");
        }
    }
}
