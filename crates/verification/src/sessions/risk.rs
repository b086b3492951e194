//! One number for what other checks found doubtful, with its parts: none of them is a proof, and together they may be
//! a reason to look.
//!
//! Each part has a weight of a hundred. Parts add up as chances do that nothing is wrong, so that many small ones are
//! no certainty and none takes another's place.

use portcullis_types::{Id, tags};
use portcullis_workflow::{Assurance, CheckStatus, Outcome, Reason, Report, Value, Values, Weight};
use serde_json::{Value as Json, json};

use super::{Detail, Open, Sessions};

/// From here on it is for people.
const HIGH: u32 = 60;
/// From here on it is not low.
const MEDIUM: u32 = 25;

/// A part of the score.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Part {
    /// What was found, by check and word.
    signal: &'static str,
    /// Of a hundred.
    weight: u32,
}

/// What each flag of a check weighs.
const FLAGS: [(&str, &str, &str, u32); 14] = [
    ("ip", "is_tor", "ip.tor", 45),
    ("ip", "is_proxy", "ip.proxy", 30),
    ("ip", "is_hosting", "ip.data_centre", 25),
    ("ip", "country_differs", "ip.other_country", 15),
    ("device", "is_automated", "device.automated", 45),
    ("device", "is_many", "device.many", 45),
    ("device", "contradicts", "device.contradicts", 35),
    ("device", "time_zone_differs", "device.other_time_zone", 20),
    ("device", "languages_differ", "device.other_languages", 5),
    ("device", "tls_differs", "device.other_tls", 15),
    ("email", "is_disposable", "email.disposable", 35),
    ("phone", "country_differs", "phone.other_country", 10),
    ("lists", "blocked", "lists.blocked", 90),
    ("face_search", "blocked", "face_search.blocked", 90),
];

/// From which number on something weighs how much.
type Steps = &'static [(f64, u32)];

/// What numbers of a check weigh, from each of them on; the last that fits counts.
const NUMBERS: [(&str, &str, &str, Steps); 6] = [
    ("velocity", "people", "velocity.shared", &[(1.0, 35), (3.0, 60)]),
    ("velocity", "people_by_device", "velocity.device", &[(1.0, 15), (3.0, 30)]),
    ("velocity", "sessions_day", "velocity.often", &[(3.0, 10), (10.0, 30)]),
    ("velocity", "declined", "velocity.declined", &[(1.0, 15), (3.0, 35)]),
    ("aml", "hits", "aml.hits", &[(1.0, 40)]),
    ("face_search", "people", "face_search.others", &[(1.0, 45), (3.0, 70)]),
];

impl Sessions {
    /// What the other checks of the session come to.
    pub(super) fn weigh(&self, open: &Open) -> Outcome {
        let Some((parts, looked_at)) = parts(open) else {
            return Outcome::Unsupported("nothing_to_weigh".to_owned());
        };
        // What was to be looked at and could not be is no sign that all is well; but for what may be left out.
        let undone = open.state.done.iter().filter(|(node, done)| {
            let check = open.plan.check(node).map(|check| &check.check[..]);
            done.report.is_none()
                && done.status != CheckStatus::NotPerformed
                && check.is_some_and(is_weighed)
        });
        let missing: Vec<String> = undone.map(|(node, _)| node.clone()).collect();
        let id: Id<tags::Check> = Id::new(self.now(), &*self.entropy);
        Outcome::Report(Box::new(report(id, &parts, &looked_at, &missing)))
    }
}

fn is_weighed(check: &str) -> bool {
    let flags = FLAGS.iter().map(|(own, ..)| *own);
    flags.chain(NUMBERS.iter().map(|(own, ..)| *own)).any(|own| own == check)
}

