//! Events a second on one core, the worst single event, and the memory, under the mixes that break
//! other engines.
#![expect(clippy::print_stdout, reason = "this is what it is for")]
#![expect(clippy::disallowed_methods, reason = "it measures time")]

use std::{net::IpAddr, sync::Arc, time::Instant};

use portcullis_events::{Event, class_uid, ocsf};
use portcullis_simulator::{
    attacks,
    chance::Chance,
    script::{From, START, Script, Truth, nobody, person},
    world::{self, Map, World, browser, v4, v6},
};
use portcullis_threat::{Finding, Rules, Sigma, SigmaMatch, SigmaRules, Watch};
use portcullis_types::Timestamp;

/// Events in memory at once: a stream is made anew in parts, which are not measured.
const PART: u64 = 100_000;

/// The same is done so often, from the same start; each event counts with its quickest time, since
/// the machine takes the processor away now and then.
const ROUNDS: usize = 3;

fn main() {
    println!("{:<44} {:>12} {:>9} {:>9} {:>9}", "mix", "events/s", "p99.99", "worst", "findings");
    let chance = Chance::new(3);
    let mut script = Script::default();
    let world = World { people: 5_000, days: 3 };
    world::good_people(world, &chance, &mut script);
    attacks::all(world, 5, &chance, &mut script);
    let events: Vec<Event> = script.sorted().steps.into_iter().map(|step| step.event).collect();
    rounds("people who may, and every attack", detectors, |watch, row| row.measure(watch, &events));
    rounds("the same, rules of deploy/sigma", rules, |sigma, row| row.measure(sigma, &events));

    let spray = |n: u64| (from(v4(4, 1, 7)), n, 1_000 + n % 50);
    flood("one address, 2 million different users", 2_000_000, spray);
    let one_password = |n: u64| (from(v4(4, 1, 7)), n, 1);
    flood("one address and password, 2 million users", 2_000_000, one_password);
    let keys = |n: u64| (from(v6(n, n >> 4, n)), n, n);
    flood("10 million addresses, users and passwords", 10_000_000, keys);
    let one_account = |n: u64| (from(v6(n, n >> 4, n)), 5, n);
    flood("one user, 2 million addresses", 2_000_000, one_account);
    let watch = Watch::new(Rules::default(), &chance);
    println!("\nmemory of all tables, for good: {:.1} MiB", watch.bytes() as f64 / 1_048_576.0);
}

fn from(ip: IpAddr) -> From {
    From { ip, agent: browser(3) }
}

/// What is measured: it looks at an event, and says how much it found.
trait Looks {
    fn look(&mut self, event: &Event, now: Timestamp) -> usize;
}

struct Detectors(Watch, Vec<Finding>);

impl Looks for Detectors {
    fn look(&mut self, event: &Event, now: Timestamp) -> usize {
        self.1.clear();
        self.0.observe(event, &Map, now, &mut self.1);
        self.1.len()
    }
}

/// Rules, with what it takes to make an event one of OCSF.
struct OwnRules(Sigma, Vec<SigmaMatch>);

impl Looks for OwnRules {
    fn look(&mut self, event: &Event, now: Timestamp) -> usize {
        let class = class_uid(&event.kind);
        if !self.0.wants(class) {
            return 0;
        }
        self.1.clear();
        self.0.observe(class, &ocsf(event), event.id.bits(), now, &mut self.1);
        self.1.len()
    }
}

fn detectors() -> Detectors {
    Detectors(Watch::new(Rules::default(), &Chance::new(3)), Vec::new())
}

/// The rules that are shipped.
fn rules() -> OwnRules {
    let dir = concat!(env!("CARGO_MANIFEST_DIR"), "/../../deploy/sigma");
    let entries = std::fs::read_dir(dir).into_iter().flatten().flatten();
    let files = entries.filter_map(|entry| {
        let text = std::fs::read_to_string(entry.path()).ok()?;
        Some((entry.path().display().to_string(), text))
    });
    let rules = SigmaRules::read(files.collect()).unwrap_or_default();
    OwnRules(Sigma::new(Arc::new(rules), &Chance::new(3)), Vec::new())
}

/// Failed logins: from where, of whom, with which password, by number.
fn flood(name: &str, count: u64, make: impl Fn(u64) -> (From, u64, u64) + Copy) {
    flooded(name, detectors, count, make);
    flooded(&format!("{name}, rules"), rules, count.min(2_000_000), make);
}

fn flooded<L: Looks>(
    name: &str,
    new: impl Fn() -> L,
    count: u64,
    make: impl Fn(u64) -> (From, u64, u64),
) {
    rounds(name, new, |watch, row| {
        for part in 0..count / PART {
            let mut script = Script::default();
            for n in part * PART..(part + 1) * PART {
                let (from, user, password) = make(n);
                let (who, reason) = if user.is_multiple_of(2) {
                    (nobody(user), "unknown_account")
                } else {
                    (person(user), "bad_password")
                };
                script.login(n / 20, &from, who, password, Some(reason), false, Truth::Good);
            }
            let events: Vec<Event> = script.steps.into_iter().map(|step| step.event).collect();
            row.measure(watch, &events);
        }
    });
}

fn rounds<L: Looks>(name: &str, new: impl Fn() -> L, mut run: impl FnMut(&mut L, &mut Row)) {
    let mut row = Row::default();
    for _ in 0..ROUNDS {
        row.place = 0;
        row.findings = 0;
        run(&mut new(), &mut row);
    }
    row.print(name);
}

#[derive(Default)]
struct Row {
    /// Nanoseconds of each event, the quickest of all rounds.
    nanos: Vec<u32>,
    place: usize,
    findings: usize,
}

impl Row {
    fn measure(&mut self, watch: &mut impl Looks, events: &[Event]) {
        let mut before = Instant::now();
        for event in events {
            self.findings += watch.look(event, event.time.max(START));
            let now = Instant::now();
            let took = u32::try_from(now.duration_since(before).as_nanos()).unwrap_or(u32::MAX);
            match self.nanos.get_mut(self.place) {
                Some(known) => *known = took.min(*known),
                None => self.nanos.push(took),
            }
            self.place += 1;
            before = now;
        }
    }

    fn print(&mut self, name: &str) {
        let seconds = self.nanos.iter().map(|nanos| f64::from(*nanos)).sum::<f64>() / 1e9;
        let events = self.nanos.len();
        self.nanos.sort_unstable();
        println!(
            "{name:<44} {:>12.0} {:>6.1} us {:>6.1} us {:>9}",
            events as f64 / seconds,
            f64::from(self.nanos[events - 1 - events / 10_000]) / 1e3,
            f64::from(self.nanos[events - 1]) / 1e3,
            self.findings,
        );
    }
}
