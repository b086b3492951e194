//! The same questions in the words of yente, the API of OpenSanctions, so that its clients need another URL
//! and no more. What they cannot be told in these words (who is kept, reviewed or monitored) is not here.

use std::collections::{BTreeMap, BTreeSet};

use axum::{
    Json, Router,
    body::Body,
    extract::{Path, RawQuery, Request, State},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use http::{HeaderValue, Method, StatusCode};
use http_body_util::{BodyExt, Limited};
use portcullis_events::Origin;
use portcullis_screening::{Entity, EntityError, Schema};
use portcullis_verification::{Aml, Asked, HITS_MAX, ScreenedHit, Terms};
use serde_json::{Map, Value, json};

use crate::{ApiError, Caller, endpoint::Permission};

/// Where it answers, and how.
pub const MATCH_PATHS: [(Method, &str); 4] = [
    (Method::POST, "/match/{scope}"),
    (Method::GET, "/search/{scope}"),
    (Method::GET, "/catalog"),
    (Method::GET, "/algorithms"),
];

/// The scope that all lists are in.
const ALL: &str = "default";
/// Queries of one request.
const QUERIES_MAX: usize = 100;
/// The longest body.
const BODY_MAX_BYTES: usize = 8 << 20;
/// Parameters of one request, and their longest value.
const PARAMETERS_MAX: usize = 256;
const PARAMETER_MAX_BYTES: usize = 1_024;
const MATCH_LIMIT: usize = 5;
const SEARCH_LIMIT: usize = 10;
/// How near a name must be to the words of a search.
const SEARCH_CUTOFF: f64 = 0.4;

/// Schemata of FollowTheMoney that somebody may ask for; those that we do not know are compared as things.
const SCHEMATA: [&str; 22] = [
    "Address",
    "Airplane",
    "Asset",
    "Assessment",
    "BankAccount",
    "Company",
    "CryptoWallet",
    "Event",
    "Identification",
    "LegalEntity",
    "License",
    "Organization",
    "Passport",
    "Person",
    "Position",
    "PublicBody",
    "RealEstate",
    "Sanction",
    "Security",
    "Thing",
    "Vehicle",
    "Vessel",
];

/// The API, over the lists of the service.
pub fn match_router(aml: Aml) -> Router {
    Router::new()
        .route("/match/{scope}", post(match_queries))
        .route("/search/{scope}", get(search))
        .route("/catalog", get(catalog))
        .route("/algorithms", get(algorithms))
        .with_state(aml)
}

/// An error as clients of yente expect it.
struct Detail(StatusCode, String);

impl IntoResponse for Detail {
    fn into_response(self) -> Response {
        (self.0, Json(json!({ "detail": self.1 }))).into_response()
    }
}

impl From<ApiError> for Detail {
    fn from(error: ApiError) -> Self {
        let problem = error.problem();
        let status = StatusCode::from_u16(problem.status);
        let wrong = problem.violations.iter().map(|one| format!("{} {}", one.pointer, one.message));
        let wrong: Vec<String> = wrong.collect();
        let text = if wrong.is_empty() { problem.detail } else { wrong.join(", ") };
        Self(status.unwrap_or(StatusCode::INTERNAL_SERVER_ERROR), text)
    }
}

fn bad(text: impl Into<String>) -> Detail {
    Detail(StatusCode::BAD_REQUEST, text.into())
}

/// Who asks, and with which parameters.
struct Question {
    caller: Caller,
    origin: Origin,
    parameters: Vec<(String, String)>,
}

impl Question {
    fn of(request: &Request, query: Option<&str>) -> Result<Self, Detail> {
        let caller = request.extensions().get::<Caller>().cloned();
        let scope = Permission::Aml.scope();
        let caller = caller.filter(|caller| caller.scopes.iter().any(|own| own == scope));
        let caller = caller.ok_or(ApiError::Forbidden)?;
        let parameters = form_urlencoded::parse(query.unwrap_or_default().as_bytes());
        let parameters: Vec<(String, String)> =
            parameters.take(PARAMETERS_MAX + 1).map(|(n, v)| (n.into(), v.into())).collect();
        let long = parameters.iter().any(|(_, value)| value.len() > PARAMETER_MAX_BYTES);
        if long || parameters.len() > PARAMETERS_MAX {
            return Err(bad("Too many parameters, or one that is too long."));
        }
        let origin = request.extensions().get::<Origin>().cloned().unwrap_or_default();
        Ok(Self { caller, origin, parameters })
    }

    fn all(&self, name: &str) -> impl Iterator<Item = &str> {
        self.parameters.iter().filter(move |(own, _)| own == name).map(|(_, value)| value.as_str())
    }

    fn one(&self, name: &str) -> Option<&str> {
        self.all(name).next().filter(|value| !value.is_empty())
    }

    fn number(&self, name: &str, usual: usize, most: usize) -> Result<usize, Detail> {
        let Some(text) = self.one(name) else { return Ok(usual) };
        let number = text.parse().ok().filter(|number| *number <= most);
        number.ok_or_else(|| {
            let text = format!("{name} must be from 0 to {most}");
            Detail(StatusCode::UNPROCESSABLE_ENTITY, text)
        })
    }

    fn share(&self, name: &str) -> Result<Option<f64>, Detail> {
        let parse = |text: &str| {
            let number = text.parse().ok().filter(|number| (0.0..=1.0).contains(number));
            number.ok_or_else(|| {
                Detail(StatusCode::UNPROCESSABLE_ENTITY, format!("{name} must be from 0 to 1"))
            })
        };
        self.one(name).map(parse).transpose()
    }

    /// The lists of a scope that are not left out.
    fn lists(&self, aml: &Aml, scope: &str) -> Result<Vec<String>, Detail> {
        let lists = aml.lists();
        let known = lists.ready.iter().map(|list| list.version().used.name.clone());
        let known: Vec<String> =
            known.chain(lists.broken.iter().map(|one| one.0.clone())).collect();
        if scope != ALL && !known.iter().any(|name| name == scope) {
            return Err(Detail(StatusCode::NOT_FOUND, "No such dataset.".to_owned()));
        }
        let some = self.all("include_dataset").chain(self.all("datasets"));
        let some: BTreeSet<&str> = some.collect();
        let none: BTreeSet<&str> = self.all("exclude_dataset").collect();
        let wanted = |name: &String| {
            (scope == ALL || name == scope)
                && (some.is_empty() || some.contains(name.as_str()))
                && !none.contains(name.as_str())
        };
        let chosen: Vec<String> = known.into_iter().filter(wanted).collect();
        if chosen.is_empty() { Err(ApiError::NoLists.into()) } else { Ok(chosen) }
    }

    /// Whether a hit is one that was not asked to be left out.
    fn shows(&self, hit: &ScreenedHit) -> bool {
        let schema = hit.listed.schema.name();
        !self.all("exclude_entity_ids").any(|id| id == hit.entity_id)
            && !self.all("exclude_schema").any(|name| name == schema)
    }
}

async fn match_queries(
    State(aml): State<Aml>,
    Path(scope): Path<String>,
    RawQuery(query): RawQuery,
    request: Request,
) -> Result<Response, Detail> {
    let question = Question::of(&request, query.as_deref())?;
    let lists = question.lists(&aml, &scope)?;
    let body = read(request.into_body()).await?;
    let queries = body.get("queries").and_then(Value::as_object);
    let queries = queries.filter(|queries| !queries.is_empty());
    let queries = queries.ok_or_else(|| bad("No queries provided."))?;
    if queries.len() > QUERIES_MAX {
        return Err(bad(format!("Too many queries in one batch (limit: {QUERIES_MAX})")));
    }
    let limit = question.number("limit", MATCH_LIMIT, HITS_MAX)?;
    let (threshold, cutoff) = (question.share("threshold")?, question.share("cutoff")?);
    // Algorithms of others are not known here; the names of our policies are.
    let known = |name: &&str| aml.settings.policies.iter().any(|policy| policy.name == *name);
    let policy = question.one("algorithm").filter(known).map(str::to_owned);
    let topics = question.all("topics").map(str::to_owned).collect();
    let terms = Terms { lists, topics, policy, threshold };
    let mut responses = Map::new();
    // All are read before any is answered.
    let examples = queries.iter().map(|(key, query)| Ok((key, query, example(query)?)));
    let examples: Vec<_> = examples.collect::<Result<_, Detail>>()?;
    for (key, query, subject) in examples {
        let asked = Asked { subject, reference: None, terms: terms.clone(), monitor: None, cutoff };
        let screened = aml.screen(&asked, &question.caller.actor, &question.origin).await;
        let screened = screened.map_err(ApiError::from)?;
        let hits: Vec<_> = screened.hits.iter().filter(|hit| question.shows(hit)).collect();
        let matches = hits.iter().filter(|hit| hit.verdict.is_match).count();
        let results: Vec<Value> = hits.into_iter().take(limit).map(scored).collect();
        let answer = json!({
            "status": 200,
            "results": results,
            "total": { "value": matches, "relation": "eq" },
            "query": {
                "id": query.get("id").cloned().unwrap_or_default(),
                "schema": query["schema"],
                "properties": asked.subject.properties,
            },
        });
        responses.insert(key.clone(), answer);
    }
    let count = HeaderValue::from(responses.len());
    let answer = json!({ "responses": responses, "limit": limit, "matcher": algorithms_of(&aml) });
    Ok(([("x-batch-size", count)], Json(answer)).into_response())
}

async fn read(body: Body) -> Result<Value, Detail> {
    let body = Limited::new(body, BODY_MAX_BYTES).collect().await;
    let body = body.map_err(|_| bad("The body is too long, or was cut off."))?.to_bytes();
    serde_json::from_slice(&body).map_err(|_| bad("The body is not JSON."))
}

/// Whom a query is about.
fn example(query: &Value) -> Result<Entity, Detail> {
    let refuse = |why: String| bad(format!("Cannot parse example entity: {why}"));
    if let Some(schema) = query.get("schema").and_then(Value::as_str)
        && !SCHEMATA.contains(&schema)
    {
        return Err(refuse(format!("Unknown schema: '{schema}'")));
    }
    let entity = Entity::from_json(query);
    entity.map_err(|why: EntityError| refuse(why.to_string()))
}

fn entity(hit: &ScreenedHit) -> Value {
    json!({
        "id": hit.entity_id,
        "caption": hit.listed.get("name").first().unwrap_or(&hit.entity_id),
        "schema": hit.listed.schema.name(),
        "properties": hit.listed.properties,
        "datasets": [hit.list],
        "referents": [],
        "target": true,
        "first_seen": null,
        "last_seen": null,
        "last_change": null,
    })
}

fn scored(hit: &ScreenedHit) -> Value {
    let verdict = &hit.verdict;
    let mut explanations = Map::new();
    if let Some(names) = &verdict.names {
        let detail = json!({
            "score": names.score,
            "detail": format!("{} ~ {}", names.left, names.right),
            "query": names.left,
            "candidate": names.right,
        });
        explanations.insert("name".to_owned(), detail);
    }
    for evidence in &verdict.qualifiers {
        let detail = json!({
            "score": evidence.effect,
            "query": evidence.left,
            "candidate": evidence.right,
        });
        explanations.insert(evidence.kind.to_owned(), detail);
    }
    let mut found = entity(hit);
    found["score"] = verdict.score.into();
    found["match"] = verdict.is_match.into();
    let features = explanations.iter().map(|(name, one)| (name.clone(), one["score"].clone()));
    found["features"] = features.collect::<Map<_, _>>().into();
    found["explanations"] = explanations.into();
    found
}

async fn search(
    State(aml): State<Aml>,
    Path(scope): Path<String>,
    RawQuery(query): RawQuery,
    request: Request,
) -> Result<Response, Detail> {
    let question = Question::of(&request, query.as_deref())?;
    let lists = question.lists(&aml, &scope)?;
    let limit = question.number("limit", SEARCH_LIMIT, HITS_MAX)?;
    let offset = question.number("offset", 0, 9_499)?;
    let schema = question.one("schema").unwrap_or("Thing");
    if !SCHEMATA.contains(&schema) {
        return Err(bad(format!("Invalid schema: {schema}")));
    }
    let words = question.one("q").ok_or_else(|| bad("Say whom to look for: q is missing."))?;
    let mut subject = Entity::new(Schema::named(schema));
    subject.add("name", words);
    let terms = Terms {
        lists,
        topics: question.all("topics").map(str::to_owned).collect(),
        policy: Some("strict".to_owned()),
        threshold: None,
    };
    let cutoff = Some(SEARCH_CUTOFF);
    let asked = Asked { subject, reference: None, terms, monitor: None, cutoff };
    let screened = aml.screen(&asked, &question.caller.actor, &question.origin).await;
    let screened = screened.map_err(ApiError::from)?;
    let countries: Vec<&str> = question.all("countries").collect();
    let from = |hit: &&ScreenedHit| {
        countries.is_empty()
            || countries_of(hit).iter().any(|own| countries.contains(&own.as_str()))
    };
    let hits: Vec<_> =
        screened.hits.iter().filter(|hit| question.shows(hit)).filter(from).collect();
    let datasets = |hit: &ScreenedHit| vec![hit.list.clone()];
    let topics = |hit: &ScreenedHit| hit.listed.get("topics").to_vec();
    Ok(Json(json!({
        "limit": limit,
        "offset": offset,
        "total": { "value": hits.len(), "relation": "eq" },
        "results": hits.iter().skip(offset).take(limit).map(|hit| entity(hit)).collect::<Value>(),
        "facets": {
            "countries": facet("Countries", &hits, countries_of),
            "datasets": facet("Data sources", &hits, datasets),
            "topics": facet("Topics", &hits, topics),
        },
    }))
    .into_response())
}

fn countries_of(hit: &ScreenedHit) -> Vec<String> {
    let properties = ["country", "nationality", "citizenship", "jurisdiction", "birthCountry"];
    hit.listed.all(&properties).map(|(_, value)| value.to_owned()).collect()
}

fn facet(label: &str, hits: &[&ScreenedHit], of: impl Fn(&ScreenedHit) -> Vec<String>) -> Value {
    let mut counts = BTreeMap::<String, usize>::new();
    for hit in hits {
        let values: BTreeSet<String> = of(hit).into_iter().collect();
        values.into_iter().for_each(|value| *counts.entry(value).or_default() += 1);
    }
    let values = counts
        .into_iter()
        .map(|(name, count)| json!({ "name": name, "label": name, "count": count }));
    json!({ "label": label, "values": values.collect::<Value>() })
}

async fn catalog(
    State(aml): State<Aml>,
    RawQuery(query): RawQuery,
    request: Request,
) -> Result<Response, Detail> {
    Question::of(&request, query.as_deref())?;
    let lists = aml.lists();
    let dataset = |name: &str, title: &str, version: &str, entities: usize, parts: Vec<&str>| {
        let stamp = version.get(..14).unwrap_or_default();
        json!({
            "name": name,
            "title": title,
            "version": version,
            "index_version": stamp,
            "index_current": true,
            "load": true,
            "entity_count": entities,
            "children": parts,
        })
    };
    let version =
        |list: &std::sync::Arc<dyn portcullis_verification::ScreeningList>| list.version().clone();
    let versions: Vec<_> = lists.ready.iter().map(version).collect();
    let newest = versions.iter().map(|one| one.used.version.as_str()).max().unwrap_or_default();
    let names = versions.iter().map(|one| one.used.name.as_str()).collect();
    let count = versions.iter().map(|one| one.entities).sum();
    let mut datasets = vec![dataset(ALL, "All lists", newest, count, names)];
    datasets.extend(versions.iter().map(|one| {
        dataset(&one.used.name, &one.used.name, &one.used.version, one.entities, Vec::new())
    }));
    let broken: Vec<&str> = lists.broken.iter().map(|(name, _)| name.as_str()).collect();
    let current: Vec<&str> = versions.iter().map(|one| one.used.name.as_str()).collect();
    let answer = json!({ "datasets": datasets, "current": current, "outdated": broken });
    Ok(Json(answer).into_response())
}

async fn algorithms(
    State(aml): State<Aml>,
    RawQuery(query): RawQuery,
    request: Request,
) -> Result<Response, Detail> {
    Question::of(&request, query.as_deref())?;
    let usual = &aml.settings.policy;
    let all: Vec<Value> = aml
        .settings
        .policies
        .iter()
        .map(|policy| {
            let text = format!("Names and qualifiers under the policy {}", policy.name);
            json!({ "name": policy.name, "description": text, "features": {}, "docs": {} })
        })
        .collect();
    Ok(Json(json!({ "algorithms": all, "default": usual, "best": usual })).into_response())
}

fn algorithms_of(aml: &Aml) -> Value {
    json!({ "name": { "description": format!("policy {}", aml.settings.policy), "url": null } })
}
