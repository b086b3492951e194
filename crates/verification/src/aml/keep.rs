//! Subjects that are kept: their hits as they are now, together with what people found them to be.

use portcullis_events::{Actor, ListUsed, Origin, Screening};
use portcullis_screening::Policy;
use portcullis_store::{
    Source, Tx,
    aml::{self, SubjectRow},
};
use portcullis_types::Id;

use super::{
    Aml, AmlError, Asked, Screened, Terms, Used,
    fate::is_same_subject,
    merge::{Merge, Merging},
    screen::{Again, EVENT_MAX_CHANGES},
    subject::monitored,
};

/// The cause of a verdict that somebody asked for: they have it.
const ON_REQUEST: &str = "request";
/// How often a screening is done again whose subject changed meanwhile.
const KEEP_ATTEMPTS: u32 = 5;

impl Aml {
    /// Screens a subject that is kept. Who it was before is read first; if that changes meanwhile, it is
    /// looked at again.
    pub(super) async fn keep(
        &self,
        asked: &Asked,
        reference: &str,
        by: &Actor,
        origin: &Origin,
    ) -> Result<Screened, AmlError> {
        let mut attempt = 1;
        loop {
            match self.try_keep(asked, reference, by, origin).await {
                Err(AmlError::Stale) if attempt < KEEP_ATTEMPTS => attempt += 1,
                done => return done,
            }
        }
    }

    async fn try_keep(
        &self,
        asked: &Asked,
        reference: &str,
        by: &Actor,
        origin: &Origin,
    ) -> Result<Screened, AmlError> {
        let before = aml::by_reference(&self.db, &self.tenant, reference).await?;
        let known = match &before {
            Some(row) => aml::of_subject(&self.db, &self.tenant, row.id).await?,
            None => Vec::new(),
        };
        // Whoever cannot be opened any more is written anew.
        let opened = before.as_ref().and_then(|row| self.open_subject(row).ok());
        let changed =
            opened.as_ref().is_none_or(|(subject, _)| !is_same_subject(subject, &asked.subject));
        let old = opened.map(|(_, terms)| terms);
        let terms = asked.terms.over(old.clone().unwrap_or_default());
        // Lists that are named now must be there; of those that were named once, some may be retired.
        let named = asked.terms.lists.is_some();
        let (lists, used) = self.using(&terms, named)?;
        // Terms that look at less clear nobody.
        let near = [
            Some(terms.base(&self.settings)?),
            old.and_then(|old| old.policy(&self.settings).ok()),
        ];
        let near: Vec<Policy> = near.into_iter().flatten().collect();
        let again = Again { terms: terms.clone(), policy: used.policy.clone(), near, changed };
        let (hits, fates) = self.look_again(lists, &asked.subject, again, &known).await?;
        let at = self.now();
        let screened = &Screened { subject: None, hits, standing: Vec::new(), used, at };
        let (before, known, terms, fates) = (&before, &known, &terms, &fates);
        self.db
            .write(|tx| async move {
                let mut row =
                    self.write_subject(&tx, asked, (reference, terms), before, screened).await?;
                if let Some(before) = before.as_ref().filter(|one| one.monitored != row.monitored) {
                    let kind = monitored(row.id, before.monitored, row.monitored);
                    tx.emit(self.event(by, Some(origin), kind)).await?;
                }
                let ended = |one: &SubjectRow| {
                    changed || one.monitored && !row.monitored || one.terms != row.terms
                };
                if before.as_ref().is_some_and(ended) {
                    row.findings = aml::found(&tx, &self.tenant, row.id).await?;
                }
                if *known != aml::of_subject(&tx, &self.tenant, row.id).await? {
                    return Err(AmlError::Stale);
                }
                let used = &screened.used;
                let merging = Merging { aml: self, row: &row, used, changed, fates };
                let merge = merging.merge(known.clone(), screened.hits.clone())?;
                let verdict = self.verdict(ON_REQUEST, &asked.subject, used, merge.count());
                row.findings =
                    self.write_merge(&tx, &row, &merge, verdict, by, Some(origin)).await?;
                let Merge { hits, standing, .. } = merge;
                Ok(Screened { subject: Some(row), hits, standing, ..screened.clone() })
            })
            .await
    }

    /// Writes a subject as it is asked about; it must be what it was before.
    async fn write_subject(
        &self,
        tx: &Tx,
        asked: &Asked,
        (reference, terms): (&str, &Terms),
        before: &Option<SubjectRow>,
        screened: &Screened,
    ) -> Result<SubjectRow, AmlError> {
        let is_off = self.is_off(tx, &screened.used).await?;
        let mut row = SubjectRow {
            id: Id::new(screened.at, &*self.entropy),
            reference: reference.to_owned(),
            sealed: Vec::new(),
            terms: serde_json::to_string(terms).map_err(|_| AmlError::Sealed)?,
            policy: terms.policy.clone().unwrap_or_default(),
            monitored: asked.monitor.unwrap_or(false),
            recheck: is_off,
            version: 1,
            screened_at: screened.at,
            screened_with: screened.used.to_json().to_string(),
            created_at: screened.at,
            findings: 0,
        };
        if let Some(before) = before {
            row.id = before.id;
            row.created_at = before.created_at;
            row.monitored = asked.monitor.unwrap_or(before.monitored);
            row.version = before.version + 1;
            row.findings = before.findings;
        }
        row.sealed = self.seal_subject(&row, &asked.subject)?;
        match before {
            Some(before) => {
                if !aml::update(tx, &self.tenant, &row, before.version).await? {
                    return Err(AmlError::Stale);
                }
            }
            None => {
                if aml::by_reference(tx, &self.tenant, reference).await?.is_some() {
                    return Err(AmlError::Stale);
                }
                aml::insert(tx, &self.tenant, &row).await?;
            }
        }
        Ok(row)
    }

    /// Writes hits as they are now, and the verdict to the audit log. Tells how much was found against the subject
    /// by now.
    pub(crate) async fn write_merge(
        &self,
        tx: &Tx,
        row: &SubjectRow,
        merge: &Merge,
        verdict: Screening,
        by: &Actor,
        origin: Option<&Origin>,
    ) -> Result<i64, AmlError> {
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
        if verdict.cause != ON_REQUEST
            && let Some(webhooks) = self.inner().told.get()
        {
            webhooks.tell_hits(tx, row, &verdict).await?;
        }
        tx.emit(self.screened_event(by, origin, verdict)).await?;
        Ok(match merge.finds_more() {
            true => aml::found(tx, &self.tenant, row.id).await?,
            false => row.findings,
        })
    }

    /// Whether monitoring is at other versions or rules than those with which somebody was compared. They are
    /// compared again then by a node that has the same.
    pub(crate) async fn is_off(&self, source: impl Source, used: &Used) -> Result<bool, AmlError> {
        let progress = aml::progress(source, &self.tenant).await?;
        let off = |list: &ListUsed| {
            let known = progress.iter().find(|known| known.list == list.name);
            if known.is_some_and(|known| known.retired_at.is_some()) {
                return true;
            }
            // Whoever is there before the first run is compared by it.
            let known =
                known.filter(|one| !(one.digest.is_empty() && one.target_digest.is_empty()));
            known.is_some_and(|known| {
                let under_way = !known.target_digest.is_empty();
                let (digest, basis) = match under_way {
                    true => (&known.target_digest, &known.target_basis),
                    false => (&known.digest, &known.basis),
                };
                *digest != list.digest || basis != self.basis()
            })
        };
        Ok(used.lists.iter().any(off))
    }
}
