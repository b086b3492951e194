use portcullis_documents::{finding::Finding, zone::Zone};
use portcullis_verification::{Report, TrustUsed};
use serde::Serialize;
use utoipa::ToSchema;

/// What every check answers with.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ReportView {
    id: String,
    /// `mrz`, `emrtd`, `barcode`, `image`, `selfie`, `face_match`, `liveness`, `age_estimation`, `face_search`
    check: &'static str,
    /// `passed`, `failed`, `review` (a person should look), `not_performed` (there is no model for it).
    status: &'static str,
    /// By what that is known: `cryptographic`, `biometric`, `heuristic` or `self_asserted`.
    assurance: &'static str,
    /// Why, the gravest first.
    reasons: Vec<ReasonView>,
    provider: ProviderView,
    /// Keyed digest of what was checked, as it stands in the audit log.
    inputs_hash: String,
    /// Whom the answer depends on.
    list_versions: Vec<TrustView>,
    /// RFC 3339.
    started_at: String,
    ms: u64,
}

#[derive(Debug, Serialize, ToSchema)]
struct ReasonView {
    /// Does not change.
    code: &'static str,
    /// `failure`, `doubt`, `information`
    severity: &'static str,
    /// Of what, for a developer.
    #[serde(skip_serializing_if = "String::is_empty")]
    detail: String,
}

/// Who checked.
#[derive(Debug, Serialize, ToSchema)]
struct ProviderView {
    name: &'static str,
    version: &'static str,
}

/// The authorities that were trusted.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct TrustView {
    /// `trust`
    name: &'static str,
    /// Counts their changes.
    version: i64,
    /// SHA-256 over their fingerprints.
    digest: String,
    authorities: usize,
    crls: usize,
}

impl From<&TrustUsed> for TrustView {
    fn from(used: &TrustUsed) -> Self {
        Self {
            name: "trust",
            version: used.version,
            digest: used.digest.clone(),
            authorities: used.authorities,
            crls: used.crls,
        }
    }
}

impl<T> From<&Report<T>> for ReportView {
    fn from(report: &Report<T>) -> Self {
        let mut findings: Vec<&Finding> = report.findings.iter().collect();
        findings.sort_by_key(|finding| std::cmp::Reverse(finding.code.severity()));
        let reason = |finding: &Finding| ReasonView {
            code: finding.code.as_str(),
            severity: finding.code.severity().as_str(),
            detail: finding.detail.clone(),
        };
        Self {
            id: report.id.to_string(),
            check: report.check,
            status: report.status.as_str(),
            assurance: report.assurance.as_str(),
            reasons: findings.into_iter().map(reason).collect(),
            provider: ProviderView { name: "portcullis", version: env!("CARGO_PKG_VERSION") },
            inputs_hash: report.inputs_hash.clone(),
            list_versions: report.trust.iter().map(TrustView::from).collect(),
            started_at: report.started_at.to_rfc3339(),
            ms: report.ms,
        }
    }
}

/// What a document says.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct DocumentView {
    /// `TD1`, `TD2`, `TD3`, `MRV-A`, `MRV-B`
    format: &'static str,
    /// `P`, `ID`, `V` …
    document_code: String,
    issuing_state: String,
    document_number: String,
    surname: String,
    given_names: String,
    nationality: String,
    /// `YYYY-MM-DD`, or as it stands there if it is not known to the day.
    date_of_birth: String,
    /// `M`, `F`, `X`
    sex: &'static str,
    date_of_expiry: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    personal_number: Option<String>,
    /// The fields with a check digit, and whether it is right.
    check_digits: std::collections::BTreeMap<&'static str, bool>,
    /// The zone itself.
    mrz: Vec<String>,
}

impl From<&Zone> for DocumentView {
    fn from(zone: &Zone) -> Self {
        Self {
            format: zone.format,
            document_code: zone.document_code.clone(),
            issuing_state: zone.issuing_state.clone(),
            document_number: zone.document_number.clone(),
            surname: zone.surname.clone(),
            given_names: zone.given_names.clone(),
            nationality: zone.nationality.clone(),
            date_of_birth: zone.date_of_birth.clone(),
            sex: zone.sex,
            date_of_expiry: zone.date_of_expiry.clone(),
            personal_number: zone.personal_number.clone(),
            check_digits: zone.check_digits.iter().copied().collect(),
            mrz: zone.lines.clone(),
        }
    }
}
