//! What became of hits that were not found again. One that was only left out (by other terms, or since there
//! are too many) is still a hit: nobody is cleared by a question that does not look at it.

use std::collections::{HashMap, HashSet};

use portcullis_screening::{Entity, Policy, Profile, score};
use portcullis_store::aml::HitRow;

use super::{AmlError, ListError, ScreenedHit};

/// Why a hit is none any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fate {
    /// The entity has left the list.
    Left,
    /// The subject and the entity are not near any more.
    Far,
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

/// The fates of the hits that were not found, by hit. `look` tells what the entity is now. A hit that is near
/// under any of the policies stays one.
pub(crate) fn fates(
    known: &[HitRow],
    found: &[ScreenedHit],
    subject: &Entity,
    policies: &[Policy],
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
            Known::Unseen => None,
            Known::Missing => Some(Fate::Left),
            Known::Listed(listed) => {
                let near = policies.iter().any(|policy| is_near(subject, &listed, policy));
                (!near).then_some(Fate::Far)
            }
        };
        fate.and_then(|fate| fates.insert(row.id.to_string(), fate));
    }
    Ok(fates)
}

fn is_near(subject: &Entity, listed: &Entity, policy: &Policy) -> bool {
    let verdict = score(
        &Profile::beside(subject, listed.schema),
        &Profile::beside(listed, subject.schema),
        policy,
    );
    verdict.schemas_fit && verdict.is_match
}
