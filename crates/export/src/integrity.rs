//! The profile `record_integrity` of OCSF 1.9 (a draft): each event that a sink gets has the fingerprint
//! of itself and points to the one it got before, so that a receiver sees if anybody changed, dropped or
//! reordered what it stored.
//!
//! The fingerprint is SHA-256 over the event as JSON in canonical form (RFC 8785), its own
//! `attestation_list` included but without `fingerprint` in it. Nothing is signed here: what is signed
//! is the log, at the index and under the name that `unmapped` tells.

use aws_lc_rs::digest::{SHA256, digest};
use data_encoding::HEXLOWER;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// What events with the profile say they follow.
pub const DRAFT_VERSION: &str = "1.9.0-dev";
const PROFILE: &str = "record_integrity";

/// The event that a sink got last, as the next one points to it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Link {
    uid: String,
    type_uid: u64,
    fingerprint: String,
}

/// Adds the attestation to an event of the chain `chain`, after `before`. Returns what the next event
/// points to; `None` if it is not an event.
pub(crate) fn attest(event: &mut Value, chain: &str, before: Option<&Link>) -> Option<Link> {
    let uid = event.pointer("/metadata/uid")?.as_str()?.to_owned();
    let type_uid = event.get("type_uid")?.as_u64()?;
    let metadata = event.get_mut("metadata")?.as_object_mut()?;
    metadata.insert("version".into(), DRAFT_VERSION.into());
    let profiles = metadata.entry("profiles").or_insert_with(|| json!([])).as_array_mut()?;
    if profiles.iter().all(|profile| profile != PROFILE) {
        profiles.push(PROFILE.into());
    }
    let mut attestation = json!({ "uid": uid, "authority_uid": chain, "chain_uid": chain });
    if let Some(before) = before {
        attestation["prev_event"] = json!({
            "uid": before.uid,
            "type_uid": before.type_uid,
            "fingerprint": object(&before.fingerprint),
        });
    }
    event["attestation_list"] = json!([attestation]);
    let fingerprint = HEXLOWER.encode(digest(&SHA256, canonical(event).as_bytes()).as_ref());
    event["attestation_list"][0]["fingerprint"] = object(&fingerprint);
    Some(Link { uid, type_uid, fingerprint })
}

/// The draft has not settled on numbers for serializations, so this one is named.
fn object(fingerprint: &str) -> Value {
    json!({
        "algorithm_id": 3,
        "algorithm": "SHA-256",
        "serialization_id": 99,
        "serialization": "JCS",
        "value": fingerprint,
    })
}

/// JSON in the canonical form of RFC 8785. Events have no fractions, whose form is another matter.
fn canonical(value: &Value) -> String {
    match value {
        Value::Object(members) => {
            let mut members: Vec<_> = members.iter().collect();
            members.sort_by(|(a, _), (b, _)| a.encode_utf16().cmp(b.encode_utf16()));
            let members = members.iter().map(|(name, value)| {
                format!("{}:{}", Value::from(name.as_str()), canonical(value))
            });
            format!("{{{}}}", members.collect::<Vec<_>>().join(","))
        }
        Value::Array(items) => {
            format!("[{}]", items.iter().map(canonical).collect::<Vec<_>>().join(","))
        }
        plain => plain.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_written_in_the_form_of_rfc_8785() {
        // Section 3.2.3: by UTF-16 code units, so that the surrogates come before U+FB33.
        let value = json!({
            "\u{20ac}": "Euro Sign", "\r": "Carriage Return", "\u{fb33}": "Hebrew Letter Dalet",
            "1": [true, null, -7], "\u{1f600}": "Emoji", "\u{80}": "Control",
            "\u{f6}": { "b": "\u{8}\u{1f}\"\\/\u{2028}", "a": 0 },
        });
        assert_eq!(
            canonical(&value),
            "{\"\\r\":\"Carriage Return\",\"1\":[true,null,-7],\"\u{80}\":\"Control\",\
             \"\u{f6}\":{\"a\":0,\"b\":\"\\b\\u001f\\\"\\\\/\u{2028}\"},\"\u{20ac}\":\"Euro Sign\",\
             \"\u{1f600}\":\"Emoji\",\"\u{fb33}\":\"Hebrew Letter Dalet\"}"
        );
    }

    fn event(uid: &str) -> Value {
        json!({ "type_uid": 300_201, "metadata": { "uid": uid, "version": "1.8.0" } })
    }

    #[test]
    fn a_change_breaks_the_event_or_the_one_after_it() {
        let (mut first, mut second) = (event("a"), event("b"));
        let link = attest(&mut first, "c", None).unwrap();
        assert!(first["attestation_list"][0].get("prev_event").is_none());
        let after = attest(&mut second, "c", Some(&link)).unwrap();
        assert_eq!(second["attestation_list"][0]["prev_event"]["uid"], "a");
        assert_eq!(second["metadata"]["profiles"], json!(["record_integrity"]));
        // Without it, or with another before it, the second is another.
        let (mut alone, mut other) = (event("b"), event("x"));
        let elsewhere = attest(&mut other, "c", None).unwrap();
        assert_ne!(attest(&mut alone, "c", None).unwrap(), after);
        assert_ne!(attest(&mut event("b"), "c", Some(&elsewhere)).unwrap(), after);
        assert_ne!(attest(&mut event("b"), "d", Some(&link)).unwrap(), after);
        assert_eq!(attest(&mut event("b"), "c", Some(&link)).unwrap(), after);
        assert!(attest(&mut json!({ "type_uid": 1 }), "c", None).is_none());
    }
}
