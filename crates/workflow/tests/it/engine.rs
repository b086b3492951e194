//! Sessions on their way.

use std::collections::BTreeSet;

use portcullis_workflow::{
    By, CheckStatus, Effect, Event, Fixture, Outcome, Phase, Refused, Status, Verdict, Weight,
    simulate,
};
use serde_json::{Value as Json, json};

use crate::world::{BEGIN, Session, kyc, passed, plan, report};

fn chip() -> Outcome {
    passed(json!({ "passive": "passed", "active": "passed" }))
}

fn nothing_listed() -> Outcome {
    passed(json!({ "hits": 0, "score": 0 }))
}

#[test]
fn all_that_passes_is_approved() {
    let mut session = Session::begin(&kyc());
    assert_eq!((session.status(), session.waits()), ("created", vec!["zone"]));
    let until = BEGIN.plus(std::time::Duration::from_secs(86_400));
    assert_eq!(session.effects, [Effect::Deadline { at: until }]);
    session.give("zone", passed(json!({})));
    assert_eq!((session.status(), session.waits()), ("awaiting_input", vec!["chip", "lists"]));
    let serial = session.serial("lists");
    let at = BEGIN.plus(std::time::Duration::from_secs(30));
    let timer = Effect::Timer { serial, at };
    assert_eq!(session.effects, [Effect::Perform { serial, node: "lists".into() }, timer]);
    session.give("chip", chip());
    assert_eq!(session.status(), "processing");
    session.perform("lists", nothing_listed());
    assert_eq!(session.status(), "approved");
    let decision = session.state.decision.clone().unwrap();
    assert_eq!((decision.by, &decision.node[..]), (By::Rule, "end"));
    assert_eq!(
        session.ways(),
        [
            "zone next",
            "both branches",
            "chip next",
            "lists next",
            "both join",
            "route else",
            "end approved"
        ]
    );
    // That was it.
    let again = session.happen(Event::Given { serial, outcome: chip() });
    assert_eq!(again, Err(Refused::Over));
    assert_eq!(session.happen(Event::Expired), Err(Refused::Over));
}

#[test]
fn what_failed_declines_with_its_reason() {
    let mut session = Session::begin(&kyc());
    session.give(
        "zone",
        report(CheckStatus::Failed, &[("document_expired", Weight::Failure)], &json!({})),
    );
    session.give("chip", chip());
    session.perform("lists", nothing_listed());
    assert_eq!(session.status(), "declined");
    let reason = session.state.decision.unwrap().reason;
    assert_eq!(reason.as_deref(), Some("DOCUMENT_EXPIRED"));
}

#[test]
fn the_person_may_try_again_what_was_captured_badly() {
    let mut session = Session::begin(&kyc());
    let typo =
        || report(CheckStatus::Failed, &[("check_digit_wrong", Weight::Failure)], &json!({}));
    session.give("zone", typo());
    session.give("zone", typo());
    assert_eq!(session.waits(), ["zone"]);
    // The third try was the last.
    session.give("zone", typo());
    assert_eq!(session.waits(), ["chip", "lists"]);
}

#[test]
fn two_people_must_agree() {
    let soft = || {
        let mut session = Session::begin(&kyc());
        session.give("zone", passed(json!({})));
        session.give("chip", Outcome::Unsupported("no_reader".into()));
        session.perform("lists", report(CheckStatus::Review, &[], &json!({ "hits": 2 })));
        assert_eq!((session.status(), session.waits()), ("in_review", vec!["human"]));
        session
    };
    let mut session = soft();
    session.vote("ada", Verdict::Approved).unwrap();
    assert_eq!(session.vote("ada", Verdict::Approved), Err(Refused::Same));
    assert_eq!(session.status(), "in_review", "one person twice is one person");
    session.vote("bob", Verdict::Declined).unwrap();
    session.vote("cyd", Verdict::Approved).unwrap();
    assert_eq!(session.status(), "in_review", "somebody objects");
    session.vote("bob", Verdict::Approved).unwrap();
    assert_eq!(session.status(), "approved");
    let by = session.state.decision.unwrap().by;
    assert_eq!(by, By::Reviewers(["ada", "cyd", "bob"].map(String::from).to_vec()));
    // Nobody looked in time.
    let mut session = soft();
    session.vote("ada", Verdict::Approved).unwrap();
    session.later(86_400);
    session.due("human");
    assert_eq!(session.status(), "declined");
    assert_eq!(session.state.decision.unwrap().reason.as_deref(), Some("DOC_FORGED"));
}

