//! Where and with what a person usually logs in.

use std::time::Duration;

use portcullis_events::LoginAttempt;
use portcullis_types::{ClientAddr, Prefix, Timestamp};

use crate::{
    Hidden, ImpossibleTravel, Place, Places, UnusualLogin,
    places::distance,
    recent::Seen,
    sight::{Sight, Who, halves},
    table::{Kept, Table},
    watch::{Found, Raise},
};

/// Values of one kind that are remembered for a person.
const VALUES: usize = 4;
/// So many times likelier is a new value with a stranger than with the person, by kind. A new
/// browser in the usual network is a new browser; in a new country it is something else.
const NEW_COUNTRY: usize = 8;
const NEW_NETWORK: usize = 4;
const NEW_BROWSER: usize = 3;
/// Who never came through Tor, or from a data centre, and now does.
const NEW_TOR: usize = 8;
const NEW_HOSTING: usize = 3;

/// The values of one kind that were seen, the one that was not for longest last. Half a hash is
/// enough to tell four values from a fifth.
#[derive(Debug, Clone, Default)]
struct Values([u32; VALUES]);

impl Values {
    fn knows(&self, value: u64) -> bool {
        self.0.contains(&half(value))
    }

    fn note(&mut self, value: u64) {
        let held = self.0.iter().position(|known| *known == half(value));
        self.0[..=held.unwrap_or(VALUES - 1)].rotate_right(1);
        self.0[0] = half(value);
    }
}

fn half(value: u64) -> u32 {
    u32::try_from(value >> 32).unwrap_or(0)
}

/// What is usual for a person.
#[derive(Debug, Clone, Default)]
pub(crate) struct Usual {
    countries: Values,
    networks: Values,
    browsers: Values,
    logins: u16,
    /// Behind what the person was before, a bit for each.
    hidden: u8,
    /// The last login from a known place: where, when, which event.
    last: Option<Last>,
}

#[derive(Debug, Clone, Copy)]
struct Last {
    at: (f32, f32, u16),
    time: Timestamp,
    /// In two halves, so that it needs no more room than it has bytes.
    event: [u64; 2],
}

impl Kept for Usual {
    const STALE: Duration = Duration::from_secs(30 * 24 * 3600);

    /// Whoever logs in often is worth more than whoever did once.
    fn weight(&self) -> u32 {
        self.logins.min(4).into()
    }
}

/// Looks at a login that succeeded.
pub(crate) fn login(
    sight: &Sight<'_>,
    who: Who,
    attempt: &LoginAttempt,
    places: &dyn Places,
    table: &mut Table<Usual>,
    raise: &mut Raise<'_>,
) {
    let usual = table.entry(who.key, sight.now);
    let Some(addr) = sight.addr() else { return };
    let place = places.find(addr);
    travelled(sight, who, attempt, place, usual, raise);
    let [country, network, browser] = features(sight, addr, place);
    let odd = unusual(who, attempt, [country, network, browser], place.hidden, usual, raise);
    usual.countries.note(country);
    usual.networks.note(network);
    usual.browsers.note(browser);
    // A thief who was asked for more once comes again.
    if !odd {
        usual.hidden |= place.hidden.map_or(0, bit);
    }
    usual.logins = usual.logins.saturating_add(1);
    // From a proxy people log in as well; it says nothing of where they are.
    if let Some(at) = place.at.filter(|_| place.hidden.is_none()) {
        usual.last = Some(Last { at, time: sight.now, event: halves(sight.id) });
    }
}

fn bit(hidden: Hidden) -> u8 {
    1 << hidden as u8
}

/// Where nothing is known of addresses, the network around stands for system and country.
fn features(sight: &Sight<'_>, addr: ClientAddr, place: Place) -> [u64; 3] {
    let around = |v4, v6| {
        let length = if addr.ip().is_ipv4() { v4 } else { v6 };
        sight.network(Prefix::new(addr.ip(), length))
    };
    let country = place.country.map_or_else(
        || around(8, 20),
        |two| sight.numbers(b'l', [u64::from(u16::from_be_bytes(two)), 0]),
    );
    let network =
        place.asn.map_or_else(|| around(16, 32), |asn| sight.numbers(b's', [asn.into(), 0]));
    [country, network, sight.agent()]
}

fn travelled(
    sight: &Sight<'_>,
    who: Who,
    attempt: &LoginAttempt,
    place: Place,
    usual: &Usual,
    raise: &mut Raise<'_>,
) {
    let rule = raise.rules.impossible_travel;
    let Some((here, before)) = place.at.filter(|_| place.hidden.is_none()).zip(usual.last) else {
        return;
    };
    let (there, then) = (before.at, before.time);
    // The same holds for somebody behind a company's network, or with a telephone at home.
    if attempt.known_device == Some(true) {
        return;
    }
    let about = f64::from(here.2) + f64::from(there.2);
    let km = distance((here.0, here.1), (there.0, there.1)) - about;
    let hours = sight.now.since(then).as_secs_f64() / 3600.0;
    if km < rule.distance.0 as f64 || km < hours * rule.speed.0 as f64 {
        return;
    }
    let [high, low] = before.event.map(u128::from);
    let earlier = Seen { event: high << 64 | low, first: then, ..Seen::default() };
    raise.raise(&ImpossibleTravel::RULE, who.key, || Found {
        accounts: vec![who.id],
        seen: vec![earlier],
        session: attempt.session.clone(),
        description: format!(
            "Two logins {km:.0} km apart within {:.0} min: nobody travels that fast.",
            hours * 60.0
        ),
        ..Found::default()
    });
}

fn unusual(
    who: Who,
    attempt: &LoginAttempt,
    [country, network, browser]: [u64; 3],
    hidden: Option<Hidden>,
    usual: &Usual,
    raise: &mut Raise<'_>,
) -> bool {
    let rule = raise.rules.unusual_login;
    // A device that the person logged in with before is the person's, wherever it is.
    if (usual.logins as usize) < rule.history.0 || attempt.known_device == Some(true) {
        return false;
    }
    let behind = hidden.filter(|hidden| usual.hidden & bit(*hidden) == 0);
    let new = [
        (!usual.countries.knows(country), NEW_COUNTRY, "country"),
        (!usual.networks.knows(network), NEW_NETWORK, "network"),
        (!usual.browsers.knows(browser), NEW_BROWSER, "browser"),
        (behind == Some(Hidden::Tor), NEW_TOR, "way through Tor"),
        (behind == Some(Hidden::Hosting), NEW_HOSTING, "place in a data centre"),
    ];
    let new = new.iter().filter(|(new, ..)| *new);
    let score: usize = new.clone().map(|(_, factor, _)| factor).product();
    if score < rule.score.0 {
        return false;
    }
    let names: Vec<&str> = new.map(|(.., name)| *name).collect();
    raise.raise(&UnusualLogin::RULE, who.key, || Found {
        accounts: vec![who.id],
        session: attempt.session.clone(),
        description: format!(
            "A login with a new {} after {} others: {score} times likelier a stranger.",
            names.join(", a new "),
            usual.logins
        ),
        ..Found::default()
    });
    true
}
