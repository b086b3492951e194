//! Words and parts of an index, as they are kept and as they are read.

use std::collections::hash_map::Entry;

use rustc_hash::FxHashMap;

use super::forms::Forms;
use super::layout::{GROUPS, Space, View, packed_group, section, unpack_part};
use crate::names::{
    ADJECTIVE_MIN_LETTERS, Kind, Part, Script, Sound, Subject, Word, is_adjective_of, part,
};
use crate::tables::tables;

/// What is known about a part without reading it.
#[derive(Clone, Copy)]
pub struct Record {
    /// Which letters its folded form has.
    pub letters: u64,
    /// How much it says.
    pub weight: f64,
    /// Which of the kinds of the index it is.
    pub number: usize,
    /// Its word.
    pub word: u32,
    /// The group of its script.
    pub group: usize,
    /// What it is.
    pub kind: Kind,
    /// What bears its names.
    pub subject: Subject,
}

impl View<'_> {
    /// Words with these letters, in any script.
    pub(super) fn words_of(&self, text: &Word) -> std::ops::Range<u32> {
        self.words_from(text.bytes(), |word| word == text.bytes())
    }

    /// All words, with the same numbers.
    pub(super) fn words_in_order(&self) -> Forms<'_> {
        Forms {
            offsets: self.image.get(section::WORD_OFFSETS),
            letters: self.image.get(section::WORD_LETTERS),
        }
    }

    fn words_from(&self, from: &[u8], belongs: impl Fn(&[u8]) -> bool) -> std::ops::Range<u32> {
        let words = self.words;
        let (mut low, mut high) = (0, words.len());
        while low < high {
            let middle = usize::midpoint(low, high);
            if words.get(middle) < from {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        let count = (low..words.len()).take_while(|at| belongs(words.get(*at))).count();
        let number = |at: usize| u32::try_from(at).unwrap_or(u32::MAX);
        number(low)..number(low + count)
    }

    /// Words with this folded form, in any script.
    pub(super) fn words_that_sound(&self, fold: &Word, words: &mut Vec<u32>) {
        for group in 0..GROUPS {
            let space = Space::of(self.image, group, Sound::Whole);
            if let Some(place) = space.forms.find(fold.bytes()) {
                words.extend(space.words.get(place).iter().map(|word| word.get()));
            }
        }
    }

    /// Words of which this is the beginning, and words that are the beginning of this.
    pub(super) fn abbreviations(&self, text: &Word, words: &mut Vec<u32>) {
        if text.len() < 3 {
            return;
        }
        if tables().known(text).is_some_and(|known| known.organisation.is_some()) {
            for length in 3..text.len() {
                words.extend(self.words_of(&Word::new(&text.as_str()[..length])));
            }
        } else {
            words.extend(self.words_from(text.bytes(), |word| word.starts_with(text.bytes())));
        }
    }

    /// Words that are adjectives of a name.
    pub(super) fn adjectives(&self, name: &Word, words: &mut Vec<u32>) {
        let text = name.as_str();
        let stems = [Some(text), text.strip_suffix('a')].into_iter().flatten();
        for stem in stems.filter(|stem| stem.len() >= ADJECTIVE_MIN_LETTERS) {
            let begins = Word::new(&format!("{stem}sk"));
            let some = self.words_from(begins.bytes(), |word| word.starts_with(begins.bytes()));
            words.extend(some.filter(|word| is_adjective_of(&self.text(*word), name)));
        }
    }

    /// The letters of a word.
    pub(super) fn text(&self, word: u32) -> Word {
        Word::of_letters(self.words.get(word as usize).iter())
    }

    /// A part of the index as one of a name.
    pub(super) fn part(&self, number: u32) -> Part {
        let Record { word, kind, weight, .. } = self.record(number);
        let text = self.text(word);
        let known = match kind {
            Kind::Number | Kind::Legal(_) => None,
            _ => tables().known(&text),
        };
        part(text, self.word_script(word), kind, weight, known)
    }

    /// What bears the names of a part.
    pub(super) fn part_subject(&self, part: u32) -> Subject {
        self.record(part).subject
    }

    /// What is known about a part.
    pub(super) fn record(&self, part: u32) -> Record {
        let [letters, place] = self.parts.get(part as usize).copied().unwrap_or_default();
        let [word, kind] = [place.get() >> 32, place.get() & 0xffff_ffff]
            .map(|half| u32::try_from(half).unwrap_or(0));
        let kind_number = kind as usize;
        let [tag, weight] = self.part_kinds.get(kind_number).copied().unwrap_or_default();
        let tag = u32::try_from(tag.get()).unwrap_or(0);
        let (kind, subject) = unpack_part(tag);
        Record {
            letters: letters.get(),
            weight: f64::from_bits(weight.get()),
            number: kind_number,
            word,
            group: packed_group(tag),
            kind,
            subject,
        }
    }

    /// How many letters a part has as it is written.
    pub(super) fn length(&self, record: &Record) -> usize {
        self.words.range(record.word as usize).len()
    }

    fn word_script(&self, word: u32) -> Script {
        let number = self.scripts.get(word as usize).copied().unwrap_or(0);
        Script::ALL.get(usize::from(number)).copied().unwrap_or(Script::Latin)
    }
}

/// Parts of the index that were read.
#[derive(Default)]
pub struct Parts {
    read: FxHashMap<u32, Part>,
}

impl Parts {
    /// A part, read once.
    pub fn get(&mut self, view: &View<'_>, number: u32) -> &Part {
        match self.read.entry(number) {
            Entry::Occupied(part) => part.into_mut(),
            Entry::Vacant(free) => free.insert(view.part(number)),
        }
    }
}
