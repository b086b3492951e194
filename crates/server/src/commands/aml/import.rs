//! A list becomes a version.

use std::{
    cell::Cell,
    collections::HashMap,
    fs::File,
    io::{self, BufRead, BufReader, IsTerminal, Read},
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::{Context, Result, ensure};
use data_encoding::HEXLOWER;
use portcullis_screening::import::{
    Change, ColumnMap, FORMATS, Format, Listed, Part, Report, import, read_delta,
};
use portcullis_types::random_array;

use super::Data;
use crate::{
    commands::say,
    new_version::{NewVersion, Origin, Outcome},
    system,
};

#[derive(clap::Args)]
pub struct ImportArguments {
    /// What the list is called here
    #[arg(long, value_name = "NAME")]
    list: String,
    /// un-xml, ofac-csv, ofac-xml, ofac-advanced-xml, eu-xml, eu-csv, uk-xml, uk-csv, csl-csv, ftm, ftm-nested, ftm-simple, senzing or csv
    #[arg(long, value_name = "FORMAT", value_parser = format)]
    format: Format,
    /// The file; of ofac-csv the main one, with alt.csv, add.csv and sdn_comments.csv (or cons_…) beside it
    #[arg(long, value_name = "FILE")]
    file: PathBuf,
    /// Where the list came from, for the record; the path if not given
    #[arg(long, value_name = "URL")]
    source: Option<String>,
    /// For csv: a JSON file that says which column is what
    #[arg(long, value_name = "FILE")]
    columns: Option<PathBuf>,
    /// Pass over records that cannot be read; they are counted and the first are told
    #[arg(long)]
    skip_malformed: bool,
    /// Take the version even if more than a fifth of the list is gone
    #[arg(long)]
    allow_removals: bool,
    /// The file holds changes of the list (entities.delta.json), not all of it
    #[arg(long)]
    delta: bool,
    #[command(flatten)]
    data: Data,
}

fn format(text: &str) -> Result<Format, String> {
    let known = FORMATS.iter().find(|(name, _)| *name == text);
    known
        .map(|(_, format)| *format)
        .ok_or_else(|| format!("none of {}", FORMATS.map(|(name, _)| name).join(", ")))
}

pub fn run(asked: &ImportArguments) -> Result<ExitCode> {
    ensure!(asked.file.is_file(), "there is no file {}", asked.file.display());
    ensure!(!asked.delta || asked.format == Format::Ftm, "changes come in the format ftm only");
    let columns = asked.columns.as_deref().map(read_columns).transpose()?;
    let lists = asked.data.lists();
    let unique: [u8; 8] = random_array(&*system::entropy());
    let mut version = lists.begin(&asked.list, &HEXLOWER.encode(&unique))?;
    if let Some(broken) = &version.broken {
        complain(&format!("the version before cannot be compared: {}", broken.reason));
    }
    let report = if asked.delta {
        apply(asked, &mut version)?
    } else {
        read(asked, columns.as_ref(), &mut version)?
    };
    if !report.unknown.is_empty() {
        let some: Vec<String> = report
            .unknown
            .iter()
            .take(20)
            .map(|(label, times)| format!("{label} ({times})"))
            .collect();
        complain(&format!(
            "without a meaning here, kept as notes or passed over: {}",
            some.join(", ")
        ));
    }
    report
        .malformed
        .iter()
        .for_each(|one| complain(&format!("skipped {}: {}", one.place, one.reason)));
    let now = system::clock().now();
    let imported = now.to_rfc3339();
    let stamp = imported.chars().filter(char::is_ascii_digit).take(14).collect();
    let source = asked.source.clone().unwrap_or_else(|| asked.file.display().to_string());
    let origin = Origin {
        source: &source,
        format: format_name(asked.format),
        imported,
        stamp,
        allow_removals: asked.allow_removals,
    };
    match version.finish(origin, &report)? {
        Outcome::Unchanged(info) => say(&format!(
            "{} is what it was: version {}, {} entities",
            info.name, info.version, info.entities
        )),
        Outcome::New(info) => {
            let list =
                format!("{}: version {}, {} entities", info.name, info.version, info.entities);
            say(&format!(
                "{list} ({} added, {} changed, {} removed, {} records skipped)",
                info.added, info.changed, info.removed, info.skipped
            ));
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn read_columns(path: &Path) -> Result<ColumnMap> {
    let text = std::fs::read_to_string(path).with_context(|| format!("read {}", path.display()))?;
    serde_json::from_str(&text)
        .with_context(|| format!("{} is not a map of columns", path.display()))
}

fn read(
    asked: &ImportArguments,
    columns: Option<&ColumnMap>,
    version: &mut NewVersion<'_>,
) -> Result<Report> {
    let total = asked.file.metadata()?.len();
    let progress = Progress {
        total,
        read: Cell::new(0),
        shown: Cell::new(0),
        visible: io::stderr().is_terminal(),
    };
    let open = |part| open(&asked.file, asked.format, part, &progress);
    let mut failed = None;
    let mut sink =
        |listed: Listed| version.add(listed).map_err(|error| failed.insert(error).to_string());
    let report = import(asked.format, &open, columns, asked.skip_malformed, &mut sink);
    progress.end();
    match failed {
        Some(error) => Err(error).context("write the version"),
        None => report.with_context(|| format!("{} was not imported", asked.file.display())),
    }
}

fn apply(asked: &ImportArguments, version: &mut NewVersion<'_>) -> Result<Report> {
    let (changes, others) = changes(BufReader::new(File::open(&asked.file)?))?;
    if others > 0 {
        complain(&format!(
            "{others} changes of addresses, sanctions and the like need the whole list and were not taken"
        ));
    }
    version.apply(changes)?;
    Ok(Report::default())
}

/// The file of a part. The files of OFAC stand beside each other, by names that tell which is which.
fn open<'p>(
    main: &Path,
    format: Format,
    part: Part,
    progress: &'p Progress,
) -> io::Result<Option<Box<dyn BufRead + 'p>>> {
    if part == Part::Main {
        let file = Counted { file: File::open(main)?, progress };
        return Ok(Some(Box::new(BufReader::with_capacity(1 << 20, file))));
    }
    if format != Format::OfacCsv {
        return Ok(None);
    }
    let name = main.file_name().unwrap_or_default().to_string_lossy().to_lowercase();
    let names: [&str; 2] = match part {
        Part::Aliases => ["alt.csv", "cons_alt.csv"],
        Part::Addresses => ["add.csv", "cons_add.csv"],
        _ => ["sdn_comments.csv", "cons_comments.csv"],
    };
    let wanted = names[usize::from(name.starts_with("cons"))];
    let directory =
        main.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let found = std::fs::read_dir(directory)?
        .filter_map(Result::ok)
        .find(|entry| entry.file_name().to_string_lossy().to_lowercase() == wanted);
    match found {
        Some(entry) => Ok(Some(Box::new(BufReader::new(File::open(entry.path())?)))),
        None if part == Part::Comments => Ok(None),
        // Without its aliases the list would miss what it is for.
        None => Err(io::Error::new(
            io::ErrorKind::NotFound,
            format!("{wanted} is not beside {}", main.display()),
        )),
    }
}

/// How far an import is, on a terminal.
struct Progress {
    total: u64,
    read: Cell<u64>,
    shown: Cell<u64>,
    visible: bool,
}

struct Counted<'p> {
    file: File,
    progress: &'p Progress,
}

impl Read for Counted<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let read = self.file.read(into)?;
        self.progress.add(read as u64);
        Ok(read)
    }
}

