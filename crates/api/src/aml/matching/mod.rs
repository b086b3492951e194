//! The same questions in the words of yente, the API of OpenSanctions: matching, search, entities, the
//! catalogue. What cannot be said in these words (who is kept, reviewed or monitored) is not here.

mod answer;
mod question;

use axum::{
    Json, Router,
    body::Body,
    extract::{Path, Request, State},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use http::{HeaderValue, Method, StatusCode};
use http_body_util::{BodyExt, Limited};
use portcullis_screening::Schema;
use portcullis_verification::{Aml, Asked, HITS_MAX, Shown, Terms};
use serde_json::{Map, Value, json};

use crate::ApiError;
use answer::{algorithms, catalog, entity, entries, facets, total};
use question::{Detail, Question, bad, example, schema, sought};

/// Where it answers whoever may screen, and how.
pub const MATCH_PATHS: [(Method, &str); 6] = [
    (Method::POST, "/match/{scope}"),
    (Method::GET, "/search/{scope}"),
    (Method::GET, "/entities/{id}"),
    (Method::GET, "/catalog"),
    (Method::GET, "/manifest"),
    (Method::GET, "/algorithms"),
];

/// Where it answers everybody.
pub const MATCH_HEALTH_PATHS: [&str; 2] = ["/healthz", "/readyz"];

/// Queries of one request.
const QUERIES_MAX: usize = 100;
/// Results of one request: the answer is made as a whole.
const RESULTS_MAX: usize = 2_000;
/// The longest body.
const BODY_MAX_BYTES: usize = 8 << 20;
const MATCH_LIMIT: usize = 5;
const SEARCH_LIMIT: usize = 10;
const OFFSET_MAX: usize = 9_499;
/// Hits from this score on are told unless the client says otherwise.
const MATCH_CUTOFF: f64 = 0.70;
/// How near a name must be to the words of a search.
const SEARCH_CUTOFF: f64 = 0.4;
/// The longest identifier of an entity.
const ID_MAX_BYTES: usize = 256;

/// The API, over the lists of the service.
pub fn match_router(aml: Aml) -> Router {
    Router::new()
        .route("/match/{scope}", post(match_queries))
        .route("/search/{scope}", get(search))
        .route("/entities/{id}", get(one_entity))
        .route("/catalog", get(shown_catalog))
        .route("/manifest", get(shown_catalog))
        .route("/algorithms", get(shown_algorithms))
        .route("/healthz", get(async || Json(json!({ "status": "ok" }))))
        .route("/readyz", get(ready))
        .with_state(aml)
}

type Reply = Result<Response, Detail>;

async fn match_queries(
    State(aml): State<Aml>,
    Path(scope): Path<String>,
    request: Request,
) -> Reply {
    let question = Question::of(&request)?;
    let terms = question.terms(&aml, &scope, question.share("threshold")?)?;
    let limit = question.number("limit", MATCH_LIMIT, HITS_MAX)?;
    let shown = question.shown(Some(question.share("cutoff")?.unwrap_or(MATCH_CUTOFF)))?;
    let body = read(request.into_body()).await?;
    for name in ["weights", "config"] {
        let asked = body.get(name).and_then(Value::as_object);
        if asked.is_some_and(|asked| !asked.is_empty()) {
            return Err(bad(format!(
                "{name}: these are in a policy here; name it as the algorithm."
            )));
        }
    }
    let queries = body.get("queries").and_then(Value::as_object);
    let queries = queries.filter(|queries| !queries.is_empty());
    let queries = queries.ok_or_else(|| bad("No queries provided."))?;
    if queries.len() > QUERIES_MAX {
        return Err(bad(format!("Too many queries in one batch (limit: {QUERIES_MAX})")));
    }
    if queries.len() * limit > RESULTS_MAX {
        return Err(bad(format!("Queries times limit must be at most {RESULTS_MAX}.")));
    }
    // All are read before any is answered.
    let examples = queries.iter().map(|(key, query)| Ok((key, query, example(query)?)));
    let examples: Vec<_> = examples.collect::<Result<_, Detail>>()?;
    let mut responses = Map::new();
    for (key, query, example) in examples {
        // Nobody was compared, so this is no answer that there is nobody.
        let mut answer = json!({
            "status": 400,
            "results": [],
            "total": { "value": 0, "relation": "eq" },
            "query": {
                "id": query.get("id").cloned().unwrap_or_default(),
                "schema": query["schema"],
                "properties": {},
            },
        });
        if let Some((subject, schemata)) = example {
            let shown = Shown { schemata, ..shown.clone() };
            answer["query"]["properties"] = json!(subject.properties);
            let asked = Asked {
                subject,
                reference: None,
                terms: terms.clone().into(),
                monitor: None,
                shown,
            };
            let hits = screen(&aml, &question, &asked).await?;
            let entries = entries(&hits);
            let matches = entries.iter().filter(|entry| entry.hit.verdict.is_match).count();
            answer["status"] = 200.into();
            answer["results"] = entries.iter().take(limit).map(answer::Entry::scored).collect();
            answer["total"] = total(matches, &hits);
        }
        responses.insert(key.clone(), answer);
    }
    let count = HeaderValue::from(responses.len());
    let answer = json!({ "responses": responses, "limit": limit });
    Ok(([("x-batch-size", count)], Json(answer)).into_response())
}

async fn screen(
    aml: &Aml,
    question: &Question,
    asked: &Asked,
) -> Result<Vec<portcullis_verification::ScreenedHit>, Detail> {
    let screened = aml.screen(asked, &question.caller.actor, &question.origin).await;
    Ok(screened.map_err(ApiError::from)?.hits)
}

async fn read(body: Body) -> Result<Value, Detail> {
    let body = Limited::new(body, BODY_MAX_BYTES).collect().await;
    let body = body.map_err(|_| bad("The body is too long, or was cut off."))?.to_bytes();
    serde_json::from_slice(&body).map_err(|_| bad("The body is not JSON."))
}

async fn search(State(aml): State<Aml>, Path(scope): Path<String>, request: Request) -> Reply {
    let question = Question::of(&request)?;
    let terms = question.terms(&aml, &scope, None)?;
    // Whoever searches wants to see everybody.
    let terms = Terms { policy: Some("strict".to_owned()), ..terms };
    let limit = question.number("limit", SEARCH_LIMIT, HITS_MAX)?;
    let offset = question.number("offset", 0, OFFSET_MAX)?;
    let invalid = |why| bad(format!("Invalid schema: {why}"));
    let (schema, schemata) = schema(question.one("schema").unwrap_or("Thing"), invalid)?;
    let words = question.one("q").ok_or_else(|| bad("Say whom to look for: q is missing."))?;
    let subject = sought(words, schema)?;
    let mut shown = Shown { schemata, ..question.shown(Some(SEARCH_CUTOFF))? };
    if schema != Schema::Thing && shown.schemata.is_empty() {
        shown.schemata = fitting(schema);
    }
    let asked = Asked { subject, reference: None, terms: terms.into(), monitor: None, shown };
    let hits = screen(&aml, &question, &asked).await?;
    let entries = entries(&hits);
    let page: Value = entries.iter().skip(offset).take(limit).map(answer::Entry::entity).collect();
    let answer = json!({
        "limit": limit,
        "offset": offset,
        "total": total(entries.len(), &hits),
        "results": page,
        "facets": facets(&entries),
    });
    Ok(Json(answer).into_response())
}

/// The schemata that are one: of companies, also those whom a list calls an organisation.
fn fitting(schema: Schema) -> Vec<Schema> {
    let all = [
        Schema::Person,
        Schema::Company,
        Schema::Organization,
        Schema::LegalEntity,
        Schema::Vessel,
        Schema::Airplane,
        Schema::CryptoWallet,
    ];
    all.into_iter().filter(|other| schema.fits(*other)).collect()
}

async fn one_entity(State(aml): State<Aml>, Path(id): Path<String>, request: Request) -> Reply {
    Question::of(&request)?;
    let missing = || Detail(StatusCode::NOT_FOUND, "No such entity!".to_owned());
    if id.len() > ID_MAX_BYTES {
        return Err(missing());
    }
    let lists = aml.lists();
    if let Some((name, _)) = lists.broken.first() {
        return Err(ApiError::List(name.clone()).into());
    }
    let (mut found, mut on) = (None, Vec::new());
    for list in &lists.ready {
        let known = aml.entity(list.clone(), id.clone()).await.map_err(ApiError::from)?;
        if known.is_some() {
            on.push(list.version().used.name.as_str());
        }
        found = found.or(known);
    }
    let found = found.ok_or_else(missing)?;
    Ok(Json(entity(&id, &found, &on)).into_response())
}

async fn shown_catalog(State(aml): State<Aml>, request: Request) -> Reply {
    Question::of(&request)?;
    Ok(Json(catalog(&aml)).into_response())
}

async fn shown_algorithms(State(aml): State<Aml>, request: Request) -> Reply {
    Question::of(&request)?;
    Ok(Json(algorithms(&aml)).into_response())
}

async fn ready(State(aml): State<Aml>) -> Reply {
    if aml.lists().ready.is_empty() {
        let status = StatusCode::SERVICE_UNAVAILABLE;
        return Err(Detail(status, "Index not ready.".to_owned()));
    }
    Ok(Json(json!({ "status": "ok" })).into_response())
}
