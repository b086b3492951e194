//! Makes an index of a list. What is made depends on the entities alone, in their order.

use std::io::{self, Write};

use rustc_hash::{FxHashMap, FxHashSet};

use super::{
    births::birth_keys,
    company::{COMMON_NAMES, Companies},
    file::{Hashes, Sections, hash},
    forms::TreeWritten,
    layout::{
        self, flag, pack_birth, pack_name, pack_part, purpose, schema_number, section, sounds_of,
        space_section,
    },
    letters::key,
    rules,
};
use crate::{
    entity::{Entity, Schema},
    identifiers::family,
    names::{
        KEY_MIN_CONSONANTS, Kind, Name, Part, Script, Sound, Subject, consonants_of_fold, initials,
        part, runs, telling, whole_key,
    },
    names::{WORD_MAX_LETTERS, Word},
    profile::{Profile, Quality, subject},
};

/// Where the text of an entity is.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Place {
    /// Bytes before it.
    pub offset: u64,
    /// Its bytes.
    pub length: u32,
    /// A sum of it, however it is made.
    pub check: u64,
}

/// What an entity is compared with, to read it in each way.
const COUNTERPARTS: [Schema; 3] = [Schema::Person, Schema::Company, Schema::Vessel];

#[derive(PartialEq, Eq, Hash, PartialOrd, Ord, Clone, Copy)]
struct PartKey {
    word: u32,
    tag: u32,
    weight: u64,
}

/// An index that is being made, in memory.
#[derive(Default)]
pub struct IndexBuilder {
    common: Option<usize>,
    words: FxHashMap<(Word, Script), u32>,
    parts: FxHashMap<PartKey, u32>,
    names: Vec<u32>,
    name_parts: Vec<u32>,
    name_entities: Vec<u32>,
    name_tags: Vec<u8>,
    name_hashes: Vec<(u32, u32)>,
    number_hashes: Vec<(u32, u32)>,
    day_hashes: Vec<(u32, u32)>,
    entity_names: Vec<u32>,
    places: Vec<u64>,
    lengths: Vec<u32>,
    checks: Vec<u64>,
    schemas: Vec<u8>,
    flags: Vec<u8>,
    country_offsets: Vec<u32>,
    countries: Vec<u8>,
    birth_offsets: Vec<u32>,
    births: Vec<u32>,
}

