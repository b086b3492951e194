//! What is in the sections of an index, and how what is small is packed.

use std::ops::Range;

use super::company::Companies;
use super::file::{Hashes, Image, Table};
use super::forms::{Forms, Tree};
use super::gathered::Gathered;
use crate::{
    dates::{Birth, PartialDate},
    entity::Schema,
    names::{Kind, Script, Sound, Subject},
    profile::Quality,
};
use zerocopy::little_endian::{U32, U64};

/// Numbers of sections.
pub mod section {
    pub const WORD_OFFSETS: u32 = 1;
    pub const WORD_LETTERS: u32 = 2;
    pub const WORD_SCRIPTS: u32 = 3;
    pub const WORD_PARTS: u32 = 5;
    /// Of each part which letters it has, its word, and which of the kinds it is.
    pub const PARTS: u32 = 6;
    /// Of each kind of parts what that is, and how much it says.
    pub const PART_KINDS: u32 = 7;
    pub const POSTING_OFFSETS: u32 = 9;
    pub const POSTING_NAMES: u32 = 10;
    pub const NAME_OFFSETS: u32 = 11;
    pub const NAME_PARTS: u32 = 12;
    pub const NAME_ENTITIES: u32 = 13;
    pub const NAME_TAGS: u32 = 14;
    // Hashes have three sections each.
    pub const WORD_HASHES: u32 = 40;
    pub const NAME_HASHES: u32 = 43;
    pub const NUMBER_HASHES: u32 = 46;
    pub const ENTITY_NAMES: u32 = 21;
    pub const ENTITY_PLACES: u32 = 22;
    pub const ENTITY_LENGTHS: u32 = 23;
    pub const ENTITY_SCHEMAS: u32 = 24;
    pub const ENTITY_FLAGS: u32 = 25;
    pub const COUNTRY_OFFSETS: u32 = 26;
    pub const COUNTRIES: u32 = 27;
    pub const ENTITY_CHECKS: u32 = 32;
    pub const BIRTH_OFFSETS: u32 = 28;
    pub const BIRTHS: u32 = 29;
    pub const DAY_HASHES: u32 = 49;
    /// What stands beside common parts, seven sections.
    pub const COMPANY: u32 = 60;
    /// Of a new version: numbers, entities of the version before and how many, of each run.
    pub const RUNS: u32 = 70;
    pub const RUN_OFFSETS: u32 = 71;
    /// SHA-256 of the version before.
    pub const BASE: u32 = 72;
    /// The sections of spaces come behind this, [`super::SPACE_SECTIONS`] for each.
    pub const SPACES: u32 = 100;
}

/// Purposes of hashes.
pub mod purpose {
    pub const SKELETON: u8 = 1;
    pub const CONSONANTS: u8 = 2;
    pub const CHINESE: u8 = 3;
    pub const KOREAN: u8 = 4;
    pub const RUN_CONSONANTS: u8 = 5;
    pub const RUN_TEXT: u8 = 6;
    pub const RUN_CHINESE: u8 = 7;
    pub const RUN_KOREAN: u8 = 8;
    pub const WHOLE: u8 = 9;
    pub const INITIALS: u8 = 10;
    pub const SINGLE: u8 = 11;
    pub const NUMBER: u8 = 12;
    pub const YEAR: u8 = 13;
    pub const DAY: u8 = 14;
    pub const RUN_FOLD: u8 = 15;
}

/// Scripts whose words are compared in the same way with those of others.
pub const GROUPS: usize = 6;

/// The group of a script.
pub fn group(script: Script) -> usize {
    match script {
        Script::Arabic => 1,
        Script::Hebrew => 2,
        Script::Thai => 3,
        Script::Hangul => 4,
        Script::Han => 5,
        _ => 0,
    }
}

/// A script of a group.
pub fn script_of(group: usize) -> Script {
    [Script::Latin, Script::Arabic, Script::Hebrew, Script::Thai, Script::Hangul, Script::Han]
        [group % GROUPS]
}

/// The number of a sound.
pub fn sound_number(sound: Sound) -> usize {
    match sound {
        Sound::Whole => 0,
        Sound::Consonants => 1,
        Sound::Hebrew => 2,
        Sound::Thai => 3,
        Sound::Chinese => 4,
        Sound::Korean => 5,
    }
}

/// Sections of a space.
pub const SPACE_SECTIONS: u32 = 20;

/// The first section of the forms of one sound that the words of a group have.
pub fn space_section(group: usize, sound: Sound) -> u32 {
    let number = u32::try_from(group * 8 + sound_number(sound)).unwrap_or(0);
    section::SPACES + number * SPACE_SECTIONS
}

