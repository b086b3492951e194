//! What is usual for a route, a client and a tenant at this hour of the week, and what is not.
//!
//! Every five minutes that are over become one value of each [`Metric`]. Each hour of the week has a
//! mean and a variance of its own, weighted towards the newest weeks; until an hour was seen in two
//! weeks, the same hour of other days stands for it. What is far from all of them is a finding, once,
//! with the numbers. Values that are far off teach little, so that an attack does not become usual
//! while it goes on.

use std::time::Duration;

use portcullis_types::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{
    Rule, Rules, UnusualFailures, UnusualLatency, UnusualVolume,
    hours::{Hour, METRICS, Metric, Usual},
    table::{Kept, Table},
    watch::{Found, Raise},
};

const BIN_SECONDS: i64 = 300;
const HOURS: usize = 168;
/// So many values of an hour are more than one week of it.
const LEARNED: u16 = 18;
/// So many values of the same hour of other days stand for it: three days.
const LEARNED_DAYS: u32 = 36;
/// What is further off than this many standard deviations …
const OUTLIER: f32 = 3.0;
/// … teaches as if it were so many off: the mean follows slowly and the variance does not grow, so that
/// nobody can stretch what is usual step by step.
const TAUGHT: f32 = 1.0;
/// What is off for so many values in a row, most of a day, may be how it is from now on.
const LASTING: u8 = 250;
/// A share or a mean of fewer teaches nothing.
const LEAST_LEARNED: u32 = 10;
/// What was told is told again where it is so many times as far off.
const WORSE: f32 = 4.0;
/// Names are cut to this.
const NAME_BYTES: usize = 128;

/// What a series is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Subject {
    /// Requests to a route of the gate.
    #[default]
    Route,
    /// Tokens of a client, and its failures to prove who it is.
    Client,
    /// Logins of people.
    Tenant,
}

/// One thing that happened to a subject.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Happened {
    pub failed: bool,
    pub refused: bool,
    pub latency: Option<Duration>,
}

/// Everything of one subject.
#[derive(Debug, Clone)]
pub(crate) struct Series {
    subject: Subject,
    name: String,
    /// How much there is of it: what makes room is what does least.
    weight: u32,
    /// The five minutes that the counts are of.
    bin: i64,
    volume: u32,
    failures: u32,
    refusals: u32,
    latencies: u32,
    latency_sum: f64,
    /// For how many values the metric has been off by now.
    off: [u8; METRICS.len()],
    /// How far it was off when that was told; zero if it was not.
    told: [f32; METRICS.len()],
    hours: [Hour; HOURS],
}

impl Default for Series {
    fn default() -> Self {
        Self {
            subject: Subject::Route,
            name: String::new(),
            weight: 0,
            bin: 0,
            volume: 0,
            failures: 0,
            refusals: 0,
            latencies: 0,
            latency_sum: 0.0,
            off: [0; METRICS.len()],
            told: [0.0; METRICS.len()],
            hours: [Hour::default(); HOURS],
        }
    }
}

impl Kept for Series {
    const STALE: Duration = Duration::from_secs(30 * 86_400);

    fn weight(&self) -> u32 {
        self.weight.saturating_add(self.volume)
    }
}

/// What a series has learned, to be written to a file and read again.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Learned {
    subject: Subject,
    name: String,
    weight: u32,
    /// The hours of the week that were seen, from Thursday at midnight UTC.
    hours: Vec<(usize, Hour)>,
}

/// All series.
#[derive(Debug)]
pub(crate) struct Baselines {
    table: Table<Series>,
    now: Bin,
    before: Bin,
    /// The place up to which those who were not heard of in these five minutes are looked at.
    swept: usize,
}

/// Five minutes.
#[derive(Debug, Clone, Copy, Default)]
struct Bin {
    /// Since 1970.
    number: i64,
    /// Whether nothing of it was missed, so that it can be judged.
    whole: bool,
}

impl Bin {
    fn hour(self) -> usize {
        let hours = self.number * BIN_SECONDS / 3_600;
        usize::try_from(hours.rem_euclid(168)).unwrap_or(0)
    }
}

impl Baselines {
    pub fn new(capacity: usize) -> Self {
        Self { table: Table::new(capacity), now: Bin::default(), before: Bin::default(), swept: 0 }
    }

    pub fn bytes(&self) -> usize {
        self.table.bytes() + self.table.len() * NAME_BYTES
    }

