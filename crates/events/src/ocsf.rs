//! The canonical JSON of an event: OCSF 1.8.0.

use data_encoding::HEXLOWER;
use serde_json::{Map, Value, json};

use crate::{
    AccountChange, Actor, AdminChange, AlertRaised, BlockChange, Event, Kind, Lifecycle,
    LoginAttempt, Outcome, RequestSeen, TokenOperation, clean,
    idv::{checked, screened, verification},
    request_leaf::request_leaf,
};

/// The version of the Open Cybersecurity Schema Framework the leaves follow.
pub const OCSF_VERSION: &str = "1.8.0";

pub(crate) const PRODUCT: &str = "Portcullis";

/// An event class: its uid, its category, and an activity of it.
struct Class {
    uid: u32,
    category: u32,
    activity: u32,
}

const fn class(uid: u32, category: u32, activity: u32) -> Class {
    Class { uid, category, activity }
}

/// The activity, and any other enumerated value, that the schema has no number for.
pub(crate) const OTHER: u32 = 99;

/// The methods that the schema knows.
const METHODS: [&str; 9] =
    ["GET", "POST", "PUT", "DELETE", "HEAD", "PATCH", "OPTIONS", "CONNECT", "TRACE"];

/// The method, if it is one that the schema knows. Any other stands in `api.operation` alone.
pub fn known_method(method: &str) -> bool {
    METHODS.contains(&method)
}

/// What an activity is called that has no number.
fn activity_name(kind: &Kind) -> String {
    match kind {
        Kind::Token(operation) => operation.operation.to_owned(),
        Kind::Account(change) => change.change.to_owned(),
        Kind::Admin(change) => change.action.to_owned(),
        Kind::Request(seen) => clean(&seen.method),
        Kind::Screening(_) => "screen".to_owned(),
        Kind::Check(_) => "check".to_owned(),
        Kind::Verification(session) => session.change.to_owned(),
        other => other.code(true),
    }
}

/// The bytes of the log entry for `event`, nothing sealed.
pub fn leaf(event: &Event) -> Vec<u8> {
    request_leaf(event, None).unwrap_or_else(|| entry(event).to_string().into_bytes())
}

/// The event as OCSF, nothing sealed: what [`leaf`] has, before it is written.
pub fn ocsf(event: &Event) -> Value {
    entry(event)
}

/// The class of OCSF that an event is of.
pub fn class_uid(kind: &Kind) -> u32 {
    match kind {
        Kind::Login(_) | Kind::Logout { .. } | Kind::Token(_) => 3002,
        Kind::Account(_) => 3001,
        Kind::Admin(_)
        | Kind::Block(_)
        | Kind::Screening(_)
        | Kind::Check(_)
        | Kind::Verification(_) => 3004,
        Kind::Request(_) => 6003,
        Kind::Alert(_) => 2004,
        Kind::Lifecycle(_) => 6002,
    }
}

pub(crate) fn entry(event: &Event) -> Value {
    let (class, severity, fields) = body(event);
    let mut all = Map::new();
    all.insert("activity_id".into(), class.activity.into());
    all.insert("category_uid".into(), class.category.into());
    all.insert("class_uid".into(), class.uid.into());
    all.insert("type_uid".into(), (class.uid * 100 + class.activity).into());
    if class.activity == OTHER {
        all.insert("activity_name".into(), activity_name(&event.kind).into());
    }
    all.insert("severity_id".into(), severity.into());
    all.insert("time".into(), event.time.millis().into());
    all.insert("metadata".into(), metadata(event));
    if class.uid != 2004 {
        all.insert("status_id".into(), if event.outcome.is_success() { 1 } else { 2 }.into());
    }
    if let Outcome::Failure(reason) = event.outcome {
        all.insert("status_detail".into(), reason.into());
    }
    if let Some(origin) = &event.origin {
        let source = json!({ "ip": origin.addr });
        match class.uid {
            2004 => all.insert("evidences".into(), json!([{ "src_endpoint": source }])),
            // The lifecycle of the service has no source.
            6002 => None,
            _ => all.insert("src_endpoint".into(), source),
        };
    }
    all.extend(fields);
    Value::Object(all)
}

/// The profiles of a request's entry.
pub(crate) fn profiles(seen: &RequestSeen) -> &'static [&'static str] {
    if seen.trace.is_some() { &["security_control", "trace"] } else { &["security_control"] }
}

