//! What OFAC calls numbers, dates and facts, in its remarks and lists of identifiers.

use crate::entity::{Entity, Schema};

use super::text::{clean, english_date};

/// Labels of numbers, and the property for them.
const NUMBERS: [(&str, &str); 46] = [
    ("Diplomatic Passport", "passportNumber"),
    ("Stateless Person Passport", "passportNumber"),
    ("Passport", "passportNumber"),
    ("Travel Document Number", "passportNumber"),
    ("National ID No.", "idNumber"),
    ("National Foreign ID Number", "idNumber"),
    ("Cedula No.", "idNumber"),
    ("Cedula de Ciudadania", "idNumber"),
    ("C.U.R.P.", "idNumber"),
    ("D.N.I.", "idNumber"),
    ("Identification Number", "idNumber"),
    ("Citizen's Card Number", "idNumber"),
    ("Driver's License No.", "idNumber"),
    ("Residency Number", "idNumber"),
    ("Personal ID Card", "idNumber"),
    ("Birth Certificate Number", "idNumber"),
    ("Military Registration Number", "idNumber"),
    ("Electoral Registry No.", "idNumber"),
    ("Voter Identification Number", "idNumber"),
    ("SSN", "socialSecurityNumber"),
    ("NIT #", "taxNumber"),
    ("R.F.C.", "taxNumber"),
    ("RUC #", "taxNumber"),
    ("Tax ID No.", "taxNumber"),
    ("C.U.I.T.", "taxNumber"),
    ("C.U.I.P.", "idNumber"),
    ("RIF #", "taxNumber"),
    ("V.A.T. Number", "vatCode"),
    ("Registration Number", "registrationNumber"),
    ("Registration ID", "registrationNumber"),
    ("Company Number", "registrationNumber"),
    ("Commercial Registry Number", "registrationNumber"),
    ("Business Registration Number", "registrationNumber"),
    ("Business Registration Document #", "registrationNumber"),
    ("Legal Entity Number", "registrationNumber"),
    ("Unified Social Credit Code (USCC)", "uscCode"),
    ("Folio Mercantil No.", "registrationNumber"),
    ("Matricula Mercantil No", "registrationNumber"),
    ("Enterprise Number", "registrationNumber"),
    ("Public Registration Number", "registrationNumber"),
    ("Trade License No.", "licenseNumber"),
    ("D-U-N-S Number", "dunsCode"),
    ("SWIFT/BIC", "swiftBic"),
    ("MMSI", "mmsi"),
    ("BIK (RU)", "bikCode"),
    ("Government Gazette Number", "gazetteNumber"),
];

/// Other facts, and the property for them.
const FACTS: [(&str, &str); 26] = [
    ("Website", "website"),
    ("Email Address", "email"),
    ("Phone Number", "phone"),
    ("Former Vessel Flag", "pastFlags"),
    ("Vessel Flag", "flag"),
    ("Other Vessel Flag", "flag"),
    ("Vessel Type", "type"),
    ("Other Vessel Type", "type"),
    ("Vessel Call Sign", "callSign"),
    ("Other Vessel Call Sign", "callSign"),
    ("Vessel Year of Build", "buildDate"),
    ("Vessel Owner", "owner"),
    ("Aircraft Model", "model"),
    ("Aircraft Operator", "operator"),
    ("Aircraft Manufacturer's Serial Number (MSN)", "serialNumber"),
    ("Aircraft Construction Number (also called L/N or S/N or F/N)", "serialNumber"),
    ("Aircraft Tail Number", "registrationNumber"),
    ("Previous Aircraft Tail Number", "registrationNumber"),
    ("Aircraft Mode S Transponder Code", "icaoCode"),
    ("Nationality of Registration", "jurisdiction"),
    ("Linked To:", "linkedTo"),
    ("Organization Type:", "sector"),
    ("Target Type", "sector"),
    ("Secondary sanctions risk:", "notes"),
    ("Additional Sanctions Information -", "notes"),
    ("Transactions Prohibited", "notes"),
];

/// Adds a fact in the words of OFAC, such as `DOB 12 Jul 1986` or `Passport A123 (Iran) expires 2009`.
/// `false`: it is in none of the known forms.
pub fn add_remark(entity: &mut Entity, segment: &str) -> bool {
    let segment = segment.strip_prefix("alt. ").unwrap_or(segment);
    for (label, property) in
        [("a.k.a. ", "weakAlias"), ("f.k.a. ", "previousName"), ("n.k.a. ", "alias")]
    {
        if let Some(name) = segment.strip_prefix(label) {
            let name = name
                .find('\'')
                .zip(name.rfind('\''))
                .filter(|(first, last)| first < last)
                .map_or(name, |(first, last)| &name[first + 1..last]);
            entity.add(property, &clean(name));
            return true;
        }
    }
    if let Some(text) = segment
        .strip_prefix("DOB ")
        .or_else(|| segment.strip_prefix("Organization Established Date "))
        .or_else(|| segment.strip_prefix("Aircraft Manufacture Date "))
    {
        let property = if segment.starts_with("DOB") {
            "birthDate"
        } else if segment.starts_with("Org") {
            "incorporationDate"
        } else {
            "buildDate"
        };
        return english_date(text).map(|date| entity.add(property, &date)).is_some();
    }
    for (label, property) in [
        ("POB ", "birthPlace"),
        ("nationality: ", "nationality"),
        ("nationality ", "nationality"),
        ("citizen ", "citizenship"),
        ("Gender ", "gender"),
    ] {
        if let Some(value) = segment.strip_prefix(label) {
            let value = value.strip_prefix("possibly ").unwrap_or(value);
            entity.add(
                property,
                &if property == "gender" { value.to_ascii_lowercase() } else { clean(value) },
            );
            return true;
        }
    }
    if let Some(wallet) = segment.strip_prefix("Digital Currency Address - ") {
        return add_wallet(entity, wallet);
    }
    let labels = NUMBERS
        .iter()
        .map(|(label, _)| label)
        .chain(FACTS.iter().map(|(label, _)| label))
        .chain([&SHIP]);
    let known = labels.filter(|label| segment.starts_with(**label)).max_by_key(|label| label.len());
    known.is_some_and(|label| add_labelled(entity, label, segment[label.len()..].trim()))
}

