use std::str::FromStr;

use cedar_policy::{
    Authorizer, Entities, PolicyId, PolicySet, Request, Schema, ValidationMode, Validator,
};
use miette::Diagnostic;

use crate::{
    Policies, Principal, Question,
    question::{Names, SAMPLE_METHODS},
    used::Used,
};

/// What policies can speak of, unless another schema is given.
pub const SCHEMA: &str = include_str!("gate.cedarschema");
/// A file is at most this long.
const MAX_FILE_BYTES: usize = 1024 * 1024;
/// Policies of an installation.
const MAX_POLICIES: usize = 10_000;

/// A file and what it says.
#[derive(Debug, Clone, Copy)]
pub struct Source<'a> {
    /// What it is called in messages.
    pub name: &'a str,
    /// What it says.
    pub text: &'a str,
}

/// Policies or a schema that cannot be used. Nothing of them is.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum PolicyError {
    /// A file is wrong in this place.
    #[error("{file}:{line}: {reason}")]
    At {
        /// The file.
        file: String,
        /// The line, from 1.
        line: usize,
        /// What is wrong.
        reason: String,
    },
    /// A file is wrong as a whole.
    #[error("{file}: {reason}")]
    File {
        /// The file.
        file: String,
        /// What is wrong.
        reason: String,
    },
}

impl Policies {
    /// Reads and checks policies. `schema` stands instead of the built-in one; it must still fit what
    /// the gate knows of a request.
    pub fn load(files: &[Source<'_>], schema: Option<Source<'_>>) -> Result<Self, PolicyError> {
        let schema_source = schema.unwrap_or(Source { name: "built-in schema", text: SCHEMA });
        let schema = read_schema(schema_source)?;
        let mut names =
            Names::new().ok_or_else(|| whole(schema_source, "the names do not parse"))?;
        fits(&names, &schema, schema_source)?;
        let validator = Validator::new(schema.clone());
        let mut all = PolicySet::new();
        let mut count = 0;
        for source in files {
            let own = read(*source)?;
            // By file, so that positions are those of the file.
            let checked = validator.validate(&own, ValidationMode::Strict);
            if let Some(error) = checked.validation_errors().next() {
                return Err(placed(*source, error, &error.to_string()));
            }
            for (number, policy) in own.policies().enumerate() {
                let fallback = || format!("{}#{}", source.name, number + 1);
                let id = policy.annotation("id").map_or_else(fallback, str::to_owned);
                let renamed = policy.new_id(PolicyId::new(&id));
                all.add(renamed)
                    .map_err(|_| whole(*source, &format!("there is another policy called {id}")))?;
                count += 1;
            }
        }
        if count > MAX_POLICIES {
            let reason = format!("more than {MAX_POLICIES} policies");
            return Err(PolicyError::File { file: "policies".into(), reason });
        }
        let forms: Option<Vec<_>> = all.policies().map(|policy| policy.to_json().ok()).collect();
        // One without such a form may ask for whatever there is.
        names.only(forms.map_or(Used::Everything, |forms| Used::by(forms.iter())));
        Ok(Self { set: all, schema, authorizer: Authorizer::new(), names, count })
    }

    /// The schema they were checked against.
    pub fn schema(&self) -> &Schema {
        &self.schema
    }
}

fn read_schema(source: Source<'_>) -> Result<Schema, PolicyError> {
    if source.text.len() > MAX_FILE_BYTES {
        return Err(whole(source, "the file is too long"));
    }
    let read = Schema::from_cedarschema_str(source.text);
    let (schema, _) = read.map_err(|error| placed(source, &error, &error.to_string()))?;
    Ok(schema)
}

fn read(source: Source<'_>) -> Result<PolicySet, PolicyError> {
    if source.text.len() > MAX_FILE_BYTES {
        return Err(whole(source, "the file is too long"));
    }
    let set = PolicySet::from_str(source.text)
        .map_err(|error| placed(source, &error, &error.to_string()))?;
    if set.templates().next().is_some() {
        return Err(whole(source, "templates are not linked here"));
    }
    Ok(set)
}

/// Whether everything that the gate will ask can be asked under a schema.
fn fits(names: &Names, schema: &Schema, source: Source<'_>) -> Result<(), PolicyError> {
    for principal in Principal::samples() {
        for method in SAMPLE_METHODS {
            let question = Question::sample(principal.clone(), method);
            let Some((request, entities)) = names.put(&question) else {
                return Err(whole(source, "a request cannot be put into words"));
            };
            let parts = (request.principal(), request.action(), request.resource());
            let context = names.context(&question);
            let ((Some(who), Some(what), Some(which)), Some(context)) = (parts, context) else {
                return Err(whole(source, "a request cannot be put into words"));
            };
            let asked =
                Request::new(who.clone(), what.clone(), which.clone(), context, Some(schema));
            asked.map_err(|error| whole(source, &error.to_string()))?;
            let known = Entities::from_entities(entities.iter().cloned(), Some(schema));
            known.map_err(|error| whole(source, &chain(&error)))?;
        }
    }
    Ok(())
}

fn chain(error: &dyn std::error::Error) -> String {
    match error.source() {
        Some(source) => format!("{error}: {}", chain(source)),
        None => error.to_string(),
    }
}

fn whole(source: Source<'_>, reason: &str) -> PolicyError {
    PolicyError::File { file: source.name.to_owned(), reason: reason.to_owned() }
}

/// With the line that an error points to, if it points anywhere.
fn placed(source: Source<'_>, error: &dyn Diagnostic, reason: &str) -> PolicyError {
    let offset = error.labels().and_then(|mut labels| labels.next()).map(|label| label.offset());
    match offset.and_then(|offset| source.text.get(..offset)) {
        Some(before) => PolicyError::At {
            file: source.name.to_owned(),
            line: before.matches('\n').count() + 1,
            reason: reason.to_owned(),
        },
        None => whole(source, reason),
    }
}