/// When the span of a request began and ended, in milliseconds.
pub(crate) fn traced_between(event: &Event, seen: &RequestSeen) -> (i64, i64) {
    (event.time.minus(seen.latency).millis(), event.time.millis())
}

fn metadata(event: &Event) -> Value {
    let mut metadata = json!({
        "version": OCSF_VERSION,
        "uid": event.id,
        "event_code": event.kind.code(event.outcome.is_success()),
        "tenant_uid": event.tenant,
        "product": { "name": PRODUCT, "vendor_name": PRODUCT },
    });
    if let Kind::Request(seen) = &event.kind {
        metadata["profiles"] = json!(profiles(seen));
    }
    if let Some(origin) = &event.origin {
        metadata["correlation_uid"] = origin.request_id.clone().into();
    }
    metadata
}

/// The class of the event, its severity and the fields of its own.
fn body(event: &Event) -> (Class, u32, Map<String, Value>) {
    let success = event.outcome.is_success();
    let (class, severity, value) = match &event.kind {
        Kind::Login(login) => {
            (class(3002, 3, 1), if success { 1 } else { 2 }, authentication(event, login))
        }
        Kind::Logout { session } => {
            let value = json!({ "user": user(&event.actor), "service": service("identity"), "session": { "uid": session } });
            (class(3002, 3, 2), 1, value)
        }
        Kind::Token(operation) => {
            let activity = match operation.operation {
                "issue" => 4,
                "refresh" => 5,
                "authorize" | "consent" => 3,
                _ => OTHER,
            };
            let severity = if operation.operation == "reuse" { 4 } else { 1 };
            (class(3002, 3, activity), severity, token(event, operation))
        }
        Kind::Account(change) => {
            (class(3001, 3, account_activity(change)), 1, account(event, change))
        }
        Kind::Admin(change) => (class(3004, 3, admin_activity(change)), 1, admin(event, change)),
        Kind::Request(seen) => (
            class(6003, 6, api_activity(seen)),
            if seen.refused_at.is_some() { 2 } else { 1 },
            request(event, seen),
        ),
        Kind::Screening(screening) => {
            let severity = if screening.hits == 0 { 1 } else { 3 };
            (class(3004, 3, OTHER), severity, screened(event, screening))
        }
        Kind::Check(check) => {
            let severity = if check.status == "passed" { 1 } else { 3 };
            (class(3004, 3, OTHER), severity, checked(event, check))
        }
        Kind::Verification(session) => {
            let severity = if session.status == "declined" { 3 } else { 1 };
            (class(3004, 3, OTHER), severity, verification(event, session))
        }
        Kind::Alert(raised) => (class(2004, 2, 1), raised.severity, alert(raised)),
        Kind::Block(change) => {
            (class(3004, 3, if change.active { 1 } else { 4 }), 3, block(event, change))
        }
        Kind::Lifecycle(step) => lifecycle(step),
    };
    let Value::Object(fields) = value else {
        return (class, severity, Map::new());
    };
    (class, severity, fields)
}

fn authentication(event: &Event, login: &LoginAttempt) -> Value {
    let mut value = json!({
        "user": user(&event.actor),
        "service": service(login.door),
        "auth_protocol_id": 99,
        "auth_protocol": login.factor,
        "auth_factors": [auth_factor(login.factor)],
        "is_mfa": login.is_mfa,
    });
    with_request(&mut value, event);
    if let Some(session) = &login.session {
        value["session"] = json!({ "uid": session });
    }
    if let Some(known) = login.known_device {
        value["unmapped"]["known_device"] = known.into();
    }
    if let Some(delayed) = login.delayed {
        let millis = u64::try_from(delayed.as_millis()).unwrap_or(u64::MAX);
        value["unmapped"]["delayed_ms"] = millis.into();
    }
    value
}

/// The factor by the enumeration of the class, where it has one.
fn auth_factor(factor: &str) -> Value {
    match factor {
        "password" => json!({ "factor_type_id": 11, "factor_type": "Password" }),
        "passkey" => json!({ "factor_type_id": 10, "factor_type": "WebAuthn" }),
        "totp" => json!({ "factor_type_id": 7, "factor_type": "OTP", "is_totp": true }),
        "mail" => json!({ "factor_type_id": 8, "factor_type": "Email" }),
        other => json!({ "factor_type_id": 99, "factor_type": other }),
    }
}