/// The sounds in which words of a group are compared.
pub fn sounds_of(of: usize) -> Vec<Sound> {
    let mut sounds = vec![Sound::Whole];
    for other in 0..GROUPS {
        let sound = Sound::between(script_of(of), script_of(other));
        if !sounds.contains(&sound) {
            sounds.push(sound);
        }
    }
    sounds
}

/// All forms of a sound that the words of a group have.
pub struct Space<'a> {
    /// In order.
    pub forms: Forms<'a>,
    /// By their beginnings.
    pub beginnings: Tree<'a>,
    /// By their endings.
    pub endings: Tree<'a>,
    /// The words of each form.
    pub words: Table<'a, U32>,
}

impl<'a> Space<'a> {
    /// Of an image.
    pub fn of(image: &'a Image, group: usize, sound: Sound) -> Self {
        let base = space_section(group, sound);
        let forms = Forms { offsets: image.get(base), letters: image.get(base + 1) };
        let tree = |base: u32, places| Tree {
            forms,
            places,
            keys: image.get(base),
            nodes: image.get(base + 1),
        };
        Self {
            forms,
            beginnings: tree(base + 2, None),
            endings: tree(base + 6, Some(image.get(base + 12))),
            words: Table::new(image.get(base + 13), image.get(base + 14)),
        }
    }
}

/// A part of a name as a number.
pub fn pack_part(kind: Kind, subject: Subject, script: Script) -> u32 {
    let (kind, class) = match kind {
        Kind::Word => (0, 0),
        Kind::Initial => (1, 0),
        Kind::Number => (2, 0),
        Kind::Particle => (3, 0),
        Kind::Legal(class) => (4, u32::from(class)),
    };
    let group = u32::try_from(group(script)).unwrap_or(0);
    (group << 24) | (class << 8) | (u32::from(subject_number(subject)) << 4) | kind
}

/// The group of scripts in a part that was packed.
pub fn packed_group(tag: u32) -> usize {
    (tag >> 24) as usize
}

/// What [`pack_part`] packed.
pub fn unpack_part(tag: u32) -> (Kind, Subject) {
    let class = u16::try_from((tag >> 8) & 0xffff).unwrap_or(0);
    let kind = match tag & 15 {
        1 => Kind::Initial,
        2 => Kind::Number,
        3 => Kind::Particle,
        4 => Kind::Legal(class),
        _ => Kind::Word,
    };
    (kind, numbered_subject(u8::try_from((tag >> 4) & 15).unwrap_or(0)))
}

/// The number of a subject.
pub fn subject_number(subject: Subject) -> u8 {
    match subject {
        Subject::Person => 0,
        Subject::Organisation => 1,
        Subject::Object => 2,
    }
}

fn numbered_subject(number: u8) -> Subject {
    match number {
        0 => Subject::Person,
        1 => Subject::Organisation,
        _ => Subject::Object,
    }
}

/// How sure a name is, as a number above that of its subject.
pub fn pack_name(subject: Subject, quality: Quality) -> u8 {
    let quality = match quality {
        Quality::Strong => 0,
        Quality::Former => 1,
        Quality::Weak => 2,
    };
    (quality << 4) | subject_number(subject)
}

/// What [`pack_name`] packed.
pub fn unpack_name(tag: u8) -> (Subject, Quality) {
    let quality = match tag >> 4 {
        0 => Quality::Strong,
        1 => Quality::Former,
        _ => Quality::Weak,
    };
    (numbered_subject(tag & 15), quality)
}

/// Schemas by their numbers.
const SCHEMAS: [Schema; 9] = [
    Schema::Person,
    Schema::Company,
    Schema::Organization,
    Schema::LegalEntity,
    Schema::Vessel,
    Schema::Airplane,
    Schema::CryptoWallet,
    Schema::Address,
    Schema::Thing,
];

/// The number of a schema.
pub fn schema_number(schema: Schema) -> u8 {
    let at = SCHEMAS.iter().position(|one| *one == schema).unwrap_or(8);
    u8::try_from(at).unwrap_or(8)
}

/// The schema of a number.
pub fn numbered_schema(number: u8) -> Schema {
    SCHEMAS.get(usize::from(number)).copied().unwrap_or(Schema::Thing)
}

/// What else is known of an entity.
pub mod flag {
    pub const MALE: u8 = 1;
    pub const FEMALE: u8 = 2;
    pub const PLACE: u8 = 4;
    pub const ADDRESS: u8 = 8;
}

fn pack_date(date: PartialDate) -> u32 {
    (u32::from(date.year) << 16) | (u32::from(date.month) << 8) | u32::from(date.day)
}

fn unpack_date(date: u32) -> PartialDate {
    let [high, low, month, day] = date.to_be_bytes();
    PartialDate { year: u16::from_be_bytes([high, low]), month, day }
}

