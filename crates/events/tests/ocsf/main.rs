//! Every kind of event against the compiled schema of OCSF 1.8.0, of which `data/` has the part that
//! we use, without its texts.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on must fail")]

mod schema;

use std::time::Duration;

use portcullis_events::{
    AccountChange, Actor, AdminChange, AlertRaised, BlockChange, Check, Event, HitChange, Kind,
    Lifecycle, ListUsed, LoginAttempt, Origin, Outcome, PolicyDecision, Pruned, Removed,
    RequestSeen, Screening, SealPersonal, Stage, TokenOperation, TraceIds, Whose, leaf,
    sealed_leaf, search_fields,
};
use portcullis_types::{Entropy, Id, Timestamp};
use schema::Schema;
use serde_json::{Value, json};

#[derive(Debug)]
struct Zero;
impl Entropy for Zero {
    fn fill(&self, out: &mut [u8]) {
        out.fill(0);
    }
}

struct Sealing;
impl SealPersonal for Sealing {
    fn seal(&self, _: Whose<'_>, _: &[u8]) -> Option<String> {
        Some("sealed".into())
    }
    fn tag(&self, _: portcullis_types::Month, _: portcullis_types::AddrKey) -> Option<String> {
        Some("tag".into())
    }
}

fn user() -> Actor {
    let id = "usr_00000000000000000000000001".into();
    Actor::User { id, username: "alice".into() }
}

fn kinds() -> Vec<Kind> {
    let token = |operation| {
        Kind::Token(TokenOperation {
            operation,
            client: "web".into(),
            grant_type: "authorization_code".into(),
            scope: "openid".into(),
            token_id: Some("tok_1".into()),
            grant: None,
        })
    };
    let account = |change| Kind::Account(AccountChange { change, user: user(), provider: None });
    let seen = RequestSeen {
        method: "PATCH".into(),
        path: "/x".into(),
        route: Some("x".into()),
        upstream: None,
        status: 403,
        latency: Duration::from_micros(1_500),
        refused_at: Some(Stage::Authorise),
        trace: Some(TraceIds { trace: [1; 16], span: [2; 8] }),
        policies: vec![
            PolicyDecision::allows("scope", "x"),
            PolicyDecision::denies("cedar", "not at night"),
        ],
        version: "HTTP/2",
        violations: vec!["/query/x unknown".into()],
        session: Some("ses_1".into()),
        bytes: Some(12),
    };
    let admin = AdminChange {
        action: "update",
        object_type: "user",
        object: "usr_1".into(),
        before: Some(json!({ "name": "a" })),
        after: Some(json!(["b"])),
    };
    let alert = AlertRaised {
        alert: "alr_1".into(),
        rule: "password_spray".into(),
        title: "t".into(),
        description: "d".into(),
        attack: ("T1110.003".into(), "Password Spraying"),
        severity: 4,
        answer: "block".into(),
        first_seen: Timestamp::from_secs(1),
        evidence: vec!["evt_1".into()],
        accounts: vec!["usr_1".into()],
    };
    let block = |active| {
        Kind::Block(BlockChange {
            block: "blk_1".into(),
            addr: "192.0.2.1".into(),
            active,
            reason: "r".into(),
            until: Timestamp::from_secs(9),
        })
    };
    let login = LoginAttempt {
        factor: "password",
        door: "login",
        session: Some("ses_1".into()),
        password_fingerprint: Some(1),
        known_device: Some(true),
        is_mfa: true,
        delayed: Some(Duration::from_secs(2)),
    };
    let mut kinds = vec![
        Kind::Login(login),
        Kind::Logout { session: "ses_1".into() },
        Kind::Admin(admin),
        Kind::Request(seen.clone()),
        Kind::Request(RequestSeen { refused_at: None, method: "BREW".into(), ..seen }),
        Kind::Alert(alert),
        Kind::Screening(Screening {
            cause: "list_change",
            subject: Some("sub_1".into()),
            digest: "ab".into(),
            lists: vec![ListUsed { name: "un".into(), version: "1".into(), digest: "cd".into() }],
            policy: "balanced".into(),
            policy_hash: "ef".into(),
            threshold: 0.7,
            topics: vec!["sanction".into()],
            filter: Some("{}".into()),
            hits: 1,
            changes: vec![HitChange {
                change: "new",
                hit: Some("hit_1".into()),
                list: "un".into(),
                entity: "QDi.1".into(),
                score: 0.93,
            }],
        }),
        Kind::Check(Check {
            report: "chk_1".into(),
            check: "emrtd",
            status: "failed",
            assurance: "cryptographic",
            codes: vec!["group_differs"],
            inputs_hash: "ab".into(),
            trust: Some("cd".into()),
        }),
        block(true),
        block(false),
        Kind::Lifecycle(Lifecycle::Started { version: "1" }),
        Kind::Lifecycle(Lifecycle::Stopped),
        Kind::Lifecycle(Lifecycle::Reloaded),
        Kind::Lifecycle(Lifecycle::Gap { lost: 3 }),
        Kind::Lifecycle(Lifecycle::ClockStep { millis: -7_200_000 }),
        Kind::Lifecycle(Lifecycle::Rotated { log: "a/2026".into(), entries: 7 }),
        Kind::Lifecycle(Lifecycle::MonthErased { month: "2026-11".into() }),
        Kind::Lifecycle(Lifecycle::Pruned(Pruned {
            removed: vec![Removed { log: "a/2026".into(), minimum: 512 }],
            before: Timestamp::from_secs(1),
        })),
    ];
    kinds.extend(
        ["issue", "refresh", "revoke", "reuse", "authorize", "consent", "introspect"].map(token),
    );
    kinds.extend(["registered", "password_changed", "password_reset", "flagged"].map(account));
    kinds
}

