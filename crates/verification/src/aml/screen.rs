use std::sync::Arc;

use portcullis_events::{Actor, HitChange, ListUsed, Origin, Screening};
use portcullis_screening::{Entity, Policy, Verdict, index::Search};
use portcullis_store::{
    Source, Tx,
    aml::{self, HitRow, SubjectRow},
};
use portcullis_types::{Id, Timestamp};
use serde_json::{Value, json};

use super::{
    Aml, AmlError, ListHit, ScreeningList, Terms,
    merge::{Merge, Merging},
    service::policy_hash,
};

/// Hits of one subject that are kept and told, the best of all.
pub const HITS_MAX: usize = 500;

/// The longest reference of a subject.
pub const REFERENCE_MAX_BYTES: usize = 128;

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
    pub terms: Terms,
    /// Whether the subject is to be compared with each new version of the lists; as it was if `None`.
    pub monitor: Option<bool>,
    /// The least score that is told, where the subject is not kept: what it takes for a match if `None`.
    pub cutoff: Option<f64>,
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
}

impl Used {
    pub(crate) fn new(lists: &[Arc<dyn ScreeningList>], policy: Policy) -> Self {
        let lists = lists.iter().map(|list| list.version().used.clone()).collect();
        let policy_hash = policy_hash(&policy);
        Self { lists, policy, policy_hash }
    }

    /// The same as JSON.
    pub fn to_json(&self) -> Value {
        let lists = self.lists.iter().map(
            |list| json!({ "name": list.name, "version": list.version, "digest": list.digest }),
        );
        json!({
            "lists": lists.collect::<Value>(),
            "policy": {
                "name": self.policy.name,
                "threshold": self.policy.threshold,
                "hash": self.policy_hash,
            },
        })
    }
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
    /// With what it was compared, and how.
    pub used: Used,
    /// When.
    pub at: Timestamp,
}

impl Screened {
    /// Whether there is a hit that has not been cleared.
    pub fn is_match(&self) -> bool {
        let cleared = |row: &HitRow| row.state == "False Positive";
        self.hits.iter().any(|hit| !hit.row.as_ref().is_some_and(cleared))
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
        let policy = asked.terms.policy(&self.settings)?;
        let lists = self.lists().select(&asked.terms)?;
        let used = Used::new(&lists, policy);
        let cutoff = asked.cutoff.filter(|_| asked.reference.is_none());
        let hits = self.look(lists, &asked.subject, &asked.terms, &used.policy, cutoff).await?;
        let screened = Screened { subject: None, hits, used, at: self.now() };
        match &asked.reference {
            Some(reference) => self.keep(asked, reference, screened, by, origin).await,
            None => self.record(asked, screened, by, origin).await,
        }
    }

    /// Looks for a subject on lists, on one of the cores that are for that.
    pub(crate) async fn look(
        &self,
        lists: Vec<Arc<dyn ScreeningList>>,
        subject: &Entity,
        terms: &Terms,
        policy: &Policy,
        cutoff: Option<f64>,
    ) -> Result<Vec<ScreenedHit>, AmlError> {
        let (subject, terms, policy) = (subject.clone(), terms.clone(), policy.clone());
        self.on_core(move || search(&lists, &subject, &terms, &policy, cutoff)).await
    }

