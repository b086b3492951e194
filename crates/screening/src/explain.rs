//! Reasons in words that a compliance officer can put into a file.

use std::fmt::Write as _;

use serde_json::{Value, json};

use crate::{
    names::How,
    policy::Policy,
    score::{Evidence, PartEvidence, Verdict},
};

impl Verdict {
    /// The reasons as data.
    pub fn to_json(&self) -> Value {
        let names = self.names.as_ref().map(|names| {
            json!({"left": names.left, "right": names.right, "score": names.score, "parts": names.parts})
        });
        json!({"names": names, "qualifiers": self.qualifiers})
    }

    /// The reasons as text.
    pub fn text(&self, policy: &Policy) -> String {
        let mut text = String::new();
        let verdict = if self.is_match { "a match" } else { "no match" };
        let _ = write!(
            text,
            "Score {:.2}: {verdict} (policy {}, threshold {:.2}).",
            // Never shown as the threshold that it does not reach.
            (self.score * 100.0).floor() / 100.0,
            policy.name,
            policy.threshold
        );
        match &self.names {
            Some(names) => {
                let _ = write!(
                    text,
                    " Names: \"{}\" and \"{}\", {:.2} by themselves.",
                    names.left, names.right, names.score
                );
                let (matched, left_over): (Vec<_>, Vec<_>) =
                    names.parts.iter().partition(|part| part.how.is_some());
                let _ = write!(
                    text,
                    "{}",
                    sentence(
                        " Matched: ",
                        &matched.iter().map(|part| matched_text(part)).collect::<Vec<_>>()
                    )
                );
                let _ = write!(
                    text,
                    "{}",
                    sentence(
                        " Without counterpart: ",
                        &left_over.iter().map(|part| left_over_text(part)).collect::<Vec<_>>()
                    )
                );
            }
            None if !self.schemas_fit => {
                text.push_str(" One cannot be the other: they are of different kinds.");
            }
            None => text.push_str(" No names to compare."),
        }
        let qualifiers: Vec<String> = self.qualifiers.iter().map(qualifier_text).collect();
        let _ = write!(text, "{}", sentence(" Beyond names: ", &qualifiers));
        text
    }
}

fn sentence(start: &str, items: &[String]) -> String {
    if items.is_empty() { String::new() } else { format!("{start}{}.", items.join("; ")) }
}

fn matched_text(part: &PartEvidence) -> String {
    let (left, right) = (part.left.as_deref().unwrap_or(""), part.right.as_deref().unwrap_or(""));
    let how = match part.how {
        Some(How::Same) => return format!("\"{left}\" the same"),
        Some(How::Sound) => "sounds alike",
        Some(How::Spelling) => "another spelling or a slip",
        Some(How::NameForm) => "a form of the same name",
        Some(How::Abbreviation) => "an abbreviation",
        Some(How::Translation) => "the same meaning",
        Some(How::Initial) => "an initial",
        Some(How::Consonants) => "the same across scripts",
        Some(How::Joined) => "written together or apart",
        Some(How::LegalForm) => "the same legal form",
        Some(How::OtherLegalForm) => "another legal form",
        Some(How::Whole) => "the names as one word",
        Some(How::Acronym) => "the first letters",
        None => "",
    };
    format!("\"{left}\" and \"{right}\" {how} ({:.2})", part.similarity)
}

fn left_over_text(part: &PartEvidence) -> String {
    let (side, text) = match (&part.left, &part.right) {
        (Some(text), _) => ("left", text.as_str()),
        (_, Some(text)) => ("right", text.as_str()),
        _ => ("", ""),
    };
    format!("\"{text}\" ({side}, {:.0} % of its name)", part.weight * 100.0)
}

fn qualifier_text(evidence: &Evidence) -> String {
    let Evidence { kind, left, right, effect } = evidence;
    let what = match *kind {
        "birth_exact" => format!("born on the same day, {left}"),
        "birth_swapped" => format!("born {left} and {right}, day and month swapped"),
        "birth_nearly_exact" => format!("born {left} and {right}, a slip apart"),
        "birth_consistent" => format!("born {left} and {right}, which agree"),
        "birth_same_year" => format!("born {left} and {right}, the same year"),
        "birth_near" => format!("born {left} and {right}, one or two years apart"),
        "birth_different" => format!("born {left} and {right}"),
        "gender_same" => format!("both {left}"),
        "gender_different" => format!("{left} and {right}"),
        "country_same" => format!("country {left} in common"),
        "country_different" => format!("countries {left} and {right}, none in common"),
        "place_same" => format!("born in \"{left}\" and \"{right}\""),
        "address_same" => format!("addresses \"{left}\" and \"{right}\""),
        "number_same" => format!("the same number, {left}"),
        "number_decides" => {
            format!("the same {left}, which is given once in the world and decides alone")
        }
        "number_different" => format!("document numbers {left} and {right}"),
        "unique_different" => format!("numbers {left} and {right}, of which each has one"),
        "weak_alias" => "the name that matched is a weak alias".to_owned(),
        "former_name" => "the name that matched is a former one".to_owned(),
        other => other.to_owned(),
    };
    format!("{what} ({effect:+.2})")
}
