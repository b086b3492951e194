//! What passes, in numbers for Prometheus. It is counted where the detectors look, so that no request
//! pays for it.

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use portcullis_events::{Event, Kind, RequestSeen};
use portcullis_store::measures::LATENCY_BOUNDS as BOUNDS;

use crate::{activity::Activity, measures::Minutes};

/// Requests for which there is no route.
const NO_ROUTE: &str = "-";

/// The counters.
#[derive(Default)]
pub struct Traffic {
    tallies: Mutex<Tallies>,
    /// The same for charts, until it is stored.
    pub minutes: Minutes,
    /// Of routes and limits, for people who look at the gate.
    pub activity: Activity,
}

#[derive(Default)]
struct Tallies {
    /// There are as many as there are routes.
    routes: BTreeMap<String, Route>,
    /// By the code of the event, of which there are some hundred.
    codes: BTreeMap<String, u64>,
}

#[derive(Default)]
struct Route {
    /// 1xx to 5xx.
    classes: [u64; 5],
    refused: BTreeMap<&'static str, u64>,
    /// The last one has no bound.
    buckets: [u64; BOUNDS.len() + 1],
    taken: Duration,
}

impl Traffic {
    /// Counts events.
    pub fn count(&self, events: &[Arc<Event>]) {
        self.minutes.count(events);
        self.activity.count(events);
        let mut tallies = self.tallies.lock().unwrap_or_else(PoisonError::into_inner);
        for event in events {
            let code = event.kind.code(event.outcome.is_success());
            *tallies.codes.entry(code).or_default() += 1;
            if let Kind::Request(seen) = &event.kind {
                let name = seen.route.as_deref().unwrap_or(NO_ROUTE);
                match tallies.routes.get_mut(name) {
                    Some(route) => route.count(seen),
                    None => tallies.routes.entry(name.to_owned()).or_default().count(seen),
                }
            }
        }
    }

    /// In the text format of Prometheus.
    pub fn metrics(&self) -> String {
        let tallies = self.tallies.lock().unwrap_or_else(PoisonError::into_inner);
        let mut text = String::from(
            "# HELP portcullis_requests_total Requests that were answered, by route and status.\n\
             # TYPE portcullis_requests_total counter\n",
        );
        for (name, route) in &tallies.routes {
            for (class, count) in route.classes.iter().enumerate().filter(|(_, count)| **count > 0)
            {
                let class = class + 1;
                let labels = format!("route=\"{name}\",status=\"{class}xx\"");
                let _ = writeln!(text, "portcullis_requests_total{{{labels}}} {count}");
            }
        }
        text.push_str(
            "# HELP portcullis_requests_refused_total Requests that the gate refused, by stage.\n\
             # TYPE portcullis_requests_refused_total counter\n",
        );
        for (name, route) in &tallies.routes {
            for (stage, count) in &route.refused {
                let labels = format!("route=\"{name}\",stage=\"{stage}\"");
                let _ = writeln!(text, "portcullis_requests_refused_total{{{labels}}} {count}");
            }
        }
        text.push_str(
            "# HELP portcullis_request_duration_seconds From the head of a request to that of its \
             answer.\n# TYPE portcullis_request_duration_seconds histogram\n",
        );
        for (name, route) in &tallies.routes {
            route.histogram(name, &mut text);
        }
        text.push_str(
            "# HELP portcullis_events_total Events that were recorded, by code.\n\
             # TYPE portcullis_events_total counter\n",
        );
        for (code, count) in &tallies.codes {
            let _ = writeln!(text, "portcullis_events_total{{code=\"{code}\"}} {count}");
        }
        text
    }
}

impl Route {
    fn count(&mut self, seen: &RequestSeen) {
        let class = usize::from(seen.status / 100).clamp(1, 5) - 1;
        self.classes[class] += 1;
        if let Some(stage) = seen.refused_at {
            *self.refused.entry(stage.as_str()).or_default() += 1;
        }
        let micros = u64::try_from(seen.latency.as_micros()).unwrap_or(u64::MAX);
        self.buckets[BOUNDS.partition_point(|bound| *bound < micros)] += 1;
        self.taken += seen.latency;
    }

    fn histogram(&self, name: &str, text: &mut String) {
        const METRIC: &str = "portcullis_request_duration_seconds";
        let mut sum = 0;
        for (place, count) in self.buckets.iter().enumerate() {
            sum += count;
            let bound = BOUNDS.get(place).map_or("+Inf".to_owned(), |micros| {
                Duration::from_micros(*micros).as_secs_f64().to_string()
            });
            let _ = writeln!(text, "{METRIC}_bucket{{route=\"{name}\",le=\"{bound}\"}} {sum}");
        }
        let taken = self.taken.as_secs_f64();
        let _ = writeln!(text, "{METRIC}_sum{{route=\"{name}\"}} {taken}");
        let _ = writeln!(text, "{METRIC}_count{{route=\"{name}\"}} {sum}");
    }
}

#[cfg(test)]
mod tests {
    use portcullis_events::{Actor, Outcome, Stage};
    use portcullis_types::{Id, Timestamp};

    use super::*;

    fn request(route: Option<&str>, status: u16, millis: u64, stage: Option<Stage>) -> Arc<Event> {
        let seen = RequestSeen {
            route: route.map(str::to_owned),
            status,
            latency: Duration::from_millis(millis),
            refused_at: stage,
            ..RequestSeen::default()
        };
        let outcome = if stage.is_some() { Outcome::Failure("x") } else { Outcome::Success };
        let (id, now) = (Id::from_bits(1), Timestamp::from_secs(1));
        Arc::new(Event::new(id, now, None, Actor::Anonymous, outcome, Kind::Request(seen)))
    }

    #[test]
    fn requests_are_counted_by_route_status_stage_and_time() {
        let traffic = Traffic::default();
        traffic.count(&[
            request(Some("a"), 200, 3, None),
            request(Some("a"), 503, 20_000, None),
            request(Some("a"), 401, 0, Some(Stage::Authenticate)),
            request(None, 404, 1, Some(Stage::Route)),
        ]);
        let text = traffic.metrics();
        for line in [
            "portcullis_requests_total{route=\"a\",status=\"2xx\"} 1",
            "portcullis_requests_total{route=\"-\",status=\"4xx\"} 1",
            "portcullis_requests_refused_total{route=\"a\",stage=\"authenticate\"} 1",
            "portcullis_request_duration_seconds_bucket{route=\"a\",le=\"0.0005\"} 1",
            "portcullis_request_duration_seconds_bucket{route=\"a\",le=\"0.005\"} 2",
            "portcullis_request_duration_seconds_bucket{route=\"a\",le=\"10\"} 2",
            "portcullis_request_duration_seconds_bucket{route=\"a\",le=\"+Inf\"} 3",
            "portcullis_request_duration_seconds_bucket{route=\"-\",le=\"0.001\"} 1",
            "portcullis_request_duration_seconds_sum{route=\"a\"} 20.003",
            "portcullis_request_duration_seconds_count{route=\"a\"} 3",
            "portcullis_events_total{code=\"gate_allowed\"} 2",
            "portcullis_events_total{code=\"gate_denied\"} 2",
        ] {
            assert!(text.lines().any(|one| one == line), "{line}\n{text}");
        }
    }
}
