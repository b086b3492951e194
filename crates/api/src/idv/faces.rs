//! Faces: whether two are of one person, whether somebody was there, and who else looks so. And the pictures that
//! sessions keep for a while.

use data_encoding::BASE64;
use http::{Method, StatusCode};
use portcullis_documents::zone::Day;
use portcullis_types::{Id, Timestamp, tags};
use portcullis_verification::{
    Consent, FaceFound, FaceReport, MATCHES_MAX, ModelUsed, Report, SessionPicture, Values,
};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use super::{
    input::{bytes, invalid},
    picture::{PICTURE_BODY_MAX_BYTES, PictureInput, QualityView},
    report::ReportView,
};
use crate::{
    ApiError,
    call::{Call, Page},
    endpoint::{Api, Endpoint, Permission::Idv, Reply, created, ok},
};

/// Two pictures.
const BOTH_MAX_BYTES: usize = 2 * PICTURE_BODY_MAX_BYTES;

pub(crate) fn endpoints() -> Vec<Endpoint> {
    let (get, post) = (Method::GET, Method::POST);
    let ok = StatusCode::OK;
    vec![
        Endpoint::new(
            post.clone(),
            "/idv/v1/checks/face-match",
            Idv,
            "Compare a picture of a person with a portrait",
            face_match,
        )
        .body(BOTH_MAX_BYTES)
        .takes::<FaceMatchInput>()
        .returns::<FaceReportView>(ok),
        Endpoint::new(
            post.clone(),
            "/idv/v1/checks/liveness",
            Idv,
            "Look whether somebody was in front of the camera",
            liveness,
        )
        .body(PICTURE_BODY_MAX_BYTES)
        .takes::<PictureInput>()
        .returns::<FaceReportView>(ok),
        Endpoint::new(
            post.clone(),
            "/idv/v1/checks/age",
            Idv,
            "How old somebody looks, and whether that fits the day of their birth",
            age,
        )
        .body(PICTURE_BODY_MAX_BYTES)
        .takes::<AgeInput>()
        .returns::<FaceReportView>(ok),
        Endpoint::new(
            post.clone(),
            "/idv/v1/faces/search",
            Idv,
            "Search the faces that are kept, and those on lists, for that of a picture",
            search,
        )
        .body(PICTURE_BODY_MAX_BYTES)
        .takes::<SearchInput>()
        .returns::<SearchView>(ok),
        Endpoint::new(
            post,
            "/idv/v1/lists/{id}/faces",
            Idv,
            "Put the face of a picture on a list",
            list_face,
        )
        .body(PICTURE_BODY_MAX_BYTES)
        .takes::<ListedFaceInput>()
        .returns::<ListedFaceView>(StatusCode::CREATED),
        Endpoint::new(
            get.clone(),
            "/idv/v1/sessions/{id}/pictures",
            Idv,
            "The pictures of a session that are still kept",
            pictures,
        )
        .returns::<Page<SessionPictureView>>(ok),
        Endpoint::new(
            get,
            "/idv/v1/sessions/{id}/pictures/{node}",
            Idv,
            "One of them. The audit log says who looked at it",
            picture,
        )
        .returns::<ShownPictureView>(ok),
    ]
}

