//! Writes an index that was made.

use std::{
    io::{self, Write},
    sync::{Mutex, PoisonError},
    thread,
};

use rustc_hash::FxHashMap;

use super::{
    build::{IndexBuilder, PartKey, long, word_keys},
    company::{COMMON_NAMES, Companies},
    file::{Hashes, Sections, hash},
    forms::TreeWritten,
    layout::{self, purpose, section, sounds_of, space_section, unpack_part},
    letters::key,
    rules,
};
use crate::names::{KEY_MIN_CONSONANTS, Kind, Script, Sound, Word, part};

/// What can be written beside something else, and the forms of [`WordsWritten`] if it has those.
type Task<'t> = Box<dyn FnOnce() -> (Sections, Vec<(u32, u32)>) + Send + 't>;

impl IndexBuilder {
    /// Writes the index. `list` is the SHA-256 of the list.
    pub fn write(self, list: [u8; 32], out: &mut impl Write) -> io::Result<()> {
        self.write_into(Sections::new(), list, out)
    }

    /// Writes the index behind other sections.
    pub(super) fn write_into(
        mut self,
        mut file: Sections,
        list: [u8; 32],
        out: &mut impl Write,
    ) -> io::Result<()> {
        self.entity_names.push(long(self.names.len()));
        self.names.push(long(self.name_parts.len()));
        self.country_offsets.push(long(self.countries.len() / 2));
        self.birth_offsets.push(long(self.births.len() / 2));
        let mut words: Vec<((Word, Script), u32)> =
            std::mem::take(&mut self.words).into_iter().collect();
        words.sort_unstable();
        let mut tasks = spaces(&words);
        for (section, hashes) in [
            (section::NAME_HASHES, std::mem::take(&mut self.name_hashes)),
            (section::NUMBER_HASHES, std::mem::take(&mut self.number_hashes)),
            (section::DAY_HASHES, std::mem::take(&mut self.day_hashes)),
        ] {
            tasks.push(Box::new(move || {
                let mut sections = Sections::new();
                Hashes::write(&mut sections, section, hashes);
                (sections, Vec::new())
            }));
        }
        let mut forms = FxHashMap::default();
        for (sections, places) in together(tasks, self.helpers) {
            file.append(sections);
            forms.extend(places);
        }
        let words = write_words(&words, forms, &mut file);
        self.write_parts(&words, &mut file);
        file.numbers(section::NAME_OFFSETS, &self.names);
        file.numbers(section::NAME_ENTITIES, &self.name_entities);
        file.bytes(section::NAME_TAGS, self.name_tags);
        file.numbers(section::ENTITY_NAMES, &self.entity_names);
        file.long(section::ENTITY_PLACES, &self.places);
        file.numbers(section::ENTITY_LENGTHS, &self.lengths);
        file.long(section::ENTITY_CHECKS, &self.checks);
        file.bytes(section::ENTITY_SCHEMAS, self.schemas);
        file.bytes(section::ENTITY_FLAGS, self.flags);
        file.numbers(section::COUNTRY_OFFSETS, &self.country_offsets);
        file.bytes(section::COUNTRIES, self.countries);
        file.numbers(section::BIRTH_OFFSETS, &self.birth_offsets);
        file.numbers(section::BIRTHS, &self.births);
        file.write(rules(), list, out)
    }