    /// Counts something of the subject that `key` stands for. Where anybody can make up a name, as
    /// in what fails, only those that are there already count.
    pub fn count(
        &mut self,
        (subject, name, key): (Subject, &str, u64),
        happened: Happened,
        now: Timestamp,
        raise: &mut Raise<'_>,
    ) {
        let anybody = subject == Subject::Client && happened.failed;
        let held = if anybody { self.table.held(key) } else { Some(self.table.entry(key, now)) };
        let Some(series) = held else { return };
        if series.name.is_empty() {
            series.subject = subject;
            series.name = cut(name).to_owned();
            series.bin = self.now.number;
        }
        series.close(key, self.before, self.now, raise);
        series.volume = series.volume.saturating_add(1);
        series.failures = series.failures.saturating_add(happened.failed.into());
        series.refusals = series.refusals.saturating_add(happened.refused.into());
        if let Some(latency) = happened.latency {
            series.latencies = series.latencies.saturating_add(1);
            // Below a tenth of a millisecond nothing can be told apart.
            series.latency_sum += (latency.as_secs_f64() * 1_000.0).max(0.1).ln();
        }
    }

    /// Looks at the clock, and at up to `most` of those who may not have been heard of since five
    /// minutes ended: all at once would take longer than one event may.
    pub fn turn(&mut self, now: Timestamp, most: usize, raise: &mut Raise<'_>) {
        let number = now.secs().div_euclid(BIN_SECONDS);
        if number > self.now.number {
            self.sweep(usize::MAX, raise);
            // At the start, and after a gap, nobody knows what was missed.
            let whole = self.now.number > 0 && number == self.now.number + 1;
            self.before = self.now;
            self.before.whole &= whole;
            self.now = Bin { number, whole };
            self.swept = 0;
        }
        self.sweep(most, raise);
    }

    fn sweep(&mut self, most: usize, raise: &mut Raise<'_>) {
        let (before, now) = (self.before, self.now);
        self.swept += self.table.change_from(self.swept, most, |key, series| {
            series.close(key, before, now, raise);
        });
    }

    /// Something of these five minutes was not seen.
    pub fn missed(&mut self) {
        self.now.whole = false;
    }

    /// What was learned, to be kept.
    pub fn learned(&self) -> Vec<Learned> {
        let named = self.table.iter().filter(|(_, series)| !series.name.is_empty());
        named
            .map(|(_, series)| Learned {
                subject: series.subject,
                name: series.name.clone(),
                weight: series.weight,
                hours: (0..HOURS)
                    .map(|hour| (hour, series.hours[hour]))
                    .filter(|(_, hour)| hour.seen != [0; METRICS.len()])
                    .collect(),
            })
            .collect()
    }

    /// Takes up what was learned earlier. What is not finite is left out.
    pub fn resume(
        &mut self,
        learned: Vec<Learned>,
        key: impl Fn(Subject, &str) -> u64,
        now: Timestamp,
    ) {
        // Where they do not fit, those that do most stay.
        let mut learned: Vec<_> = learned.into_iter().filter(|one| !one.name.is_empty()).collect();
        learned.sort_by_key(|one| one.weight);
        for one in learned {
            let key = key(one.subject, cut(&one.name));
            let series = self.table.entry(key, now);
            *series = Series {
                subject: one.subject,
                name: cut(&one.name).to_owned(),
                weight: one.weight,
                bin: self.now.number,
                ..Series::default()
            };
            for (hour, learned) in one.hours {
                let sound = learned.mean.iter().all(|mean| mean.is_finite())
                    && learned.variance.iter().all(|v| v.is_finite() && *v >= 0.0);
                if let Some(place) = series.hours.get_mut(hour).filter(|_| sound) {
                    *place = learned;
                }
            }
            // So that it weighs what it does.
            self.table.entry(key, now);
        }
    }
}

impl Series {
    /// Judges and learns from five minutes that are over.
    fn close(&mut self, key: u64, over: Bin, now: Bin, raise: &mut Raise<'_>) {
        if self.bin == now.number {
            return;
        }
        if over.whole && self.bin == over.number {
            self.judge(key, over.hour(), raise);
        } else {
            (self.off, self.told) = Default::default();
        }
        self.bin = now.number;
        self.weight = self.weight.saturating_sub(self.weight / 64).saturating_add(self.volume);
        (self.volume, self.failures, self.refusals) = (0, 0, 0);
        (self.latencies, self.latency_sum) = (0, 0.0);
    }

    /// The value of a metric; `None` where there was too little to have one.
    fn value(&self, metric: Metric) -> Option<f32> {
        let share = |part: u32| (self.volume > 0).then(|| part as f32 / self.volume as f32);
        match metric {
            Metric::Volume => Some(self.volume as f32),
            Metric::Failures => share(self.failures),
            Metric::Refusals => share(self.refusals),
            Metric::Latency => (self.latencies > 0).then(|| mean(self.latency_sum, self.latencies)),
        }
    }

