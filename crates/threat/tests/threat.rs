//! Each detector against its attack, and against people who look a little like it.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on must fail")]

mod baseline;
mod sigma;

use std::time::Duration;

use portcullis_events::{
    AccountChange, Actor, AdminChange, Event, Kind, LoginAttempt, Origin, Outcome, RequestSeen,
    Stage, TokenOperation,
};
use portcullis_testkit::{START, SeededEntropy};
use portcullis_threat::{
    Answer, BruteForce, Count, Finding, Hidden, Mode, Place, Places, Rule, Rules, Span, Watch,
};
use portcullis_types::{ClientAddr, Id, tags};
use serde_json::json;

/// 10.0.0.0/8 is in Berlin, all else in Sydney; 172.16.0.0/16 is a proxy, 172.17.0.0/16 is Tor; 172.0.0.0/8 is one
/// network.
struct Map;
impl Places for Map {
    fn find(&self, addr: ClientAddr) -> Place {
        let text = addr.to_string();
        let (country, asn, at) = match text.starts_with("10.") {
            true => (*b"DE", 1, (52.5, 13.4, 20)),
            false => (*b"AU", 2, (-33.9, 151.2, 20)),
        };
        let hidden = match &text[..7.min(text.len())] {
            "172.16." => Some(Hidden::Proxy),
            "172.17." => Some(Hidden::Tor),
            _ => None,
        };
        let asn = if text.starts_with("172.") { 3 } else { asn };
        Place { country: Some(country), asn: Some(asn), at: Some(at), hidden }
    }
}

struct Bench {
    watch: Watch,
    secs: u64,
    events: u128,
}

impl Bench {
    /// Without the mildest rule, which sees the beginning of most attacks.
    fn new() -> Self {
        let mut rules = Rules::default();
        rules.failed_logins.mode = Mode::Off;
        Self::with(rules)
    }

    fn with(rules: Rules) -> Self {
        Self { watch: Watch::new(rules, &*SeededEntropy::new(1)), secs: 0, events: 0 }
    }

    fn after(&mut self, secs: u64) -> &mut Self {
        self.secs += secs;
        self
    }

    fn see(
        &mut self,
        addr: &str,
        agent: &str,
        actor: Actor,
        outcome: Outcome,
        kind: Kind,
    ) -> Vec<Finding> {
        self.events += 1;
        let now = START.plus(Duration::from_secs(self.secs));
        let addr = ClientAddr::new(addr.parse().unwrap());
        let origin = Origin::new(addr, "r".into(), Some(agent.into()));
        let event = Event::new(Id::from_bits(self.events), now, Some(origin), actor, outcome, kind);
        let mut found = Vec::new();
        self.watch.observe(&event, &Map, now, &mut found);
        found
    }

    fn fail(&mut self, addr: &str, user: &str, password: u128) -> Vec<Finding> {
        let attempt = LoginAttempt {
            factor: "password",
            door: "login",
            password_fingerprint: Some(password),
            ..LoginAttempt::default()
        };
        self.see(addr, "x", person(user), Outcome::Failure("bad_password"), Kind::Login(attempt))
    }

    fn code(&mut self, user: &str) -> Vec<Finding> {
        let attempt = LoginAttempt { factor: "totp", door: "login", ..LoginAttempt::default() };
        self.see("10.0.0.1", "x", person(user), Outcome::Failure("bad_code"), Kind::Login(attempt))
    }

    fn enter_with(&mut self, addr: &str, agent: &str, user: &str, known: bool) -> Vec<Finding> {
        let attempt = LoginAttempt {
            factor: "password",
            door: "login",
            session: Some("ses_1".into()),
            known_device: Some(known),
            ..LoginAttempt::default()
        };
        self.see(addr, agent, person(user), Outcome::Success, Kind::Login(attempt))
    }

    fn enter(&mut self, addr: &str, user: &str) -> Vec<Finding> {
        self.enter_with(addr, "x", user, false)
    }

