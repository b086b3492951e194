//! Routes that fail more often than they use to.

use std::time::Duration;

use portcullis_events::RequestSeen;
use portcullis_types::Timestamp;

use crate::{
    ErrorSpike,
    sight::Sight,
    table::{Kept, Table},
    watch::{Found, Raise},
};

/// The weight of the newest minute in what is usual: half of it is the last ten minutes or so.
const NEWEST: f64 = 0.07;
/// Nothing fails never: what is usual is at least this.
const LEAST_RATIO: f64 = 0.01;

/// How often a route fails.
#[derive(Debug, Clone, Default)]
pub(crate) struct Rate {
    minute: i64,
    requests: u32,
    errors: u32,
    /// The usual share of errors.
    usual: f64,
}

impl Kept for Rate {
    const STALE: Duration = Duration::MAX;

    fn weight(&self) -> u32 {
        0
    }
}

/// Looks at the answer to a request.
pub(crate) fn request(
    seen: &RequestSeen,
    table: &mut Table<Rate>,
    sight: &Sight<'_>,
    raise: &mut Raise<'_>,
) {
    let Some(route) = &seen.route else { return };
    let key = sight.text(b't', route);
    let rate = table.entry(key, sight.now);
    rate.turn(sight.now);
    rate.requests = rate.requests.saturating_add(1);
    if seen.status < 500 {
        return;
    }
    rate.errors = rate.errors.saturating_add(1);
    let rule = raise.rules.error_spike;
    if (rate.requests as usize) < rule.requests.0 {
        return;
    }
    // A binomial distribution, taken as normal from this many requests on.
    let (requests, errors) = (f64::from(rate.requests), f64::from(rate.errors));
    let usual = rate.usual.clamp(LEAST_RATIO, 1.0 - LEAST_RATIO);
    let deviation = (requests * usual * (1.0 - usual)).sqrt();
    let above = (errors - requests * usual) / deviation;
    if above < rule.deviations.0 as f64 {
        return;
    }
    raise.raise(&ErrorSpike::RULE, key, || Found {
        description: format!(
            "The route {route} failed {} of {} times within a minute, {above:.1} standard \
             deviations above the usual {:.1} %.",
            rate.errors,
            rate.requests,
            rate.usual * 100.0
        ),
        ..Found::default()
    });
}

impl Rate {
    /// Folds a minute that is over into what is usual.
    fn turn(&mut self, now: Timestamp) {
        let minute = now.millis().div_euclid(60_000);
        if minute <= self.minute {
            return;
        }
        if self.requests > 0 {
            let ratio = f64::from(self.errors) / f64::from(self.requests);
            self.usual += NEWEST * (ratio - self.usual);
        }
        (self.minute, self.requests, self.errors) = (minute, 0, 0);
    }
}