#[test]
fn steps_can_be_asked_for_again() {
    let mut session = Session::begin(&kyc());
    session.give("zone", passed(json!({})));
    session.give(
        "chip",
        report(
            CheckStatus::Review,
            &[("authority_unknown", Weight::Doubt)],
            &json!({ "passive": "unverified", "active": "passed" }),
        ),
    );
    session.perform("lists", nothing_listed());
    assert_eq!((session.status(), session.waits()), ("in_review", vec!["end"]));
    let serial = session.serial("end");
    let again = |session: &mut Session, nodes: &[&str]| {
        let nodes: BTreeSet<String> = nodes.iter().map(|node| (*node).to_owned()).collect();
        let (by, reason) = ("ada".to_owned(), "UNCLEAR".to_owned());
        session.happen(Event::Resubmitted { serial, by, nodes, reason })
    };
    assert_eq!(again(&mut session, &["lists"]), Err(Refused::NoStep));
    assert_eq!(again(&mut session, &["human"]), Err(Refused::NoStep));
    assert_eq!(again(&mut session, &[]), Err(Refused::NoStep));
    session.later(3 * 86_400);
    again(&mut session, &["chip"]).unwrap();
    assert_eq!(session.status(), "awaiting_input");
    assert_eq!(session.vote("ada", Verdict::Approved), Err(Refused::Asked));
    assert_eq!(again(&mut session, &["chip"]), Err(Refused::Asked));
    session.give("chip", chip());
    assert_eq!((session.status(), session.waits()), ("in_review", vec!["end"]));
    assert_eq!(session.state.done["chip"].status, CheckStatus::Passed);
    session.later(5 * 86_400);
    assert_eq!(again(&mut session, &["chip"]), Err(Refused::TooLate));
    session.vote("ada", Verdict::Approved).unwrap();
    assert_eq!(session.status(), "approved");
}

/// A chip, a screening of whoever it says, and people who look at both.
fn screened() -> Json {
    json!({
        "schema": "idv.workflow/1", "start": "zone",
        "nodes": {
            "zone": { "type": "check", "check": "mrz", "next": "chip" },
            "chip": { "type": "check", "check": "emrtd", "from": "zone", "next": "lists" },
            "lists": { "type": "check", "check": "aml", "from": "chip", "next": "human" },
            "human": { "type": "review", "approvers": 2, "on_approved": "end", "sla": "P1D",
                       "on_timeout": "end" },
            "end": { "type": "decide", "rule": "fold" }
        }
    })
}

fn in_review() -> Session {
    let mut session = Session::begin(&screened());
    session.give("zone", passed(json!({})));
    session.give("chip", chip());
    session.perform("lists", nothing_listed());
    assert_eq!((session.status(), session.waits()), ("in_review", vec!["human"]));
    session
}

fn ask_again(session: &mut Session, by: &str, node: &str) {
    let (serial, nodes) = (session.serial("human"), BTreeSet::from([node.to_owned()]));
    let (by, reason) = (by.to_owned(), "UNCLEAR".to_owned());
    session.happen(Event::Resubmitted { serial, by, nodes, reason }).unwrap();
}

