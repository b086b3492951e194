//! What can be said of each node alone.

use std::{collections::BTreeSet, time::Duration};

use super::Problems;
use crate::{
    catalogue::{CATALOGUE, Input, check_spec},
    graph::{Branch, Check, Decide, Graph, Node, Review, Set, Verifies, Visits},
    question,
    read::is_name,
    span::Span,
};

const ATTEMPTS_MAX: u32 = 20;
const APPROVERS_MAX: u32 = 5;
const LISTS_MAX: usize = 20;
const CASES_MAX: usize = 50;
const RETRIES_MAX: u32 = 10;
/// How often the nodes of a graph may be entered again in all.
const VISITS_MAX: u32 = 100;
const TTL_MIN: Duration = Duration::from_secs(60);
/// Faces are kept so long at least: below it nobody is found again.
const KEEP_MIN: Duration = Duration::from_secs(24 * 3_600);
const BACKOFF_MAX: Duration = Duration::from_secs(24 * 3600);
/// Bytes of the name of a trust framework, and of a level of it.
const FRAMEWORK_MAX_BYTES: usize = 128;
/// A check runs while somebody waits, or an executor does.
const TIMEOUT_MAX: Duration = Duration::from_secs(15 * 60);

pub(super) fn check(graph: &Graph, problems: &mut Problems) {
    if graph.limits.ttl.duration() < TTL_MIN {
        problems.add("limit", None, "/limits/ttl", "the person needs at least PT1M");
    }
    if !(1..=ATTEMPTS_MAX).contains(&graph.limits.attempts) {
        let message = format!("must be from 1 to {ATTEMPTS_MAX}");
        problems.add("limit", None, "/limits/attempts", message);
    }
    let visits = graph.visits.values().map(|visits| visits.max);
    if visits.fold(0, u32::saturating_add) > VISITS_MAX {
        let message = format!("nodes may be entered again at most {VISITS_MAX} times in all");
        problems.add("limit", None, "/nodes", message);
    }
    for (name, Visits { max, .. }) in &graph.visits {
        if *max == 0 {
            problems.add("limit", Some(name), "/visits/max", "must be at least 1");
        }
    }
    if let Some(verifies) = &graph.verifies {
        check_verifies(graph, verifies, problems);
    }
    for (name, node) in &graph.nodes {
        match node {
            Node::Check(check) => check_check(name, check, problems),
            Node::Branch(branch) => check_branch(name, branch, problems),
            Node::Review(review) => check_review(name, "", review, problems),
            Node::Decide(decide) => check_decide(name, decide, problems),
            Node::Webhook(webhook) => {
                if !is_name(&webhook.event) {
                    let message = "has 1 to 64 letters, digits, hyphens and underscores";
                    problems.add("form", Some(name), "/event", message);
                }
            }
            Node::Parallel(_) | Node::Wait(_) => {}
        }
    }
}

/// Whether this can be the name of a trust framework, or of a level of one.
pub fn is_trust_framework(text: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"_-.:/".contains(&byte);
    (1..=FRAMEWORK_MAX_BYTES).contains(&text.len()) && text.bytes().all(plain)
}

/// Whoever is told whom an account belongs to relies on a signature, not on what somebody typed.
fn check_verifies(graph: &Graph, verifies: &Verifies, problems: &mut Problems) {
    let fits = is_trust_framework;
    let must = "has 1 to 128 letters, digits and any of _-.:/";
    if !fits(&verifies.trust_framework) {
        problems.add("form", None, "/verifies/trust_framework", must);
    }
    if verifies.assurance_level.as_deref().is_some_and(|level| !fits(level)) {
        problems.add("form", None, "/verifies/assurance_level", must);
    }
    let proves = |node: &Node| match node {
        Node::Check(check) => check.check == "emrtd" && check.require.contains("passive"),
        _ => false,
    };
    if !graph.nodes.get(&verifies.from).is_some_and(proves) {
        let message = "must be a node that checks emrtd and requires passive";
        problems.add("proves_nothing", None, "/verifies/from", message);
    }
}

/// Whether every edge leads to a node.
pub(super) fn edges(graph: &Graph, problems: &mut Problems) -> bool {
    let mut fine = true;
    let mut look = |node: Option<&str>, at: &str, to: &str| {
        if !graph.nodes.contains_key(to) {
            problems.add("unknown_node", node, at, format!("there is no node {to}"));
            fine = false;
        }
    };
    look(None, "/start", &graph.start);
    for (name, node) in &graph.nodes {
        node.edges().iter().for_each(|edge| look(Some(name), edge.at, edge.to));
        if let Node::Parallel(parallel) = node {
            parallel.branches.iter().for_each(|to| look(Some(name), "/branches", to));
        }
    }
    for (name, visits) in &graph.visits {
        look(Some(name), "/visits/over", &visits.over);
    }
    fine
}

