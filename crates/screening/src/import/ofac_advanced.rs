//! OFAC: `SDN_ADVANCED.XML`.
//!
//! What things are called, places and documents stand before the parties and are held by their identifiers;
//! the entries that tell programmes come after them, so parties are held as well and handed on at the end.

use std::{
    collections::{BTreeMap, HashMap},
    io::BufRead,
};

use super::{
    Import, ImportError, Listed,
    ofac_labels::add_labelled,
    text::joined,
    xml::{Element, Piece, Records},
};
use crate::entity::{Entity, Schema};

/// The sets of values whose labels are used, then the other records.
const RECORDS: [&str; 16] = [
    "PartyType",
    "AliasType",
    "Country",
    "DetailReference",
    "FeatureType",
    "IDRegDocType",
    "LocPartType",
    "NamePartType",
    "PartySubType",
    "SanctionsType",
    "AreaCode",
    "DateOfIssue",
    "Location",
    "IDRegDocument",
    "DistinctParty",
    "SanctionsEntry",
];

/// How many of them are sets of values.
const SETS: usize = 11;

/// What the parties refer to.
#[derive(Default)]
struct Held {
    /// Labels by set and identifier.
    labels: HashMap<(&'static str, String), String>,
    locations: HashMap<String, Location>,
    /// The type of each subtype of parties.
    types: HashMap<String, String>,
    /// Documents by the identity that they belong to.
    documents: HashMap<String, Vec<(String, String, String)>>,
    /// Parties by profile, in order.
    parties: BTreeMap<usize, (Listed, String)>,
    by_profile: HashMap<String, usize>,
}

#[derive(Default)]
struct Location {
    full: String,
    country: String,
}

pub fn read(input: impl BufRead, import: &mut Import<'_>) -> Result<(), ImportError> {
    let mut records = Records::new(input, &RECORDS);
    let mut held = Held::default();
    while let Some(piece) = records.next()? {
        let element = match piece {
            Piece::Root(root) if root.name == "Sanctions" => continue,
            Piece::Root(root) => {
                return Err(super::unsound(
                    records.place(),
                    format!("the root is `{}`, not `Sanctions`", root.name),
                ));
            }
            Piece::Record(element) => element,
        };
        match element.name.as_str() {
            "DateOfIssue" => {
                import.report.published =
                    Some(joined(["Year", "Month", "Day"].map(|part| element.text_of(part)), "-"));
            }
            "Location" => held.location(&element),
            "IDRegDocument" => held.document(&element),
            "SanctionsEntry" => held.entry(&element),
            "DistinctParty" => {
                let mut unknown = Vec::new();
                let read = held.party(&element, &mut unknown);
                unknown.iter().for_each(|label| import.unknown(label));
                if let Err(reason) = read {
                    import.malformed(
                        format!("{} party {}", records.place(), element.attribute("FixedRef")),
                        reason,
                    )?;
                }
            }
            set => {
                if let Some(set) = RECORDS[..SETS].iter().find(|known| **known == set) {
                    if *set == "PartySubType" {
                        held.types.insert(
                            element.attribute("ID").to_owned(),
                            element.attribute("PartyTypeID").to_owned(),
                        );
                    }
                    held.labels
                        .insert((set, element.attribute("ID").to_owned()), element.text.clone());
                }
            }
        }
    }
    for (_, (listed, profile)) in std::mem::take(&mut held.parties) {
        import.record(|| format!("profile {profile}"), Ok(Some(listed)))?;
    }
    Ok(())
}

impl Held {
    fn label(&self, set: &'static str, id: &str) -> &str {
        self.labels.get(&(set, id.to_owned())).map_or("", String::as_str)
    }

