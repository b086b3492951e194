use portcullis_documents::zone::Expected;
use portcullis_events::{Actor, Origin};
use portcullis_types::{Id, tags};
use portcullis_workflow::{Event, Outcome, Phase};
use serde_json::Value;

use super::{Open, SessionError, Sessions, pictures::Picture, told::Told, told::outcome};
use crate::checks::Report;

/// Bytes of a reason of a person.
const WHY_MAX_BYTES: usize = 64;
/// Why the person cannot. It goes into the log for good, so that nothing else can be said here.
pub const UNSUPPORTED: [&str; 9] = [
    "no_wallet",
    "no_chip",
    "no_nfc",
    "no_camera",
    "no_document",
    "damaged",
    "lost",
    "refused",
    "other",
];

/// A step that the person is asked for.
#[derive(Debug, Clone)]
pub struct Asked {
    /// Its task; what is given for another one comes too late.
    pub serial: u32,
    /// The check, as the catalogue calls it.
    pub check: String,
    /// What the document is held against.
    pub expected: Expected,
    /// The zone that is printed on the document, if another step read it.
    pub printed: Option<String>,
    /// Whether the workflow says that another step reads it.
    pub is_held: bool,
    /// Whether another step looks at the face that is shown.
    pub shows_face: bool,
}

/// What was given for a step.
#[derive(Debug)]
pub enum Given<'a, T> {
    /// This came of looking at it, and the caller was shown this.
    Report(&'a Report<T>, Value),
    /// Somebody else looked at it, and this came of it.
    Came(Outcome),
    /// The person cannot; why, as one of [`UNSUPPORTED`].
    Unsupported(String),
}

impl Sessions {
    /// What the person is asked for at a node.
    pub async fn asked(&self, id: Id<tags::IdvSession>, node: &str) -> Result<Asked, SessionError> {
        let open = self.read(id).await?;
        if open.state.status.is_final() {
            return Err(portcullis_workflow::Refused::Over.into());
        }
        let task = open
            .state
            .tasks
            .iter()
            .find(|(_, task)| task.node == node && matches!(task.phase, Phase::Asking { .. }));
        let others = || open.asked().into_iter().map(str::to_owned).collect();
        let (serial, task) = task.ok_or_else(|| SessionError::NotAsked(others()))?;
        let check = open.plan.check(&task.node);
        let check = check.ok_or_else(|| SessionError::NotAsked(others()))?;
        let expected = open.expected(node);
        let printed = check.from.as_deref().and_then(|from| open.known_by(from));
        let printed = printed.map(|known| known.mrz.join("\n")).filter(|text| !text.is_empty());
        let is_held = check.from.is_some();
        let shows_face = open.plan.shows_face(node);
        let (serial, check) = (*serial, check.check.clone());
        Ok(Asked { serial, check, expected, printed, is_held, shows_face })
    }

    /// Takes up what came of a step.
    pub async fn given<T: Told>(
        &self,
        id: Id<tags::IdvSession>,
        serial: u32,
        given: Given<'_, T>,
        by: (&Actor, &Origin),
    ) -> Result<Open, SessionError> {
        self.given_with(id, serial, given, None, by).await
    }

    /// The same, with a picture that is kept for the step.
    pub(super) async fn given_with<T: Told>(
        &self,
        id: Id<tags::IdvSession>,
        serial: u32,
        given: Given<'_, T>,
        picture: Option<&Picture>,
        (by, origin): (&Actor, &Origin),
    ) -> Result<Open, SessionError> {
        let outcome = match given {
            Given::Report(report, view) => outcome(report, self.today(), view),
            Given::Came(outcome) => outcome,
            Given::Unsupported(why) if UNSUPPORTED.contains(&&why[..]) => Outcome::Unsupported(why),
            Given::Unsupported(_) => {
                let must = format!("must be one of {}", UNSUPPORTED.join(", "));
                return Err(SessionError::Invalid("unsupported", must));
            }
        };
        let outcome = &outcome;
        let next = self
            .db
            .write(|tx| async move {
                let open = self.open(&tx, id).await?;
                let event = Event::Given { serial, outcome: outcome.clone() };
                let task = open.state.tasks.get(&serial).map(|task| task.node.clone());
                let next = self.take(&tx, open, event, (by, Some(origin))).await?;
                if let Some(node) = task.filter(|_| next.plan.keeps_pictures()) {
                    let report = match outcome {
                        Outcome::Report(report) => Some(&report.id[..]),
                        _ => None,
                    };
                    self.keep_picture(&tx, &next, (&node, report), picture).await?;
                }
                Ok::<_, SessionError>(next)
            })
            .await?;
        self.done(&next);
        Ok(next)
    }
}

impl Open {
    /// What the person is held against at a node.
    pub(super) fn expected(&self, node: &str) -> Expected {
        let mut expected = self.start.expected.expected();
        // Whoever they are, they were born on one day.
        if expected.date_of_birth.is_none() {
            let others = self.state.done.keys().filter(|name| *name != node);
            let known = others.filter_map(|name| self.known_by(name));
            expected.date_of_birth = known.filter_map(|known| known.date_of_birth).next();
        }
        expected
    }
}

/// A reason in a word that programs understand.
pub(super) fn word(field: &'static str, text: &str) -> Result<String, SessionError> {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    if (1..=WHY_MAX_BYTES).contains(&text.len()) && text.bytes().all(fits) {
        return Ok(text.to_owned());
    }
    let must = format!("must be 1 to {WHY_MAX_BYTES} letters, digits and underscores");
    Err(SessionError::Invalid(field, must))
}
