//! What a new comparison changes in the hits that are kept.

use std::collections::HashMap;

use portcullis_events::HitChange;
use portcullis_screening::Entity;
use portcullis_store::aml::{HitRow, SubjectRow};
use portcullis_types::Id;
use serde_json::json;

use super::{
    Aml, AmlError, ScreenedHit, State, Used,
    fate::{Fate, is_same},
    review::{clear_decision, clear_proposal, is_cleared},
};

/// What is merged for which subject.
pub(crate) struct Merging<'a> {
    pub aml: &'a Aml,
    pub row: &'a SubjectRow,
    pub used: &'a Used,
    /// Whether something else is known of the subject than before.
    pub changed: bool,
    /// What became of hits that were not found; the others stay what they are.
    pub fates: &'a HashMap<String, Fate>,
}

/// What is to be written.
#[derive(Debug, Default)]
pub(crate) struct Merge {
    pub hits: Vec<ScreenedHit>,
    pub inserts: Vec<HitRow>,
    /// With the version that each had.
    pub updates: Vec<(HitRow, i64)>,
    pub changes: Vec<HitChange>,
    /// Hits that stay so, though they were not found this time.
    pub standing: Vec<HitRow>,
}

impl Merge {
    /// How many hits there are now.
    pub fn count(&self) -> usize {
        self.hits.len() + self.standing.len()
    }

    /// Whether more speaks against the subject than before.
    pub fn finds_more(&self) -> bool {
        let updates = self.updates.iter().map(|(row, _)| row);
        let stands = |row: &HitRow| row.gone_at.is_none() && !is_cleared(row);
        self.inserts.iter().chain(updates).any(stands)
    }
}