/// A picture of a person, and what it is compared with.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct FaceMatchInput {
    /// JPEG or PNG, base64, at most 12 MiB.
    image: String,
    /// JPEG, PNG or, as chips have it, JPEG 2000; base64, at most 12 MiB.
    portrait: String,
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct AgeInput {
    /// JPEG or PNG, base64, at most 12 MiB.
    image: String,
    /// `YYYY-MM-DD`, if it is known.
    date_of_birth: Option<String>,
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct SearchInput {
    /// JPEG or PNG, base64, at most 12 MiB.
    image: String,
    /// How many at most, 1 to 50; 10 if it is left out.
    limit: Option<usize>,
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct ListedFaceInput {
    /// JPEG or PNG, base64, at most 12 MiB.
    image: String,
    /// Why it is there, at most 500 characters.
    #[serde(default)]
    note: String,
    /// RFC 3339; for good if it is left out.
    expires_at: Option<String>,
}

#[derive(Debug, Serialize, ToSchema)]
struct ListedFaceView {
    /// The entry.
    id: String,
}

/// What models say of faces.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct FaceReportView {
    #[serde(flatten)]
    report: ReportView,
    /// Who said it; none if nothing was performed.
    models: Vec<ModelView>,
    /// How many there are in the picture.
    #[serde(skip_serializing_if = "Option::is_none")]
    faces: Option<usize>,
    /// What was measured of the face.
    #[serde(skip_serializing_if = "Option::is_none")]
    quality: Option<QualityView>,
    /// How near two faces are (cosine, -1 to 1), or how certain it is that somebody was there (0 to 1).
    #[serde(skip_serializing_if = "Option::is_none")]
    score: Option<f64>,
    /// From which score on it passes.
    #[serde(skip_serializing_if = "Option::is_none")]
    threshold: Option<f64>,
    /// How old somebody looks.
    #[serde(skip_serializing_if = "Option::is_none")]
    years: Option<f64>,
    /// By how much that is above what is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    difference: Option<f64>,
    /// For a picture of a person: who asked whether they agree, `on_page` or `by_caller`.
    #[serde(skip_serializing_if = "Option::is_none")]
    consent: Option<&'static str>,
    /// What a search found: `blocked`, `people`, `lists`.
    #[serde(skip_serializing_if = "Value::is_null")]
    #[schema(value_type = Object)]
    found: Value,
}

/// A model of the operator.
#[derive(Debug, Serialize, ToSchema)]
struct ModelView {
    /// `detection`, `embedding`, `pad`, `age`
    kind: &'static str,
    name: String,
    version: String,
    sha256: String,
    /// By which terms it is used.
    licence: String,
    /// For `pad`: what a laboratory measured, with its letter; `null` if nobody did.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Object)]
    pad_certificate: Option<Value>,
}

impl From<&ModelUsed> for ModelView {
    fn from(model: &ModelUsed) -> Self {
        let certificate = || serde_json::to_value(&model.pad_certificate).unwrap_or_default();
        Self {
            kind: model.kind,
            name: model.name.clone(),
            version: model.version.clone(),
            sha256: model.sha256.clone(),
            licence: model.licence.clone(),
            pad_certificate: (model.kind == "pad").then(certificate),
        }
    }
}

fn rounded(number: f64) -> f64 {
    (number * 10_000.0).round() / 10_000.0
}

impl FaceReportView {
    pub(super) fn of(report: &Report<FaceReport>, found: &Values) -> Self {
        let told = &report.found;
        let found = if found.is_empty() { Value::Null } else { serde_json::json!(found) };
        Self {
            report: report.into(),
            models: told.models.iter().map(ModelView::from).collect(),
            faces: told.faces,
            quality: told.quality.as_ref().map(QualityView::from),
            score: told.score.map(rounded),
            threshold: told.threshold,
            years: told.years.map(|years| (years * 10.0).round() / 10.0),
            consent: told.consent.map(Consent::as_str),
            difference: told.difference.map(|years| (years * 10.0).round() / 10.0),
            found,
        }
    }
}

/// What a search found.
#[derive(Debug, Serialize, ToSchema)]
struct SearchView {
    #[serde(flatten)]
    report: FaceReportView,
    /// The nearest first.
    matches: Vec<MatchView>,
}

/// Somebody who looks the same.
#[derive(Debug, Serialize, ToSchema)]
struct MatchView {
    score: f64,
    /// The session in which the face was kept.
    #[serde(skip_serializing_if = "Option::is_none")]
    session: Option<String>,
    /// How whoever began it calls the person.
    #[serde(skip_serializing_if = "Option::is_none")]
    reference: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    account: Option<String>,
    /// The list on which the face is.
    #[serde(skip_serializing_if = "Option::is_none")]
    list: Option<String>,
    /// `block`, `allow`, `custom`
    #[serde(skip_serializing_if = "Option::is_none")]
    purpose: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    entry: Option<String>,
}

impl From<FaceFound> for MatchView {
    fn from(found: FaceFound) -> Self {
        let FaceFound { score, row } = found;
        Self {
            score: rounded(score),
            session: row.session_id,
            reference: row.reference.filter(|text| !text.is_empty()),
            account: row.account_id,
            list: row.list_name,
            purpose: row.purpose,
            entry: row.entry_id,
        }
    }
}

/// A picture that is kept.
#[derive(Debug, Serialize, ToSchema)]
struct SessionPictureView {
    /// The step for which it was given.
    node: String,
    /// `selfie`, `portrait`, `document`
    kind: String,
    created_at: String,
    /// When it goes.
    expires_at: String,
}

impl From<SessionPicture> for SessionPictureView {
    fn from(picture: SessionPicture) -> Self {
        Self {
            node: picture.node,
            kind: picture.kind,
            created_at: picture.created_at.to_rfc3339(),
            expires_at: picture.expires_at.to_rfc3339(),
        }
    }
}

#[derive(Serialize, ToSchema)]
struct ShownPictureView {
    /// A JPEG, base64.
    image: String,
}

async fn face_match(api: Api, call: Call) -> Reply {
    let input: FaceMatchInput = call.json()?;
    let both = (bytes("image", &input.image)?, bytes("portrait", &input.portrait)?);
    let report = api.checks.face_match(both, &call.caller.actor, &call.origin).await?;
    ok(FaceReportView::of(&report, &Values::new()))
}

async fn liveness(api: Api, call: Call) -> Reply {
    let picture = call.json::<PictureInput>()?.read()?;
    let report = api.checks.liveness(picture, &call.caller.actor, &call.origin).await?;
    ok(FaceReportView::of(&report, &Values::new()))
}

async fn age(api: Api, call: Call) -> Reply {
    let input: AgeInput = call.json()?;
    let day = |text: &str| {
        Day::parse(text).ok_or_else(|| invalid("date_of_birth", "must be a day, YYYY-MM-DD"))
    };
    let birth = input.date_of_birth.as_deref().map(day).transpose()?;
    let asked = (bytes("image", &input.image)?, birth);
    let report = api.checks.age_estimation(asked, &call.caller.actor, &call.origin).await?;
    ok(FaceReportView::of(&report, &Values::new()))
}

async fn search(api: Api, call: Call) -> Reply {
    let input: SearchInput = call.json()?;
    let limit = input.limit.unwrap_or(10);
    if !(1..=MATCHES_MAX).contains(&limit) {
        return Err(invalid("limit", "must be 1 to 50"));
    }
    let by = (&call.caller.actor, &call.origin);
    let found = api.sessions.search_faces(bytes("image", &input.image)?, limit, by).await?;
    ok(SearchView {
        report: FaceReportView::of(&found.report, &Values::new()),
        matches: found.found.into_iter().map(MatchView::from).collect(),
    })
}

async fn list_face(api: Api, call: Call) -> Reply {
    let input: ListedFaceInput = call.json()?;
    let end = input.expires_at.as_deref().map(Timestamp::parse_rfc3339).transpose();
    let end = end.map_err(|_| invalid("expires_at", "must be a time, RFC 3339"))?;
    let (list, by) = (call.id::<Id<tags::IdvList>>()?, (&call.caller.actor, &call.origin));
    let picture = (bytes("image", &input.image)?, &input.note[..]);
    let entry = api.sessions.list_face(list, picture, end, by).await?;
    created(ListedFaceView { id: entry.to_string() })
}

async fn pictures(api: Api, call: Call) -> Reply {
    let found = api.sessions.pictures(call.id()?).await?;
    ok(Page { items: found.into_iter().map(SessionPictureView::from).collect(), next: None })
}

async fn picture(api: Api, call: Call) -> Reply {
    let id: Id<tags::IdvSession> = call.id()?;
    let node = call.path.get("node").ok_or(ApiError::NotFound)?;
    let by = (&call.caller.actor, &call.origin);
    let jpeg = api.sessions.picture(id, node, by).await?;
    ok(ShownPictureView { image: BASE64.encode(&jpeg) })
}
