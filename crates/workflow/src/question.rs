//! What a person is asked in words, and what counts as an answer.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::is_name;

/// Questions of one step.
pub const QUESTIONS_MAX: usize = 24;
/// Answers that there are to choose from.
const OPTIONS_MAX: usize = 24;
/// Bytes of a text in one language.
const TEXT_MAX_BYTES: usize = 500;
/// Languages of a text.
const LANGUAGES_MAX: usize = 16;
/// Letters of an answer in words.
const ANSWER_MAX_CHARS: usize = 1_000;

/// A text by language tag (BCP 47).
pub type Said = BTreeMap<String, String>;

/// A question.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Question {
    /// As answers and conditions name it.
    pub id: String,
    /// What is asked.
    pub text: Said,
    /// What counts as an answer.
    pub kind: QuestionKind,
    /// For `choice` what there is to choose from.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub options: Vec<Choice>,
    /// Whether it may be left out.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub optional: bool,
}

/// What counts as an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum QuestionKind {
    /// Words, at most 1,000 letters.
    Text,
    /// `yes` or `no`.
    YesNo,
    /// The id of an option.
    Choice,
    /// A day, `YYYY-MM-DD`.
    Date,
    /// Digits, at most 15, with at most two after a point.
    Number,
}

/// One of several answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Choice {
    /// As the answer names it.
    pub id: String,
    /// What it says.
    pub text: Said,
}

impl Question {
    /// The answer in its usual form; nothing if it is none.
    pub fn read(&self, answer: &str) -> Option<String> {
        // Forms send lines with two signs at their end, and half of Europe writes a comma.
        let answer = answer.trim().replace("\r\n", "\n");
        let answer = match self.kind {
            QuestionKind::Number if !answer.contains('.') => answer.replacen(',', ".", 1),
            _ => answer,
        };
        let answer = &answer[..];
        let fits = match self.kind {
            QuestionKind::Text => {
                let plain = |letter: char| !letter.is_control() || "\r\n\t".contains(letter);
                answer.chars().count() <= ANSWER_MAX_CHARS && answer.chars().all(plain)
            }
            QuestionKind::YesNo => ["yes", "no"].contains(&answer),
            QuestionKind::Choice => self.options.iter().any(|choice| choice.id == answer),
            QuestionKind::Date => is_day(answer),
            QuestionKind::Number => is_number(answer),
        };
        (fits && !answer.is_empty()).then(|| answer.to_owned())
    }

    /// Whether its answers can be looked at by conditions.
    pub fn is_closed(&self) -> bool {
        matches!(self.kind, QuestionKind::YesNo | QuestionKind::Choice)
    }
}

/// In a language, or in English, or in whichever there is.
pub fn said<'a>(text: &'a Said, tag: &str) -> &'a str {
    let found = text.get(tag).or_else(|| text.get("en")).or_else(|| text.values().next());
    found.map_or("", String::as_str)
}

fn is_day(text: &str) -> bool {
    let shape = text.len() == 10
        && text.bytes().enumerate().all(|(at, byte)| match at {
            4 | 7 => byte == b'-',
            _ => byte.is_ascii_digit(),
        });
    let number = |from: usize, to: usize| text.get(from..to).and_then(|part| part.parse().ok());
    let (Some(year), Some(month), Some(day)) =
        (number(0, 4), number(5, 7), number(8, 10).filter(|_| shape))
    else {
        return false;
    };
    let leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
    let days: u32 = match month {
        1 | 3 | 5 | 7 | 8 | 10 | 12 => 31,
        4 | 6 | 9 | 11 => 30,
        2 if leap => 29,
        2 => 28,
        _ => 0,
    };
    let year: u32 = year;
    year > 0 && (1..=days).contains(&day)
}

fn is_number(text: &str) -> bool {
    let text = text.strip_prefix('-').unwrap_or(text);
    let (whole, rest) =
        text.split_once('.').map_or((text, None), |(whole, rest)| (whole, Some(rest)));
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    digits(whole) && whole.len() <= 15 && rest.is_none_or(|rest| digits(rest) && rest.len() <= 2)
}

