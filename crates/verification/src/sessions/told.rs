//! What checks tell a workflow: the fields of its catalogue, and who somebody is.

use portcullis_documents::{
    chip::{Active, Chain},
    finding::Severity,
    zone::{Day, Zone},
};
use portcullis_types::{Id, tags};
use portcullis_workflow::{Outcome, Reason, Value, Values, Weight};
use serde::{Deserialize, Serialize};
use serde_json::{Value as Json, json};

use super::Known;
use crate::checks::{BarcodeReport, EmrtdReport, FaceReport, PictureReport, Report, ZoneReport};

/// What a check found, as a workflow can look at it.
pub trait Told {
    /// The fields, by the names of the catalogue.
    fn values(&self, today: Day) -> Values;
    /// Who somebody is by it.
    fn known(&self) -> Option<Known>;
}

/// What is kept with a report: who somebody is by it, and all of it as its caller saw it.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct Detail {
    pub known: Option<Known>,
    pub view: Json,
    /// Who is screened from now on.
    #[serde(default)]
    pub watched: Option<Watched>,
}

/// A subject that is monitored, and how much was found against it.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(crate) struct Watched {
    pub subject: Id<tags::AmlSubject>,
    pub findings: i64,
}

/// The report of a check, for a session.
pub(super) fn outcome<T: Told>(report: &Report<T>, today: Day, view: Json) -> Outcome {
    let weight = |severity| match severity {
        Severity::Information => Weight::Information,
        Severity::Doubt => Weight::Doubt,
        Severity::Failure => Weight::Failure,
    };
    let reasons = report.findings.iter().map(|finding| Reason {
        code: finding.code.as_str().to_owned(),
        severity: weight(finding.code.severity()),
    });
    let detail = Detail { known: report.found.known(), view, watched: None };
    Outcome::Report(Box::new(portcullis_workflow::Report {
        id: report.id.to_string(),
        status: report.status,
        assurance: report.assurance,
        reasons: reasons.collect(),
        values: report.found.values(today),
        detail: json!(detail),
    }))
}

fn text(values: &mut Values, name: &str, value: &str) {
    if !value.is_empty() {
        values.insert(name.to_owned(), Value::Text(value.to_owned()));
    }
}

fn number(values: &mut Values, name: &str, value: f64) {
    values.insert(name.to_owned(), Value::Number(value));
}

/// Days as fields, and whole years since a birth.
fn days(values: &mut Values, birth: Option<Day>, expiry: Option<Day>, today: Day) {
    if let Some(birth) = birth {
        text(values, "date_of_birth", &birth.to_string());
        number(values, "age", f64::from(birth.years_until(today)));
    }
    if let Some(expiry) = expiry {
        text(values, "date_of_expiry", &expiry.to_string());
    }
}

fn zone(zone: &Zone, today: Day) -> Values {
    let mut values = Values::new();
    text(&mut values, "document_code", &zone.document_code);
    text(&mut values, "issuing_state", &zone.issuing_state);
    text(&mut values, "nationality", &zone.nationality);
    text(&mut values, "sex", zone.sex);
    let day = Day::parse;
    days(&mut values, day(&zone.date_of_birth), day(&zone.date_of_expiry), today);
    values
}

impl Told for ZoneReport {
    fn values(&self, today: Day) -> Values {
        self.zone.as_ref().map(|read| zone(read, today)).unwrap_or_default()
    }

    fn known(&self) -> Option<Known> {
        self.zone.as_ref().map(Known::from)
    }
}

impl Told for EmrtdReport {
    fn values(&self, today: Day) -> Values {
        let mut values =
            self.passive.zone.as_ref().map(|read| zone(read, today)).unwrap_or_default();
        let passive = match self.passive.chain {
            _ if self.passive.failed() => "failed",
            Chain::Verified => "passed",
            Chain::Unverified | Chain::Broken => "unverified",
        };
        let active = match &self.active {
            Active::Passed { .. } if self.is_fresh => "passed",
            Active::Passed { .. } => "review",
            Active::Failed(_) => "failed",
            Active::NotPerformed(_) => "not_performed",
        };
        text(&mut values, "passive", passive);
        text(&mut values, "active", active);
        text(&mut values, "chain", self.passive.chain.as_str());
        values
    }

    fn known(&self) -> Option<Known> {
        self.passive.zone.as_ref().map(Known::from)
    }
}

impl Told for BarcodeReport {
    fn values(&self, today: Day) -> Values {
        let mut values = Values::new();
        if let Some(licence) = &self.licence {
            text(&mut values, "country", licence.country);
            text(&mut values, "jurisdiction", licence.jurisdiction.unwrap_or_default());
            text(&mut values, "sex", licence.sex);
            days(&mut values, licence.date_of_birth, licence.date_of_expiry, today);
        }
        values
    }

    fn known(&self) -> Option<Known> {
        self.licence.as_ref().map(Known::from)
    }
}

impl Told for FaceReport {
    fn values(&self, _: Day) -> Values {
        let mut values = Values::new();
        let faces = self.faces.and_then(|faces| u32::try_from(faces).ok()).map(f64::from);
        let sharpness = self.quality.map(|quality| quality.sharpness);
        for (name, told) in [
            ("faces", faces),
            ("sharpness", sharpness),
            ("score", self.score),
            ("years", self.years),
            ("difference", self.difference),
        ] {
            if let Some(told) = told {
                number(&mut values, name, told);
            }
        }
        values
    }

    fn known(&self) -> Option<Known> {
        None
    }
}

impl Told for PictureReport {
    fn values(&self, _: Day) -> Values {
        let mut values = Values::new();
        if let Some(quality) = &self.quality {
            number(&mut values, "width", f64::from(quality.width));
            number(&mut values, "height", f64::from(quality.height));
            number(&mut values, "sharpness", quality.sharpness);
            number(&mut values, "brightness", quality.brightness);
        }
        values
    }

    fn known(&self) -> Option<Known> {
        None
    }
}