/// A birth as two dates and whether it is about then.
pub fn pack_birth(birth: &Birth) -> [u32; 2] {
    // No month is above 12, so its highest bit is free.
    [pack_date(birth.first) | (u32::from(birth.circa) << 15), pack_date(birth.last)]
}

/// What [`pack_birth`] packed.
pub fn unpack_birth(birth: [u32; 2]) -> Birth {
    Birth {
        first: unpack_date(birth[0] & !(1 << 15)),
        last: unpack_date(birth[1]),
        circa: (birth[0] >> 15) & 1 == 1,
    }
}

/// An image, with all sections that do not depend on the script at hand.
#[derive(Clone, Copy)]
pub struct View<'a> {
    /// The file.
    pub image: &'a Image,
    /// What was gathered from it.
    pub gathered: &'a Gathered,
    /// Letters of words, in order.
    pub words: Table<'a, u8>,
    /// Numbers of scripts of words.
    pub scripts: &'a [u8],
    /// Where the parts of each word begin.
    pub word_parts: &'a [U32],
    /// Of each part which letters it has, its word, and its kind.
    pub parts: &'a [[U64; 2]],
    /// Of each kind of parts what that is, and how much it says.
    pub part_kinds: &'a [[U64; 2]],
    /// Names that have each part.
    pub postings: Table<'a, U32>,
    /// Parts of each name.
    pub names: Table<'a, U32>,
    /// The entity of each name.
    pub name_entities: &'a [U32],
    /// Subject and quality of each name.
    pub name_tags: &'a [u8],
    /// Where the names of each entity begin.
    pub entity_names: &'a [U32],
    /// Numbers of schemas of entities.
    pub schemas: &'a [u8],
    /// What else is known of entities.
    pub flags: &'a [u8],
    /// Countries of entities.
    pub countries: Table<'a, [u8; 2]>,
    /// Births of entities.
    pub births: Table<'a, [U32; 2]>,
    /// Words by what they have in common with others.
    pub word_hashes: Hashes<'a>,
    /// Names by what they have in common with others.
    pub name_hashes: Hashes<'a>,
    /// Entities by their numbers.
    pub number_hashes: Hashes<'a>,
    /// Entities by their births.
    pub day_hashes: Hashes<'a>,
    /// What stands beside common parts.
    pub companies: Companies<'a>,
}

impl<'a> View<'a> {
    /// Of an image.
    pub fn of(image: &'a Image, gathered: &'a Gathered) -> Self {
        use section as s;
        let hashes = |section: u32| Hashes::of(image, section);
        Self {
            image,
            gathered,
            words: Table::new(image.get(s::WORD_OFFSETS), image.get(s::WORD_LETTERS)),
            scripts: image.get(s::WORD_SCRIPTS),
            word_parts: image.get(s::WORD_PARTS),
            parts: image.get(s::PARTS),
            part_kinds: image.get(s::PART_KINDS),
            postings: Table::new(image.get(s::POSTING_OFFSETS), image.get(s::POSTING_NAMES)),
            names: Table::new(image.get(s::NAME_OFFSETS), image.get(s::NAME_PARTS)),
            name_entities: image.get(s::NAME_ENTITIES),
            name_tags: image.get(s::NAME_TAGS),
            entity_names: image.get(s::ENTITY_NAMES),
            schemas: image.get(s::ENTITY_SCHEMAS),
            flags: image.get(s::ENTITY_FLAGS),
            countries: Table::new(image.get(s::COUNTRY_OFFSETS), image.get(s::COUNTRIES)),
            births: Table::new(image.get(s::BIRTH_OFFSETS), image.get(s::BIRTHS)),
            word_hashes: hashes(s::WORD_HASHES),
            name_hashes: hashes(s::NAME_HASHES),
            number_hashes: hashes(s::NUMBER_HASHES),
            day_hashes: hashes(s::DAY_HASHES),
            companies: Companies::of(image),
        }
    }
}

impl View<'_> {
    /// The names of an entity.
    pub fn names_of(&self, entity: u32) -> Range<u32> {
        between(self.entity_names, entity, self.name_tags.len())
    }

    /// The parts of a word.
    pub fn parts_of(&self, word: u32) -> Range<u32> {
        between(self.word_parts, word, self.parts.len())
    }
}

/// What lies between two numbers of a section, of so many at most: a damaged one may say anything.
fn between(numbers: &[U32], place: u32, count: usize) -> Range<u32> {
    let end = u32::try_from(count).unwrap_or(u32::MAX);
    let number = |place: u32| at(numbers, place).min(end);
    number(place)..number(place.saturating_add(1))
}

/// A number of a section; 0 where there is none.
pub fn at(numbers: &[U32], at: u32) -> u32 {
    numbers.get(at as usize).map_or(0, |number| number.get())
}