fn long(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

impl IndexBuilder {
    /// Nothing yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Nothing yet; a part of names is common that so many have. What is found does not depend on it.
    pub fn with_common(names: usize) -> Self {
        Self { common: Some(names.max(1)), ..Self::default() }
    }

    /// One more entity. Where its text is and what tells that it is the same is given back as it is.
    pub fn add(&mut self, entity: &Entity, place: Place) {
        let number = long(self.schemas.len());
        self.entity_names.push(long(self.names.len()));
        self.country_offsets.push(long(self.countries.len() / 2));
        self.birth_offsets.push(long(self.births.len() / 2));
        let mut read: Vec<Subject> = Vec::new();
        let mut first = None;
        for counterpart in COUNTERPARTS {
            let as_what = subject(entity.schema, counterpart);
            if read.contains(&as_what) {
                continue;
            }
            read.push(as_what);
            let profile = Profile::beside(entity, counterpart);
            let mut seen = FxHashSet::default();
            for alias in &profile.aliases {
                self.name(&alias.name, alias.quality, number, &mut seen);
            }
            first.get_or_insert(profile);
        }
        let Some(profile) = first else { return };
        self.schemas.push(schema_number(entity.schema));
        self.places.push(place.offset);
        self.lengths.push(place.length);
        self.checks.push(place.check);
        let gender = |name: &str, flag: u8| if profile.genders.contains(&name) { flag } else { 0 };
        let some = |values: bool, flag: u8| if values { flag } else { 0 };
        self.flags.push(
            gender("male", flag::MALE)
                | gender("female", flag::FEMALE)
                | some(!profile.places.is_empty(), flag::PLACE)
                | some(!profile.addresses.is_empty(), flag::ADDRESS),
        );
        self.countries.extend(profile.countries.iter().flatten());
        for birth in &profile.births {
            self.births.extend(pack_birth(birth));
            for key in birth_keys(birth) {
                self.day_hashes.push((key, number));
            }
        }
        for identifier in &profile.identifiers {
            let hash = number_hash(identifier.kind, &identifier.value);
            self.number_hashes.push((hash, number));
        }
    }

    fn name(
        &mut self,
        name: &Name,
        quality: Quality,
        entity: u32,
        seen: &mut FxHashSet<(Vec<u32>, u8)>,
    ) {
        let parts: Vec<u32> = name.parts.iter().map(|part| self.part(part, name.subject)).collect();
        let tag = pack_name(name.subject, quality);
        if !seen.insert((parts.clone(), tag)) {
            return;
        }
        let number = long(self.names.len());
        self.names.push(long(self.name_parts.len()));
        self.name_parts.extend(parts);
        self.name_entities.push(entity);
        self.name_tags.push(tag);
        name_keys(name, |hash| self.name_hashes.push((hash, number)));
    }

    fn part(&mut self, part: &Part, subject: Subject) -> u32 {
        let next = long(self.words.len());
        let word = *self.words.entry((part.text, part.script)).or_insert(next);
        let next = long(self.parts.len());
        let tag = pack_part(part.kind, subject, part.script);
        *self.parts.entry(PartKey { word, tag, weight: part.weight.to_bits() }).or_insert(next)
    }

    /// How many entities there are.
    pub fn len(&self) -> usize {
        self.schemas.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.schemas.is_empty()
    }

    /// Writes the index. `list` is the SHA-256 of the list.
    pub fn write(mut self, list: [u8; 32], out: &mut impl Write) -> io::Result<()> {
        let mut file = Sections::new();
        self.entity_names.push(long(self.names.len()));
        self.names.push(long(self.name_parts.len()));
        self.country_offsets.push(long(self.countries.len() / 2));
        self.birth_offsets.push(long(self.births.len() / 2));
        let words = self.write_words(&mut file);
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
        Hashes::write(&mut file, section::NAME_HASHES, self.name_hashes);
        Hashes::write(&mut file, section::NUMBER_HASHES, self.number_hashes);
        Hashes::write(&mut file, section::DAY_HASHES, self.day_hashes);
        file.write(rules(), list, out)
    }

    /// Writes the words in order.
    fn write_words(&mut self, file: &mut Sections) -> WordsWritten {
        let mut words: Vec<((Word, Script), u32)> =
            std::mem::take(&mut self.words).into_iter().collect();
        words.sort_unstable();
        let mut numbers = vec![0; words.len()];
        let (mut offsets, mut letters, mut scripts) = (vec![0], Vec::new(), Vec::new());
        let (mut keys, mut exact) = (Vec::with_capacity(words.len()), Vec::new());
        let mut forms = FxHashMap::default();
        for (at, ((text, script), old)) in words.iter().enumerate() {
            let number = long(at);
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
        for group in 0..layout::GROUPS {
            let of_group = |script: Script| layout::group(script) == group;
            let words: Vec<(Word, u32)> = words
                .iter()
                .enumerate()
                .filter(|(_, ((_, script), _))| of_group(*script))
                .map(|(at, ((text, _), _))| (*text, long(at)))
                .collect();
            if words.is_empty() {
                continue;
            }
            for sound in sounds_of(group) {
                let places = write_space(file, group, sound, &words);
                if group == 0 && sound == Sound::Whole {
                    forms.extend(places);
                }
            }
        }
        WordsWritten { numbers, keys, forms }
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
        );
    }
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
fn write_space(
    file: &mut Sections,
    group: usize,
    sound: Sound,
    words: &[(Word, u32)],
) -> Vec<(u32, u32)> {
    let mut forms: Vec<(Word, u32)> =
        words.iter().map(|(text, word)| (sound.of(text), *word)).collect();
    forms.sort_unstable();
    let (mut forward, mut offsets, mut of_forms) = (Vec::<Word>::new(), Vec::new(), Vec::new());
    let mut places_of = Vec::with_capacity(words.len());
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
    let base = space_section(group, sound);
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
        file.numbers(base + 2, &tree.children);
        file.numbers(base + 3, &tree.firsts);
    }
    file.numbers(base + 12, &places);
    file.numbers(base + 13, &offsets);
    file.numbers(base + 14, &of_forms);
    places_of
}

/// What a word has in common with those that are one with it for another reason than its letters.
pub fn word_keys(part: &Part, mut each: impl FnMut(u32)) {
    if part.skeleton.len() >= 3 {
        each(hash(purpose::SKELETON, part.skeleton.bytes()));
    }
    for (purpose, form) in [purpose::CHINESE, purpose::KOREAN].into_iter().zip(part.syllables()) {
        if form.len() >= 3 {
            each(hash(purpose, form.bytes()));
        }
    }
}

/// What a name has in common with those that are one with it otherwise than part by part.
pub fn name_keys(name: &Name, mut each: impl FnMut(u32)) {
    runs(&name.parts, WORD_MAX_LETTERS + 4, |_, run| {
        if run.text().len() < 4 {
            return;
        }
        let (plain, assimilated) = (run.consonants(false), run.consonants(true));
        if plain.len() >= KEY_MIN_CONSONANTS {
            each(hash(purpose::RUN_CONSONANTS, plain.bytes()));
        }
        if assimilated != plain && assimilated.len() >= KEY_MIN_CONSONANTS {
            each(hash(purpose::RUN_CONSONANTS, assimilated.bytes()));
        }
        // What has hardly any consonants when written together is compared by its letters.
        if consonants_of_fold(run.fold()).len() < KEY_MIN_CONSONANTS {
            each(hash(purpose::RUN_TEXT, run.text().bytes()));
        }
        for (purpose, sound) in
            [(purpose::RUN_CHINESE, Sound::Chinese), (purpose::RUN_KOREAN, Sound::Korean)]
        {
            if let Some(form) = run.syllables(sound)
                && form.len() >= 3
            {
                each(hash(purpose, form.bytes()));
            }
        }
    });
    let whole = whole_key(name);
    if telling(name).map(|part| part.text.len()).sum::<usize>() >= 5 {
        each(hash(purpose::WHOLE, &whole));
    }
    if name.subject != Subject::Person {
        for initials in initials(name) {
            if initials.len() >= 3 {
                each(hash(purpose::INITIALS, &initials));
            }
        }
        let mut words = telling(name);
        if let (Some(word), None) = (words.next(), words.next()) {
            each(hash(purpose::SINGLE, word.text.bytes()));
        }
    }
}

/// The hash of a number.
pub fn number_hash(kind: &str, value: &str) -> u32 {
    hash(purpose::NUMBER, format!("{} {value}", family(kind)).as_bytes())
}
