//! OFAC: `SDN.XML` and `CONSOLIDATED.XML`, the older form.

use std::io::BufRead;

use super::{
    Import, ImportError, Listed,
    ofac_labels::{add_labelled, add_remark},
    text::{english_date, is_nothing, joined},
    xml::{Element, Piece, Records},
};
use crate::entity::{Entity, Schema};

pub fn read(input: impl BufRead, import: &mut Import<'_>) -> Result<(), ImportError> {
    let mut records = Records::new(input, &["sdnEntry", "publshInformation"]);
    let (mut promised, mut seen) = (None, 0usize);
    while let Some(piece) = records.next()? {
        match piece {
            Piece::Root(root) if root.name == "sdnList" => {}
            Piece::Root(root) => {
                return Err(super::unsound(
                    records.place(),
                    format!("the root is `{}`, not `sdnList`", root.name),
                ));
            }
            Piece::Record(element) if element.name == "publshInformation" => {
                import.report.published = Some(element.text_of("Publish_Date").to_owned());
                promised = element.text_of("Record_Count").parse::<usize>().ok();
            }
            Piece::Record(element) => {
                seen += 1;
                let mut unknown = Vec::new();
                let read = listed(&element, &mut unknown);
                unknown.iter().for_each(|label| import.unknown(label));
                import.record(
                    || format!("{} uid {}", records.place(), element.text_of("uid")),
                    read,
                )?;
            }
        }
    }
    match promised {
        Some(promised) if promised != seen => Err(super::unsound(
            "the end",
            format!("{seen} entries where the list promises {promised}"),
        )),
        _ => Ok(()),
    }
}

fn listed(element: &Element, unknown: &mut Vec<String>) -> Result<Option<Listed>, String> {
    let mut entity = Entity::new(match element.text_of("sdnType").to_ascii_lowercase().as_str() {
        "individual" => Schema::Person,
        "vessel" => Schema::Vessel,
        "aircraft" => Schema::Airplane,
        _ => Schema::Organization,
    });
    let name = |element: &Element| {
        joined([element.text_of("firstName"), element.text_of("lastName")], " ")
    };
    entity.add("topics", "sanction");
    entity.add("name", &name(element));
    if entity.get("name").is_empty() {
        return Err("it has no name".into());
    }
    entity.add("title", element.text_of("title"));
    element
        .path(&["programList", "program"])
        .iter()
        .for_each(|program| entity.add("program", &program.text));
    for alias in element.path(&["akaList", "aka"]) {
        let property = match (alias.text_of("category"), alias.text_of("type")) {
            ("weak", _) => "weakAlias",
            (_, "f.k.a.") => "previousName",
            _ => "alias",
        };
        entity.add(property, &name(alias));
    }
    add_places(&mut entity, element);
    for id in element.path(&["idList", "id"]) {
        let (label, number) = (id.text_of("idType"), id.text_of("idNumber"));
        if is_nothing(number) && label != "Gender" {
            continue;
        }
        if !add_labelled(&mut entity, label, number) {
            entity.add("notes", &format!("{label} {number}"));
            unknown.push(label.to_owned());
        }
        if !is_nothing(id.text_of("idCountry")) {
            entity.add("country", id.text_of("idCountry"));
        }
    }
    if let Some(ship) = element.child("vesselInfo") {
        for (child, property) in [
            ("callSign", "callSign"),
            ("vesselType", "type"),
            ("vesselFlag", "flag"),
            ("vesselOwner", "owner"),
            ("tonnage", "tonnage"),
            ("grossRegisteredTonnage", "grossRegisteredTonnage"),
        ] {
            if !is_nothing(ship.text_of(child)) {
                entity.add(property, ship.text_of(child));
            }
        }
    }
    for segment in element
        .text_of("remarks")
        .trim_end_matches('.')
        .split(';')
        .map(str::trim)
        .filter(|segment| !segment.is_empty())
    {
        if !add_remark(&mut entity, segment) {
            entity.add("notes", segment);
        }
    }
    Ok(Some(Listed { id: element.text_of("uid").to_owned(), entity }))
}

fn add_places(entity: &mut Entity, element: &Element) {
    for address in element.path(&["addressList", "address"]) {
        let parts = [
            "address1",
            "address2",
            "address3",
            "city",
            "stateOrProvince",
            "postalCode",
            "country",
        ]
        .map(|part| address.text_of(part));
        if parts[..6].iter().any(|part| !is_nothing(part)) {
            entity.add("address", &joined(parts, ", "));
        }
        entity.add("country", address.text_of("country"));
    }
    for (path, property) in [
        (["nationalityList", "nationality"], "nationality"),
        (["citizenshipList", "citizenship"], "citizenship"),
    ] {
        element.path(&path).iter().for_each(|found| entity.add(property, found.text_of("country")));
    }
    for born in element.path(&["dateOfBirthList", "dateOfBirthItem"]) {
        if let Some(date) = english_date(born.text_of("dateOfBirth")) {
            entity.add("birthDate", &date);
        }
    }
    for born in element.path(&["placeOfBirthList", "placeOfBirthItem"]) {
        entity.add("birthPlace", born.text_of("placeOfBirth"));
    }
}
