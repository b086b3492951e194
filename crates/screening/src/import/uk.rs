//! United Kingdom: UK Sanctions List, XML and CSV.

use std::io::BufRead;

use super::{
    Import, ImportError, Listed,
    rows::{Table, TableRow},
    text::{clean, european_date, is_nothing, joined},
    xml::{Element, Piece, Records},
};
use crate::entity::{Entity, Schema};

pub fn read_xml(input: impl BufRead, import: &mut Import<'_>) -> Result<(), ImportError> {
    let mut records = Records::new(input, &["Designation", "DateGenerated"]);
    while let Some(piece) = records.next()? {
        match piece {
            Piece::Root(root) if root.name == "Designations" => {}
            Piece::Root(root) => {
                return Err(super::unsound(
                    records.place(),
                    format!("the root is `{}`, not `Designations`", root.name),
                ));
            }
            Piece::Record(element) if element.name == "DateGenerated" => {
                import.report.published = Some(element.text);
            }
            Piece::Record(element) => {
                let place = || format!("{} {}", records.place(), element.text_of("UniqueID"));
                import.record(place, from_xml(&element))?;
            }
        }
    }
    Ok(())
}

fn schema(kind: &str) -> Schema {
    match kind.to_ascii_lowercase().as_str() {
        "individual" => Schema::Person,
        "ship" => Schema::Vessel,
        _ => Schema::Organization,
    }
}

fn new_entity(kind: &str) -> Entity {
    let mut entity = Entity::new(schema(kind));
    entity.add("topics", "sanction");
    entity
}

fn finish(entity: Entity, id: &str) -> Result<Option<Listed>, String> {
    let named =
        ["name", "alias", "weakAlias"].iter().any(|property| !entity.get(property).is_empty());
    if named {
        Ok(Some(Listed { id: id.trim().to_owned(), entity }))
    } else {
        Err("it has no name".into())
    }
}

/// The family name, or all of an entity's name, stands in the sixth part and is spoken last.
fn add_name(entity: &mut Entity, parts: [&str; 6], kind: &str, strength: &str) {
    let name = clean(&joined(parts, " "));
    let kind = kind.to_lowercase();
    let property = if strength.to_lowercase().starts_with("low") {
        "weakAlias"
    } else if kind.starts_with("fka") || kind.starts_with("formerly") {
        "previousName"
    } else if kind == "primary name" {
        "name"
    } else {
        "alias"
    };
    if !is_nothing(&name) {
        entity.add(property, &name);
    }
}

/// `OGRN: 1029900000778 INN: 9999007717`: numbers behind their labels, or one without.
fn add_registration(entity: &mut Entity, text: &str) {
    let (mut label, mut number) = (String::new(), String::new());
    let mut put = |label: &str, number: &str| {
        let property = match label {
            "OGRN" => "ogrnCode",
            "INN" => "innCode",
            "Tax ID" | "TIN" => "taxNumber",
            _ => "registrationNumber",
        };
        entity.add(property, number);
    };
    for word in text.split_whitespace() {
        match word.strip_suffix(':') {
            Some(next) => {
                put(&label, &number);
                (label, number) = (next.to_owned(), String::new());
            }
            None if number.is_empty() => number.push_str(word),
            None => {
                number.push(' ');
                number.push_str(word);
            }
        }
    }
    put(&label, &number);
}

fn add_imo(entity: &mut Entity, number: &str) {
    let digits = number.trim().trim_start_matches("IMO").trim();
    let property = if entity.schema == Schema::Vessel { "imoNumber" } else { "registrationNumber" };
    if !is_nothing(digits) {
        entity.add(property, digits);
    }
}

