//! What a verifier asks for: the Digital Credentials Query Language (OpenID for Verifiable Presentations 1.0,
//! section 6), as far as it is about SD-JWT VC with a key binding.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::{FORMAT, Verified};

/// Credentials, claims, sets and values in one place.
const LIST_MAX: usize = 32;
/// Steps of a path.
const PATH_MAX: usize = 8;
/// Bytes of a name, a value or an id.
const TEXT_MAX_BYTES: usize = 256;

/// A query.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Query {
    /// What is asked for.
    pub credentials: Vec<CredentialQuery>,
    /// Which of them have to come together; all of them if nothing is said.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub credential_sets: Vec<CredentialSet>,
}

/// One credential.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CredentialQuery {
    /// As the answer names it.
    pub id: String,
    /// `dc+sd-jwt`.
    pub format: String,
    /// What it has to be.
    pub meta: Meta,
    /// Whether there may be several.
    #[serde(default, skip_serializing_if = "is_false")]
    pub multiple: bool,
    /// What is asked of it; nothing but the credential if there are none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub claims: Vec<ClaimQuery>,
    /// Which claims have to come together, the most wanted first; all of them if nothing is said.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub claim_sets: Vec<Vec<String>>,
}

/// What a credential has to be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Meta {
    /// Its `vct` is one of these.
    pub vct_values: Vec<String>,
}

/// One claim.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClaimQuery {
    /// As sets name it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// Where it is.
    pub path: Vec<Step>,
    /// What it has to be, one of these.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub values: Vec<Value>,
}

/// One step of a path (section 7). There are no places of elements: of those that are not told nobody knows which
/// place is whose, so that the holder would choose what the first one is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Step {
    /// The member of that name.
    Member(String),
    /// Every element.
    All(()),
}

/// Credentials that have to come together.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CredentialSet {
    /// Ids of credentials, the most wanted first.
    pub options: Vec<Vec<String>>,
    /// Whether one of them has to come.
    #[serde(default = "yes", skip_serializing_if = "Clone::clone")]
    pub required: bool,
}

fn yes() -> bool {
    true
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "as serde calls it")]
fn is_false(value: &bool) -> bool {
    !value
}

/// Where a query is not as it has to be, and how.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// A JSON pointer (RFC 6901).
    pub pointer: String,
    /// What it has to be.
    pub must: &'static str,
}

/// What was shown does not answer what was asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Unanswered {
    /// Something is not of the kind that was asked for.
    #[error("a credential is of another type than was asked for")]
    Type,
    /// A claim is not there, or not as it has to be.
    #[error("a claim that was asked for is missing or another one")]
    Claim,
    /// A credential is not there, is there twice, or was not asked for.
    #[error("a credential is missing, or was not asked for")]
    Credential,
}

impl Query {
    /// What is wrong with it.
    pub fn problem(&self) -> Option<Problem> {
        let at = |pointer: String, must| Some(Problem { pointer, must });
        let mut ids = BTreeSet::new();
        if !(1..=LIST_MAX).contains(&self.credentials.len()) {
            return at("/credentials".to_owned(), "must have 1 to 32 elements");
        }
        for (place, credential) in self.credentials.iter().enumerate() {
            if !is_id(&credential.id) || !ids.insert(&credential.id) {
                let pointer = format!("/credentials/{place}/id");
                return at(pointer, "must be letters, digits, _ or -, and there once");
            }
            if let Some((below, must)) = credential.problem() {
                return at(format!("/credentials/{place}{below}"), must);
            }
        }
        if self.credential_sets.len() > LIST_MAX {
            return at("/credential_sets".to_owned(), "must have at most 32 elements");
        }
        for (place, set) in self.credential_sets.iter().enumerate() {
            let known = |option: &Vec<String>| {
                !option.is_empty() && option.iter().all(|id| ids.contains(id))
            };
            let fits = (1..=LIST_MAX).contains(&set.options.len());
            if !fits || !set.options.iter().all(known) {
                let pointer = format!("/credential_sets/{place}/options");
                return at(pointer, "must be lists of ids of credentials");
            }
        }
        None
    }

