//! What is usual at an hour of the week: weeks of traffic with days, nights and weekends, in which
//! nothing is said, and what is said when they end.

use std::time::Duration;

use portcullis_events::{Actor, Event, Kind, LoginAttempt, Outcome, RequestSeen};
use portcullis_testkit::SeededEntropy;
use portcullis_threat::{Count, Finding, Nowhere, Rules, Watch};
use portcullis_types::{Entropy, Id, Timestamp};

const BIN: u64 = 300;
const WEEK: u64 = 7 * 86_400 / BIN;
/// A Monday at midnight, UTC.
const MONDAY: u64 = 1_800_230_400;

#[derive(Clone, Copy)]
struct Day {
    volume: f64,
    failures: f64,
    refusals: f64,
    millis: f64,
}

struct World {
    watch: Watch,
    chance: std::sync::Arc<SeededEntropy>,
    bin: u64,
    events: u128,
}

fn rules() -> Rules {
    let mut rules = Rules::default();
    for count in [
        &mut rules.unusual_volume.requests,
        &mut rules.unusual_failures.requests,
        &mut rules.unusual_latency.requests,
    ] {
        *count = Count(25);
    }
    // Nothing else speaks here.
    rules.error_spike.requests = Count(1_000_000);
    rules
}

impl World {
    fn new(seed: u64) -> Self {
        let watch = Watch::new(rules(), &*SeededEntropy::new(seed));
        Self { watch, chance: SeededEntropy::new(seed + 1), bin: 0, events: 0 }
    }

    fn chance(&self) -> f64 {
        let mut bytes = [0; 4];
        self.chance.fill(&mut bytes);
        f64::from(u32::from_le_bytes(bytes)) / 4_294_967_296.0
    }

    /// By Knuth: so many as come where `mean` come on average.
    fn poisson(&self, mean: f64) -> u32 {
        let (least, mut product, mut count) = ((-mean).exp(), self.chance(), 0);
        while product > least {
            product *= self.chance();
            count += 1;
        }
        count
    }

    /// Busy from nine to five on working days, an hour of which lags behind UTC.
    fn usual(&self) -> Day {
        let (day, hour) = (self.bin * BIN / 86_400 % 7, self.bin * BIN / 3_600 % 24);
        let busy = day < 5 && (9..17).contains(&hour);
        let volume = if busy {
            60.0
        } else if day < 5 {
            20.0
        } else {
            10.0
        };
        Day { volume, failures: 0.01, refusals: 0.05, millis: if busy { 30.0 } else { 20.0 } }
    }

    fn now(&self, part: f64) -> Timestamp {
        let at = Timestamp::from_secs(i64::try_from(MONDAY + self.bin * BIN).unwrap());
        at.plus(Duration::from_secs_f64(part * BIN as f64))
    }

    /// Five minutes.
    fn pass(&mut self, day: Day) -> Vec<Finding> {
        let mut found = Vec::new();
        let count = self.poisson(day.volume);
        for n in 0..count {
            let now = self.now(f64::from(n) / f64::from(count));
            let dice = self.chance();
            let status = match dice {
                _ if dice < day.failures => 503,
                _ if dice < day.failures + day.refusals => 404,
                _ => 200,
            };
            let spread = 0.5 + self.chance() + self.chance();
            let seen = RequestSeen {
                route: Some("orders".into()),
                status,
                latency: Duration::from_secs_f64(day.millis * spread / 1_500.0),
                ..RequestSeen::default()
            };
            self.see(now, Kind::Request(seen), Outcome::Success, &mut found);
            if n % 2 == 0 {
                let fails = self.chance() < 0.1 + day.failures;
                let outcome =
                    if fails { Outcome::Failure("bad_password") } else { Outcome::Success };
                self.see(now, Kind::Login(LoginAttempt::default()), outcome, &mut found);
            }
        }
        self.bin += 1;
        self.watch.turn(self.now(0.0), &mut found);
        found
    }

    fn see(&mut self, now: Timestamp, kind: Kind, outcome: Outcome, found: &mut Vec<Finding>) {
        self.events += 1;
        let id = Id::from_bits(self.events);
        let event = Event::new(id, now, None, Actor::Anonymous, outcome, kind);
        self.watch.observe(&event, &Nowhere, now, found);
    }

    fn bins(&mut self, count: u64, day: impl Fn(Day) -> Day) -> Vec<(String, String)> {
        let mut said = Vec::new();
        for _ in 0..count {
            let day = day(self.usual());
            said.extend(self.pass(day).into_iter().map(|f| (f.rule.id.to_owned(), f.description)));
        }
        said
    }

    fn until_wednesday_noon(&mut self) {
        let noon = (2 * 86_400 + 12 * 3_600) / BIN;
        let missing = (noon + WEEK - self.bin % WEEK) % WEEK;
        assert_eq!(self.bins(missing, |day| day), []);
    }
}

fn names(said: &[(String, String)]) -> Vec<&str> {
    said.iter().map(|(rule, _)| rule.as_str()).collect()
}

#[test]
fn weeks_like_any_other_are_not_worth_a_word() {
    for seed in [1, 2] {
        assert_eq!(World::new(seed).bins(5 * WEEK, |day| day), []);
    }
}

