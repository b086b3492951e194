//! Conditions on fields.

use portcullis_workflow::{CheckStatus, Weight};
use serde_json::{Value as Json, json};

use crate::world::{Session, kyc, problems, report};

fn graph(when: &Json) -> Json {
    json!({
        "schema": "idv.workflow/1", "start": "zone", "limits": { "attempts": 1 },
        "nodes": {
            "zone": { "type": "check", "check": "mrz", "next": "route" },
            "route": { "type": "branch", "else": "no",
                       "cases": [{ "id": "yes", "when": when, "goto": "yes" }] },
            "yes": { "type": "decide", "set": "approved" },
            "no": { "type": "decide", "set": "declined" }
        }
    })
}

/// What a zone may say.
fn holds(when: &Json) -> bool {
    let mut session = Session::begin(&graph(when));
    session.give(
        "zone",
        report(
            CheckStatus::Failed,
            &[("document_expired", Weight::Failure), ("specimen", Weight::Doubt)],
            &json!({ "age": 30, "nationality": "DEU", "sex": "F", "date_of_birth": "1996-05-01" }),
        ),
    );
    session.status() == "approved"
}

#[test]
fn expressions_and_rules_are_the_same() {
    let cases = [
        (
            "mrz.age >= 18",
            json!({ "field": "mrz.age", "op": "greater_or_equals", "value": 18 }),
            true,
        ),
        ("18 > zone.age", json!({ "field": "zone.age", "op": "less", "value": 18 }), false),
        (
            "mrz.nationality in ['DEU', 'FRA']",
            json!({ "field": "mrz.nationality", "op": "in", "value": ["DEU", "FRA"] }),
            true,
        ),
        (
            "!(mrz.nationality in ['DEU', 'FRA'])",
            json!({ "field": "mrz.nationality", "op": "not_in", "value": ["DEU", "FRA"] }),
            false,
        ),
        (
            "'specimen' in mrz.codes",
            json!({ "field": "mrz.codes", "op": "contains", "value": "specimen" }),
            true,
        ),
        (
            "mrz.codes.contains('nothing')",
            json!({ "field": "mrz.codes", "op": "contains", "value": "nothing" }),
            false,
        ),
        (
            "mrz.date_of_birth < '2000-01-01' && mrz.sex != 'M'",
            json!({ "all": [
                { "field": "mrz.date_of_birth", "op": "less", "value": "2000-01-01" },
                { "field": "mrz.sex", "op": "not_equals", "value": "M" }
            ] }),
            true,
        ),
        (
            "mrz.nationality.matches('^D..$') || false",
            json!({ "any": [{ "field": "mrz.nationality", "op": "matches", "value": "^D..$" }] }),
            true,
        ),
        (
            "mrz.nationality.startsWith('D') && mrz.nationality.endsWith('U')",
            json!({ "not": { "field": "mrz.nationality", "op": "is_empty" } }),
            true,
        ),
        (
            "size(mrz.codes) > 1 && mrz.status == 'failed'",
            json!({ "field": "zone.status", "op": "equals", "value": "failed" }),
            true,
        ),
        (
            "session.bucket >= 0 && !session.has_expected && mrz.age != -1",
            json!({ "field": "session.has_expected", "op": "equals", "value": false }),
            true,
        ),
        (
            "mrz.nationality == zone.nationality",
            json!({ "field": "mrz.nationality", "op": "equals", "value": { "field": "zone.nationality" } }),
            true,
        ),
    ];
    for (cel, rule, expected) in cases {
        assert_eq!(holds(&json!({ "cel": cel })), expected, "{cel}");
        assert_eq!(holds(&rule), expected, "{rule}");
    }
}

