//! `verified_claims`: what a client asks to know of whom an account belongs to, and what it is told (OpenID
//! Connect for Identity Assurance 1.0, sections 5 and 6).

use std::collections::BTreeSet;

use portcullis_types::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

/// The scope that stands for it: the person is asked in its words, and clients must be allowed it.
pub(crate) const SCOPE: &str = "verified_claims";
/// Members of `claims` that there may be.
pub(crate) const CLAIMS: [&str; 4] = ["given_name", "family_name", "birthdate", "nationalities"];

/// Requests in one parameter, each with its own rules.
const REQUESTS_MAX: usize = 8;
/// Bytes of one request.
const REQUEST_MAX_BYTES: usize = 4 * 1024;
/// Objects and arrays in each other.
const DEPTH_MAX: usize = 8;
/// Members that say something about a value, and name none.
const SAYINGS: [&str; 5] = ["value", "values", "max_age", "essential", "purpose"];
/// Members without which an answer says nothing: they are told with whatever else is told of the same thing.
const REQUIRED: [&str; 2] = ["type", "check_method"];

/// What is asked for in one place: elements of `verified_claims`, and whether they came as an array.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct VerifiedRequest {
    elements: Vec<Value>,
    is_array: bool,
}

impl VerifiedRequest {
    /// Reads the member of a part of the parameter `claims`; `None` if it is not as section 5 says.
    pub fn read(member: Option<&Value>) -> Option<Self> {
        let (elements, is_array) = match member {
            None | Some(Value::Null) => return Some(Self::default()),
            Some(Value::Array(elements)) => (elements.clone(), true),
            Some(element) => (vec![element.clone()], false),
        };
        // What is not understood of a claim is passed over (OpenID Connect Core, section 5.5.1).
        let mut elements = elements;
        for element in &mut elements {
            let claims = element.get_mut("claims").and_then(Value::as_object_mut);
            for asked in claims.into_iter().flat_map(Map::values_mut) {
                if let Some(asked) = asked.as_object_mut() {
                    asked.retain(|name, _| SAYINGS.contains(&&name[..]));
                }
            }
        }
        let fits = |element: &Value| {
            let names_framework = element["verification"].get("trust_framework").is_some();
            let claims = element["claims"].as_object();
            names_framework
                && claims.is_some_and(|claims| !claims.is_empty())
                && element.to_string().len() <= REQUEST_MAX_BYTES
                && is_readable(element, DEPTH_MAX)
        };
        let fine = (1..=REQUESTS_MAX).contains(&elements.len()) && elements.iter().all(fits);
        fine.then_some(Self { elements, is_array })
    }

    pub fn is_empty(&self) -> bool {
        self.elements.is_empty()
    }

    /// What is told, of all that is known; `None` for nothing, and nobody learns why (section 6.5).
    pub fn answer(&self, known: &[Value], now: Timestamp) -> Option<Value> {
        let asked = self.elements.iter();
        let mut told: Vec<Value> = asked.filter_map(|asked| first(asked, known, now)).collect();
        match told.len() {
            0 => None,
            1 if !self.is_array => told.pop(),
            _ => Some(Value::Array(told)),
        }
    }
}

/// Whether each member that says something about a value says it rightly.
fn is_readable(asked: &Value, depth: usize) -> bool {
    if depth == 0 {
        return false;
    }
    match asked {
        Value::Null => true,
        Value::Array(elements) => {
            !elements.is_empty() && elements.iter().all(|one| is_readable(one, depth - 1))
        }
        Value::Object(members) => members.iter().all(|(name, said)| match &name[..] {
            "value" => !said.is_null(),
            "values" => said.as_array().is_some_and(|values| !values.is_empty()),
            "max_age" => said.as_f64().is_some_and(|age| age >= 0.0),
            "essential" => said.is_boolean(),
            "purpose" => said.is_string(),
            _ => is_readable(said, depth - 1),
        }),
        Value::Bool(_) | Value::Number(_) | Value::String(_) => false,
    }
}

/// The first of what is known that is as it was asked for.
fn first(asked: &Value, known: &[Value], now: Timestamp) -> Option<Value> {
    known.iter().find_map(|known| {
        let verification = within(&asked["verification"], &known["verification"], now)?;
        let asked = asked["claims"].as_object()?;
        // What does not fit is left out alone (section 6.5.2).
        let claim = |(name, asked): (&String, &Value)| {
            let known = known["claims"].get(name)?;
            Some((name.clone(), within(asked, known, now)?))
        };
        let claims: Map<String, Value> = asked.iter().filter_map(claim).collect();
        (!claims.is_empty()).then(|| json!({ "verification": verification, "claims": claims }))
    })
}

