//! Accounts that others try to get into, and what is usual for them.

use std::time::Duration;

use portcullis_events::{LoginAttempt, Outcome, TokenOperation};
use portcullis_types::{Prefix, Timestamp};

use crate::{
    Answer, DistributedBruteForce, MfaFatigue, Places, RapidAppAccess,
    detect::{
        addresses::{From, guessed, success_after},
        travel::{self, Usual},
    },
    recent::{Minutes, Recent, Seen, small},
    sight::{Sight, Who},
    table::{Kept, Table},
    watch::{Found, Raise},
};

/// Addresses remembered for each account. No threshold can be higher.
pub(crate) const ADDRESSES: usize = 16;
/// Applications remembered for each account. No threshold can be higher.
pub(crate) const APPLICATIONS: usize = 12;
const FROM_ATTACKER: &str = "from an address that attacks accounts";
const HOUR: Duration = Duration::from_secs(3600);

/// What is known of an account.
#[derive(Debug, Clone, Default)]
pub(crate) struct Account {
    /// Addresses from which the password was wrong, with the browser as tag.
    failed: Recent<ADDRESSES>,
    /// Wrong passwords.
    tries: Minutes<60>,
    /// Wrong second factors.
    codes: Minutes<16>,
    /// Applications that got tokens.
    apps: Recent<APPLICATIONS>,
    /// When an attack on it was last found.
    flagged: Timestamp,
    /// Wrong second factors, capped.
    coded: u8,
}

impl Kept for Account {
    const STALE: Duration = HOUR;

    fn weight(&self) -> u32 {
        let flagged = if self.flagged == Timestamp::default() { 0 } else { 1_000 };
        flagged + small(4 * self.failed.len() + self.apps.len()) + 4 * u32::from(self.coded)
    }

    fn clear(&mut self) {
        self.failed.clear();
        self.apps.clear();
        (self.tries, self.codes, self.coded) = Default::default();
        self.flagged = Timestamp::default();
    }
}

/// Looks at an attempt to log in, from an address that is known for something.
pub(crate) fn login(
    sight: &Sight<'_>,
    attempt: &LoginAttempt,
    from: From,
    places: &dyn Places,
    (table, usual): (&mut Table<Account>, &mut Table<Usual>),
    raise: &mut Raise<'_>,
) {
    // Names that no account has, and clients, are watched by address.
    let Some(who) = sight.who(&sight.event.actor).filter(|who| who.id != 0) else { return };
    match sight.event.outcome {
        Outcome::Failure("step_up_required") => suspected(sight, who, from, raise),
        Outcome::Success => {
            succeeded(sight, who, attempt, from, table, raise);
            // A second factor in a session that began elsewhere says nothing of where that was.
            if attempt.known_device.is_some() {
                travel::login(sight, who, attempt, places, usual, raise);
            }
        }
        // Codes by mail are asked for by anybody; the others only after the first factor.
        Outcome::Failure("bad_code") if attempt.factor == "mail" => {}
        Outcome::Failure("bad_code") => wrong_code(sight, who, table, raise),
        _ if guessed(&sight.event.outcome) => wrong_password(sight, who, table, raise),
        Outcome::Failure(_) => {}
    }
}

fn succeeded(
    sight: &Sight<'_>,
    who: Who,
    attempt: &LoginAttempt,
    from: From,
    table: &mut Table<Account>,
    raise: &mut Raise<'_>,
) {
    let window = raise.rules.success_after_attack.window.0;
    // Whoever showed more than a password is who they are.
    let in_doubt = attempt.known_device != Some(true) && attempt.factor == "password";
    let account = table.held(who.key);
    let attacked = account.as_ref().is_some_and(|held| held.flagged > sight.ago(window));
    let login = || (begun(sight, who), attempt.session.clone());
    if from.flagged && in_doubt {
        success_after(who, FROM_ATTACKER, login(), None, raise);
    } else if attacked && in_doubt {
        success_after(who, "for an account that is under attack", login(), None, raise);
    }
    if let Some(account) = account {
        account.failed.clear();
        (account.codes, account.coded) = Default::default();
    }
}