fn actors() -> Vec<Actor> {
    vec![
        user(),
        Actor::Anonymous,
        Actor::UnknownUser { pseudonym: "ab".into() },
        Actor::Client { id: "web".into() },
        Actor::ApiKey { id: "key_1".into() },
        Actor::Workload { spiffe_id: "spiffe://a/b".into() },
        Actor::System,
        Actor::Operator,
    ]
}

#[test]
fn every_event_fits_its_class() {
    let schema = Schema::read();
    let mut checked = 0;
    for kind in kinds() {
        for actor in actors() {
            for outcome in [Outcome::Success, Outcome::Failure("because")] {
                let origin = Origin {
                    request_id: "req_1".into(),
                    user_agent: Some("agent".into()),
                    ..Origin::default()
                };
                let time = Timestamp::from_secs(1_800_000_000);
                // Gate events always have an origin; the class demands a source.
                let event = Event::new(
                    Id::new(time, &Zero),
                    time,
                    Some(origin),
                    actor.clone(),
                    outcome,
                    kind.clone(),
                );
                for entry in [leaf(&event), sealed_leaf(&event, &Sealing)] {
                    let value: Value = serde_json::from_slice(&entry).unwrap();
                    let wrong = schema.check(&value);
                    assert!(wrong.is_empty(), "{wrong:#?} in {value:#}");
                    checked += 1;
                    let found = search_fields(&entry).unwrap();
                    assert_eq!((found.time, found.uid), (time, event.id.to_string()));
                }
            }
        }
    }
    assert!(checked > 700, "{checked}");
}

#[test]
fn the_validator_sees_what_is_wrong() {
    let schema = Schema::read();
    let time = Timestamp::from_secs(1_800_000_000);
    let attempt = LoginAttempt { factor: "password", door: "login", ..LoginAttempt::default() };
    let origin = Some(Origin::default());
    let id = Id::new(time, &Zero);
    let event = Event::new(id, time, origin, user(), Outcome::Success, Kind::Login(attempt));
    let good: Value = serde_json::from_slice(&leaf(&event)).unwrap();
    assert_eq!(schema.check(&good), Vec::<String>::new());
    let changes = [
        ("", "class_uid", json!(1), "class 1 is not known"),
        ("", "type_uid", json!(1), "type_uid is 1"),
        ("", "surprise", json!(1), "is no attribute"),
        ("", "user", Value::Null, "is missing"),
        ("/user", "uid", json!(7), ".user.uid is no string_t"),
        ("/user", "type_id", json!(7), "unknown value 7"),
        ("/user", "type_id", json!(99), "99 without type"),
        ("/user", "email_addr", json!("nobody"), "is no email_t"),
        ("/src_endpoint", "ip", json!("300.1"), "is no ip_t"),
        ("/src_endpoint", "port", json!(65_536), "is no port_t"),
        ("", "service", Value::Null, "at_least_one"),
        ("", "action_id", json!(1), "of a profile"),
        ("", "auth_factors", json!({}), "is a list or should be one"),
        ("", "activity_name", json!("Logoff"), "is Logon, beside it stands"),
        ("/metadata", "version", json!("1.7.0"), "another version"),
        ("/metadata", "profiles", json!(["trace"]), "has no profile"),
    ];
    for (parent, name, value, said) in changes {
        let mut bad = good.clone();
        let members = bad.pointer_mut(parent).unwrap().as_object_mut().unwrap();
        match value {
            Value::Null => drop(members.remove(name)),
            value => drop(members.insert(name.to_owned(), value)),
        }
        let wrong = schema.check(&bad);
        assert!(wrong.iter().any(|wrong| wrong.contains(said)), "{name}: {wrong:?}");
    }
}

#[test]
fn hostile_text_stays_one_line_of_json() {
    let time = Timestamp::from_secs(1);
    let origin = Origin { user_agent: Some("a\nb".into()), ..Origin::default() };
    let actor = Actor::Client { id: "x\r\n{\"forged\":true}\u{202e}".into() };
    let kind = Kind::Logout { session: "s".into() };
    let entry =
        leaf(&Event::new(Id::new(time, &Zero), time, Some(origin), actor, Outcome::Success, kind));
    let text = String::from_utf8(entry).unwrap();
    assert!(!text.contains(['\n', '\r', '\u{202e}']) && !text.contains("{\"forged\""));
}
