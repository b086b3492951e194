//! The entry of a request, written straight into bytes. Every request makes one, and building a tree
//! of JSON values first costs several times as much. What it writes is field for field what the tree
//! would have given, which the tests hold.

use std::{borrow::Cow, collections::BTreeMap};

use data_encoding::HEXLOWER;
use portcullis_types::{ClientAddr, Id, Month, tags};
use serde::Serialize;

use crate::{
    Actor, Event, Kind, Outcome, RequestSeen,
    clean::cleaned,
    leaf,
    ocsf::{OCSF_VERSION, OTHER, PRODUCT, api_activity, known_method, profiles, traced_between},
    sealed::{NO_TAG, SealPersonal, TAG_PREFIX, Whose, sealed_tree, subject},
};

/// An entry of some 700 bytes needs no second allocation.
const USUAL_BYTES: usize = 1_024;

#[derive(Serialize)]
struct Entry<'a> {
    action_id: u8,
    activity_id: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    activity_name: Option<Cow<'a, str>>,
    actor: Who<'a>,
    api: Api<'a>,
    category_uid: u32,
    class_uid: u32,
    disposition_id: u8,
    http_request: HttpRequest<'a>,
    http_response: HttpResponse,
    metadata: Metadata<'a>,
    severity_id: u8,
    #[serde(skip_serializing_if = "Option::is_none")]
    src_endpoint: Option<Endpoint>,
    #[serde(skip_serializing_if = "Option::is_none")]
    status_detail: Option<&'static str>,
    status_id: u8,
    time: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    trace: Option<Trace>,
    type_uid: u32,
    unmapped: Unmapped<'a>,
}
#[derive(Serialize)]
struct Who<'a> {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    authorizations: Vec<Authorization<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    session: Option<Session<'a>>,
    user: User<'a>,
}
#[derive(Serialize)]
struct Authorization<'a> {
    decision: &'static str,
    policy: Policy<'a>,
}
#[derive(Serialize)]
struct Policy<'a> {
    name: Cow<'a, str>,
    #[serde(rename = "type")]
    kind: &'static str,
}
#[derive(Serialize)]
struct Trace {
    span: TraceSpan,
    uid: String,
}
#[derive(Serialize)]
struct TraceSpan {
    end_time: i64,
    start_time: i64,
    uid: String,
}
#[derive(Serialize)]
struct Session<'a> {
    uid: &'a str,
}
#[derive(Serialize)]
struct Named<'a> {
    name: &'a str,
}
#[derive(Serialize)]
struct User<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<Cow<'a, str>>,
    type_id: u8,
    #[serde(skip_serializing_if = "Option::is_none")]
    uid: Option<Cow<'a, str>>,
}
#[derive(Serialize)]
struct Api<'a> {
    operation: String,
    service: Named<'a>,
}
#[derive(Serialize)]
struct HttpRequest<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    http_method: Option<Cow<'a, str>>,
    url: Url<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    user_agent: Option<&'a str>,
    version: &'static str,
}
#[derive(Serialize)]
struct Url<'a> {
    path: Cow<'a, str>,
}
#[derive(Serialize)]
struct HttpResponse {
    #[serde(skip_serializing_if = "Option::is_none")]
    body_length: Option<u64>,
    code: u16,
    latency: u64,
}
#[derive(Serialize)]
struct Metadata<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    correlation_uid: Option<&'a str>,
    event_code: String,
    product: Product,
    profiles: &'static [&'static str],
    tenant_uid: &'a str,
    uid: Id<tags::Event>,
    version: &'static str,
}
#[derive(Serialize)]
struct Product {
    name: &'static str,
    vendor_name: &'static str,
}
#[derive(Serialize)]
struct Endpoint {
    #[serde(skip_serializing_if = "Option::is_none")]
    ip: Option<ClientAddr>,
    #[serde(skip_serializing_if = "Option::is_none")]
    uid: Option<String>,
}
#[derive(Serialize)]
struct Unmapped<'a> {
    latency_us: u64,
    refused_at: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sealed: Option<Sealed<'a>>,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    violations: &'a [String],
}
#[derive(Serialize)]
struct Sealed<'a> {
    data: String,
    month: String,
    subject: &'a str,
}

/// The entry of an event in the place of what is in `into`, sealed if there is a sealer.
pub fn leaf_into(event: &Event, sealer: Option<&dyn SealPersonal>, into: &mut Vec<u8>) {
    into.clear();
    if !write_request(event, sealer, into) {
        *into = match sealer {
            Some(sealer) => sealed_tree(event, sealer),
            None => leaf(event),
        };
    }
}

/// The entry for a request; `None` if the event is of another kind.
pub(crate) fn request_leaf(event: &Event, sealer: Option<&dyn SealPersonal>) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    write_request(event, sealer, &mut bytes).then_some(bytes)
}