    fn token(
        &mut self,
        operation: &'static str,
        client: &str,
        grant: &str,
        user: &str,
    ) -> Vec<Finding> {
        let done = TokenOperation {
            operation,
            client: client.into(),
            grant_type: "refresh_token".into(),
            scope: String::new(),
            token_id: None,
            grant: Some(grant.into()),
        };
        self.see("10.0.0.1", "x", person(user), Outcome::Success, Kind::Token(done))
    }

    fn account(&mut self, addr: &str, change: &'static str, user: &str) -> Vec<Finding> {
        let kind = Kind::Account(AccountChange { change, user: person(user), provider: None });
        self.see(addr, "x", Actor::Anonymous, Outcome::Success, kind)
    }

    fn get(
        &mut self,
        addr: &str,
        agent: &str,
        session: &str,
        path: &str,
        status: u16,
    ) -> Vec<Finding> {
        let seen = RequestSeen {
            method: "GET".into(),
            path: path.into(),
            route: Some("orders".into()),
            upstream: None,
            status,
            latency: Duration::ZERO,
            refused_at: (status == 401).then_some(Stage::Authenticate),
            policies: Vec::new(),
            trace: None,
            version: "HTTP/2",
            violations: Vec::new(),
            session: Some(session.into()),
            bytes: Some(1_000),
        };
        let outcome = match status {
            401 => Outcome::Failure("invalid_dpop_proof"),
            _ => Outcome::Success,
        };
        self.see(addr, agent, person("alice"), outcome, Kind::Request(seen))
    }
}

impl Bench {
    /// A request of somebody who is logged in.
    fn get_as(&mut self, addr: &str, user: &str) -> Vec<Finding> {
        let seen = RequestSeen {
            method: "GET".into(),
            path: "/profile/me".into(),
            route: Some("profile".into()),
            upstream: None,
            status: 200,
            latency: Duration::ZERO,
            refused_at: None,
            policies: Vec::new(),
            trace: None,
            version: "HTTP/2",
            violations: Vec::new(),
            session: Some(format!("grt_{user}")),
            bytes: None,
        };
        self.see(addr, "x", person(user), Outcome::Success, Kind::Request(seen))
    }
}

fn person(name: &str) -> Actor {
    let number = name.bytes().fold(7_u128, |sum, byte| sum * 257 + u128::from(byte));
    let id = Id::<tags::User>::from_bits(number & (u128::MAX >> 3));
    Actor::User { id: id.to_string(), username: name.into() }
}

fn rules(found: &[Finding]) -> Vec<&'static str> {
    found.iter().map(|finding| finding.rule.id).collect()
}

#[test]
fn one_password_on_many_accounts_is_found_at_the_fourth() {
    let mut bench = Bench::new();
    let found: Vec<_> =
        (0..20).map(|n| bench.after(1).fail("192.0.2.1", &format!("user{n}"), 7)).collect();
    assert!(found[..3].iter().all(Vec::is_empty));
    assert_eq!(rules(&found[3]), ["password_spray"]);
    let finding = &found[3][0];
    assert_eq!((finding.accounts.len(), finding.evidence.len()), (4, 4));
    assert_eq!(finding.sources[0].network.to_string(), "192.0.2.1");
    assert!(!finding.sources[0].shared);
    assert_eq!(finding.rule.attack.0, "T1110.003");
    assert!(found[4..].iter().all(Vec::is_empty), "one alert for one wave");
}

#[test]
fn a_list_of_passwords_is_stuffing() {
    let mut bench = Bench::new();
    let found: Vec<_> =
        (0..9).flat_map(|n| bench.after(1).fail("192.0.2.1", &format!("user{n}"), n)).collect();
    assert_eq!(rules(&found), ["credential_stuffing"]);
}

#[test]
fn a_slow_spray_is_found_as_well() {
    let mut bench = Bench::new();
    let found: Vec<_> = (0..12)
        .flat_map(|n| bench.after(290).fail("192.0.2.1", &format!("user{n}"), n % 3))
        .collect();
    assert_eq!(rules(&found), ["password_spray"]);
}

