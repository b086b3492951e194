//! Addresses that try to log in to accounts of others.

use std::time::Duration;

use portcullis_events::{LoginAttempt, Outcome};
use portcullis_types::{Prefix, Timestamp};

use crate::{
    BruteForce, CredentialStuffing, PasswordSpray, Rule, Source, SuccessAfterAttack,
    recent::{Minutes, Recent, Seen, small},
    rules::{Count, Span},
    sight::{Level, Sight, Who, halves},
    table::{Kept, Table},
    watch::{Found, Raise},
};

/// Accounts remembered for each address. No threshold can be higher.
pub(crate) const ACCOUNTS: usize = 24;
/// An address from which so many accounts logged in within a day belongs to many people.
const SHARED_ACCOUNTS: usize = 5;
const DAY: Duration = Duration::from_secs(24 * 3600);
const HOUR: Duration = Duration::from_secs(3600);
/// An attack by a network is one by so many addresses of it; else it is one by an address.
const INNER: usize = 3;

/// What is known of an address or network.
#[derive(Debug, Clone, Default)]
pub(crate) struct Address {
    /// Accounts that could not be logged in to, with the hash of the last password.
    failed: Recent<ACCOUNTS>,
    /// Accounts that were.
    good: Recent<8>,
    /// Logins that succeeded.
    logins: Minutes<60>,
    /// Addresses of this network that failed.
    inner: [(u64, Timestamp); INNER],
    /// When an attack from here was last found.
    flagged: Timestamp,
    /// Until when everything that failed is part of what was found.
    reported: Timestamp,
}

impl Kept for Address {
    const STALE: Duration = DAY;

    fn weight(&self) -> u32 {
        let flagged = if self.flagged == Timestamp::default() { 0 } else { 1_000 };
        flagged + small(4 * self.failed.len() + self.good.len())
    }

    fn clear(&mut self) {
        self.failed.clear();
        self.good.clear();
        self.logins = Minutes::default();
        self.inner = Default::default();
        (self.flagged, self.reported) = Default::default();
    }
}

impl Address {
    fn is_shared(&self, now: Timestamp) -> bool {
        self.good.count(now.minus(DAY)) >= SHARED_ACCOUNTS
    }

    fn is_inner(&mut self, key: u64, now: Timestamp) -> bool {
        let oldest = (0..INNER).min_by_key(|at| self.inner[*at].1).unwrap_or(0);
        let held = self.inner.iter().position(|(held, _)| *held == key);
        self.inner[held.unwrap_or(oldest)] = (key, now);
        self.inner.iter().all(|(_, last)| *last > now.minus(HOUR))
    }

    /// What was reported once is not reported again.
    fn since(&self, window: Duration, now: Timestamp) -> Timestamp {
        now.minus(window).max(self.reported)
    }

    /// So many accounts that failed are more than people who mistype would explain. Whoever then
    /// logs in is not among them; the more do, the more may still be trying.
    fn exceeds(&self, (count, window): (Count, Span), factor: usize, now: Timestamp) -> bool {
        let people = usize::try_from(self.logins.sum(window.0, now)).unwrap_or(usize::MAX);
        let most = count.0.saturating_mul(factor).min(ACCOUNTS).saturating_add(people);
        self.failed.count(self.since(window.0, now)) >= most
    }

    /// Which rule the failures break, and what to say of it.
    fn broken(
        &self,
        raise: &Raise<'_>,
        factor: usize,
        now: Timestamp,
    ) -> Option<(&'static Rule, String)> {
        let (spray, stuffing) = (&raise.rules.password_spray, &raise.rules.credential_stuffing);
        let same = self.failed.with_one_tag(self.since(spray.same_password_window.0, now));
        let people = self.logins.sum(spray.same_password_window.0, now) / 100;
        let most = spray.same_password_accounts.0.saturating_mul(factor).min(ACCOUNTS);
        if same >= most.saturating_add(usize::try_from(people).unwrap_or(usize::MAX)) {
            return Some((
                &PasswordSpray::RULE,
                format!("one password was tried on {same} accounts"),
            ));
        }
        let sprayed =
            [(spray.fast_accounts, spray.fast_window), (spray.slow_accounts, spray.slow_window)];
        let stuffed = [
            (stuffing.fast_accounts, stuffing.fast_window),
            (stuffing.slow_accounts, stuffing.slow_window),
        ];
        let tells = |window: Span, with: &str| {
            let accounts = self.failed.count(self.since(window.0, now));
            format!("{accounts} accounts failed to log in within {} s{with}", window.0.as_secs())
        };
        for pair in stuffed.into_iter().filter(|pair| self.exceeds(*pair, factor, now)) {
            let since = self.since(pair.1.0, now);
            // Somebody with a list tries what belongs to each account, once or twice.
            let listed = self.failed.after(since).all(|seen| seen.times <= 2);
            if listed && self.failed.tags(since) == self.failed.count(since) {
                return Some((
                    &CredentialStuffing::RULE,
                    tells(pair.1, ", each with its own password"),
                ));
            }
        }
        let pair = sprayed.into_iter().find(|pair| self.exceeds(*pair, factor, now))?;
        Some((&PasswordSpray::RULE, tells(pair.1, "")))
    }
}

/// What the address of a login is known for.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct From {
    /// An attack from there was found within the time that matters.
    pub flagged: bool,
}

