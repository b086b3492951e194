use std::{
    str::FromStr,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use portcullis_types::{Entropy, HashKey, Timestamp};

/// Keys a table holds before old ones make room.
const DEFAULT_KEYS: usize = 1 << 16;
/// A key may live in one of this many neighbouring places.
const WAYS: usize = 8;
/// A time that lies back so far, in microseconds, is no late request but a clock that was set.
const SET_BACK: i64 = 300_000_000;
/// Locks over the table, so that threads rarely meet.
const SHARDS: usize = 64;

/// So many events in so much time, such as `120/min`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    /// Events.
    pub count: u32,
    /// In this time.
    pub per: Duration,
}

/// The text is not a rate.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("expected a rate such as 5/min: a count of 1 to 1000000, a slash, and s, min, h or day")]
pub struct RateError;

impl FromStr for Rate {
    type Err = RateError;

    fn from_str(text: &str) -> Result<Self, RateError> {
        let (count, unit) = text.split_once('/').ok_or(RateError)?;
        let per = match unit {
            "s" | "sec" => 1,
            "min" => 60,
            "h" | "hour" => 3_600,
            "d" | "day" => 86_400,
            _ => return Err(RateError),
        };
        let plain = !count.is_empty() && count.bytes().all(|b| b.is_ascii_digit());
        let count = count.parse().ok().filter(|count| plain && (1..=1_000_000).contains(count));
        Ok(Self { count: count.ok_or(RateError)?, per: Duration::from_secs(per) })
    }
}

/// How much of a rate may come at once, and how much of it one event takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Allowance {
    /// The rate.
    pub rate: Rate,
    /// Events that may come at once.
    pub burst: u32,
    /// What one event counts for.
    pub cost: u32,
}

impl From<Rate> for Allowance {
    fn from(rate: Rate) -> Self {
        Self { rate, burst: rate.count, cost: 1 }
    }
}

/// What the limiter says about one event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision {
    /// It may pass.
    Allowed {
        /// How many more may pass at once.
        remaining: u32,
        /// When the allowance is whole again.
        reset: Duration,
    },
    /// It may not.
    Refused {
        /// When it is worth trying again.
        retry_after: Duration,
        /// Whether this refusal began a block, which happens once for each block.
        block_began: bool,
    },
}

/// Counts events by key with GCRA (the generic cell rate algorithm), in a table of fixed size.
///
/// The state of a key is one time: when its allowance would be whole again. A block is a second
/// time that outlives the window and that further attempts do not move. When a set of places is
/// full, the key whose state matters least makes room, and keys under a block go last.
pub struct Limiter {
    key: HashKey,
    shards: Vec<Mutex<Vec<Entry>>>,
    sets: usize,
}

#[derive(Clone, Copy, Default)]
struct Entry {
    fingerprint: u128,
    /// Theoretical arrival time, in microseconds.
    whole_at: i64,
    blocked_until: i64,
    /// How long that was, in microseconds.
    block: i64,
}

impl Limiter {
    /// A limiter for the usual number of keys.
    pub fn new(entropy: &dyn Entropy) -> Self {
        Self::with_keys(DEFAULT_KEYS, entropy)
    }

    /// A limiter that holds about `keys` keys.
    pub fn with_keys(keys: usize, entropy: &dyn Entropy) -> Self {
        let sets = (keys / WAYS / SHARDS).max(1);
        let shard = || Mutex::new(vec![Entry::default(); sets * WAYS]);
        Self { key: HashKey::new(entropy), shards: (0..SHARDS).map(|_| shard()).collect(), sets }
    }

    /// Counts one event of `key` (its parts name the limit and whom it is for) against `rate`. A
    /// refusal blocks the key for `block`, if that is given.
    pub fn count(
        &self,
        key: &[&[u8]],
        allowance: impl Into<Allowance>,
        block: Option<Duration>,
        now: Timestamp,
    ) -> Decision {
        let (fingerprint, allowance) = (self.key.fingerprint(key), allowance.into());
        self.with_entry(fingerprint, now, |entry| decide(entry, allowance, block, now))
    }

    /// What [`Limiter::count`] would say, without counting anything.
    pub fn look(&self, key: &[&[u8]], allowance: impl Into<Allowance>, now: Timestamp) -> Decision {
        let fingerprint = self.key.fingerprint(key);
        let (shard, range) = self.place(fingerprint);
        let mut shard = self.shards[shard].lock().unwrap_or_else(PoisonError::into_inner);
        let known = shard[range].iter_mut().find(|entry| entry.fingerprint == fingerprint);
        let mut copy = known.map_or_else(Entry::default, |entry| {
            let_go(entry, now);
            *entry
        });
        decide(&mut copy, allowance.into(), None, now)
    }

    /// Takes back what an event was counted for.
    pub fn give_back(&self, key: &[&[u8]], allowance: impl Into<Allowance>, now: Timestamp) {
        let Allowance { rate, cost, .. } = allowance.into();
        let per = i64::try_from(rate.per.as_micros()).unwrap_or(i64::MAX);
        let back = (per / i64::from(rate.count.max(1))).saturating_mul(i64::from(cost));
        let fingerprint = self.key.fingerprint(key);
        self.with_entry(fingerprint, now, |entry| {
            entry.whole_at = entry.whole_at.saturating_sub(back).max(0);
        });
    }

