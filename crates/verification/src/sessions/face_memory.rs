//! Faces in memory: read as they come, and searched one by one, so that whoever is there is found. Whether they still are
//! is asked of the database each time, so that whoever was erased is found by no node any more.

use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, PoisonError, RwLock},
};

use portcullis_biometrics::{FaceIndex, Hit, Template};
use portcullis_store::idv::faces::{self, FaceRow, FoundRow};
use portcullis_types::{Id, tags};
use serde_json::json;
use tokio::sync::Mutex;

use super::{SessionError, Sessions, faces::FaceFound};
use crate::checks::CheckError;

/// Faces that are read at once.
const READ: i64 = 2_000;
/// How often a search is done again since some that it found are there no more.
const ROUNDS_MAX: usize = 20;

/// The faces of one model, in memory.
#[derive(Default)]
pub(super) struct FacesLoaded {
    /// Held by whoever reads more of them.
    reading: Mutex<Read>,
    index: RwLock<Option<FaceIndex>>,
}

/// Up to where they were read.
#[derive(Default)]
struct Read {
    model: String,
    number: i64,
    /// How many could not be opened.
    unread: i64,
}

impl Sessions {
    /// The faces nearest to one that count, at most so many.
    pub(super) async fn find_faces(
        &self,
        template: &Template,
        most: usize,
        counts: impl Fn(&FoundRow) -> bool,
    ) -> Result<Vec<FaceFound>, SessionError> {
        let Some(from) = self.checks.faces().and_then(|models| models.search_from()) else {
            return Ok(Vec::new());
        };
        self.read_faces(template.dimensions()).await?;
        let mut wanted = most;
        for _ in 0..ROUNDS_MAX {
            let hits = self.scan(template.clone(), from, wanted).await?;
            let ids: Vec<String> = hits.iter().map(|hit| face_id(hit.id).to_string()).collect();
            let ids = json!(ids).to_string();
            let rows = faces::still(&self.db, &self.tenant, &ids, self.now()).await?;
            let mut rows: HashMap<u128, FoundRow> =
                rows.into_iter().map(|row| (row.id.bits(), row)).collect();
            let gone: Vec<u128> =
                hits.iter().map(|hit| hit.id).filter(|id| !rows.contains_key(id)).collect();
            self.forget(gone).await?;
            let all = hits.len() < wanted;
            let found: Vec<FaceFound> = hits
                .into_iter()
                .filter_map(|Hit { id, score }| Some(FaceFound { score, row: rows.remove(&id)? }))
                .filter(|one| counts(&one.row))
                .take(most)
                .collect();
            if all || found.len() == most {
                return Ok(found);
            }
            wanted *= 2;
        }
        // So many of one person that nobody else can be found.
        Err(SessionError::Check(CheckError::Busy))
    }

    /// Reads the faces that came since the last time.
    async fn read_faces(&self, dimensions: usize) -> Result<(), SessionError> {
        let Some(model) = self.face_model() else { return Ok(()) };
        let loaded = &self.inner().faces;
        let mut read = loaded.reading.lock().await;
        if read.model != model {
            *read = Read { model, number: 0, unread: 0 };
            *write(&loaded.index) = Some(FaceIndex::new(dimensions));
        }
        loop {
            let rows = faces::after(&self.db, &self.tenant, &read.model, read.number, READ).await?;
            let Some(last) = rows.last().map(|row| row.number) else { return Ok(()) };
            let (sessions, loaded, count) = (self.clone(), loaded.clone(), rows.len());
            let unread = self.checks.on_core(move || sessions.insert_faces(&loaded, &rows)).await?;
            // Not before: whoever hung up meanwhile has them read again.
            read.number = last;
            read.unread += unread;
            if count < usize::try_from(READ).unwrap_or(usize::MAX) {
                return Ok(());
            }
        }
    }

    /// Puts faces into memory; how many could not be opened.
    fn insert_faces(&self, loaded: &FacesLoaded, rows: &[FaceRow]) -> i64 {
        let (mut opened, mut unread) = (Vec::with_capacity(rows.len()), 0);
        for row in rows {
            match self.opened(row.id, &row.sealed) {
                Ok(template) => opened.push((row.id.bits(), template)),
                // One that cannot be read keeps nobody from finding the others.
                Err(error) => {
                    tracing::warn!(face = row.id.to_string(), %error, "a face cannot be read");
                    unread += 1;
                }
            }
        }
        if let Some(index) = &mut *write(&loaded.index) {
            for (id, template) in &opened {
                index.insert(*id, template);
            }
        }
        unread
    }

    /// Takes out of memory whoever is kept no more. What a search meets is taken out by it; this is for whom nobody
    /// looks.
    pub async fn sweep_faces(&self) -> Result<(), SessionError> {
        let loaded = &self.inner().faces;
        let mut read = loaded.reading.lock().await;
        if read.number == 0 {
            return Ok(());
        }
        let there = faces::count(&self.db, &self.tenant, &read.model, read.number).await?;
        let held = held(loaded);
        let held_now = i64::try_from(held).unwrap_or(i64::MAX);
        if held_now < there - read.unread {
            // Some are missing, for whatever reason: the next search reads them all once more.
            (read.number, read.unread) = (0, 0);
        }
        if held_now <= there - read.unread {
            return Ok(());
        }
        let (mut left, mut after) = (HashSet::with_capacity(held), 0);
        loop {
            let rows =
                faces::numbers(&self.db, &self.tenant, &read.model, (after, read.number)).await?;
            let Some(last) = rows.last() else { break };
            after = last.number;
            left.extend(rows.iter().map(|row| row.id.bits()));
        }
        let loaded = loaded.clone();
        let sweep = move || {
            if let Some(index) = &mut *write(&loaded.index) {
                index.retain(|id| left.contains(&id));
            }
        };
        Ok(self.checks.on_core(sweep).await?)
    }

    async fn scan(
        &self,
        template: Template,
        from: f64,
        most: usize,
    ) -> Result<Vec<Hit>, SessionError> {
        let loaded: Arc<FacesLoaded> = self.inner().faces.clone();
        let hits = self.checks.on_core(move || {
            let index = loaded.index.read().unwrap_or_else(PoisonError::into_inner);
            index.as_ref().map_or_else(Vec::new, |index| index.search(&template, from, most))
        });
        Ok(hits.await?)
    }

    async fn forget(&self, gone: Vec<u128>) -> Result<(), SessionError> {
        if gone.is_empty() {
            return Ok(());
        }
        let loaded = self.inner().faces.clone();
        let forget = move || {
            if let Some(index) = &mut *write(&loaded.index) {
                for id in gone {
                    index.remove(id);
                }
            }
        };
        Ok(self.checks.on_core(forget).await?)
    }
}

/// How many faces are in memory.
fn held(loaded: &FacesLoaded) -> usize {
    let index = loaded.index.read().unwrap_or_else(PoisonError::into_inner);
    index.as_ref().map_or(0, FaceIndex::len)
}

fn write<T>(lock: &RwLock<T>) -> std::sync::RwLockWriteGuard<'_, T> {
    lock.write().unwrap_or_else(PoisonError::into_inner)
}

fn face_id(bits: u128) -> Id<tags::Face> {
    Id::from_bits(bits)
}
