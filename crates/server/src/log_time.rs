//! The time that the keeping of the log goes by: a clock that is wrong for an hour must not destroy
//! what is to be kept for years.

use std::{fmt, time::Duration};

use portcullis_types::Timestamp;

/// The clock is followed at once as long as it is not further than this from what it showed last.
const LEAP: Duration = Duration::from_secs(2 * 24 * 3600);
/// A clock that is further off has to be so for this long, by one that nobody sets.
const PROBATION: Duration = Duration::from_secs(24 * 3600);

/// Where it is. As text it is what the database remembers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct LogTime {
    /// What was believed last.
    believed: Option<Timestamp>,
    /// What the clock showed last.
    shown: Option<Timestamp>,
    /// How long it has been off without a leap.
    proven: Duration,
    /// How far it has lately run ahead of the one that nobody sets, as machines do that sleep.
    ahead: Duration,
    /// What the one that nobody sets showed last; it begins anew with each process.
    steady: Option<Timestamp>,
}

impl LogTime {
    /// One that is right.
    pub fn right(now: Timestamp) -> Self {
        Self { believed: Some(now), shown: Some(now), ..Self::default() }
    }

    /// Whether the clock has to prove itself.
    pub fn doubts(&self) -> bool {
        self.shown != self.believed
    }

    /// Takes in what the clock of the machine and one that nobody sets show, and returns what is believed:
    /// never more than the first.
    pub fn look(&mut self, now: Timestamp, steady: Timestamp) -> Option<Timestamp> {
        let passed = self.steady.map_or(Duration::ZERO, |before| steady.since(before));
        let shown = self.shown.map_or(Duration::ZERO, |before| now.since(before));
        let back = self.shown.map_or(Duration::ZERO, |before| before.since(now));
        // Two days may be caught up in one: a weekend in the sleep of a machine, but not a year in steps.
        self.ahead = self.ahead.saturating_sub(passed * 2) + shown.saturating_sub(passed);
        let leaps = self.ahead > LEAP || back > LEAP;
        if leaps {
            (self.ahead, self.proven) = (Duration::ZERO, Duration::ZERO);
        }
        let off = |believed: Timestamp| believed.since(now).max(now.since(believed));
        let near = !leaps && self.believed.is_some_and(|believed| off(believed) <= LEAP);
        self.proven = if near || leaps { Duration::ZERO } else { self.proven + passed };
        if near || (!leaps && self.proven >= PROBATION) {
            self.believed = Some(now);
            self.proven = Duration::ZERO;
        }
        (self.shown, self.steady) = (Some(now), Some(steady));
        self.believed.map(|believed| believed.min(now))
    }

    /// Reads what [`LogTime::fmt`] wrote.
    pub fn parse(text: &str) -> Option<Self> {
        let mut words = text.split(' ');
        let mut time =
            || Some(words.next()?).filter(|word| *word != "-").map(Timestamp::parse_rfc3339);
        let (believed, shown) = (time().transpose().ok()?, time().transpose().ok()?);
        let mut seconds = || Some(Duration::from_secs(words.next()?.parse().ok()?));
        Some(Self { believed, shown, proven: seconds()?, ahead: seconds()?, steady: None })
    }
}

impl fmt::Display for LogTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let time = |time: Option<Timestamp>| time.map_or("-".to_owned(), Timestamp::to_rfc3339);
        let (proven, ahead) = (self.proven.as_secs(), self.ahead.as_secs());
        write!(f, "{} {} {proven} {ahead}", time(self.believed), time(self.shown))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Duration = Duration::from_secs(3600);

    fn at(hours: i64) -> Timestamp {
        Timestamp::from_secs(1_800_000_000 + hours * 3600)
    }

    /// A process that begins anew: what it remembers, and a steady clock of its own.
    fn restarted(time: LogTime) -> LogTime {
        LogTime::parse(&time.to_string()).unwrap()
    }

    #[test]
    fn a_clock_that_runs_is_followed() {
        let mut time = LogTime::right(at(0));
        for hour in 0..1_000 {
            assert_eq!(time.look(at(hour), at(hour)), Some(at(hour)));
            assert!(!time.doubts());
        }
        // A day in a suitcase, also in the sleep of the machine.
        assert_eq!(time.look(at(1_030), at(1_000)), Some(at(1_030)));
        time = restarted(time);
        assert_eq!(time.look(at(1_045), at(0)), Some(at(1_045)));
    }

    #[test]
    fn one_that_leaps_is_believed_after_a_day() {
        let mut time = LogTime::right(at(0));
        for hour in 1..=24 {
            let believed = time.look(at(9_000 + hour), at(hour));
            assert_eq!(believed, Some(at(0)), "{hour}");
            assert!(time.doubts());
            time = if hour % 5 == 0 {
                let mut again = restarted(time);
                again.look(at(9_000 + hour), at(hour));
                again
            } else {
                time
            };
        }
        assert_eq!(time.look(at(9_026), at(26)), Some(at(9_026)));
        assert_eq!(restarted(time).look(at(9_027), at(0)), Some(at(9_027)));
    }

    #[test]
    fn one_that_leaps_and_comes_back_has_done_nothing() {
        let mut time = LogTime::right(at(0));
        for hour in 1..20 {
            assert_eq!(time.look(at(9_000 + hour), at(hour)), Some(at(0)));
        }
        // The way back is a leap as well: what is not near proves itself.
        assert_eq!(time.look(at(20), at(20)), Some(at(0)));
        assert_eq!(time.look(at(21), at(21)), Some(at(21)));
        // Two leaps do not count as one.
        for hour in 22..40 {
            time.look(at(9_000 + hour), at(hour));
        }
        for hour in 40..64 {
            assert_eq!(time.look(at(20_000 + hour), at(hour)), Some(at(21)), "{hour}");
        }
        assert_eq!(time.look(at(20_065), at(65)), Some(at(20_065)));
    }

    #[test]
    fn one_that_was_wrong_and_believed_is_doubted_too() {
        let mut time = LogTime::right(at(90_000));
        for hour in 0..24 {
            assert_eq!(time.look(at(hour), at(hour)), Some(at(hour)), "never more than is shown");
        }
        time.look(at(25), at(25));
        // From now on it takes a day again to get far ahead.
        assert_eq!(time.look(at(80_000), at(26)), Some(at(25)));
    }

    #[test]
    fn small_steps_do_not_add_up() {
        let mut time = LogTime::right(at(0));
        let mut most = at(0);
        for step in 1..100_i64 {
            let believed = time.look(at(step * 47), at(0).plus(HOUR / 100)).unwrap();
            most = most.max(believed);
        }
        assert!(most <= at(96), "{most:?}");
    }

    #[test]
    fn a_clock_that_is_new_here_has_to_prove_itself() {
        let mut time = LogTime::default();
        assert_eq!(time.look(at(0), at(0)), None);
        assert_eq!(time.look(at(23), at(23)), None);
        // A machine that is off at night proves it in two days.
        time = restarted(time);
        assert_eq!(time.look(at(30), at(0)), None);
        assert_eq!(time.look(at(31), at(1)), Some(at(31)));
        assert_eq!(restarted(LogTime::default()), LogTime::default());
        assert!(LogTime::parse("x").is_none() && LogTime::parse("").is_none());
    }
}