#[test]
fn what_followed_from_a_step_is_done_again_with_it() {
    let mut session = in_review();
    ask_again(&mut session, "ada", "zone");
    let asking = |session: &Session| {
        let tasks = session.state.tasks.values();
        let asking = tasks.filter(|task| matches!(task.phase, Phase::Asking { .. }));
        asking.map(|task| task.node.clone()).collect::<Vec<_>>()
    };
    assert_eq!(asking(&session), ["zone"], "the chip is held against the new zone");
    session.give("zone", passed(json!({})));
    assert_eq!(asking(&session), ["chip"]);
    assert_eq!(session.vote("ada", Verdict::Approved), Err(Refused::Asked));
    session.give("chip", chip());
    assert_eq!((session.status(), asking(&session)), ("processing", vec![]));
    assert_eq!(session.vote("ada", Verdict::Approved), Err(Refused::Asked));
    session.perform("lists", report(CheckStatus::Failed, &[], &json!({ "hits": 1 })));
    assert_eq!(session.status(), "in_review");
    session.vote("ada", Verdict::Approved).unwrap();
    session.vote("bob", Verdict::Approved).unwrap();
    assert_eq!(session.status(), "declined", "whoever came the second time is listed");
}

#[test]
fn what_was_asked_for_again_and_not_given_passes_for_nothing() {
    let mut session = in_review();
    ask_again(&mut session, "ada", "chip");
    session.later(86_400);
    session.due("human");
    // The rule that all passed does not hold any more.
    assert_eq!((session.status(), session.waits()), ("in_review", vec!["end"]));
    assert_eq!(session.state.done["lists"].status, CheckStatus::NotPerformed);
}

#[test]
fn an_objection_is_not_passed_over_by_asking_again() {
    let mut session = in_review();
    session.vote("ada", Verdict::Declined).unwrap();
    ask_again(&mut session, "bob", "chip");
    session.give("chip", chip());
    session.perform("lists", nothing_listed());
    session.vote("bob", Verdict::Approved).unwrap();
    session.vote("cyd", Verdict::Approved).unwrap();
    assert_eq!(session.status(), "in_review");
    ask_again(&mut session, "ada", "chip");
    session.give("chip", chip());
    session.perform("lists", nothing_listed());
    session.vote("bob", Verdict::Approved).unwrap();
    session.vote("cyd", Verdict::Approved).unwrap();
    assert_eq!(session.status(), "approved");
}

#[test]
fn the_rule_waits_for_what_goes_on_beside_it() {
    let mut graph = kyc();
    graph["nodes"]["chip"]["on_unsupported"] = json!("end");
    let mut session = Session::begin(&graph);
    session.give("zone", passed(json!({})));
    session.give("chip", Outcome::Unsupported("no_nfc".into()));
    assert_eq!((session.status(), session.waits()), ("in_review", vec!["end"]));
    // What failed declines, whatever else comes.
    let mut session = Session::begin(&graph);
    session.give("zone", report(CheckStatus::Failed, &[], &json!({})));
    session.give("chip", Outcome::Unsupported("no_nfc".into()));
    assert_eq!(session.status(), "declined");
}

#[test]
fn a_way_of_its_own_for_those_who_cannot_is_a_way() {
    let graph = |on_unsupported: &str| {
        json!({
            "schema": "idv.workflow/1", "start": "zone",
            "nodes": {
                "zone": { "type": "check", "check": "mrz", "next": "chip" },
                "chip": { "type": "check", "check": "emrtd", "next": "end",
                          "on_unsupported": on_unsupported },
                "card": { "type": "check", "check": "barcode", "next": "end" },
                "tell": { "type": "webhook", "event": "card", "next": "card" },
                "end": { "type": "decide", "rule": "fold" }
            }
        })
    };
    let mut session = Session::begin(&graph("tell"));
    session.give("zone", passed(json!({})));
    session.give("chip", Outcome::Unsupported("no_nfc".into()));
    session.give("card", passed(json!({})));
    assert_eq!(session.status(), "approved");
}

