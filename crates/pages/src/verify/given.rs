use std::{collections::BTreeMap, time::Duration};

use axum::{body::Body, extract::Request};
use http::{StatusCode, header};
use http_body_util::BodyExt;
use multer::{Constraints, Multipart, SizeLimit};
use portcullis_documents::zone::Expected;
use portcullis_verification::{
    Answer, Barcode, BarcodeAsked, Channel, CodeAnswer, Consent, ZoneAsked,
};
use portcullis_workflow::{QUESTIONS_MAX, Question};
use tokio::time::timeout;

use super::{SessionId, room::Place};

use crate::{
    Pages,
    form::{Visit, is_own},
    view::{self, Message, Page},
};

/// A picture is at most this long, like anywhere else.
const PICTURE_MAX_BYTES: u64 = 12 << 20;
/// A form has to be here within this time, also over a slow line.
const FORM_TIME: Duration = Duration::from_secs(120);
/// What a form has at most that needs no place: words, if they are not very many.
const WORDS_MAX_BYTES: usize = 32 * 1024;
/// Everything else that a form has, each.
const TEXT_MAX_BYTES: u64 = 2 * 1024;
/// An answer to a question: 1,000 characters, in any script.
const ANSWER_MAX_BYTES: u64 = 4 * 1024;
/// All of it, with what stands between.
const FORM_MAX_BYTES: usize = (12 << 20) + 64 * 1024;

const FIELDS: [&str; 34] = [
    "csrf",
    "agree",
    "node",
    "serial",
    "mrz",
    "image",
    "address",
    "code",
    "wallet",
    "unsupported",
    "q0",
    "q1",
    "q2",
    "q3",
    "q4",
    "q5",
    "q6",
    "q7",
    "q8",
    "q9",
    "q10",
    "q11",
    "q12",
    "q13",
    "q14",
    "q15",
    "q16",
    "q17",
    "q18",
    "q19",
    "q20",
    "q21",
    "q22",
    "q23",
];
const _: () = assert!(FIELDS.len() == 10 + QUESTIONS_MAX, "each question has a field");

/// What somebody gave for a step.
#[derive(Default)]
pub(super) struct Given {
    pub node: String,
    pub serial: u32,
    csrf: String,
    zone: String,
    picture: Vec<u8>,
    address: Option<String>,
    code: String,
    unsupported: String,
    /// Whether a wallet is to be asked.
    pub wallet: bool,
    /// Whether the person agreed that their face is measured.
    agreed: bool,
    /// Answers to questions, by their place.
    answers: BTreeMap<usize, String>,
}

/// Reads a form. One from another site, or without the token, goes nowhere.
pub(super) async fn read(
    pages: &Pages,
    visit: &Visit,
    id: SessionId,
    request: Request,
) -> Result<(Given, Option<Place>), Page> {
    let kind = request.headers().get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
    let boundary = multer::parse_boundary(kind.unwrap_or_default());
    let boundary = boundary.map_err(|_| view::bad_request())?;
    let limits = SizeLimit::new().per_field(TEXT_MAX_BYTES).for_field("image", PICTURE_MAX_BYTES);
    let questions = FIELDS.iter().filter(|name| question(name).is_some());
    let limits = questions.fold(limits, |limits, name| limits.for_field(*name, ANSWER_MAX_BYTES));
    let terms = Constraints::new().allowed_fields(FIELDS.to_vec()).size_limit(limits);
    // As a whole: what looks for boundaries in what has come so far looks through all of it again and again.
    let body = whole(pages, visit, id, request.into_body());
    let (body, mut place) = timeout(FORM_TIME, body).await.map_err(|_| view::bad_request())??;
    let body = Body::from(body).into_data_stream();
    let mut form = Multipart::with_constraints(body, boundary, terms);
    let mut given = Given::default();
    for _ in 0..=FIELDS.len() {
        let Some(field) = form.next_field().await.map_err(|error| refused(&error))? else { break };
        let name = field.name().unwrap_or_default().to_owned();
        let bytes = field.bytes().await.map_err(|error| refused(&error))?;
        if name == "image" {
            given.picture = bytes.into();
            continue;
        }
        let text = String::from_utf8(bytes.into()).map_err(|_| view::bad_request())?;
        match &name[..] {
            "csrf" => given.csrf = text,
            "agree" => given.agreed = text == "yes",
            "node" => given.node = text,
            "serial" => given.serial = text.parse().map_err(|_| view::bad_request())?,
            "mrz" => given.zone = zone(&text),
            "address" => given.address = Some(text),
            "code" => given.code = text,
            "wallet" => given.wallet = text == "ask",
            "unsupported" => given.unsupported = text,
            name => {
                given.answers.insert(question(name).ok_or_else(view::bad_request)?, text);
            }
        }
    }
    if !is_own(pages, visit, &given.csrf) {
        return Err(view::foreign_form());
    }
    // However short it is, it may be large once it is unpacked.
    if !given.picture.is_empty() && place.is_none() {
        place = Some(pages.forms.enter(id, visit.origin.addr).ok_or_else(super::busy)?);
    }
    Ok((given, place))
}

