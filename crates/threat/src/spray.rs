use std::{collections::BTreeSet, time::Duration};

use portcullis_events::{Actor, Event, Kind, LoginAttempt, Outcome};
use portcullis_types::{AddrKey, Entropy, HashKey, Timestamp};

/// Addresses watched at once.
const ADDRESSES: usize = 4_096;
/// An address may live in one of this many neighbouring places.
const WAYS: usize = 8;
/// Accounts remembered for each address: more than any threshold asks for.
const ACCOUNTS: usize = 32;
/// One wave of an attack is one alert: after it, an address is quiet for this long.
const QUIET: Duration = Duration::from_secs(900);

/// When failed logins from one address over several accounts are an attack (ATT&CK T1110.003).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Thresholds {
    /// So many accounts …
    pub fast_accounts: usize,
    /// … in this time.
    pub fast_window: Duration,
    /// So many accounts …
    pub slow_accounts: usize,
    /// … in this longer time.
    pub slow_window: Duration,
    /// So many accounts with one and the same password …
    pub same_password_accounts: usize,
    /// … in this time. The strongest sign: people mistype their own passwords, not each other's.
    pub same_password_window: Duration,
}

impl Default for Thresholds {
    /// The fast pair fires within the allowance of five login attempts a minute.
    fn default() -> Self {
        Self {
            fast_accounts: 5,
            fast_window: Duration::from_secs(60),
            slow_accounts: 10,
            slow_window: Duration::from_secs(3_600),
            same_password_accounts: 4,
            same_password_window: Duration::from_secs(600),
        }
    }
}

/// An attack was seen.
#[derive(Debug, Clone)]
pub struct Finding {
    /// The rule: `password_spray`.
    pub rule: &'static str,
    /// Technique and name in MITRE ATT&CK.
    pub attack: (&'static str, &'static str),
    /// Where it came from.
    pub addr: AddrKey,
    /// The accounts that were tried.
    pub accounts: Vec<Actor>,
    /// The events that led to it.
    pub evidence: Vec<String>,
    /// When it began.
    pub first_seen: Timestamp,
    /// What happened, in a sentence.
    pub description: String,
}

/// Watches for one address trying many accounts.
///
/// Memory is fixed: a keyed, set-associative table, in which the address with the fewest failures
/// makes room, so that a flood of one-time addresses cannot push out an attacker under watch.
#[derive(Debug)]
pub struct Spray {
    thresholds: Thresholds,
    key: HashKey,
    table: Vec<Watch>,
}

#[derive(Debug, Clone, Default)]
struct Watch {
    addr: u128,
    failures: Vec<Failure>,
    quiet_until: Timestamp,
}

/// The last failure on one account.
#[derive(Debug, Clone)]
struct Failure {
    account: u128,
    actor: Actor,
    password: Option<u128>,
    time: Timestamp,
    event: String,
}

impl Spray {
    /// A detector that has seen nothing.
    pub fn new(thresholds: Thresholds, entropy: &dyn Entropy) -> Self {
        let table = vec![Watch::default(); ADDRESSES];
        Self { thresholds, key: HashKey::new(entropy), table }
    }

    /// Looks at one event. A finding is raised once for each window of an attack.
    pub fn observe(&mut self, event: &Event, now: Timestamp) -> Option<Finding> {
        let Kind::Login(LoginAttempt { password_fingerprint, .. }) = &event.kind else {
            return None;
        };
        let guessed = matches!(event.outcome, Outcome::Failure("bad_password" | "unknown_account"));
        let addr = event.origin.as_ref().filter(|_| guessed)?.addr.key();
        let account = self.account(&event.actor)?;
        let failure = Failure {
            account,
            actor: event.actor.clone(),
            password: *password_fingerprint,
            time: now,
            event: event.id.to_string(),
        };
        let thresholds = self.thresholds;
        let watch = self.watch(addr);
        watch.add(failure);
        if watch.quiet_until > now {
            return None;
        }
        let reason = watch.exceeds(&thresholds, now)?;
        watch.quiet_until = now.plus(QUIET);
        Some(watch.finding(addr, &reason))
    }

    fn account(&self, actor: &Actor) -> Option<u128> {
        let name = match actor {
            Actor::User { id, .. } => id,
            Actor::UnknownUser { pseudonym } => pseudonym,
            _ => return None,
        };
        Some(self.key.fingerprint(&[name.as_bytes()]))
    }

    fn watch(&mut self, addr: AddrKey) -> &mut Watch {
        let fingerprint = self.key.fingerprint(&[b"addr", &addr.octets()]);
        let bytes = fingerprint.to_le_bytes();
        let spread = u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]) as usize;
        let first = spread % (ADDRESSES / WAYS) * WAYS;
        let set = &mut self.table[first..first + WAYS];
        let place = set.iter().position(|watch| watch.addr == fingerprint).unwrap_or_else(|| {
            let weight = |watch: &Watch| (watch.failures.len(), watch.last());
            let lightest = (0..WAYS).min_by_key(|at| weight(&set[*at])).unwrap_or(0);
            set[lightest] = Watch { addr: fingerprint, ..Watch::default() };
            lightest
        });
        &mut set[place]
    }
}

impl Watch {
    fn last(&self) -> Timestamp {
        self.failures.last().map(|failure| failure.time).unwrap_or_default()
    }

    /// Keeps the newest failure of each account, the oldest accounts first to go.
    fn add(&mut self, failure: Failure) {
        self.failures.retain(|known| known.account != failure.account);
        if self.failures.len() == ACCOUNTS {
            self.failures.remove(0);
        }
        self.failures.push(failure);
    }

    fn exceeds(&self, thresholds: &Thresholds, now: Timestamp) -> Option<String> {
        let Thresholds { same_password_accounts, same_password_window, .. } = *thresholds;
        let same = self.accounts_with_one_password(now.minus(same_password_window));
        if same >= same_password_accounts {
            return Some(format!("one password was tried on {same} accounts"));
        }
        let pairs = [
            (thresholds.fast_accounts, thresholds.fast_window),
            (thresholds.slow_accounts, thresholds.slow_window),
        ];
        pairs.into_iter().find_map(|(limit, window)| {
            let tried = self.since(now.minus(window)).count();
            let text = format!("{tried} accounts failed to log in within {} s", window.as_secs());
            (tried >= limit).then_some(text)
        })
    }

    fn since(&self, from: Timestamp) -> impl Iterator<Item = &Failure> {
        self.failures.iter().filter(move |failure| failure.time > from)
    }

    fn accounts_with_one_password(&self, from: Timestamp) -> usize {
        let passwords: BTreeSet<u128> = self.since(from).filter_map(|f| f.password).collect();
        let counts = passwords
            .iter()
            .map(|password| self.since(from).filter(|f| f.password == Some(*password)).count());
        counts.max().unwrap_or(0)
    }

    fn finding(&self, addr: AddrKey, reason: &str) -> Finding {
        Finding {
            rule: "password_spray",
            attack: ("T1110.003", "Password Spraying"),
            addr,
            accounts: self.failures.iter().map(|failure| failure.actor.clone()).collect(),
            evidence: self.failures.iter().map(|failure| failure.event.clone()).collect(),
            first_seen: self.failures.first().map(|failure| failure.time).unwrap_or_default(),
            description: format!("From {addr} {reason}."),
        }
    }
}
