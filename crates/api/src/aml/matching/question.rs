//! What clients of yente ask, and what of it is not known here: that is refused rather than passed over, since
//! an answer to another question looks like one to theirs.

use std::collections::BTreeSet;

use axum::{
    Json,
    extract::Request,
    response::{IntoResponse, Response},
};
use http::StatusCode;
use portcullis_events::Origin;
use portcullis_screening::{Entity, Schema};
use portcullis_verification::{Aml, Shown, Terms};
use serde_json::{Map, Value, json};

use crate::{ApiError, Caller, endpoint::Permission};

/// The scope that all lists are in.
pub(super) const ALL: &str = "default";
/// Parameters of one request, and their longest value.
const PARAMETERS_MAX: usize = 256;
const PARAMETER_MAX_BYTES: usize = 1_024;
/// Entities that a client may leave out.
const EXCLUDED_MAX: usize = 50;

/// Schemata that can be matched, and as what. The others of FollowTheMoney are not on our lists.
const MATCHED: [(&str, Schema); 11] = [
    ("Airplane", Schema::Airplane),
    ("Company", Schema::Company),
    ("CryptoWallet", Schema::CryptoWallet),
    ("LegalEntity", Schema::LegalEntity),
    ("Organization", Schema::Organization),
    ("Person", Schema::Person),
    ("PublicBody", Schema::Organization),
    ("Security", Schema::Thing),
    ("Thing", Schema::Thing),
    ("Vehicle", Schema::Thing),
    ("Vessel", Schema::Vessel),
];

/// Schemata that cannot be matched or are not held: nobody is told that there is no hit.
const NOT_MATCHED: [&str; 22] = [
    "Address",
    "Asset",
    "Associate",
    "BankAccount",
    "Directorship",
    "Document",
    "Event",
    "Family",
    "Identification",
    "Interval",
    "License",
    "Membership",
    "Occupancy",
    "Ownership",
    "Passport",
    "Payment",
    "Position",
    "RealEstate",
    "Sanction",
    "Succession",
    "Territory",
    "UserAccount",
];

/// Names of algorithms that clients ask for. Here all of them mean our own, under the usual policy.
const ALGORITHMS: [&str; 6] =
    ["best", "logic-v1", "logic-v2", "name-based", "name-qualified", "regression-v1"];

/// Parameters of others that change what is found and are not known here.
const UNKNOWN: [&str; 4] = ["changed_since", "filter_op", "sort", "target"];

/// An error as clients of yente expect it.
#[derive(Debug)]
pub(super) struct Detail(pub StatusCode, pub String);

impl IntoResponse for Detail {
    fn into_response(self) -> Response {
        (self.0, Json(json!({ "detail": self.1 }))).into_response()
    }
}

impl From<ApiError> for Detail {
    fn from(error: ApiError) -> Self {
        error.trace();
        let problem = error.problem();
        let status = StatusCode::from_u16(problem.status);
        let wrong = problem.violations.iter().map(|one| format!("{} {}", one.pointer, one.message));
        let wrong: Vec<String> = wrong.collect();
        let text = if wrong.is_empty() { problem.detail } else { wrong.join(", ") };
        Self(status.unwrap_or(StatusCode::INTERNAL_SERVER_ERROR), text)
    }
}

pub(super) fn bad(text: impl Into<String>) -> Detail {
    Detail(StatusCode::BAD_REQUEST, text.into())
}

fn unprocessable(text: String) -> Detail {
    Detail(StatusCode::UNPROCESSABLE_ENTITY, text)
}

/// Who asks, and with which parameters.
pub(super) struct Question {
    pub caller: Caller,
    pub origin: Origin,
    parameters: Vec<(String, String)>,
}

