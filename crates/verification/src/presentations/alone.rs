//! A credential that somebody else has received, outside of any request of ours.

use portcullis_credentials::{Asked, Verified};
use portcullis_events::{Actor, Check, Kind, Origin};
use portcullis_types::{Id, Timestamp, tags};
use portcullis_workflow::CheckStatus;

use super::{PresentationError, Presentations, issuers::Distrust};
use crate::{CheckError, SessionError};

/// Bytes of what a holder was asked.
const ASKED_MAX_BYTES: usize = 256;

/// A presentation of a credential (SD-JWT VC with key binding), and what its holder was asked.
#[derive(Debug, Clone)]
pub struct CredentialAsked {
    /// `issuer~disclosure~…~key binding`
    pub presentation: String,
    /// For whom it was made (`aud`).
    pub audience: String,
    /// What makes it new (`nonce`). That nobody has sent it before is the matter of whoever made it.
    pub nonce: String,
}

/// What it is.
#[derive(Debug, Clone)]
pub struct CredentialReport {
    /// The report.
    pub id: Id<tags::Check>,
    /// `passed`, `failed`, or `error` where its issuer could not be asked.
    pub status: CheckStatus,
    /// Why, in a word.
    pub reason: Option<&'static str>,
    /// What was proven; nothing unless it passed.
    pub verified: Option<Verified>,
    /// Keyed digest of what was shown.
    pub inputs_hash: String,
    /// When.
    pub at: Timestamp,
}

impl Presentations {
    /// Verifies a presentation up to the issuers that are trusted, as it stands now. The report is in the audit log
    /// before anybody sees it, without what it is about.
    pub async fn look_alone(
        &self,
        asked: &CredentialAsked,
        (by, origin): (&Actor, &Origin),
    ) -> Result<CredentialReport, PresentationError> {
        if !self.is_on() {
            return Err(PresentationError::NoIssuers);
        }
        for (field, text) in [("audience", &asked.audience), ("nonce", &asked.nonce)] {
            if !(1..=ASKED_MAX_BYTES).contains(&text.len()) {
                let must = format!("must have 1 to {ASKED_MAX_BYTES} bytes");
                return Err(PresentationError::Invalid(format!("/{field}"), must));
            }
        }
        let at = self.now();
        let holder = Asked { audience: &asked.audience, nonce: &asked.nonce, now: at };
        let looked = self.look(&asked.presentation, &holder).await?;
        let (status, reason, verified) = match looked {
            Ok(verified) => (CheckStatus::Passed, None, Some(verified)),
            Err(Distrust::Unavailable) => {
                (CheckStatus::Error, Some(Distrust::Unavailable.code()), None)
            }
            Err(distrust) => (CheckStatus::Failed, Some(distrust.code()), None),
        };
        let shown = asked.presentation.as_bytes();
        let report = CredentialReport {
            id: Id::new(at, &*self.entropy),
            status,
            reason,
            verified,
            inputs_hash: self.sessions.hex_digest(&[b"credential_asked", shown]),
            at,
        };
        let told = Check {
            report: report.id.to_string(),
            check: "credential",
            status: status.as_str(),
            assurance: "cryptographic",
            codes: reason.into_iter().collect(),
            inputs_hash: report.inputs_hash.clone(),
            trust: None,
        };
        let event = self.sessions.event(by, Some(origin), Kind::Check(told));
        let recorded = self.sessions.checks.sink.committed(&[event]).await;
        recorded.map_err(|()| SessionError::Check(CheckError::NotRecorded))?;
        Ok(report)
    }
}
