//! What became of hits that were not found again. One that was only left out (by other terms, or since there
//! are too many) is still a hit: nobody is cleared by a question that does not look at it.

use std::collections::{HashMap, HashSet};

use portcullis_screening::{Entity, Policy, Profile, Verdict, is_compared, score};
use portcullis_store::aml::HitRow;

use super::{AmlError, ListError, ScreenedHit};

/// What a hit is that was not found.
#[derive(Debug, Clone)]
pub(crate) enum Fate {
    /// The entity has left the list.
    Left,
    /// The subject and the entity are not near any more.
    Far,
    /// It is one all the same.
    Near(Box<ScreenedHit>),
}

/// What is known of an entity that was a hit.
pub(crate) enum Known {
    /// It was not looked at.
    Unseen,
    /// It is not on the list.
    Missing,
    /// It is what it is now.
    Listed(Entity),
}

/// How somebody is compared with what was a hit.
pub(crate) struct Comparing<'a> {
    pub subject: &'a Entity,
    /// Whether something else is known of the subject than before.
    pub changed: bool,
    /// What counts now.
    pub policy: &'a Policy,
    /// Under any of these near is near enough.
    pub near: &'a [Policy],
}

impl Comparing<'_> {
    /// The fates of the hits that were not found, by hit. `look` tells what the entity is now.
    pub fn fates(
        &self,
        known: &[HitRow],
        found: &[ScreenedHit],
        look: impl Fn(&HitRow) -> Result<Known, ListError>,
    ) -> Result<HashMap<String, Fate>, AmlError> {
        let found: HashSet<(&str, &str)> =
            found.iter().map(|hit| (hit.list.as_str(), hit.entity_id.as_str())).collect();
        let missing = known.iter().filter(|row| {
            row.gone_at.is_none() && !found.contains(&(row.list.as_str(), row.entity_id.as_str()))
        });
        let mut fates = HashMap::new();
        for row in missing {
            let fate = match look(row).map_err(|why| AmlError::List(row.list.clone(), why))? {
                Known::Unseen => continue,
                Known::Missing => Fate::Left,
                Known::Listed(listed) => self.fate(row, listed),
            };
            fates.insert(row.id.to_string(), fate);
        }
        Ok(fates)
    }

    /// Where nothing has changed a hit is one, whatever the question; otherwise it is while it is as near as
    /// it was, or near enough.
    fn fate(&self, row: &HitRow, listed: Entity) -> Fate {
        let same =
            serde_json::from_str::<Entity>(&row.entity).is_ok_and(|was| is_same(&was, &listed));
        let verdict = self.score(&listed, self.policy);
        let hit = ScreenedHit {
            list: row.list.clone(),
            entity_id: row.entity_id.clone(),
            listed,
            verdict,
            row: None,
        };
        let as_near = hit.score() >= row.score && hit.verdict.schemas_fit;
        let near = || {
            self.near.iter().any(|policy| {
                let verdict = self.score(&hit.listed, policy);
                verdict.schemas_fit && verdict.is_match
            })
        };
        if same && !self.changed || as_near || near() {
            Fate::Near(Box::new(hit))
        } else {
            Fate::Far
        }
    }

    fn score(&self, listed: &Entity, policy: &Policy) -> Verdict {
        score(
            &Profile::beside(self.subject, listed.schema),
            &Profile::beside(listed, self.subject.schema),
            policy,
        )
    }
}

/// Whether two entities say the same. Publishers write values in any order.
pub(crate) fn is_same(one: &Entity, other: &Entity) -> bool {
    same_of(one, other, |_| true)
}

/// Whether the same is known of two subjects, as far as comparisons look at it.
pub(crate) fn is_same_subject(one: &Entity, other: &Entity) -> bool {
    same_of(one, other, is_compared)
}

fn same_of(one: &Entity, other: &Entity, counts: impl Fn(&str) -> bool) -> bool {
    let sorted = |entity: &Entity| -> Vec<(String, Vec<String>)> {
        let properties =
            entity.properties.iter().filter(|(name, values)| counts(name) && !values.is_empty());
        properties
            .map(|(name, values)| {
                let mut values = values.clone();
                values.sort_unstable();
                (name.clone(), values)
            })
            .collect()
    };
    one.schema == other.schema && sorted(one) == sorted(other)
}