#[test]
fn a_session_of_many_events_still_comes_to_an_end() {
    let mut session = in_review();
    let votes = [Verdict::Approved, Verdict::Declined].into_iter().cycle();
    let mut taken = votes.map(|verdict| session.vote("ada", verdict));
    assert_eq!(taken.find(Result::is_err), Some(Err(Refused::TooMany)));
    drop(taken);
    session.later(86_400);
    session.due("human");
    assert_eq!(session.status(), "approved");
}

#[test]
fn the_time_of_the_person_ends() {
    let mut session = Session::begin(&kyc());
    assert_eq!(session.happen(Event::Expired), Err(Refused::Stale), "it is too early");
    session.later(86_400);
    session.happen(Event::Expired).unwrap();
    assert_eq!(session.status(), "expired");
    // Who has done all that was asked has all the time of the world.
    let mut session = Session::begin(&kyc());
    session.give("zone", passed(json!({})));
    session.give("chip", chip());
    session.later(86_400);
    session.happen(Event::Expired).unwrap();
    assert_eq!(session.status(), "processing");
}

#[test]
fn what_cannot_be_done_is_tried_again_and_then_left() {
    let mut session = Session::begin(&kyc());
    session.give("zone", passed(json!({})));
    session.give("chip", chip());
    let down = || Outcome::Unavailable("no_lists".into());
    let wait = |session: &Session| match session.effects[..] {
        [Effect::Timer { at, .. }] => at.since(session.at).as_secs(),
        ref other => panic!("{other:?}"),
    };
    session.perform("lists", down());
    assert_eq!(wait(&session), 1);
    let old = session.serial("lists");
    session.due("lists");
    assert_ne!(session.serial("lists"), old);
    assert_eq!(
        session.happen(Event::Performed { serial: old, outcome: down() }),
        Err(Refused::Stale)
    );
    // This time nobody answers at all.
    session.later(30);
    session.due("lists");
    assert_eq!(wait(&session), 2);
    session.due("lists");
    session.perform("lists", down());
    // The branch went on another way, but nobody was screened by that.
    assert_eq!((session.status(), session.waits()), ("in_review", vec!["end"]));
    assert!(session.ways().contains(&"lists on_unavailable".to_owned()));
    assert!(
        session
            .effects
            .contains(&Effect::Notify { node: "tell".into(), event: "lists_down".into() })
    );
}

#[test]
fn without_a_way_around_people_decide() {
    let mut graph = kyc();
    graph["nodes"]["lists"].as_object_mut().unwrap().remove("on_unavailable");
    graph["nodes"]["lists"]["retry"]["max"] = json!(0);
    graph["nodes"].as_object_mut().unwrap().remove("tell");
    let mut session = Session::begin(&graph);
    session.give("zone", passed(json!({})));
    session.give("chip", chip());
    session.perform("lists", Outcome::Error("broken".into()));
    assert_eq!((session.status(), session.waits()), ("in_review", vec!["end"]));
}

#[test]
fn a_required_part_that_is_missing_does_not_pass() {
    let mut graph = kyc();
    graph["nodes"]["chip"]["on_unsupported"] = json!({ "set": "failed" });
    let mut session = Session::begin(&graph);
    session.give("zone", passed(json!({})));
    session.give("chip", passed(json!({ "passive": "passed", "active": "not_performed" })));
    session.perform("lists", nothing_listed());
    assert_eq!(session.status(), "declined");
}

#[test]
fn a_doubt_is_not_excused_by_what_is_missing() {
    // Nobody who is trusted signed it, and it cannot say that it is no copy.
    let mut session = Session::begin(&kyc());
    session.give("zone", passed(json!({})));
    let values = json!({ "passive": "unverified", "active": "not_performed" });
    let unknown = [("authority_unknown", Weight::Doubt)];
    session.give("chip", report(CheckStatus::Review, &unknown, &values));
    session.perform("lists", nothing_listed());
    assert_eq!((session.status(), session.waits()), ("in_review", vec!["end"]));
}

#[test]
fn a_try_before_the_last_decides_nothing() {
    let mut session = race("any");
    let typo = [("check_digit_wrong", Weight::Failure)];
    session.give("zone", report(CheckStatus::Failed, &typo, &json!({})));
    session.give("card", passed(json!({})));
    assert_eq!(session.status(), "approved", "the branch with the zone was given up");
}

