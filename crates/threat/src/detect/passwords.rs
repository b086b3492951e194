//! One password on many accounts, whatever the addresses.

use std::time::Duration;

use portcullis_events::LoginAttempt;
use portcullis_types::{Prefix, Timestamp};

use crate::{
    DistributedSpray, Source,
    detect::{
        addresses::guessed,
        crowds::{self, Crowd},
    },
    recent::{Minutes, Recent, small},
    sight::{Sight, halves},
    table::{Kept, Table},
    watch::{Found, Raise},
};

/// Accounts remembered for each password. No threshold can be higher.
pub(crate) const ACCOUNTS: usize = 16;
const FRESH: Duration = Duration::from_secs(3600);

/// A password that was wrong.
#[derive(Debug, Clone, Default)]
struct Guess {
    /// The accounts it was tried on, with the network as tag.
    tried: Recent<ACCOUNTS>,
    networks: [Option<(Prefix, Timestamp)>; ACCOUNTS],
    /// When it was found to be part of an attack.
    flagged: Timestamp,
}

impl Kept for Guess {
    const STALE: Duration = FRESH;

    fn weight(&self) -> u32 {
        small(self.tried.len())
    }

    fn clear(&mut self) {
        self.tried.clear();
        (self.networks, self.flagged) = Default::default();
    }
}

impl Guess {
    /// The networks of an attack. One that tried a single account may be somebody's who mistyped.
    fn sources(&self, sight: &Sight<'_>, crowds: &Table<Crowd>, since: Timestamp) -> Vec<Source> {
        let fresh = self.networks.iter().flatten().filter(|(_, last)| *last > since);
        fresh.map(|(network, _)| self.source(sight, crowds, *network, since)).collect()
    }

    fn source(
        &self,
        sight: &Sight<'_>,
        crowds: &Table<Crowd>,
        network: Prefix,
        since: Timestamp,
    ) -> Source {
        let key = sight.network(network);
        let accounts = self.tried.after(since).filter(|seen| seen.tag == key).count();
        let source = crowds::source(sight, crowds, network);
        Source { shared: source.shared || accounts < 2, ..source }
    }

    fn note(&mut self, network: Prefix, now: Timestamp) {
        let held =
            self.networks.iter().position(|held| held.is_some_and(|(one, _)| one == network));
        let last = |at: &usize| self.networks[*at].map_or(Timestamp::default(), |(_, last)| last);
        let place = held.or_else(|| (0..ACCOUNTS).min_by_key(last)).unwrap_or(0);
        self.networks[place] = Some((network, now));
    }
}

/// Passwords that failed of late, by their keyed hash.
#[derive(Debug)]
pub(crate) struct Passwords {
    table: Table<Guess>,
    /// All failures: the more there are, the likelier are equal ones.
    failures: Minutes<60>,
}

impl Passwords {
    pub fn new(capacity: usize) -> Self {
        Self { table: Table::new(capacity), failures: Minutes::default() }
    }

    pub fn bytes(&self) -> usize {
        self.table.bytes()
    }

    pub fn login(
        &mut self,
        sight: &Sight<'_>,
        attempt: &LoginAttempt,
        crowds: &Table<Crowd>,
        raise: &mut Raise<'_>,
    ) {
        let guessed = guessed(&sight.event.outcome);
        let (Some(print), true) = (attempt.password_fingerprint, guessed) else { return };
        let (Some(addr), Some(who)) = (sight.addr(), sight.who(&sight.event.actor)) else { return };
        self.failures.add(1, sight.now);
        let rule = raise.rules.distributed_spray;
        let window = rule.window.0;
        let usual = usize::try_from(self.failures.sum(window, sight.now) / 100);
        let password = sight.numbers(b'y', halves(print));
        let network = Prefix::from(addr.key());
        let guess = self.table.entry(password, sight.now);
        guess.tried.note(sight.seen(who, sight.network(network)), sight.now, window);
        guess.note(network, sight.now);
        if guess.flagged > sight.ago(window) {
            // The attack goes on from another address.
            let subject = password ^ sight.network(network);
            raise.raise(&DistributedSpray::RULE, subject, || Found {
                sources: vec![guess.source(sight, crowds, network, sight.ago(window))],
                seen: guess.tried.after(sight.ago(window)).copied().collect(),
                continues: true,
                description: format!("{network} tries the password of a spraying attack."),
                ..Found::default()
            });
            return;
        }
        let accounts = guess.tried.count(sight.ago(window));
        let usual = usual.unwrap_or(usize::MAX);
        let most = rule.accounts.0.saturating_add(usual).min(ACCOUNTS);
        if accounts < most || guess.tried.tags(sight.ago(window)) < rule.addresses.0 {
            return;
        }
        let found = raise.raise(&DistributedSpray::RULE, password, || Found {
            sources: guess.sources(sight, crowds, sight.ago(window)),
            seen: guess.tried.after(sight.ago(window)).copied().collect(),
            description: format!(
                "One password was tried on {accounts} accounts from several addresses within {} s.",
                window.as_secs()
            ),
            ..Found::default()
        });
        if found {
            guess.flagged = sight.now;
        }
    }
}
