//! Who reads what is not theirs, or too much of what is.

use std::time::Duration;

use portcullis_events::{RequestSeen, Stage};
use portcullis_types::{Prefix, Timestamp};

use crate::{
    Answer, Exfiltration, ObjectEnumeration,
    detect::crowds::{Crowd, source},
    recent::{Minutes, Recent, Seen, small},
    sight::Sight,
    table::{Kept, Table},
    watch::{Found, Raise},
};

/// Objects that were refused, remembered for each reader. No threshold can be higher.
pub(crate) const OBJECTS: usize = 24;
/// No threshold of different objects can be higher: the estimate ends somewhere above it.
pub(crate) const READS: usize = 2_000;
const HOUR: Duration = Duration::from_secs(3600);
const WORDS: usize = 16;

/// About how many different things there were: linear counting over 1,024 bits, which is exact to a
/// few per cent up to some thousands.
#[derive(Debug, Clone, Default)]
pub(crate) struct Different([u64; WORDS]);

impl Different {
    pub fn note(&mut self, key: u64) {
        let bit = key >> 54;
        self.0[usize::try_from(bit / 64).unwrap_or(0)] |= 1 << (bit % 64);
    }

    fn marks(&self) -> u32 {
        self.0.iter().map(|word| word.count_ones()).sum()
    }

    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "between zero and some thousands"
    )]
    pub fn count(&self) -> usize {
        let bits = (WORDS * 64) as f64;
        let unset: u32 = self.0.iter().map(|word| word.count_zeros()).sum();
        (bits * (bits / f64::from(unset.max(1))).ln()).round() as usize
    }
}

/// What one reader asked of one route.
#[derive(Debug, Clone, Default)]
pub(crate) struct Reach {
    missing: Recent<OBJECTS>,
    /// Objects in this window and the one before.
    read: [Different; 2],
    window_from: Timestamp,
    kilobytes: Minutes<60>,
}

impl Kept for Reach {
    const STALE: Duration = HOUR;

    fn weight(&self) -> u32 {
        small(8 * self.missing.len()) + self.read[0].marks()
    }

    fn clear(&mut self) {
        self.missing.clear();
        (self.read, self.kilobytes) = Default::default();
        self.window_from = Timestamp::default();
    }
}

/// Looks at a request that reached its route.
pub(crate) fn request(
    sight: &Sight<'_>,
    seen: &RequestSeen,
    table: &mut Table<Reach>,
    crowds: &Table<Crowd>,
    raise: &mut Raise<'_>,
) {
    let (Some(addr), Some(route)) = (sight.addr(), &seen.route) else { return };
    let network = Prefix::from(addr.key());
    let who = sight.who(&sight.event.actor);
    let reader = who.map_or_else(|| sight.network(network), |who| who.key);
    let key = sight.both(b'o', reader, route);
    let object = sight.text(b'j', &seen.path);
    let reach = table.entry(key, sight.now);
    let of_service = matches!(seen.refused_at, None | Some(Stage::Authorise));
    if of_service && matches!(seen.status, 403 | 404) {
        let rule = raise.rules.object_enumeration;
        let this =
            Seen { key: object, tag: seen.status.into(), event: sight.id, ..Seen::default() };
        reach.missing.note(this, sight.now, rule.window.0);
        let since = sight.ago(rule.window.0);
        let objects = reach.missing.count(since);
        if objects < rule.objects.0.min(OBJECTS) {
            return;
        }
        let person = who.map(|who| who.id).filter(|id| *id != 0);
        // What is missing may be a page that is badly made, or made to get its visitors blocked.
        let refused = reach.missing.after(since).filter(|seen| seen.tag == 403).count();
        let answer = match person {
            // Whoever has a token would pass a block.
            Some(_) if refused * 2 >= objects => Answer::EndSessions,
            _ => Answer::Alert,
        };
        raise.raise(&ObjectEnumeration::RULE, key, || Found {
            sources: match person {
                // Where a person is has its place in the events.
                Some(_) => Vec::new(),
                None => vec![source(sight, crowds, network)],
            },
            accounts: person.into_iter().collect(),
            seen: reach.missing.after(since).copied().collect(),
            session: seen.session.clone(),
            answer: Some(answer),
            description: format!(
                "{objects} different objects of the route {route} were refused or missing within \
                 {} s.",
                rule.window.0.as_secs()
            ),
            ..Found::default()
        });
    } else if seen.refused_at.is_none() && seen.status < 400 {
        read(sight, seen, (key, object), reach, raise);
    }
}

fn read(
    sight: &Sight<'_>,
    seen: &RequestSeen,
    (key, object): (u64, u64),
    reach: &mut Reach,
    raise: &mut Raise<'_>,
) {
    let rule = raise.rules.exfiltration;
    let window = rule.window.0;
    if sight.now.since(reach.window_from) >= window {
        let gap = sight.now.since(reach.window_from) >= window * 2;
        reach.read =
            [Different::default(), if gap { Different::default() } else { reach.read[0].clone() }];
        reach.window_from = sight.now;
    }
    reach.read[0].note(object);
    let kilobytes = seen.bytes.unwrap_or(0).div_ceil(1_024);
    reach.kilobytes.add(u32::try_from(kilobytes).unwrap_or(u32::MAX), sight.now);
    let bytes = reach.kilobytes.sum(window, sight.now).saturating_mul(1_024);
    let objects = reach.read[0].count();
    if objects < rule.objects.0.min(READS) && bytes < rule.bytes.0 as u64 {
        return;
    }
    let who = sight.who(&sight.event.actor);
    raise.raise(&Exfiltration::RULE, key, || Found {
        accounts: who.map(|who| who.id).into_iter().collect(),
        session: seen.session.clone(),
        description: format!(
            "About {objects} different objects and {bytes} bytes of the route {} were read within \
             {} s; {} objects in the time before.",
            seen.route.as_deref().unwrap_or("-"),
            window.as_secs(),
            reach.read[1].count()
        ),
        ..Found::default()
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn different_things_are_counted_to_a_few_per_cent() {
        let key = portcullis_types::HashKey::from_bytes([7; 16]);
        for n in [1_u64, 10, 100, 300, 1_000, 2_000] {
            let mut different = Different::default();
            for _ in 0..3 {
                (0..n).for_each(|number| different.note(key.hash(&[number], b"")));
            }
            let off = different.count().abs_diff(usize::try_from(n).unwrap());
            assert!(off <= usize::try_from(n).unwrap() / 10, "{n}: {}", different.count());
        }
    }
}
