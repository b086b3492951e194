//! A table of one's own, with a map of its columns.

use std::{collections::BTreeMap, io::BufRead};

use serde::Deserialize;

use super::{Import, ImportError, Listed, rows::Table};
use crate::entity::{Entity, Schema};

/// Which columns hold what.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ColumnMap {
    /// What parts fields, a comma by default.
    #[serde(default = "comma")]
    pub delimiter: char,
    /// The column with the identifier; without one the number of the record is taken.
    pub id: Option<String>,
    /// The column with the schema.
    pub schema_column: Option<String>,
    /// The schema of all, or of those whose field is empty.
    #[serde(default = "legal_entity")]
    pub schema: String,
    /// What parts several values of one field; without it a field is one value.
    pub values: Option<String>,
    /// Property of FollowTheMoney to columns.
    pub properties: BTreeMap<String, Vec<String>>,
}

fn comma() -> char {
    ','
}

fn legal_entity() -> String {
    "LegalEntity".into()
}

pub fn read(
    input: impl BufRead,
    columns: &ColumnMap,
    import: &mut Import<'_>,
) -> Result<(), ImportError> {
    let delimiter = u8::try_from(columns.delimiter)
        .map_err(|_| super::unsound("the map of columns", "the delimiter is no ASCII character"))?;
    let named =
        columns.properties.values().flatten().chain(&columns.id).chain(&columns.schema_column);
    let needed: Vec<&str> = named.map(String::as_str).collect();
    if Schema::named(&columns.schema).name() != columns.schema {
        return Err(super::unsound(
            "the map of columns",
            format!("`{}` is no schema that can be screened", columns.schema),
        ));
    }
    for property in
        columns.properties.keys().filter(|property| !crate::profile::is_compared(property))
    {
        import.unknown(&format!("property {property}"));
    }
    if columns.properties.is_empty() {
        return Err(super::unsound("the map of columns", "it names no property"));
    }
    let mut table = Table::new(input, delimiter, &needed, false)?;
    let mut number = 0;
    while let Some(row) = table.next()? {
        number += 1;
        let read = row.check().map(|()| {
            let given = columns.schema_column.as_deref().map_or("", |column| row.get(column));
            let mut entity =
                Entity::new(Schema::named(if given.is_empty() { &columns.schema } else { given }));
            for (property, from) in &columns.properties {
                for column in from {
                    match columns.values.as_deref().filter(|by| !by.is_empty()) {
                        Some(by) => {
                            row.get(column).split(by).for_each(|value| entity.add(property, value));
                        }
                        None => entity.add(property, row.get(column)),
                    }
                }
            }
            let id = columns
                .id
                .as_deref()
                .map_or_else(|| number.to_string(), |column| row.get(column).to_owned());
            Some(Listed { id, entity })
        });
        let place = row.place();
        import.record(|| place.clone(), read)?;
    }
    Ok(())
}