/// What was asked for of what is known; `None` if it is not as it was asked for.
fn within(asked: &Value, known: &Value, now: Timestamp) -> Option<Value> {
    match (asked, known) {
        (Value::Null, known) => Some(least(known)),
        (Value::Array(asked), Value::Array(known)) => {
            let one = |known: &Value| asked.iter().find_map(|asked| within(asked, known, now));
            let found: Vec<Value> = known.iter().filter_map(one).collect();
            (!found.is_empty()).then_some(Value::Array(found))
        }
        (Value::Object(asked), known) => {
            let fits = asked.iter().all(|(name, said)| holds(name, said, known, now));
            let named: BTreeSet<&String> =
                asked.keys().filter(|name| !SAYINGS.contains(&&name[..])).collect();
            match known {
                _ if !fits => None,
                Value::Object(known) if !named.is_empty() => members(asked, &named, known, now),
                // Something is asked for that this has not.
                _ if !named.is_empty() => None,
                known => Some(least(known)),
            }
        }
        _ => None,
    }
}

/// What is told where nothing is named: of evidence, its documents and its checks what they are, since what is in
/// them has to be asked for (section 5.6); all of everything else.
fn least(known: &Value) -> Value {
    match known {
        Value::Array(elements) => elements.iter().map(least).collect(),
        Value::Object(members) if REQUIRED.iter().any(|name| members.contains_key(*name)) => {
            let required = members.iter().filter(|(name, _)| REQUIRED.contains(&&name[..]));
            Value::Object(required.map(|(name, value)| (name.clone(), value.clone())).collect())
        }
        known => known.clone(),
    }
}

/// The members that were asked for; those that are not known are left out if nothing is said about them.
fn members(
    asked: &Map<String, Value>,
    named: &BTreeSet<&String>,
    known: &Map<String, Value>,
    now: Timestamp,
) -> Option<Value> {
    let mut told = Map::new();
    for name in REQUIRED {
        told.extend(known.get(name).map(|value| (name.to_owned(), value.clone())));
    }
    for name in named {
        let asked = asked.get(*name)?;
        match known.get(*name) {
            Some(known) => {
                told.insert((*name).clone(), within(asked, known, now)?);
            }
            None if demands(asked) => return None,
            None => {}
        }
    }
    Some(Value::Object(told))
}

/// Whether it is asked for with a value or an age.
fn demands(asked: &Value) -> bool {
    match asked {
        Value::Object(members) => members.iter().any(|(name, said)| {
            ["value", "values", "max_age"].contains(&&name[..]) || demands(said)
        }),
        Value::Array(elements) => elements.iter().any(demands),
        _ => false,
    }
}