    fn judge(&mut self, key: u64, hour: usize, raise: &mut Raise<'_>) {
        for metric in METRICS {
            let at = metric as usize;
            let Some(value) = self.value(metric) else {
                (self.off[at], self.told[at]) = (0, 0.0);
                continue;
            };
            let own = self.of(metric, hour);
            if own.is_some()
                && let Some(usual) = self.usual(metric, hour, value)
            {
                let off = (value - usual.mean) / self.spread(metric, usual);
                self.tell((key, metric), usual, value, off, raise);
            }
            if metric == Metric::Volume || self.volume >= LEAST_LEARNED {
                self.teach(metric, hour, own, value);
            }
        }
    }

    fn teach(&mut self, metric: Metric, hour: usize, own: Option<Usual>, value: f32) {
        let at = metric as usize;
        let lasts = self.off[at] >= LASTING;
        // What is usual on other days says nothing of what this one teaches: a Sunday is none of them.
        let Some(own) = own.filter(|own| own.weekly) else {
            return self.hours[hour].learn(at, value);
        };
        let spread = self.spread(metric, own);
        let off = (value - own.mean) / spread;
        if lasts && off.abs() > OUTLIER {
            self.hours[hour].move_mean(at, value);
        } else {
            let taught = if off.abs() > OUTLIER { TAUGHT.copysign(off) } else { off };
            self.hours[hour].learn(at, own.mean + taught * spread);
        }
    }

    /// What is usual: of this hour and its neighbours, since nobody keeps to UTC or to the minute,
    /// whichever is nearest to what was seen.
    fn usual(&self, metric: Metric, hour: usize, value: f32) -> Option<Usual> {
        let near = [hour, (hour + 1) % HOURS, (hour + HOURS - 1) % HOURS];
        near.into_iter()
            .filter_map(|hour| self.of(metric, hour))
            .map(|usual| (((value - usual.mean) / self.spread(metric, usual)).abs(), usual))
            .min_by(|(a, _), (b, _)| a.total_cmp(b))
            .map(|(_, usual)| usual)
    }

    fn of(&self, metric: Metric, hour: usize) -> Option<Usual> {
        self.of_week(metric, hour).or_else(|| self.of_day(metric, hour))
    }

    fn of_week(&self, metric: Metric, hour: usize) -> Option<Usual> {
        let (at, hour) = (metric as usize, &self.hours[hour]);
        let learned = hour.seen[at] >= LEARNED;
        learned.then(|| Usual { mean: hour.mean[at], variance: hour.variance[at], weekly: true })
    }

    fn of_day(&self, metric: Metric, hour: usize) -> Option<Usual> {
        let at = metric as usize;
        let same = || (0..7).map(|day| &self.hours[(hour + day * 24) % HOURS]);
        let (mut count, mut sum) = (0, 0.0);
        for hour in same() {
            count += u32::from(hour.seen[at]);
            sum += f32::from(hour.seen[at]) * hour.mean[at];
        }
        if count < LEARNED_DAYS {
            return None;
        }
        let mean = sum / count as f32;
        // Within the days, and between them: a working day is no Sunday.
        let squares = same().map(|hour| {
            f32::from(hour.seen[at]) * (hour.variance[at] + (hour.mean[at] - mean).powi(2))
        });
        Some(Usual { mean, variance: squares.sum::<f32>() / count as f32, weekly: false })
    }

    /// The standard deviation that a value is measured by: never less than chance alone, or than
    /// what nobody would get up for.
    fn spread(&self, metric: Metric, usual: Usual) -> f32 {
        let least = match metric {
            // Poisson, and a tenth of it.
            Metric::Volume => usual.mean.max(1.0) + (0.1 * usual.mean).powi(2),
            // Binomial, of a share that is never nothing, and half a percent.
            Metric::Failures | Metric::Refusals => {
                let share = usual.mean.clamp(0.01, 0.99);
                share * (1.0 - share) / (self.volume.max(1) as f32) + 0.005_f32.powi(2)
            }
            // A fifth, and less exact where there are few.
            Metric::Latency => 0.2_f32.powi(2) + 1.0 / (self.latencies.max(1) as f32),
        };
        usual.variance.max(least).sqrt()
    }