fn race(mode: &str) -> Session {
    let graph = json!({
        "schema": "idv.workflow/1", "start": "both",
        "nodes": {
            "both": { "type": "parallel", "branches": ["zone", "card"],
                      "join": { "mode": mode, "then": "end" } },
            "zone": { "type": "check", "check": "mrz", "next": "pause" },
            "pause": { "type": "wait", "for": "PT1H", "next": "chip" },
            "chip": { "type": "check", "check": "emrtd" },
            "card": { "type": "check", "check": "barcode" },
            "end": { "type": "decide", "rule": "fold" }
        }
    });
    Session::begin(&graph)
}

#[test]
fn the_first_branch_ends_the_others() {
    let mut session = race("any");
    session.give("zone", passed(json!({})));
    let pause = session.serial("pause");
    session.give("card", Outcome::Unsupported("none".into()));
    assert_eq!((session.status(), session.waits()), ("in_review", vec!["end"]));
    assert_eq!(session.happen(Event::Due { serial: pause }), Err(Refused::Stale));

    let mut session = race("first_decisive");
    session.give("zone", passed(json!({})));
    session.give("card", Outcome::Unsupported("none".into()));
    session.later(3_600);
    session.due("pause");
    assert_eq!(session.waits(), ["chip"]);
    session.give("chip", passed(json!({})));
    assert_eq!(
        (session.status(), session.waits()),
        ("in_review", vec!["end"]),
        "the card is missing"
    );

    let mut session = race("first_decisive");
    session.give("card", passed(json!({})));
    assert_eq!((session.status(), session.waits()), ("approved", vec![]));
}

#[test]
fn loops_end_where_they_must() {
    let graph = json!({
        "schema": "idv.workflow/1", "start": "zone",
        "nodes": {
            "zone": { "type": "check", "check": "mrz", "next": "route",
                      "visits": { "max": 2, "over": "no" } },
            "route": { "type": "branch", "else": "yes",
                       "cases": [{ "id": "again", "goto": "zone", "when": { "cel": "zone.age < 18" } }] },
            "yes": { "type": "decide", "set": "approved" },
            "no": { "type": "decide", "set": "declined", "reason": "TOO_YOUNG" }
        }
    });
    let mut session = Session::begin(&graph);
    session.give("zone", passed(json!({ "age": 17 })));
    assert_eq!(session.waits(), ["zone"]);
    session.give("zone", passed(json!({ "age": 17 })));
    assert_eq!(session.status(), "declined");
    assert_eq!(session.ways().last().unwrap(), "no declined");
}

#[test]
fn a_check_that_a_loop_asks_for_again_counts_no_more() {
    let mut session = Session::begin(&json!({
        "schema": "idv.workflow/1",
        "start": "both",
        "nodes": {
            "both": { "type": "parallel", "branches": ["chip", "picture"],
                      "join": { "mode": "any", "then": "end" } },
            "chip": { "type": "check", "check": "emrtd", "next": "again",
                      "visits": { "max": 3, "over": "wait" } },
            "again": { "type": "branch", "cases": [
                { "id": "no", "goto": "chip", "when": { "cel": "emrtd.passive == 'passed'" } }
            ], "else": "wait" },
            "wait": { "type": "wait", "for": "PT1M" },
            "picture": { "type": "check", "check": "image" },
            "end": { "type": "decide", "rule": "fold" }
        }
    }));
    session.give("chip", chip());
    assert_eq!(session.waits(), ["picture", "chip"]);
    let done = &session.state.done["chip"];
    assert_eq!(
        (done.status, done.why.as_deref()),
        (CheckStatus::NotPerformed, Some("asked_again"))
    );
    session.give("picture", passed(json!({})));
    assert_eq!(session.status(), "in_review", "the chip was asked for again and never given");
}

