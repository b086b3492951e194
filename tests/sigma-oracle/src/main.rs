//! Our Sigma engine beside another one, rsigma: random rules on random events, and the same answer to
//! each event. Prints how many events were compared; the first difference ends it with an error.
//!
//! Percentiles are left out: there the other one answers whatever the condition asks.

use std::sync::Arc;

use portcullis_testkit::SeededEntropy;
use portcullis_threat::{Sigma, SigmaRules};
use portcullis_types::Timestamp;
use rsigma_eval::{CorrelationConfig, CorrelationEngine, JsonEvent};
use serde_json::{Value, json};

struct Random(u64);

impl Random {
    fn next(&mut self, below: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % below
    }

    fn of<'a>(&mut self, all: &[&'a str]) -> &'a str {
        all[usize::try_from(self.next(all.len() as u64)).unwrap_or(0)]
    }
}

fn main() {
    let mut random = Random(7);
    let (mut events, mut matched) = (0, 0);
    for round in 0..400 {
        let text = if round % 2 == 0 { correlation(&mut random) } else { detections(&mut random) };
        let rules = match SigmaRules::read(vec![("rules".to_owned(), text.clone())]) {
            Ok(rules) => rules,
            Err(error) => panic!("{error}\n{text}"),
        };
        let mut ours = Sigma::new(Arc::new(rules), &*SeededEntropy::new(round));
        let config = CorrelationConfig { emit_detections: round % 2 == 1, ..CorrelationConfig::default() };
        let mut theirs = CorrelationEngine::new(config);
        let collection = rsigma_parser::parse_sigma_yaml(&text).expect("they read it");
        assert!(collection.errors.is_empty(), "{:?}\n{text}", collection.errors);
        theirs.add_collection(&collection).expect("they know it");
        let mut at = 1_000;
        for _ in 0..300 {
            at += 1 + i64::try_from(random.next(25)).unwrap_or(0);
            let event = event(&mut random);
            let mut found = Vec::new();
            ours.observe(3002, &event, 1, Timestamp::from_secs(at), &mut found);
            let mut ours: Vec<_> = found.iter().map(|one| one.rule.title.clone()).collect();
            let result = theirs.process_event_at(&JsonEvent::borrow(&event), at);
            let mut theirs: Vec<_> = result.iter().map(|one| one.header.rule_title.clone()).collect();
            // The other one repeats a chain at any event after it, ours at its last rule.
            if text.contains("temporal_ordered") && event["ok"] == "bad" {
                assert!(ours.is_empty());
                continue;
            }
            if round % 2 == 0 {
                ours.retain(|title| title == "counted");
                theirs.retain(|title| title == "counted");
            }
            for list in [&mut ours, &mut theirs] {
                list.sort();
                list.dedup();
            }
            assert_eq!(ours, theirs, "at {at}: {event}\n{text}");
            events += 1;
            matched += ours.len();
        }
    }
    assert!(matched > 1_000, "only {matched} matches: nothing was compared");
    println!("{events} events, {matched} matches, no difference");
}

fn event(random: &mut Random) -> Value {
    let mut event = json!({
        "user": { "uid": random.of(&["ada", "Bob", "bo*b", "eve\\x", "Zoë"]) },
        "ip": random.of(&["192.0.2.1", "192.0.3.1", "10.1.2.3", "2001:db8::1", "2001:db9::1"]),
        "ok": random.of(&["good", "bad"]),
        "status": random.next(6),
        "bytes": random.next(9),
        "path": random.of(&["/a/b", "/a/b.php", "/A/c?x=1", "", "/etc/passwd"]),
    });
    if random.next(4) == 0 {
        event["extra"] = random.of(&["x", "y"]).into();
    }
    event
}

