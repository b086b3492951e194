//! The page on which people go through a verification, one step at a time.
//!
//! Whoever has the link is the person: its token becomes a cookie, so that the address of the page says nothing.
//! What was given is never shown again, neither to them nor to whoever else has the link. The same link opens on
//! the phone, where the camera is; each of the two pages follows when the other one went on.

mod device;
mod given;
mod owner;
mod questions;
mod room;
mod words;

use std::{collections::BTreeSet, time::Duration};

use askama::Template;
use axum::{
    extract::{Path, Request, State},
    response::IntoResponse,
};
use http::StatusCode;
use portcullis_events::Actor;
use portcullis_oidc::Params;
use portcullis_texts::{t, tf};
use portcullis_types::{Id, tags};
use portcullis_verification::{
    CheckError, ListKind, Open, PresentationError, PresentationView, SessionError, Step,
};
use portcullis_workflow::{Input, Node, Status, check_spec};
use serde_json::json;
use url::Url;

use owner::Whose;
use questions::{Asked, questions};

use crate::{
    Pages, filters,
    form::{Visit, read_form, set_cookie},
    qr,
    view::{self, Message, Page},
};

const COOKIE: &str = "__Host-portcullis_verify";

pub(crate) use device::meet;
pub(crate) use owner::{link, of_owner};
pub(crate) use room::Forms;

type SessionId = Id<tags::IdvSession>;

#[derive(Template)]
#[template(path = "verify_welcome.html")]
struct Welcome<'a> {
    csrf: String,
    token: &'a str,
    return_to: &'a str,
    whose: Whose,
    needs: Vec<&'static str>,
    /// For how many hours pictures are kept, if some are.
    pictures: Option<String>,
    /// Whether the browser shows a key.
    device: bool,
    is_begun: bool,
    qr: Option<String>,
}

#[derive(Template)]
#[template(path = "verify_step.html")]
struct StepPage<'a> {
    csrf: String,
    id: SessionId,
    /// What the browser signs, where its key is looked at.
    device: Option<String>,
    /// The same for each address below: where the person goes afterwards.
    query: String,
    whose: Whose,
    mark: String,
    progress: String,
    total: usize,
    done: usize,
    title: &'static str,
    intro: &'static str,
    problems: Vec<&'static str>,
    /// `zone`, `picture`, `selfie`, `address`, `number`, `code`, `wallet`, `offer`, `questions` or `chip`.
    kind: &'static str,
    /// For how many hours pictures are kept.
    hours: String,
    /// For how many days the face is, if it is kept to be found again.
    face_days: Option<String>,
    /// Addresses that are known of the person, not whole: the link may have gone to somebody else.
    addresses: Vec<String>,
    /// Whether they are numbers of telephones.
    is_phone: bool,
    /// Whether a file may be a PDF.
    takes_pdf: bool,
    node: &'a str,
    serial: u32,
    reasons: Vec<(&'static str, &'static str)>,
    questions: Vec<Asked>,
    /// What a wallet is asked, and that as a picture.
    request: Option<String>,
    request_qr: Option<String>,
    qr: Option<String>,
}

#[derive(Template)]
#[template(path = "verify_wait.html")]
struct Wait {
    id: SessionId,
    mark: String,
    follows: bool,
    title: &'static str,
    tone: &'static str,
    text: &'static str,
    problems: Vec<&'static str>,
    /// Where the person goes from here, and what that is called.
    back: Option<(String, String)>,
}

/// `GET /verify`: what is to come. Nothing happens yet, so that whoever looks at links in mails changes nothing.
pub(crate) async fn welcome(State(pages): State<Pages>, request: Request) -> impl IntoResponse {
    let answer = async move {
        let visit = Visit::read(&request)?;
        let token = visit.query.get("token").unwrap_or_default();
        let id = pages.sessions.by_client_token(token).ok_or_else(gone)?;
        let open = read(&pages, id).await?;
        let back = back(&visit);
        if open.state.status.is_final() {
            return Ok(waiting(&open, back.as_deref()));
        }
        let (csrf, cookie) = visit.csrf(&*pages.identity.entropy);
        let page = Welcome {
            csrf,
            token,
            return_to: back.as_deref().unwrap_or_default(),
            whose: owner::whose(&pages, &open).await?,
            needs: needs(&open),
            pictures: open.plan.keeps_pictures().then(|| hours(&pages)),
            device: open.plan.looks_at_devices(),
            is_begun: open.state.status != Status::Created,
            qr: phone(&pages, &open),
        };
        Ok(view::capture_page(StatusCode::OK, &page, cookie, back.is_some()))
    };
    answer.await.unwrap_or_else(|page: Page| page)
}