/// Whether it is a request; `into` must be empty.
fn write_request(event: &Event, sealer: Option<&dyn SealPersonal>, into: &mut Vec<u8>) -> bool {
    let Kind::Request(seen) = &event.kind else { return false };
    let mut entry = entry(event, seen);
    if let (Some(sealer), Some(subject)) = (sealer, subject(event)) {
        seal(&mut entry, event, subject, sealer);
    }
    into.reserve(USUAL_BYTES);
    let written = serde_json::to_writer(&mut *into, &entry).is_ok();
    if !written {
        into.clear();
    }
    written
}

fn entry<'a>(event: &'a Event, seen: &'a RequestSeen) -> Entry<'a> {
    let denied = seen.refused_at.is_some();
    let verdict = if denied { 2 } else { 1 };
    let activity = api_activity(seen);
    let method = cleaned(&seen.method);
    let decided = seen.policies.iter().map(|said| Authorization {
        decision: if said.allows { "allow" } else { "deny" },
        policy: Policy { name: cleaned(&said.name), kind: said.kind },
    });
    Entry {
        action_id: verdict,
        activity_id: activity,
        activity_name: (activity == OTHER).then(|| method.clone()),
        actor: Who {
            authorizations: decided.collect(),
            session: seen.session.as_deref().map(|uid| Session { uid }),
            user: user(&event.actor),
        },
        api: Api {
            operation: [&*method, " ", seen.route.as_deref().unwrap_or("-")].concat(),
            service: Named { name: seen.upstream.as_deref().unwrap_or("portcullis") },
        },
        category_uid: 6,
        class_uid: 6003,
        disposition_id: verdict,
        http_request: HttpRequest {
            http_method: known_method(&seen.method).then_some(method),
            url: Url { path: cleaned(&seen.path) },
            user_agent: event.origin.as_ref().and_then(|origin| origin.user_agent.as_deref()),
            version: seen.version,
        },
        http_response: HttpResponse {
            body_length: seen.bytes,
            code: seen.status,
            latency: u64::try_from(seen.latency.as_millis()).unwrap_or(u64::MAX),
        },
        metadata: Metadata {
            correlation_uid: event.origin.as_ref().map(|origin| origin.request_id.as_str()),
            event_code: event.kind.code(event.outcome.is_success()),
            product: Product { name: PRODUCT, vendor_name: PRODUCT },
            profiles: profiles(seen),
            tenant_uid: &event.tenant,
            uid: event.id,
            version: OCSF_VERSION,
        },
        severity_id: verdict,
        src_endpoint: event
            .origin
            .as_ref()
            .map(|origin| Endpoint { ip: Some(origin.addr), uid: None }),
        status_detail: match event.outcome {
            Outcome::Success => None,
            Outcome::Failure(reason) => Some(reason),
        },
        status_id: if event.outcome.is_success() { 1 } else { 2 },
        time: event.time.millis(),
        trace: seen.trace.as_ref().map(|ids| {
            let (start_time, end_time) = traced_between(event, seen);
            let span = TraceSpan { end_time, start_time, uid: HEXLOWER.encode(&ids.span) };
            Trace { span, uid: HEXLOWER.encode(&ids.trace) }
        }),
        type_uid: 600_300 + activity,
        unmapped: Unmapped {
            latency_us: u64::try_from(seen.latency.as_micros()).unwrap_or(u64::MAX),
            refused_at: seen.refused_at.map(crate::Stage::as_str),
            sealed: None,
            violations: &seen.violations,
        },
    }
}

fn user(actor: &Actor) -> User<'_> {
    let named = |name: &'static str, type_id| User { name: Some(name.into()), type_id, uid: None };
    let client = |uid| User { name: None, type_id: 4, uid: Some(uid) };
    match actor {
        Actor::User { id, username } => {
            let name = (!username.is_empty()).then(|| cleaned(username));
            User { name, type_id: 1, uid: Some(id.into()) }
        }
        Actor::UnknownUser { pseudonym } => {
            User { name: None, type_id: 0, uid: Some(["unknown:", pseudonym].concat().into()) }
        }
        Actor::Client { id } => client(cleaned(id)),
        Actor::ApiKey { id } => client(id.into()),
        Actor::Workload { spiffe_id } => client(cleaned(spiffe_id)),
        Actor::System => named("system", 3),
        Actor::Operator => named("operator", 2),
        Actor::Anonymous => named("anonymous", 0),
    }
}

