//! An installation with lists that a test writes, and people who review.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use portcullis_events::{Actor, Event, Kind, ListUsed, Origin, Screening};
use portcullis_screening::{
    Entity, Profile, Schema,
    import::Listed,
    index::{Found, Search},
    score,
};
use portcullis_store::{Sealer, aml};
use portcullis_testkit::{FixedClock, SeededEntropy, TestDb};
use portcullis_types::{Id, tags};
use portcullis_verification::{
    Aml, AmlError, AmlParts, Asked, AskedTerms, Changes, ListError, ListHit, ListVersion, Lists,
    Resolution, Reviewer, Screened, ScreeningList, Settings, Shown, State, Wanted,
};

/// A list in memory, which knows the versions before it.
#[derive(Clone)]
pub struct FakeList {
    version: ListVersion,
    entities: Vec<Listed>,
    before: Vec<FakeList>,
}

impl FakeList {
    pub fn new(name: &str, number: u32, entities: Vec<Listed>) -> Self {
        let text = serde_json::to_string(&entities).unwrap();
        let used = ListUsed {
            name: name.to_owned(),
            version: format!("2026060112000{number}"),
            digest: format!("{text:.0}{}", text.len() * 31 + entities.len()),
        };
        let version = ListVersion {
            used,
            source: "here".into(),
            format: "ftm".into(),
            imported: String::new(),
            published: None,
            entities: entities.len(),
            added: 0,
            changed: 0,
            removed: 0,
            skipped: 0,
        };
        Self { version, entities, before: Vec::new() }
    }

    pub fn entities(&self) -> Vec<Listed> {
        self.entities.clone()
    }

    pub fn after(self, before: &Self) -> Self {
        Self { before: vec![before.clone()], ..self }
    }
}

impl ScreeningList for FakeList {
    fn version(&self) -> &ListVersion {
        &self.version
    }

    fn search(
        &self,
        subject: &Entity,
        search: Search<'_>,
        wanted: Wanted<'_>,
    ) -> Result<Vec<ListHit>, ListError> {
        let mut hits: Vec<ListHit> = Vec::new();
        for (entity, listed) in (0..).zip(&self.entities) {
            let verdict = score(
                &Profile::beside(subject, listed.entity.schema),
                &Profile::beside(&listed.entity, subject.schema),
                search.policy,
            );
            let near = verdict.score >= search.cutoff && verdict.schemas_fit;
            if near && wanted(&listed.id, &listed.entity) {
                let found = Found { entity, listed: listed.entity.clone(), verdict };
                hits.push(ListHit { id: listed.id.clone(), found });
            }
        }
        hits.sort_by(|a, b| b.found.verdict.score.total_cmp(&a.found.verdict.score));
        hits.truncate(search.limit);
        Ok(hits)
    }

    fn changes_since(&self, digest: &str) -> Result<Option<Changes>, ListError> {
        let before = self.before.iter().find(|list| list.version.used.digest == digest);
        let Some(before) = before else { return Ok(None) };
        let place = |one: &Listed| (one.id.clone(), one.clone());
        let mut old: BTreeMap<String, Listed> = before.entities.iter().map(place).collect();
        let mut changes = Changes::default();
        for listed in &self.entities {
            if old.remove(&listed.id).as_ref() != Some(listed) {
                changes.changed.push(listed.clone());
            }
        }
        changes.removed = old.into_keys().collect();
        Ok(Some(changes))
    }

    fn entity(&self, id: &str) -> Result<Option<Entity>, ListError> {
        Ok(self.entities.iter().find(|one| one.id == id).map(|one| one.entity.clone()))
    }
}

/// A list that cannot be searched any more.
pub struct Damaged(pub FakeList);

impl ScreeningList for Damaged {
    fn version(&self) -> &ListVersion {
        self.0.version()
    }

    fn search(&self, _: &Entity, _: Search<'_>, _: Wanted<'_>) -> Result<Vec<ListHit>, ListError> {
        Err(ListError("it is damaged".into()))
    }

    fn changes_since(&self, _: &str) -> Result<Option<Changes>, ListError> {
        Err(ListError("it is damaged".into()))
    }

    fn entity(&self, _: &str) -> Result<Option<Entity>, ListError> {
        Err(ListError("it is damaged".into()))
    }
}

pub fn person(id: &str, name: &str, more: &[(&str, &str)]) -> Listed {
    let mut entity = Entity::new(Schema::Person);
    entity.add("name", name);
    more.iter().for_each(|(property, value)| entity.add(property, value));
    Listed { id: id.to_owned(), entity }
}

