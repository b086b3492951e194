use http::{Method, StatusCode};
use portcullis_identity::FieldError;
use portcullis_screening::{Entity, Schema, is_compared};
use portcullis_store::aml::HitRow;
use portcullis_verification::{Asked, AskedTerms, Screened, ScreenedHit, Shown};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use utoipa::ToSchema;

use super::{batch::batch, subjects::StoredSubject};
use crate::{
    ApiError,
    call::Call,
    endpoint::{Api, Endpoint, Permission::Aml, Reply, ok},
};

/// Hits of an answer unless the caller asks for more or fewer.
const DEFAULT_HITS: usize = 10;

pub(crate) fn endpoints() -> Vec<Endpoint> {
    vec![
        Endpoint::new(
            Method::POST,
            "/idv/v1/aml/screen",
            Aml,
            "Screen a subject; many with JSON lines, which are answered line by line",
            screen,
        )
        .takes::<ScreenInput>()
        .returns::<ScreeningView>(StatusCode::OK)
        .streams(batch),
    ]
}

/// A subject to screen.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ScreenInput {
    pub subject: SubjectInput,
    /// How you call the subject, at most 128 bytes. With it the subject is kept, its hits can be reviewed,
    /// and the next screening with it is one of the same subject.
    pub reference: Option<String>,
    /// Only these lists; all if empty. Of a subject that is kept, what is left out here and in the next three
    /// stays as it was.
    pub lists: Option<Vec<String>>,
    /// Only entities with one of these topics, or one below it: `role` covers `role.pep`. All if empty.
    pub topics: Option<Vec<String>>,
    /// The policy, with its threshold.
    pub policy: Option<String>,
    /// From which score on it is a match, 0.3 to 1, instead of what the policy says.
    pub threshold: Option<f64>,
    /// Compare the subject with each new version of the lists; as it was if left out.
    pub monitor: Option<bool>,
    /// How many hits to tell, the best of all: 10 if left out, at most 500.
    pub limit: Option<usize>,
}

/// Who or what it is, in the shape of FollowTheMoney.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct SubjectInput {
    /// `Person`, `Company`, `Organization`, `LegalEntity`, `Vessel`, `Airplane`, `CryptoWallet`, `Address` or
    /// `Thing`.
    pub schema: String,
    /// Lists of texts by property: `{"name": ["…"], "birthDate": ["1975-05-03"]}`.
    #[schema(value_type = Object)]
    pub properties: Value,
}

/// The verdict about a subject.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ScreeningView {
    /// Whether somebody on a list may be meant who was not cleared.
    #[serde(rename = "match")]
    is_match: bool,
    /// The subject, if it is kept.
    #[serde(skip_serializing_if = "Option::is_none")]
    subject: Option<StoredSubject>,
    /// The best hits.
    hits: Vec<ScreeningHit>,
    /// How many there are; 500 may be more.
    total: usize,
    /// Hits from before that were not found this time and are hits all the same: other terms leave them out, or
    /// people have confirmed them.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    standing: Vec<String>,
    /// The lists with version and digest, and the policy with threshold and hash: all that the verdict
    /// depends on.
    #[schema(value_type = Object)]
    used: Value,
    /// Properties that no comparison looks at.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    ignored: Vec<String>,
    /// RFC 3339.
    screened_at: String,
}

/// Somebody on a list who may be meant.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ScreeningHit {
    /// The hit, if the subject is kept.
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<String>,
    /// `Unreviewed`, `Confirmed Match`, `False Positive` or `Inconclusive`, if the subject is kept.
    #[serde(skip_serializing_if = "Option::is_none")]
    state: Option<String>,
    /// 0 to 1.
    score: f64,
    list: String,
    /// How the list calls it.
    entity: String,
    schema: String,
    name: Option<String>,
    topics: Vec<String>,
    /// What the list says of it.
    #[schema(value_type = Object)]
    properties: Value,
    /// Which part of the name matched which and how, and what everything else added or took.
    #[schema(value_type = Object)]
    reasons: Value,
    /// The same in sentences.
    text: String,
}

impl ScreenInput {
    /// What is asked for, how many hits of it are told, and which properties nothing looks at.
    pub fn read(self) -> Result<(Asked, usize, Vec<String>), ApiError> {
        let limit = self.limit.unwrap_or(DEFAULT_HITS);
        if limit > portcullis_verification::HITS_MAX {
            let most = portcullis_verification::HITS_MAX;
            return Err(invalid("limit", format!("must be at most {most}")));
        }
        let schema = Schema::named(&self.subject.schema);
        if schema.name() != self.subject.schema && self.subject.schema != "PublicBody" {
            return Err(invalid("subject/schema", "is none that can be screened".to_owned()));
        }
        let entity = json!({ "schema": schema.name(), "properties": self.subject.properties });
        let subject = Entity::from_json(&entity)
            .map_err(|why| invalid("subject/properties", why.to_string()))?;
        if !subject.properties.keys().any(|property| is_compared(property)) {
            let must = "must have a name, a date of birth, a number or another property to compare";
            return Err(invalid("subject/properties", must.to_owned()));
        }
        let ignored = subject.properties.keys().filter(|property| !is_compared(property));
        let ignored = ignored.cloned().collect();
        let Self { reference, lists, topics, policy, threshold, monitor, .. } = self;
        let terms = AskedTerms { lists, topics, policy, threshold, anew: false };
        Ok((Asked { subject, reference, terms, monitor, shown: Shown::default() }, limit, ignored))
    }
}

pub(crate) fn invalid(field: &'static str, message: String) -> ApiError {
    ApiError::Invalid(vec![FieldError { field, message }])
}

async fn screen(api: Api, call: Call) -> Reply {
    let input: ScreenInput = call.json()?;
    ok(verdict(&api, &call, input).await?)
}

pub(crate) async fn verdict(
    api: &Api,
    call: &Call,
    input: ScreenInput,
) -> Result<ScreeningView, ApiError> {
    let (asked, limit, ignored) = input.read()?;
    let screened = api.aml.screen(&asked, &call.caller.actor, &call.origin).await?;
    Ok(ScreeningView::new(&screened, limit, ignored))
}

impl ScreeningView {
    fn new(screened: &Screened, limit: usize, ignored: Vec<String>) -> Self {
        let hit = |hit: &ScreenedHit| ScreeningHit {
            id: hit.row.as_ref().map(|row| row.id.to_string()),
            state: hit.row.as_ref().map(|row| row.state.clone()),
            score: hit.verdict.score,
            list: hit.list.clone(),
            entity: hit.entity_id.clone(),
            schema: hit.listed.schema.name().to_owned(),
            name: hit.listed.get("name").first().cloned(),
            topics: hit.listed.get("topics").to_vec(),
            properties: json!(hit.listed.properties),
            reasons: hit.verdict.to_json(),
            text: hit.verdict.text(&screened.used.policy),
        };
        Self {
            is_match: screened.is_match(),
            subject: screened.subject.as_ref().map(StoredSubject::from),
            hits: screened.hits.iter().take(limit).map(hit).collect(),
            total: screened.hits.len(),
            standing: screened.standing.iter().map(|row| row.id.to_string()).collect(),

            used: screened.used.to_json(),
            ignored,
            screened_at: screened.at.to_rfc3339(),
        }
    }
}

/// The score of a hit that is kept, 0 to 1.
pub(crate) fn score_of(row: &HitRow) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "at most 10,000")]
    let score = row.score as f64 / 10_000.0;
    score
}
