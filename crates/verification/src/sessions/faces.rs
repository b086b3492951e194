//! Faces that are compared: with the portrait of a document, with those that are kept of the person, and with those of
//! others and of lists.

use std::collections::BTreeSet;

use portcullis_biometrics::Template;
use portcullis_documents::{
    finding::{Code, Finding},
    zone::Day,
};
use portcullis_events::{Actor, Kind, Origin};
use portcullis_store::{
    Tx,
    idv::{
        faces::{self, FoundRow, NewFace, Whose},
        lists::{self, ListEntryRow},
        sessions,
    },
};
use portcullis_types::{Id, Timestamp, tags};
use portcullis_workflow::{
    Assurance, Check, CheckStatus, ENROLLED, Outcome, Status, Value, Values,
};
use serde_json::json;

use super::{
    Open, SessionError, Sessions,
    identity::{KEPT, OTHER_PERSON},
    lists as own_lists,
    service::label,
    told::outcome,
};
use crate::checks::{CheckError, FaceReport, Report};

/// Faces that a search finds at most.
pub const MATCHES_MAX: usize = 50;
/// Faces that are kept of a person and compared.
const ENROLLED_MAX: i64 = 10;

/// Somebody whose face was found.
#[derive(Debug, Clone)]
pub struct FaceFound {
    /// The cosine.
    pub score: f64,
    /// Whose it is.
    pub row: FoundRow,
}

/// What a search found.
pub struct FaceSearch {
    /// The report of it.
    pub report: Report<FaceReport>,
    /// The nearest first.
    pub found: Vec<FaceFound>,
}

fn purpose(id: Id<tags::Face>) -> String {
    format!("face:{id}")
}

impl Sessions {
    /// Searches all faces for that of a picture.
    pub async fn search_faces(
        &self,
        picture: Vec<u8>,
        most: usize,
        (by, origin): (&Actor, &Origin),
    ) -> Result<FaceSearch, SessionError> {
        let begun = self.checks.begin("face_search", &[&picture]);
        let template = self.checks.face_template(picture).await?;
        let (mut report, mut findings, mut found) = self.face_report();
        match template {
            Err(code) => findings.push(code.into()),
            Ok(template) => {
                found = self.find_faces(&template, most.clamp(1, MATCHES_MAX), |_| true).await?;
                findings.extend(judge(&found));
                findings.extend(self.uncompared(&BTreeSet::new()).await?);
                report.score = found.first().map(|one| one.score);
            }
        }
        let report = self.checks.told(begun, (by, origin), findings, report).await?;
        Ok(FaceSearch { report, found })
    }

    /// Puts a face on a list: that of a picture, or of the person of a session.
    pub async fn list_face(
        &self,
        list: Id<tags::IdvList>,
        (picture, note): (Vec<u8>, &str),
        expires_at: Option<Timestamp>,
        (by, origin): (&Actor, &Origin),
    ) -> Result<Id<tags::IdvListEntry>, SessionError> {
        let invalid = |must: &str| SessionError::Invalid("image", must.to_owned());
        let model = self.face_model().ok_or_else(|| invalid("needs a model for faces"))?;
        let template = match self.checks.face_template(picture).await? {
            Ok(template) => template,
            Err(code) => {
                return Err(invalid(&format!("shows no face to compare: {}", code.as_str())));
            }
        };
        if !own_lists::is_note(note) {
            let must = "must be at most 500 characters of text".to_owned();
            return Err(SessionError::Invalid("note", must));
        }
        let now = self.now();
        if expires_at.is_some_and(|end| end <= now) {
            return Err(SessionError::Invalid("expires_at", "must be in the future".to_owned()));
        }
        let entry = Id::new(now, &*self.entropy);
        let sealed = own_lists::sealed_entry(self, (list, entry), ("", note))?;
        let row = &ListEntryRow {
            id: entry,
            kind: FACE.to_owned(),
            // No two pictures are the same: each is an entry of its own.
            digest: self.hex_digest(&[b"listed", FACE.as_bytes(), entry.to_string().as_bytes()]),
            sealed,
            added_by: label(by),
            created_at: now,
            expires_at: expires_at.map(Timestamp::micros),
        };
        let id = Id::new(now, &*self.entropy);
        let sealed = &self.sealer.seal(&purpose(id), &template.to_bytes(), &*self.entropy)?;
        let model = &model;
        let listed = self.db.write(|tx| async move {
            let there = lists::by_id(&tx, &self.tenant, list).await?;
            let there = there.ok_or(SessionError::NotFound)?;
            own_lists::room(&there, 1)?;
            lists::put(&tx, &self.tenant, list, row).await?;
            let whose = Whose::Entry(list, entry);
            let face = NewFace { id, whose, model, sealed, expires_at };
            faces::put(&tx, &self.tenant, &face, now).await?;
            lists::count(&tx, &self.tenant, list, 1, now).await?;
            let after = json!({ "added": 1, "kind": FACE, "entry": entry.to_string() });
            tx.emit(self.list_event((by, origin), "add", list, after)).await?;
            Ok(entry)
        });
        listed.await
    }