const SHIP: &str = "Vessel Registration Identification";

fn add_wallet(entity: &mut Entity, wallet: &str) -> bool {
    let mut parts = wallet.split_whitespace();
    let (Some(currency), Some(address)) = (parts.next(), parts.next()) else { return false };
    entity.add("currency", currency);
    entity.add("publicKey", address);
    true
}

/// Adds a value under one of OFAC's labels. `false`: the label is not known, or the value says nothing.
pub fn add_labelled(entity: &mut Entity, label: &str, value: &str) -> bool {
    let label = label.trim();
    if let "Organization Established Date" | "Aircraft Manufacture Date" = label {
        return add_remark(entity, &format!("{label} {value}"));
    }
    if let Some(currency) = label.strip_prefix("Digital Currency Address - ") {
        return add_wallet(entity, &format!("{currency} {value}"));
    }
    if label == SHIP {
        return add_ship_number(entity, value);
    }
    if label == "Gender" {
        entity.add("gender", &value.to_ascii_lowercase());
        return true;
    }
    if label == "Identification Number" && value.starts_with("IMO ") {
        return add_ship_number(entity, value);
    }
    let number = NUMBERS.iter().find(|(known, _)| *known == label);
    if let Some((_, property)) = number {
        let (number, country) = number_and_country(value);
        entity.add(property, &number);
        if let Some(country) = country {
            entity.add("country", &country);
        }
        return true;
    }
    let fact = FACTS.iter().find(|(known, _)| *known == label);
    fact.is_some_and(|(_, property)| {
        entity.add(property, &clean(value));
        true
    })
}

/// Numbers of ships are of seven digits; companies have their own, which are not those of a ship.
fn add_ship_number(entity: &mut Entity, value: &str) -> bool {
    let digits = value.trim_start_matches("IMO").trim();
    let whole = digits.len() == 7 && digits.bytes().all(|digit| digit.is_ascii_digit());
    match (entity.schema, whole) {
        (Schema::Vessel, true) => entity.add("imoNumber", digits),
        (_, true) => entity.add("registrationNumber", &format!("IMO {digits}")),
        _ => entity.add("notes", &format!("{SHIP} {value}")),
    }
    true
}

/// `A123 (Iran) issued 1 Jan 2000 expires 2 Jan 2005`: the number and the last brackets before the dates.
fn number_and_country(value: &str) -> (String, Option<String>) {
    let value = [" issued ", " expires "]
        .iter()
        .filter_map(|dates| value.find(dates))
        .min()
        .map_or(value, |at| &value[..at]);
    let (first, last) = (value.find('('), value.rfind('('));
    // `BIK (RU)` has its country before the number, and that is part of the label.
    let number = first.map_or(value, |at| &value[..at]);
    let country = last.and_then(|at| {
        value[at + 1..].strip_suffix(')').or_else(|| value[at + 1..].split(')').next())
    });
    (clean(number), country.map(clean).filter(|country| !country.is_empty()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(schema: Schema, segments: &[&str]) -> (Entity, usize) {
        let mut entity = Entity::new(schema);
        let known = segments.iter().filter(|segment| add_remark(&mut entity, segment)).count();
        (entity, known)
    }

    #[test]
    fn remarks_become_properties() {
        let (entity, known) = read(
            Schema::Person,
            &[
                "DOB 12 Jul 1986",
                "alt. DOB circa 1979-1982",
                "POB Cairo, Egypt",
                "a.k.a. ''ABD-AL-'IZ'",
                "Passport B 1234 (Egypt) issued 1 Jan 2000 expires Jul 2005",
                "Matricula Mercantil No 01200175 (Bogota) (Colombia)",
                "BIK (RU) 044525187",
                "Digital Currency Address - XBT 1GqChmWqGtsaLrGbHfgdrV5Nkvahtjjuxr",
                "Gender Male",
                "nationality possibly Palestinian",
                "arrested 23 Apr 2002",
            ],
        );
        assert_eq!(known, 10);
        assert_eq!(entity.get("birthDate"), ["1986-07-12", "circa 1979 to 1982"]);
        assert_eq!(entity.get("weakAlias"), ["'ABD-AL-'IZ"]);
        assert_eq!(entity.get("passportNumber"), ["B 1234"]);
        assert_eq!(entity.get("country"), ["Egypt", "Colombia"]);
        assert_eq!(entity.get("bikCode"), ["044525187"]);
        assert_eq!(entity.get("publicKey"), ["1GqChmWqGtsaLrGbHfgdrV5Nkvahtjjuxr"]);
        assert_eq!(entity.get("nationality"), ["Palestinian"]);
    }

    #[test]
    fn a_ship_has_a_ships_number() {
        assert_eq!(
            read(Schema::Vessel, &["Vessel Registration Identification IMO 9187667"])
                .0
                .get("imoNumber"),
            ["9187667"]
        );
        assert!(
            read(Schema::Vessel, &["Vessel Registration Identification IMO 15411"])
                .0
                .get("imoNumber")
                .is_empty()
        );
        assert!(
            read(Schema::Company, &["Vessel Registration Identification IMO 5878589"])
                .0
                .get("imoNumber")
                .is_empty()
        );
    }
}
