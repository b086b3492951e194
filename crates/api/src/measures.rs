//! Numbers over time, and what they usually are at such a time.

use portcullis_store::{
    Db, DbError,
    measures::{self, Bucket, Counts, LATENCY_BOUNDS, Measure},
};
use serde::Serialize;
use utoipa::ToSchema;

/// Points of a chart.
const MAX_POINTS: i64 = 300;
/// Lengths of a step, in minutes. Each divides a day, so that steps of one day lie over those of another.
const STEPS: [i64; 6] = [1, 5, 15, 60, 360, 1_440];
const DAY: i64 = 1_440;
/// Days and weeks that the last one is compared with.
const DAYS: i64 = 7;
const WEEKS: i64 = 4;
/// Of fewer times nothing is said to be usual.
const FEWEST: usize = 3;
const PERCENTILES: [(&str, f64); 3] =
    [("latency_p50", 0.5), ("latency_p95", 0.95), ("latency_p99", 0.99)];

/// Numbers over time.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct MeasuresView {
    /// How long a step is, in seconds. The last one goes on.
    pub step_seconds: i64,
    /// When each step begins, in seconds since 1970.
    pub at: Vec<i64>,
    /// How many days or weeks before make up what is usual; 0 if too little is known.
    pub periods: usize,
    /// What each of them is apart, in seconds.
    pub period_seconds: i64,
    /// The series.
    pub series: Vec<SeriesView>,
}

/// One number over time.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct SeriesView {
    /// `logins`, `login_failures`, `tokens`, `requests`, `refused`, `blocked`, `server_errors`, `alerts`,
    /// `latency_p50`, `latency_p95`, `latency_p99`.
    pub name: &'static str,
    /// `count`, or `ms`; latencies are read off classes and are as exact as these.
    pub unit: &'static str,
    /// One for each step; none where nothing was measured.
    pub values: Vec<Option<f64>>,
    /// The medians of the same steps before; empty if too little is known.
    pub usual: Vec<Option<f64>>,
    /// Over all steps together.
    pub total: Option<f64>,
    /// The median of that before.
    pub usual_total: Option<f64>,
}

/// Some time, in minutes since 1970.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Span {
    pub from: i64,
    pub until: i64,
}

impl Span {
    fn minutes(self) -> i64 {
        self.until - self.from
    }

    fn earlier(self, by: i64) -> Self {
        Self { from: self.from - by, until: self.until - by }
    }

    fn step(self) -> i64 {
        STEPS.into_iter().find(|step| self.minutes() / step < MAX_POINTS).unwrap_or(DAY)
    }
}

/// What happened in a time, with what is usual.
pub(crate) async fn read(db: &Db, tenant: &str, span: Span) -> Result<MeasuresView, DbError> {
    let step = span.step();
    // One minute more: the running one.
    let (period, periods) = if span.minutes() <= DAY + 1 { (DAY, DAYS) } else { (7 * DAY, WEEKS) };
    let known_from = measures::first(db, tenant).await?.unwrap_or(i64::MAX);
    let now = Steps::read(db, tenant, span, step).await?;
    let mut before = Vec::new();
    for back in 1..=periods {
        let then = span.earlier(back * period);
        // Weeks are compared with weeks; a month has none before it that is kept.
        if then.from >= known_from && span.minutes() <= 7 * DAY + 1 {
            before.push(Steps::read(db, tenant, then, step).await?);
        }
    }
    if before.len() < FEWEST {
        before.clear();
    }
    let counts = Measure::ALL.into_iter().map(|measure| {
        let value = move |counts: &Counts| Some(as_f64(counts.get(measure)));
        series(name(measure), "count", &now, &before, value)
    });
    let latencies = PERCENTILES.into_iter().map(|(name, share)| {
        series(name, "ms", &now, &before, move |counts| percentile(counts.latency(), share))
    });
    Ok(MeasuresView {
        step_seconds: step * 60,
        at: now.steps().map(|minute| minute * 60).collect(),
        periods: before.len(),
        period_seconds: period * 60,
        series: counts.chain(latencies).collect(),
    })
}

/// What was counted in a time, step by step.
struct Steps {
    first: i64,
    step: i64,
    counts: Vec<Counts>,
}

impl Steps {
    async fn read(db: &Db, tenant: &str, span: Span, step: i64) -> Result<Self, DbError> {
        let found = measures::read(db, tenant, (span.from, span.until), step).await?;
        Ok(Self::of(&found, span, step))
    }

    fn of(found: &[Bucket], span: Span, step: i64) -> Self {
        let first = span.from - span.from.rem_euclid(step);
        let length = usize::try_from((span.until - first + step - 1) / step).unwrap_or_default();
        let mut counts = vec![Counts::default(); length];
        for bucket in found {
            let place = usize::try_from((bucket.minute - first) / step).ok();
            if let Some(counts) = place.and_then(|place| counts.get_mut(place)) {
                counts.add(&bucket.counts);
            }
        }
        Self { first, step, counts }
    }

