//! Ongoing monitoring: where a list changes, monitored subjects are compared with what is new in it.
//!
//! What is new is made into an index of its own, through which all monitored subjects go; that takes
//! microseconds for each and touches nobody whom it does not concern. Who was compared is noted batch by batch
//! in the transaction that writes the hits, so a run that is cut off goes on where it was, and of two nodes
//! that do the same batch one is too late and writes nothing.

use std::{collections::HashSet, sync::Arc};

use portcullis_events::Actor;
use portcullis_screening::{
    Entity, Policy,
    index::{Found, Index, IndexBuilder, Place, Search},
};
use portcullis_store::aml::{self, HitRow, ListRow, SubjectRow};

use super::{
    Aml, AmlError, Changes, ListError, ListHit, ListVersion, ScreeningList, Terms, Used,
    merge::Merging, screen::search,
};

/// Subjects of one transaction.
const BATCH: i64 = 200;

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
    concerned: HashSet<String>,
}

impl ScreeningList for NewEntities {
    fn version(&self) -> &ListVersion {
        &self.version
    }

    fn search(&self, subject: &Entity, search: Search<'_>) -> Result<Vec<ListHit>, ListError> {
        let Some(index) = &self.index else { return Ok(Vec::new()) };
        let damaged = || ListError("the index of what is new is damaged".into());
        let entity = |number: u32| self.entities.get(number as usize).ok_or_else(damaged);
        let found = index.search(subject, search, |number| Ok(entity(number)?.1.clone()))?;
        let hit = |found: Found| Ok(ListHit { id: entity(found.entity)?.0.clone(), found });
        found.into_iter().map(hit).collect()
    }

    fn changes_since(&self, _: &str) -> Result<Option<Changes>, ListError> {
        Ok(None)
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
}

impl Aml {
    /// Compares whoever is monitored with what lists of this node have that they were not compared with. How
    /// many were concerned.
    pub async fn monitor(&self) -> Result<usize, AmlError> {
        let mut concerned = 0;
        for list in &self.lists().ready {
            concerned += self.follow(list).await?;
        }
        concerned += self.recheck().await?;
        self.end_allowances().await?;
        Ok(concerned)
    }

    async fn follow(&self, list: &Arc<dyn ScreeningList>) -> Result<usize, AmlError> {
        let used = &list.version().used;
        let Some(mut row) = self.begin(list).await? else { return Ok(0) };
        let compared = self.compared(list, &row).await?;
        let mut concerned = 0;
        loop {
            let batch = aml::monitored_after(&self.db, &self.tenant, &row.done_to, BATCH).await?;
            let Some(last) = batch.last().map(|subject| subject.id.to_string()) else {
                if self.finish(&row).await? {
                    tracing::info!(
                        list = used.name,
                        version = used.version,
                        concerned,
                        "monitored"
                    );
                    return Ok(concerned);
                }
                // Somebody came meanwhile, or another node did it.
                let Some(now) = self.under_way(&row).await? else { return Ok(concerned) };
                row = now;
                continue;
            };
            let Some(found) = self.batch(&row, batch, &last, &compared).await? else {
                let Some(now) = self.under_way(&row).await? else { return Ok(concerned) };
                row = now;
                continue;
            };
            concerned += found;
            row.done_to = last;
        }
    }

    /// Begins a run for the list, or takes up the one that is under way; `None` if there is nothing to do.
    async fn begin(&self, list: &Arc<dyn ScreeningList>) -> Result<Option<ListRow>, AmlError> {
        let used = &list.version().used;
        let target =
            |row: &ListRow| row.target_digest == used.digest && row.target_basis == self.basis();
        let begun = self
            .db
            .write(|tx| async move {
                let progress = aml::progress(&tx, &self.tenant).await?;
                let row = progress.into_iter().find(|row| row.list == used.name);
                let row = row.unwrap_or_default();
                if target(&row) {
                    return Ok::<_, AmlError>(Some(row));
                }
                let done = row.target_digest.is_empty()
                    && row.digest == used.digest
                    && row.basis == self.basis();
                // Other nodes may have a newer version than this one.
                let newest = row.list_version.as_str().max(&row.target_version);
                if done || *newest > *used.version {
                    return Ok(None);
                }
                let row = ListRow {
                    list: used.name.clone(),
                    target_digest: used.digest.clone(),
                    target_basis: self.basis().to_owned(),
                    target_version: used.version.clone(),
                    done_to: String::new(),
                    ..row
                };
                aml::begin(&tx, &self.tenant, &row, self.now()).await?;
                Ok(Some(row))
            })
            .await?;
        Ok(begun)
    }

