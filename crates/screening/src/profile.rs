//! An entity, read once so that it can be compared many times.

use crate::{
    dates::Birth,
    entity::{Entity, Schema},
    identifiers::{Identifier, identifiers, is_number},
    names::{Kind, Name, Subject},
    tables::tables,
};

/// Names of one entity that are compared; the longest list of the UN has 27.
pub const PROFILE_MAX_NAMES: usize = 200;

/// Words of all names of one entity that are compared: two entities cost as much as the product of theirs.
pub const PROFILE_MAX_WORDS: usize = 1_000;

/// Addresses, and places of birth, of one entity that are compared.
pub const PROFILE_MAX_PLACES: usize = 40;

/// Dates of birth of one entity that are compared; lists have up to ten.
pub const PROFILE_MAX_BIRTHS: usize = 50;

/// How sure a name is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Quality {
    /// A name or a good alias.
    Strong,
    /// A former name.
    Former,
    /// A weak alias, as the lists call it: a nickname that many bear.
    Weak,
}

/// A name with the text it came from.
#[derive(Clone, Debug)]
pub struct Alias {
    /// As it is on the list.
    pub text: String,
    /// In parts.
    pub name: Name,
    /// How sure it is.
    pub quality: Quality,
    /// Whether it is how another writes what Chinese characters say.
    pub is_reading: bool,
}

/// What is compared of an entity.
#[derive(Clone, Debug)]
pub struct Profile {
    /// What it is.
    pub schema: Schema,
    /// Its names.
    pub aliases: Vec<Alias>,
    /// When it was born or founded.
    pub births: Vec<Birth>,
    /// `male` or `female`.
    pub genders: Vec<&'static str>,
    /// Countries it belongs to.
    pub countries: Vec<[u8; 2]>,
    /// Places of birth.
    pub places: Vec<Alias>,
    /// Addresses.
    pub addresses: Vec<Alias>,
    /// Numbers and codes.
    pub identifiers: Vec<Identifier>,
}

const STRONG: [&str; 2] = ["name", "alias"];
const COUNTRIES: [&str; 8] = [
    "country",
    "nationality",
    "citizenship",
    "jurisdiction",
    "mainCountry",
    "birthCountry",
    "flag",
    "pastFlags",
];
const BIRTHS: [&str; 3] = ["birthDate", "incorporationDate", "buildDate"];

/// Names, whole and in parts.
const NAMES: [&str; 10] = [
    "name",
    "alias",
    "previousName",
    "weakAlias",
    "firstName",
    "secondName",
    "middleName",
    "fatherName",
    "lastName",
    "gender",
];

/// Places.
const PLACES: [&str; 3] = ["birthPlace", "address", "full"];

/// Whether a property is looked at when entities are compared.
pub fn is_compared(property: &str) -> bool {
    [&NAMES[..], &COUNTRIES, &BIRTHS, &PLACES].iter().any(|some| some.contains(&property))
        || is_number(property)
}

impl Profile {
    /// Reads an entity as itself.
    pub fn new(entity: &Entity) -> Self {
        Self::beside(entity, entity.schema)
    }

    /// Reads an entity for a comparison with one of another schema: what may be either a person or an
    /// organisation is read as what the other is.
    pub fn beside(entity: &Entity, other: Schema) -> Self {
        let subject = subject(entity.schema, other);
        let mut aliases = Aliases { words: 0, subject, found: Vec::new() };
        for (_, text) in entity.all(&STRONG) {
            aliases.add(text, Quality::Strong);
        }
        for text in entity.get("previousName") {
            aliases.add(text, Quality::Former);
        }
        for text in entity.get("weakAlias") {
            aliases.add(text, Quality::Weak);
        }
        for text in composed(entity) {
            aliases.add(&text, Quality::Strong);
        }
        if entity.schema == Schema::Address {
            for (_, text) in entity.all(&["full", "address"]) {
                aliases.add(text, Quality::Strong);
            }
        }
        let place = |(_, text): (&str, &str)| {
            let name = Name::new(text, Subject::Organisation, tables());
            Alias { text: text.to_owned(), name, quality: Quality::Strong, is_reading: false }
        };
        Self {
            schema: entity.schema,
            aliases: aliases.found,
            births: entity
                .all(&BIRTHS)
                .filter_map(|(_, text)| Birth::parse(text))
                .take(PROFILE_MAX_BIRTHS)
                .collect(),
            genders: entity.get("gender").iter().filter_map(|text| gender(text)).collect(),
            countries: countries(entity),
            places: entity.all(&["birthPlace"]).take(PROFILE_MAX_PLACES).map(place).collect(),
            addresses: entity
                .all(&["address", "full"])
                .take(PROFILE_MAX_PLACES)
                .map(place)
                .collect(),
            identifiers: identifiers(entity),
        }
    }
}