/// Whether what is said of a value is so of the one that is known.
fn holds(name: &str, said: &Value, known: &Value, now: Timestamp) -> bool {
    match name {
        "value" => said == known,
        "values" => said.as_array().is_some_and(|values| values.contains(known)),
        "max_age" => {
            // A day lasts until its end.
            let end = |day: &str| Timestamp::parse_rfc3339(&format!("{day}T23:59:59Z"));
            let at = known
                .as_str()
                .and_then(|text| Timestamp::parse_rfc3339(text).or_else(|_| end(text)).ok());
            #[expect(clippy::cast_precision_loss, reason = "of seconds that somebody lives to see")]
            let age = at.map(|at| (now.secs() - at.secs()) as f64);
            age.zip(said.as_f64()).is_some_and(|(age, most)| age <= most)
        }
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn known() -> Value {
        json!({
            "verification": {
                "trust_framework": "eidas",
                "assurance_level": "substantial",
                "time": "2026-06-01T12:00:00Z",
                "evidence": [{
                    "type": "document",
                    "check_details": [{ "check_method": "vcrypt", "check_id": "rpt_1" }],
                    "document_details": { "type": "passport", "document_number": "L898902C3",
                                          "date_of_expiry": "2026-06-01" },
                }],
            },
            "claims": { "given_name": "ANNA", "birthdate": "1974-08-12", "nationalities": ["DE"] },
        })
    }

    fn told(asked: &Value) -> Option<Value> {
        let now = Timestamp::parse_rfc3339("2026-06-01T12:01:40Z").unwrap();
        VerifiedRequest::read(Some(asked)).unwrap().answer(&[known()], now)
    }

    fn framework(more: &Value) -> Value {
        let mut verification = json!({ "trust_framework": null });
        for (name, asked) in more.as_object().unwrap() {
            verification[name] = asked.clone();
        }
        json!({ "verification": verification, "claims": { "given_name": null } })
    }

    #[test]
    fn only_what_was_asked_for_is_told() {
        let asked = json!({
            "verification": { "trust_framework": { "value": "eidas" }, "unheard_of": null },
            "claims": { "given_name": { "essential": true }, "address": null },
        });
        let few = json!({
            "verification": { "trust_framework": "eidas" }, "claims": { "given_name": "ANNA" },
        });
        assert_eq!(told(&asked), Some(few.clone()));
        assert_eq!(told(&json!([asked, asked])), Some(json!([few, few])));
        let evidence = json!({ "evidence": [{
            "type": { "value": "document" },
            "document_details": { "type": null },
            "check_details": [{ "check_method": { "values": ["bvr", "vcrypt"] } }],
        }] });
        let evidence = told(&framework(&evidence)).unwrap()["verification"]["evidence"].clone();
        assert_eq!(
            evidence,
            json!([{
                "type": "document",
                "document_details": { "type": "passport" },
                "check_details": [{ "check_method": "vcrypt" }],
            }])
        );
        // What it is is told with it, and what is in it to those who ask for that.
        for asked in [json!(null), json!([{}]), json!([{ "unheard_of": null }])] {
            let told = told(&framework(&json!({ "evidence": asked.clone() }))).unwrap();
            assert_eq!(
                told["verification"]["evidence"],
                json!([{ "type": "document" }]),
                "{asked}"
            );
        }
        let inside =
            json!([{ "document_details": { "document_number": null }, "check_details": [null] }]);
        let told = super::tests::told(&framework(&json!({ "evidence": inside }))).unwrap();
        assert_eq!(
            told["verification"]["evidence"],
            json!([{
                "type": "document",
                "document_details": { "type": "passport", "document_number": "L898902C3" },
                "check_details": [{ "check_method": "vcrypt" }],
            }])
        );
    }

    #[test]
    fn what_is_not_as_it_was_asked_for_is_left_out_without_a_word() {
        for verification in [
            json!({ "trust_framework": { "value": "de_aml" } }),
            json!({ "trust_framework": { "values": ["de_aml", "nist_800_63A"] } }),
            json!({ "assurance_level": { "value": "high" } }),
            json!({ "time": { "max_age": 99 } }),
            json!({ "evidence": [{ "type": { "value": "vouch" } }] }),
            json!({ "evidence": [{ "check_details": [{ "check_method": { "value": "bvr" } }] }] }),
            json!({ "evidence": [{ "document_details": { "date_of_issuance": { "max_age": 5 } } }] }),
            json!({ "evidence": [{ "type": { "max_age": 5 } }] }),
            json!({ "assurance_process": { "policy": { "value": "gpg45" } } }),
            json!({ "trust_framework": { "and": { "more": null } } }),
        ] {
            assert_eq!(told(&framework(&verification)), None, "{verification}");
        }
        for verification in [
            json!({ "time": { "max_age": 100 } }),
            json!({ "time": { "max_age": 1e2 } }),
            // Until the end of its day.
            json!({ "evidence": [{ "document_details": { "date_of_expiry": { "max_age": 0 } } }] }),
            json!({ "assurance_level": { "values": ["high", "substantial"] } }),
            json!({ "assurance_process": { "policy": null } }),
        ] {
            assert!(told(&framework(&verification)).is_some(), "{verification}");
        }
        // A claim that does not fit goes alone, and without any there is nothing.
        let claims = |claims: &Value| {
            told(&json!({ "verification": { "trust_framework": null }, "claims": claims }))
        };
        let hint = json!({ "birthdate": { "ui_hint": "x", "more": { "x": 1 } } });
        assert_eq!(claims(&hint).unwrap()["claims"], json!({ "birthdate": "1974-08-12" }));
        let other = json!({ "given_name": { "value": "BOB" }, "birthdate": null });
        assert_eq!(claims(&other).unwrap()["claims"], json!({ "birthdate": "1974-08-12" }));
        assert_eq!(claims(&json!({ "given_name": { "value": "BOB" } })), None);
        assert_eq!(claims(&json!({ "address": null })), None);
    }

    #[test]
    fn other_shapes_are_refused() {
        let deep = (0..20).fold(json!(null), |inner, _| json!({ "x": inner }));
        let framework = json!({ "trust_framework": null });
        for bad in [
            json!({}),
            json!([]),
            json!("x"),
            json!({ "claims": { "given_name": null } }),
            json!({ "verification": null, "claims": { "x": null } }),
            json!({ "verification": {}, "claims": { "x": null } }),
            json!({ "verification": framework }),
            json!({ "verification": framework, "claims": null }),
            json!({ "verification": framework, "claims": {} }),
            json!({ "verification": framework, "claims": { "given_name": 7 } }),
            json!({ "verification": framework, "claims": { "given_name": { "values": [] } } }),
            json!({ "verification": framework, "claims": { "given_name": { "value": null } } }),
            json!({ "verification": { "trust_framework": "eidas" }, "claims": { "x": null } }),
            json!({ "verification": { "trust_framework": null, "time": { "max_age": -1 } }, "claims": { "x": null } }),
            json!({ "verification": { "trust_framework": null, "evidence": [] }, "claims": { "x": null } }),
            json!({ "verification": { "trust_framework": null, "x": deep }, "claims": { "x": null } }),
            json!({ "verification": framework, "claims": { "x".repeat(5_000): null } }),
            json!(vec![json!({ "verification": framework, "claims": { "x": null } }); 9]),
        ] {
            assert_eq!(VerifiedRequest::read(Some(&bad)), None, "{bad}");
        }
        assert!(VerifiedRequest::read(None).unwrap().is_empty());
    }
}
