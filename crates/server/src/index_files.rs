//! The files of the index of a version of a list, beside its entities, mapped into memory.
//!
//! They are made while the list is imported. The first version gets a whole index (`index`). The next ones have
//! the same file, by another link to it, and beside it one of what is new since (`index-update`), until that is
//! too much. Where a file is missing, damaged, or of another version of this program, a whole index is made again
//! from the entities, which are checked against their digest for that. Files are replaced, never changed: other
//! versions have them too.

use std::{
    fs::{self, File},
    io::{BufReader, BufWriter, Write},
    path::{Path, PathBuf},
    thread,
};

use anyhow::{Context, Result, ensure};
use data_encoding::HEXLOWER;
use portcullis_screening::{
    Entity,
    import::Listed,
    index::{Builders, Index, Place, Update},
};

use crate::{
    list_index::{each_line, short_hash},
    lists::{ListInfo, Lists},
};

/// The index of a version, or of one before it.
const WHOLE: &str = "index";

/// The index of what is new since.
const UPDATE: &str = "index-update";

/// The index of a version, in its place.
pub fn opened(place: &Path, info: &ListInfo) -> Result<Index> {
    let (whole, update) = (place.join(WHOLE), place.join(UPDATE));
    let index = if update.exists() {
        Index::open_updated(mapped(&whole)?, mapped(&update)?)?
    } else {
        Index::open(mapped(&whole)?)?
    };
    ensure!(HEXLOWER.encode(&index.list()) == info.digest, "it is the index of another version");
    Ok(index)
}

fn mapped(path: &Path) -> Result<mmap_guard::FileData> {
    match mmap_guard::map_file(path) {
        Ok(mapped) => Ok(mapped),
        // Somebody has locked it: it is read instead.
        Err(_) => Ok(mmap_guard::FileData::Loaded(fs::read(path)?)),
    }
}

/// Makes the index of a version again. Where it cannot be kept, such as in a directory of somebody else, it is
/// used from memory.
pub fn rebuilt(lists: &Lists, info: &ListInfo, place: &Path) -> Result<Index> {
    let mut making = Making::whole();
    lists.read(info, |line, listed| making.add(line, listed.entity))?;
    let mut bytes = Vec::new();
    making.new.finish().write(list(&info.digest)?, &mut bytes)?;
    let path = place.join(WHOLE);
    let beside = path.with_extension(format!("new-{}", std::process::id()));
    if let Ok(mut file) = File::create_new(&beside) {
        // What is new since another whole index must not be taken with this one: it would be refused.
        let kept = file.write_all(&bytes).and_then(|()| fs::rename(&beside, path));
        match kept {
            Ok(()) => drop(fs::remove_file(place.join(UPDATE))),
            Err(_) => drop(fs::remove_file(&beside)),
        }
    }
    Ok(Index::open(bytes)?)
}

/// The index of a version that is being written.
pub struct Making {
    kind: Kind,
    new: Builders,
    offset: u64,
}

enum Kind {
    /// Of all of it.
    Whole,
    /// Of what is new since another version, whose whole index is there.
    Update(Box<Update>, PathBuf),
    /// So much is new that it is made of all of it at the end.
    Later,
}

impl Making {
    /// Of all of a list.
    fn whole() -> Self {
        let threads = thread::available_parallelism().map_or(1, std::num::NonZero::get);
        Self { kind: Kind::Whole, new: Builders::new(threads), offset: 0 }
    }

    /// Of what is new since a version, if that has an index.
    pub fn after(before: Option<(&Path, &ListInfo)>) -> Self {
        let known = before.and_then(|(place, info)| {
            let update = opened(place, info).ok()?.into_update();
            Some(Kind::Update(Box::new(update), place.join(WHOLE)))
        });
        Self { kind: known.unwrap_or(Kind::Whole), ..Self::whole() }
    }

    /// The next line of the list, with its end, and the entity on it.
    pub fn add(&mut self, line: &[u8], entity: Entity) -> Result<()> {
        let length = u32::try_from(line.len()).context("an entity has more than 4 GiB")?;
        let place = Place { offset: self.offset, length, check: short_hash(line) };
        self.offset += u64::from(length);
        match &mut self.kind {
            Kind::Whole => {}
            Kind::Update(update, _) => {
                if update.keep(place) {
                    return Ok(());
                }
                if update.is_too_much() {
                    (self.kind, self.new) = (Kind::Later, Self::whole().new);
                    return Ok(());
                }
            }
            Kind::Later => return Ok(()),
        }
        self.new.add(entity, place).context("start threads")
    }

    /// Writes the index of a version to where its entities are.
    pub fn finish(self, place: &Path, digest: &str) -> Result<()> {
        match self.kind {
            Kind::Whole => {
                let mut out = created(&place.join(WHOLE))?;
                self.new.finish().write(list(digest)?, &mut out).context("write the index")?;
                synced(out)
            }
            Kind::Update(update, whole) => {
                let path = place.join(UPDATE);
                let mut out = created(&path)?;
                let made = update.write(self.new.finish(), list(digest)?, &mut out);
                if !made.context("write the index")? {
                    fs::remove_file(path)?;
                    return of_file(place, digest);
                }
                synced(out)?;
                let own = place.join(WHOLE);
                // Not every file system has links.
                match fs::hard_link(&whole, &own) {
                    Ok(()) => Ok(()),
                    Err(_) => {
                        fs::copy(&whole, &own).context("copy the index")?;
                        File::open(&own)?.sync_all().context("copy the index")
                    }
                }
            }
            Kind::Later => of_file(place, digest),
        }
    }
}

/// Makes a whole index of the entities in a file, as they were just written.
fn of_file(place: &Path, digest: &str) -> Result<()> {
    let mut making = Making::whole();
    each_line(BufReader::new(File::open(place.join("entities.jsonl"))?), |line| {
        let listed: Listed = serde_json::from_slice(line)?;
        making.add(line, listed.entity)
    })?;
    making.finish(place, digest)
}

fn list(digest: &str) -> Result<[u8; 32]> {
    let list = HEXLOWER.decode(digest.as_bytes())?;
    list.as_slice().try_into().context("the digest of a list is SHA-256")
}

fn created(path: &Path) -> Result<BufWriter<File>> {
    Ok(BufWriter::new(File::create(path).with_context(|| format!("write {}", path.display()))?))
}

fn synced(mut out: BufWriter<File>) -> Result<()> {
    out.flush()?;
    out.get_ref().sync_all().context("write the index")
}
