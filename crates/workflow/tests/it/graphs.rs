//! What is wrong with graphs.

use portcullis_workflow::{Graph, fields_at};
use serde_json::{Value as Json, json};

use crate::world::{kyc, plan, problems};

/// The graph with something else at a pointer.
fn with(pointer: &str, value: Json) -> Json {
    let mut graph = kyc();
    let (parent, member) = pointer.rsplit_once('/').unwrap();
    let parent = graph.pointer_mut(parent).unwrap();
    match parent {
        Json::Array(all) => all[member.parse::<usize>().unwrap()] = value,
        parent => parent[member] = value,
    }
    graph
}

fn without(pointer: &str) -> Json {
    let mut graph = kyc();
    let (parent, member) = pointer.rsplit_once('/').unwrap();
    graph.pointer_mut(parent).unwrap().as_object_mut().unwrap().remove(member);
    graph
}

#[test]
fn a_graph_that_makes_sense_is_a_plan() {
    assert_eq!(problems(&kyc()), [""; 0]);
    assert!(!plan(&kyc()).needs_expected());
}

#[test]
fn what_is_written_reads_the_same() {
    let graph = Graph::read(&kyc()).unwrap();
    assert_eq!(Graph::read(&graph.meaning()).unwrap(), graph);
    // Where a node is shown means nothing.
    let moved = with("/layout", json!({ "zone": { "x": 1, "y": 2 } }));
    assert_eq!(Graph::read(&moved).unwrap().meaning(), graph.meaning());
}

#[test]
fn each_mistake_is_told_where_it_is() {
    let cases = [
        (with("/schema", json!("idv.workflow/2")), "form "),
        (with("/start", json!("nowhere")), "unknown_node /start"),
        (with("/nodes/zone/next", json!("nowhere")), "unknown_node zone/next"),
        (with("/nodes/zone/next", json!(7)), "form zone"),
        (with("/nodes/zone/check", json!("ocr")), "unknown_check zone/check"),
        (with("/nodes/chip/require", json!(["chip"])), "unknown_part chip/require"),
        (with("/nodes/zone/what", json!(1)), "form zone"),
        (with("/nodes/a b", json!({ "type": "wait", "for": "PT1S" })), "form a b"),
        (with("/nodes/session", json!({ "type": "wait", "for": "PT1S" })), "form session"),
        (with("/nodes/lost", json!({ "type": "decide", "rule": "fold" })), "unreachable lost"),
        (without("/nodes/zone/next"), "open_path zone/next"),
        (without("/nodes/both/join/then"), "open_path both/join/then"),
        (without("/nodes/route/else"), "missing_else route/else"),
        (with("/nodes/route/else", json!("zone")), "unbounded_loop both"),
        (with("/nodes/chip/next", json!("route")), "branch_shared route"),
        (with("/nodes/both/branches", json!(["chip"])), "too_many_parallel both/branches"),
        (with("/nodes/lists/from", json!("chip")), "input_missing lists"),
        (with("/nodes/lists/from", json!("route")), "input_missing lists"),
        (with("/nodes/end/set", json!("approved")), "form end"),
        (with("/nodes/no/reason", json!("no reason")), "form no/reason"),
        (with("/nodes/human/approvers", json!(9)), "limit human/approvers"),
        (with("/nodes/lists/retry/max", json!(99)), "limit lists/retry"),
        (with("/nodes/lists/timeout", json!("P1D")), "limit lists/timeout"),
        (with("/nodes/zone/retry", json!({ "max": 1, "backoff": "PT1S" })), "no_effect zone/retry"),
        (with("/limits/ttl", json!("PT1S")), "limit /limits/ttl"),
        (with("/limits/attempts", json!(0)), "limit /limits/attempts"),
        (with("/limits/ttl", json!("a day")), "form "),
        (with("/nodes/route/cases/1/id", json!("forged")), "form route/cases/1/id"),
        (with("/nodes/route/cases/0/when", json!({})), "condition route/cases/0/when"),
        (
            with("/nodes/route/cases/0/when/any/0/field", json!("emrtd.pasive")),
            "unknown_field route/cases/0/when",
        ),
        (
            with("/nodes/route/cases/0/when/any/0/value", json!("faild")),
            "condition route/cases/0/when",
        ),
        (
            with("/nodes/route/cases/1/when/cel", json!("liveness.status == 'passed'")),
            "unknown_field route/cases/1/when",
        ),
    ];
    for (graph, wrong) in cases {
        let found = problems(&graph);
        assert!(found.iter().any(|problem| problem == wrong), "{wrong}: {found:?}");
    }
}

