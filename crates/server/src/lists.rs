//! Lists to screen against, in the data directory.
//!
//! `screening/NAME/VERSION/` holds the entities of one version, one on each line, and what is known about it
//! (`list.json`); `screening/NAME/current` names the version that is used. A version is written in a place of
//! its own and becomes the current one by renaming one file, so whoever reads has the old one or the new one.

use std::{
    collections::HashMap,
    fs::{self, File, TryLockError},
    io::{self, BufRead, BufReader, BufWriter, Write},
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, bail, ensure};
use aws_lc_rs::digest;
use data_encoding::HEXLOWER;
use portcullis_screening::import::{Listed, Report};
use serde::{Deserialize, Serialize};

use crate::list_index;

/// The longest name of a list.
const NAME_MAX_BYTES: usize = 64;

/// Versions that are kept beside the current one, to go back to.
const KEEP_VERSIONS: usize = 2;

/// Properties that entities of OpenSanctions get from others that refer to them.
const OF_OTHERS: [&str; 7] =
    ["passportNumber", "idNumber", "publicKey", "currency", "address", "program", "programId"];

/// A share of a list that may vanish with a new version before somebody must say that this is meant.
const REMOVED_MAX_SHARE: f64 = 0.2;

/// What is known about a version of a list.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ListInfo {
    /// The name of the list here.
    pub name: String,
    /// The version: when it was imported, and the beginning of the digest.
    pub version: String,
    /// Where it came from.
    pub source: String,
    /// The format in which it came.
    pub format: String,
    /// When it was imported, RFC 3339.
    pub imported: String,
    /// When its publisher made it, as it says.
    pub published: Option<String>,
    /// SHA-256 of the entities as they are kept, in hexadecimal digits.
    pub digest: String,
    /// How many entities it has.
    pub entities: usize,
    /// Records that were malformed and skipped.
    pub skipped: usize,
    /// Entities that the version before did not have.
    pub added: usize,
    /// Entities that are not what they were.
    pub changed: usize,
    /// Entities that only the version before has.
    pub removed: usize,
    /// Values of all properties of all entities, to see when many are gone.
    pub values: usize,
}

/// All lists of a data directory.
#[derive(Clone)]
pub struct Lists {
    root: PathBuf,
}

/// What an import did.
pub enum Outcome {
    /// The list is what it was.
    Unchanged(Box<ListInfo>),
    /// There is a new version.
    New(Box<ListInfo>),
}

impl Lists {
    /// The lists of a data directory.
    pub fn of(data: &Path) -> Self {
        Self { root: data.join("screening") }
    }