#[test]
fn what_is_unlike_the_hour_of_other_weeks_is_told_once_with_the_numbers() {
    let mut world = World::new(3);
    assert_eq!(world.bins(2 * WEEK, |day| day), []);
    type Case = (&'static str, &'static str, fn(Day) -> Day);
    let cases: [Case; 5] = [
        ("unusual_volume", "above", |day| Day { volume: day.volume * 4.0, ..day }),
        ("unusual_volume", "The route orders had 0 requests", |day| Day { volume: 0.0, ..day }),
        ("unusual_failures", "failures of", |day| Day { failures: 0.3, ..day }),
        ("unusual_failures", "refusals of", |day| Day { refusals: 0.6, ..day }),
        ("unusual_latency", "answers after", |day| Day { millis: day.millis * 8.0, ..day }),
    ];
    for (rule, says, change) in cases {
        world.until_wednesday_noon();
        // For an hour, and it does not become usual in it.
        let said = world.bins(12, change);
        assert!(said.iter().any(|(name, text)| name == rule && text.contains(says)), "{said:?}");
        assert!(said.iter().all(|(_, text)| text.contains("at this hour of the week")), "{said:?}");
        // A route and the logins beside it, each once.
        let distinct: std::collections::BTreeSet<_> =
            said.iter().map(|(rule, text)| (rule, text.split(" had ").next())).collect();
        assert!(said.len() == distinct.len() && said.len() <= 2, "{said:?}");
    }
}

#[test]
fn nights_are_not_days_and_days_not_weekends() {
    let mut world = World::new(4);
    assert_eq!(world.bins(3 * WEEK, |day| day), []);
    // As busy on Sunday at noon as on Wednesday at noon.
    assert_eq!(world.bins((6 * 86_400 + 12 * 3_600) / BIN, |day| day), []);
    let said = world.bins(6, |day| Day { volume: 60.0, ..day });
    assert_eq!(names(&said), ["unusual_volume", "unusual_volume"], "{said:?}");
}

#[test]
fn before_three_days_nothing_is_said_and_after_them_the_days_count() {
    let mut world = World::new(5);
    assert_eq!(world.bins(2 * 288, |day| day), []);
    assert_eq!(world.bins(6, |day| Day { volume: 400.0, ..day }), []);
    let mut world = World::new(6);
    world.until_wednesday_noon();
    assert_eq!(world.bins(2 * 288, |day| day), []);
    let said = world.bins(2, |day| Day { volume: 400.0, ..day });
    assert!(said[0].1.contains("at this hour of the day"), "{said:?}");
}

#[test]
fn what_was_learned_outlives_a_restart() {
    let mut world = World::new(7);
    assert_eq!(world.bins(2 * WEEK, |day| day), []);
    world.until_wednesday_noon();
    let kept = serde_json::to_string(&world.watch.learned()).unwrap();
    let mut next = World::new(8);
    next.bin = world.bin;
    next.watch.resume(serde_json::from_str(&kept).unwrap(), next.now(0.0));
    assert_eq!(serde_json::to_value(next.watch.learned()).unwrap().as_array().unwrap().len(), 2);
    // What went on while nobody looked is not judged: the first five minutes are in part only.
    assert_eq!(next.bins(1, |day| Day { volume: 1.0, ..day }), []);
    let said = next.bins(2, |day| Day { volume: 0.0, ..day });
    assert!(names(&said).contains(&"unusual_volume"), "{said:?}");
    let damaged = r#"[{"subject":"route","name":"x","weight":1,"hours":[[900,{"mean":[1,1,1,1],
        "variance":[1,1,1,1],"seen":[9,9,9,9]}],[1,{"mean":[1,1,1,1],"variance":[-1,1,1,1],
        "seen":[9,9,9,9]}]]}]"#;
    next.watch.resume(serde_json::from_str(damaged).unwrap(), next.now(0.0));
    assert!(serde_json::to_string(&next.watch.learned()).unwrap().contains(r#""hours":[]"#));
}

/// Somebody who stays just below what is told does not stretch what is usual.
#[test]
fn what_is_usual_is_not_stretched_step_by_step() {
    let mut world = World::new(9);
    assert_eq!(world.bins(2 * WEEK, |day| day), []);
    world.until_wednesday_noon();
    // Six hours of what is far, and told of at most once for each of the two.
    let crept = world.bins(72, |day| Day { volume: day.volume * 1.8, ..day });
    assert!(crept.len() <= 2, "{crept:?}");
    world.until_wednesday_noon();
    let said = world.bins(1, |day| Day { volume: day.volume * 4.0, ..day });
    assert!(names(&said).contains(&"unusual_volume"), "{said:?}");
}

/// Client ids that fail are made up by anybody.
#[test]
fn who_fails_to_be_a_client_makes_no_series() {
    let mut world = World::new(10);
    let mut found = Vec::new();
    for n in 0..5_000 {
        let attempt = LoginAttempt::default();
        world.events += 1;
        let (id, now) = (Id::from_bits(world.events), world.now(0.0));
        let actor = Actor::Client { id: format!("made-up-{n}") };
        let outcome = Outcome::Failure("unknown_client");
        let event = Event::new(id, now, None, actor, outcome, Kind::Login(attempt));
        world.watch.observe(&event, &Nowhere, now, &mut found);
    }
    assert!(world.watch.learned().is_empty());
}