    /// The query for a credential.
    pub fn credential(&self, id: &str) -> Option<&CredentialQuery> {
        self.credentials.iter().find(|credential| credential.id == id)
    }

    /// Whether all that was shown is what was asked for; what is told of each, and no more than was asked.
    pub fn answer(
        &self,
        shown: &BTreeMap<String, Vec<Verified>>,
    ) -> Result<BTreeMap<String, Vec<Map<String, Value>>>, Unanswered> {
        let mut told = BTreeMap::new();
        for (id, credentials) in shown {
            let query = self.credential(id).ok_or(Unanswered::Credential)?;
            let most = if query.multiple { LIST_MAX } else { 1 };
            if !(1..=most).contains(&credentials.len()) {
                return Err(Unanswered::Credential);
            }
            let each = credentials.iter().map(|credential| query.answer(credential));
            told.insert(id.clone(), each.collect::<Result<Vec<_>, _>>()?);
        }
        let has = |ids: &Vec<String>| ids.iter().all(|id| told.contains_key(id));
        let is_complete = if self.credential_sets.is_empty() {
            self.credentials.iter().all(|credential| told.contains_key(&credential.id))
        } else {
            self.credential_sets.iter().all(|set| !set.required || set.options.iter().any(has))
        };
        // Nothing at all is no answer, also where nothing is required.
        if is_complete && !told.is_empty() { Ok(told) } else { Err(Unanswered::Credential) }
    }
}

impl CredentialQuery {
    fn problem(&self) -> Option<(String, &'static str)> {
        let at = |pointer: &str, must| Some((pointer.to_owned(), must));
        if self.format != FORMAT {
            return at("/format", "must be dc+sd-jwt");
        }
        let types = &self.meta.vct_values;
        let fits = |text: &String| (1..=TEXT_MAX_BYTES).contains(&text.len());
        if !(1..=LIST_MAX).contains(&types.len()) || !types.iter().all(fits) {
            return at("/meta/vct_values", "must be 1 to 32 types");
        }
        if self.claims.len() > LIST_MAX {
            return at("/claims", "must have at most 32 elements");
        }
        let mut ids = BTreeSet::new();
        for (place, claim) in self.claims.iter().enumerate() {
            let unique = claim.id.as_ref().is_none_or(|id| is_id(id) && ids.insert(id));
            if !unique {
                return at(&format!("/claims/{place}/id"), "must be an id, and there once");
            }
            let is_name = |step: &Step| match step {
                Step::Member(name) => fits(name),
                Step::All(()) => true,
            };
            let path = &claim.path;
            let begins = matches!(path.first(), Some(Step::Member(_)));
            if path.len() > PATH_MAX || !begins || !path.iter().all(is_name) {
                let must = "must be 1 to 8 names or null, the first one a name";
                return at(&format!("/claims/{place}/path"), must);
            }
            let is_value = |value: &Value| match value {
                Value::String(text) => text.len() <= TEXT_MAX_BYTES,
                Value::Bool(_) | Value::Number(_) => true,
                _ => false,
            };
            if claim.values.len() > LIST_MAX || !claim.values.iter().all(is_value) {
                let must = "must be at most 32 texts, numbers or truth values";
                return at(&format!("/claims/{place}/values"), must);
            }
        }
        let known = |set: &Vec<String>| !set.is_empty() && set.iter().all(|id| ids.contains(id));
        if self.claim_sets.len() > LIST_MAX || !self.claim_sets.iter().all(known) {
            return at("/claim_sets", "must be lists of ids of claims");
        }
        None
    }

