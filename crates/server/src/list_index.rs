//! A version of a list that is searched by its index. Each entity that may be a hit is read from the list and
//! checked by a sum that the index has of it.

use std::{
    collections::HashMap,
    fs::File,
    io::BufRead,
    os::unix::fs::FileExt,
    sync::{Mutex, OnceLock, PoisonError},
};

use anyhow::{Context, Result, ensure};
use aws_lc_rs::digest;
use portcullis_events::ListUsed;
use portcullis_screening::{
    Entity,
    import::Listed,
    index::{Found, Index, Search},
};
use portcullis_verification::{Changes, ListError, ListHit, ListVersion, ScreeningList, Wanted};

use crate::{
    index_files,
    lists::{ListInfo, Lists},
};

/// The longest line of an entity that is read.
const LINE_MAX_BYTES: u32 = 64 << 20;

/// What is new is only worth an index of its own while it is a small part of a list.
const CHANGES_MAX_SHARE: usize = 4;

/// A version of a list that can be searched.
pub struct IndexedList {
    lists: Lists,
    info: ListInfo,
    version: ListVersion,
    index: Index,
    entities: File,
    /// Hashes of identifiers with the numbers of their entities, in order; made when somebody asks first.
    identifiers: OnceLock<Vec<(u64, u32)>>,
    /// Held by whoever makes it: the others wait rather than make it too.
    making: Mutex<()>,
}

impl IndexedList {
    /// Opens a version, and makes its index if there is none that can be used.
    pub fn open(lists: &Lists, info: ListInfo) -> Result<Self> {
        let place = lists.place(&info)?;
        let index = match index_files::opened(&place, &info) {
            Ok(index) => index,
            Err(_) => index_files::rebuilt(lists, &info, &place)?,
        };
        ensure!(
            index.len() == info.entities,
            "the index of the list {} has another number of entities: import it again",
            info.name
        );
        let entities = place.join("entities.jsonl");
        let entities =
            File::open(&entities).with_context(|| format!("open {}", entities.display()))?;
        let version = version(&info);
        Ok(Self {
            lists: lists.clone(),
            info,
            version,
            index,
            entities,
            identifiers: OnceLock::new(),
            making: Mutex::default(),
        })
    }

    fn hits(
        &self,
        subject: &Entity,
        search: Search<'_>,
        wanted: Wanted<'_>,
    ) -> Result<Vec<ListHit>> {
        let mut ids = HashMap::new();
        let found = self.index.search(subject, search, |number| {
            let Listed { id, entity } = self.listed(number)?;
            if !wanted(&id, &entity) {
                return anyhow::Ok(None);
            }
            ids.insert(number, id);
            Ok(Some(entity))
        })?;
        let hit =
            |found: Found| ListHit { id: ids.remove(&found.entity).unwrap_or_default(), found };
        Ok(found.into_iter().map(hit).collect())
    }

    fn by_identifier(&self, id: &str) -> Result<Option<Entity>> {
        let (known, hash) = (self.identifiers()?, short_hash(id.as_bytes()));
        let first = known.partition_point(|(own, _)| *own < hash);
        for (_, number) in known[first..].iter().take_while(|(own, _)| *own == hash) {
            let listed = self.listed(*number)?;
            if listed.id == id {
                return Ok(Some(listed.entity));
            }
        }
        Ok(None)
    }

    fn identifiers(&self) -> Result<&[(u64, u32)]> {
        if self.identifiers.get().is_none() {
            let _making = self.making.lock().unwrap_or_else(PoisonError::into_inner);
            if self.identifiers.get().is_none() {
                let mut known = Vec::with_capacity(self.index.len());
                self.lists.read(&self.info, |_, listed| {
                    known.push((short_hash(listed.id.as_bytes()), u32::try_from(known.len())?));
                    Ok(())
                })?;
                known.sort_unstable();
                let _ = self.identifiers.set(known);
            }
        }
        self.identifiers.get().map(Vec::as_slice).context("they were just made")
    }

    fn changes(&self, digest: &str) -> Result<Option<Changes>> {
        let Some(before) = self.lists.with_digest(&self.info.name, digest)? else {
            return Ok(None);
        };
        // One that cannot be read any more is as good as gone.
        let Ok(mut hashes) = self.lists.hashes(&before) else { return Ok(None) };
        let mut changed = Vec::new();
        let enough = self.info.entities / CHANGES_MAX_SHARE;
        self.lists.read(&self.info, |_, listed| {
            let same = hashes.remove(listed.id.as_str()) == Some(content_hash(&listed));
            // One more tells that there are too many.
            if !same && changed.len() <= enough {
                changed.push(listed);
            }
            Ok(())
        })?;
        let removed = hashes.into_keys().map(String::from).collect();
        Ok((changed.len() <= enough).then_some(Changes { changed, removed }))
    }

    fn listed(&self, entity: u32) -> Result<Listed> {
        let name = &self.info.name;
        let damaged = || format!("the list {name} is not what was imported: import it again");
        let place = self.index.place(entity).with_context(damaged)?;
        ensure!(place.length <= LINE_MAX_BYTES, damaged());
        let mut line = vec![0; place.length as usize];
        self.entities.read_exact_at(&mut line, place.offset).with_context(damaged)?;
        ensure!(short_hash(&line) == place.check, damaged());
        serde_json::from_slice(&line).with_context(damaged)
    }
}

impl ScreeningList for IndexedList {
    fn version(&self) -> &ListVersion {
        &self.version
    }

    fn search(
        &self,
        subject: &Entity,
        search: Search<'_>,
        wanted: Wanted<'_>,
    ) -> Result<Vec<ListHit>, ListError> {
        self.hits(subject, search, wanted).map_err(|error| told(&error))
    }

    fn changes_since(&self, digest: &str) -> Result<Option<Changes>, ListError> {
        self.changes(digest).map_err(|error| told(&error))
    }

    fn entity(&self, id: &str) -> Result<Option<Entity>, ListError> {
        self.by_identifier(id).map_err(|error| told(&error))
    }
}

fn told(error: &anyhow::Error) -> ListError {
    ListError(format!("{error:#}"))
}

/// What is told of a version.
fn version(info: &ListInfo) -> ListVersion {
    let info = info.clone();
    ListVersion {
        used: ListUsed { name: info.name, version: info.version, digest: info.digest },
        source: info.source,
        format: info.format,
        imported: info.imported,
        published: info.published,
        entities: info.entities,
        added: info.added,
        changed: info.changed,
        removed: info.removed,
        skipped: info.skipped,
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

/// What tells that an entity is what it was, in whatever order its publisher writes it.
pub fn content_hash(listed: &Listed) -> u64 {
    let mut hash = digest::Context::new(&digest::SHA256);
    let mut add = |text: &str| {
        hash.update(&(text.len() as u64).to_be_bytes());
        hash.update(text.as_bytes());
    };
    add(&listed.id);
    add(listed.entity.schema.name());
    for (property, values) in &listed.entity.properties {
        let mut values: Vec<&String> = values.iter().collect();
        values.sort_unstable();
        add(property);
        add(&values.len().to_string());
        values.into_iter().for_each(|value| add(value));
    }
    let hash = hash.finish();
    hash.as_ref().first_chunk().map_or(0, |bytes| u64::from_be_bytes(*bytes))
}
