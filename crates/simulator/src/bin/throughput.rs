//! Events a second on one core, the worst single event, and the memory, under the mixes that break
//! other engines.
#![expect(clippy::print_stdout, reason = "this is what it is for")]
#![expect(clippy::disallowed_methods, reason = "it measures time")]

use std::{net::IpAddr, time::Instant};

use portcullis_events::Event;
use portcullis_simulator::{
    attacks,
    chance::Chance,
    script::{From, START, Script, Truth, nobody, person},
    world::{self, Map, World, browser, v4, v6},
};
use portcullis_threat::{Rules, Watch};

/// Events in memory at once: a stream is made anew in parts, which are not measured.
const PART: u64 = 100_000;

fn main() {
    println!("{:<44} {:>12} {:>12} {:>12} {:>9}", "mix", "events/s", "p99.99", "worst", "findings");
    let chance = Chance::new(3);
    let mut script = Script::default();
    let world = World { people: 5_000, days: 3 };
    world::good_people(world, &chance, &mut script);
    attacks::all(world, 5, &chance, &mut script);
    let events: Vec<Event> = script.sorted().steps.into_iter().map(|step| step.event).collect();
    let mut watch = Watch::new(Rules::default(), &chance);
    let mut row = Row::default();
    for _ in 0..8 {
        row.measure(&mut watch, &events);
    }
    row.print("people who may, and every attack");

    let spray = |n: u64| (from(v4(4, 1, 7)), n, 1_000 + n % 50);
    flood("one address, 2 million different users", 2_000_000, spray);
    let one_password = |n: u64| (from(v4(4, 1, 7)), n, 1);
    flood("one address and password, 2 million users", 2_000_000, one_password);
    let keys = |n: u64| (from(v6(n, n >> 4, n)), n, n);
    flood("10 million addresses, users and passwords", 10_000_000, keys);
    let one_account = |n: u64| (from(v6(n, n >> 4, n)), 5, n);
    flood("one user, 2 million addresses", 2_000_000, one_account);
    println!("\nmemory of all tables, for good: {:.1} MiB", watch.bytes() as f64 / 1_048_576.0);
}

fn from(ip: IpAddr) -> From {
    From { ip, agent: browser(3) }
}

/// Failed logins: from where, of whom, with which password, by number.
fn flood(name: &str, count: u64, make: impl Fn(u64) -> (From, u64, u64)) {
    let mut watch = Watch::new(Rules::default(), &Chance::new(3));
    let mut row = Row::default();
    for part in 0..count / PART {
        let mut script = Script::default();
        for n in part * PART..(part + 1) * PART {
            let (from, user, password) = make(n);
            let (who, reason) = if user % 2 == 0 {
                (nobody(user), "unknown_account")
            } else {
                (person(user), "bad_password")
            };
            script.login(n / 20, &from, who, password, Some(reason), false, Truth::Good);
        }
        let events: Vec<Event> = script.steps.into_iter().map(|step| step.event).collect();
        row.measure(&mut watch, &events);
    }
    row.print(name);
}

#[derive(Default)]
struct Row {
    events: u64,
    nanos: u64,
    worst: u64,
    findings: usize,
    /// Events by how long they took, in steps of 100 ns; the last step has all above.
    times: Vec<u64>,
}

impl Row {
    fn measure(&mut self, watch: &mut Watch, events: &[Event]) {
        self.times.resize(10_001, 0);
        let mut found = Vec::new();
        let begin = Instant::now();
        let mut before = begin;
        for event in events {
            found.clear();
            watch.observe(event, &Map, event.time.max(START), &mut found);
            self.findings += found.len();
            let now = Instant::now();
            let took = u64::try_from(now.duration_since(before).as_nanos()).unwrap_or(u64::MAX);
            self.worst = self.worst.max(took);
            self.times[usize::try_from(took / 100).unwrap_or(usize::MAX).min(10_000)] += 1;
            before = now;
        }
        self.nanos += u64::try_from(begin.elapsed().as_nanos()).unwrap_or(u64::MAX);
        self.events += events.len() as u64;
    }

    fn print(&self, name: &str) {
        let most = self.events - self.events / 10_000;
        let mut below = 0;
        let place = self.times.iter().position(|count| {
            below += count;
            below >= most
        });
        println!(
            "{name:<44} {:>12.0} {:>9.1} us {:>9.1} us {:>9}",
            self.events as f64 / (self.nanos as f64 / 1e9),
            place.unwrap_or(10_000) as f64 / 10.0,
            self.worst as f64 / 1e3,
            self.findings,
        );
    }
}
