use http::{Method, StatusCode};
use portcullis_store::aml::{self, SubjectRow};
use portcullis_types::{Id, tags};
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use super::screen::{ScreenInput, ScreeningView, invalid, verdict};
use crate::{
    ApiError,
    call::{Call, Page},
    endpoint::{Api, Endpoint, Permission::Aml, Reply, created, nothing, ok},
};

const SUBJECTS: &str = "/idv/v1/aml/subjects";
const SUBJECT: &str = "/idv/v1/aml/subjects/{id}";
const MONITORS: &str = "/idv/v1/aml/monitors";
const MONITOR: &str = "/idv/v1/aml/monitors/{id}";

pub(crate) fn endpoints() -> Vec<Endpoint> {
    let (get, delete) = (Method::GET, Method::DELETE);
    let ok = StatusCode::OK;
    vec![
        Endpoint::new(get.clone(), SUBJECTS, Aml, "Subjects that are kept", list)
            .paged()
            .returns::<Page<StoredSubject>>(ok),
        Endpoint::new(get.clone(), SUBJECT, Aml, "One subject, with what is known of it", show)
            .returns::<SubjectView>(ok),
        Endpoint::new(
            delete.clone(),
            SUBJECT,
            Aml,
            "Erase a subject, its hits and all decisions about them",
            remove,
        )
        .returns_nothing(),
        Endpoint::new(get.clone(), MONITORS, Aml, "Subjects that are monitored", monitors)
            .paged()
            .returns::<Page<StoredSubject>>(ok),
        Endpoint::new(
            Method::POST,
            MONITORS,
            Aml,
            "Screen a subject now and at each new version of the lists",
            monitor,
        )
        .takes::<ScreenInput>()
        .returns::<ScreeningView>(StatusCode::CREATED),
        Endpoint::new(get, MONITOR, Aml, "One subject that is monitored", monitored)
            .returns::<SubjectView>(ok),
        Endpoint::new(
            delete,
            MONITOR,
            Aml,
            "Monitor a subject no longer; it is kept, with its hits",
            stop,
        )
        .returns_nothing(),
    ]
}

/// A subject that is kept.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct StoredSubject {
    id: String,
    /// As whoever had it screened calls it.
    reference: String,
    monitored: bool,
    /// RFC 3339.
    screened_at: String,
    created_at: String,
}

impl From<&SubjectRow> for StoredSubject {
    fn from(row: &SubjectRow) -> Self {
        Self {
            id: row.id.to_string(),
            reference: row.reference.clone(),
            monitored: row.monitored,
            screened_at: row.screened_at.to_rfc3339(),
            created_at: row.created_at.to_rfc3339(),
        }
    }
}

/// A subject with what is known of it.
#[derive(Debug, Serialize, ToSchema)]
struct SubjectView {
    #[serde(flatten)]
    stored: StoredSubject,
    /// `{"schema": …, "properties": {…}}`
    #[schema(value_type = Object)]
    subject: Value,
    /// Lists, topics, policy and threshold as they were asked for.
    #[schema(value_type = Object)]
    terms: Value,
    /// The lists with version and digest, and the policy with threshold and hash, of the last screening of
    /// the whole subject.
    #[schema(value_type = Object)]
    screened_with: Value,
}

async fn list(api: Api, call: Call) -> Reply {
    page(&api, &call, false).await
}

async fn monitors(api: Api, call: Call) -> Reply {
    page(&api, &call, true).await
}

async fn page(api: &Api, call: &Call, only_monitored: bool) -> Reply {
    let (after, limit) = call.page::<Id<tags::AmlSubject>>()?;
    let (db, tenant) = (&api.identity.db, &api.identity.tenant);
    let rows = aml::page(db, tenant, only_monitored, &after, limit).await?;
    ok(Page::of(rows, limit, |row| row.id.to_string(), |row| StoredSubject::from(&row)))
}

async fn show(api: Api, call: Call) -> Reply {
    view(&api, &row(&api, &call).await?)
}

async fn monitored(api: Api, call: Call) -> Reply {
    let row = row(&api, &call).await?;
    if row.monitored { view(&api, &row) } else { Err(ApiError::NotFound) }
}

async fn row(api: &Api, call: &Call) -> Result<SubjectRow, ApiError> {
    let row = aml::by_id(&api.identity.db, &api.identity.tenant, call.id()?).await?;
    row.ok_or(ApiError::NotFound)
}

fn view(api: &Api, row: &SubjectRow) -> Reply {
    let (subject, terms) = api.aml.open_subject(row)?;
    ok(SubjectView {
        stored: row.into(),
        subject: serde_json::json!(subject),
        terms: serde_json::json!(terms),
        screened_with: serde_json::from_str(&row.screened_with).unwrap_or_default(),
    })
}

async fn monitor(api: Api, call: Call) -> Reply {
    let input: ScreenInput = call.json()?;
    if input.monitor == Some(false) {
        return Err(invalid("monitor", "is what this is for".to_owned()));
    }
    created(verdict(&api, &call, ScreenInput { monitor: Some(true), ..input }).await?)
}

async fn stop(api: Api, call: Call) -> Reply {
    api.aml.stop_monitoring(call.id()?, &call.caller.actor, &call.origin).await?;
    nothing()
}

async fn remove(api: Api, call: Call) -> Reply {
    api.aml.remove(call.id()?, &call.caller.actor, &call.origin).await?;
    nothing()
}
