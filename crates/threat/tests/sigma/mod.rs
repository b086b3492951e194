//! Sigma rules over events: every modifier and condition, and correlations against a plain count of
//! everything that ever happened.

use std::sync::Arc;

use portcullis_events::{
    AccountChange, Actor, AdminChange, Event, Kind, LoginAttempt, Origin, Outcome, RequestSeen,
    TokenOperation, class_uid, ocsf,
};
use portcullis_testkit::SeededEntropy;
use portcullis_threat::{Sigma, SigmaMatch, SigmaRules};
use portcullis_types::{ClientAddr, Id, Timestamp};
use proptest::prelude::*;
use serde_json::{Value, json};

fn rules(text: &str) -> Result<SigmaRules, String> {
    SigmaRules::read(vec![("rules.yml".to_owned(), text.to_owned())])
        .map_err(|error| error.to_string())
}

fn engine(text: &str) -> Sigma {
    Sigma::new(Arc::new(rules(text).unwrap()), &*SeededEntropy::new(1))
}

fn detection(body: &str) -> String {
    format!("title: t\nlogsource: {{product: portcullis}}\nlevel: high\ndetection:\n{body}")
}

fn event() -> Value {
    json!({
        "class_uid": 3002, "status_id": 2, "time": 1_764_291_600_000_i64, // 2025-11-28T01:00:00Z
        "metadata": { "event_code": "authn_login_fail" },
        "user": { "uid": "usr_1", "name": "Ada*Lovelace" },
        "actor": { "user": { "name": "Ada*Lovelace" } },
        "src_endpoint": { "ip": "192.0.2.77" },
        "http_request": { "user_agent": "curl -k /x", "url": { "path": "/a/b.php?q=1" } },
        "tags": ["one", "Two"],
        "empty": "", "nothing": null,
        "encoded": "xxSUVYIChOZXctT2JqZWN0", "wide": "dwBoAG8AYQBtAGkA",
    })
}

fn matches(body: &str) -> bool {
    let mut found = Vec::new();
    engine(&detection(body)).observe(3002, &event(), 1, Timestamp::from_secs(1), &mut found);
    !found.is_empty()
}

#[test]
fn every_modifier_does_what_it_says() {
    let holds = [
        "user.uid: usr_1",
        "user.uid: USR_1",
        "user.uid: [a, usr_1]",
        "user.uid|contains: SR",
        "user.uid|startswith: usr",
        "user.uid|endswith: _1",
        "user.uid|contains|all: [us, _1]",
        "user.uid: u?r_*",
        r"user.name: ada\*love*",
        "user.name|cased: Ada*",
        "User: ada*",
        "c-ip|cidr: 192.0.2.0/24",
        "src_ip|cidr: [10.0.0.0/8, 192.0.2.77]",
        "user.name|re: ^Ada.*e$",
        "user.name|re|i: ^ada",
        "status_id: 2",
        "status_id: '2'",
        "status_id|gte: 2",
        "status_id|lt: 3",
        "status_id|neq: 1",
        "user.uid|neq: x",
        "nothing: null",
        "missing: null",
        "empty: ''",
        "user.uid|exists: true",
        "missing|exists: false",
        "user.name|fieldref: actor.user.name",
        "user.name|fieldref|startswith: actor.user.name",
        "user.uid|fieldref|neq: user.name",
        "status_id|re: 2",
        "status_id|contains: 2",
        "tags: two",
        "tags|contains: [zzz, tw]",
        "time|hour: 1",
        "time|day: 28",
        "time|month|gte: 11",
        "time|year: 2025",
        "time|week: 48",
        "time|minute: 0",
        "http_request.user_agent|windash|contains: ' /k'",
        "encoded|base64offset|contains: 'IEX (New-Object'",
        "wide|wide|base64offset|contains: whoami",
        "wide|utf16le|base64: whoami",
    ];
    for one in holds {
        assert!(matches(&format!("  s: {{ {one} }}\n  condition: s")), "{one}");
    }
    let fails = [
        "user.uid: usr",
        "user.uid: usr_?1",
        "user.name|cased: ada*",
        r"user.name: ada\?love*",
        "user.uid|contains|all: [us, x]",
        "c-ip|cidr: 192.0.3.0/24",
        "user.uid|cidr: 192.0.2.0/24",
        "user.name|re: ^ada",
        "status_id|gt: 2",
        "status_id|neq: 2",
        "user.uid|neq: [x, usr_1]",
        "missing|exists: true",
        "user.uid: null",
        "user.uid: ''",
        "user.uid|fieldref: user.name",
        "time|hour|gte: 2",
        "missing: '*'",
        "user: '*'",
    ];
    for one in fails {
        assert!(!matches(&format!("  s: {{ {one} }}\n  condition: s")), "{one}");
    }
}

