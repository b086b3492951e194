//! Names in Chinese syllables, as the mainland writes them in Latin letters.
//!
//! A given name is one or two syllables, and another syllable is another name: Wenhui is not Wenhai, however
//! near the letters are. That can only be told of a whole name: other languages have words of such syllables.

use super::{
    parts::{Kind, Part},
    script::Script,
    word::Word,
};
use crate::tables::Tables;

/// Syllables of one word at most.
const MAX_SYLLABLES: usize = 3;

/// Whether all parts of a person's name are Chinese syllables, and one of them is a usual family name.
pub fn is_chinese(parts: &[Part], tables: &Tables) -> bool {
    let word = |part: &Part| {
        part.kind == Kind::Word
            && part.script == Script::Latin
            && syllables(&part.text, tables).is_some()
    };
    (2..=3).contains(&parts.len())
        && parts.iter().any(|part| tables.pinyin(part.text.as_str()) == Some(true))
        && parts.iter().all(word)
}

/// The syllables of a word, as few as possible.
fn syllables<'w>(word: &'w Word, tables: &Tables) -> Option<Vec<&'w str>> {
    (1..=MAX_SYLLABLES).find_map(|count| cut(word.as_str(), count, tables))
}

fn cut<'w>(text: &'w str, count: usize, tables: &Tables) -> Option<Vec<&'w str>> {
    let is_syllable = |text: &str| tables.pinyin(text).is_some();
    if count == 1 {
        return is_syllable(text).then(|| vec![text]);
    }
    // The longest first: `xiangan` is `xiang an`.
    (1..text.len().min(7)).rev().filter(|at| is_syllable(&text[..*at])).find_map(|at| {
        let mut found = cut(&text[at..], count - 1, tables)?;
        found.insert(0, &text[..at]);
        Some(found)
    })
}

/// Whether two words of Chinese names have other syllables.
pub fn differ(a: &Word, b: &Word, tables: &Tables) -> bool {
    let (Some(a), Some(b)) = (syllables(a, tables), syllables(b, tables)) else { return false };
    a.len() == b.len() && a.iter().zip(&b).any(|(a, b)| plain(a) != plain(b))
}

/// A syllable as many speak it who do not tell `zh` from `z`. Passports write one vowel as `lyu`, `lv` and `lu`.
fn plain(syllable: &str) -> (&str, &str) {
    let at = syllable.find(['a', 'e', 'i', 'o', 'u', 'v']).unwrap_or(0);
    let (first, rest) = syllable.split_at(at);
    let first = match first {
        "zh" | "ch" | "sh" | "ly" | "ny" => &first[..1],
        _ => first,
    };
    (first, if rest == "v" { "u" } else { rest })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tables::tables;

    #[test]
    fn another_syllable_is_another_name() {
        let differ = |a: &str, b: &str| differ(&Word::new(a), &Word::new(b), tables());
        assert!(differ("wenhui", "wenhai") && differ("lijun", "lijuan") && differ("yan", "an"));
        assert!(!differ("zhiming", "ziming"));
        assert!(!differ("lyu", "lv") && !differ("lv", "lu") && !differ("lyue", "lue"));
        assert!(!differ("smith", "schmidt"), "no syllables at all");
    }
}
