use std::time::Duration;

use portcullis_types::Timestamp;
use portcullis_workflow::{
    Assurance, CheckStatus, Effect, Event, Facts, Graph, Happened, Outcome, Plan, Reason, Refused,
    Report, State, Value, Verdict, Weight, step, validate,
};
use serde_json::{Value as Json, json};

pub const BEGIN: Timestamp = Timestamp::from_micros(1_793_491_200_000_000);

/// A chip beside a list, and people where neither says enough.
pub fn kyc() -> Json {
    json!({
        "schema": "idv.workflow/1",
        "start": "zone",
        "limits": { "ttl": "PT24H", "attempts": 3, "window": "P7D" },
        "nodes": {
            "zone": { "type": "check", "check": "mrz", "next": "both" },
            "both": { "type": "parallel", "branches": ["chip", "lists"],
                      "join": { "mode": "all", "then": "route" } },
            "chip": { "type": "check", "check": "emrtd", "require": ["passive", "active"],
                      "on_unsupported": { "set": "not_performed" } },
            "lists": { "type": "check", "check": "aml", "from": "zone", "timeout": "PT30S",
                       "retry": { "max": 2, "backoff": "PT1S" }, "on_unavailable": "tell" },
            "tell": { "type": "webhook", "event": "lists_down" },
            "route": { "type": "branch", "cases": [
                { "id": "forged", "goto": "no",
                  "when": { "any": [{ "field": "emrtd.passive", "op": "equals", "value": "failed" }] } },
                { "id": "soft", "goto": "human",
                  "when": { "cel": "emrtd.status == 'not_performed' && aml.hits > 0" } }
            ], "else": "end" },
            "human": { "type": "review", "queue": "kyc", "approvers": 2, "sla": "P1D",
                       "on_timeout": "no" },
            "end": { "type": "decide", "rule": "fold" },
            "no": { "type": "decide", "set": "declined", "reason": "DOC_FORGED" }
        }
    })
}

pub fn plan(graph: &Json) -> Plan {
    match validate(Graph::read(graph).unwrap()) {
        Ok((plan, _)) => plan,
        Err(problems) => panic!("{problems:#?}"),
    }
}

/// The codes of what is wrong, with where.
pub fn problems(graph: &Json) -> Vec<String> {
    let problems = match Graph::read(graph) {
        Err(wrong) => wrong.0,
        Ok(graph) => match validate(graph) {
            Ok((_, warnings)) => warnings,
            Err(problems) => problems,
        },
    };
    let show = |problem: &portcullis_workflow::Problem| {
        format!("{} {}{}", problem.code, problem.node.as_deref().unwrap_or(""), problem.at)
    };
    problems.iter().map(show).collect()
}

pub fn report(status: CheckStatus, codes: &[(&str, Weight)], values: &Json) -> Outcome {
    let values = values.as_object().unwrap().clone().into_iter();
    let reason = |(code, severity): &(&str, Weight)| Reason {
        code: (*code).to_owned(),
        severity: *severity,
    };
    Outcome::Report(Box::new(Report {
        id: "chk_1".into(),
        status,
        assurance: Assurance::SelfAsserted,
        reasons: codes.iter().map(reason).collect(),
        values: values
            .map(|(name, value)| (name, serde_json::from_value::<Value>(value).unwrap()))
            .collect(),
        detail: Json::Null,
    }))
}

#[expect(clippy::needless_pass_by_value, reason = "what is written at the call is all there is")]
pub fn passed(values: Json) -> Outcome {
    report(CheckStatus::Passed, &[], &values)
}

/// A session that goes through a plan.
pub struct Session {
    pub plan: Plan,
    pub state: State,
    pub effects: Vec<Effect>,
    pub at: Timestamp,
    pub log: Vec<Happened>,
}

impl Session {
    pub fn begin(graph: &Json) -> Self {
        let plan = plan(graph);
        let (state, effects, log) = (State::default(), Vec::new(), Vec::new());
        let mut session = Self { plan, state, effects, at: BEGIN, log };
        session.happen(Event::Began { facts: Facts::default() }).unwrap();
        session
    }

    pub fn happen(&mut self, event: Event) -> Result<(), Refused> {
        let happened = Happened { at: self.at, event };
        let (state, effects) = step(&self.plan, self.state.clone(), &happened)?;
        (self.state, self.effects) = (state, effects);
        self.log.push(happened);
        Ok(())
    }

    pub fn later(&mut self, seconds: u64) {
        self.at = self.at.plus(Duration::from_secs(seconds));
    }

    pub fn serial(&self, node: &str) -> u32 {
        let task = self.state.task_at(node);
        task.unwrap_or_else(|| panic!("{node}: {:?}", self.state.tasks)).0
    }

    pub fn give(&mut self, node: &str, outcome: Outcome) {
        let serial = self.serial(node);
        self.happen(Event::Given { serial, outcome }).unwrap();
    }

    pub fn perform(&mut self, node: &str, outcome: Outcome) {
        let serial = self.serial(node);
        self.happen(Event::Performed { serial, outcome }).unwrap();
    }

    pub fn due(&mut self, node: &str) {
        let serial = self.serial(node);
        self.happen(Event::Due { serial }).unwrap();
    }

    pub fn vote(&mut self, by: &str, verdict: Verdict) -> Result<(), Refused> {
        let serial = self.state.reviews().next().unwrap().0;
        let (by, reason) = (by.to_owned(), "LOOKED".to_owned());
        self.happen(Event::Voted { serial, by, verdict, reason })
    }

    pub fn status(&self) -> &'static str {
        self.state.status.as_str()
    }

    pub fn waits(&self) -> Vec<&str> {
        self.state.tasks.values().map(|task| &task.node[..]).collect()
    }

    pub fn ways(&self) -> Vec<String> {
        let way = |trace: &portcullis_workflow::Trace| format!("{} {}", trace.node, trace.way);
        self.state.trace.iter().map(way).collect()
    }
}
