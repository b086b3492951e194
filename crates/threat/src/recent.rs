//! The different things that were seen of late, exactly, up to a number that is above every
//! threshold.

use std::time::Duration;

use portcullis_types::Timestamp;

/// One thing, each time it was seen folded into it.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Seen {
    /// Its keyed hash.
    pub key: u64,
    /// Something about it that is compared, such as the hash of a password or a browser.
    pub tag: u64,
    /// The bits of its id where it has one, else zero.
    pub id: u128,
    /// The last event of it.
    pub event: u128,
    /// When it was first seen, since it was last forgotten.
    pub first: Timestamp,
    /// When it was last seen.
    pub last: Timestamp,
    /// How often.
    pub times: u32,
    /// How often something else was in `tag` than the time before.
    pub changes: u32,
}

impl Seen {
    /// The same without whose it was, if that is to be left out.
    pub fn nameless(self, leave_out: bool) -> Self {
        if leave_out { Self { id: 0, ..self } } else { self }
    }
}

/// The last `N` different things. The one that was seen least makes room, of equals the one that was
/// not for longest: names that are made up do not push out the one that is tried again and again.
#[derive(Debug, Clone)]
pub(crate) struct Recent<const N: usize> {
    used: usize,
    seen: [Seen; N],
}

impl<const N: usize> Default for Recent<N> {
    fn default() -> Self {
        Self { used: 0, seen: [Seen::default(); N] }
    }
}

impl<const N: usize> Recent<N> {
    /// Notes that it was seen. What was not seen for `window` begins anew.
    pub fn note(&mut self, new: Seen, now: Timestamp, window: Duration) -> &Seen {
        let since = now.minus(window);
        let held = self.seen[..self.used].iter().position(|seen| seen.key == new.key);
        let place = held.unwrap_or_else(|| self.place(since));
        let old = self.seen[place];
        let goes_on = held.is_some() && old.last > since;
        self.seen[place] = Seen {
            first: if goes_on { old.first } else { now },
            last: now,
            times: if goes_on { old.times.saturating_add(1) } else { 1 },
            changes: match (goes_on, old.tag == new.tag) {
                (false, _) => 0,
                (true, same) => old.changes.saturating_add(u32::from(!same)),
            },
            ..new
        };
        &self.seen[place]
    }

    /// What was not seen since then makes room before anything else, however often it was: else old
    /// ones could be made to take all places.
    fn place(&mut self, since: Timestamp) -> usize {
        if self.used < N {
            self.used += 1;
            return self.used - 1;
        }
        let worth = |at: &usize| {
            let Seen { times, last, .. } = self.seen[*at];
            (if last > since { times } else { 0 }, last)
        };
        (0..N).min_by_key(worth).unwrap_or(0)
    }

    /// Forgets them all.
    pub fn clear(&mut self) {
        self.used = 0;
    }

    /// Forgets one of them.
    pub fn forget(&mut self, key: u64) {
        if let Some(at) = self.seen[..self.used].iter().position(|seen| seen.key == key) {
            self.used -= 1;
            self.seen[at] = self.seen[self.used];
        }
    }

    /// Those seen after `since`.
    pub fn after(&self, since: Timestamp) -> impl Iterator<Item = &Seen> {
        self.seen[..self.used].iter().filter(move |seen| seen.last > since)
    }

    /// How many were seen after `since`.
    pub fn count(&self, since: Timestamp) -> usize {
        self.after(since).count()
    }

    /// How many are held, however old.
    pub fn len(&self) -> usize {
        self.used
    }

    /// How many of those seen after `since` share the most frequent tag; zero is no tag.
    pub fn with_one_tag(&self, since: Timestamp) -> usize {
        let of = |tag: u64| self.after(since).filter(|seen| seen.tag == tag).count();
        self.after(since).filter(|seen| seen.tag != 0).map(|seen| of(seen.tag)).max().unwrap_or(0)
    }

    /// How many different tags there are among those seen after `since`.
    pub fn tags(&self, since: Timestamp) -> usize {
        let mut tags = [0; N];
        let mut used = 0;
        for seen in self.after(since) {
            if !tags[..used].contains(&seen.tag) {
                tags[used] = seen.tag;
                used += 1;
            }
        }
        used
    }
}

/// A number of things that is small by construction.
pub(crate) fn small(count: usize) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}

