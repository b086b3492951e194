//! Signals about one thing, outside of any session.

use std::{collections::BTreeMap, net::IpAddr};

use http::{Method, StatusCode};
use portcullis_verification::{SignalAsked, SignalReport};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use utoipa::ToSchema;

use super::input::invalid;
use crate::{
    call::Call,
    endpoint::{Api, Endpoint, Permission::Idv, Reply, ok},
};

pub(crate) fn endpoints() -> Vec<Endpoint> {
    let ok = StatusCode::OK;
    vec![
        Endpoint::new(Method::POST, "/idv/v1/checks/ip", Idv, "What is known of an address", of_ip)
            .takes::<IpInput>()
            .returns::<SignalView>(ok),
        Endpoint::new(
            Method::POST,
            "/idv/v1/checks/email",
            Idv,
            "What is known of an e-mail address; nothing is sent to it",
            of_email,
        )
        .takes::<EmailInput>()
        .returns::<SignalView>(ok),
        Endpoint::new(
            Method::POST,
            "/idv/v1/checks/phone",
            Idv,
            "What a telephone number was given out for; nothing is sent to it",
            of_phone,
        )
        .takes::<NumberInput>()
        .returns::<SignalView>(ok),
    ]
}

/// An address of a line.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct IpInput {
    ip_address: String,
}

/// An address of mail.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct EmailInput {
    email: String,
}

/// A telephone number.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct NumberInput {
    /// With + and the code of its country, or as it is dialled in `country`.
    number: String,
    /// Two letters.
    country: Option<String>,
}

/// What is known of it. None of it proves anything.
#[derive(Debug, Serialize, ToSchema)]
struct SignalView {
    id: String,
    /// `ip`, `email` or `phone`
    check: &'static str,
    /// `passed`, `review` (doubtful), `failed` (there is no such thing) or `not_performed` (there is no map for it)
    status: &'static str,
    /// `heuristic`
    assurance: &'static str,
    reasons: Vec<SignalReasonView>,
    /// The same as in conditions of workflows; what nobody knows is not there.
    values: BTreeMap<String, Value>,
    /// Of an address: which maps told what, and when they were built.
    #[serde(skip_serializing_if = "Value::is_null")]
    detail: Value,
    /// Keyed digest of what was asked about, as it stands in the audit log.
    inputs_hash: String,
    /// RFC 3339.
    started_at: String,
}

#[derive(Debug, Serialize, ToSchema)]
struct SignalReasonView {
    code: &'static str,
    /// `failure`, `doubt`, `information`
    severity: Value,
}

impl From<SignalReport> for SignalView {
    fn from(report: SignalReport) -> Self {
        let reason = |(code, severity): &(&'static str, _)| SignalReasonView {
            code,
            severity: json!(severity),
        };
        let values = report.values.iter().map(|(name, value)| (name.clone(), json!(value)));
        Self {
            id: report.id.to_string(),
            check: report.check,
            status: report.status.as_str(),
            assurance: "heuristic",
            reasons: report.reasons.iter().map(reason).collect(),
            values: values.collect(),
            detail: report.detail,
            inputs_hash: report.inputs_hash,
            started_at: report.at.to_rfc3339(),
        }
    }
}

async fn look(api: &Api, call: &Call, asked: &SignalAsked) -> Reply {
    let by = (&call.caller.actor, &call.origin);
    ok(SignalView::from(api.sessions.look_alone(asked, by).await?))
}

async fn of_ip(api: Api, call: Call) -> Reply {
    let asked = call.json::<IpInput>()?.ip_address;
    let ip = asked.parse::<IpAddr>();
    let ip = ip.map_err(|_| invalid("ip_address", "must be an address"))?.to_canonical();
    look(&api, &call, &SignalAsked::Ip(ip)).await
}

async fn of_email(api: Api, call: Call) -> Reply {
    let asked = SignalAsked::Email(call.json::<EmailInput>()?.email);
    look(&api, &call, &asked).await
}

async fn of_phone(api: Api, call: Call) -> Reply {
    let NumberInput { number, country } = call.json()?;
    look(&api, &call, &SignalAsked::Phone(number, country)).await
}