#[test]
fn conditions_and_selections_are_read_as_the_specification_has_them() {
    let selections = "  a: { user.uid: usr_1 }\n  b: { user.uid: x }\n  sel_1: { status_id: 2 }\n  \
                      sel_2: { status_id: 9 }\n  _hidden: { status_id: 9 }\n  words: [nobody, LOVELACE]\n  \
                      either: [{ status_id: 9 }, { user.uid: usr_1, status_id: 2 }]\n";
    for (condition, expected) in [
        ("a", true),
        ("b", false),
        ("a and b", false),
        ("a or b", true),
        ("not b", true),
        ("a and not b", true),
        ("b or a and b", false),
        ("(b or a) and a", true),
        ("NOT (a and b) AND a", true),
        ("1 of sel_*", true),
        ("any of sel_*", true),
        ("all of sel_*", false),
        ("1 of them", true),
        ("all of them", false),
        ("words", true),
        ("either", true),
        ("not 1 of _*", true),
    ] {
        assert_eq!(
            matches(&format!("{selections}  condition: {condition}")),
            expected,
            "{condition}"
        );
    }
    let several = format!("{selections}  condition: [b, a]");
    assert!(matches(&several));
}

#[test]
fn what_is_not_supported_is_refused_by_name() {
    let body = |body: &str| detection(&format!("  {body}\n  condition: s"));
    let correlation = |more: &str| {
        format!(
            "{}---\ntitle: c\ncorrelation:\n  rules: [one]\n  group-by: [user.uid]\n{more}",
            detection("  s: { a: 1 }\n  condition: s\nname: one\n")
        )
    };
    for (text, word) in [
        (body("s: { a|expand: '%x%' }"), "pipeline"),
        (body("s: { a|sounds: x }"), "sounds"),
        (body("s: { a|all: x }"), "several values"),
        (body("s: { a|cidr: x }"), "not a network"),
        (body("s: { a|re: '(?=x)' }"), "regular expression"),
        (body("s: { a|re: '((x{1000}){1000}){1000}' }"), "regular expression"),
        (body("s: { a|lt: x }"), "numbers"),
        (body("s: { a|wide: x }"), "UTF-16"),
        (body("s: { a|exists: 3 }"), "true or false"),
        (body("s: { a: { b: 1 } }"), "list or map"),
        (body("s: { }"), "nothing in it"),
        (detection("  s: { a: 1 }\n  condition: x"), "no selection called \"x\""),
        (detection("  s: { a: 1 }\n  condition: s and"), "too early"),
        (detection("  s: { a: 1 }\n  condition: s s"), "not expected"),
        (detection("  s: { a: 1 }\n  condition: (s"), "missing"),
        (detection("  s: { a: 1 }\n  condition: 2 of s*"), "2 of"),
        (detection("  s: { a: 1 }\n  condition: s | count() > 5"), "correlations"),
        (detection(&format!("  s: {{ a: 1 }}\n  condition: {}s{}", "(".repeat(40), ")".repeat(40))), "too deep"),
        (detection("  s: { a: 1 }\n"), "no condition"),
        (detection("  s: { a: 1 }\n  timeframe: 1m\n  condition: s"), "timeframe"),
        ("title: t\ndetection: { s: { a: 1 }, condition: s }".into(), "logsource"),
        ("title: t\nlogsource: { product: windows }\ndetection: { s: { a: 1 }, condition: s }".into(), "windows"),
        ("title: t\nlogsource: { service: sysmon }\ndetection: { s: { a: 1 }, condition: s }".into(), "sysmon"),
        (detection("  s: { a: 1 }\n  condition: s").replace("high", "awful"), "awful"),
        ("title: t\nfilter: { rules: [x] }".into(), "filters"),
        ("title: t".into(), "neither"),
        ("title: [".into(), "rules.yml"),
        (correlation("  type: event_count\n  timespan: 1m"), "no condition"),
        (correlation("  type: event_count\n  timespan: 1w\n  condition: { gte: 2 }"), "timespan"),
        (correlation("  type: event_count\n  timespan: 99d\n  condition: { gte: 2 }"), "at most"),
        (correlation("  type: event_count\n  timespan: 1m\n  condition: { gte: 2000 }"), "counts to"),
        (correlation("  type: event_count\n  timespan: 1m\n  condition: { field: x, gte: 2 }"), "field"),
        (correlation("  type: value_count\n  timespan: 1m\n  condition: { gte: 2 }"), "field"),
        (correlation("  type: value_percentile\n  timespan: 1m\n  condition: { field: x, gte: 2 }"), "percentile"),
        (correlation("  type: temporal\n  timespan: 1m\n  condition: one and not one"), "in words"),
        (body("s: { a|contains|gt: 2 }"), "together"),
        (body("s: { a|gt|lt: 2 }"), "together"),
        (body("s: { a|hour|minute: 2 }"), "together"),
        (body("s: { a|re|contains: x }"), "together"),
        (body("s: { a|cidr|cased: 10.0.0.0/8 }"), "together"),
        (body("s: { a|startswith|endswith: x }"), "only one"),
        (body("s: { a|re: null }"), "nothing"),
        (body(&format!("s: {{ a: [{}] }}", "x, ".repeat(6_000))), "too many values"),
        (body(&format!("s: {{ a|re: [{}] }}", "x, ".repeat(200))), "too many regular"),
        (detection(&format!("  s: {{ a: 1 }}\n  condition: s{}", " or s".repeat(400))), "too long"),
        ("title: t\nlogsource: { service: authentication, category: webserver }\ndetection: { s: { a: 1 }, condition: s }".into(), "different events"),
        (correlation("  type: event_count\n  timespan: 1m\n  condition: { gte: 2 }").replace("[one]", "[one, one]"), "twice"),
        (correlation("  type: event_count\n  timespan: 1m\n  condition: { gte: 2, percentile: 3 }"), "percentile"),
        (correlation("  type: session\n  timespan: 1m\n  condition: { gte: 2 }"), "session"),
        (correlation("  type: event_count\n  timespan: 1m\n  condition: { above: 2 }"), "above"),
        (correlation("  type: event_count\n  timespan: 1m\n  window: tumbling\n  condition: { gte: 2 }"), "window"),
        (correlation("  type: event_count\n  timespan: 1m\n  condition: { gte: 2 }\n  aliases: { x: { one: y } }"), "alias"),
        (correlation("  type: event_count\n  timespan: 1m\n  condition: { gte: 2 }").replace("[one]", "[two]"), "no rule \"two\""),
        ("title: c\nname: c\ncorrelation: { type: event_count, rules: [c], timespan: 1m, condition: { gte: 1 } }".into(), "about each other"),
    ] {
        let refused = rules(&text).expect_err(&text);
        assert!(refused.contains(word) && refused.starts_with("rules.yml: "), "{text}\n{refused}");
    }
    let twice = format!("{0}\n---\n{0}", detection("  s: { a: 1 }\n  condition: s"));
    assert!(rules(&twice).unwrap_err().contains("same name"));
}

