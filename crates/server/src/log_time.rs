//! The time that the keeping of the log goes by: a clock that is wrong for an hour must not destroy
//! what is to be kept for years.

use std::time::Duration;

use portcullis_types::Timestamp;

/// The clock is followed at once as long as it is not further ahead than this of what it showed last.
const LEAP: Duration = Duration::from_secs(2 * 24 * 3600);
/// A clock that is further ahead has to be so for this long, by one that nobody sets.
const PROBATION: Duration = Duration::from_secs(24 * 3600);
/// What a time service corrects meanwhile.
const SLACK: Duration = Duration::from_secs(60);

/// Where it is.
#[derive(Debug, Clone, Copy)]
pub struct LogTime {
    /// What was believed last.
    believed: Option<Timestamp>,
    /// Since when the clock has been ahead, by both clocks.
    ahead: Option<(Timestamp, Timestamp)>,
}

impl LogTime {
    /// Goes on from what was believed last, if anything was.
    pub fn new(believed: Option<Timestamp>) -> Self {
        Self { believed, ahead: None }
    }

    /// What is believed.
    pub fn believed(&self) -> Option<Timestamp> {
        self.believed
    }

    /// Since when a clock that is ahead proves itself, by one that nobody sets.
    pub fn waits_since(&self) -> Option<Timestamp> {
        self.ahead.map(|(_, steady)| steady)
    }

    /// Takes in what the clock of the machine and one that nobody sets show, and returns what is believed:
    /// never more than the first.
    pub fn look(&mut self, now: Timestamp, steady: Timestamp) -> Option<Timestamp> {
        let known = self.believed.is_some_and(|believed| now <= believed.plus(LEAP));
        let (since, at) = *self.ahead.get_or_insert((now, steady));
        let expected = since.plus(steady.since(at));
        let steps = now.since(expected).max(expected.since(now)) > SLACK;
        if known {
            self.ahead = None;
        } else if steps {
            self.ahead = Some((now, steady));
        }
        let proven = !steps && steady.since(at) >= PROBATION;
        if known || proven {
            self.ahead = None;
            self.believed = Some(now.max(self.believed.unwrap_or(now)));
        }
        self.believed.map(|believed| believed.min(now))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Duration = Duration::from_secs(3600);

    fn at(hours: i64) -> Timestamp {
        Timestamp::from_secs(1_800_000_000 + hours * 3600)
    }

    #[test]
    fn a_clock_that_runs_is_followed() {
        let mut time = LogTime::new(Some(at(0)));
        for hour in 0..1_000 {
            assert_eq!(time.look(at(hour), at(hour)), Some(at(hour)));
        }
        // After a weekend without power, too.
        assert_eq!(time.look(at(1_040), at(1_040)), Some(at(1_040)));
    }

    #[test]
    fn one_that_leaps_is_believed_after_a_day() {
        let mut time = LogTime::new(Some(at(0)));
        for hour in 1..=24 {
            assert_eq!(time.look(at(9_000 + hour), at(hour)), Some(at(0)), "{hour}");
        }
        assert_eq!(time.look(at(9_025), at(25)), Some(at(9_025)));
        // Back is believed at once, in so far as less is old.
        assert_eq!(time.look(at(30), at(26)), Some(at(30)));
        assert_eq!(time.look(at(31), at(27)), Some(at(31)));
    }

    #[test]
    fn one_that_leaps_and_comes_back_has_done_nothing() {
        let mut time = LogTime::new(Some(at(0)));
        for hour in 1..20 {
            assert_eq!(time.look(at(9_000 + hour), at(hour)), Some(at(0)));
        }
        assert_eq!(time.look(at(20), at(20)), Some(at(20)));
        // Two leaps do not count as one.
        for hour in 21..40 {
            time.look(at(9_000 + hour), at(hour));
        }
        for hour in 40..64 {
            assert_eq!(time.look(at(20_000 + hour), at(hour)), Some(at(20)), "{hour}");
        }
        assert_eq!(time.look(at(20_064), at(64)), Some(at(20_064)));
    }

    #[test]
    fn a_clock_that_is_new_here_has_to_prove_itself() {
        let mut time = LogTime::new(None);
        assert_eq!(time.look(at(0), at(0)), None);
        assert_eq!(time.look(at(23), at(23)), None);
        assert_eq!(time.look(at(24), at(24)), Some(at(24)));
        // What stands between two looks is the same as if it had been looked at.
        assert_eq!(time.look(at(24).plus(HOUR), at(25)), Some(at(25)));
    }
}