    fn location(&mut self, element: &Element) {
        let part = |wanted: &str| {
            let found = element.all("LocationPart").find(|part| {
                self.label("LocPartType", part.attribute("LocPartTypeID"))
                    .eq_ignore_ascii_case(wanted)
            });
            let values = |part: &Element| {
                let primary = part
                    .all("LocationPartValue")
                    .find(|value| value.attribute("Primary") == "true");
                primary
                    .or_else(|| part.child("LocationPartValue"))
                    .map_or("", |value| value.text_of("Value"))
                    .to_owned()
            };
            found.map(values).unwrap_or_default()
        };
        let parts = [
            "ADDRESS1",
            "ADDRESS2",
            "ADDRESS3",
            "CITY",
            "STATE/PROVINCE",
            "REGION",
            "POSTAL CODE",
            "Unknown",
        ]
        .map(part);
        let country = element
            .child("LocationCountry")
            .map_or("", |country| self.label("Country", country.attribute("CountryID")))
            .to_owned();
        let area = element
            .child("LocationAreaCode")
            .map_or("", |area| self.label("AreaCode", area.attribute("AreaCodeID")));
        let country = if country.is_empty() { area.to_owned() } else { country };
        let full = joined(parts.iter().map(String::as_str).chain([country.as_str()]), ", ");
        let country = if country.is_empty() { full.clone() } else { country };
        self.locations.insert(element.attribute("ID").to_owned(), Location { full, country });
    }

    fn document(&mut self, element: &Element) {
        let kind = self.label("IDRegDocType", element.attribute("IDRegDocTypeID")).to_owned();
        let country = self.label("Country", element.attribute("IssuedBy-CountryID")).to_owned();
        let number = element.text_of("IDRegistrationNo").to_owned();
        self.documents
            .entry(element.attribute("IdentityID").to_owned())
            .or_default()
            .push((kind, number, country));
    }

    /// Programmes stand in the comments of measures of that kind.
    fn entry(&mut self, element: &Element) {
        let programmes: Vec<String> = element
            .all("SanctionsMeasure")
            .filter(|measure| {
                self.label("SanctionsType", measure.attribute("SanctionsTypeID")) == "Program"
            })
            .map(|measure| measure.text_of("Comment").to_owned())
            .collect();
        let party = self
            .by_profile
            .get(element.attribute("ProfileID"))
            .and_then(|at| self.parties.get_mut(at));
        if let Some((listed, _)) = party {
            programmes.iter().for_each(|programme| listed.entity.add("program", programme));
        }
    }

    fn party(&mut self, element: &Element, unknown: &mut Vec<String>) -> Result<(), String> {
        let profile = element.child("Profile").ok_or("it has no profile")?;
        // Of people and organisations the subtype is unknown and the type tells.
        let subtype = profile.attribute("PartySubTypeID");
        let kind = self.types.get(subtype).map_or("", |kind| self.label("PartyType", kind));
        let mut entity = Entity::new(match (self.label("PartySubType", subtype), kind) {
            ("Vessel", _) => Schema::Vessel,
            ("Aircraft", _) => Schema::Airplane,
            (_, "Individual") | ("Individual", _) => Schema::Person,
            _ => Schema::Organization,
        });
        entity.add("topics", "sanction");
        for identity in profile.all("Identity") {
            self.names(&mut entity, identity);
            self.numbers(&mut entity, identity.attribute("ID"), unknown);
        }
        if entity.get("name").is_empty() && entity.get("alias").is_empty() {
            return Err("it has no name".into());
        }
        profile.all("Feature").for_each(|feature| self.feature(&mut entity, feature, unknown));
        let id = profile.attribute("ID").to_owned();
        let at = self.parties.len();
        self.by_profile.insert(id.clone(), at);
        self.parties
            .insert(at, (Listed { id: element.attribute("FixedRef").to_owned(), entity }, id));
        Ok(())
    }

    fn names(&self, entity: &mut Entity, identity: &Element) {
        let groups: HashMap<&str, &str> = identity
            .path(&["NamePartGroups", "MasterNamePartGroup", "NamePartGroup"])
            .iter()
            .map(|group| {
                (
                    group.attribute("ID"),
                    self.label("NamePartType", group.attribute("NamePartTypeID")),
                )
            })
            .collect();
        for alias in identity.all("Alias") {
            let weak = alias.attribute("LowQuality") == "true";
            let former = self.label("AliasType", alias.attribute("AliasTypeID")) == "F.K.A.";
            let primary =
                identity.attribute("Primary") == "true" && alias.attribute("Primary") == "true";
            for name in alias.all("DocumentedName") {
                let property = match (weak, former, primary && entity.get("name").is_empty()) {
                    (true, _, _) => "weakAlias",
                    (_, true, _) => "previousName",
                    (_, _, true) => "name",
                    _ => "alias",
                };
                entity.add(property, &spoken(name, &groups));
            }
        }
    }

