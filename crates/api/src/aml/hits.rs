use http::{Method, StatusCode};
use portcullis_store::aml::{self, HitFilter, HitRow};
use portcullis_types::{Id, Timestamp, tags};
use portcullis_verification::{Resolution, State};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use super::screen::{invalid, score_of};
use crate::{
    ApiError,
    call::{Call, Page},
    endpoint::{Api, Endpoint, Permission::Aml, Reply, ok},
    reviewer::reviewer,
};

const HITS: &str = "/idv/v1/aml/hits";
const HIT: &str = "/idv/v1/aml/hits/{id}";

pub(crate) fn endpoints() -> Vec<Endpoint> {
    let (get, post) = (Method::GET, Method::POST);
    let ok = StatusCode::OK;
    vec![
        Endpoint::new(
            get.clone(),
            HITS,
            Aml,
            "Hits, oldest first; ?state=Unreviewed, ?subject=, ?proposed=true for those that wait for a second \
             person, ?allowed=true for the allow list",
            list,
        )
        .paged()
        .query(&["state", "subject", "proposed", "allowed"])
        .returns::<Page<HitView>>(ok),
        Endpoint::new(get, HIT, Aml, "One hit, with the reasons", show).returns::<HitDetail>(ok),
        Endpoint::new(
            post.clone(),
            "/idv/v1/aml/hits/{id}/resolve",
            Aml,
            "Decide about a hit; what clears a subject waits for a second person",
            resolve,
        )
        .takes::<ResolveInput>()
        .returns::<HitDetail>(ok),
        Endpoint::new(
            post.clone(),
            "/idv/v1/aml/hits/{id}/approve",
            Aml,
            "Agree with what somebody else has proposed",
            approve,
        )
        .takes::<SecondInput>()
        .returns::<HitDetail>(ok),
        Endpoint::new(
            post,
            "/idv/v1/aml/hits/{id}/decline",
            Aml,
            "Turn down what was proposed, or take it back",
            decline,
        )
        .takes::<SecondInput>()
        .returns::<HitDetail>(ok),
    ]
}

/// A hit of a subject that is kept.
#[derive(Debug, Serialize, ToSchema)]
struct HitView {
    id: String,
    subject: String,
    /// How whoever had it screened calls the subject.
    reference: String,
    list: String,
    /// The version of the list in which it was found to be as it is.
    list_version: String,
    /// How the list calls the entity.
    entity: String,
    name: Option<String>,
    /// 0 to 1.
    score: f64,
    /// `Unreviewed`, `Confirmed Match`, `False Positive` or `Inconclusive`.
    state: String,
    /// Why.
    #[serde(skip_serializing_if = "String::is_empty")]
    note: String,
    /// Accounts of who decided: who proposed it, and who approved.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    decided_by: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    decided_at: Option<String>,
    /// Until when the subject stays cleared whatever the list says.
    #[serde(skip_serializing_if = "Option::is_none")]
    allowed_until: Option<String>,
    /// What waits for a second person.
    #[serde(skip_serializing_if = "Option::is_none")]
    proposal: Option<ProposalView>,
    /// To be sent with a decision, which is refused if somebody else was first.
    version: i64,
    first_seen_at: String,
    last_seen_at: String,
    /// Since when it is none any more.
    #[serde(skip_serializing_if = "Option::is_none")]
    gone_at: Option<String>,
}

/// A decision that waits for a second person.
#[derive(Debug, Serialize, ToSchema)]
struct ProposalView {
    state: String,
    note: String,
    /// The account of who proposed it.
    by: String,
    at: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    allow_until: Option<String>,
}

/// A hit with its reasons.
#[derive(Debug, Serialize, ToSchema)]
struct HitDetail {
    #[serde(flatten)]
    hit: HitView,
    /// What the list says of the entity.
    #[schema(value_type = Object)]
    listed: Value,
    /// Which part of the name matched which and how, and what everything else added or took.
    #[schema(value_type = Object)]
    reasons: Value,
    /// The same in sentences.
    text: String,
}

