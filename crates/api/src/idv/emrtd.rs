use std::collections::BTreeMap;

use data_encoding::{BASE64, HEXLOWER};
use http::{Method, StatusCode};
use portcullis_documents::{
    GROUPS,
    chip::{Active, Chain, Files, Summary},
};
use portcullis_types::Timestamp;
use portcullis_verification::{EmrtdAsked, EmrtdReport, Report};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{
    input::{ExpectedInput, bytes, invalid},
    report::{DocumentView, ReportView},
};
use crate::{
    ApiError,
    call::Call,
    endpoint::{Api, Endpoint, Permission::Idv, Reply, created, ok},
};

/// All data groups as base64; portraits and prints are most of it.
pub(crate) const CHIP_MAX_BYTES: usize = 4 << 20;

pub(crate) fn endpoints() -> Vec<Endpoint> {
    vec![
        Endpoint::new(
            Method::POST,
            "/idv/v1/checks/emrtd",
            Idv,
            "Verify the chip of a travel document: who wrote it, and that it is no copy",
            check,
        )
        .body(CHIP_MAX_BYTES)
        .takes::<EmrtdInput>()
        .returns::<EmrtdReportView>(StatusCode::OK),
        Endpoint::new(
            Method::POST,
            "/idv/v1/checks/emrtd/challenges",
            Idv,
            "Make a challenge for a chip, good for one answer",
            challenge,
        )
        .returns::<ChallengeView>(StatusCode::CREATED),
    ]
}

/// What a reader got from a chip. All bytes are base64.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct EmrtdInput {
    /// `EF.SOD`, at most 64 KiB.
    sod: String,
    /// `EF.DG1` to `EF.DG16` by their numbers, whole files, each at most 1 MiB: `{"1": "…", "2": "…"}`.
    data_groups: BTreeMap<String, String>,
    /// The answer to a challenge of ours.
    active_authentication: Option<AnswerInput>,
    /// The zone that is printed on the document, to be held against that of the chip.
    mrz: Option<String>,
    #[serde(default)]
    expected: ExpectedInput,
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct AnswerInput {
    /// As it was made here. Another one leaves open when the chip answered it.
    challenge: String,
    /// What the chip gave back.
    response: String,
}

/// What a chip proves.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct EmrtdReportView {
    #[serde(flatten)]
    report: ReportView,
    passive: PassiveView,
    active: ActiveView,
    /// What data group 1 says; `null` unless it is what was signed.
    document: Option<DocumentView>,
}

/// Passive authentication (ICAO 9303-11, 5.1).
#[derive(Debug, Serialize, ToSchema)]
struct PassiveView {
    /// `passed`, `failed`, `unverified` (nothing is wrong, and nobody who is trusted stands behind).
    status: &'static str,
    /// `verified`, `unverified`, `broken`
    chain: &'static str,
    /// `SHA-256` …
    hash: Option<&'static str>,
    /// By number: `matches`, `differs`, `not_signed`, `not_given`.
    data_groups: BTreeMap<u8, &'static str>,
    /// Who signed the document.
    signer: Option<CertificateView>,
    /// Who signed the signer.
    authority: Option<CertificateView>,
    /// When the signature says that it was made, RFC 3339.
    signing_time: Option<String>,
}

/// A certificate.
#[derive(Debug, Serialize, ToSchema)]
struct CertificateView {
    subject: String,
    /// Two letters.
    country: String,
    /// Hexadecimal.
    serial: String,
    /// SHA-256, hexadecimal.
    fingerprint: String,
    /// RFC 3339.
    not_before: String,
    /// RFC 3339.
    not_after: String,
    /// `RSA 2048`, `EC brainpoolP256r1`
    key: String,
    /// How it signed.
    signature: String,
}