fn check_check(name: &str, check: &Check, problems: &mut Problems) {
    let Some(spec) = check_spec(&check.check) else {
        let all: Vec<&str> = CATALOGUE.iter().map(|spec| spec.name).collect();
        let message = format!("there is no check {}: there are {}", check.check, all.join(", "));
        return problems.add("unknown_check", Some(name), "/check", message);
    };
    for part in check.require.iter().filter(|part| !spec.parts.contains(&&part[..])) {
        let message = format!("{} has no part {part}", spec.name);
        problems.add("unknown_part", Some(name), "/require", message);
    }
    if check.policy.is_some() && spec.name != "aml" {
        problems.add("form", Some(name), "/policy", format!("{} knows no policies", spec.name));
    }
    if check.monitor && spec.name != "aml" {
        problems.add("form", Some(name), "/monitor", format!("{} has no lists", spec.name));
    }
    if !check.lists.is_empty() && !matches!(spec.name, "lists" | "face_search") {
        problems.add("form", Some(name), "/lists", format!("{} looks at no lists", spec.name));
    }
    if check.lists.len() > LISTS_MAX || !check.lists.iter().all(|list| is_name(list)) {
        let message = format!("must be at most {LISTS_MAX} names of lists");
        problems.add("form", Some(name), "/lists", message);
    }
    if spec.name == "questionnaire" {
        if let Some((at, must)) = question::problem(&check.questions) {
            problems.add("form", Some(name), &at, must);
        }
    } else if !check.questions.is_empty() {
        problems.add("form", Some(name), "/questions", format!("{} asks nothing", spec.name));
    }
    match check.keep.map(|span| span.duration() >= KEEP_MIN) {
        Some(_) if spec.name != "face_search" => {
            problems.add("form", Some(name), "/keep", format!("{} keeps nothing", spec.name));
        }
        Some(false) => problems.add("limit", Some(name), "/keep", "must be at least P1D"),
        Some(true) | None => {}
    }
    match (&check.provider, spec.calls) {
        (Some(name_of), true) if is_name(name_of) => {}
        (None, false) => {}
        (_, true) => problems.add("form", Some(name), "/provider", "needs the name of a provider"),
        (_, false) => {
            let message = format!("{} is done here, by no provider", spec.name);
            problems.add("form", Some(name), "/provider", message);
        }
    }
    if check.from.is_some() && !spec.needs_person && !spec.compares {
        problems.add("form", Some(name), "/from", format!("{} takes nothing", spec.name));
    }
    if let Some(retry) = check.retry {
        if retry.max > RETRIES_MAX || retry.backoff.duration() > BACKOFF_MAX {
            let message = format!("at most {RETRIES_MAX} times, after at most P1D");
            problems.add("limit", Some(name), "/retry", message);
        }
        if spec.input == Input::Person {
            let message = "means nothing here: the person sends again what could not be looked at";
            problems.warn("no_effect", name, "/retry", message);
        }
    }
    let fits = |span: &Span| (Duration::from_secs(1)..=TIMEOUT_MAX).contains(&span.duration());
    if check.timeout.as_ref().is_some_and(|span| !fits(span)) {
        problems.add("limit", Some(name), "/timeout", "must be from PT1S to PT15M");
    }
}

fn check_branch(name: &str, branch: &Branch, problems: &mut Problems) {
    if branch.otherwise.is_none() {
        let message = "needs an else: a way for when no case holds";
        problems.add("missing_else", Some(name), "/else", message);
    }
    if !(1..=CASES_MAX).contains(&branch.cases.len()) {
        problems.add("limit", Some(name), "/cases", format!("needs 1 to {CASES_MAX} cases"));
    }
    let mut seen = BTreeSet::new();
    for (at, case) in branch.cases.iter().enumerate() {
        if !is_name(&case.id) || case.id == "else" || !seen.insert(&case.id) {
            let message = "cases need different names of letters, digits, hyphens and underscores";
            problems.add("form", Some(name), &format!("/cases/{at}/id"), message);
        }
    }
}

fn check_review(name: &str, at: &str, review: &Review, problems: &mut Problems) {
    if !is_name(&review.queue) {
        let message = "has 1 to 64 letters, digits, hyphens and underscores";
        problems.add("form", Some(name), &format!("{at}/queue"), message);
    }
    if !(1..=APPROVERS_MAX).contains(&review.approvers) {
        let message = format!("must be from 1 to {APPROVERS_MAX}");
        problems.add("limit", Some(name), &format!("{at}/approvers"), message);
    }
    if review.on_timeout.is_some() && review.sla.is_none() {
        let message = "means nothing without sla";
        problems.warn("no_effect", name, &format!("{at}/on_timeout"), message);
    }
}

fn check_decide(name: &str, decide: &Decide, problems: &mut Problems) {
    if decide.rule.is_some() == decide.set.is_some() {
        problems.add("form", Some(name), "", "needs either rule or set");
    }
    let word = |text: &String| {
        (1..=64).contains(&text.len())
            && text
                .bytes()
                .all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'_')
    };
    if decide.reason.as_ref().is_some_and(|reason| !word(reason)) {
        let message = "has 1 to 64 capital letters, digits and underscores";
        problems.add("form", Some(name), "/reason", message);
    }
    let Some(review) = &decide.review else { return };
    if matches!(decide.set, Some(Set::Approved | Set::Declined)) {
        problems.warn("no_effect", name, "/review", "nobody looks at what is set");
    }
    let has_ways = [&review.on_timeout, &review.on_approved, &review.on_declined]
        .iter()
        .any(|to| to.is_some());
    if has_ways {
        let message = "a review in a decide is the end; use a node of its own to go on after it";
        problems.add("form", Some(name), "/review", message);
    }
    check_review(name, "/review", review, problems);
}
