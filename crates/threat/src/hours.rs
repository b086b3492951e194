//! What an hour of the week has learned.

use serde::{Deserialize, Serialize};

/// The weight of the newest value in what an hour has learned: half of it is the last week.
const NEWEST: f32 = 0.06;

/// What is measured of a subject in five minutes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(usize)]
pub(crate) enum Metric {
    /// How many.
    Volume,
    /// The share that failed (5xx at a route).
    Failures,
    /// The share that was refused (4xx at a route).
    Refusals,
    /// The mean of the logarithm of the milliseconds.
    Latency,
}
pub(crate) const METRICS: [Metric; 4] =
    [Metric::Volume, Metric::Failures, Metric::Refusals, Metric::Latency];

/// What an hour has learned.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
pub(crate) struct Hour {
    pub mean: [f32; METRICS.len()],
    pub variance: [f32; METRICS.len()],
    /// Values of each, up to where it makes no difference.
    pub seen: [u16; METRICS.len()],
}

/// What is usual of a metric.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Usual {
    pub mean: f32,
    pub variance: f32,
    pub weekly: bool,
}

impl Hour {
    /// An exponentially weighted mean and variance; the plain ones of the first values.
    pub fn learn(&mut self, at: usize, value: f32) {
        let seen = &mut self.seen[at];
        *seen = seen.saturating_add(1);
        let weight = NEWEST.max(1.0 / f32::from(*seen));
        let off = value - self.mean[at];
        self.mean[at] += weight * off;
        self.variance[at] = (1.0 - weight) * (self.variance[at] + weight * off * off);
    }

    /// The mean alone.
    pub fn move_mean(&mut self, at: usize, value: f32) {
        self.seen[at] = self.seen[at].saturating_add(1);
        self.mean[at] += NEWEST * (value - self.mean[at]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn means_and_variances_are_those_of_a_plain_count_at_first_and_follow_later() {
        let mut hour = Hour::default();
        let values = [3.0, 5.0, 10.0, 2.0];
        for value in values {
            hour.learn(0, value);
        }
        let mean = values.iter().sum::<f32>() / 4.0;
        let variance = values.iter().map(|v| (v - mean).powi(2)).sum::<f32>() / 4.0;
        assert!((hour.mean[0] - mean).abs() < 1e-4 && (hour.variance[0] - variance).abs() < 1e-3);
        for _ in 0..120 {
            hour.learn(0, 100.0);
        }
        assert!((hour.mean[0] - 100.0).abs() < 0.2 && hour.seen[0] == 124);
    }
}
