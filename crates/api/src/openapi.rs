use serde_json::{Map, Value, json};
use utoipa::{
    PartialSchema,
    openapi::{RefOr, schema::Schema},
};

use crate::{Endpoint, endpoint::JSON_LINES, endpoints, error::Problem};

/// The OpenAPI 3.1 document of every endpoint.
pub fn document(issuer: &str) -> Value {
    let (mut paths, mut schemas) = (Map::new(), Map::new());
    schemas.insert("Problem".into(), schema(&Problem::schema()));
    schemas.insert("Violation".into(), schema(&crate::Violation::schema()));
    for endpoint in endpoints() {
        for (name, own, inner) in endpoint.takes.iter().chain(&endpoint.returns) {
            schemas.insert(name.clone(), schema(own));
            schemas.extend(inner.iter().map(|(name, inner)| (name.clone(), schema(inner))));
        }
        let path = paths.entry(endpoint.path).or_insert_with(|| json!({}));
        path[endpoint.method.as_str().to_lowercase()] = operation(&endpoint);
    }
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Portcullis",
            "version": env!("CARGO_PKG_VERSION"),
            "license": { "name": "Apache-2.0", "identifier": "Apache-2.0" },
        },
        "servers": [{ "url": issuer }],
        "paths": paths,
        "components": {
            "schemas": schemas,
            "securitySchemes": {
                "oidc": {
                    "type": "openIdConnect",
                    "openIdConnectUrl": format!("{issuer}/.well-known/openid-configuration"),
                },
                "apiKey": { "type": "apiKey", "in": "header", "name": "X-API-Key" },
            },
        },
    })
}

fn operation(endpoint: &Endpoint) -> Value {
    let scope = endpoint.permission.scope();
    let problem = |text: &str| {
        let content = json!({ "application/problem+json": { "schema": reference("Problem") } });
        json!({ "description": text, "content": content })
    };
    let mut success = json!({ "description": "Done" });
    if let Some((name, ..)) = &endpoint.returns {
        let kind = if endpoint.is_live { "text/event-stream" } else { "application/json" };
        success["content"] = json!({ kind: { "schema": reference(name) } });
        if endpoint.is_streaming() {
            success["content"][JSON_LINES] = json!({ "schema": reference(name) });
        }
    }
    let mut responses = json!({
        "400": problem("A parameter or the body is malformed"),
        "401": problem("A credential is missing or not valid"),
        "403": problem("The credential does not carry the scope"),
        "404": problem("There is no such object"),
        "422": problem("Some values cannot be accepted"),
        "429": problem("Too many requests"),
    });
    responses[endpoint.success.as_str()] = success;
    let mut operation = json!({
        "operationId": operation_id(endpoint),
        "summary": endpoint.summary,
        "security": [{ "oidc": [scope] }, { "apiKey": [] }],
        "parameters": parameters(endpoint),
        "responses": responses,
    });
    if let Some((name, ..)) = &endpoint.takes {
        let mut content = json!({ "application/json": { "schema": reference(name) } });
        if endpoint.is_streaming() {
            content[JSON_LINES] = json!({ "schema": reference(name) });
        }
        operation["requestBody"] = json!({ "required": true, "content": content });
    }
    operation
}

fn parameters(endpoint: &Endpoint) -> Vec<Value> {
    let mut parameters = Vec::new();
    for part in endpoint.path.split('/') {
        if let Some(name) = part.strip_prefix('{').and_then(|part| part.strip_suffix('}')) {
            let text = json!({ "type": "string", "maxLength": 128 });
            parameters
                .push(json!({ "name": name, "in": "path", "required": true, "schema": text }));
        }
    }
    if endpoint.is_idempotent {
        let text = "Requests with the same key are one; it is remembered for a day";
        let key = json!({ "type": "string", "minLength": 1, "maxLength": 255 });
        parameters.push(json!({ "name": "Idempotency-Key", "in": "header", "description": text, "schema": key }));
    }
    for name in endpoint.query {
        let text = json!({ "type": "string", "maxLength": 128 });
        parameters.push(json!({ "name": name, "in": "query", "schema": text }));
    }
    if endpoint.paged {
        let text = "The cursor of the page before";
        let after = json!({ "type": "string", "maxLength": 128 });
        let limit = json!({ "type": "integer", "minimum": 1, "maximum": 200, "default": 50 });
        parameters
            .push(json!({ "name": "after", "in": "query", "description": text, "schema": after }));
        parameters.push(json!({ "name": "limit", "in": "query", "schema": limit }));
    }
    parameters
}

fn operation_id(endpoint: &Endpoint) -> String {
    let words = endpoint
        .path
        .trim_start_matches("/api/")
        .trim_start_matches('/')
        .replace(['/', '-', '{', '}'], "_");
    format!("{}_{}", endpoint.method.as_str().to_lowercase(), words.trim_matches('_'))
}

fn reference(name: &str) -> Value {
    json!({ "$ref": format!("#/components/schemas/{name}") })
}

fn schema(schema: &RefOr<Schema>) -> Value {
    serde_json::to_value(schema).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;

    /// Whoever makes a client of the document finds a type by its name.
    #[test]
    fn a_name_stands_for_one_shape() {
        let mut known: HashMap<String, Value> = HashMap::new();
        for endpoint in endpoints() {
            for (name, own, inner) in endpoint.takes.iter().chain(&endpoint.returns) {
                for (name, shape) in std::iter::once((name, own))
                    .chain(inner.iter().map(|(name, shape)| (name, shape)))
                {
                    let shape = schema(shape);
                    let first = known.entry(name.clone()).or_insert_with(|| shape.clone());
                    assert_eq!(*first, shape, "{name} of {endpoint:?}");
                }
            }
        }
    }

    /// What is referred to is there.
    #[test]
    fn no_reference_leads_nowhere() {
        let document = document("https://localhost");
        let text = document.to_string();
        let named =
            text.split("#/components/schemas/").skip(1).filter_map(|rest| rest.split('"').next());
        let mut count = 0;
        for name in named {
            assert!(document["components"]["schemas"][name].is_object(), "{name}");
            count += 1;
        }
        assert!(count > 100);
    }
}
