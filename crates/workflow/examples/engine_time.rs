//! Times the validation of a graph of 200 nodes, and sessions that go through a workflow: `engine_time`.
#![allow(
    missing_docs,
    clippy::allow_attributes,
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "measures time and prints it"
)]

use std::{error::Error, hint::black_box, time::Instant};

use portcullis_types::Timestamp;
use portcullis_workflow::{
    Assurance, CheckStatus, Event, Facts, Graph, Happened, Outcome, Plan, Report, State, step,
    validate,
};
use serde_json::{Value, json};

const VALIDATIONS: usize = 200;
const SESSIONS: usize = 100_000;

/// Checks, branches with expressions, and parallels: 200 nodes in all.
fn graph() -> Value {
    let mut nodes = json!({
        "end": { "type": "decide", "rule": "fold" },
        "no": { "type": "decide", "set": "declined", "reason": "NO" },
    });
    for at in 0..33 {
        let next = if at == 32 { "end".to_owned() } else { format!("zone{}", at + 1) };
        nodes[format!("zone{at}")] =
            json!({ "type": "check", "check": "mrz", "next": format!("both{at}") });
        nodes[format!("both{at}")] = json!({
            "type": "parallel", "branches": [format!("chip{at}"), format!("lists{at}")],
            "join": { "mode": "all", "then": format!("route{at}") }
        });
        nodes[format!("chip{at}")] = json!({ "type": "check", "check": "emrtd" });
        nodes[format!("lists{at}")] = json!({ "type": "check", "check": "aml" });
        nodes[format!("route{at}")] = json!({
            "type": "branch", "else": format!("pause{at}"),
            "cases": [{ "id": "a", "goto": "no", "when": { "cel": format!(
                "zone{at}.age < 18 || chip{at}.passive == 'failed' && lists{at}.hits > 0"
            ) } }]
        });
        nodes[format!("pause{at}")] = json!({ "type": "wait", "for": "PT1S", "next": next });
    }
    json!({ "schema": "idv.workflow/1", "start": "zone0", "nodes": nodes })
}

fn small() -> Value {
    json!({
        "schema": "idv.workflow/1", "start": "zone",
        "nodes": {
            "zone": { "type": "check", "check": "mrz", "next": "both" },
            "both": { "type": "parallel", "branches": ["chip", "lists"],
                      "join": { "mode": "all", "then": "route" } },
            "chip": { "type": "check", "check": "emrtd" },
            "lists": { "type": "check", "check": "aml" },
            "route": { "type": "branch", "else": "end", "cases": [
                { "id": "a", "goto": "no", "when": { "cel": "zone.age < 18 || lists.hits > 0" } }
            ] },
            "end": { "type": "decide", "rule": "fold" },
            "no": { "type": "decide", "set": "declined" }
        }
    })
}

fn plan(json: &Value) -> Result<Plan, Box<dyn Error>> {
    let graph = Graph::read(json).map_err(|error| format!("{error:?}"))?;
    Ok(validate(graph).map_err(|error| format!("{error:?}"))?.0)
}

fn passed(values: Value) -> Result<Outcome, Box<dyn Error>> {
    Ok(Outcome::Report(Box::new(Report {
        id: "chk_1".to_owned(),
        status: CheckStatus::Passed,
        assurance: Assurance::Heuristic,
        reasons: Vec::new(),
        values: serde_json::from_value(values)?,
        detail: Value::Null,
    })))
}

/// From its beginning to the decision; how many steps that was.
fn go(plan: &Plan, log: &[Happened]) -> Result<u32, Box<dyn Error>> {
    let mut state = State::default();
    for happened in log {
        (state, _) = step(plan, state, happened)?;
    }
    assert!(state.decision.is_some());
    Ok(state.version)
}

fn main() -> Result<(), Box<dyn Error>> {
    let large = graph();
    let mut times = Vec::new();
    for _ in 0..VALIDATIONS {
        let start = Instant::now();
        black_box(plan(&large)?);
        times.push(start.elapsed().as_secs_f64() * 1e3);
    }
    times.sort_by(f64::total_cmp);
    let nodes = large["nodes"].as_object().map_or(0, serde_json::Map::len);
    let (median, most) = (times[times.len() / 2], times[times.len() - 1]);
    println!(
        "validation of {nodes} nodes, 33 expressions: median {median:.2} ms, most {most:.2} ms"
    );

    let plan = plan(&small())?;
    let at = Timestamp::from_secs(1_800_000_000);
    let log = [
        Event::Began { facts: Facts::default() },
        Event::Given { serial: 1, outcome: passed(json!({ "age": 40 }))? },
        Event::Given { serial: 2, outcome: passed(json!({ "passive": "passed" }))? },
        Event::Performed { serial: 3, outcome: passed(json!({ "hits": 0 }))? },
    ]
    .map(|event| Happened { at, event });
    let (start, mut steps) = (Instant::now(), 0);
    for _ in 0..SESSIONS {
        steps += go(&plan, &log)?;
    }
    let seconds = start.elapsed().as_secs_f64();
    let sessions = f64::from(u32::try_from(SESSIONS)?) / seconds;
    let each = seconds / f64::from(steps) * 1e6;
    println!("sessions from beginning to decision: {sessions:.0}/s, {each:.2} µs a step");
    Ok(())
}
