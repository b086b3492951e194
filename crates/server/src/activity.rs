//! What routes and limits do now, for people who look at the gate: the last hour by route and stage, who uses up
//! which limit, and what contracts that are still learned would have refused. It is counted where the detectors
//! look, in memory, of this node alone; the log has the rest.

use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use portcullis_api::{
    ActivityView, ConsumedView, ConsumerView, LearnedView, LimitView, RefusedView, RouteActivity,
};
use portcullis_events::{Event, Kind};
use portcullis_gateway::{Consumer, Counters, LimitRule, Route, Seen};
use portcullis_types::Timestamp;

/// One slice of the last hour, in seconds.
const SLICE: i64 = 300;
const SLICES: i64 = 12;
/// Who uses a limit up is told of this and the slice before.
const CONSUMED: i64 = 2;
/// Whoever uses more than one in so many of a limit's requests is among those that are told.
const CONSUMERS: usize = 64;
/// So many are told of each limit.
const TOLD: usize = 20;
/// Different things that are learned of one route; what comes after them is only counted.
const LEARNED: usize = 200;
/// What is learned is kept up to this length, in bytes.
const LEARNED_BYTES: usize = 256;
/// Requests for which there is no route.
const NO_ROUTE: &str = "-";

/// The counters.
#[derive(Default)]
pub struct Activity(Mutex<State>);

#[derive(Default)]
struct State {
    rules: HashMap<String, Vec<Arc<LimitRule>>>,
    /// Routes whose contract only reports.
    learning: Vec<String>,
    slices: VecDeque<Slice>,
    learned: BTreeMap<String, Learned>,
    began: Option<Timestamp>,
}

#[derive(Default)]
struct Slice {
    /// The number of the slice since the beginning of the era.
    number: i64,
    routes: HashMap<String, Counted>,
    limits: HashMap<String, Heavy>,
}

#[derive(Default)]
struct Counted {
    requests: u64,
    refused: BTreeMap<&'static str, u64>,
}

#[derive(Default)]
struct Learned {
    found: HashMap<String, (u64, Timestamp)>,
    others: u64,
}

/// The heaviest of many (Misra and Gries, 1982): each count is at most one in [`CONSUMERS`] of all too low.
#[derive(Default)]
struct Heavy(HashMap<Consumer, u64>);

impl Heavy {
    fn count(&mut self, consumer: Consumer) {
        if let Some(count) = self.0.get_mut(&consumer) {
            *count += 1;
        } else if self.0.len() < CONSUMERS {
            self.0.insert(consumer, 1);
        } else {
            self.0.retain(|_, count| {
                *count -= 1;
                *count > 0
            });
        }
    }
}

impl Activity {
    /// These routes are in force from now on.
    pub fn follow(&self, routes: &[Arc<Route>]) {
        let mut state = self.state();
        state.rules.clear();
        for route in routes {
            // Those that are built in share names.
            let own = state.rules.entry(route.name.clone()).or_default();
            for rule in &route.limits {
                if own.iter().all(|known| known.name != rule.name) {
                    own.push(rule.clone());
                }
            }
        }
        state.learning =
            routes.iter().filter(|route| route.learning).map(|route| route.name.clone()).collect();
        let State { learned, learning, .. } = &mut *state;
        learned.retain(|route, _| learning.contains(route));
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts events.
    pub fn count(&self, events: &[Arc<Event>]) {
        let mut state = self.state();
        for event in events {
            state.count(event);
        }
    }

    /// As it is now.
    pub fn view(&self, counters: &Counters, now: Timestamp) -> ActivityView {
        let state = self.state();
        let newest = now.secs().div_euclid(SLICE);
        let since = |back: i64| {
            let began = Timestamp::from_secs((newest - back + 1) * SLICE);
            state.began.map_or(now, |first| first.max(began)).to_rfc3339()
        };
        ActivityView {
            since: since(SLICES),
            consumers_since: since(CONSUMED),
            routes: state.routes(newest),
            limits: state.limits(newest, counters, now),
            learned: state.learned(),
        }
    }
}

impl State {
    fn count(&mut self, event: &Event) {
        let Kind::Request(seen) = &event.kind else { return };
        self.began.get_or_insert(event.time);
        let name = seen.route.as_deref().unwrap_or(NO_ROUTE);
        let Self { rules, learning, slices, learned, .. } = self;
        let slice = slice_of(slices, event.time);
        let route = slice.routes.entry(name.to_owned()).or_default();
        route.requests += 1;
        if let Some(stage) = seen.refused_at {
            *route.refused.entry(stage.as_str()).or_default() += 1;
        }
        if let (Some(origin), Some(rules)) = (&event.origin, rules.get(name)) {
            let refusing = seen.policies.iter().find(|one| one.kind == "limit" && !one.allows);
            let asked = Seen {
                route: name,
                addr: origin.addr,
                actor: &event.actor,
                refused_at: seen.refused_at,
                limit: refusing.map(|one| &*one.name),
            };
            for rule in LimitRule::that_counted(rules, asked) {
                if let Some(consumer) = rule.consumer(asked) {
                    slice.limits.entry(rule.name.clone()).or_default().count(consumer);
                }
            }
        }
        if !seen.violations.is_empty() && learning.iter().any(|one| one == name) {
            let own = learned.entry(name.to_owned()).or_default();
            for violation in &seen.violations {
                own.count(shape(violation), event.time);
            }
        }
    }

