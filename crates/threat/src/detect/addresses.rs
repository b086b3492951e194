//! Addresses that try to log in to accounts of others.

use std::time::Duration;

use portcullis_events::{LoginAttempt, Outcome};
use portcullis_types::Timestamp;

use crate::{
    Answer, BruteForce, CredentialStuffing, FailedLogins, PasswordSpray, Rule, SuccessAfterAttack,
    detect::crowds::{self, Crowd},
    recent::{Recent, Seen, small},
    rules::{Count, Span},
    sight::{Level, Sight, Who, halves},
    table::{Kept, Table},
    watch::{Found, Raise},
};

/// Accounts remembered for each address. No threshold can be higher.
pub(crate) const ACCOUNTS: usize = 24;
const DAY: Duration = Duration::from_secs(24 * 3600);
const HOUR: Duration = Duration::from_secs(3600);
/// An attack by a network is one by so many addresses of it; else it is one by an address.
const INNER: usize = 3;

/// What is known of an address or network.
#[derive(Debug, Clone, Default)]
pub(crate) struct Address {
    /// Accounts that could not be logged in to, with the hash of the last password.
    failed: Recent<ACCOUNTS>,
    /// Accounts that were, with a device that was new.
    entered: Recent<8>,
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
        flagged + small(4 * self.failed.len())
    }

    fn clear(&mut self) {
        self.failed.clear();
        self.entered.clear();
        self.inner = Default::default();
        (self.flagged, self.reported) = Default::default();
    }
}

impl Address {
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
    /// logs in is not among them; the more people are there, the more may still be trying.
    fn exceeds(
        &self,
        (count, window): (Count, Span),
        (factor, people): (usize, usize),
        now: Timestamp,
    ) -> bool {
        let most = count.0.saturating_mul(factor).saturating_add(people).min(ACCOUNTS);
        self.failed.count(self.since(window.0, now)) >= most
    }

