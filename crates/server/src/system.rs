//! The machine's own clock, randomness and environment. Nothing else in the product reads them.

use std::{cell::RefCell, sync::Arc};

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

/// A clock that begins at some time and is never set.
#[derive(Debug)]
pub struct SteadyClock {
    begin: Timestamp,
    since: std::time::Instant,
}

impl SteadyClock {
    /// It is `now`.
    #[expect(clippy::disallowed_methods, reason = "this is the one place that reads the clock")]
    pub fn new(now: Timestamp) -> Self {
        Self { begin: now, since: std::time::Instant::now() }
    }

    /// What it shows.
    pub fn now(&self) -> Timestamp {
        self.begin.plus(self.since.elapsed())
    }
}

#[derive(Debug)]
struct SystemEntropy;

/// What a thread draws at once for short wants, and how far it was given out. A draw costs the same
/// for ten bytes as for these, and every request needs ids.
struct Drawn {
    bytes: [u8; 512],
    given: usize,
}

thread_local! {
    static DRAWN: RefCell<Drawn> = const { RefCell::new(Drawn { bytes: [0; 512], given: 512 }) };
}

impl Entropy for SystemEntropy {
    fn fill(&self, out: &mut [u8]) {
        let short = out.len() <= 32;
        let given = short && DRAWN.try_with(|drawn| give(&mut drawn.borrow_mut(), out)).is_ok();
        if !given {
            draw(out);
        }
    }
}

/// No byte is given twice, and none stays behind.
fn give(drawn: &mut Drawn, out: &mut [u8]) {
    if drawn.given + out.len() > drawn.bytes.len() {
        draw(&mut drawn.bytes);
        drawn.given = 0;
    }
    let own = &mut drawn.bytes[drawn.given..drawn.given + out.len()];
    out.copy_from_slice(own);
    own.fill(0);
    drawn.given += out.len();
}

#[expect(clippy::disallowed_methods, reason = "this is the one place that draws randomness")]
#[expect(clippy::panic, reason = "without randomness no secret is one")]
fn draw(out: &mut [u8]) {
    if aws_lc_rs::rand::fill(out).is_err() {
        panic!("the system has no randomness");
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

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn no_randomness_is_given_twice() {
        let drawn = |length| {
            let mut bytes = vec![0; length];
            SystemEntropy.fill(&mut bytes);
            bytes
        };
        let lengths = [10, 16, 20, 31, 32, 33, 64, 600];
        let all: Vec<Vec<u8>> = (0..4_000).map(|n| drawn(lengths[n % lengths.len()])).collect();
        // Eight bytes from anywhere: what overlaps would share some.
        let pieces = all.iter().flat_map(|bytes| bytes.windows(8).map(<[u8]>::to_vec));
        let (count, distinct) = pieces.fold((0, HashSet::new()), |(count, mut seen), piece| {
            seen.insert(piece);
            (count + 1, seen)
        });
        assert_eq!(count, distinct.len());
        let of_thread = std::thread::spawn(move || drawn(32)).join().unwrap();
        assert!(!all.contains(&of_thread));
    }
}
