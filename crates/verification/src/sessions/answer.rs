use std::collections::BTreeMap;

use portcullis_capture::PICTURE_MAX_BYTES;
use portcullis_documents::zone::Expected;
use portcullis_events::{Actor, Origin};
use portcullis_types::{Id, tags};
use portcullis_workflow::{CheckStatus, Outcome, Refused, Values};
use serde_json::Value as Json;

use super::{
    Asked, Channel, CodeAnswer, Given, Open, SessionError, Sessions,
    pictures::{self, Picture},
    questions,
};
use crate::{
    Document,
    checks::{
        BarcodeAsked, BarcodeReport, CheckError, Consent, EmrtdAsked, EmrtdReport, FaceReport,
        PictureReport, Report, Taken, ZoneAsked, ZoneReport,
    },
};

/// How reports are shown to whoever gave what they are about. What was shown is kept with the session.
#[derive(Clone, Copy)]
pub struct ReportViews {
    /// Of a zone.
    pub zone: fn(&Report<ZoneReport>) -> Json,
    /// Of a chip.
    pub chip: fn(&Report<EmrtdReport>) -> Json,
    /// Of a barcode.
    pub barcode: fn(&Report<BarcodeReport>) -> Json,
    /// Of a picture.
    pub picture: fn(&Report<PictureReport>) -> Json,
    /// Of a face, with what a search found beside it.
    pub face: fn(&Report<FaceReport>, &Values) -> Json,
}

/// What is given for a step. What it is held against is not among it: that is known to the session.
pub enum Answer {
    /// A machine readable zone.
    Zone(ZoneAsked),
    /// What a reader read from a chip.
    Chip(EmrtdAsked),
    /// The barcode of a licence.
    Barcode(BarcodeAsked),
    /// A picture of a document.
    Picture(Vec<u8>),
    /// A picture of the person.
    Selfie(Vec<u8>, Consent),
    /// A document that somebody else looks at, PDF, JPEG or PNG.
    Document(Vec<u8>),
    /// An address or a number that is to be sent a code, or the code.
    Code(Channel, CodeAnswer),
    /// What somebody says to questions, by their ids.
    Questionnaire(BTreeMap<String, String>),
    /// The person cannot; why, as one of [`super::UNSUPPORTED`].
    Unsupported(String),
}

/// What came of it.
#[derive(Debug)]
pub struct Answered {
    /// What was found out; `null` if nothing was checked.
    pub report: Json,
    /// The session after it.
    pub open: Open,
}

impl Answer {
    /// The check that takes it, if it is for one only.
    fn check(&self) -> Option<&'static str> {
        match self {
            Self::Zone(_) => Some("mrz"),
            Self::Chip(_) => Some("emrtd"),
            Self::Barcode(_) => Some("barcode"),
            Self::Picture(_) => Some("image"),
            Self::Selfie(..) => Some("selfie"),
            Self::Document(_) => Some("proof_of_address"),
            Self::Code(channel, _) => Some(channel.check()),
            Self::Questionnaire(_) => Some("questionnaire"),
            Self::Unsupported(_) => None,
        }
    }
}

