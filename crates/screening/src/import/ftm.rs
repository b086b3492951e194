//! OpenSanctions: FollowTheMoney entities, nested targets, and the simple table.

use std::{
    borrow::Cow,
    collections::{BTreeMap, HashMap},
    io::BufRead,
};

use serde::Deserialize;
use serde_json::{Value, value::RawValue};

use super::{
    Import, ImportError, Listed, Open, Part, lines::Lines, rows::Table, text::split_outside,
};
use crate::entity::{Entity, Schema};

/// A line of `entities.ftm.json` or `targets.nested.json`.
#[derive(Deserialize)]
struct Line {
    id: String,
    schema: String,
    #[serde(default)]
    properties: BTreeMap<String, Vec<Value>>,
    #[serde(default)]
    datasets: Vec<String>,
}

/// The schemata of things that can be screened; all others say something of these.
const THINGS: [&str; 12] = [
    "Person",
    "Company",
    "Organization",
    "PublicBody",
    "LegalEntity",
    "Vessel",
    "Airplane",
    "CryptoWallet",
    "Security",
    "Vehicle",
    "Asset",
    "Thing",
];

/// Schemata that say something of others, or nothing that screening looks at.
const OTHERS: [&str; 22] = [
    "Address",
    "Associate",
    "Article",
    "BankAccount",
    "Debt",
    "Directorship",
    "Documentation",
    "Employment",
    "Event",
    "Family",
    "Identification",
    "Membership",
    "Note",
    "Occupancy",
    "Ownership",
    "Passport",
    "Payment",
    "Position",
    "Representation",
    "Sanction",
    "Succession",
    "UnknownLink",
];

fn is_known(schema: &str) -> bool {
    THINGS.contains(&schema) || OTHERS.contains(&schema)
}

/// A schema that says something of others: the property that names the owner, and what is taken over as what.
type Satellite = (&'static str, &'static str, &'static [(&'static str, &'static str)]);

const SATELLITES: [Satellite; 4] = [
    ("Passport", "holder", &[("number", "passportNumber"), ("country", "country")]),
    ("Identification", "holder", &[("number", "idNumber"), ("country", "country")]),
    ("CryptoWallet", "holder", &[("publicKey", "publicKey"), ("currency", "currency")]),
    ("Sanction", "entity", &[("program", "program"), ("programId", "programId")]),
];

/// What other lines say of an entity.
#[derive(Default)]
struct Satellites {
    /// By owner: property and value.
    of: HashMap<String, Vec<(&'static str, String)>>,
    /// Addresses by their own identifier.
    addresses: HashMap<String, String>,
}

/// Entities, one on each line, that refer to each other by identifiers: read twice, first for what small
/// ones say of others.
pub fn read_entities(open: Open<'_>, import: &mut Import<'_>) -> Result<(), ImportError> {
    let main = || open(Part::Main)?.ok_or(ImportError::Missing("a file"));
    let mut satellites = Satellites::default();
    let mut lines = Lines::new(main()?);
    while let Some((_, line)) = lines.next()? {
        // What cannot be read is reported the second time.
        if says_of_others(line)
            && let Ok(line) = parse(line)
        {
            satellites.take(&line);
        }
    }
    let mut lines = Lines::new(main()?);
    while let Some((number, line)) = lines.next()? {
        let line = parse(line);
        if let Ok(line) = &line
            && !is_known(&line.schema)
        {
            import.unknown(&format!("schema {}", line.schema));
        }
        let read = line.and_then(|line| thing(line, Some(&mut satellites)));
        import.record(|| format!("line {number}"), read)?;
    }
    Ok(())
}

/// Targets, one on each line, with what is said of them inside.
pub fn read_nested(input: impl BufRead, import: &mut Import<'_>) -> Result<(), ImportError> {
    let mut lines = Lines::new(input);
    while let Some((number, line)) = lines.next()? {
        let read = parse(line).and_then(|line| {
            let mut satellites = Satellites::default();
            neighbours(&line, &mut satellites);
            thing(line, Some(&mut satellites))
        });
        import.record(|| format!("line {number}"), read)?;
    }
    Ok(())
}

/// Whether a line says something of others, without reading the rest of it.
fn says_of_others(line: &[u8]) -> bool {
    #[derive(Deserialize)]
    struct Named<'l> {
        #[serde(borrow)]
        schema: Cow<'l, str>,
    }
    serde_json::from_slice::<Named<'_>>(line).is_ok_and(|Named { schema }| {
        schema == "Address" || SATELLITES.iter().any(|(known, _, _)| *known == schema)
    })
}