/// Whether it is about guessing: the name or the password was wrong.
pub(crate) fn guessed(outcome: &Outcome) -> bool {
    matches!(outcome, Outcome::Failure("bad_password" | "unknown_account"))
}

/// Looks at an attempt to log in. Says what the address is known for.
pub(crate) fn login(
    sight: &Sight<'_>,
    attempt: &LoginAttempt,
    table: &mut Table<Address>,
    raise: &mut Raise<'_>,
) -> From {
    let (Some(addr), Some(who)) = (sight.addr(), sight.who(&sight.event.actor)) else {
        return From::default();
    };
    if sight.event.outcome.is_success() {
        return succeeded(sight, who, table, raise);
    }
    if !guessed(&sight.event.outcome) {
        return From::default();
    }
    let password =
        attempt.password_fingerprint.map_or(0, |print| sight.numbers(b'y', halves(print)));
    let mut narrow = 0;
    for level in sight.levels(addr) {
        let address = table.entry(level.key, sight.now);
        let seen = *address.failed.note(sight.seen(who, password), sight.now, HOUR);
        if level.factor == 1 {
            narrow = level.key;
            one_account(sight, address, seen, level, raise);
        } else if !address.is_inner(narrow, sight.now) {
            continue;
        }
        many_accounts(sight, address, level, raise);
    }
    From::default()
}

/// The person is known here; whoever mistyped before is no victim.
fn succeeded(sight: &Sight<'_>, who: Who, table: &mut Table<Address>, raise: &Raise<'_>) -> From {
    let Some(addr) = sight.addr() else { return From::default() };
    let window = raise.rules.success_after_attack.window.0;
    let mut from = From::default();
    for level in sight.levels(addr) {
        let address = table.entry(level.key, sight.now);
        let flagged = address.flagged > sight.ago(window);
        let tried = address.failed.after(sight.ago(HOUR)).any(|seen| seen.key == who.key);
        if level.factor == 1 {
            // Where many people are, only those are in doubt on whom the attack tried itself.
            from.flagged = flagged && (tried || !address.is_shared(sight.now));
        }
        address.failed.forget(who.key);
        if !flagged {
            address.good.note(sight.seen(who, 0), sight.now, DAY);
            address.logins.add(1, sight.now);
        }
    }
    from
}

fn one_account(
    sight: &Sight<'_>,
    address: &mut Address,
    seen: Seen,
    level: Level,
    raise: &mut Raise<'_>,
) {
    let rule = raise.rules.brute_force;
    let passwords = usize::try_from(seen.changes).unwrap_or(usize::MAX).saturating_add(1);
    if passwords < rule.passwords.0 {
        return;
    }
    let shared = address.is_shared(sight.now);
    let found = raise.raise(&BruteForce::RULE, level.key ^ seen.key, || Found {
        sources: vec![Source { network: level.network, shared }],
        seen: vec![seen],
        description: format!(
            "From {} {passwords} different passwords were tried on one account.",
            level.network
        ),
        ..Found::default()
    });
    if found {
        address.flagged = sight.now;
    }
}

fn many_accounts(sight: &Sight<'_>, address: &mut Address, level: Level, raise: &mut Raise<'_>) {
    // Also spares the look at each password where there are too few to matter.
    let fewest = raise.rules.password_spray.same_password_accounts;
    let fewest = fewest.0.min(raise.rules.password_spray.fast_accounts.0);
    if address.failed.len() < fewest.min(raise.rules.credential_stuffing.fast_accounts.0) {
        return;
    }
    if many_is_quiet(raise, level.key) {
        // The wave goes on.
        address.reported = sight.now;
        return;
    }
    let Some((rule, reason)) = address.broken(raise, level.factor, sight.now) else { return };
    let shared = address.is_shared(sight.now);
    let found = raise.raise(rule, level.key, || Found {
        sources: vec![Source { network: level.network, shared }],
        seen: address.failed.after(address.since(HOUR, sight.now)).copied().collect(),
        description: format!("From {} {reason}.", level.network),
        ..Found::default()
    });
    if found {
        (address.flagged, address.reported) = (sight.now, sight.now);
    }
}

/// One wave is one alert, whichever of the two it looks like as it goes on.
fn many_is_quiet(raise: &Raise<'_>, key: u64) -> bool {
    raise.is_quiet(&PasswordSpray::RULE, key) || raise.is_quiet(&CredentialStuffing::RULE, key)
}

/// An address or network, and whether many people are there.
pub(crate) fn source(sight: &Sight<'_>, table: &Table<Address>, network: Prefix) -> Source {
    let known = table.get(sight.network(network));
    Source { network, shared: known.is_some_and(|address| address.is_shared(sight.now)) }
}

/// The finding that somebody got in.
pub(crate) fn success_after(
    sight: &Sight<'_>,
    who: Who,
    why: &str,
    session: Option<String>,
    raise: &mut Raise<'_>,
) {
    let source = sight.addr().map(|addr| Source { network: addr.key().into(), shared: true });
    raise.raise(&SuccessAfterAttack::RULE, who.key, || Found {
        sources: source.into_iter().collect(),
        accounts: vec![who.id],
        session,
        description: format!("Somebody logged in {why}."),
        ..Found::default()
    });
}
