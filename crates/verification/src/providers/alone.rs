//! Checks that others do, outside of any session.

use portcullis_events::{Actor, Check, Kind, Origin};
use portcullis_types::{Id, Timestamp, tags};
use portcullis_workflow::{Assurance, CheckStatus, Outcome};
use serde_json::{Value as Json, json};

use super::Question;
use crate::{
    CheckError, Known, ListKind, SessionError, Sessions,
    sessions::{Detail, check_locale, identifiers},
};

const CHECK: &str = "database";

/// What a provider is asked about somebody.
#[derive(Debug, Clone, Default)]
pub struct ProviderAsked {
    /// Whom, by the name in the configuration.
    pub provider: String,
    /// About whom.
    pub subject: Known,
    /// By what else they are known, in any writing.
    pub identifiers: Vec<(ListKind, String)>,
    /// In which language answers may be.
    pub locale: Option<String>,
}

/// What it says.
#[derive(Debug, Clone)]
pub struct ProviderReport {
    /// The report, as it is in a session: `id`, `check`, `status`, `assurance`, `reasons`, `values`, `provider`.
    pub view: Json,
    /// Keyed digest of what was asked about.
    pub inputs_hash: String,
    /// When.
    pub at: Timestamp,
}

impl Sessions {
    /// Asks a provider about somebody. The report is in the audit log before anybody sees it, without what it is about
    /// and without what the provider says beside the status.
    pub async fn ask_alone(
        &self,
        asked: &ProviderAsked,
        (by, origin): (&Actor, &Origin),
    ) -> Result<ProviderReport, SessionError> {
        let invalid = |field, must: &str| SessionError::Invalid(field, must.to_owned());
        let name = &asked.provider[..];
        check_locale(asked.locale.as_deref())?;
        let known = identifiers(&asked.identifiers)?;
        if asked.subject.is_empty() {
            return Err(invalid("subject", "must say something of somebody"));
        }
        let assurance = self.providers.assurance(name);
        let assurance =
            assurance.ok_or_else(|| invalid("provider", "is none that is configured"))?;
        let room = self.providers.enter_alone(name).ok_or(CheckError::Busy)?;
        let at = self.clock.now();
        let id: Id<tags::Check> = Id::new(at, &*self.entropy);
        let question = Question {
            key: id.to_string(),
            check: CHECK,
            node: "",
            session: String::new(),
            locale: asked.locale.as_deref().unwrap_or_default(),
            subject: Some(&asked.subject),
            identifiers: &known,
            document: None,
            now: at,
        };
        let outcome = self.providers.ask(name, &question, id).await;
        drop(room);
        let (status, assurance, view) = match outcome {
            Outcome::Report(report) => {
                let view = serde_json::from_value::<Detail>(report.detail);
                let view = view.map_err(|_| SessionError::Sealed)?.view;
                (report.status, report.assurance, view)
            }
            Outcome::Unsupported(code) => {
                let status = CheckStatus::NotPerformed;
                (status, assurance, nothing(id, (status, assurance), name, &code))
            }
            Outcome::Unavailable(code) | Outcome::Error(code) => {
                let status = CheckStatus::Error;
                (status, assurance, nothing(id, (status, assurance), name, &code))
            }
        };
        let whom = json!([name, asked.subject, known]).to_string();
        let inputs_hash = self.hex_digest(&[b"provider_asked", whom.as_bytes()]);
        let told = Check {
            report: id.to_string(),
            check: CHECK,
            status: status.as_str(),
            assurance: assurance.as_str(),
            codes: Vec::new(),
            inputs_hash: inputs_hash.clone(),
            trust: None,
        };
        let event = self.event(by, Some(origin), Kind::Check(told));
        let recorded = self.checks.sink.committed(&[event]).await;
        recorded.map_err(|()| SessionError::Check(CheckError::NotRecorded))?;
        Ok(ProviderReport { view, inputs_hash, at })
    }
}

/// A report of a check that was not done.
fn nothing(
    id: Id<tags::Check>,
    (status, assurance): (CheckStatus, Assurance),
    name: &str,
    code: &str,
) -> Json {
    json!({
        "id": id.to_string(),
        "check": CHECK,
        "status": status,
        "assurance": assurance,
        "reasons": [{ "code": code, "severity": "information" }],
        "values": {},
        "provider": { "name": name },
    })
}