/// Which question a field answers, by its place.
fn question(field: &str) -> Option<usize> {
    field.strip_prefix('q')?.parse().ok()
}

/// All of a form. What is more than words needs a place, from when it is.
async fn whole(
    pages: &Pages,
    visit: &Visit,
    id: SessionId,
    mut body: Body,
) -> Result<(Vec<u8>, Option<Place>), Page> {
    let (mut bytes, mut place) = (Vec::new(), None);
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|_| view::bad_request())?;
        let Ok(data) = frame.into_data() else { continue };
        bytes.extend_from_slice(&data);
        if bytes.len() > FORM_MAX_BYTES {
            return Err(too_large());
        }
        if bytes.len() > WORDS_MAX_BYTES && place.is_none() {
            place = Some(pages.forms.enter(id, visit.origin.addr).ok_or_else(super::busy)?);
        }
    }
    Ok((bytes, place))
}

fn refused(error: &multer::Error) -> Page {
    match error {
        multer::Error::FieldSizeExceeded { .. } | multer::Error::StreamSizeExceeded { .. } => {
            too_large()
        }
        _ => view::bad_request(),
    }
}

pub(super) fn too_large() -> Page {
    let text = "Go back and choose another one, of at most 12 MB.";
    let bad = Message { title: "The picture is too large", tone: "bad", text, link: None };
    view::message(StatusCode::PAYLOAD_TOO_LARGE, &bad)
}

pub(super) fn wrong_code() -> Page {
    let text = "It is not the last one that was sent, or has expired. Go back and try again, or have another one sent.";
    let bad = Message { title: "The code is not right", tone: "bad", text, link: None };
    view::message(StatusCode::UNPROCESSABLE_ENTITY, &bad)
}

pub(super) fn no_address() -> Page {
    let text = "Go back and look at it. Nobody is sent more than a few codes.";
    let bad = Message { title: "Nothing can be sent there", tone: "bad", text, link: None };
    view::message(StatusCode::UNPROCESSABLE_ENTITY, &bad)
}

pub(super) fn no_answer() -> Page {
    let text = "Go back and look at your answers: one is missing, or is none.";
    let bad = Message { title: "Something is missing", tone: "bad", text, link: None };
    view::message(StatusCode::UNPROCESSABLE_ENTITY, &bad)
}

pub(super) fn no_document() -> Page {
    let text = "Go back and choose a PDF, a JPEG or a PNG, of at most 12 MB.";
    let bad = Message { title: "The file cannot be opened", tone: "bad", text, link: None };
    view::message(StatusCode::UNPROCESSABLE_ENTITY, &bad)
}