#[test]
fn a_field_must_be_known_on_every_way() {
    // On one of the ways to `route` nobody looked at a chip.
    let mut graph = with("/nodes/zone/on_unsupported", json!("route"));
    assert!(problems(&graph).contains(&"not_on_every_path route/cases/0/when".to_owned()));
    // With the first of two branches, only what both would have told is known.
    graph = with("/nodes/both/join/mode", json!("any"));
    assert!(problems(&graph).contains(&"not_on_every_path route/cases/0/when".to_owned()));
    graph["nodes"]["route"]["cases"] =
        json!([{ "id": "old", "goto": "human", "when": { "cel": "zone.age > 70" } }]);
    assert_eq!(problems(&graph), [""; 0]);
}

#[test]
fn a_branch_that_never_ends_is_not_waited_for() {
    let mut graph = with("/nodes/chip/next", json!("no"));
    assert!(problems(&graph).contains(&"join_never both/join".to_owned()));
    graph["nodes"]["both"]["join"]["mode"] = json!("any");
    graph["nodes"]["route"]["cases"] =
        json!([{ "id": "hit", "goto": "human", "when": { "cel": "lists.hits > 0" } }]);
    // A node that decides may be reached from anywhere; this one ends the branch of the chip.
    assert_eq!(problems(&graph), [""; 0]);
}

#[test]
fn loops_need_a_bound() {
    let mut graph = with("/nodes/route/else", json!("zone"));
    graph["nodes"]["zone"]["visits"] = json!({ "max": 3, "over": "end" });
    assert_eq!(problems(&graph), [""; 0]);
    graph["nodes"]["zone"]["visits"]["max"] = json!(101);
    assert_eq!(problems(&graph), ["limit /nodes"]);
}

fn small(start: &str, nodes: &Json) -> Json {
    json!({ "schema": "idv.workflow/1", "start": start, "nodes": nodes })
}

#[test]
fn a_bound_must_lead_out_of_the_loop() {
    let wait = |next: &str| json!({ "type": "wait", "for": "PT1S", "next": next });
    let over = |mut node: Json, over: &str| {
        node["visits"] = json!({ "max": 1, "over": over });
        node
    };
    let end = json!({ "type": "decide", "rule": "fold" });
    let alone = small("a", &json!({ "a": over(wait("a"), "a") }));
    assert_eq!(problems(&alone), ["unbounded_loop a", "idle_loop a"]);
    let slow = small("a", &json!({ "a": over(wait("a"), "b"), "b": wait("a") }));
    assert_eq!(problems(&slow), ["unbounded_loop a"]);
    let out = small("a", &json!({ "a": over(wait("a"), "end"), "end": end }));
    assert_eq!(problems(&out), [""; 0]);
    // Nothing happens on the way round, so that one step would go round as often as it may.
    let tell = |next: &str| json!({ "type": "webhook", "event": "x", "next": next });
    let ring = small("a", &json!({ "a": over(tell("b"), "end"), "b": tell("a"), "end": end }));
    assert_eq!(problems(&ring), ["idle_loop a"]);
}

