use std::{collections::HashMap, sync::Arc};

use portcullis_events::{Actor, HitChange, ListUsed, Origin, Screening};
use portcullis_screening::{Entity, Policy, Verdict, index::Search};
use portcullis_store::aml::{HitRow, SubjectRow};
use portcullis_types::Timestamp;
use serde_json::{Value, json};

use super::{
    Aml, AmlError, AskedTerms, ListError, ListHit, ScreeningList, Shown, THRESHOLD_MIN, Terms,
    fate::{Comparing, Fate, Known},
    service::policy_hash,
};

/// Hits of one subject that are kept and told, the best of all.
pub const HITS_MAX: usize = 500;

/// The longest reference of a subject.
pub const REFERENCE_MAX_BYTES: usize = 128;

/// Names of a subject, their words, and values of all properties.
const SUBJECT_MAX_NAMES: usize = 20;
const SUBJECT_MAX_WORDS: usize = 120;
const SUBJECT_MAX_VALUES: usize = 200;

/// Changes of hits that one event names; `hits` says how many there are.
pub(crate) const EVENT_MAX_CHANGES: usize = 50;

/// A screening that is asked for.
#[derive(Debug, Clone)]
pub struct Asked {
    /// Who or what it is about.
    pub subject: Entity,
    /// How the caller calls the subject. With it the subject is kept, its hits can be reviewed, and the next
    /// screening with it is one of the same subject.
    pub reference: Option<String>,
    /// On what terms.
    pub terms: AskedTerms,
    /// Whether the subject is to be compared with each new version of the lists; as it was if `None`.
    pub monitor: Option<bool>,
    /// Which hits are told, where the subject is not kept.
    pub shown: Shown,
}

/// What a verdict depends on.
#[derive(Debug, Clone)]
pub struct Used {
    /// The lists with their versions.
    pub lists: Vec<ListUsed>,
    /// The policy with the threshold that counted.
    pub policy: Policy,
    /// SHA-256 of it.
    pub policy_hash: String,
    /// The topics that were asked for; all if there is none.
    pub topics: Vec<String>,
    /// What else was left out, if anything was.
    pub filter: Option<Value>,
}

impl Used {
    pub(crate) fn new(lists: &[Arc<dyn ScreeningList>], policy: Policy) -> Self {
        let lists = lists.iter().map(|list| list.version().used.clone()).collect();
        let policy_hash = policy_hash(&policy);
        Self { lists, policy, policy_hash, topics: Vec::new(), filter: None }
    }

    /// The same as JSON.
    pub fn to_json(&self) -> Value {
        let lists = self.lists.iter().map(
            |list| json!({ "name": list.name, "version": list.version, "digest": list.digest }),
        );
        json!({
            "lists": lists.collect::<Value>(),
            "topics": self.topics,
            "policy": {
                "name": self.policy.name,
                "threshold": self.policy.threshold,
                "hash": self.policy_hash,
            },
        })
    }
}

/// How a subject that is kept is compared again.
pub(crate) struct Again {
    pub terms: Terms,
    pub policy: Policy,
    /// Under any of these a hit from before is near enough.
    pub near: Vec<Policy>,
    /// Whether something else is known of the subject than before.
    pub changed: bool,
}

/// A hit.
#[derive(Debug, Clone)]
pub struct ScreenedHit {
    /// The list.
    pub list: String,
    /// How the list calls the entity.
    pub entity_id: String,
    /// The entity.
    pub listed: Entity,
    /// Why it is a hit, and how sure.
    pub verdict: Verdict,
    /// What is kept of it, if the subject is kept.
    pub row: Option<HitRow>,
}

impl ScreenedHit {
    /// The score as it is stored.
    pub(crate) fn score(&self) -> i64 {
        #[expect(clippy::cast_possible_truncation, reason = "from 0 to 1 in steps of 0.0001")]
        let score = (self.verdict.score * 10_000.0).round() as i64;
        score
    }
}

/// A screening that was done.
#[derive(Debug, Clone)]
pub struct Screened {
    /// The subject, if it is kept.
    pub subject: Option<SubjectRow>,
    /// The hits, the best first.
    pub hits: Vec<ScreenedHit>,
    /// Hits from before that were not found this time and are hits all the same: other terms leave them out, or
    /// people have confirmed them.
    pub standing: Vec<HitRow>,
    /// With what it was compared, and how.
    pub used: Used,
    /// When.
    pub at: Timestamp,
}