impl HitView {
    fn of(api: &Api, row: &HitRow) -> Result<Self, ApiError> {
        let time = |at: Option<i64>| at.map(|at| Timestamp::from_micros(at).to_rfc3339());
        let proposed_note = api.aml.open_note(row, &row.proposed_note)?;
        let proposal = (!row.proposed_state.is_empty()).then(|| ProposalView {
            state: row.proposed_state.clone(),
            note: proposed_note,
            by: row.proposed_by.clone(),
            at: time(row.proposed_at),
            allow_until: time(row.proposed_until),
        });
        Ok(Self {
            id: row.id.to_string(),
            subject: row.subject_id.to_string(),
            reference: row.reference.clone(),
            list: row.list.clone(),
            list_version: row.list_version.clone(),
            entity: row.entity_id.clone(),
            name: listed(row)["properties"]["name"][0].as_str().map(str::to_owned),
            score: score_of(row),
            state: row.state.clone(),
            note: api.aml.open_note(row, &row.note)?,
            decided_by: row.decided_by.split_whitespace().map(str::to_owned).collect(),
            decided_at: time(row.decided_at),
            allowed_until: time(row.allowed_until),
            proposal,
            version: row.version,
            first_seen_at: row.first_seen_at.to_rfc3339(),
            last_seen_at: row.last_seen_at.to_rfc3339(),
            gone_at: time(row.gone_at),
        })
    }
}

fn listed(row: &HitRow) -> Value {
    serde_json::from_str(&row.entity).unwrap_or_default()
}

fn detail(api: &Api, row: &HitRow) -> Reply {
    let mut why = api.aml.open_reasons(row)?;
    let text = why["text"].as_str().unwrap_or_default().to_owned();
    ok(HitDetail {
        hit: HitView::of(api, row)?,
        listed: listed(row),
        reasons: why["reasons"].take(),
        text,
    })
}

/// A decision.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct ResolveInput {
    /// The version that was seen.
    version: i64,
    /// `Unreviewed`, `Confirmed Match`, `False Positive` or `Inconclusive`.
    state: String,
    /// Why, at most 4,000 letters.
    note: String,
    /// With `False Positive`: put the entity on the allow list of the subject until then, RFC 3339, at most
    /// two years. Without it the hit comes back when the list says something else of the entity.
    allow_until: Option<String>,
}

/// What a second person says.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct SecondInput {
    /// The version that was seen.
    version: i64,
}

async fn list(api: Api, call: Call) -> Reply {
    let state = call.query.get("state").unwrap_or_default().to_owned();
    if !state.is_empty() {
        state.parse::<State>().map_err(|_| ApiError::Parameter("state"))?;
    }
    let subject = call.query.get("subject").unwrap_or_default().to_owned();
    if !subject.is_empty() && subject.parse::<Id<tags::AmlSubject>>().is_err() {
        return Err(ApiError::Parameter("subject"));
    }
    let flag = |name: &'static str| match call.query.get(name) {
        None | Some("false") => Ok(false),
        Some("true") => Ok(true),
        Some(_) => Err(ApiError::Parameter(name)),
    };
    let (proposed, allowed) = (flag("proposed")?, flag("allowed")?);
    let (after, limit) = call.page::<Id<tags::AmlHit>>()?;
    let allowed_at = allowed.then(|| api.identity.now());
    let filter = HitFilter { state: &state, subject: &subject, proposed, allowed_at };
    let (db, tenant) = (&api.identity.db, &api.identity.tenant);
    let rows = aml::hits(db, tenant, &filter, &after, limit).await?;
    let views: Vec<HitView> =
        rows.iter().map(|row| HitView::of(&api, row)).collect::<Result<_, _>>()?;
    ok(Page::of(views, limit, |view| view.id.clone(), |view| view))
}

async fn show(api: Api, call: Call) -> Reply {
    let row = aml::hit_by_id(&api.identity.db, &api.identity.tenant, call.id()?).await?;
    detail(&api, &row.ok_or(ApiError::NotFound)?)
}

async fn resolve(api: Api, call: Call) -> Reply {
    let by = reviewer(&api, &call).await?;
    let ResolveInput { version, state, note, allow_until } = call.json()?;
    let parse = |text: String| {
        let wrong = |_| invalid("allow_until", "must be a time, RFC 3339".to_owned());
        Timestamp::parse_rfc3339(&text).map_err(wrong)
    };
    let allow_until = allow_until.map(parse).transpose()?;
    let resolution = Resolution { version, state: state.parse()?, note, allow_until };
    detail(&api, &api.aml.resolve(call.id()?, &resolution, &by, &call.origin).await?)
}

async fn approve(api: Api, call: Call) -> Reply {
    let by = reviewer(&api, &call).await?;
    let SecondInput { version } = call.json()?;
    detail(&api, &api.aml.approve(call.id()?, version, &by, &call.origin).await?)
}

async fn decline(api: Api, call: Call) -> Reply {
    let by = reviewer(&api, &call).await?;
    let SecondInput { version } = call.json()?;
    detail(&api, &api.aml.decline(call.id()?, version, &by, &call.origin).await?)
}
