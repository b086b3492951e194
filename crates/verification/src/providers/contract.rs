use http::StatusCode;
use portcullis_egress::Answer;
use portcullis_types::{Id, tags};
use portcullis_workflow::{Assurance, CheckStatus, Outcome, Reason, Report, Value, Values, Weight};
use serde::Deserialize;
use serde_json::json;

use crate::sessions::Detail;

/// Reasons of one answer.
const REASONS_MAX: usize = 32;
/// Bytes of a code or another word.
const WORD_MAX_BYTES: usize = 64;

/// What a provider answers.
#[derive(Debug, Deserialize)]
struct Said {
    /// Their own name for it.
    id: String,
    status: CheckStatus,
    #[serde(default)]
    reasons: Vec<Reason>,
    #[serde(default)]
    values: SaidValues,
    #[serde(default)]
    version: Option<String>,
}

/// What conditions can look at.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct SaidValues {
    /// From 0 to 1.
    score: Option<f64>,
    outcome: Option<String>,
}

/// What the answer of a provider to a check means, by whom and by what they know it: `idv.check/1` in
/// `docs/check-providers.md`. Whatever is not said plainly passes nobody.
pub fn provider_outcome(
    answer: &Answer,
    what: (&str, Id<tags::Check>),
    by: (&str, Assurance),
) -> Outcome {
    match answer.status {
        StatusCode::OK => said(&answer.body, what, by)
            .unwrap_or_else(|| Outcome::Error("provider_answer".to_owned())),
        StatusCode::UNPROCESSABLE_ENTITY => Outcome::Unsupported("provider_cannot".to_owned()),
        StatusCode::TOO_MANY_REQUESTS | StatusCode::REQUEST_TIMEOUT => {
            Outcome::Unavailable("provider_busy".to_owned())
        }
        status if status.is_server_error() => Outcome::Unavailable("provider_failed".to_owned()),
        status => Outcome::Error(format!("provider_{}", status.as_u16())),
    }
}

fn said(
    body: &[u8],
    (check, report): (&str, Id<tags::Check>),
    (name, assurance): (&str, Assurance),
) -> Option<Outcome> {
    // An object, and no list that happens to fit.
    let object: serde_json::Map<String, serde_json::Value> = serde_json::from_slice(body).ok()?;
    let said = Said::deserialize(serde_json::Value::Object(object)).ok()?;
    let gravest = said.reasons.iter().map(|reason| reason.severity).max();
    // A check that found a failure has not passed, whatever else is said.
    let agrees = match said.status {
        CheckStatus::Passed => gravest.is_none_or(|gravest| gravest == Weight::Information),
        CheckStatus::Review => gravest != Some(Weight::Failure),
        CheckStatus::Failed | CheckStatus::NotPerformed => true,
        CheckStatus::Error => false,
    };
    let codes = said.reasons.iter().map(|reason| &reason.code);
    let words = codes.chain(&said.values.outcome);
    let fits = agrees
        && said.reasons.len() <= REASONS_MAX
        && words.into_iter().all(|text| is_word(text))
        && is_text(&said.id)
        && said.version.as_deref().is_none_or(is_text)
        && said.values.score.is_none_or(|score| (0.0..=1.0).contains(&score));
    if !fits {
        return None;
    }
    let mut values = Values::new();
    if let Some(score) = said.values.score {
        values.insert("score".to_owned(), Value::Number(score));
    }
    if let Some(outcome) = &said.values.outcome {
        values.insert("outcome".to_owned(), Value::Text(outcome.clone()));
    }
    let reasons: Vec<_> = said.reasons.iter().map(|reason| json!(reason)).collect();
    let view = json!({
        "id": report.to_string(),
        "check": check,
        "status": said.status,
        "assurance": assurance,
        "reasons": reasons,
        "values": values,
        "provider": { "name": name, "version": said.version, "id": said.id },
    });
    Some(Outcome::Report(Box::new(Report {
        // Theirs may say something of the person, and is not for the log.
        id: report.to_string(),
        status: said.status,
        assurance,
        reasons: said.reasons,
        values,
        detail: json!(Detail { view, ..Detail::default() }),
    })))
}

/// What goes into the log for good: a code, and nothing of a person.
fn is_word(text: &str) -> bool {
    let fits = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
    (1..=WORD_MAX_BYTES).contains(&text.len()) && text.bytes().all(fits)
}

fn is_text(text: &str) -> bool {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"_-.:".contains(&byte);
    (1..=WORD_MAX_BYTES).contains(&text.len()) && text.bytes().all(fits)
}

#[cfg(test)]
mod tests {
    use serde_json::Value as Json;

    use super::*;

    fn come_to(status: u16, body: &Json) -> Outcome {
        let answer = Answer {
            status: StatusCode::from_u16(status).unwrap(),
            content_type: None,
            body: body.to_string().into(),
        };
        provider_outcome(&answer, ("database", Id::from_bits(7)), ("register", Assurance::Database))
    }

    #[test]
    fn what_is_said_plainly_is_a_report() {
        let body = json!({
            "id": "r-1", "status": "review", "more": 1, "version": "2.1",
            "reasons": [{ "code": "address_differs", "severity": "doubt" }],
            "values": { "score": 0.5, "outcome": "partial" },
        });
        let Outcome::Report(report) = come_to(200, &body) else { panic!() };
        assert_eq!((report.status, report.assurance), (CheckStatus::Review, Assurance::Database));
        assert_eq!(report.reasons[0].code, "address_differs");
        assert_eq!(report.values["score"], Value::Number(0.5));
        assert_eq!(
            report.detail["view"]["provider"],
            json!({ "name": "register", "version": "2.1", "id": "r-1" })
        );
    }

    #[test]
    fn what_is_not_passes_nobody() {
        let fine = json!({ "id": "r-1", "status": "passed" });
        assert!(matches!(come_to(200, &fine), Outcome::Report(_)));
        let failure = json!([{ "code": "x", "severity": "failure" }]);
        for (name, value) in [
            ("status", json!("approved")),
            ("status", json!("error")),
            ("status", Json::Null),
            ("id", json!("Erika Mustermann")),
            ("id", json!("")),
            ("reasons", failure),
            ("reasons", json!([{ "code": "x", "severity": "doubt" }])),
            ("reasons", json!([{ "code": "Erika M", "severity": "information" }])),
            ("reasons", json!(vec![json!({ "code": "x", "severity": "information" }); 33])),
            ("values", json!({ "score": 1.5 })),
            ("values", json!({ "scor": 1 })),
            ("values", json!({ "outcome": "Erika M" })),
            ("version", json!("a b")),
        ] {
            let mut body = fine.clone();
            body[name] = value.clone();
            let came = come_to(200, &body);
            assert_eq!(came, Outcome::Error("provider_answer".into()), "{name} {value}");
        }
        let list = json!(["r-1", "passed"]);
        assert_eq!(come_to(200, &list), Outcome::Error("provider_answer".into()));
        assert_eq!(come_to(200, &json!([1])), Outcome::Error("provider_answer".into()));
    }

    #[test]
    fn statuses_say_what_to_do() {
        let of = |status| come_to(status, &json!({ "id": "r-1", "status": "passed" }));
        assert!(matches!(of(503), Outcome::Unavailable(_)));
        assert!(matches!(of(429), Outcome::Unavailable(_)));
        assert!(matches!(of(422), Outcome::Unsupported(_)));
        for status in [201, 202, 301, 400, 401, 404] {
            assert_eq!(of(status), Outcome::Error(format!("provider_{status}")), "{status}");
        }
    }
}