/// The right password, where more was asked for and may not follow.
fn suspected(sight: &Sight<'_>, who: Who, from: From, raise: &mut Raise<'_>) {
    if from.flagged {
        let login = (begun(sight, who), None);
        success_after(who, FROM_ATTACKER, login, Some(Answer::StepUp), raise);
    }
}

/// This event, as the first of something.
fn begun(sight: &Sight<'_>, who: Who) -> Seen {
    Seen { first: sight.now, last: sight.now, ..sight.seen(who, 0) }
}

fn wrong_password(sight: &Sight<'_>, who: Who, table: &mut Table<Account>, raise: &mut Raise<'_>) {
    let Some(addr) = sight.addr() else { return };
    let account = table.entry(who.key, sight.now);
    let rule = raise.rules.distributed_brute_force;
    let window = rule.window.0;
    // Whoever has one line has many addresses of IPv6, and neighbours of IPv4 are not strangers.
    let key = sight.network(Prefix::new(addr.ip(), if addr.ip().is_ipv4() { 24 } else { 48 }));
    let seen = Seen { key, tag: sight.agent(), event: sight.id, ..Seen::default() };
    account.failed.note(seen, sight.now, window);
    account.tries.add(1, sight.now);
    let addresses = account.failed.count(sight.ago(window));
    let tries = account.tries.sum(window, sight.now);
    if addresses < rule.addresses.0.min(ADDRESSES) || tries < rule.attempts.0 as u64 {
        return;
    }
    let found = raise.raise(&DistributedBruteForce::RULE, who.key, || Found {
        accounts: vec![who.id],
        seen: account.failed.after(sight.ago(window)).copied().collect(),
        description: format!(
            "{tries} wrong passwords for one account came from {addresses} addresses or more \
             within {} s.",
            window.as_secs()
        ),
        ..Found::default()
    });
    if found {
        account.flagged = sight.now;
    }
}

fn wrong_code(sight: &Sight<'_>, who: Who, table: &mut Table<Account>, raise: &mut Raise<'_>) {
    let account = table.entry(who.key, sight.now);
    let rule = raise.rules.mfa_fatigue;
    account.codes.add(1, sight.now);
    account.coded = account.coded.saturating_add(1);
    let failures = account.codes.sum(rule.window.0, sight.now);
    if failures < rule.failures.0 as u64 {
        return;
    }
    let found = raise.raise(&MfaFatigue::RULE, who.key, || Found {
        accounts: vec![who.id],
        description: format!(
            "{failures} wrong second factors for one account within {} s: somebody may have the \
             first.",
            rule.window.0.as_secs()
        ),
        ..Found::default()
    });
    if found {
        account.flagged = sight.now;
    }
}

/// Looks at a token: how many applications one account gets them for.
pub(crate) fn token(
    sight: &Sight<'_>,
    operation: &TokenOperation,
    table: &mut Table<Account>,
    raise: &mut Raise<'_>,
) {
    let issued = operation.operation == "issue" && sight.event.outcome.is_success();
    let Some(who) = sight.who(&sight.event.actor).filter(|who| issued && who.id != 0) else {
        return;
    };
    let rule = raise.rules.rapid_app_access;
    let account = table.entry(who.key, sight.now);
    let key = sight.text(b'c', &operation.client);
    let seen = Seen { key, event: sight.id, ..Seen::default() };
    account.apps.note(seen, sight.now, rule.window.0);
    let since = sight.ago(rule.window.0);
    let applications = account.apps.count(since);
    if applications < rule.applications.0.min(APPLICATIONS) {
        return;
    }
    raise.raise(&RapidAppAccess::RULE, who.key, || Found {
        accounts: vec![who.id],
        seen: account.apps.after(since).copied().collect(),
        session: operation.grant.clone(),
        description: format!(
            "One account got tokens for {applications} applications within {} s.",
            rule.window.0.as_secs()
        ),
        ..Found::default()
    });
}