/// Active authentication (ICAO 9303-11, 6.1).
#[derive(Debug, Serialize, ToSchema)]
struct ActiveView {
    /// `passed`, `failed`, `not_performed`, or `review` where the answer is right and the challenge was not made
    /// here.
    status: &'static str,
    /// `EC brainpoolP256r1`
    key: Option<String>,
    hash: Option<&'static str>,
}

/// A challenge for a chip.
#[derive(Debug, Serialize, ToSchema)]
struct ChallengeView {
    /// Eight bytes, base64.
    challenge: String,
    /// RFC 3339.
    expires_at: String,
}

impl EmrtdInput {
    pub fn read(self) -> Result<EmrtdAsked, ApiError> {
        let mut files = Files { sod: bytes("sod", &self.sod)?, ..Files::default() };
        for (number, file) in &self.data_groups {
            let read = number.parse().ok().filter(|read| GROUPS.contains(read));
            let read = read.filter(|read: &u8| read.to_string() == *number);
            let read =
                read.ok_or_else(|| invalid("data_groups", "must have numbers from 1 to 16"))?;
            files.groups.insert(read, bytes("data_groups", file)?);
        }
        let answer = match &self.active_authentication {
            None => None,
            Some(answer) => Some((
                bytes("active_authentication/challenge", &answer.challenge)?,
                bytes("active_authentication/response", &answer.response)?,
            )),
        };
        let expected = self.expected.read()?;
        Ok(EmrtdAsked { files, answer, printed: self.mrz, expected })
    }
}

async fn check(api: Api, call: Call) -> Reply {
    let asked = call.json::<EmrtdInput>()?.read()?;
    let report = api.checks.emrtd(asked, &call.caller.actor, &call.origin).await?;
    ok(EmrtdReportView::from(&report))
}

impl From<&Report<EmrtdReport>> for EmrtdReportView {
    fn from(report: &Report<EmrtdReport>) -> Self {
        let EmrtdReport { passive, active, is_fresh } = &report.found;
        Self {
            report: report.into(),
            passive: PassiveView {
                status: match passive.chain {
                    _ if passive.failed() => "failed",
                    Chain::Verified => "passed",
                    Chain::Unverified | Chain::Broken => "unverified",
                },
                chain: passive.chain.as_str(),
                hash: passive.hash.map(portcullis_documents::Hash::name),
                data_groups: passive
                    .groups
                    .iter()
                    .map(|(at, state)| (*at, state.as_str()))
                    .collect(),
                signer: passive.signer.as_ref().map(CertificateView::from),
                authority: passive.authority.as_ref().map(CertificateView::from),
                signing_time: passive.signing_time.map(at),
            },
            active: ActiveView::of(active, *is_fresh),
            document: passive.zone.as_ref().map(DocumentView::from),
        }
    }
}

async fn challenge(api: Api, _: Call) -> Reply {
    let (challenge, until) = api.checks.challenge().await?;
    created(ChallengeView { challenge: BASE64.encode(&challenge), expires_at: until.to_rfc3339() })
}

fn at(seconds: i64) -> String {
    Timestamp::from_micros(seconds.saturating_mul(1_000_000)).to_rfc3339()
}

impl From<&Summary> for CertificateView {
    fn from(summary: &Summary) -> Self {
        Self {
            subject: summary.subject.clone(),
            country: summary.country.clone(),
            serial: HEXLOWER.encode(&summary.serial),
            fingerprint: HEXLOWER.encode(&summary.fingerprint),
            not_before: at(summary.not_before),
            not_after: at(summary.not_after),
            key: summary.key.clone(),
            signature: summary.signature.clone(),
        }
    }
}

impl ActiveView {
    fn of(active: &Active, is_fresh: bool) -> Self {
        match active {
            Active::Passed { key, hash } => Self {
                status: if is_fresh { "passed" } else { "review" },
                key: Some(key.clone()),
                hash: Some(hash.name()),
            },
            Active::Failed(_) => Self { status: "failed", key: None, hash: None },
            Active::NotPerformed(_) => Self { status: "not_performed", key: None, hash: None },
        }
    }
}
