//! The spray detector against attacks and against people who mistype.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on must fail")]

use std::time::Duration;

use portcullis_events::{Actor, Event, Kind, LoginAttempt, Origin, Outcome};
use portcullis_testkit::{START, SeededEntropy};
use portcullis_threat::{Finding, Spray, Thresholds};
use portcullis_types::{ClientAddr, Id, Timestamp};

fn detector() -> Spray {
    Spray::new(Thresholds::default(), &*SeededEntropy::new(1))
}

fn attempt(addr: &str, user: &str, password: u128, outcome: Outcome, at: Timestamp) -> Event {
    let origin = Origin { addr: ClientAddr::new(addr.parse().unwrap()), ..Origin::default() };
    let kind = Kind::Login(LoginAttempt {
        factor: "password",
        door: "login",
        session: None,
        password_fingerprint: Some(password),
    });
    let actor = Actor::User { id: user.into(), username: user.into() };
    let id = Id::new(at, &*SeededEntropy::new(user.len() as u64));
    Event::new(id, at, Some(origin), actor, outcome, kind)
}

fn fail(spray: &mut Spray, addr: &str, user: &str, password: u128, secs: u64) -> Option<Finding> {
    let at = START.plus(Duration::from_secs(secs));
    spray.observe(&attempt(addr, user, password, Outcome::Failure("bad_password"), at), at)
}

#[test]
fn one_password_on_many_accounts_is_found_at_the_fourth() {
    let mut spray = detector();
    let findings: Vec<_> =
        (0..20).map(|n| fail(&mut spray, "192.0.2.1", &format!("user{n}"), 7, n)).collect();
    assert!(findings[..3].iter().all(Option::is_none));
    let finding = findings[3].as_ref().unwrap();
    assert_eq!((finding.accounts.len(), finding.evidence.len()), (4, 4));
    assert_eq!(finding.attack.0, "T1110.003");
    assert!(findings[4..].iter().all(Option::is_none), "one alert for one wave");
}

#[test]
fn different_passwords_and_ipv6_suffixes_do_not_help() {
    let mut spray = detector();
    let found = (0..5)
        .filter_map(|n| {
            let addr = format!("2001:db8::{n}");
            fail(&mut spray, &addr, &format!("user{n}"), u128::from(n), n)
        })
        .count();
    assert_eq!(found, 1);
}

#[test]
fn a_slow_spray_is_found_as_well() {
    let mut spray = detector();
    let found = (0..12)
        .filter_map(|n| fail(&mut spray, "192.0.2.1", &format!("user{n}"), u128::from(n), n * 290))
        .count();
    assert_eq!(found, 1);
}

#[test]
fn one_person_who_forgot_a_password_is_not_an_attack() {
    let mut spray = detector();
    for n in 0..50 {
        assert!(fail(&mut spray, "192.0.2.1", "alice", u128::from(n), n).is_none());
    }
}

#[test]
fn good_logins_and_other_addresses_do_not_count() {
    let mut spray = detector();
    for n in 0..20 {
        let at = START.plus(Duration::from_secs(n));
        let good = attempt("192.0.2.1", &format!("user{n}"), 7, Outcome::Success, at);
        assert!(spray.observe(&good, at).is_none());
        let addr = format!("198.51.100.{n}");
        assert!(fail(&mut spray, &addr, &format!("user{n}"), 7, n).is_none());
    }
}

/// A flood of addresses does not hide an attacker who is under watch.
#[test]
fn a_flood_of_addresses_does_not_flush_the_watch() {
    let mut spray = detector();
    for n in 0..3 {
        assert!(fail(&mut spray, "192.0.2.1", &format!("user{n}"), 7, n).is_none());
    }
    for n in 0..50_000_u32 {
        let addr = std::net::Ipv4Addr::from(0x0a00_0000 + n).to_string();
        fail(&mut spray, &addr, "someone", u128::from(n), 4);
    }
    assert!(fail(&mut spray, "192.0.2.1", "user3", 7, 5).is_some());
}
