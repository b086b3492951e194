//! Which server gets the next request: the better of two that are drawn at random (Mitzenmacher,
//! "The power of two choices"), where better means a smaller product of what it has to do and how
//! long it lately took (peak EWMA, as Finagle and Linkerd have it).

use std::{
    sync::atomic::{AtomicU64, AtomicUsize, Ordering},
    time::Duration,
};

use portcullis_types::{Entropy, random_array};

/// After this time a latency counts a third as much as when it was measured.
const DECAY: Duration = Duration::from_secs(10);
/// A server of which nothing is known gets one request; until that is answered, it is as if each on
/// its way took so long.
const UNTRIED: Duration = Duration::from_secs(1);
/// A failure counts as an answer that took at least so long, or servers that fail fast would look
/// like the best of all.
pub(crate) const FAILED: Duration = Duration::from_secs(1);

/// What a server has to do, and how long it takes.
#[derive(Debug, Default)]
pub(crate) struct Load {
    /// Requests on their way.
    pub active: AtomicUsize,
    /// The average in microseconds; 0 while nothing was measured.
    average: AtomicU64,
    /// When it was last changed, in microseconds of the monotonic clock.
    at: AtomicU64,
}

impl Load {
    /// Takes in that an answer took this long. A slower one counts at once, a faster one by and by.
    pub fn observe(&self, took: Duration, now: Duration) {
        let took = micros(took).max(1);
        let (average, weight) = self.decayed(now);
        let next = if took >= average { took } else { mix(average, weight, took) };
        self.at.store(micros(now), Ordering::Relaxed);
        self.average.store(next.max(1), Ordering::Relaxed);
    }

    /// What one more request would cost here. What was measured long ago counts little, so that a
    /// server that was slow once is tried again.
    pub fn cost(&self, now: Duration) -> u64 {
        let active = self.active.load(Ordering::Relaxed) as u64;
        let average = match self.decayed(now) {
            (0, _) if active > 0 => micros(UNTRIED),
            (average, weight) => mix(average, weight, 0),
        };
        average.saturating_mul(active + 1)
    }

    /// The average as it was measured, and what of it still counts.
    fn decayed(&self, now: Duration) -> (u64, f64) {
        let elapsed = now.saturating_sub(Duration::from_micros(self.at.load(Ordering::Relaxed)));
        let weight = (-elapsed.as_secs_f64() / DECAY.as_secs_f64()).exp();
        (self.average.load(Ordering::Relaxed), weight)
    }
}

#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "between two times that are not negative, and no microsecond matters"
)]
fn mix(average: u64, weight: f64, other: u64) -> u64 {
    (average as f64).mul_add(weight, other as f64 * (1.0 - weight)) as u64
}

fn micros(span: Duration) -> u64 {
    u64::try_from(span.as_micros()).unwrap_or(u64::MAX)
}

/// Draws without a lock and without asking the system: SplitMix64 from a seed. What it draws need
/// not be secret, only even.
#[derive(Debug)]
pub(crate) struct Dice(AtomicU64);

impl Dice {
    pub fn new(entropy: &dyn Entropy) -> Self {
        Self(AtomicU64::new(u64::from_le_bytes(random_array(entropy))))
    }

    pub fn roll(&self) -> u64 {
        const STEP: u64 = 0x9e37_79b9_7f4a_7c15;
        let mut drawn = self.0.fetch_add(STEP, Ordering::Relaxed).wrapping_add(STEP);
        drawn = (drawn ^ (drawn >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        drawn = (drawn ^ (drawn >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        drawn ^ (drawn >> 31)
    }

    /// Two different places below `count`, or the same one twice if there is only one.
    pub fn two_of(&self, count: usize) -> (usize, usize) {
        if count < 2 {
            return (0, 0);
        }
        let drawn = self.roll();
        let (high, low) = ((drawn >> 32) as usize, (drawn & 0xffff_ffff) as usize);
        let first = low % count;
        (first, (first + 1 + high % (count - 1)) % count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug)]
    struct Sevens;
    impl Entropy for Sevens {
        fn fill(&self, out: &mut [u8]) {
            out.fill(7);
        }
    }

    #[test]
    fn slowness_counts_at_once_and_is_forgotten_by_and_by() {
        let (load, at) = (Load::default(), Duration::from_secs);
        load.observe(Duration::from_millis(10), at(1));
        assert_eq!(load.cost(at(1)), 10_000);
        load.observe(Duration::from_millis(100), at(2));
        assert_eq!(load.cost(at(2)), 100_000);
        load.observe(Duration::from_millis(10), at(2));
        assert_eq!(load.cost(at(2)), 100_000, "no time has passed");
        assert_eq!(load.cost(at(12)), 36_787, "nobody asked it since");
        load.observe(Duration::from_millis(10), at(12));
        assert_eq!(load.cost(at(12)), 43_109);
        load.active.store(2, Ordering::Relaxed);
        assert_eq!(load.cost(at(12)), 43_109 * 3);
    }

    #[test]
    fn a_server_that_is_not_known_is_tried_once_and_not_flooded() {
        let (load, now) = (Load::default(), Duration::ZERO);
        assert_eq!(load.cost(now), 0);
        load.active.store(1, Ordering::Relaxed);
        assert_eq!(load.cost(now), 2_000_000);
    }

    #[test]
    fn two_different_places_are_drawn_evenly() {
        let dice = Dice::new(&Sevens);
        let mut counts = [0; 4];
        for _ in 0..40_000 {
            let (a, b) = dice.two_of(4);
            assert_ne!(a, b);
            counts[a] += 1;
            counts[b] += 1;
        }
        assert!(counts.iter().all(|count| (19_000..21_000).contains(count)), "{counts:?}");
        assert_eq!(dice.two_of(1), (0, 0));
    }
}
