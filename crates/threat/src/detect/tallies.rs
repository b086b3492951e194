//! What may happen to different people from one place, but not that often.

use std::time::Duration;

use portcullis_events::{AccountChange, Outcome, RequestSeen, Stage};

use crate::{
    EnrolmentFarming, ProofReplay, Rule, SignupAbuse,
    detect::crowds::{Crowd, source},
    recent::{Minutes, Recent, Seen, small},
    rules::Span,
    sight::{Level, Sight, halves},
    table::{Kept, Table},
    watch::{Found, Raise},
};

/// People remembered for each place. No threshold can be higher.
pub(crate) const PEOPLE: usize = 16;
const HOUR: Duration = Duration::from_secs(3600);

/// What came from one place.
#[derive(Debug, Clone, Default)]
pub(crate) struct Tally {
    people: Recent<PEOPLE>,
    times: Minutes<60>,
}

impl Kept for Tally {
    const STALE: Duration = HOUR;

    fn weight(&self) -> u32 {
        small(self.people.len())
    }

    fn clear(&mut self) {
        self.people.clear();
        self.times = Minutes::default();
    }
}

/// Looks at a change of an account.
pub(crate) fn account(
    sight: &Sight<'_>,
    change: &AccountChange,
    table: &mut Table<Tally>,
    crowds: &Table<Crowd>,
    raise: &mut Raise<'_>,
) {
    let (Some(addr), Some(who)) = (sight.addr(), sight.who(&change.user)) else { return };
    let rules = *raise.rules;
    let (rule, kind, most, window): (&'static Rule, u8, usize, Span) = match change.change {
        "registration_requested" | "registered" | "reset_requested" => {
            let rule = rules.signup_abuse;
            (&SignupAbuse::RULE, b'r', rule.accounts.0, rule.window)
        }
        "totp_added" | "passkey_added" => {
            let rule = rules.enrolment_farming;
            (&EnrolmentFarming::RULE, b'e', rule.accounts.0, rule.window)
        }
        _ => return,
    };
    // Staff set up the second factors of their office in one network, but each with a browser.
    let browser = if kind == b'e' { sight.agent() } else { 0 };
    for Level { network, key, factor } in sight.levels(addr) {
        let key = sight.numbers(kind, [key, browser]);
        let tally = table.entry(key, sight.now);
        tally.people.note(sight.seen(who, 0), sight.now, window.0);
        tally.times.add(1, sight.now);
        let since = sight.ago(window.0);
        let people = tally.people.count(since);
        let most = most.saturating_mul(factor).min(PEOPLE);
        // The wider network has to see more of it than one address can cause alone.
        if people < most || (factor > 1 && tally.times.sum(window.0, sight.now) < most as u64 * 2) {
            continue;
        }
        // Never people and where they are together: an alert is sealed under nobody's key.
        let enrolled = kind == b'e';
        raise.raise(rule, key, || Found {
            sources: match enrolled {
                true => Vec::new(),
                false => vec![source(sight, crowds, network)],
            },
            seen: tally.people.after(since).map(|seen| seen.nameless(!enrolled)).collect(),
            description: format!(
                "{}: {people} or more within {} s.",
                rule.title,
                window.0.as_secs()
            ),
            ..Found::default()
        });
    }
}

/// Looks at a request: whether it showed a proof that is not its own.
pub(crate) fn request(
    sight: &Sight<'_>,
    seen: &RequestSeen,
    table: &mut Table<Tally>,
    crowds: &Table<Crowd>,
    raise: &mut Raise<'_>,
) {
    let stolen = seen.refused_at == Some(Stage::Authenticate)
        && matches!(
            sight.event.outcome,
            Outcome::Failure("invalid_dpop_proof" | "certificate_mismatch")
        );
    let Some(addr) = sight.addr().filter(|_| stolen) else { return };
    let rule = raise.rules.proof_replay;
    let network = addr.key().into();
    let key = sight.numbers(b'x', [sight.network(network), 0]);
    let tally = table.entry(key, sight.now);
    tally.times.add(1, sight.now);
    let this =
        Seen { key: sight.numbers(b'v', halves(sight.id)), event: sight.id, ..Seen::default() };
    tally.people.note(this, sight.now, rule.window.0);
    let times = tally.times.sum(rule.window.0, sight.now);
    if times < rule.failures.0 as u64 {
        return;
    }
    raise.raise(&ProofReplay::RULE, key, || Found {
        sources: vec![source(sight, crowds, network)],
        seen: tally.people.after(sight.ago(rule.window.0)).copied().collect(),
        description: format!(
            "{network} showed {times} tokens without the key they belong to, or proofs that were \
             used before, within {} s.",
            rule.window.0.as_secs()
        ),
        ..Found::default()
    });
}
