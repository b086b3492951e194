//! All detectors together.

use std::time::Duration;

use portcullis_events::{Actor, Event, Kind, RequestSeen};
use portcullis_types::{Entropy, HashKey, Id, Timestamp};

use crate::{
    Answer, Finding, Learned, Mode, Places, Rule, Rules, Source, Subject,
    baseline::{Baselines, Happened, cut},
    detect::{
        accounts, addresses, admin, crowds, objects, passwords, rates, sessions, tallies, travel,
    },
    recent::Seen,
    sight::{Sight, hash},
    table::{Kept, Table},
};

/// One wave of an attack is one finding: after it, a rule says nothing of its subject for so long.
const QUIET: Duration = Duration::from_secs(900);

/// How many of each are held. Together they take less than 64 MiB, which a test holds.
const ADDRESSES: usize = 8_192;
const ACCOUNTS: usize = 4_096;
const PEOPLE: usize = 86_016;
const CROWDS: usize = 16_384;
const PASSWORDS: usize = 2_048;
const SESSIONS: usize = 32_768;
const TALLIES: usize = 2_048;
const OBJECTS: usize = 4_096;
const ROUTES: usize = 1_024;
const QUIETS: usize = 32_768;
const SERIES: usize = 256;
const SERIES_AN_EVENT: usize = 4;

/// Every detector, with what it remembers.
///
/// Memory is fixed from the start, each event costs the same whatever was seen before, and no key
/// that an attacker chooses can aim for the place of another.
#[derive(Debug)]
pub struct Watch {
    rules: Rules,
    key: HashKey,
    addresses: Table<addresses::Address>,
    crowds: Table<crowds::Crowd>,
    accounts: Table<accounts::Account>,
    usual: Table<travel::Usual>,
    passwords: passwords::Passwords,
    sessions: Table<sessions::Session>,
    tallies: Table<tallies::Tally>,
    objects: Table<objects::Reach>,
    routes: Table<rates::Rate>,
    quiet: Table<Quiet>,
    baselines: Baselines,
}

impl Watch {
    /// Detectors that have seen nothing.
    pub fn new(rules: Rules, entropy: &dyn Entropy) -> Self {
        Self {
            rules,
            key: HashKey::new(entropy),
            addresses: Table::new(ADDRESSES),
            crowds: Table::new(CROWDS),
            accounts: Table::new(ACCOUNTS),
            usual: Table::new(PEOPLE),
            passwords: passwords::Passwords::new(PASSWORDS),
            sessions: Table::new(SESSIONS),
            tallies: Table::new(TALLIES),
            objects: Table::new(OBJECTS),
            routes: Table::new(ROUTES),
            quiet: Table::new(QUIETS),
            baselines: Baselines::new(SERIES),
        }
    }

    /// Other thresholds from now on; what was seen stays known.
    pub fn set_rules(&mut self, rules: Rules) {
        self.rules = rules;
    }

    /// Looks at one event that arrived at `now`, and adds what is found to `found`.
    ///
    /// `now` is the time of arrival by a clock that nobody sets back, not the event's own.
    pub fn observe(
        &mut self,
        event: &Event,
        places: &dyn Places,
        now: Timestamp,
        found: &mut Vec<Finding>,
    ) {
        let sight = &Sight::new(event, now, &self.key);
        let raise = &mut Raise {
            rules: &self.rules,
            quiet: &mut self.quiet,
            key: &self.key,
            now,
            event: 0,
            found,
        };
        // What five minutes have in common is not about the event that ends them.
        self.baselines.turn(now, SERIES_AN_EVENT, raise);
        measure(sight, &mut self.baselines, raise);
        raise.event = sight.id;
        match &event.kind {
            Kind::Login(attempt) => {
                let (known, crowds) = (&mut self.addresses, &mut self.crowds);
                let from = addresses::login(sight, attempt, known, crowds, raise);
                self.passwords.login(sight, attempt, crowds, raise);
                let tables = (&mut self.accounts, &mut self.usual);
                accounts::login(sight, attempt, from, places, tables, raise);
            }
            Kind::Token(operation) => {
                accounts::token(sight, operation, &mut self.accounts, raise);
                sessions::token(sight, operation, &mut self.sessions, raise);
            }
            Kind::Account(change) => {
                tallies::account(sight, change, &mut self.tallies, &self.crowds, raise);
                admin::account(sight, change, raise);
            }
            Kind::Admin(change) => admin::change(sight, change, raise),
            Kind::Request(seen) => {
                if seen.refused_at.is_none() && seen.session.is_some() {
                    crowds::present(sight, &mut self.crowds);
                }
                sessions::request(sight, seen, &mut self.sessions, raise);
                tallies::request(sight, seen, &mut self.tallies, &self.crowds, raise);
                objects::request(sight, seen, &mut self.objects, &self.crowds, raise);
                rates::request(seen, &mut self.routes, sight, raise);
            }
            Kind::Logout { .. }
            | Kind::Screening(_)
            | Kind::Check(_)
            | Kind::Verification(_)
            | Kind::Alert(_)
            | Kind::Block(_)
            | Kind::Lifecycle(_) => {}
        }
    }

    /// Judges what is over at `now`. Called now and then where no event comes: that none comes may
    /// be what is unusual.
    pub fn turn(&mut self, now: Timestamp, found: &mut Vec<Finding>) {
        let raise = &mut Raise {
            rules: &self.rules,
            quiet: &mut self.quiet,
            key: &self.key,
            now,
            event: 0,
            found,
        };
        self.baselines.turn(now, usize::MAX, raise);
    }

    /// Events were not seen, so what was counted says too little.
    pub fn missed(&mut self) {
        self.baselines.missed();
    }