impl Given {
    /// What it answers to the check of a step; nothing if something is missing, which uses up no try.
    pub fn answer(&self, check: &str, questions: &[Question]) -> Option<Answer> {
        if !self.unsupported.is_empty() {
            return Some(Answer::Unsupported(self.unsupported.clone()));
        }
        let expected = Expected::default();
        match check {
            "mrz" if !self.zone.is_empty() => {
                Some(Answer::Zone(ZoneAsked { text: self.zone.clone(), find: false, expected }))
            }
            "barcode" if !self.picture.is_empty() => {
                let barcode = Barcode::Picture(self.picture.clone());
                Some(Answer::Barcode(BarcodeAsked { barcode, expected }))
            }
            "email" => self.by_code().map(|answer| Answer::Code(Channel::Email, answer)),
            "phone" => self.by_code().map(|answer| Answer::Code(Channel::Phone, answer)),
            "questionnaire" if !self.answers.is_empty() => {
                let each = questions.iter().enumerate();
                let said = each.filter_map(|(place, question)| {
                    Some((question.id.clone(), self.answers.get(&place)?.clone()))
                });
                Some(Answer::Questionnaire(said.collect()))
            }
            "selfie" if !self.picture.is_empty() && self.agreed => {
                Some(Answer::Selfie(self.picture.clone(), Consent::OnPage))
            }
            "image" if !self.picture.is_empty() => Some(Answer::Picture(self.picture.clone())),
            "proof_of_address" if !self.picture.is_empty() => {
                Some(Answer::Document(self.picture.clone()))
            }
            _ => None,
        }
    }
}

impl Given {
    /// The code that came, or where one is to go: a place in what is known of the person, or what they typed.
    fn by_code(&self) -> Option<CodeAnswer> {
        if !self.code.is_empty() {
            return Some(CodeAnswer::Code(self.code.clone()));
        }
        let address = self.address.as_ref()?;
        // A number of a telephone is no place.
        let place = Some(address).filter(|address| address.len() <= 3);
        let place = place.and_then(|address| address.parse().ok());
        Some(place.map_or_else(|| CodeAnswer::Typed(address.clone()), CodeAnswer::Place))
    }
}

/// Lines as somebody typed them: small letters, blanks, and signs that look like the one of the zone. What is typed
/// in one line is cut where the lines of its kind end.
fn zone(text: &str) -> String {
    let lines = text.lines().map(line).filter(|line| !line.is_empty());
    let mut lines: Vec<String> = lines.collect();
    if let [one] = &lines[..] {
        let letters: Vec<char> = one.chars().collect();
        let width = match letters.len() {
            88 => 44,
            72 => 36,
            90 => 30,
            _ => letters.len(),
        };
        lines = letters.chunks(width).map(|line| line.iter().collect()).collect();
    }
    lines.join("\n")
}

fn line(text: &str) -> String {
    let mut made = String::with_capacity(text.len());
    for letter in text.chars().filter(|letter| !letter.is_whitespace()) {
        match letter {
            '‹' | '＜' | '〈' | '˂' => made.push('<'),
            '«' | '《' => made.push_str("<<"),
            letter => made.extend(letter.to_uppercase()),
        }
    }
    made
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zones_are_read_as_people_type_them() {
        assert_eq!(
            zone(" p<uto eriksson«anna\r\n\r\nl898902c3 6\r\n"),
            "P<UTOERIKSSON<<ANNA\nL898902C36"
        );
        let typed = zone(&"a".repeat(88));
        assert_eq!(typed.lines().map(str::len).collect::<Vec<_>>(), [44, 44]);
        let typed = zone(&"b".repeat(90));
        assert_eq!(typed.lines().map(str::len).collect::<Vec<_>>(), [30, 30, 30]);
        assert_eq!(zone("abc"), "ABC");
        assert_eq!(zone(" \r\n "), "");
    }
}
