//! Graphs and expressions come from whoever draws them.

use std::sync::LazyLock;

use portcullis_types::Timestamp;
use portcullis_workflow::{
    Assurance, CheckStatus, Fixture, Graph, Outcome, Plan, Report, Verdict, fields_at, simulate,
    validate,
};
use serde_json::{Value, json};

pub const GRAPHS: &[&[u8]] = &[
    br#"{"schema":"idv.workflow/1","start":"a","nodes":{"a":{"type":"check","check":"mrz","next":"p"},"p":{"type":"parallel","branches":["b","w"],"join":{"mode":"first_decisive","then":"r"}},"b":{"type":"check","check":"emrtd","on_unsupported":{"set":"not_performed"}},"w":{"type":"wait","for":"PT1H"},"r":{"type":"branch","cases":[{"id":"x","when":{"any":[{"field":"mrz.age","op":"less","value":18}]},"goto":"a"}],"else":"e","visits":{"max":2,"over":"h"}},"h":{"type":"review","approvers":2},"e":{"type":"decide","rule":"fold"}}}"#,
    br#"{"schema":"idv.workflow/1","start":"a","limits":{"ttl":"P1D"},"nodes":{"a":{"type":"check","check":"aml","from":"expected","retry":{"max":3,"backoff":"PT1S"},"timeout":"PT30S","on_error":"n","next":"n"},"n":{"type":"webhook","event":"x","next":"e"},"e":{"type":"decide","set":"declined","reason":"NO"}}}"#,
];

pub const EXPRESSIONS: &[&[u8]] = &[
    b"mrz.age >= 18 && !(mrz.nationality in ['DEU', \"FRA\"]) || size(mrz.codes) > 2",
    b"mrz.nationality.matches('^D.*$') || 'specimen' in mrz.codes || -1 < mrz.age",
    b"(((mrz.status == 'passed'))) && mrz.date_of_birth < '2000-01-01' && session.has_expected",
];

/// Whatever is a plan can be gone through, and comes to an end or waits for somebody.
pub fn workflow(input: &[u8]) {
    let Ok(json) = serde_json::from_slice::<Value>(input) else { return };
    let Ok(graph) = Graph::read(&json) else { return };
    assert_eq!(Graph::read(&graph.meaning()).map(|again| again.meaning()), Ok(graph.meaning()));
    for node in graph.nodes.keys() {
        drop(fields_at(&graph, node));
    }
    let Ok((plan, _)) = validate(graph) else { return };
    let passed = Outcome::Report(Box::new(Report {
        id: "1".to_owned(),
        status: CheckStatus::Passed,
        assurance: Assurance::Heuristic,
        reasons: Vec::new(),
        values: serde_json::from_value(json!({"age": 17, "passive": "passed"})).unwrap_or_default(),
        detail: Value::Null,
    }));
    let outcomes = [passed, Outcome::Unsupported("x".into()), Outcome::Error("x".into())];
    for outcome in outcomes {
        play(&plan, &outcome, None);
        play(&plan, &outcome, Some(Verdict::Approved));
    }
}

fn play(plan: &Plan, outcome: &Outcome, review: Option<Verdict>) {
    let outcomes = ["mrz", "emrtd", "barcode", "image", "aml"];
    let fixture = Fixture {
        outcomes: outcomes.map(|check| (check.to_owned(), vec![outcome.clone()])).into(),
        review,
        ..Fixture::default()
    };
    let played = simulate(plan, &fixture, Timestamp::from_secs(1_800_000_000));
    assert_eq!(played.status.is_final(), played.waits_at.is_empty());
    assert!(!played.waits_at.is_empty() || played.decision.is_some());
}

/// An expression is a condition or is refused.
pub fn expression(input: &[u8]) {
    static GRAPH: LazyLock<Value> = LazyLock::new(|| {
        json!({
            "schema": "idv.workflow/1", "start": "mrz",
            "nodes": {
                "mrz": { "type": "check", "check": "mrz", "next": "route" },
                "route": { "type": "branch", "else": "end", "cases": [
                    { "id": "a", "when": { "cel": "" }, "goto": "end" }
                ] },
                "end": { "type": "decide", "rule": "fold" }
            }
        })
    });
    let Ok(text) = str::from_utf8(input) else { return };
    let mut graph = GRAPH.clone();
    graph["nodes"]["route"]["cases"][0]["when"]["cel"] = text.into();
    workflow(graph.to_string().as_bytes());
}
