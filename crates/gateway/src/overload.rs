//! When there is more to do than can be done, some of it is refused early and cheaply, so that the
//! rest is done in time: logins, token refreshes, logouts and health always.
//!
//! What is measured is how late a timer fires: it waits in the same queue as every request, whatever
//! that queue is waiting for.

use std::{
    sync::{
        Arc, Weak,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use portcullis_types::Entropy;
use tokio::time::{Instant, sleep};

use crate::upstream::Dice;

/// The timer.
const EVERY: Duration = Duration::from_millis(20);
/// As late as this is nothing to worry about.
const FINE: Duration = Duration::from_millis(10);
/// As late as this, and something has to go.
const LATE: Duration = Duration::from_millis(50);
/// What is refused, in thousandths.
const MOST: u32 = 950;

/// How much a request matters when not all can be answered.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Priority {
    /// It goes first.
    Low,
    /// It goes when what is low is gone.
    #[default]
    Normal,
    /// It is never refused.
    High,
}

/// How much is refused at the moment.
#[derive(Debug)]
pub struct Overload {
    level: AtomicU32,
    dice: Dice,
}

impl Overload {
    /// Nothing is refused yet.
    pub fn new(entropy: &dyn Entropy) -> Arc<Self> {
        Arc::new(Self { level: AtomicU32::new(0), dice: Dice::new(entropy) })
    }

    /// Watches for as long as anybody else holds it.
    pub async fn watch(overload: Weak<Self>) {
        loop {
            let begun = Instant::now();
            sleep(EVERY).await;
            let late = begun.elapsed().saturating_sub(EVERY);
            let Some(overload) = overload.upgrade() else { return };
            let before = overload.level.load(Ordering::Relaxed);
            let level = next(before, late);
            overload.level.store(level, Ordering::Relaxed);
            if before == 0 && level > 0 {
                tracing::warn!(late_ms = late.as_millis(), "overloaded; some requests are refused");
            }
        }
    }

    /// What is refused of requests of normal priority, in thousandths.
    pub fn level(&self) -> u32 {
        self.level.load(Ordering::Relaxed)
    }

    /// Whether a request is refused.
    pub(crate) fn refuses(&self, priority: Priority) -> bool {
        let level = self.level.load(Ordering::Relaxed);
        if level == 0 {
            return false;
        }
        let level = match priority {
            Priority::High => return false,
            // Before a normal one goes, every low one does.
            Priority::Low => level.saturating_mul(4),
            Priority::Normal => level.saturating_sub(MOST / 4),
        };
        self.dice.roll() % 1_000 < u64::from(level.min(MOST))
    }
}

/// More goes while it is late, quickly; less when it is in time again, slowly.
fn next(level: u32, late: Duration) -> u32 {
    if late >= LATE {
        (level + 50).min(MOST)
    } else if late <= FINE {
        level.saturating_sub(10)
    } else {
        level
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug)]
    struct Fixed;
    impl Entropy for Fixed {
        fn fill(&self, out: &mut [u8]) {
            out.fill(9);
        }
    }

    #[test]
    fn what_matters_least_goes_first_and_what_matters_most_never() {
        let overload = Overload::new(&Fixed);
        let refused = |priority| (0..10_000).filter(|_| overload.refuses(priority)).count();
        assert_eq!(refused(Priority::Low), 0);
        let mut level = 0;
        for _ in 0..4 {
            level = next(level, Duration::from_millis(80));
        }
        overload.level.store(level, Ordering::Relaxed);
        assert!((7_500..8_500).contains(&refused(Priority::Low)));
        assert_eq!((refused(Priority::Normal), refused(Priority::High)), (0, 0));
        for _ in 0..100 {
            level = next(level, Duration::from_secs(1));
        }
        overload.level.store(level, Ordering::Relaxed);
        assert_eq!(level, MOST);
        assert!((6_500..7_700).contains(&refused(Priority::Normal)));
        assert_eq!(refused(Priority::High), 0);
        assert_eq!(next(level, Duration::from_millis(30)), level);
        for _ in 0..95 {
            level = next(level, Duration::ZERO);
        }
        assert_eq!(level, 0);
    }
}