/// What was found, and by which checks; nothing if none of them was done.
fn parts(open: &Open) -> Option<(Vec<Part>, Vec<String>)> {
    let done = open.state.done.iter().filter_map(|(node, done)| {
        let report = done.report.as_ref()?;
        Some((node, &open.plan.check(node)?.check[..], &report.values))
    });
    let done: Vec<_> = done.collect();
    let looked_at: Vec<String> = done
        .iter()
        // A search that looked at nobody tells nothing.
        .filter(|(_, check, values)| {
            is_weighed(check) && (*check != "face_search" || values.contains_key("blocked"))
        })
        .map(|(node, ..)| (*node).clone())
        .collect();
    if looked_at.is_empty() {
        return None;
    }
    let of = |check: &str, name: &str| {
        let fitting = done.iter().filter(|(_, own, _)| *own == check);
        fitting.filter_map(|(.., values)| values.get(name)).collect::<Vec<_>>()
    };
    let flags = FLAGS.iter().filter_map(|(check, name, signal, weight)| {
        let is_set = of(check, name).contains(&&Value::Flag(true));
        is_set.then_some(Part { signal, weight: *weight })
    });
    let numbers = NUMBERS.iter().filter_map(|(check, name, signal, steps)| {
        let most = of(check, name).into_iter().filter_map(|value| match value {
            Value::Number(number) => Some(*number),
            _ => None,
        });
        let most = most.fold(0.0, f64::max);
        let step = steps.iter().rev().find(|(from, _)| most >= *from)?;
        Some(Part { signal, weight: step.1 })
    });
    let again = open.has_failed.then_some(Part { signal: "session.failed_before", weight: 10 });
    Some((flags.chain(numbers).chain(again).collect(), looked_at))
}

/// Of a hundred: what is left of certainty that nothing is wrong.
fn score(parts: &[Part]) -> u32 {
    // In millionths, so that the same parts are the same number everywhere.
    let left = parts.iter().fold(1_000_000_u64, |left, part| {
        left * u64::from(100_u32.saturating_sub(part.weight)) / 100
    });
    u32::try_from((1_000_000 - left + 5_000) / 10_000).unwrap_or(100)
}

fn report(id: Id<tags::Check>, parts: &[Part], looked_at: &[String], missing: &[String]) -> Report {
    let score = score(parts);
    let level = match score {
        HIGH.. => "high",
        MEDIUM.. => "medium",
        _ => "low",
    };
    let is_high = score >= HIGH;
    let doubt = |code: &str| Reason { code: code.to_owned(), severity: Weight::Doubt };
    let reasons = [
        is_high.then(|| doubt("risk_high")),
        (!missing.is_empty()).then(|| doubt("signals_missing")),
    ];
    let reasons: Vec<Reason> = reasons.into_iter().flatten().collect();
    let status = if reasons.is_empty() { CheckStatus::Passed } else { CheckStatus::Review };
    let values = Values::from([
        ("score".to_owned(), Value::Number(f64::from(score))),
        ("level".to_owned(), Value::Text(level.to_owned())),
        ("missing".to_owned(), Value::Texts(missing.to_vec())),
        (
            "parts".to_owned(),
            Value::Texts(parts.iter().map(|part| part.signal.to_owned()).collect()),
        ),
    ]);
    let shown = parts.iter().map(|part| json!({ "signal": part.signal, "weight": part.weight }));
    let view = json!({
        "id": id.to_string(),
        "check": "risk",
        "status": status,
        "assurance": Assurance::Heuristic,
        "reasons": reasons,
        "score": score,
        "level": level,
        "parts": shown.collect::<Json>(),
        "nodes": looked_at,
        "missing": missing,
    });
    Report {
        id: id.to_string(),
        status,
        assurance: Assurance::Heuristic,
        reasons,
        values,
        detail: json!(Detail { view, ..Detail::default() }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_small_parts_are_no_certainty() {
        let of = |weights: &[u32]| {
            let parts: Vec<Part> =
                weights.iter().map(|weight| Part { signal: "x", weight: *weight }).collect();
            score(&parts)
        };
        assert_eq!(of(&[]), 0);
        assert_eq!(of(&[45]), 45);
        assert_eq!(of(&[45, 35]), 64);
        assert_eq!(of(&[35, 45]), 64);
        assert_eq!(of(&[10; 6]), 47);
        assert_eq!(of(&[90, 60, 45, 35, 30]), 99);
        assert_eq!(of(&[100, 45]), 100);
    }
}