impl Sessions {
    /// Looks at what is given for a step, and takes the session further by what comes of it. Whoever saw which try
    /// is asked for says its `serial`.
    pub async fn answer(
        &self,
        (id, node, serial): (Id<tags::IdvSession>, &str, Option<u32>),
        answer: Answer,
        by: (&Actor, &Origin),
    ) -> Result<Answered, SessionError> {
        let asked = self.asked(id, node).await?;
        // What was meant for the try before this one counts once.
        if serial.is_some_and(|serial| serial != asked.serial) {
            return Err(Refused::Stale.into());
        }
        if answer.check().is_some_and(|check| check != asked.check) {
            let must =
                format!("must come with {} and nothing else, or with unsupported", asked.check);
            return Err(SessionError::Invalid("node", must));
        }
        let (checks, views, serial) = (&self.checks, self.views, asked.serial);
        let (report, open) = match answer {
            Answer::Unsupported(why) => {
                let given = Given::<ZoneReport>::Unsupported(why);
                (Json::Null, self.given(id, serial, given, by).await?)
            }
            Answer::Zone(mut zone) => {
                hold(&mut zone.expected, &asked)?;
                let report = checks.zone(zone, by.0, by.1).await?;
                let view = (views.zone)(&report);
                let given = Given::Report(&report, view.clone());
                (view, self.given(id, serial, given, by).await?)
            }
            Answer::Chip(mut chip) => {
                hold(&mut chip.expected, &asked)?;
                if asked.is_held {
                    // Not even the reader of the chip says against what it is held.
                    if chip.printed.is_some() {
                        let must = "is what another step of the workflow reads".to_owned();
                        return Err(SessionError::Invalid("mrz", must));
                    }
                    chip.printed.clone_from(&asked.printed);
                }
                // Before the challenge is used up: whoever has to come again needs it.
                let shown = match chip.files.groups.get(&2).filter(|_| asked.shows_face).cloned() {
                    Some(face) => checks.on_core(move || pictures::portrait(&face)).await?,
                    None => None,
                };
                let report = checks.emrtd(chip, by.0, by.1).await?;
                let view = (views.chip)(&report);
                let given = Given::Report(&report, view.clone());
                // Of a chip that somebody forged nobody compares the face.
                let picture = shown.filter(|_| report.status != CheckStatus::Failed);
                (view, self.given_with(id, serial, given, picture.as_ref(), by).await?)
            }
            Answer::Barcode(mut barcode) => {
                hold(&mut barcode.expected, &asked)?;
                let report = checks.barcode(barcode, by.0, by.1).await?;
                let view = (views.barcode)(&report);
                let given = Given::Report(&report, view.clone());
                (view, self.given(id, serial, given, by).await?)
            }
            Answer::Code(channel, code) => self.by_code((id, serial), channel, &code, by).await?,
            Answer::Questionnaire(said) => {
                let open = self.read(id).await?;
                let check = open.plan.check(node).ok_or(SessionError::NotFound)?;
                let report: Id<tags::Check> = Id::new(self.now(), &*self.entropy);
                let report = questions::report(report, &check.questions, &said)?;
                let view = report.detail["view"].clone();
                let came = Given::<ZoneReport>::Came(Outcome::Report(Box::new(report)));
                (view, self.given(id, serial, came, by).await?)
            }
            Answer::Document(bytes) => {
                let document = Document::of(bytes).filter(|file| file.len() <= PICTURE_MAX_BYTES);
                let must = || {
                    let must = format!("must be a PDF, JPEG or PNG of {PICTURE_MAX_BYTES} bytes");
                    SessionError::Invalid("document", must)
                };
                let document = document.ok_or_else(must)?;
                let (sessions, node) = (self.clone(), node.to_owned());
                let by = (by.0.clone(), by.1.clone());
                // Whoever hangs up has had their try: somebody looks at it already.
                let looking = tokio::spawn(async move {
                    sessions.look(id, (&node, serial), &document, (&by.0, &by.1)).await
                });
                looking.await.map_err(|_| SessionError::Sealed)??
            }
            Answer::Picture(picture) => {
                let shown = match asked.shows_face.then(|| picture.clone()) {
                    Some(face) => checks.on_core(move || pictures::document(&face)).await?,
                    None => None,
                };
                let report = checks.picture(picture, by.0, by.1).await?;
                let view = (views.picture)(&report);
                let given = Given::Report(&report, view.clone());
                (view, self.given_with(id, serial, given, shown.as_ref(), by).await?)
            }
            Answer::Selfie(picture, consent) => {
                let Taken { mut report, kept } = checks.selfie(picture, by.0, by.1).await?;
                report.found.consent = Some(consent);
                let view = (views.face)(&report, &Values::new());
                let given = Given::Report(&report, view.clone());
                let kept = kept.map(|jpeg| Picture { kind: "selfie", jpeg });
                (view, self.given_with(id, serial, given, kept.as_ref(), by).await?)
            }
        };
        Ok(Answered { report, open })
    }
}

impl Sessions {
    /// Has somebody else look at a document.
    async fn look(
        &self,
        id: Id<tags::IdvSession>,
        (node, serial): (&str, u32),
        document: &Document,
        by: (&Actor, &Origin),
    ) -> Result<(Json, Open), SessionError> {
        let open = self.read(id).await?;
        let check = open.plan.check(node).ok_or(SessionError::NotFound)?;
        // One at a time for each session, and not more at once than the provider bears. One that is not there any more
        // is never asked, and needs no room for that.
        let name = check.provider.as_deref().unwrap_or_default();
        let room = match self.providers.has(name, &check.check) {
            true => Some(self.providers.enter(name, id).ok_or(CheckError::Busy)?),
            false => None,
        };
        // Another document is another question.
        let step = format!("{serial}.{}", document.digest());
        let came = self.provided(&open, check, (step, node), Some(document)).await;
        let view = match &came {
            Outcome::Report(report) => report.detail["view"].clone(),
            _ => Json::Null,
        };
        let given = self.given(id, serial, Given::<ZoneReport>::Came(came), by).await;
        drop(room);
        Ok((view, given?))
    }
}

/// What a document is held against is said when the session begins, and by what others said.
fn hold(given: &mut Expected, asked: &Asked) -> Result<(), SessionError> {
    if *given != Expected::default() {
        let must = "is given when the session begins".to_owned();
        return Err(SessionError::Invalid("expected", must));
    }
    *given = asked.expected.clone();
    Ok(())
}