const PAIR: &str = "\
title: failed
name: failed
logsource: { product: portcullis, service: authentication }
detection: { s: { ok: false }, condition: s }
---
title: worked
name: worked
logsource: { product: portcullis, service: authentication }
detection: { s: { ok: true }, condition: s }
---
";

fn correlation(body: &str) -> String {
    format!("{PAIR}title: c\nlevel: medium\ncorrelation:\n  {}\n", body.replace('\n', "\n  "))
}

fn login(user: &str, ip: &str, ok: bool, bytes: i64) -> Value {
    json!({ "ok": ok, "user": { "uid": user }, "src_endpoint": { "ip": ip }, "bytes": bytes })
}

fn run(engine: &mut Sigma, events: &[(i64, Value)]) -> Vec<Vec<SigmaMatch>> {
    let mut all = Vec::new();
    for (place, (at, event)) in events.iter().enumerate() {
        let mut found = Vec::new();
        let now = Timestamp::from_secs(*at);
        engine.observe(3002, event, place as u128 + 1, now, &mut found);
        // Rules that no correlation is about tell of themselves.
        found.retain(|one| one.count.is_some());
        all.push(found);
    }
    all
}

/// Name, value, and whether it can be told.
fn facts(found: &SigmaMatch) -> Vec<(&str, &str, bool)> {
    found.facts.iter().map(|one| (one.name.as_str(), one.value.as_str(), one.is_told)).collect()
}