fn from_xml(element: &Element) -> Result<Option<Listed>, String> {
    let mut entity = new_entity(element.text_of("IndividualEntityShip"));
    for name in element.path(&["Names", "Name"]) {
        let parts =
            ["Name1", "Name2", "Name3", "Name4", "Name5", "Name6"].map(|part| name.text_of(part));
        add_name(&mut entity, parts, name.text_of("NameType"), name.text_of("AliasStrength"));
    }
    let texts: [(&[&str], &str); 13] = [
        (&["NonLatinNames", "NonLatinName", "NameNonLatinScript"], "alias"),
        (&["Titles", "Title"], "title"),
        (&["PhoneNumbers", "PhoneNumber"], "phone"),
        (&["EmailAddresses", "EmailAddress"], "email"),
        (&["Websites", "Website"], "website"),
        (
            &["IndividualDetails", "Individual", "PassportDetails", "Passport", "PassportNumber"],
            "passportNumber",
        ),
        (
            &[
                "IndividualDetails",
                "Individual",
                "NationalIdentifierDetails",
                "NationalIdentifier",
                "NationalIdentifierNumber",
            ],
            "idNumber",
        ),
        (&["IndividualDetails", "Individual", "Nationalities", "Nationality"], "nationality"),
        (&["IndividualDetails", "Individual", "Positions", "Position"], "position"),
        (
            &["ShipDetails", "Ship", "CurrentBelievedFlagOfShips", "CurrentBelievedFlagOfShip"],
            "flag",
        ),
        (&["ShipDetails", "Ship", "PreviousFlags", "PreviousFlag"], "pastFlags"),
        (&["ShipDetails", "Ship", "TypeOfShipDetails", "TypeOfShip"], "type"),
        (&["ShipDetails", "Ship", "YearsBuilt", "YearBuilt"], "buildDate"),
    ];
    for (path, property) in texts {
        for found in element.path(path).iter().filter(|found| !is_nothing(&found.text)) {
            entity.add(property, &found.text);
        }
    }
    for number in element.path(&[
        "EntityDetails",
        "Entity",
        "BusinessRegistrationNumbers",
        "BusinessRegistrationNumber",
    ]) {
        add_registration(&mut entity, &number.text);
    }
    let individual = &["IndividualDetails", "Individual"];
    for person in element.path(individual) {
        person
            .path(&["Genders", "Gender"])
            .iter()
            .for_each(|gender| entity.add("gender", &gender.text.to_lowercase()));
        person
            .path(&["DOBs", "DOB"])
            .iter()
            .filter_map(|born| european_date(&born.text))
            .for_each(|date| entity.add("birthDate", &date));
        for place in person.path(&["BirthDetails", "Location"]) {
            entity.add(
                "birthPlace",
                &joined([place.text_of("TownOfBirth"), place.text_of("CountryOfBirth")], ", "),
            );
            entity.add("birthCountry", place.text_of("CountryOfBirth"));
        }
    }
    for address in element.path(&["Addresses", "Address"]) {
        let lines = [
            "AddressLine1",
            "AddressLine2",
            "AddressLine3",
            "AddressLine4",
            "AddressLine5",
            "AddressLine6",
            "AddressPostalCode",
            "AddressCountry",
        ];
        entity.add("address", &joined(lines.map(|line| address.text_of(line)), ", "));
        entity.add("country", address.text_of("AddressCountry"));
    }
    element
        .path(&["ShipDetails", "Ship", "IMONumbers", "IMONumber"])
        .iter()
        .for_each(|number| add_imo(&mut entity, &number.text));
    entity.add("program", element.text_of("RegimeName"));
    entity.add("notes", element.text_of("OtherInformation"));
    finish(entity, element.text_of("UniqueID"))
}

/// Every combination of names, addresses and numbers is a record; those of an entity stand together.
pub fn read_csv(input: impl BufRead, import: &mut Import<'_>) -> Result<(), ImportError> {
    let mut table = Table::new(
        input,
        b',',
        &[
            "Unique ID",
            "Name 6",
            "Name 1",
            "Name type",
            "Alias strength",
            "Name non-latin script",
            "Designation Type",
            "D.O.B",
            "Nationality(/ies)",
            "Passport number",
            "National Identifier number",
            "Address Country",
            "IMO number",
        ],
        true,
    )?;
    let mut group: Option<(String, Entity)> = None;
    while let Some(row) = table.next()? {
        let (id, place) = (row.get("Unique ID").to_owned(), row.place());
        if let Err(reason) = row.check() {
            import.record(|| place.clone(), Err(reason))?;
            continue;
        }
        if group.as_ref().is_none_or(|(of, _)| *of != id) {
            if let Some((id, entity)) = group.take() {
                import.record(|| format!("before {place}"), finish(entity, &id))?;
            }
            group = Some((id, new_entity(row.get("Designation Type"))));
        }
        if let Some((_, entity)) = &mut group {
            add_row(entity, &row);
        }
    }
    match group {
        Some((id, entity)) => import.record(|| "the last record".into(), finish(entity, &id)),
        None => Ok(()),
    }
}

fn add_row(entity: &mut Entity, row: &TableRow<'_>) {
    let parts =
        ["Name 1", "Name 2", "Name 3", "Name 4", "Name 5", "Name 6"].map(|part| row.get(part));
    add_name(entity, parts, row.get("Name type"), row.get("Alias strength"));
    for (column, property) in [
        ("Name non-latin script", "alias"),
        ("Title", "title"),
        ("Regime Name", "program"),
        ("Phone number", "phone"),
        ("Website", "website"),
        ("Email address", "email"),
        ("Nationality(/ies)", "nationality"),
        ("National Identifier number", "idNumber"),
        ("Passport number", "passportNumber"),
        ("Position", "position"),
        ("Country of birth", "birthCountry"),
        ("Current believed flag of ship", "flag"),
        ("Previous flags", "pastFlags"),
        ("Type of ship", "type"),
        ("Year Built", "buildDate"),
        ("Address Country", "country"),
        ("Other Information", "notes"),
    ] {
        let value = clean(row.get(column));
        if !is_nothing(&value) {
            entity.add(property, &value);
        }
    }
    add_registration(entity, &clean(row.get("Business registration number (s)")));
    entity.add("gender", &row.get("Gender").to_lowercase());
    if let Some(date) = european_date(row.get("D.O.B")) {
        entity.add("birthDate", &date);
    }
    entity.add(
        "birthPlace",
        &clean(&joined([row.get("Town of birth"), row.get("Country of birth")], ", ")),
    );
    let lines = [
        "Address Line 1",
        "Address Line 2",
        "Address Line 3",
        "Address Line 4",
        "Address Line 5",
        "Address Line 6",
        "Address Postal Code",
        "Address Country",
    ];
    entity.add("address", &clean(&joined(lines.map(|line| row.get(line)), ", ")));
    add_imo(entity, row.get("IMO number"));
}
