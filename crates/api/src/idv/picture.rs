use std::collections::BTreeMap;

use http::{Method, StatusCode};
use portcullis_documents::{aamva::Licence, zone::Day};
use portcullis_verification::{
    Barcode, BarcodeAsked, BarcodeReport, PictureReport, Quality, Report,
};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{
    input::{ExpectedInput, bytes, invalid},
    report::ReportView,
};
use crate::{
    ApiError,
    call::Call,
    endpoint::{Api, Endpoint, Permission::Idv, Reply, ok},
};

/// A picture of 12 MiB as base64, and what stands around it.
pub(crate) const PICTURE_BODY_MAX_BYTES: usize = 17 << 20;

pub(crate) fn endpoints() -> Vec<Endpoint> {
    vec![
        Endpoint::new(
            Method::POST,
            "/idv/v1/checks/barcode",
            Idv,
            "Read the barcode of a licence of North America and compare it with what is known",
            barcode,
        )
        .body(PICTURE_BODY_MAX_BYTES)
        .takes::<BarcodeInput>()
        .returns::<BarcodeReportView>(StatusCode::OK),
        Endpoint::new(
            Method::POST,
            "/idv/v1/checks/image",
            Idv,
            "Measure whether a picture of a document can be read",
            picture,
        )
        .body(PICTURE_BODY_MAX_BYTES)
        .takes::<PictureInput>()
        .returns::<PictureReportView>(StatusCode::OK),
    ]
}

/// The barcode (PDF417) on the back of a licence or card, as AAMVA has it.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct BarcodeInput {
    /// What stands in it, base64, at most 4 KiB.
    payload: Option<String>,
    /// Instead of that a picture, JPEG or PNG, base64, at most 12 MiB.
    image: Option<String>,
    #[serde(default)]
    expected: ExpectedInput,
}

/// A document that a provider looks at.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct DocumentInput {
    /// PDF, JPEG or PNG, base64, at most 12 MiB.
    document: String,
}

impl DocumentInput {
    pub fn read(self) -> Result<Vec<u8>, ApiError> {
        bytes("document", &self.document)
    }
}

/// A picture.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct PictureInput {
    /// JPEG or PNG, base64, at most 12 MiB.
    image: String,
}

/// What a barcode says. Nothing in it is signed.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct BarcodeReportView {
    #[serde(flatten)]
    report: ReportView,
    /// `null` if none can be read.
    licence: Option<LicenceView>,
    /// What was measured of the picture, if there was one.
    quality: Option<QualityView>,
}

/// What was measured of a picture.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct PictureReportView {
    #[serde(flatten)]
    report: ReportView,
    /// `null` if it cannot be decoded.
    quality: Option<QualityView>,
}

/// Measures of a picture. They say whether it can be read, not what it shows.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct QualityView {
    width: u32,
    height: u32,
    /// Variance of the Laplacian at a longer side of 1,000 pixels.
    sharpness: f64,
    /// 0 for black to 1 for white.
    brightness: f64,
    /// 0 to 0.5.
    contrast: f64,
    /// Share of pixels that are white beyond reading.
    saturated: f64,
}

impl From<&Quality> for QualityView {
    fn from(quality: &Quality) -> Self {
        let rounded = |number: f64| (number * 1000.0).round() / 1000.0;
        Self {
            width: quality.width,
            height: quality.height,
            sharpness: rounded(quality.sharpness),
            brightness: rounded(quality.brightness),
            contrast: rounded(quality.contrast),
            saturated: rounded(quality.saturated),
        }
    }
}

/// What a licence says.
#[derive(Debug, Serialize, ToSchema)]
struct LicenceView {
    /// Of the standard of AAMVA.
    version: u8,
    /// The number of the issuer.
    issuer: String,
    /// `CA`, `ON`; `null` if the issuer is not known.
    jurisdiction: Option<&'static str>,
    /// `USA`, `CAN`, `MEX`
    country: &'static str,
    /// `DL`, `ID`, `EN`
    kind: String,
    document_number: String,
    family_name: String,
    given_names: String,
    /// `YYYY-MM-DD`
    date_of_birth: Option<String>,
    /// `YYYY-MM-DD`
    date_of_expiry: Option<String>,
    /// `YYYY-MM-DD`
    date_of_issue: Option<String>,
    /// `M`, `F`, `X`
    sex: &'static str,
    street: String,
    city: String,
    region: String,
    postal_code: String,
    /// Every element, by its three letters.
    elements: BTreeMap<String, String>,
}

impl From<&Licence> for LicenceView {
    fn from(licence: &Licence) -> Self {
        let day = |day: Option<Day>| day.map(|day| day.to_string());
        Self {
            version: licence.version,
            issuer: licence.issuer.clone(),
            jurisdiction: licence.jurisdiction,
            country: licence.country,
            kind: licence.kind.clone(),
            document_number: licence.document_number.clone(),
            family_name: licence.family_name.clone(),
            given_names: licence.given_names.clone(),
            date_of_birth: day(licence.date_of_birth),
            date_of_expiry: day(licence.date_of_expiry),
            date_of_issue: day(licence.date_of_issue),
            sex: licence.sex,
            street: licence.street.clone(),
            city: licence.city.clone(),
            region: licence.region.clone(),
            postal_code: licence.postal_code.clone(),
            elements: licence.elements.clone(),
        }
    }
}

async fn barcode(api: Api, call: Call) -> Reply {
    let asked = call.json::<BarcodeInput>()?.read()?;
    let report = api.checks.barcode(asked, &call.caller.actor, &call.origin).await?;
    ok(BarcodeReportView::from(&report))
}

async fn picture(api: Api, call: Call) -> Reply {
    let picture = call.json::<PictureInput>()?.read()?;
    let report = api.checks.picture(picture, &call.caller.actor, &call.origin).await?;
    ok(PictureReportView::from(&report))
}

impl BarcodeInput {
    pub fn read(self) -> Result<BarcodeAsked, ApiError> {
        let barcode = match (&self.payload, &self.image) {
            (Some(payload), None) => Barcode::Payload(bytes("payload", payload)?),
            (None, Some(image)) => Barcode::Picture(bytes("image", image)?),
            _ => return Err(invalid("payload", "must be there, or image in its place")),
        };
        Ok(BarcodeAsked { barcode, expected: self.expected.read()? })
    }
}

impl PictureInput {
    pub fn read(self) -> Result<Vec<u8>, ApiError> {
        bytes("image", &self.image)
    }
}

impl From<&Report<BarcodeReport>> for BarcodeReportView {
    fn from(report: &Report<BarcodeReport>) -> Self {
        Self {
            report: report.into(),
            licence: report.found.licence.as_ref().map(LicenceView::from),
            quality: report.found.quality.as_ref().map(QualityView::from),
        }
    }
}

impl From<&Report<PictureReport>> for PictureReportView {
    fn from(report: &Report<PictureReport>) -> Self {
        let quality = report.found.quality.as_ref().map(QualityView::from);
        Self { report: report.into(), quality }
    }
}