#[test]
fn a_correlation_tells_what_led_to_it() {
    let text = correlation(
        "type: event_count\nrules: [failed]\ngroup-by: [user.uid]\ntimespan: 1m\ncondition: { gte: 3 }",
    );
    let mut engine = engine(&text);
    assert!(engine.wants(3002) && !engine.wants(6003));
    let events: Vec<_> = [0, 10, 60, 61, 200]
        .map(|at| (at, login("a", "x", false, 0)))
        .into_iter()
        .chain([(201, login("b", "x", false, 0)), (202, login("a", "x", true, 0))])
        .collect();
    let found = run(&mut engine, &events);
    // Of what only counts, nobody is told.
    assert_eq!(found.iter().map(Vec::len).collect::<Vec<_>>(), [0, 0, 1, 1, 0, 0, 0]);
    let one = &found[2][0];
    assert_eq!((one.rule.id.as_str(), one.count), ("sigma_c", Some(3.0)));
    assert_eq!(facts(one), [("user.uid", "a", true)]);
    assert_eq!(one.evidence, [1, 2, 3]);
    assert_eq!(one.first, Timestamp::from_secs(0));
    assert_eq!(found[3][0].evidence, [2, 3, 4]);
}

#[test]
fn correlations_build_on_each_other_with_fields_of_other_names() {
    let text = format!(
        "{}---\ntitle: after\nlevel: critical\ntags: [attack.credential_access, attack.t1110.003]\n\
         correlation:\n  type: temporal_ordered\n  rules: [many, worked]\n  group-by: [who]\n  \
         timespan: 1h\n  aliases: {{ who: {{ many: user.uid, worked: person }} }}\n",
        correlation(
            "type: event_count\nrules: [failed]\ngroup-by: [user.uid]\ntimespan: 1m\ncondition: { gte: 2 }"
        )
        .replace("title: c\n", "title: c\nname: many\n")
    );
    let worked = |person: &str| json!({ "ok": true, "person": person });
    let found = run(
        &mut engine(&text),
        &[
            (0, worked("a")),
            (1, login("a", "x", false, 0)),
            (2, worked("a")),
            (3, login("a", "x", false, 0)),
            (4, worked("b")),
            (5, worked("a")),
        ],
    );
    assert_eq!(found.iter().map(Vec::len).collect::<Vec<_>>(), [0, 0, 0, 0, 0, 1]);
    let one = &found[5][0];
    assert_eq!(one.rule.technique.as_deref(), Some("T1110.003"));
    assert_eq!(facts(one), [("who", "a", false)]);
}

