//! Certificates of workloads: who has which, who signed them, and taking them back.

use http::{Method, StatusCode};
use portcullis_store::certificates::{self, CertificateRow};
use portcullis_types::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{
    ApiError,
    call::{Call, Page},
    endpoint::{Api, Endpoint, Permission::Admin, Reply, created, ok},
};

const CERTIFICATES: &str = "/api/admin/v1/certificates";
/// A time and a serial number.
const MAX_CURSOR_BYTES: usize = 80;

pub(crate) fn endpoints() -> Vec<Endpoint> {
    let ok = StatusCode::OK;
    vec![
        Endpoint::new(
            Method::GET,
            CERTIFICATES,
            Admin,
            "Certificates of workloads that have not ended, the newest first; ?spiffe_id= of one workload",
            list,
        )
        .paged()
        .query(&["spiffe_id"])
        .returns::<Page<WorkloadCertificateView>>(ok),
        Endpoint::new(
            Method::GET,
            "/api/admin/v1/certificates/authorities",
            Admin,
            "Who signs certificates, and what the listeners show",
            authorities,
        )
        .returns::<AuthoritiesView>(ok),
        Endpoint::new(
            Method::POST,
            "/api/admin/v1/certificates/revoke",
            Admin,
            "Take back a certificate, or all of a workload with its unused enrolment tokens, at once",
            revoke,
        )
        .takes::<RevocationInput>()
        .returns::<RevokedView>(ok),
        Endpoint::new(
            Method::POST,
            "/api/admin/v1/certificates/enrolments",
            Admin,
            "Make a token that is good for one certificate of a workload; it is shown once",
            enrol,
        )
        .takes::<EnrolmentInput>()
        .returns::<EnrolmentView>(StatusCode::CREATED),
    ]
}

/// A certificate that was issued here.
#[derive(Debug, Serialize, ToSchema)]
struct WorkloadCertificateView {
    /// Its serial number, hexadecimal.
    serial: String,
    /// The authority that signed it: its subject key identifier.
    authority: String,
    /// Whom it is for; left out for what our own listeners show.
    #[serde(skip_serializing_if = "Option::is_none")]
    spiffe_id: Option<String>,
    /// DNS names and addresses.
    names: Vec<String>,
    /// `enrolment`, `renewal`, `token`, `operator` or `own`.
    how: String,
    /// RFC 3339.
    issued_at: String,
    /// RFC 3339.
    expires_at: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    revoked_at: Option<String>,
    /// Whether its key was in other hands.
    compromised: bool,
}

impl From<CertificateRow> for WorkloadCertificateView {
    fn from(row: CertificateRow) -> Self {
        let time = |micros| Timestamp::from_micros(micros).to_rfc3339();
        Self {
            serial: row.serial,
            authority: row.authority,
            spiffe_id: row.spiffe_id,
            names: row.names.split_whitespace().map(str::to_owned).collect(),
            how: row.how,
            issued_at: time(row.created_at),
            expires_at: time(row.expires_at),
            revoked_at: row.revoked_at.map(time),
            compromised: row.compromised,
        }
    }
}

/// Who signs.
#[derive(Debug, Serialize, ToSchema)]
pub struct AuthoritiesView {
    /// What the names of workloads begin with.
    pub trust_domain: String,
    /// Roots, and intermediates that they signed.
    pub authorities: Vec<AuthorityView>,
    /// What the listeners show.
    pub listeners: Vec<ListenerView>,
}

/// An authority.
#[derive(Debug, Serialize, ToSchema)]
pub struct AuthorityView {
    /// The subject key identifier, hexadecimal.
    pub id: String,
    /// The root that signed it; left out for a root.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub root: Option<String>,
    /// `published` (known, and signs later), `signing`, `following` (signs no more) or `retired`.
    pub phase: String,
    /// From when on it signs, RFC 3339.
    pub active_at: String,
    /// When it ends, RFC 3339.
    pub expires_at: String,
}