    /// Slices of the last so many, the newest first.
    fn last(&self, newest: i64, count: i64) -> impl Iterator<Item = &Slice> {
        let fits = move |slice: &&Slice| (newest - count + 1..=newest).contains(&slice.number);
        self.slices.iter().rev().filter(fits)
    }

    fn routes(&self, newest: i64) -> Vec<RouteActivity> {
        let mut sums: BTreeMap<&str, Counted> = BTreeMap::new();
        for slice in self.last(newest, SLICES) {
            for (name, counted) in &slice.routes {
                let sum = sums.entry(name).or_default();
                sum.requests += counted.requests;
                for (stage, count) in &counted.refused {
                    *sum.refused.entry(stage).or_default() += count;
                }
            }
        }
        let told = sums.into_iter().map(|(name, Counted { requests, refused })| {
            let one = |(stage, count): (&str, u64)| RefusedView { stage: stage.to_owned(), count };
            let refused = refused.into_iter().map(one).collect();
            RouteActivity { route: name.to_owned(), requests, refused }
        });
        told.collect()
    }

    fn limits(&self, newest: i64, counters: &Counters, now: Timestamp) -> Vec<LimitView> {
        // Several routes may share one.
        let mut rules: BTreeMap<&str, (&Arc<LimitRule>, Vec<String>)> = BTreeMap::new();
        for (route, own) in &self.rules {
            for rule in own {
                rules.entry(&rule.name).or_insert((rule, Vec::new())).1.push(route.clone());
            }
        }
        let told = rules.into_iter().map(|(name, (rule, mut routes))| {
            routes.sort();
            let mut sums: HashMap<&Consumer, u64> = HashMap::new();
            for heavy in self.last(newest, CONSUMED).filter_map(|slice| slice.limits.get(name)) {
                for (consumer, count) in &heavy.0 {
                    *sums.entry(consumer).or_default() += count;
                }
            }
            let mut sums: Vec<_> = sums.into_iter().collect();
            sums.sort_by(|(one, a), (other, b)| {
                b.cmp(a).then_with(|| one.told().cmp(&other.told()))
            });
            sums.truncate(TOLD);
            let consumer = |(consumer, requests): (&Consumer, u64)| {
                let standing = rule.standing(counters, consumer, now);
                let one = |(by, value)| ConsumedView { by, value };
                ConsumerView {
                    who: consumer.told().into_iter().map(one).collect(),
                    requests,
                    left: standing.left,
                    wait_seconds: standing.wait.as_secs(),
                    blocked: standing.blocked,
                }
            };
            LimitView {
                limit: name.to_owned(),
                routes,
                allows: rule.told(),
                told_apart: rule.tells_apart(),
                consumers: sums.into_iter().map(consumer).collect(),
            }
        });
        told.collect()
    }

