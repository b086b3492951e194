//! Whatever happens, in whatever order.

use std::{collections::BTreeSet, time::Duration};

use portcullis_workflow::{
    By, CheckStatus, Effect, Event, Facts, Happened, Outcome, Phase, State, Verdict, Weight, step,
};
use proptest::prelude::*;
use serde_json::json;

use crate::world::{BEGIN, kyc, plan, report};

fn outcome() -> impl Strategy<Value = Outcome> {
    let statuses = prop_oneof![
        Just(CheckStatus::Passed),
        Just(CheckStatus::Failed),
        Just(CheckStatus::Review),
    ];
    let parts = prop_oneof![Just("passed"), Just("failed"), Just("not_performed")];
    let codes = prop_oneof![Just("check_digit_wrong"), Just("document_expired")];
    prop_oneof![
        4 => (statuses, parts, codes, 0..3).prop_map(|(status, part, code, hits)| {
            let weight = if status == CheckStatus::Failed { Weight::Failure } else { Weight::Information };
            report(status, &[(code, weight)], &json!({ "passive": part, "active": "passed", "hits": hits }))
        }),
        1 => Just(Outcome::Unsupported("cannot".into())),
        1 => Just(Outcome::Unavailable("down".into())),
        1 => Just(Outcome::Error("broken".into())),
    ]
}

fn verdict() -> impl Strategy<Value = Verdict> {
    prop_oneof![Just(Verdict::Approved), Just(Verdict::Declined)]
}

fn event() -> impl Strategy<Value = Event> {
    let person = prop_oneof![Just("ada".to_owned()), Just("bob".to_owned())];
    let nodes = prop::collection::btree_set(
        prop_oneof![Just("zone".to_owned()), Just("chip".to_owned()), Just("lists".to_owned())],
        0..3,
    );
    let serial = 0..12_u32;
    prop_oneof![
        6 => (serial.clone(), outcome()).prop_map(|(serial, outcome)| Event::Given { serial, outcome }),
        6 => (serial.clone(), outcome()).prop_map(|(serial, outcome)| Event::Performed { serial, outcome }),
        3 => serial.clone().prop_map(|serial| Event::Due { serial }),
        1 => Just(Event::Expired),
        3 => (serial.clone(), person.clone(), verdict()).prop_map(|(serial, by, verdict)| {
            Event::Voted { serial, by, verdict, reason: "LOOKED".into() }
        }),
        2 => (serial, person.clone(), nodes).prop_map(|(serial, by, nodes): (_, _, BTreeSet<String>)| {
            Event::Resubmitted { serial, by, nodes, reason: "UNCLEAR".into() }
        }),
        1 => Just(Event::Began { facts: Facts::default() }),
        1 => person.prop_map(|by| Event::Cancelled { by, reason: "GONE".into() }),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, ..ProptestConfig::default() })]

    #[test]
    fn a_decision_stays(events in prop::collection::vec((event(), 0..20_000_u64), 1..60)) {
        let plan = plan(&kyc());
        let began = Happened { at: BEGIN, event: Event::Began { facts: Facts::default() } };
        let (mut state, _) = step(&plan, State::default(), &began).unwrap();
        let (mut log, mut at) = (vec![began], BEGIN);
        for (event, later) in events {
            at = at.plus(Duration::from_secs(later));
            let happened = Happened { at, event };
            let Ok((next, effects)) = step(&plan, state.clone(), &happened) else { continue };
            // What is over stays so: nothing was taken after it.
            prop_assert!(!state.status.is_final());
            prop_assert!(state.decision.is_none());
            prop_assert_eq!(next.decision.is_some(), matches!(next.status.as_str(), "approved" | "declined"));
            // It waits for something, or it is over.
            prop_assert_eq!(next.tasks.is_empty(), next.status.is_final());
            // Nothing that passed only in part, or that nobody checked, is approved by a rule.
            if next.status.as_str() == "approved" {
                let passed = next.done.values().any(|done| done.status == CheckStatus::Passed);
                let by_people = |by: &By| matches!(by, By::Reviewers(_));
                let by_people = next.decision.as_ref().is_some_and(|one| by_people(&one.by));
                prop_assert!(passed || by_people);
            }
            // Numbers of tasks are never used again, and every check that is to be done is waited for.
            let oldest = next.tasks.keys().filter(|serial| !state.tasks.contains_key(serial)).min();
            if let (Some(new), Some(old)) = (oldest, state.tasks.keys().max()) {
                prop_assert!(new > old);
            }
            for effect in &effects {
                if let Effect::Perform { serial, .. } = effect {
                    let performing = |phase: &Phase| matches!(phase, Phase::Performing { .. });
                    prop_assert!(next.tasks.get(serial).is_none_or(|task| performing(&task.phase)));
                }
            }
            log.push(happened);
            state = next;
        }
        // What is written down comes to the same when it is read.
        let text = serde_json::to_string(&log).unwrap();
        let log: Vec<Happened> = serde_json::from_str(&text).unwrap();
        let replayed = log.iter().try_fold(State::default(), |state, happened| {
            step(&plan, state, happened).map(|(state, _)| state)
        });
        prop_assert_eq!(replayed, Ok(state));
    }
}
