//! Every kind of event against the classes and objects of OCSF 1.8.0 that it uses. The excerpt of
//! the schema (names, requirements, enumerations) is in `data/`.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on must fail")]

use std::time::Duration;

use portcullis_events::{
    AccountChange, Actor, AdminChange, AlertRaised, BlockChange, Event, Kind, Lifecycle,
    LoginAttempt, Origin, Outcome, RequestSeen, SealPersonal, Stage, TokenOperation, leaf,
    sealed_leaf, search_fields,
};
use portcullis_types::{Entropy, Id, Timestamp};
use serde_json::Value;

#[derive(Debug)]
struct Zero;
impl Entropy for Zero {
    fn fill(&self, out: &mut [u8]) {
        out.fill(0);
    }
}

struct Sealing;
impl SealPersonal for Sealing {
    fn seal(&self, _: &str, _: &[u8]) -> Option<String> {
        Some("sealed".into())
    }
    fn tag(&self, _: portcullis_types::AddrKey) -> String {
        "tag".into()
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
        policy: Some("scope x".into()),
        version: "HTTP/2",
        violations: vec!["/query/x unknown".into()],
        session: Some("ses_1".into()),
        bytes: Some(12),
    };
    let admin = AdminChange {
        action: "update",
        object_type: "user",
        object: "usr_1".into(),
        before: Some(Value::Null),
        after: None,
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
    };
    let mut kinds = vec![
        Kind::Login(login),
        Kind::Logout { session: "ses_1".into() },
        Kind::Admin(admin),
        Kind::Request(seen.clone()),
        Kind::Request(RequestSeen { refused_at: None, method: "BREW".into(), ..seen }),
        Kind::Alert(alert),
        block(true),
        block(false),
        Kind::Lifecycle(Lifecycle::Started { version: "1" }),
        Kind::Lifecycle(Lifecycle::Stopped),
        Kind::Lifecycle(Lifecycle::Reloaded),
        Kind::Lifecycle(Lifecycle::Gap { lost: 3 }),
    ];
    kinds.extend(["issue", "refresh", "revoke", "reuse", "authorize", "consent"].map(token));
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

fn schema() -> Value {
    serde_json::from_str(include_str!("data/ocsf-1.8.0-excerpt.json")).unwrap()
}

/// Every attribute is known, every required one is there, and so on down.
fn fits(schema: &Value, shape: &Value, value: &Value, at: &str) {
    let members = value.as_object().unwrap_or_else(|| panic!("{at} is not an object"));
    for name in shape["required"].as_array().unwrap() {
        assert!(members.contains_key(name.as_str().unwrap()), "{at} lacks {name}");
    }
    let choice = shape["at_least_one"].as_array().unwrap();
    let chosen = choice.iter().any(|name| members.contains_key(name.as_str().unwrap()));
    assert!(choice.is_empty() || chosen, "{at} has none of {choice:?}");
    for (name, member) in members.iter().filter(|(name, _)| *name != "unmapped") {
        let inner = &shape["attributes"][name];
        assert!(inner.is_string(), "{at}.{name} is not an attribute");
        let object = &schema["objects"][inner.as_str().unwrap()];
        let items: Vec<&Value> = match member {
            Value::Array(items) => items.iter().collect(),
            one => vec![one],
        };
        for item in items.into_iter().filter(|_| object.is_object()) {
            fits(schema, object, item, &format!("{at}.{name}"));
        }
    }
    for (name, known) in shape["enums"].as_object().into_iter().flatten() {
        let Some(used) = members.get(name) else { continue };
        assert!(known.as_array().unwrap().contains(used), "{at}.{name} = {used}");
    }
}

#[test]
fn every_event_fits_its_class() {
    let schema = schema();
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
                    let class = value["class_uid"].as_u64().unwrap();
                    let shape = &schema["classes"][class.to_string()];
                    assert!(shape.is_object(), "class {class}");
                    fits(&schema, shape, &value, shape["name"].as_str().unwrap());
                    assert_eq!(
                        value["type_uid"],
                        class * 100 + value["activity_id"].as_u64().unwrap()
                    );
                    assert_eq!(value["category_uid"], shape["category"]);
                    let found = search_fields(&entry).unwrap();
                    assert_eq!((found.time, found.uid), (time, event.id.to_string()));
                }
            }
        }
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