fn token(event: &Event, operation: &TokenOperation) -> Value {
    let mut value = json!({
        "user": user(&event.actor),
        "service": service("oidc"),
        "auth_protocol_id": 6,
        "unmapped": {
            "client_id": operation.client,
            "grant_type": operation.grant_type,
            "scope": operation.scope,
            "token_id": operation.token_id,
            "grant_id": operation.grant,
        },
    });
    with_request(&mut value, event);
    value
}

fn account_activity(change: &AccountChange) -> u32 {
    match change.change {
        "registered" | "created" => 1,
        "enabled" => 2,
        "password_changed" => 3,
        "password_reset" => 4,
        "disabled" => 5,
        "deleted" | "erased" => 6,
        _ => OTHER,
    }
}

fn account(event: &Event, change: &AccountChange) -> Value {
    let mut value = json!({ "user": user(&change.user), "actor": actor(&event.actor) });
    if let Some(provider) = &change.provider {
        value["unmapped"] = json!({ "login_provider": provider });
    }
    with_request(&mut value, event);
    value
}

fn admin_activity(change: &AdminChange) -> u32 {
    match change.action {
        "create" => 1,
        "delete" => 4,
        "enable" => 8,
        "disable" => 9,
        "update" | "rotate" | "revoke" | "acknowledge" => 3,
        _ => OTHER,
    }
}

fn admin(event: &Event, change: &AdminChange) -> Value {
    let entity = json!({ "uid": change.object, "type": change.object_type });
    let with = |data: &Option<Value>| {
        let mut entity = entity.clone();
        if let Some(data) = data {
            entity["data"] = data.clone();
        }
        entity
    };
    let mut value = json!({ "actor": actor(&event.actor), "entity": with(&change.before) });
    if change.after.is_some() {
        value["entity_result"] = with(&change.after);
    }
    with_request(&mut value, event);
    value
}

pub(crate) fn api_activity(seen: &RequestSeen) -> u32 {
    match seen.method.as_str() {
        "GET" | "HEAD" | "OPTIONS" => 2,
        "POST" => 1,
        "PUT" | "PATCH" => 3,
        "DELETE" => 4,
        _ => OTHER,
    }
}

fn request(event: &Event, seen: &RequestSeen) -> Value {
    let denied = seen.refused_at.is_some();
    let mut actor = actor(&event.actor);
    if !seen.policies.is_empty() {
        let decided = seen.policies.iter().map(|said| {
            let policy = json!({ "name": clean(&said.name), "type": said.kind });
            json!({ "decision": if said.allows { "allow" } else { "deny" }, "policy": policy })
        });
        actor["authorizations"] = decided.collect();
    }
    if let Some(session) = &seen.session {
        actor["session"] = json!({ "uid": session });
    }
    let mut value = json!({
        "actor": actor,
        "api": {
            "operation": format!("{} {}", clean(&seen.method), seen.route.as_deref().unwrap_or("-")),
            "service": { "name": seen.upstream.as_deref().unwrap_or("portcullis") },
        },
        "http_request": {
            "url": { "path": clean(&seen.path) },
            "version": seen.version,
        },
        "http_response": { "code": seen.status, "latency": u64::try_from(seen.latency.as_millis()).unwrap_or(u64::MAX) },
        "action_id": if denied { 2 } else { 1 },
        "disposition_id": if denied { 2 } else { 1 },
        "unmapped": {
            "latency_us": u64::try_from(seen.latency.as_micros()).unwrap_or(u64::MAX),
            "refused_at": seen.refused_at.map(super::Stage::as_str),
        },
    });
    if known_method(&seen.method) {
        value["http_request"]["http_method"] = seen.method.clone().into();
    }
    if let Some(ids) = &seen.trace {
        let (start, end) = traced_between(event, seen);
        value["trace"] = json!({
            "uid": HEXLOWER.encode(&ids.trace),
            "span": { "uid": HEXLOWER.encode(&ids.span), "start_time": start, "end_time": end },
        });
    }
    if let Some(bytes) = seen.bytes {
        value["http_response"]["body_length"] = bytes.into();
    }
    if !seen.violations.is_empty() {
        value["unmapped"]["violations"] = seen.violations.clone().into();
    }
    if let Some(agent) = event.origin.as_ref().and_then(|origin| origin.user_agent.as_ref()) {
        value["http_request"]["user_agent"] = agent.clone().into();
    }
    value
}