#[test]
fn nothing_follows_from_what_is_not_known() {
    // The zone did not tell who issued it, nor when it expires.
    let unknown = [
        "mrz.issuing_state == 'DEU'",
        "mrz.issuing_state != 'DEU'",
        "!(mrz.issuing_state == 'DEU')",
        "mrz.issuing_state == 'DEU' && mrz.age > 1",
        "mrz.date_of_expiry > '2026-01-01'",
        "mrz.issuing_state == mrz.nationality",
        "!(mrz.issuing_state in ['IRN'])",
        "size(mrz.issuing_state) == 0",
    ];
    for cel in unknown {
        assert!(!holds(&json!({ "cel": cel })), "{cel}");
    }
    // One side decides, whatever the other is.
    assert!(holds(&json!({ "cel": "mrz.issuing_state == 'DEU' || mrz.age > 1" })));
    assert!(holds(&json!({ "cel": "!(mrz.issuing_state == 'DEU' && mrz.age < 1)" })));
    assert!(holds(&json!({ "field": "mrz.issuing_state", "op": "is_empty" })));
}

#[test]
fn what_means_nothing_is_refused() {
    let deep = format!("{}mrz.age > 1{}", "(".repeat(40), ")".repeat(40));
    let nots = format!("{}session.has_expected", "!".repeat(60));
    let long = format!("mrz.nationality == '{}'", "x".repeat(1_000));
    let chain = vec!["mrz.age>1"; 95].join("||");
    let cels = [
        "",
        "mrz.age",
        "mrz.age + 1 > 2",
        "mrz.age == '18'",
        "mrz.sex == 'W'",
        "mrz.sex > 'F'",
        "mrz.date_of_birth < 'yesterday'",
        "mrz.date_of_birth < '2000-13-01'",
        "mrz",
        "mrz.nationality.matches('(')",
        "mrz.nationality.matches('(a{1000}){1000}')",
        "mrz.codes == 'x'",
        "has(mrz.age)",
        "mrz.codes.exists(x, x == 'a')",
        "1 == 1",
        "mrz.age in []",
        "mrz.age in ['a']",
        "mrz.age > 1 ? true : false",
        "mrz.age > 1;",
        "mrz.age > 1 && ",
        "timestamp('2026-01-01') > mrz.date_of_birth",
        "mrz.mrz.age > 1",
        "route.status == 'passed'",
        "yes.status == 'passed'",
        "mrz.age > 1e999",
        "mrz.nationality == mrz.age",
        "mrz.issuing_state == null",
        "`mrz`.age > 1",
        &deep,
        &nots,
        &long,
        &chain,
    ];
    for cel in cels {
        let found = problems(&graph(&json!({ "cel": cel })));
        assert_eq!(found.len(), 1, "{cel}: {found:?}");
    }
    let rules = [
        json!({ "field": "mrz.age", "op": "is_empty", "value": 1 }),
        json!({ "field": "mrz.age", "op": "equals" }),
        json!({ "field": "mrz.age", "op": "equals", "value": null }),
        json!({ "field": "mrz.age", "op": "equals", "value": [1] }),
        json!({ "field": "mrz.age", "op": "near", "value": 1 }),
        json!({ "field": "age", "op": "equals", "value": 1 }),
        json!({ "all": [] }),
        json!({ "all": [{}], "any": [{}] }),
        json!({ "field": "mrz.age", "op": "equals", "value": 1, "more": 1 }),
        json!("mrz.age > 1"),
        json!({ "field": "mrz.nationality", "op": "equals", "value": "x".repeat(501) }),
    ];
    for rule in rules {
        let found = problems(&graph(&rule));
        assert_eq!(found.len(), 1, "{rule}: {found:?}");
    }
    let mut nested = json!({ "field": "mrz.age", "op": "equals", "value": 1 });
    for _ in 0..20 {
        nested = json!({ "not": nested });
    }
    assert_eq!(problems(&graph(&nested)), ["condition route/cases/0/when"]);
    let many = vec![json!({ "field": "mrz.age", "op": "equals", "value": 1 }); 201];
    assert_eq!(problems(&graph(&json!({ "any": many }))), ["condition route/cases/0/when"]);
    assert_eq!(problems(&kyc()), [""; 0]);
}
