//! Ongoing monitoring: where a list changes, monitored subjects are compared with what is new in it.
//!
//! What is new is made into an index of its own, through which all monitored subjects go; that takes
//! microseconds for each and touches nobody whom it does not concern. Who was compared is noted batch by batch
//! in the transaction that writes the hits, so a run that is cut off goes on where it was, and of two nodes
//! that do the same batch one is too late and writes nothing. A run that another version overtakes is followed
//! by one over all of the list, since nobody knows any more who was compared with what.

use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, PoisonError},
};

use portcullis_events::Actor;
use portcullis_screening::{
    Entity, Policy,
    index::{Found, Index, IndexBuilder, Place, Search},
};
use portcullis_store::aml::{self, HitRow, ListRow, SubjectRow};
use portcullis_types::{Id, tags};

use super::{
    Aml, AmlError, Changes, ListError, ListHit, ListVersion, ScreenedHit, ScreeningList, Shown,
    Terms, Used, Wanted,
    fate::{Comparing, Fate, Known},
    merge::Merging,
    screen::{Again, now_listed, search},
};

/// Subjects that are read at once.
const BATCH: i64 = 200;
/// Hits that one transaction writes, about: others wait for it.
const WRITES_MAX: usize = 250;

/// What the subjects are compared with.
enum Compared {
    /// With all of the list.
    All(Arc<dyn ScreeningList>),
    /// With what is new in it.
    New(Arc<NewEntities>),
}

/// The entities of a list that are new or not what they were, and the identifiers of those that are gone.
struct NewEntities {
    version: ListVersion,
    index: Option<Index>,
    entities: Vec<(String, Entity)>,
    /// These entities, and those that have left the list.
    concerned: HashSet<String>,
}

impl ScreeningList for NewEntities {
    fn version(&self) -> &ListVersion {
        &self.version
    }

    fn search(
        &self,
        subject: &Entity,
        search: Search<'_>,
        wanted: Wanted<'_>,
    ) -> Result<Vec<ListHit>, ListError> {
        let Some(index) = &self.index else { return Ok(Vec::new()) };
        let damaged = || ListError("the index of what is new is damaged".into());
        let entity = |number: u32| self.entities.get(number as usize).ok_or_else(damaged);
        let load = |number| {
            let (id, entity) = entity(number)?;
            Ok(wanted(id, entity).then(|| entity.clone()))
        };
        let found = index.search(subject, search, load)?;
        let hit = |found: Found| Ok(ListHit { id: entity(found.entity)?.0.clone(), found });
        found.into_iter().map(hit).collect()
    }

    fn changes_since(&self, _: &str) -> Result<Option<Changes>, ListError> {
        Ok(None)
    }

    fn entity(&self, id: &str) -> Result<Option<Entity>, ListError> {
        Ok(self.entities.iter().find(|(own, _)| own == id).map(|(_, entity)| entity.clone()))
    }
}

impl NewEntities {
    fn new(version: ListVersion, changes: Changes) -> Result<Self, ListError> {
        let mut builder = IndexBuilder::default();
        let mut concerned: HashSet<String> = changes.removed.into_iter().collect();
        let mut entities = Vec::with_capacity(changes.changed.len());
        for listed in changes.changed {
            builder.add(&listed.entity, Place::default());
            concerned.insert(listed.id.clone());
            entities.push((listed.id, listed.entity));
        }
        let index = if entities.is_empty() {
            None
        } else {
            let mut bytes = Vec::new();
            builder.write([0; 32], &mut bytes).map_err(|why| ListError(why.to_string()))?;
            Some(Index::open(bytes).map_err(|why| ListError(why.to_string()))?)
        };
        Ok(Self { version, index, entities, concerned })
    }
}

/// A subject, as it was read.
struct Monitored {
    row: SubjectRow,
    subject: Entity,
    terms: Terms,
    policy: Policy,
    known: Vec<HitRow>,
    /// Whether the list is one that the terms want.
    wants: bool,
}

/// A subject that was compared.
struct Done {
    one: Monitored,
    hits: Vec<ScreenedHit>,
    fates: HashMap<String, Fate>,
}

impl Done {
    /// Hits that are written for it, at most.
    fn writes(&self) -> usize {
        self.hits.len() + self.fates.len()
    }
}

/// Subjects that are written in one transaction, and how far it goes.
struct Group<'d> {
    done: &'d [Done],
    unreadable: &'d [Id<tags::AmlSubject>],
    to: &'d str,
}

