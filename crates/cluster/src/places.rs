//! Places in the status list: which tokens are void, in a form that can be published.

use std::{
    collections::HashMap,
    sync::{PoisonError, RwLock},
};

use portcullis_types::Timestamp;

/// Places of a block, all of which belong to one client.
const BLOCK: u32 = 256;
/// Marks kept at most. Beyond it those that end first make room: tokens live for minutes, marks
/// for the longest time that a token may be configured to live.
const MAX_MARKS: usize = 1 << 20;

/// A place in the status list, or a block of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Place {
    /// One place.
    One(u32),
    /// 256 places, from 256 times the number on.
    Block(u16),
}

impl Place {
    /// The block that a place is in.
    pub fn block_of(place: u32) -> Self {
        Self::Block(u16::try_from(place / BLOCK).unwrap_or(u16::MAX))
    }

    /// The word in the database.
    pub fn kind(self) -> &'static str {
        match self {
            Self::One(_) => "status",
            Self::Block(_) => "status_block",
        }
    }

    /// The number in the database.
    pub fn value(self) -> String {
        match self {
            Self::One(place) => place.to_string(),
            Self::Block(block) => block.to_string(),
        }
    }

    /// Reads what [`Place::kind`] and [`Place::value`] wrote.
    pub fn from_row(kind: &str, value: &str) -> Option<Self> {
        match kind {
            "status" => value.parse().ok().map(Self::One),
            "status_block" => value.parse().ok().map(Self::Block),
            _ => None,
        }
    }
}

/// The places that are marked, each until the last token that may hold it has expired.
#[derive(Debug, Default)]
pub struct Places(RwLock<HashMap<Place, Timestamp>>);

impl Places {
    /// Marks a place until `until`.
    pub fn mark(&self, place: Place, until: Timestamp, now: Timestamp) {
        let mut marks = self.0.write().unwrap_or_else(PoisonError::into_inner);
        if marks.len() >= MAX_MARKS {
            marks.retain(|_, until| *until > now);
        }
        if marks.len() >= MAX_MARKS {
            let mut ends: Vec<_> = marks.values().copied().collect();
            let (_, middle, _) = ends.select_nth_unstable(MAX_MARKS / 2);
            let middle = *middle;
            marks.retain(|_, until| *until > middle);
        }
        let known = marks.entry(place).or_insert(until);
        *known = until.max(*known);
    }

    /// Whether a token issued at `issued_at` that holds `place` is void. A mark that had ended by
    /// then was for another token.
    pub fn is_marked(&self, place: u32, issued_at: Timestamp) -> bool {
        let marks = self.0.read().unwrap_or_else(PoisonError::into_inner);
        if marks.is_empty() {
            return false;
        }
        let marked = |place: Place| marks.get(&place).is_some_and(|until| issued_at < *until);
        marked(Place::One(place)) || marked(Place::block_of(place))
    }

    /// Whether a whole block is void.
    pub fn is_block_marked(&self, block: u16, now: Timestamp) -> bool {
        let marks = self.0.read().unwrap_or_else(PoisonError::into_inner);
        marks.get(&Place::Block(block)).is_some_and(|until| now < *until)
    }

    /// A bit for each of `places` places, the first in the lowest place of the first byte; marked
    /// ones are set.
    pub fn bitmap(&self, places: u32, now: Timestamp) -> Vec<u8> {
        let mut bitmap = vec![0; usize::try_from(places / 8).unwrap_or(0)];
        let marks = self.0.read().unwrap_or_else(PoisonError::into_inner);
        for (place, until) in marks.iter() {
            if *until <= now {
                continue;
            }
            let (first, count) = match place {
                Place::One(place) => (*place, 1),
                Place::Block(block) => (u32::from(*block) * BLOCK, BLOCK),
            };
            for place in first..first + count {
                let byte = usize::try_from(place / 8).ok().and_then(|at| bitmap.get_mut(at));
                if let Some(byte) = byte {
                    *byte |= 1 << (place % 8);
                }
            }
        }
        bitmap
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(secs: i64) -> Timestamp {
        Timestamp::from_secs(secs)
    }

    #[test]
    fn marks_void_what_was_issued_before_they_end() {
        let places = Places::default();
        assert!(!places.is_marked(7, at(10)));
        places.mark(Place::One(7), at(100), at(10));
        places.mark(Place::One(7), at(50), at(10));
        places.mark(Place::Block(1), at(100), at(10));
        assert!(places.is_marked(7, at(99)) && !places.is_marked(7, at(100)));
        assert!(places.is_marked(256, at(20)) && places.is_marked(511, at(20)));
        assert!(!places.is_marked(8, at(20)) && !places.is_marked(512, at(20)));
        assert!(places.is_block_marked(1, at(99)) && !places.is_block_marked(1, at(100)));
        let bitmap = places.bitmap(1024, at(20));
        assert_eq!((bitmap.len(), bitmap[0], bitmap[31], bitmap[64]), (128, 0x80, 0, 0));
        assert!(bitmap[32..64].iter().all(|byte| *byte == 0xff));
        assert!(places.bitmap(1024, at(100)).iter().all(|byte| *byte == 0));
    }

    #[test]
    fn rows_are_read_as_they_were_written() {
        for place in [Place::One(16_777_215), Place::Block(65_535), Place::One(0)] {
            assert_eq!(Place::from_row(place.kind(), &place.value()), Some(place));
        }
        for (kind, value) in [("token", "1"), ("status", "-1"), ("status_block", "65536")] {
            assert_eq!(Place::from_row(kind, value), None);
        }
    }

    #[test]
    fn marks_that_end_first_make_room() {
        let places = Places::default();
        for place in 0..=u32::try_from(MAX_MARKS).unwrap() {
            places.mark(Place::One(place), at(1000 + i64::from(place)), at(10));
        }
        assert!(places.0.read().unwrap().len() <= MAX_MARKS);
        assert!(!places.is_marked(0, at(10)));
        assert!(places.is_marked(u32::try_from(MAX_MARKS).unwrap(), at(10)));
    }
}