/// The same as for every other event, in [`crate::sealed`].
fn seal<'a>(entry: &mut Entry<'a>, event: &Event, subject: &'a str, sealer: &dyn SealPersonal) {
    let month = Month::of(event.time);
    let mut taken: BTreeMap<&str, Cow<'_, str>> = BTreeMap::new();
    if let Some(name) = entry.actor.user.name.take() {
        taken.insert("/actor/user/name", name);
    }
    if let Some(agent) = entry.http_request.user_agent.take() {
        taken.insert("/http_request/user_agent", agent.into());
    }
    if let (Some(source), Some(origin)) = (&mut entry.src_endpoint, &event.origin) {
        source.ip = None;
        let tag = sealer.tag(month, origin.addr.key());
        source.uid = Some(format!("{TAG_PREFIX}{}", tag.as_deref().unwrap_or(NO_TAG)));
        taken.insert("/src_endpoint/ip", origin.addr.to_string().into());
    }
    let plain = serde_json::to_vec(&taken).unwrap_or_default();
    if let Some(data) = sealer.seal(Whose { subject, month }, &plain) {
        entry.unmapped.sealed = Some(Sealed { data, month: month.to_string(), subject });
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use portcullis_types::{AddrKey, Timestamp};
    use serde_json::Value;

    use super::*;
    use crate::{Origin, PolicyDecision, Stage, TraceIds, ocsf, sealed};

    struct Plain(bool);
    impl SealPersonal for Plain {
        fn seal(&self, whose: Whose<'_>, plain: &[u8]) -> Option<String> {
            let plain: BTreeMap<String, String> = serde_json::from_slice(plain).unwrap();
            self.0.then(|| format!("{whose:?}|{plain:?}"))
        }
        fn tag(&self, _: Month, _: AddrKey) -> Option<String> {
            Some("t4g".into())
        }
    }

    #[test]
    fn it_is_what_the_tree_of_values_gives() {
        let person = |username: &str| Actor::User {
            id: "usr_00000000000000000000000001".into(),
            username: username.into(),
        };
        let actors = [
            person("ada\u{202e}\""),
            person(""),
            Actor::User { id: "elsewhere".into(), username: "x".into() },
            Actor::UnknownUser { pseudonym: "f00".into() },
            Actor::Client { id: "c\n".into() },
            Actor::ApiKey { id: "k".into() },
            Actor::Workload { spiffe_id: "spiffe://a/b".into() },
            Actor::System,
            Actor::Operator,
            Actor::Anonymous,
        ];
        let origins = [
            None,
            Some(Origin { user_agent: Some("Fire\"fox".into()), ..Origin::default() }),
            Some(Origin {
                addr: "2001:db8::1".parse::<std::net::IpAddr>().unwrap().into(),
                request_id: "r".into(),
                ..Origin::default()
            }),
        ];
        let long = "é".repeat(900);
        let requests = [
            ("GET", "/a", None, None),
            ("PUT", &*long, Some(Stage::Limits), Some("p")),
            ("BREW\n", "/a", None, None),
        ];
        let mut compared = 0;
        for actor in &actors {
            for origin in &origins {
                for (method, path, refused_at, policy) in requests {
                    let seen = RequestSeen {
                        method: method.into(),
                        path: path.into(),
                        route: policy.map(str::to_owned),
                        upstream: policy.map(str::to_owned),
                        status: 200,
                        latency: Duration::from_micros(12_345),
                        refused_at,
                        policies: policy
                            .map(|name| {
                                [
                                    PolicyDecision::allows("scope", name),
                                    PolicyDecision::denies("cedar", "a\nb"),
                                ]
                            })
                            .into_iter()
                            .flatten()
                            .collect(),
                        version: "HTTP/2",
                        violations: policy.map(str::to_owned).into_iter().collect(),
                        session: policy.map(str::to_owned),
                        bytes: policy.map(|_| 1_234),
                        trace: policy.map(|_| TraceIds { trace: [1; 16], span: [0xab; 8] }),
                    };
                    let outcome = refused_at.map_or(Outcome::Success, |_| Outcome::Failure("no"));
                    let event = Event::new(
                        Id::from_bits(7),
                        Timestamp::from_secs(5),
                        origin.clone(),
                        actor.clone(),
                        outcome,
                        Kind::Request(seen),
                    );
                    let read = |bytes: Vec<u8>| serde_json::from_slice::<Value>(&bytes).unwrap();
                    let tree = ocsf::entry(&event);
                    assert_eq!(read(request_leaf(&event, None).unwrap()), tree);
                    for known in [true, false] {
                        let sealer = Plain(known);
                        let tree = read(sealed::sealed_tree(&event, &sealer));
                        let fast = read(request_leaf(&event, Some(&sealer)).unwrap());
                        assert_eq!(fast, tree);
                        compared += 1;
                    }
                }
            }
        }
        assert_eq!(compared, 180);
    }
}