#[test]
fn a_flood_of_groups_forgets_nobody_who_is_near_the_condition() {
    let text = correlation(
        "type: value_count\nrules: [failed]\ngroup-by: [src_endpoint.ip]\ntimespan: 1h\n\
         condition: { field: user.uid, gte: 5 }",
    );
    let mut engine = engine(&text);
    let mut found = Vec::new();
    let now = Timestamp::from_secs(1);
    for user in 0..4 {
        let event = login(&format!("u{user}"), "192.0.2.1", false, 0);
        engine.observe(3002, &event, 1, now, &mut found);
    }
    for n in 0..200_000 {
        let event = login("u", &format!("x{n}"), false, 0);
        engine.observe(3002, &event, 1, now, &mut found);
    }
    assert!(found.is_empty());
    engine.observe(3002, &login("u4", "192.0.2.1", false, 0), 1, now, &mut found);
    assert_eq!(found.len(), 1);
}

#[test]
fn what_is_old_makes_room_for_what_is_new() {
    let text = correlation(
        "type: event_count\nrules: [failed]\ngroup-by: [user.uid]\ntimespan: 10s\ncondition: { gte: 900 }",
    );
    let mut engine = engine(&text);
    let mut found = Vec::new();
    let mut fail = |user: String, at: i64, times: u32| {
        for _ in 0..times {
            let event = login(&user, "x", false, 0);
            engine.observe(3002, &event, 1, Timestamp::from_secs(at), &mut found);
        }
        std::mem::take(&mut found).len()
    };
    // Many times more than there is room for, each with some weight.
    for n in 0..2_000 {
        fail(format!("old{n}"), 1, 6);
    }
    // Long after, they weigh nothing: new ones are counted side by side.
    let mut told = 0;
    for step in 0..900 {
        for n in 0..20 {
            told += fail(format!("new{n}"), 100 + step / 100, 1);
        }
    }
    assert_eq!(told, 20);
}

#[test]
fn one_persons_alerts_do_not_hide_anothers() {
    let mut engine = engine(&detection("  s: { user.uid|exists: true }\n  condition: s"));
    let mut found = Vec::new();
    for (user, ip) in [("a", "192.0.2.1"), ("b", "192.0.2.1"), ("a", "192.0.2.2")] {
        engine.observe(3002, &login(user, ip, false, 0), 1, Timestamp::from_secs(1), &mut found);
    }
    let now = Timestamp::from_secs(1);
    let mut told = Vec::new();
    for one in &found {
        if !engine.is_quiet(one, now) {
            engine.told(one, now);
            told.push(facts(one)[0].1.to_owned());
        }
    }
    assert_eq!(told, ["a", "b"]);
    assert!(!engine.is_quiet(&found[0], Timestamp::from_secs(2_000)));
}

#[test]
fn what_did_not_change_is_remembered_when_other_rules_come() {
    let counts = correlation(
        "type: event_count\nrules: [failed]\ngroup-by: [user.uid]\ntimespan: 1m\ncondition: { gte: 3 }",
    );
    let mut engine = engine(&counts);
    let failed = |at| (at, login("a", "x", false, 0));
    assert!(run(&mut engine, &[failed(0), failed(1)]).concat().is_empty());
    let more = detection("  s: { x: 1 }\n  condition: s");
    engine.follow(Arc::new(rules(&format!("{more}\n---\n{counts}")).unwrap()));
    assert_eq!(run(&mut engine, &[failed(2)]).concat().len(), 1);
    // Another condition is another rule.
    engine.follow(Arc::new(rules(&counts.replace("gte: 3", "gte: 2")).unwrap()));
    assert!(run(&mut engine, &[failed(3)]).concat().is_empty());
}