    fn write_parts(&mut self, words: &WordsWritten, file: &mut Sections) {
        let WordsWritten { numbers: words, keys, forms } = words;
        let renumbered = std::mem::take(&mut self.parts)
            .into_iter()
            .map(|(key, old)| (PartKey { word: words[key.word as usize], ..key }, old));
        let mut parts: Vec<(PartKey, u32)> = renumbered.collect();
        parts.sort_unstable();
        let mut numbers = vec![0; parts.len()];
        let mut of_words = Vec::with_capacity(words.len() + 1);
        let mut records = Vec::with_capacity(parts.len() * 2);
        let (mut kinds, mut known) = (Vec::new(), FxHashMap::default());
        for (at, (key, old)) in parts.iter().enumerate() {
            numbers[*old as usize] = long(at);
            while of_words.len() <= key.word as usize {
                of_words.push(long(at));
            }
            let next = kinds.len() / 2;
            let kind = *known.entry((key.tag, key.weight)).or_insert_with(|| {
                kinds.extend([u64::from(key.tag), key.weight]);
                next
            });
            let place = (u64::from(key.word) << 32) | u64::from(long(kind));
            records.extend([keys[key.word as usize], place]);
        }
        of_words.resize(words.len() + 1, long(parts.len()));
        self.name_parts.iter_mut().for_each(|part| *part = numbers[*part as usize]);
        let (offsets, names) = postings(&self.names, &self.name_parts, parts.len());
        file.numbers(section::WORD_PARTS, &of_words);
        file.long(section::PARTS, &records);
        file.long(section::PART_KINDS, &kinds);
        file.numbers(section::POSTING_OFFSETS, &offsets);
        file.numbers(section::POSTING_NAMES, &names);
        file.numbers(section::NAME_PARTS, &self.name_parts);
        let slice = |numbers: &'_ [u32], at: usize| numbers[at] as usize..numbers[at + 1] as usize;
        Companies::write(
            file,
            self.common.unwrap_or(COMMON_NAMES),
            parts.len(),
            |part| &names[slice(&offsets, part)],
            |name| &self.name_parts[slice(&self.names, name as usize)],
            |part| forms.get(&parts[part as usize].0.word).copied(),
            |part| {
                let PartKey { tag, weight, .. } = parts[part as usize].0;
                let is_legal = matches!(unpack_part(tag).0, Kind::Legal(_));
                if is_legal { 0.0 } else { f64::from_bits(weight) }
            },
        );
    }
}

/// The forms of all sounds that the words of each group have.
fn spaces(words: &[((Word, Script), u32)]) -> Vec<Task<'_>> {
    let mut tasks: Vec<Task<'_>> = Vec::new();
    for group in 0..layout::GROUPS {
        let of_group = move |script: Script| layout::group(script) == group;
        if !words.iter().any(|((_, script), _)| of_group(*script)) {
            continue;
        }
        for sound in sounds_of(group) {
            tasks.push(Box::new(move || {
                let (mut sections, words) = (Sections::new(), words.iter().zip(0..));
                let own = words.filter(|(((_, script), _), _)| of_group(*script));
                let forms = own.map(|(((text, _), _), at)| (sound.of(text), at)).collect();
                let places = write_space(&mut sections, space_section(group, sound), forms);
                let whole = (group, sound) == (0, Sound::Whole);
                (sections, if whole { places } else { Vec::new() })
            }));
        }
    }
    tasks
}

/// Does all of it on so many threads more than this one. What comes of it is in the order of the tasks.
fn together(tasks: Vec<Task<'_>>, helpers: usize) -> Vec<(Sections, Vec<(u32, u32)>)> {
    let helpers = helpers.min(tasks.len().saturating_sub(1));
    let tasks = Mutex::new(tasks.into_iter().enumerate());
    let next = || tasks.lock().unwrap_or_else(PoisonError::into_inner).next();
    let work = || {
        let mut done = Vec::new();
        while let Some((at, task)) = next() {
            done.push((at, task()));
        }
        done
    };
    let mut done = thread::scope(|scope| {
        let helpers: Vec<_> = (0..helpers).map(|_| scope.spawn(work)).collect();
        let mut done = work();
        for helper in helpers {
            done.extend(helper.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)));
        }
        done
    });
    done.sort_unstable_by_key(|(at, _)| *at);
    done.into_iter().map(|(_, done)| done).collect()
}