    fn steps(&self) -> impl Iterator<Item = i64> {
        (self.first..).step_by(usize::try_from(self.step).unwrap_or(1)).take(self.counts.len())
    }

    fn total(&self) -> Counts {
        let mut total = Counts::default();
        self.counts.iter().for_each(|counts| total.add(counts));
        total
    }
}

fn series(
    name: &'static str,
    unit: &'static str,
    now: &Steps,
    before: &[Steps],
    value: impl Fn(&Counts) -> Option<f64>,
) -> SeriesView {
    let usual = |place: usize| {
        median(before.iter().filter_map(|then| then.counts.get(place)).filter_map(&value))
    };
    let places = if before.is_empty() { 0 } else { now.counts.len() };
    SeriesView {
        name,
        unit,
        values: now.counts.iter().map(&value).collect(),
        usual: (0..places).map(usual).collect(),
        total: value(&now.total()),
        usual_total: median(before.iter().filter_map(|then| value(&then.total()))),
    }
}

fn median(values: impl Iterator<Item = f64>) -> Option<f64> {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    let upper = *values.get(values.len() / 2)?;
    let lower = *values.get(values.len().checked_sub(1)? / 2)?;
    Some(f64::midpoint(lower, upper))
}

/// How many milliseconds such a share of requests took at most, as far as the classes tell: within a class they are
/// taken to be spread evenly. Of those beyond the last bound no more than that bound is known.
fn percentile(classes: &[i64], share: f64) -> Option<f64> {
    let total: i64 = classes.iter().sum();
    if total == 0 {
        return None;
    }
    let rank = share * as_f64(total);
    let (mut below, mut lower) = (0.0, 0.0);
    for (count, bound) in classes.iter().zip(LATENCY_BOUNDS) {
        let (count, bound) = (as_f64(*count), millis(bound));
        if below + count >= rank {
            let inside = if count > 0.0 { (rank - below) / count } else { 1.0 };
            return Some(lower + (bound - lower) * inside);
        }
        (below, lower) = (below + count, bound);
    }
    Some(lower)
}

#[expect(clippy::cast_precision_loss, reason = "counts of a chart are far below 2^52")]
fn as_f64(count: i64) -> f64 {
    count as f64
}

fn millis(micros: u64) -> f64 {
    std::time::Duration::from_micros(micros).as_secs_f64() * 1_000.0
}

fn name(measure: Measure) -> &'static str {
    match measure {
        Measure::Logins => "logins",
        Measure::LoginFailures => "login_failures",
        Measure::Tokens => "tokens",
        Measure::Requests => "requests",
        Measure::Refused => "refused",
        Measure::Blocked => "blocked",
        Measure::ServerErrors => "server_errors",
        Measure::Alerts => "alerts",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(logins: usize) -> Counts {
        let mut counts = Counts::default();
        (0..logins).for_each(|_| counts.count(Measure::Logins));
        counts
    }

    #[test]
    fn steps_are_as_many_as_a_chart_shows_and_begin_at_their_multiples() {
        for (minutes, step) in
            [(5, 1), (60, 1), (360, 5), (1_440, 5), (4_000, 15), (10_080, 60), (43_200, 360)]
        {
            assert_eq!(Span { from: 7, until: 7 + minutes }.step(), step, "{minutes}");
        }
        let span = Span { from: 17, until: 31 };
        let found = [15, 20, 30].map(|minute| Bucket { minute, counts: counts(2) });
        let steps = Steps::of(&found, span, 5);
        assert_eq!(steps.steps().collect::<Vec<_>>(), [15, 20, 25, 30]);
        let logins: Vec<i64> = steps.counts.iter().map(|c| c.get(Measure::Logins)).collect();
        assert_eq!(logins, [2, 2, 0, 2]);
        assert_eq!(steps.total().get(Measure::Logins), 6);
    }

    #[test]
    fn the_usual_is_the_middle_of_what_was_before() {
        let of = |logins: usize| Steps { first: 0, step: 1, counts: vec![counts(logins)] };
        let value = |counts: &Counts| Some(as_f64(counts.get(Measure::Logins)));
        let made = series("logins", "count", &of(9), &[of(1), of(100), of(3)], value);
        assert_eq!((made.total, made.usual_total), (Some(9.0), Some(3.0)));
        assert_eq!((made.values, made.usual), (vec![Some(9.0)], vec![Some(3.0)]));
        let alone = series("logins", "count", &of(9), &[], value);
        assert_eq!((alone.usual.len(), alone.usual_total), (0, None));
        assert_eq!(median([1.0, 2.0, 4.0, 9.0].into_iter()), Some(3.0));
    }

    #[test]
    fn latencies_are_read_off_their_classes() {
        let mut counts = Counts::default();
        assert_eq!(percentile(counts.latency(), 0.5), None);
        for micros in [400, 400, 900, 60_000_000] {
            counts.took(micros);
        }
        let at = |share| percentile(counts.latency(), share);
        assert_eq!((at(0.5), at(0.75), at(0.99)), (Some(0.5), Some(1.0), Some(10_000.0)));
    }
}