    fn learned(&self) -> Vec<LearnedView> {
        let mut all = Vec::new();
        for route in &self.learning {
            let Some(learned) = self.learned.get(route) else { continue };
            for (violation, (count, last)) in &learned.found {
                all.push(LearnedView {
                    route: route.clone(),
                    violation: Some(violation.clone()),
                    count: *count,
                    last_at: Some(last.to_rfc3339()),
                });
            }
            if learned.others > 0 {
                let (route, count) = (route.clone(), learned.others);
                all.push(LearnedView { route, violation: None, count, last_at: None });
            }
        }
        all.sort_by(|a, b| {
            a.route.cmp(&b.route).then(b.count.cmp(&a.count)).then(a.violation.cmp(&b.violation))
        });
        all
    }
}

impl Learned {
    fn count(&mut self, violation: String, now: Timestamp) {
        if let Some((count, last)) = self.found.get_mut(&violation) {
            (*count, *last) = (*count + 1, now);
        } else if self.found.len() < LEARNED {
            self.found.insert(violation, (1, now));
        } else {
            self.others += 1;
        }
    }
}

/// The slice of a time.
fn slice_of(slices: &mut VecDeque<Slice>, time: Timestamp) -> &mut Slice {
    let number = time.secs().div_euclid(SLICE);
    if slices.back().is_some_and(|newest| newest.number - number >= SLICES) {
        // No event comes so late: the clock was set back, and what was counted is of no hour any more.
        slices.clear();
    }
    let place = slices.partition_point(|slice| slice.number < number);
    if slices.get(place).is_none_or(|slice| slice.number != number) {
        slices.insert(place, Slice { number, ..Slice::default() });
        // Who it was is told of the last ones alone, and is most of what a slice holds: it goes with the next one.
        let told = slices.back().map_or(number, |newest| newest.number) - CONSUMED;
        slices.iter_mut().filter(|slice| slice.number <= told).for_each(|old| old.limits.clear());
    }
    let old = slices.partition_point(|slice| slice.number <= number - SLICES);
    slices.drain(..old);
    &mut slices[place - old]
}

/// A violation without what differs from request to request: where in a list it stands.
fn shape(violation: &str) -> String {
    // Of an answer the words stand the other way round.
    let response = violation.strip_prefix("response ").map(|pointer| (pointer, "response"));
    let parts = response.or_else(|| violation.rsplit_once(' '));
    let (pointer, code) = parts.unwrap_or((violation, ""));
    let code = if code.len() < LEARNED_BYTES / 2 { code } else { "" };
    let one = |part: &str| {
        let is_place = !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
        if is_place { "*".to_owned() } else { part.to_owned() }
    };
    let mut pointer = pointer.split('/').map(one).collect::<Vec<_>>().join("/");
    let mut most = LEARNED_BYTES.saturating_sub(code.len() + 1).min(pointer.len());
    while !pointer.is_char_boundary(most) {
        most -= 1;
    }
    pointer.truncate(most);
    match response {
        Some(_) => format!("response {pointer}"),
        None => format!("{pointer} {code}").trim_end().to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use portcullis_cluster::{Allowance, Concurrency, Limiter, Quotas, Rate};
    use portcullis_events::{Actor, Origin, Outcome, PolicyDecision, RequestSeen, Stage};
    use portcullis_gateway::{Counted as Which, LimitKey, LimitKind};
    use portcullis_types::{ClientAddr, HashKey, Id};

    use super::*;

    const NOW: i64 = 1_700_000_000;

    fn counters() -> Counters {
        let entropy = crate::system::entropy();
        Counters {
            limiter: Arc::new(Limiter::new(&*entropy)),
            quotas: Arc::new(Quotas::new(HashKey::new(&*entropy))),
            concurrency: Concurrency::new(&*entropy),
        }
    }

    /// A request of route `a` from 192.0.2.`host`.
    fn request(secs: i64, host: u8, refused_at: Option<Stage>, violation: &str) -> Arc<Event> {
        let seen = RequestSeen {
            route: Some("a".into()),
            refused_at,
            policies: match refused_at {
                Some(Stage::Limits) => vec![PolicyDecision::denies("limit", "limit")],
                _ => vec![],
            },
            violations: if violation.is_empty() { vec![] } else { vec![violation.to_owned()] },
            ..RequestSeen::default()
        };
        let addr = ClientAddr::new([192, 0, 2, host].into());
        let origin = Some(Origin::new(addr, String::new(), None));
        let (id, time) = (Id::from_bits(1), Timestamp::from_secs(secs));
        let (actor, outcome) = (Actor::Anonymous, Outcome::Success);
        Arc::new(Event::new(id, time, origin, actor, outcome, Kind::Request(seen)))
    }

    fn following() -> Activity {
        let activity = Activity::default();
        let allowance = Allowance::from(Rate { count: 9, per: std::time::Duration::from_secs(60) });
        let rule = LimitRule {
            name: "limit".into(),
            keys: vec![LimitKey::Ip],
            kind: LimitKind::Rate { allowance, block: None },
            counted: Which::Requests,
            except: vec![],
        };
        let mut state = activity.state();
        state.rules.insert("a".into(), vec![Arc::new(rule)]);
        state.learning.push("a".into());
        drop(state);
        activity
    }

    #[test]
    fn an_hour_is_told_by_route_and_stage_and_who_uses_limits_up() {
        let activity = following();
        activity.count(&[
            request(NOW - 2 * 3_600, 9, None, ""),
            request(NOW - 1_800, 8, Some(Stage::Validate), ""),
            request(NOW, 1, None, ""),
            request(NOW + 1, 1, None, ""),
            request(NOW + 1, 2, Some(Stage::Limits), ""),
            // Nobody was counted.
            request(NOW + 2, 3, Some(Stage::Guard), ""),
        ]);
        let view = activity.view(&counters(), Timestamp::from_secs(NOW + 3));
        assert_eq!((&*view.routes[0].route, view.routes[0].requests), ("a", 5));
        let refused: Vec<_> =
            view.routes[0].refused.iter().map(|one| (&*one.stage, one.count)).collect();
        assert_eq!(refused, [("guard", 1), ("limits", 1), ("validate", 1)]);
        let limit = &view.limits[0];
        assert_eq!((&*limit.limit, &*limit.allows, limit.told_apart), ("limit", "9 in 60 s", true));
        let told: Vec<_> = limit
            .consumers
            .iter()
            .map(|one| (&*one.who[0].value, one.requests, one.left, one.blocked))
            .collect();
        assert_eq!(told, [("192.0.2.1", 2, 9, false), ("192.0.2.2", 1, 9, false)]);
    }

    #[test]
    fn a_flood_of_addresses_does_not_hide_the_heaviest() {
        let activity = following();
        for turn in 0..2_000_u32 {
            let [.., host] = turn.to_be_bytes();
            activity.count(&[request(NOW, host, None, "")]);
            if turn % 4 == 0 {
                activity.count(&[request(NOW, 7, None, "")]);
            }
        }
        let view = activity.view(&counters(), Timestamp::from_secs(NOW));
        assert_eq!(view.limits[0].consumers[0].who[0].value, "192.0.2.7");
        assert!(activity.state().slices[0].limits["limit"].0.len() <= CONSUMERS);
    }

    #[test]
    fn what_is_learned_is_told_by_its_shape_and_does_not_grow_without_end() {
        let activity = following();
        activity.count(&[
            request(NOW, 1, None, "/body/items/3/name unknown_property"),
            request(NOW + 5, 1, None, "/body/items/14/name unknown_property"),
        ]);
        for turn in 0..500 {
            activity.count(&[request(NOW, 1, None, &format!("/body/x{turn} type"))]);
        }
        let view = activity.view(&counters(), Timestamp::from_secs(NOW));
        assert_eq!(view.learned.len(), LEARNED + 1);
        let first = &view.learned[1];
        assert_eq!(first.violation.as_deref(), Some("/body/items/*/name unknown_property"));
        assert_eq!((first.count, first.last_at.as_deref()), (2, Some("2023-11-14T22:13:25Z")));
        assert_eq!((&view.learned[0].violation, view.learned[0].count), (&None, 301));
        assert_eq!(shape("response /items/12/name"), "response /items/*/name");
        assert!(shape(&format!("response /{}", "x".repeat(9_000))).len() <= LEARNED_BYTES);
        assert!(shape(&format!("/x {}", "y".repeat(9_000))).len() <= LEARNED_BYTES);
        let long = shape(&format!("/{} type", "é".repeat(500)));
        assert!(long.len() <= LEARNED_BYTES && long.ends_with(" type"));
    }

    #[test]
    fn a_clock_that_is_set_back_begins_a_new_hour() {
        let activity = following();
        activity.count(&[request(NOW + 86_400, 1, None, ""), request(NOW, 1, None, "")]);
        let view = activity.view(&counters(), Timestamp::from_secs(NOW));
        assert_eq!(view.routes[0].requests, 1);
        // A little late is not that.
        activity.count(&[request(NOW + 600, 1, None, ""), request(NOW, 1, None, "")]);
        let view = activity.view(&counters(), Timestamp::from_secs(NOW + 600));
        assert_eq!(view.routes[0].requests, 3);
        // Names go when those that are told of are others.
        activity.count(&[request(NOW + 1_200, 1, None, "")]);
        let state = activity.state();
        let named = state.slices.iter().filter(|slice| !slice.limits.is_empty());
        assert_eq!((state.slices.len(), named.count()), (3, 1));
    }
}
