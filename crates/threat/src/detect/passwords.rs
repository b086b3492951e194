//! One password on many accounts, whatever the addresses.

use std::time::Duration;

use portcullis_events::LoginAttempt;
use portcullis_types::{Prefix, Timestamp};

use crate::{
    DistributedSpray, Source,
    detect::addresses::{Address, guessed, source},
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
    networks: [Option<Prefix>; ACCOUNTS],
    next: usize,
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
        (self.networks, self.next, self.flagged) = Default::default();
    }
}

impl Guess {
    fn sources(&self, sight: &Sight<'_>, addresses: &Table<Address>) -> Vec<Source> {
        let networks = self.networks.iter().flatten();
        networks.map(|network| source(sight, addresses, *network)).collect()
    }

    fn note(&mut self, network: Prefix) {
        if !self.networks.contains(&Some(network)) {
            self.networks[self.next % ACCOUNTS] = Some(network);
            self.next = (self.next + 1) % ACCOUNTS;
        }
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
        addresses: &Table<Address>,
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
        guess.note(network);
        if guess.flagged > sight.ago(window) {
            // The attack goes on from another address.
            let subject = password ^ sight.network(network);
            raise.raise(&DistributedSpray::RULE, subject, || Found {
                sources: vec![source(sight, addresses, network)],
                seen: guess.tried.after(sight.ago(window)).copied().collect(),
                continues: true,
                description: format!("{network} tries the password of a spraying attack."),
                ..Found::default()
            });
            return;
        }
        let accounts = guess.tried.count(sight.ago(window));
        let most = rule.accounts.0.min(ACCOUNTS).saturating_add(usual.unwrap_or(usize::MAX));
        if accounts < most || guess.tried.tags(sight.ago(window)) < rule.addresses.0 {
            return;
        }
        let found = raise.raise(&DistributedSpray::RULE, password, || Found {
            sources: guess.sources(sight, addresses),
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