    /// The names of the lists, in order.
    pub fn names(&self) -> Result<Vec<String>> {
        let mut names = Vec::new();
        let entries = match fs::read_dir(&self.root) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(names),
            Err(error) => return Err(error).context("read the lists"),
        };
        for entry in entries {
            let entry = entry?;
            // A list that has lost its pointer is a list: who screens against it must be told.
            let name = entry.file_name().into_string().unwrap_or_default();
            let has_version = || {
                fs::read_dir(entry.path()).is_ok_and(|inside| {
                    inside
                        .flatten()
                        .any(|version| is_version(&version.file_name().to_string_lossy()))
                })
            };
            if self.directory(&name).is_ok()
                && (entry.path().join("current").is_file() || has_version())
            {
                names.push(name);
            }
        }
        names.sort();
        Ok(names)
    }

    /// The current version of a list.
    pub fn current(&self, name: &str) -> Result<Option<ListInfo>> {
        let directory = self.directory(name)?;
        let version = match fs::read_to_string(directory.join("current")) {
            Ok(version) => version,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => {
                return Err(error).with_context(|| format!("read the version of the list {name}"));
            }
        };
        let text = fs::read_to_string(directory.join(version.trim()).join("list.json"))
            .with_context(|| format!("read version {version} of the list {name}"))?;
        let info: ListInfo = serde_json::from_str(&text)
            .with_context(|| format!("version {version} of the list {name}"))?;
        ensure!(
            info.name == name && info.version == version.trim(),
            "the list {name} holds version {} of {}: it was copied or renamed",
            info.version,
            info.name
        );
        Ok(Some(info))
    }

    /// The version of a list with this digest, if it is still there.
    pub fn with_digest(&self, name: &str, digest: &str) -> Result<Option<ListInfo>> {
        let directory = self.directory(name)?;
        for entry in fs::read_dir(&directory).context("read the versions of the list")? {
            let path = entry?.path().join("list.json");
            let text = fs::read_to_string(&path).unwrap_or_default();
            let info = serde_json::from_str::<ListInfo>(&text).ok();
            if let Some(info) = info.filter(|info| info.digest == digest) {
                return Ok(Some(info));
            }
        }
        Ok(None)
    }

    /// Hands every entity of a version to `each`. Its digest is known at the end: on an error, what was handed
    /// on must not be used.
    pub fn read(
        &self,
        info: &ListInfo,
        mut each: impl FnMut(&[u8], Listed) -> Result<()>,
    ) -> Result<()> {
        let path = self.place(info)?.join("entities.jsonl");
        let shown = path.display();
        let input = BufReader::new(File::open(&path).with_context(|| format!("open {shown}"))?);
        let mut hash = digest::Context::new(&digest::SHA256);
        each_line(input, |line| {
            hash.update(line);
            each(line, serde_json::from_slice(line).with_context(|| format!("{shown} is damaged"))?)
        })?;
        ensure!(
            HEXLOWER.encode(hash.finish().as_ref()) == info.digest,
            "{shown} is not what was imported: import it again"
        );
        Ok(())
    }

    /// Where the files of a version are.
    pub fn place(&self, info: &ListInfo) -> Result<PathBuf> {
        Ok(self.directory(&info.name)?.join(&info.version))
    }

    fn directory(&self, name: &str) -> Result<PathBuf> {
        let plain = |byte: u8| {
            byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'-' | b'_')
        };
        let good = !name.is_empty() && name.len() <= NAME_MAX_BYTES && name.bytes().all(plain);
        ensure!(
            good,
            "`{name}` cannot name a list: 1 to {NAME_MAX_BYTES} small letters, digits, - and _"
        );
        Ok(self.root.join(name))
    }

    /// Begins a new version.
    pub fn begin(&self, name: &str, unique: &str) -> Result<NewVersion<'_>> {
        let directory = self.directory(name)?;
        fs::create_dir_all(&directory).with_context(|| format!("make {}", directory.display()))?;
        let lock = File::create(directory.join("lock")).context("make the lock of the list")?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => bail!("another import of the list {name} is running"),
            Err(TryLockError::Error(error)) => return Err(error).context("lock the list"),
        }
        remove_half_done(&directory)?;
        // A version that cannot be read any more must not stand in the way of a good one.
        let known = self.current(name);
        let (before, broken) = match known {
            Ok(None) => (None, None),
            Ok(Some(info)) => match self.hashes(&info) {
                Ok(hashes) => (Some((info, hashes)), None),
                Err(error) => {
                    (None, Some(Broken { reason: format!("{error:#}"), info: Some(info) }))
                }
            },
            Err(error) => (None, Some(Broken { reason: format!("{error:#}"), info: None })),
        };
        let building = directory.join(format!("new-{unique}"));
        fs::create_dir(&building).with_context(|| format!("make {}", building.display()))?;
        let output = BufWriter::new(File::create(building.join("entities.jsonl"))?);
        Ok(NewVersion {
            lists: self,
            name: name.to_owned(),
            directory,
            building,
            output,
            hash: digest::Context::new(&digest::SHA256),
            unique: unique.to_owned(),
            _lock: lock,
            before,
            broken,
            values: 0,
            added: 0,
            changed: 0,
            entities: 0,
        })
    }

    /// What tells of each entity of a version whether it is what it was.
    pub fn hashes(&self, info: &ListInfo) -> Result<HashMap<Box<str>, u64>> {
        let mut hashes = HashMap::with_capacity(info.entities);
        self.read(info, |line, listed| {
            hashes.insert(listed.id.into_boxed_str(), short_hash(line));
            Ok(())
        })?;
        Ok(hashes)
    }
}