/// Another /64 for each attempt: what is found is the network around them.
#[test]
fn hopping_through_a_network_does_not_help() {
    let mut bench = Bench::new();
    let found: Vec<_> = (0..30)
        .flat_map(|n| bench.after(1).fail(&format!("2001:db8:0:{n}::1"), &format!("user{n}"), n))
        .collect();
    let networks: Vec<_> = found.iter().map(|f| f.sources[0].network.to_string()).collect();
    assert_eq!(networks, ["2001:db8::/56", "2001:db8::/48"]);
}

/// One address that attacks is no reason to close its whole network.
#[test]
fn neighbours_are_left_alone() {
    let mut bench = Bench::new();
    let found: Vec<_> =
        (0..200).flat_map(|n| bench.after(1).fail("192.0.2.1", &format!("user{n}"), n)).collect();
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].sources[0].network.to_string(), "192.0.2.1");
}

/// Five hundred people behind one address, of whom many mistype each hour, and all get in.
#[test]
fn an_office_is_no_attack_and_an_attack_from_it_is_answered_softly() {
    let mut bench = Bench::new();
    for n in 0..500 {
        let user = format!("user{n}");
        if n % 4 == 0 {
            assert!(bench.after(3).fail("192.0.2.1", &user, n).is_empty());
        }
        assert!(bench.after(5).enter_with("192.0.2.1", "x", &user, true).is_empty());
    }
    let found: Vec<_> =
        (0..40).flat_map(|n| bench.after(1).fail("192.0.2.1", &format!("other{n}"), 7)).collect();
    assert_eq!(rules(&found), ["password_spray"]);
    assert!(found[0].sources[0].shared);
}

#[test]
fn one_person_who_forgot_a_password_is_not_an_attack() {
    let mut bench = Bench::new();
    for n in 0..9 {
        assert!(bench.after(7).fail("192.0.2.1", "alice", n).is_empty());
    }
    // Neither is a program that has an old one and tries it for days.
    for _ in 0..500 {
        assert!(bench.after(60).fail("192.0.2.9", "bob", 1).is_empty());
    }
}

#[test]
fn many_passwords_for_one_account_are() {
    let mut bench = Bench::new();
    let found: Vec<_> =
        (0..20).flat_map(|n| bench.after(30).fail("192.0.2.1", "alice", n)).collect();
    assert_eq!(rules(&found), ["brute_force"]);
    let mut bench = Bench::new();
    let found: Vec<_> =
        (0..20).flat_map(|n| bench.after(30).fail(&format!("198.51.{n}.1"), "alice", n)).collect();
    assert_eq!(rules(&found), ["distributed_brute_force"]);
    assert_eq!(found[0].accounts.len(), 1);
}

#[test]
fn one_password_from_many_addresses_closes_each_of_them() {
    let mut bench = Bench::new();
    let found: Vec<_> = (0..12)
        .flat_map(|n| bench.after(10).fail(&format!("198.51.{n}.1"), &format!("user{n}"), 7))
        .collect();
    assert!(rules(&found).iter().all(|rule| *rule == "distributed_spray"));
    assert_eq!(found[0].sources.len(), 8);
    let after: Vec<bool> = found[1..].iter().map(|finding| finding.continues).collect();
    assert_eq!(after, [true; 4], "one alert, and one block for each address that comes later");
}

#[test]
fn whoever_gets_in_after_an_attack_is_seen() {
    let mut bench = Bench::new();
    for n in 0..6 {
        bench.after(1).fail("192.0.2.1", &format!("user{n}"), n);
    }
    assert!(bench.enter_with("192.0.2.1", "x", "owner", true).is_empty(), "a known device");
    assert_eq!(rules(&bench.enter("192.0.2.1", "victim")), ["success_after_attack"]);
    let mut bench = Bench::new();
    for n in 0..20 {
        bench.after(30).fail(&format!("198.51.{n}.1"), "alice", n);
    }
    assert_eq!(rules(&bench.enter("203.0.113.9", "alice")), ["success_after_attack"]);
}