#[test]
fn going_round_a_loop_makes_nobody_better() {
    let graph = json!({
        "schema": "idv.workflow/1",
        "start": "zone",
        "nodes": {
            "zone": { "type": "check", "check": "mrz", "next": "screen" },
            "screen": { "type": "check", "check": "aml", "next": "own" },
            "own": { "type": "check", "check": "lists", "next": "chip" },
            "chip": { "type": "check", "check": "emrtd", "next": "again",
                      "on_unsupported": { "set": "not_performed" },
                      "visits": { "max": 3, "over": "hits" } },
            "again": { "type": "branch", "else": "hits", "cases": [
                { "id": "no", "goto": "chip", "when": { "cel": "emrtd.status == 'not_performed'" } }
            ] },
            "hits": { "type": "branch", "else": "yes", "cases": [
                { "id": "hit", "goto": "human", "when": { "cel": "aml.hits > 0 || lists.blocked" } }
            ] },
            "human": { "type": "review" },
            "yes": { "type": "decide", "set": "approved" }
        }
    });
    let hit = || report(CheckStatus::Review, &[], &json!({ "hits": 1, "score": 0.9 }));
    let own = |blocked: bool| {
        let status = if blocked { CheckStatus::Failed } else { CheckStatus::Passed };
        report(status, &[], &json!({ "blocked": blocked, "allowed": false }))
    };
    for (screened, blocked) in [(true, false), (false, true), (true, true), (false, false)] {
        let mut session = Session::begin(&graph);
        session.give("zone", passed(json!({})));
        session.perform("screen", if screened { hit() } else { nothing_listed() });
        session.perform("own", own(blocked));
        while session.waits().contains(&"chip") {
            session.give("chip", Outcome::Unsupported("no_nfc".into()));
        }
        let expected = if screened || blocked { "in_review" } else { "approved" };
        assert_eq!(session.status(), expected, "{screened} {blocked}");
    }
}

#[test]
fn nothing_but_what_passed_approves() {
    let graph = json!({
        "schema": "idv.workflow/1", "start": "zone",
        "nodes": {
            "zone": { "type": "check", "check": "mrz", "next": "end",
                      "on_unsupported": { "set": "not_performed" } },
            "end": { "type": "decide", "rule": "fold", "review": { "queue": "front", "approvers": 2 } }
        }
    });
    let mut session = Session::begin(&graph);
    session.give("zone", Outcome::Unsupported("lost".into()));
    assert_eq!(session.status(), "in_review");
    session.vote("ada", Verdict::Approved).unwrap();
    assert_eq!(session.status(), "in_review");
    session.vote("bob", Verdict::Approved).unwrap();
    assert_eq!(session.status(), "approved");
}

#[test]
fn a_simulation_takes_no_time() {
    let plan = plan(&kyc());
    let mut fixture = Fixture::default();
    fixture.outcomes.insert("mrz".into(), vec![passed(json!({}))]);
    fixture.outcomes.insert("chip".into(), vec![Outcome::Unsupported("no_reader".into())]);
    let down = Outcome::Unavailable("down".into());
    let listed = report(CheckStatus::Review, &[], &json!({ "hits": 1 }));
    fixture.outcomes.insert("lists".into(), vec![down, listed]);
    let stuck = simulate(&plan, &fixture, BEGIN);
    // Nobody looked within a day.
    assert_eq!(
        (stuck.status, stuck.decision.unwrap().reason.as_deref()),
        (Status::Declined, Some("DOC_FORGED"))
    );
    fixture.review = Some(Verdict::Approved);
    let approved = simulate(&plan, &fixture, BEGIN);
    assert_eq!(approved.status, Status::Approved);
    assert_eq!(simulate(&plan, &fixture, BEGIN), approved);
    fixture.outcomes.remove("mrz");
    let waits = simulate(&plan, &fixture, BEGIN);
    assert_eq!((waits.status, &waits.waits_at[..]), (Status::Created, &["zone".to_owned()][..]));
}
