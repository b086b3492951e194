//! Addresses that many people share: offices, the gateways of carriers.

use std::time::Duration;

use portcullis_events::Actor;
use portcullis_types::{Prefix, Timestamp};

use crate::{
    Source,
    recent::small,
    sight::Sight,
    table::{Kept, Table},
};

/// People remembered for each network.
const PEOPLE: usize = 8;
/// A network where so many people were within a day belongs to many.
const SHARED: usize = 5;
const DAY: Duration = Duration::from_secs(24 * 3600);

/// Who was at a network, logged in. What fails elsewhere does not make it forgotten.
#[derive(Debug, Clone, Default)]
pub(crate) struct Crowd {
    people: [(u64, Timestamp); PEOPLE],
}

impl Kept for Crowd {
    const STALE: Duration = DAY;

    fn weight(&self) -> u32 {
        small(self.people.iter().filter(|(key, _)| *key != 0).count())
    }
}

impl Crowd {
    fn note(&mut self, key: u64, now: Timestamp) {
        let held = self.people.iter().position(|(known, _)| *known == key);
        let oldest = || (0..PEOPLE).min_by_key(|at| self.people[*at].1).unwrap_or(0);
        let place = held.unwrap_or_else(oldest);
        self.people[place] = (key, now);
    }

    fn count(&self, since: Timestamp) -> usize {
        self.people.iter().filter(|(key, last)| *key != 0 && *last > since).count()
    }
}

/// Somebody is there: a login, or a request under one.
pub(crate) fn present(sight: &Sight<'_>, table: &mut Table<Crowd>) {
    let Some(addr) = sight.addr() else { return };
    let Actor::User { .. } = &sight.event.actor else { return };
    let Some(who) = sight.who(&sight.event.actor) else { return };
    for level in sight.levels(addr) {
        table.entry(level.key, sight.now).note(who.key, sight.now);
    }
}

/// How many people were at a network since then; at most eight are told apart.
pub(crate) fn people(table: &Table<Crowd>, key: u64, since: Timestamp) -> usize {
    table.get(key).map_or(0, |crowd| crowd.count(since))
}

/// Whether many people are there.
pub(crate) fn is_shared(table: &Table<Crowd>, key: u64, now: Timestamp) -> bool {
    people(table, key, now.minus(DAY)) >= SHARED
}

/// A network, and whether many people are there.
pub(crate) fn source(sight: &Sight<'_>, table: &Table<Crowd>, network: Prefix) -> Source {
    Source { network, shared: is_shared(table, sight.network(network), sight.now) }
}
