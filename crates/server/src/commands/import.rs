//! `portcullis users import`: people from another system, with the hashes of their passwords.

use std::{
    fs::{File, OpenOptions},
    io::{BufRead, BufReader, IsTerminal, Read, Seek, Write},
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::{Context, Result, bail, ensure};
use aws_lc_rs::digest::{Context as Digest, SHA256};
use clap::ValueEnum;
use data_encoding::HEXLOWER;
use portcullis_identity::{FieldError, IMPORT_BATCH, ImportRecord, Importer, Refusal};
use portcullis_types::DEFAULT_TENANT;
use serde_json::json;

use crate::{
    Place,
    commands::{Offline, say},
};

/// A record is at most this long.
const MAX_RECORD_BYTES: usize = 64 * 1024;
/// Nor is a record of a table, with what is read ahead of it.
const MAX_CSV_BYTES: usize = 1024 * 1024;
/// So many refusals are shown; the file with the errors has all of them.
const SHOWN: u64 = 20;
/// What an exit with refused records says to scripts.
const SOME_REFUSED: u8 = 2;

#[derive(clap::Args)]
pub struct Import {
    #[command(flatten)]
    place: Place,
    /// The file
    file: PathBuf,
    /// How it is written; told from its name if left out
    #[arg(long)]
    format: Option<Format>,
    /// Where refused records are listed; FILE.errors.jsonl if left out
    #[arg(long, value_name = "FILE")]
    errors: Option<PathBuf>,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    /// A header and a record a line
    Csv,
    /// A JSON object a line
    Jsonl,
}

type Record = (u64, Result<ImportRecord, FieldError>);

pub async fn run(import: Import) -> Result<ExitCode> {
    let Import { place, file, format, errors } = import;
    let format = match (format, file.extension().and_then(|e| e.to_str())) {
        (Some(format), _) => format,
        (None, Some("csv")) => Format::Csv,
        (None, Some("jsonl" | "ndjson")) => Format::Jsonl,
        _ => bail!("the name does not say how the file is written; add --format csv or jsonl"),
    };
    let (digest, length) = digest(&file)?;
    let offline = Offline::open_to_change(&place).await?;
    let importer = Importer {
        tenant: DEFAULT_TENANT,
        db: &offline.db,
        entropy: &offline.entropy,
        digest: &digest,
    };
    let mut progress = importer.progress().await?;
    if progress.lines > 0 {
        say(&format!("this file was begun before; going on after {} records", progress.lines));
    }
    let errors = errors.unwrap_or_else(|| beside(&file));
    let mut report = Report { path: errors, file: None, shown: 0 };
    let mut records = Records::open(&file, format)?;
    let done = usize::try_from(progress.lines)?;
    for _ in 0..done {
        ensure!(records.next()?.is_some(), "the file ends before the place it was read to");
    }
    loop {
        let batch = records.take(IMPORT_BATCH)?;
        if batch.is_empty() {
            break;
        }
        let (after, refusals) = importer.batch(&batch, &progress, offline.clock.now()).await?;
        progress = after;
        report.add(&refusals)?;
        show_progress(&progress, records.position()?, length);
    }
    let (imported, refused) = (progress.imported, progress.refused);
    say(&format!("{imported} accounts imported, {refused} records refused"));
    if refused == 0 {
        return Ok(ExitCode::SUCCESS);
    }
    say(&format!("what is wrong with them is in {}", report.path.display()));
    Ok(ExitCode::from(SOME_REFUSED))
}

fn digest(file: &Path) -> Result<(String, u64)> {
    let mut reader = File::open(file).with_context(|| format!("open {}", file.display()))?;
    let (mut context, mut length) = (Digest::new(&SHA256), 0);
    let mut buffer = vec![0; 1 << 16];
    loop {
        match reader.read(&mut buffer)? {
            0 => return Ok((HEXLOWER.encode(context.finish().as_ref()), length)),
            n => {
                context.update(&buffer[..n]);
                length += n as u64;
            }
        }
    }
}

fn beside(file: &Path) -> PathBuf {
    let mut name = file.as_os_str().to_owned();
    name.push(".errors.jsonl");
    name.into()
}

#[expect(clippy::print_stderr, reason = "progress is for whoever watches")]
fn show_progress(progress: &portcullis_store::imports::Progress, position: u64, length: u64) {
    let percent = position.min(length).saturating_mul(100).checked_div(length).unwrap_or(100);
    let end = if std::io::stderr().is_terminal() { "\r" } else { "\n" };
    let (lines, refused) = (progress.lines, progress.refused);
    eprint!("{percent:3} %  {lines} records, {refused} refused{end}");
}

/// Refused records: a few on the screen, all in a file. What was in them is not repeated.
struct Report {
    path: PathBuf,
    file: Option<File>,
    shown: u64,
}

impl Report {
    #[expect(clippy::print_stderr, reason = "mistakes are for whoever watches")]
    fn add(&mut self, refusals: &[Refusal]) -> Result<()> {
        for Refusal { line, problems } in refusals {
            for FieldError { field, message } in problems {
                if self.shown < SHOWN {
                    eprintln!("line {line}: {field} {message}");
                    self.shown += 1;
                }
                let row = json!({ "line": line, "field": field, "message": message });
                writeln!(self.file()?, "{row}")?;
            }
        }
        Ok(())
    }

    fn file(&mut self) -> Result<&mut File> {
        if self.file.is_none() {
            let opened = OpenOptions::new().append(true).create(true).open(&self.path);
            self.file = Some(opened.with_context(|| format!("open {}", self.path.display()))?);
        }
        self.file.as_mut().context("the file with the errors")
    }
}

/// A file that is read only so far from one record to the next: a quote that is never closed makes
/// the rest of the file one record, which is not to be held in memory.
struct Bounded {
    file: File,
    left: usize,
}

impl Read for Bounded {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let most = buffer.len().min(self.left);
        let read = self.file.read(buffer.get_mut(..most).unwrap_or_default())?;
        if self.left == 0 && !buffer.is_empty() {
            let text = "a record is longer than 1 MiB: is a quote never closed?";
            return Err(std::io::Error::other(text));
        }
        self.left -= read;
        Ok(read)
    }
}