#[test]
fn branches_that_are_not_apart_are_not_followed() {
    let wait = |next: Json| json!({ "type": "wait", "for": "PT1S", "next": next });
    let mut graph = small(
        "p",
        &json!({
            "p": { "type": "parallel", "branches": ["a", "b"], "join": { "mode": "all" } },
            "a": wait(json!("p")), "b": wait(json!(null))
        }),
    );
    assert!(problems(&graph).contains(&"branch_shared p".to_owned()), "{:?}", problems(&graph));
    assert_eq!(fields_at(&Graph::read(&graph).unwrap(), "a"), None);
    graph["nodes"]["a"]["visits"] = json!({ "max": 1, "over": "b" });
    assert!(problems(&graph).contains(&"branch_shared p".to_owned()));
}

#[test]
fn approving_out_of_a_branch_is_told() {
    let mut graph = kyc();
    graph["nodes"]["chip"]["on_unsupported"] = json!("yes");
    graph["nodes"]["yes"] = json!({ "type": "decide", "set": "approved" });
    assert_eq!(problems(&graph), ["decides_alone yes/set"]);
}

#[test]
fn a_chip_is_held_against_a_zone() {
    let mut graph = kyc();
    graph["nodes"]["zone"]["check"] = json!("barcode");
    graph["nodes"]["chip"]["from"] = json!("zone");
    assert_eq!(problems(&graph), ["input_missing chip"]);
}

#[test]
fn two_nodes_of_one_check_are_named() {
    let mut graph = kyc();
    graph["nodes"]["zone"]["next"] = json!("again");
    graph["nodes"]["again"] = json!({ "type": "check", "check": "mrz", "next": "both" });
    graph["nodes"]["route"]["cases"][0]["when"] = json!({ "cel": "mrz.age > 70" });
    assert_eq!(problems(&graph), ["unknown_field route/cases/0/when"]);
    graph["nodes"]["route"]["cases"][0]["when"] = json!({ "cel": "again.age > zone.age" });
    assert_eq!(problems(&graph), [""; 0]);
}

#[test]
fn the_builder_is_told_which_fields_there_are() {
    let graph = Graph::read(&kyc()).unwrap();
    let names = |node| -> Vec<String> {
        fields_at(&graph, node).unwrap().into_iter().map(|field| field.name).collect()
    };
    assert!(names("route").contains(&"chip.passive".to_owned()));
    assert!(names("lists").contains(&"zone.age".to_owned()));
    assert!(!names("lists").iter().any(|name| name.starts_with("chip.")));
    assert_eq!(names("zone"), ["session.bucket", "session.locale", "session.has_expected"]);
    assert_eq!(fields_at(&graph, "nowhere"), None);
}

#[test]
fn every_mistake_of_form_is_told_at_once() {
    let mut graph = kyc();
    graph["nodes"]["zone"]["type"] = json!("ocr");
    graph["nodes"]["human"]["sla"] = json!("soon");
    assert_eq!(problems(&graph), ["form human", "form zone"]);
}

#[test]
fn a_graph_has_so_many_patterns() {
    let pattern = json!({ "field": "zone.nationality", "op": "matches", "value": "^D" });
    let when = json!({ "any": vec![pattern; 60] });
    let case = |id: &str| json!({ "id": id, "goto": "no", "when": when });
    let graph = with("/nodes/route/cases", json!([case("a"), case("b"), case("c")]));
    assert_eq!(problems(&graph), ["unreachable human", "limit route/cases/1/when"]);
}

#[test]
fn nesting_has_an_end() {
    let mut nodes = json!({ "end": { "type": "decide", "rule": "fold" } });
    for depth in 0..5 {
        nodes[format!("p{depth}")] = json!({
            "type": "parallel",
            "branches": [format!("p{}", depth + 1), format!("w{depth}")],
            "join": { "mode": "any", "then": (depth == 0).then_some("end") }
        });
        nodes[format!("w{depth}")] = json!({ "type": "wait", "for": "PT1S" });
    }
    nodes["p5"] = json!({ "type": "wait", "for": "PT1S" });
    let graph = json!({ "schema": "idv.workflow/1", "start": "p0", "nodes": nodes });
    assert!(problems(&graph).contains(&"too_many_parallel p3".to_owned()));
}