/// What is wrong with the questions of a step: where, and what it must be.
pub(crate) fn problem(questions: &[Question]) -> Option<(String, &'static str)> {
    if !(1..=QUESTIONS_MAX).contains(&questions.len()) {
        return Some(("/questions".to_owned(), "must be 1 to 24 questions"));
    }
    let is_said = |text: &Said| {
        let fits = |(tag, text): (&String, &String)| {
            let is_tag = tag.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
            is_tag
                && (2..=35).contains(&tag.len())
                && (1..=TEXT_MAX_BYTES).contains(&text.trim().len())
                && !text.chars().any(char::is_control)
        };
        (1..=LANGUAGES_MAX).contains(&text.len()) && text.iter().all(fits)
    };
    let mut ids = BTreeSet::new();
    for (place, question) in questions.iter().enumerate() {
        let at = |member: &str| format!("/questions/{place}/{member}");
        if !is_name(&question.id) || !ids.insert(&question.id) {
            return Some((at("id"), "must be a name, and there once"));
        }
        if !is_said(&question.text) {
            return Some((at("text"), "must be texts of at most 500 bytes by language"));
        }
        let is_choice = question.kind == QuestionKind::Choice;
        let mut options = BTreeSet::new();
        let fits = question.options.iter().all(|choice| {
            is_name(&choice.id) && options.insert(&choice.id) && is_said(&choice.text)
        });
        let fitting = if is_choice { 2..=OPTIONS_MAX } else { 0..=0 };
        if !fits || !fitting.contains(&question.options.len()) {
            return Some((at("options"), "must be 2 to 24 for a choice, and none for others"));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn question(kind: QuestionKind) -> Question {
        let text = Said::from([("en".to_owned(), "Well?".to_owned())]);
        let options = match kind {
            QuestionKind::Choice => {
                ["a", "b"].map(|id| Choice { id: id.to_owned(), text: text.clone() }).to_vec()
            }
            _ => Vec::new(),
        };
        Question { id: "q".to_owned(), text, kind, options, optional: false }
    }

    #[test]
    fn answers_are_what_they_are_asked_to_be() {
        let read = |kind, answer: &str| question(kind).read(answer);
        for (kind, answers) in [
            (QuestionKind::Text, &["a", " ä\nb ", "1"][..]),
            (QuestionKind::YesNo, &["yes", " no"]),
            (QuestionKind::Choice, &["a", "b"]),
            (QuestionKind::Date, &["2024-02-29", "1900-12-31"]),
            (QuestionKind::Number, &["0", "-12.50", "999999999999999"]),
        ] {
            for answer in answers {
                assert_eq!(read(kind, answer).as_deref(), Some(answer.trim()), "{answer}");
            }
        }
        assert_eq!(read(QuestionKind::Number, "12,5").as_deref(), Some("12.5"));
        assert_eq!(read(QuestionKind::Text, "a\r\nb").as_deref(), Some("a\nb"));
        let long = "x".repeat(1_001);
        for (kind, answers) in [
            (QuestionKind::Text, &["", "  ", "a\0", &long][..]),
            (QuestionKind::YesNo, &["", "maybe", "YES"]),
            (QuestionKind::Choice, &["", "c", "A"]),
            (
                QuestionKind::Date,
                &["2023-02-29", "2023-13-01", "23-01-01", "0000-01-01", "2023-1-01x", "2023é01é1"],
            ),
            (QuestionKind::Number, &["", ".5", "1.", "1.234", "1e3", "1000000000000000", "١"]),
        ] {
            for answer in answers {
                assert_eq!(read(kind, answer), None, "{answer}");
            }
        }
    }

    #[test]
    fn questions_that_make_no_sense_are_named() {
        let fine = question(QuestionKind::Choice);
        assert_eq!(problem(std::slice::from_ref(&fine)), None);
        let at = |questions: &[Question]| problem(questions).map(|(at, _)| at);
        assert_eq!(at(&[]).as_deref(), Some("/questions"));
        assert_eq!(at(&vec![fine.clone(); 25]).as_deref(), Some("/questions"));
        assert_eq!(at(&[fine.clone(), fine.clone()]).as_deref(), Some("/questions/1/id"));
        let none = Question { options: Vec::new(), ..fine.clone() };
        assert_eq!(at(&[none]).as_deref(), Some("/questions/0/options"));
        let others = Question { kind: QuestionKind::Text, ..fine.clone() };
        assert_eq!(at(&[others]).as_deref(), Some("/questions/0/options"));
        let silent = Question { text: Said::new(), ..fine };
        assert_eq!(at(&[silent]).as_deref(), Some("/questions/0/text"));
        assert_eq!(said(&Said::from([("de".to_owned(), "Ja".to_owned())]), "fr"), "Ja");
    }
}