impl Aml {
    /// Compares whoever is monitored with what lists of this node have that they were not compared with. How
    /// many were concerned. What fails with one list or subject does not keep the others from being looked
    /// after; the first error is told at the end.
    pub async fn monitor(&self) -> Result<usize, AmlError> {
        let mut results = vec![self.end_allowances().await.map(|_| 0)];
        for list in &self.lists().ready {
            results.push(self.follow(list).await);
        }
        results.push(self.recheck().await);
        if let Some(webhooks) = self.inner().told.get() {
            webhooks.wake();
        }
        results.into_iter().sum()
    }

    async fn follow(&self, list: &Arc<dyn ScreeningList>) -> Result<usize, AmlError> {
        let used = &list.version().used;
        let Some(mut row) = self.begin(list).await? else { return Ok(0) };
        let compared = self.compared(list, &row).await?;
        let mut concerned = 0;
        loop {
            let batch = aml::monitored_after(&self.db, &self.tenant, &row.done_to, BATCH).await?;
            let moved = if !batch.is_empty() {
                self.batch(&mut row, batch, &compared, &mut concerned).await?
            } else if self.finish(&row).await? {
                tracing::info!(list = used.name, version = used.version, concerned, "monitored");
                return Ok(concerned);
            } else {
                false
            };
            if !moved {
                // Somebody came or changed meanwhile, or another node did it.
                let Some(now) = self.under_way(&row).await? else { return Ok(concerned) };
                row = now;
            }
        }
    }

    /// Begins a run for the list, or takes up the one that is under way; `None` if there is nothing to do, or
    /// another node has a newer list, or other policies and was started later.
    async fn begin(&self, list: &Arc<dyn ScreeningList>) -> Result<Option<ListRow>, AmlError> {
        let used = &list.version().used;
        let (basis, since) = (self.basis(), self.inner().since);
        self.db
            .write(|tx| async move {
                let progress = aml::progress(&tx, &self.tenant).await?;
                let known = progress.into_iter().find(|row| row.list == used.name);
                let is_first = known.is_none();
                let mut row = known.unwrap_or_default();
                // Another node was told; this one will be in a moment.
                if row.retired_at.is_some() {
                    return Ok(None);
                }
                let under_way = !row.target_digest.is_empty();
                let (digest, now) = match under_way {
                    true => (&row.target_digest, &row.target_basis),
                    false => (&row.digest, &row.basis),
                };
                let same_basis = now == basis;
                if *digest == used.digest && same_basis {
                    return Ok(under_way.then_some(row));
                }
                let newest = row.list_version.as_str().max(&row.target_version);
                let others = !is_first && !same_basis && since <= row.since;
                if others || *newest > *used.version {
                    return Ok(None);
                }
                if under_way {
                    (row.digest, row.basis) = (String::new(), String::new());
                }
                if !same_basis {
                    row.since = since;
                }
                let row = ListRow {
                    list: used.name.clone(),
                    target_digest: used.digest.clone(),
                    target_basis: basis.to_owned(),
                    target_version: used.version.clone(),
                    done_to: String::new(),
                    ..row
                };
                aml::begin(&tx, &self.tenant, &row, self.now()).await?;
                Ok(Some(row))
            })
            .await
    }

    /// The run that `row` belongs to, as far as it is now; `None` if it is over.
    async fn under_way(&self, row: &ListRow) -> Result<Option<ListRow>, AmlError> {
        let progress = aml::progress(&self.db, &self.tenant).await?;
        let same = |now: &ListRow| {
            now.list == row.list
                && now.target_digest == row.target_digest
                && now.target_basis == row.target_basis
                && now.digest == row.digest
        };
        Ok(progress.into_iter().find(same))
    }

    async fn compared(
        &self,
        list: &Arc<dyn ScreeningList>,
        row: &ListRow,
    ) -> Result<Compared, AmlError> {
        // Under other policies anybody may be a hit.
        if row.basis != row.target_basis || row.digest.is_empty() {
            return Ok(Compared::All(list.clone()));
        }
        let (list, since) = (list.clone(), row.digest.clone());
        self.on_core_later(move || {
            let version = list.version().clone();
            let broken = |why| AmlError::List(version.used.name.clone(), why);
            match list.changes_since(&since).map_err(broken)? {
                None => Ok(Compared::All(list)),
                Some(changes) => {
                    let new = NewEntities::new(version.clone(), changes).map_err(broken)?;
                    Ok(Compared::New(Arc::new(new)))
                }
            }
        })
        .await
    }