fn parse(line: &[u8]) -> Result<Line, String> {
    serde_json::from_slice(line).map_err(|error| error.to_string())
}

fn strings(values: &[Value]) -> impl Iterator<Item = &str> {
    values.iter().filter_map(Value::as_str)
}

impl Satellites {
    fn take(&mut self, line: &Line) {
        let get = |property: &str| line.properties.get(property).map_or(&[][..], Vec::as_slice);
        if line.schema == "Address" {
            if let Some(full) = address(line) {
                self.addresses.insert(line.id.clone(), full);
            }
            return;
        }
        let Some((_, owner, taken)) =
            SATELLITES.iter().find(|(schema, _, _)| *schema == line.schema)
        else {
            return;
        };
        for owner in strings(get(owner)) {
            for (from, to) in *taken {
                let values = strings(get(from)).map(|value| (*to, value.to_owned()));
                self.of.entry(owner.to_owned()).or_default().extend(values);
            }
        }
    }
}

fn address(line: &Line) -> Option<String> {
    let first =
        |property: &str| line.properties.get(property).and_then(|values| strings(values).next());
    if let Some(full) = first("full") {
        return Some(full.to_owned());
    }
    let parts = ["street", "street2", "postalCode", "city", "region", "state", "country"]
        .into_iter()
        .filter_map(first);
    let full = parts.collect::<Vec<_>>().join(", ");
    (!full.is_empty()).then_some(full)
}

/// An entity; `None` if the line only says something of others.
fn thing(line: Line, satellites: Option<&mut Satellites>) -> Result<Option<Listed>, String> {
    if !THINGS.contains(&line.schema.as_str()) {
        return Ok(None);
    }
    let mut entity = Entity::new(Schema::named(&line.schema));
    for (property, values) in &line.properties {
        for value in values {
            match value {
                Value::String(text) => entity.add(property, text),
                Value::Object(_) => {}
                _ => return Err(format!("a value of `{property}` is no string")),
            }
        }
    }
    line.datasets.iter().for_each(|dataset| entity.add("datasets", dataset));
    if let Some(satellites) = satellites {
        for (property, value) in satellites.of.remove(&line.id).unwrap_or_default() {
            entity.add(property, &value);
        }
        for address in
            line.properties.get("addressEntity").into_iter().flat_map(|values| strings(values))
        {
            if let Some(full) = satellites.addresses.get(address) {
                entity.add("address", full);
            }
        }
    }
    entity.properties.remove("addressEntity");
    Ok(Some(Listed { id: line.id, entity }))
}

/// What the objects inside of a target say of it. They are of depth one; what is cut from a cycle is an
/// identifier.
fn neighbours(line: &Line, satellites: &mut Satellites) {
    let inside = line.properties.values().flatten().filter(|value| value.is_object());
    for value in inside {
        let Ok(mut neighbour) = Line::deserialize(value) else { continue };
        if neighbour.schema == "Address" {
            let addresses = satellites.of.entry(line.id.clone()).or_default();
            addresses.extend(address(&neighbour).map(|full| ("address", full)));
            continue;
        }
        for owner in ["holder", "entity"] {
            neighbour.properties.insert(owner.to_owned(), vec![Value::String(line.id.clone())]);
        }
        satellites.take(&neighbour);
    }
}

/// What was added, changed and removed since the last version, one on each line.
#[derive(Deserialize)]
struct DeltaLine<'l> {
    op: String,
    #[serde(borrow)]
    entity: &'l RawValue,
}

