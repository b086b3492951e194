//! OFAC: `sdn.csv` with its aliases, addresses and the ends of long remarks in files of their own.

use std::{collections::HashMap, io::BufRead};

use super::{
    Import, ImportError, Listed, Open, Part,
    ofac_labels::add_remark,
    rows::Rows,
    text::{clean, is_nothing, joined},
};
use crate::entity::{Entity, Schema};

/// What belongs to an entry: its aliases, its addresses, the rest of its remarks.
#[derive(Default)]
struct Beside {
    aliases: Vec<(String, String)>,
    addresses: Vec<[String; 3]>,
    remarks: String,
}

pub fn read(open: Open<'_>, import: &mut Import<'_>) -> Result<(), ImportError> {
    let mut beside: HashMap<String, Beside> = HashMap::new();
    for (part, columns) in [(Part::Aliases, 5), (Part::Addresses, 6), (Part::Comments, 2)] {
        if let Some(input) = open(part)? {
            let rows = read_beside(part, columns, input, &mut beside, import)?;
            if rows == 0 && part != Part::Comments {
                return Err(super::unsound(
                    format!("{part:?}"),
                    "the file beside the list is empty",
                ));
            }
        }
    }
    let main = open(Part::Main)?.ok_or(ImportError::Missing("sdn.csv"))?;
    let mut rows = Rows::new(main, b',')?;
    while let Some(row) = rows.next()? {
        let beside = row.fields.first().and_then(|id| beside.remove(id.trim()));
        import_row(&row.fields, row.line, beside.unwrap_or_default(), import)?;
    }
    if let Some(id) = beside.keys().min() {
        let reason = format!(
            "{} aliases, addresses or comments belong to no entry, {id} first",
            beside.len()
        );
        import.malformed("the files beside the list".into(), reason)?;
    }
    Ok(())
}

fn read_beside(
    part: Part,
    columns: usize,
    input: impl BufRead,
    beside: &mut HashMap<String, Beside>,
    import: &mut Import<'_>,
) -> Result<usize, ImportError> {
    let mut rows = Rows::new(input, b',')?;
    let mut count = 0;
    while let Some(row) = rows.next()? {
        count += 1;
        let fields = &row.fields;
        if fields.len() != columns {
            import.malformed(
                format!("{part:?}, line {}", row.line),
                format!("{} fields instead of {columns}", fields.len()),
            )?;
            continue;
        }
        let entry = beside.entry(fields[0].trim().to_owned()).or_default();
        match part {
            Part::Aliases => entry.aliases.push((fields[2].trim().to_owned(), clean(&fields[3]))),
            Part::Addresses => {
                entry
                    .addresses
                    .push([&fields[2], &fields[3], &fields[4]].map(|field| clean(field)));
            }
            Part::Comments => entry.remarks.push_str(&fields[1]),
            Part::Main => {}
        }
    }
    Ok(count)
}

fn import_row(
    fields: &[String],
    line: u64,
    beside: Beside,
    import: &mut Import<'_>,
) -> Result<(), ImportError> {
    let mut free_text = 0;
    let read = match fields {
        [
            id,
            name,
            kind,
            program,
            title,
            call_sign,
            vessel_type,
            tonnage,
            gross,
            flag,
            owner,
            remarks,
        ] => {
            let mut entity = Entity::new(schema(kind.trim()));
            entity.add("topics", "sanction");
            let mut add = |property: &str, value: &str| {
                if !is_nothing(value) {
                    entity.add(property, &clean(value));
                }
            };
            add("name", name);
            program.split("] [").for_each(|code| add("program", code));
            for (property, value) in [
                ("title", title),
                ("callSign", call_sign),
                ("type", vessel_type),
                ("tonnage", tonnage),
                ("grossRegisteredTonnage", gross),
                ("flag", flag),
                ("owner", owner),
            ] {
                add(property, value);
            }
            add_beside(&mut entity, &beside);
            // The rest of remarks that are too long for their column follows without a gap.
            let remarks = if is_nothing(remarks) {
                beside.remarks
            } else {
                format!("{remarks}{}", beside.remarks)
            };
            free_text = add_remarks(&mut entity, &remarks);
            if entity.get("name").is_empty() {
                Err("it has no name".into())
            } else {
                Ok(Some(Listed { id: id.trim().to_owned(), entity }))
            }
        }
        other => Err(format!("{} fields instead of 12", other.len())),
    };
    (0..free_text).for_each(|_| import.unknown("free text in remarks"));
    import.record(|| format!("line {line}"), read)
}

fn schema(kind: &str) -> Schema {
    match kind {
        "individual" => Schema::Person,
        "vessel" => Schema::Vessel,
        "aircraft" => Schema::Airplane,
        _ => Schema::Organization,
    }
}

fn add_beside(entity: &mut Entity, beside: &Beside) {
    for (kind, name) in &beside.aliases {
        entity.add(if kind == "fka" { "previousName" } else { "alias" }, name);
    }
    for address in &beside.addresses {
        entity.add("address", &joined(address.iter().map(String::as_str), ", "));
        if !is_nothing(&address[2]) {
            entity.add("country", &address[2]);
        }
    }
}

/// Facts, parted by semicolons. What is in no known form is kept as notes and counted.
fn add_remarks(entity: &mut Entity, remarks: &str) -> usize {
    let remarks = clean(remarks);
    let remarks = remarks.strip_suffix('.').unwrap_or(&remarks);
    let mut free_text = 0;
    for segment in remarks.split(';').map(str::trim).filter(|segment| !segment.is_empty()) {
        if !add_remark(entity, segment) {
            entity.add("notes", segment);
            free_text += 1;
        }
    }
    free_text
}