/// Writes the words, which are in order.
fn write_words(
    words: &[((Word, Script), u32)],
    forms: FxHashMap<u32, u32>,
    file: &mut Sections,
) -> WordsWritten {
    let mut numbers = vec![0; words.len()];
    let (mut offsets, mut letters, mut scripts) = (vec![0], Vec::new(), Vec::new());
    let (mut keys, mut exact) = (Vec::with_capacity(words.len()), Vec::new());
    for (((text, script), old), number) in words.iter().zip(0..) {
        numbers[*old as usize] = number;
        letters.extend_from_slice(text.bytes());
        offsets.push(long(letters.len()));
        scripts.push(u8::try_from(script_number(*script)).unwrap_or(0));
        // What the forms are does not depend on kind and weight.
        let part = part(*text, *script, Kind::Word, 1.0, None);
        keys.push(key(part.fold.bytes()));
        word_keys(&part, |hash| exact.push((hash, number)));
        if part.consonants.len() >= KEY_MIN_CONSONANTS {
            exact.push((hash(purpose::CONSONANTS, part.consonants.bytes()), number));
        }
    }
    file.numbers(section::WORD_OFFSETS, &offsets);
    file.bytes(section::WORD_LETTERS, letters);
    file.bytes(section::WORD_SCRIPTS, scripts);
    Hashes::write(file, section::WORD_HASHES, exact);
    WordsWritten { numbers, keys, forms }
}

/// What is needed of words once they are written: the new number of each, and, by that, its letters and the place
/// of its form, if it is in Latin or a kindred script.
struct WordsWritten {
    numbers: Vec<u32>,
    keys: Vec<u64>,
    forms: FxHashMap<u32, u32>,
}

/// The names that have each part.
fn postings(names: &[u32], parts: &[u32], count: usize) -> (Vec<u32>, Vec<u32>) {
    let mut offsets = vec![0u32; count + 1];
    let of = |name: usize| {
        let mut of = parts[names[name] as usize..names[name + 1] as usize].to_vec();
        of.sort_unstable();
        of.dedup();
        of
    };
    for name in 0..names.len().saturating_sub(1) {
        of(name).iter().for_each(|part| offsets[*part as usize + 1] += 1);
    }
    for at in 1..offsets.len() {
        offsets[at] += offsets[at - 1];
    }
    let mut next = offsets.clone();
    let mut all = vec![0u32; offsets.last().copied().unwrap_or(0) as usize];
    for name in 0..names.len().saturating_sub(1) {
        for part in of(name) {
            let place = &mut next[part as usize];
            all[*place as usize] = long(name);
            *place += 1;
        }
    }
    (offsets, all)
}

fn script_number(script: Script) -> usize {
    Script::ALL.iter().position(|one| *one == script).unwrap_or(0)
}

/// Writes the forms of words, and gives the place of the form of each.
fn write_space(file: &mut Sections, base: u32, mut forms: Vec<(Word, u32)>) -> Vec<(u32, u32)> {
    let count = forms.len();
    forms.sort_unstable();
    let (mut forward, mut offsets, mut of_forms) = (Vec::<Word>::new(), Vec::new(), Vec::new());
    let mut places_of = Vec::with_capacity(count);
    for (form, word) in forms {
        if forward.last() != Some(&form) {
            forward.push(form);
            offsets.push(long(of_forms.len()));
        }
        of_forms.push(word);
        places_of.push((word, long(forward.len() - 1)));
    }
    offsets.push(long(of_forms.len()));
    let mut backward: Vec<(Word, u32)> =
        forward.iter().enumerate().map(|(at, form)| (form.reversed(), long(at))).collect();
    backward.sort_unstable();
    let places: Vec<u32> = backward.iter().map(|(_, place)| *place).collect();
    let backward: Vec<Word> = backward.into_iter().map(|(form, _)| form).collect();
    let (mut ends, mut letters) = (vec![0], Vec::new());
    for form in &forward {
        letters.extend_from_slice(form.bytes());
        ends.push(long(letters.len()));
    }
    file.numbers(base, &ends);
    file.bytes(base + 1, letters);
    for (base, forms) in [(base + 2, forward), (base + 6, backward)] {
        let tree = TreeWritten::of(&forms);
        file.long(base, &tree.keys);
        file.long(base + 1, &tree.nodes);
    }
    file.numbers(base + 12, &places);
    file.numbers(base + 13, &offsets);
    file.numbers(base + 14, &of_forms);
    places_of
}