/// `POST /verify`: this browser takes the steps from now on.
pub(crate) async fn begin(State(pages): State<Pages>, request: Request) -> impl IntoResponse {
    let answer = async move {
        let form = read_form(&pages, request).await?;
        let token = form.text("token");
        let id = pages.sessions.by_client_token(token).ok_or_else(gone)?;
        let open = read(&pages, id).await?;
        device::saw(&pages, &open, &form.visit).await?;
        let back = own_return(form.text("return_to"));
        Ok(view::see_other(&address(id, back), Some(set_cookie(COOKIE, token))))
    };
    answer.await.unwrap_or_else(|page: Page| page)
}

/// `GET /verify/{id}`: the step that is to be taken now, or what became of all of them.
pub(crate) async fn show(
    State(pages): State<Pages>,
    Path(id): Path<String>,
    request: Request,
) -> impl IntoResponse {
    let answer = async move {
        let visit = Visit::read(&request)?;
        let open = read(&pages, holder(&pages, &visit, &id)?).await?;
        let back = back(&visit);
        match next(&open) {
            Some(step) => {
                let whose = owner::whose(&pages, &open).await?;
                let sent = sent(&pages, &open, &step).await?;
                Ok(ask(&pages, &visit, (&open, whose), (&step, &sent)))
            }
            None => Ok(waiting(&open, back.as_deref())),
        }
    };
    answer.await.unwrap_or_else(|page: Page| page)
}

/// `GET /verify/{id}/state`: whether the page shows what is to be done now.
pub(crate) async fn state(
    State(pages): State<Pages>,
    Path(id): Path<String>,
    request: Request,
) -> impl IntoResponse {
    let answer = async move {
        let visit = Visit::read(&request)?;
        let open = read(&pages, holder(&pages, &visit, &id)?).await?;
        // The step that did not go well, for a script that keeps what was typed for it.
        let again = next(&open).filter(|step| !step.found.is_empty()).map(|step| step.node);
        let sent = match next(&open) {
            Some(step) => sent(&pages, &open, &step).await?,
            None => Sent::default(),
        };
        let mark = mark(&open, &sent);
        Ok(view::json(StatusCode::OK, &json!({ "mark": mark, "again": again })))
    };
    answer.await.unwrap_or_else(|page: Page| page)
}

/// `POST /verify/{id}`: something is given for a step.
pub(crate) async fn give(
    State(pages): State<Pages>,
    Path(id): Path<String>,
    request: Request,
) -> impl IntoResponse {
    let answer = async move {
        let visit = Visit::read(&request)?;
        let id = holder(&pages, &visit, &id)?;
        let (given, room) = given::read(&pages, &visit, id, request).await?;
        let back = back(&visit);
        let here = || view::see_other(&address(id, back.as_deref()), None);
        let open = read(&pages, id).await?;
        device::saw(&pages, &open, &visit).await?;
        let mut steps = open.steps();
        // What was meant for another try than the one that is asked for now came twice, or too late.
        let step = steps.find(|step| step.node == given.node && step.serial == given.serial);
        let wallet = step.as_ref().is_some_and(|step| given.wallet && step.check == "credential");
        if wallet {
            let by = (&Actor::Anonymous, &visit.origin);
            let asked = pages.presentations.ask_for_step(id, given.serial, by).await;
            asked.map_err(|error| no_request(&error))?;
            return Ok(here());
        }
        let questions = open.plan.check(&given.node).map(|check| &check.questions[..]);
        let questions = questions.unwrap_or_default();
        let Some(answer) = step.and_then(|step| given.answer(step.check, questions)) else {
            return Ok(here());
        };
        let (by, serial) = ((&Actor::Anonymous, &visit.origin), Some(given.serial));
        let step = (id, &given.node[..], serial);
        let answered = pages.sessions.answer(step, answer, by).await;
        drop(room);
        match answered {
            Ok(_) => Ok(here()),
            // The other page was faster.
            Err(SessionError::NotAsked(_) | SessionError::Refused(_) | SessionError::Stale) => {
                Ok(here())
            }
            Err(error) => Err(failed(&error)),
        }
    };
    answer.await.unwrap_or_else(|page: Page| page)
}