#[test]
fn nobody_is_in_berlin_and_in_sydney() {
    let mut bench = Bench::new();
    assert!(bench.enter("10.0.0.1", "alice").is_empty());
    let found = bench.after(3_600).enter("203.0.113.1", "alice");
    assert_eq!(rules(&found), ["impossible_travel"]);
    assert_eq!(found[0].evidence.len(), 2);
    // With a flight between, from a proxy, or with a known device, it is no wonder.
    let mut bench = Bench::new();
    assert!(bench.enter("10.0.0.1", "alice").is_empty());
    assert!(bench.after(600).enter("172.16.0.1", "alice").is_empty());
    assert!(bench.after(600).enter_with("203.0.113.1", "x", "alice", true).is_empty());
    assert!(bench.after(86_400).enter("10.0.0.1", "alice").is_empty());
}

#[test]
fn what_is_all_new_is_unusual() {
    let mut bench = Bench::new();
    for _ in 0..4 {
        assert!(bench.after(86_400).enter_with("10.0.0.1", "Firefox", "alice", false).is_empty());
    }
    assert!(bench.after(86_400).enter_with("10.0.0.1", "Chrome", "alice", false).is_empty());
    let known = bench.after(86_400).enter_with("203.0.113.1", "Firefox", "alice", true);
    assert!(known.is_empty(), "on a journey, with the own computer");
    let mut bench = Bench::new();
    for _ in 0..4 {
        bench.after(86_400).enter_with("10.0.0.1", "Firefox", "alice", false);
    }
    let found = bench.after(86_400).enter_with("203.0.113.1", "curl", "alice", false);
    assert_eq!(rules(&found), ["unusual_login"]);
}

#[test]
fn guessing_is_slowed_before_it_is_an_attack_and_offices_are_not() {
    let mut bench = Bench::with(Rules::default());
    let found: Vec<_> =
        (0..5).flat_map(|n| bench.after(1).fail("192.0.2.1", &format!("u{n}"), n + 1)).collect();
    assert_eq!(rules(&found), ["failed_logins", "credential_stuffing"]);
    assert_eq!(found[0].answer, Answer::Delay);
    assert_eq!((found[0].sources[0].shared, found[0].evidence.len()), (false, 3));
    assert!(found[0].accounts.is_empty(), "nothing happened to them");
    // One who mistypes often is one.
    let mut bench = Bench::with(Rules::default());
    assert!((0..6).all(|n| bench.after(1).fail("192.0.2.1", "alice", n).is_empty()));
    // Three in three minutes are none.
    for n in 0..4 {
        assert!(bench.after(61).fail("192.0.2.2", &format!("u{n}"), n + 1).is_empty());
    }
    // Where five people are.
    for n in 0..6 {
        bench.after(1).enter("192.0.2.3", &format!("colleague{n}"));
    }
    for n in 0..4 {
        assert!(bench.after(1).fail("192.0.2.3", &format!("v{n}"), n + 7).is_empty());
    }
}

#[test]
fn who_never_came_through_tor_is_asked_for_more_and_who_always_does_is_not() {
    let from = |first: &str, then: &str| {
        let mut bench = Bench::new();
        for _ in 0..4 {
            bench.after(86_400).enter_with(first, "Firefox", "alice", false);
        }
        let found = bench.after(86_400).enter_with(then, "Firefox", "alice", false);
        (rules(&found).join(""), found.first().map(|one| one.description.clone()))
    };
    assert_eq!(from("203.0.113.1", "172.18.0.1").0, "", "another network in the same country");
    let (rule, why) = from("203.0.113.1", "172.17.0.1");
    assert_eq!(rule, "unusual_login");
    assert!(why.unwrap().contains("a new way through Tor"));
    assert_eq!(from("172.17.0.9", "172.17.0.1").0, "");
}

