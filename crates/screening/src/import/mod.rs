//! Lists as their publishers write them, read into entities one by one.
//!
//! Every importer streams: memory holds one record, and where a format parts what belongs together (aliases
//! in a file of their own, addresses by id) the small halves. A record that cannot be read is reported with
//! its place; it ends the import unless the operator chose to skip such records. A file that is cut off is
//! refused, since in most formats what is missing counts as removed.

mod csl;
mod eu;
mod ftm;
mod lines;
mod ofac_advanced;
mod ofac_csv;
mod ofac_labels;
mod ofac_xml;
mod plain;
mod rows;
mod senzing;
mod text;
mod uk;
mod un;
mod xml;

use std::{
    collections::{BTreeMap, HashSet},
    io::{self, BufRead},
};

use serde::{Deserialize, Serialize};

pub use ftm::{Change, read_delta};
pub use plain::ColumnMap;

use crate::{dates::Birth, entity::Entity};

/// Malformed records that a report names; more are counted.
pub const REPORT_MAX_MALFORMED: usize = 100;

/// Labels without a meaning of ours that a report names.
pub const REPORT_MAX_LABELS: usize = 200;

/// Records of one list.
pub const LIST_MAX_RECORDS: usize = 10_000_000;

/// The longest identifier of a record.
pub const RECORD_ID_MAX_BYTES: usize = 256;

/// A format of lists.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Format {
    /// Consolidated list of the UN Security Council, XML.
    UnXml,
    /// OFAC: `sdn.csv` with `alt.csv`, `add.csv` and `sdn_comments.csv`, or the same of the consolidated list.
    OfacCsv,
    /// OFAC: `SDN.XML`.
    OfacXml,
    /// OFAC: `SDN_ADVANCED.XML`.
    OfacAdvancedXml,
    /// European Union: financial sanctions files, XML 1.1.
    EuXml,
    /// European Union: financial sanctions files, CSV 1.1.
    EuCsv,
    /// United Kingdom: UK Sanctions List, XML.
    UkXml,
    /// United Kingdom: UK Sanctions List, CSV.
    UkCsv,
    /// United States: Consolidated Screening List, CSV.
    CslCsv,
    /// OpenSanctions: `entities.ftm.json`.
    Ftm,
    /// OpenSanctions: `targets.nested.json`.
    FtmNested,
    /// OpenSanctions: `targets.simple.csv`.
    FtmSimple,
    /// Senzing entity specification, JSON lines.
    Senzing,
    /// A table with a header and a map of its columns.
    Csv,
}

/// All formats with their names on the command line.
pub const FORMATS: [(&str, Format); 14] = [
    ("un-xml", Format::UnXml),
    ("ofac-csv", Format::OfacCsv),
    ("ofac-xml", Format::OfacXml),
    ("ofac-advanced-xml", Format::OfacAdvancedXml),
    ("eu-xml", Format::EuXml),
    ("eu-csv", Format::EuCsv),
    ("uk-xml", Format::UkXml),
    ("uk-csv", Format::UkCsv),
    ("csl-csv", Format::CslCsv),
    ("ftm", Format::Ftm),
    ("ftm-nested", Format::FtmNested),
    ("ftm-simple", Format::FtmSimple),
    ("senzing", Format::Senzing),
    ("csv", Format::Csv),
];

/// A file of a list. Most formats have only the main one.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Part {
    /// The list itself.
    Main,
    /// OFAC: `alt.csv`.
    Aliases,
    /// OFAC: `add.csv`.
    Addresses,
    /// OFAC: `sdn_comments.csv`.
    Comments,
}

/// Opens a file of the list from its beginning, or says that there is none. The FollowTheMoney form is read
/// twice.
pub type Open<'a> = &'a dyn Fn(Part) -> io::Result<Option<Box<dyn BufRead + 'a>>>;

/// An entity of a list.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Listed {
    /// How its publisher calls it; unique in the list.
    pub id: String,
    /// What is known.
    #[serde(flatten)]
    pub entity: Entity,
}

/// A record that could not be read.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Malformed {
    /// Where it stands.
    pub place: String,
    /// What is wrong with it.
    pub reason: String,
}

/// What an import found.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize)]
pub struct Report {
    /// When the publisher made the list, as it writes it.
    pub published: Option<String>,
    /// Entities that were handed on.
    pub entities: usize,
    /// Records that were skipped.
    pub skipped: usize,
    /// The first of them.
    pub malformed: Vec<Malformed>,
    /// Labels that have no meaning here, how often each; their values are kept as notes where they have any.
    pub unknown: BTreeMap<String, usize>,
}

/// Why an import ended.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// The file could not be read.
    #[error("the list cannot be read")]
    Read(#[from] io::Error),
    /// A record is malformed, and these are not to be skipped.
    #[error("{}: {}", .0.place, .0.reason)]
    Malformed(Malformed),
    /// The file is not of this format, or not whole.
    #[error("{place}: {reason}")]
    Unsound {
        /// Where.
        place: String,
        /// What is wrong.
        reason: String,
    },
    /// Too long.
    #[error("the list has more than {LIST_MAX_RECORDS} records")]
    TooMany,
    /// Another file is needed.
    #[error("this format needs {0}")]
    Missing(&'static str),
    /// What the entities were handed to could not take one.
    #[error("{0}")]
    Sink(String),
}

fn unsound(place: impl Into<String>, reason: impl Into<String>) -> ImportError {
    ImportError::Unsound { place: place.into(), reason: reason.into() }
}

/// Takes entities as they are read.
pub type Sink<'a> = &'a mut dyn FnMut(Listed) -> Result<(), String>;

/// An import at work.
struct Import<'a> {
    skip: bool,
    sink: Sink<'a>,
    report: Report,
    ids: HashSet<Box<str>>,
}

