//! Servers that fail are left alone for a while, though no health check noticed: those that failed
//! several times in a row, and those that fail far more often than their fellows. Never more than
//! half of an upstream: what makes everything fail is not the fault of one.

use std::{
    sync::atomic::{AtomicU32, AtomicU64, Ordering},
    time::Duration,
};

/// However often it happened, a server is tried again after this time.
const LONGEST: Duration = Duration::from_secs(300);
/// A server is compared with its fellows when it answered so often since the last look.
const LEAST_REQUESTS: u32 = 50;
/// As many must be comparable, or there is no telling who is odd.
const LEAST_SERVERS: usize = 3;
/// How many standard deviations below the mean is odd.
const DEVIATIONS: f64 = 1.9;
/// And at least this much below it: among servers that all do well, a hair is no reason.
const LEAST_DIFFERENCE: f64 = 0.05;

/// What became of the requests of one server.
#[derive(Debug, Default)]
pub(crate) struct Record {
    /// Failures since the last success.
    in_a_row: AtomicU32,
    answered: AtomicU32,
    failed: AtomicU32,
    /// How often it was left alone lately.
    ejections: AtomicU32,
    /// Until when it is left alone, in microseconds of the monotonic clock.
    until: AtomicU64,
}

impl Record {
    /// Takes in an answer, and says whether there were `most` failures in a row.
    pub fn observe(&self, good: bool, most: u32) -> bool {
        self.answered.fetch_add(1, Ordering::Relaxed);
        if good {
            if self.in_a_row.load(Ordering::Relaxed) != 0 {
                self.in_a_row.store(0, Ordering::Relaxed);
            }
            return false;
        }
        self.failed.fetch_add(1, Ordering::Relaxed);
        self.in_a_row.fetch_add(1, Ordering::Relaxed) + 1 >= most
    }

    /// Leaves the server alone: `base` the first time, longer every time.
    pub fn eject(&self, base: Duration, now: Duration) -> Duration {
        let times = self.ejections.fetch_add(1, Ordering::Relaxed) + 1;
        let span = base.saturating_mul(times).min(LONGEST);
        self.in_a_row.store(0, Ordering::Relaxed);
        self.until.store(micros(now + span), Ordering::Relaxed);
        span
    }

    pub fn is_ejected(&self, now: Duration) -> bool {
        micros(now) < self.until.load(Ordering::Relaxed)
    }

    /// When it came back, if it was ever away.
    pub fn back_since(&self, now: Duration) -> Option<Duration> {
        let until = self.until.load(Ordering::Relaxed);
        (until > 0).then(|| now.saturating_sub(Duration::from_micros(until)))
    }

    /// Answers and failures since the last call. A quiet stretch forgives one ejection.
    pub fn take(&self, now: Duration) -> (u32, u32) {
        let taken =
            (self.answered.swap(0, Ordering::Relaxed), self.failed.swap(0, Ordering::Relaxed));
        if taken.1 == 0 && !self.is_ejected(now) {
            let forgive = |times: u32| times.checked_sub(1);
            let _ = self.ejections.fetch_update(Ordering::Relaxed, Ordering::Relaxed, forgive);
        }
        taken
    }
}

/// Which of some servers, of whose answers so many failed, do far worse than the others.
pub(crate) fn odd_ones(taken: &[(u32, u32)]) -> Vec<usize> {
    let rates: Vec<(usize, f64)> = taken
        .iter()
        .enumerate()
        .filter(|(_, (answered, _))| *answered >= LEAST_REQUESTS)
        .map(|(place, (answered, failed))| (place, 1.0 - f64::from(*failed) / f64::from(*answered)))
        .collect();
    if rates.len() < LEAST_SERVERS {
        return Vec::new();
    }
    #[expect(clippy::cast_precision_loss, reason = "nobody has 2^52 servers")]
    let count = rates.len() as f64;
    let mean = rates.iter().map(|(_, rate)| rate).sum::<f64>() / count;
    let variance = rates.iter().map(|(_, rate)| (rate - mean).powi(2)).sum::<f64>() / count;
    // One among few cannot be far from a mean that it is part of: n servers allow at most
    // (n - 1) / sqrt(n) deviations, which is less than 1.9 below six.
    let furthest = (count - 1.0) / count.sqrt() * 0.99;
    let bound = mean - DEVIATIONS.min(furthest) * variance.sqrt();
    let odd = |(_, rate): &(usize, f64)| *rate < bound && mean - rate > LEAST_DIFFERENCE;
    rates.into_iter().filter(odd).map(|(place, _)| place).collect()
}

fn micros(span: Duration) -> u64 {
    u64::try_from(span.as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_in_a_row_count_and_a_success_ends_the_row() {
        let record = Record::default();
        assert!(!record.observe(false, 3) && !record.observe(false, 3));
        assert!(!record.observe(true, 3));
        assert!(!record.observe(false, 3) && !record.observe(false, 3) && record.observe(false, 3));
    }

    #[test]
    fn who_fails_again_stays_away_longer_and_quiet_is_forgiven() {
        let (record, base, at) = (Record::default(), Duration::from_secs(30), Duration::from_secs);
        assert_eq!(record.eject(base, at(0)), at(30));
        assert!(record.is_ejected(at(29)) && !record.is_ejected(at(30)));
        assert_eq!(record.back_since(at(31)), Some(at(1)));
        assert_eq!(record.eject(base, at(40)), at(60));
        assert_eq!(record.take(at(200)), (0, 0));
        assert_eq!(record.take(at(210)), (0, 0));
        assert_eq!(record.eject(base, at(220)), at(30));
        for _ in 0..20 {
            record.eject(base, at(0));
        }
        assert_eq!(record.eject(base, at(0)), LONGEST);
    }

    #[test]
    fn the_one_that_fails_more_than_the_others_is_found() {
        assert_eq!(odd_ones(&[(100, 0), (100, 1), (100, 40)]), [2]);
        assert_eq!(odd_ones(&[(100, 2), (100, 1), (100, 3), (100, 0), (100, 60), (100, 1)]), [4]);
        for even in [
            &[(100, 0), (100, 90)][..],
            &[(100, 0), (100, 1), (49, 49)],
            &[(100, 50), (100, 52), (100, 48)],
            &[(1_000, 0), (1_000, 0), (1_000, 1)],
            &[(100, 100), (100, 100), (100, 100)],
        ] {
            assert!(odd_ones(even).is_empty(), "{even:?}");
        }
    }
}
