use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// What was done, in numbers.
#[derive(Debug, Default)]
pub struct Meter {
    screenings: AtomicU64,
    matches: AtomicU64,
}

impl Meter {
    pub(crate) fn screened(&self, is_match: bool) {
        self.screenings.fetch_add(1, Relaxed);
        self.matches.fetch_add(u64::from(is_match), Relaxed);
    }

    /// Verdicts that were asked for, and those of them that were a match.
    pub fn counts(&self) -> (u64, u64) {
        (self.screenings.load(Relaxed), self.matches.load(Relaxed))
    }
}
