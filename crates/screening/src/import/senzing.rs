//! Senzing entity specification: JSON lines, or one array, in any of its three layouts. Attributes are read
//! by name wherever they stand.

use std::{
    collections::BTreeMap,
    io::{BufRead, Read},
};

use serde_json::{Map, Value};

use super::{
    Import, ImportError, Listed,
    lines::{LINE_MAX_BYTES, Lines},
    text::{clean, joined},
};
use crate::entity::{Entity, Schema};

/// Objects one in another.
const DEPTH_MAX: usize = 8;

pub fn read(mut input: impl BufRead, import: &mut Import<'_>) -> Result<(), ImportError> {
    let begins = input.fill_buf()?.iter().find(|byte| !byte.is_ascii_whitespace()).copied();
    if begins == Some(b'[') {
        return read_array(input, import);
    }
    let mut lines = Lines::new(input);
    while let Some((number, line)) = lines.next()? {
        let read = serde_json::from_slice(line)
            .map_err(|error| error.to_string())
            .and_then(|value| listed(&value));
        import.record(|| format!("line {number}"), read)?;
    }
    Ok(())
}

/// A whole array is held at once and therefore bounded like a line.
fn read_array(mut input: impl BufRead, import: &mut Import<'_>) -> Result<(), ImportError> {
    let mut text = Vec::new();
    input.by_ref().take(LINE_MAX_BYTES as u64 + 1).read_to_end(&mut text)?;
    if text.len() > LINE_MAX_BYTES {
        return Err(super::unsound(
            "the array",
            format!("it is longer than {LINE_MAX_BYTES} bytes: write one record on each line"),
        ));
    }
    let records: Vec<Value> = serde_json::from_slice(&text)
        .map_err(|error| super::unsound("the array", error.to_string()))?;
    for (at, record) in records.iter().enumerate() {
        import.record(|| format!("record {}", at + 1), listed(record))?;
    }
    Ok(())
}

fn listed(record: &Value) -> Result<Option<Listed>, String> {
    let object = record.as_object().ok_or("it is no object")?;
    let text = |key: &str| object.get(key).and_then(Value::as_str).unwrap_or("");
    let record_id = match object.get("RECORD_ID") {
        Some(Value::String(id)) if !id.is_empty() => id.clone(),
        Some(Value::Number(id)) => id.to_string(),
        _ => return Err("it has no RECORD_ID".into()),
    };
    let id = joined([text("DATA_SOURCE"), &record_id], ":");
    let mut objects = Vec::new();
    collect(record, 0, &mut objects)?;
    let features: Vec<Feature> = objects.into_iter().flat_map(by_usage).collect();
    let kind =
        features.iter().find_map(|feature| attribute(feature, "RECORD_TYPE")).unwrap_or_default();
    let mut entity = Entity::new(match kind.as_str() {
        "PERSON" => Schema::Person,
        "ORGANIZATION" => Schema::Organization,
        "VESSEL" => Schema::Vessel,
        "AIRCRAFT" => Schema::Airplane,
        _ if features
            .iter()
            .any(|feature| attribute(feature, "OTHER_ID_TYPE").as_deref() == Some("publicKey")) =>
        {
            Schema::CryptoWallet
        }
        _ => Schema::LegalEntity,
    });
    features.iter().for_each(|feature| add_feature(&mut entity, feature));
    if entity.get("name").is_empty() && entity.get("alias").is_empty() {
        return Err("it has no name".into());
    }
    Ok(Some(Listed { id, entity }))
}

/// All objects, outer ones first.
fn collect<'v>(
    value: &'v Value,
    depth: usize,
    into: &mut Vec<&'v Map<String, Value>>,
) -> Result<(), String> {
    if depth > DEPTH_MAX {
        return Err("objects are nested too deep".into());
    }
    match value {
        Value::Object(object) => {
            into.push(object);
            // What is said of somebody else is not said of this one.
            object
                .iter()
                .filter(|(key, _)| *key != "RELATIONSHIPS")
                .try_for_each(|(_, value)| collect(value, depth + 1, into))
        }
        Value::Array(values) => values.iter().try_for_each(|value| collect(value, depth + 1, into)),
        _ => Ok(()),
    }
}

/// Attributes of one usage.
type Feature = BTreeMap<String, Value>;

/// An object may hold several names and addresses, each behind a word of usage: `PRIMARY_NAME_LAST`,
/// `HOME_ADDR_CITY`. Each is a feature of its own.
fn by_usage(object: &Map<String, Value>) -> Vec<Feature> {
    let mut usages: BTreeMap<String, Feature> = BTreeMap::new();
    for (key, value) in object {
        let at = ["_NAME_", "_ADDR_", "_PHONE_"].iter().filter_map(|root| key.find(root)).min();
        let usage = at.map_or("", |at| &key[..at]).to_owned();
        let plain = at.map_or(key.as_str(), |at| &key[at + 1..]).to_owned();
        let feature = usages.entry(usage.clone()).or_default();
        if !usage.is_empty() && plain.starts_with("NAME_") {
            feature.insert("NAME_TYPE".into(), usage.into());
        }
        feature.insert(plain, value.clone());
    }
    usages.into_values().collect()
}