#[derive(Deserialize)]
struct Removed {
    id: String,
}

/// A change of a list.
#[derive(Debug, PartialEq, Eq)]
pub enum Change {
    /// An entity is new or has changed: this is all of it.
    Put(Box<Listed>),
    /// An entity is gone.
    Remove(String),
}

/// Reads `entities.delta.json` and hands on each change of a thing. Changes of what only says something of
/// others need the whole list again; they are counted in the second place of the result.
pub fn read_delta(
    input: impl BufRead,
    mut change: impl FnMut(Change) -> Result<(), String>,
) -> Result<(usize, usize), ImportError> {
    let mut lines = Lines::new(input);
    let (mut applied, mut others) = (0, 0);
    while let Some((number, line)) = lines.next()? {
        let malformed = |reason: String| {
            ImportError::Malformed(super::Malformed { place: format!("line {number}"), reason })
        };
        let delta: DeltaLine<'_> =
            serde_json::from_slice(line).map_err(|error| malformed(error.to_string()))?;
        let found = match delta.op.as_str() {
            "DEL" => {
                let removed: Removed = serde_json::from_str(delta.entity.get())
                    .map_err(|error| malformed(error.to_string()))?;
                Some(Change::Remove(removed.id))
            }
            "ADD" | "MOD" => {
                let line = parse(delta.entity.get().as_bytes()).map_err(malformed)?;
                let listed = thing(line, None).map_err(malformed)?;
                if let Some(reason) = listed.as_ref().and_then(super::unfit) {
                    return Err(malformed(reason));
                }
                listed.map(|mut listed| {
                    super::tidy(&mut listed.entity);
                    Change::Put(Box::new(listed))
                })
            }
            other => return Err(malformed(format!("`{other}` is none of ADD, MOD and DEL"))),
        };
        match found {
            Some(found) => {
                applied += 1;
                change(found).map_err(ImportError::Sink)?;
            }
            None => others += 1,
        }
    }
    Ok((applied, others))
}

/// `targets.simple.csv`: values of one field are parted by semicolons, quoted where they hold one.
pub fn read_simple(input: impl BufRead, import: &mut Import<'_>) -> Result<(), ImportError> {
    let mut table = Table::new(input, b',', &["id", "schema", "name", "aliases"], false)?;
    const COLUMNS: [(&str, &str); 6] = [
        ("aliases", "alias"),
        ("birth_date", "birthDate"),
        ("countries", "country"),
        ("addresses", "address"),
        ("sanctions", "program"),
        ("program_ids", "programId"),
    ];
    while let Some(row) = table.next()? {
        let read = row.check().map(|()| {
            let mut entity = Entity::new(Schema::named(row.get("schema")));
            let wallet = entity.schema == Schema::CryptoWallet;
            entity.add(if wallet { "publicKey" } else { "name" }, row.get("name"));
            for number in values(row.get("identifiers")) {
                let property = match number.as_str() {
                    _ if wallet => "publicKey",
                    number if number.starts_with("IMO") => "imoNumber",
                    _ => "idNumber",
                };
                entity.add(property, &number);
            }
            for (column, property) in COLUMNS {
                values(row.get(column)).iter().for_each(|value| entity.add(property, value));
            }
            values(row.get("dataset")).iter().for_each(|value| entity.add("datasets", value));
            Some(Listed { id: row.get("id").to_owned(), entity })
        });
        let place = row.place();
        import.record(|| place.clone(), read)?;
    }
    Ok(())
}

/// A field that is itself a record parted by semicolons.
fn values(field: &str) -> Vec<String> {
    if !field.contains('"') {
        return split_outside(field, ';')
            .into_iter()
            .map(|value| value.trim().to_owned())
            .collect();
    }
    let mut rows = match super::rows::Rows::new(field.as_bytes(), b';') {
        Ok(rows) => rows,
        Err(_) => return Vec::new(),
    };
    let mut out = Vec::new();
    while let Ok(Some(row)) = rows.next() {
        out.extend(row.fields);
    }
    out
}