    fn answer(&self, credential: &Verified) -> Result<Map<String, Value>, Unanswered> {
        if !self.meta.vct_values.contains(&credential.vct) {
            return Err(Unanswered::Type);
        }
        let claims = Value::Object(credential.claims.clone());
        let found: Vec<Vec<Place<'_>>> = self.claims.iter().map(|one| one.find(&claims)).collect();
        let all: Vec<usize> = (0..self.claims.len()).collect();
        let named = |set: &Vec<String>| {
            let place =
                |id: &String| self.claims.iter().position(|one| one.id.as_ref() == Some(id));
            set.iter().filter_map(place).collect::<Vec<_>>()
        };
        let mut sets: Vec<_> = self.claim_sets.iter().map(named).collect();
        if sets.is_empty() {
            sets.push(all);
        }
        // The first that is there as a whole counts, and nothing that is in others.
        let set = sets.into_iter().find(|set| set.iter().all(|at| !found[*at].is_empty()));
        let set = set.ok_or(Unanswered::Claim)?;
        let mut places = Places::default();
        for place in set.iter().flat_map(|at| &found[*at]) {
            places.add(place);
        }
        match places.told(&claims) {
            Value::Object(told) => Ok(told),
            _ => Ok(Map::new()),
        }
    }
}

/// One step to a value that was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Key<'a> {
    Member(&'a str),
    Element(usize),
}

/// The way to a value that was found.
type Place<'a> = Vec<Key<'a>>;

impl ClaimQuery {
    /// Where the values are that the claim is about, and that are as they have to be.
    fn find<'a>(&'a self, claims: &'a Value) -> Vec<Place<'a>> {
        let mut found = Vec::new();
        self.look(&self.path, claims, &mut Vec::new(), &mut found);
        found
    }

    fn look<'a>(
        &'a self,
        path: &'a [Step],
        value: &'a Value,
        here: &mut Place<'a>,
        found: &mut Vec<Place<'a>>,
    ) {
        let Some((step, rest)) = path.split_first() else {
            // What was hidden in it and not told leaves an empty one behind.
            let is_empty = match value {
                Value::Object(members) => members.is_empty(),
                Value::Array(elements) => elements.is_empty(),
                _ => false,
            };
            if !is_empty && (self.values.is_empty() || self.values.contains(value)) {
                found.push(here.clone());
            }
            return;
        };
        let mut below = |key: Key<'a>, value: &'a Value| {
            here.push(key);
            self.look(rest, value, here, found);
            here.pop();
        };
        match (step, value) {
            (Step::Member(name), Value::Object(members)) => {
                if let Some((name, value)) = members.get_key_value(name) {
                    below(Key::Member(name), value);
                }
            }
            (Step::All(()), Value::Array(elements)) => {
                for (place, element) in elements.iter().enumerate() {
                    below(Key::Element(place), element);
                }
            }
            _ => {}
        }
    }
}

/// Places of a value: all of it, or what is below some of its keys.
#[derive(Debug, Default)]
struct Places<'a> {
    is_whole: bool,
    below: HashMap<Key<'a>, Places<'a>>,
}

impl<'a> Places<'a> {
    fn add(&mut self, place: &[Key<'a>]) {
        let mut here = self;
        for key in place {
            here = here.below.entry(*key).or_default();
        }
        here.is_whole = true;
    }

    /// What is in them, each element with all that was found in it.
    fn told(&self, value: &Value) -> Value {
        if self.is_whole {
            return value.clone();
        }
        match value {
            Value::Object(members) => {
                let each = members.iter().filter_map(|(name, value)| {
                    let places = self.below.get(&Key::Member(name))?;
                    Some((name.clone(), places.told(value)))
                });
                Value::Object(each.collect())
            }
            Value::Array(elements) => {
                let each = elements.iter().enumerate().filter_map(|(place, value)| {
                    Some(self.below.get(&Key::Element(place))?.told(value))
                });
                Value::Array(each.collect())
            }
            other => other.clone(),
        }
    }
}

fn is_id(id: &str) -> bool {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"_-".contains(&byte);
    (1..=TEXT_MAX_BYTES).contains(&id.len()) && id.bytes().all(fits)
}