impl Progress {
    #[expect(clippy::print_stderr, reason = "progress is for whoever watches")]
    fn add(&self, read: u64) {
        self.read.set(self.read.get() + read);
        let percent = self.read.get() * 100 / self.total.max(1);
        if self.visible && percent > self.shown.get() {
            self.shown.set(percent);
            eprint!("\r{} MiB, {} %", self.read.get() >> 20, percent.min(100));
        }
    }

    #[expect(clippy::print_stderr, reason = "progress is for whoever watches")]
    fn end(&self) {
        if self.visible && self.shown.get() > 0 {
            eprintln!();
        }
    }
}

#[expect(clippy::print_stderr, reason = "what was left out is told beside the answer")]
fn complain(text: &str) {
    eprintln!("portcullis: {text}");
}

/// Changes by identifier; the last of one identifier counts.
fn changes(input: impl BufRead) -> Result<(HashMap<String, Option<Listed>>, usize)> {
    let mut found = HashMap::new();
    let (_, others) = read_delta(input, |change| {
        match change {
            Change::Put(listed) => found.insert(listed.id.clone(), Some(*listed)),
            Change::Remove(id) => found.insert(id, None),
        };
        Ok(())
    })?;
    Ok((found, others))
}

/// The name of a format on the command line.
fn format_name(format: Format) -> &'static str {
    FORMATS.iter().find(|(_, known)| *known == format).map_or("", |(name, _)| name)
}
