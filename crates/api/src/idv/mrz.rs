use http::{Method, StatusCode};
use portcullis_verification::{Report, ZoneAsked, ZoneReport};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{
    input::{ExpectedInput, invalid},
    report::{DocumentView, ReportView},
};
use crate::{
    ApiError,
    call::Call,
    endpoint::{Api, Endpoint, Permission::Idv, Reply, ok},
};

pub(crate) fn endpoints() -> Vec<Endpoint> {
    vec![
        Endpoint::new(
            Method::POST,
            "/idv/v1/checks/mrz",
            Idv,
            "Read a machine readable zone and compare it with what is known",
            check,
        )
        .takes::<ZoneInput>()
        .returns::<ZoneReportView>(StatusCode::OK),
    ]
}

/// A machine readable zone, as it was typed or found by another program.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ZoneInput {
    /// Its lines as they stand on the document, with line breaks between.
    mrz: Option<String>,
    /// Instead of that: text of a picture in which a zone is looked for. Letters may be read as others that look
    /// alike where the check digits ask for it, which is told.
    ocr_text: Option<String>,
    #[serde(default)]
    expected: ExpectedInput,
}

/// What a zone says. Nothing in it is signed.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ZoneReportView {
    #[serde(flatten)]
    report: ReportView,
    /// `null` if no zone can be read.
    document: Option<DocumentView>,
}

async fn check(api: Api, call: Call) -> Reply {
    let asked = call.json::<ZoneInput>()?.read()?;
    let report = api.checks.zone(asked, &call.caller.actor, &call.origin).await?;
    ok(ZoneReportView::from(&report))
}

impl ZoneInput {
    pub fn read(self) -> Result<ZoneAsked, ApiError> {
        let (text, find) = match (self.mrz, self.ocr_text) {
            (Some(text), None) => (text, false),
            (None, Some(text)) => (text, true),
            _ => return Err(invalid("mrz", "must be there, or ocr_text in its place")),
        };
        Ok(ZoneAsked { text, find, expected: self.expected.read()? })
    }
}

impl From<&Report<ZoneReport>> for ZoneReportView {
    fn from(report: &Report<ZoneReport>) -> Self {
        let document = report.found.zone.as_ref().map(DocumentView::from);
        Self { report: report.into(), document }
    }
}