/// What is on its way for a step.
#[derive(Default)]
struct Sent {
    /// Whether a code was sent.
    code: bool,
    /// What a wallet is asked.
    request: Option<PresentationView>,
}

async fn sent(pages: &Pages, open: &Open, step: &Step<'_>) -> Result<Sent, Page> {
    let (id, serial) = (open.row.id, step.serial);
    Ok(match step.check {
        "email" | "phone" => {
            let code = pages.sessions.waits_for_code(id, serial).await;
            Sent { code: code.map_err(|error| failed(&error))?, request: None }
        }
        "credential" => {
            let request = pages.presentations.request_of_step(id, serial).await;
            let request = request.map_err(|error| no_request(&error))?;
            Sent { code: false, request }
        }
        _ => Sent::default(),
    })
}

fn no_request(error: &PresentationError) -> Page {
    match error {
        PresentationError::Session(error) => failed(error),
        error => view::not_now(error),
    }
}

async fn read(pages: &Pages, id: SessionId) -> Result<Open, Page> {
    pages.sessions.read(id).await.map_err(|error| failed(&error))
}

/// The session that this browser goes through, if it is this one.
fn holder(pages: &Pages, visit: &Visit, id: &str) -> Result<SessionId, Page> {
    let token = visit.cookie(COOKIE).unwrap_or_default();
    let held = pages.sessions.by_client_token(token);
    held.filter(|held| held.to_string() == id).ok_or_else(|| {
        let text = "This browser does not know of it, or has begun another one since. Open the link that \
                    you were sent once more.";
        let bad = Message { title: "Open the link again", tone: "bad", text, link: None };
        view::message(StatusCode::FORBIDDEN, &bad)
    })
}

fn address(id: SessionId, back: Option<&str>) -> String {
    format!("/verify/{id}{}", query(back))
}

/// The query that leads back to a login; empty outside of one.
fn query(back: Option<&str>) -> String {
    let query = |back| Params::default().with("return_to", back).to_query();
    back.map(|back| format!("?{}", query(back))).unwrap_or_default()
}

/// The login that waits for this, if one does.
fn back(visit: &Visit) -> Option<String> {
    own_return(visit.query.get("return_to").unwrap_or_default()).map(str::to_owned)
}

pub(crate) fn own_return(asked: &str) -> Option<&str> {
    let own = asked.starts_with("/oauth2/authorize?");
    (own && asked.bytes().all(|byte| byte.is_ascii_graphic())).then_some(asked)
}

/// The step that is to be taken now: first what did not go well just before. A chip is read elsewhere, so that other
/// steps come before it.
fn next(open: &Open) -> Option<Step<'_>> {
    open.steps().min_by_key(|step| (step.check == "emrtd", step.found.is_empty(), step.serial))
}

/// What the page shows: as long as this is the same, it is what is to be done. Where that is a step, nothing else
/// counts, or the page would be loaded again while somebody types.
fn mark(open: &Open, sent: &Sent) -> String {
    let request = sent.request.as_ref().map(|request| request.row.id.to_string());
    match (next(open), request) {
        // A request that is over is another page: there is none to wait for.
        (Some(step), Some(request)) => format!("{}.{request}", step.serial),
        (Some(step), None) => step.serial.to_string(),
        (None, _) => open.state.status.as_str().to_owned(),
    }
}

/// The steps that people may have to take, by what is checked.
fn asked_of_people(open: &Open) -> impl Iterator<Item = (&str, &str)> {
    open.plan.graph().nodes.iter().filter_map(|(name, node)| {
        let Node::Check(check) = node else { return None };
        let spec = check_spec(&check.check)?;
        (spec.input == Input::Person).then_some((&name[..], &check.check[..]))
    })
}

fn needs(open: &Open) -> Vec<&'static str> {
    let asked: Vec<_> = asked_of_people(open).map(|(_, check)| check).collect();
    words::NEEDS
        .into_iter()
        .filter(|(check, _)| asked.contains(check))
        .map(|(_, text)| text)
        .collect()
}

/// The same page for a phone.
fn phone(pages: &Pages, open: &Open) -> Option<String> {
    qr::picture(&pages.sessions.page_url(&pages.provider.settings.issuer, open))
}