    /// By how many standard deviations a share is more than chance alone makes of what is usual:
    /// where few are expected, a normal distribution takes a handful for a miracle (the arcsine
    /// transformation, with Anscombe's correction, does not).
    fn beyond_chance(&self, usual: Usual, share: f32) -> f32 {
        let count = self.volume as f32;
        let angle = |share: f32| ((share * count + 0.375) / (count + 0.75)).sqrt().min(1.0).asin();
        2.0 * count.sqrt() * (angle(share) - angle(usual.mean.clamp(0.0, 1.0)))
    }

    fn tell(
        &mut self,
        (key, metric): (u64, Metric),
        usual: Usual,
        value: f32,
        off: f32,
        raise: &mut Raise<'_>,
    ) {
        let at = metric as usize;
        let (rule, most, least) = limits(metric, raise.rules);
        let enough = match metric {
            Metric::Volume => value.max(usual.mean) >= least,
            _ => self.volume as f32 >= least,
        };
        // Only more of it is bad news, but for requests that do not come.
        let far = match metric {
            Metric::Volume => off.abs(),
            Metric::Latency => off,
            Metric::Failures | Metric::Refusals => off.min(self.beyond_chance(usual, value)),
        };
        // It is over when it is clearly back.
        let beyond = enough && far >= most;
        if !beyond && (self.off[at] == 0 || far <= most / 2.0) {
            (self.off[at], self.told[at]) = (0, 0.0);
            return;
        }
        self.off[at] = self.off[at].saturating_add(1);
        let told = self.told[at];
        let news = told == 0.0 || told.signum() != off.signum() || far >= told.abs() * WORSE;
        if !beyond || !news {
            return;
        }
        let description = self.describe(metric, usual, value, off);
        let raised = raise
            .raise(rule, key.wrapping_add(at as u64), || Found { description, ..Found::default() });
        if raised {
            self.told[at] = off;
        }
    }

    fn describe(&self, metric: Metric, usual: Usual, value: f32, off: f32) -> String {
        let (name, volume) = (&self.name, self.volume);
        let subject = match self.subject {
            Subject::Route => format!("The route {name}"),
            Subject::Client => format!("The client {name}"),
            Subject::Tenant => format!("Logins of the tenant {name}"),
        };
        let percent = |share: f32| format!("{:.1} %", share * 100.0);
        let (had, usually) = match metric {
            Metric::Volume => match self.subject {
                Subject::Route => (format!("{value} requests"), format!("{:.0}", usual.mean)),
                _ => (format!("{value} attempts"), format!("{:.0}", usual.mean)),
            },
            Metric::Failures => {
                (format!("{} failures of {volume}", percent(value)), percent(usual.mean))
            }
            Metric::Refusals => {
                (format!("{} refusals of {volume}", percent(value)), percent(usual.mean))
            }
            Metric::Latency => {
                let millis = |log: f32| format!("{:.1} ms", log.exp());
                (format!("answers after {}", millis(value)), millis(usual.mean))
            }
        };
        let when =
            if usual.weekly { "at this hour of the week" } else { "at this hour of the day" };
        let side = if off < 0.0 { "below" } else { "above" };
        format!(
            "{subject} had {had} within five minutes; usual {when} is {usually}, which is {:.1} \
             standard deviations {side} it.",
            off.abs()
        )
    }
}

#[expect(clippy::cast_possible_truncation, reason = "it is exact enough to judge by")]
fn mean(sum: f64, count: u32) -> f32 {
    (sum / f64::from(count)) as f32
}

/// The rule of a metric, from how many standard deviations on, and with how much at least.
fn limits(metric: Metric, rules: &Rules) -> (&'static Rule, f32, f32) {
    let (volume, failures) = (rules.unusual_volume, rules.unusual_failures);
    let latency = rules.unusual_latency;
    let (rule, deviations, least) = match metric {
        Metric::Volume => (&UnusualVolume::RULE, volume.deviations, volume.requests),
        Metric::Failures | Metric::Refusals => {
            (&UnusualFailures::RULE, failures.deviations, failures.requests)
        }
        Metric::Latency => (&UnusualLatency::RULE, latency.deviations, latency.requests),
    };
    (rule, deviations.0 as f32, least.0 as f32)
}

/// The part of a name that a series goes by.
pub(crate) fn cut(name: &str) -> &str {
    let end = (0..=NAME_BYTES.min(name.len())).rev().find(|at| name.is_char_boundary(*at));
    &name[..end.unwrap_or(0)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_names_are_cut_between_characters() {
        assert_eq!(cut(&"é".repeat(90)).len(), NAME_BYTES);
        assert_eq!(cut(&format!("x{}", "é".repeat(90))).len(), NAME_BYTES - 1);
    }
}
