use portcullis_documents::finding::{Code, Finding, Severity, gravest};
use portcullis_types::{Id, Timestamp, tags};

/// What came of a check. How sure that is is another matter: [`Assurance`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// Nothing is wrong.
    Passed,
    /// Something is.
    Failed,
    /// A person should look.
    Review,
    /// It was not done: nobody asked for it, or the document cannot.
    NotPerformed,
}

impl Status {
    /// As it is written.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Passed => "passed",
            Self::Failed => "failed",
            Self::Review => "review",
            Self::NotPerformed => "not_performed",
        }
    }

    /// What findings come to.
    pub(super) fn of(findings: &[Finding]) -> Self {
        match gravest(findings) {
            Some(Severity::Failure) => Self::Failed,
            Some(Severity::Doubt) => Self::Review,
            Some(Severity::Information) | None => Self::Passed,
        }
    }
}

/// By what it is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Assurance {
    /// A signature up to somebody whom the operator trusts.
    Cryptographic,
    /// A rule of thumb.
    Heuristic,
    /// Nothing but what whoever sent it says: the check digits of a zone are printed by whoever prints it.
    SelfAsserted,
}

impl Assurance {
    /// As it is written.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Cryptographic => "cryptographic",
            Self::Heuristic => "heuristic",
            Self::SelfAsserted => "self_asserted",
        }
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
    /// `mrz`, `emrtd`, `barcode`, `image`
    pub check: &'static str,
    /// What came of it.
    pub status: Status,
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
