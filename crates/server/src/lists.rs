//! Lists to screen against, in the data directory.
//!
//! `screening/NAME/VERSION/` holds the entities of one version, one on each line, and what is known about it
//! (`list.json`); `screening/NAME/current` names the version that is used. A version is written in a place of
//! its own and becomes the current one by renaming one file, so whoever reads has the old one or the new one.

use std::{
    collections::HashMap,
    fs::{self, File},
    io::{self, BufReader, Write},
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, ensure};
use aws_lc_rs::digest;
use data_encoding::HEXLOWER;
use portcullis_screening::import::Listed;
use portcullis_types::Timestamp;
use serde::{Deserialize, Serialize};

use crate::list_index::{content_hash, each_line};

/// The longest name of a list.
const NAME_MAX_BYTES: usize = 64;

/// A file that says that a list is not used any more.
pub const RETIRED: &str = "retired";

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
                && self.retired_at(&name).is_none()
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

    /// When the list was imported last, also if nothing had changed; RFC 3339.
    pub fn checked(&self, name: &str) -> Option<String> {
        fs::read_to_string(self.directory(name).ok()?.join("checked")).ok()
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

    /// Says since when a list is not used any more. Its files stay.
    pub fn retire(&self, name: &str, when: &str) -> Result<()> {
        let directory = self.directory(name)?;
        fs::create_dir_all(&directory).with_context(|| format!("make {}", directory.display()))?;
        write_synced(&directory.join(RETIRED), when.as_bytes())
    }

    /// Since when a list is not used any more, if somebody said so here.
    pub fn retired_at(&self, name: &str) -> Option<Timestamp> {
        let text = fs::read_to_string(self.directory(name).ok()?.join(RETIRED)).ok()?;
        Timestamp::parse_rfc3339(text.trim()).ok()
    }

    /// What was said here counts no longer: the list was taken up again elsewhere after that.
    pub fn forget_retired(&self, name: &str) -> Result<()> {
        fs::remove_file(self.directory(name)?.join(RETIRED)).context("take the list up again")
    }

    /// Whether a list was imported after a time, also if nothing had changed.
    pub fn imported_since(&self, name: &str, since: Timestamp) -> bool {
        let checked = self.checked(name);
        let checked = checked.and_then(|text| Timestamp::parse_rfc3339(text.trim()).ok());
        checked.is_some_and(|checked| checked > since)
    }

    /// Whether somebody said here that a list is not used any more.
    pub fn is_retired(&self, name: &str) -> bool {
        self.directory(name).is_ok_and(|directory| directory.join(RETIRED).exists())
    }

    /// Whether there is anything of a list.
    pub fn is_there(&self, name: &str) -> bool {
        self.directory(name).is_ok_and(|directory| directory.is_dir())
    }

    /// Where the files of a version are.
    pub fn place(&self, info: &ListInfo) -> Result<PathBuf> {
        Ok(self.directory(&info.name)?.join(&info.version))
    }

    /// Where the files of a list are; its name must be one.
    pub fn directory(&self, name: &str) -> Result<PathBuf> {
        let plain = |byte: u8| {
            byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'-' | b'_')
        };
        // All lists together are called `default`.
        let good = !name.is_empty()
            && name.len() <= NAME_MAX_BYTES
            && name.bytes().all(plain)
            && name != "default";
        ensure!(
            good,
            "`{name}` cannot name a list: 1 to {NAME_MAX_BYTES} small letters, digits, - and _, and not `default`"
        );
        Ok(self.root.join(name))
    }

    /// What tells of each entity of a version whether it is what it was.
    pub fn hashes(&self, info: &ListInfo) -> Result<HashMap<Box<str>, u64>> {
        let mut hashes = HashMap::with_capacity(info.entities);
        self.read(info, |_, listed| {
            let hash = content_hash(&listed);
            hashes.insert(listed.id.into_boxed_str(), hash);
            Ok(())
        })?;
        Ok(hashes)
    }
}

/// `20261128130928-198238b0`.
pub fn is_version(name: &str) -> bool {
    let mut parts = name.split('-');
    let stamp = parts
        .next()
        .is_some_and(|stamp| stamp.len() == 14 && stamp.bytes().all(|byte| byte.is_ascii_digit()));
    stamp && parts.all(|part| part.len() <= 8 && part.bytes().all(|byte| byte.is_ascii_hexdigit()))
}

pub fn write_synced(path: &Path, bytes: &[u8]) -> Result<()> {
    let mut file = File::create(path).with_context(|| format!("write {}", path.display()))?;
    file.write_all(bytes)?;
    file.sync_all()?;
    Ok(())
}
