//! Questions of a step, in the language of the page.

use portcullis_texts::t;
use portcullis_verification::Open;
use portcullis_workflow::{QuestionKind, said};

/// A question, as the page shows it.
pub(super) struct Asked {
    pub text: String,
    pub kind: QuestionKind,
    /// Id and text of each.
    pub options: Vec<(String, String)>,
    pub optional: bool,
}

impl Asked {
    pub fn is(&self, kind: &str) -> bool {
        let own = match self.kind {
            QuestionKind::Text => "text",
            QuestionKind::YesNo | QuestionKind::Choice => "choice",
            QuestionKind::Date => "date",
            QuestionKind::Number => "number",
        };
        own == kind
    }
}

/// The questions of a step in the language of the page.
pub(super) fn questions(open: &Open, node: &str) -> Vec<Asked> {
    let tag = portcullis_texts::current().tag();
    let all = open.plan.check(node).map(|check| &check.questions[..]).unwrap_or_default();
    let each = all.iter().map(|question| {
        let own = question.options.iter();
        let options = match question.kind {
            QuestionKind::YesNo => [("yes", t("Yes")), ("no", t("No"))]
                .map(|(id, text)| (id.to_owned(), text.to_owned()))
                .to_vec(),
            _ => {
                own.map(|choice| (choice.id.clone(), said(&choice.text, tag).to_owned())).collect()
            }
        };
        let text = said(&question.text, tag).to_owned();
        Asked { text, kind: question.kind, options, optional: question.optional }
    });
    each.collect()
}
