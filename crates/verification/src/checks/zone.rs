use portcullis_documents::{
    finding::Finding,
    zone::{self, Day, Expected, Zone},
};
use portcullis_events::{Actor, Origin};
use portcullis_workflow::Assurance;

use super::{
    CheckError, Checks, Report,
    service::{By, held},
};

/// A machine readable zone to look at.
#[derive(Debug, Clone)]
pub struct ZoneAsked {
    /// Its lines, or text in which it stands.
    pub text: String,
    /// Whether it is looked for in the text, and letters may be read as others that look alike.
    pub find: bool,
    /// What else is known about the holder.
    pub expected: Expected,
}

/// What a zone says.
#[derive(Debug, Clone)]
pub struct ZoneReport {
    /// It; `None` if none can be read.
    pub zone: Option<Zone>,
}

impl Checks {
    /// Reads a machine readable zone and compares it with what is known. Nothing in it is signed, so this never
    /// says who made it.
    pub async fn zone(
        &self,
        asked: ZoneAsked,
        actor: &Actor,
        origin: &Origin,
    ) -> Result<Report<ZoneReport>, CheckError> {
        let field = if asked.find { "ocr_text" } else { "mrz" };
        if asked.text.len() > zone::TEXT_MAX_BYTES {
            let most = zone::TEXT_MAX_BYTES;
            return Err(CheckError::Invalid(field, format!("must be at most {most} bytes")));
        }
        let held = held(&asked.expected, None);
        let pieces = [field.as_bytes(), asked.text.as_bytes(), held.as_bytes()];
        let begun = self.begin("mrz", &pieces);
        let today = Day::at(self.clock.now().micros().div_euclid(1_000_000));
        // Text of a picture is read in many ways.
        let (found, findings) = self.on_core(move || read(&asked, today)).await?;
        let by = By { actor, origin };
        let outcome = (Assurance::SelfAsserted, findings);
        self.finish(begun, &by, outcome, None, ZoneReport { zone: found }).await
    }
}

fn read(asked: &ZoneAsked, today: Day) -> (Option<Zone>, Vec<Finding>) {
    let read = if asked.find {
        zone::find(&asked.text, today)
    } else {
        zone::read(&asked.text, today).map(|zone| (zone, Vec::new()))
    };
    match read {
        Err(finding) => (None, vec![finding]),
        Ok((zone, mut findings)) => {
            findings.extend(zone.findings(today));
            findings.extend(zone.compare(&asked.expected));
            (Some(zone), findings)
        }
    }
}