    /// A check of the face of whoever goes through a session.
    pub(super) async fn look_at_face(&self, open: &Open, node: &str, check: &Check) -> Outcome {
        match self.face_outcome(open, check).await {
            Ok(outcome) => outcome,
            Err(SessionError::Check(CheckError::Busy)) => Outcome::Unavailable("busy".to_owned()),
            Err(error) => {
                let session = open.row.id.to_string();
                tracing::warn!(session, node, %error, "a face was not looked at");
                Outcome::Unavailable("faces_unavailable".to_owned())
            }
        }
    }

    async fn face_outcome(&self, open: &Open, check: &Check) -> Result<Outcome, SessionError> {
        let unsupported = |why: &str| Ok(Outcome::Unsupported(why.to_owned()));
        let Some(selfie) = self.selfie_of(open).await? else { return unsupported("no_selfie") };
        let by = (&Actor::System, &Origin::default());
        let report = match &check.check[..] {
            "liveness" => self.checks.liveness(selfie, by.0, by.1).await?,
            "age_estimation" => {
                let birth = born(open).as_deref().and_then(Day::parse);
                self.checks.age_estimation((selfie, birth), by.0, by.1).await?
            }
            "face_match" => match check.from.as_deref() {
                Some(ENROLLED) => {
                    let enrolled = self.enrolled(open).await?;
                    if enrolled.is_empty() && self.face_model().is_some() {
                        return unsupported("not_enrolled");
                    }
                    self.checks.face_enrolled((selfie, enrolled), by.0, by.1).await?
                }
                from => {
                    let portrait = self.picture_of(open, from.unwrap_or_default()).await?;
                    let Some(portrait) = portrait else { return unsupported("no_portrait") };
                    self.checks.face_match((selfie, portrait), by.0, by.1).await?
                }
            },
            _ => return self.search_for(open, check, selfie).await,
        };
        let view = (self.views.face)(&report, &Values::new());
        Ok(outcome(&report, self.today(), view))
    }

    /// Whether others look like whoever goes through a session, and whether they are on a list.
    async fn search_for(
        &self,
        open: &Open,
        check: &Check,
        selfie: Vec<u8>,
    ) -> Result<Outcome, SessionError> {
        let there = lists::all(&self.db, &self.tenant).await?;
        if check.lists.iter().any(|name| there.iter().all(|list| list.name != *name)) {
            return Ok(Outcome::Error("no_such_list".to_owned()));
        }
        if check.keep.is_some() {
            // What was kept of another picture is not of this one.
            let id = open.row.id;
            let forget =
                self.db.write(|tx| async move { faces::remove(&tx, &self.tenant, id).await });
            forget.await?;
        }
        let begun = self.checks.begin("face_search", &[&selfie]);
        let template = self.checks.face_template(selfie).await?;
        let (mut report, mut findings, mut found) = self.face_report();
        match &template {
            Err(code) => findings.push((*code).into()),
            Ok(template) => {
                // Before it is searched: of two that come at once one at least sees the other.
                if let Some(keep) = check.keep.filter(|_| may_be_theirs(open)) {
                    let until = self.now().plus(keep.duration());
                    self.enrol(open, template, until).await?;
                }
                let counts = |row: &FoundRow| match &row.list_name {
                    Some(name) => check.lists.is_empty() || check.lists.contains(name),
                    // Who is not decided yet counts as well, or many could go beside each other.
                    None => !is_same(open, row),
                };
                found = self.find_faces(template, MATCHES_MAX, counts).await?;
                findings.extend(judge(&found));
                findings.extend(self.uncompared(&check.lists).await?);
                report.score = found.first().map(|one| one.score);
            }
        }
        let by = (&Actor::System, &Origin::default());
        let report = self.checks.told(begun, by, findings, report).await?;
        let performed = template.is_ok();
        let more = if performed { values(&found) } else { Values::new() };
        let view = (self.views.face)(&report, &more);
        let mut came = outcome(&report, self.today(), view);
        if let Outcome::Report(report) = &mut came {
            report.values.extend(more);
        }
        Ok(came)
    }