#[test]
fn guessed_codes_are_seen_and_a_slow_clock_is_not() {
    let mut bench = Bench::new();
    let found: Vec<_> = (0..8).flat_map(|_| bench.after(20).code("alice")).collect();
    assert_eq!(rules(&found), ["mfa_fatigue"]);
    let mut bench = Bench::new();
    for _ in 0..3 {
        assert!(bench.after(30).code("alice").is_empty());
    }
    bench.after(30).enter_with("10.0.0.1", "x", "alice", true);
    for _ in 0..4 {
        assert!(bench.after(30).code("alice").is_empty());
    }
}

#[test]
fn tokens_in_two_hands_are_seen() {
    let mut bench = Bench::new();
    let found = bench.token("reuse", "web", "grt_1", "alice");
    assert_eq!(rules(&found), ["token_reuse"]);
    assert_eq!(found[0].session.as_deref(), Some("grt_1"));

    let mut bench = Bench::new();
    assert!(bench.get("10.0.0.1", "Firefox", "s", "/a", 200).is_empty());
    assert!(
        bench.after(60).get("10.9.9.9", "Firefox", "s", "/a", 200).is_empty(),
        "another network"
    );
    assert!(bench.after(60).get("10.9.9.9", "Firefox/2", "s", "/a", 200).is_empty(), "an update");
    assert_eq!(
        rules(&bench.after(60).get("203.0.113.1", "curl", "s", "/a", 200)),
        ["session_hijack"]
    );
    assert!(bench.after(3_600).get("10.0.0.1", "Safari", "s", "/a", 200).is_empty(), "hours later");

    let mut bench = Bench::new();
    let found: Vec<_> =
        (0..9).flat_map(|_| bench.after(1).get("10.0.0.1", "x", "s", "/a", 401)).collect();
    assert_eq!(rules(&found), ["proof_replay"]);
}

#[test]
fn many_applications_at_once_are_seen() {
    let mut bench = Bench::new();
    let found: Vec<_> = (0..12)
        .flat_map(|n| bench.after(3).token("issue", &format!("app{n}"), "grt_1", "alice"))
        .collect();
    assert_eq!(rules(&found), ["rapid_app_access"]);
    for n in 0..30 {
        assert!(bench.after(3).token("issue", "app1", &format!("grt_{n}"), "bob").is_empty());
    }
}

#[test]
fn walking_through_objects_is_seen() {
    let walk = |status: u16| {
        let mut bench = Bench::new();
        let path = |n: u64| format!("/orders/{n}");
        (0..30)
            .flat_map(|n| bench.after(1).get("10.0.0.1", "x", "s", &path(n), status))
            .collect::<Vec<_>>()
    };
    let found = walk(403);
    assert_eq!((rules(&found), found[0].answer), (vec!["object_enumeration"], Answer::EndSessions));
    assert!(found[0].sources.is_empty(), "where a person is stays in the events");
    // Missing things may be a page that somebody else made for the purpose.
    let found = walk(404);
    assert_eq!((rules(&found), found[0].answer), (vec!["object_enumeration"], Answer::Alert));
    let mut bench = Bench::new();
    for _ in 0..500 {
        assert!(bench.get("10.0.0.1", "x", "s", "/favicon", 404).is_empty());
    }
    let found: Vec<_> = (0..400)
        .flat_map(|n| bench.after(1).get("10.0.0.1", "x", "s", &format!("/orders/{n}"), 200))
        .collect();
    assert_eq!(rules(&found), ["exfiltration"]);
}