impl Question {
    pub fn of(request: &Request) -> Result<Self, Detail> {
        let caller = request.extensions().get::<Caller>().cloned();
        let scope = Permission::Aml.scope();
        let caller = caller.filter(|caller| caller.scopes.iter().any(|own| own == scope));
        let caller = caller.ok_or(ApiError::Forbidden)?;
        let query = request.uri().query().unwrap_or_default();
        let parameters = form_urlencoded::parse(query.as_bytes()).take(PARAMETERS_MAX + 1);
        let parameters: Vec<(String, String)> =
            parameters.map(|(name, value)| (name.into(), value.into())).collect();
        let long = parameters.iter().any(|(_, value)| value.len() > PARAMETER_MAX_BYTES);
        if long || parameters.len() > PARAMETERS_MAX {
            return Err(bad("Too many parameters, or one that is too long."));
        }
        if let Some(name) = UNKNOWN.iter().find(|name| parameters.iter().any(|one| one.0 == **name))
        {
            return Err(bad(format!("The parameter {name} is not known here.")));
        }
        let origin = request.extensions().get::<Origin>().cloned().unwrap_or_default();
        Ok(Self { caller, origin, parameters })
    }

    pub fn all(&self, name: &str) -> impl Iterator<Item = &str> {
        self.parameters.iter().filter(move |(own, _)| own == name).map(|(_, value)| value.as_str())
    }

    pub fn one(&self, name: &str) -> Option<&str> {
        self.all(name).next().filter(|value| !value.is_empty())
    }

    pub fn number(&self, name: &str, usual: usize, most: usize) -> Result<usize, Detail> {
        let Some(text) = self.one(name) else { return Ok(usual) };
        let number = text.parse().ok().filter(|number| *number <= most);
        number.ok_or_else(|| unprocessable(format!("{name} must be from 0 to {most}")))
    }

    pub fn share(&self, name: &str) -> Result<Option<f64>, Detail> {
        let parse = |text: &str| {
            let number = text.parse().ok().filter(|number| (0.0..=1.0).contains(number));
            number.ok_or_else(|| unprocessable(format!("{name} must be from 0 to 1")))
        };
        self.one(name).map(parse).transpose()
    }

    /// On what terms the scope is asked, at a threshold.
    pub fn terms(&self, aml: &Aml, scope: &str, threshold: Option<f64>) -> Result<Terms, Detail> {
        let own = |name: &str| aml.settings.policies.iter().any(|policy| policy.name == name);
        let policy = match self.one("algorithm") {
            None => None,
            Some(name) if own(name) => Some(name.to_owned()),
            Some(name) if ALGORITHMS.contains(&name) => None,
            Some(name) => return Err(bad(format!("Invalid algorithm: {name}"))),
        };
        let topics = self.all("topics").map(str::to_owned).collect();
        Ok(Terms { lists: self.lists(aml, scope)?, topics, policy, threshold })
    }

    /// The lists of a scope that are not left out.
    fn lists(&self, aml: &Aml, scope: &str) -> Result<Vec<String>, Detail> {
        let lists = aml.lists();
        let known = lists.ready.iter().map(|list| list.version().used.name.clone());
        let known: Vec<String> =
            known.chain(lists.broken.iter().map(|one| one.0.clone())).collect();
        if known.is_empty() {
            return Err(ApiError::NoLists.into());
        }
        let some: BTreeSet<&str> =
            self.all("include_dataset").chain(self.all("datasets")).collect();
        let none: BTreeSet<&str> = self.all("exclude_dataset").collect();
        // One that is not here must not look like one without hits.
        let missing = || Detail(StatusCode::NOT_FOUND, "No such dataset.".to_owned());
        if some.iter().any(|name| *name != ALL && !known.iter().any(|own| own == name)) {
            return Err(missing());
        }
        let wanted = |name: &String| {
            (scope == ALL || name == scope)
                && (some.is_empty() || some.contains(name.as_str()) || some.contains(ALL))
                && !none.contains(name.as_str())
        };
        let chosen: Vec<String> = known.into_iter().filter(wanted).collect();
        if chosen.is_empty() { Err(missing()) } else { Ok(chosen) }
    }

