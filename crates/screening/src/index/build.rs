//! Makes an index of a list. What is made depends on the entities alone, in their order.

use rustc_hash::{FxHashMap, FxHashSet};

use super::{
    births::birth_keys,
    file::hash,
    layout::{flag, pack_birth, pack_name, pack_part, purpose, schema_number},
};
use crate::{
    entity::{Entity, Schema},
    identifiers::family,
    names::{
        KEY_MIN_CONSONANTS, Name, Part, Script, Sound, Subject, consonants_of_fold, initials, runs,
        telling, whole_key,
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
pub struct PartKey {
    pub word: u32,
    pub tag: u32,
    pub weight: u64,
}

/// An index that is being made, in memory.
#[derive(Default)]
pub struct IndexBuilder {
    pub(super) common: Option<usize>,
    /// On how many threads more than one it is written.
    pub(super) helpers: usize,
    pub(super) words: FxHashMap<(Word, Script), u32>,
    pub(super) parts: FxHashMap<PartKey, u32>,
    pub(super) names: Vec<u32>,
    pub(super) name_parts: Vec<u32>,
    pub(super) name_entities: Vec<u32>,
    pub(super) name_tags: Vec<u8>,
    pub(super) name_hashes: Vec<(u32, u32)>,
    pub(super) number_hashes: Vec<(u32, u32)>,
    pub(super) day_hashes: Vec<(u32, u32)>,
    pub(super) entity_names: Vec<u32>,
    pub(super) places: Vec<u64>,
    pub(super) lengths: Vec<u32>,
    pub(super) checks: Vec<u64>,
    pub(super) schemas: Vec<u8>,
    pub(super) flags: Vec<u8>,
    pub(super) country_offsets: Vec<u32>,
    pub(super) countries: Vec<u8>,
    pub(super) birth_offsets: Vec<u32>,
    pub(super) births: Vec<u32>,
}

pub fn long(number: usize) -> u32 {
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
            each(if run.is_of_one() {
                hash(purpose::RUN_FOLD, run.fold().bytes())
            } else {
                hash(purpose::RUN_CONSONANTS, plain.bytes())
            });
        }
        if assimilated != plain && assimilated.len() >= KEY_MIN_CONSONANTS {
            each(hash(purpose::RUN_CONSONANTS, assimilated.bytes()));
        }
        if let Some(with_article) = run.consonants_with_article()
            && with_article != plain
            && with_article.len() >= KEY_MIN_CONSONANTS
        {
            each(hash(purpose::RUN_CONSONANTS, with_article.bytes()));
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