    /// Compares a batch of subjects and writes what came of it; `false` if somebody else has.
    async fn batch(
        &self,
        row: &mut ListRow,
        batch: Vec<SubjectRow>,
        compared: &Compared,
        concerned: &mut usize,
    ) -> Result<bool, AmlError> {
        let last = batch.last().map(|subject| subject.id.to_string()).unwrap_or_default();
        let known =
            aml::of_subjects(&self.db, &self.tenant, &row.list, &row.done_to, &last).await?;
        let (subjects, unreadable) = self.opened(batch, &row.list, known);
        let (list, new): (Arc<dyn ScreeningList>, _) = match compared {
            Compared::All(list) => (list.clone(), None),
            Compared::New(new) => (new.clone(), Some(new.clone())),
        };
        let (lists, settings) = (vec![list.clone()], self.settings.clone());
        let work = move || {
            let each = |one: Monitored| {
                let Monitored { subject, terms, policy, known, wants, .. } = &one;
                let hits = match wants {
                    true => search(&lists, subject, terms, policy, &Shown::default())?,
                    // Hits from before that are followed all the same.
                    false => Vec::new(),
                };
                let near = &[terms.base(&settings)?, policy.clone()];
                let look = |hit: &HitRow| match &new {
                    Some(new) if !new.concerned.contains(&hit.entity_id) => Ok(Known::Unseen),
                    _ => now_listed(&lists, hit),
                };
                let comparing = Comparing { subject, changed: false, policy, near };
                let fates = comparing.fates(known, &hits, look)?;
                Ok(Done { one, hits, fates })
            };
            subjects.into_iter().map(each).collect::<Result<Vec<_>, AmlError>>()
        };
        let done = self.on_core_later(work).await?;
        let mut rest = done.as_slice();
        loop {
            let count = fits(rest);
            let (now, later) = rest.split_at(count);
            let to = match now.last() {
                Some(done) if !later.is_empty() => done.one.row.id.to_string(),
                _ => last.clone(),
            };
            let unreadable = if later.is_empty() { unreadable.as_slice() } else { &[] };
            let group = Group { done: now, unreadable, to: &to };
            match self.write_group(row, &list, &group).await {
                Ok(count) => *concerned += count,
                Err(AmlError::Stale) => return Ok(false),
                Err(error) => return Err(error),
            }
            row.done_to = to;
            rest = later;
            if rest.is_empty() {
                return Ok(true);
            }
        }
    }

    /// Writes what came of some subjects, and how far the run is, in one transaction.
    async fn write_group(
        &self,
        row: &ListRow,
        list: &Arc<dyn ScreeningList>,
        group: &Group<'_>,
    ) -> Result<usize, AmlError> {
        let lists = std::slice::from_ref(list);
        self.db
            .write(|tx| async move {
                let versions = aml::versions(&tx, &self.tenant, &row.done_to, group.to).await?;
                let known = aml::of_subjects(&tx, &self.tenant, &row.list, &row.done_to, group.to);
                let known = known.await?;
                let mut concerned = 0;
                for Done { one, hits, fates } in group.done {
                    // Whoever changed meanwhile was compared again by that.
                    if versions.get(&one.row.id.to_string()) != Some(&one.row.version) {
                        continue;
                    }
                    let now = known.iter().filter(|hit| hit.subject_id == one.row.id);
                    if !now.eq(&one.known) {
                        return Err(AmlError::Stale);
                    }
                    let used = Used::new(lists, one.policy.clone());
                    let merging =
                        Merging { aml: self, row: &one.row, used: &used, changed: false, fates };
                    let merge = merging.merge(one.known.clone(), hits.clone())?;
                    if merge.changes.is_empty() {
                        continue;
                    }
                    concerned += 1;
                    let verdict = self.verdict("list_change", &one.subject, &used, merge.count());
                    let by = &Actor::System;
                    self.write_merge(&tx, &one.row, &merge, verdict, by, None).await?;
                }
                for id in group.unreadable {
                    aml::mark(&tx, &self.tenant, *id).await?;
                    // Nobody looks after whoever cannot be read.
                    aml::found(&tx, &self.tenant, *id).await?;
                }
                let ours = aml::step(&tx, &self.tenant, row, group.to, self.now()).await?;
                if ours { Ok(concerned) } else { Err(AmlError::Stale) }
            })
            .await
    }