    /// Which rule the failures break, and what to say of it.
    fn broken(
        &self,
        raise: &Raise<'_>,
        scale: (usize, usize),
        now: Timestamp,
    ) -> Option<(&'static Rule, String)> {
        let (spray, stuffing) = (&raise.rules.password_spray, &raise.rules.credential_stuffing);
        let same = self.failed.with_one_tag(self.since(spray.same_password_window.0, now));
        // Where many are, two may have had the same idea.
        let (factor, people) = scale;
        let most = spray.same_password_accounts.0.saturating_mul(factor);
        if same >= most.saturating_add(people / 4).min(ACCOUNTS) {
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
        for pair in stuffed.into_iter().filter(|pair| self.exceeds(*pair, scale, now)) {
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
        let pair = sprayed.into_iter().find(|pair| self.exceeds(*pair, scale, now))?;
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

/// Whether the password was right, though more may be asked for.
pub(crate) fn entered(outcome: &Outcome) -> bool {
    matches!(outcome, Outcome::Success | Outcome::Failure("step_up_required"))
}

/// Looks at an attempt to log in. Says what the address is known for.
pub(crate) fn login(
    sight: &Sight<'_>,
    attempt: &LoginAttempt,
    table: &mut Table<Address>,
    crowds: &mut Table<Crowd>,
    raise: &mut Raise<'_>,
) -> From {
    let (Some(addr), Some(who)) = (sight.addr(), sight.who(&sight.event.actor)) else {
        return From::default();
    };
    if entered(&sight.event.outcome) {
        let from = succeeded(sight, (who, attempt), table, crowds, raise);
        // Whoever gets in where an attack goes on may be the attacker.
        if !from.flagged && sight.event.outcome.is_success() {
            crowds::present(sight, crowds);
        }
        return from;
    }
    if !guessed(&sight.event.outcome) {
        return From::default();
    }
    let password =
        attempt.password_fingerprint.map_or(0, |print| sight.numbers(b'y', halves(print)));
    let mut narrow = 0;
    for level in sight.levels(addr) {
        let address = table.entry(level.key, sight.now);
        let goes_on = raise.rules.brute_force.window.0;
        let seen = *address.failed.note(sight.seen(who, password), sight.now, goes_on);
        if level.factor == 1 {
            narrow = level.key;
            one_account(sight, address, seen, level, crowds, raise);
        } else if !address.is_inner(narrow, sight.now) {
            continue;
        }
        many_accounts(sight, address, level, crowds, raise);
    }
    From::default()
}

/// The person is known here; whoever mistyped before is no victim.
fn succeeded(
    sight: &Sight<'_>,
    (who, attempt): (Who, &LoginAttempt),
    table: &mut Table<Address>,
    crowds: &Table<Crowd>,
    raise: &Raise<'_>,
) -> From {
    let Some(addr) = sight.addr() else { return From::default() };
    let window = raise.rules.success_after_attack.window.0;
    let mut from = From::default();
    for level in sight.levels(addr) {
        let Some(address) = table.held(level.key) else { continue };
        if level.factor == 1 {
            let tried = address.failed.after(sight.ago(HOUR)).any(|seen| seen.key == who.key);
            // Where many people are, only those are in doubt on whom the attack tried itself.
            from.flagged = address.flagged > sight.ago(window)
                && (tried || !crowds::is_shared(crowds, level.key, sight.now));
            if attempt.known_device == Some(false) {
                address.entered.note(sight.seen(who, 0), sight.now, HOUR);
            }
        }
        address.failed.forget(who.key);
    }
    from
}

fn one_account(
    sight: &Sight<'_>,
    address: &mut Address,
    seen: Seen,
    level: Level,
    crowds: &Table<Crowd>,
    raise: &mut Raise<'_>,
) {
    let rule = raise.rules.brute_force;
    let passwords = usize::try_from(seen.changes).unwrap_or(usize::MAX).saturating_add(1);
    if passwords < rule.passwords.0 {
        return;
    }
    let found = raise.raise(&BruteForce::RULE, level.key ^ seen.key, || Found {
        sources: vec![crowds::source(sight, crowds, level.network)],
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

fn many_accounts(
    sight: &Sight<'_>,
    address: &mut Address,
    level: Level,
    crowds: &Table<Crowd>,
    raise: &mut Raise<'_>,
) {
    if level.factor == 1 {
        some_accounts(sight, address, level, crowds, raise);
    }
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
    let people = crowds::people(crowds, level.key, sight.ago(HOUR));
    let scale = (level.factor, people);
    let Some((rule, reason)) = address.broken(raise, scale, sight.now) else { return };
    let source = crowds::source(sight, crowds, level.network);
    let seen: Vec<Seen> = address.failed.after(address.since(HOUR, sight.now)).copied().collect();
    let begin = seen.iter().map(|seen| seen.first).min().unwrap_or(sight.now);
    let found = raise.raise(rule, level.key, || Found {
        sources: vec![source],
        seen,
        description: format!("From {} {reason}.", level.network),
        ..Found::default()
    });
    if !found {
        return;
    }
    (address.flagged, address.reported) = (sight.now, sight.now);
    // One of the first passwords may have been right.
    for one in address.entered.after(begin).filter(|_| !source.shared) {
        let who = Who { key: one.key, id: one.id };
        let why = "from an address that then attacked accounts";
        success_after(who, why, (*one, None), None, raise);
    }
}

/// What is more than one person does and less than an attack. Where many people are, it is neither.
fn some_accounts(
    sight: &Sight<'_>,
    address: &Address,
    level: Level,
    crowds: &Table<Crowd>,
    raise: &mut Raise<'_>,
) {
    let rule = raise.rules.failed_logins;
    if address.failed.len() < rule.accounts.0 || raise.is_quiet(&FailedLogins::RULE, level.key) {
        return;
    }
    let accounts = address.failed.count(address.since(rule.window.0, sight.now));
    let source = crowds::source(sight, crowds, level.network);
    if accounts < rule.accounts.0 || source.shared {
        return;
    }
    raise.raise(&FailedLogins::RULE, level.key, || Found {
        sources: vec![source],
        // The events, and not the accounts: nothing happened to them.
        seen: address
            .failed
            .after(sight.ago(rule.window.0))
            .map(|seen| Seen { id: 0, ..*seen })
            .collect(),
        description: format!(
            "From {} {accounts} accounts failed to log in within {} s.",
            level.network,
            rule.window.0.as_secs()
        ),
        ..Found::default()
    });
}

/// One wave is one alert, whichever of the two it looks like as it goes on.
fn many_is_quiet(raise: &Raise<'_>, key: u64) -> bool {
    raise.is_quiet(&PasswordSpray::RULE, key) || raise.is_quiet(&CredentialStuffing::RULE, key)
}

/// The finding that somebody got in. It names no address: that may be the person's own, and what is
/// personal has its place in the events that led to it.
pub(crate) fn success_after(
    who: Who,
    why: &str,
    login: (Seen, Option<String>),
    answer: Option<Answer>,
    raise: &mut Raise<'_>,
) {
    let (seen, session) = login;
    raise.raise(&SuccessAfterAttack::RULE, who.key, || Found {
        accounts: vec![who.id],
        seen: vec![seen],
        session,
        answer,
        description: format!("The right password was given {why}."),
        ..Found::default()
    });
}
