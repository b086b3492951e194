use std::sync::Arc;

use portcullis_biometrics::{ModelUsed, Models, Selfie, Template};
use portcullis_capture::{PICTURE_MAX_BYTES, Photo, Quality};
use portcullis_documents::{
    finding::{Code, Finding},
    zone::Day,
};
use portcullis_events::{Actor, Origin};
use portcullis_workflow::Assurance;

use super::{
    CheckError, Checks, Report,
    picture::limit,
    service::{Begun, By},
};

/// Pixels of the shorter side of a face: what models compare has 112.
const FACE_SIDE_MIN: f64 = 112.0;
/// How far the nose may be from the middle of the eyes, in their distance.
const TURN_MAX: f64 = 0.35;
/// Of two faces the smaller one is somebody far away if it is below this part of the other one's area.
const BYSTANDER_AREA: f64 = 0.25;
/// The small copies of a portrait that cards have beside it are below this part of its area.
const SECOND_PORTRAIT_AREA: f64 = 0.4;
/// Variance of the Laplacian of a face below which it is out of focus: skin has few edges.
const FACE_SHARPNESS_MIN: f64 = 12.0;
/// Brightness of a face that can be compared.
const FACE_BRIGHTNESS: std::ops::RangeInclusive<f64> = 0.12..=0.95;
/// Pixels of a side of a picture that is kept.
const KEPT_SIDE: u32 = 1_600;
/// Somebody is this much older than their whole years, in the middle.
const PART_OF_A_YEAR: f64 = 0.5;

/// Who was told that the person agrees to having their face measured (GDPR, article 9(2)(a)).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Consent {
    /// Our page asked them.
    OnPage,
    /// The caller says that they did.
    ByCaller,
}

impl Consent {
    /// As it is written.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::OnPage => "on_page",
            Self::ByCaller => "by_caller",
        }
    }
}

/// What models say of faces. What a check does not tell is `None`.
#[derive(Debug, Clone, Default)]
pub struct FaceReport {
    /// Who said it.
    pub models: Vec<ModelUsed>,
    /// How many faces there are in the picture.
    pub faces: Option<usize>,
    /// What was measured of the face.
    pub quality: Option<Quality>,
    /// How near two faces are, or how certain it is that somebody was there.
    pub score: Option<f64>,
    /// From which score on it passes.
    pub threshold: Option<f64>,
    /// How old somebody looks.
    pub years: Option<f64>,
    /// By how much that is above what is known.
    pub difference: Option<f64>,
    /// For a picture of a person: to whom they agreed.
    pub consent: Option<Consent>,
}

/// A picture that was looked at, and what may be kept of it.
pub struct Taken {
    /// What was found.
    pub report: Report<FaceReport>,
    /// It, as a JPEG; `None` if it could not be decoded.
    pub kept: Option<Vec<u8>>,
}

/// Why a model said nothing, as a finding.
type Found<T> = Result<T, Code>;

impl Checks {
    /// The models that the operator brought.
    pub(crate) fn faces(&self) -> Option<Arc<Models>> {
        self.models.clone()
    }

    /// Looks whether a picture shows one person, near and into the camera.
    pub async fn selfie(
        &self,
        picture: Vec<u8>,
        actor: &Actor,
        origin: &Origin,
    ) -> Result<Taken, CheckError> {
        limit("image", &picture, PICTURE_MAX_BYTES)?;
        let begun = self.begin("selfie", &[&picture]);
        let models = self.faces();
        let looked = self.on_core(move || selfie(models.as_deref(), &picture)).await?;
        let (found, findings, kept) = looked;
        let report = self.told(begun, (actor, origin), findings, found).await?;
        Ok(Taken { report, kept })
    }

    /// Compares a picture of a person with a portrait, each a JPEG or PNG; the portrait may be JPEG 2000.
    pub async fn face_match(
        &self,
        (picture, portrait): (Vec<u8>, Vec<u8>),
        actor: &Actor,
        origin: &Origin,
    ) -> Result<Report<FaceReport>, CheckError> {
        limit("image", &picture, PICTURE_MAX_BYTES)?;
        limit("portrait", &portrait, PICTURE_MAX_BYTES)?;
        let begun = self.begin("face_match", &[&picture, &portrait]);
        let models = self.faces();
        let compared = self.on_core(move || {
            let other = |models: &Models| {
                let face = portrayed(models, &portrait).and_then(|face| template(models, &face));
                // What is wrong with the portrait is not the fault of whoever is in the picture.
                face.map(|face| vec![face]).map_err(|code| match code {
                    Code::ModelFailed => code,
                    _ => Code::PortraitUnusable,
                })
            };
            compare(models.as_deref(), &picture, other)
        });
        let (found, findings) = compared.await?;
        self.told(begun, (actor, origin), findings, found).await
    }

