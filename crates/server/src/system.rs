//! The machine's own clock, randomness and environment. Nothing else in the product reads them.

use std::sync::Arc;

use portcullis_types::{Clock, Entropy, SharedClock, SharedEntropy, Timestamp};

#[derive(Debug)]
struct SystemClock;

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "this is the one place that reads the clock")]
    fn now(&self) -> Timestamp {
        let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        let micros = since.map_or(0, |since| since.as_micros());
        Timestamp::from_micros(i64::try_from(micros).unwrap_or(i64::MAX))
    }
}

#[derive(Debug)]
struct SystemEntropy;

impl Entropy for SystemEntropy {
    #[expect(clippy::disallowed_methods, reason = "this is the one place that draws randomness")]
    #[expect(clippy::panic, reason = "without randomness no secret is one")]
    fn fill(&self, out: &mut [u8]) {
        if aws_lc_rs::rand::fill(out).is_err() {
            panic!("the system has no randomness");
        }
    }
}

/// The real clock.
pub fn clock() -> SharedClock {
    Arc::new(SystemClock)
}

/// The real randomness.
pub fn entropy() -> SharedEntropy {
    Arc::new(SystemEntropy)
}

/// A variable of the environment, if it is set and not empty.
#[expect(clippy::disallowed_methods, reason = "this is the one place that reads the environment")]
pub fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}
