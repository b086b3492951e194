//! A table of fixed size for what attackers choose the keys of.

use std::time::Duration;

use portcullis_types::Timestamp;

/// A key may live in one of this many neighbouring places.
const WAYS: usize = 8;

/// What a table holds for a key.
pub(crate) trait Kept: Clone + Default {
    /// After so long it weighs nothing.
    const STALE: Duration;

    /// How much it would cost to forget this. What weighs least makes room, of equals the one that
    /// was not looked at for longest; a flood of keys that are seen once must weigh less than
    /// whatever is under watch.
    fn weight(&self) -> u32;

    /// Makes it as new, without touching more memory than it has to.
    fn clear(&mut self) {
        *self = Self::default();
    }
}

/// What says who makes room, apart from the values: eight of them are two cache lines.
#[derive(Debug, Clone, Copy, Default)]
struct Place {
    key: u64,
    /// As it was when it was last looked at.
    weight: u32,
    /// In seconds.
    last: u32,
}

/// Keys are keyed hashes, so nobody can aim for one place. Looking costs the same however full it
/// is, and nothing is allocated after the start.
#[derive(Debug)]
pub(crate) struct Table<V> {
    places: Vec<Place>,
    values: Vec<V>,
    /// In seconds.
    stale: u32,
}

impl<V: Kept> Table<V> {
    /// Room for about `capacity` keys.
    pub fn new(capacity: usize) -> Self {
        Self::forgetting(capacity, V::STALE)
    }

    /// The same, where a key weighs nothing any more after another time than usual.
    pub fn forgetting(capacity: usize, stale: Duration) -> Self {
        let places = capacity.next_multiple_of(WAYS).max(WAYS);
        let stale = u32::try_from(stale.as_secs()).unwrap_or(u32::MAX);
        Self { places: vec![Place::default(); places], values: vec![V::default(); places], stale }
    }

    /// Bytes of each key, besides what its value has elsewhere.
    pub const EACH: usize = size_of::<Place>() + size_of::<V>();

    /// What is held for `key`, if anything.
    pub fn get(&self, key: u64) -> Option<&V> {
        self.values.get(self.place(key)?)
    }

    /// The same, to change it.
    pub fn held(&mut self, key: u64) -> Option<&mut V> {
        let place = self.place(key)?;
        self.values.get_mut(place)
    }

    /// What is held for `key`; a new one takes the place of whatever weighs least.
    pub fn entry(&mut self, key: u64, now: Timestamp) -> &mut V {
        let last = u32::try_from(now.millis() / 1_000).unwrap_or(0);
        let held = self.place(key);
        let place = held.unwrap_or_else(|| self.lightest(self.set(key), last));
        let value = &mut self.values[place];
        if held.is_none() {
            value.clear();
        }
        self.places[place] = Place { key, weight: value.weight(), last };
        value
    }

    /// How many keys there is room for.
    pub fn len(&self) -> usize {
        self.values.len()
    }

    /// Every key that is held, with what is held for it.
    pub fn iter(&self) -> impl Iterator<Item = (u64, &V)> {
        let all = self.places.iter().zip(&self.values);
        all.filter(|(place, _)| place.key != 0).map(|(place, value)| (place.key, value))
    }

    /// Changes what is held from the place `start` on, in at most so many places, and weighs it
    /// anew. How many places were looked at.
    pub fn change_from(
        &mut self,
        start: usize,
        most: usize,
        mut change: impl FnMut(u64, &mut V),
    ) -> usize {
        let start = start.min(self.places.len());
        let end = start.saturating_add(most).min(self.places.len());
        for (place, value) in self.places[start..end].iter_mut().zip(&mut self.values[start..end]) {
            if place.key != 0 {
                change(place.key, value);
                place.weight = value.weight();
            }
        }
        end - start
    }

    fn place(&self, key: u64) -> Option<usize> {
        let set = self.set(key);
        let way = self.places[set..set + WAYS].iter().position(|place| place.key == key)?;
        Some(set + way)
    }

    fn lightest(&self, set: usize, now: u32) -> usize {
        let stale = self.stale;
        let weight = |at: &usize| {
            let Place { key, weight, last } = self.places[*at];
            let fresh = key != 0 && now.saturating_sub(last) < stale;
            (if fresh { weight } else { 0 }, last)
        };
        (set..set + WAYS).min_by_key(weight).unwrap_or(set)
    }

    fn set(&self, key: u64) -> usize {
        let sets = (self.places.len() / WAYS) as u64;
        // The upper bits choose the place; all of them are the name.
        usize::try_from((u128::from(key) * u128::from(sets)) >> 64).unwrap_or(0) * WAYS
    }

    /// Bytes it takes, for good.
    pub fn bytes(&self) -> usize {
        self.places.len() * Self::EACH
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Clone, Default)]
    struct Count(u64);
    impl Kept for Count {
        const STALE: Duration = Duration::from_secs(60);
        fn weight(&self) -> u32 {
            u32::try_from(self.0).unwrap()
        }
    }

    #[test]
    fn what_was_seen_once_makes_room_for_what_was_not() {
        let mut table = Table::<Count>::new(64);
        let now = Timestamp::from_secs(1);
        let spread = |n: u64| n.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
        for _ in 0..5 {
            table.entry(spread(1), now).0 += 1;
        }
        for n in 2..100_000 {
            table.entry(spread(n), now).0 = 1;
        }
        assert_eq!(table.get(spread(1)).unwrap().0, 5);
        assert!(table.get(spread(2)).is_none());
        assert_eq!(table.bytes(), 64 * 24);
    }
}