/// Reads a list.
///
/// `skip` passes over malformed records; they are in the report. `columns` is needed by [`Format::Csv`] alone.
pub fn import(
    format: Format,
    open: Open<'_>,
    columns: Option<&ColumnMap>,
    skip: bool,
    sink: Sink<'_>,
) -> Result<Report, ImportError> {
    let mut import = Import { skip, sink, report: Report::default(), ids: HashSet::new() };
    let main = || open(Part::Main)?.ok_or(ImportError::Missing("a file"));
    match format {
        Format::UnXml => un::read(main()?, &mut import),
        Format::OfacCsv => ofac_csv::read(open, &mut import),
        Format::OfacXml => ofac_xml::read(main()?, &mut import),
        Format::OfacAdvancedXml => ofac_advanced::read(main()?, &mut import),
        Format::EuXml => eu::read_xml(main()?, &mut import),
        Format::EuCsv => eu::read_csv(main()?, &mut import),
        Format::UkXml => uk::read_xml(main()?, &mut import),
        Format::UkCsv => uk::read_csv(main()?, &mut import),
        Format::CslCsv => csl::read(main()?, &mut import),
        Format::Ftm => ftm::read_entities(open, &mut import),
        Format::FtmNested => ftm::read_nested(main()?, &mut import),
        Format::FtmSimple => ftm::read_simple(main()?, &mut import),
        Format::Senzing => senzing::read(main()?, &mut import),
        Format::Csv => plain::read(
            main()?,
            columns.ok_or(ImportError::Missing("a map of its columns"))?,
            &mut import,
        ),
    }?;
    Ok(import.report)
}

/// Why an entity cannot be on a list.
fn unfit(listed: &Listed) -> Option<String> {
    let length = listed.id.len();
    if length == 0 || length > RECORD_ID_MAX_BYTES {
        return Some(format!("its identifier has {length} bytes, of 1 to {RECORD_ID_MAX_BYTES}"));
    }
    let entity = &listed.entity;
    let named =
        ["name", "alias", "previousName", "weakAlias", "firstName", "lastName", "full", "address"]
            .iter()
            .any(|property| !entity.get(property).is_empty());
    let numbered = entity.properties.keys().any(|property| crate::identifiers::is_number(property));
    (!named && !numbered).then(|| "it has neither a name nor a number".to_owned())
}

/// What all sources write in several ways is written in one.
fn tidy(entity: &mut Entity) {
    for (property, values) in &mut entity.properties {
        for value in values {
            match property.as_str() {
                "imoNumber" => *value = value.trim_start_matches("IMO").trim().to_owned(),
                // Letters of a hexadecimal number mean the same in either case.
                "publicKey" if value.starts_with("0x") => value.make_ascii_lowercase(),
                _ if value.contains(['\n', '\r', '\t']) => *value = text::clean(value),
                _ => {}
            }
        }
    }
    // What is no date is kept to be read.
    if let Some(dates) = entity.properties.get_mut("birthDate") {
        let (dates_kept, others): (Vec<String>, Vec<String>) =
            std::mem::take(dates).into_iter().partition(|date| Birth::parse(date).is_some());
        *dates = dates_kept;
        others.iter().for_each(|other| entity.add("notes", &format!("birth date {other}")));
    }
    entity.properties.retain(|_, values| !values.is_empty());
    for values in entity.properties.values_mut().filter(|values| values.len() > 1) {
        let mut seen = HashSet::new();
        values.retain(|value| seen.insert(value.clone()));
    }
}

impl Import<'_> {
    /// Hands on what was read of a record, or reports why it could not be.
    fn record(
        &mut self,
        place: impl Fn() -> String,
        read: Result<Option<Listed>, String>,
    ) -> Result<(), ImportError> {
        match read {
            Ok(None) => Ok(()),
            Ok(Some(listed)) => match self.refusal(&listed) {
                Some(reason) => self.malformed(place(), reason),
                None => self.hand_on(listed),
            },
            Err(reason) => self.malformed(place(), reason),
        }
    }

    fn refusal(&self, listed: &Listed) -> Option<String> {
        if let Some(reason) = unfit(listed) {
            return Some(reason);
        }

        self.ids.contains(listed.id.as_str()).then(|| format!("`{}` is there already", listed.id))
    }

    fn hand_on(&mut self, mut listed: Listed) -> Result<(), ImportError> {
        tidy(&mut listed.entity);
        if self.report.entities >= LIST_MAX_RECORDS {
            return Err(ImportError::TooMany);
        }
        self.ids.insert(listed.id.as_str().into());
        self.report.entities += 1;
        (self.sink)(listed).map_err(ImportError::Sink)
    }

    fn malformed(&mut self, place: String, reason: String) -> Result<(), ImportError> {
        let malformed = Malformed { place, reason };
        if !self.skip {
            return Err(ImportError::Malformed(malformed));
        }
        self.report.skipped += 1;
        if self.report.malformed.len() < REPORT_MAX_MALFORMED {
            self.report.malformed.push(malformed);
        }
        Ok(())
    }

    fn unknown(&mut self, label: &str) {
        let room = self.report.unknown.len() < REPORT_MAX_LABELS;
        let label: String = label.chars().take(80).collect();
        if room || self.report.unknown.contains_key(&label) {
            *self.report.unknown.entry(label).or_default() += 1;
        }
    }
}