fn alert(raised: &AlertRaised) -> Value {
    let (technique, name) = &raised.attack;
    let attacks = match (technique.is_empty(), name.is_empty()) {
        (true, _) => json!([]),
        (false, true) => json!([{ "technique": { "uid": technique } }]),
        (false, false) => json!([{ "technique": { "uid": technique, "name": name } }]),
    };
    let related: Vec<Value> = raised.evidence.iter().map(|id| json!({ "uid": id })).collect();
    json!({
        "is_alert": true,
        "confidence_id": 3,
        "status_id": 1,
        "finding_info": {
            "uid": raised.alert,
            "title": raised.title,
            "desc": raised.description,
            "analytic": { "type_id": 1, "type": "Rule", "uid": raised.rule },
            "attacks": attacks,
            "first_seen_time": raised.first_seen.millis(),
            "related_events": related,
        },
        "unmapped": { "accounts": raised.accounts, "answer": raised.answer },
    })
}

fn block(event: &Event, change: &BlockChange) -> Value {
    json!({
        "actor": actor(&event.actor),
        "entity": { "uid": change.block, "name": change.addr, "type": "block" },
        "comment": clean(&change.reason),
        "unmapped": { "until": change.until.to_rfc3339(), "addr": change.addr },
    })
}

fn lifecycle(step: &Lifecycle) -> (Class, u32, Value) {
    let app = json!({ "name": PRODUCT, "vendor_name": PRODUCT });
    match step {
        Lifecycle::Started { version } => {
            let app = json!({ "name": PRODUCT, "vendor_name": PRODUCT, "version": version });
            (class(6002, 6, 3), 1, json!({ "app": app }))
        }
        Lifecycle::Stopped => (class(6002, 6, 4), 1, json!({ "app": app })),
        Lifecycle::Reloaded => (class(6002, 6, 8), 1, json!({ "app": app })),
        Lifecycle::ClockStep { millis } => {
            (class(6002, 6, OTHER), 3, json!({ "app": app, "unmapped": { "step_ms": millis } }))
        }
        Lifecycle::Gap { lost } => {
            (class(6002, 6, OTHER), 4, json!({ "app": app, "unmapped": { "lost_events": lost } }))
        }
        Lifecycle::Rotated { log, entries } => {
            let told = json!({ "log": log, "entries": entries });
            (class(6002, 6, OTHER), 1, json!({ "app": app, "unmapped": told }))
        }
        Lifecycle::Pruned(pruned) => {
            let removed = pruned.removed.iter();
            let removed =
                removed.map(|one| json!({ "log": one.log, "minimum_index": one.minimum }));
            let removed: Value = removed.collect();
            let told = json!({ "removed": removed, "before": pruned.before.to_rfc3339() });
            (class(6002, 6, OTHER), 1, json!({ "app": app, "unmapped": told }))
        }
        Lifecycle::MonthErased { month } => {
            (class(6002, 6, OTHER), 1, json!({ "app": app, "unmapped": { "month": month } }))
        }
    }
}

fn service(name: &str) -> Value {
    json!({ "name": name })
}

/// The OCSF `user` of an actor. Every variant has a name or an id, as the class demands.
fn user(actor: &Actor) -> Value {
    match actor {
        // Whoever was erased has no name any more.
        Actor::User { id, username } if username.is_empty() => json!({ "uid": id, "type_id": 1 }),
        Actor::User { id, username } => json!({ "uid": id, "name": clean(username), "type_id": 1 }),
        Actor::UnknownUser { pseudonym } => {
            json!({ "uid": format!("unknown:{pseudonym}"), "type_id": 0 })
        }
        Actor::Client { id } => json!({ "uid": clean(id), "type_id": 4 }),
        Actor::ApiKey { id } => json!({ "uid": id, "type_id": 4 }),
        Actor::Workload { spiffe_id } => json!({ "uid": clean(spiffe_id), "type_id": 4 }),
        Actor::System => json!({ "name": "system", "type_id": 3 }),
        Actor::Operator => json!({ "name": "operator", "type_id": 2 }),
        Actor::Anonymous => json!({ "name": "anonymous", "type_id": 0 }),
    }
}

pub(crate) fn actor(actor: &Actor) -> Value {
    json!({ "user": user(actor) })
}

fn with_request(value: &mut Value, event: &Event) {
    if let Some(agent) = event.origin.as_ref().and_then(|origin| origin.user_agent.as_ref()) {
        value["http_request"] = json!({ "user_agent": agent });
    }
}