impl Screened {
    /// Whether there is a hit that has not been cleared.
    pub fn is_match(&self) -> bool {
        let over = |until: i64| until <= self.at.micros();
        let cleared =
            |row: &HitRow| row.state == "False Positive" && !row.allowed_until.is_some_and(over);
        let open =
            |hit: &ScreenedHit| hit.verdict.is_match && !hit.row.as_ref().is_some_and(cleared);
        self.hits.iter().any(open) || !self.standing.iter().all(cleared)
    }
}

impl Aml {
    /// Screens a subject. The verdict is in the audit log before this returns.
    pub async fn screen(
        &self,
        asked: &Asked,
        by: &Actor,
        origin: &Origin,
    ) -> Result<Screened, AmlError> {
        check(asked)?;
        let screened = match &asked.reference {
            Some(reference) => self.keep(asked, reference, by, origin).await?,
            None => {
                let terms = asked.terms.over(Terms::default());
                let (lists, mut used) = self.using(&terms, true)?;
                let shown = asked.shown.clone();
                used.filter = shown.filter();
                let hits = self.look(lists, &asked.subject, &terms, &used.policy, shown).await?;
                let at = self.now();
                let screened = Screened { subject: None, hits, standing: Vec::new(), used, at };
                self.record(asked, screened, by, origin).await?
            }
        };
        self.inner().meter.screened(screened.is_match());
        Ok(screened)
    }

    /// What is used under these terms.
    pub(crate) fn using(
        &self,
        terms: &Terms,
        named: bool,
    ) -> Result<(Vec<Arc<dyn ScreeningList>>, Used), AmlError> {
        terms.check()?;
        let policy = terms.policy(&self.settings)?;
        let lists = self.lists().select(terms, named)?;
        let used = Used { topics: terms.topics.clone(), ..Used::new(&lists, policy) };
        Ok((lists, used))
    }

    /// Looks for a subject on lists, on one of the cores that are for that.
    pub(crate) async fn look(
        &self,
        lists: Vec<Arc<dyn ScreeningList>>,
        subject: &Entity,
        terms: &Terms,
        policy: &Policy,
        shown: Shown,
    ) -> Result<Vec<ScreenedHit>, AmlError> {
        let (subject, terms, policy) = (subject.clone(), terms.clone(), policy.clone());
        self.on_core(move || search(&lists, &subject, &terms, &policy, &shown)).await
    }

    /// Runs work that takes a core for a while, unless too many wait for one.
    pub(crate) async fn on_core<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<T, AmlError> + Send + 'static,
    ) -> Result<T, AmlError> {
        let _waiting = self.inner().waiting.try_acquire().map_err(|_| AmlError::Busy)?;
        self.on_core_later(work).await
    }

    /// The same, however many wait.
    pub(crate) async fn on_core_later<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<T, AmlError> + Send + 'static,
    ) -> Result<T, AmlError> {
        let core = self.inner().cores.clone().acquire_owned().await.map_err(|_| AmlError::Busy)?;
        let done = tokio::task::spawn_blocking(move || {
            let done = work();
            drop(core);
            done
        });
        done.await.map_err(|_| AmlError::Busy)?
    }

    async fn record(
        &self,
        asked: &Asked,
        screened: Screened,
        by: &Actor,
        origin: &Origin,
    ) -> Result<Screened, AmlError> {
        let matches = || screened.hits.iter().filter(|hit| hit.verdict.is_match);
        let changes = matches().take(EVENT_MAX_CHANGES).map(|hit| HitChange {
            change: "new",
            hit: None,
            list: hit.list.clone(),
            entity: hit.entity_id.clone(),
            score: hit.verdict.score,
        });
        let verdict = Screening {
            changes: changes.collect(),
            ..self.verdict("request", &asked.subject, &screened.used, matches().count())
        };
        let event = self.screened_event(by, Some(origin), verdict);
        self.sink.committed(&[event]).await.map_err(|()| AmlError::NotRecorded)?;
        Ok(screened)
    }

    /// What a verdict says in the audit log, without hits.
    pub(crate) fn verdict(
        &self,
        cause: &'static str,
        subject: &Entity,
        used: &Used,
        hits: usize,
    ) -> Screening {
        Screening {
            cause,
            subject: None,
            digest: self.subject_digest(subject),
            lists: used.lists.clone(),
            policy: used.policy.name.clone(),
            policy_hash: used.policy_hash.clone(),
            threshold: used.policy.threshold,
            topics: used.topics.clone(),
            filter: used.filter.as_ref().map(Value::to_string),
            hits,
            changes: Vec::new(),
        }
    }

    /// Looks for a subject, and for what became of hits that are not found.
    pub(crate) async fn look_again(
        &self,
        lists: Vec<Arc<dyn ScreeningList>>,
        subject: &Entity,
        again: Again,
        known: &[HitRow],
    ) -> Result<(Vec<ScreenedHit>, HashMap<String, Fate>), AmlError> {
        let (subject, known, all) = (subject.clone(), known.to_vec(), self.lists());
        self.on_core(move || {
            let Again { terms, policy, near, changed } = &again;
            let hits = search(&lists, &subject, terms, policy, &Shown::default())?;
            let comparing = Comparing { subject: &subject, changed: *changed, policy, near };
            // Also on lists that are not asked for now; where such a one cannot be read, its hits stay.
            let asked =
                |row: &HitRow| lists.iter().any(|list| list.version().used.name == row.list);
            let look = |row: &HitRow| match now_listed(&all.ready, row) {
                Err(_) if !asked(row) => Ok(Known::Unseen),
                known => known,
            };
            let fates = comparing.fates(&known, &hits, look)?;
            Ok((hits, fates))
        })
        .await
    }
}

