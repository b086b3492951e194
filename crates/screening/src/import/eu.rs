//! European Union: consolidated financial sanctions files, XML and CSV of version 1.1.
//!
//! `strong` is true on every name; what is weak or former says so in the remark of the name.

use std::{collections::HashSet, io::BufRead};

use super::{
    Import, ImportError, Listed,
    rows::{Table, TableRow},
    text::{clean, is_nothing, joined},
    xml::{Element, Piece, Records},
};
use crate::{
    dates::PartialDate,
    entity::{Entity, Schema},
};

pub fn read_xml(input: impl BufRead, import: &mut Import<'_>) -> Result<(), ImportError> {
    let mut records = Records::new(input, &["sanctionEntity"]);
    while let Some(piece) = records.next()? {
        match piece {
            Piece::Root(root) if root.name == "export" => {
                import.report.published = Some(root.attribute("generationDate").to_owned());
            }
            Piece::Root(root) => {
                return Err(super::unsound(
                    records.place(),
                    format!("the root is `{}`, not `export`", root.name),
                ));
            }
            Piece::Record(element) => {
                let place = || format!("{} {}", records.place(), element.attribute("logicalId"));
                import.record(place, from_xml(&element))?;
            }
        }
    }
    Ok(())
}

fn schema(kinds: [&str; 2]) -> Schema {
    if kinds.iter().any(|kind| *kind == "P" || kind.eq_ignore_ascii_case("person")) {
        Schema::Person
    } else {
        Schema::Organization
    }
}

fn from_xml(element: &Element) -> Result<Option<Listed>, String> {
    let kind = element
        .child("subjectType")
        .map_or(["", ""], |kind| [kind.attribute("code"), kind.attribute("classificationCode")]);
    let mut entity = Entity::new(schema(kind));
    entity.add("topics", "sanction");
    for alias in element.all("nameAlias") {
        let remark = joined(alias.all("remark").map(|remark| remark.text.as_str()), " ");
        let get = |name: &str| alias.attribute(name);
        add_name(
            &mut entity,
            &[get("firstName"), get("middleName"), get("lastName")],
            get("wholeName"),
            &remark,
        );
        add_person(&mut entity, get("gender"), get("title"), get("function"));
    }
    for born in element.all("birthdate") {
        add_birth(&mut entity, &Birthdate { get: &|name| born.attribute(name).to_owned() });
    }
    for address in element.all("address") {
        let parts = ["street", "poBox", "city", "zipCode", "region", "place"]
            .map(|part| address.attribute(part));
        add_address(
            &mut entity,
            &parts,
            address.attribute("countryDescription"),
            address.attribute("countryIso2Code"),
        );
        for contact in address.all("contactInfo") {
            let property = match contact.attribute("key") {
                "EMAIL" => "email",
                "WEB" => "website",
                _ => "phone",
            };
            entity.add(property, contact.attribute("value"));
        }
    }
    for citizenship in element.all("citizenship") {
        add_country(
            &mut entity,
            "citizenship",
            citizenship.attribute("countryIso2Code"),
            citizenship.attribute("countryDescription"),
        );
    }
    for number in element.all("identification") {
        add_number(
            &mut entity,
            number.attribute("identificationTypeCode"),
            number.attribute("number"),
            number.attribute("latinNumber"),
        );
    }
    for regulation in element.all("regulation") {
        entity.add("program", regulation.attribute("programme"));
    }
    element.all("remark").for_each(|remark| entity.add("notes", &remark.text));
    finish(entity, element.attribute("logicalId"))
}

fn finish(entity: Entity, id: &str) -> Result<Option<Listed>, String> {
    if entity.get("name").is_empty()
        && entity.get("alias").is_empty()
        && entity.get("weakAlias").is_empty()
    {
        return Err("it has no name".into());
    }
    Ok(Some(Listed { id: id.to_owned(), entity }))
}

/// The first name without a remark is the name, the others are aliases: none is marked.
fn add_name(entity: &mut Entity, parts: &[&str; 3], whole: &str, remark: &str) {
    let whole = clean(whole);
    let name = if whole.is_empty() { joined(parts.map(str::trim), " ") } else { whole };
    let remark = remark.trim_start().to_lowercase();
    let begins = |words: &[&str]| {
        words.iter().any(|word| remark.starts_with(word) || remark.contains(&format!("({word}")))
    };
    let property = if begins(&["low quality", "weak"]) {
        "weakAlias"
    } else if begins(&["formerly", "former", "maiden name", "previously"]) {
        "previousName"
    } else if entity.get("name").is_empty() {
        "name"
    } else {
        "alias"
    };
    if !is_nothing(&name) {
        entity.add(property, &name);
    }
}

fn add_person(entity: &mut Entity, gender: &str, title: &str, function: &str) {
    let gender = match gender {
        "M" => "male",
        "F" => "female",
        _ => "",
    };
    entity.add("gender", gender);
    entity.add("title", &clean(title));
    entity.add("position", &clean(function));
}

struct Birthdate<'b> {
    get: &'b dyn Fn(&str) -> String,
}