#[test]
fn a_route_that_breaks_is_seen_and_one_that_always_does_is_not() {
    let mut bench = Bench::new();
    let mut found = Vec::new();
    for n in 0..2_000 {
        found.extend(bench.after(u64::from(n % 4 == 0)).get("10.0.0.1", "x", "s", "/a", 200));
    }
    for _ in 0..60 {
        found.extend(bench.get("10.0.0.1", "x", "s", "/a", 503));
    }
    assert_eq!(rules(&found), ["error_spike"]);
    let (mut bench, mut found) = (Bench::new(), Vec::new());
    for n in 0..20_000 {
        let status = if n % 3 == 0 { 503 } else { 200 };
        let now = bench.after(u64::from(n % 4 == 0)).get("10.0.0.1", "x", "s", "/a", status);
        found.extend(now.into_iter().filter(|_| n > 12_000));
    }
    assert!(found.is_empty(), "what always fails is usual: {found:?}");
}

#[test]
fn what_weakens_the_installation_is_said() {
    let mut bench = Bench::new();
    let mut change = |action, object_type, before, after| {
        let object = format!("{object_type}_1");
        let change = AdminChange { action, object_type, object, before, after };
        let found =
            bench.see("10.0.0.1", "x", person("ada"), Outcome::Success, Kind::Admin(change));
        rules(&found)
    };
    assert_eq!(change("retire", "signing_key", None, None), ["admin_tampering"]);
    let admin = || Some(json!({ "roles": ["admin"] }));
    assert!(change("update", "user", admin(), admin()).is_empty());
    assert_eq!(
        change("update", "user", Some(json!({ "roles": [] })), admin()),
        ["admin_tampering"]
    );
    assert!(change("create", "api_key", None, Some(json!({ "scopes": "profile" }))).is_empty());
    let scopes = Some(json!({ "scopes": "profile admin" }));
    assert_eq!(change("create", "api_key", None, scopes), ["admin_tampering"]);
    assert_eq!(rules(&bench.account("10.0.0.1", "factors_reset", "bob")), ["admin_tampering"]);
}

#[test]
fn many_accounts_from_one_place_are_seen() {
    let mut bench = Bench::new();
    let found: Vec<_> = (0..12)
        .flat_map(|n| {
            bench.after(60).account("192.0.2.1", "registration_requested", &format!("n{n}"))
        })
        .collect();
    assert_eq!(rules(&found), ["signup_abuse"]);
    assert!(found[0].accounts.is_empty() && found[0].sources.len() == 1);
    let mut bench = Bench::new();
    let found: Vec<_> = (0..6)
        .flat_map(|n| bench.after(60).account("192.0.2.1", "totp_added", &format!("n{n}")))
        .collect();
    assert_eq!(rules(&found), ["enrolment_farming"]);
    assert!(found[0].sources.is_empty() && found[0].accounts.len() == 4);
    for _ in 0..30 {
        let again = bench.after(60).account("192.0.2.2", "reset_requested", "alice");
        assert!(again.is_empty(), "one who asks again and again");
    }
}

#[test]
fn rules_can_be_changed_and_switched_off() {
    let brute_force = BruteForce {
        passwords: Count(3),
        window: Span(Duration::from_secs(60)),
        mode: Mode::Observe,
    };
    let mut bench = Bench::with(Rules { brute_force, ..Rules::default() });
    let found: Vec<_> =
        (0..4).flat_map(|n| bench.after(30).fail("192.0.2.1", "alice", n)).collect();
    assert_eq!(rules(&found), ["brute_force"]);
    let brute_force = BruteForce { mode: Mode::Off, ..brute_force };
    bench.watch.set_rules(Rules { brute_force, ..Rules::default() });
    for n in 0..40 {
        assert!(bench.after(30).fail("192.0.2.2", "bob", n).is_empty());
    }
}