/// What the entity of a hit is now.
pub(crate) fn now_listed(
    lists: &[Arc<dyn ScreeningList>],
    row: &HitRow,
) -> Result<Known, ListError> {
    let Some(list) = lists.iter().find(|list| list.version().used.name == row.list) else {
        return Ok(Known::Unseen);
    };
    Ok(list.entity(&row.entity_id)?.map_or(Known::Missing, Known::Listed))
}

fn is_name(property: &str) -> bool {
    property.ends_with("ame") || property.ends_with("lias")
}

fn check(asked: &Asked) -> Result<(), AmlError> {
    let properties = &asked.subject.properties;
    if properties.values().all(Vec::is_empty) {
        return Err(AmlError::Invalid("subject", "has nothing to compare".into()));
    }
    // Each name is compared with each, word by word: a thousand would keep a core for minutes.
    let values: usize = properties.values().map(Vec::len).sum();
    let names = properties.iter().filter(|(property, _)| is_name(property));
    let names: Vec<&String> = names.flat_map(|(_, values)| values).collect();
    let words: usize = names.iter().map(|name| name.split_whitespace().count()).sum();
    if values > SUBJECT_MAX_VALUES || names.len() > SUBJECT_MAX_NAMES || words > SUBJECT_MAX_WORDS {
        let must = format!(
            "must have at most {SUBJECT_MAX_NAMES} names with {SUBJECT_MAX_WORDS} words, and \
             {SUBJECT_MAX_VALUES} values in all"
        );
        return Err(AmlError::Invalid("subject", must));
    }
    match &asked.reference {
        Some(reference) => {
            let long = reference.is_empty() || reference.len() > REFERENCE_MAX_BYTES;
            if long || reference.chars().any(char::is_control) {
                let must = format!("must be 1 to {REFERENCE_MAX_BYTES} bytes of text");
                return Err(AmlError::Invalid("reference", must));
            }
            Ok(())
        }
        None if asked.monitor == Some(true) => {
            let must = "is needed to monitor somebody".to_owned();
            Err(AmlError::Invalid("reference", must))
        }
        None => Ok(()),
    }
}

/// The hits on all of the lists, best first; among equals in the order of lists, and of entities in them.
pub(crate) fn search(
    lists: &[Arc<dyn ScreeningList>],
    subject: &Entity,
    terms: &Terms,
    policy: &Policy,
    shown: &Shown,
) -> Result<Vec<ScreenedHit>, AmlError> {
    let cutoff = shown.cutoff.map_or(policy.threshold, |cutoff| cutoff.max(THRESHOLD_MIN));
    let cutoff = cutoff.min(policy.threshold);
    let search = Search { policy, cutoff, limit: HITS_MAX };
    let wanted =
        |id: &str, listed: &Entity| terms.covers(listed.get("topics")) && shown.covers(id, listed);
    let mut hits = Vec::new();
    for list in lists {
        let name = &list.version().used.name;
        let found = list
            .search(subject, search, &wanted)
            .map_err(|why| AmlError::List(name.clone(), why))?;
        hits.extend(found.into_iter().map(|ListHit { id, found }| ScreenedHit {
            list: name.clone(),
            entity_id: id,
            listed: found.listed,
            verdict: found.verdict,
            row: None,
        }));
    }
    // This keeps the order of equals.
    hits.sort_by(|a, b| b.verdict.score.total_cmp(&a.verdict.score));
    hits.truncate(HITS_MAX);
    Ok(hits)
}