fn ask(
    pages: &Pages,
    visit: &Visit,
    (open, whose): (&Open, Whose),
    (step, sent): (&Step<'_>, &Sent),
) -> Page {
    let (csrf, cookie) = visit.csrf(&*pages.identity.entropy);
    let total = asked_of_people(open).count();
    let done = asked_of_people(open).filter(|(node, _)| open.state.done.contains_key(*node));
    let done = done.count().min(total.saturating_sub(1));
    let words = words::step(step.check, sent.code || sent.request.is_some());
    let is_phone = step.check == "phone";
    let kind = if is_phone { ListKind::Phone } else { ListKind::Email };
    let known = open.start.identifiers.get(&kind);
    let masked = if is_phone { words::masked_number } else { words::masked };
    let back = back(visit);
    let page = StepPage {
        device: device::challenge(pages, open, &csrf),
        csrf,
        id: open.row.id,
        query: query(back.as_deref()),
        whose,
        mark: mark(open, sent),
        progress: tf("Step {0} of at most {1}", &[&(done + 1).to_string(), &total.to_string()]),
        total,
        done,
        title: words.title,
        intro: words.intro,
        problems: step.found.iter().filter_map(|reason| words::retake(&reason.code)).collect(),
        kind: words.kind,
        hours: hours(pages),
        face_days: open.plan.keeps_face().map(|keep| whole_days(keep.duration())),
        addresses: known.into_iter().flatten().map(|known| masked(known)).collect(),
        is_phone,
        takes_pdf: step.check == "proof_of_address",
        node: step.node,
        serial: step.serial,
        reasons: words::reasons(step.check),
        questions: questions(open, step.node),
        request_qr: sent.request.as_ref().and_then(|request| qr::picture(&request.url)),
        request: sent.request.as_ref().map(|request| request.url.clone()),
        qr: phone(pages, open),
    };
    view::capture_page(StatusCode::OK, &page, cookie, back.is_some())
}

/// For how many hours pictures are kept.
fn hours(pages: &Pages) -> String {
    pages.sessions.keep_pictures.as_secs().div_ceil(3_600).to_string()
}

fn whole_days(time: Duration) -> String {
    time.as_secs().div_ceil(24 * 3_600).to_string()
}

fn waiting(open: &Open, back: Option<&str>) -> Page {
    let status = open.state.status;
    if let Some(back) = back.filter(|_| status == Status::Approved) {
        return view::see_other(back, None);
    }
    let words = words::status(status);
    let told: BTreeSet<_> = open.failed().filter_map(|reason| words::ended(&reason.code)).collect();
    let callback = || {
        let mut url = Url::parse(open.start.callback.as_deref()?).ok()?;
        url.query_pairs_mut().append_pair("session", &open.row.id.to_string());
        let name = url.host_str().unwrap_or(url.scheme()).to_owned();
        Some((url.into(), tf("Back to {0}", &[&name])))
    };
    let login = back.map(|back| (back.to_owned(), t("Continue").to_owned()));
    let page = Wait {
        id: open.row.id,
        mark: mark(open, &Sent::default()),
        follows: !status.is_final(),
        title: words.title,
        tone: words.tone,
        text: words.text,
        problems: told.into_iter().collect(),
        back: if status.is_final() { login.or_else(callback) } else { None },
    };
    view::capture_page(StatusCode::OK, &page, None, back.is_some())
}

fn busy() -> Page {
    view::again_later("There is much to do just now.")
}

fn gone() -> Page {
    let text = "It is not complete, or what it was for is over. Ask for a new one.";
    let title = "This link does not work";
    view::message(StatusCode::GONE, &Message { title, tone: "bad", text, link: None })
}

fn failed(error: &SessionError) -> Page {
    match error {
        SessionError::NotFound | SessionError::Erased => gone(),
        SessionError::Invalid("code", _) => given::wrong_code(),
        SessionError::Invalid("address" | "number", _) => given::no_address(),
        SessionError::Invalid("document", _) => given::no_document(),
        SessionError::Invalid("questionnaire", _) => given::no_answer(),
        SessionError::Invalid(..) => view::bad_request(),
        SessionError::Check(CheckError::Invalid("image", _)) => given::too_large(),
        SessionError::Check(CheckError::Invalid(..)) => view::bad_request(),
        SessionError::Check(CheckError::Busy) => busy(),
        _ => view::not_now(error),
    }
}
