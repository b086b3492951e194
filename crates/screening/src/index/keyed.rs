//! Names that have more in common with one than their parts, one by one: parts written together or apart, the
//! whole as one word, first letters. Keys find them, with many that have nothing else; most of these are seen
//! not to be meant without reading them.

use std::ops::Range;

use rustc_hash::FxHashMap;

use super::{
    file::hash,
    layout::{View, group, purpose},
    records::Parts,
};
use crate::names::{
    JOINED_MAX_DIFFERENCE, KEY_MIN_CONSONANTS, Kind, NAME_MAX_WORDS, Name, Part, Run, Sound,
    Subject, WORD_MAX_LETTERS, Word, initials, is_written_apart, runs, telling,
};

/// An index, asked by keys for names of one subject.
pub struct Keyed<'s, 'p> {
    /// The index.
    pub view: View<'s>,
    /// What bears the names.
    pub subject: Subject,
    /// Parts that were read.
    pub parts: &'p mut Parts,
}

/// Which parts of an index, two or three, are one part that is sought when written together.
type Apart = FxHashMap<[u32; 3], bool>;

impl Keyed<'_, '_> {
    /// Names that have a key in common with this one: parts written together or apart, first letters.
    pub fn names(&mut self, name: &Name) -> Vec<u32> {
        let view = &self.view;
        let mut found = Vec::new();
        let with = |purpose: u8, form: &[u8]| {
            view.name_hashes.get(hash(purpose, form)).iter().map(|name| name.get())
        };
        for part in name.parts.iter().filter(|part| part.kind == Kind::Word) {
            // One of two that are the same may be meant by parts that stand apart.
            let once = name.parts.iter().filter(|other| other.text == part.text).count() == 1;
            let same = if once { view.words_of(&part.text) } else { 0..0 };
            let mut apart = Apart::default();
            let mut together = |purpose: u8, form: &Word| {
                let names = with(purpose, form.bytes());
                found.extend(names.filter(|name| {
                    may_write_apart(view, self.parts, &mut apart, *name, part, &same)
                }));
            };
            if part.consonants.len() >= KEY_MIN_CONSONANTS {
                together(purpose::RUN_CONSONANTS, &part.consonants);
                together(purpose::RUN_FOLD, &part.fold);
            } else {
                together(purpose::RUN_TEXT, &part.text);
            }
            let purposes = [purpose::RUN_CHINESE, purpose::RUN_KOREAN];
            for (purpose, form) in purposes.into_iter().zip(part.syllables()) {
                if form.len() >= 3 {
                    together(purpose, form);
                }
            }
        }
        let words = telling(name).count();
        let whole = with(purpose::WHOLE, &crate::names::whole_key(name));
        found.extend(whole.filter(|name| self.telling(*name) != words));
        if name.subject != Subject::Person {
            for initials in initials(name) {
                found.extend(with(purpose::SINGLE, &initials));
            }
            let mut words = telling(name);
            if let (Some(word), None) = (words.next(), words.next()) {
                found.extend(with(purpose::INITIALS, word.text.bytes()));
            }
        }
        runs(&name.parts, WORD_MAX_LETTERS + 4, |_, run| {
            for part in self.parts_of_run(run) {
                found.extend(view.postings.get(part as usize).iter().map(|name| name.get()));
            }
        });
        found
    }

    /// How many parts of a name are no legal forms.
    fn telling(&self, name: u32) -> usize {
        let parts = self.view.names.get(name as usize).iter();
        let kinds = parts.map(|part| self.view.record(part.get()).kind);
        kinds.filter(|kind| !matches!(kind, Kind::Legal(_))).count()
    }

    /// The parts that are a run of parts, written together.
    fn parts_of_run(&self, run: &Run<'_>) -> Vec<u32> {
        let view = &self.view;
        let mut words = Vec::new();
        let mut of = |purpose: u8, form: &Word| {
            let key = hash(purpose, form.bytes());
            words.extend(view.word_hashes.get(key).iter().map(|word| word.get()));
        };
        let (plain, assimilated) = (run.consonants(false), run.consonants(true));
        if !run.is_of_one() {
            of(purpose::CONSONANTS, &plain);
        }
        if assimilated != plain {
            of(purpose::CONSONANTS, &assimilated);
        }
        if let Some(with_article) = run.consonants_with_article().filter(|form| *form != plain) {
            of(purpose::CONSONANTS, &with_article);
        }
        for (purpose, sound) in
            [(purpose::CHINESE, Sound::Chinese), (purpose::KOREAN, Sound::Korean)]
        {
            if let Some(form) = run.syllables(sound) {
                of(purpose, &form);
            }
        }
        if run.is_of_one() {
            view.words_that_sound(run.fold(), &mut words);
        }
        words.extend(view.words_of(run.text()));
        words.sort_unstable();
        words.dedup();
        let mut parts: Vec<u32> = words.into_iter().flat_map(|word| view.parts_of(word)).collect();
        parts.retain(|part| {
            let record = view.record(*part);
            (record.kind, record.subject) == (Kind::Word, self.subject)
                && !run.has(&view.text(record.word))
                && run.is(&view.part(*part)).is_some()
        });
        parts
    }
}

/// Whether a name may write apart what is one part here, by two or three parts that stand together. One that has
/// the part itself, as one of the `same` words, has it rather there.
fn may_write_apart(
    view: &View<'_>,
    parts: &mut Parts,
    apart: &mut Apart,
    name: u32,
    part: &Part,
    same: &Range<u32>,
) -> bool {
    let numbers = view.names.get(name as usize);
    let mut lengths = [0; NAME_MAX_WORDS];
    for (number, length) in numbers.iter().zip(&mut lengths) {
        let record = view.record(number.get());
        if record.kind == Kind::Word && same.contains(&record.word) {
            return false;
        }
        if record.group != group(part.script) {
            return true;
        }
        *length = view.length(&record);
    }
    let count = numbers.len().min(NAME_MAX_WORDS);
    (0..count).any(|first| {
        let at = [first, (first + 1) % count, (first + 2) % count];
        (2..=3).any(|taken| {
            // What is longer than a word is cut off.
            let length =
                at[..taken].iter().fold(0, |sum, at| (sum + lengths[*at]).min(WORD_MAX_LETTERS));
            if length.abs_diff(part.text.len()) > JOINED_MAX_DIFFERENCE {
                return false;
            }
            let mut key = [u32::MAX; 3];
            key.iter_mut().zip(&at[..taken]).for_each(|(key, at)| *key = numbers[*at].get());
            *apart.entry(key).or_insert_with(|| {
                let read = key[..taken].iter().map(|number| parts.get(view, *number).clone());
                let read: Vec<Part> = read.collect();
                is_written_apart(&read.iter().collect::<Vec<_>>(), part)
            })
        })
    })
}