fn correlation(random: &mut Random) -> String {
    let kind = random.of(&[
        "event_count", "value_count", "temporal", "temporal_ordered", "value_sum", "value_avg",
    ]);
    let bound = random.of(&["gt", "gte", "lt", "lte", "eq"]);
    let than = 1 + random.next(5);
    let span = random.of(&["30s", "2m", "90s", "1m"]);
    let group = random.of(&["[user.uid]", "[user.uid, ip]", "[ip]"]);
    let temporal = kind.starts_with("temporal");
    let condition = match kind {
        // Without a condition the other one asks for one rule only, the specification for all.
        "temporal" | "temporal_ordered" => "  condition: { gte: 2 }\n".to_owned(),
        "event_count" => format!("  condition: {{ {bound}: {than} }}\n"),
        "value_count" => format!("  condition: {{ field: path, {bound}: {than} }}\n"),
        _ => format!("  condition: {{ field: bytes, {bound}: {than} }}\n"),
    };
    let rules = if temporal { "[failed, worked]" } else { "[failed]" };
    format!(
        "title: first\nid: 00000000-0000-4000-8000-000000000001\nname: failed\nstatus: test\nlogsource: {{ product: portcullis }}\ndetection:\n  \
         s: {{ ok: bad }}\n  condition: s\n---\ntitle: second\nid: 00000000-0000-4000-8000-000000000002\nname: worked\nstatus: test\n\
         logsource: {{ product: portcullis }}\ndetection:\n  s: {{ ok: good }}\n  condition: s\n---\n\
         title: counted\nstatus: test\ncorrelation:\n  type: {kind}\n  rules: {rules}\n  \
         group-by: {group}\n  timespan: {span}\n{condition}"
    )
}

fn detections(random: &mut Random) -> String {
    let mut text = String::new();
    for number in 0..20 {
        let mut selections = String::new();
        for name in ["one", "two", "three"] {
            selections.push_str(&format!("  {name}:\n"));
            let mut fields = Vec::new();
            for _ in 0..=random.next(2) {
                let item = item(random);
                let field = item.split([':', '|']).next().unwrap_or_default().to_owned();
                if !fields.contains(&field) {
                    selections.push_str(&format!("    {item}\n"));
                    fields.push(field);
                }
            }
        }
        let condition = random.of(&[
            "one", "one and two", "one or two and three", "not one", "one and not two",
            "not (one or two)", "1 of them", "all of them", "1 of t*", "all of t* or one",
            "one and (two or not three)", "not 1 of t*",
        ]);
        text.push_str(&format!(
            "title: t{number}\nstatus: test\nlogsource: {{ product: portcullis }}\nlevel: low\n\
             detection:\n{selections}  condition: {condition}\n---\n"
        ));
    }
    text.trim_end_matches("---\n").to_owned()
}

fn item(random: &mut Random) -> String {
    random
        .of(&[
            "user.uid: ada",
            "user.uid: BOB",
            r"user.uid: bo\*b",
            "user.uid: 'b*'",
            "user.uid: 'b?b'",
            "user.uid: 'zoË'",
            r"user.uid: 'eve\\x'",
            "user.uid|cased: bob",
            "user.uid|contains: O",
            "user.uid|startswith: [a, z]",
            "user.uid|endswith: b",
            "user.uid|contains|all: [b, o]",
            "user.uid|re: '^[a-z]+$'",
            "user.uid|re|i: '^[a-z]+$'",
            "ip|cidr: 192.0.2.0/24",
            "ip|cidr: ['10.0.0.0/8', '2001:db8::/32']",
            "status: 3",
            "status: [1, 2]",
            "status|gte: 3",
            "status|lt: 2",
            "status|gt: 4",
            "status|lte: 1",
            "path: ''",
            "path|contains: '/a/'",
            "path|endswith: '.PHP'",
            "path|startswith|cased: /A",
            "extra: x",
            "extra|exists: true",
            "extra|exists: false",
            "extra: null",
            "bytes|gte: 5",
        ])
        .to_owned()
}