/// Hands each line on, with its end.
pub fn each_line(mut input: impl BufRead, mut each: impl FnMut(&[u8]) -> Result<()>) -> Result<()> {
    let mut line = Vec::new();
    while input.read_until(b'\n', &mut line)? > 0 {
        each(&line)?;
        line.clear();
    }
    Ok(())
}

/// What tells that a line is what it was.
pub fn short_hash(line: &[u8]) -> u64 {
    let hash = digest::digest(&digest::SHA256, line);
    hash.as_ref().first_chunk().map_or(0, |bytes| u64::from_be_bytes(*bytes))
}

/// The version before, which cannot be compared.
pub struct Broken {
    /// Why not.
    pub reason: String,
    /// What is known about it, if that can be read.
    info: Option<ListInfo>,
}

/// A version that is being written.
pub struct NewVersion<'l> {
    lists: &'l Lists,
    name: String,
    directory: PathBuf,
    building: PathBuf,
    output: BufWriter<File>,
    hash: digest::Context,
    unique: String,
    /// Held until this is gone.
    _lock: File,
    before: Option<(ListInfo, HashMap<Box<str>, u64>)>,
    /// Why the version before could not be compared.
    pub broken: Option<Broken>,
    values: usize,
    added: usize,
    changed: usize,
    entities: usize,
}

/// How a version came.
pub struct Origin<'o> {
    /// Where from.
    pub source: &'o str,
    /// In which format.
    pub format: &'o str,
    /// When, RFC 3339.
    pub imported: String,
    /// For the name of the version: the same time in digits.
    pub stamp: String,
    /// Whether much of the list may be gone.
    pub allow_removals: bool,
}

