//! An entity, read once so that it can be compared many times.

use crate::{
    dates::Birth,
    entity::{Entity, Schema},
    identifiers::{Identifier, identifiers},
    names::{Name, Subject},
    tables::tables,
};

/// Names of one entity that are compared; the longest list of the UN has 27.
pub const PROFILE_MAX_NAMES: usize = 200;

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

impl Profile {
    /// Reads an entity as itself.
    pub fn new(entity: &Entity) -> Self {
        Self::beside(entity, entity.schema)
    }

    /// Reads an entity for a comparison with one of another schema: what may be either a person or an
    /// organisation is read as what the other is.
    pub fn beside(entity: &Entity, other: Schema) -> Self {
        let subject = subject(entity.schema, other);
        let mut aliases = Aliases { subject, found: Vec::new() };
        for (_, text) in entity.all(&STRONG) {
            aliases.add(text, Quality::Strong);
        }
        for text in entity.get("previousName") {
            aliases.add(text, Quality::Former);
        }
        for text in entity.get("weakAlias") {
            aliases.add(text, Quality::Weak);
        }
        if let Some(text) = composed(entity) {
            aliases.add(&text, Quality::Strong);
        }
        let place = |(_, text): (&str, &str)| {
            let name = Name::new(text, Subject::Organisation, tables());
            Alias { text: text.to_owned(), name, quality: Quality::Strong }
        };
        Self {
            schema: entity.schema,
            aliases: aliases.found,
            births: entity.all(&BIRTHS).filter_map(|(_, text)| Birth::parse(text)).collect(),
            genders: entity.get("gender").iter().filter_map(|text| gender(text)).collect(),
            countries: countries(entity),
            places: entity.all(&["birthPlace"]).map(place).collect(),
            addresses: entity.all(&["address", "full"]).map(place).collect(),
            identifiers: identifiers(entity),
        }
    }
}

struct Aliases {
    subject: Subject,
    found: Vec<Alias>,
}

impl Aliases {
    fn add(&mut self, text: &str, quality: Quality) {
        self.push(text, text, quality);
        // `Fortune Pearl (ex Blue Coral)`, `Ann Smith (née Jones)`: also what stands outside.
        if let (Some(open), Some(close)) = (text.find(['(', '[']), text.rfind([')', ']']))
            && open < close
        {
            let outside = format!("{} {}", &text[..open], &text[close + 1..]);
            self.push(&outside, text, quality);
        }
    }

    fn push(&mut self, read: &str, text: &str, quality: Quality) {
        if self.found.len() >= PROFILE_MAX_NAMES {
            return;
        }
        let name = Name::new(read, self.subject, tables());
        if !name.is_empty() {
            self.found.push(Alias { text: text.to_owned(), name, quality });
        }
    }
}

fn subject(schema: Schema, other: Schema) -> Subject {
    match (schema, other) {
        (Schema::Person, _) => Subject::Person,
        (Schema::LegalEntity | Schema::Thing, Schema::Person) => Subject::Person,
        (Schema::Vessel | Schema::Airplane, _) => Subject::Object,
        (Schema::Thing, Schema::Vessel | Schema::Airplane) => Subject::Object,
        _ => Subject::Organisation,
    }
}

/// A name from its parts, where the whole is not given.
fn composed(entity: &Entity) -> Option<String> {
    if !entity.get("name").is_empty() {
        return None;
    }
    const PARTS: [&str; 6] =
        ["firstName", "secondName", "middleName", "fatherName", "motherName", "lastName"];
    let parts: Vec<&str> =
        PARTS.iter().filter_map(|part| entity.get(part).first().map(String::as_str)).collect();
    (!parts.is_empty()).then(|| parts.join(" "))
}

fn gender(text: &str) -> Option<&'static str> {
    match text.trim().to_ascii_lowercase().as_str() {
        "male" | "m" | "man" => Some("male"),
        "female" | "f" | "w" | "woman" => Some("female"),
        _ => None,
    }
}

fn countries(entity: &Entity) -> Vec<[u8; 2]> {
    let mut found: Vec<[u8; 2]> =
        entity.all(&COUNTRIES).flat_map(|(_, text)| tables().countries(text)).copied().collect();
    found.sort_unstable();
    found.dedup();
    found
}
