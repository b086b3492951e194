//! Forms in which spellings of one sound meet.
//!
//! Lists write one name in many ways, because every language that wrote it down heard it with its own
//! ears: Qadhafi, Gaddafi, Kadafi; Tchaikovsky, Chaikovskij. `fold` maps what stands for one sound in most
//! languages to one letter. Where a script leaves vowels out, or one syllable has a few well-known
//! romanisations, both sides are brought to the form of [`Sound`] first.

use super::{script::Script, word::Word};

/// What of a word is compared when one side comes from a script that does not say more.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Sound {
    /// The whole word.
    Whole,
    /// The consonants that an Arabic or Hebrew spelling surely has.
    Consonants,
    /// The same for Hebrew, where one letter is also a vowel.
    Hebrew,
    /// The consonants of a Thai word, where some sound alike at its end.
    Thai,
    /// A Chinese syllable, in whichever romanisation.
    Chinese,
    /// A Korean syllable, in whichever romanisation.
    Korean,
}

impl Sound {
    /// How words of these two scripts are to be compared.
    pub fn between(a: Script, b: Script) -> Self {
        let either = |script| a == script || b == script;
        if a == b {
            Self::Whole
        } else if either(Script::Arabic) {
            Self::Consonants
        } else if either(Script::Hebrew) {
            Self::Hebrew
        } else if either(Script::Thai) {
            Self::Thai
        } else if either(Script::Hangul) {
            Self::Korean
        } else if either(Script::Han) {
            Self::Chinese
        } else {
            Self::Whole
        }
    }

    /// The form of a word.
    pub fn of(self, word: &Word) -> Word {
        self.ended(match self {
            Self::Whole => fold(word),
            Self::Consonants => consonants(word),
            Self::Hebrew => hebrew(word),
            Self::Thai => thai(word),
            Self::Chinese => chinese(word),
            Self::Korean => korean(word),
        })
    }

    /// A form whose end may be written or not.
    fn ended(self, mut form: Word) -> Word {
        match (self, form.len(), form.last()) {
            // A mark of the feminine, or the end of a long vowel.
            (Self::Consonants, 3.., b'h') | (Self::Consonants, 4.., b't') => form.pop(),
            (Self::Hebrew, 3.., b'h') => form.pop(),
            (Self::Thai, _, b'l') => form.put_last(b'n'),
            (Self::Thai, 2.., b's' | b'C') => form.put_last(b't'),
            _ => {}
        }
        // A first glide may be written or not.
        if self == Self::Consonants && form.len() > 1 && form.first() == b'y' {
            return Word::new(&form.as_str()[1..]);
        }
        form
    }
}