    /// Faces that another model made are not found any more, and have to be given again.
    async fn uncompared(&self, wanted: &BTreeSet<String>) -> Result<Vec<Finding>, SessionError> {
        let Some(model) = self.face_model() else { return Ok(Vec::new()) };
        let (people, lists) = faces::of_others(&self.db, &self.tenant, &model, self.now()).await?;
        let counts = |name: &String| wanted.is_empty() || wanted.contains(name);
        let lists: Vec<String> = lists.into_iter().filter(counts).collect();
        let listed = || Finding::of(Code::ListedFacesUncompared, lists.join(", "));
        let findings =
            [(!lists.is_empty()).then(listed), people.then(|| Code::FacesUncompared.into())];
        Ok(findings.into_iter().flatten().collect())
    }

    /// What becomes of the face of a session that is over: kept of whoever was approved, and known again only if a chip
    /// and a camera prove whose it is, of an account only if that is whose the account is.
    pub(super) async fn settle_face(
        &self,
        tx: &Tx,
        open: &Open,
        verified: Option<&str>,
    ) -> Result<(), SessionError> {
        if !open.state.status.is_final() || open.plan.keeps_face().is_none() {
            return Ok(());
        }
        let id = open.row.id;
        if open.state.status != Status::Approved || verified == Some(OTHER_PERSON) {
            return Ok(faces::remove(tx, &self.tenant, id).await?);
        }
        if is_proven(open) && (open.row.account_id.is_none() || verified == Some(KEPT)) {
            faces::prove(tx, &self.tenant, id).await?;
        }
        Ok(())
    }

    /// SHA-256 of the model that makes vectors.
    pub(super) fn face_model(&self) -> Option<String> {
        let models = self.checks.faces()?;
        models.embedding().map(|(_, _, model)| model.to_owned())
    }

    fn face_report(&self) -> (FaceReport, Vec<Finding>, Vec<FaceFound>) {
        let models = self.checks.faces().and_then(|models| models.comparing());
        let report = FaceReport {
            models: models.unwrap_or_default(),
            threshold: self.checks.faces().and_then(|models| models.search_from()),
            ..FaceReport::default()
        };
        (report, Vec::new(), Vec::new())
    }

    /// Keeps the face of a person, who agreed to that.
    async fn enrol(
        &self,
        open: &Open,
        template: &Template,
        until: Timestamp,
    ) -> Result<(), SessionError> {
        let Some(model) = &self.face_model() else { return Ok(()) };
        let (session, now) = (open.row.id, self.now());
        let id = Id::new(now, &*self.entropy);
        let sealed = &self.sealer.seal(&purpose(id), &template.to_bytes(), &*self.entropy)?;
        self.db
            .write(|tx| async move {
                let row = sessions::by_id(&tx, &self.tenant, session).await?;
                // Of whoever was erased meanwhile nothing is kept, nor of whoever is asked for nothing more.
                if row.is_none_or(|row| row.key.is_none() || row.ended_at.is_some()) {
                    return Ok(());
                }
                let whose = Whose::Session(session);
                let face = NewFace { id, whose, model, sealed, expires_at: Some(until) };
                faces::put(&tx, &self.tenant, &face, now).await?;
                let told = portcullis_events::Verification {
                    change: "face_kept",
                    ..self.about_row(&open.row)
                };
                Ok(tx.emit(self.event(&Actor::System, None, Kind::Verification(told))).await?)
            })
            .await
    }

    /// The faces that are kept of the person of a session, from sessions that were approved.
    async fn enrolled(&self, open: &Open) -> Result<Vec<Template>, SessionError> {
        let Some(model) = self.face_model() else { return Ok(Vec::new()) };
        let account = open.row.account_id.as_deref().unwrap_or_default();
        let whose = (&open.row.reference[..], account, &model[..]);
        let terms = (self.now(), ENROLLED_MAX);
        let rows = faces::enrolled(&self.db, &self.tenant, whose, terms).await?;
        rows.iter().map(|row| self.opened(row.id, &row.sealed)).collect()
    }

    pub(super) fn opened(
        &self,
        id: Id<tags::Face>,
        sealed: &[u8],
    ) -> Result<Template, SessionError> {
        let bytes = self.sealer.open(&purpose(id), sealed)?;
        Template::from_bytes(&bytes).ok_or(SessionError::Sealed)
    }
}

/// As entries of lists call it.
pub(super) const FACE: &str = "face";

/// When somebody was born by the last document that was not found wanting, or by what whoever began the session says.
fn born(open: &Open) -> Option<String> {
    let mut done: Vec<_> = open.state.done.iter().collect();
    done.retain(|(_, done)| done.status == CheckStatus::Passed);
    done.sort_by_key(|(_, done)| std::cmp::Reverse(done.order));
    let told = done.into_iter().filter_map(|(node, _)| open.known_by(node)?.date_of_birth);
    told.into_iter().next().or_else(|| open.start.expected.date_of_birth.clone())
}