/// One account of the attacker's own, between the attempts, changes nothing.
#[test]
fn an_own_account_is_no_cover() {
    let mut bench = Bench::new();
    let mut found = Vec::new();
    for n in 0..30 {
        found.extend(bench.after(2).enter_with("192.0.2.1", "x", "mule", true));
        found.extend(bench.after(2).fail("192.0.2.1", &format!("user{n}"), n));
    }
    assert_eq!(rules(&found), ["credential_stuffing"]);
    // Nor do names that are made up between the attempts on one.
    let (mut bench, mut found) = (Bench::new(), Vec::new());
    for n in 0..20 {
        found.extend(bench.after(200).fail("192.0.2.1", "alice", n));
        for junk in 0..3 {
            let name = format!("junk{n}-{junk}");
            found.extend(bench.after(60).fail(
                &format!("192.0.2.{}", 1 + junk % 2),
                &name,
                1_000 * (n + 1) + junk,
            ));
        }
    }
    assert!(rules(&found).contains(&"brute_force"), "{:?}", rules(&found));
}

/// Nor are places taken for good by accounts that were tried often, long ago.
#[test]
fn old_attempts_take_no_room_from_new_ones() {
    let mut bench = Bench::new();
    for n in 0..24 {
        for password in 0..4 {
            bench.after(1_000).fail("192.0.2.1", &format!("decoy{n}"), password);
        }
        bench.after(4_000);
    }
    let found: Vec<_> = (0..8)
        .flat_map(|n| bench.after(1).fail("192.0.2.1", &format!("user{n}"), 100 + n))
        .collect();
    assert_eq!(rules(&found), ["credential_stuffing"]);
}

#[test]
fn many_failures_of_others_do_not_hide_a_distributed_spray() {
    let mut bench = Bench::new();
    for n in 0..3_000 {
        bench.fail(&format!("10.{}.{}.1", n / 250, n % 250), &format!("junk{n}"), 10_000 + n);
    }
    let found: Vec<_> = (0..40)
        .flat_map(|n| bench.after(10).fail(&format!("198.51.{n}.1"), &format!("user{n}"), 7))
        .collect();
    assert_eq!(rules(&found)[0], "distributed_spray");
}

/// Somebody who mistyped what happens to be the password of an attack is asked for more at most,
/// and not at all if it was long before.
#[test]
fn whoever_mistypes_the_password_of_an_attack_is_not_shut_out() {
    let mut bench = Bench::new();
    bench.fail("203.0.113.5", "early", 7);
    bench.after(2_000);
    let mut found = Vec::new();
    for n in 0..10 {
        for user in ["a", "b"] {
            let addr = format!("198.51.{n}.1");
            found.extend(bench.after(5).fail(&addr, &format!("{user}{n}"), 7));
        }
    }
    found.extend(bench.after(5).fail("203.0.113.9", "late", 7));
    let sources: Vec<_> = found.iter().flat_map(|finding| &finding.sources).collect();
    let of = |addr: &str| sources.iter().rfind(|source| source.network.to_string() == addr);
    assert!(of("203.0.113.5").is_none() && of("203.0.113.9").unwrap().shared);
    assert!(!of("198.51.0.1").unwrap().shared);
}

#[test]
fn whoever_showed_more_than_a_password_is_not_in_doubt() {
    let mut bench = Bench::new();
    for n in 0..20 {
        bench.after(30).fail(&format!("198.51.{n}.1"), "alice", n);
    }
    let by_mail = LoginAttempt {
        factor: "mail",
        door: "login",
        known_device: Some(false),
        ..LoginAttempt::default()
    };
    let found = bench.see("10.0.0.9", "x", person("alice"), Outcome::Success, Kind::Login(by_mail));
    assert!(found.is_empty());
    let mut bench = Bench::new();
    for _ in 0..20 {
        let wrong = LoginAttempt { factor: "mail", door: "login", ..LoginAttempt::default() };
        let outcome = Outcome::Failure("bad_code");
        assert!(bench.see("10.0.0.1", "x", person("bob"), outcome, Kind::Login(wrong)).is_empty());
    }
}