/// Reads records one after the other, in bounded memory.
enum Records {
    Csv { reader: Box<csv::Reader<Bounded>>, header: csv::StringRecord, behind: u64 },
    Jsonl { reader: BufReader<File>, line: u64 },
}

impl Records {
    fn open(path: &Path, format: Format) -> Result<Self> {
        let file = File::open(path)?;
        Ok(match format {
            Format::Jsonl => Self::Jsonl { reader: BufReader::new(file), line: 0 },
            Format::Csv => {
                let file = Bounded { file, left: MAX_CSV_BYTES };
                let mut reader =
                    Box::new(csv::ReaderBuilder::new().flexible(true).from_reader(file));
                let header = reader.headers().context("read the header")?.clone();
                check_header(&header)?;
                // Where lines end with CR LF, the LF is read with the next record.
                let behind = 2_u64.saturating_sub(reader.position().line());
                Self::Csv { reader, header, behind }
            }
        })
    }

    fn take(&mut self, most: usize) -> Result<Vec<Record>> {
        let mut records = Vec::with_capacity(most);
        while records.len() < most {
            match self.next()? {
                Some(record) => records.push(record),
                None => break,
            }
        }
        Ok(records)
    }

    fn next(&mut self) -> Result<Option<Record>> {
        match self {
            Self::Csv { reader, header, behind } => {
                let mut row = csv::StringRecord::new();
                reader.get_mut().left = MAX_CSV_BYTES;
                let line = reader.position().line();
                let read = match reader.read_record(&mut row) {
                    Ok(false) => return Ok(None),
                    Ok(true) if row.len() == header.len() => from_row(header, &row),
                    Ok(true) => {
                        Err(wrong("record", "has another number of fields than the header"))
                    }
                    Err(error) if error.is_io_error() => return Err(error.into()),
                    Err(_) => Err(wrong("record", "is not UTF-8")),
                };
                let line = row.position().map_or(line, csv::Position::line);
                Ok(Some((line + *behind, read)))
            }
            Self::Jsonl { reader, line } => loop {
                let mut text = Vec::new();
                let limit = MAX_RECORD_BYTES as u64 + 1;
                if reader.by_ref().take(limit).read_until(b'\n', &mut text)? == 0 {
                    return Ok(None);
                }
                *line += 1;
                if text.len() > MAX_RECORD_BYTES {
                    reader.skip_until(b'\n')?;
                    return Ok(Some((*line, Err(wrong("record", "is longer than 64 KiB")))));
                }
                if text.trim_ascii().is_empty() {
                    continue;
                }
                let read = portcullis_jose::from_slice_strict(&text);
                let read = read.map_err(|_| {
                    wrong("record", "is not a JSON object with the known members, each once")
                });
                return Ok(Some((*line, read)));
            },
        }
    }

    /// How many bytes of the file are read.
    fn position(&mut self) -> Result<u64> {
        Ok(match self {
            Self::Csv { reader, .. } if reader.is_done() => u64::MAX,
            Self::Csv { reader, .. } => reader.position().byte(),
            Self::Jsonl { reader, .. } => reader.stream_position()?,
        })
    }
}

const COLUMNS: [&str; 9] = [
    "username",
    "email",
    "email_verified",
    "display_name",
    "password_hash",
    "roles",
    "groups",
    "locale",
    "disabled",
];

fn check_header(header: &csv::StringRecord) -> Result<()> {
    for (place, name) in header.iter().enumerate() {
        ensure!(COLUMNS.contains(&name), "the column {place} is none of {}", COLUMNS.join(", "));
        ensure!(!header.iter().take(place).any(|other| other == name), "{name} is there twice");
    }
    for needed in ["username", "email"] {
        ensure!(header.iter().any(|name| name == needed), "there is no column {needed}");
    }
    Ok(())
}

/// Roles and groups are separated by `;`.
fn from_row(
    header: &csv::StringRecord,
    row: &csv::StringRecord,
) -> Result<ImportRecord, FieldError> {
    let mut record = ImportRecord::default();
    for (name, value) in header.iter().zip(row) {
        let text = || Some(value.to_owned()).filter(|value| !value.is_empty());
        let list = || value.split_terminator(';').map(|item| item.trim().to_owned()).collect();
        match name {
            "username" => value.clone_into(&mut record.username),
            "email" => value.clone_into(&mut record.email),
            "email_verified" => record.email_verified = truth("email_verified", value)?,
            "display_name" => record.display_name = text(),
            "password_hash" => record.password_hash = text(),
            "roles" => record.roles = list(),
            "groups" => record.groups = list(),
            "locale" => record.locale = text(),
            _ => record.disabled = truth("disabled", value)?.unwrap_or(false),
        }
    }
    Ok(record)
}

fn truth(field: &'static str, value: &str) -> Result<Option<bool>, FieldError> {
    match value {
        "" => Ok(None),
        "true" | "1" => Ok(Some(true)),
        "false" | "0" => Ok(Some(false)),
        _ => Err(wrong(field, "must be true or false")),
    }
}

fn wrong(field: &'static str, message: &str) -> FieldError {
    FieldError { field, message: message.to_owned() }
}