    /// How long `key` is still blocked, without counting anything.
    pub fn blocked_for(&self, key: &[&[u8]], now: Timestamp) -> Option<Duration> {
        let fingerprint = self.key.fingerprint(key);
        let (shard, range) = self.place(fingerprint);
        let mut shard = self.shards[shard].lock().unwrap_or_else(PoisonError::into_inner);
        let entry = shard[range].iter_mut().find(|entry| entry.fingerprint == fingerprint)?;
        let_go(entry, now);
        remaining(entry.blocked_until, now)
    }

    /// Forgets everything about `key`: an operator lifted the block.
    pub fn forget(&self, key: &[&[u8]]) {
        let fingerprint = self.key.fingerprint(key);
        let (shard, range) = self.place(fingerprint);
        let mut shard = self.shards[shard].lock().unwrap_or_else(PoisonError::into_inner);
        for entry in shard[range].iter_mut().filter(|entry| entry.fingerprint == fingerprint) {
            *entry = Entry::default();
        }
    }

    /// Blocks `key` until `until`, as it was before a restart.
    pub fn restore_block(&self, key: &[&[u8]], until: Timestamp, now: Timestamp) {
        let fingerprint = self.key.fingerprint(key);
        let block = i64::try_from(until.since(now).as_micros()).unwrap_or(i64::MAX);
        self.with_entry(fingerprint, now, |entry| {
            (entry.blocked_until, entry.block) = (until.micros(), block);
        });
    }

    fn place(&self, fingerprint: u128) -> (usize, std::ops::Range<usize>) {
        let bytes = fingerprint.to_le_bytes();
        let shard = usize::from(bytes[0]) % SHARDS;
        let spread = u32::from_le_bytes([bytes[1], bytes[2], bytes[3], bytes[4]]);
        let first = spread as usize % self.sets * WAYS;
        (shard, first..first + WAYS)
    }

    fn with_entry<T>(
        &self,
        fingerprint: u128,
        now: Timestamp,
        change: impl FnOnce(&mut Entry) -> T,
    ) -> T {
        let (shard, range) = self.place(fingerprint);
        let mut shard = self.shards[shard].lock().unwrap_or_else(PoisonError::into_inner);
        let set = &mut shard[range];
        let place = set.iter().position(|entry| entry.fingerprint == fingerprint);
        let place = place.unwrap_or_else(|| {
            let weight = |entry: &Entry| {
                (entry.blocked_until.max(now.micros()), entry.whole_at.max(now.micros()))
            };
            let lightest = (0..WAYS).min_by_key(|at| weight(&set[*at])).unwrap_or(0);
            set[lightest] = Entry { fingerprint, ..Entry::default() };
            lightest
        });
        change(&mut set[place])
    }
}

impl std::fmt::Debug for Limiter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Limiter")
    }
}

fn decide(
    entry: &mut Entry,
    allowance: Allowance,
    block: Option<Duration>,
    now: Timestamp,
) -> Decision {
    let Allowance { rate, burst, cost } = allowance;
    let per = i64::try_from(rate.per.as_micros()).unwrap_or(i64::MAX);
    let emission = per / i64::from(rate.count);
    let burst = emission.saturating_mul(i64::from(burst));
    // What is further ahead than it can have been put was put there before the clock was set back:
    // nobody must wait until it is that late again. Requests bring the time at which they began, so
    // a little is nothing.
    if entry.whole_at > now.micros().saturating_add(burst).saturating_add(SET_BACK) {
        entry.whole_at = now.micros();
    }
    let_go(entry, now);
    if let Some(retry_after) = remaining(entry.blocked_until, now) {
        return Decision::Refused { retry_after, block_began: false };
    }
    // After a block the key starts afresh.
    let base = if entry.blocked_until > 0 && entry.whole_at <= entry.blocked_until {
        now.micros()
    } else {
        entry.whole_at.max(now.micros())
    };
    let next = base.saturating_add(emission.saturating_mul(i64::from(cost)));
    if next.saturating_sub(now.micros()) > burst {
        let wait = next.saturating_sub(now.micros()).saturating_sub(burst);
        let wait = Duration::from_micros(u64::try_from(wait).unwrap_or(0));
        let Some(block) = block else {
            return Decision::Refused { retry_after: wait, block_began: false };
        };
        entry.blocked_until = now.plus(block).micros();
        entry.block = i64::try_from(block.as_micros()).unwrap_or(i64::MAX);
        return Decision::Refused { retry_after: block, block_began: true };
    }
    entry.whole_at = next;
    let used = next - now.micros();
    let left = (burst - used) / emission.max(1);
    Decision::Allowed {
        remaining: u32::try_from(left).unwrap_or(0),
        reset: Duration::from_micros(u64::try_from(used).unwrap_or(0)),
    }
}

/// A block that ends later than it can, since the clock was set back, is as long as it was from now
/// on: it must pass, and not wait for the clock to be there again.
fn let_go(entry: &mut Entry, now: Timestamp) {
    let end = now.micros().saturating_add(entry.block);
    if entry.blocked_until > end.saturating_add(SET_BACK) {
        entry.blocked_until = end;
    }
}

fn remaining(until: i64, now: Timestamp) -> Option<Duration> {
    let left = Timestamp::from_micros(until).since(now);
    (left > Duration::ZERO).then_some(left)
}