    /// What is usual at which hour of the week, to be kept over a restart.
    pub fn learned(&self) -> Vec<Learned> {
        self.baselines.learned()
    }

    /// Takes up what was learned before a restart.
    pub fn resume(&mut self, learned: Vec<Learned>, now: Timestamp) {
        let key = &self.key;
        let named = |subject, name: &str| series_key(key, subject, name);
        self.baselines.resume(learned, named, now);
    }

    /// Bytes that the tables take, for good.
    pub fn bytes(&self) -> usize {
        self.addresses.bytes()
            + self.crowds.bytes()
            + self.accounts.bytes()
            + self.usual.bytes()
            + self.passwords.bytes()
            + self.sessions.bytes()
            + self.tallies.bytes()
            + self.objects.bytes()
            + self.routes.bytes()
            + self.quiet.bytes()
            + self.baselines.bytes()
    }
}

fn series_key(key: &HashKey, subject: Subject, name: &str) -> u64 {
    hash(key, b'b', [subject as u64, 0], name.as_bytes())
}

/// Counts an event for what is usual of its route, client or tenant.
fn measure(sight: &Sight<'_>, baselines: &mut Baselines, raise: &mut Raise<'_>) {
    let failed = !sight.event.outcome.is_success();
    let (subject, name, happened) = match &sight.event.kind {
        Kind::Request(RequestSeen { route: Some(route), status, latency, refused_at, .. }) => {
            let happened = Happened {
                failed: *status >= 500,
                refused: (400..500).contains(status),
                // What the gate refuses says nothing of how fast the service is.
                latency: refused_at.is_none().then_some(*latency),
            };
            (Subject::Route, route.as_str(), happened)
        }
        // Who asks about a token says nothing of the client it is for.
        Kind::Token(operation) if operation.operation != "introspect" => {
            (Subject::Client, operation.client.as_str(), Happened { failed, ..Happened::default() })
        }
        Kind::Login(_) => {
            let happened = Happened { failed, ..Happened::default() };
            match &sight.event.actor {
                Actor::Client { id } => (Subject::Client, id.as_str(), happened),
                Actor::ApiKey { .. } => return,
                _ => (Subject::Tenant, sight.event.tenant.as_str(), happened),
            }
        }
        _ => return,
    };
    if name.is_empty() {
        return;
    }
    let key = series_key(sight.key, subject, cut(name));
    baselines.count((subject, name, key), happened, sight.now, raise);
}

/// Until when a rule says nothing more of a subject.
#[derive(Debug, Clone, Default)]
pub(crate) struct Quiet {
    until: Timestamp,
}

impl Table<Quiet> {
    /// Whether something was said of this a short while ago.
    pub fn is_quiet(&self, key: u64, now: Timestamp) -> bool {
        self.get(key).is_some_and(|quiet| quiet.until > now)
    }

    /// Something was said of it.
    pub fn hush(&mut self, key: u64, now: Timestamp) {
        self.entry(key, now).until = now.plus(QUIET);
    }
}

impl Kept for Quiet {
    const STALE: Duration = Duration::MAX;

    fn weight(&self) -> u32 {
        0
    }
}

/// Where detectors say what they found.
pub(crate) struct Raise<'a> {
    pub rules: &'a Rules,
    quiet: &'a mut Table<Quiet>,
    key: &'a HashKey,
    now: Timestamp,
    event: u128,
    found: &'a mut Vec<Finding>,
}

/// What a detector found.
#[derive(Default)]
pub(crate) struct Found {
    pub sources: Vec<Source>,
    pub seen: Vec<Seen>,
    pub accounts: Vec<u128>,
    pub session: Option<String>,
    /// In the place of what the rule asks for.
    pub answer: Option<Answer>,
    pub continues: bool,
    pub description: String,
}

impl Raise<'_> {
    /// Whether `rule` is looked for at all.
    pub fn on(&self, rule: &'static Rule) -> bool {
        self.rules.mode(rule.id) != Mode::Off
    }

    /// Whether `rule` said something of `subject` of late.
    pub fn is_quiet(&self, rule: &'static Rule, subject: u64) -> bool {
        let key = self.subject(rule, subject);
        self.quiet.get(key).is_some_and(|quiet| quiet.until > self.now)
    }

    /// A finding, unless the rule is off or said so of `subject` a short while ago. Whether there
    /// is one.
    pub fn raise(
        &mut self,
        rule: &'static Rule,
        subject: u64,
        make: impl FnOnce() -> Found,
    ) -> bool {
        if !self.on(rule) || self.is_quiet(rule, subject) {
            return false;
        }
        let key = self.subject(rule, subject);
        self.quiet.entry(key, self.now).until = self.now.plus(QUIET);
        let made = make();
        let (mut accounts, mut evidence) = (made.accounts, Vec::new());
        accounts.extend(made.seen.iter().map(|seen| seen.id));
        evidence.extend(made.seen.iter().map(|seen| seen.event));
        evidence.push(self.event);
        for list in [&mut accounts, &mut evidence] {
            list.retain(|bits| *bits != 0);
            list.sort_unstable();
            list.dedup();
        }
        let first = made.seen.iter().map(|seen| seen.first).min();
        self.found.push(Finding {
            rule,
            answer: made.answer.unwrap_or(rule.answer),
            sources: made.sources,
            accounts: accounts.into_iter().map(Id::from_bits).collect(),
            session: made.session,
            continues: made.continues,
            evidence: evidence.into_iter().map(Id::from_bits).collect(),
            first_seen: first.unwrap_or(self.now),
            description: made.description,
        });
        true
    }

    fn subject(&self, rule: &'static Rule, subject: u64) -> u64 {
        hash(self.key, b'q', [subject, 0], rule.id.as_bytes())
    }
}