/// What a listener shows to whoever connects.
#[derive(Debug, Serialize, ToSchema)]
pub struct ListenerView {
    /// `public` or `mesh`.
    pub listener: String,
    /// DNS names and addresses of the certificate.
    pub names: Vec<String>,
    /// Its serial number, hexadecimal.
    pub serial: String,
    /// When it ends, RFC 3339.
    pub expires_at: String,
    /// Whether it is renewed by itself; one from files is whoever's who made them.
    pub renewed: bool,
}

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct RevocationInput {
    /// One certificate, by its serial number in hexadecimal. This or `spiffe_id`.
    serial: Option<String>,
    /// All of a workload.
    spiffe_id: Option<String>,
    /// Whether the key was in other hands.
    #[serde(default)]
    compromised: bool,
}

/// What was taken back.
#[derive(Debug, Serialize, ToSchema)]
struct RevokedView {
    /// Certificates.
    certificates: u64,
}

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct EnrolmentInput {
    /// Such as `spiffe://portcullis.local/service/orders`.
    spiffe_id: String,
    /// DNS names and addresses under which it serves.
    #[serde(default)]
    names: Vec<String>,
    /// How long the token is good: 60 to 2,592,000; an hour if left out.
    lifetime_seconds: Option<u64>,
}

/// A token for one certificate.
#[derive(Debug, Serialize, ToSchema)]
pub struct EnrolmentView {
    /// The enrolment.
    pub id: String,
    /// The token, shown once.
    pub token: String,
    /// When it ends, RFC 3339.
    pub expires_at: String,
}

/// What to take back.
#[derive(Debug)]
pub enum CertificatesOf {
    /// One certificate, by its serial number.
    Serial(String),
    /// All of a workload, by its SPIFFE id.
    Workload(String),
}

async fn list(api: Api, call: Call) -> Reply {
    let workload = call.query.get("spiffe_id").filter(|id| !id.is_empty()).map(str::to_owned);
    let (after, limit) = call.page_after("after", MAX_CURSOR_BYTES)?;
    let (before, serial) = match after.split_once('.') {
        _ if after.is_empty() => (i64::MAX, ""),
        Some((at, serial)) => (at.parse().map_err(|_| ApiError::Parameter("after"))?, serial),
        None => return Err(ApiError::Parameter("after")),
    };
    let (db, tenant, now) = (&api.identity.db, &api.identity.tenant, api.identity.now());
    let place = (before, serial);
    let rows = certificates::page(db, tenant, workload.as_deref(), now, place, limit).await?;
    let cursor = |row: &CertificateRow| format!("{}.{}", row.created_at, row.serial);
    ok(Page::of(rows, limit, cursor, WorkloadCertificateView::from))
}

async fn authorities(api: Api, _: Call) -> Reply {
    ok(api.reload.0.authorities().ok_or(ApiError::NotFound)?)
}

async fn revoke(api: Api, call: Call) -> Reply {
    let input: RevocationInput = call.json()?;
    let which = match (input.serial, input.spiffe_id) {
        (Some(serial), None) => CertificatesOf::Serial(serial),
        (None, Some(id)) => CertificatesOf::Workload(id),
        _ => return Err(ApiError::field("serial", "or spiffe_id must be given, and not both")),
    };
    let who = (call.caller.actor, call.origin);
    let told = api.reload.0.revoke_certificates(which, input.compromised, who).await;
    let certificates = told.ok_or(ApiError::NotFound)??;
    ok(RevokedView { certificates })
}

async fn enrol(api: Api, call: Call) -> Reply {
    let EnrolmentInput { spiffe_id, names, lifetime_seconds } = call.json()?;
    let seconds = lifetime_seconds.unwrap_or(3_600);
    if !(60..=2_592_000).contains(&seconds) {
        return Err(ApiError::field("lifetime_seconds", "must be 60 to 2592000"));
    }
    let lifetime = std::time::Duration::from_secs(seconds);
    let who = (call.caller.actor, call.origin);
    let told = api.reload.0.enrol(spiffe_id, names, lifetime, who).await;
    created(told.ok_or(ApiError::NotFound)??)
}
