//! What somebody says to questions.

use std::collections::BTreeMap;

use portcullis_types::{Id, tags};
use portcullis_workflow::{Assurance, CheckStatus, Question, Report, Value, Values};
use serde_json::{Map, Value as Json, json};

use super::{Detail, SessionError};

/// The answers as a report, or what is wrong with them; nothing of them is proven.
pub(super) fn report(
    id: Id<tags::Check>,
    questions: &[Question],
    said: &BTreeMap<String, String>,
) -> Result<Report, SessionError> {
    let invalid =
        |id: &str, must: &str| Err(SessionError::Invalid("questionnaire", format!("{id} {must}")));
    if let Some(other) = said.keys().find(|id| questions.iter().all(|one| one.id != **id)) {
        // What is not asked is not said again.
        let shown: String = other.chars().take(64).filter(char::is_ascii_graphic).collect();
        return invalid(&shown, "is no question");
    }
    let (mut answers, mut chosen) = (Map::new(), Vec::new());
    for question in questions {
        let said = said.get(&question.id).map(String::as_str).unwrap_or_default();
        if said.trim().is_empty() {
            if question.optional {
                continue;
            }
            return invalid(&question.id, "needs an answer");
        }
        let Some(answer) = question.read(said) else {
            return invalid(&question.id, "must be an answer of its kind");
        };
        if question.is_closed() {
            chosen.push(format!("{}={answer}", question.id));
        }
        answers.insert(question.id.clone(), Json::String(answer));
    }
    let status = CheckStatus::Passed;
    let view = json!({
        "id": id.to_string(),
        "check": "questionnaire",
        "status": status,
        "assurance": Assurance::SelfAsserted,
        "reasons": [],
        "answers": answers,
    });
    Ok(Report {
        id: id.to_string(),
        status,
        assurance: Assurance::SelfAsserted,
        reasons: Vec::new(),
        values: Values::from([("answers".to_owned(), Value::Texts(chosen))]),
        detail: json!(Detail { view, ..Detail::default() }),
    })
}