    /// Which hits are asked for.
    pub fn shown(&self, cutoff: Option<f64>) -> Result<Shown, Detail> {
        let not_entities: Vec<String> = self.all("exclude_entity_ids").map(str::to_owned).collect();
        if not_entities.len() > EXCLUDED_MAX {
            return Err(unprocessable(format!("exclude_entity_ids has at most {EXCLUDED_MAX}")));
        }
        let property = |text: &str| {
            let (name, value) = text.split_once(':')?;
            Some((name.trim_start_matches("properties.").to_owned(), value.to_owned()))
        };
        let wrong = || bad("A filter is PROPERTY:VALUE.");
        let properties = self.all("filter").map(|text| property(text).ok_or_else(wrong));
        let excluded = self.all("exclude_schema").map(|name| {
            let known = MATCHED.iter().find(|(own, _)| *own == name).map(|(_, schema)| *schema);
            match known {
                // What lists have as an organisation or a thing is more than that.
                Some(schema) if schema.name() != name => Ok(None),
                Some(schema) => Ok(Some(schema)),
                None if NOT_MATCHED.contains(&name) => Ok(None),
                None => Err(bad(format!("Invalid schema: {name}"))),
            }
        });
        let not_schemata: Vec<Option<Schema>> = excluded.collect::<Result<_, _>>()?;
        let not_schemata = not_schemata.into_iter().flatten().collect();
        Ok(Shown {
            cutoff,
            countries: self.all("countries").map(str::to_lowercase).collect(),
            properties: properties.collect::<Result<_, _>>()?,
            schemata: Vec::new(),
            not_schemata,
            not_entities,
        })
    }
}

/// As what a schema is compared, and which schemata its hits have.
pub(super) fn schema(
    name: &str,
    refuse: impl Fn(String) -> Detail,
) -> Result<(Schema, Vec<Schema>), Detail> {
    let hits = match name {
        // Lists call these what they are, and things otherwise.
        "Vehicle" => vec![Schema::Airplane, Schema::Vessel, Schema::Thing],
        "Security" => vec![Schema::Thing],
        _ => Vec::new(),
    };
    match MATCHED.iter().find(|(own, _)| *own == name) {
        Some((_, schema)) => Ok((*schema, hits)),
        None if NOT_MATCHED.contains(&name) => {
            Err(refuse(format!("Non-matchable schema for query: {name}")))
        }
        None => Err(refuse(format!("Unknown schema: '{name}'"))),
    }
}

/// Whom a query is about, and which schemata its hits have; nobody if there is nothing to compare.
pub(super) fn example(query: &Value) -> Result<Option<(Entity, Vec<Schema>)>, Detail> {
    let refuse = |why: String| bad(format!("Cannot parse example entity: {why}"));
    let name = query.get("schema").and_then(Value::as_str).unwrap_or_default();
    let (schema, hits) = schema(name, refuse)?;
    let mut query = json!({ "schema": schema.name(), "properties": query.get("properties") });
    if let Some(properties) = query["properties"].as_object_mut() {
        in_words(properties);
    }
    let entity = Entity::from_json(&query).map_err(|why| refuse(why.to_string()))?;
    let something = entity.properties.keys().any(|name| portcullis_screening::is_compared(name));
    Ok(something.then_some((entity, hits)))
}

/// Numbers may be written as such.
fn in_words(properties: &mut Map<String, Value>) {
    let word = |value: &mut Value| {
        if value.is_number() || value.is_boolean() {
            *value = value.to_string().into();
        }
    };
    for value in properties.values_mut() {
        match value {
            Value::Array(values) => values.iter_mut().for_each(word),
            one => word(one),
        }
    }
}

/// Whom the words of a search are about: a number is looked for as one, anything else as a name.
pub(super) fn sought(words: &str, schema: Schema) -> Result<Entity, Detail> {
    let operator = |word: &str| matches!(word, "AND" | "OR" | "NOT");
    if words.contains(['*', '?', '"', ':', '(', ')', '~', '^', '['])
        || words.split_whitespace().any(operator)
    {
        return Err(bad(
            "Words are looked for as they are: operators and fields are not known here.",
        ));
    }
    let mut subject = Entity::new(schema);
    let number = words.bytes().any(|byte| byte.is_ascii_digit()) && !words.contains(' ');
    if number {
        for property in ["idNumber", "registrationNumber", "imoNumber", "publicKey", "isin"] {
            subject.add(property, words);
        }
    } else {
        subject.add("name", words);
    }
    Ok(subject)
}