    /// Compares a picture of a person with faces that are kept of them: the nearest one counts.
    pub(crate) async fn face_enrolled(
        &self,
        (picture, faces): (Vec<u8>, Vec<Template>),
        actor: &Actor,
        origin: &Origin,
    ) -> Result<Report<FaceReport>, CheckError> {
        let begun = self.begin("face_match", &[&picture]);
        let models = self.faces();
        let compared = self.on_core(move || compare(models.as_deref(), &picture, |_| Ok(faces)));
        let (found, findings) = compared.await?;
        self.told(begun, (actor, origin), findings, found).await
    }

    /// Looks whether somebody was in front of the camera, or a picture of them.
    pub async fn liveness(
        &self,
        picture: Vec<u8>,
        actor: &Actor,
        origin: &Origin,
    ) -> Result<Report<FaceReport>, CheckError> {
        limit("image", &picture, PICTURE_MAX_BYTES)?;
        let begun = self.begin("liveness", &[&picture]);
        let models = self.faces();
        let (found, findings) = self.on_core(move || live(models.as_deref(), &picture)).await?;
        self.told(begun, (actor, origin), findings, found).await
    }

    /// How old somebody looks, and whether that fits the day of their birth if that is known.
    pub async fn age_estimation(
        &self,
        (picture, birth): (Vec<u8>, Option<Day>),
        actor: &Actor,
        origin: &Origin,
    ) -> Result<Report<FaceReport>, CheckError> {
        limit("image", &picture, PICTURE_MAX_BYTES)?;
        let held = birth.map(|day| day.to_string()).unwrap_or_default();
        let begun = self.begin("age_estimation", &[&picture, held.as_bytes()]);
        let today = Day::at(self.clock.now().micros().div_euclid(1_000_000));
        let age = birth.map(|birth| f64::from(birth.years_until(today)) + PART_OF_A_YEAR);
        let models = self.faces();
        let (found, findings) = self.on_core(move || old(models.as_deref(), &picture, age)).await?;
        self.told(begun, (actor, origin), findings, found).await
    }

    /// The face of a picture as a vector, for a search.
    pub(crate) async fn face_template(
        &self,
        picture: Vec<u8>,
    ) -> Result<Result<Template, Code>, CheckError> {
        limit("image", &picture, PICTURE_MAX_BYTES)?;
        let models = self.faces();
        self.on_core(move || {
            let models = models.as_deref().filter(|models| models.comparing().is_some());
            let models = models.ok_or(Code::ModelMissing)?;
            template(models, &largest(models, &picture)?)
        })
        .await
    }

    pub(crate) async fn told(
        &self,
        begun: Begun,
        (actor, origin): (&Actor, &Origin),
        findings: Vec<Finding>,
        found: FaceReport,
    ) -> Result<Report<FaceReport>, CheckError> {
        let by = By { actor, origin };
        self.finish(begun, &by, (Assurance::Biometric, findings), None, found).await
    }
}

/// A picture as it may be kept: small enough, and with nothing of what the camera wrote beside it.
pub(crate) fn kept(photo: Photo) -> Option<Vec<u8>> {
    let small = photo.at_most(KEPT_SIDE);
    drop(photo);
    small.to_jpeg().ok()
}

fn missing(kind: &str) -> Finding {
    Finding::of(Code::ModelMissing, kind)
}

fn selfie(models: Option<&Models>, picture: &[u8]) -> (FaceReport, Vec<Finding>, Option<Vec<u8>>) {
    let mut found = FaceReport::default();
    let photo = match Photo::decode(picture) {
        Ok(photo) => photo,
        Err(why) => {
            return (found, vec![Finding::of(Code::PictureUnusable, why.to_string())], None);
        }
    };
    let kept = kept(photo);
    // As others will look at it.
    let again = kept.as_deref().and_then(|jpeg| Photo::decode(jpeg).ok());
    let Some(photo) = again else {
        return (found, vec![Code::PictureUnusable.into()], None);
    };
    // Without a model it is kept for people to look at.
    let Some(models) = models else { return (found, vec![missing("detection")], kept) };
    found.models = models.detector();
    let Ok(looked) = models.look(&photo) else {
        return (found, vec![Code::ModelFailed.into()], kept);
    };
    found.faces = Some(looked.faces.len());
    let quality = looked.grey().map(|grey| Quality::of(&grey));
    found.quality = quality;
    let findings = judge(&looked, quality).into_iter().map(Finding::from).collect();
    (found, findings, kept)
}

