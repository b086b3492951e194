use portcullis_documents::finding::{Code, Finding, Severity, gravest};
use portcullis_types::{Id, Timestamp, tags};
use portcullis_workflow::{Assurance, CheckStatus};

/// What findings come to.
pub(super) fn status(findings: &[Finding]) -> CheckStatus {
    if findings.iter().any(|finding| finding.code == Code::ModelMissing) {
        return CheckStatus::NotPerformed;
    }
    match gravest(findings) {
        Some(Severity::Failure) => CheckStatus::Failed,
        Some(Severity::Doubt) => CheckStatus::Review,
        Some(Severity::Information) | None => CheckStatus::Passed,
    }
}

/// The authorities that were trusted when a check was done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TrustUsed {
    /// Counts their changes.
    pub version: i64,
    /// SHA-256 over their fingerprints, hexadecimal.
    pub digest: String,
    /// How many there are.
    pub authorities: usize,
    /// How many revocation lists there are.
    pub crls: usize,
}

/// What a check found out.
#[derive(Debug, Clone)]
pub struct Report<T> {
    /// It.
    pub id: Id<tags::Check>,
    /// `mrz`, `emrtd`, `barcode`, `image`, `selfie`, `face_match`, `liveness`, `age_estimation`, `face_search`
    pub check: &'static str,
    /// What came of it.
    pub status: CheckStatus,
    /// By what that is known.
    pub assurance: Assurance,
    /// Why.
    pub findings: Vec<Finding>,
    /// Keyed digest of what was checked, hexadecimal: it stands for it in the audit log.
    pub inputs_hash: String,
    /// Whom it depends on.
    pub trust: Option<TrustUsed>,
    /// When it began.
    pub started_at: Timestamp,
    /// How long it took.
    pub ms: u64,
    /// What the check itself tells.
    pub found: T,
}

impl<T> Report<T> {
    /// The codes, each once.
    pub(super) fn codes(&self) -> Vec<&'static str> {
        let mut codes: Vec<Code> = self.findings.iter().map(|finding| finding.code).collect();
        codes.sort_unstable();
        codes.dedup();
        codes.into_iter().map(Code::as_str).collect()
    }
}