#[test]
fn one_event_is_no_chain_and_a_network_is_one_place() {
    let text = correlation("type: temporal_ordered\nrules: [failed, any]\ngroup-by: [src_network]\ntimespan: 1m")
        .replace("title: c\n", "title: any\nname: any\nlogsource: { product: portcullis }\ndetection: { s: { ok|exists: true }, condition: s }\n---\ntitle: c\n");
    let mut engine = engine(&text);
    let found = run(
        &mut engine,
        &[
            (1, login("a", "2001:db8::1", false, 0)),
            (2, login("b", "2001:db8:1::1", true, 0)),
            (3, login("c", "2001:db8::ffff:2", true, 0)),
        ],
    );
    assert_eq!(found.iter().map(Vec::len).collect::<Vec<_>>(), [0, 0, 1]);
    assert!(found[2][0].facts[0].is_place && !found[2][0].facts[0].is_told);
}

/// What a correlation has to say at each event, from all events before it.
fn plainly(
    kind: &str,
    bound: &str,
    than: f64,
    span: i64,
    events: &[(i64, usize, bool, usize, i64)],
) -> Vec<bool> {
    let mut all = Vec::new();
    for (place, (now, user, ok, _, _)) in events.iter().enumerate() {
        let of_rule = kind.starts_with("temporal") || !ok;
        let window: Vec<_> = events[..=place]
            .iter()
            .filter(|(at, whose, own, _, _)| {
                whose == user && *at >= now - span && (kind.starts_with("temporal") || !own)
            })
            .collect();
        let numbers = || window.iter().map(|(_, _, _, _, bytes)| *bytes as f64);
        let count = match kind {
            "event_count" => window.len() as f64,
            "value_count" => {
                let mut ips: Vec<_> = window.iter().map(|(_, _, _, ip, _)| ip).collect();
                ips.sort();
                ips.dedup();
                ips.len() as f64
            }
            "temporal" => [true, false]
                .into_iter()
                .filter(|which| window.iter().any(|(_, _, ok, _, _)| ok == which))
                .count() as f64,
            "temporal_ordered" => {
                let first = window.iter().position(|(_, _, ok, _, _)| !ok);
                let then =
                    first.is_some_and(|first| window[first..].iter().any(|(_, _, ok, _, _)| *ok));
                // It ends with the last rule, not with whatever comes after.
                if then && *ok { 2.0 } else { 0.0 }
            }
            "value_sum" => numbers().sum(),
            "value_avg" => numbers().sum::<f64>() / window.len() as f64,
            _ => unreachable!(),
        };
        let holds = match bound {
            "gte" => count >= than,
            "gt" => count > than,
            "lt" => count < than,
            "lte" => count <= than,
            "eq" => count == than,
            _ => count != than,
        };
        all.push(of_rule && holds);
    }
    all
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn windows_are_exact(
        steps in prop::collection::vec((0_i64..40, 0_usize..3, any::<bool>(), 0_usize..5, 0_i64..9), 1..80),
        kind in prop::sample::select(vec!["event_count", "value_count", "temporal", "temporal_ordered", "value_sum", "value_avg"]),
        bound in prop::sample::select(vec!["gte", "gt", "lt", "lte", "eq", "neq"]),
        than in 1_u8..6,
    ) {
        let mut at = 0;
        let events: Vec<_> = steps.into_iter().map(|(pause, user, ok, ip, bytes)| {
            // One after the other, so that "before" has one meaning.
            at += pause + 1;
            (at, user, ok, ip, bytes)
        }).collect();
        let temporal = kind.starts_with("temporal");
        let ordered = kind == "temporal_ordered";
        let (bound, than) = if ordered { ("gte", 2) } else { (bound, than) };
        let condition = match kind {
            "temporal_ordered" => String::new(),
            "event_count" | "temporal" => format!("condition: {{ {bound}: {than} }}"),
            "value_count" => format!("condition: {{ field: src_endpoint.ip, {bound}: {than} }}"),
            _ => format!("condition: {{ field: bytes, {bound}: {than} }}"),
        };
        let about = if temporal { "[failed, worked]" } else { "[failed]" };
        let text = correlation(&format!(
            "type: {kind}\nrules: {about}\ngroup-by: [user.uid]\ntimespan: 60s\n{condition}"
        ));
        let mut engine = engine(&text);
        let logins: Vec<_> = events.iter().map(|(at, user, ok, ip, bytes)| {
            (*at, login(&format!("u{user}"), &format!("x{ip}"), *ok, *bytes))
        }).collect();
        let found: Vec<bool> = run(&mut engine, &logins).iter().map(|found| !found.is_empty()).collect();
        prop_assert_eq!(found, plainly(kind, bound, f64::from(than), 60, &events));
    }
}

