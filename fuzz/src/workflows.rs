//! Graphs and expressions come from whoever draws them, answers from whoever is asked, and browsers say anything.

use std::sync::LazyLock;

use portcullis_egress::Answer;
use portcullis_types::{Id, Timestamp};
use portcullis_verification::{BrowserFacts, provider_outcome};
use portcullis_workflow::{
    Assurance, CheckStatus, Fixture, Graph, Outcome, Plan, Reason, Report, Value as Scored,
    Verdict, Weight, fields_at, simulate, validate,
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

pub const ANSWERS: &[&[u8]] = &[
    br#"{"id":"r-1","status":"passed","reasons":[{"code":"MATCH","severity":"information"}],"values":{"score":0.97,"outcome":"match"},"version":"3"}"#,
    br#"{"id":"r-2","status":"failed","reasons":[{"code":"DECEASED","severity":"failure"}]}"#,
    br#"{"id":"","status":"review","reasons":[],"values":{"score":1e400}}"#,
];

pub const BROWSERS: &[&[u8]] = &[
    b"Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/156.0.0.0 Safari/537.36\n\"Chromium\";v=\"156\", \"Not)A;Brand\";v=\"24\"\n\"Linux\"\n?0\nde-AT,de;q=0.9,en;q=0.8",
    b"Mozilla/5.0 (iPhone; CPU iPhone OS 18_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.5 Mobile/15E148 Safari/604.1\n\n\n\nfr",
    b"curl/8.5.0",
];

/// Nobody passes by an answer that says something else as well, and conditions find no number beyond its bounds.
pub fn provider_answer(input: &[u8]) {
    for status in [200, 204, 422, 429, 500, 404] {
        let answer = Answer {
            status: http::StatusCode::from_u16(status).unwrap_or_default(),
            content_type: None,
            body: input.to_vec().into(),
        };
        let by = ("registry", Assurance::Database);
        let outcome = provider_outcome(&answer, ("database", Id::from_bits(7)), by);
        let Outcome::Report(report) = outcome else { continue };
        assert_eq!(status, 200);
        assert_ne!(report.status, CheckStatus::Error);
        assert_eq!(report.assurance, Assurance::Database);
        if report.status == CheckStatus::Passed {
            let grave = |reason: &Reason| reason.severity != Weight::Information;
            assert!(!report.reasons.iter().any(grave), "{report:?}");
        }
        assert!(
            report.reasons.len() <= 32 && report.reasons.iter().all(|one| one.code.len() <= 64)
        );
        let score = report.values.get("score");
        let bounded =
            |value: &Scored| matches!(value, Scored::Number(score) if (0.0..=1.0).contains(score));
        assert!(score.is_none_or(bounded), "{report:?}");
    }
}

/// What is kept of a browser is bounded, and reading it again changes nothing.
pub fn browser(input: &[u8]) {
    let lines: Vec<_> = input.splitn(5, |byte| *byte == b'\n').collect();
    let field = |name: &str| {
        let names = [
            "user-agent",
            "sec-ch-ua",
            "sec-ch-ua-platform",
            "sec-ch-ua-mobile",
            "accept-language",
        ];
        let at = names.iter().position(|one| *one == name)?;
        lines.get(at).filter(|line| !line.is_empty()).map(|line| String::from_utf8_lossy(line))
    };
    let facts = BrowserFacts::new(field);
    let texts = [Some(&facts.user_agent), facts.brands.as_ref(), facts.platform.as_ref()];
    for text in texts.into_iter().flatten() {
        // The last letter may begin within the bound.
        assert!(text.len() < 512 + 4 && !text.chars().any(char::is_control));
    }
    assert!(facts.languages.len() <= 8 && facts.languages.iter().all(|tag| tag.len() <= 35));
    assert!(facts.contradictions().len() <= 4);
    let _ = (facts.lacks_hints(), facts.is_driven());
    let again = BrowserFacts::new(|name| match name {
        "user-agent" => Some(facts.user_agent.as_str().into()),
        "sec-ch-ua" => facts.brands.as_deref().map(Into::into),
        "accept-language" => Some(facts.languages.join(",").into()),
        _ => None,
    });
    assert_eq!((&again.user_agent, &again.brands), (&facts.user_agent, &facts.brands));
    assert_eq!(again.languages, facts.languages);
}