/// A text without what stands in brackets.
fn outside(text: &str) -> String {
    let mut depth = 0usize;
    let mut out = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '(' | '[' | '（' => depth += 1,
            ')' | ']' | '）' => depth = depth.saturating_sub(1),
            letter if depth == 0 => out.push(letter),
            _ => {}
        }
    }
    out
}

fn telling(name: &Name) -> usize {
    name.parts.iter().filter(|part| part.kind == Kind::Word).count()
}

struct Aliases {
    words: usize,
    subject: Subject,
    found: Vec<Alias>,
}

impl Aliases {
    fn add(&mut self, text: &str, quality: Quality) {
        self.push(text, text, quality, false);
        if self.subject == Subject::Person {
            let japanese = tables().japanese(text).into_iter();
            for reading in japanese.chain(tables().chinese(text)) {
                self.push(&reading, text, quality, true);
            }
        }
        // `Fortune Pearl (ex Blue Coral)`, `Ann Smith (née Jones)`: also what stands outside, if that is a name.
        let outside = outside(text);
        if outside.len() < text.len() && telling(&Name::new(&outside, self.subject, tables())) >= 2
        {
            self.push(&outside, text, quality, false);
        }
    }

    fn push(&mut self, read: &str, text: &str, quality: Quality, is_reading: bool) {
        if self.found.len() >= PROFILE_MAX_NAMES {
            return;
        }
        let name = Name::new(read, self.subject, tables());
        self.words += name.parts.len();
        if !name.is_empty() && self.words <= PROFILE_MAX_WORDS {
            self.found.push(Alias { text: text.to_owned(), name, quality, is_reading });
        }
    }
}

/// What an entity is read as beside one of another schema.
pub(crate) fn subject(schema: Schema, other: Schema) -> Subject {
    match (schema, other) {
        (Schema::Person, _) => Subject::Person,
        (Schema::LegalEntity | Schema::Thing, Schema::Person) => Subject::Person,
        (Schema::Vessel | Schema::Airplane, _) => Subject::Object,
        (Schema::Thing, Schema::Vessel | Schema::Airplane) => Subject::Object,
        _ => Subject::Organisation,
    }
}

/// Names from their parts, where the whole is not given: every first with every last name, up to nine.
fn composed(entity: &Entity) -> Vec<String> {
    if !entity.get("name").is_empty() {
        return Vec::new();
    }
    let first = |part: &str| entity.get(part).first().map(String::as_str);
    let between: Vec<&str> =
        ["secondName", "middleName", "fatherName"].into_iter().filter_map(first).collect();
    let some = |part: &str| {
        let values: Vec<&str> = entity.get(part).iter().take(3).map(String::as_str).collect();
        if values.is_empty() { vec![""] } else { values }
    };
    let (firsts, lasts) = (some("firstName"), some("lastName"));
    let mut names = Vec::new();
    for first in firsts {
        for last in &lasts {
            let parts = std::iter::once(first).chain(between.iter().copied()).chain([*last]);
            names.push(parts.collect::<Vec<_>>().join(" "));
        }
    }
    names.retain(|name| !name.trim().is_empty());
    names
}

fn gender(text: &str) -> Option<&'static str> {
    match text.trim().to_ascii_lowercase().as_str() {
        "male" | "m" | "man" => Some("male"),
        "female" | "f" | "w" | "woman" => Some("female"),
        _ => None,
    }
}

/// Who was of a country that is no more may be of any that came after it.
const SUCCESSORS: [([u8; 2], &[&[u8; 2]]); 5] = [
    (
        *b"su",
        &[
            b"ru", b"ua", b"by", b"md", b"ge", b"am", b"az", b"kz", b"uz", b"tm", b"tj", b"kg",
            b"ee", b"lv", b"lt",
        ],
    ),
    (*b"yu", &[b"rs", b"me", b"hr", b"si", b"ba", b"mk", b"xk"]),
    (*b"cs", &[b"cz", b"sk", b"rs", b"me"]),
    (*b"dd", &[b"de"]),
    (*b"an", &[b"cw", b"sx", b"bq"]),
];

fn countries(entity: &Entity) -> Vec<[u8; 2]> {
    let named = entity.all(&COUNTRIES).flat_map(|(_, text)| tables().countries(text));
    let mut found: Vec<[u8; 2]> = named.copied().collect();
    let old = SUCCESSORS.iter().filter(|(old, _)| found.contains(old));
    let successors: Vec<[u8; 2]> = old.flat_map(|(_, new)| new.iter().map(|new| **new)).collect();
    found.extend(successors);
    found.sort_unstable();
    found.dedup();
    found
}