impl NewVersion<'_> {
    /// Writes an entity.
    pub fn add(&mut self, listed: &Listed) -> Result<()> {
        let mut line = serde_json::to_vec(listed)?;
        line.push(b'\n');
        self.hash.update(&line);
        self.output.write_all(&line)?;
        self.entities += 1;
        self.values += listed.entity.properties.values().map(Vec::len).sum::<usize>();
        if let Some((_, before)) = &mut self.before {
            match before.remove(listed.id.as_str()) {
                None => self.added += 1,
                Some(hash) if hash != short_hash(&line) => self.changed += 1,
                Some(_) => {}
            }
        } else {
            self.added += 1;
        }
        Ok(())
    }

    /// Writes what a list has after changes of it.
    pub fn apply(&mut self, mut changes: HashMap<String, Option<Listed>>) -> Result<()> {
        let Some(info) = self.before.as_ref().map(|(info, _)| info.clone()) else {
            bail!("the list {} is not there yet: import all of it first", self.name);
        };
        let lists = self.lists;
        lists.read(&info, |_, listed| match changes.remove(&listed.id) {
            None => self.add(&listed),
            Some(Some(mut changed)) => {
                // What others say of it, such as its passports, does not come with it: it is kept until the
                // whole list is read again.
                for property in OF_OTHERS {
                    listed
                        .entity
                        .get(property)
                        .iter()
                        .for_each(|value| changed.entity.add(property, value));
                }
                self.add(&changed)
            }
            Some(None) => Ok(()),
        })?;
        let mut rest: Vec<Listed> = changes.into_values().flatten().collect();
        rest.sort_by(|a, b| a.id.cmp(&b.id));
        rest.iter().try_for_each(|listed| self.add(listed))
    }

    /// Makes it the current version, unless nothing has changed or too much is gone.
    pub fn finish(mut self, origin: Origin<'_>, report: &Report) -> Result<Outcome> {
        self.output.flush()?;
        self.output.get_ref().sync_all()?;
        let digest = HEXLOWER.encode(self.hash.clone().finish().as_ref());
        let removed = self.before.as_ref().map_or(0, |(_, left)| left.len());
        ensure!(self.entities > 0, "the list has no entity");
        if let Some((before, _)) = &self.before {
            if before.digest == digest {
                return Ok(Outcome::Unchanged(Box::new(before.clone())));
            }
            #[expect(clippy::cast_precision_loss, reason = "a share")]
            let share = removed as f64 / before.entities.max(1) as f64;
            ensure!(
                share <= REMOVED_MAX_SHARE || origin.allow_removals,
                "{removed} of {} entities would be gone; if that is meant, say --allow-removals",
                before.entities
            );
            #[expect(clippy::cast_precision_loss, reason = "a share")]
            let share =
                before.values.saturating_sub(self.values) as f64 / before.values.max(1) as f64;
            ensure!(
                share <= REMOVED_MAX_SHARE || origin.allow_removals,
                "{} of {} values (names, dates, numbers) would be gone; if that is meant, say --allow-removals",
                before.values - self.values,
                before.values
            );
        }
        // What was damaged must not let a list shrink unseen.
        if let Some(broken) = &self.broken {
            let kept = |before: &ListInfo| {
                5 * self.entities >= 4 * before.entities && 5 * self.values >= 4 * before.values
            };
            ensure!(
                origin.allow_removals || broken.info.as_ref().is_some_and(kept),
                "it cannot be told what of the version before would be gone; if this is all of the list, say --allow-removals"
            );
        }
        let info = ListInfo {
            name: self.name.clone(),
            version: self.free_version(&format!("{}-{}", origin.stamp, &digest[..8])),
            source: origin.source.to_owned(),
            format: origin.format.to_owned(),
            imported: origin.imported,
            published: report.published.clone(),
            digest,
            entities: self.entities,
            skipped: report.skipped,
            added: self.added,
            changed: self.changed,
            removed,
            values: self.values,
        };
        list_index::build(
            &self.building.join("entities.jsonl"),
            &info.digest,
            &self.building.join("index"),
        )?;
        self.publish(&info)?;
        Ok(Outcome::New(Box::new(info)))
    }

    /// The same content twice within a second needs another name.
    fn free_version(&self, version: &str) -> String {
        if self.directory.join(version).exists() {
            format!("{version}-{}", &self.unique[..4])
        } else {
            version.to_owned()
        }
    }

    fn publish(&self, info: &ListInfo) -> Result<()> {
        write_synced(
            &self.building.join("list.json"),
            serde_json::to_string_pretty(info)?.as_bytes(),
        )?;
        let place = self.directory.join(&info.version);
        fs::rename(&self.building, &place)
            .with_context(|| format!("move the version to {}", place.display()))?;
        let pointer = self.directory.join("current.new");
        write_synced(&pointer, info.version.as_bytes())?;
        fs::rename(&pointer, self.directory.join("current"))
            .context("make the version the current one")?;
        File::open(&self.directory)?.sync_all()?;
        self.remove_old(&info.version)
    }

    /// Removes versions beyond those that are kept.
    fn remove_old(&self, current: &str) -> Result<()> {
        let names = fs::read_dir(&self.directory)?
            .filter_map(|entry| entry.ok()?.file_name().into_string().ok());
        let mut versions: Vec<String> =
            names.filter(|name| is_version(name) && name != current).collect();
        versions.sort();
        for name in versions.iter().rev().skip(KEEP_VERSIONS) {
            fs::remove_dir_all(self.directory.join(name))
                .with_context(|| format!("remove {name}"))?;
        }
        Ok(())
    }
}

/// `20261128130928-198238b0`.
fn is_version(name: &str) -> bool {
    let mut parts = name.split('-');
    let stamp = parts
        .next()
        .is_some_and(|stamp| stamp.len() == 14 && stamp.bytes().all(|byte| byte.is_ascii_digit()));
    stamp && parts.all(|part| part.len() <= 8 && part.bytes().all(|byte| byte.is_ascii_hexdigit()))
}

/// What imports that were cut off have left.
fn remove_half_done(directory: &Path) -> Result<()> {
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        if entry.file_name().to_string_lossy().starts_with("new-") {
            fs::remove_dir_all(entry.path())
                .with_context(|| format!("remove {}", entry.path().display()))?;
        }
    }
    Ok(())
}

impl Drop for NewVersion<'_> {
    fn drop(&mut self) {
        // It is gone already if it became a version.
        drop(fs::remove_dir_all(&self.building));
    }
}

fn write_synced(path: &Path, bytes: &[u8]) -> Result<()> {
    let mut file = File::create(path).with_context(|| format!("write {}", path.display()))?;
    file.write_all(bytes)?;
    file.sync_all()?;
    Ok(())
}
