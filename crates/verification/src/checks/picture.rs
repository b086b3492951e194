use portcullis_capture::{PICTURE_MAX_BYTES, Picture, Quality, pdf417};
use portcullis_documents::{
    aamva::{self, BARCODE_MAX_BYTES, Licence},
    finding::{Code, Finding},
    zone::{Day, Expected},
};
use portcullis_events::{Actor, Origin};
use portcullis_workflow::Assurance;

use super::{
    CheckError, Checks, Report,
    service::{By, held},
};

/// Pixels that the shorter side of a picture of a document should have: a letter of a card then has some ten.
const SHORT_SIDE_MIN: u32 = 600;

/// Variance of the Laplacian below which a picture of a document is out of focus. Sharp ones have hundreds.
const SHARPNESS_MIN: f64 = 60.0;

/// Brightness of a picture that can be read.
const BRIGHTNESS: std::ops::RangeInclusive<f64> = 0.2..=0.92;

/// Share of pixels beyond reading from which it is told.
const SATURATED_MAX: f64 = 0.1;

/// The barcode of a licence, as another program read it or in a picture.
#[derive(Clone)]
pub struct BarcodeAsked {
    /// It.
    pub barcode: Barcode,
    /// What else is known about the holder.
    pub expected: Expected,
}

/// Where a barcode is.
#[derive(Clone)]
pub enum Barcode {
    /// What stands in it.
    Payload(Vec<u8>),
    /// A picture, JPEG or PNG.
    Picture(Vec<u8>),
}

/// What a barcode says. Nothing in it is signed.
#[derive(Debug, Clone)]
pub struct BarcodeReport {
    /// It; `None` if none can be read.
    pub licence: Option<Licence>,
    /// What was measured of the picture, if there was one.
    pub quality: Option<Quality>,
}

/// What was measured of a picture.
#[derive(Debug, Clone)]
pub struct PictureReport {
    /// It; `None` if it cannot be decoded.
    pub quality: Option<Quality>,
}

impl Checks {
    /// Reads the barcode of a licence and compares it with what is known.
    pub async fn barcode(
        &self,
        asked: BarcodeAsked,
        actor: &Actor,
        origin: &Origin,
    ) -> Result<Report<BarcodeReport>, CheckError> {
        let (field, bytes, most) = match &asked.barcode {
            Barcode::Payload(bytes) => ("payload", bytes, BARCODE_MAX_BYTES),
            Barcode::Picture(bytes) => ("image", bytes, PICTURE_MAX_BYTES),
        };
        limit(field, bytes, most)?;
        let held = held(&asked.expected, None);
        let begun = self.begin("barcode", &[field.as_bytes(), bytes, held.as_bytes()]);
        let today = Day::at(self.clock.now().micros().div_euclid(1_000_000));
        let (found, findings) = self.on_core(move || read(&asked, today)).await?;
        let by = By { actor, origin };
        self.finish(begun, &by, (Assurance::SelfAsserted, findings), None, found).await
    }

    /// Measures whether a picture can be read.
    pub async fn picture(
        &self,
        picture: Vec<u8>,
        actor: &Actor,
        origin: &Origin,
    ) -> Result<Report<PictureReport>, CheckError> {
        limit("image", &picture, PICTURE_MAX_BYTES)?;
        let begun = self.begin("image", &[&picture]);
        let (quality, findings) = self
            .on_core(move || match Picture::decode(&picture) {
                Ok(picture) => {
                    let quality = Quality::of(&picture);
                    (Some(quality), judge(&quality))
                }
                Err(why) => (None, vec![Finding::of(Code::PictureUnusable, why.to_string())]),
            })
            .await?;
        let by = By { actor, origin };
        let outcome = (Assurance::Heuristic, findings);
        self.finish(begun, &by, outcome, None, PictureReport { quality }).await
    }
}

pub(super) fn limit(field: &'static str, bytes: &[u8], most: usize) -> Result<(), CheckError> {
    if bytes.len() > most {
        return Err(CheckError::Invalid(field, format!("must be at most {most} bytes")));
    }
    Ok(())
}

fn read(asked: &BarcodeAsked, today: Day) -> (BarcodeReport, Vec<Finding>) {
    let mut report = BarcodeReport { licence: None, quality: None };
    let payload = match &asked.barcode {
        Barcode::Payload(payload) => payload.clone(),
        Barcode::Picture(bytes) => {
            let picture = match Picture::decode(bytes) {
                Ok(picture) => picture,
                Err(why) => {
                    let found = Finding::of(Code::PictureUnusable, why.to_string());
                    return (report, vec![found]);
                }
            };
            let quality = Quality::of(&picture);
            report.quality = Some(quality);
            match pdf417(&picture) {
                Some(payload) => payload,
                None => {
                    // Why it is not found may be told by the picture.
                    let mut findings = judge(&quality);
                    findings.push(Code::BarcodeNotFound.into());
                    return (report, findings);
                }
            }
        }
    };
    match aamva::read(&payload) {
        Err(finding) => (report, vec![finding]),
        Ok(licence) => {
            let mut findings = licence.findings(today);
            findings.extend(licence.compare(&asked.expected));
            report.licence = Some(licence);
            (report, findings)
        }
    }
}

fn judge(quality: &Quality) -> Vec<Finding> {
    let few = quality.width.min(quality.height) < SHORT_SIDE_MIN;
    [
        (few, Code::PictureTooSmall),
        (quality.sharpness < SHARPNESS_MIN, Code::PictureBlurred),
        (quality.brightness < *BRIGHTNESS.start(), Code::PictureDark),
        (quality.brightness > *BRIGHTNESS.end(), Code::PictureBright),
        (quality.saturated > SATURATED_MAX, Code::PictureSaturated),
    ]
    .into_iter()
    .filter(|(is_so, _)| *is_so)
    .map(|(_, code)| code.into())
    .collect()
}
