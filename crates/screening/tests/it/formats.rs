//! Every format on a small file of invented people, companies and ships, made by hand from descriptions of
//! the format, with what it should become beside it.

use std::collections::BTreeSet;

use portcullis_screening::import::{Format, Listed, read_delta};
use serde_json::Value;

use crate::lists::read_text;

/// What screening looks at.
const COMPARED: [&str; 24] = [
    "previousName",
    "weakAlias",
    "birthDate",
    "birthPlace",
    "gender",
    "nationality",
    "citizenship",
    "address",
    "passportNumber",
    "idNumber",
    "socialSecurityNumber",
    "taxNumber",
    "registrationNumber",
    "imoNumber",
    "mmsi",
    "callSign",
    "swiftBic",
    "leiCode",
    "publicKey",
    "program",
    "incorporationDate",
    "flag",
    "ogrnCode",
    "innCode",
];

fn fixture(name: &str) -> Vec<u8> {
    std::fs::read(format!("{}/tests/fixtures/{name}", env!("CARGO_MANIFEST_DIR"))).unwrap()
}

fn differences(found: &[Listed], expected: &[Value]) -> Vec<String> {
    let mut differences = Vec::new();
    for expected in expected {
        let id = expected["id"].as_str();
        let name = expected["properties"]["name"][0].as_str().unwrap_or("");
        let listed = found.iter().find(|listed| {
            id.is_some_and(|id| listed.id == id || listed.id.ends_with(&format!(":{id}")))
                || id.is_none() && listed.entity.get("name").iter().any(|have| have == name)
        });
        let Some(listed) = listed else {
            differences.push(format!("{id:?} {name}: missing"));
            continue;
        };
        if expected["schema"] != listed.entity.schema.name() {
            differences.push(format!(
                "{id:?}: {} instead of {}",
                listed.entity.schema.name(),
                expected["schema"]
            ));
        }
        // Few formats tell the name among names.
        let names = |get: &dyn Fn(&str) -> Vec<String>| {
            get("name").into_iter().chain(get("alias")).collect::<BTreeSet<_>>()
        };
        let want = names(&|property| {
            expected["properties"][property]
                .as_array()
                .into_iter()
                .flatten()
                .filter_map(|value| value.as_str().map(str::to_owned))
                .collect()
        });
        let have = names(&|property| listed.entity.get(property).to_vec());
        if want != have {
            differences.push(format!("{id:?} names: {have:?} instead of {want:?}"));
        }
        for property in COMPARED {
            let want: BTreeSet<String> = expected["properties"][property]
                .as_array()
                .into_iter()
                .flatten()
                .filter_map(|value| value.as_str().map(str::to_owned))
                .collect();
            let have: BTreeSet<String> = listed.entity.get(property).iter().cloned().collect();
            if want != have {
                differences.push(format!("{id:?} {property}: {have:?} instead of {want:?}"));
            }
        }
    }
    if found.len() != expected.len() {
        differences.push(format!("{} entities instead of {}", found.len(), expected.len()));
    }
    differences
}

#[track_caller]
fn check(format: Format, name: &str) {
    let (found, _) = read_text(format, &fixture(name), false).unwrap();
    let expected: Vec<Value> =
        serde_json::from_slice(&fixture(&format!("{name}.expected.json"))).unwrap();
    let differences = differences(&found, &expected);
    assert!(differences.is_empty(), "{}", differences.join("\n"));
}

#[test]
fn ofac_xml() {
    check(Format::OfacXml, "ofac_sdn.xml");
}

#[test]
fn ofac_advanced_xml() {
    check(Format::OfacAdvancedXml, "ofac_sdn_advanced.xml");
    check(Format::OfacAdvancedXml, "ofac_sdn_advanced_2.xml");
}

#[test]
fn eu_xml() {
    check(Format::EuXml, "eu_fsf.xml");
}

#[test]
fn eu_csv() {
    check(Format::EuCsv, "eu_fsf.csv");
}

#[test]
fn uk_xml() {
    check(Format::UkXml, "uk_list.xml");
}

#[test]
fn uk_csv() {
    check(Format::UkCsv, "uk_list.csv");
}

#[test]
fn entities_of_opensanctions() {
    check(Format::Ftm, "opensanctions.entities.ftm.json");
}

#[test]
fn nested_targets_of_opensanctions() {
    check(Format::FtmNested, "opensanctions.targets.nested.json");
}

#[test]
fn simple_targets_of_opensanctions() {
    check(Format::FtmSimple, "opensanctions.targets.simple.csv");
}

#[test]
fn senzing() {
    check(Format::Senzing, "senzing.jsonl");
}

#[test]
fn csl() {
    check(Format::CslCsv, "csl.csv");
}

#[test]
fn changes_of_opensanctions() {
    let mut ids = Vec::new();
    let (applied, others) = read_delta(fixture("opensanctions.delta.json").as_slice(), |change| {
        ids.push(format!("{change:?}").chars().take(3).collect::<String>());
        Ok(())
    })
    .unwrap();
    assert_eq!(applied, ids.len());
    assert_eq!(applied + others, 8);
}