/// The rules that come with the product find what they say, in events as they are.
#[test]
fn the_rules_that_are_shipped_find_their_attacks() {
    let dir = concat!(env!("CARGO_MANIFEST_DIR"), "/../../deploy/sigma");
    let mut files: Vec<_> = std::fs::read_dir(dir)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .map(|path| (path.display().to_string(), std::fs::read_to_string(path).unwrap()))
        .collect();
    files.sort();
    let rules = Arc::new(SigmaRules::read(files).unwrap());
    let told = rules.about().filter(|about| about.severity.is_some());
    let mut quiet: Vec<String> = told.map(|about| about.id.clone()).collect();
    let mut engine = Sigma::new(rules.clone(), &*SeededEntropy::new(1));
    let mut found = Vec::new();
    let mut at = 0;
    let mut see = |event: Event| {
        at += 100_000;
        let now = Timestamp::from_micros(at);
        engine.observe(class_uid(&event.kind), &ocsf(&event), 1, now, &mut found);
    };
    let of = |user: usize, ip: u8, outcome: Outcome, kind: Kind| {
        let origin = Origin::new(ClientAddr::new([192, 0, 2, ip].into()), "r".into(), None);
        let id = Id::<portcullis_types::tags::User>::from_bits(user as u128 + 1).to_string();
        let actor = Actor::User { id, username: format!("u{user}") };
        let time = Timestamp::from_secs(1_764_284_400); // 23:00 UTC
        Event::new(Id::from_bits(1), time, Some(origin), actor, outcome, kind)
    };
    let attempt =
        |factor| Kind::Login(LoginAttempt { factor, door: "login", ..LoginAttempt::default() });
    let failed = Outcome::Failure("wrong");
    for n in 0..15 {
        see(of(n, 1, failed.clone(), attempt("password")));
        see(of(100, 2, failed.clone(), attempt("password")));
        see(of(101, 10 + u8::try_from(n).unwrap(), failed.clone(), attempt("password")));
        see(of(102, 3, failed.clone(), attempt("totp")));
        let change = |change| {
            Kind::Account(AccountChange {
                change,
                user: Actor::UnknownUser { pseudonym: format!("p{n}") },
                provider: None,
            })
        };
        see(of(103, 4, Outcome::Success, change("registration_requested")));
        let issue = TokenOperation {
            operation: "issue",
            client: format!("c{n}"),
            ..TokenOperation::default()
        };
        see(of(104, 5, Outcome::Success, Kind::Token(issue)));
        see(of(106, 5, Outcome::Success, change("factors_reset")));
    }
    see(of(3, 1, Outcome::Success, attempt("password")));
    for n in 0..20 {
        let seen = RequestSeen {
            path: format!("/orders/{n}"),
            status: 404,
            method: "GET".into(),
            ..RequestSeen::default()
        };
        see(of(105, 6, Outcome::Success, Kind::Request(seen)));
    }
    let reuse = TokenOperation { operation: "reuse", ..TokenOperation::default() };
    see(of(1, 7, failed, Kind::Token(reuse)));
    let change = AdminChange {
        object_type: "signing_key",
        action: "revoke",
        object: "k".into(),
        before: None,
        after: None,
    };
    see(of(1, 7, Outcome::Success, Kind::Admin(change)));
    quiet.retain(|id| !found.iter().any(|one| one.rule.id == *id));
    assert!(quiet.is_empty(), "these said nothing: {quiet:?}");
    assert!(found.iter().all(|one| one.rule.severity.is_some()), "what only counts is not told of");
}