fn add_birth(entity: &mut Entity, born: &Birthdate<'_>) {
    let get = |name: &str| (born.get)(name);
    let circa = if get("circa") == "true" { "circa " } else { "" };
    let (from, to) = (get("yearRangeFrom"), get("yearRangeTo"));
    let number = |name: &str| get(name).parse::<u8>().unwrap_or(0);
    // A year of another calendar is no year of ours; a whole date has been converted.
    let gregorian = !get("calendarType").eq_ignore_ascii_case("ISLAMIC");
    let date = match PartialDate::parse(&get("birthdate")) {
        Some(date) => Some(date.to_string()),
        None if gregorian => PartialDate::parse(&get("year")).map(|year| {
            let month = if number("monthOfYear") <= 12 { number("monthOfYear") } else { 0 };
            PartialDate {
                month,
                day: if month > 0 && number("dayOfMonth") <= 31 { number("dayOfMonth") } else { 0 },
                ..year
            }
            .to_string()
        }),
        None => None,
    };
    match date {
        Some(date) => entity.add("birthDate", &format!("{circa}{date}")),
        None if gregorian && from.len() == 4 && to.len() == 4 => {
            entity.add("birthDate", &format!("{circa}{from} to {to}"));
        }
        None => {}
    }
    let (place, description) = (
        [get("city"), get("place"), get("region"), get("countryDescription")],
        get("countryDescription"),
    );
    entity.add("birthPlace", &clean(&joined(place.iter().map(String::as_str), ", ")));
    add_country(entity, "birthCountry", &get("countryIso2Code"), &description);
}

fn add_address(entity: &mut Entity, parts: &[&str; 6], country: &str, code: &str) {
    if parts.iter().any(|part| !is_nothing(part)) {
        let full = joined(parts.iter().copied().chain([country]), ", ");
        entity.add("address", &clean(&full));
    }
    add_country(entity, "country", code, country);
}

fn add_country(entity: &mut Entity, property: &str, code: &str, description: &str) {
    let value = if is_nothing(code) { description } else { code };
    if !is_nothing(value) {
        entity.add(property, value);
    }
}

fn add_number(entity: &mut Entity, kind: &str, number: &str, latin: &str) {
    let number = if is_nothing(latin) { number } else { latin };
    if is_nothing(number) {
        return;
    }
    let property = match kind {
        "passport" | "travelcardid" => "passportNumber",
        "ssn" | "unssn" => "socialSecurityNumber",
        "fiscalcode" | "taxid" => "taxNumber",
        "euvat" => "vatCode",
        "regnumber" => "registrationNumber",
        "tradelic" => "licenseNumber",
        "swiftbic" => "swiftBic",
        // Those of companies; there are no ships on this list.
        "imo" => "registrationNumber",
        _ => "idNumber",
    };
    entity.add(property, &clean(number));
}

/// One record for each name, address, date and number; those of an entity stand together.
pub fn read_csv(input: impl BufRead, import: &mut Import<'_>) -> Result<(), ImportError> {
    let mut table = Table::new(
        input,
        b';',
        &[
            "Entity_LogicalId",
            "Entity_SubjectType",
            "NameAlias_WholeName",
            "NameAlias_LogicalId",
            "NameAlias_Remark",
            "BirthDate_BirthDate",
            "BirthDate_Year",
            "Identification_Number",
            "Identification_TypeCode",
            "Citizenship_CountryIso2Code",
            "Address_CountryIso2Code",
        ],
        false,
    )?;
    let mut group: Option<(String, Entity, HashSet<String>)> = None;
    while let Some(row) = table.next()? {
        let (id, place) = (row.get("Entity_LogicalId").to_owned(), row.place());
        if let Err(reason) = row.check() {
            import.record(|| place.clone(), Err(reason))?;
            continue;
        }
        if group.as_ref().is_none_or(|(of, _, _)| *of != id) {
            if let Some((id, entity, _)) = group.take() {
                import.record(|| format!("before {place}"), finish(entity, &id))?;
            }
            let kinds =
                [row.get("Entity_SubjectType"), row.get("Entity_SubjectType_ClassificationCode")];
            let mut entity = Entity::new(schema(kinds));
            entity.add("topics", "sanction");
            group = Some((id, entity, HashSet::new()));
        }
        if let Some((_, entity, seen)) = &mut group {
            add_row(entity, &row, seen);
        }
    }
    match group {
        Some((id, entity, _)) => import.record(|| "the last record".into(), finish(entity, &id)),
        None => Ok(()),
    }
}

fn add_row(entity: &mut Entity, row: &TableRow<'_>, seen: &mut HashSet<String>) {
    let mut new = |prefix: &str| {
        let id = row.get(&format!("{prefix}_LogicalId"));
        !id.is_empty() && seen.insert(format!("{prefix}{id}"))
    };
    entity.add("program", row.get("Entity_Regulation_Programme"));
    entity.add("notes", &clean(row.get("Entity_Remark")));
    if new("NameAlias") {
        let get = |name: &str| row.get(&format!("NameAlias_{name}"));
        add_name(
            entity,
            &[get("FirstName"), get("MiddleName"), get("LastName")],
            get("WholeName"),
            get("Remark"),
        );
        add_person(entity, get("Gender"), get("Title"), get("Function"));
    }
    if new("Address") {
        let get = |name: &str| row.get(&format!("Address_{name}"));
        let parts = ["Street", "PoBox", "City", "ZipCode", "Region", "Place"].map(get);
        add_address(entity, &parts, get("CountryDescription"), get("CountryIso2Code"));
    }
    if new("BirthDate") {
        let get = |name: &str| {
            let column = match name {
                "dayOfMonth" => "Day",
                "monthOfYear" => "Month",
                other => other,
            };
            row.get(&format!("BirthDate_{column}")).to_owned()
        };
        add_birth(entity, &Birthdate { get: &get });
    }
    if new("Identification") {
        let get = |name: &str| row.get(&format!("Identification_{name}"));
        add_number(entity, get("TypeCode"), get("Number"), get("LatinNumber"));
    }
    if new("Citizenship") {
        add_country(
            entity,
            "citizenship",
            row.get("Citizenship_CountryIso2Code"),
            row.get("Citizenship_CountryDescription"),
        );
    }
}
