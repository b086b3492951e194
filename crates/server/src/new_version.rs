//! A new version of a list, written beside the one that is used.

use std::{
    collections::HashMap,
    fs::{self, File, TryLockError},
    io::{BufWriter, Write},
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, bail, ensure};
use aws_lc_rs::digest;
use data_encoding::HEXLOWER;
use portcullis_screening::import::{Listed, Report};

use crate::{
    index_files::Making,
    list_index::content_hash,
    lists::{ListInfo, Lists, is_version, write_synced},
};

/// Properties that entities of OpenSanctions get from others that refer to them.
const OF_OTHERS: [&str; 7] =
    ["passportNumber", "idNumber", "publicKey", "currency", "address", "program", "programId"];

/// A share of a list that may vanish with a new version before somebody must say that this is meant.
const REMOVED_MAX_SHARE: f64 = 0.2;

/// Versions that are kept beside the current one, to go back to.
const KEEP_VERSIONS: usize = 2;

/// What an import did.
pub enum Outcome {
    /// The list is what it was.
    Unchanged(Box<ListInfo>),
    /// There is a new version.
    New(Box<ListInfo>),
}

impl Lists {
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
        let index = match &before {
            Some((info, _)) => Making::after(Some((&self.place(info)?, info))),
            None => Making::after(None),
        };
        Ok(NewVersion {
            lists: self,
            name: name.to_owned(),
            directory,
            building,
            output,
            index,
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
    index: Making,
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
    pub fn add(&mut self, listed: Listed) -> Result<()> {
        let mut line = serde_json::to_vec(&listed)?;
        line.push(b'\n');
        self.hash.update(&line);
        self.output.write_all(&line)?;
        self.entities += 1;
        self.values += listed.entity.properties.values().map(Vec::len).sum::<usize>();
        if let Some((_, before)) = &mut self.before {
            match before.remove(listed.id.as_str()) {
                None => self.added += 1,
                Some(hash) if hash != content_hash(&listed) => self.changed += 1,
                Some(_) => {}
            }
        } else {
            self.added += 1;
        }
        self.index.add(&line, listed.entity)
    }

    /// Writes what a list has after changes of it.
    pub fn apply(&mut self, mut changes: HashMap<String, Option<Listed>>) -> Result<()> {
        let Some(info) = self.before.as_ref().map(|(info, _)| info.clone()) else {
            bail!("the list {} is not there yet: import all of it first", self.name);
        };
        let lists = self.lists;
        lists.read(&info, |_, listed| match changes.remove(&listed.id) {
            None => self.add(listed),
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
                self.add(changed)
            }
            Some(None) => Ok(()),
        })?;
        let mut rest: Vec<Listed> = changes.into_values().flatten().collect();
        rest.sort_by(|a, b| a.id.cmp(&b.id));
        rest.into_iter().try_for_each(|listed| self.add(listed))
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
                self.note_checked(&origin.imported)?;
                self.take_up()?;
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
            version: self.free_version(&format!("{}-{}", self.stamp(&origin.stamp), &digest[..8])),
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
        let index = std::mem::replace(&mut self.index, Making::after(None));
        index.finish(&self.building, &info.digest)?;
        self.publish(&info)?;
        self.note_checked(&info.imported)?;
        Ok(Outcome::New(Box::new(info)))
    }

    /// A list that was retired is used again once it is imported.
    fn take_up(&self) -> Result<()> {
        if self.lists.is_retired(&self.name) {
            self.lists.forget_retired(&self.name)?;
        }
        Ok(())
    }

    fn note_checked(&self, when: &str) -> Result<()> {
        write_synced(&self.directory.join("checked"), when.as_bytes())
    }

    /// The time in digits, or the next number where the clock was ahead when the version before was made: who
    /// follows the list takes what is higher for newer.
    fn stamp(&self, now: &str) -> String {
        let known = self.before.as_ref().map(|(info, _)| &info.version);
        let known =
            known.or(self.broken.as_ref().and_then(|one| Some(&one.info.as_ref()?.version)));
        let before = known.and_then(|version| version.get(..14)?.parse::<u64>().ok());
        match before {
            Some(before) if now.parse::<u64>().is_ok_and(|now| now <= before) => {
                format!("{:014}", before + 1)
            }
            _ => now.to_owned(),
        }
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
        File::open(&self.building)?.sync_all()?;
        let place = self.directory.join(&info.version);
        fs::rename(&self.building, &place)
            .with_context(|| format!("move the version to {}", place.display()))?;
        let pointer = self.directory.join("current.new");
        write_synced(&pointer, info.version.as_bytes())?;
        fs::rename(&pointer, self.directory.join("current"))
            .context("make the version the current one")?;
        self.take_up()?;
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