    /// Runs work that takes a core for a while.
    pub(crate) async fn on_core<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<T, AmlError> + Send + 'static,
    ) -> Result<T, AmlError> {
        let _waiting = self.inner().waiting.try_acquire().map_err(|_| AmlError::Busy)?;
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
            hits,
            changes: Vec::new(),
        }
    }

    async fn keep(
        &self,
        asked: &Asked,
        reference: &str,
        screened: Screened,
        by: &Actor,
        origin: &Origin,
    ) -> Result<Screened, AmlError> {
        let screened = &screened;
        self.db
            .write(|tx| async move {
                let before = aml::by_reference(&tx, &self.tenant, reference).await?;
                let recheck = self.is_behind(&tx, &asked.terms, &screened.used).await?;
                let fresh = self.subject_row(asked, reference, screened, recheck)?;
                let (row, changed) = match before {
                    None => {
                        aml::insert(&tx, &self.tenant, &fresh).await?;
                        (fresh, true)
                    }
                    Some(before) => {
                        let was = before.version;
                        // Whoever cannot be opened any more is written anew.
                        let same = self
                            .open_subject(&before)
                            .is_ok_and(|(subject, _)| subject == asked.subject);
                        let mut after = SubjectRow {
                            id: before.id,
                            created_at: before.created_at,
                            monitored: asked.monitor.unwrap_or(before.monitored),
                            version: was,
                            ..fresh
                        };
                        after.sealed = self.seal_subject(&after, &asked.subject)?;
                        if !aml::update(&tx, &self.tenant, &after, was).await? {
                            return Err(AmlError::Stale);
                        }
                        after.version += 1;
                        (after, !same)
                    }
                };
                let known = aml::of_subject(&tx, &self.tenant, row.id).await?;
                let merging = Merging { aml: self, row: &row, used: &screened.used, changed };
                let merge = merging.all(known, screened.hits.clone())?;
                let verdict =
                    self.verdict("request", &asked.subject, &screened.used, screened.hits.len());
                self.write_merge(&tx, &row, &merge, verdict, by, Some(origin)).await?;
                Ok(Screened { subject: Some(row), hits: merge.hits, ..screened.clone() })
            })
            .await
    }

    /// Writes hits as they are now, and the verdict to the audit log.
    pub(crate) async fn write_merge(
        &self,
        tx: &Tx,
        row: &SubjectRow,
        merge: &Merge,
        verdict: Screening,
        by: &Actor,
        origin: Option<&Origin>,
    ) -> Result<(), AmlError> {
        for hit in &merge.inserts {
            aml::insert_hit(tx, &self.tenant, hit).await?;
        }
        for (hit, before) in &merge.updates {
            if !aml::update_hit(tx, &self.tenant, hit, *before).await? {
                return Err(AmlError::Stale);
            }
        }
        let verdict = Screening {
            subject: Some(row.id.to_string()),
            changes: merge.changes.iter().take(EVENT_MAX_CHANGES).cloned().collect(),
            ..verdict
        };
        Ok(tx.emit(self.screened_event(by, origin, verdict)).await?)
    }

    fn subject_row(
        &self,
        asked: &Asked,
        reference: &str,
        screened: &Screened,
        recheck: bool,
    ) -> Result<SubjectRow, AmlError> {
        let mut row = SubjectRow {
            id: Id::new(screened.at, &*self.entropy),
            reference: reference.to_owned(),
            sealed: Vec::new(),
            terms: serde_json::to_string(&asked.terms).map_err(|_| AmlError::Sealed)?,
            policy: asked.terms.policy.clone().unwrap_or_default(),
            monitored: asked.monitor.unwrap_or(false),
            recheck,
            version: 1,
            screened_at: screened.at,
            screened_with: screened.used.to_json().to_string(),
            created_at: screened.at,
        };
        row.sealed = self.seal_subject(&row, &asked.subject)?;
        Ok(row)
    }

    /// Whether monitoring was further than the lists of this node when a subject was compared with them. It
    /// is compared again then by a node that has them.
    pub(crate) async fn is_behind(
        &self,
        source: impl Source,
        terms: &Terms,
        used: &Used,
    ) -> Result<bool, AmlError> {
        let progress = aml::progress(source, &self.tenant).await?;
        let behind = |list: &ListUsed| {
            let known = progress.iter().find(|known| known.list == list.name);
            known.is_some_and(|known| {
                let now = if known.target_digest.is_empty() {
                    (&known.digest, &known.list_version)
                } else {
                    (&known.target_digest, &known.target_version)
                };
                *now.0 != list.digest && *now.1 > list.version
            })
        };
        Ok(used.lists.iter().filter(|list| terms.wants(&list.name)).any(behind))
    }
}

fn check(asked: &Asked) -> Result<(), AmlError> {
    asked.terms.check()?;
    if asked.subject.properties.values().all(Vec::is_empty) {
        return Err(AmlError::Invalid("subject", "has nothing to compare".into()));
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
    cutoff: Option<f64>,
) -> Result<Vec<ScreenedHit>, AmlError> {
    // What other topics have must not push anybody out.
    let limit = if terms.topics.is_empty() { HITS_MAX } else { usize::MAX };
    let cutoff = cutoff.map_or(policy.threshold, |cutoff| cutoff.min(policy.threshold));
    let search = Search { policy, cutoff, limit };
    let mut hits = Vec::new();
    for list in lists {
        let name = &list.version().used.name;
        let found =
            list.search(subject, search).map_err(|why| AmlError::List(name.clone(), why))?;
        let found = found.into_iter().filter(|hit| terms.covers(hit.found.listed.get("topics")));
        hits.extend(found.map(|ListHit { id, found }| ScreenedHit {
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