fn attribute(feature: &Feature, name: &str) -> Option<String> {
    match feature.get(name) {
        Some(Value::String(text)) => Some(clean(text)).filter(|text| !text.is_empty()),
        Some(Value::Number(number)) => Some(number.to_string()),
        _ => None,
    }
}

fn add_feature(entity: &mut Entity, feature: &Feature) {
    let get = |name: &str| attribute(feature, name);
    let all = |names: &[&str], between: &str| {
        let parts: Vec<String> = names.iter().filter_map(|name| get(name)).collect();
        joined(parts.iter().map(String::as_str), between)
    };
    let name = get("NAME_FULL")
        .or_else(|| get("NAME_ORG"))
        .unwrap_or_else(|| all(&["NAME_FIRST", "NAME_MIDDLE", "NAME_LAST", "NAME_SUFFIX"], " "));
    let primary = get("NAME_TYPE").is_none_or(|kind| kind == "PRIMARY");
    entity.add(if primary && entity.get("name").is_empty() { "name" } else { "alias" }, &name);
    let lines = [
        "ADDR_LINE1",
        "ADDR_LINE2",
        "ADDR_LINE3",
        "ADDR_LINE4",
        "ADDR_LINE5",
        "ADDR_LINE6",
        "ADDR_CITY",
        "ADDR_STATE",
        "ADDR_POSTAL_CODE",
        "ADDR_COUNTRY",
    ];
    entity.add("address", &get("ADDR_FULL").unwrap_or_else(|| all(&lines, ", ")));
    if let Some(date) = get("DATE_OF_BIRTH") {
        entity.add("birthDate", &iso(&date));
    }
    if let Some(date) = get("REGISTRATION_DATE") {
        entity.add("incorporationDate", &iso(&date));
    }
    const SAME: [(&str, &str); 27] = [
        ("PLACE_OF_BIRTH", "birthPlace"),
        ("NATIONALITY", "nationality"),
        ("CITIZENSHIP", "citizenship"),
        ("REGISTRATION_COUNTRY", "jurisdiction"),
        ("COUNTRY_OF_ASSOCIATION", "country"),
        ("ADDR_COUNTRY", "country"),
        ("PASSPORT_NUMBER", "passportNumber"),
        ("PASSPORT_COUNTRY", "country"),
        ("DRIVERS_LICENSE_NUMBER", "idNumber"),
        ("SSN_NUMBER", "socialSecurityNumber"),
        ("NATIONAL_ID_COUNTRY", "country"),
        ("TAX_ID_NUMBER", "taxNumber"),
        ("TAX_ID_COUNTRY", "country"),
        ("LEI_NUMBER", "leiCode"),
        ("DUNS_NUMBER", "dunsCode"),
        ("NPI_NUMBER", "npiCode"),
        ("ISIN_NUMBER", "isinCode"),
        ("IMO_NUMBER", "imoNumber"),
        ("MMSI_NUMBER", "mmsi"),
        ("CALL_SIGN", "callSign"),
        ("AIRCRAFT_TAIL_NUMBER", "registrationNumber"),
        ("OFAC_ID", "ofacId"),
        ("ACCOUNT_NUMBER", "accountNumber"),
        ("PHONE_NUMBER", "phone"),
        ("EMAIL_ADDRESS", "email"),
        ("WEBSITE_ADDRESS", "website"),
        ("TOPIC", "topics"),
    ];
    for (from, property) in SAME {
        if let Some(value) = get(from) {
            entity.add(property, &value);
        }
    }
    if let Some(gender) = get("GENDER") {
        let gender = match gender.to_lowercase().as_str() {
            "m" | "male" => "male",
            "f" | "female" => "female",
            _ => "",
        };
        entity.add("gender", gender);
    }
    for kind in ["NATIONAL_ID", "OTHER_ID"] {
        if let Some(number) = get(&format!("{kind}_NUMBER")) {
            entity.add(number_property(get(&format!("{kind}_TYPE")).as_deref()), &number);
        }
    }
}

/// Some name the property itself as the type of a number. What is the record's own identifier is none.
fn number_property(kind: Option<&str>) -> &'static str {
    match kind {
        Some("OPEN_SANCTIONS") => "referents",
        Some("publicKey") => "publicKey",
        Some("registrationNumber") => "registrationNumber",
        Some("ogrnCode") => "ogrnCode",
        Some("innCode") => "innCode",
        Some("leiCode") => "leiCode",
        Some("swiftBic") => "swiftBic",
        _ => "idNumber",
    }
}

/// `12/31/1962` of older records as `1962-12-31`.
fn iso(date: &str) -> String {
    let parts: Vec<&str> = date.split('/').collect();
    match parts.as_slice() {
        [month, day, year] if year.len() == 4 => format!("{year}-{month:0>2}-{day:0>2}"),
        _ => date.to_owned(),
    }
}