    /// What is known of the subjects of a batch who want the list, and those who cannot be read.
    fn opened(
        &self,
        batch: Vec<SubjectRow>,
        list: &str,
        known: Vec<HitRow>,
    ) -> (Vec<Monitored>, Vec<Id<tags::AmlSubject>>) {
        let mut hits = HashMap::<String, Vec<HitRow>>::new();
        for hit in known {
            hits.entry(hit.subject_id.to_string()).or_default().push(hit);
        }
        let (mut subjects, mut unreadable) = (Vec::with_capacity(batch.len()), Vec::new());
        let lists = self.lists();
        for row in batch {
            let opened = self.open_subject(&row).and_then(|(subject, terms)| {
                let policy = terms.policy(&self.settings)?;
                Ok((subject, terms, policy))
            });
            match opened {
                Ok((subject, terms, policy)) => {
                    let known = hits.remove(&row.id.to_string()).unwrap_or_default();
                    let wants = lists.wanted(&terms, list);
                    if wants || !known.is_empty() {
                        subjects.push(Monitored { row, subject, terms, policy, known, wants });
                    }
                }
                // One that is damaged must not keep the others from being looked after.
                Err(error) => {
                    tell(&row, &error);
                    unreadable.push(row.id);
                }
            }
        }
        (subjects, unreadable)
    }

    /// Ends a run after its last batch; `false` if there is one more, or it is not ours.
    async fn finish(&self, row: &ListRow) -> Result<bool, AmlError> {
        self.db
            .write(|tx| async move {
                let more = aml::monitored_after(&tx, &self.tenant, &row.done_to, 1).await?;
                Ok(more.is_empty() && aml::finish(&tx, &self.tenant, row, self.now()).await?)
            })
            .await
    }

    /// Compares subjects again whom a node with other lists or policies has screened.
    async fn recheck(&self) -> Result<usize, AmlError> {
        let after = self.rechecked_to().clone();
        let rows = aml::to_recheck(&self.db, &self.tenant, &after, BATCH).await?;
        let full = i64::try_from(rows.len()).is_ok_and(|count| count == BATCH);
        let last = rows.last().filter(|_| full).map(|row| row.id.to_string());
        let (mut done, mut failed) = (0, None);
        for row in rows {
            match self.recheck_one(&row).await {
                Ok(was_done) => done += usize::from(was_done),
                Err(error) => {
                    tell(&row, &error);
                    failed = Some(error);
                }
            }
        }
        *self.rechecked_to() = last.unwrap_or_default();
        failed.map_or(Ok(done), Err)
    }

    fn rechecked_to(&self) -> std::sync::MutexGuard<'_, String> {
        self.inner().rechecked_to.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn recheck_one(&self, before: &SubjectRow) -> Result<bool, AmlError> {
        let (subject, terms) = self.open_subject(before)?;
        let (lists, used) = self.using(&terms, false)?;
        if self.is_off(&self.db, &used).await? {
            return Ok(false);
        }
        let known = &aml::of_subject(&self.db, &self.tenant, before.id).await?;
        let near = vec![terms.base(&self.settings)?, used.policy.clone()];
        let again = Again { terms, policy: used.policy.clone(), near, changed: false };
        let (found, fates) = self.look_again(lists, &subject, again, known).await?;
        let (subject, used, found, fates) = (&subject, &used, &found, &fates);
        let written = self.db.write(|tx| async move {
            if self.is_off(&tx, used).await? {
                return Ok(false);
            }
            let mut row = SubjectRow {
                recheck: false,
                screened_at: self.now(),
                screened_with: used.to_json().to_string(),
                ..before.clone()
            };
            let updated = aml::update(&tx, &self.tenant, &row, before.version).await?;
            if !updated || *known != aml::of_subject(&tx, &self.tenant, row.id).await? {
                return Err(AmlError::Stale);
            }
            row.version += 1;
            let merging = Merging { aml: self, row: &row, used, changed: false, fates };
            let merge = merging.merge(known.clone(), found.clone())?;
            if !merge.changes.is_empty() {
                let verdict = self.verdict("recheck", subject, used, merge.count());
                self.write_merge(&tx, &row, &merge, verdict, &Actor::System, None).await?;
            }
            Ok(true)
        });
        match written.await {
            // Somebody else was first: the next time.
            Err(AmlError::Stale) => Ok(false),
            done => done,
        }
    }
}

/// How many of these one transaction takes: at least one.
fn fits(rest: &[Done]) -> usize {
    let mut writes = 0;
    let more = rest.iter().take_while(|done| {
        let first = writes == 0;
        writes += done.writes();
        first || writes <= WRITES_MAX
    });
    more.count()
}

fn tell(row: &SubjectRow, error: &AmlError) {
    let error = error as &dyn std::error::Error;
    tracing::error!(subject = %row.id, error, "a subject could not be compared");
}
