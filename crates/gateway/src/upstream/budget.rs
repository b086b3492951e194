//! How often may be tried again: a fifth of what is asked, so that a service in trouble is not asked
//! several times as often as one that is well.

use std::sync::atomic::{AtomicU32, Ordering};

/// What a request adds, in thousandths of a retry.
const FOR_EACH: u32 = 200;
/// What a retry takes.
const RETRY: u32 = 1_000;
/// No more is saved up than this.
const MOST: u32 = 10 * RETRY;

#[derive(Debug)]
pub(crate) struct Budget(AtomicU32);

impl Default for Budget {
    /// Full: after a quiet time a few may be tried again at once.
    fn default() -> Self {
        Self(AtomicU32::new(MOST))
    }
}

impl Budget {
    /// A request came.
    pub fn deposit(&self) {
        if self.0.load(Ordering::Relaxed) < MOST {
            let more = |saved: u32| Some((saved + FOR_EACH).min(MOST));
            let _ = self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more);
        }
    }

    /// Whether one may be tried again.
    pub fn withdraw(&self) -> bool {
        let less = |saved: u32| saved.checked_sub(RETRY);
        self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, less).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fifth_of_the_requests_is_tried_again() {
        let budget = Budget::default();
        let tried = (0..10).filter(|_| budget.withdraw()).count();
        assert_eq!((tried, budget.withdraw()), (10, false));
        let mut again = 0;
        for _ in 0..1_000 {
            budget.deposit();
            again += u32::from(budget.withdraw());
        }
        assert_eq!(again, 200);
        (0..1_000).for_each(|_| budget.deposit());
        assert_eq!((0..100).filter(|_| budget.withdraw()).count(), 10);
    }
}
