use std::{
    collections::HashSet,
    mem,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use portcullis_types::{Entropy, HashKey, Timestamp};

/// What one generation remembers at most.
const CAPACITY: usize = 65_536;

/// What was seen lately and must not be seen again, such as the ids of DPoP proofs.
///
/// Two generations: one that fills, and the one before it. They change places when the first is as
/// old as what it remembers can live, or when it is full; so memory is bounded, and something is
/// forgotten early only when more than [`CAPACITY`] others came after it within its life: so give
/// things that cost different effort to make a table each.
pub struct Replays {
    lifetime: Duration,
    key: HashKey,
    generations: Mutex<Generations>,
}

#[derive(Default)]
struct Generations {
    current: HashSet<u128>,
    previous: HashSet<u128>,
    begun: Timestamp,
}

impl Replays {
    /// Remembers everything for at least `lifetime`.
    pub fn new(lifetime: Duration, entropy: &dyn Entropy) -> Self {
        Self { lifetime, key: HashKey::new(entropy), generations: Mutex::default() }
    }

    /// Whether this is the first time that `parts` are seen.
    pub fn first(&self, parts: &[&str], now: Timestamp) -> bool {
        let parts: Vec<&[u8]> = parts.iter().map(|part| part.as_bytes()).collect();
        let seen = self.key.fingerprint(&parts);
        let mut generations = self.lock();
        if now.since(generations.begun) >= self.lifetime || generations.current.len() >= CAPACITY {
            // Nothing of a generation that ended a whole life ago can come again.
            let stale = now.since(generations.begun) >= self.lifetime * 2;
            generations.previous = mem::take(&mut generations.current);
            if stale {
                generations.previous = HashSet::new();
            }
            generations.begun = now;
        }
        !generations.previous.contains(&seen) && generations.current.insert(seen)
    }

    fn lock(&self) -> MutexGuard<'_, Generations> {
        self.generations.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl std::fmt::Debug for Replays {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Replays").field("lifetime", &self.lifetime).finish_non_exhaustive()
    }
}