/// Events in each of the last `N` minutes.
#[derive(Debug, Clone)]
pub(crate) struct Minutes<const N: usize> {
    minute: i64,
    counts: [u32; N],
}

impl<const N: usize> Default for Minutes<N> {
    fn default() -> Self {
        Self { minute: 0, counts: [0; N] }
    }
}

impl<const N: usize> Minutes<N> {
    /// Counts `by` more.
    pub fn add(&mut self, by: u32, now: Timestamp) {
        self.turn(now);
        let slot = slot::<N>(self.minute);
        self.counts[slot] = self.counts[slot].saturating_add(by);
    }

    /// How many there were in the last `window`, which is rounded up to minutes.
    pub fn sum(&self, window: Duration, now: Timestamp) -> u64 {
        let minutes = i64::try_from(window.as_secs().div_ceil(60)).unwrap_or(i64::MAX);
        let oldest = minute(now) - minutes.min(N as i64) + 1;
        let newest = self.minute.min(minute(now));
        let from = oldest.max(self.minute - N as i64 + 1);
        (from..=newest).map(|minute| u64::from(self.counts[slot::<N>(minute)])).sum()
    }

    fn turn(&mut self, now: Timestamp) {
        let now = minute(now);
        // A clock that was set back does not bring old minutes back.
        if now > self.minute {
            for minute in (self.minute + 1).max(now - N as i64 + 1)..=now {
                self.counts[slot::<N>(minute)] = 0;
            }
            self.minute = now;
        }
    }
}

fn minute(now: Timestamp) -> i64 {
    now.millis().div_euclid(60_000)
}

fn slot<const N: usize>(minute: i64) -> usize {
    usize::try_from(minute.rem_euclid(N as i64)).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(secs: i64) -> Timestamp {
        Timestamp::from_secs(1_000_000 + secs)
    }

    fn note(recent: &mut Recent<4>, key: u64, tag: u64, secs: i64) -> Seen {
        let seen = Seen { key, tag, ..Seen::default() };
        *recent.note(seen, at(secs), Duration::from_secs(60))
    }

    #[test]
    fn different_ones_are_counted_and_the_oldest_makes_room() {
        let mut recent = Recent::<4>::default();
        for (n, key) in [1, 2, 2, 3, 4, 5].into_iter().enumerate() {
            note(&mut recent, key, key % 2, i64::try_from(n).unwrap());
        }
        let held: Vec<u64> = recent.after(at(-1)).map(|seen| seen.key).collect();
        assert_eq!((held.len(), held.contains(&1)), (4, false));
        assert_eq!(
            (recent.count(at(3)), recent.with_one_tag(at(-1)), recent.tags(at(-1))),
            (2, 2, 2)
        );
        recent.forget(5);
        assert_eq!(recent.len(), 3);
    }

    #[test]
    fn what_was_not_seen_for_long_begins_anew() {
        let mut recent = Recent::<4>::default();
        note(&mut recent, 1, 1, 0);
        let again = note(&mut recent, 1, 2, 50);
        assert_eq!((again.times, again.changes, again.first), (2, 1, at(0)));
        let anew = note(&mut recent, 1, 3, 200);
        assert_eq!((anew.times, anew.changes, anew.first), (1, 0, at(200)));
    }

    #[test]
    fn what_is_old_makes_room_however_often_it_was_seen() {
        let mut recent = Recent::<4>::default();
        for key in [1, 1, 2, 2, 3, 3, 4, 4] {
            note(&mut recent, key, 0, 0);
        }
        for (key, secs) in [(5, 100), (6, 101), (7, 102)] {
            note(&mut recent, key, 0, secs);
        }
        assert_eq!(recent.count(at(99)), 3);
    }

    /// Against a list of all events, at random times.
    #[test]
    fn minutes_are_what_a_list_gives() {
        let (mut minutes, mut all) = (Minutes::<16>::default(), Vec::new());
        let (mut now, mut random) = (0_i64, 7_u64);
        for _ in 0..5_000 {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            now += i64::try_from(random >> 58).unwrap();
            minutes.add(1, at(now));
            all.push(minute(at(now)));
            for window in [1, 5, 16] {
                let exact = all.iter().filter(|m| **m > minute(at(now)) - window).count() as u64;
                let window = Duration::from_secs(60 * u64::try_from(window).unwrap());
                assert_eq!(minutes.sum(window, at(now)), exact);
            }
        }
    }
}