fn judge(looked: &Selfie, quality: Option<Quality>) -> Vec<Code> {
    let Some(face) = looked.face() else { return vec![Code::FaceNotFound] };
    let second = looked.faces.get(1);
    let crowd = second.is_some_and(|other| {
        other.width * other.height > BYSTANDER_AREA * face.width * face.height
    });
    let small = face.width.min(face.height) < FACE_SIDE_MIN;
    let turned = face.turn().is_none_or(|turn| turn > TURN_MAX);
    let by_quality = quality.map_or_else(Vec::new, |quality| {
        vec![
            (quality.sharpness < FACE_SHARPNESS_MIN, Code::PictureBlurred),
            (quality.brightness < *FACE_BRIGHTNESS.start(), Code::PictureDark),
            (quality.brightness > *FACE_BRIGHTNESS.end(), Code::PictureBright),
        ]
    });
    [(crowd, Code::SeveralFaces), (small, Code::FaceTooSmall), (turned, Code::FaceTurned)]
        .into_iter()
        .chain(by_quality)
        .filter(|(is_so, _)| *is_so)
        .map(|(_, code)| code)
        .collect()
}

/// The faces of a picture of a person, of which there is one at least.
fn largest(models: &Models, picture: &[u8]) -> Found<Selfie> {
    find(models, &Photo::decode(picture).map_err(|_| Code::PictureUnusable)?)
}

/// The face of a portrait. Where another one is nearly as large, nobody knows which is meant.
fn portrayed(models: &Models, portrait: &[u8]) -> Found<Selfie> {
    let photo = Photo::portrait(portrait).map_err(|_| Code::PictureUnusable)?;
    let looked = find(models, &photo)?;
    let area = |at: usize| looked.faces.get(at).map_or(0.0, |face| face.width * face.height);
    if area(1) > SECOND_PORTRAIT_AREA * area(0) { Err(Code::SeveralFaces) } else { Ok(looked) }
}

fn find(models: &Models, photo: &Photo) -> Found<Selfie> {
    let photo = photo.at_most(KEPT_SIDE);
    let photo = &photo;
    let looked = models.look(photo).map_err(|_| Code::ModelFailed)?;
    if looked.face().is_none() { Err(Code::FaceNotFound) } else { Ok(looked) }
}

fn template(models: &Models, looked: &Selfie) -> Found<Template> {
    models.template(looked).map_err(|_| Code::ModelFailed)?.ok_or(Code::FaceNotFound)
}

fn compare(
    models: Option<&Models>,
    picture: &[u8],
    others: impl FnOnce(&Models) -> Found<Vec<Template>>,
) -> (FaceReport, Vec<Finding>) {
    let mut found = FaceReport::default();
    let comparing = models.and_then(|models| Some((models, models.comparing()?)));
    let Some((models, used)) = comparing else { return (found, vec![missing("embedding")]) };
    let Some((threshold, review, _)) = models.embedding() else {
        return (found, vec![missing("embedding")]);
    };
    found.models = used;
    found.threshold = Some(threshold);
    let score = || -> Found<f64> {
        let own = template(models, &largest(models, picture)?)?;
        let others = others(models)?;
        let scores = others.iter().filter_map(|other| own.cosine(other));
        scores.reduce(f64::max).ok_or(Code::PortraitUnusable)
    };
    let findings = match score() {
        Err(code) => vec![code.into()],
        Ok(score) => {
            found.score = Some(score);
            match score {
                score if score >= threshold => Vec::new(),
                score if score >= review => vec![Code::FaceUncertain.into()],
                _ => vec![Code::FaceDiffers.into()],
            }
        }
    };
    (found, findings)
}

fn live(models: Option<&Models>, picture: &[u8]) -> (FaceReport, Vec<Finding>) {
    let mut found = FaceReport::default();
    let telling = models.and_then(|models| Some((models, models.telling_live()?)));
    let Some((models, used)) = telling else { return (found, vec![missing("pad")]) };
    found.models = used;
    let told = || {
        let looked = largest(models, picture)?;
        models.liveness(&looked).map_err(|_| Code::ModelFailed)?.ok_or(Code::FaceNotFound)
    };
    let findings = match told() {
        Err(code) => vec![code.into()],
        Ok(told) => {
            found.score = Some(told.score);
            found.threshold = Some(told.threshold);
            match told.score {
                score if score >= told.threshold => Vec::new(),
                score if score >= told.review => vec![Code::LivenessUncertain.into()],
                _ => vec![Code::NotLive.into()],
            }
        }
    };
    (found, findings)
}

fn old(models: Option<&Models>, picture: &[u8], known: Option<f64>) -> (FaceReport, Vec<Finding>) {
    let mut found = FaceReport::default();
    let telling = models.and_then(|models| Some((models, models.telling_age()?)));
    let Some((models, used)) = telling else { return (found, vec![missing("age")]) };
    found.models = used;
    let told = || {
        let looked = largest(models, picture)?;
        models.age(&looked).map_err(|_| Code::ModelFailed)?.ok_or(Code::FaceNotFound)
    };
    let findings = match told() {
        Err(code) => vec![code.into()],
        Ok(told) => {
            found.years = Some(told.years);
            found.difference = known.map(|known| told.years - known);
            let far = found.difference.is_some_and(|years| years.abs() > told.tolerance);
            if far { vec![Code::AgeDiffers.into()] } else { Vec::new() }
        }
    };
    (found, findings)
}