impl Merging<'_> {
    /// What is kept, together with what was found.
    pub fn merge(&self, known: Vec<HitRow>, found: Vec<ScreenedHit>) -> Result<Merge, AmlError> {
        let place = |row: HitRow| ((row.list.clone(), row.entity_id.clone()), row);
        let mut known: HashMap<(String, String), HitRow> = known.into_iter().map(place).collect();
        let mut merge = Merge::default();
        for mut hit in found {
            let row = match known.remove(&(hit.list.clone(), hit.entity_id.clone())) {
                None => self.new_hit(&hit, &mut merge)?,
                Some(row) => self.known_hit(row, &hit, &mut merge)?,
            };
            hit.row = Some(row);
            merge.hits.push(hit);
        }
        let missing = known.into_values().filter(|row| row.gone_at.is_none());
        let mut missing: Vec<HitRow> = missing.collect();
        missing.sort_by_key(|row| row.id.to_string());
        for row in missing {
            match self.fates.get(&row.id.to_string()) {
                Some(Fate::Left) => self.gone(row, &mut merge),
                // With other words about the subject, one person could undo what takes two.
                Some(Fate::Far) if row.state != State::ConfirmedMatch.as_str() => {
                    self.gone(row, &mut merge);
                }
                Some(Fate::Near(hit)) => {
                    let row = self.known_hit(row, hit, &mut merge)?;
                    merge.standing.push(row);
                }
                _ => {
                    let row = self.not_looked_at(row, &mut merge);
                    merge.standing.push(row);
                }
            }
        }
        Ok(merge)
    }

    fn new_hit(&self, hit: &ScreenedHit, merge: &mut Merge) -> Result<HitRow, AmlError> {
        let now = self.aml.now();
        let mut row = HitRow {
            id: Id::new(now, &*self.aml.entropy),
            subject_id: self.row.id,
            reference: self.row.reference.clone(),
            list: hit.list.clone(),
            entity_id: hit.entity_id.clone(),
            list_version: self.version(&hit.list).unwrap_or_default(),
            score: hit.score(),
            entity: entity_text(hit)?,
            reasons: Vec::new(),
            state: State::Unreviewed.as_str().to_owned(),
            note: Vec::new(),
            decided_by: String::new(),
            decided_at: None,
            allowed_until: None,
            proposed_state: String::new(),
            proposed_note: Vec::new(),
            proposed_by: String::new(),
            proposed_at: None,
            proposed_until: None,
            version: 1,
            first_seen_at: now,
            last_seen_at: now,
            gone_at: None,
        };
        row.reasons = self.reasons(&row, hit)?;
        merge.changes.push(change("new", &row));
        merge.inserts.push(row.clone());
        Ok(row)
    }

    /// A hit stays what people found it to be while nothing has changed. Where something has, somebody who
    /// was cleared is looked at again, unless it is only the list that changed and they are on the allow list
    /// for now.
    fn known_hit(
        &self,
        before: HitRow,
        hit: &ScreenedHit,
        merge: &mut Merge,
    ) -> Result<HitRow, AmlError> {
        let entity = entity_text(hit)?;
        let same = serde_json::from_str::<Entity>(&before.entity)
            .is_ok_and(|was| is_same(&was, &hit.listed));
        let other = !same || self.changed || before.gone_at.is_some();
        // The highest score that it ever had stays: callers with different policies would undo each other's.
        if !other && hit.score() <= before.score {
            return Ok(before);
        }
        let now = self.aml.now();
        let mut row = HitRow {
            list_version: self.version(&hit.list).unwrap_or(before.list_version),
            score: hit.score(),
            entity,
            last_seen_at: now,
            gone_at: None,
            ..before
        };
        row.reasons = self.reasons(&row, hit)?;
        let allowed = !self.changed && row.allowed_until.is_some_and(|until| until > now.micros());
        let rose = hit.score() > before.score;
        if (other || rose) && !allowed && row.state == State::FalsePositive.as_str() {
            clear_decision(&mut row);
        }
        // What somebody proposed was about something else.
        clear_proposal(&mut row);
        merge.changes.push(change("changed", &row));
        let was = row.version;
        row.version += 1;
        merge.updates.push((row.clone(), was));
        Ok(row)
    }

    /// A hit that nobody could compare: what was decided about it was about the subject as it was.
    fn not_looked_at(&self, mut row: HitRow, merge: &mut Merge) -> HitRow {
        let decided = row.state == State::FalsePositive.as_str() || !row.proposed_state.is_empty();
        if self.changed && decided {
            if row.state == State::FalsePositive.as_str() {
                clear_decision(&mut row);
            }
            clear_proposal(&mut row);
            merge.changes.push(change("changed", &row));
            let was = row.version;
            row.version += 1;
            merge.updates.push((row.clone(), was));
        }
        row
    }

    fn gone(&self, mut row: HitRow, merge: &mut Merge) {
        row.gone_at = Some(self.aml.now().micros());
        clear_proposal(&mut row);
        merge.changes.push(change("gone", &row));
        let was = row.version;
        row.version += 1;
        merge.updates.push((row, was));
    }

    fn version(&self, list: &str) -> Option<String> {
        let used = self.used.lists.iter().find(|used| used.name == list);
        let used = used.map(|used| used.version.clone());
        used.or_else(|| Some(self.aml.lists().named(list)?.version().used.version.clone()))
    }

    fn reasons(&self, row: &HitRow, hit: &ScreenedHit) -> Result<Vec<u8>, AmlError> {
        let text = hit.verdict.text(&self.used.policy);
        let reasons = json!({ "reasons": hit.verdict.to_json(), "text": text });
        self.aml.seal_reasons(row, &reasons)
    }
}

fn entity_text(hit: &ScreenedHit) -> Result<String, AmlError> {
    serde_json::to_string(&hit.listed).map_err(|_| AmlError::Sealed)
}

fn change(change: &'static str, row: &HitRow) -> HitChange {
    HitChange {
        change,
        hit: Some(row.id.to_string()),
        list: row.list.clone(),
        entity: row.entity_id.clone(),
        #[expect(clippy::cast_precision_loss, reason = "at most 10,000")]
        score: row.score as f64 / 10_000.0,
    }
}
