use std::collections::BTreeMap;

use portcullis_credentials::dcql::{Query, Unanswered};
use serde_json::{Value, json};

use crate::world::{VCT, World};

fn query(value: Value) -> Query {
    let query: Query = serde_json::from_value(value).unwrap();
    assert_eq!(query.problem(), None);
    query
}

fn asking(claims: &Value) -> Value {
    json!({ "credentials": [{
        "id": "person", "format": "dc+sd-jwt", "meta": { "vct_values": [VCT] }, "claims": claims,
    }] })
}

fn answer(asked: &Value) -> Result<Value, Unanswered> {
    let world = World::new();
    let verified = world.verify(&world.presentation()).unwrap();
    let shown = BTreeMap::from([("person".to_owned(), vec![verified])]);
    let told = query(asked.clone()).answer(&shown)?;
    Ok(json!(told["person"][0]))
}

#[test]
fn only_what_was_asked_for_is_told() {
    assert_eq!(answer(&asking(&json!([]))), Ok(json!({})));
    for (claims, told) in [
        (json!([{ "path": ["given_name"] }]), json!({ "given_name": "ANNA" })),
        (
            json!([{ "path": ["age_equal_or_over", "18"], "values": [true] }]),
            json!({ "age_equal_or_over": { "18": true } }),
        ),
        (
            json!([{ "path": ["age_equal_or_over", "18"] }, { "path": ["age_equal_or_over", "65"] }]),
            json!({ "age_equal_or_over": { "18": true, "65": false } }),
        ),
        (
            json!([{ "path": ["nationalities", null], "values": ["FR", "IT"] }]),
            json!({ "nationalities": ["FR"] }),
        ),
        (
            json!([{ "path": ["degrees", null, "grade"] }, { "path": ["degrees", null, "type"], "values": ["PhD"] }]),
            json!({ "degrees": [{ "grade": "A" }, { "type": "PhD", "grade": "C" }] }),
        ),
    ] {
        assert_eq!(answer(&asking(&claims)), Ok(told), "{claims}");
    }
    for claims in [
        json!([{ "path": ["email"] }]),
        json!([{ "path": ["given_name"], "values": ["BOB"] }]),
        json!([{ "path": ["given_name", "x"] }]),
        json!([{ "path": ["nothing"] }]),
        json!([{ "path": ["nothing_of_it"] }]),
        json!([{ "path": ["nationalities", null], "values": ["IT"] }]),
        json!([{ "path": ["age_equal_or_over", "65"], "values": [true] }]),
    ] {
        assert_eq!(answer(&asking(&claims)), Err(Unanswered::Claim), "{claims}");
    }
}

#[test]
fn sets_say_what_comes_together() {
    let mut asked = asking(&json!([
        { "id": "mail", "path": ["email"] }, { "id": "name", "path": ["given_name"] },
    ]));
    assert_eq!(answer(&asked), Err(Unanswered::Claim));
    asked["credentials"][0]["claim_sets"] = json!([["mail"], ["name"]]);
    assert_eq!(answer(&asked), Ok(json!({ "given_name": "ANNA" })));
    // Of two that are there the first counts, and it alone.
    let born = json!({ "id": "born", "path": ["birthdate"] });
    asked["credentials"][0]["claims"].as_array_mut().unwrap().push(born);
    asked["credentials"][0]["claim_sets"] = json!([["mail"], ["name"], ["born"]]);
    assert_eq!(answer(&asked), Ok(json!({ "given_name": "ANNA" })));
    let other = json!({ "id": "other", "format": "dc+sd-jwt", "meta": { "vct_values": ["x"] } });
    asked["credentials"].as_array_mut().unwrap().push(other);
    assert_eq!(answer(&asked), Err(Unanswered::Credential));
    asked["credential_sets"] = json!([{ "options": [["other"], ["person"]] }]);
    assert!(answer(&asked).is_ok());
    asked["credential_sets"] = json!([{ "options": [["other"]] }]);
    assert_eq!(answer(&asked), Err(Unanswered::Credential));
    asked["credential_sets"] = json!([{ "options": [["other"]], "required": false }]);
    assert!(answer(&asked).is_ok());
    let nothing = query(asked.clone()).answer(&BTreeMap::new());
    assert_eq!(nothing, Err(Unanswered::Credential));
    let mut elsewhere = asking(&json!([]));
    elsewhere["credentials"][0]["meta"]["vct_values"] = json!(["x"]);
    assert_eq!(answer(&elsewhere), Err(Unanswered::Type));
    elsewhere["credentials"][0]["id"] = json!("x");
    assert_eq!(answer(&elsewhere), Err(Unanswered::Credential));
}

#[test]
fn other_queries_are_refused_where_they_are_wrong() {
    let long = vec!["x"; 9];
    for (claims, pointer) in [
        (json!([{ "path": [] }]), "/credentials/0/claims/0/path"),
        (
            json!([{ "path": ["x", "y", "z", null, null, null, null, null, null] }]),
            "/credentials/0/claims/0/path",
        ),
        (json!([{ "path": long }]), "/credentials/0/claims/0/path"),
        (json!([{ "path": ["x"], "values": [{}] }]), "/credentials/0/claims/0/values"),
        (json!([{ "path": ["x"], "id": "a b" }]), "/credentials/0/claims/0/id"),
        (
            json!([{ "path": ["x"], "id": "a" }, { "path": ["y"], "id": "a" }]),
            "/credentials/0/claims/1/id",
        ),
    ] {
        let query: Query = serde_json::from_value(asking(&claims)).unwrap();
        assert_eq!(query.problem().unwrap().pointer, pointer, "{claims}");
    }
    for (pointer, value, wrong) in [
        ("/credentials/0/format", json!("mso_mdoc"), "/credentials/0/format"),
        ("/credentials/0/meta/vct_values", json!([]), "/credentials/0/meta/vct_values"),
        ("/credentials/0/id", json!(""), "/credentials/0/id"),
        ("/credentials", json!([]), "/credentials"),
    ] {
        let mut asked = asking(&json!([]));
        *asked.pointer_mut(pointer).unwrap() = value;
        let query: Query = serde_json::from_value(asked).unwrap();
        assert_eq!(query.problem().unwrap().pointer, wrong);
    }
    let mut sets = asking(&json!([]));
    sets["credential_sets"] = json!([{ "options": [["nobody"]] }]);
    let query: Query = serde_json::from_value(sets).unwrap();
    assert_eq!(query.problem().unwrap().pointer, "/credential_sets/0/options");
    let place = asking(&json!([{ "path": ["x", 0] }]));
    assert!(serde_json::from_value::<Query>(place).is_err());
    let unknown = json!({ "credentials": [], "more": 1 });
    assert!(serde_json::from_value::<Query>(unknown).is_err());
}