    /// The run that `row` belongs to, as far as it is now; `None` if it is over.
    async fn under_way(&self, row: &ListRow) -> Result<Option<ListRow>, AmlError> {
        let progress = aml::progress(&self.db, &self.tenant).await?;
        let same = |now: &ListRow| {
            now.list == row.list
                && now.target_digest == row.target_digest
                && now.target_basis == row.target_basis
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
        self.on_core(move || {
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

    /// Compares a batch of subjects and writes what came of it; `None` if somebody else has.
    async fn batch(
        &self,
        row: &ListRow,
        batch: Vec<SubjectRow>,
        last: &str,
        compared: &Compared,
    ) -> Result<Option<usize>, AmlError> {
        let subjects = self.opened(batch, &row.list);
        let (list, new): (Arc<dyn ScreeningList>, _) = match compared {
            Compared::All(list) => (list.clone(), None),
            Compared::New(new) => (new.clone(), Some(new.clone())),
        };
        let lists = vec![list];
        let searched = lists.clone();
        let found = self.on_core(move || {
            let each = |one: Monitored| {
                let hits = search(&searched, &one.subject, &one.terms, &one.policy, None)?;
                Ok((one, hits))
            };
            subjects.into_iter().map(each).collect::<Result<Vec<_>, AmlError>>()
        });
        let found = &found.await?;
        let (lists, new) = (&lists, &new);
        self.db
            .write(|tx| async move {
                let known =
                    aml::of_subjects(&tx, &self.tenant, &row.list, &row.done_to, last).await?;
                let versions = aml::versions(&tx, &self.tenant, &row.done_to, last).await?;
                let mut concerned = 0;
                for (one, hits) in found {
                    // Whoever changed meanwhile was compared again by that.
                    let same = (one.row.id.to_string(), one.row.version);
                    if !versions.contains(&same) {
                        continue;
                    }
                    let was_compared = |hit: &HitRow| {
                        new.as_ref().is_none_or(|new| new.concerned.contains(&hit.entity_id))
                    };
                    let known: Vec<HitRow> =
                        known.iter().filter(|hit| hit.subject_id == one.row.id).cloned().collect();
                    let used = Used::new(lists, one.policy.clone());
                    let merging = Merging { aml: self, row: &one.row, used: &used, changed: false };
                    let kept = known.iter().filter(|hit| hit.gone_at.is_none()).count();
                    let merge = merging.of(known, hits.clone(), was_compared)?;
                    if merge.changes.is_empty() {
                        continue;
                    }
                    concerned += 1;
                    let gone = merge.changes.iter().filter(|one| one.change == "gone").count();
                    let now = (kept + merge.inserts.len()).saturating_sub(gone);
                    let verdict = self.verdict("list_change", &one.subject, &used, now);
                    let by = &Actor::System;
                    self.write_merge(&tx, &one.row, &merge, verdict, by, None).await?;
                }
                let ours = aml::step(&tx, &self.tenant, row, last, self.now()).await?;
                if ours { Ok(Some(concerned)) } else { Err(AmlError::Stale) }
            })
            .await
            .or_else(|error| match error {
                AmlError::Stale => Ok(None),
                error => Err(error),
            })
    }

    /// What is known of the subjects of a batch who want the list.
    fn opened(&self, batch: Vec<SubjectRow>, list: &str) -> Vec<Monitored> {
        let mut subjects = Vec::with_capacity(batch.len());
        for row in batch {
            let opened = self.open_subject(&row).and_then(|(subject, terms)| {
                let policy = terms.policy(&self.settings)?;
                Ok((subject, terms, policy))
            });
            match opened {
                Ok((subject, terms, policy)) if terms.wants(list) => {
                    subjects.push(Monitored { row, subject, terms, policy });
                }
                Ok(_) => {}
                // One that is damaged must not keep the others from being looked after.
                Err(error) => unreadable(&row, &error),
            }
        }
        subjects
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

    /// Compares subjects again whom a node with older lists has screened.
    async fn recheck(&self) -> Result<usize, AmlError> {
        let rows = aml::to_recheck(&self.db, &self.tenant, BATCH).await?;
        let mut done = 0;
        for row in rows {
            match self.recheck_one(&row).await {
                Ok(was_done) => done += usize::from(was_done),
                Err(error @ (AmlError::Sealed | AmlError::Invalid(..))) => unreadable(&row, &error),
                Err(error) => return Err(error),
            }
        }
        Ok(done)
    }

    async fn recheck_one(&self, before: &SubjectRow) -> Result<bool, AmlError> {
        let (subject, terms) = self.open_subject(before)?;
        let policy = terms.policy(&self.settings)?;
        let lists = self.lists().select(&terms)?;
        let used = &Used::new(&lists, policy);
        if self.is_behind(&self.db, &terms, used).await? {
            return Ok(false);
        }
        let found = &self.look(lists, &subject, &terms, &used.policy, None).await?;
        let (subject, terms) = (&subject, &terms);
        self.db
            .write(|tx| async move {
                if self.is_behind(&tx, terms, used).await? {
                    return Ok(false);
                }
                let row = SubjectRow {
                    recheck: false,
                    screened_at: self.now(),
                    screened_with: used.to_json().to_string(),
                    ..before.clone()
                };
                if !aml::update(&tx, &self.tenant, &row, before.version).await? {
                    return Ok(false);
                }
                let known = aml::of_subject(&tx, &self.tenant, row.id).await?;
                let merging = Merging { aml: self, row: &row, used, changed: false };
                let merge = merging.all(known, found.clone())?;
                let verdict = self.verdict("recheck", subject, used, found.len());
                self.write_merge(&tx, &row, &merge, verdict, &Actor::System, None).await?;
                Ok(true)
            })
            .await
    }
}

fn unreadable(row: &SubjectRow, error: &AmlError) {
    let error = error as &dyn std::error::Error;
    tracing::error!(subject = %row.id, error, "a subject could not be compared");
}
