//! What auditors ask: controls that can be looked at, and what is kept of people.

use http::{Method, StatusCode};
use portcullis_store::data_map::PERSONAL;
use serde::Serialize;
use utoipa::ToSchema;

use crate::{
    ApiError,
    call::Call,
    endpoint::{Api, Endpoint, Permission::Admin, Reply, ok},
};

pub(crate) fn endpoints() -> Vec<Endpoint> {
    vec![
        Endpoint::new(
            Method::GET,
            "/api/admin/v1/compliance/controls",
            Admin,
            "Controls of SOC 2 and ISO 27001 that the configuration and the records of this installation can tell about, as they are now",
            controls,
        )
        .returns::<ControlsView>(StatusCode::OK),
        Endpoint::new(
            Method::GET,
            "/api/admin/v1/compliance/data-map",
            Admin,
            "What is kept of people: where, why, and until when",
            data_map,
        )
        .returns::<DataMapView>(StatusCode::OK),
    ]
}

/// Controls as they are at a moment.
#[derive(Debug, Serialize, ToSchema)]
pub struct ControlsView {
    /// When they were looked at (RFC 3339).
    pub checked_at: String,
    /// The controls.
    pub controls: Vec<ControlView>,
}

/// One control.
#[derive(Debug, Serialize, ToSchema)]
pub struct ControlView {
    /// Its name here, which does not change.
    pub id: String,
    /// What it asks for.
    pub title: String,
    /// Criteria of SOC 2 (2017 Trust Services Criteria) that it supports.
    pub soc2: Vec<String>,
    /// Controls of ISO/IEC 27001:2022, annex A, that it supports.
    pub iso27001: Vec<String>,
    /// Whether it is met: `met`, or `attention` with what should change in `said`.
    pub status: String,
    /// How it is, in a sentence.
    pub said: String,
    /// What was looked at.
    pub facts: Vec<FactView>,
    /// The beginning of the codes of events that belong to it.
    pub events: String,
}

/// Something that was looked at.
#[derive(Debug, Serialize, ToSchema)]
pub struct FactView {
    /// What it is.
    pub name: String,
    /// How it is.
    pub value: String,
}

/// What is kept of people.
#[derive(Debug, Serialize, ToSchema)]
struct DataMapView {
    items: Vec<PersonalView>,
}

/// A place with personal data.
#[derive(Debug, Serialize, ToSchema)]
struct PersonalView {
    /// The table, or `audit log`.
    place: String,
    what: String,
    why: String,
    until: String,
    /// Whether it is sealed beside the encryption of the disk.
    is_sealed: bool,
}

async fn controls(api: Api, _: Call) -> Reply {
    ok(api.reload.0.controls().await.ok_or(ApiError::NotFound)?)
}

async fn data_map(api: Api, _: Call) -> Reply {
    let tables = PERSONAL.iter().map(|one| PersonalView {
        place: one.table.to_owned(),
        what: one.what.to_owned(),
        why: one.why.to_owned(),
        until: one.until.to_owned(),
        is_sealed: one.is_sealed,
    });
    let log = PersonalView {
        place: "audit log".to_owned(),
        what: "names, addresses and browsers of whoever did something".to_owned(),
        why: "to tell what happened, and to find attacks".to_owned(),
        until: api.reload.0.log_keeps().0,
        is_sealed: true,
    };
    let strangers = PersonalView {
        place: "audit log, of nobody known".to_owned(),
        what: "addresses and browsers of requests and logins that no account stands behind"
            .to_owned(),
        why: "to find attacks".to_owned(),
        until: api.reload.0.log_keeps().1,
        is_sealed: false,
    };
    ok(DataMapView { items: [log, strangers].into_iter().chain(tables).collect() })
}