/// The right password where more is asked for: nobody got in, but somebody has it.
#[test]
fn a_right_password_that_was_not_enough_is_told() {
    let mut bench = Bench::new();
    for n in 0..6 {
        bench.after(1).fail("192.0.2.1", &format!("user{n}"), n);
    }
    let attempt = LoginAttempt { factor: "password", door: "login", ..LoginAttempt::default() };
    let outcome = Outcome::Failure("step_up_required");
    let found = bench.see("192.0.2.1", "x", person("victim"), outcome, Kind::Login(attempt));
    assert_eq!((rules(&found), found[0].answer), (vec!["success_after_attack"], Answer::StepUp));
}

#[test]
fn one_of_the_first_passwords_may_have_been_right() {
    let mut bench = Bench::new();
    let mut found = Vec::new();
    for n in 0..3 {
        found.extend(bench.after(1).fail("192.0.2.1", &format!("user{n}"), n));
    }
    found.extend(bench.after(1).enter("192.0.2.1", "victim"));
    for n in 3..9 {
        found.extend(bench.after(1).fail("192.0.2.1", &format!("user{n}"), n));
    }
    assert_eq!(rules(&found), ["credential_stuffing", "success_after_attack"]);
    assert_eq!(found[1].accounts.len(), 1);
}

/// What fails elsewhere does not make an office forgotten.
#[test]
fn an_office_stays_known_through_a_flood() {
    let mut bench = Bench::new();
    for n in 0..6 {
        bench.after(60).get_as("192.0.2.1", &format!("worker{n}"));
    }
    for n in 0..100_000_u32 {
        let addr = std::net::Ipv4Addr::from(0x0a00_0000 + n * 257).to_string();
        bench.fail(&addr, &format!("a{n}"), u128::from(n) + 100);
        bench.fail(&addr, &format!("b{n}"), u128::from(n) + 200_100);
    }
    let found: Vec<_> =
        (0..6).flat_map(|n| bench.after(1).fail("192.0.2.1", &format!("user{n}"), 7)).collect();
    assert_eq!(rules(&found), ["password_spray"]);
    assert!(found[0].sources[0].shared, "requests under a login are enough");
}

/// A flood of addresses does not hide an attacker who is under watch.
#[test]
fn a_flood_of_addresses_does_not_flush_the_watch() {
    let mut bench = Bench::new();
    for n in 0..3 {
        assert!(bench.after(1).fail("192.0.2.1", &format!("user{n}"), 7).is_empty());
    }
    for n in 0..300_000_u32 {
        let addr = std::net::Ipv4Addr::from(0x0a00_0000 + n * 257).to_string();
        bench.fail(&addr, &format!("someone{n}"), u128::from(n) + 100);
    }
    assert_eq!(rules(&bench.after(1).fail("192.0.2.1", "user3", 7)), ["password_spray"]);
}

#[test]
fn memory_is_fixed_and_below_64_mebibytes() {
    let bench = Bench::new();
    assert!(bench.watch.bytes() < 64 * 1_048_576, "{}", bench.watch.bytes());
}

#[test]
fn every_rule_is_named_once_and_says_what_it_is() {
    let mut names: Vec<_> = Rules::ALL.iter().map(|rule| rule.id).collect();
    names.dedup();
    assert_eq!(names.len(), 23);
    for rule in Rules::ALL {
        assert!(rule.attack.0.starts_with('T') && rule.about.trim().ends_with('.'), "{rule:?}");
        assert_eq!(Rules::default().mode(rule.id), Mode::Respond);
    }
    let page = include_str!("../../../docs/detection.md");
    for Rule { id, about, attack, .. } in Rules::ALL {
        let line = format!("| `{id}` | {} | {} |", about.trim(), attack.0);
        assert!(page.contains(&line), "docs/detection.md lacks {line}");
    }
    assert_eq!(Rules::default().check(), Ok(()));
    let brute = Rules::default();
    let mut wrong = brute;
    wrong.mfa_fatigue.window = Span(Duration::from_secs(3_600));
    assert_eq!(wrong.check().unwrap_err().0, "mfa_fatigue");
    wrong = brute;
    wrong.password_spray.slow_accounts = Count(25);
    assert_eq!(wrong.check().unwrap_err().0, "password_spray");
}