pub fn subject(name: &str) -> Entity {
    person("", name, &[]).entity
}

pub fn asked(name: &str, reference: Option<&str>) -> Asked {
    Asked {
        subject: subject(name),
        reference: reference.map(str::to_owned),
        terms: AskedTerms::default(),
        monitor: None,
        shown: Shown::default(),
    }
}

pub fn monitored(name: &str, reference: &str) -> Asked {
    Asked { monitor: Some(true), ..asked(name, Some(reference)) }
}

pub struct World {
    pub db: TestDb,
    pub aml: Aml,
    pub clock: Arc<FixedClock>,
}

impl World {
    pub fn new(db: TestDb) -> Self {
        Self::with(db, Settings::default())
    }

    pub fn with(db: TestDb, settings: Settings) -> Self {
        Self::later(db, settings, Duration::ZERO)
    }

    /// One that is started so much later.
    pub fn later(db: TestDb, settings: Settings, by: Duration) -> Self {
        let clock = FixedClock::new();
        clock.advance(by);
        let aml = node(&db, &clock, settings, 1);
        Self { db, aml, clock }
    }

    /// Another node on the same database.
    pub fn another_node(&self) -> Aml {
        self.another_node_with(Settings::default())
    }

    pub fn another_node_with(&self, settings: Settings) -> Aml {
        node(&self.db, &self.clock, settings, 77)
    }

    pub fn lists(&self, lists: &[&FakeList]) {
        set(&self.aml, lists);
    }

    pub async fn screen(&self, asked: &Asked) -> Result<Screened, AmlError> {
        self.aml.screen(asked, &machine(), &Origin::default()).await
    }

    /// The hits of a subject, by entity.
    pub async fn hits(&self, reference: &str) -> BTreeMap<String, aml::HitRow> {
        let subject = aml::by_reference(&self.db.db, "main", reference).await.unwrap().unwrap();
        let rows = aml::of_subject(&self.db.db, "main", subject.id).await.unwrap();
        rows.into_iter().map(|row| (row.entity_id.clone(), row)).collect()
    }

    pub async fn hit(&self, reference: &str, entity: &str) -> aml::HitRow {
        self.hits(reference).await.remove(entity).unwrap()
    }

    pub async fn resolve(
        &self,
        hit: &aml::HitRow,
        state: State,
        by: &Reviewer,
    ) -> Result<aml::HitRow, AmlError> {
        let note = "looked at the passport".to_owned();
        let resolution = Resolution { version: hit.version, state, note, allow_until: None };
        self.aml.resolve(hit.id, &resolution, by, &Origin::default()).await
    }

    pub async fn approve(&self, hit: &aml::HitRow, by: &Reviewer) -> Result<aml::HitRow, AmlError> {
        self.aml.approve(hit.id, hit.version, by, &Origin::default()).await
    }

    /// Verdicts in the order in which they were recorded.
    pub fn verdicts(&self) -> Vec<Screening> {
        let verdict = |event: Event| match event.kind {
            Kind::Screening(screening) => Some(screening),
            _ => None,
        };
        self.db.recorded.events().into_iter().filter_map(verdict).collect()
    }
}

pub fn set(aml: &Aml, lists: &[&FakeList]) {
    let ready = lists.iter().map(|list| Arc::new((*list).clone()) as Arc<dyn ScreeningList>);
    aml.set_lists(Lists { ready: ready.collect(), broken: Vec::new() });
}

fn node(db: &TestDb, clock: &Arc<FixedClock>, settings: Settings, seed: u64) -> Aml {
    Aml::new(AmlParts {
        tenant: "main".into(),
        db: db.db.clone(),
        sink: db.recorded.clone(),
        sealer: Arc::new(Sealer::new(&[7; 32]).unwrap()),
        clock: clock.clone(),
        entropy: SeededEntropy::new(seed),
        digest_key: vec![9; 32],
        cores: 2,
        settings,
    })
}

pub fn machine() -> Actor {
    Actor::Client { id: "onboarding".into() }
}

pub fn reviewer(name: &str) -> Reviewer {
    let id: Id<tags::User> =
        Id::new(portcullis_testkit::START, &*SeededEntropy::new(name.len() as u64));
    let actor = Actor::User { id: id.to_string(), username: name.to_owned() };
    Reviewer { account: id, actor }
}