    fn numbers(&self, entity: &mut Entity, identity: &str, unknown: &mut Vec<String>) {
        for (kind, number, country) in self.documents.get(identity).into_iter().flatten() {
            if !add_labelled(entity, kind, number) {
                entity.add("notes", &format!("{kind} {number}"));
                unknown.push(kind.clone());
            }
            entity.add("country", country);
        }
    }

    fn feature(&self, entity: &mut Entity, feature: &Element, unknown: &mut Vec<String>) {
        let label = self.label("FeatureType", feature.attribute("FeatureTypeID")).to_owned();
        for version in feature.all("FeatureVersion") {
            let detail = version.child("VersionDetail");
            let text = detail.map_or("", |detail| {
                if detail.text.is_empty() {
                    self.label("DetailReference", detail.attribute("DetailReferenceID"))
                } else {
                    &detail.text
                }
            });
            let place = version
                .child("VersionLocation")
                .and_then(|place| self.locations.get(place.attribute("LocationID")));
            let (full, country) =
                place.map_or((text, text), |place| (place.full.as_str(), place.country.as_str()));
            match label.as_str() {
                "Birthdate" => version
                    .child("DatePeriod")
                    .and_then(period)
                    .iter()
                    .for_each(|date| entity.add("birthDate", date)),
                "Place of Birth" => entity.add("birthPlace", full),
                "Nationality Country" | "Nationality" => entity.add("nationality", country),
                "Citizenship Country" | "Citizenship" => entity.add("citizenship", country),
                "Location" => {
                    entity.add("address", full);
                    entity.add("country", country);
                }
                "Title" => entity.add("title", text),
                "Nationality of Registration" => entity.add("jurisdiction", country),
                "VESSEL TYPE" => entity.add("type", text),
                "Vessel Flag" | "VESSEL FLAG" => entity.add("flag", country),
                "Vessel Call Sign" => entity.add("callSign", text),
                _ if add_labelled(entity, &label, text) => {}
                _ => {
                    entity.add("notes", &format!("{label} {text}"));
                    unknown.push(label.clone());
                }
            }
        }
    }
}

/// The parts of a name in the order in which it is spoken: the family name is written first.
fn spoken(name: &Element, groups: &HashMap<&str, &str>) -> String {
    let order = |kind: &str| match kind {
        "First Name" => 0,
        "Middle Name" => 1,
        "Patronymic" | "Matronymic" => 2,
        "Nickname" => 4,
        _ => 3,
    };
    let values = name.path(&["DocumentedNamePart", "NamePartValue"]);
    let mut parts: Vec<(u8, &str)> = values
        .iter()
        .map(|value| {
            (
                order(groups.get(value.attribute("NamePartGroupID")).copied().unwrap_or("")),
                value.text.as_str(),
            )
        })
        .collect();
    parts.sort_by_key(|(order, _)| *order);
    joined(parts.into_iter().map(|(_, text)| text), " ")
}

/// A period as one date, as a year or month, or from one to another.
fn period(period: &Element) -> Option<String> {
    let edge = |side: &str, end: &str| {
        let point = period.child(side)?.child(end)?;
        let number = |part: &str| point.text_of(part).parse::<u16>().unwrap_or(0);
        Some((number("Year"), number("Month"), number("Day")))
    };
    let (from, to) = (edge("Start", "From")?, edge("End", "To").or_else(|| edge("Start", "To"))?);
    let approximate = ["Start", "End"]
        .iter()
        .any(|side| period.child(side).is_some_and(|side| side.attribute("Approximate") == "true"));
    let circa = if approximate { "circa " } else { "" };
    let day = |(year, month, day): (u16, u16, u16)| format!("{year:04}-{month:02}-{day:02}");
    let last_of_month = (28..=31).contains(&to.2) && from.2 <= 1;
    Some(if from == to && from.2 > 0 {
        format!("{circa}{}", day(from))
    } else if from.0 == to.0
        && from.1 <= 1
        && from.2 <= 1
        && (to.1 == 12 || to.1 == 0)
        && (to.2 == 31 || to.2 == 0)
    {
        format!("{circa}{:04}", from.0)
    } else if from.0 == to.0 && from.1 == to.1 && last_of_month {
        format!("{circa}{:04}-{:02}", from.0, from.1)
    } else if from.1 <= 1 && from.2 <= 1 && (to.1 == 12 || to.1 == 0) {
        format!("{circa}{:04} to {:04}", from.0, to.0)
    } else {
        format!("{circa}{} to {}", day(from), day(to))
    })
}