/// Rewrites a word from left to right: `rule` sees what is left and says how many letters it takes and
/// what stands for them. Doubled letters become one.
fn rewrite(word: &Word, rule: impl Fn(&[u8], &Word) -> (usize, &'static [u8])) -> Word {
    let mut out = Word::EMPTY;
    let mut rest = word.bytes();
    while let Some(first) = rest.first() {
        let (taken, written) = rule(rest, &out);
        let one = [*first];
        let (taken, written) = if taken == 0 { (1, &one[..]) } else { (taken, written) };
        for letter in written {
            if out.last() != *letter || letter.is_ascii_digit() {
                out.push(*letter);
            }
        }
        rest = &rest[taken..];
    }
    out
}

/// Spellings of one sound are one. Capital letters stand for sounds without a letter: `S` sh, `C` ch.
pub fn fold(word: &Word) -> Word {
    rewrite(word, |rest, out| match rest {
        [b's', b'h', b'c', b'h', ..] | [b's', b'z', b'c', b'z', ..] => (4, b"S"),
        [b's', b't', b's', b'c', b'h', ..] => (5, b"S"),
        [b't', b's', b'c', b'h', ..] => (4, b"C"),
        [b's', b'c', b'h', ..] => (3, b"S"),
        [b't', b'c', b'h', ..] => (3, b"C"),
        [b'd', b'z', b'h', ..] | [b'd', b's', b'c', ..] => (3, b"j"),
        [b'e', b'a', b'u', ..] => (3, b"o"),
        [b'c', b'h', b'h', ..] => (3, b"C"),
        [b'z', b'h', ..] | [b'r', b'z', ..] | [b'd', b'j', ..] | [b'd', b'g', ..] => (2, b"j"),
        [b'k', b'h', ..] => (2, b"h"),
        [b's', b'h', ..] | [b's', b'z', ..] => (2, b"S"),
        [b'c', b'h', ..] | [b'c', b'z', ..] => (2, b"C"),
        [b'g', b'h', ..] => (2, b"g"),
        [b'p', b'h', ..] => (2, b"f"),
        [b't', b'h', ..] => (2, b"t"),
        [b'd', b'h', ..] => (2, b"d"),
        [b'b', b'h', ..] => (2, b"b"),
        [b'c', b'k', ..] => (2, b"k"),
        [b't', b'z', ..] => (2, b"ts"),
        [b'k', b's', ..] => (2, b"x"),
        [b'q', b'u', ..] => (2, b"ku"),
        [b'o', b'u', ..] | [b'o', b'o', ..] => (2, b"u"),
        [b'e', b'e', ..]
        | [b'i', b'e', ..]
        | [b'i', b'y', ..]
        | [b'i', b'j', ..]
        | [b'y', b'i', ..] => (2, b"i"),
        [b'e', b'i', ..] | [b'e', b'y', ..] | [b'a', b'y', ..] | [b'a', b'j', ..] => (2, b"ai"),
        [b'y', b'a', ..] | [b'j', b'a', ..] => (2, b"ia"),
        [b'y', b'u', ..] | [b'j', b'u', ..] => (2, b"iu"),
        [b'y', b'e', ..] => (2, b"e"),
        [b'y', b'o', ..] => (2, b"o"),
        [b'a', b'h'] | [b'a', b'e', ..] => (2, b"a"),
        [b'f', b'f'] if out.last() == b'o' => (2, b"v"),
        [b'q', ..] => (1, b"k"),
        [b'w', ..] => (1, b"v"),
        [b'y', ..] => (1, b"i"),
        [b'c', b'e' | b'i' | b'y', ..] => (1, b"s"),
        [b'c', ..] => (1, b"k"),
        _ => (0, b""),
    })
}

/// The skeleton: the first letter and the consonants of the folded form.
pub fn skeleton(folded: &Word) -> Word {
    let mut out = Word::EMPTY;
    for (at, letter) in folded.bytes().iter().enumerate() {
        let vowel = matches!(letter, b'a' | b'e' | b'i' | b'o' | b'u');
        if at > 0 && (vowel || *letter == b'h') || out.last() == *letter {
            continue;
        }
        out.push(if vowel { b'a' } else { *letter });
    }
    out
}

/// The consonants of a folded form, without the breath of `h`.
pub fn consonants_of_fold(folded: &Word) -> Word {
    let mut out = Word::EMPTY;
    for letter in folded.bytes() {
        let class = match letter {
            b'a' | b'e' | b'i' | b'o' | b'u' | b'h' | b'j' => continue,
            b'z' => b'd',
            b'g' => b'k',
            b'p' => b'b',
            b'v' | b'f' => b'v',
            b'S' | b'C' => b's',
            letter => *letter,
        };
        if out.last() != class {
            out.push(class);
        }
    }
    out
}

fn consonants(word: &Word) -> Word {
    rewrite(word, |rest, out| match rest {
        [b's', b'h', b'c', b'h', ..] => (4, b"S"),
        [b't', b's', b'c', b'h', ..] => (4, b"S"),
        [b's', b'c', b'h', ..] | [b't', b'c', b'h', ..] => (3, b"S"),
        [b'k', b'h', ..] => (2, b"x"),
        [b's', b'h', ..] | [b'c', b'h', ..] => (2, b"S"),
        [b'z', b'h', ..] | [b'd', b'j', ..] => (2, b"g"),
        [b'g', b'h', ..] => (2, b"g"),
        [b't', b'h', ..] | [b'd', b'h', ..] => (2, b"z"),
        [b'p', b'h', ..] => (2, b"f"),
        [b'c', b'k', ..] => (2, b"k"),
        [b't', b'z', ..] => (2, b"s"),
        // At the beginning it is a consonant, later mostly a vowel.
        [b'w' | b'v', ..] if rest.len() == word.len() => (1, b"w"),
        [b'c', b'e' | b'i' | b'y', ..] => (1, b"s"),
        [b'i' | b'e' | b'y', b'a', ..] if out.is_empty() => (1, b"y"),
        [b'a' | b'e' | b'i' | b'o' | b'u' | b'y' | b'w' | b'v', ..] => (1, b""),
        [b'q' | b'c', ..] => (1, b"k"),
        [b'p', ..] => (1, b"b"),
        [b'j', ..] => (1, b"g"),
        _ => (0, b""),
    })
}

fn hebrew(word: &Word) -> Word {
    rewrite(word, |rest, _| match rest {
        [b's', b'h', ..] => (2, b"s"),
        [b's', b'c', b'h', ..] => (3, b"s"),
        [b'c', b'h', ..] | [b'k', b'h', ..] => (2, b"h"),
        [b't', b's', ..] | [b't', b'z', ..] => (2, b"C"),
        [b'p', b'h', ..] => (2, b"p"),
        [b't', b'h', ..] => (2, b"t"),
        [b'c', b'k', ..] => (2, b"k"),
        [b'f', ..] => (1, b"p"),
        [b'q' | b'c', ..] => (1, b"k"),
        [b'z'] => (1, b"C"),
        [b'a' | b'e' | b'i' | b'o' | b'u' | b'y' | b'w' | b'v' | b'j', ..] => (1, b""),
        _ => (0, b""),
    })
}

fn thai(word: &Word) -> Word {
    rewrite(word, |rest, _| match rest {
        [b'c', b'h', ..] | [b's', b'h', ..] => (2, b"C"),
        [b'p', b'h', ..] => (2, b"p"),
        [b't', b'h', ..] => (2, b"t"),
        [b'k', b'h', ..] => (2, b"k"),
        [b'n', b'g', ..] => (2, b"N"),
        [b'j', ..] => (1, b"C"),
        [b'a' | b'e' | b'i' | b'o' | b'u' | b'y' | b'w' | b'v' | b'h', ..] => (1, b""),
        [b'd', ..] => (1, b"t"),
        [b'b', ..] => (1, b"p"),
        [b'g', ..] => (1, b"k"),
        [b'r', ..] => (1, b"l"),
        _ => (0, b""),
    })
}

fn chinese(word: &Word) -> Word {
    rewrite(word, |rest, _| match rest {
        [b't', b's', b'z', ..] => (3, b"z"),
        [b'z', b'h', ..]
        | [b'c', b'h', ..]
        | [b's', b'h', ..]
        | [b'h', b's', ..]
        | [b't', b's', ..]
        | [b't', b'z', ..] => (2, if rest[0] == b's' || rest[0] == b'h' { b"S" } else { b"C" }),
        [b'x', ..] => (1, b"S"),
        [b'q' | b'j' | b'z' | b'c', ..] => (1, b"C"),
        [b'd', ..] => (1, b"t"),
        [b'b', ..] => (1, b"p"),
        [b'n', b'g', ..] => (2, b"n"),
        [b'g', ..] => (1, b"k"),
        [b'i', b'e', b'h', ..] => (3, b"ie"),
        // Taiwan writes `chih` for `zhi`.
        [b'i', b'h', rest @ ..] if !matches!(rest, [b'a' | b'e' | b'i' | b'o' | b'u', ..]) => {
            (2, b"i")
        }
        [b'i', b'e', b'n', ..] => (3, b"ian"),
        [b'y', b'e', b'n', ..] => (3, b"ian"),
        [b'o', b'n', b'g', ..] | [b'u', b'n', b'g', ..] => (3, b"ong"),
        [b'u', b'o', ..] => (2, b"o"),
        [b'e', b'h', ..] => (2, b"e"),
        [b'y', b'u', ..] => (2, b"u"),
        [b'y', ..] => (1, b"i"),
        [b'w', b'u', ..] => (2, b"u"),
        _ => (0, b""),
    })
}

fn korean(word: &Word) -> Word {
    rewrite(word, |rest, _| match rest {
        // The commonest family name is written as English would say it.
        [b'a', b'r', b'k', ..] => (3, b"ak"),
        [b'y', b'e', b'o', ..] => (3, b"io"),
        [b'y', b'o', b'u', ..] => (3, b"io"),
        [b'y', b'o', b'o', ..] => (3, b"iu"),
        [b'e', b'o', ..] => (2, b"o"),
        [b'e', b'u', ..]
        | [b'o', b'u', ..]
        | [b'o', b'o', ..]
        | [b'w', b'u', ..]
        | [b'w', b'o', ..] => (2, b"u"),
        [b'e', b'e', ..] | [b'y', b'i', ..] => (2, b"i"),
        [b'a', b'e', ..] | [b'a', b'y', ..] | [b'o', b'e', ..] => (2, b"e"),
        [b'u', b'i', ..] | [b'u', b'y', ..] => (2, b"i"),
        [b'a', b'h', ..] => (2, b"a"),
        [b'c', b'h', ..] => (2, b"j"),
        [b's', b'h', ..] => (2, b"s"),
        [b'k', b'h', ..] => (2, b"k"),
        [b'p', b'h', ..] => (2, b"b"),
        [b't', b'h', ..] => (2, b"d"),
        [b'y', ..] => (1, b"i"),
        [b'g', ..] => (1, b"k"),
        [b'c', ..] => (1, b"k"),
        [b't', ..] => (1, b"d"),
        [b'p' | b'v', ..] => (1, b"b"),
        [b'r', ..] => (1, b"l"),
        [b'z', ..] => (1, b"j"),
        _ => (0, b""),
    })
}

/// The longest given name of Chinese or Korean syllables.
pub const SYLLABLES_MAX_LETTERS: usize = 14;

/// A word as Chinese and as Korean syllables; empty if it is too long to be such.
pub fn syllables(word: &Word) -> [Word; 2] {
    if word.len() > SYLLABLES_MAX_LETTERS {
        [Word::EMPTY; 2]
    } else {
        [chinese(word), korean(word)]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folded(text: &str) -> String {
        fold(&Word::new(text)).to_string()
    }

    #[test]
    fn spellings_of_one_sound_meet() {
        assert_eq!(folded("tchaikovsky"), folded("chaikovskij"));
        assert_eq!(folded("mohammed"), folded("mohamed"));
        assert_eq!(folded("ivanoff"), folded("ivanov"));
        assert_eq!(folded("shevchenko"), folded("schewtschenko"));
        assert_ne!(folded("hassan"), folded("hussein"));
    }

    #[test]
    fn scripts_without_vowels_meet_on_consonants() {
        let same = |a: &str, b: &str| {
            assert_eq!(
                Sound::Consonants.of(&Word::new(a)),
                Sound::Consonants.of(&Word::new(b)),
                "{a} {b}"
            );
        };
        same("mhmd", "muhammad");
        same("yasr", "yasser");
        same("khald", "khalid");
    }
}