/// Whether a face is of the same person, by what whoever began both sessions says.
fn is_same(open: &Open, row: &FoundRow) -> bool {
    let own = &open.row;
    let reference = row
        .reference
        .as_deref()
        .is_some_and(|other| !own.reference.is_empty() && other == own.reference);
    let account = own.account_id.is_some() && own.account_id == row.account_id;
    reference || account || row.session_id.as_deref() == Some(&own.id.to_string())
}

/// Others, each counted once: two sessions are of one person if they are of one account or go by one reference.
fn people(found: &[FaceFound]) -> usize {
    let mut known: Vec<BTreeSet<(&str, &str)>> = Vec::new();
    for row in found.iter().map(|one| &one.row) {
        let Some(session) = row.session_id.as_deref() else { continue };
        let reference = row.reference.as_deref().filter(|text| !text.is_empty());
        let names = [("account", row.account_id.as_deref()), ("reference", reference)];
        let names = names.into_iter().filter_map(|(kind, name)| Some((kind, name?)));
        let mut person: BTreeSet<_> = names.chain([("session", session)]).collect();
        // Whoever shares a name with them is them.
        let (same, others): (Vec<_>, Vec<_>) =
            known.into_iter().partition(|other| !other.is_disjoint(&person));
        person.extend(same.into_iter().flatten());
        known = others;
        known.push(person);
    }
    known.len()
}

/// Whether nothing says by now that the face is not theirs: a picture that passed, and of whom no camera says that it was
/// a picture of a picture.
fn may_be_theirs(open: &Open) -> bool {
    let last = last_selfie(open).is_some_and(|(_, status)| status == CheckStatus::Passed);
    let done = open.state.done.iter();
    let mut live = done.filter(|(node, _)| is(open, node, "liveness"));
    last && live.all(|(_, done)| done.status == CheckStatus::Passed)
}

fn is(open: &Open, node: &str, check: &str) -> bool {
    open.plan.check(node).is_some_and(|own| own.check == check)
}

/// When the last picture was taken, and what came of it.
fn last_selfie(open: &Open) -> Option<(u32, CheckStatus)> {
    let done = open.state.done.iter().filter(|(node, _)| is(open, node, "selfie"));
    done.map(|(_, done)| (done.order, done.status)).max_by_key(|(order, _)| *order)
}

/// Whether a chip and a camera prove whose face a session shows: all of it of the last picture that was taken.
fn is_proven(open: &Open) -> bool {
    let Some((taken, CheckStatus::Passed)) = last_selfie(open) else { return false };
    let signed = |node: &str| {
        let done = open.state.done.get(node).filter(|done| done.status == CheckStatus::Passed);
        let report = done.and_then(|done| done.report.as_ref());
        is(open, node, "emrtd")
            && report.is_some_and(|report| report.assurance == Assurance::Cryptographic)
    };
    let after = |check: &str, fits: &dyn Fn(&Check) -> bool| {
        open.state.done.iter().any(|(node, done)| {
            let own = open.plan.check(node).filter(|own| own.check == check);
            own.is_some_and(fits) && done.order > taken && done.status == CheckStatus::Passed
        })
    };
    let from_chip = |check: &Check| check.from.as_deref().is_some_and(signed);
    after("liveness", &|_| true)
        && after("face_match", &from_chip)
        && after("face_search", &|check| check.keep.is_some())
}

fn on(found: &[FaceFound], purpose: &str) -> bool {
    found.iter().any(|one| one.row.purpose.as_deref() == Some(purpose))
}

fn judge(found: &[FaceFound]) -> Vec<Finding> {
    let codes = [
        (on(found, "block"), Code::FaceBlocked),
        (on(found, "allow") || on(found, "custom"), Code::FaceListed),
        (people(found) > 0, Code::FaceKnown),
    ];
    codes.into_iter().filter(|(is_so, _)| *is_so).map(|(_, code)| code.into()).collect()
}

fn values(found: &[FaceFound]) -> Values {
    let lists: BTreeSet<String> =
        found.iter().filter_map(|one| one.row.list_name.clone()).collect();
    let count = u32::try_from(people(found)).unwrap_or(u32::MAX);
    let score = found.first().map_or(0.0, |one| one.score);
    Values::from([
        ("blocked".to_owned(), Value::Flag(on(found, "block"))),
        ("people".to_owned(), Value::Number(f64::from(count))),
        ("score".to_owned(), Value::Number(score)),
        ("lists".to_owned(), Value::Texts(lists.into_iter().collect())),
    ])
}
