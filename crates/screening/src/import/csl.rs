//! United States: Consolidated Screening List, as a table.

use std::io::BufRead;

use super::{
    Import, ImportError, Listed,
    ofac_labels::add_labelled,
    rows::{Table, TableRow},
    text::{clean, english_date, is_nothing},
};
use crate::entity::{Entity, Schema};

pub fn read(input: impl BufRead, import: &mut Import<'_>) -> Result<(), ImportError> {
    let mut table = Table::new(
        input,
        b',',
        &[
            "source",
            "entity_number",
            "type",
            "programs",
            "name",
            "addresses",
            "alt_names",
            "citizenships",
            "dates_of_birth",
            "nationalities",
            "places_of_birth",
            "ids",
        ],
        false,
    )?;
    let mut names = std::collections::HashMap::new();
    while let Some(row) = table.next()? {
        let mut unknown = Vec::new();
        let read = row.check().and_then(|()| listed(&row, &mut unknown)).map(|mut listed| {
            // The lists without numbers name some twice, with other addresses.
            let times = names.entry(listed.id.clone()).and_modify(|times| *times += 1).or_insert(1);
            if *times > 1 {
                listed.id = format!("{} ({times})", listed.id);
            }
            Some(listed)
        });
        let place = row.place();
        unknown.iter().for_each(|label| import.unknown(label));
        import.record(|| place.clone(), read)?;
    }
    Ok(())
}

fn many(field: &str) -> impl Iterator<Item = String> {
    field
        .split("; ")
        .map(|value| clean(value.strip_prefix("and ").unwrap_or(value)))
        .filter(|value| !is_nothing(value))
}

fn listed(row: &TableRow<'_>, unknown: &mut Vec<String>) -> Result<Listed, String> {
    let name = clean(row.get("name"));
    if name.is_empty() {
        return Err("it has no name".into());
    }
    let schema = match row.get("type") {
        "Individual" => Schema::Person,
        "Vessel" => Schema::Vessel,
        "Aircraft" => Schema::Airplane,
        "Entity" => Schema::Organization,
        // Lists of the departments of Commerce and State do not tell people from companies.
        _ => Schema::LegalEntity,
    };
    let mut entity = Entity::new(schema);
    entity.add("name", &name);
    let number = row.get("entity_number");
    let source = row.get("source").split(" - ").next().unwrap_or("").to_owned();
    for (column, property) in [
        ("alt_names", "alias"),
        ("programs", "program"),
        ("citizenships", "citizenship"),
        ("nationalities", "nationality"),
        ("places_of_birth", "birthPlace"),
        ("call_sign", "callSign"),
        ("vessel_type", "type"),
        ("vessel_flag", "flag"),
        ("vessel_owner", "owner"),
        ("title", "position"),
        ("remarks", "notes"),
        ("source", "datasets"),
    ] {
        many(row.get(column)).for_each(|value| entity.add(property, &value));
    }
    for born in many(row.get("dates_of_birth")) {
        match english_date(&born)
            .or_else(|| crate::dates::PartialDate::parse(&born).map(|date| date.to_string()))
        {
            Some(date) => entity.add("birthDate", &date),
            None => unknown.push(format!("date {born}")),
        }
    }
    for address in many(row.get("addresses")) {
        if address.len() > 2 {
            entity.add("address", &address);
        }
        let country = address.rsplit(',').next().unwrap_or("").trim();
        if country.len() == 2 && country.bytes().all(|letter| letter.is_ascii_uppercase()) {
            entity.add("country", country);
        }
    }
    row.get("ids")
        .split("; ")
        .filter(|id| !id.trim().is_empty())
        .for_each(|id| add_id(&mut entity, id, unknown));
    let id = if number.is_empty() { format!("{source}: {name}") } else { number.to_owned() };
    let id = id.chars().take(super::RECORD_ID_MAX_BYTES / 4).collect();
    Ok(Listed { id, entity })
}

/// `CO, 01200175 (Bogota), Matricula Mercantil No`: the kind stands last, the country first, if at all.
fn add_id(entity: &mut Entity, id: &str, unknown: &mut Vec<String>) {
    let Some((value, label)) = id.rsplit_once(',') else {
        unknown.push(id.to_owned());
        return;
    };
    let (country, value) = match value.split_once(", ") {
        Some((country, value)) if country.trim().len() == 2 => (country.trim(), value),
        _ => ("", value),
    };
    if !country.is_empty() {
        entity.add("country", country);
    }
    if !add_labelled(entity, label, value.trim()) {
        entity.add("notes", &clean(id));
        unknown.push(label.trim().to_owned());
    }
}
